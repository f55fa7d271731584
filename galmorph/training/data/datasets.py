# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies with labels, and the one render that makes views of them."""

import dataclasses

import numpy as np
import torch

from galmorph.preprocessing.recipe import Recipe
from galmorph.preprocessing.render import render, stack_images
from galmorph.preprocessing.stretch import get_stretch
from galmorph.training.data.cache import PixelCache, load_image, reduce_image

__all__ = ['BatchRenderer', 'GalaxyDataset', 'GalaxySource']


class GalaxySource:
    """
    Images by row, from a cache or read anew each time.

    Parameters
    ----------
    images : `~galmorph.training.data.cache.PixelCache` or sequence
        A cache, or what `~galmorph.images.read_image` takes: paths, arrays,
        FITS cutouts, functions that return one of them.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the network sees, for which a cache has been made.
    sizes : `~astropy.units.Quantity`, shape (n,), optional
        The size of each galaxy; a cache knows them.
    reach : `~numpy.ndarray`, shape (n, 3, 3), optional
        As in `~galmorph.preprocessing.prepare.prepare`.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import Recipe
    >>> from galmorph.training.data.datasets import GalaxySource
    >>> pixels = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), 'uint8')
    >>> source = GalaxySource(pixels, Recipe())
    >>> len(source), source[1].affines.shape
    (2, (1, 2, 3, 3))
    """

    def __init__(self, images, recipe, *, sizes=None, reach=None):
        self.images = images
        self.recipe = recipe
        self.sizes = sizes
        self.reach = reach

    def __len__(self):
        return len(self.images)

    def __getitem__(self, row):
        if isinstance(self.images, PixelCache):
            return self.images[row]
        size = None if self.sizes is None else self.sizes[row]
        image = load_image(self.images[row], self.recipe, size=size, reach=self.reach)
        return reduce_image(image, self.recipe)

    @property
    def is_good(self):
        """Whether each image is known to be usable, shape (n,)."""
        if isinstance(self.images, PixelCache):
            return self.images.is_good
        return np.ones(len(self), bool)


class GalaxyDataset(torch.utils.data.Dataset):
    """
    Galaxies, one a row, with what is known of them.

    An item is a dict of ``image``, a
    `~galmorph.preprocessing.prepare.PreparedImage`, and of arrays: ``index``,
    the row; ``target``, what an output is compared with, NaN where unknown;
    ``weight`` in the loss; and where the labels have them ``low`` and ``high``,
    the interval of an attribute, ``bound``, what a fraction exceeds,
    ``counts`` of votes, and ``label``, the index of a class.

    Parameters
    ----------
    images : `~galmorph.training.data.cache.PixelCache` or sequence
        As in `GalaxySource`.
    labels : `~galmorph.training.data.labels.Labels`
        What is known, one row an image.
    recipe : `~galmorph.preprocessing.recipe.Recipe`, optional
        What the network sees.
    augmentation : `~galmorph.training.augmentation.Augmentation`, optional
        What `batch` draws from.
    indices : `~numpy.ndarray` of int, optional
        The rows of this data set; all by default.
    weights : `~numpy.ndarray`, shape (n,), optional
        The weight of each row in the loss, 1 by default.
    sizes : `~astropy.units.Quantity`, shape (n,), optional
        The size of each galaxy.

    Raises
    ------
    ValueError
        If there are more or fewer labels than images.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.training import Augmentation, GalaxyDataset, Labels
    >>> pixels = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3), 'uint8')
    >>> labels = Labels('fractions', np.full((3, 37), 0.5))
    >>> dataset = GalaxyDataset(
    ...     pixels, labels, augmentation=Augmentation.preset('dieleman'))
    >>> len(dataset), sorted(dataset[1])
    (3, ['image', 'index', 'target', 'weight'])
    >>> dataset.batch([0, 2], np.random.default_rng(1))['target'].shape
    torch.Size([2, 37])
    """

    def __init__(
        self,
        images,
        labels,
        recipe=None,
        augmentation=None,
        indices=None,
        *,
        weights=None,
        sizes=None,
    ):
        self.recipe = Recipe() if recipe is None else recipe
        self.augmentation = augmentation
        reach = None if augmentation is None else augmentation.reach()
        self.source = GalaxySource(images, self.recipe, sizes=sizes, reach=reach)
        if len(labels) != len(self.source):
            msg = f'there are {len(labels)} labels for {len(self.source)} images'
            raise ValueError(msg)
        self.labels = labels
        self.weights = None if weights is None else np.asarray(weights, np.float32)
        if indices is None:
            indices = np.arange(len(labels))
        self.indices = np.asarray(indices)

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, item):
        row = self.indices[item]
        known = self._known(np.array([row]))
        return {'image': self.source[row]} | {k: v[0] for k, v in known.items()}

    def batch(self, items, rng=None):
        """
        Put galaxies together, augmented or as they are.

        Parameters
        ----------
        items : sequence of int
            Which, among the rows of this data set.
        rng : `numpy.random.Generator`, optional
            Where the affines of the augmentation come from; without it the
            galaxies are shown as they are.

        Returns
        -------
        batch : dict
            ``images``, an `~galmorph.preprocessing.render.ImageBatch`, and
            tensors of what an item has, one row a galaxy; of augmented ones
            also ``is_mirrored``.
        """
        rows = self.indices[np.asarray(items, int)]
        images = [self.source[row] for row in rows]
        is_mirrored = None
        if rng is not None and self.augmentation is not None:
            affines = self.augmentation.draw_affines(len(rows), rng, indices=rows)
            images = [
                augmented(image, self.recipe, affine)
                for image, affine in zip(images, affines, strict=True)
            ]
            is_mirrored = np.linalg.det(affines) < 0
        labels = self.label_batch(rows, is_mirrored)
        return {'images': stack_images(images, self.recipe), **labels}

    def label_batch(self, rows, is_mirrored=None):
        """
        Put together what is known of galaxies, without their images.

        Parameters
        ----------
        rows : `~numpy.ndarray` of int
            Which, among the rows of the labels.
        is_mirrored : `~numpy.ndarray` of bool, shape (n,), optional
            Of which the view is a mirror image; none by default.

        Returns
        -------
        batch : dict
            As `batch` gives it, without ``images``.
        """
        known = self._known(np.asarray(rows))
        if is_mirrored is not None:
            known['is_mirrored'] = np.asarray(is_mirrored, bool)
            _mirror(known, dict(self.labels.mirrored), known['is_mirrored'])
        return {name: torch.from_numpy(values) for name, values in known.items()}

    def _known(self, rows):
        labels = self.labels
        known = {'index': rows.astype(np.int64), 'target': labels.targets[rows]}
        for name in ('low', 'high', 'bound'):
            if getattr(labels, name) is not None:
                known[name] = getattr(labels, name)[rows]
        if labels.kind == 'counts':
            known['counts'] = labels.values[rows]
        if labels.kind == 'classes':
            known['label'] = labels[rows].classes
        weights = np.ones(len(rows), np.float32)
        known['weight'] = weights if self.weights is None else self.weights[rows]
        return known


class BatchRenderer:
    """
    Render batches of a `GalaxyDataset`, on the device that has their pixels.

    Parameters
    ----------
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the network sees.
    augmentation : `~galmorph.training.augmentation.Augmentation`, optional
        What is done to colours and brightness, and to the fluxes of images
        that are no pictures.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from galmorph import Recipe
    >>> from galmorph.training import Augmentation, GalaxyDataset, Labels
    >>> from galmorph.training.data.datasets import BatchRenderer
    >>> pixels = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3), 'uint8')
    >>> labels = Labels('fractions', np.full((3, 37), 0.5))
    >>> augmentation = Augmentation.preset('dieleman')
    >>> dataset = GalaxyDataset(pixels, labels, augmentation=augmentation)
    >>> batch = dataset.batch([0, 2], np.random.default_rng(1))
    >>> renderer = BatchRenderer(Recipe(), augmentation)
    >>> renderer(batch['images'], torch.Generator().manual_seed(1)).shape
    torch.Size([2, 2, 3, 69, 69])
    """

    def __init__(self, recipe, augmentation=None):
        self.recipe = recipe
        self.augmentation = augmentation

    def __call__(self, images, generator=None):
        """
        Render.

        Parameters
        ----------
        images : `~galmorph.preprocessing.render.ImageBatch`
            The images.
        generator : `torch.Generator`, optional
            Where changes of pixels come from; without it there are none.

        Returns
        -------
        views : `torch.Tensor`, shape (n, n_view, n_channel, size, size)
            What the network sees.
        """
        if generator is None or self.augmentation is None:
            return render(images, self.recipe)[:, 0]
        augmentation = self.augmentation
        limits = get_stretch(self.recipe.stretch).limits
        # Between limits fluxes go from 0 to 1.
        unit = 1.0 if limits is not None else self.recipe.surface_brightness
        is_scaled = torch.tensor(images.is_scaled)

        def degrade(fluxes, rows):
            return augmentation.degrade(
                fluxes, generator, unit=unit, is_scaled=is_scaled[rows], limits=limits
            )

        def adjust(views):
            return augmentation.adjust(views, generator, is_picture=images.is_picture)

        return render(images, self.recipe, degrade=degrade, adjust=adjust)[:, 0]


def augmented(image, recipe, affine):
    """Show a prepared image through an affine of the frame, shape (3, 3)."""
    grid = recipe.output_to_frame
    to_pixels = image.affines[0, 0] @ np.linalg.inv(grid[0])
    return dataclasses.replace(image, affines=(to_pixels @ affine @ grid)[None])


def _mirror(known, sums, is_mirrored):
    """Reverse what a mirror image reverses, such as the sense of the arms."""
    if not sums:
        return
    place = np.ix_(is_mirrored, list(sums))
    sums = np.array(list(sums.values()), known['target'].dtype)
    known['target'][place] = sums - known['target'][place]
    if 'low' in known and 'high' in known:
        low, high = known['low'][place], known['high'][place]
        known['low'][place], known['high'][place] = sums - high, sums - low
