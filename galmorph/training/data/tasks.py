# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The galaxies that teach one set of questions, and how they are drawn."""

import dataclasses

import numpy as np
from astropy.table import Table

from galmorph.preprocessing.recipe import Recipe
from galmorph.training.augmentation import Augmentation
from galmorph.training.data.labels import Labels

__all__ = ['TaskData', 'check_views']

_SAMPLINGS = ('uniform', 'balanced', 'weighted')


@dataclasses.dataclass(frozen=True, eq=False)
class TaskData:
    """
    The galaxies that teach one set of questions.

    Parameters
    ----------
    images : `~galmorph.training.data.cache.PixelCache` or sequence
        As in `~galmorph.training.data.datasets.GalaxySource`. The ``reach`` of
        a cache should be that of the augmentation.
    labels : `~galmorph.training.data.labels.Labels`
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
    originals : sequence, optional
        What ``images`` were made of, where no column ``image`` of the table
        names files: arrays, galaxies of a mosaic.
    images_of : str, optional
        Another task, of the same images row by row, on whose training views
        this one learns too.
    n_shown : int, optional
        How often a batch shows each galaxy, in other views each time. With more
        than one, for a loss that compares them, galaxies need no label.

    Raises
    ------
    ValueError
        If lengths differ, or a value has no meaning; also views that are to differ,
        without an augmentation.

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
    originals: object = None
    images_of: str | None = None
    n_shown: int = 1

    def __post_init__(self):
        n = len(self.images)
        for name in ('labels', 'splits', 'weights', 'sizes', 'table', 'originals'):
            value = getattr(self, name)
            if value is not None and len(value) != n:
                msg = f'{name} has {len(value)} rows, for {n} images'
                raise ValueError(msg)
        if not self.share > 0:
            msg = f'share must be positive, not {self.share!r}'
            raise ValueError(msg)
        check_views(self.n_shown, self.augmentation)
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
        return np.flatnonzero(chosen & self.is_used & is_good)

    @property
    def is_used(self):
        """Whether each row is one of this task: with labels, if it needs some."""
        if self.n_shown == 1:
            return self.labels.is_known
        if self.splits is None:
            return np.ones(len(self.images), bool)
        return np.asarray(self.splits) != 'unlabelled'

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


def check_views(n_shown, augmentation):
    """
    Make sure that the views of a galaxy, if it has several, are not all the same.

    Parameters
    ----------
    n_shown : int
        How many views of each galaxy there are.
    augmentation : `~galmorph.training.augmentation.Augmentation` or None
        What makes them differ.

    Raises
    ------
    ValueError
        If nothing does.

    Examples
    --------
    >>> from galmorph.training.data.tasks import check_views
    >>> check_views(2, None)
    Traceback (most recent call last):
        ...
    ValueError: 2 views of each galaxy are compared, and are the same without ...
    """
    if n_shown > 1 and augmentation in (None, Augmentation()):
        msg = (
            f'{n_shown} views of each galaxy are compared, and are the same without '
            "augmentation; give one, such as 'dieleman'"
        )
        raise ValueError(msg)


def _class_weights(classes):
    """Weigh all classes alike; of mean 1. Unknown ones are a class."""
    _, inverse, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return len(classes) / len(counts) / counts[inverse]
