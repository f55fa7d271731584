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
        truncated or corrupt.

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
        return image_from_array(
            pixels, bands=bands, picture=True, meta={'source': path}
        )
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
        Where it cannot be decoded.

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
    return image_from_array(pixels, bands=bands, picture=True)


def _pixels(picture):
    mode = picture.mode
    if mode in ('RGB', 'L', 'F'):
        return np.asarray(picture)
    if mode.startswith('I'):
        # 16 bits of grey, for which Pillow has modes of 16 and of 32 bits
        pixels = np.asarray(picture)
        return pixels.astype(np.uint16) if pixels.max(initial=0) > 255 else pixels
    return np.asarray(picture.convert('L' if mode in ('1', 'LA', 'La') else 'RGB'))
