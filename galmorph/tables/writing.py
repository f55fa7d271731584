# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""One table, written chunk by chunk."""

import contextlib
import os
import secrets
import warnings
from pathlib import Path

from galmorph.files import sync_folder
from galmorph.tables.columns import Layout
from galmorph.tables.fits_writing import FITSWriter
from galmorph.tables.parquet_writing import ParquetWriter

__all__ = ['TableWriter', 'check_writable', 'find_writer']

_WRITERS = {'parquet': ParquetWriter, 'fits': FITSWriter}
_SUFFIXES = {
    '.parquet': 'parquet',
    '.parq': 'parquet',
    '.pq': 'parquet',
    '.fits': 'fits',
    '.fit': 'fits',
    '.fts': 'fits',
}


def find_writer(path, format=None):  # noqa: A002
    """
    Find the format that a file is to be written in.

    Parameters
    ----------
    path : path-like
        The file, which need not be there.
    format : str, optional
        The format, by default that of the name.

    Returns
    -------
    format : {'parquet', 'fits'}
        The format.

    Raises
    ------
    ValueError
        If it is another one.

    Examples
    --------
    >>> from galmorph.tables import find_writer
    >>> find_writer('galaxies.parquet')
    'parquet'
    """
    found = format or _SUFFIXES.get(Path(path).suffix.lower())
    if found not in _WRITERS:
        msg = (
            f'{format or Path(path).name!r} is no format that can be written in '
            'pieces: the name of the file must end in .parquet or .fits'
        )
        raise ValueError(msg)
    return found


def check_writable(path, template, chunks=(), *, format=None):  # noqa: A002
    """
    Find out whether a file can hold a table, without writing it.

    Parameters
    ----------
    path, template, format
        As in `TableWriter`.
    chunks : iterable of `~astropy.table.Table`, optional
        Rows to look at, with the columns of the template.

    Raises
    ------
    ValueError
        If the format is another one or cannot hold a column; the message names
        it.
    ImportError
        If pyarrow is missing, for Parquet.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.tables import check_writable
    >>> table = Table({'name': ['Cygnus α']})
    >>> check_writable('a.parquet', table, [table])
    >>> check_writable('a.fits', table, [table])
    Traceback (most recent call last):
    ...
    ValueError: column 'name': FITS has no letters but ASCII, not 'Cygnus α'; ...
    """
    layout = Layout(template)
    with warnings.catch_warnings(), Path(os.devnull).open('wb') as file:
        # They come as it is written.
        warnings.simplefilter('ignore')
        writer = _WRITERS[find_writer(path, format)](file, layout)
        try:
            for chunk in chunks:
                writer.write(layout.split(chunk))
            writer.finish()
        except BaseException:
            with contextlib.suppress(Exception):
                writer.abandon()
            raise


class TableWriter:
    """
    A table that is written chunk by chunk, and appears complete or not at all.

    Memory holds one chunk. The file is written beside its place and moved
    there when the writer is closed; after an exception in the ``with`` block
    nothing of it stays, and a file that was there before remains as it was.
    What it holds depends on the rows alone, not on date or machine.

    Parameters
    ----------
    path : path-like
        The file, ``.parquet`` or ``.fits``.
    template : `~astropy.table.Table`
        The table without its rows, such as ``template`` of a
        `~galmorph.tables.TableStream`: columns with dtypes, units,
        descriptions, frames, and whether they can have masked cells; meta.
    format : {'parquet', 'fits'}, optional
        The format, by default that of the name.
    n_rows : int, optional
        How many rows the table has when it is complete. Closing it with
        another number is an error.

    Raises
    ------
    ValueError
        If the format is another one or FITS cannot hold a column.
    OSError
        If the file cannot be written.
    ImportError
        If pyarrow is missing, for Parquet.

    Notes
    -----
    `QTable.read <astropy.table.QTable.read>` gives all back: masks, units,
    descriptions, the other attributes of a column and mixins such as
    `~astropy.coordinates.SkyCoord` and `~astropy.time.Time`. FITS has its
    limits: in a column of floats or strings NaN, the empty string and a
    masked value are the same; strings are of bytes; and the meta keeps what
    fits into a header.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import QTable
    >>> from galmorph.tables import TableWriter
    >>> chunk = QTable({'id': [1, 2], 'name': ['NGC 1', 'NGC 2']})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'galaxies.parquet'
    ...     with TableWriter(path, chunk[:0]) as writer:
    ...         writer.write(chunk)
    ...         writer.write(chunk)
    ...     print(len(QTable.read(path)))
    4
    """

    def __init__(self, path, template, *, format=None, n_rows=None):  # noqa: A002
        self.path = Path(path)
        self.n_written = 0
        self._n_rows = n_rows
        format = find_writer(path, format)  # noqa: A001
        self._layout = Layout(template)
        if not self._layout.columns:
            msg = 'the template has no columns'
            raise ValueError(msg)
        part = f'.{self.path.name}.{secrets.token_hex(4)}.part'
        self._part = self.path.with_name(part)
        self._writer = None
        self._file = self._part.open('xb')
        try:
            self._writer = _WRITERS[format](self._file, self._layout)
        except BaseException:
            self.abort()
            raise

    def write(self, table):
        """
        Add rows.

        Parameters
        ----------
        table : `~astropy.table.Table`
            The next rows, with the columns of the template in any order. None
            at all is fine.

        Raises
        ------
        ValueError
            If a column does not fit the template; the message names it.
        """
        self._writer.write(self._layout.split(table))
        self.n_written += len(table)

    def close(self):
        """
        Complete the file and put it in its place.

        Raises
        ------
        ValueError
            If ``n_rows`` was given and another number of rows was written;
            nothing stays of the file then.
        """
        if self._file.closed:
            return
        try:
            self._finish()
        except BaseException:
            self.abort()
            raise

    def _finish(self):
        if self._n_rows not in (None, self.n_written):
            msg = (
                f'{self.path} is to have {self._n_rows} rows, '
                f'{self.n_written} were written'
            )
            raise ValueError(msg)
        self._writer.finish()
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._part.replace(self.path)
        sync_folder(self.path.parent)

    def abort(self):
        """Give up: nothing stays of the file."""
        if not self._file.closed:
            with contextlib.suppress(Exception):
                self._writer.abandon()
            self._file.close()
        self._part.unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, *exception):
        if kind is None:
            self.close()
        else:
            self.abort()
