# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The size of a galaxy in a picture of which only the stretched light is known."""

import functools

import numpy as np

from galmorph.preprocessing.recipe import Recipe

__all__ = ['infer_size']

# The 90 % radius of the flux over the radius that holds half the light of the
# stretched picture: the median over 300 frames of Galaxy Zoo 2, whose size is
# known; for two of three it is within 0.81 and 1.25.
_RADIUS_RATIO = 1.07


def infer_size(picture, *, ratio=_RADIUS_RATIO):
    """
    Infer the size of the galaxy in the middle of a stretched picture.

    The radius that holds half the light within half the frame, times a ratio
    that was calibrated on frames of Galaxy Zoo 2. Frame and size are found in
    turn.

    Parameters
    ----------
    picture : `~numpy.ndarray`, shape (n_channel, ny, nx)
        Display values.
    ratio : float, optional
        The 90 % radius of the flux over the half-light radius of the picture.

    Returns
    -------
    size : float
        The 90 % radius in pixels, between 5 and a quarter of the picture.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.data.sizing import infer_size
    >>> y, x = np.mgrid[:200, :200] - 99.5
    >>> print(f'{infer_size(np.exp(-np.hypot(x, y) / 9)[None], ratio=1):.1f}')
    14.9
    """
    light = picture.astype(np.float32).sum(0)
    border = np.median(np.concatenate([light[:4].ravel(), light[-4:].ravel()]))
    ny, nx = light.shape
    order, radius = _rings(ny, nx)
    growth = np.cumsum((light - border).ravel()[order])
    largest, recipe = min(ny, nx) / 2 - 1, Recipe()
    size = 10.0
    for _ in range(5):
        aperture = min(size * recipe.frame_size * recipe.frame_scale / 2, largest)
        last = np.searchsorted(radius, aperture) - 1
        half = np.searchsorted(growth[: last + 1], growth[last] / 2)
        size = ratio * radius[min(half, last)]
    return float(np.clip(size, 5, max(5, min(ny, nx) / 4)))


@functools.lru_cache(maxsize=8)
def _rings(ny, nx):
    """Pixels from the centre outwards, and their radii."""
    y, x = np.indices((ny, nx))
    radius = np.hypot(x - (nx - 1) / 2, y - (ny - 1) / 2).ravel()
    order = np.argsort(radius, kind='stable')
    return order, radius[order]
