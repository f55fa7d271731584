# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Test-time transforms: the same galaxy, turned, mirrored and zoomed."""

import numbers

import numpy as np

from galmorph.preprocessing import geometry

__all__ = ['frame_transforms']


def frame_transforms(n_transforms, zooms=(1.0,)):
    """
    Spread rotations, mirror images and zooms of the galaxy evenly.

    Parameters
    ----------
    n_transforms : int
        How many, in all. 1 is the identity. Where there are an even number
        for each zoom, half of them are mirrored.
    zooms : sequence of float, optional
        By how much the galaxy appears larger. The 60 views of Dieleman et al.
        (2015) are 10 rotations, mirrored and not, at the zooms 1/1.2, 1 and
        1.2. Crops of Q pixels where a recipe takes S, as those of Zhu et al.
        (2019), are zooms of S/Q.

    Returns
    -------
    affines : `~numpy.ndarray`, shape (n_transforms, 3, 3)
        Matrices in the frame, one zoom after the other.

    Raises
    ------
    ValueError
        If ``n_transforms`` is not a whole number above 0 that the number of
        zooms divides, or a zoom is not positive.

    Examples
    --------
    >>> from galmorph.inference.transforms import frame_transforms
    >>> frame_transforms(8).shape
    (8, 3, 3)
    >>> frame_transforms(60, zooms=(1 / 1.2, 1, 1.2)).shape
    (60, 3, 3)
    """
    if not isinstance(n_transforms, numbers.Integral) or n_transforms < 1:
        msg = f'n_transforms must be a whole number above 0, not {n_transforms!r}'
        raise ValueError(msg)
    zooms = np.atleast_1d(np.asarray(zooms, float))
    if zooms.ndim != 1 or not (np.isfinite(zooms) & (zooms > 0)).all():
        msg = f'zooms must be positive numbers, not {zooms.tolist()}'
        raise ValueError(msg)
    if not len(zooms) or n_transforms % len(zooms):
        msg = (
            f'n_transforms={n_transforms} cannot be shared among {len(zooms)} zooms; '
            f'give a multiple of that'
        )
        raise ValueError(msg)
    n_each = n_transforms // len(zooms)
    mirrored = 2 if n_each % 2 == 0 else 1
    n_angles = n_each // mirrored
    angles = np.tile(np.arange(n_angles) * 360 / n_angles, mirrored)
    flipped = np.arange(n_each) >= n_angles
    turned = geometry.rotation(angles) @ geometry.flip(flipped)
    # A frame that is smaller by the zoom shows the galaxy larger.
    scaled = [turned @ geometry.scaling(1 / zoom) for zoom in zooms.tolist()]
    return np.concatenate(scaled)
