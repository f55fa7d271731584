# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From any image to what one resample needs: pixels, matrices and flags."""

import dataclasses
import math

import numpy as np
from astropy import units as u

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import check_content
from galmorph.preprocessing import geometry
from galmorph.preprocessing.colour import mix_bands
from galmorph.preprocessing.photometry import fill_nonfinite
from galmorph.preprocessing.sizes import measure_galaxy

__all__ = ['PreparedImage', 'prepare']

# The Petrosian radius of a picture, whose stretch lifts the outskirts, over
# that of the flux: median over the pictures of Galaxy Zoo 2, whose true size
# is known. One galaxy in six differs from it by more than 1.4.
_PICTURE_RADIUS = 1.8

# Where the 90 % radius spans fewer pixels than this the structure is lost.
_MIN_RADIUS = 4.0

# Part of the network's field that may lie outside an image unmentioned.
_MAX_OUTSIDE = 0.01

# Sides of what is cut out for the resample are multiples of this, so that
# many images share a shape and go through it together.
_SIDE_STEP = 32


@dataclasses.dataclass(frozen=True)
class PreparedImage:
    """
    An image, ready for the resample.

    Attributes
    ----------
    pixels : `~numpy.ndarray`, shape (n_channel, ny, nx)
        The part of the image that the network sees: uint8 or float32 display
        values of a picture, or float32 fluxes in the unit of the recipe.
    affines : `~numpy.ndarray`, shape (n_transform, n_view, 3, 3)
        From pixels of the network's input to ``pixels``.
    is_picture : bool
        Whether the pixels are display values, which take no stretch.
    flags : `~galmorph.flags.MorphologyFlag`
        What was assumed or is amiss.
    """

    pixels: np.ndarray
    affines: np.ndarray
    is_picture: bool
    flags: MorphologyFlag


def prepare(image, recipe, transforms=None):
    """
    Prepare an image as a recipe asks.

    The size of the galaxy is that of the image where it has one. Else it is
    measured; only a picture without a WCS is taken to be framed already.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image. It is not modified.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    transforms : `~numpy.ndarray`, shape (n_transform, 3, 3), optional
        Affines of the frame for test-time averaging. The identity alone by
        default.

    Returns
    -------
    prepared : `PreparedImage`
        The image, ready for the resample.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If the image has no content, or its size is an angle and it has no
        WCS.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.preprocessing.prepare import prepare
    >>> pixels = np.random.default_rng(1).random((3, 424, 424))
    >>> prepared = prepare(GalaxyImage(pixels, is_picture=True), Recipe())
    >>> prepared.affines.shape, prepared.flags.name
    ((1, 2, 3, 3), 'FRAME_ASSUMED')
    """
    check_content(image)
    to_pixels, radius, flags = _frame_to_pixels(image, recipe)
    if transforms is None:
        transforms = np.eye(3)[None]
    affines = to_pixels @ transforms[:, None] @ recipe.output_to_frame
    box, outside = _field(affines, recipe.output_size, image.shape2d)
    if outside > _MAX_OUTSIDE:
        flags |= MorphologyFlag.EDGE
    x_start, x_stop, y_start, y_stop = box
    x, y = geometry.apply_affine(to_pixels, 0.0, 0.0)
    part = image.section(x_start, x_stop, y_start, y_stop, position=(x, y))
    pixels, filled = part.data, 0
    if pixels.dtype.kind == 'f' or part.mask is not None:
        pixels, filled = fill_nonfinite(part)
    if filled:
        flags |= MorphologyFlag.NONFINITE_PIXELS
    pixels, colour_flags = mix_bands(image, pixels, recipe, part.position, radius)
    affines = geometry.translation(-x_start, -y_start) @ affines
    return PreparedImage(pixels, affines, image.is_picture, flags | colour_flags)


def _frame_to_pixels(image, recipe):
    """The matrix from frame pixels to image pixels, the radius, the flags."""
    flags = MorphologyFlag(0)
    position, radius = image.position, _given_radius(image)
    if radius is None and image.is_picture and not image.has_wcs:
        # The whole picture is the field, whatever its pixel size.
        flags |= MorphologyFlag.FRAME_ASSUMED
        scale = min(image.shape2d) / recipe.frame_size
        radius = scale / recipe.frame_scale
    elif radius is None:
        position, radius, flags = _measured_radius(image, recipe)
    if radius < _MIN_RADIUS:
        flags |= MorphologyFlag.UNRESOLVED
    # Frame pixels in units of image pixels, as the eye sees them on the sky.
    scale = recipe.frame_scale * radius
    if not image.has_wcs:
        if not flags & MorphologyFlag.FRAME_ASSUMED:
            flags |= MorphologyFlag.ORIENTATION_ASSUMED
        # Row 0 is the top of a picture, and the bottom of a FITS image.
        linear = geometry.scaling(scale, scale if image.is_picture else -scale)
        return geometry.translation(*position) @ linear, radius, flags
    arcsec = scale * image.pixel_scale.to_value(u.arcsec / u.pix)
    origin_x, origin_y = image.origin
    sky = geometry.sky_to_pixel(
        image.parent_wcs, position[0] + origin_x, position[1] + origin_y
    )
    if not np.isfinite(sky).all():
        msg = (
            f'the WCS of the image gives no sky position for the target at pixel '
            f'{tuple(round(v, 1) for v in position)}; give an image without a WCS, '
            'or mend its header'
        )
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    to_pixels = geometry.translation(-origin_x, -origin_y) @ sky
    return to_pixels @ geometry.scaling(arcsec), radius, flags


def _given_radius(image):
    """The size that came with the image, in pixels, or None."""
    if image.size is None:
        return None
    if image.size.unit.is_equivalent(u.pix):
        return image.size.to_value(u.pix)
    if not image.has_wcs:
        if image.is_picture:
            # Framed already: the size is that which the frame was made with.
            return None
        msg = (
            f'the size {image.size} is an angle, and the image has no WCS to tell '
            'its pixel scale; give a WCS, or the size in pixels'
        )
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    return (image.size / image.pixel_scale).to_value(u.pix)


def _measured_radius(image, recipe):
    """Position, 90 % radius in pixels, and flags, measured on the image."""
    data = np.asarray(image.data, np.float32)
    if image.mask is not None:
        data = np.where(image.mask, np.nan, data)
    found = measure_galaxy(_detection_plane(data), position=image.position)
    flags = MorphologyFlag.SIZE_MEASURED | found.flags
    # What the measurement's aperture misses says nothing of the field.
    flags &= ~MorphologyFlag.EDGE
    radius = found.petro_r90
    if image.is_picture:
        radius /= _PICTURE_RADIUS
        flags |= MorphologyFlag.SIZE_UNCERTAIN
    if not (math.isfinite(radius) and radius > 0):
        flags = (flags & ~MorphologyFlag.SIZE_MEASURED) | MorphologyFlag.SIZE_UNKNOWN
        radius = min(image.shape2d) / recipe.frame_size / recipe.frame_scale
        return image.position, radius, flags
    return (found.x, found.y), radius, flags


def _detection_plane(data):
    """The bands added, each in units of its own scatter."""
    if data.shape[0] == 1:
        return data[0]
    finite = np.where(np.isfinite(data), data, np.nan)
    # Half the interval that holds the middle 68 %, blind to the galaxy's core.
    low, high = np.nanpercentile(finite[:, ::2, ::2], [16, 50], axis=(1, 2))
    scatter = high - low
    weights = np.divide(1, scatter, out=np.zeros_like(scatter), where=scatter > 0)
    if not weights.any():
        weights[:] = 1
    return np.tensordot(weights, finite, 1) / weights.sum()


def _field(affines, size, shape):
    """What of an image a network sees, and how much it sees beyond."""
    ny, nx = shape
    steps = np.linspace(0, size - 1, 9)
    grid_x, grid_y = np.meshgrid(steps, steps)
    x, y = geometry.apply_affine(affines[..., None, None, :, :], grid_x, grid_y)
    beyond = (x < -0.5) | (x > nx - 0.5) | (y < -0.5) | (y > ny - 0.5)
    return (*_interval(x, nx), *_interval(y, ny)), beyond.mean()


def _interval(values, length):
    """First column and one past the last, in steps, within the image."""
    # Two pixels for the interpolation, and for the box of the averaging.
    spacing = np.ptp(values) / 68
    start = math.floor(values.min() - 2 - spacing)
    stop = math.ceil(values.max() + 3 + spacing)
    start = min(max(start, 0), length - 1)
    stop = start + -(-(stop - start) // _SIDE_STEP) * _SIDE_STEP
    return start, min(stop, length)
