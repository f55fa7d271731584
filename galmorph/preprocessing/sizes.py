# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The source at the centre of an image and its Petrosian radii."""

import warnings
from dataclasses import dataclass

import numpy as np
from astropy.utils.exceptions import AstropyUserWarning
from scipy import ndimage

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.preprocessing.photometry import clipped_statistics, estimate_background
from galmorph.preprocessing.profiles import (
    APERTURE,
    INNER,
    OUTER,
    RadialProfile,
    petrosian_radii,
    sersic_wings,
)

__all__ = ['GalaxySize', 'measure_galaxy']

# Below this half-light radius, in pixels, the centre of a galaxy is not
# resolved; a star of FWHM 3 to 4 pixels has 1.5 to 2.2.
UNRESOLVED_R50 = 2.5
# petroR90/petroR50 is 1.82 for a Gaussian, 2.0 to 2.3 for Moffat stars.
STAR_CONCENTRATION = 2.4
STAR_AXIS_RATIO = 0.8

LOW_SIGNAL_TO_NOISE = 20.0
UNCERTAIN_ERROR = 0.05
MIN_COVERAGE = 0.7

_MIN_SIDE = 8
_MIN_PIXELS = 5
_MIN_SKY = 200
# Neighbours are masked so many pixels beyond where they were detected.
_GROWTH = 3
_BLEND_PIXELS = 4000


@dataclass(frozen=True)
class GalaxySize:
    """
    The place, size and shape of one galaxy.

    Attributes
    ----------
    x, y : float
        The centre, 0-based pixels; the position asked for where no source
        was found.
    petro_radius : float
        The Petrosian radius, pixels. NaN where there is no source.
    petro_r50, petro_r90 : float
        The radii of the circles with 50 and 90 % of the flux within two
        Petrosian radii, pixels.
    axis_ratio : float
        Minor over major axis of the light distribution.
    position_angle : float
        Direction of the major axis from +x towards +y, degrees, 0 to 180.
    signal_to_noise : float
        The flux within the Petrosian radius over its sky noise; infinite on
        an image without noise.
    flags : `~galmorph.flags.MorphologyFlag`
        What limits the measurement; 0 if nothing does.

        * NO_SOURCE: nothing was found at the position, no size is given.
        * SIZE_UNCERTAIN: the profile never falls to eta within the image
          (the radii are then those of the light inside the image, lower
          limits), less than 70 % of the aperture has pixels, or the expected
          error of the Petrosian radius or of petro_r90 is above 5 %.
        * EDGE: the aperture of two Petrosian radii leaves the image.
        * LOW_SIGNAL: the signal to noise is below 20.
        * UNRESOLVED: petro_r50 is below 2.5 pixels.
        * POINT_SOURCE: moreover petro_r90 / petro_r50 is below 2.4 and the
          axis ratio above 0.8, as for stars. Without the PSF a round, small
          exponential galaxy cannot be told from a star.

    Examples
    --------
    >>> from galmorph.flags import MorphologyFlag
    >>> from galmorph.preprocessing.sizes import GalaxySize
    >>> size = GalaxySize(50, 50, 20, 9, 21, 0.7, 30, 150, MorphologyFlag.EDGE)
    >>> size.flags
    <MorphologyFlag.EDGE: 512>
    """

    x: float
    y: float
    petro_radius: float = np.nan
    petro_r50: float = np.nan
    petro_r90: float = np.nan
    axis_ratio: float = np.nan
    position_angle: float = np.nan
    signal_to_noise: float = np.nan
    flags: MorphologyFlag = MorphologyFlag.NO_SOURCE


def measure_galaxy(data, *, position=None, background=None, noise=None, mask=None):
    """
    Find the galaxy at a position and measure its Petrosian radii.

    The source is found by `photutils.segmentation`, deblended from what it
    touches, and centred by Gaussian-weighted moments. The Petrosian radius is
    where the mean surface brightness between 0.8 and 1.25 r is 0.2 of that
    within r [1]_, [2]_, all in circles. Neighbours, masked and missing pixels
    are replaced by the mean of the other pixels at their radius.

    Parameters
    ----------
    data : array-like
        The pixels of one band, or the luminance of a picture, shape
        ``(ny, nx)``. Radii in a stretched picture are those of the picture,
        not of the flux.
    position : (float, float), optional
        The target (x, y), 0-based pixels; by default the image centre.
    background : float, optional
        The sky level, in the unit of ``data``. By default it is measured
        outside of the galaxy and its neighbours.
    noise : float, optional
        The standard deviation of the sky; measured by default.
    mask : array-like of bool, optional
        True for pixels to leave out, shape ``(ny, nx)``.

    Returns
    -------
    size : `GalaxySize`
        Place, radii and shape, and the flags that say what limits them. An
        image without a source gives NaN and NO_SOURCE, not an error.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If ``data`` is not 2-D.
    ValueError
        If ``mask`` has another shape.

    References
    ----------
    .. [1] Petrosian 1976, ApJ 209, L1.
    .. [2] Blanton et al. 2001, AJ 121, 2358, equations 2 and 3.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.preprocessing.sizes import measure_galaxy
    >>> y, x = np.mgrid[:201, :201]
    >>> disk = np.exp(-np.hypot(x - 100, y - 100) / 9)
    >>> size = measure_galaxy(disk)
    >>> print(f'{size.petro_radius:.0f} {size.petro_r50:.0f} {size.petro_r90:.0f}')
    32 15 34
    """
    data, good = _as_pixels(data, mask)
    ny, nx = data.shape
    x, y = ((nx - 1) / 2, (ny - 1) / 2) if position is None else map(float, position)
    nothing = GalaxySize(x, y)
    inside = -0.5 <= x < nx - 0.5 and -0.5 <= y < ny - 0.5
    if not inside or min(ny, nx) < _MIN_SIDE or np.count_nonzero(good) < _MIN_SIDE**2:
        return nothing

    sky = estimate_background(data, ~good)
    level = sky.level[0] if background is None else float(background)
    sigma = sky.noise[0] if noise is None else float(noise)
    light = np.where(good, data - level, 0.0)
    segment, others, smooth = _find_source(light, good, (x, y), background, noise)
    if segment is None:
        return nothing
    x, y = _centre(light, segment)
    good &= ~others
    profile = RadialProfile(light, good, x, y)
    extent = profile.radius[segment].max()
    level, sky_error = 0.0, 0.0
    if background is None:
        level, sky_error = _subtract_sky(profile, light, good, extent, sigma)
    radii = petrosian_radii(profile, extent, sigma)
    within = float(profile.within(radii.radius))
    if not (radii.flux > 0 and within > 0):
        return nothing
    bright = segment & (smooth > profile.surface(radii.radius) + level)
    axis_ratio, angle = _shape(light - level, bright, x, y)
    error = sigma * np.sqrt(np.pi) * radii.radius
    signal = within / error if error > 0 else np.inf

    flags = _size_flags(profile, radii, sigma, sky_error)
    if APERTURE * radii.radius > min(x, y, nx - 1 - x, ny - 1 - y) + 0.5:
        flags |= MorphologyFlag.EDGE
    if signal < LOW_SIGNAL_TO_NOISE:
        flags |= MorphologyFlag.LOW_SIGNAL
    if radii.r50 < UNRESOLVED_R50:
        flags |= MorphologyFlag.UNRESOLVED
        is_round = axis_ratio > STAR_AXIS_RATIO
        if is_round and radii.r90 / radii.r50 < STAR_CONCENTRATION:
            flags |= MorphologyFlag.POINT_SOURCE
    values = (x, y, *radii[:3], axis_ratio, angle, signal)
    return GalaxySize(*map(float, values), flags=flags)


def _as_pixels(data, mask):
    """Return the data as float64, and where they are good."""
    data = np.asarray(data, dtype=np.float64)
    if data.ndim != 2:
        msg = (
            f'data must be one band of shape (ny, nx), not {data.shape}; choose a '
            'band or the mean of the bands'
        )
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    good = np.isfinite(data)
    if mask is not None:
        if np.shape(mask) != data.shape:
            msg = f'mask must have the shape {data.shape} of data, not {np.shape(mask)}'
            raise ValueError(msg)
        good &= ~np.asarray(mask, dtype=bool)
    return data, good


def _size_flags(profile, radii, sigma, sky_error):
    """Return SIZE_UNCERTAIN if the radii are, else no flag."""
    aperture = APERTURE * radii.radius
    area = np.pi * aperture**2
    error = np.hypot(sigma * np.sqrt(area), sky_error * area)
    # So much of the flux moves the radius with 90 % of it by its own length.
    slope = 2 * np.pi * radii.r90**2 * profile.surface(radii.r90)
    # The Petrosian radius by the noise in its annulus.
    ring = np.pi * (OUTER**2 - INNER**2) * radii.radius**2
    below, above = (profile.excess(part * radii.radius) for part in (0.9, 1.1))
    ring_error = np.hypot(sigma / np.sqrt(ring), sky_error)
    is_certain = (
        radii.is_reached
        and profile.coverage(aperture) >= MIN_COVERAGE
        and 0.9 * error <= UNCERTAIN_ERROR * slope
        and 0.2 * ring_error <= UNCERTAIN_ERROR * (below - above)
    )
    return MorphologyFlag(0) if is_certain else MorphologyFlag.SIZE_UNCERTAIN


def _subtract_sky(profile, light, good, extent, sigma):
    """
    Take the sky outside of the aperture off the profile.

    The wings of the galaxy go on there, above all those of ellipticals. They
    are taken off the sky first: those of the Sersic profile with the
    concentration and the half-light radius of the galaxy.

    Returns
    -------
    level, error : float
        The sky level and its error: that of noise, or half of the wings.
    """
    level, error = 0.0, np.inf
    far = profile.holding(0.8)
    for _ in range(2):
        radii = petrosian_radii(profile, extent, sigma)
        outside = good & (profile.radius > min(APERTURE * radii.radius, far))
        n_sky = np.count_nonzero(outside)
        if n_sky < _MIN_SKY:
            break
        values = light[outside]
        mean, median, _ = clipped_statistics(values)
        # Of pictures that cut the lower half of their noise, only the mean
        # is what adds up in an aperture.
        is_cut = np.mean(values == values.min()) > 0.1
        sky = mean if is_cut else median
        distance = np.median(profile.radius[outside])
        profile.subtract(sky - level)
        level, wings = sky, 0.0
        for _ in range(5):
            radii = petrosian_radii(profile, extent, sigma)
            before, wings = wings, sersic_wings(distance, radii)
            profile.subtract(before - wings)
            level += before - wings
            if abs(wings - before) <= 0.01 * wings:
                break
        error = max(sigma / np.sqrt(n_sky), 0.5 * wings)
    return level, error


def _find_source(light, good, position, background, noise):
    """Return the target, the other sources and the smooth image, or None."""
    # Only here: it takes a second to import, and most callers have sizes.
    from photutils.segmentation import detect_sources
    from photutils.utils.exceptions import NoDetectionsWarning

    smooth = ndimage.gaussian_filter(light, 1.0)
    (level,), (sigma,) = estimate_background(smooth, ~good)
    level = level if background is None else 0.0
    sigma = sigma if noise is None else min(sigma, noise)
    height = smooth[good].max() - level
    # The floor is for models and pictures, whose sky may have no noise.
    threshold = level + max(2 * sigma, 1e-3 * height)
    if not height > 0:
        return None, None, None
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NoDetectionsWarning)
        found = detect_sources(smooth, threshold, _MIN_PIXELS, mask=~good)
    label = 0 if found is None else _label_at(found.data, *position)
    if not label:
        return None, None, None
    segment = _deblend(light, found.data == label, position)
    others = (found.data > 0) & ~segment
    others = ndimage.binary_dilation(others, iterations=_GROWTH) & ~segment
    return segment, others, smooth


def _deblend(light, blend, position):
    """Return the part of a blend of sources that holds the position."""
    from photutils.segmentation import SegmentationImage, deblend_sources

    (box,) = ndimage.find_objects(blend.astype(np.uint8))
    inside = blend[box]
    # Binned until it has some thousand pixels, a blend takes milliseconds.
    n_bin = int(np.ceil(np.sqrt(np.count_nonzero(inside) / _BLEND_PIXELS)))
    binned = _binned(np.where(inside, light[box], 0.0), n_bin)
    # Any part of a block counts, so that a blend stays in one piece.
    covered = _binned(inside.astype(np.float64), n_bin) > 0
    area = np.count_nonzero(covered)
    if area < 2 * _MIN_PIXELS:
        return blend
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', AstropyUserWarning)
        # What is smaller than n_pixels is a knot of the galaxy, or noise.
        parts = deblend_sources(
            ndimage.gaussian_filter(binned, max(1.0, 2.0 / n_bin)),
            SegmentationImage(covered.astype(np.int32)),
            max(_MIN_PIXELS, min(area // 100, 40 // n_bin)),
            n_levels=16,
            contrast=0.02,
            progress_bar=False,
        ).data
    parts = parts.repeat(n_bin, axis=0).repeat(n_bin, axis=1)
    parts = parts[: inside.shape[0], : inside.shape[1]]
    x, y = position[0] - box[1].start, position[1] - box[0].start
    here = (
        min(max(round(y), 0), inside.shape[0] - 1),
        min(max(round(x), 0), inside.shape[1] - 1),
    )
    label = _label_at(parts, here[1], here[0], reach=np.inf)
    segment = np.zeros_like(blend)
    segment[box] = inside & ((parts == label) | (parts == 0))
    return segment


def _binned(image, n_bin):
    """Return the means of blocks; beyond the border are zeros."""
    if n_bin == 1:
        return image
    ny, nx = (-(-length // n_bin) for length in image.shape)
    padding = [(0, n * n_bin - m) for n, m in zip((ny, nx), image.shape, strict=True)]
    blocks = np.pad(image, padding).reshape(ny, n_bin, nx, n_bin)
    return blocks.mean(axis=(1, 3))


def _label_at(labels, x, y, reach=None):
    """Return the label at a position, or the nearest one within reach, or 0."""
    label = labels[round(y), round(x)]
    if label:
        return int(label)
    rows, columns = np.nonzero(labels)
    distance = np.hypot(rows - y, columns - x)
    nearest = distance.argmin()
    reach = max(3.0, 0.05 * min(labels.shape)) if reach is None else reach
    if distance[nearest] > reach:
        return 0
    return int(labels[rows[nearest], columns[nearest]])


def _centre(light, segment):
    """Return the centre by moments under a Gaussian as wide as the source."""
    rows, columns = np.nonzero(segment)
    weight = np.maximum(light[segment], 0.0)
    x, y = np.average(columns, weights=weight), np.average(rows, weights=weight)
    distance = np.hypot(columns - x, rows - y)
    order = distance.argsort()
    growth = weight[order].cumsum()
    half = distance[order][np.searchsorted(growth, 0.5 * growth[-1])]
    width = max(1.0, 0.85 * half)
    start = x, y
    for _ in range(20):
        dx, dy = columns - x, rows - y
        window = weight * np.exp(-0.5 * (dx**2 + dy**2) / width**2)
        total = window.sum()
        # The window halves each step of Gaussian light.
        move_x, move_y = 2 * (window @ dx) / total, 2 * (window @ dy) / total
        x, y = x + move_x, y + move_y
        if abs(move_x) + abs(move_y) < 1e-3:
            break
    if not np.hypot(x - start[0], y - start[1]) < max(2.0, 2 * half):
        return start
    return x, y


def _shape(light, bright, x, y):
    """Return axis ratio and angle of the light of the bright pixels."""
    rows, columns = np.nonzero(bright)
    weight = np.maximum(light[bright], 0.0)
    if not weight.sum() > 0:
        return np.nan, np.nan
    dx, dy = columns - x, rows - y
    xx, yy, xy = (np.average(v, weights=weight) for v in (dx**2, dy**2, dx * dy))
    # A pixel by itself has a second moment of 1/12.
    half_sum, root = 0.5 * (xx + yy), np.hypot(0.5 * (xx - yy), xy)
    minor = max(half_sum - root, 1 / 12)
    angle = np.degrees(0.5 * np.arctan2(2 * xy, xx - yy)) % 180
    return np.sqrt(minor / max(half_sum + root, minor)), angle
