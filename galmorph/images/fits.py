# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images in FITS files, HDU lists and HDUs."""

import gzip
import os
from pathlib import Path

import numpy as np
from astropy.io import fits

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.arrays import image_from_array, stack_bands
from galmorph.images.celestial import wcs_from_header
from galmorph.images.headers import band_names, unit_from_header

__all__ = ['FITS_SUFFIXES', 'image_from_hdu', 'image_from_hdulist', 'read_fits']

FITS_SUFFIXES = tuple(
    suffix + packed
    for suffix in ('.fits', '.fit', '.fts')
    for packed in ('', '.gz', '.fz', '.bz2')
)

_BLOCK = 2880
# What an extension takes over from the primary header, where it has not its own.
_INHERITED = (
    'FILTER',
    'FILTER1',
    'FILTER2',
    'BAND',
    'BUNIT',
    'PHOTFLAM',
    'PHOTPLAM',
    'TELESCOP',
    'INSTRUME',
    'SURVEY',
)


def read_fits(path, *, hdu=None, bands=None, unit=None):
    """
    Read an image from a FITS file, and close the file.

    Parameters
    ----------
    path : str
        The file, which may be compressed.
    hdu, bands, unit : optional
        As in `~galmorph.images.read_image`.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The image, in memory.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``UNREADABLE_IMAGE`` where the file is missing,
        truncated or corrupt.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.images.fits import read_fits
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/a.fits', np.zeros((64, 64), 'float32'))
    ...     read_fits(f'{folder}/a.fits')
    <GalaxyImage 64 x 64 pixels, bands unknown>
    """
    try:
        if path.lower().endswith('.gz'):
            _check_gzip(path)
        with fits.open(path) as hdulist:
            image = image_from_hdulist(
                hdulist, hdu=hdu, bands=bands, unit=unit, in_memory=True
            )
    except ImageError as error:
        flag = error.flag
        msg = f'{path}: {error}'
        if flag == MorphologyFlag.INVALID_IMAGE and not _is_padded(path):
            flag = MorphologyFlag.UNREADABLE_IMAGE
            msg += '; the file is not complete'
        raise ImageError(msg, flag=flag) from error
    except FileNotFoundError as error:
        msg = f'{path}: there is no such file'
        raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error
    # A damaged file makes astropy, zlib and mmap raise whatever comes.
    except Exception as error:
        reason = str(error) or type(error).__name__
        msg = f'{path}: cannot be read as FITS, is it complete? ({reason})'
        raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error
    image.meta['source'] = path
    return image


def _check_gzip(path):
    # astropy takes a truncated stream for a file with fewer HDUs. The last
    # bytes of a whole one tell its length, that of FITS blocks; where they do
    # not, gzip itself finds out.
    with Path(path).open('rb') as file:
        file.seek(-min(4, file.seek(0, os.SEEK_END)), os.SEEK_END)
        length = int.from_bytes(file.read(), 'little')
    if length == 0 or length % _BLOCK:
        with gzip.open(path) as file:
            while file.read(_BLOCK << 9):
                pass


def _is_padded(path):
    is_packed = path.lower().endswith(('.gz', '.bz2'))
    return is_packed or Path(path).stat().st_size % _BLOCK == 0


def image_from_hdulist(hdulist, *, hdu=None, bands=None, unit=None, in_memory=False):
    """
    Take an image from an HDU list.

    Parameters
    ----------
    hdulist : `~astropy.io.fits.HDUList`
        The HDUs.
    hdu : int, str, tuple or list of these, optional
        The HDU, or those of the bands. By default the first image, together
        with the images of its shape that follow it at once and are named as
        other bands by their headers.
    bands, unit : optional
        As in `~galmorph.images.read_image`.
    in_memory : bool, optional
        Whether to copy what is mapped from a file.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The image.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        Where there is no image, or the bands are not on one grid.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.images.fits import image_from_hdulist
    >>> hdulist = fits.HDUList([
    ...     fits.PrimaryHDU(),
    ...     fits.ImageHDU(np.zeros((64, 64)), fits.Header({'FILTER': 'g'})),
    ...     fits.ImageHDU(np.ones((64, 64)), fits.Header({'FILTER': 'r'})),
    ... ])
    >>> image_from_hdulist(hdulist)
    <GalaxyImage 64 x 64 pixels, bands g r>
    """
    found = _found(hdulist) if hdu is None else _chosen(hdulist, hdu)
    options = {'hdulist': hdulist, 'unit': unit, 'in_memory': in_memory}
    if len(found) == 1:
        return image_from_hdu(found[0], bands=bands, **options)
    if bands is not None and len(bands) != len(found):
        msg = f'bands names {len(bands)} bands, but there are {len(found)} HDUs'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    images = {}
    for index, item in enumerate(found):
        image = image_from_hdu(item, **options)
        images[index] = image
    names = bands or [image.bands[0] for image in images.values()]
    stacked = stack_bands({f'HDU {index}': image for index, image in images.items()})
    stacked.bands = tuple(names)
    return stacked


def image_from_hdu(hdu, *, hdulist=None, bands=None, unit=None, in_memory=False):
    """
    Take an image, or a cube of bands, from one HDU.

    Parameters
    ----------
    hdu : HDU
        An image HDU of `astropy.io.fits`, compressed or not.
    hdulist : `~astropy.io.fits.HDUList`, optional
        The list that it belongs to, for the primary header.
    bands, unit, in_memory : optional
        As in `image_from_hdulist`.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The image.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        Where the HDU is no image.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.images.fits import image_from_hdu
    >>> hdu = fits.PrimaryHDU(np.zeros((64, 64)), fits.Header({'BUNIT': 'nJy'}))
    >>> image_from_hdu(hdu)
    <GalaxyImage 64 x 64 pixels, bands unknown, nJy>
    """
    if not hdu.is_image or hdu.data is None:
        msg = f'HDU {hdu.name or type(hdu).__name__!r} holds no image'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    data = hdu.data
    while data.ndim > 2 and data.shape[0] == 1:
        data = data[0]
    if in_memory and data.dtype == np.uint8:
        data = data.copy()
    header = _header(hdu, hdulist)
    wcs = wcs_from_header(header, hdulist)
    if unit is None:
        unit = unit_from_header(header)
    is_rgb = _is_rgb(data) and unit is None
    if is_rgb and wcs is None:
        # FITS rows run upwards, those of a picture downwards.
        data = np.flip(data, 1 if data.shape[0] <= 4 else 0)
    image = image_from_array(data, bands=bands, unit=unit, wcs=wcs, picture=is_rgb)
    if bands is None and not image.is_picture:
        image.bands = band_names(header, image.n_band) or image.bands
    image.meta['headers'] = [header] * image.n_band
    return image


def _is_rgb(data):
    shape = data.shape
    is_cube = data.dtype == np.uint8 and data.ndim == 3
    return is_cube and (shape[0] in (3, 4) or shape[2] in (3, 4))


def _header(hdu, hdulist):
    header = hdu.header
    if hdulist is None or hdu is hdulist[0]:
        return header
    primary = hdulist[0].header
    missing = [key for key in _INHERITED if key in primary and key not in header]
    if missing:
        header = header.copy()
        for key in missing:
            header[key] = primary[key]
    return header


def _found(hdulist):
    found = []
    names = set()
    for hdu in hdulist:
        is_image = hdu.is_image and len(hdu.shape) >= 2 and 0 not in hdu.shape
        if not found:
            if is_image:
                found.append(hdu)
                names.add(band_names(hdu.header))
                if None in names or len(hdu.shape) > 2:
                    return found
            continue
        # An error or a weight map has the shape of the image, and no band.
        name = band_names(hdu.header) if is_image else None
        if name is None or name in names or hdu.shape != found[0].shape:
            break
        found.append(hdu)
        names.add(name)
    if not found:
        kinds = ', '.join(f'{hdu.name} {getattr(hdu, "shape", "")}' for hdu in hdulist)
        msg = f'there is no image with two axes among the HDUs ({kinds})'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    return found


def _chosen(hdulist, hdu):
    keys = hdu if isinstance(hdu, list) else [hdu]
    try:
        return [hdulist[key] for key in keys]
    except (IndexError, KeyError) as error:
        kinds = ', '.join(f'{index} {item.name}' for index, item in enumerate(hdulist))
        msg = f'hdu {hdu!r} is not among the HDUs ({kinds})'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE) from error
