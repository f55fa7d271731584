# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Bands: which are shown red, green and blue, and how bright."""

import re

import numpy as np
from astropy import units as u

from galmorph.flags import MorphologyFlag
from galmorph.preprocessing.photometry import estimate_background, flux_scale
from galmorph.preprocessing.stretch import get_stretch

__all__ = ['choose_bands', 'mix_bands', 'red_to_blue']

# Effective wavelengths in nanometres of bands without a number in their name.
_WAVELENGTHS = {
    'u': 355,
    'b': 445,
    'g': 477,
    'v': 551,
    'vis': 700,
    'r': 623,
    'i': 763,
    'z': 913,
    'y': 1000,
    'j': 1250,
    'h': 1650,
    'k': 2200,
}

# What the colours of a screen are called, and a picture that has none.
_SCREEN = ('r', 'g', 'b')
_GREY = 'l'

# Filters of Webb whose numbers could be nanometres.
_WEBB_FILTERS = re.compile(
    'f(200|277|356|444|560|770)w|f322w2'
    '|f(210|250|300|335|360|410|430|460|480)m|f(212|323|405|466|470)n'
)

_FILTER = re.compile(r'f(\d{3,4})(w|w2|m|n|lp|x)')

# Surface brightness is compared within this part of the 90 % radius, which is
# about the half-light radius of a disk.
_CORE = 0.4

_ARCSEC_PER_PIXEL = u.arcsec / u.pix


def choose_bands(names, recipe, *, is_picture=False):
    """
    Choose the bands that are shown in the channels of a recipe.

    Parameters
    ----------
    names : sequence of str
        The bands of an image.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    is_picture : bool, optional
        Whether the image is a picture: bands R, G and B, in any order, are then
        the colours of the screen, and others without a known name go from red to
        blue.

    Returns
    -------
    weights : `~numpy.ndarray`, shape (n_channel, n_band)
        What each band adds to each channel; rows sum to 1.
    flags : `~galmorph.flags.MorphologyFlag`
        SINGLE_BAND where colour is wanted and there is none,
        OTHER_INSTRUMENT where the bands are not those of the recipe.

    Examples
    --------
    >>> from galmorph import Recipe
    >>> from galmorph.preprocessing.colour import choose_bands
    >>> weights, flags = choose_bands('gri', Recipe())
    >>> print(weights)
    [[0. 0. 1.]
     [0. 1. 0.]
     [1. 0. 0.]]
    >>> choose_bands(['F160W'], Recipe())[1]
    <MorphologyFlag.SINGLE_BAND|OTHER_INSTRUMENT: 163840>
    """
    n_channel, n_band = len(recipe.bands), len(names)
    flags = MorphologyFlag(0)
    short = [_short_name(name) for name in names]
    wanted = [_short_name(band) for band in recipe.bands]
    if n_band == 1:
        if n_channel > 1:
            flags |= MorphologyFlag.SINGLE_BAND
        known = [*wanted, _GREY, *_SCREEN] if is_picture else wanted
        if short[0] not in known:
            flags |= MorphologyFlag.OTHER_INSTRUMENT
        return np.ones((n_channel, 1)), flags
    if is_picture and sorted(short) == sorted(_SCREEN):
        # The R of a picture is a colour of the screen, not the band r.
        if n_channel == 1:
            return np.full((1, n_band), 1 / n_band), flags
        return np.eye(n_band)[[short.index(colour) for colour in _SCREEN]], flags
    if n_channel == 1:
        if wanted[0] in short:
            return np.eye(n_band)[[short.index(wanted[0])]], flags
        return _nearest_band(short, wanted[0]), flags | MorphologyFlag.OTHER_INSTRUMENT
    if set(wanted) <= set(short):
        return np.eye(n_band)[[short.index(band) for band in wanted]], flags
    order = red_to_blue(names)
    if order is None:
        # Bands of unknown names are taken to come blue first, planes of a picture
        # red first.
        order = np.arange(n_band)[:: 1 if is_picture else -1]
    edges = np.linspace(0, n_band - 1, n_channel)
    lower = np.floor(edges).astype(int)
    upper = np.ceil(edges).astype(int)
    sorted_bands = np.eye(n_band)[order]
    weights = (sorted_bands[lower] + sorted_bands[upper]) / 2
    return weights, flags | MorphologyFlag.OTHER_INSTRUMENT


def red_to_blue(names):
    """
    Sort bands by their wavelengths, the longest first.

    Parameters
    ----------
    names : sequence of str
        The bands.

    Returns
    -------
    order : `~numpy.ndarray` of int or None
        Their indices; `None` where a wavelength is not known.

    Examples
    --------
    >>> from galmorph.preprocessing.colour import red_to_blue
    >>> red_to_blue(['F814W', 'F125W', 'F160W'])
    array([2, 1, 0])
    """
    wavelengths = [_wavelength(_short_name(name)) for name in names]
    if None in wavelengths:
        return None
    return np.argsort(wavelengths, kind='stable')[::-1]


def _nearest_band(short, wanted):
    """Weights of the band nearest in wavelength; of all where that is unknown."""
    wavelengths = [_wavelength(name) for name in (wanted, *short)]
    if None in wavelengths:
        return np.full((1, len(short)), 1 / len(short))
    distances = np.abs(np.log(wavelengths[1:]) - np.log(wavelengths[0]))
    return np.eye(len(short))[[distances.argmin()]]


def mix_bands(image, pixels, recipe, position, radius, *, frame=(...,)):
    """
    Turn the bands of an image into the channels of a recipe.

    Bands of the recipe, with a known unit and pixel scale, keep their flux.
    Others are scaled, channel by channel, to the surface brightness of a
    typical galaxy of the training set, and flagged. For a stretch that takes
    each image by itself the flux goes from 0 to 1 between its limits in the
    frame, whatever its unit.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The whole image, on which the sky is measured.
    pixels : `~numpy.ndarray`, shape (n_band, ny, nx)
        The part of it that is shown, finite.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    position : tuple of float
        (x, y) of the galaxy in ``pixels``.
    radius : float
        The 90 % radius of the galaxy in pixels.
    frame : tuple of slice, optional
        Rows and columns of the image that the frame covers; all by default.

    Returns
    -------
    channels : `~numpy.ndarray`, shape (n_channel, ny, nx)
        A picture as it is, uint8 or float32 in [0, 1]; else fluxes in
        ``recipe.unit`` per ``recipe.pixel_area``, float32, the sky
        subtracted; or those between the limits of the stretch.
    flags : `~galmorph.flags.MorphologyFlag`
        Those of `choose_bands`, and FLUX_SCALED.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If the pixels have a unit that is not one of flux.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.preprocessing.colour import mix_bands
    >>> y, x = np.mgrid[:101, :101] - 50
    >>> image = GalaxyImage(np.exp(-np.hypot(x, y) / 5), bands='r')
    >>> channels, flags = mix_bands(image, image.data, Recipe(), (50, 50), 15)
    >>> channels.shape, 'FLUX_SCALED' in flags.name
    ((3, 101, 101), True)
    """
    weights, flags = choose_bands(image.bands, recipe, is_picture=image.is_picture)
    if image.is_picture:
        return _picture_channels(pixels, weights), flags
    limits = get_stretch(recipe.stretch).limits
    if limits is not None:
        return _between_limits(image, pixels, weights, limits, frame), flags
    # Asked for even where the bands are others: no image in kelvin passes.
    factors = _calibration(image, recipe)
    if flags:
        factors = None
    level = estimate_background(image.data, image.mask).level
    light = np.asarray(pixels, np.float32) - np.float32(level)[:, None, None]
    if factors is not None:
        light *= np.float32(factors)[:, None, None]
        return _channels(light, weights), flags
    channels = _channels(light, weights)
    brightness = _core_brightness(channels, position, radius)
    # A galaxy lost in the noise is shown by its noise, not divided by 0.
    floor = np.std(channels, axis=(1, 2))
    brightness = np.where(brightness > 0.1 * floor, brightness, floor)
    factor = np.divide(
        recipe.surface_brightness,
        brightness,
        out=np.zeros_like(brightness, float),
        where=brightness > 0,
    )
    channels = channels * np.float32(factor)[:, None, None]
    return channels, flags | MorphologyFlag.FLUX_SCALED


def _between_limits(image, pixels, weights, limits, frame):
    """Channels that go from 0 to 1 between percentiles of their frame."""
    shown = np.asarray(image.data[:, *frame], np.float32)
    if image.mask is not None:
        shown = np.where(image.mask[:, *frame], np.nan, shown)
    shown = _channels(np.where(np.isfinite(shown), shown, np.nan), weights)
    channels = _channels(np.asarray(pixels, np.float32), weights)
    if not np.isfinite(shown).any((1, 2)).all():
        shown = channels
    low, high = np.nanpercentile(shown, limits, axis=(1, 2))[:, :, None, None]
    scale = np.divide(1, high - low, out=np.zeros_like(high), where=high > low)
    return ((channels - low) * scale).astype(np.float32)


def _channels(data, weights):
    """Mix bands; where they stay or change places, without arithmetic."""
    if np.array_equal(weights, np.eye(len(data))):
        return data
    if ((weights == 0) | (weights == 1)).all():
        return data[weights.argmax(1)]
    return np.tensordot(weights.astype(np.float32), data.astype(np.float32), 1)


def _picture_channels(pixels, weights):
    """Channels of display values, which stay bytes only where none are mixed."""
    channels = _channels(pixels, weights)
    if channels.dtype == np.uint8:
        return channels
    scale = 255 if pixels.dtype == np.uint8 else 1
    return channels.astype(np.float32, copy=False) / np.float32(scale)


def _calibration(image, recipe):
    """Factors to the flux of the recipe, shape (n_band,), or None."""
    scale = flux_scale(image, recipe.unit)
    if scale is None or not image.has_wcs:
        return None
    area = image.pixel_scale.to_value(_ARCSEC_PER_PIXEL) ** 2
    return scale * recipe.pixel_area / area


def _core_brightness(channels, position, radius):
    """Mean of each channel around the galaxy."""
    y, x = np.ogrid[: channels.shape[1], : channels.shape[2]]
    reach = max(_CORE * radius, 1.0)
    core = (x - position[0]) ** 2 + (y - position[1]) ** 2 <= reach**2
    return channels[:, core].mean(1)


def _short_name(name):
    """
    A band without its survey or camera: 'SDSS-r', 'r_SDSS' and 'r' agree.

    A filter that took the place of a worse one, 'HSC-R2', counts as that one.
    """
    pieces = re.split(r'[\s_\-./]+', name.strip().lower())[::-1]
    found = [
        *filter(_FILTER.fullmatch, pieces),
        *filter(_WAVELENGTHS.get, pieces),
        *filter(_WAVELENGTHS.get, [piece.removesuffix('2') for piece in pieces]),
        pieces[0],
    ]
    return found[0]


def _wavelength(name):
    """Wavelength in nanometres of a band, or None."""
    match = _FILTER.fullmatch(name)
    if not match:
        return _WAVELENGTHS.get(name)
    number = int(match[1])
    # The optical filters of Hubble count in nanometres, its infrared ones and
    # those of Webb in 10 nm. Where the kind of the filter does not tell them
    # apart, its number does.
    in_tens = number < 200 or number >= 1000 or _WEBB_FILTERS.fullmatch(name)
    return number * 10 if in_tens else number
