# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a table comes from: a file of any format, or memory."""

import glob
import hashlib
import os
import sys
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import Row, Table

from galmorph.tables.columns import Layout, to_qtable
from galmorph.tables.conversion import open_converted
from galmorph.tables.fits import FITSReader
from galmorph.tables.formats import find_format
from galmorph.tables.parquet import ParquetReader

__all__ = ['Source', 'find_sources']

_SCAN_ROWS = 65_536


class Source:
    """
    A file or a table in memory, with the reader for it.

    Parameters
    ----------
    source : `~pathlib.Path` or `~astropy.table.Table`
        The file or table.
    format : str, optional
        Format of the file, by default found from it.
    scratch : path-like, optional
        As in `~galmorph.tables.open_tables`.

    Attributes
    ----------
    label : str
        What messages call it.
    n_rows : int
        Number of rows.
    colnames : list of str
        Names of the columns.

    Raises
    ------
    OSError
        If the file is missing, damaged or has no table.
    ValueError
        If its format is unknown.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.tables.sources import Source
    >>> Source(Table({'n': [1, 2]})).label
    'the table'
    """

    def __init__(self, source, format=None, scratch=None):  # noqa: A002
        self._path = source if isinstance(source, Path) else None
        self.label = str(source) if self._path else 'the table'
        self._reader = _open_reader(source, format, scratch)
        self.n_rows, self.colnames = self._reader.n_rows, self._reader.colnames

    def read(self, start, stop, names=None):
        """
        Read rows.

        Parameters
        ----------
        start, stop : int
            The first row, and the one behind the last.
        names : sequence of str, optional
            The columns, by default all.

        Returns
        -------
        table : `~astropy.table.QTable`
            The rows.
        """
        return self._reader.read(start, stop, names)

    def fingerprint(self):
        """
        Compute what tells of the content.

        Returns
        -------
        digest : str
            Of the bytes of the file, or of what the table says.
        """
        if self._path is None:
            return self._reader.fingerprint()
        with self._path.open('rb') as file:
            return hashlib.file_digest(file, _digest).hexdigest()

    def close(self):
        """Close the file."""
        self._reader.close()


class _MemoryReader:
    """A table in memory."""

    def __init__(self, table):
        self._table = to_qtable(table)
        self.n_rows = len(table)
        self.colnames = table.colnames

    def read(self, start, stop, names=None):
        table = self._table if names is None else self._table[list(names)]
        return table[start : max(start, stop)].copy()

    def fingerprint(self):
        layout = Layout(self._table)
        digest = _digest()
        kinds = [(n, c.dtype.str, str(c.unit)) for n, c in layout.columns.items()]
        text = [repr(sorted(self._table.meta.items(), key=repr)), kinds, layout.how]
        digest.update(repr(text).encode())
        for start in range(0, self.n_rows, _SCAN_ROWS):
            chunk = self._table[start : start + _SCAN_ROWS]
            for column in layout.split(chunk):
                for part in _bytes_of(column):
                    digest.update(part)
        return digest.hexdigest()

    def close(self):
        pass


def _digest(content=b''):
    return hashlib.blake2b(content, digest_size=16, usedforsecurity=False)


def _bytes_of(column):
    """What a column says: its mask, and its values where they count."""
    values = np.asarray(np.ma.getdata(column))
    mask = getattr(column, 'mask', None)
    if mask is not None:
        yield np.ascontiguousarray(mask).tobytes()
        values = np.where(mask, np.zeros((), values.dtype), values)
    if values.dtype.kind == 'O':
        yield repr(values.tolist()).encode()
    else:
        yield np.ascontiguousarray(values).tobytes()


def find_sources(tables):
    """
    Find out which files and tables are meant.

    Parameters
    ----------
    tables : path-like, `~astropy.table.Table`, ``pandas.DataFrame`` or sequence
        As in `~galmorph.tables.open_tables`.

    Returns
    -------
    sources : list of `~pathlib.Path` and `~astropy.table.Table`
        One after the other.

    Raises
    ------
    OSError
        If a pattern fits no file.
    ValueError
        If there is nothing at all, or a folder.
    TypeError
        If it is something else.

    Examples
    --------
    >>> from galmorph.tables.sources import find_sources
    >>> [path.name for path in find_sources(['a.fits', 'b.fits'])]
    ['a.fits', 'b.fits']
    """
    if isinstance(tables, Table):
        return [tables]
    # Who has a data frame has imported pandas.
    pandas = sys.modules.get('pandas')
    if pandas is not None and isinstance(tables, pandas.DataFrame):
        is_named = any(name is not None for name in tables.index.names)
        return [Table.from_pandas(tables.reset_index() if is_named else tables)]
    if isinstance(tables, (str, os.PathLike)):
        path = Path(tables)
        if path.is_dir():
            msg = (
                f'{path} is a folder: give the files in it, as in '
                f'{str(path / "**" / "*.parquet")!r}'
            )
            raise ValueError(msg)
        if path.exists() or not glob.has_magic(str(path)):
            return [path]
        found = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207
        found = [Path(name) for name in found if not Path(name).is_dir()]
        if not found:
            msg = f'no file is named like {path}'
            raise FileNotFoundError(msg)
        return found
    # The keys of a dict are no paths.
    is_other = isinstance(tables, (dict, Row, SkyCoord))
    if is_other or not isinstance(tables, Iterable):
        msg = f'expected tables or paths of tables, not {type(tables).__name__}'
        if isinstance(tables, Row):
            msg += '; table[:1] is a table of one row'
        elif isinstance(tables, SkyCoord):
            msg += "; Table({'coord': coords}) is one of coordinates"
        raise TypeError(msg)
    sources = [source for table in tables for source in find_sources(table)]
    if not sources:
        msg = 'there is no table to open'
        raise ValueError(msg)
    return sources


def _open_reader(source, format_, scratch):
    if not isinstance(source, Path):
        return _MemoryReader(source)
    if not source.exists():
        msg = f'there is no file {source}'
        raise FileNotFoundError(msg)
    format_ = format_ or find_format(source)
    if format_ == 'parquet':
        return ParquetReader(source)
    if format_ == 'fits':
        return FITSReader(source)
    return open_converted(source, format_, scratch)
