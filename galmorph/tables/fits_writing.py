# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in FITS, written by pieces."""

import io

import numpy as np
from astropy.io import fits
from astropy.table import Column, MaskedColumn, Table
from astropy.table.meta import get_yaml_from_table

from galmorph.tables.columns import SERIALIZED, add_masks
from galmorph.tables.fits import BLOCK

__all__ = ['FITSWriter']

_BEGIN = '--BEGIN-ASTROPY-SERIALIZED-COLUMNS--'
_END = '--END-ASTROPY-SERIALIZED-COLUMNS--'


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
    >>> from galmorph.tables.fits_writing import FITSWriter
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
            if not name.isascii():
                msg = (
                    f'FITS has no letters but ASCII for the name of column {name!r}; '
                    'write .parquet, or rename it'
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
        for part in rows.itercols():
            # what FITS has to say about units it says for the header
            part.unit = part.format = None
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
        self._target.write(bytes(-size % BLOCK))
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
                    'missing one in FITS; write .parquet, or give the column '
                    'another fill_value'
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
                text = next(text for text in values.flat if not text.isascii())
                msg = (
                    f'column {column.name!r}: FITS has no letters but ASCII, not '
                    f'{str(text)!r}; write .parquet, or leave the column out'
                )
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
