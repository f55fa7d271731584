# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Radial profiles of galaxies and the radii of Petrosian."""

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from scipy.special import gamma, gammainc, gammaincinv

__all__ = ['PetrosianRadii', 'RadialProfile', 'petrosian_radii', 'sersic_wings']

ETA = 0.2
# The annulus of the local surface brightness, in units of the radius.
INNER, OUTER = 0.8, 1.25
# The flux is that within so many Petrosian radii.
APERTURE = 2.0

# Width of the rings; half side and division of the finely sampled pixels.
_STEP = 0.5
_FINE = 16
_SUB = 4
_SAMPLE = 0.25


class PetrosianRadii(NamedTuple):
    """
    What the profile of a galaxy says about its size.

    Attributes
    ----------
    radius, r50, r90 : float
        The Petrosian radius and the radii of the circles with 50 and 90 % of
        the flux within two of it, pixels.
    flux : float
        The flux within two Petrosian radii.
    is_reached : bool
        Whether the profile falls to eta, and the image holds the aperture.

    Examples
    --------
    >>> from galmorph.preprocessing.profiles import PetrosianRadii
    >>> PetrosianRadii(20, 9, 21, 100, is_reached=True).r90
    21
    """

    radius: float
    r50: float
    r90: float
    flux: float
    is_reached: bool


class RadialProfile:
    """
    The mean surface brightness in rings half a pixel wide.

    Parameters
    ----------
    light : `~numpy.ndarray`
        The pixels less the sky, shape ``(ny, nx)``.
    good : `~numpy.ndarray` of bool
        The pixels that count; rings without any take the mean of the rings
        on both sides.
    x, y : float
        The centre.

    Attributes
    ----------
    radius : `~numpy.ndarray`
        The distance of each pixel from the centre, shape ``(ny, nx)``.
    limit : float
        The radius up to which the image has a good part of each ring.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.preprocessing.profiles import RadialProfile
    >>> flat = np.ones((41, 41))
    >>> profile = RadialProfile(flat, flat > 0, 20, 20)
    >>> print(round(profile.within(10) / np.pi / 10**2, 3))
    1.0
    """

    def __init__(self, light, good, x, y):
        ny, nx = light.shape
        dy, dx = np.arange(ny)[:, np.newaxis] - y, np.arange(nx) - x
        self.radius = np.hypot(dy, dx)
        inner = (
            slice(max(0, round(y) - _FINE), round(y) + _FINE + 1),
            slice(max(0, round(x) - _FINE), round(x) + _FINE + 1),
        )
        # Many pixels lie at a whole number of pixels from a central one: the
        # middle of a ring must be there, not an edge.
        ring = (self.radius / _STEP + 0.5).astype(np.intp)
        n_ring = ring.max() + 1
        coarse = np.ones(light.shape, dtype=bool)
        coarse[inner] = False
        # Near the centre a ring cuts through pixels: each counts as many.
        offset = (np.arange(_SUB) + 0.5) / _SUB - 0.5
        fine_y = np.add.outer(dy[inner[0], 0], offset)[:, np.newaxis, :, np.newaxis]
        fine_x = np.add.outer(dx[inner[1]], offset)[:, np.newaxis, :]
        fine = (np.hypot(fine_y, fine_x) / _STEP + 0.5).astype(np.intp)
        n_ring = max(n_ring, fine.max() + 1)
        points = _inside_pixels(light[inner], good[inner], offset)

        def binned(selection, part, coarse_weight=None, fine_weight=None):
            result = np.bincount(ring[selection], coarse_weight, n_ring)
            return result + np.bincount(part, fine_weight, n_ring) / _SUB**2

        used = coarse & good
        fine_used = fine[good[inner]].ravel()
        flux = binned(used, fine_used, light[used], points.ravel())
        count = binned(used, fine_used)
        full = binned(coarse, fine.ravel())
        edges = _STEP * np.maximum(np.arange(n_ring + 1) - 0.5, 0.0)
        area = np.pi * np.diff(edges**2)
        # In the corners a few pixels would stand for a whole ring.
        n_ring = 1 + np.flatnonzero(count > 0.1 * area).max(initial=0)
        count, full, area = count[:n_ring], full[:n_ring], area[:n_ring]
        self.edges = edges[: n_ring + 1]
        self.limit = self.edges[-1]
        lattice = self.edges[1:] <= min(x, y, nx - 1 - x, ny - 1 - y)
        part = np.where(lattice, count / np.maximum(full, 1e-3), count / area)
        part[lattice & (full == 0)] = 1.0
        self._covered = np.append(0.0, np.cumsum(area * np.minimum(part, 1.0)))
        filled = count > 0
        middle = 0.5 * (self.edges[:-1] + self.edges[1:])
        mean = flux[:n_ring][filled] / count[filled]
        self._mean = np.interp(middle, middle[filled], mean)
        # Each pixel counts once, however many of them a ring has by chance:
        # the difference from the area of the circle matters at its edge only.
        self._area = np.where(lattice, full, area)
        self._excess = np.where(lattice, np.cumsum(area - full), 0.0)
        self.subtract(0.0)

    def subtract(self, level):
        """Take a sky level off."""
        self._mean = self._mean - level
        at_edge = 0.5 * (self._mean + np.append(self._mean[1:], 0.0))
        growth = np.cumsum(self._mean * self._area) + self._excess * at_edge
        self._growth = np.append(0.0, growth)

    def within(self, radius):
        """Return the flux within a radius."""
        return np.interp(np.square(radius), self.edges**2, self._growth)

    def enclosing(self, flux):
        """Return the smallest radius that has a flux within it."""
        last = max(1, int(np.argmax(self._growth >= flux)))
        part = slice(last - 1, last + 1)
        return np.sqrt(np.interp(flux, self._growth[part], self.edges[part] ** 2))

    def surface(self, radius):
        """Return the mean surface brightness from 0.8 to 1.25 of a radius."""
        outer = np.minimum(OUTER * radius, self.limit)
        area = np.pi * (outer**2 - (INNER * radius) ** 2)
        return (self.within(outer) - self.within(INNER * radius)) / area

    def excess(self, radius):
        """Return the local surface brightness less eta times that within."""
        mean = self.within(radius) / (np.pi * radius**2)
        return self.surface(radius) - ETA * mean

    def coverage(self, radius):
        """Return the part of a circle that has pixels."""
        covered = np.interp(radius**2, self.edges**2, self._covered)
        return covered / (np.pi * radius**2)

    def holding(self, part):
        """Return the radius of the circle with a part of all pixels."""
        return np.interp(part * self._covered[-1], self._covered, self.edges)


def _inside_pixels(light, good, offset):
    """
    Return the light at points inside of the good pixels, (n_good, n_point).

    In each pixel runs the parabola whose means over the pixel and its four
    neighbours are theirs; a pixel next to a bad one or the border is flat.
    """
    wide = np.pad(np.where(good, light, np.nan), 1, constant_values=np.nan)
    middle = wide[1:-1, 1:-1]
    terms = []
    for low, high in (
        (wide[:-2, 1:-1], wide[2:, 1:-1]),
        (wide[1:-1, :-2], wide[1:-1, 2:]),
    ):
        slope, bend = 0.5 * (high - low), 0.5 * (high + low) - middle
        for term, power in ((slope, offset), (bend, offset**2 - 1 / 12)):
            terms.append((np.nan_to_num(term[good])[:, np.newaxis], power))
    (y1, oy1), (y2, oy2), (x1, ox1), (x2, ox2) = terms
    along_y, along_x = y1 * oy1 + y2 * oy2, x1 * ox1 + x2 * ox2
    points = along_y[:, :, np.newaxis] + along_x[:, np.newaxis, :]
    return middle[good][:, np.newaxis] + points.reshape(len(points), -1)


def petrosian_radii(profile, extent=np.inf, noise=0.0):
    """
    Measure the radii of a profile.

    Parameters
    ----------
    profile : `RadialProfile`
        The profile, less the sky.
    extent : float, optional
        The radius of the detected source, pixels. Where the ratio of the
        surface brightnesses passes eta more than once, the outermost passage
        within 1.25 times this radius counts.
    noise : float, optional
        The standard deviation of the sky. A passage counts only if noise
        does not explain it at 3 sigma.

    Returns
    -------
    radii : `PetrosianRadii`
        If eta is never reached, those of the light within the image.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.preprocessing.profiles import RadialProfile, petrosian_radii
    >>> y, x = np.mgrid[:201, :201]
    >>> disk = np.exp(-np.hypot(x - 100, y - 100) / 9)
    >>> radii = petrosian_radii(RadialProfile(disk, disk > 0, 100, 100))
    >>> print(round(radii.radius), round(radii.r50), round(radii.r90))
    32 15 34
    """
    radius, reached = _crossing(profile, extent, noise)
    total = profile.within(APERTURE * radius)
    r50, r90 = profile.enclosing(0.5 * total), profile.enclosing(0.9 * total)
    reached = bool(reached and APERTURE * radius <= profile.limit)
    return PetrosianRadii(*map(float, (radius, r50, r90, total)), reached)


def _crossing(profile, extent, noise):
    """Return the Petrosian radius, and whether the profile falls to eta."""
    radius = np.arange(1.0, profile.limit / OUTER, _SAMPLE)
    excess = profile.excess(radius)
    error = noise / (np.sqrt(np.pi * (OUTER**2 - INNER**2)) * radius)
    significant = (excess > 3 * error) & (radius <= OUTER * extent)
    start = np.flatnonzero(significant).max(initial=0)
    below = np.flatnonzero(excess[start:] < 0)
    if not below.size:
        return radius[-1], False
    index = start + below[0]
    if index == 0:
        return radius[0], True
    step = excess[index - 1] / (excess[index - 1] - excess[index])
    return radius[index - 1] + _SAMPLE * min(max(step, 0.0), 1.0), True


def sersic_wings(radius, radii):
    """
    Extrapolate a galaxy by the Sersic profile of the same concentration.

    Parameters
    ----------
    radius : float or array-like
        Where to evaluate the profile, pixels.
    radii : `PetrosianRadii`
        The radii and the flux of the galaxy.

    Returns
    -------
    surface : float or `~numpy.ndarray`
        The surface brightness, flux per pixel; 0 for a source without light.
        The Sersic index is held between 0.5 and 5.

    References
    ----------
    Graham & Driver 2005, PASA 22, 118, equations 4 and 6.

    Examples
    --------
    >>> from galmorph.preprocessing.profiles import PetrosianRadii, sersic_wings
    >>> exponential = PetrosianRadii(21.1, 9.94, 22.7, 1000, is_reached=True)
    >>> print(f'{sersic_wings(10, exponential):.2f}')
    0.84
    """
    radius = np.asarray(radius, dtype=np.float64)
    if not (radii.flux > 0 and radii.r50 > 0):
        return np.zeros_like(radius)[()]
    index, concentration, half, part = _sersic_table()
    n, part, half = (
        np.interp(radii.r90 / radii.r50, concentration, column)
        for column in (index, part, half)
    )
    r_eff = radii.r50 / half
    b = gammaincinv(2 * n, 0.5)
    area = 2 * np.pi * n * r_eff**2 * b ** (-2 * n) * gamma(2 * n)
    return radii.flux / part / area * np.exp(-b * (radius / r_eff) ** (1 / n))


@lru_cache(maxsize=1)
def _sersic_table():
    """Return index, petroR90/petroR50, petroR50/r_eff and flux part of Sersic."""
    radius = np.geomspace(0.01, 20, 2000)
    rows = []
    for n in np.linspace(0.5, 5, 19):
        b = gammaincinv(2 * n, 0.5)

        def growth(radius, n=n, b=b):
            return gammainc(2 * n, b * radius ** (1 / n))

        local = (growth(OUTER * radius) - growth(INNER * radius)) / (
            OUTER**2 - INNER**2
        )
        petro = radius[np.flatnonzero(local >= ETA * growth(radius))[-1]]
        part = growth(APERTURE * petro)
        r50, r90 = np.interp((0.5 * part, 0.9 * part), growth(radius), radius)
        rows.append((n, r90 / r50, r50, part))
    return np.array(rows).T
