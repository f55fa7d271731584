# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in FITS, by pieces."""

import contextlib
import io
import re

import numpy as np
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.table.meta import get_yaml_from_table

from galmorph.tables.columns import SERIALIZED, add_masks

__all__ = ['FITSReader', 'FITSWriter']

_BLOCK = 2880
_ELEMENT_SIZES = dict(
    zip('LXBIJKAEDCM', [1, 1, 1, 2, 4, 8, 1, 4, 8, 8, 16], strict=True)
)
_SCAN_BYTES = 2**24
_BEGIN = '--BEGIN-ASTROPY-SERIALIZED-COLUMNS--'
_END = '--END-ASTROPY-SERIALIZED-COLUMNS--'


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
        content += bytes(-len(content) % _BLOCK)
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


class FITSWriter:
    """
    A binary table that is written by pieces, as astropy writes it.

    Parameters
    ----------
    file : file object
        Open to write bytes.
    layout : `~galmorph.tables.columns.Layout`
        The columns.

    Raises
    ------
    ValueError
        If FITS cannot hold a column.

    Notes
    -----
    A masked float is NaN and a masked string empty. A masked integer is the
    value of TNULL: that of the template, where it has a ``fill_value`` of its
    own, or else the least one that there is. Kinds without a TNULL that astropy
    reads back (booleans, unsigned and single bytes) have a column of the mask
    beside them.

    Examples
    --------
    >>> import io
    >>> from astropy.table import QTable
    >>> from galmorph.tables.columns import Layout
    >>> from galmorph.tables.fits import FITSWriter
    >>> table = QTable({'a': [1, 2, 3]})
    >>> file = io.BytesIO()
    >>> writer = FITSWriter(file, Layout(table))
    >>> writer.write(Layout(table).split(table))
    >>> writer.finish()
    >>> _ = file.seek(0)
    >>> QTable.read(file, format='fits')['a'].tolist()
    [1, 2, 3]
    """

    def __init__(self, file, layout):
        self._target = file
        self._layout = layout
        self._nulls = {}
        self._beside = []
        for name, column in layout.columns.items():
            if column.dtype.kind not in 'biufcUS':
                msg = (
                    f'FITS cannot hold column {name!r} of {column.dtype}; write '
                    '.parquet, or leave it out'
                )
                raise ValueError(msg)
            if isinstance(column, MaskedColumn):
                if column.dtype.kind == 'i' and column.dtype.itemsize > 1:
                    self._nulls[name] = _null_of(column)
                elif column.dtype.kind in 'biu':
                    self._beside.append(name)
        self._n_rows = 0
        self._described = self._describe()
        self._header = fits.table_to_hdu(self._described).header
        primary = fits.PrimaryHDU().header
        self._start = len(primary.tostring())
        file.write(primary.tostring().encode('ascii'))
        file.write(self._header.tostring().encode('ascii'))

    def write(self, columns):
        """
        Add rows.

        Parameters
        ----------
        columns : list of `~astropy.table.Column`
            As `~galmorph.tables.columns.Layout.split` returns them.
        """
        if not len(columns[0]):
            return
        rows = Table([part for column in columns for part in self._parts(column)])
        hdu = fits.table_to_hdu(rows)
        content = io.BytesIO()
        hdu.writeto(content)
        start = self._start + len(hdu.header.tostring())
        size = hdu.header['NAXIS1'] * hdu.header['NAXIS2']
        if hdu.header['NAXIS1'] != self._header['NAXIS1']:
            msg = 'the rows are not as long as those of the template'
            raise ValueError(msg)
        self._target.write(content.getbuffer()[start : start + size])
        self._n_rows += len(rows)

    def finish(self):
        """Write the end of the file, and the number of rows at its start."""
        size = self._n_rows * self._header['NAXIS1']
        self._target.write(bytes(-size % _BLOCK))
        self._header['NAXIS2'] = self._n_rows
        self._target.seek(self._start)
        self._target.write(self._header.tostring().encode('ascii'))

    def abandon(self):
        """Give up before the end."""

    def _describe(self):
        """Make the table of no rows that gives the header."""
        table = self._layout.to_table()
        parts = [part for c in table.itercols() for part in self._parts(c)]
        described = Table(parts, meta=table.meta)
        described.meta.pop(SERIALIZED, None)
        masked = {
            name: name in self._beside
            for name, column in self._layout.columns.items()
            if isinstance(column, MaskedColumn)
        }
        serialized = add_masks(self._layout.serialized, masked)
        has_more = any(c.description or c.meta for c in parts)
        if serialized or has_more:
            alone = Table(parts, meta={SERIALIZED: serialized})
            comments = list(described.meta.get('comments', []))
            comments += _as_comments(get_yaml_from_table(alone))
            described.meta['comments'] = comments
        return described

    def _parts(self, column):
        """Columns that FITS has for a plain one, which has all it must have."""
        like = self._layout.columns[column.name]
        column = column.copy(copy_data=False)
        if column.dtype.kind in 'US':
            column = self._text(column, like)
        if column.name in self._beside:
            mask = np.broadcast_to(getattr(column, 'mask', False), column.shape)
            values = np.where(mask, np.zeros((), column.dtype), np.asarray(column))
            beside = Column(mask, name=f'{column.name}.mask')
            return [_like(Column(values), column), beside]
        if column.name in self._nulls:
            null = self._nulls[column.name]
            mask = getattr(column, 'mask', np.zeros((), bool))
            values = np.asarray(np.ma.getdata(column))
            if np.any(~mask & (values == null)):
                msg = (
                    f'column {column.name!r} has the value {null}, which marks a '
                    'missing one in FITS'
                )
                raise ValueError(msg)
            made = _like(MaskedColumn(values, mask=mask), column)
            made.fill_value = null
            return [made]
        return [column]

    def _text(self, column, like):
        width = like.dtype.itemsize // np.dtype(f'{like.dtype.kind}1').itemsize
        values = column.filled('') if isinstance(column, MaskedColumn) else column
        values = np.asarray(values)
        if column.dtype.kind == 'U':
            try:
                values = np.strings.encode(values, 'ascii')
            except UnicodeEncodeError as error:
                msg = f'column {column.name!r}: FITS has no letters but ASCII: {error}'
                raise ValueError(msg) from error
        longest = np.strings.str_len(values).max(initial=0)
        if longest > width:
            msg = (
                f'column {column.name!r} has a string of {longest} characters; the '
                f'template has room for {width}'
            )
            raise ValueError(msg)
        return _like(Column(values.astype(f'S{max(width, 1)}')), column)


def _like(column, other):
    for attribute in ('name', 'unit', 'format', 'description', 'meta'):
        setattr(column, attribute, getattr(other, attribute))
    return column


def _null_of(column):
    """The value that stands for a missing integer."""
    given = int(column.fill_value)
    default = int(np.ma.default_fill_value(column.dtype))
    limits = np.iinfo(column.dtype)
    if given != default and limits.min <= given <= limits.max:
        return given
    return int(limits.min)


def _as_comments(lines):
    """Lines of YAML as astropy has them in a header, in pieces of 70 letters."""
    comments = [_BEGIN]
    for line in lines:
        pieces = [line[i : i + 70] for i in range(0, len(line), 70)] or ['']
        comments += [f'{piece}\\' for piece in pieces[:-1]] + pieces[-1:]
    return [*comments, _END]
