# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`fit`: from a recipe and data to weights with their card."""

import contextlib
import dataclasses
import importlib.util
import logging
import math
import warnings
from pathlib import Path

import lightning
import numpy as np
import torch
from astropy.table import QTable, vstack
from lightning.pytorch.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from lightning.pytorch.loggers import CSVLogger

from galmorph.exceptions import RecipeError
from galmorph.training.module import MorphologyModule
from galmorph.training.publish import save_trained
from galmorph.training.recipe import load_recipe
from galmorph.training.sources import create_datamodule
from galmorph.weights import load_card, load_weights, weights_path
from galmorph.weights.storage import write_atomically

__all__ = ['TrainingResult', 'fit', 'read_log']

_PRECISIONS = {'float32': '32-true', 'bf16': 'bf16-mixed', 'fp16': '16-mixed'}
# What of a recipe may change from one part of a training to the next.
_FREE = (
    'card',
    'description',
    'n_workers',
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
        Those of an ensemble.

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

    @property
    def log(self):
        """The scores during the training, see `read_log`."""
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
    is asked for again, and ends with the same weights as one that was not.

    Parameters
    ----------
    recipe : str, path-like or `~galmorph.training.recipe.TrainingRecipe`
        As `~galmorph.training.recipe.load_recipe` takes it.
    data : path-like, optional
        Folder that those of the recipe are within, the current one by
        default; or a `~galmorph.training.datamodule.GalaxyZooDataModule` of
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
    galmorph.exceptions.RecipeError: ...
    """
    recipe = load_recipe(recipe)
    folder = Path('runs') / recipe.name if output is None else Path(output)
    options = {
        'data': data,
        'resume': resume,
        'evaluate': evaluate,
        'progress_bar': progress_bar,
        'callbacks': callbacks,
        **trainer_options,
    }
    if recipe.ensemble:
        options['cache'] = cache or folder / 'cache'
        return _fit_ensemble(recipe, folder, options)
    if isinstance(data, lightning.LightningDataModule):
        datamodule = data
    else:
        datamodule = create_datamodule(
            recipe, data, cache=cache or folder / 'cache', progress_bar=progress_bar
        )
    n_steps, epoch_length = count_steps(recipe, datamodule)
    if getattr(datamodule, 'steps_per_epoch', epoch_length) is None:
        datamodule.steps_per_epoch = epoch_length
    checkpoint = _open_folder(recipe, folder, resume=resume)
    module = MorphologyModule(recipe, n_steps=n_steps, kinds=datamodule.kinds)
    if recipe.initialise is not None and checkpoint is None:
        initialise(module, recipe.initialise)
    with _quiet(silent=not progress_bar):
        trainer = _trainer(recipe, folder, n_steps, epoch_length, options)
        trainer.fit(
            module, datamodule=datamodule, ckpt_path=checkpoint, weights_only=False
        )
    best = folder / 'checkpoints' / f'{recipe.keep}.ckpt'
    state = torch.load(best, map_location='cpu', weights_only=False)
    module = module.cpu()
    module.load_state_dict(state['state_dict'])
    metrics = _scores_at(folder, state['epoch'])
    cards = {}
    for task in module.networks if trainer.is_global_zero else ():
        described = {'steps': state['global_step'], **datamodule.describe(task)}
        cards[task] = save_trained(module, folder, task=task, training=described)
        if evaluate and not recipe.tasks[task].data.recentre:
            measure(cards[task], datamodule, task, recipe.test)
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
    datamodule : `~galmorph.training.datamodule.GalaxyZooDataModule`
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


def initialise(module, weights):
    """
    Begin from weights that are there.

    Parameters
    ----------
    module : `~galmorph.training.module.MorphologyModule`
        Its networks are changed in place.
    weights : str or path-like
        Weights, or the path of a card.

    Returns
    -------
    n_taken, n_new : int
        How many weight arrays were taken, and how many begin anew: those of
        another name or shape, and the output layers for other questions.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If none fits.

    Examples
    --------
    >>> from galmorph.training.fit import initialise
    >>> from galmorph.training.finetuning import finetuning_recipe
    >>> from galmorph.training.module import MorphologyModule
    >>> recipe = finetuning_recipe('dieleman.gz2', 'mine.csv', schema='zhu5')
    >>> initialise(MorphologyModule(recipe), 'dieleman.gz2')
    (12, 2)
    """
    card = load_card(weights)
    state = load_weights(weights_path(card), card.sha256)
    n_taken = n_new = 0
    for task, network in module.networks.items():
        is_same = module.recipe.tasks[task].schema == card.schema
        own = network.state_dict()
        fitting = {
            name: tensor
            for name, tensor in state.items()
            if name in own
            and own[name].shape == tensor.shape
            and (is_same or not name.startswith(('output.', 'head.')))
        }
        network.load_state_dict(fitting, strict=False)
        n_taken += len(fitting)
        n_new += len(own) - len(fitting)
    if not n_taken:
        msg = (
            f"'initialise': none of the weights {card.name!r}, of the network "
            f'{card.network["name"]!r}, fit {module.recipe.network.name!r}; take the '
            'network and the options of their card'
        )
        raise RecipeError(msg)
    return n_taken, n_new


def measure(card, datamodule, task, test=None):
    """
    Measure weights on the validation galaxies, and write that into their card.

    Parameters
    ----------
    card : path-like
        The card, which is replaced.
    datamodule : `~galmorph.training.datamodule.GalaxyZooDataModule`
        The data.
    task : str
        The task that they answer.
    test : `~galmorph.training.parts.TestTime`, optional
        Over what to average.

    Returns
    -------
    evaluation : `~galmorph.training.evaluation.Evaluation` or None
        The scores; `None` if there are no such galaxies.

    Examples
    --------
    The last step of `fit`:

    >>> from galmorph.training.fit import measure
    >>> measure('lost.yaml', None, 'gz2')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.WeightsError: weights card 'lost.yaml': no such file
    """
    from galmorph import MorphologyClassifier
    from galmorph.training.evaluation import evaluate

    described = load_card(card)
    options = {}
    if test is not None:
        options['n_transforms'] = test.n_transforms
        if test.zooms != (1.0,):
            options['zooms'] = test.zooms
    classifier = MorphologyClassifier(card, **options)
    table, labels = datamodule.labelled(task, 'valid')
    size = 'size' if 'size' in table.colnames else None
    if not len(table):
        return None
    evaluation = evaluate(classifier, table, labels, split='valid', size=size)
    metrics = evaluation.to_dict()
    if options and test.n_transforms > 1:
        metrics['n_transforms'] = test.n_transforms
    dataclasses.replace(described, metrics=metrics).to_file(card)
    return evaluation


def read_log(folder):
    """
    Read the scores that a training logged.

    Parameters
    ----------
    folder : path-like
        The output folder of `fit`.

    Returns
    -------
    log : `~astropy.table.QTable`
        A row a validation, with the columns ``epoch``, ``step``,
        ``train/loss``, ``valid/loss`` and the scores of each task.

    Raises
    ------
    FileNotFoundError
        If there is no log.

    Examples
    --------
    >>> from galmorph.training.fit import read_log
    >>> read_log('lost')
    Traceback (most recent call last):
        ...
    FileNotFoundError: 'lost' holds no log of a training
    """
    rows = {}
    versions = Path(folder, 'log').glob('version_*/metrics.csv')
    # Where a training went on, what it repeats is the same.
    for path in sorted(versions, key=lambda path: int(path.parent.name[8:])):
        for row in QTable.read(path, format='ascii.csv').filled(np.nan):
            known = {
                name: value
                for name, value in zip(row.colnames, row.values(), strict=True)
                if not (isinstance(value, float) and math.isnan(value))
            }
            rows.setdefault(int(row['epoch']), {}).update(known)
    if not rows:
        msg = f'{str(folder)!r} holds no log of a training'
        raise FileNotFoundError(msg)
    table = vstack([QTable([rows[epoch]]) for epoch in sorted(rows)])
    first = ['epoch', 'step']
    return table[first + sorted(set(table.colnames) - set(first))]


def _fit_ensemble(recipe, folder, options):
    members = []
    for index in range(len(recipe.ensemble)):
        member = recipe.member(index)
        members.append(fit(member, output=folder / member.name, **options))
    sign = 1 if recipe.mode == 'min' else -1
    best = min(members, key=lambda m: sign * m.metrics.get(recipe.monitor, math.inf))
    return TrainingResult(
        card=best.card,
        cards=best.cards,
        metrics=best.metrics,
        folder=folder,
        n_steps=sum(member.n_steps for member in members),
        members=tuple(members),
    )


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


def _trainer(recipe, folder, n_steps, epoch_length, options):
    """Make the trainer: an epoch is what lies between two validations."""
    options = dict(options)
    for name in ('data', 'resume', 'evaluate'):
        options.pop(name)
    progress_bar, callbacks = options.pop('progress_bar'), options.pop('callbacks')
    common = {
        'dirpath': folder / 'checkpoints',
        'enable_version_counter': False,
        'auto_insert_metric_name': False,
    }
    own = []
    if recipe.ema is not None:
        own.append(WeightAveraging(multi_avg_fn=_Average(recipe.ema)))
    own.append(
        ModelCheckpoint(
            filename='best',
            monitor=recipe.monitor,
            mode=recipe.mode,
            save_on_train_epoch_end=False,
            **common,
        )
    )
    if recipe.patience is not None:
        own.append(
            EarlyStopping(recipe.monitor, mode=recipe.mode, patience=recipe.patience)
        )
    # After the others, whose state it keeps.
    own.append(ModelCheckpoint(filename='last', save_on_train_epoch_end=True, **common))
    loggers = [CSVLogger(folder, name='log')]
    if importlib.util.find_spec('tensorboard'):
        from lightning.pytorch.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(folder, name='tensorboard', version=''))
    return lightning.Trainer(
        **{
            'max_steps': n_steps,
            'max_epochs': -1,
            'limit_train_batches': epoch_length,
            'num_sanity_val_steps': 0,
            'log_every_n_steps': epoch_length,
            'precision': _PRECISIONS[recipe.precision],
            'gradient_clip_val': recipe.optimiser.clip,
            'enable_progress_bar': progress_bar,
            'enable_model_summary': False,
            'use_distributed_sampler': False,
            'logger': loggers,
            'callbacks': [*own, *callbacks],
            **options,
        }
    )


class _Average:
    """A running average that forgets its beginning sooner."""

    def __init__(self, decay):
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averages, currents, n_averaged):
        n = int(n_averaged)
        weight = 1 - min(self.decay, n / (n + 20))
        if torch.is_floating_point(averages[0]):
            torch._foreach_lerp_(averages, currents, weight)
            return
        for average, current in zip(averages, currents, strict=True):
            average.copy_(current)


def _scores_at(folder, epoch):
    """The scores of the validation after an epoch."""
    log = read_log(folder)
    row = log[log['epoch'] == epoch][0]
    return {
        name: float(row[name])
        for name in log.colnames
        if name.startswith('valid/') and np.isfinite(row[name])
    }


@contextlib.contextmanager
def _quiet(*, silent):
    """Keep from the user what Lightning says of settings that are meant."""
    logger = logging.getLogger('lightning.pytorch')
    level = logger.level
    if silent:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in (
                '.*does not have many workers',
                '.*Checkpoint directory .* exists and is not empty',
                '.*The number of training batches',
                r'.*isinstance\(treespec, LeafSpec\)',
            ):
                warnings.filterwarnings('ignore', message=text)
            yield
    finally:
        logger.setLevel(level)
