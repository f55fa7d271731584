# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`fit`: from a recipe and data to weights with their card."""

import dataclasses
import logging
import math
import tempfile
from pathlib import Path

import lightning
import numpy as np
import torch

from galmorph.exceptions import RecipeError, WeightsError
from galmorph.files import write_atomically
from galmorph.schemas import load_schema
from galmorph.training._loop import make_trainer, quiet
from galmorph.training.data.assembling import create_datamodule
from galmorph.training.data.seen import record_data
from galmorph.training.initialising import initialise
from galmorph.training.log import read_log, scores_at
from galmorph.training.measuring import measure, measure_mean
from galmorph.training.module import MorphologyModule
from galmorph.training.publish import save_trained
from galmorph.training.recipe import load_recipe
from galmorph.weights._checks import did_you_mean

__all__ = ['TrainingResult', 'count_steps', 'fit']

logger = logging.getLogger(__name__)

# What of a recipe may change from one part of a training to the next, since the
# trained weights do not depend on it.
_FREE = (
    'card',
    'description',
    'n_workers',
    'name',
    'precision_stored',
    'published',
    'reference',
    'test',
    'title',
    'variants',
)


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainingResult:
    """
    What a training leaves.

    Parameters
    ----------
    card : `~pathlib.Path`
        The card of the weights, of the first task where there are several;
        `~galmorph.MorphologyClassifier` takes it.
    cards : dict of str to `~pathlib.Path`
        The card of each task with a head of its own.
    metrics : dict of str to float
        The scores of the published weights on the validation galaxies.
    folder : `~pathlib.Path`
        Where everything is: recipe, log, checkpoints, weights.
    n_steps : int
        Updates of the weights that were done.
    members : tuple of `TrainingResult`
        Those of an ensemble, the best of which is what the entries above are of.
    ensemble : dict of str to dict
        By task, the scores of the mean of the members on the validation
        galaxies, as the ``metrics`` of a card; also in ``ensemble.yaml``.

    Examples
    --------
    >>> from pathlib import Path
    >>> from galmorph.training.fit import TrainingResult
    >>> TrainingResult(card=Path('a.yaml'), cards={'gz2': Path('a.yaml')},
    ...                metrics={}, folder=Path(), n_steps=10).n_steps
    10
    """

    card: Path
    cards: dict
    metrics: dict
    folder: Path
    n_steps: int
    members: tuple = ()
    ensemble: dict = dataclasses.field(default_factory=dict)

    @property
    def log(self):
        """The scores during the training, see `~galmorph.training.log.read_log`."""
        return read_log(self.folder)


def fit(
    recipe,
    *,
    data=None,
    output=None,
    cache=None,
    resume=True,
    evaluate=True,
    progress_bar=False,
    callbacks=(),
    **trainer_options,
):
    """
    Train what a recipe describes, and write weights with their card.

    A training that was interrupted goes on from its last validation when it
    is asked for again, and ends with the same weights as one that was not. One
    that is finished is only measured, and its ``name`` and ``test`` may be
    others then: to measure what ``zhu_2019`` trained as ``zhu_2019/q180`` says,
    ask for that with the same ``output``; each name has a card of its own.

    Parameters
    ----------
    recipe : str, path-like or `~galmorph.training.recipe.TrainingRecipe`
        As `~galmorph.training.recipe.load_recipe` takes it.
    data : path-like, optional
        Folder that those of the recipe are within, the current one by
        default; or a `~galmorph.training.data.datamodule.GalaxyZooDataModule` of
        the tasks of the recipe.
    output : path-like, optional
        Folder for recipe, log, checkpoints and weights, ``runs/<name>`` by
        default.
    cache : path-like, optional
        Folder for decoded pixels, which several trainings may share; within
        ``output`` by default.
    resume : bool, optional
        Go on with the training that is in the folder, if there is one. Else a
        folder with a training in it is refused.
    evaluate : bool, optional
        Measure the weights, as they were written, on the validation galaxies,
        with intervals for the card.
    progress_bar : bool, optional
        Whether to show progress.
    callbacks : sequence of `lightning.pytorch.Callback`, optional
        More of them.
    **trainer_options
        For `lightning.pytorch.Trainer`: ``accelerator``, ``devices``,
        ``num_nodes``, ``strategy``.

    Returns
    -------
    result : `TrainingResult`
        The path of the card, and scores.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If the recipe is not right, or the folder holds another training.
    galmorph.exceptions.LabelError
        If labels are not right, before the first step, with their rows.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.training import fit
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fit('zhu_2019', data=folder, output=f'{folder}/run')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.LabelError: the task 'zhu5': ...
    """
    recipe = load_recipe(recipe)
    folder = Path('runs') / recipe.name if output is None else Path(output)
    options = {'progress_bar': progress_bar, 'callbacks': callbacks, **trainer_options}
    # What runs beside the training goes where it does.
    device = 'cpu' if trainer_options.get('accelerator') == 'cpu' else None
    if recipe.ensemble:
        options |= {'data': data, 'resume': resume, 'evaluate': evaluate}
        return _fit_ensemble(
            recipe, folder, cache=cache or folder / 'cache', device=device, **options
        )
    if isinstance(data, lightning.LightningDataModule):
        datamodule = data
    else:
        datamodule = create_datamodule(
            recipe,
            data,
            cache=cache or folder / 'cache',
            device=device,
            progress_bar=progress_bar,
        )
    n_steps, epoch_length = count_steps(recipe, datamodule)
    if getattr(datamodule, 'steps_per_epoch', epoch_length) is None:
        datamodule.steps_per_epoch = epoch_length
    checkpoint = _open_folder(recipe, folder, resume=resume)
    tasks = getattr(datamodule, 'tasks', {})
    record_data(folder, tasks, resumes=checkpoint is not None)
    recipe = recipe.only(tasks or recipe.tasks)
    recipe = _with_taught_questions(recipe, tasks)
    module = MorphologyModule(recipe, n_steps=n_steps, kinds=datamodule.kinds)
    _check_cards(module)
    if recipe.initialise is not None and checkpoint is None:
        n_taken, n_new = initialise(module, recipe.initialise)
        logger.info(
            'of %r %d arrays were taken, %d begin anew',
            recipe.initialise,
            n_taken,
            n_new,
        )
    is_validated = _check_monitor(recipe, module, datamodule)
    with quiet(silent=not progress_bar):
        trainer = make_trainer(
            recipe, folder, n_steps, epoch_length, is_validated=is_validated, **options
        )
        trainer.fit(
            module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=False
        )
    kept = folder / 'checkpoints' / f'{recipe.keep if is_validated else "last"}.ckpt'
    state = torch.load(kept, map_location='cpu', weights_only=False)
    module = module.cpu()
    module.load_state_dict(state['state_dict'])
    metrics = scores_at(folder, state['epoch'])
    cards = {}
    for task in module.networks if trainer.is_global_zero else ():
        described = {'steps': state['global_step'], **datamodule.describe(task)}
        cards[task] = save_trained(module, folder, task=task, training=described)
        if evaluate and recipe.tasks[task].needs_labels:
            measure(cards[task], datamodule, task, recipe.test, device=device)
    return TrainingResult(
        card=next(iter(cards.values()), None),
        cards=cards,
        metrics=metrics,
        folder=folder,
        n_steps=trainer.global_step,
    )


def count_steps(recipe, datamodule):
    """
    Count the updates of a training, and those from a validation to the next.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.
    datamodule : `~galmorph.training.data.datamodule.GalaxyZooDataModule`
        The data.

    Returns
    -------
    n_steps, epoch_length : int
        The first is a multiple of the second, so that the last update is
        validated too; it is rounded up to it.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from galmorph.training.fit import count_steps
    >>> from galmorph.training.recipe import load_recipe
    >>> data = SimpleNamespace(pass_length=300)
    >>> count_steps(load_recipe('brainstation_2019'), data)
    (1500, 300)
    """
    n_steps = recipe.steps
    if n_steps is None:
        n_steps = max(1, math.ceil(recipe.epochs * datamodule.pass_length))
    length = recipe.validate_every or datamodule.pass_length
    n_epochs = max(1, round(n_steps / length))
    length = math.ceil(n_steps / n_epochs)
    return n_epochs * length, length


def _with_taught_questions(recipe, data):
    """Let a card support what some training galaxy has a label for."""
    tasks = dict(recipe.tasks)
    for name, task in recipe.tasks.items():
        if task.supported_questions is not None:
            continue
        schema = load_schema(task.schema)
        taught = np.zeros(schema.n_answers, bool)
        for other in recipe.tasks:
            if name in (other, recipe.tasks[other].head_of) and other in data:
                labels = data[other].labels[data[other].rows('train')]
                taught |= np.isfinite(labels.targets).any(0)
                if labels.bound is not None:
                    taught |= np.isfinite(labels.bound).any(0)
        questions = [
            question
            for question, (start, stop, _) in zip(
                schema.names, schema.structure, strict=True
            )
            if taught[start:stop].any()
        ]
        if data and len(questions) < len(schema.names):
            tasks[name] = dataclasses.replace(task, supported_questions=questions)
    return dataclasses.replace(recipe, tasks=tasks)


def _check_cards(module):
    """Find out before the training what would keep its weights from being written."""
    with tempfile.TemporaryDirectory() as folder:
        for task in module.networks:
            try:
                save_trained(module, folder, task=task)
            except (ValueError, WeightsError) as error:
                msg = f'the weights of the task {task!r} could not be written: {error}'
                raise RecipeError(msg) from error


def _fit_ensemble(recipe, folder, *, data, cache, device, evaluate, **options):
    options |= {'data': data, 'cache': cache, 'evaluate': evaluate}
    members = []
    for index in range(len(recipe.ensemble)):
        member = recipe.member(index)
        members.append(fit(member, output=folder / member.name, **options))
    ensemble = {}
    # One process of several has the cards.
    if evaluate and all(member.cards for member in members):
        if not isinstance(data, lightning.LightningDataModule):
            data = create_datamodule(recipe.member(0), data, cache=cache, device=device)
        ensemble = measure_mean(recipe, members, folder, data, device=device)
    sign = 1 if recipe.mode == 'min' else -1
    best = min(
        members, key=lambda m: sign * m.metrics.get(recipe.monitor, sign * math.inf)
    )
    return TrainingResult(
        card=best.card,
        cards=best.cards,
        metrics=best.metrics,
        folder=folder,
        n_steps=sum(member.n_steps for member in members),
        members=tuple(members),
        ensemble=ensemble,
    )


def _check_monitor(recipe, module, datamodule):
    """Tell whether there is a validation; the monitored score must be of it."""
    counts = {
        name: len(task.rows('valid'))
        for name, task in getattr(datamodule, 'tasks', {}).items()
    }
    if counts and not any(counts.values()):
        return False
    known = [
        name
        for name in module.score_names()
        if counts.get(name.split('/')[1], 1) or name == 'valid/loss'
    ]
    if recipe.monitor not in known:
        hint = did_you_mean(recipe.monitor, known)
        msg = f"there is no score {recipe.monitor!r} to 'monitor'{hint}"
        raise RecipeError(msg)
    return True


def _open_folder(recipe, folder, *, resume):
    """Make the folder, or find the checkpoint of the same recipe in it."""
    described, checkpoint = folder / 'recipe.yaml', folder / 'checkpoints' / 'last.ckpt'
    if checkpoint.exists() and described.exists():
        before = load_recipe(described).to_dict()
        now = recipe.to_dict()
        changed = sorted(
            key
            for key in before.keys() | now.keys()
            if key not in _FREE and before.get(key) != now.get(key)
        )
        if changed or not resume:
            why = f'with another {changed[0]!r}' if changed else 'and resume is false'
            msg = (
                f'{str(folder)!r} holds a training {why}; name another output, or '
                'delete the folder'
            )
            raise RecipeError(msg)
        return checkpoint
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(described, recipe.to_yaml().encode())
    return None
