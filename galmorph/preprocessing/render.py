# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one resample: from source pixels to the input of a network, in batches."""

import dataclasses
import math

import numpy as np
import torch
from torch.nn import functional

from galmorph.flags import MorphologyFlag
from galmorph.preprocessing.stretch import get_stretch

__all__ = ['ImageBatch', 'oversampling', 'render', 'resample', 'stack_images']


@dataclasses.dataclass(frozen=True)
class ImageBatch:
    """
    Prepared images on a device, those that are resampled together in one array.

    Parameters
    ----------
    groups : tuple of tuple
        (rows, pixels, affines, n_points, is_picture) of images of one shape
        and type.
    shape : tuple of int
        (n, n_transform, n_view).
    is_scaled : tuple of bool
        Of each image, whether its brightness was scaled to that of a typical
        galaxy.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.preprocessing.prepare import prepare
    >>> from galmorph.preprocessing.render import render, stack_images
    >>> pixels = np.random.default_rng(1).random((3, 100, 100))
    >>> image = prepare(GalaxyImage(pixels, is_picture=True), Recipe())
    >>> batch = stack_images([image, image], Recipe()).to('cpu')
    >>> len(batch), render(batch, Recipe()).shape
    (2, torch.Size([2, 1, 2, 3, 69, 69]))
    """

    groups: tuple
    shape: tuple[int, int, int]
    is_scaled: tuple[bool, ...]

    def __len__(self):
        return self.shape[0]

    @property
    def is_picture(self):
        """Whether the pixels of each image are display values, shape (n,)."""
        is_picture = np.zeros(len(self), bool)
        for rows, *_, group_is_picture in self.groups:
            is_picture[rows] = group_is_picture
        return is_picture

    def to(self, device, **kwargs):
        """
        Move the pixels.

        Parameters
        ----------
        device : str or `torch.device`
            Where to.
        **kwargs
            Passed to `torch.Tensor.to`.

        Returns
        -------
        batch : `ImageBatch`
            The images there.
        """
        groups = tuple(
            (rows, pixels.to(device, **kwargs), *rest)
            for rows, pixels, *rest in self.groups
        )
        return dataclasses.replace(self, groups=groups)

    def pin_memory(self):
        """
        Keep the pixels where a GPU fetches them faster.

        Returns
        -------
        batch : `ImageBatch`
            The images there.
        """
        groups = tuple(
            (rows, pixels.pin_memory(), *rest) for rows, pixels, *rest in self.groups
        )
        return dataclasses.replace(self, groups=groups)


def stack_images(images, recipe):
    """
    Put prepared images together, as `render` takes them.

    Parameters
    ----------
    images : sequence of `~galmorph.preprocessing.prepare.PreparedImage`
        Images of any shapes, all with the same number of transforms; at least
        one.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What they were prepared for.

    Returns
    -------
    batch : `ImageBatch`
        The images, on the CPU.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.preprocessing.prepare import prepare
    >>> from galmorph.preprocessing.render import stack_images
    >>> pixels = np.random.default_rng(1).random((3, 100, 100))
    >>> image = prepare(GalaxyImage(pixels, is_picture=True), Recipe())
    >>> len(stack_images([image], Recipe()))
    1
    """
    groups = {}
    for row, image in enumerate(images):
        n_points = oversampling(image.affines, recipe.antialias)
        kind = (image.pixels.shape, image.pixels.dtype, n_points, image.is_picture)
        groups.setdefault(kind, []).append(row)
    parts = []
    for (*_, n_points, is_picture), rows in groups.items():
        pixels = torch.from_numpy(np.stack([images[row].pixels for row in rows]))
        affines = np.stack([images[row].affines for row in rows])
        affines = torch.from_numpy(affines.reshape(len(rows), -1, 3, 3))
        parts.append((rows, pixels, affines, n_points, is_picture))
    is_scaled = tuple(bool(i.flags & MorphologyFlag.FLUX_SCALED) for i in images)
    shape = len(images), *images[0].affines.shape[:2]
    return ImageBatch(tuple(parts), shape, is_scaled)


def render(batch, recipe, *, degrade=None, adjust=None):
    """
    Render images into the input of a network: one resample, one stretch.

    Parameters
    ----------
    batch : `ImageBatch`
        The images, on the device that does the work.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the network sees.
    degrade : callable, optional
        What changes the fluxes of images that are no pictures, after the
        resample and before the stretch: from and to the shape (n_row,
        n_transform × n_view, n_channel, size, size). Its second argument is
        the rows of the batch that they are.
    adjust : callable, optional
        What changes the colours, in [0, 1], before the mean of the recipe is
        subtracted: from and to the shape (n, n_transform × n_view, n_channel,
        size, size).

    Returns
    -------
    views : `torch.Tensor`
        Shape (n, n_transform, n_view, n_channel, size, size), float32.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.preprocessing.prepare import prepare
    >>> from galmorph.preprocessing.render import render, stack_images
    >>> pixels = np.random.default_rng(1).random((3, 100, 100))
    >>> image = prepare(GalaxyImage(pixels, is_picture=True), Recipe())
    >>> views = render(stack_images([image], Recipe()), Recipe())
    >>> views.shape, bool((views >= 0).all() and (views <= 1).all())
    (torch.Size([1, 1, 2, 3, 69, 69]), True)
    """
    n, n_transform, n_view = batch.shape
    size = recipe.output_size
    stretch = get_stretch(recipe.stretch)
    views = torch.empty(
        (n, n_transform * n_view, len(recipe.bands), size, size),
        device=batch.groups[0][1].device,
    )
    for rows, pixels, affines, n_points, is_picture in batch.groups:
        rendered = resample(
            pixels.float(),
            affines,
            size,
            antialias=recipe.antialias,
            n_points=n_points,
        )
        if pixels.dtype == torch.uint8:
            # After the resample, which leaves far fewer pixels.
            rendered /= 255
        if not is_picture:
            if degrade is not None:
                rendered = degrade(rendered, rows)
            rendered = stretch(rendered)
        views[rows] = rendered
    if adjust is not None:
        views = adjust(views)
    if any(recipe.mean) or set(recipe.std) != {1.0}:
        mean = views.new_tensor(recipe.mean)[:, None, None]
        views = (views - mean) / views.new_tensor(recipe.std)[:, None, None]
    return views.unflatten(1, (n_transform, n_view))


def oversampling(affines, antialias):
    """
    Choose how many points an output pixel averages, along each axis.

    Parameters
    ----------
    affines : `~numpy.ndarray`, shape (..., 3, 3)
        From output pixels to source pixels.
    antialias : float
        Width of the averaged box as a fraction of an output pixel.

    Returns
    -------
    n_points : int
        Points along each axis: at least one a source pixel, for the largest
        of the grids. 1 where the box is no wider than a source pixel.

    Examples
    --------
    >>> from galmorph.preprocessing.geometry import scaling
    >>> from galmorph.preprocessing.render import oversampling
    >>> oversampling(scaling(3), 1 / 3), oversampling(scaling(4), 1)
    (1, 4)
    """
    linear = affines[..., :2, :2]
    # The longest side of the box in source pixels.
    width = antialias * ((linear**2).sum(-2).max() ** 0.5)
    # A box up to a quarter wider than a source pixel is left to the
    # interpolation, which is as wide as that itself.
    return max(1, math.ceil(width - 0.25))


def resample(images, affines, size, *, antialias=0.0, n_points=1):
    """
    Resample a batch of images, once, through affine grids.

    Values are interpolated linearly between pixel centres, and averaged over
    ``n_points``² points of a box ``antialias`` output pixels wide. Surface
    brightness is kept. Beyond its edge an image is 0, which is the sky.

    Parameters
    ----------
    images : `torch.Tensor`, shape (n, n_band, ny, nx)
        Source images.
    affines : `torch.Tensor`, shape (n, n_view, 3, 3)
        From output pixels to source pixels.
    size : int
        Side of the output in pixels.
    antialias : float, optional
        Width of the averaged box as a fraction of an output pixel.
    n_points : int, optional
        Points along each side of the box, as `oversampling` chooses.

    Returns
    -------
    views : `torch.Tensor`, shape (n, n_view, n_band, size, size)
        The resampled images.

    Examples
    --------
    >>> import torch
    >>> from galmorph.preprocessing.render import resample
    >>> image = torch.arange(9.0).reshape(1, 1, 3, 3)
    >>> resample(image, torch.eye(3).reshape(1, 1, 3, 3), 3).flatten().tolist()
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]
    """
    n_galaxy, n_view = affines.shape[:2]
    ny, nx = images.shape[-2:]
    # In double precision, so that large offsets cost nothing; Apple's devices
    # have none.
    dtype = torch.float32 if images.device.type == 'mps' else torch.float64
    pixels = torch.arange(size, device=images.device, dtype=dtype)
    inside = (torch.arange(n_points, device=images.device) + 0.5) / n_points - 0.5
    points = (pixels[:, None] + antialias * inside).flatten()
    matrix = affines.to(dtype).to(images.device)
    x = matrix[..., 0, 0, None, None] * points + (
        matrix[..., 0, 1, None, None] * points[:, None] + matrix[..., 0, 2, None, None]
    )
    y = matrix[..., 1, 0, None, None] * points + (
        matrix[..., 1, 1, None, None] * points[:, None] + matrix[..., 1, 2, None, None]
    )
    grid = torch.stack([_normalise(x, nx), _normalise(y, ny)], -1)
    values = functional.grid_sample(
        images,
        grid.to(images.dtype).flatten(1, 2),
        mode='bilinear',
        padding_mode='zeros',
        align_corners=True,
    )
    values = values.unflatten(2, (n_view, len(points))).transpose(1, 2)
    if n_points > 1:
        values = functional.avg_pool2d(values.flatten(0, 2), n_points)
        values = values.unflatten(0, (n_galaxy, n_view, -1))
    return values


def _normalise(pixels, n_pixels):
    """Pixel coordinates as `grid_sample` wants them, -1 to 1 between centres."""
    return pixels * (2 / max(n_pixels - 1, 1)) - 1
