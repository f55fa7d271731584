# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Flux units, background and missing pixels of an image."""

import functools
from typing import NamedTuple

import numpy as np
from astropy import units as u
from scipy.ndimage import gaussian_filter

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.headers import parse_unit

__all__ = [
    'Background',
    'clipped_statistics',
    'estimate_background',
    'fill_nonfinite',
    'flux_scale',
]

# The AB zero point as SDSS defines its maggy, so that 1 nmgy is 3631 nJy.
_AB = u.zero_point_flux(3631 * u.Jy)
_PER_WAVELENGTH = u.erg / u.s / u.cm**2 / u.AA
_RADIAN_PER_PIXEL = u.rad / u.pix
_COUNTS = (u.electron, u.ct, u.adu, u.dn, u.photon)


class Background(NamedTuple):
    """
    The sky of an image, one value a band.

    Attributes
    ----------
    level : `~numpy.ndarray`
        The mean of the pixels without sources, shape ``(n_band,)``, in the
        unit of the data. NaN for a band without any finite pixel.
    noise : `~numpy.ndarray`
        Their standard deviation, pixel to pixel, shape ``(n_band,)``.

    Examples
    --------
    >>> from galmorph.preprocessing.photometry import Background
    >>> Background(level=[0.1], noise=[0.02]).noise
    [0.02]
    """

    level: np.ndarray
    noise: np.ndarray


def flux_scale(image, unit=u.nmgy):
    """
    Find the factor that turns pixel values into calibrated flux.

    The unit of the pixels is looked for in this order: the unit of the
    object, the header keyword ``BUNIT``. Counts, electrons, their rates, and
    pixels without a unit are calibrated by the keywords ``PHOTFLAM`` (inverse
    sensitivity, erg / (Angstrom cm2) per electron) and ``PHOTPLAM`` (pivot
    wavelength, Angstrom) of the Hubble Space Telescope [1]_; counts that are
    not rates are divided by ``EXPTIME`` first. Surface brightness, such as
    MJy / sr, is multiplied by the area of a pixel (``PIXAR_SR`` or the WCS).
    Nothing is guessed from other keywords.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image, data of shape ``(n_band, ny, nx)``.
    unit : `~astropy.units.Unit`, optional
        The flux density unit wanted per pixel, nanomaggy by default. A
        nanomaggy is 3631 nJy.

    Returns
    -------
    scale : `~numpy.ndarray` or None
        The factors, shape ``(n_band,)``: ``data * scale[:, None, None]`` is
        in ``unit`` per pixel. None if the calibration of any band is not
        known, and for pictures, whose pixels are not linear in flux.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If the pixels have a unit that is not one of flux, such as kelvin.
    ValueError
        If ``unit`` is not a flux density.

    References
    ----------
    .. [1] ACS Data Handbook, section 5.1.1; WFC3 Data Handbook, section 9.1.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from astropy import units as u
    >>> from galmorph.preprocessing.photometry import flux_scale
    >>> image = SimpleNamespace(
    ...     data=np.ones((1, 9, 9)), unit=u.nmgy, bands=('r',), meta={}
    ... )
    >>> print(flux_scale(image, unit=u.nJy))
    [3631.]
    """
    factor = _in_unit(unit)
    if getattr(image, 'is_picture', False):
        return None
    n_band = image.data.shape[0]
    headers = image.meta.get('headers') or [None] * n_band
    scales = [
        _band_scale(image, {} if header is None else header, band)
        for header, band in zip(headers, image.bands, strict=True)
    ]
    if any(scale is None for scale in scales):
        return None
    return np.array(scales) * factor


def estimate_background(data, mask=None):
    """
    Measure the level and the noise of the sky around a galaxy.

    The border of the image, a tenth of its shorter side wide, is clipped at
    3 sigma about its median until nothing changes, with sigma taken from the
    median absolute deviation: the galaxy in the middle does not count, and
    neighbours have to fill a good part of the border before they do.

    Parameters
    ----------
    data : array-like
        The pixels, shape ``(n_band, ny, nx)`` or ``(ny, nx)``. NaN and
        infinite values are left out.
    mask : array-like of bool, optional
        True where a pixel is to be left out, of the shape of ``data`` or of
        one band.

    Returns
    -------
    background : `Background`
        The level and the noise of each band, in the unit of ``data``. Both
        are NaN for a band without any good pixel.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.preprocessing.photometry import estimate_background
    >>> sky = np.random.default_rng(1).normal(5, 2, (1, 200, 200))
    >>> level, noise = estimate_background(sky)
    >>> print(level.round(1), noise.round(1))
    [5.] [2.]
    """
    data = np.asarray(data)
    if data.ndim == 2:
        data = data[np.newaxis]
    if data.ndim != 3 or not data.size:
        msg = (
            'data must have the shape (n_band, ny, nx) or (ny, nx) and some '
            f'pixels, not the shape {data.shape}'
        )
        raise ValueError(msg)
    if mask is not None:
        mask = np.broadcast_to(mask, data.shape)
    border = _border(*data.shape[1:])
    sky = []
    for index, pixels in enumerate(data):
        good = np.isfinite(pixels)
        if mask is not None:
            good &= ~mask[index]
        in_border = good & border
        # A border that is mostly masked says less than the whole image.
        few = np.count_nonzero(in_border) < 0.2 * np.count_nonzero(border)
        values = pixels[good if few else in_border]
        sky.append(clipped_statistics(values)[1:])
    level, noise = np.array(sky).T
    return Background(level, noise)


def clipped_statistics(values, n_sigma=3.0, max_iterations=10):
    """
    Return mean, median and standard deviation after clipping.

    Parameters
    ----------
    values : `~numpy.ndarray`
        Finite values of any shape.
    n_sigma : float, optional
        Where to clip, in standard deviations from the median.
    max_iterations : int, optional
        How often to clip at most.

    Returns
    -------
    mean, median, sigma : float
        NaN if there are no values.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.preprocessing.photometry import clipped_statistics
    >>> mean, median, sigma = clipped_statistics(np.array([1.0, 2, 3, 2, 1, 3, 90]))
    >>> print(mean, median)
    2.0 2.0
    """
    values = values.astype(np.float64, copy=False).ravel()
    if not values.size:
        return np.nan, np.nan, np.nan
    # Where to clip is known well enough from a part of many values.
    sample = values[:: max(1, values.size // 4000)]
    low, high = -np.inf, np.inf
    for _ in range(max_iterations):
        median = _median(sample)
        distance = np.abs(sample - median)
        sigma = 1.482602 * _median(distance)
        if sigma == 0 and distance.any():
            # Quantised, or cut at 0: more than half of the sky has one value.
            sigma = np.sqrt(np.mean(distance[distance > 0] ** 2))
        low, high = median - n_sigma * sigma, median + n_sigma * sigma
        keep = (sample >= low) & (sample <= high)
        if keep.all():
            break
        sample = sample[keep]
    values = values[(values >= low) & (values <= high)]
    # Clipping at 3 sigma takes 1.4 % off the deviation of Gaussian noise.
    spread = values.std() / 0.986
    return float(values.mean()), float(_median(values)), float(spread)


def _median(values):
    """The median of finite values, without what `numpy.median` does for others."""
    half = values.size // 2
    if values.size % 2:
        return np.partition(values, half)[half]
    low, high = np.partition(values, (half - 1, half))[half - 1 : half + 1]
    return (low + high) / 2


def fill_nonfinite(image):
    """
    Fill the NaN, infinite and masked pixels of an image.

    A missing pixel takes the mean of its good neighbours, weighted by a
    Gaussian of 1.5 pixels; where there are none near, the sky level.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image, data of shape ``(n_band, ny, nx)``. It is not modified.

    Returns
    -------
    data : `~numpy.ndarray`
        The finite pixels, of the shape and dtype of the data of the image.
        Where nothing was missing, the data of the image itself.
    fraction : float
        The part of the pixels, over all bands, that had to be filled.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If a band has no good pixel at all.

    Examples
    --------
    >>> import numpy as np
    >>> from types import SimpleNamespace
    >>> from galmorph.preprocessing.photometry import fill_nonfinite
    >>> data = np.ones((1, 10, 10))
    >>> data[0, 4, 4] = np.nan
    >>> image = SimpleNamespace(data=data, mask=None, bands=('r',))
    >>> filled, fraction = fill_nonfinite(image)
    >>> print(round(float(filled[0, 4, 4]), 6), fraction)
    1.0 0.01
    """
    data = image.data
    bad = ~np.isfinite(data)
    if image.mask is not None:
        bad |= image.mask
    count = np.count_nonzero(bad)
    if not count:
        return data, 0.0
    filled = np.array(data)
    for index in np.flatnonzero(bad.any(axis=(1, 2))):
        if bad[index].all():
            msg = (
                f'band {image.bands[index]!r} of the image has no finite, unmasked '
                'pixel; leave the band out or give another image'
            )
            raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
        values = _filled_band(data[index], bad[index])
        if data.dtype.kind in 'iu':
            values = np.rint(values)
        filled[index][bad[index]] = values
    return filled, count / bad.size


def _filled_band(data, bad):
    """Return the values for the bad pixels of one band, shape (n_bad,)."""
    good = (~bad).astype(np.float64)
    values = np.where(bad, 0.0, data).astype(np.float64)
    weight = gaussian_filter(good, 1.5, mode='constant')[bad]
    mean = gaussian_filter(values, 1.5, mode='constant')[bad]
    near = weight > 0.02
    level = estimate_background(data, bad).level[0]
    return np.where(near, mean / np.where(near, weight, 1.0), level)


def _border(ny, nx):
    """Return True in a frame of a tenth of the shorter side."""
    width = max(1, round(0.1 * min(ny, nx)))
    border = np.ones((ny, nx), dtype=bool)
    border[width : ny - width, width : nx - width] = False
    return border


@functools.lru_cache
def _in_unit(unit):
    """Return one nJy in a unit of flux density."""
    unit = u.Unit(unit)
    if not unit.is_equivalent(u.Jy, _AB):
        msg = f'unit must be a flux density such as nmgy or nJy, not {unit}'
        raise ValueError(msg)
    return u.nJy.to(unit, equivalencies=_AB)


class _Calibration(NamedTuple):
    """What of an image and its header the flux of a pixel depends on."""

    sensitivity: float | None
    wavelength: float | None
    time: float | None
    area: float | None


def _band_scale(image, header, band):
    """Return the flux of a pixel of value 1 in one band (nJy), or None."""
    known = _Calibration(
        _positive(header, 'PHOTFLAM'),
        _positive(header, 'PHOTPLAM'),
        _positive(header, 'EXPTIME'),
        _pixel_area(image, header),
    )
    unit = image.unit
    if unit is None or unit == u.dimensionless_unscaled:
        text = str(header.get('BUNIT') or '').strip()
        unit = parse_unit(text)
        if unit is None:
            return None if text else _hubble_scale(known)
    try:
        return _unit_scale(unit, known)
    except (u.UnitConversionError, TypeError) as error:
        msg = (
            f'the unit {str(unit)!r} of band {band!r} is not one of flux; give '
            'pixels in nanomaggy, Jy, MJy/sr, counts or electrons per second'
        )
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE) from error


# Thousands of cutouts of one mosaic have the same calibration.
@functools.lru_cache(maxsize=1024)
def _unit_scale(unit, known):
    """Return one ``unit`` in nJy, or None where keywords are missing."""
    if u.pix in getattr(unit, 'bases', ()):
        unit = unit * u.pix
    for count in _COUNTS:
        ratio = unit / count
        if ratio.is_equivalent(u.Hz):
            scale = _hubble_scale(known)
            return scale and scale * ratio.to(u.Hz)
        if ratio.is_equivalent(u.dimensionless_unscaled):
            scale = _hubble_scale(known)
            time = known.time
            return scale and time and scale * ratio.to(u.dimensionless_unscaled) / time
    if (unit * u.sr).is_equivalent(u.Jy):
        return known.area and (unit * u.sr).to(u.nJy, known.area)
    if unit.is_equivalent(_PER_WAVELENGTH):
        return known.wavelength and _to_nanojansky(unit, 1.0, known.wavelength)
    return unit.to(u.nJy, equivalencies=_AB)


def _hubble_scale(known):
    """Return the flux of one electron per second by PHOTFLAM and PHOTPLAM."""
    if known.sensitivity is None or known.wavelength is None:
        return None
    return _to_nanojansky(_PER_WAVELENGTH, known.sensitivity, known.wavelength)


def _to_nanojansky(unit, value, wavelength):
    """Return a flux per wavelength at ``wavelength`` (Angstrom) in nJy."""
    return unit.to(u.nJy, value, u.spectral_density(wavelength * u.AA))


def _pixel_area(image, header):
    """Return the solid angle of a pixel in steradian, or None."""
    area = _positive(header, 'PIXAR_SR')
    if area is not None:
        return area
    scale = getattr(image, 'pixel_scale', None)
    return None if scale is None else scale.to_value(_RADIAN_PER_PIXEL) ** 2


def _positive(header, key):
    """Return a header value if it is a finite number above zero, else None."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if np.isfinite(value) and value > 0 else None
