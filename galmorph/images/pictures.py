# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pictures: JPEG, PNG, WebP and what else Pillow reads."""

import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.arrays import image_from_array

__all__ = ['picture_from_pillow', 'read_picture']


def read_picture(path, *, bands=None):
    """
    Read a picture, and close the file.

    Parameters
    ----------
    path : str
        The file.
    bands : tuple of str, optional
        Names of the channels, by default R, G, B or L.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The picture; row 0 is its top.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``UNREADABLE_IMAGE`` where the file is missing,
        truncated or corrupt, with ``INVALID_IMAGE`` where its values are not
        those of a picture.

    Examples
    --------
    >>> import tempfile
    >>> from PIL import Image
    >>> from galmorph.images.pictures import read_picture
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Image.new('RGB', (64, 48)).save(f'{folder}/a.png')
    ...     read_picture(f'{folder}/a.png')
    <GalaxyImage 48 x 64 pixels, bands R G B>
    """
    from PIL import Image

    try:
        with Image.open(path) as picture:
            pixels = _pixels(picture)
    except FileNotFoundError as error:
        msg = f'{path}: there is no such file'
        raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error
    # A damaged file makes the decoders of Pillow raise whatever comes.
    except Exception as error:
        msg = f'{path}: cannot be read as a picture ({error})'
        raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error
    try:
        return _image(pixels, bands=bands, meta={'source': path})
    except ImageError as error:
        msg = f'{path}: {error}'
        raise ImageError(msg, flag=error.flag) from error


def picture_from_pillow(picture, *, bands=None):
    """
    Take the pixels of an open Pillow image.

    Parameters
    ----------
    picture : `PIL.Image.Image`
        The picture.
    bands : tuple of str, optional
        Names of the channels, by default R, G, B or L.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The picture; row 0 is its top.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        Where it cannot be decoded, or its values are not those of a picture.

    Examples
    --------
    >>> from PIL import Image
    >>> from galmorph.images.pictures import picture_from_pillow
    >>> picture_from_pillow(Image.new('L', (64, 48)))
    <GalaxyImage 48 x 64 pixels, bands L>
    """
    try:
        pixels = _pixels(picture)
    except Exception as error:
        msg = f'the picture cannot be decoded ({error})'
        raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error
    return _image(pixels, bands=bands)


def _pixels(picture):
    mode = picture.mode
    if mode in ('RGB', 'L', 'F') or mode.startswith('I'):
        return np.asarray(picture)
    return np.asarray(picture.convert('L' if mode in ('1', 'LA', 'La') else 'RGB'))


def _image(pixels, **options):
    # 16 bits of grey, for which Pillow has modes of 16 and of 32 bits
    if pixels.dtype.kind in 'iu' and pixels.dtype.itemsize > 1:
        low, high = pixels.min(initial=0), pixels.max(initial=0)
        if low < 0 or high > 65535:
            msg = (
                f'a grey picture must have values from 0 to 65535, not {low} to '
                f'{high}; scale them, or give the pixels as an array with bands='
            )
            raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
        if high > 255:
            pixels = pixels.astype(np.uint16)
    return image_from_array(pixels, picture=True, **options)
