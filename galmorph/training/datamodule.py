# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Batches of one task or several, for Lightning, the same at every repetition."""

import dataclasses
import math
import zlib

import lightning
import numpy as np
import torch
from astropy.table import Table
from torch.utils.data import DataLoader, Dataset

from galmorph.preprocessing.recipe import Recipe
from galmorph.training.augmentation import Augmentation
from galmorph.training.datasets import BatchRenderer, GalaxyDataset
from galmorph.training.labels import Labels

__all__ = ['GalaxyZooDataModule', 'TaskData']

_SAMPLINGS = ('uniform', 'balanced', 'weighted')
_SPLITS = ('train', 'valid', 'test')


@dataclasses.dataclass(frozen=True, eq=False)
class TaskData:
    """
    The galaxies that teach one set of questions.

    Parameters
    ----------
    images : `~galmorph.training.cache.PixelCache` or sequence
        As in `~galmorph.training.datasets.GalaxySource`. The ``reach`` of
        a cache should be that of the augmentation.
    labels : `~galmorph.training.labels.Labels`
        What is known, one row an image. Galaxies of which nothing is known
        are left out, and so are images that a cache could not read.
    recipe : `~galmorph.preprocessing.recipe.Recipe`, optional
        What the network sees.
    augmentation : `~galmorph.training.augmentation.Augmentation`, optional
        How training galaxies are changed.
    splits : sequence of str, optional
        'train', 'valid' or 'test' for each row; all train by default.
    share : float, optional
        The part of a batch, relative to that of other tasks.
    sampling : str or `~numpy.ndarray`, shape (n,), optional
        'uniform' shows every galaxy once before it shows any again.
        'balanced' draws all classes alike often. 'weighted' is 'uniform' with
        the weights of the classes in the loss. An array draws in proportion to
        its values. The class is that of the labels or, of votes, the most
        probable answer of the first question.
    weights : `~numpy.ndarray`, shape (n,), optional
        The weight of each row in the loss.
    sizes : `~astropy.units.Quantity`, shape (n,), optional
        The size of each galaxy.
    table : `~astropy.table.Table`, optional
        The table that all this is of.

    Raises
    ------
    ValueError
        If lengths differ, or a value has no meaning.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training import Labels, TaskData
    >>> pixels = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3), 'uint8')
    >>> task = TaskData(pixels, Labels('fractions', np.full((3, 37), 0.5)),
    ...                 splits=['train', 'train', 'valid'])
    >>> task.rows('train')
    array([0, 1])
    """

    images: object
    labels: Labels
    recipe: Recipe = dataclasses.field(default_factory=Recipe)
    augmentation: Augmentation | None = None
    splits: object = None
    share: float = 1.0
    sampling: object = 'uniform'
    weights: object = None
    sizes: object = None
    table: Table | None = None

    def __post_init__(self):
        n = len(self.images)
        for name in ('labels', 'splits', 'weights', 'sizes', 'table'):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                msg = f'{name} has {len(value)} rows, for {n} images'
                raise ValueError(msg)
        if not self.share > 0:
            msg = f'share must be positive, not {self.share!r}'
            raise ValueError(msg)
        if isinstance(self.sampling, str):
            if self.sampling not in _SAMPLINGS:
                msg = f'sampling must be one of {_SAMPLINGS}, not {self.sampling!r}'
                raise ValueError(msg)
        elif np.shape(self.sampling) != (n,) or not np.min(self.sampling) >= 0:
            msg = f'sampling must be {n} numbers from 0, one an image'
            raise ValueError(msg)

    def rows(self, split):
        """
        List the rows of a split that are of use.

        Parameters
        ----------
        split : str
            'train', 'valid' or 'test'.

        Returns
        -------
        rows : `~numpy.ndarray` of int
            In the order of the table.
        """
        splits = ['train'] * len(self.images) if self.splits is None else self.splits
        is_good = getattr(self.images, 'is_good', True)
        chosen = np.array([str(name) == split for name in splits], bool)
        return np.flatnonzero(chosen & self.labels.is_known & is_good)

    @property
    def classes(self):
        """The class of each row by which to balance, -1 where unknown."""
        if self.labels.kind == 'attributes':
            msg = 'attributes have no classes to balance; give an array as sampling'
            raise ValueError(msg)
        if self.labels.kind == 'classes' or not self.labels.structure:
            return self.labels.classes
        start, stop, _ = self.labels.structure[0]
        first = self.labels.targets[:, start:stop]
        known = np.isfinite(first).all(1)
        return np.where(known, np.nan_to_num(first).argmax(1), -1)

    def probabilities(self, rows):
        """
        Tell how probably each row is drawn.

        Parameters
        ----------
        rows : `~numpy.ndarray` of int
            The rows to draw from.

        Returns
        -------
        probabilities : `~numpy.ndarray` or None
            They sum to 1; `None` for rows that take turns.
        """
        if isinstance(self.sampling, str):
            if self.sampling != 'balanced':
                return None
            weights = _class_weights(self.classes[rows])
        else:
            weights = np.asarray(self.sampling, float)[rows]
        if not weights.sum() > 0:
            msg = 'sampling gives no training galaxy a chance'
            raise ValueError(msg)
        return weights / weights.sum()

    def loss_weights(self, rows):
        """
        Tell how much each row counts in the loss.

        Parameters
        ----------
        rows : `~numpy.ndarray` of int
            The training rows, whose classes are counted.

        Returns
        -------
        weights : `~numpy.ndarray` or None
            One for each row of the table.
        """
        weights = self.weights
        if isinstance(self.sampling, str) and self.sampling == 'weighted':
            of_class = np.ones(len(self.images))
            of_class[rows] = _class_weights(self.classes[rows])
            weights = of_class if weights is None else weights * of_class
        return weights


class GalaxyZooDataModule(lightning.LightningDataModule):
    """
    Batches for training, validation and test.

    A batch is a dict of tasks, each a dict of tensors: ``views``, shape (n,
    n_view, n_channel, size, size), rendered on the device, and what an item of
    `~galmorph.training.datasets.GalaxyDataset` has. Validation and test show
    one task a batch.

    What a training batch shows depends on ``seed`` and on the number of the
    step alone, so that a training that was interrupted goes on with the batches
    that it would have had.

    Parameters
    ----------
    tasks : dict of str to `TaskData`
        The tasks.
    batch_size : int, optional
        Galaxies in a batch, all tasks together.
    steps_per_epoch : int, optional
        Batches in an epoch; by default one pass through the galaxies of the
        first task, or the ``limit_train_batches`` of the trainer, if that is
        more.
    seed : int, optional
        Another number gives other batches.
    n_workers : int, optional
        Processes that load. With a cache none is needed.

    Raises
    ------
    ValueError
        If a task has no training galaxy, or there are more tasks than places in
        a batch.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training import (
    ...     Augmentation, GalaxyZooDataModule, Labels, TaskData)
    >>> pixels = np.random.default_rng(1).integers(0, 255, (9, 64, 64, 3), 'uint8')
    >>> task = TaskData(pixels, Labels('fractions', np.full((9, 37), 0.5)),
    ...                 augmentation=Augmentation.preset('dieleman'))
    >>> data = GalaxyZooDataModule({'gz2': task}, batch_size=4)
    >>> batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    >>> batch['gz2']['views'].shape, data.pass_length
    (torch.Size([4, 2, 3, 69, 69]), 3)
    """

    def __init__(
        self, tasks, *, batch_size=64, steps_per_epoch=None, seed=0, n_workers=0
    ):
        super().__init__()
        self.tasks = dict(tasks)
        self.batch_size = int(batch_size)
        self.steps_per_epoch = steps_per_epoch
        self.seed = int(seed)
        self.n_workers = int(n_workers)
        self._draws, self._training, self._plain, self._renderers = {}, {}, {}, {}
        self._loader, self._start = None, 0
        for (name, task), n in zip(self.tasks.items(), self._shares(), strict=True):
            rows = task.rows('train')
            key = (self.seed, zlib.crc32(name.encode()))
            if len(rows):
                self._draws[name] = _Draws(rows, n, key, task.probabilities(rows))
            options = {
                'weights': task.loss_weights(rows),
                'sizes': task.sizes,
            }
            self._training[name] = GalaxyDataset(
                task.images, task.labels, task.recipe, task.augmentation, **options
            )
            self._plain[name] = GalaxyDataset(
                task.images, task.labels, task.recipe, sizes=task.sizes
            )
            self._renderers[name] = BatchRenderer(task.recipe, task.augmentation)

    @property
    def kinds(self):
        """What the labels of each task are."""
        return {name: task.labels.kind for name, task in self.tasks.items()}

    @property
    def pass_length(self):
        """Batches that show every training galaxy of the first task once."""
        name = next(iter(self.tasks))
        self._need(name)
        return math.ceil(len(self._draws[name].rows) / self._draws[name].n)

    def describe(self, task):
        """
        Count galaxies, for the card of weights.

        Parameters
        ----------
        task : str
            Name of the task.

        Returns
        -------
        description : dict
            ``n_train``, ``n_valid`` and ``n_test``, where there are any.
        """
        counts = {f'n_{split}': len(self.tasks[task].rows(split)) for split in _SPLITS}
        return {name: count for name, count in counts.items() if count}

    def labelled(self, task, split):
        """
        Give images and labels of a split.

        Parameters
        ----------
        task : str
            Name of the task.
        split : str
            'train', 'valid' or 'test'.

        Returns
        -------
        table : `~astropy.table.Table`
            The rows of the table of the task or, without one, the images.
        labels : `~galmorph.training.labels.Labels`
            Their labels.
        """
        data = self.tasks[task]
        rows = data.rows(split)
        if data.table is not None:
            return data.table[rows], data.labels[rows]
        if isinstance(data.images, np.ndarray):
            return Table({'image': data.images[rows]}), data.labels[rows]
        images = np.empty(len(rows), object)
        images[:] = [data.images[row] for row in rows]
        return Table({'image': images}), data.labels[rows]

    def train_dataloader(self):
        """
        Make the loader of training batches.

        Returns
        -------
        loader : iterable
            It goes on where the one that was saved stopped.
        """
        rank, world = self._rank()
        for name in self.tasks:
            self._need(name)
            if self._draws[name].n < world:
                msg = (
                    f'the task {name!r} has {self._draws[name].n} galaxies in a batch '
                    f'for {world} devices; enlarge batch_size'
                )
                raise ValueError(msg)
        length = self.steps_per_epoch
        if length is None:
            length = self.pass_length
            limit = getattr(self.trainer, 'limit_train_batches', None)
            if isinstance(limit, int):
                length = max(length, limit)
        steps = _Steps(self._training, self._draws, (rank, world))
        self._loader = _StepLoader(steps, length, self._loader_options())
        self._loader.step, self._start = self._start, 0
        return self._loader

    def state_dict(self):
        """
        Tell Lightning where to go on.

        Returns
        -------
        state : dict
            What `load_state_dict` takes.
        """
        # Lightning keeps the state of loaders too, but forgets it where an
        # epoch is complete.
        return {'step': self._start if self._loader is None else self._loader.step}

    def load_state_dict(self, state):
        """
        Go on where another training stopped.

        Parameters
        ----------
        state : dict
            As `state_dict` gave it.
        """
        self._start = int(state['step'])

    def val_dataloader(self):
        """
        Make the loader of validation batches.

        Returns
        -------
        loader : `torch.utils.data.DataLoader` or list
            Empty if there are no such galaxies.
        """
        return self._plain_loader('valid')

    def test_dataloader(self):
        """
        Make the loader of test batches.

        Returns
        -------
        loader : `torch.utils.data.DataLoader` or list
            Empty if there are no such galaxies.
        """
        return self._plain_loader('test')

    def on_after_batch_transfer(self, batch, dataloader_idx):  # noqa: ARG002
        """
        Render the views of a batch, on the device where its pixels are.

        Parameters
        ----------
        batch : dict
            As the loaders give it.
        dataloader_idx : int
            Not used.

        Returns
        -------
        batch : dict
            With ``views`` instead of ``images``.
        """
        return {name: self._render(name, part) for name, part in batch.items()}

    @torch.no_grad()
    def _render(self, name, part):
        part = dict(part)
        images, seed = part.pop('images'), part.pop('seed', None)
        generator = None
        if seed is not None:
            device = images.groups[0][1].device
            generator = torch.Generator(device).manual_seed(seed)
        return {'views': self._renderers[name](images, generator), **part}

    def _plain_loader(self, split):
        rank, world = self._rank()
        parts = []
        for name, task in self.tasks.items():
            rows = task.rows(split)[rank::world]
            starts = range(0, len(rows), self.batch_size)
            parts += [(name, rows[start : start + self.batch_size]) for start in starts]
        batches = _Batches(self._plain, parts)
        return DataLoader(batches, **self._loader_options()) if parts else []

    def _loader_options(self):
        return {
            'batch_size': None,
            'num_workers': self.n_workers,
            'pin_memory': torch.cuda.is_available(),
        }

    def _rank(self):
        trainer = self.trainer
        return (trainer.global_rank, trainer.world_size) if trainer else (0, 1)

    def _need(self, name):
        if name not in self._draws:
            msg = (
                f'the task {name!r} has no training galaxy: none has a label, an image '
                "and the split 'train'"
            )
            raise ValueError(msg)

    def _shares(self):
        """Galaxies of each task in a batch, at least one, in all the batch size."""
        if not 0 < len(self.tasks) <= self.batch_size:
            msg = (
                f'batch_size must be at least the number of tasks, {len(self.tasks)}, '
                f'and positive, not {self.batch_size}'
            )
            raise ValueError(msg)
        shares = np.array([task.share for task in self.tasks.values()], float)
        exact = shares / shares.sum() * (self.batch_size - len(shares))
        counts = np.floor(exact).astype(int)
        rest = self.batch_size - len(shares) - counts.sum()
        counts[np.argsort(counts - exact, kind='stable')[:rest]] += 1
        return (counts + 1).tolist()


class _Draws:
    """Which rows a step shows: a function of its number."""

    def __init__(self, rows, n, key, probabilities=None):
        self.rows, self.n, self.key = rows, n, key
        self.probabilities = probabilities
        self._order = None, None

    def rng(self, step, rank=0):
        return np.random.default_rng([*self.key, 1, step, rank])

    def at(self, step):
        if self.probabilities is not None:
            rng = np.random.default_rng([*self.key, 2, step])
            return rng.choice(self.rows, self.n, p=self.probabilities)
        # One shuffled pass after the other.
        places = np.arange(step * self.n, (step + 1) * self.n)
        cycles, places = np.divmod(places, len(self.rows))
        chosen = np.empty(self.n, np.int64)
        for cycle in np.unique(cycles):
            here = cycles == cycle
            chosen[here] = self._shuffled(int(cycle))[places[here]]
        return chosen

    def _shuffled(self, cycle):
        if self._order[0] != cycle:
            rng = np.random.default_rng([*self.key, 0, cycle])
            self._order = cycle, rng.permutation(self.rows)
        return self._order[1]


class _Steps(Dataset):
    """Training batches by the number of the step."""

    def __init__(self, datasets, draws, rank):
        self.datasets, self.draws, self.rank = datasets, draws, rank

    def __getitem__(self, step):
        rank, world = self.rank
        batch = {}
        for name, draws in self.draws.items():
            rng = draws.rng(step, rank)
            # Drawn whatever is done with it.
            seed = int(rng.integers(2**62))
            part = self.datasets[name].batch(draws.at(step)[rank::world], rng)
            batch[name] = {**part, 'seed': seed}
        return batch


class _StepLoader:
    """Training batches from a step on, which is kept in checkpoints."""

    def __init__(self, steps, length, options):
        self.steps, self.length, self.options = steps, length, options
        self.step = 0

    def __len__(self):
        return self.length

    def __iter__(self):
        numbers = range(self.step, self.step + self.length)
        for batch in DataLoader(self.steps, sampler=numbers, **self.options):
            self.step += 1
            yield batch

    def state_dict(self):
        return {'step': self.step}

    def load_state_dict(self, state):
        self.step = state['step']


class _Batches(Dataset):
    """Batches of galaxies as they are, one task after the other."""

    def __init__(self, datasets, parts):
        self.datasets, self.parts = datasets, parts

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, number):
        name, rows = self.parts[number]
        return {name: self.datasets[name].batch(rows)}


def _class_weights(classes):
    """Weigh all classes alike; of mean 1. Unknown ones are a class."""
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return len(classes) / len(counts) / counts[inverse]
