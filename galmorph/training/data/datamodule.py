# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Batches of one task or several, for Lightning, the same at every repetition."""

import math
import zlib

import lightning
import numpy as np
import torch
from astropy.table import Table
from torch.utils.data import DataLoader

from galmorph.training.data._batches import Batches, Draws, StepLoader, Steps
from galmorph.training.data._targets import open_images
from galmorph.training.data.datasets import BatchRenderer, GalaxyDataset
from galmorph.training.data.tasks import TaskData

__all__ = ['GalaxyZooDataModule', 'TaskData']

_SPLITS = ('train', 'valid', 'test')


class GalaxyZooDataModule(lightning.LightningDataModule):
    """
    Batches for training, validation and test.

    A batch is a dict of tasks, each a dict of tensors: ``views``, shape (n,
    n_view, n_channel, size, size), rendered on the device, and what an item of
    `~galmorph.training.data.datasets.GalaxyDataset` has. Validation and test show
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
        self._images_of = {
            name: task.images_of
            for name, task in self.tasks.items()
            if task.images_of is not None
        }
        shares = self._shares()
        for name, task in self.tasks.items():
            rows, labels = task.rows('train'), task.labels
            key = (self.seed, zlib.crc32(name.encode()))
            if name in self._images_of:
                self._check_images_of(name)
                labels = labels.only(rows)
            elif len(rows):
                probabilities = task.probabilities(rows)
                n = max(1, shares[name] // task.n_shown)
                self._need_enough(name, n, 1)
                self._draws[name] = Draws(rows, n, key, probabilities, task.n_shown)
            options = {
                'weights': task.loss_weights(rows),
                'sizes': task.sizes,
            }
            self._training[name] = GalaxyDataset(
                task.images, labels, task.recipe, task.augmentation, **options
            )
            self._plain[name] = GalaxyDataset(
                task.images,
                task.labels,
                task.recipe,
                task.augmentation if task.n_shown > 1 else None,
                sizes=task.sizes,
            )
            self._renderers[name] = BatchRenderer(task.recipe, task.augmentation)

    @property
    def kinds(self):
        """What the labels of each task are."""
        return {name: task.labels.kind for name, task in self.tasks.items()}

    @property
    def pass_length(self):
        """Batches that show every training galaxy of the first task once.

        If it is on the images of another, those of that one.
        """
        first = next(iter(self.tasks))
        name = self._images_of.get(first, first)
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
            The rows of the table of the task or, without one, the images. Where
            no files hold the images they are in its column ``image``.
        labels : `~galmorph.training.data.labels.Labels`
            Their labels.
        """
        data = self.tasks[task]
        rows = data.rows(split)
        if data.table is not None:
            table = data.table[rows]
            if data.originals is not None:
                sizes = None if data.sizes is None else data.sizes[rows]
                some = [data.originals[row] for row in rows]
                table['image'] = open_images(some, data.recipe, sizes)
            return table, data.labels[rows]
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
            draws = self._draws.get(name)
            if draws is not None:
                self._need_enough(name, draws.n, world)
        length = self.steps_per_epoch
        if length is None:
            length = self.pass_length
            limit = getattr(self.trainer, 'limit_train_batches', None)
            if isinstance(limit, int):
                length = max(length, limit)
        steps = Steps(self._training, self._draws, (rank, world), self._images_of)
        self._loader = StepLoader(steps, length, self._loader_options())
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
        shown = {
            name: self._render(name, part)
            for name, part in batch.items()
            if 'images' in part
        }
        return {
            name: shown.get(name)
            or {'views': shown[self._images_of[name]]['views'], **part}
            for name, part in batch.items()
        }

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
            rows = task.rows(split)
            if not len(rows):
                continue
            # Devices wait for each other at every batch: all have as many.
            needed = world * _least(task)
            n_batches = min(
                math.ceil(len(rows) * task.n_shown / (world * self.batch_size)),
                len(rows) // needed,
            )
            if not n_batches:
                msg = (
                    f'the task {name!r} needs {needed} {split!r} galaxies (devices: '
                    f'{world}), and has {len(rows)}; take fewer devices, or let more '
                    f'galaxies be {split!r}'
                )
                raise ValueError(msg)
            shown = np.array_split(rows[rank::world], n_batches)
            parts += [(name, part, task.n_shown) for part in shown]
        batches = Batches(self._plain, parts)
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

    def _check_images_of(self, name):
        """Refuse views that two tasks would not see alike."""
        task, other = self.tasks[name], self.tasks.get(self._images_of[name])
        if other is None or other.images_of is not None:
            known = [key for key in self.tasks if key not in self._images_of]
            msg = (
                f'images_of of the task {name!r} must be one of {known}, not '
                f'{task.images_of!r}'
            )
            raise ValueError(msg)
        if task.n_shown > 1:
            msg = (
                f'the task {name!r} shows each galaxy {task.n_shown} times, so it '
                f'needs views of its own: let {task.images_of!r} have images_of instead'
            )
            raise ValueError(msg)
        if len(task.images) != len(other.images) or task.recipe != other.recipe:
            msg = (
                f'the task {name!r} must have the images and the recipe of '
                f'{task.images_of!r}, row by row'
            )
            raise ValueError(msg)

    def _need(self, name):
        if name not in self._draws and not (
            name in self._images_of and len(self.tasks[name].rows('train'))
        ):
            msg = (
                f'the task {name!r} has no training galaxy: none has a label, an image '
                "and the split 'train'"
            )
            raise ValueError(msg)

    def _need_enough(self, name, n, world):
        needed = world * _least(self.tasks[name])
        if n < needed:
            msg = (
                f'the task {name!r} needs {needed} galaxies in a batch (devices: '
                f'{world}), and has {n}; enlarge batch_size, or its share'
            )
            raise ValueError(msg)

    def _shares(self):
        """Galaxies of each task in a batch, at least one, in all the batch size."""
        names = [name for name in self.tasks if name not in self._images_of]
        if not 0 < len(names) <= self.batch_size:
            msg = (
                f'batch_size must be at least the number of tasks, {len(names)}, '
                f'and positive, not {self.batch_size}'
            )
            raise ValueError(msg)
        shares = np.array([self.tasks[name].share for name in names], float)
        exact = shares / shares.sum() * (self.batch_size - len(shares))
        counts = np.floor(exact).astype(int)
        rest = self.batch_size - len(shares) - counts.sum()
        counts[np.argsort(counts - exact, kind='stable')[:rest]] += 1
        return dict(zip(names, (counts + 1).tolist(), strict=True))


def _least(task):
    """Galaxies that a batch needs: views of one have none to differ from."""
    return 1 if task.n_shown == 1 else 2
