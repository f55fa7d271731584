# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whether there is anything on an image."""

import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag

__all__ = ['check_content', 'is_covered']


def check_content(image, bands=None):
    """
    Refuse an image without content.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image, cut to what is to be classified.
    bands : sequence of str, optional
        The bands that matter. By default all.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``INVALID_IMAGE`` where all pixels are NaN, infinite,
        masked, or of one value; with ``BANDS_MISSING`` where this holds for
        some of the bands of an image that is not a picture.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import GalaxyImage, check_content
    >>> check_content(GalaxyImage(np.ones((64, 64))))
    Traceback (most recent call last):
    ...
    galmorph.exceptions.ImageError: the image has the same value in every pixel
    """
    blank = []
    n_checked = 0
    for plane, name in enumerate(image.bands):
        if bands is not None and name not in bands:
            continue
        n_checked += 1
        mask = None if image.mask is None else image.mask[plane]
        reason = _why_blank(image.data[plane], mask)
        if reason is not None:
            blank.append((name, reason))
        elif image.is_picture:
            return
    if not blank:
        return
    name, reason = blank[0]
    if len(blank) == n_checked:
        msg = f'the image has {reason}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    msg = f'band {name!r} of the image has {reason}'
    raise ImageError(msg, flag=MorphologyFlag.BANDS_MISSING)


def is_covered(empty, x, y):
    """
    Tell whether the target was observed.

    Parameters
    ----------
    empty : `~numpy.ndarray` of bool, shape (ny, nx)
        True for pixels without data.
    x, y : float
        The target, 0-based.

    Returns
    -------
    is_covered : bool
        Whether it is on the image, and one of the 3 x 3 pixels there has data.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.content import is_covered
    >>> empty = np.arange(20) * np.ones((20, 1)) < 10
    >>> is_covered(empty, 15, 4), is_covered(empty, 5, 4), is_covered(empty, 50, 4)
    (True, False, False)
    """
    ny, nx = empty.shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        return False
    column, row = round(x), round(y)
    near = empty[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return not near.all()


def _why_blank(plane, mask):
    # A few hundred pixels show nearly always that the plane is not blank.
    for step in (max(1, min(plane.shape) // 16), 1):
        values = plane[::step, ::step]
        if mask is not None:
            values = values[~mask[::step, ::step]]
        if values.dtype.kind == 'f':
            values = values[np.isfinite(values)]
        if values.size and values.min() != values.max():
            return None
    return 'the same value in every pixel' if values.size else 'no finite pixel'
