# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many positions on the sky, and their pixels in images of any frame."""

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import wcs_to_celestial_frame

__all__ = ['Positions', 'is_on_sky', 'pixel_to_icrs', 'unit_vectors', 'world_to_pixel']


def is_on_sky(coords):
    """
    Tell which coordinates are of use.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        Coordinates.

    Returns
    -------
    good : `~numpy.ndarray` of bool
        False where one is masked or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from galmorph.images.positions import is_on_sky
    >>> is_on_sky(SkyCoord([1, np.nan], [2, 3], unit='deg')).tolist()
    [True, False]
    """
    good = np.ones(coords.shape, bool)
    for angle in (coords.spherical.lon, coords.spherical.lat):
        mask = getattr(angle, 'mask', False)
        good &= np.isfinite(np.asarray(getattr(angle, 'unmasked', angle)))
        good &= np.logical_not(mask)
    return good


def unit_vectors(ra, dec):
    """
    Turn positions into vectors.

    Parameters
    ----------
    ra, dec : `~numpy.ndarray`, shape (n,)
        In degrees.

    Returns
    -------
    vectors : `~numpy.ndarray`, shape (n, 3)
        On the unit sphere.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.positions import unit_vectors
    >>> print(unit_vectors(np.array([0.0]), np.array([90.0])).round(9))
    [[0. 0. 1.]]
    """
    ra, dec = np.deg2rad(ra), np.deg2rad(dec)
    parts = np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)
    return np.stack(parts, axis=-1)


def world_to_pixel(wcs, lon, lat):
    """
    Find pixels of positions in the frame of a WCS.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A celestial WCS with two axes, in any order.
    lon, lat : `~numpy.ndarray`, shape (n,)
        In degrees, finite.

    Returns
    -------
    pixels : `~numpy.ndarray`, shape (2, n)
        x and y, 0-based; NaN where the projection does not reach.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.positions import world_to_pixel
    >>> wcs = WCS({'CTYPE1': 'DEC--TAN', 'CTYPE2': 'RA---TAN'})
    >>> print(world_to_pixel(wcs, np.array([0.0, 180.0]), np.array([0.0, 0.0])))
    [[-1. nan]
     [-1. nan]]
    """
    world = (lon, lat) if wcs.wcs.lng == 0 else (lat, lon)
    # Where distortions are inverted by iteration, a distant target diverges,
    # and may end anywhere: keep those that map back.
    if not wcs.has_distortion:
        return np.array(wcs.wcs_world2pix(*world, 0))
    pixels = np.array(wcs.all_world2pix(*world, 0, quiet=True))
    linear = np.array(wcs.wcs_world2pix(*world, 0))
    back = np.array(wcs.wcs_world2pix(*wcs.all_pix2world(*pixels, 0), 0))
    pixels[:, ~(np.hypot(*(back - linear)) < 0.01)] = np.nan
    return pixels


def pixel_to_icrs(wcs, x, y):
    """
    Find the positions of pixels.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A celestial WCS with two axes.
    x, y : `~numpy.ndarray`, shape (n,)
        Pixels, 0-based.

    Returns
    -------
    ra, dec : `~numpy.ndarray`, shape (n,)
        In degrees.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.positions import pixel_to_icrs
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'RADESYS': 'ICRS'})
    >>> ra, dec = pixel_to_icrs(wcs, np.array([-1.0]), np.array([-1.0]))
    >>> print(ra.round(9), dec.round(9))
    [0.] [0.]
    """
    if _is_icrs(wcs):
        world = wcs.all_pix2world(x, y, 0)
        return world if wcs.wcs.lng == 0 else world[::-1]
    sky = wcs.pixel_to_world(x, y).icrs
    return sky.ra.deg, sky.dec.deg


def _is_icrs(wcs):
    # What has neither a frame nor an equinox is in ICRS, says FITS.
    radesys = wcs.wcs.radesys or ('ICRS' if np.isnan(wcs.wcs.equinox) else '')
    return radesys == 'ICRS' and wcs.wcs.lngtyp == 'RA'


class Positions:
    """
    Positions on the sky, ready to be looked for in many images.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`
        The positions, in any frame.

    Attributes
    ----------
    good : `~numpy.ndarray` of bool, shape (n,)
        Whether a position is finite and not masked.
    ra, dec : `~numpy.ndarray`, shape (n,)
        ICRS, in degrees; NaN where it is not.

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.positions import Positions
    >>> positions = Positions(SkyCoord([0, 90], [1, 2], unit='deg'))
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'RADESYS': 'ICRS'})
    >>> x, y = positions.pixels(wcs, [0])
    >>> print(x, y.round(4))
    [-1.] [0.0001]
    """

    def __init__(self, coords):
        coords = coords.reshape(-1)
        good = is_on_sky(coords)
        ra, dec = np.full((2, len(good)), np.nan)
        if good.any():
            inside = coords[good]
            inside = getattr(inside, 'unmasked', inside).icrs
            ra[good] = inside.ra.deg
            dec[good] = inside.dec.deg
        self._set(ra, dec)

    def _set(self, ra, dec):
        self.ra, self.dec = ra, dec
        self.good = np.isfinite(ra) & np.isfinite(dec)
        self.vectors = unit_vectors(ra, dec)
        self._by_dec = np.argsort(dec)
        self._sorted = dec[self._by_dec]
        self._frames = {}

    @classmethod
    def of_icrs(cls, ra, dec):
        """
        Take positions in ICRS.

        Parameters
        ----------
        ra, dec : `~numpy.ndarray`, shape (n,)
            In degrees; NaN where there is none.

        Returns
        -------
        positions : `Positions`
            The positions.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph.images.positions import Positions
        >>> Positions.of_icrs(np.array([1.0, np.nan]), np.array([2.0, np.nan])).good
        array([ True, False])
        """
        positions = cls.__new__(cls)
        positions._set(np.asarray(ra, float), np.asarray(dec, float))  # noqa: SLF001
        return positions

    def __len__(self):
        return len(self.ra)

    def pixels(self, wcs, rows):
        """
        Find the pixels of some positions.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            A celestial WCS with two axes.
        rows : `~numpy.ndarray` of int
            Which positions, all of them good.

        Returns
        -------
        pixels : `~numpy.ndarray`, shape (2, n)
            As `world_to_pixel` gives them.

        Examples
        --------
        See `Positions`.
        """
        if _is_icrs(wcs):
            return world_to_pixel(wcs, self.ra[rows], self.dec[rows])
        frame = wcs_to_celestial_frame(wcs)
        key = repr(frame)
        if key not in self._frames:
            there = np.full((2, len(self)), np.nan)
            sky = SkyCoord(self.ra[self.good], self.dec[self.good], unit=u.deg)
            sky = sky.transform_to(frame).spherical
            there[:, self.good] = sky.lon.deg, sky.lat.deg
            self._frames[key] = there
        return world_to_pixel(wcs, *self._frames[key][:, rows])

    def all_pixels(self, wcs):
        """
        Find the pixels of all positions.

        Parameters
        ----------
        wcs : `~astropy.wcs.WCS`
            A celestial WCS with two axes.

        Returns
        -------
        pixels : `~numpy.ndarray`, shape (2, n)
            NaN where a position or its pixel is not finite.

        Examples
        --------
        See `Positions`.
        """
        pixels = np.full((2, len(self)), np.nan)
        rows = np.flatnonzero(self.good)
        pixels[:, rows] = self.pixels(wcs, rows)
        return pixels

    def near(self, centres, radii, among=None):
        """
        Find the positions in circles.

        Parameters
        ----------
        centres : `~numpy.ndarray`, shape (n_circle, 3)
            Their unit vectors.
        radii : `~numpy.ndarray`, shape (n_circle,)
            The distances on the unit sphere.
        among : `~numpy.ndarray` of bool, shape (n,), optional
            The positions to look at.

        Yields
        ------
        number : int
            The number of a circle with positions in it.
        rows : `~numpy.ndarray` of int
            Which positions, in order.

        Examples
        --------
        >>> import numpy as np
        >>> from astropy.coordinates import SkyCoord
        >>> from galmorph.images.positions import Positions
        >>> positions = Positions(SkyCoord([0, 90, 1], [1, 2, 0], unit='deg'))
        >>> for number, rows in positions.near(np.eye(3), np.array([0.1, 0.1, 0.1])):
        ...     print(number, rows)
        0 [0 2]
        1 [1]
        """
        reach = 2 * np.arcsin(np.minimum(radii, 2) / 2)
        # A circle around a pole reaches over it.
        dec = np.arcsin(np.clip(centres[:, 2], -1, 1))
        low, high = np.rad2deg(dec - reach) - 1e-9, np.rad2deg(dec + reach) + 1e-9
        starts = np.searchsorted(self._sorted, low)
        stops = np.searchsorted(self._sorted, high)
        for number in np.flatnonzero(stops > starts).tolist():
            rows = self._by_dec[starts[number] : stops[number]]
            if among is not None:
                rows = rows[among[rows]]
            # The square of the chord, which is exact for small distances too.
            chords = ((self.vectors[rows] - centres[number]) ** 2).sum(1)
            rows = rows[chords <= radii[number] ** 2]
            if rows.size:
                yield number, np.sort(rows)
