# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in Parquet, read by pieces."""

import contextlib
import io
import json

import numpy as np
from astropy.table import Column, MaskedColumn
from astropy.table.meta import get_header_from_yaml

from galmorph.tables.arrow import from_arrow, n_leaves
from galmorph.tables.columns import SERIALIZED, add_masks, from_plain, linked_names

__all__ = ['ParquetReader', 'import_parquet']

_VOTABLE = b'IVOA.VOTable-Parquet.content'
MASKED_KEY = b'galmorph::masked'
_BATCH_ROWS = 65_536


class ParquetReader:
    """
    A Parquet file of which any rows can be read.

    Memory holds the rows that are asked for and one batch, whatever the size
    of the row groups. Rows that follow those read before cost no second
    look at a row group.

    Parameters
    ----------
    path : path-like
        The file.

    Attributes
    ----------
    n_rows : int
        Number of rows.
    colnames : list of str
        Names of the columns.

    Raises
    ------
    OSError
        If the file is missing or is not Parquet.
    ImportError
        If pyarrow is missing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.tables.parquet import ParquetReader
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.parquet'
    ...     Table({'a': [1, 2, 3]}).write(path)
    ...     with ParquetReader(path) as reader:
    ...         print(reader.n_rows, reader.read(1, 3)['a'].tolist())
    3 [2, 3]
    """

    def __init__(self, path):
        parquet = import_parquet()
        self.path = path
        self._cursor = None
        with self._named():
            self._file = parquet.ParquetFile(
                path,
                memory_map=False,
                buffer_size=2**20,
                pre_buffer=False,
                page_checksum_verification=True,
            )
        self._schema = self._file.schema_arrow
        self.n_rows = self._file.metadata.num_rows
        metadata = self._schema.metadata or {}
        header = _parse_header(metadata)
        self._attributes, self._lengths, self._meta, self._serialized = header
        owners = {
            part: name
            for name, node in self._serialized.items()
            for part in linked_names(node)
        }
        self._parts = {}
        for name in self._schema.names:
            self._parts.setdefault(owners.get(name, name), []).append(name)
        self.colnames = list(self._parts)
        self._masked = set(json.loads(metadata.get(MASKED_KEY, b'[]')))
        self._unmasked = _with_mask_beside(self._serialized)
        self._counted = set()

    @contextlib.contextmanager
    def _named(self):
        """Errors that name the file."""
        import pyarrow as pa

        try:
            yield
        except FileNotFoundError:
            msg = f'there is no file {self.path}'
            raise FileNotFoundError(msg) from None
        except (pa.ArrowException, OSError) as error:
            msg = f'{self.path} cannot be read as Parquet: {error}'
            raise OSError(msg) from error

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
        names = self.colnames if names is None else list(names)
        parts = [part for name in names for part in self._parts[name]]
        with self._named():
            self._count_nulls(parts)
            rows = self._take(start, stop, parts)
        columns = [self._column(part, rows.column(part)) for part in parts]
        serialized = {
            name: node for name, node in self._serialized.items() if name in names
        }
        parts = {part for node in serialized.values() for part in linked_names(node)}
        masked = {
            column.name: False
            for column in columns
            if isinstance(column, MaskedColumn) and column.name in parts
        }
        serialized = add_masks(serialized, masked)
        return from_plain(columns, serialized, self._meta)[names]

    def close(self):
        """Close the file."""
        self._cursor = None
        self._file.close()

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def _take(self, start, stop, parts):
        import pyarrow as pa

        stop = max(start, min(stop, self.n_rows))
        if start == stop or not parts:
            fields = [self._schema.field(part) for part in parts]
            return pa.schema(fields).empty_table()
        cursor = self._cursor
        if cursor is None or not cursor.leads_to(start, parts):
            cursor = self._cursor = _Cursor(self._file, start, stop, parts)
        return cursor.take(start, stop)

    def _count_nulls(self, parts):
        """Find out which of the plain columns have nulls anywhere in the file."""
        position = 0
        for field in self._schema:
            leaves = range(position, position + n_leaves(field.type))
            position = leaves.stop
            if field.name not in parts or field.name in self._counted:
                continue
            self._counted.add(field.name)
            if field.nullable and self._has_null(field, leaves):
                self._masked.add(field.name)

    def _has_null(self, field, leaves):
        import pyarrow as pa

        kind = field.type
        if pa.types.is_nested(kind) and not pa.types.is_fixed_size_list(kind):
            # the statistics tell of what is within the cells
            return self._finds_null(field.name)
        metadata = self._file.metadata
        for i in range(metadata.num_row_groups):
            for leaf in leaves:
                statistics = metadata.row_group(i).column(leaf).statistics
                if statistics is None or not statistics.has_null_count:
                    return self._finds_null(field.name)
                if statistics.null_count:
                    return True
        return False

    def _finds_null(self, name):
        for batch in self._file.iter_batches(_BATCH_ROWS, columns=[name]):
            if from_arrow(batch.column(name))[1] is not None:
                return True
        return False

    def _column(self, name, array):
        attributes = self._attributes.get(name, {})
        values, mask = from_arrow(array, attributes.get('shape'))
        if name in self._lengths and values.dtype.kind in 'US':
            said = np.dtype(f'{values.dtype.kind}{self._lengths[name] or 1}')
            # (never cut, whatever was said)
            values = values.astype(max(said, values.dtype), copy=False)
        if name in self._masked and name not in self._unmasked:
            mask = False if mask is None else mask
            column = MaskedColumn(values, name=name, mask=mask, copy=False)
        else:
            column = Column(values, name=name, copy=False)
        for attribute in ('unit', 'format', 'description', 'meta'):
            if attribute in attributes:
                setattr(column, attribute, attributes[attribute])
        return column


class _Cursor:
    """Rows of a Parquet file one after the other, batch by batch."""

    def __init__(self, file, start, stop, parts):
        self.parts = parts
        n_rows = [
            file.metadata.row_group(i).num_rows
            for i in range(file.metadata.num_row_groups)
        ]
        self._ends = np.cumsum(n_rows)
        first = int(np.searchsorted(self._ends, start, side='right'))
        self._position = int(self._ends[first]) - n_rows[first]
        self._batches = file.iter_batches(
            min(max(stop - start, 1024), _BATCH_ROWS),
            row_groups=range(first, len(n_rows)),
            columns=parts,
            use_threads=False,
        )
        self._batch = None

    def leads_to(self, start, parts):
        """Tell whether the row comes, and no row group could be left out."""
        groups = np.searchsorted(self._ends, [self._position, start], side='right')
        return (
            parts == self.parts
            and start >= self._position
            and groups[1] <= groups[0] + 1
        )

    def take(self, start, stop):
        import pyarrow as pa

        taken = []
        while self._position < stop:
            if self._batch is None:
                self._batch = next(self._batches).select(self.parts)
            first = max(start - self._position, 0)
            last = min(stop - self._position, len(self._batch))
            if first < last:
                taken.append(self._batch.slice(first, last - first))
            rest = self._batch.slice(last) if last < len(self._batch) else None
            self._position += last
            self._batch = rest
        return pa.Table.from_batches(taken)


def _parse_header(metadata):
    """
    Read what a file says about its columns.

    Attributes of the plain columns, lengths of strings, meta of the table, and
    how plain columns belong together.
    """
    lengths = {}
    for key, value in metadata.items():
        if key.startswith(b'table::len::'):
            lengths[key.removeprefix(b'table::len::').decode()] = int(value)
    if b'table_meta_yaml' in metadata:
        lines = metadata[b'table_meta_yaml'].decode().split('\n')
        header = get_header_from_yaml(lines)
        attributes = {column['name']: column for column in header['datatype']}
        for column in attributes.values():
            subtype = column.get('subtype', '')
            shape = json.loads(subtype[subtype.index('[') :]) if '[' in subtype else []
            if None not in shape:
                column['shape'] = tuple(shape)
        meta = dict(header.get('meta', {}))
        return attributes, lengths, meta, meta.pop(SERIALIZED, {})
    if _VOTABLE in metadata:
        from astropy.io import votable

        table = votable.parse_single_table(io.BytesIO(metadata[_VOTABLE])).to_table()
        attributes = {
            column.name: {
                attribute: getattr(column, attribute)
                for attribute in ('unit', 'format', 'description', 'meta')
                if getattr(column, attribute)
            }
            for column in table.itercols()
        }
        return attributes, lengths, dict(table.meta), {}
    return {}, lengths, {}, {}


def _with_mask_beside(node):
    """Names of the plain columns whose mask is a column of its own."""
    links = [value for value in node.values() if isinstance(value, dict)]
    found = {name for link in links for name in _with_mask_beside(link)}
    if isinstance(node.get('data'), dict) and isinstance(node.get('mask'), dict):
        found.update(linked_names(node['data']))
    return found


def import_parquet():
    """
    Import the module of pyarrow for Parquet.

    Returns
    -------
    parquet : module
        ``pyarrow.parquet``.

    Raises
    ------
    ImportError
        If pyarrow is missing; the message says what to do.

    Examples
    --------
    >>> from galmorph.tables.parquet import import_parquet
    >>> import_parquet().__name__
    'pyarrow.parquet'
    """
    try:
        from pyarrow import parquet
    except ImportError as error:
        msg = (
            'Parquet needs pyarrow: install astro-galmorph[parquet], or use FITS '
            '(.fits)'
        )
        raise ImportError(msg) from error
    return parquet
