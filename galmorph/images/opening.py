# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one way to open a mosaic, of one image in memory or of files."""

import os

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.finding import is_remote
from galmorph.images.mosaic import Mosaic
from galmorph.images.reading import PICTURE_SUFFIXES
from galmorph.images.tiled import TiledMosaic
from galmorph.images.tileset import NO_IMAGE

__all__ = ['open_mosaic']


def open_mosaic(images, *, hdu=None, bands=None, unit=None):
    """
    Open what galaxies are cut from.

    Parameters
    ----------
    images : object
        A path, a pattern, a folder, a URL, a list of these, or a dict of these
        by the names of bands, as in `TiledMosaic`; or one image of any other
        kind as in `~galmorph.images.read_image`; or a mosaic, which comes back
        as it is.
    hdu, bands, unit : optional
        As in `TiledMosaic` and `~galmorph.images.read_image`.

    Returns
    -------
    mosaic : `TiledMosaic` or `Mosaic`
        The mosaic, which has a celestial WCS.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If there is no file, none of them can be used, none has a band that is
        asked for, or the image has no celestial WCS.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import open_mosaic
    >>> open_mosaic(np.eye(50))
    Traceback (most recent call last):
    ...
    galmorph.exceptions.ImageError: the mosaic has no celestial WCS, ...
    """
    if isinstance(images, TiledMosaic):
        return images
    options = {'hdu': hdu, 'bands': bands, 'unit': unit}
    if _are_files(images):
        return _open_files(images, options)
    mosaic = images if isinstance(images, Mosaic) else Mosaic(images, **options)
    if not mosaic.image.has_wcs:
        msg = 'the mosaic has no celestial WCS, so no target can be found on it'
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    return mosaic


def _are_files(images):
    if isinstance(images, (str, os.PathLike)):
        path = os.fspath(images)
        return (
            isinstance(path, str)
            and bool(path.strip())
            and not (path.lower().endswith(PICTURE_SUFFIXES) and not is_remote(path))
        )
    if isinstance(images, dict):
        images = images.values()
    elif not isinstance(images, (list, tuple, set, frozenset)):
        return False
    return len(images) > 0 and all(map(_are_files, images))


def _open_files(images, options):
    try:
        mosaic = TiledMosaic(images, **options)
    except FileNotFoundError as error:
        flag = MorphologyFlag.UNREADABLE_IMAGE
        raise ImageError(str(error), flag=flag) from error
    if not mosaic.known_bands:
        path, reason = next(iter(mosaic.damaged.items()))
        n_files = len(mosaic.files)
        flag = MorphologyFlag.UNREADABLE_IMAGE
        msg = f'none of the {n_files} files of the mosaic can be used, {path}: {reason}'
        if all(why == NO_IMAGE for why in mosaic.damaged.values()):
            flag = MorphologyFlag.NO_WCS
            msg = f'the mosaic has no celestial WCS, {path}: {reason}'
        raise ImageError(msg, flag=flag)
    missing = [band for band in mosaic.bands if band not in mosaic.known_bands]
    if missing:
        msg = f'bands {missing} are not among those of the files, {mosaic.known_bands}'
        raise ImageError(msg, flag=MorphologyFlag.BANDS_MISSING)
    if len(mosaic.files) == 1 and _is_picture(mosaic):
        return Mosaic(mosaic.files[0][0], **options)
    return mosaic


def _is_picture(mosaic):
    """Whether the one file is a colour picture of bytes."""
    tiles = [tile for field in mosaic.tiles for tile in field.tiles.values()]
    is_bytes = all(tile.header.get('BITPIX') == 8 for tile in tiles)
    return (
        is_bytes
        and len(tiles) in (3, 4)
        and mosaic.tiles[0].tiles
        and all(tile.unit is None for tile in tiles)
    )
