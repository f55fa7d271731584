# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whether there is anything on an image, and where there is nothing."""

import math

import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag

__all__ = ['check_content', 'has_data', 'is_covered', 'observed_part', 'unobserved']

# Zeros that nothing was observed at fill squares of this side, in pixels: those
# of counts, or of a sky cut at 0, are strewn.
_SIDE = 5
_MIN_SOLID = 0.75

# A galaxy that is an island among zeros has a sky of zeros.
_MIN_BORDER = 1 / 8

# What a second difference along the faint pixels is, in units of how far these
# spread: 1 for white noise, 0.3 where a drizzle correlates it, less than 0.1 on
# the outskirts of a model.
_MIN_NOISE = 0.15


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


def observed_part(image):
    """
    Find the part of an image that is no padding.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image.

    Returns
    -------
    x_start, x_stop, y_start, y_stop : int
        What lines of NaN or masked pixels along the border leave, such as those
        of a cutout that goes beyond its image; everything if they leave nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import GalaxyImage
    >>> from galmorph.images.content import observed_part
    >>> pixels = np.ones((30, 40))
    >>> pixels[:, 25:] = np.nan
    >>> observed_part(GalaxyImage(pixels))
    (0, 25, 0, 30)
    """
    ny, nx = image.shape2d
    border = np.s_[:, :1], np.s_[:, -1:], np.s_[:1, :], np.s_[-1:, :]
    # Large images are not read for the sake of their four lines.
    if any(not _is_seen(image, *lines).any() for lines in border):
        seen = _is_seen(image)
        columns, rows = np.flatnonzero(seen.any(0)), np.flatnonzero(seen.any(1))
        if len(rows):
            return (
                int(columns[0]), int(columns[-1]) + 1, int(rows[0]), int(rows[-1]) + 1
            )  # fmt: skip
    return 0, nx, 0, ny


def _is_seen(image, *lines):
    """Which pixels have a value in some band."""
    part = (slice(None), *lines)
    seen = np.isfinite(image.data[part])
    if image.mask is not None:
        seen &= ~image.mask[part]
    return seen.any(0)


def has_data(pixels, x, y):
    """
    Tell whether each band has something at a target or next to it.

    Parameters
    ----------
    pixels : `~numpy.ndarray`, shape (n_band, ny, nx)
        The pixels; NaN and 0 are nothing.
    x, y : float
        The target, 0-based, on the image.

    Returns
    -------
    has_data : bool
        Whether one of the 3 x 3 pixels there has data, in each band.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.content import has_data
    >>> pixels = np.arange(20) // 10 * np.ones((1, 20, 1))
    >>> has_data(pixels, 9, 4), has_data(pixels, 8, 4)
    (True, False)
    """
    ny, nx = pixels.shape[1:]
    column, row = min(round(x), nx - 1), min(round(y), ny - 1)
    if all(math.isfinite(value) and value for value in pixels[:, row, column].tolist()):
        return True
    rows = slice(max(row - 1, 0), row + 2)
    near = pixels[:, rows, max(column - 1, 0) : column + 2]
    return bool((np.isfinite(near) & (near != 0)).any((1, 2)).all())


def unobserved(pixels, mask=None):
    """
    Find where an image has no data but zeros, as a drizzled mosaic has.

    These are zeros, and nothing else, from the edge of the image inwards, where
    the rest of it has noise and reaches the edge too. Zeros on all sides of a
    galaxy, or around a galaxy without noise, are the sky of a model; zeros that
    are strewn are counts, or a sky that was cut at 0.

    Parameters
    ----------
    pixels : `~numpy.ndarray`, shape (n_band, ny, nx)
        The pixels.
    mask : `~numpy.ndarray` of bool, shape (n_band, ny, nx), optional
        True for pixels that are missing anyway, as those that are not finite.

    Returns
    -------
    is_unobserved : `~numpy.ndarray` of bool, shape (n_band, ny, nx), or None
        True for such zeros; None where there are none.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.content import unobserved
    >>> pixels = np.random.default_rng(1).normal(size=(1, 40, 40))
    >>> unobserved(pixels) is None
    True
    >>> pixels[:, :, :10] = 0
    >>> print(unobserved(pixels).sum())
    400
    """
    zero = pixels == 0
    # All images come along here, and hardly any has zeros on its edge.
    sides = zero[:, 0], zero[:, -1], zero[..., 0], zero[..., -1]
    if not any(side.any() for side in sides):
        return None
    empty = zero | ~np.isfinite(pixels)
    if mask is not None:
        empty |= mask
    for band, plane in enumerate(pixels):
        if zero[band].any():
            zero[band] &= _outside(plane, empty[band])
    return zero if zero.any() else None


def _outside(plane, empty):
    """The empty pixels from the edge inwards, unless they are its sky."""
    edge = np.zeros(empty.shape, bool)
    edge[[0, -1]] = edge[:, [0, -1]] = True
    solid = _opened(empty)
    region = _connected(solid & edge, empty)
    n_region, n_edge = np.count_nonzero(region), np.count_nonzero(edge)
    if (
        not n_region
        or np.count_nonzero(region & solid) < _MIN_SOLID * n_region
        or np.count_nonzero(edge & ~region) < _MIN_BORDER * n_edge
        or not _is_noisy(plane, ~empty)
    ):
        return np.zeros(empty.shape, bool)
    return region


def _opened(where):
    """The part of a region that squares fill, which may stand out of the image."""
    windows = np.lib.stride_tricks.sliding_window_view
    for keeps in (np.all, np.any):
        for axis in (0, 1):
            margin = [(_SIDE // 2,) * 2 if a == axis else (0, 0) for a in (0, 1)]
            padded = np.pad(where, margin, constant_values=keeps is np.all)
            where = keeps(windows(padded, _SIDE, axis), -1)
    return where


def _connected(seeds, where):
    """The part of a region that rows and columns connect to its seeds."""
    ny, nx = where.shape
    # The pixels of a row, or column, that follow one another have one number.
    runs = (
        np.cumsum(~where, 1) + (nx + 1) * np.arange(ny)[:, None],
        np.cumsum(~where, 0) + (ny + 1) * np.arange(nx),
    )
    count = -1
    while count != (count := np.count_nonzero(seeds)):
        for number in runs:
            hit = np.zeros(number.max() + 1, bool)
            hit[number[seeds]] = True
            seeds = hit[number] & where
    return seeds


def _is_noisy(plane, good):
    """Tell whether neighbours differ as much as the faint pixels do."""
    values = plane[good]
    if not values.size:
        return False
    low, high = np.percentile(values, [1, 25])
    plane = np.where(good, plane, 0)
    faint = good & (plane <= high)
    curved = []
    for axis in (0, 1):
        a, b = np.swapaxes(plane, 0, axis), np.swapaxes(good, 0, axis)
        where = b[:-2] & np.swapaxes(faint, 0, axis)[1:-1] & b[2:]
        curved.append((a[:-2] - 2 * a[1:-1] + a[2:])[where])
    curved = np.concatenate(curved)
    return bool(
        curved.size and np.median(np.abs(curved)) > _MIN_NOISE * (high - low) > 0
    )


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
