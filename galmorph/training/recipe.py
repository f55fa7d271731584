# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training recipes: all that an experiment is made of, one YAML file each."""

import copy
import dataclasses
import os
from pathlib import Path

import yaml

from galmorph.exceptions import RecipeError
from galmorph.training._records import (
    Record,
    need_one_of,
    need_positive,
    parse_yaml,
    refuse,
)
from galmorph.training.parts import Choice, Optimiser, Schedule, Task, TestTime
from galmorph.weights._checks import did_you_mean

__all__ = ['TrainingRecipe', 'list_recipes', 'load_recipe']

_FOLDER = Path(__file__).parent / 'recipes'
_PRECISIONS = ('float32', 'bf16', 'fp16')
# What is better the larger or the smaller it is, of the scores of a validation.
_BETTER = {
    'max': {'accuracy', 'macro_auc', 'macro_f1', 'r2', 'weighted_f1'},
    'min': {'loss', 'rmse'},
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingRecipe(Record):
    """
    An experiment: data, network, pixels, optimiser, and how long.

    Parameters
    ----------
    name : str
        Name of the experiment, and of the weights that come out of it.
    tasks : dict of `~galmorph.training.parts.Task`
        One or more, by names of their own.
    network : `~galmorph.training.parts.Choice`
        As in `~galmorph.networks.create_network`.
    title, description, reference : str
        A line, a paragraph, and the publication.
    published : dict
        Scores that the publication states.
    pixels : dict
        What differs from the defaults of `~galmorph.Recipe`.
    augmentation : str or dict
        A preset of `galmorph.training.augmentation.Augmentation`, or its
        parameters, with ``preset`` for those that are not given.
    optimiser : `~galmorph.training.parts.Optimiser`
        The optimiser.
    schedule : `~galmorph.training.parts.Schedule`
        The course of the learning rate.
    batch_size : int
        Galaxies in a batch, those of all tasks together.
    steps : int or None
        Updates of the weights.
    epochs : float or None
        Instead of ``steps``: passes through the training galaxies of the
        first task.
    validate_every : int or None
        Updates from a validation, with a checkpoint, to the next; by default
        one pass through the training galaxies of the first task.
    unconstrained_steps : int
        Updates at the beginning that see the raw outputs, clipped to [0, 1],
        instead of those of the head (Dieleman et al. 2015, section 7.2).
    norm_constraint : dict
        The largest root mean square of the weights that lead to a unit, by
        the name of the layer, and ``every`` for the number of updates from
        one rescaling to the next.
    freeze : list
        Names of weights, with wildcards, that stay as they are; those behind
        an exclamation mark are trained all the same: ``['*', '!output.*']``.
    ema : float or None
        Decay of the running average of the weights, that is what is validated
        and published; `None` for the weights themselves.
    seed : int
        Of the weights, the order of the galaxies, and the augmentation.
    precision : {'float32', 'bf16', 'fp16'}
        Arithmetic of the network in training.
    channels_last : bool
        Memory layout of the convolutions, the quicker one on most devices.
    monitor : str
        The score that chooses the weights and ends the training.
    mode : {'min', 'max'}
        Whether a small or a large score is good.
    patience : int or None
        Validations without a better score after which the training ends.
    keep : {'best', 'last'}
        Which weights are published.
    initialise : str, dict or None
        Weights, or the path of a card, to begin from: for all tasks, or by
        the name of the task. Layers of another shape, such as those of other
        questions, begin anew.
    anew : list
        Names of weights, with wildcards, that begin anew although ``initialise``
        has them: ``['dense.*', 'output.*']``.
    test : `~galmorph.training.parts.TestTime`
        Averaging of answers.
    ensemble : list
        One entry a member: a mapping of overrides, or the name of a variant.
    variants : dict
        Mappings of overrides, by name.
    n_workers : int
        Processes that load galaxies.
    card : dict
        Entries of the weights card, such as ``licence`` and ``instrument``.
    precision_stored : str or dict
        Precision of the weights file, as `~galmorph.weights.save_weights`
        takes it.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If a key is unknown, or a value has no meaning; the message names it.

    Examples
    --------
    >>> from galmorph.training.recipe import load_recipe
    >>> recipe = load_recipe('zhu_2019').override({'optimiser.lr': 0.01})
    >>> recipe.network.name, recipe.optimiser.lr, recipe.schedule.name
    ('resnet_zhu', 0.01, 'steps')
    """

    name: str
    tasks: dict[str, Task]
    network: Choice
    title: str = ''
    description: str = ''
    reference: str = ''
    published: dict = dataclasses.field(default_factory=dict)
    pixels: dict = dataclasses.field(default_factory=dict)
    augmentation: str | dict = 'none'
    optimiser: Optimiser = dataclasses.field(default_factory=Optimiser)
    schedule: Schedule = dataclasses.field(default_factory=Schedule)
    batch_size: int = 64
    steps: int | None = None
    epochs: float | None = None
    validate_every: int | None = None
    unconstrained_steps: int = 0
    norm_constraint: dict = dataclasses.field(default_factory=dict)
    freeze: list = dataclasses.field(default_factory=list)
    ema: float | None = None
    seed: int = 1
    precision: str = 'float32'
    channels_last: bool = True
    monitor: str = 'valid/loss'
    mode: str = 'min'
    patience: int | None = None
    keep: str = 'best'
    initialise: str | dict | None = None
    anew: list = dataclasses.field(default_factory=list)
    test: TestTime = dataclasses.field(default_factory=TestTime)
    ensemble: list = dataclasses.field(default_factory=list)
    variants: dict = dataclasses.field(default_factory=dict)
    n_workers: int = 0
    card: dict = dataclasses.field(default_factory=dict)
    precision_stored: str | dict = 'float16'

    def check(self, where):
        """Check the values, and that the tasks fit together."""
        if not self.tasks:
            refuse('tasks', {}, where, 'needs one task at least')
        if (self.steps is None) == (self.epochs is None):
            msg = f"{where} needs either 'steps' or 'epochs'"
            raise RecipeError(msg)
        positive = ('batch_size', 'steps', 'epochs', 'validate_every', 'patience')
        need_positive(self, positive, where)
        need_one_of(self.precision, _PRECISIONS, f"'precision' of {where}")
        need_one_of(self.mode, ('min', 'max'), f"'mode' of {where}")
        self._check_mode(where)
        need_one_of(self.keep, ('best', 'last'), f"'keep' of {where}")
        if self.ema is not None and not 0 < self.ema < 1:
            refuse('ema', self.ema, where, 'must lie between 0 and 1')
        for name, task in self.tasks.items():
            other = task.head_of
            if other is None:
                continue
            if other not in self.tasks or self.tasks[other].head_of is not None:
                heads = [key for key, t in self.tasks.items() if t.head_of is None]
                msg = (
                    f"'head_of' of the task {name!r} names {other!r}, which has no "
                    f'head of its own{did_you_mean(other, heads)}'
                )
                raise RecipeError(msg)
            if self.tasks[other].schema != task.schema:
                msg = (
                    f"'head_of' of the task {name!r}: {other!r} answers "
                    f'{self.tasks[other].schema!r}, not {task.schema!r}'
                )
                raise RecipeError(msg)
        if self.anew and self.initialise is None:
            refuse('anew', self.anew, where, "needs 'initialise'")
        if isinstance(self.initialise, dict):
            heads = [key for key, t in self.tasks.items() if t.head_of is None]
            for name in self.initialise:
                need_one_of(name, heads, f"a task in 'initialise' of {where}")
        for name, task in self.tasks.items():
            self._check_images_of(name, task.images_of)
        for name in self.variants:
            self.variant(name)
        for index in range(len(self.ensemble)):
            self.member(index)

    def _check_mode(self, where):
        for mode, scores in _BETTER.items():
            if mode != self.mode and scores & set(self.monitor.split('/')[1:]):
                rule = f"must be {mode!r} to 'monitor' {self.monitor!r}"
                refuse('mode', self.mode, where, rule)

    def _check_images_of(self, name, other):
        if other is None:
            return
        hosts = [key for key, task in self.tasks.items() if task.images_of is None]
        if other not in hosts:
            msg = (
                f"'images_of' of the task {name!r} names {other!r}, which shows no "
                f'images of its own{did_you_mean(other, hosts)}'
            )
            raise RecipeError(msg)
        for field in ('pixels', 'augmentation'):
            if getattr(self.tasks[name], field) != getattr(self.tasks[other], field):
                msg = (
                    f"'images_of' of the task {name!r}: {other!r} has other {field!r}; "
                    'both see the same views'
                )
                raise RecipeError(msg)

    def override(self, changes):
        """
        Change values.

        Parameters
        ----------
        changes : dict or list of str
            Values by dotted keys, ``{'optimiser.lr': 0.01}``; or texts
            ``'optimiser.lr=0.01'`` whose values are read as YAML.

        Returns
        -------
        recipe : `TrainingRecipe`
            A new recipe, checked.

        Raises
        ------
        galmorph.exceptions.RecipeError
            If a key does not exist, or a value has no meaning.

        Examples
        --------
        >>> from galmorph.training.recipe import load_recipe
        >>> recipe = load_recipe('dieleman_2015')
        >>> recipe.override(['steps=100', 'tasks.gz2.data.limit=500']).steps
        100
        """
        if not isinstance(changes, dict):
            changes = dict(_parse_change(text) for text in changes)
        content = copy.deepcopy(self.to_dict())
        for key, value in changes.items():
            _assign(content, key, value)
        # One of the two was meant to replace the other.
        if 'steps' in changes and 'epochs' not in changes:
            content.pop('epochs', None)
        if 'epochs' in changes and 'steps' not in changes:
            content.pop('steps', None)
        return type(self).from_dict(content)

    def variant(self, name):
        """
        Return a variant of the experiment.

        Parameters
        ----------
        name : str
            One of ``variants``.

        Returns
        -------
        recipe : `TrainingRecipe`
            Without variants of its own.

        Raises
        ------
        galmorph.exceptions.RecipeError
            If there is no such variant.

        Examples
        --------
        >>> from galmorph.training.recipe import load_recipe
        >>> recipe = load_recipe('uppsala_2018')
        >>> recipe.variant('106_b32_hsv').network.options['colour']
        'hsv'
        """
        if name not in self.variants:
            msg = (
                f'the recipe {self.name!r} has no variant {name!r}'
                f'{did_you_mean(name, self.variants)}'
            )
            raise RecipeError(msg)
        changes = {'name': f'{self.name}_{name}', **self.variants[name]}
        return self._alone().override(changes)

    def member(self, index):
        """
        Return a member of the ensemble.

        Parameters
        ----------
        index : int
            Its number, from 0.

        Returns
        -------
        recipe : `TrainingRecipe`
            Without an ensemble, with a seed of its own.

        Examples
        --------
        >>> from galmorph.training.recipe import load_recipe
        >>> ensemble = load_recipe('dieleman_2015_ensemble')
        >>> len(ensemble.ensemble), ensemble.member(0).seed != ensemble.member(1).seed
        (17, True)
        """
        entry = self.ensemble[index]
        if isinstance(entry, str):
            if entry not in self.variants:
                msg = (
                    f"'ensemble' of the recipe {self.name!r} names the variant "
                    f'{entry!r}{did_you_mean(entry, self.variants)}'
                )
                raise RecipeError(msg)
            entry = self.variants[entry]
        if not isinstance(entry, dict):
            refuse('ensemble', entry, 'the recipe', 'holds mappings and variants')
        changes = {
            'name': f'{self.name}_{index}',
            'seed': self.seed + index,
            **entry,
        }
        return self._alone().override(changes)

    def only(self, names):
        """
        Leave tasks out.

        Parameters
        ----------
        names : iterable of str
            The tasks that stay. One on the images of another that does not
            stay draws its own.

        Returns
        -------
        recipe : `TrainingRecipe`
            A recipe with these. Variants and members of the ensemble that need
            a task that does not stay are left out as well. It monitors the loss, if
            the score that it did is of such a task.

        Raises
        ------
        galmorph.exceptions.RecipeError
            If there is no such task, or one trains the head of another that does
            not stay.

        Examples
        --------
        >>> from galmorph.training.recipe import load_recipe
        >>> list(load_recipe('compact_multitask').only(['efigi']).tasks)
        ['efigi']
        """
        names = list(names)
        for name in names:
            need_one_of(name, list(self.tasks), f'a task of the recipe {self.name!r}')
        tasks = {name: task for name, task in self.tasks.items() if name in names}
        for name, task in tasks.items():
            if task.images_of not in tasks:
                tasks[name] = dataclasses.replace(task, images_of=None)
        begin = self.initialise
        if isinstance(begin, dict):
            begin = {name: weights for name, weights in begin.items() if name in tasks}
        choice = {}
        if {*self.monitor.split('/')[1:2]} & (self.tasks.keys() - tasks.keys()):
            choice = {'monitor': 'valid/loss', 'mode': 'min'}
        if not begin:
            choice['anew'] = []
        alone = dataclasses.replace(
            self._alone(), tasks=tasks, initialise=begin or None, **choice
        )
        alone.check(f'the recipe {self.name!r}')
        variants = {
            name: changes
            for name, changes in self.variants.items()
            if _can_be(alone, changes)
        }
        ensemble = [
            entry
            for entry in self.ensemble
            if _can_be(alone, self.variants[entry] if isinstance(entry, str) else entry)
        ]
        return dataclasses.replace(alone, variants=variants, ensemble=ensemble)

    def to_yaml(self):
        """
        Write the recipe.

        Returns
        -------
        text : str
            YAML that `load_recipe` reads.

        Examples
        --------
        >>> from galmorph.training.recipe import load_recipe
        >>> 'batch_size: 128' in load_recipe('zhu_2019').to_yaml()
        True
        """
        return yaml.safe_dump(
            self.to_dict(), sort_keys=False, allow_unicode=True, width=79
        )

    def _alone(self):
        return dataclasses.replace(self, variants={}, ensemble=[])


def _can_be(recipe, changes):
    """Tell whether a recipe can be changed so."""
    try:
        recipe.override(changes)
    except RecipeError:
        return False
    return True


def list_recipes():
    """
    List the recipes of the package.

    Returns
    -------
    names : list of str
        What `load_recipe` knows.

    Examples
    --------
    >>> from galmorph.training.recipe import list_recipes
    >>> 'dieleman_2015' in list_recipes()
    True
    """
    return sorted(path.stem for path in _FOLDER.glob('*.yaml'))


def load_recipe(recipe):
    """
    Read a recipe.

    Parameters
    ----------
    recipe : str, path-like or `TrainingRecipe`
        One of `list_recipes`, with ``/variant`` behind it if it has any; or a
        file, as a path-like object or by a name that ends in ``.yaml`` or
        ``.yml``. A recipe comes back as it is.

    Returns
    -------
    recipe : `TrainingRecipe`
        The recipe, checked.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If there is no such recipe, or it is not right.

    Examples
    --------
    >>> from galmorph.training.recipe import load_recipe
    >>> load_recipe('brainstation_2019').batch_size
    100
    >>> load_recipe('dielemann')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.RecipeError: unknown recipe 'dielemann'; did you mean ...
    """
    if isinstance(recipe, TrainingRecipe):
        return recipe
    path = Path(recipe)
    name, _, variant = str(recipe).partition('/')
    # A folder may have the name of a recipe.
    is_file = isinstance(recipe, os.PathLike) or path.suffix in ('.yaml', '.yml')
    if is_file:
        name, variant = str(path), ''
    elif name in list_recipes():
        path = _FOLDER / f'{name}.yaml'
    else:
        msg = f'unknown recipe {str(recipe)!r}{did_you_mean(recipe, list_recipes())}'
        raise RecipeError(msg)
    label = f'the recipe {name!r}'
    try:
        text = path.read_text(encoding='utf-8')
    except (OSError, UnicodeDecodeError) as error:
        msg = f'{label} cannot be read: {error}'
        raise RecipeError(msg) from error
    loaded = TrainingRecipe.from_dict(parse_yaml(text, label), label)
    return loaded.variant(variant) if variant else loaded


def _parse_change(text):
    key, sign, value = text.partition('=')
    if not sign or not key.strip():
        msg = f'a change is written KEY=VALUE, as optimiser.lr=0.01, not {text!r}'
        raise RecipeError(msg)
    return key.strip(), parse_yaml(value, f'the value of {key.strip()!r}')


def _assign(content, dotted, value):
    """Set a value, making the mappings on the way; checks come later."""
    *parents, last = str(dotted).split('.')
    place = content
    for depth, key in enumerate(parents):
        inner = place.get(key)
        if isinstance(inner, str):
            # A bare text stands for the name of a choice, or for a preset.
            field = {'data': 'layout', 'teacher': 'weights', 'augmentation': 'preset'}
            inner = {field.get(key, 'name'): inner}
        if inner is None:
            inner = {}
        if not isinstance(inner, dict):
            path = '.'.join(parents[: depth + 1])
            msg = f'{dotted!r} cannot be set, for {path!r} is {inner!r:.60}'
            raise RecipeError(msg)
        place[key] = inner
        place = inner
    place[last] = value
