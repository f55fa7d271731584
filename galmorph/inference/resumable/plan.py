# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which rows of a catalogue are worked on together, and in which order."""

import os
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable

from galmorph.files import sync_folder
from galmorph.images.positions import Positions
from galmorph.inference.catalog import coordinates_of, sizes_of

__all__ = ['RowPlan', 'TilePlan']

# Rows that are looked at together while a plan is made.
_BLOCK = 65536

_TARGET = np.dtype([('row', 'i8'), ('ra', 'f8'), ('dec', 'f8'), ('size', 'f8')])
_PLACED = np.dtype([*_TARGET.descr, ('tile', 'i4')])


class _Plan:
    """Rows in chunks of one size, but for the last."""

    def __init__(self, n_rows, chunk_size):
        self.n_rows, self._chunk_size = n_rows, chunk_size
        self.n_chunks = -(-n_rows // chunk_size)

    def _bounds(self, number):
        start = number * self._chunk_size
        return start, min(start + self._chunk_size, self.n_rows)


class RowPlan(_Plan):
    """
    Rows in the order of the table.

    Parameters
    ----------
    stream : `~galmorph.tables.TableStream`
        The table.
    names : list of str
        The columns that are needed.
    chunk_size : int
        Rows in a chunk.

    Attributes
    ----------
    n_rows, n_chunks : int
        How many.
    template : `~astropy.table.QTable`
        What `inputs` gives, without rows.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.inference.resumable.plan import RowPlan
    >>> from galmorph.tables import open_tables
    >>> plan = RowPlan(open_tables(Table({'path': list('abcde')})), ['path'], 2)
    >>> plan.n_chunks, plan.rows(2).tolist(), plan.inputs(0)['path'].tolist()
    (3, [4], ['a', 'b'])
    """

    def __init__(self, stream, names, chunk_size):
        super().__init__(stream.n_rows, chunk_size)
        self._stream, self._names = stream, names
        self.template = stream.template[names]

    def rows(self, number):
        """
        Tell which rows a chunk has.

        Parameters
        ----------
        number : int
            The number of the chunk.

        Returns
        -------
        rows : `~numpy.ndarray` of int
            Their indices.
        """
        return np.arange(*self._bounds(number))

    def inputs(self, number):
        """
        Read what is needed of the rows of a chunk.

        Parameters
        ----------
        number : int
            The number of the chunk.

        Returns
        -------
        inputs : `~astropy.table.QTable`
            Its rows, in the order of `rows`.
        """
        return self._stream.read(*self._bounds(number), self._names)


class TilePlan(_Plan):
    """
    Rows sorted by the tiles of a mosaic, so that each is opened once.

    The positions are sorted on disk: memory does not grow with the table.

    Parameters
    ----------
    stream : `~galmorph.tables.TableStream`
        The table.
    feed : `~galmorph.inference.feeds.MosaicFeed`
        The mosaic of tiles, and how large galaxies are.
    chunk_size : int
        Rows in a chunk.
    folder : path-like
        Where to keep the positions. A plan that is there is taken.

    Attributes
    ----------
    n_rows, n_chunks, template
        As of `RowPlan`.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from astropy.table import Table
    >>> from galmorph import Recipe
    >>> from galmorph.inference.feeds import MosaicFeed
    >>> from galmorph.inference.resumable.plan import TilePlan
    >>> from galmorph.tables import open_tables
    >>> stream = open_tables(Table({'ra': [1.0, 0, 1, 0], 'dec': [0.0, 0, -0.001, 0]}))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for ra in (0, 1):
    ...         header = fits.Header({
    ...             'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRVAL1': ra,
    ...             'CRPIX1': 50, 'CRPIX2': 50, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    ...         fits.writeto(f'{folder}/{ra}.fits', np.ones((99, 99), 'f4'), header)
    ...     feed = MosaicFeed(stream.template, Recipe(), folder)
    ...     print(TilePlan(stream, feed, 10, folder).rows(0))
    [1 3 2 0]
    """

    def __init__(self, stream, feed, chunk_size, folder):
        super().__init__(stream.n_rows, chunk_size)
        self._unit = _size_unit(stream.template, feed.size)
        self.template = self._table(np.empty(0, _TARGET))
        self._path = Path(folder, 'targets.bin')
        if not self._path.is_file():
            _sort_targets(stream, feed, self._unit, self._path)

    def rows(self, number):
        """
        Tell which rows a chunk has.

        Parameters
        ----------
        number : int
            The number of the chunk.

        Returns
        -------
        rows : `~numpy.ndarray` of int
            Their indices.
        """
        return self._targets(number)['row']

    def inputs(self, number):
        """
        Read what is needed of the rows of a chunk.

        Parameters
        ----------
        number : int
            The number of the chunk.

        Returns
        -------
        inputs : `~astropy.table.QTable`
            Columns ``ra``, ``dec`` and, where sizes are known, ``size``.
        """
        return self._table(self._targets(number))

    def _targets(self, number):
        start, stop = self._bounds(number)
        offset = start * _TARGET.itemsize
        return np.fromfile(self._path, _TARGET, stop - start, offset=offset)

    def _table(self, targets):
        table = QTable({name: targets[name] * u.deg for name in ('ra', 'dec')})
        if self._unit is not None:
            table['size'] = targets['size'] * self._unit
        return table


def _size_unit(template, size):
    sizes = sizes_of(template, size)
    return None if sizes is None else sizes.unit


def _sort_targets(stream, feed, unit, path):
    """Write the positions of all rows, sorted by tile and Declination."""
    placed, part = path.with_name('placed.bin'), path.with_name('targets.part')
    counts = np.zeros(feed.mosaic.n_tiles + 1, np.int64)
    with placed.open('wb') as file:
        for start, table in stream.iterate(_BLOCK, feed.names):
            places = Positions(coordinates_of(table))
            sizes = sizes_of(table, feed.size)
            targets = np.empty(len(table), _PLACED)
            targets['row'] = start + np.arange(len(table))
            targets['ra'], targets['dec'] = places.ra, places.dec
            targets['size'] = np.nan if unit is None else sizes.to_value(unit)
            targets['tile'] = feed.assign(table)
            counts += np.bincount(targets['tile'] + 1, minlength=len(counts))
            targets.tofile(file)
    if stream.n_rows:
        ends = np.cumsum(counts)
        _scatter(placed, part, stream.n_rows, ends - counts)
        _sort_each(part, ends - counts, ends)
    else:
        part.touch()
    _sync(part)
    part.replace(path)
    sync_folder(path.parent)
    placed.unlink()


def _scatter(placed, part, n_rows, free):
    """Put each row into the part of its tile."""
    free = free.copy()
    sorted_targets = np.memmap(part, _TARGET, 'w+', shape=n_rows)
    for start in range(0, n_rows, _BLOCK):
        count = min(_BLOCK, n_rows - start)
        targets = np.fromfile(placed, _PLACED, count, offset=start * _PLACED.itemsize)
        tiles = targets['tile'] + 1
        order = np.argsort(tiles, kind='stable')
        tiles, firsts, counts = np.unique(
            tiles[order], return_index=True, return_counts=True
        )
        rank = np.arange(count) - np.repeat(firsts, counts)
        places = np.repeat(free[tiles], counts) + rank
        for name in _TARGET.names:
            sorted_targets[name][places] = targets[name][order]
        free[tiles] += counts
    sorted_targets.flush()


def _sort_each(part, starts, ends):
    """Sort the rows of each tile from its bottom to its top."""
    targets = np.memmap(part, _TARGET, 'r+')
    # The first ones lie on no tile: there may be many, and no order helps them.
    for start, end in zip(starts[1:].tolist(), ends[1:].tolist(), strict=True):
        some = np.array(targets[start:end])
        targets[start:end] = some[np.lexsort((some['row'], some['dec']))]
    targets.flush()


def _sync(path):
    with path.open('rb+') as file:
        os.fsync(file.fileno())
