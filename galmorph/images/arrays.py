# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Arrays of any axis order as images, and bands put together."""

import astropy.units as u
import numpy as np
from astropy.io import fits
from astropy.utils.masked import Masked

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.celestial import grid_offset
from galmorph.images.galaxy_image import MIN_SIDE, GalaxyImage

__all__ = ['image_from_array', 'stack_bands']

_MAX_BANDS = 8
_MAX_OFFSET = 0.5
# What interpolation adds to display values between 0 and 1.
_OVERSHOOT = 0.05


def image_from_array(
    array, *, bands=None, unit=None, picture=None, mask=None, **kwargs
):
    """
    Make an image of an array whose bands are first or last.

    An array with the shape (ny, nx, 3 or 4) without a unit is a picture, RGB
    or RGBA, unless ``bands`` names other bands. So is an array of uint8.

    Parameters
    ----------
    array : array-like, shape (ny, nx), (n_band, ny, nx) or (ny, nx, n_band)
        The pixels: an array, a masked array or a Quantity.
    bands, mask, **kwargs : optional
        As in `~galmorph.images.GalaxyImage`; ``mask`` in the order of axes of
        ``array``.
    unit : `~astropy.units.UnitBase` or str, optional
        The unit of the pixels. A Quantity is converted to it.
    picture : bool, optional
        Whether the pixels are display values, where the caller knows it.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The image.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``INVALID_IMAGE``.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.arrays import image_from_array
    >>> image_from_array(np.zeros((64, 64, 3), np.uint8))
    <GalaxyImage 64 x 64 pixels, bands R G B>
    """
    data, unit, mask = _unpacked(array, unit, mask)
    shape = data.shape
    while data.ndim > 3 and data.shape[0] == 1:
        data = data[0]
        mask = mask[0] if mask is not None and mask.ndim > data.ndim else mask
    _check_shape(data, shape)
    is_last = data.ndim == 3 and _is_bands_last(data.shape)
    if is_last:
        data = np.moveaxis(data, -1, 0)
        mask = np.moveaxis(mask, -1, 0) if mask is not None and mask.ndim == 3 else mask
    if picture is None:
        picture = unit is None and _looks_like_picture(data, bands, is_last=is_last)
    n_band = data.shape[0] if data.ndim == 3 else 1
    if picture and n_band in (2, 4) and (bands is None or len(bands) == n_band - 1):
        data = data[:-1]
        mask = mask[:-1] if mask is not None and mask.ndim == 3 else mask
    if picture:
        data = _as_display_values(data)
    return GalaxyImage(
        data, bands=bands, unit=unit, mask=mask, is_picture=picture, **kwargs
    )


def _unpacked(array, unit, mask):
    if isinstance(array, Masked):
        mask = array.mask if mask is None else mask
        array = array.unmasked
    elif isinstance(array, np.ma.MaskedArray):
        mask = np.ma.getmask(array) if mask is None else mask
        array = array.data
    if isinstance(array, u.Quantity):
        if unit is not None:
            try:
                array = array.to(unit)
            except u.UnitConversionError as error:
                msg = f'unit {unit} was asked for, but the image is in {array.unit}'
                raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE) from error
        unit = array.unit
        array = array.value
    try:
        data = np.asarray(array)
    except (TypeError, ValueError) as error:
        msg = f'an object of type {type(array).__name__} is not an array of pixels'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE) from error
    if mask is None or mask is np.ma.nomask:
        return data, unit, None
    mask = np.asarray(mask, bool)
    return data, unit, mask if mask.any() else None


def _check_shape(data, shape):
    if data.dtype.kind not in 'biuf':
        msg = f'an image must consist of real numbers, not of {data.dtype}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    if data.ndim == 4:
        msg = (
            f'the shape {shape} is that of a stack of images: read_images takes '
            'it, read_image one of them'
        )
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    if data.ndim not in (2, 3) or data.size == 0:
        msg = (
            'an image must have the shape (ny, nx), (n_band, ny, nx) or '
            f'(ny, nx, n_band), not {shape}'
        )
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)


def _is_bands_last(shape):
    first, middle, last = shape
    if last < MIN_SIDE and first >= MIN_SIDE and middle >= MIN_SIDE:
        return True
    if first > _MAX_BANDS:
        msg = (
            f'the shape {shape} has no axis of at most {_MAX_BANDS} bands; give a '
            'stack of one-band images as a list, or as (n_image, 1, ny, nx)'
        )
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    return False


def _looks_like_picture(data, bands, *, is_last):
    n_band = data.shape[0] if data.ndim == 3 else 1
    if data.dtype == np.uint8:
        return n_band in (1, 3, 4) or (is_last and n_band == 2)
    if not is_last or n_band not in (3, 4):
        return False
    return bands is None or ''.join(bands).upper() in ('RGB', 'RGBA')


def _as_display_values(data):
    if data.dtype == np.uint8:
        return data
    if data.dtype.kind == 'f':
        low, high = data.min(), data.max()
        if not (np.isfinite(low) and np.isfinite(high)):
            finite = data[np.isfinite(data)]
            low, high = (finite.min(), finite.max()) if finite.size else (0, 0)
        if low >= -_OVERSHOOT and high <= 1 + _OVERSHOOT:
            return data
    else:
        low, high = data.min(), data.max()
        if low >= 0 and high <= 255:
            return data.astype(np.uint8)
        if data.dtype.kind == 'u' and data.dtype.itemsize == 2:
            return data.astype(np.float32) / 65535
    msg = (
        f'an RGB picture must have values from 0 to 255 (integers) or 0 to 1, not '
        f'{low:g} to {high:g}; for calibrated pixels give their unit or their bands'
    )
    raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)


def stack_bands(images):
    """
    Put images of one band each, on one grid, together.

    Parameters
    ----------
    images : dict of str to `~galmorph.images.GalaxyImage`
        The images by the names of their bands. Units that differ are
        converted to the first one's; where one is unknown, that of the whole
        is unknown, and the headers say the rest.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        All bands, with the WCS and the target of the first image that has
        them.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``INVALID_IMAGE``, where shapes, units or WCSs (by more
        than half a pixel) do not agree.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import GalaxyImage
    >>> from galmorph.images.arrays import stack_bands
    >>> plane = GalaxyImage(np.zeros((64, 64)), unit='nmgy')
    >>> stack_bands({'g': plane, 'r': plane})
    <GalaxyImage 64 x 64 pixels, bands g r, nmgy>
    """
    names = tuple(images)
    first = images[names[0]]
    grid = next((image for image in images.values() if image.has_wcs), first)
    for name, image in images.items():
        _check_one_grid(name, image, names[0], first, grid)
    units = [image.unit for image in images.values()]
    unit = None if None in units else first.unit
    planes = []
    for name, image in images.items():
        factor = 1 if unit is None else _factor(name, image.unit, unit)
        planes.append(image.data if factor == 1 else image.data * factor)
    mask = None
    if any(image.mask is not None for image in images.values()):
        mask = np.concatenate(
            [
                np.zeros(image.data.shape, bool) if image.mask is None else image.mask
                for image in images.values()
            ]
        )
    meta = dict(first.meta)
    headers = [image.meta.get('headers', [None])[0] for image in images.values()]
    if any(header is not None for header in headers):
        meta['headers'] = [fits.Header() if head is None else head for head in headers]
    return GalaxyImage(
        np.concatenate(planes),
        bands=names,
        unit=unit,
        wcs=grid.wcs,
        mask=mask,
        meta=meta,
        position=first.position,
        size=first.size,
        is_picture=first.is_picture,
    )


def _check_one_grid(name, image, first_name, first, grid):
    msg = None
    if image.n_band != 1:
        msg = f'band {name!r} is given by an image of {image.n_band} bands'
    elif image.shape2d != first.shape2d:
        msg = (
            f'band {name!r} has {image.shape2d} pixels, but band {first_name!r} '
            f'has {first.shape2d}: give all bands on one grid'
        )
    elif image.is_picture != first.is_picture:
        msg = f'of bands {first_name!r} and {name!r} only one is a picture'
    elif image.has_wcs:
        offset = grid_offset(grid.wcs, image.wcs, image.shape2d)
        if offset > _MAX_OFFSET:
            msg = (
                f'the WCS of band {name!r} is off that of the others by '
                f'{offset:.3g} pixels: reproject all bands to one grid first'
            )
    if msg is not None:
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)


def _factor(name, unit, wanted):
    try:
        return unit.to(wanted)
    except u.UnitConversionError as error:
        msg = f'band {name!r} is in {unit}, which cannot be converted to {wanted}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE) from error
