# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in Parquet, written by pieces."""

import base64
import json

import numpy as np
from astropy.table import Column, MaskedColumn
from astropy.table.meta import get_yaml_from_table

from galmorph.tables.arrow import to_arrow, type_of
from galmorph.tables.columns import SERIALIZED, add_masks
from galmorph.tables.parquet import MASKED_KEY, import_parquet

__all__ = ['ParquetWriter']


class ParquetWriter:
    """
    A Parquet file that is written by pieces, as astropy writes it.

    Parameters
    ----------
    file : file object
        Open to write bytes.
    layout : `~galmorph.tables.columns.Layout`
        The columns.
    plain : bool, optional
        Whether to mark masked values by null alone. By default there is a
        column of the mask beside each, since astropy reads no nulls; strings
        and floats are null besides, for those who do.

    Examples
    --------
    >>> import io
    >>> from astropy.table import QTable
    >>> from galmorph.tables.columns import Layout
    >>> from galmorph.tables.parquet_writing import ParquetWriter
    >>> table = QTable({'a': [1, 2, 3]})
    >>> file = io.BytesIO()
    >>> writer = ParquetWriter(file, Layout(table))
    >>> writer.write(Layout(table).split(table))
    >>> writer.finish()
    >>> QTable.read(file, format='parquet')['a'].tolist()
    [1, 2, 3]
    """

    def __init__(self, file, layout, *, plain=False):
        import_parquet()
        self._target = file
        self._layout = layout
        self._plain = plain
        self._masked = [
            name
            for name, column in layout.columns.items()
            if isinstance(column, MaskedColumn) and not plain
        ]
        self._writer = None
        self._seen_masked = set()
        self._lengths = {}
        for name, column in layout.columns.items():
            if column.dtype.kind in 'US':
                size = (
                    column.dtype.itemsize // np.dtype(f'{column.dtype.kind}1').itemsize
                )
                self._lengths[name] = max(size, 1)

    def write(self, columns):
        """
        Add rows.

        Parameters
        ----------
        columns : list of `~astropy.table.Column`
            As `~galmorph.tables.columns.Layout.split` returns them.
        """
        import pyarrow as pa

        self._seen_masked.update(
            column.name for column in columns if isinstance(column, MaskedColumn)
        )
        if not len(columns[0]):
            return
        if self._writer is None:
            self._open(columns)
        arrays = []
        for column in columns:
            kind = self._schema.field(column.name).type
            with_nulls = self._plain or column.dtype.kind in 'fUS'
            try:
                arrays.append(to_arrow(column, kind, with_nulls=with_nulls))
            except UnicodeError as error:
                raise _not_utf8(column.name) from error
            except pa.ArrowException as error:
                msg = f'column {column.name!r} is not of type {kind}: {error}'
                raise ValueError(msg) from error
            if column.dtype.kind in 'US':
                unit = np.dtype(f'{column.dtype.kind}1').itemsize
                length = max(self._lengths[column.name], column.dtype.itemsize // unit)
                self._lengths[column.name] = length
            if column.name in self._masked:
                mask = np.broadcast_to(getattr(column, 'mask', False), column.shape)
                beside = Column(mask)
                arrays.append(to_arrow(beside, type_of(beside), with_nulls=False))
        batch = pa.Table.from_arrays(arrays, schema=self._schema)
        self._writer.write_table(batch, row_group_size=len(batch))

    def finish(self):
        """Write the end of the file."""
        if self._writer is None:
            self._open(list(self._layout.columns.values()))
        # How long the strings are is known only now. Readers take the metadata
        # from the copy of the schema that Arrow keeps in the file.
        metadata = dict(self._schema.metadata)
        for name, length in self._lengths.items():
            metadata[f'table::len::{name}'.encode()] = str(length).encode()
        if self._plain:
            metadata[MASKED_KEY] = json.dumps(sorted(self._seen_masked)).encode()
        schema = self._schema.with_metadata(metadata).serialize().to_pybytes()
        self._writer.add_key_value_metadata(
            {
                **metadata,
                b'ARROW:schema': base64.b64encode(schema),
            }
        )
        self._writer.close()

    def abandon(self):
        """Give up before the end."""
        if self._writer is not None:
            self._writer.close()

    def _open(self, columns):
        import pyarrow as pa

        fields = []
        described = self._layout.to_table()
        for column in columns:
            try:
                kind = type_of(column)
            except UnicodeError as error:
                raise _not_utf8(column.name) from error
            except (pa.ArrowException, NotImplementedError) as error:
                msg = (
                    f'column {column.name!r} cannot be kept in Parquet: {error}; '
                    'leave it out'
                )
                raise ValueError(msg) from error
            fields.append((column.name, kind))
            if column.name in self._masked:
                mask = Column(np.zeros((0, *column.shape[1:]), bool))
                mask.name = f'{column.name}.mask'
                fields.append((mask.name, type_of(mask)))
                described.add_column(
                    mask, index=described.colnames.index(column.name) + 1
                )
        serialized = add_masks(
            self._layout.serialized, dict.fromkeys(self._masked, True)
        )
        if serialized:
            described.meta[SERIALIZED] = serialized
        text = '\n'.join(get_yaml_from_table(described))
        self._schema = pa.schema(fields, metadata={'table_meta_yaml': text})
        self._writer = import_parquet().ParquetWriter(
            self._target, self._schema, write_page_checksum=True
        )


def _not_utf8(name):
    msg = (
        f'column {name!r} has a string that is not UTF-8, such as the name of a file '
        'in another encoding; rename the file, or leave the column out'
    )
    return ValueError(msg)
