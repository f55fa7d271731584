# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Plain columns for columns of any kind, and back.

``astropy.table.serialize`` splits a `~astropy.coordinates.SkyCoord` or a
`~astropy.time.Time` into columns of numbers. What is added here is that all
chunks of a table are split in the same way, whatever is masked in them.
"""

import contextlib
import copy

import numpy as np
from astropy import units as u
from astropy.io.misc import yaml
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.table.serialize import (
    SerializedColumn,
    # what the readers of astropy call; there is no public name for it
    _construct_mixins_from_columns,
    represent_mixins_as_columns,
)
from astropy.utils.masked import Masked

__all__ = [
    'Layout',
    'add_masks',
    'from_plain',
    'is_masked',
    'keep_integers',
    'linked_names',
    'to_qtable',
]

SERIALIZED = '__serialized_columns__'
_MASKED_ARRAY = 'astropy.utils.masked.core.MaskedNDArray'
_MASKED_COLUMN = 'astropy.table.column.MaskedColumn'


def is_masked(column):
    """
    Tell whether a column is of a kind that has a mask, used or not.

    Parameters
    ----------
    column : column
        A column of a `~astropy.table.QTable`.

    Returns
    -------
    masked : bool
        Whether it is.

    Examples
    --------
    >>> from astropy.table import Column, MaskedColumn
    >>> from galmorph.tables.columns import is_masked
    >>> is_masked(Column([1, 2])), is_masked(MaskedColumn([1, 2]))
    (False, True)
    """
    if isinstance(column, (MaskedColumn, Masked)):
        return True
    return bool(getattr(column, 'masked', False))


def to_qtable(table):
    """
    Turn a table into one of quantities, without a loss of digits.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.

    Returns
    -------
    table : `~astropy.table.QTable`
        The same columns, of the same memory. Integers of 64 bits with a unit,
        which astropy turns into floats, are copied and stay what they are.

    Examples
    --------
    >>> from astropy.table import Column, Table
    >>> from galmorph.tables.columns import to_qtable
    >>> table = to_qtable(Table([Column([1237648720693755918], 'n', unit='count')]))
    >>> print(table['n'])
    [1237648720693755918] ct
    """
    return keep_integers(QTable(table, copy=False), table.itercols())


def keep_integers(table, columns):
    """
    Put back integers of 64 bits that astropy turned into floats.

    Parameters
    ----------
    table : `~astropy.table.QTable`
        The table, which is changed.
    columns : iterable of column
        What its columns were.

    Returns
    -------
    table : `~astropy.table.QTable`
        That table; the integers with a unit are quantities.

    Examples
    --------
    >>> from astropy.table import Column, QTable
    >>> from galmorph.tables.columns import keep_integers
    >>> column = Column([1, 2], 'n', unit='count')
    >>> table = QTable([column])
    >>> table['n'].dtype, keep_integers(table, [column])['n'].dtype
    (dtype('float64'), dtype('int64'))
    """
    for column in columns:
        if not isinstance(column, Column) or column.name not in table.colnames:
            continue
        is_long = column.dtype.kind in 'iu' and column.dtype.itemsize == 8
        made = table[column.name]
        if is_long and type(made) in (u.Quantity, Masked(u.Quantity)):
            values = np.ma.getdata(column.data)
            exact = u.Quantity(values, made.unit, dtype=column.dtype)
            if isinstance(made, Masked):
                exact = Masked(exact, mask=made.mask)
            exact.info = made.info
            table.replace_column(column.name, exact, copy=False)
    return table


def linked_names(node):
    """
    Find the plain columns that a column was split into.

    Parameters
    ----------
    node : dict
        Entry of ``__serialized_columns__`` in the meta of a table that
        ``represent_mixins_as_columns`` of astropy returns.

    Returns
    -------
    names : list of str
        Their names.

    Examples
    --------
    >>> from galmorph.tables.columns import linked_names
    >>> linked_names({'ra': {'value': {'name': 'c.ra'}}, 'dec': {'name': 'c.dec'}})
    ['c.ra', 'c.dec']
    """
    if isinstance(node.get('name'), str):
        return [node['name']]
    inner = (value for value in node.values() if isinstance(value, dict))
    return [name for value in inner for name in linked_names(value)]


class Layout:
    """
    How the columns of a table are split, and a chunk of it in the same way.

    Parameters
    ----------
    template : `~astropy.table.QTable`
        The table without its rows.
    all_masked : bool, optional
        Whether the chunks may have masked cells in any column, whatever the
        template says.

    Attributes
    ----------
    columns : dict
        For each plain column, one of no rows: a
        `~astropy.table.MaskedColumn` where the chunks may have masked cells.
    serialized : dict
        How to put them together, as ``__serialized_columns__`` of astropy.
    meta : dict
        The meta of the template.
    how : dict of str
        How each column is put together, as text that can be compared.

    Examples
    --------
    >>> import astropy.units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from astropy.table import QTable
    >>> from galmorph.tables.columns import Layout
    >>> table = QTable({'c': SkyCoord([1, 2] * u.deg, [3, 4] * u.deg)})
    >>> layout = Layout(table[:0])
    >>> for column in layout.split(table):
    ...     print(column.name, column.tolist())
    c.ra [1.0, 2.0]
    c.dec [3.0, 4.0]
    """

    def __init__(self, template, *, all_masked=False):
        template = to_qtable(template[:0])
        columns, self.serialized = _split(template)
        self.colnames = template.colnames
        self.meta = {
            key: value for key, value in template.meta.items() if key != SERIALIZED
        }
        self.columns = {}
        for name, owner, column in columns:
            masked = all_masked or is_masked(template[owner])
            kind = MaskedColumn if masked else Column
            self.columns[name] = kind(column)
        self.how = _described(self.serialized)

    def split(self, table):
        """
        Split a chunk.

        Parameters
        ----------
        table : `~astropy.table.Table`
            Rows, with the columns of the template in any order.

        Returns
        -------
        columns : list of `~astropy.table.Column`
            In the order and of the dtypes of the template; strings and objects
            as they are.

        Raises
        ------
        ValueError
            If a column is missing or unknown, of another kind, unit or shape,
            of a dtype that would lose something, or has masked cells where the
            template has none.
        """
        for name in self.colnames:
            if name not in table.colnames:
                msg = f'column {name!r} is missing'
                raise ValueError(msg)
        for name in table.colnames:
            if name not in self.colnames:
                msg = f'column {name!r} is not one of {self.colnames}'
                raise ValueError(msg)
        chunk = QTable(meta={})
        for name in self.colnames:
            chunk[name] = table[name]
        keep_integers(chunk, table.itercols())
        columns, serialized = _split(chunk)
        how = _described(serialized)
        for name in self.colnames:
            if how.get(name) != self.how.get(name):
                msg = (
                    f'column {name!r} is of another kind, frame or unit than '
                    f'before: {how.get(name)} instead of {self.how.get(name)}'
                )
                raise ValueError(msg)
        return [
            _fitted(column, self.columns[name], owner)
            for name, owner, column in columns
        ]

    def to_table(self):
        """
        Return the plain columns as a table of no rows.

        Returns
        -------
        table : `~astropy.table.Table`
            With ``serialized`` in its meta, as the writers of astropy have it.
        """
        meta = copy.deepcopy(self.meta)
        if self.serialized:
            meta[SERIALIZED] = self.serialized
        return Table(list(self.columns.values()), meta=meta, copy=False)


def _split(table):
    """Plain columns as (name, name in the table, column), and how they belong."""
    plain = _plain_integers(table)
    others = [table[name] for name in table.colnames if name not in plain]
    rest = QTable(others, copy=False) if plain else table
    split = represent_mixins_as_columns(rest)
    found = split.meta.get(SERIALIZED, {}) if split is not rest else {}
    serialized = {}
    owners = {}
    for name, node in found.items():
        names = linked_names(node)
        owners.update(dict.fromkeys(names, name))
        if node.get('__class__') != _MASKED_COLUMN:
            serialized[name] = _without_masks(node)
    columns = []
    for column in split.itercols():
        name = column.info.name
        owner = owners.get(name, name)
        if isinstance(table[owner], Masked):
            # also where no cell is masked
            column = MaskedColumn(column, copy=False)
        columns.append((name, owner, column))
    columns += [(name, name, column) for name, column in plain.items()]
    # (a stable sort, which keeps the parts of a column in order)
    columns.sort(key=lambda found: table.colnames.index(found[1]))
    return columns, serialized


def _plain_integers(table):
    """Columns with a unit for the quantities of integers: these split into floats."""
    plain = {}
    for name in table.colnames:
        column = table[name]
        if isinstance(column, u.Quantity) and column.dtype.kind in 'iu':
            options = {
                attribute: getattr(column.info, attribute)
                for attribute in ('name', 'unit', 'format', 'description', 'meta')
            }
            if isinstance(column, Masked):
                values = np.asarray(column.unmasked.value)
                plain[name] = MaskedColumn(values, mask=column.mask, **options)
            else:
                plain[name] = Column(np.asarray(column.value), **options)
    return plain


def _without_masks(node):
    """Drop the layer that says that an array is masked: some chunks lack it."""
    if node.get('__class__') == _MASKED_ARRAY and 'data' in node:
        node = node['data']
    return type(node)(
        {
            key: _without_masks(value) if isinstance(value, dict) else value
            for key, value in node.items()
        }
    )


def _described(serialized):
    """How each column is put together, as text that can be compared."""
    return {name: yaml.dump(node).strip() for name, node in serialized.items()}


def _fitted(column, like, owner):
    """The column with the dtype of another one, where nothing is lost by that."""
    if column.unit != like.unit:
        msg = f'column {owner!r} is in {column.unit}, not in {like.unit}'
        raise ValueError(msg)
    if column.shape[1:] != like.shape[1:]:
        msg = (
            f'column {owner!r} has cells of shape {column.shape[1:]}, '
            f'not {like.shape[1:]}'
        )
        raise ValueError(msg)
    if isinstance(column, MaskedColumn) and not isinstance(like, MaskedColumn):
        if np.any(column.mask):
            msg = f'column {owner!r} has masked cells, which the template has not'
            raise ValueError(msg)
        column = Column(np.ma.getdata(column.data), name=column.name)
    same_kind = column.dtype.kind == like.dtype.kind
    if same_kind and like.dtype.kind in 'USO':
        return column
    if not np.can_cast(column.dtype, like.dtype, 'safe'):
        msg = f'column {owner!r} is of dtype {column.dtype}, not {like.dtype}'
        raise ValueError(msg)
    return column.astype(like.dtype, copy=False)


def add_masks(serialized, masked):
    """
    Say which plain columns are masked, and where their mask is.

    Parameters
    ----------
    serialized : dict
        How plain columns belong together.
    masked : dict
        For each plain column that is masked, whether its mask is a column beside
        it: that of ``x`` is ``x.mask``. Else it is in the column itself.

    Returns
    -------
    serialized : dict
        A copy that says so.

    Examples
    --------
    >>> from galmorph.tables.columns import add_masks, linked_names
    >>> linked_names(add_masks({}, {'n': True})['n'])
    ['n', 'n.mask']
    """

    def link(name, kind):
        node = {'data': SerializedColumn({'name': name}), '__class__': kind}
        if masked[name]:
            node['mask'] = SerializedColumn({'name': f'{name}.mask'})
        return SerializedColumn(node)

    def walk(node):
        if isinstance(node.get('name'), str):
            name = node['name']
            return link(name, _MASKED_ARRAY) if name in masked else node
        return type(node)(
            {
                key: walk(value) if isinstance(value, dict) else value
                for key, value in node.items()
            }
        )

    marked = {name: walk(node) for name, node in serialized.items()}
    inner = {name for node in serialized.values() for name in linked_names(node)}
    for name in masked:
        if name not in inner:
            marked[name] = dict(link(name, _MASKED_COLUMN))
    return marked


def from_plain(columns, serialized, meta):
    """
    Put plain columns together to a table.

    Parameters
    ----------
    columns : list of `~astropy.table.Column`
        The columns.
    serialized : dict
        How they belong together.
    meta : dict
        Meta of the table.

    Returns
    -------
    table : `~astropy.table.QTable`
        The table. Where a plain column has a mask, so has what it is a part of.

    Examples
    --------
    >>> from astropy.table import Column
    >>> from galmorph.tables.columns import from_plain
    >>> node = {'value': {'name': 'q'}, 'unit': 'm'}
    >>> from_plain([Column([1, 2], name='n')], {}, {'a': 1})['n'].tolist()
    [1, 2]
    """
    meta = copy.deepcopy(meta)
    if not serialized:
        return to_qtable(Table(columns, meta=meta, copy=False))
    meta[SERIALIZED] = copy.deepcopy(serialized)
    parts = {name for node in serialized.values() for name in linked_names(node)}
    masks = _mask_names(serialized)
    spare = bool(masks) or any(
        isinstance(column, MaskedColumn) and column.name in parts for column in columns
    )
    if spare:
        # A Time has a mask only where a cell of it is masked: one is put behind.
        columns = [_with_cell(column, masks) for column in columns]
    table = QTable(
        _construct_mixins_from_columns(Table(columns, meta=meta, copy=False)),
        copy=False,
    )
    keep_integers(table, columns)
    return table[:-1] if spare else table


def _mask_names(node):
    """Names of the plain columns that are the mask of another one."""
    found = set()
    for key, value in node.items():
        if isinstance(value, dict):
            is_mask = key == 'mask' and node.get('__class__') == _MASKED_ARRAY
            found.update(linked_names(value) if is_mask else _mask_names(value))
    return found


def _with_cell(column, masks):
    """The column with its first cell once more at its end, masked if it can be."""
    cell = column[:1]
    if not len(column):
        cell = type(column)(np.zeros((1, *column.shape[1:]), column.dtype))
    join = np.ma.concatenate if isinstance(column, MaskedColumn) else np.concatenate
    longer = type(column)(join([column.data, cell.data]))
    if isinstance(column, MaskedColumn):
        longer.mask[-1] = True
    if column.name in masks:
        longer[-1] = True
    for attribute in ('name', 'unit', 'format', 'description'):
        with contextlib.suppress(ValueError):
            setattr(longer, attribute, getattr(column, attribute))
    longer.meta = column.meta
    return longer
