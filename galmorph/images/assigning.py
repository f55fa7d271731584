# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which tile of many holds most of the surroundings of each position."""

import astropy.units as u
import numpy as np

__all__ = ['HalfWidth', 'assign', 'frame_bounds']

# Parts and margins that differ by less are the same, whatever the machine.
_PART_DIGITS, _MARGIN_DIGITS = 3, 2
# No image has as many pixels in a row.
_FAR = 2.0**40


class HalfWidth:
    """
    How far cutouts reach on each side of their targets.

    Parameters
    ----------
    half_width : `~astropy.units.Quantity`, float or `~numpy.ndarray`
        An angle, or a number of pixels; one for all or one for each.
    length : int
        The number of targets.
    at_least : float, optional
        The pixels that an angle becomes at least.

    Raises
    ------
    ValueError
        If it is not positive, or there are more or fewer than targets.
    `~astropy.units.UnitTypeError`
        If it is neither an angle nor in pixels.

    Examples
    --------
    >>> from astropy import units as u
    >>> from galmorph.images.assigning import HalfWidth
    >>> HalfWidth(9 * u.arcsec, 2).in_pixels(0.5 / 3600)
    array([18., 18.])
    """

    def __init__(self, half_width, length, *, at_least=8.0):
        unit = getattr(half_width, 'unit', u.pix)
        self.is_angle = unit.is_equivalent(u.deg)
        if not (self.is_angle or unit.is_equivalent(u.pix)):
            msg = f'half_width must be an angle or a number of pixels, not in {unit}'
            raise u.UnitTypeError(msg)
        wanted = u.deg if self.is_angle else u.pix
        values = np.asarray(getattr(half_width, 'value', half_width), float)
        values = values * unit.to(wanted)
        if values.shape not in ((), (1,), (length,)) or not np.all(values > 0):
            msg = (
                'half_width must be positive, one for all or one for each of '
                f'{length} targets, not {half_width!r}'
            )
            raise ValueError(msg)
        self.values = np.broadcast_to(values, length)
        self.at_least = at_least

    def in_pixels(self, scale, rows=slice(None)):
        """
        Give the half widths in pixels.

        Parameters
        ----------
        scale : float
            The side of a pixel in degrees.
        rows : `~numpy.ndarray` of int, optional
            Of which targets.

        Returns
        -------
        half : `~numpy.ndarray`
            In pixels.

        Examples
        --------
        See `HalfWidth`.
        """
        values = self.values[rows]
        return np.maximum(values / scale, self.at_least) if self.is_angle else values


def frame_bounds(centre, half):
    """
    Give the pixels that a frame needs, also where there are none.

    Parameters
    ----------
    centre, half : `~numpy.ndarray`, shape (n,)
        The middle of each frame, and how far it reaches.

    Returns
    -------
    start, stop : `~numpy.ndarray` of int, shape (n,)
        The first pixel, and the one behind the last.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.assigning import frame_bounds
    >>> frame_bounds(np.array([10.25]), np.array([4.0]))
    (array([6]), array([16]))
    """
    half = np.minimum(half, _FAR)
    start = np.floor(centre - half).astype(int)
    return start, np.ceil(centre + half).astype(int) + 1


def assign(tiles, positions, half_width, *, among=None, usable=None, tried=None):
    """
    Find the field that holds most of the surroundings of each position.

    Parameters
    ----------
    tiles : `~galmorph.images.tileset.TileSet`
        The fields.
    positions : `~galmorph.images.positions.Positions`
        The positions.
    half_width : `HalfWidth`
        How far the surroundings reach.
    among : `~numpy.ndarray` of bool, shape (n,), optional
        The positions to look at.
    usable : callable, optional
        Tells of a field whether it comes before the others.
    tried : dict of int to list of int, optional
        For fields by their numbers, positions that they are not for.

    Returns
    -------
    index : `~numpy.ndarray` of int32, shape (n,)
        The number of the field: that with the largest part of the frame, among
        these that where the position is farthest from the edge, among these the
        first; -1 where none holds the position.
    x, y : `~numpy.ndarray`, shape (n,)
        Its pixels in this field, 0-based.

    Examples
    --------
    Of two tiles that share 10 columns, and a position outside both:

    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from astropy.io import fits
    >>> from galmorph.images.assigning import HalfWidth, assign
    >>> from galmorph.images.positions import Positions
    >>> from galmorph.images.tileset import TileSet
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN',
    ...                       'CRPIX1': 20.5, 'CRPIX2': 10.5, 'CDELT1': -1e-4,
    ...                       'CDELT2': 1e-4, 'BUNIT': 'nJy', 'FILTER': 'r'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/a.fits', np.ones((20, 30)), header)
    ...     header['CRPIX1'] -= 20
    ...     fits.writeto(f'{folder}/b.fits', np.ones((20, 30)), header)
    ...     positions = Positions(SkyCoord([5e-4, -7e-4, 9], [0, 0, 9], unit='deg'))
    ...     index, x, y = assign(TileSet(folder), positions, HalfWidth(8, 3))
    >>> print(index, x.round(3), y.round(3))
    [ 0  1 -1] [14.5  6.5  nan] [9.5 9.5 nan]
    """
    n = len(positions)
    index = np.full(n, -1, np.int32)
    x, y, part = np.full((3, n), np.nan)
    part[:], margin = -1, np.full(n, -1.0)
    for number, rows in positions.near(*tiles.circles, among):
        field = tiles.fields[number]
        if tried and number in tried:
            rows = np.setdiff1d(rows, tried[number], assume_unique=True)
        if not rows.size:
            continue
        x_here, y_here = positions.pixels(field.wcs, rows)
        ny, nx = field.shape
        inside = (x_here >= -0.5) & (x_here <= nx - 0.5)
        inside &= (y_here >= -0.5) & (y_here <= ny - 0.5)
        rows, x_here, y_here = rows[inside], x_here[inside], y_here[inside]
        half = half_width.in_pixels(field.scale, rows)
        held = _part(x_here, half, nx) * _part(y_here, half, ny)
        held = held.round(_PART_DIGITS)
        if usable is None or usable(field):
            held += 2
        edge = np.minimum(
            np.minimum(x_here, nx - 1 - x_here), np.minimum(y_here, ny - 1 - y_here)
        )
        edge = edge.round(_MARGIN_DIGITS) * field.scale
        better = held > part[rows]
        better |= (held == part[rows]) & (edge > margin[rows])
        rows = rows[better]
        index[rows] = number
        x[rows], y[rows] = x_here[better], y_here[better]
        part[rows], margin[rows] = held[better], edge[better]
    return index, x, y


def _part(centre, half, length):
    """How much of an interval lies on an axis."""
    inside = np.minimum(centre + half, length - 0.5) - np.maximum(centre - half, -0.5)
    return inside / (2 * half)
