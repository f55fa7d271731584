# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The one parser of everything that may be given as an image."""

import math
import os
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.nddata import Cutout2D, NDData
from astropy.wcs.wcsapi import BaseHighLevelWCS, BaseLowLevelWCS

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.arrays import image_from_array, stack_bands
from galmorph.images.fits import (
    FITS_SUFFIXES,
    image_from_hdu,
    image_from_hdulist,
    read_fits,
)
from galmorph.images.galaxy_image import GalaxyImage
from galmorph.images.headers import band_names, unit_from_header
from galmorph.images.pictures import picture_from_pillow, read_picture

__all__ = ['PICTURE_SUFFIXES', 'is_single_image', 'read_image', 'read_images']

PICTURE_SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.tif', '.tiff')
_FITS_STARTS = (b'SIMPLE', b'\x1f\x8b', b'BZh')
_HDU_TYPES = (fits.PrimaryHDU, fits.ImageHDU, fits.CompImageHDU, fits.BinTableHDU)


def read_image(obj, *, hdu=None, bands=None, unit=None):
    """
    Read one image.

    Parameters
    ----------
    obj : object
        One of

        * `GalaxyImage`;
        * `~astropy.nddata.Cutout2D`, whose ``input_position_cutout`` is the
          target;
        * `~astropy.nddata.CCDData` or another `~astropy.nddata.NDData`;
        * an HDU or `~astropy.io.fits.HDUList`;
        * the path of a FITS file (``.fits``, ``.fit``, ``.fts``; ``.gz``,
          ``.fz``, ``.bz2``) or of a picture (JPEG, PNG, WebP, TIFF);
        * a dict with one of the others for each band, all on one grid;
        * a tuple of an image and its `~astropy.wcs.WCS`;
        * an array, masked array or `~astropy.units.Quantity`, of the shape
          (ny, nx), (n_band, ny, nx) with at most 8 bands, or (ny, nx, n_band).
          uint8, or (ny, nx, 3 or 4) without a unit, is taken for an RGB
          picture;
        * a Pillow image.
    hdu : int, str, tuple or list of these, optional
        Which HDU holds the image, or a list with those of the bands. By
        default the first image, together with the images of its shape that
        follow it at once and are named as other bands by their headers.
    bands : tuple of str, optional
        The names of the bands. By default those of the object or its header.
        Of a dict they choose and order the bands.
    unit : `~astropy.units.UnitBase` or str, optional
        The unit of the pixels, instead of that of the object or of
        ``BUNIT``. A Quantity is converted to it.

    Returns
    -------
    image : `GalaxyImage`
        The image. Arrays are not copied where they need not be, and never
        changed.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        Where there is no image that can be used; ``flag`` says why.

    See Also
    --------
    read_images : Many images.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import read_image
    >>> read_image(np.zeros((64, 64), '>i2'), bands='r', unit='nmgy')
    <GalaxyImage 64 x 64 pixels, bands r, nmgy>
    >>> read_image('no_such.jpg')
    Traceback (most recent call last):
    ...
    galmorph.exceptions.ImageError: no_such.jpg: there is no such file
    """
    if _is_missing(obj):
        msg = 'there is no image'
        raise ImageError(msg, flag=MorphologyFlag.MISSING_IMAGE)
    if isinstance(obj, (str, bytes, os.PathLike)):
        return _read_path(os.fsdecode(obj), hdu, bands, unit)
    if isinstance(obj, fits.HDUList):
        return image_from_hdulist(obj, hdu=hdu, bands=bands, unit=unit)
    options = {'bands': bands, 'unit': unit}
    if isinstance(obj, dict):
        return _read_dict(obj, hdu, **options)
    if isinstance(obj, _HDU_TYPES):
        return image_from_hdu(obj, **options)
    if isinstance(obj, GalaxyImage):
        return obj if bands is None and unit is None else _renamed(obj, bands, unit)
    if isinstance(obj, NDData):
        return _read_nddata(obj, **options)
    if isinstance(obj, Cutout2D):
        # position_cutout is rounded to a whole pixel
        position = obj.input_position_cutout
        return image_from_array(obj.data, wcs=obj.wcs, position=position, **options)
    if _is_image_and_wcs(obj):
        return _read_with_wcs(*obj, hdu, **options)
    if type(obj).__module__.startswith('PIL.'):
        return picture_from_pillow(obj, bands=bands)
    if isinstance(obj, np.ndarray) or hasattr(obj, '__array__'):
        return image_from_array(obj, **options)
    msg = (
        f'an object of type {type(obj).__name__} is not an image; read_image '
        'takes arrays, paths, HDUs, NDData, Cutout2D and (array, WCS)'
    )
    raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)


def read_images(obj, *, hdu=None, bands=None, unit=None):
    """
    Read one image or many.

    Parameters
    ----------
    obj : object
        One image as in `read_image`; or a list, a tuple, a column, or an
        array of the shape (n_image, n_band, ny, nx) or (n_image, ny, nx,
        n_band) of them.
    hdu, bands, unit : optional
        As in `read_image`, for all images.

    Returns
    -------
    images : list of `GalaxyImage` or `~galmorph.exceptions.ImageError`
        In the order given. In place of an image that cannot be used stands
        the error that says why: it is not raised.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import read_images
    >>> good, bad = read_images([np.zeros((64, 64, 3), 'uint8'), 'no_such.jpg'])
    >>> good
    <GalaxyImage 64 x 64 pixels, bands R G B>
    >>> bad.flag
    <MorphologyFlag.UNREADABLE_IMAGE: 2>
    """
    items = [obj] if is_single_image(obj) else obj
    images = []
    for item in items:
        try:
            image = read_image(item, hdu=hdu, bands=bands, unit=unit)
        except ImageError as error:
            image = error
        images.append(image)
    return images


def is_single_image(obj):
    """
    Tell whether an object stands for one image, and not for many.

    Parameters
    ----------
    obj : object
        What `read_images` takes.

    Returns
    -------
    is_single : bool
        False for a list, for a tuple that is not (image, WCS), for an array
        with four axes, and for a column of strings or objects.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import is_single_image
    >>> is_single_image('galaxy.jpg'), is_single_image(['galaxy.jpg'])
    (True, False)
    >>> is_single_image(np.zeros((5, 3, 64, 64)))
    False
    """
    if isinstance(obj, (list, tuple)):
        return isinstance(obj, fits.HDUList) or _is_image_and_wcs(obj)
    if isinstance(obj, np.ndarray):
        return obj.ndim != 4 and not (obj.ndim == 1 and obj.dtype.kind in 'OSUT')
    return True


def _is_missing(obj):
    if obj is None or obj is np.ma.masked:
        return True
    if isinstance(obj, (str, bytes)):
        return not obj.strip()
    # pandas marks a missing path by NaN
    return isinstance(obj, float) and math.isnan(obj)


def _is_image_and_wcs(obj):
    return (
        isinstance(obj, tuple)
        and len(obj) == 2
        and isinstance(obj[1], (BaseHighLevelWCS, BaseLowLevelWCS))
    )


def _read_path(path, hdu, bands, unit):
    lower = path.lower()
    if lower.endswith(FITS_SUFFIXES):
        is_fits = True
    elif lower.endswith(PICTURE_SUFFIXES):
        is_fits = False
    else:
        is_fits = _starts_as_fits(path)
    if is_fits:
        return read_fits(path, hdu=hdu, bands=bands, unit=unit)
    return read_picture(path, bands=bands)


def _starts_as_fits(path):
    try:
        with Path(path).open('rb') as file:
            return file.read(6).startswith(_FITS_STARTS)
    except OSError as error:
        msg = f'{path}: cannot be opened ({error.strerror})'
        raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error


def _read_dict(images, hdu, *, bands, unit):
    if isinstance(bands, str) and bands in images:
        bands = (bands,)
    names = tuple(images) if bands is None else tuple(bands)
    missing = [name for name in names if name not in images]
    if missing or not names:
        msg = f'bands {missing} are not among those given, {list(images)}'
        raise ImageError(msg, flag=MorphologyFlag.BANDS_MISSING)
    read = {}
    for name in names:
        try:
            read[str(name)] = read_image(images[name], hdu=hdu, unit=unit)
        except ImageError as error:
            msg = f'band {name!r}: {error}'
            raise ImageError(msg, flag=error.flag) from error
    return stack_bands(read)


def _read_nddata(image, *, bands, unit):
    header = image.meta if 'BUNIT' in image.meta or 'FILTER' in image.meta else None
    if hasattr(image.meta, 'cards'):
        header = image.meta
    if unit is None:
        unit = image.unit
        if unit is None and header is not None:
            unit = unit_from_header(header)
    read = image_from_array(
        image.data, bands=bands, unit=unit, mask=image.mask, wcs=image.wcs
    )
    if header is not None:
        read.meta['headers'] = [header] * read.n_band
        if bands is None and not read.is_picture:
            read.bands = band_names(header, read.n_band) or read.bands
    return read


def _read_with_wcs(image, wcs, hdu, *, bands, unit):
    if isinstance(image, np.ndarray):
        return image_from_array(image, wcs=wcs, bands=bands, unit=unit)
    read = read_image(image, hdu=hdu, bands=bands, unit=unit)
    return _copy_with(read, wcs=wcs)


def _renamed(image, bands, unit):
    return _copy_with(
        image,
        bands=image.bands if bands is None else bands,
        unit=image.unit if unit is None else unit,
    )


def _copy_with(image, **changes):
    values = {
        'bands': image.bands,
        'unit': image.unit,
        'wcs': image.wcs,
        'mask': image.mask,
        'meta': dict(image.meta),
        'position': image.position,
        'size': image.size,
        'is_picture': image.is_picture,
    }
    return GalaxyImage(image.data, **{**values, **changes})
