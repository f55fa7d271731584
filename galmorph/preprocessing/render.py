# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one resample: from source pixels to the input of a network, in batches."""

import math

import torch
from torch.nn import functional

__all__ = ['oversampling', 'resample']


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
