# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What of an image a network sees: rows, columns, and the sky around."""

import math

import numpy as np

from galmorph.preprocessing import geometry
from galmorph.preprocessing.photometry import estimate_background

# Sides of what is cut out for the resample are multiples of this, so that
# many images share a shape and go through it together.
_SIDE_STEP = 32

# Test-time zooms make a galaxy smaller by as much, and the resample takes
# neighbours, of pixels whose size is not known before the image is.
_FARTHEST = 1.2 * 1.1

# The sky is that of the border: from here on, in 90 % radii, it has little light.
_SKY = 3.0


def field(affines, recipe, shape):
    """What of an image a network sees, and how much it sees beyond."""
    ny, nx = shape
    x, y, margins = _grid(affines, recipe)
    beyond = (x < -0.5) | (x > nx - 0.5) | (y < -0.5) | (y > ny - 0.5)
    return (
        *_interval(x, margins[0], nx),
        *_interval(y, margins[1], ny),
    ), beyond.mean()


def extent(affines, recipe):
    """The first and last column and row that a network sees, anywhere."""
    x, y, margins = _grid(affines, recipe)
    return [
        (v.min() - m, v.max() + m + 1) for v, m in zip((x, y), margins, strict=True)
    ]


def reach(recipe, affines=None):
    """How far an image should go from a galaxy in all directions, in its radii."""
    seen = recipe.output_to_frame[None]
    if affines is not None:
        seen = np.concatenate([seen, affines[:, None] @ recipe.output_to_frame])
    ends = -0.5, recipe.output_size - 0.5
    corners = [geometry.apply_affine(seen, x, y) for x in ends for y in ends]
    farthest = _FARTHEST * max(np.hypot(x, y).max() for x, y in corners)
    farthest = recipe.frame_scale * max(farthest, recipe.frame_size / 2)
    return float(max(farthest, _SKY * recipe.radius90))


def frame_part(x, y, radius, recipe, shape):
    """The rows and columns of an image that its frame covers."""
    half = radius * recipe.frame_scale * recipe.frame_size / 2
    return tuple(
        slice(*np.clip([round(c - half), round(c + half) + 1], 0, n))
        for c, n in ((y, shape[0]), (x, shape[1]))
    )


def continue_sky(pixels, extent):
    """Pixels with the level of their sky around them, and how much left and below."""
    ny, nx = pixels.shape[1:]
    (x_start, x_stop), (y_start, y_stop) = extent
    left, below = max(0, math.ceil(-x_start)), max(0, math.ceil(-y_start))
    right, above = (max(0, math.ceil(s - n)) for s, n in ((x_stop, nx), (y_stop, ny)))
    if not (left or right or below or above):
        return pixels, (0, 0)
    wider = np.empty((len(pixels), below + ny + above, left + nx + right), np.float32)
    wider[:] = estimate_background(pixels).level[:, None, None]
    wider[:, below : below + ny, left : left + nx] = pixels
    return wider, (left, below)


def _grid(affines, recipe):
    """Where a network looks, and how far around these points it averages."""
    steps = np.linspace(0, recipe.output_size - 1, 9)
    grid_x, grid_y = np.meshgrid(steps, steps)
    x, y = geometry.apply_affine(affines[..., None, None, :, :], grid_x, grid_y)
    # Half the diagonal of the box that is averaged, and the interpolation.
    sides = np.abs(affines[..., :2, :2]).sum(-1).reshape(-1, 2).max(0)
    return x, y, 2 + recipe.antialias / 2 * sides


def _interval(values, margin, length):
    """First column and one past the last, in steps, within the image."""
    start = math.floor(values.min() - margin)
    stop = math.ceil(values.max() + 1 + margin)
    start = min(max(start, 0), length - 1)
    stop = start + max(-(-(stop - start) // _SIDE_STEP), 1) * _SIDE_STEP
    return start, min(stop, length)
