# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Stamps: what a network sees of each galaxy, as a picture for people."""

import dataclasses

import numpy as np
import torch

from galmorph.exceptions import ImageError
from galmorph.images import read_image
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.render import oversampling, resample
from galmorph.preprocessing.stretch import get_stretch

__all__ = ['render_stamps']


def render_stamps(images, recipe, *, n_pixels=128):
    """
    Show what a network sees of each galaxy.

    The field, the colours and the stretch are those of the recipe, with
    north up and east left as far as the image tells; only the pixels are
    finer than those of the network.

    Parameters
    ----------
    images : sequence
        Images as `~galmorph.images.read_image` takes them, or the
        `~galmorph.exceptions.ImageError` that stands for one.
    recipe : `~galmorph.Recipe`
        What the weights saw, for example ``classifier.recipe``.
    n_pixels : int, optional
        Side of the stamps.

    Returns
    -------
    stamps : `~numpy.ndarray`, shape (n, n_pixels, n_pixels, 3)
        Colours in [0, 1], float32, the top row first. NaN where an image
        cannot be used.

    Raises
    ------
    ValueError
        If ``n_pixels`` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import Recipe
    >>> from galmorph.inference.stamps import render_stamps
    >>> y, x = np.mgrid[:96, :96] - 48
    >>> disk = np.exp(-np.hypot(x, 2 * y) / 6)
    >>> stamps = render_stamps([disk, 'missing.fits'], Recipe(), n_pixels=64)
    >>> stamps.shape, np.isnan(stamps).all(axis=(1, 2, 3)).tolist()
    ((2, 64, 64, 3), [False, True])
    """
    field = recipe.step * recipe.output_size
    # The frame and the first view stay; a pixel of a stamp averages all of it.
    fine = dataclasses.replace(
        recipe, output_size=n_pixels, step=field / n_pixels, views=(0.0,), antialias=1.0
    )
    stamps = np.full((len(images), n_pixels, n_pixels, 3), np.nan, np.float32)
    for stamp, image in zip(stamps, images, strict=True):
        if isinstance(image, ImageError):
            continue
        try:
            prepared = prepare(read_image(image), fine)
        except ImageError:
            continue
        stamp[:] = _picture(prepared, fine)
    return stamps


def _picture(prepared, recipe):
    """A prepared image as colours, shape (n_pixels, n_pixels, 3)."""
    scale = 255 if prepared.pixels.dtype == np.uint8 else 1
    pixels = torch.from_numpy(np.array(prepared.pixels, np.float32) / scale)
    with torch.inference_mode():
        picture = resample(
            pixels[None],
            torch.from_numpy(prepared.affines[0][None]),
            recipe.output_size,
            antialias=recipe.antialias,
            n_points=oversampling(prepared.affines, recipe.antialias),
        )[0, 0]
        if not prepared.is_picture:
            picture = get_stretch(recipe.stretch)(picture)
    return picture.clamp(0, 1).movedim(0, -1).expand(-1, -1, 3).numpy()
