# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in FITS, read by pieces."""

import contextlib
import re

import numpy as np
from astropy.io import fits
from astropy.table import Column, QTable

from galmorph.tables.columns import keep_integers

__all__ = ['FITSReader']

BLOCK = 2880
_ELEMENT_SIZES = dict(
    zip('LXBIJKAEDCM', [1, 1, 1, 2, 4, 8, 1, 4, 8, 8, 16], strict=True)
)
_SCAN_BYTES = 2**24


class FITSReader:
    """
    The first table of a FITS file, of which any rows can be read.

    Only the bytes of the rows that are asked for are read. Each piece is
    given to astropy as if it were the whole table.

    Parameters
    ----------
    path : path-like
        The file, compressed as `astropy.io.fits.open` knows it or not. Rows
        of a compressed one are best read in order.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    colnames : list of str
        Names of the columns.

    Raises
    ------
    OSError
        If the file is missing, is not FITS, has no table or is cut short.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.tables.fits import FITSReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.fits'
    ...     Table({'a': [1, 2, 3]}).write(path)
    ...     with FITSReader(path) as reader:
    ...         print(reader.n_rows, reader.read(1, 3)['a'].tolist())
    3 [2, 3]
    """

    def __init__(self, path):
        self.path = path
        self._hdus = None
        self._masked = None
        self._parse_strict = 'warn'
        try:
            with self._named():
                self._open()
                self.colnames = self._make(b'', 0).colnames
        except BaseException:
            self.close()
            raise
        # what is odd about units has been said
        self._parse_strict = 'silent'

    @contextlib.contextmanager
    def _named(self):
        """Errors that name the file."""
        try:
            yield
        except FileNotFoundError:
            msg = f'there is no file {self.path}'
            raise FileNotFoundError(msg) from None
        except MemoryError:
            raise
        except Exception as error:
            msg = f'{self.path} cannot be read as FITS: {error}'
            raise OSError(msg) from error

    def _open(self):
        # no memory map: a file cut short while it is read would end the process
        self._hdus = fits.open(self.path, memmap=False, lazy_load_hdus=True)
        index = 0
        while True:
            try:
                hdu = self._hdus[index]
            except IndexError:
                msg = 'it holds no table'
                raise OSError(msg) from None
            is_image = isinstance(hdu, fits.CompImageHDU)
            if isinstance(hdu, (fits.BinTableHDU, fits.TableHDU)) and not is_image:
                break
            index += 1
        self._kind = type(hdu)
        self._header = hdu.header.copy()
        self.n_rows = self._header['NAXIS2']
        self._row_size = self._header['NAXIS1']
        place = hdu.fileinfo()
        self._file, self._start = place['file'], place['datLoc']
        self._dtype = hdu.columns.dtype.newbyteorder('>')
        self._texts, self._arrays = set(), {}
        self._integers = [c.name for c in hdu.columns if c.unit and 'K' in c.format]
        for column in hdu.columns:
            array = re.match(r'\d*[PQ](\w)', column.format)
            if array:
                self._arrays[column.name] = _ELEMENT_SIZES[array[1]]
            elif 'A' in column.format:
                self._texts.add(column.name)

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
        with self._named():
            if self._masked is None:
                self._masked = self._find_masked()
            stop = max(start, min(stop, self.n_rows))
            table = self._make(self._rows(start, stop), stop - start)
        return table if names is None else table[list(names)]

    def close(self):
        """Close the file."""
        if self._hdus is not None:
            self._hdus.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _rows(self, start, stop):
        return self._bytes(start * self._row_size, (stop - start) * self._row_size)

    def _bytes(self, offset, size):
        self._file.seek(self._start + offset)
        content = self._file.read(size)
        if len(content) < size:
            msg = f'it is cut short, rows are missing of the {self.n_rows}'
            raise OSError(msg)
        return content

    def _hdu(self, rows, n_rows):
        """Make rows the only ones of a table."""
        header = self._header.copy()
        header['NAXIS2'] = n_rows
        rows, heap = self._with_heap(rows, n_rows)
        header.remove('THEAP', ignore_missing=True)
        header['PCOUNT'] = len(heap)
        content = rows + heap
        content += bytes(-len(content) % BLOCK)
        content = header.tostring().encode('ascii') + content
        # as `astropy.io.fits.open` has them
        return self._kind.fromstring(content, uint=True, character_as_bytes=True)

    def _make(self, rows, n_rows):
        """
        Turn rows into a table.

        A column of floats or strings has a mask where a cell of it has no
        value. So that all pieces agree, a row that has none in the columns
        concerned is put behind them, and taken away again.
        """
        # (and astropy reads no table of no rows of the older kind)
        is_older = self._kind is fits.TableHDU and self.n_rows > 0
        spare = bool(self._masked) or is_older
        if spare:
            rows += self._spare_row()
        hdu = self._hdu(rows, n_rows + spare)
        table = QTable.read(hdu, unit_parse_strict=self._parse_strict)
        if self._integers:
            columns = (Column(hdu.data[name], name) for name in self._integers)
            keep_integers(table, columns)
        return table[:n_rows] if spare else table

    def _spare_row(self):
        row = np.frombuffer(bytearray(self._rows(0, 1)), self._dtype)
        for name in self._masked or ():
            cells = row[name]
            cells[...] = np.nan if cells.dtype.kind in 'fc' else b''
        return row.tobytes()

    def _find_masked(self):
        """Find the columns of which a cell anywhere in the file has no value."""
        dtypes = {name: self._dtype[name].base for name in self._dtype.names}
        left = {name for name, dtype in dtypes.items() if dtype.kind in 'fc'}
        # (numbers of the older kind of table are text as well)
        left |= self._texts
        found = set()
        step = max(_SCAN_BYTES // max(self._row_size, 1), 1)
        for start in range(0, self.n_rows, step):
            if not left:
                break
            stop = min(start + step, self.n_rows)
            rows = np.frombuffer(self._rows(start, stop), self._dtype)
            for name in list(left):
                cells = rows[name]
                if dtypes[name].kind == 'S':
                    missing = np.strings.rstrip(cells) == b''
                else:
                    missing = np.isnan(cells)
                if missing.any():
                    left.remove(name)
                    found.add(name)
        return found

    def _with_heap(self, rows, n_rows):
        """Fetch the arrays of any length, which lie behind the table."""
        if not self._arrays or not n_rows:
            return rows, b''
        table = np.frombuffer(bytearray(rows), self._dtype)
        filled = [
            (offsets[lengths > 0], lengths[lengths > 0] * size)
            for name, size in self._arrays.items()
            for lengths, offsets in [table[name].T.astype(np.int64)]
        ]
        starts, sizes = (np.concatenate(parts) for parts in zip(*filled, strict=True))
        if not len(starts):
            return rows, b''
        first = starts.min()
        for name in self._arrays:
            table[name][:, 1] -= np.where(table[name][:, 0] > 0, first, 0)
        heap = self._header.get('THEAP', self._row_size * self.n_rows)
        size = int((starts + sizes).max() - first)
        return table.tobytes(), self._bytes(heap + int(first), size)
