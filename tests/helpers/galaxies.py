# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies whose sizes are known from their formula."""

from functools import lru_cache

import numpy as np
from scipy.integrate import cumulative_simpson
from scipy.ndimage import gaussian_filter
from scipy.special import gamma, gammaincinv

__all__ = ['add_noise', 'petrosian_sizes', 'sersic_image', 'star_image']


def sersic_image(
    shape,
    *,
    r_eff,
    n=1.0,
    flux=1.0,
    position=None,
    axis_ratio=1.0,
    angle=0.0,
    psf_sigma=0.0,
):
    """
    Return a Sersic galaxy, integrated over each pixel.

    `r_eff` is the half-light radius along the major axis, `angle` goes from
    +x to +y in degrees, `flux` is that to infinity. Each pixel is the mean of
    3 x 3 points, of 15 x 15 within 10 pixels of the centre and of 151 x 151
    within 2 pixels.
    """
    ny, nx = shape
    x, y = ((nx - 1) / 2, (ny - 1) / 2) if position is None else position
    profile = _profile(n, r_eff, axis_ratio, flux)
    image = np.empty(shape)
    _fill(image, (0, ny, 0, nx), 3, (x, y), profile, axis_ratio, angle)
    for reach, n_point in ((10, 15), (2, 151)):
        y0, y1 = max(0, round(y) - reach), min(ny, round(y) + reach + 1)
        x0, x1 = max(0, round(x) - reach), min(nx, round(x) + reach + 1)
        _fill(image, (y0, y1, x0, x1), n_point, (x, y), profile, axis_ratio, angle)
    return gaussian_filter(image, psf_sigma) if psf_sigma else image


def star_image(shape, *, fwhm, flux=1.0, position=None, beta=None):
    """Return a Gaussian star, or a Moffat one if `beta` is given."""
    ny, nx = shape
    x, y = ((nx - 1) / 2, (ny - 1) / 2) if position is None else position
    if beta is None:
        sigma = fwhm / 2.354820

        def profile(radius):
            peak = flux / (2 * np.pi * sigma**2)
            return peak * np.exp(-0.5 * (radius / sigma) ** 2)
    else:
        core = 0.5 * fwhm / np.sqrt(2 ** (1 / beta) - 1)

        def profile(radius):
            peak = flux * (beta - 1) / (np.pi * core**2)
            return peak * (1 + (radius / core) ** 2) ** -beta

    image = np.empty(shape)
    _fill(image, (0, ny, 0, nx), 7, (x, y), profile)
    return image


def add_noise(image, sigma, *, level=0.0, seed=0):
    """Return the image on a sky of `level` with Gaussian noise of `sigma`."""
    return image + np.random.default_rng(seed).normal(level, sigma, image.shape)


@lru_cache
def petrosian_sizes(n, r_eff, axis_ratio=1.0, eta=0.2):
    """
    Return (petro_radius, petro_r50, petro_r90) in circular apertures.

    The exact profile is averaged over 720 angles and integrated by Simpson's
    rule in the logarithm of the radius (Blanton et al. 2001, equations 2-3).
    """
    radius = r_eff * np.geomspace(1e-7, 30, 8001)
    theta = np.linspace(0, 2 * np.pi, 720, endpoint=False)
    stretch = np.hypot(np.cos(theta), np.sin(theta) / axis_ratio)
    profile = _profile(n, r_eff, axis_ratio, 1.0)
    mean = np.array([profile(value * stretch).mean() for value in radius])
    inner = np.pi * radius[0] ** 2 * mean[0]
    growth = inner + cumulative_simpson(
        2 * np.pi * radius**2 * mean, x=np.log(radius), initial=0
    )

    def within(value):
        return np.interp(np.log(value), np.log(radius), growth)

    local = (within(1.25 * radius) - within(0.8 * radius)) / (1.25**2 - 0.8**2)
    ratio = local / growth
    last = np.flatnonzero((ratio >= eta) & (radius < 20 * r_eff))[-1]
    step = (ratio[last] - eta) / (ratio[last] - ratio[last + 1])
    petro_radius = radius[last] * (radius[last + 1] / radius[last]) ** step
    total = within(2 * petro_radius)
    r50, r90 = np.interp([0.5 * total, 0.9 * total], growth, radius)
    return float(petro_radius), float(r50), float(r90)


def _profile(n, r_eff, axis_ratio, flux):
    """Return the Sersic profile of the elliptical radius."""
    b = gammaincinv(2 * n, 0.5)
    area = 2 * np.pi * n * axis_ratio * r_eff**2 * b ** (-2 * n) * gamma(2 * n)
    return lambda radius: flux / area * np.exp(-b * (radius / r_eff) ** (1 / n))


def _fill(image, box, n_point, position, profile, axis_ratio=1.0, angle=0.0):  # noqa: PLR0917
    """Overwrite a part of the image by means of n_point**2 points a pixel."""
    (y0, y1, x0, x1), (x, y) = box, position
    offset = (np.arange(n_point) + 0.5) / n_point - 0.5
    dx = (np.arange(x0, x1)[:, np.newaxis] + offset).ravel() - x
    dy = (np.arange(y0, y1)[:, np.newaxis] + offset).ravel()[:, np.newaxis] - y
    cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    radius = np.hypot(dx * cos + dy * sin, (dy * cos - dx * sin) / axis_ratio)
    values = profile(radius).reshape(y1 - y0, n_point, x1 - x0, n_point)
    image[y0:y1, x0:x1] = values.mean(axis=(1, 3))
