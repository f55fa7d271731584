# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames that reach over the edge of a tile, completed from its neighbours."""

import numpy as np
from astropy import units as u

from galmorph.exceptions import ImageError
from galmorph.images.positions import Positions, pixel_to_icrs

__all__ = ['Edges', 'interpolate', 'whole_offset']

# Grids whose pixels lie on each other as well as this, in pixels, are one.
_SAME_GRID = 0.05
# Frames with more pixels end with their tile.
_MAX_PIXELS = 1 << 25


def whole_offset(first, second):
    """
    Tell by how many whole pixels two images lie apart.

    Parameters
    ----------
    first, second : `~galmorph.images.tiles.Field`
        The images.

    Returns
    -------
    offset : tuple of int or None
        What is to be added to (x, y) of a pixel of ``first`` for the same pixel
        of ``second``; None where their grids differ by more than 1/20 of a pixel.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.celestial import shift_wcs
    >>> from galmorph.images.edges import whole_offset
    >>> from galmorph.images.tiles import Field, Tile
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 5,
    ...            'CRPIX2': 5, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> one, other = (Field(Tile('a.fits', 0, (), 'r', fits.Header(), w, (9, 9)))
    ...               for w in (wcs, shift_wcs(wcs, 8, -2)))
    >>> whole_offset(one, other)
    (-8, 2)
    """
    ny, nx = second.shape
    x = np.array([0, nx - 1, 0, nx - 1, nx / 2])
    y = np.array([0, 0, ny - 1, ny - 1, ny / 2])
    difference = np.array([x, y]) - _pixels_of(second.wcs, x, y, first.wcs)
    if not np.isfinite(difference).all():
        return None
    whole = np.round(difference.mean(1))
    if np.abs(difference - whole[:, None]).max() > _SAME_GRID:
        return None
    return int(whole[0]), int(whole[1])


def _pixels_of(wcs, x, y, other):
    """The pixels of another image at pixels of this one."""
    ra, dec = pixel_to_icrs(wcs, x, y)
    return Positions.of_icrs(ra, dec).all_pixels(other)


def interpolate(pixels, x, y):
    """
    Interpolate between pixels, linearly in both directions.

    Parameters
    ----------
    pixels : `~numpy.ndarray`, shape (n_band, ny, nx)
        The pixels.
    x, y : `~numpy.ndarray`, shape (n,)
        Where, 0-based; half a pixel over the edge counts as on it.

    Returns
    -------
    values : `~numpy.ndarray`, shape (n_band, n)
        NaN next to a pixel that is NaN.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.edges import interpolate
    >>> interpolate(np.arange(6.0).reshape(1, 2, 3), np.array([0.5]), np.array([1.0]))
    array([[3.5]])
    """
    ny, nx = pixels.shape[1:]
    x, y = np.clip(x, 0, nx - 1), np.clip(y, 0, ny - 1)
    left = np.minimum(x.astype(int), max(nx - 2, 0))
    low = np.minimum(y.astype(int), max(ny - 2, 0))
    right, high = np.minimum(left + 1, nx - 1), np.minimum(low + 1, ny - 1)
    x, y = (x - left).astype(pixels.dtype), (y - low).astype(pixels.dtype)
    values = 0
    for rows, part in ((low, 1 - y), (high, y)):
        for columns, share in ((left, 1 - x), (right, x)):
            weight = part * share
            # A pixel without weight may be NaN.
            term = np.where(weight > 0, pixels[:, rows, columns], 0)
            values = values + weight * term
    return values


class Edges:
    """
    Completes frames that reach over the edge of a field.

    Parameters
    ----------
    tiles : `~galmorph.images.tileset.TileSet`
        What has the fields.
    read : callable
        From the number of a field, boxes and bands to the pixels of these,
        each of the shape (n_band, ny, nx), and their unit; raises an
        `~galmorph.exceptions.ImageError` where they cannot be read.

    Notes
    -----
    A neighbour on the same grid, up to whole pixels, gives its pixels as they
    are. From one on another grid they are interpolated, linearly in both
    directions, for what is missing only; values per pixel are scaled by the area
    of the pixels, surface brightness is not. Units are converted.

    Examples
    --------
    The end of a row of one tile, and how it goes on in the next:

    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.images.edges import Edges
    >>> from galmorph.images.fields import FieldReader
    >>> from galmorph.images.tileset import TileSet
    >>> sky = np.tile(np.arange(40.0), (20, 1))
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN',
    ...                       'CRPIX1': 20.5, 'CRPIX2': 10.5, 'CDELT1': -1e-4,
    ...                       'CDELT2': 1e-4, 'BUNIT': 'nJy', 'FILTER': 'r'})
    >>> own, frame = np.array([[17, 20, 0, 1], [17, 23, 0, 1]])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/a.fits', sky[:, :20], header)
    ...     header['CRPIX1'] -= 20
    ...     fits.writeto(f'{folder}/b.fits', sky[:, 20:], header)
    ...     tiles = TileSet(folder)
    ...     edges = Edges(tiles, FieldReader(tiles).read)
    ...     (piece,), unit = edges.read(0, own[np.newaxis], ('r',))
    ...     ((whole, box),) = edges.complete(
    ...         0, [(piece, own)], frame[np.newaxis], ('r',), unit
    ...     )
    >>> print(piece[0], whole[0], box)
    [[17. 18. 19.]] [[17. 18. 19. 20. 21. 22.]] [17 23  0  1]
    """

    def __init__(self, tiles, read):
        self.tiles = tiles
        self.read = read
        self._offsets = {}
        self._extents = {}

    def complete(self, index, pieces, boxes, bands, unit):
        """
        Put pieces of a field in their frames, and fill the rest of these.

        Parameters
        ----------
        index : int
            The number of the field.
        pieces : list of (`~numpy.ndarray`, `~numpy.ndarray`)
            The pixels of each, shape (n_band, ny, nx), and their box.
        boxes : `~numpy.ndarray` of int, shape (n, 4)
            The frames, which hold the boxes of the pieces.
        bands : tuple of str
            The bands.
        unit : `~astropy.units.UnitBase` or None
            The unit of the pixels.

        Returns
        -------
        frames : list of (`~numpy.ndarray`, `~numpy.ndarray`)
            The same with what the neighbours have: the frame, NaN where nothing
            covers it, and cut where that holds up to its edge.

        Examples
        --------
        See `~galmorph.images.TiledMosaic`.
        """
        near = [
            other
            for other in self._neighbours(index, boxes)
            if set(bands) <= set(self.tiles.fields[other].tiles)
        ]
        boxes = self._within(index, near, boxes)
        frames = [
            _Frame(pixels, own, box)
            for (pixels, own), box in zip(pieces, boxes, strict=True)
        ]
        others = []
        for other in near:
            offset = self._offset(index, other)
            if offset is None:
                others.append(other)
            else:
                self._copy(other, frames, offset, bands, unit)
        for other in others:
            self._resample(index, other, frames, bands, unit)
        return [frame.trimmed() for frame in frames]

    def _neighbours(self, index, boxes):
        """Fields that some of the frames may reach, by their numbers."""
        field = self.tiles.fields[index]
        ny, nx = field.shape
        over = np.array([0, nx, 0, ny]) - boxes
        reach = max(over[:, [0, 2]].max(), (-over[:, [1, 3]]).max(), 0)
        reach = np.deg2rad(2 * reach * field.scale)
        centres, radii = self.tiles.circles
        distances = np.linalg.norm(centres - field.centre, axis=1)
        near = np.flatnonzero(distances <= radii + field.radius + reach)
        return [other for other in near.tolist() if other != index]

    def _within(self, index, near, boxes):
        """Frames without what is beyond the last neighbour, or too large."""
        ny, nx = self.tiles.fields[index].shape
        limits = np.array([0, nx, 0, ny])
        for other in near:
            key = index, other
            if key not in self._extents:
                self._extents[key] = _extent(
                    self.tiles.fields[index], self.tiles.fields[other]
                )
            limits[[0, 2]] = np.minimum(limits[[0, 2]], self._extents[key][[0, 2]])
            limits[[1, 3]] = np.maximum(limits[[1, 3]], self._extents[key][[1, 3]])
        boxes = np.clip(boxes, limits[[0, 0, 2, 2]], limits[[1, 1, 3, 3]])
        area = (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])
        inside = np.clip(boxes, 0, [nx, nx, ny, ny])
        return np.where((area > _MAX_PIXELS)[:, None], inside, boxes)

    def _offset(self, index, other):
        key = index, other
        if key not in self._offsets:
            self._offsets[key] = whole_offset(
                self.tiles.fields[index], self.tiles.fields[other]
            )
        return self._offsets[key]

    def _copy(self, other, frames, offset, bands, unit):
        ny, nx = self.tiles.fields[other].shape
        shift = np.repeat(offset, 2)
        wanted, boxes = [], []
        for frame in frames:
            there = frame.box + shift
            box = np.clip(there, 0, [nx, nx, ny, ny])
            if box[0] < box[1] and box[2] < box[3] and frame.lacks(box - shift):
                wanted.append(frame)
                boxes.append(box)
        for frame, box, pixels in self._pixels(
            other, wanted, boxes, bands=bands, unit=unit
        ):
            frame.fill(pixels, box - shift)

    def _pixels(self, other, wanted, boxes, *, bands, unit, area=1.0):
        """Frames with the pixels that a neighbour has for them."""
        if not wanted:
            return
        try:
            found, there = self.read(other, np.array(boxes), bands)
            factor = _factor(there, unit, area)
        except (ImageError, u.UnitConversionError):
            # What a neighbour cannot give is missing, as beyond the last tile.
            return
        for frame, box, pixels in zip(wanted, boxes, found, strict=True):
            yield frame, box, pixels if factor == 1 else pixels * np.float32(factor)

    def _resample(self, index, other, frames, bands, unit):
        field, neighbour = self.tiles.fields[index], self.tiles.fields[other]
        ny, nx = neighbour.shape
        wanted, boxes, places = [], [], []
        for frame in frames:
            if frame.covered.all():
                continue
            rows, columns = np.nonzero(~frame.covered)
            x, y = columns + frame.box[0], rows + frame.box[2]
            x, y = _pixels_of(field.wcs, x, y, neighbour.wcs)
            inside = (x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)
            if not inside.any():
                continue
            x, y = x[inside], y[inside]
            wanted.append(frame)
            places.append((rows[inside], columns[inside], x, y))
            box = [x.min(), x.max() + 2, y.min(), y.max() + 2]
            boxes.append(np.clip(np.floor(box).astype(int), 0, [nx, nx, ny, ny]))
        places = iter(places)
        area = (field.scale / neighbour.scale) ** 2
        found = self._pixels(other, wanted, boxes, bands=bands, unit=unit, area=area)
        for frame, box, pixels in found:
            rows, columns, x, y = next(places)
            values = interpolate(pixels, x - box[0], y - box[2])
            own = frame.pixels[:, rows, columns]
            frame.pixels[:, rows, columns] = np.where(np.isnan(own), values, own)
            frame.covered[rows, columns] = np.isfinite(values).all(0)


def _extent(first, second):
    """The box that another field fills, in pixels of the first."""
    ny, nx = second.shape
    along = np.linspace(0, 1, 5)
    x = np.concatenate([along, along, 0 * along, 0 * along + 1]) * nx - 0.5
    y = np.concatenate([0 * along, 0 * along + 1, along, along]) * ny - 0.5
    x, y = _pixels_of(second.wcs, x, y, first.wcs)
    good = np.isfinite(x) & np.isfinite(y)
    if not good.any():
        return np.zeros(4, int)
    # The edges bulge a little between these points.
    low = np.floor([x[good].min(), y[good].min()]) - 2
    high = np.ceil([x[good].max(), y[good].max()]) + 2
    return np.array([low[0], high[0], low[1], high[1]]).astype(int)


def _factor(unit, wanted, area):
    """From the pixels of a neighbour to those of a field."""
    known = unit if wanted is None else wanted
    is_surface_brightness = known is not None and any(
        base.is_equivalent(u.rad) and power < 0
        for base, power in zip(
            known.decompose().bases, known.decompose().powers, strict=True
        )
    )
    factor = 1.0 if is_surface_brightness else area
    if unit is None or wanted is None or unit == wanted:
        return factor
    return factor * unit.to(wanted)


class _Frame:
    """Pixels of a frame, and which of them are there."""

    def __init__(self, pixels, own, box):
        self.box = box
        shape = box[3] - box[2], box[1] - box[0]
        self.pixels = np.full((len(pixels), *shape), np.nan, np.float32)
        self.covered = np.zeros(shape, bool)
        self.fill(pixels, own)
        self._own = self._part(own)
        self.covered[self._own] = ~np.isnan(pixels).any(0)

    def _part(self, box):
        left, right, bottom, top = (box - np.repeat(self.box[[0, 2]], 2)).tolist()
        return slice(bottom, top), slice(left, right)

    def lacks(self, box):
        return not self.covered[self._part(box)].all()

    def fill(self, pixels, box):
        part = self._part(box)
        there = self.pixels[:, *part]
        np.copyto(there, pixels, where=np.isnan(there) & ~self.covered[part])
        self.covered[part] = True

    def trimmed(self):
        """The pixels and their box without edges that nothing covers."""
        covered = self.covered.copy()
        covered[self._own] = True
        rows = np.flatnonzero(covered.any(1))
        columns = np.flatnonzero(covered.any(0))
        bottom, top = int(rows[0]), int(rows[-1]) + 1
        left, right = int(columns[0]), int(columns[-1]) + 1
        x, y = self.box[[0, 2]].tolist()
        box = np.array([x + left, x + right, y + bottom, y + top])
        return self.pixels[:, bottom:top, left:right], box
