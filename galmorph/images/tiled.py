# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many cutouts of a mosaic that consists of many files."""

import astropy.units as u
import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.assigning import HalfWidth, assign, frame_bounds
from galmorph.images.content import has_data, unobserved
from galmorph.images.edges import Edges
from galmorph.images.fields import FieldReader
from galmorph.images.galaxy_image import MIN_SIDE
from galmorph.images.mosaic import as_sizes
from galmorph.images.positions import Positions
from galmorph.images.tileset import TileSet

__all__ = ['TiledMosaic']

# What a user can do most about comes first, where several tiles fail a target.
_ORDER = (
    MorphologyFlag.UNREADABLE_IMAGE,
    MorphologyFlag.BANDS_MISSING,
    MorphologyFlag.INVALID_IMAGE,
    MorphologyFlag.NO_COVERAGE,
)


class TiledMosaic:
    """
    A mosaic of FITS files, from which many galaxies are cut.

    The headers of all files are read once, at the first use. A galaxy is cut
    from the tile that holds most of its surroundings, all bands from one grid,
    and only these pixels are read. Where it lies near the edge of its tile the
    cutout is completed from the neighbours.

    Parameters
    ----------
    images : path-like, list or dict
        A FITS file, a pattern such as ``'tiles/*.fits'``, a folder with its
        subfolders, or a list of these; or a dict of these by the names of bands.
        URLs such as ``'s3://survey/tiles/*.fits'`` are opened by fsspec. In
        folders, files whose names say that they are maps of weights, errors,
        masks and the like are left out.
    hdu : int, str, tuple or list of these, optional
        The HDU of the image in each file, or those of the bands. By default the
        first one with a WCS, and those of its shape that their headers name as
        other bands.
    bands : str or sequence of str, optional
        The bands. Where the headers or the names of the files tell bands, and
        these are among them, they are chosen and ordered; otherwise this names
        the planes of each file. By default all bands.
    unit : `~astropy.units.UnitBase` or str, optional
        The unit of the pixels, in place of ``BUNIT``.
    survey : str, optional
        The survey or telescope, in place of that of the headers.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no FITS image in the folder.

    Notes
    -----
    Tiles overlap as they like; they may be rotated, of other projections, frames,
    pixel scales and units. A neighbour on the same grid, up to whole pixels,
    completes a cutout with its pixels as they are; one on another grid is
    interpolated, linearly in both directions, for what is missing only. Zeros
    where nothing was observed, as those around a drizzled tile, are missing. What
    no tile covers is NaN, or cut off where that holds up to the edge of the cutout.
    Where a tile has NaN or zeros at a target, the next one that holds it is taken.

    Files ending in ``.gz`` or ``.bz2`` are decompressed as a whole, tile-compressed
    ones (``.fz``) and all others are read in sections.

    Examples
    --------
    Two tiles, 20 pixels of which are the same, and a galaxy on their edge:

    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from astropy.io import fits
    >>> from galmorph.images import TiledMosaic
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN',
    ...                       'CRPIX1': 100.5, 'CRPIX2': 50.5, 'CDELT1': -1e-4,
    ...                       'CDELT2': 1e-4, 'BUNIT': 'nJy', 'FILTER': 'r'})
    >>> sky = np.random.default_rng(1).normal(size=(100, 180))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/a.fits', sky[:, :100], header)
    ...     header['CRPIX1'] -= 80
    ...     fits.writeto(f'{folder}/b.fits', sky[:, 80:], header)
    ...     mosaic = TiledMosaic(f'{folder}/*.fits')
    ...     coords = SkyCoord([0.0005, 0.003, 9], [0, 0, 9], unit='deg')
    ...     print(mosaic.assign(coords, 20))
    ...     mosaic.cutouts(coords, 20)
    [ 1  0 -1]
    [<GalaxyImage 42 x 42 pixels, bands r, nJy, 0.36 arcsec / pix>, \
<GalaxyImage 42 x 42 pixels, bands r, nJy, 0.36 arcsec / pix>, \
ImageError('none of 2 images covers 9.00000 +9.00000')]
    """

    def __init__(self, images, *, hdu=None, bands=None, unit=None, survey=''):
        self._set = TileSet(images, hdu=hdu, bands=bands)
        self.unit = None if unit is None else u.Unit(unit)
        self.survey = survey
        self._prepare()

    def _prepare(self):
        self._reader = FieldReader(self._set, unit=self.unit, survey=self.survey)
        self._edges = Edges(self._set, self._reader.read)

    def __getstate__(self):
        # Headers are read anew in another process.
        return {'_set': self._set, 'unit': self.unit, 'survey': self.survey}

    def __setstate__(self, state):
        vars(self).update(state)
        self._prepare()

    def __repr__(self):
        n_files = len(self.files)
        return f'<TiledMosaic of {n_files} files, {self.files[0][0]} ...>'

    @property
    def files(self):
        """The files, and their bands where they were given; a list of pairs."""
        return self._set.files

    @property
    def tiles(self):
        """The tiles: `~galmorph.images.tiles.Field`, all bands of one grid each."""
        return self._set.fields

    @property
    def n_tiles(self):
        """The number of tiles."""
        return len(self.tiles)

    @property
    def circles(self):
        """The centres, unit vectors, and radii of circles around the tiles."""
        return self._set.circles

    @property
    def bands(self):
        """The bands of a cutout, where nothing else is asked for."""
        return self._set.bands

    @property
    def known_bands(self):
        """All bands of the files."""
        _ = self.tiles
        return self._set.known

    @property
    def damaged(self):
        """Files that cannot be used, with the reason; a dict."""
        return self._set.damaged

    def fingerprint(self):
        """
        Tell which files these are.

        Returns
        -------
        fingerprint : list of list
            Path, size and time of change in nanoseconds of each file when the
            mosaic was opened; None for what a file that is not there lacks, and
            of URLs what their file system knows.

        Examples
        --------
        See `TiledMosaic`.
        """
        return self._set.fingerprint()

    def check(self, tile=None):
        """
        Make sure that the files are still those that were opened.

        Parameters
        ----------
        tile : int, optional
            The number of a tile. By default all.

        Raises
        ------
        `~galmorph.exceptions.ChangedFileError`
            If a file has vanished or is not what it was.

        Examples
        --------
        See `TiledMosaic`.
        """
        self._set.check(tile)

    def assign(self, coords, half_width):
        """
        Find the tile of each position.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`, shape (n,)
            The positions, in any frame.
        half_width : `~astropy.units.Quantity`, float or `~numpy.ndarray`
            As in `cutouts`.

        Returns
        -------
        tile : `~numpy.ndarray` of int32, shape (n,)
            The number of the tile that holds the largest part of the frame, of
            several such that where the position is farthest from the edge, of
            several such the first. Tiles that lack bands or are damaged come
            last. -1 where none holds the position, or it is not finite.

        Examples
        --------
        See `TiledMosaic`.
        """
        positions = Positions(coords)
        half_width = HalfWidth(half_width, len(positions))
        return self._assign(positions, half_width, self.bands)[0]

    def _assign(self, positions, half_width, bands, **options):
        return assign(
            self._set,
            positions,
            half_width,
            usable=lambda field: self._set.flaw(field, bands) is None,
            **options,
        )

    def cutout_bytes(self, half_width, length):
        """
        Estimate the memory that cutouts take.

        Parameters
        ----------
        half_width : `~astropy.units.Quantity`, float or `~numpy.ndarray`
            As in `cutouts`.
        length : int
            The number of targets.

        Returns
        -------
        n_bytes : `~numpy.ndarray`, shape (n,)
            For each, in the tile with the smallest pixels.

        Examples
        --------
        See `TiledMosaic`.
        """
        scale = min((field.scale for field in self.tiles), default=1.0)
        half = HalfWidth(half_width, length).in_pixels(scale)
        return (2 * half + 3) ** 2 * 4 * max(len(self.bands), 1)

    def cutouts(self, coords, half_width, sizes=None, *, bands=None):
        """
        Cut galaxies out by their positions on the sky.

        The tiles are opened one after the other, in whatever order the
        positions are.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`, shape (n,)
            The targets, in any frame.
        half_width : `~astropy.units.Quantity`, float or `~numpy.ndarray`
            What is needed on each side of a target, an angle or a number of
            pixels, for all or for each.
        sizes : `~astropy.units.Quantity`, optional
            The radius of each target that the weights scale by, an angle or a
            number of pixels; NaN and masked values count as unknown.
        bands : str or sequence of str, optional
            The bands, by default those of the mosaic; if empty, all that each
            tile has.

        Returns
        -------
        images : list of `GalaxyImage` or `~galmorph.exceptions.ImageError`
            One for each target, or the error that says why there is none, with
            the flag ``BAD_COORDINATES``, ``OUTSIDE_IMAGE``, ``NO_COVERAGE``
            where the mosaic has no data, ``BANDS_MISSING`` or
            ``UNREADABLE_IMAGE``, and the file.

        Raises
        ------
        `~galmorph.exceptions.ChangedFileError`
            If a file is not what it was when the mosaic was opened.
        ValueError
            If ``half_width`` is not positive, or lengths differ.

        Examples
        --------
        See `TiledMosaic`.
        """
        positions = Positions(coords)
        half_width = HalfWidth(half_width, len(positions))
        sizes = as_sizes(sizes, len(positions))
        if bands is None:
            bands = self.bands
        bands = (bands,) if isinstance(bands, str) else tuple(bands)
        images = [None] * len(positions)
        for row in np.flatnonzero(~positions.good).tolist():
            msg = 'the coordinates of the target are not finite'
            images[row] = ImageError(msg, flag=MorphologyFlag.BAD_COORDINATES)
        among, tried = positions.good.copy(), {}
        while among.any():
            place = self._assign(positions, half_width, bands, among=among, tried=tried)
            for row in np.flatnonzero(among & (place[0] < 0)).tolist():
                if images[row] is None:
                    images[row] = self._set.nowhere(
                        positions.ra[row], positions.dec[row]
                    )
            among &= place[0] >= 0
            for index in np.unique(place[0][among]).tolist():
                rows = np.flatnonzero(among & (place[0] == index))
                half = half_width.in_pixels(self.tiles[index].scale, rows)
                where = place[1][rows], place[2][rows], half
                found = self._cut(
                    index, *where, sizes=[sizes[r] for r in rows], bands=bands
                )
                for row, image in zip(rows.tolist(), found, strict=True):
                    if not isinstance(image, ImageError):
                        among[row] = False
                    elif images[row] is not None:
                        image = min(images[row], image, key=_importance)
                    images[row] = image
                tried.setdefault(index, []).extend(rows[among[rows]].tolist())
        return images

    def _cut(self, index, x, y, half, *, sizes, bands):
        """The cutouts of one tile, or errors."""
        field = self.tiles[index]
        bands = bands or tuple(field.tiles)
        ny, nx = field.shape
        wanted = np.stack([*frame_bounds(x, half), *frame_bounds(y, half)], 1)
        own = np.clip(wanted, [0, MIN_SIDE] * 2, [nx - MIN_SIDE, nx, ny - MIN_SIDE, ny])
        try:
            pixels, unit = self._reader.read(index, own, bands)
        except ImageError as error:
            return [error] * len(x)
        pieces = list(zip(pixels, own, strict=True))
        places = zip((x - own[:, 0]).tolist(), (y - own[:, 2]).tolist(), strict=True)
        is_seen = [
            has_data(piece, *place)
            for (piece, _), place in zip(pieces, places, strict=True)
        ]
        pieces = [(_without_zeros(piece), box) for piece, box in pieces]
        frames = np.stack([np.minimum(wanted, own), np.maximum(wanted, own)], 1)[
            :, [0, 1, 0, 1], [0, 1, 2, 3]
        ]
        lacks = [bool(np.isnan(piece).any()) for piece, _ in pieces]
        rows = np.flatnonzero(((frames != own).any(1) | lacks) & is_seen)
        if rows.size and self.n_tiles > 1:
            completed = self._edges.complete(
                index, [pieces[row] for row in rows], frames[rows], bands, unit
            )
            for row, (piece, box) in zip(rows.tolist(), completed, strict=True):
                # Those of a neighbour may be zeros.
                pieces[row] = _without_zeros(piece), box
        template = self._reader.template(index, bands, unit)
        images = []
        for row, (piece, box) in enumerate(pieces):
            if is_seen[row]:
                image = template.with_pixels(
                    piece, (int(box[0]), int(box[2])), (x[row], y[row]), sizes[row]
                )
            else:
                msg = f'{field} has no data at x={x[row]:.1f}, y={y[row]:.1f}'
                image = ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
            images.append(image)
        return images


def _without_zeros(pixels):
    """Pixels with NaN where nothing was observed."""
    missing = unobserved(pixels)
    return pixels if missing is None else np.where(missing, np.float32('nan'), pixels)


def _importance(error):
    return _ORDER.index(error.flag) if error.flag in _ORDER else len(_ORDER)
