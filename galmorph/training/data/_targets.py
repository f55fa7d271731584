# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images that no path names: galaxies of a mosaic, and arrays with a unit."""

import dataclasses
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from galmorph.exceptions import ImageError, LabelError
from galmorph.images import open_mosaic, read_image
from galmorph.images.finding import is_remote
from galmorph.inference.catalog import iterate_mosaic, read_target

__all__ = []

_MAX_ROWS = 10


@dataclasses.dataclass(frozen=True, eq=False)
class MosaicTarget:
    """
    A galaxy of a mosaic, cut out when it is asked for, as far as it is seen.

    ``state`` tells the files of the mosaic from others, and from changed ones.
    """

    mosaic: object
    ra: float
    dec: float
    state: str = ''

    def cut(self, recipe, *, size=None, reach=None):
        """Cut out what a recipe shows of the galaxy, and affines of its frame."""
        coords = SkyCoord([self.ra], [self.dec], unit=u.deg)
        sizes = None if size is None else u.Quantity([size])
        (row,) = iterate_mosaic(self.mosaic, coords, recipe, sizes=sizes, reach=reach)
        image = read_target(row)
        if isinstance(image, ImageError):
            raise image
        return image


def make_targets(images, coords, folder):
    """Open a mosaic, and find galaxies on it; rows outside are told."""
    try:
        files = within(images, folder)
        mosaic = open_mosaic(files)
    except (ImageError, TypeError, ValueError) as error:
        raise LabelError((), f'the mosaic {images!r}: {error}') from error
    coords = coords.icrs
    ra, dec = coords.ra.deg, coords.dec.deg
    _refuse(~np.isfinite(ra + dec), 'have no position')
    if hasattr(mosaic, 'assign'):
        state, is_outside = str(mosaic.fingerprint()), mosaic.assign(coords, 1.0) < 0
    else:
        state, (ny, nx) = str(_state_of(files)), mosaic.image.shape2d
        x, y = mosaic.locate(coords)
        is_outside = ~((np.abs(x - (nx - 1) / 2) <= nx / 2)
                       & (np.abs(y - (ny - 1) / 2) <= ny / 2))  # fmt: skip
    _refuse(is_outside, f'are not on the mosaic {images!r}')
    return [
        MosaicTarget(mosaic, *place, state)
        for place in zip(ra.tolist(), dec.tolist(), strict=True)
    ]


def name_targets(images, coords):
    """Name galaxies by their mosaic and place on the sky."""
    coords = coords.icrs
    return [
        f'{images}#{ra:.6f}{dec:+.6f}'
        for ra, dec in zip(coords.ra.deg, coords.dec.deg, strict=True)
    ]


def with_unit(pixels, unit):
    """An array with the unit of its column, as text."""
    return read_image(pixels, unit=u.Unit(unit))


def open_images(images, recipe, sizes=None):
    """Images as a classifier takes them, None for what cannot be had."""
    opened = np.full(len(images), None)
    for row, image in enumerate(images):
        try:
            if isinstance(image, MosaicTarget):
                size = None if sizes is None else sizes[row]
                opened[row] = image.cut(recipe, size=size)
            else:
                opened[row] = image() if callable(image) else image
        except ImageError:
            continue
    return opened


def within(images, folder):
    """Paths, patterns and folders that are within another folder."""
    if isinstance(images, dict):
        return {band: within(value, folder) for band, value in images.items()}
    if isinstance(images, list | tuple):
        return [within(value, folder) for value in images]
    return images if is_remote(images) else str(Path(folder, images))


def _state_of(images):
    """Tell an image of one file from what it was before."""
    try:
        state = Path(images).stat()
    except (OSError, TypeError):
        return images
    return images, state.st_size, state.st_mtime_ns


def _refuse(is_bad, text):
    rows = np.flatnonzero(is_bad)
    if len(rows):
        shown = ', '.join(map(str, rows[:_MAX_ROWS].tolist()))
        more = f' and {len(rows) - _MAX_ROWS} more' if len(rows) > _MAX_ROWS else ''
        msg = (
            f'{len(rows)} galaxies {text}, in rows {shown}{more}; leave them out of '
            'the table'
        )
        raise LabelError(rows.tolist(), msg)
