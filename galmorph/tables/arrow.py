# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Arrays of Arrow as arrays of numpy, and back."""

import numpy as np

__all__ = ['from_arrow', 'n_leaves', 'to_arrow', 'type_of']


def n_leaves(kind):
    """
    Count the columns that Parquet has for a column of Arrow.

    Parameters
    ----------
    kind : ``pyarrow.DataType``
        Type of the column.

    Returns
    -------
    n : int
        One, and more for a structure.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from galmorph.tables.arrow import n_leaves
    >>> n_leaves(pa.float32()), n_leaves(pa.struct({'t': pa.int8(), 'm': pa.int8()}))
    (1, 2)
    """
    if not kind.num_fields:
        return 1
    return sum(n_leaves(kind.field(i).type) for i in range(kind.num_fields))


def from_arrow(array, shape=None):
    """
    Turn an array of Arrow into one of numpy.

    Parameters
    ----------
    array : ``pyarrow.Array`` or ``pyarrow.ChunkedArray``
        Values of any type. Categories are looked up, decimal numbers become
        float64, lists of one length a further axis. What numpy has no dtype
        for is kept as objects: lists of any length as arrays, structures as
        dicts.
    shape : tuple of int, optional
        Shape of a cell, where it is a list of one length.

    Returns
    -------
    values : `~numpy.ndarray`
        The values.
    mask : `~numpy.ndarray` of bool or `None`
        Where they are null; `None` where none is.

    Examples
    --------
    >>> import pyarrow as pa
    >>> from galmorph.tables.arrow import from_arrow
    >>> from_arrow(pa.array([1, None, 3]))
    (array([1, 0, 3]), array([False,  True, False]))
    >>> from_arrow(pa.array(['spiral', 'star']).dictionary_encode())
    (array(['spiral', 'star'], dtype='<U6'), None)
    """
    import pyarrow as pa

    types = pa.types
    if isinstance(array, pa.ChunkedArray):
        array = pa.concat_arrays(array.chunks) if array.num_chunks else (
            pa.array([], array.type)
        )  # fmt: skip
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return from_arrow(array.storage, shape)
    if types.is_dictionary(kind):
        return from_arrow(array.dictionary_decode(), shape)
    if types.is_decimal(kind):
        return from_arrow(array.cast(pa.float64()), shape)
    if types.is_fixed_size_list(kind):
        return _from_lists(array, shape)
    mask = array.is_null().to_numpy(zero_copy_only=False) if array.null_count else None
    if types.is_null(kind):
        return np.full(len(array), np.nan), mask
    if _is_text(kind):
        is_text = _is_text(kind, binary=False)
        array = array.cast(pa.large_string() if is_text else pa.large_binary())
        filled = array.fill_null('' if is_text else b'')
        letter = 'U' if is_text else 'S'
        values = filled.to_numpy(zero_copy_only=False).astype(letter)
        return (values if values.dtype.itemsize else values.astype(f'{letter}1')), mask
    if types.is_boolean(kind):
        array = array.fill_null(False)
    elif types.is_integer(kind):
        array = array.fill_null(0)
    values = array.to_numpy(zero_copy_only=False)
    return values, mask


def _is_text(kind, *, binary=True):
    import pyarrow as pa

    names = ['string', 'large_string', 'string_view']
    if binary:
        names += ['binary', 'large_binary', 'binary_view', 'fixed_size_binary']
    checks = (getattr(pa.types, f'is_{name}', None) for name in names)
    return any(check is not None and check(kind) for check in checks)


def _from_lists(array, shape):
    size = array.type.list_size
    # The slots of a list that is null are there as well.
    inner = array.values.slice(array.offset * size, len(array) * size)
    values, mask = from_arrow(inner)
    shape = (len(array), *(shape or (size,)), *values.shape[1:])
    if array.null_count:
        null = np.repeat(array.is_null().to_numpy(zero_copy_only=False), size)
        null = np.broadcast_to(null.reshape(-1, *[1] * (values.ndim - 1)), values.shape)
        mask = null if mask is None else mask | null
    return values.reshape(shape), None if mask is None else mask.reshape(shape)


def type_of(column):
    """
    Find the type of Arrow for a column.

    Parameters
    ----------
    column : `~astropy.table.Column`
        The column. Of one of objects the values are looked at.

    Returns
    -------
    kind : ``pyarrow.DataType``
        The type. Cells with a shape are lists of one length.

    Examples
    --------
    >>> from astropy.table import Column
    >>> from galmorph.tables.arrow import type_of
    >>> print(type_of(Column([['a', 'b']])))
    fixed_size_list<item: string>[2]
    """
    import pyarrow as pa

    dtype = column.dtype.newbyteorder('=')
    if dtype.kind == 'O':
        return pa.array(_listed(column)).type
    kind = {'U': pa.string(), 'S': pa.binary()}.get(dtype.kind)
    kind = kind or pa.from_numpy_dtype(dtype)
    size = int(np.prod(column.shape[1:], dtype=int))
    return kind if column.ndim == 1 else pa.list_(kind, size)


def to_arrow(column, kind, *, with_nulls):
    """
    Turn a column into an array of Arrow.

    Parameters
    ----------
    column : `~astropy.table.Column`
        The column.
    kind : ``pyarrow.DataType``
        Type of the array, as from `type_of`.
    with_nulls : bool
        Whether masked values become null; else they are 0, or nothing.

    Returns
    -------
    array : ``pyarrow.Array``
        The values.

    Examples
    --------
    >>> from astropy.table import MaskedColumn
    >>> from galmorph.tables.arrow import to_arrow, type_of
    >>> column = MaskedColumn([1, 2], mask=[False, True])
    >>> to_arrow(column, type_of(column), with_nulls=True).to_pylist()
    [1, None]
    """
    import pyarrow as pa

    if column.dtype.kind == 'O':
        return pa.array(_listed(column), kind)
    mask = getattr(column, 'mask', None)
    if mask is not None and not mask.any():
        mask = None
    values = np.ravel(np.asarray(np.ma.getdata(column)))
    values = values.astype(column.dtype.newbyteorder('='), copy=False)
    mask = None if mask is None else np.ravel(mask)
    if mask is not None and not with_nulls:
        values = np.where(mask, np.zeros((), values.dtype), values)
        mask = None
    if not pa.types.is_fixed_size_list(kind):
        return pa.array(values, kind, mask=mask)
    inner = pa.array(values, kind.value_type, mask=mask)
    if not kind.list_size:
        return pa.array([[]] * len(column), kind)
    return pa.FixedSizeListArray.from_arrays(inner, type=kind)


def _listed(column):
    """Objects, with None where masked."""
    mask = getattr(column, 'mask', None)
    values = list(np.asarray(np.ma.getdata(column)))
    if mask is not None:
        values = [None if m else v for v, m in zip(values, mask, strict=True)]
    return values
