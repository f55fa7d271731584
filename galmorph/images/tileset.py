# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The files of a mosaic: their state, their headers, and what is wrong with them."""

import logging
import threading

import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.finding import check_unchanged, find_files, identify
from galmorph.images.positions import unit_vectors
from galmorph.images.tiles import group_tiles, name_bands_by_files, read_tiles

__all__ = ['NO_IMAGE', 'TileSet', 'describe']

logger = logging.getLogger(__name__)

#: Why a file is of no use that could be read.
NO_IMAGE = 'it has no image with a celestial WCS'


class TileSet:
    """
    The files of a mosaic, whose headers are read once, at the first use.

    Parameters
    ----------
    images, hdu, bands : object
        As in `~galmorph.images.TiledMosaic`.

    Attributes
    ----------
    files : list of (`~pathlib.Path` or str, str or None)
        The files, and their bands where they were given.
    known : tuple of str
        All bands of the files, once their headers are read.

    Examples
    --------
    Two files with a band each, which are one tile of the sky:

    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.images.tileset import TileSet
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN',
    ...                       'CRPIX1': 20.5, 'CRPIX2': 10.5, 'CDELT1': -1e-4,
    ...                       'CDELT2': 1e-4, 'BUNIT': 'nJy', 'FILTER': 'r'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for band in 'gr':
    ...         header['FILTER'] = band
    ...         fits.writeto(f'{folder}/{band}.fits', np.ones((20, 40)), header)
    ...     tiles = TileSet(folder)
    ...     print(len(tiles.files), tiles.bands, [f.shape for f in tiles.fields])
    2 ('g', 'r') [(20, 40)]
    >>> tiles.flaw(tiles.fields[0], ('r',)) is None
    True
    >>> print(tiles.nowhere(9, 9))
    none of 2 images covers 9.00000 +9.00000
    """

    def __init__(self, images, *, hdu=None, bands=None):
        self.files = find_files(images)
        self._hdu = hdu
        self._names = bands
        self._states = {path: identify(path) for path, _ in self.files}
        self._forget()

    def _forget(self):
        self._lock = threading.Lock()
        self._fields = self._circles = None

    def __getstate__(self):
        kept = ('files', '_hdu', '_names', '_states')
        return {name: vars(self)[name] for name in kept}

    def __setstate__(self, state):
        vars(self).update(state)
        self._forget()

    @property
    def fields(self):
        """The tiles: a `~galmorph.images.tiles.Field` for all bands of one grid."""
        with self._lock:
            if self._fields is None:
                self._fields = self._read_headers()
            return self._fields

    @property
    def circles(self):
        """The centres, unit vectors, and radii of circles around the tiles."""
        fields = self.fields
        if self._circles is None:
            centres = np.array([field.centre for field in fields]).reshape(-1, 3)
            self._circles = centres, np.array([field.radius for field in fields])
        return self._circles

    @property
    def bands(self):
        """The bands that were asked for, or else all, in the order of the files."""
        _ = self.fields
        return self._bands

    @property
    def damaged(self):
        """Files that cannot be used, with the reason; a dict."""
        _ = self.fields
        return self._damaged

    def fingerprint(self):
        """
        Tell which files these are.

        Returns
        -------
        fingerprint : list of list
            As in `~galmorph.images.TiledMosaic.fingerprint`.

        Examples
        --------
        See `~galmorph.images.TiledMosaic`.
        """
        return [
            [str(path), *(state or (None, None))]
            for path, state in self._states.items()
        ]

    def check(self, index=None):
        """
        Make sure that the files are still those that were opened.

        Parameters
        ----------
        index : int, optional
            The number of a tile. By default all.

        Raises
        ------
        `~galmorph.exceptions.ChangedFileError`
            If a file has vanished or is not what it was.

        Examples
        --------
        See `~galmorph.images.TiledMosaic`.
        """
        for path in self._states if index is None else self.fields[index].paths:
            check_unchanged(path, self._states[path])

    def flaw(self, field, bands):
        """
        Tell why no target can be cut from a tile.

        Parameters
        ----------
        field : `~galmorph.images.tiles.Field`
            The tile.
        bands : tuple of str
            The bands that are wanted; if empty, all that it has.

        Returns
        -------
        error : `~galmorph.exceptions.ImageError` or None
            None where nothing is known against it.

        Examples
        --------
        See `~galmorph.images.TiledMosaic`.
        """
        missing = [band for band in bands if band not in field.tiles]
        if missing:
            msg = f'{field} has the bands {list(field.tiles)}, not {missing}'
            elsewhere = self._with_bands_here(field, missing)
            if elsewhere is not None:
                msg += f', which {elsewhere} has on another grid; reproject it to one'
            return ImageError(msg, flag=MorphologyFlag.BANDS_MISSING)
        for band in bands or field.tiles:
            tile = field.tiles[band]
            if tile.damage:
                msg = f'{tile.path} cannot be read: {tile.damage}'
                return ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE)
        return None

    def _with_bands_here(self, field, bands):
        """A tile that has some of the bands, and the middle of another tile."""
        if set(self.known).isdisjoint(bands):
            return None
        centres, radii = self.circles
        near = np.linalg.norm(centres - field.centre, axis=1) < radii
        here = (self.fields[index] for index in np.flatnonzero(near))
        return next((f for f in here if not f.tiles.keys().isdisjoint(bands)), None)

    def nowhere(self, ra, dec):
        """
        Say that no tile holds a position.

        Parameters
        ----------
        ra, dec : float
            The position, ICRS, in degrees.

        Returns
        -------
        error : `~galmorph.exceptions.ImageError`
            With the flag ``OUTSIDE_IMAGE``; with ``UNREADABLE_IMAGE`` where it
            is next to the tiles, and there are files whose place is not known.

        Examples
        --------
        See `~galmorph.images.TiledMosaic`.
        """
        msg = f'none of {len(self.files)} images covers {ra:.5f} {dec:+.5f}'
        flag = MorphologyFlag.OUTSIDE_IMAGE
        _ = self.fields
        lost = self._lost
        if lost:
            path, reason = next(iter(lost.items()))
            msg += f'; {len(lost)} of them cannot be read, {path}: {reason}'
            if self._is_among(ra, dec):
                flag = MorphologyFlag.UNREADABLE_IMAGE
        return ImageError(msg, flag=flag)

    def _is_among(self, ra, dec):
        """Whether a tile that is missing could well be here."""
        centres, radii = self.circles
        here = unit_vectors(ra, dec)
        near = np.linalg.norm(centres - here, axis=1) < 3 * radii
        return bool(near.any()) or not radii.size

    def _read_headers(self):
        found, chosen = self._tiles_of_files(None), None
        if all(band is None for _, band in self.files):
            found, doubted = name_bands_by_files(found)
            if doubted:
                logger.warning(
                    'the headers of %d files tell the band of another file on their '
                    'grid, as %s %r; the names of the files are believed',
                    len(doubted),
                    doubted[0].path,
                    doubted[0].band,
                )
        if self._names is not None:
            chosen = self._choose(found)
        if chosen is None and self._names is not None:
            before = self._lost, self._damaged
            named = self._tiles_of_files(self._names)
            if named:
                found = named
            else:
                # Bands that these files do not have.
                self._lost, self._damaged = before
                chosen = tuple(self._names)
        self.known = tuple(dict.fromkeys(tile.band for tile in found))
        self._bands = self.known if chosen is None else chosen
        tiles = [tile for tile in found if tile.band in self._bands]
        for tile in tiles:
            if tile.damage:
                self._damaged[tile.path] = tile.damage
        for path, reason in self._damaged.items():
            what = 'is left out' if reason == NO_IMAGE else 'cannot be read'
            logger.warning('%s %s: %s', path, what, reason)
        return group_tiles(tiles)

    def _choose(self, found):
        """Bands of files that tell theirs, or None where they are to be named."""
        names, known = self._names, {tile.band for tile in found}
        # 'F160W' is one band, 'gri' three of them.
        if isinstance(names, str) and names in known:
            return (names,)
        is_given = all(band is not None for _, band in self.files)
        return tuple(names) if is_given or set(names) <= known else None

    def _tiles_of_files(self, names):
        # Nobody knows which part of the sky these are of.
        self._lost = {}
        self._damaged = {}
        tiles = []
        for path, band in self.files:
            try:
                found = read_tiles(
                    path, bands=names if band is None else (band,), hdu=self._hdu
                )
            # A damaged file makes astropy raise whatever comes.
            except Exception as error:
                self._damaged[path] = self._lost[path] = describe(error)
                continue
            if not found:
                self._damaged[path] = NO_IMAGE
            tiles += found
        return tiles


def describe(error):
    """
    Say in a line why something failed.

    Parameters
    ----------
    error : Exception
        The error.

    Returns
    -------
    text : str
        Its message, without the path.

    Examples
    --------
    >>> from galmorph.images.tileset import describe
    >>> describe(PermissionError(13, 'Permission denied', 'a.fits'))
    'Permission denied'
    """
    if isinstance(error, FileNotFoundError):
        return 'there is no such file'
    text = ' '.join(str(getattr(error, 'strerror', None) or error).split())
    return text[:200] or type(error).__name__
