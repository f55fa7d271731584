# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A sky, and the FITS files of the tiles that it is divided into."""

import numpy as np
from astropy.io import fits

from galmorph.images.celestial import shift_wcs

__all__ = ['CUTS', 'SHAPE', 'divide', 'make_sky', 'positions', 'write']

SHAPE = (300, 400)
#: x and y where tiles begin and end: they share 20 pixels.
CUTS = ((0, 210), (190, 400)), ((0, 160), (140, 300))


def make_sky(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(10, 1, shape).astype('float32')


def write(path, pixels, wcs, *, kind=fits.PrimaryHDU, options=None, **keywords):
    header = wcs.to_header(relax=True)
    header.update(keywords)
    hdu = kind(pixels, header, **(options or {}))
    hdus = [hdu] if kind is fits.PrimaryHDU else [fits.PrimaryHDU(), hdu]
    fits.HDUList(hdus).writeto(path)
    return path


def divide(folder, sky, wcs, *, name='tile', cuts=CUTS, **options):
    """Write a sky as tiles."""
    folder.mkdir(exist_ok=True)
    suffix = options.pop('suffix', '.fits')
    for i, (left, right) in enumerate(cuts[0]):
        for j, (bottom, top) in enumerate(cuts[1]):
            write(
                folder / f'{name}-{i}-{j}{suffix}',
                sky[bottom:top, left:right],
                shift_wcs(wcs, left, bottom),
                **options,
            )
    return folder


def positions(wcs, n=60, seed=5, shape=SHAPE):
    rng = np.random.default_rng(seed)
    ny, nx = shape
    return wcs.pixel_to_world(rng.uniform(-0.4, nx - 0.6, n), rng.uniform(0, ny - 1, n))
