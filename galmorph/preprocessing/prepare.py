# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From any image to what one resample needs: pixels, matrices and flags."""

import dataclasses
import math

import numpy as np
from astropy import units as u

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, check_content
from galmorph.images.content import observed_part
from galmorph.preprocessing import _field, geometry
from galmorph.preprocessing.colour import choose_bands, mix_bands
from galmorph.preprocessing.photometry import fill_nonfinite
from galmorph.preprocessing.sizes import measure_galaxy
from galmorph.preprocessing.stretch import get_stretch
from galmorph.preprocessing.survey import is_from_survey

__all__ = ['PreparedImage', 'measure_image', 'prepare']

# The Petrosian radius of a picture, whose stretch lifts the outskirts, over
# that of the flux: median over the pictures of Galaxy Zoo 2, whose true size
# is known. One galaxy in six differs from it by more than 1.4.
_PICTURE_RADIUS = 1.8

# Dieleman et al. (2015) let the measured size change the scale by so much.
_MAX_ZOOM = 1.5

# Where the 90 % radius spans fewer pixels than this the structure is lost.
_MIN_RADIUS = 4.0

# Part of the network's field that may lie outside an image unmentioned.
_MAX_OUTSIDE = 0.01


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
    filled : float
        The part of the pixels that were missing and had to be filled.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.preprocessing.prepare import prepare
    >>> pixels = np.random.default_rng(1).random((3, 212, 212))
    >>> image = prepare(GalaxyImage(pixels, is_picture=True), Recipe())
    >>> image.is_picture, image.filled, image.affines.shape
    (True, 0.0, (1, 2, 3, 3))
    """

    pixels: np.ndarray
    affines: np.ndarray
    is_picture: bool
    flags: MorphologyFlag
    filled: float = 0.0


def prepare(image, recipe, transforms=None, *, reach=None):
    """
    Prepare an image as a recipe asks.

    The size of the galaxy is that of the image where it has one. Else it is
    measured; only a picture without a WCS is taken to be framed already, unless
    the recipe asks to recentre it.
    An image that says that it is not from the survey of the recipe is flagged.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image. It is not modified.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    transforms : `~numpy.ndarray`, shape (n_transform, 3, 3), optional
        Affines of the frame for test-time averaging. The identity alone by
        default.
    reach : `~numpy.ndarray`, shape (n, 3, 3), optional
        Further affines of the frame for which the pixels must do, such as
        those that bound an augmentation.

    Returns
    -------
    prepared : `PreparedImage`
        The image, ready for the resample.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If the image has no content, its size is an angle and it has no WCS, or
        the galaxy's radius exceeds its longer side.

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
    image = _needed_bands(image, recipe)
    check_content(image)
    to_pixels, radius, flags = _frame_to_pixels(image, recipe)
    if transforms is None:
        transforms = np.eye(3)[None]
    affines = to_pixels @ transforms[:, None] @ recipe.output_to_frame
    box, outside = _field.field(affines, recipe, image.shape2d)
    seen = affines
    if reach is not None:
        beyond = to_pixels @ reach[:, None] @ recipe.output_to_frame
        seen = np.concatenate([affines, beyond])
        box, _ = _field.field(seen, recipe, image.shape2d)
    x_start, x_stop, y_start, y_stop = observed_part(image)
    if (x_stop - x_start, y_stop - y_start) != image.shape2d[::-1]:
        within = geometry.translation(-x_start, -y_start) @ affines
        observed = y_stop - y_start, x_stop - x_start
        _, outside = _field.field(within, recipe, observed)
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
    pixels, colour_flags = mix_bands(
        image, pixels, recipe, part.position, recipe.radius90 * radius,
        frame=_field.frame_part(x, y, radius, recipe, image.shape2d),
    )  # fmt: skip
    corner = x_start, y_start
    if not image.is_picture and get_stretch(recipe.stretch).limits is not None:
        # 0, which the resample takes for what lies outside, is not the sky here.
        extent = _field.extent(geometry.translation(-x_start, -y_start) @ seen, recipe)
        pixels, margin = _field.continue_sky(pixels, extent)
        corner = x_start - margin[0], y_start - margin[1]
    affines = geometry.translation(-corner[0], -corner[1]) @ affines
    if is_from_survey(image, recipe.survey) is False:
        flags |= MorphologyFlag.OTHER_INSTRUMENT
    flags |= colour_flags
    return PreparedImage(pixels, affines, image.is_picture, flags, filled)


def measure_image(image):
    """
    Measure the galaxy at the target position of an image.

    All bands are added, each in units of its own scatter. The radii of a
    picture, whose stretch lifts the outskirts, are scaled to those of the
    flux of a typical galaxy.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image. Its size, if it has one, is not used.

    Returns
    -------
    size : `~galmorph.preprocessing.sizes.GalaxySize`
        Position and radii in pixels. The flags have SIZE_MEASURED where the
        90 % radius is finite, and for a picture SIZE_UNCERTAIN.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage
    >>> from galmorph.preprocessing.prepare import measure_image
    >>> y, x = np.mgrid[:101, :101] - 50
    >>> size = measure_image(GalaxyImage(np.exp(-np.hypot(x, y) / 5)))
    >>> print(f'{size.petro_r90:.1f}')
    19.1
    """
    data = np.asarray(image.data, np.float32)
    if image.mask is not None:
        data = np.where(image.mask, np.nan, data)
    found = measure_galaxy(_detection_plane(data), position=image.position)
    # What the measurement's aperture misses says nothing of the field.
    flags = found.flags & ~MorphologyFlag.EDGE
    if not (math.isfinite(found.petro_r90) and found.petro_r90 > 0):
        return dataclasses.replace(found, flags=flags)
    flags |= MorphologyFlag.SIZE_MEASURED
    if not image.is_picture:
        return dataclasses.replace(found, flags=flags)
    return dataclasses.replace(
        found,
        petro_radius=found.petro_radius / _PICTURE_RADIUS,
        petro_r50=found.petro_r50 / _PICTURE_RADIUS,
        petro_r90=found.petro_r90 / _PICTURE_RADIUS,
        flags=flags | MorphologyFlag.SIZE_UNCERTAIN,
    )


def _needed_bands(image, recipe):
    """The image without the bands that the recipe does not show."""
    weights, _ = choose_bands(image.bands, recipe, is_picture=image.is_picture)
    needed = np.flatnonzero(weights.any(0))
    if len(needed) == image.n_band:
        return image
    meta = dict(image.meta)
    if meta.get('headers'):
        meta['headers'] = [meta['headers'][index] for index in needed]
    return GalaxyImage(
        image.data[needed],
        bands=[image.bands[index] for index in needed],
        unit=image.unit,
        wcs=image.wcs,
        mask=None if image.mask is None else image.mask[needed],
        meta=meta,
        position=image.position,
        size=image.size,
        is_picture=image.is_picture,
    )


def _frame_to_pixels(image, recipe):
    """The matrix from frame pixels to image pixels, the radius, the flags."""
    flags = MorphologyFlag(0)
    position, size = image.position, image.size
    is_angle = size is not None and not size.unit.is_equivalent(u.pix)
    if image.is_picture and not image.has_wcs and (size is None or is_angle):
        # The whole picture is the field, whatever its pixel size; an angle is
        # that which the frame was made with.
        if recipe.recentre:
            position, radius, flags = _recentred(image, recipe)
        else:
            flags |= MorphologyFlag.FRAME_ASSUMED
            radius = _framed_radius(image, recipe)
    elif size is None:
        position, radius, flags = _measured_radius(image, recipe)
    elif not is_angle:
        radius = size.to_value(u.pix)
    elif not image.has_wcs:
        msg = (
            f'the size {size} is an angle, and the image has no WCS to tell '
            'its pixel scale; give a WCS, or the size in pixels'
        )
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    if image.has_wcs:
        linear = _sky_to_pixels(image, position)
        # That of the WCS holds at its reference point, which may be far away.
        pixel_scale = abs(np.linalg.det(linear)) ** -0.5
        if is_angle:
            radius = size.to_value(u.arcsec) / pixel_scale
        linear = linear @ geometry.scaling(pixel_scale)
    else:
        if not flags & MorphologyFlag.FRAME_ASSUMED:
            flags |= MorphologyFlag.ORIENTATION_ASSUMED
        # Row 0 is the top of a picture, and the bottom of a FITS image.
        parity = geometry.scaling(1, 1 if image.is_picture else -1)
        linear = geometry.translation(*position) @ parity
    if recipe.radius90 * radius < _MIN_RADIUS:
        flags |= MorphologyFlag.UNRESOLVED
    if size is not None and recipe.radius90 * radius > max(image.shape2d):
        # It shows next to nothing of the galaxy, and the cost has no limit.
        ny, nx = image.shape2d
        msg = (
            f'the size {size} is a radius of {radius:.4g} pixels, larger than the '
            f'image of {nx} x {ny} pixels; check its unit and the scale of the WCS, '
            'or give no size'
        )
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    return linear @ geometry.scaling(recipe.frame_scale * radius), radius, flags


def _framed_radius(image, recipe):
    """The radius in pixels of a galaxy whose frame is the whole image."""
    return min(image.shape2d) / recipe.frame_size / recipe.frame_scale


def _recentred(image, recipe):
    """Position, radius in pixels, and flags, of a galaxy that is framed roughly."""
    framed = _framed_radius(image, recipe)
    found = measure_image(image)
    if not found.flags & MorphologyFlag.SIZE_MEASURED:
        flags = found.flags | MorphologyFlag.FRAME_ASSUMED
        return (found.x, found.y), framed, flags
    radius = recipe.radius_of(found)
    radius = min(max(radius, framed / _MAX_ZOOM), framed * _MAX_ZOOM)
    return (found.x, found.y), radius, found.flags


def _sky_to_pixels(image, position):
    """The matrix from arcseconds, west and south of a position, to pixels."""
    x, y = image.origin
    sky = geometry.sky_to_pixel(image.parent_wcs, position[0] + x, position[1] + y)
    if not np.isfinite(sky).all():
        msg = (
            f'the WCS of the image gives no sky position for the target at pixel '
            f'{tuple(round(v, 1) for v in position)}; give an image without a WCS, '
            'or mend its header'
        )
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    return geometry.translation(-x, -y) @ sky


def _measured_radius(image, recipe):
    """Position, radius in pixels, and flags, measured on the image."""
    found = measure_image(image)
    if found.flags & MorphologyFlag.SIZE_MEASURED:
        return (found.x, found.y), recipe.radius_of(found), found.flags
    flags = found.flags | MorphologyFlag.SIZE_UNKNOWN
    if image.is_picture:
        flags |= MorphologyFlag.SIZE_UNCERTAIN
    return image.position, _framed_radius(image, recipe), flags


def _detection_plane(data):
    """The bands added, each in units of its own scatter."""
    if data.shape[0] == 1:
        return data[0]
    finite = np.where(np.isfinite(data), data, np.nan)
    # Half the interval that holds the middle 68 %, blind to the galaxy's core.
    sample = finite[:, ::2, ::2]
    if np.isnan(sample).all(axis=(1, 2)).any():
        sample = finite
    low, high = np.nanpercentile(sample, [16, 50], axis=(1, 2))
    scatter = high - low
    weights = np.divide(1, scatter, out=np.zeros_like(scatter), where=scatter > 0)
    if not weights.any():
        weights[:] = 1
    return np.tensordot(weights, finite, 1) / weights.sum()
