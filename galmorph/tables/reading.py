# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in files or in memory, read by pieces as one."""

from pathlib import Path

import numpy as np
from astropy.table import vstack

from galmorph.tables.formats import FORMATS
from galmorph.tables.sources import Source, find_sources

__all__ = ['TableStream', 'open_tables']

_SCAN_ROWS = 65_536


def open_tables(tables, *, format=None, scratch=None):  # noqa: A002
    """
    Open tables to be read by pieces as one table.

    Parameters
    ----------
    tables : path-like, `~astropy.table.Table`, ``pandas.DataFrame`` or sequence
        A file, a pattern such as ``'sources/*.parquet'`` (``**`` goes into
        folders), a table in memory, or several of these. The files of a
        pattern are taken in the order of their names.
    format : str, optional
        'parquet', 'fits', 'ecsv', 'csv' or 'votable'; by default what the name
        of each file ends in, or else how it begins.
    scratch : path-like, optional
        Folder for the copies in Parquet that are made of formats without
        access to single rows; by default a temporary one, which is removed
        when the tables are closed.

    Returns
    -------
    stream : `TableStream`
        The rows of all tables.

    Raises
    ------
    OSError
        If a file is missing, damaged or has no table.
    ValueError
        If the format is unknown, a pattern fits no file, or the tables differ
        in their columns.
    ImportError
        If pyarrow is missing where it is needed.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import QTable
    >>> from galmorph.tables import open_tables
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in 'ab':
    ...         QTable({'n': [1, 2, 3]}).write(Path(folder) / f'{name}.fits')
    ...     with open_tables(f'{folder}/*.fits') as stream:
    ...         print(stream.n_rows, stream.read(2, 5)['n'].tolist())
    6 [3, 1, 2]
    """
    return TableStream(tables, format=format, scratch=scratch)


class TableStream:
    """
    Tables that are read by pieces as one table.

    Made by `open_tables`, which documents the arguments. Only the rows that
    are asked for are in memory. A stream serves one thread at a time.

    Parameters
    ----------
    tables, format, scratch
        As in `open_tables`.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    colnames : list of str
        Names of the columns, in the order of the first table.
    paths : list of `~pathlib.Path`
        The files, in order; none for tables in memory.

    Notes
    -----
    What comes out is what `QTable.read <astropy.table.QTable.read>` makes of
    the whole file, of the columns that have masked cells too: those have a mask
    in all pieces. For Parquet some more is read: null values are masked,
    whoever wrote the file; cells with several axes keep their shape; the
    metadata of a VOTable within a Parquet file are taken; columns that numpy
    has no dtype for (lists of any length, structures) are objects.

    Of several tables, all have the same columns, in any order; units are
    converted to those of the first table, dtypes are made common.

    Strings of a file that does not say how long they are (such as Parquet by
    pandas) have one letter in `template`, and the room that they need in the
    pieces; `string_widths` finds it.

    Examples
    --------
    Two tables with different units, two rows at a time:

    >>> from astropy import units as u
    >>> from astropy.table import QTable
    >>> from galmorph.tables import open_tables
    >>> first = QTable({'size': [1, 2] * u.arcmin})
    >>> with open_tables([first, QTable({'size': [90] * u.arcsec})]) as stream:
    ...     print(stream.n_rows, stream.colnames)
    ...     for start, table in stream.iterate(2):
    ...         print(start, table['size'])
    3 ['size']
    0 [1. 2.] arcmin
    2 [1.5] arcmin
    """

    def __init__(self, tables, *, format=None, scratch=None):  # noqa: A002
        if format is not None and format not in FORMATS:
            msg = f'unknown format {format!r}; known are {", ".join(FORMATS)}'
            raise ValueError(msg)
        sources = find_sources(tables)
        self.paths = [source for source in sources if isinstance(source, Path)]
        self._readers = []
        try:
            for source in sources:
                self._readers.append(Source(source, format, scratch))
            self.colnames = list(self._readers[0].colnames)
            for reader in self._readers[1:]:
                _check_names(reader, self._readers[0])
        except BaseException:
            self.close()
            raise
        self._starts = np.cumsum([0, *(reader.n_rows for reader in self._readers)])
        self.n_rows = int(self._starts[-1])
        self._template = None

    @property
    def template(self):
        """The table without its rows (`~astropy.table.QTable`)."""
        if self._template is None:
            templates = [reader.read(0, 0) for reader in self._readers]
            self._template = _join(templates, self._readers)
        return self._template.copy()

    def read(self, start, stop, names=None):
        """
        Read rows.

        Parameters
        ----------
        start, stop : int
            The first row, and the one behind the last. Rows beyond the end are
            left out.
        names : sequence of str, optional
            The columns, by default all.

        Returns
        -------
        table : `~astropy.table.QTable`
            The rows.

        Raises
        ------
        ValueError
            If ``start`` is negative or a column is unknown.
        OSError
            If a file turns out to be damaged.

        Examples
        --------
        >>> from astropy.table import Table
        >>> from galmorph.tables import open_tables
        >>> open_tables(Table({'n': range(9)})).read(3, 5)['n'].tolist()
        [3, 4]
        """
        if start < 0:
            msg = f'there is no row {start}'
            raise ValueError(msg)
        names = self._parse_names(names)
        if len(self._readers) == 1:
            return self._readers[0].read(start, stop, names)
        template = self.template[names]
        pieces = []
        for reader, offset in zip(self._readers, self._starts[:-1], strict=True):
            first, last = max(start - offset, 0), min(stop - offset, reader.n_rows)
            if first < last:
                pieces.append(reader.read(int(first), int(last), names))
        return _stack(pieces, template)

    def iterate(self, chunk_size, names=None):
        """
        Read all rows, chunk by chunk.

        Parameters
        ----------
        chunk_size : int
            Rows of a chunk; the last one may be shorter.
        names : sequence of str, optional
            The columns, by default all.

        Yields
        ------
        start : int
            First row of the chunk.
        table : `~astropy.table.QTable`
            The rows.

        Raises
        ------
        ValueError
            If ``chunk_size`` is not positive or a column is unknown.
        OSError
            If a file turns out to be damaged.

        Examples
        --------
        >>> from astropy.table import Table
        >>> from galmorph.tables import open_tables
        >>> stream = open_tables(Table({'n': range(5)}))
        >>> [(start, chunk['n'].tolist()) for start, chunk in stream.iterate(3)]
        [(0, [0, 1, 2]), (3, [3, 4])]
        """
        if chunk_size < 1:
            msg = f'chunk_size must be at least 1, not {chunk_size!r}'
            raise ValueError(msg)
        for start in range(0, self.n_rows, chunk_size):
            yield start, self.read(start, min(start + chunk_size, self.n_rows), names)

    def string_widths(self, names=None):
        """
        Find the longest string of columns of strings. All rows are looked at.

        Parameters
        ----------
        names : sequence of str, optional
            The columns; those that hold no strings are left out.

        Returns
        -------
        widths : dict
            For each column of strings the characters of its longest, at least 1.

        Examples
        --------
        >>> from astropy.table import Table
        >>> from galmorph.tables import open_tables
        >>> open_tables(Table({'n': [1, 2], 's': ['a', 'abc']})).string_widths()
        {'s': 3}
        """
        template = self.template
        names = [
            name
            for name in self._parse_names(names)
            if getattr(template[name], 'dtype', np.dtype(int)).kind in 'US'
        ]
        widths = dict.fromkeys(names, 1)
        if not names:
            return widths
        for _, table in self.iterate(_SCAN_ROWS, names):
            for name in names:
                column = table[name]
                column = column.filled('') if hasattr(column, 'mask') else column
                longest = np.strings.str_len(np.asarray(column)).max(initial=1)
                widths[name] = max(widths[name], int(longest))
        return widths

    def fingerprint(self):
        """
        Compute what is the same if, and only if, the content is the same.

        Returns
        -------
        fingerprint : list of str
            A BLAKE2b digest for each table: of the bytes of a file, wherever it
            lies; of columns, values, masks, units and meta of a table in memory.

        Examples
        --------
        >>> from astropy.table import Table
        >>> from galmorph.tables import open_tables
        >>> first, second = Table({'n': [1, 2]}), Table({'n': [1, 3]})
        >>> open_tables(first).fingerprint() == open_tables(second).fingerprint()
        False
        """
        return [reader.fingerprint() for reader in self._readers]

    def close(self):
        """Close the files and remove temporary ones."""
        for reader in self._readers:
            reader.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _parse_names(self, names):
        if names is None:
            return self.colnames
        names = [names] if isinstance(names, str) else list(names)
        for name in names:
            if name not in self.colnames:
                msg = f'there is no column {name!r}, only {", ".join(self.colnames)}'
                raise ValueError(msg)
        return names


def _check_names(source, first):
    for name in first.colnames:
        if name not in source.colnames:
            msg = f'{source.label} has no column {name!r}, which {first.label} has'
            raise ValueError(msg)
    for name in source.colnames:
        if name not in first.colnames:
            msg = f'{source.label} has a column {name!r}, which {first.label} has not'
            raise ValueError(msg)


def _stack(tables, like):
    """Put tables below each other, as one of no rows has it."""
    # astropy takes the names of the first one, and the units of the last one
    tables = [like, *tables, like]
    stacked = vstack(tables, join_type='exact', metadata_conflicts='silent')
    stacked.meta = like.meta
    return stacked


def _join(templates, sources):
    """Make the template that all tables fit."""
    first = templates[0]
    for template, source in zip(templates[1:], sources[1:], strict=True):
        for name in first.colnames:
            try:
                _stack([template[[name]]], first[[name]])
            except Exception as error:
                msg = (
                    f'column {name!r} of {source.label} does not go with that of '
                    f'{sources[0].label}: {error}'
                )
                raise ValueError(msg) from error
    return _stack(templates[1:], first) if templates[1:] else first
