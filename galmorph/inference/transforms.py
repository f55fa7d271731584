# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Test-time transforms: the same galaxy, turned and mirrored."""

import numbers

import numpy as np

from galmorph.preprocessing import geometry

__all__ = ['frame_transforms']


def frame_transforms(n_transforms):
    """
    Spread rotations, and mirror images of them, evenly over the circle.

    Parameters
    ----------
    n_transforms : int
        How many. 1 is the identity; of an even number half are mirrored.

    Returns
    -------
    affines : `~numpy.ndarray`, shape (n_transforms, 3, 3)
        Matrices in the frame.

    Raises
    ------
    ValueError
        If it is not a whole number above 0.

    Examples
    --------
    >>> from galmorph.inference.transforms import frame_transforms
    >>> frame_transforms(8).shape
    (8, 3, 3)
    """
    if not isinstance(n_transforms, numbers.Integral) or n_transforms < 1:
        msg = f'n_transforms must be a whole number above 0, not {n_transforms!r}'
        raise ValueError(msg)
    mirrored = 2 if n_transforms % 2 == 0 else 1
    n_angles = n_transforms // mirrored
    angles = np.tile(np.arange(n_angles) * 360 / n_angles, mirrored)
    flipped = np.arange(n_transforms) >= n_angles
    return geometry.rotation(angles) @ geometry.flip(flipped)
