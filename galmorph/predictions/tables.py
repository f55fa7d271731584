# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Columns of the answers, and the copy of a table that they are added to."""

import numpy as np
from astropy.table import Column, MaskedColumn, QTable, Table

from galmorph.predictions.provenance import to_printable
from galmorph.tables.columns import keep_integers

__all__ = ['annotate_table', 'make_columns']

_UCD_PROBABILITY = 'stat.probability;src.morph.type'
_UCD_STD = 'stat.stdev;src.morph.type'
_UCD_ATTRIBUTE = 'src.morph.param'
_UCD_ATTRIBUTE_STD = 'stat.stdev;src.morph.param'
_UCD_ENTROPY = 'stat.param;src.morph.type'
_UCD_CLASS = 'src.morph.type'
_UCD_FLAGS = 'meta.code.qual'
_UCD_REASON = 'meta.note'


def make_columns(predictions, columns='all'):
    """
    Make the columns that predictions have in a table.

    Parameters
    ----------
    predictions : `MorphologyPredictions` or `AttributePredictions`
        The answers.
    columns : {'all', 'best'} or str or sequence of str, optional
        'all', 'best' or names of questions or attributes, as in
        `~galmorph.predictions.base.Predictions.to_table`.

    Returns
    -------
    columns : list of `~astropy.table.Column`
        For each question its answers, ``<question>_<answer>`` (path
        probabilities), ``<question>_<answer>_std`` where known, and
        ``<question>_entropy``; or each attribute, and ``<attribute>_std``
        where known. Then ``morphology_class``, ``morphology_probability``
        and, for questions, ``morphology_path`` where asked for,
        ``morphology_flags`` and ``morphology_reason``. Numbers are float32,
        the flags int32. Cells without a value are masked. Each has a
        description, and its UCD in ``info.meta['ucd']``.

    Raises
    ------
    ValueError
        If ``columns`` names an unknown question or attribute, or one twice.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyPredictions, load_schema
    >>> from galmorph.predictions import make_columns
    >>> predictions = MorphologyPredictions(
    ...     load_schema('gz2'), np.zeros((1, 37)), flags=[0])
    >>> for column in make_columns(predictions, 'edgeon'):
    ...     print(column.name, column.dtype)
    edgeon_yes float32
    edgeon_no float32
    edgeon_entropy float32
    morphology_flags int32
    morphology_reason <U1
    """
    made = []
    is_tree = predictions.schema.kind == 'tree'
    chosen = _parse_names(predictions.schema, columns)
    if chosen:
        make = _answer_columns if is_tree else _attribute_columns
        made += make(predictions, chosen)
    if isinstance(columns, str) and columns in ('all', 'best'):
        made += _class_columns(predictions, with_path=is_tree and columns == 'best')
    reasons = [reason and to_printable(reason) for reason in predictions.reasons]
    reasons = np.array(reasons, 'U')
    made += [
        Column(
            predictions.flags,
            'morphology_flags',
            description='Reasons to doubt or miss an answer, see MorphologyFlag',
            meta={'ucd': _UCD_FLAGS},
        ),
        _masked(
            np.ma.array(reasons, mask=reasons == ''),
            'morphology_reason',
            'Why there is no answer, or what went wrong',
            _UCD_REASON,
        ),
    ]
    return made


def _parse_names(schema, columns):
    names = list(schema.names)
    if isinstance(columns, str):
        if columns == 'all':
            return names
        if columns == 'best':
            return []
        columns = [columns]
    columns = list(columns)
    unknown = [name for name in columns if name not in names]
    if unknown or not columns or len(set(columns)) != len(columns):
        msg = (
            f"columns must be 'all', 'best' or different "
            f'{"questions" if schema.kind == "tree" else "attributes"} of '
            f'{schema.name!r}, not {columns}; it has {", ".join(names)}'
        )
        raise ValueError(msg)
    return columns


def _answer_columns(predictions, chosen):
    schema, made = predictions.schema, []
    values, entropy = predictions.probabilities, predictions.entropy
    position = {question.name: i for i, question in enumerate(schema.questions)}
    for i in (position[name] for name in chosen):
        question = schema.questions[i]
        spreads = []
        for offset, answer in enumerate(question.answers):
            k = question.start + offset
            column = f'{schema.source} {answer.column}'.strip()
            what = f'P({answer.label}), {schema.title} {answer.id}, {column}'
            name = schema.columns[k]
            made.append(_masked(values[:, k], name, what, _UCD_PROBABILITY))
            if predictions.std is not None:
                std = predictions.std[:, k]
                std = np.ma.array(std, mask=values.mask[:, k] | ~np.isfinite(std))
                what = f'Standard deviation of {what}'
                spreads.append(_masked(std, f'{name}_std', what, _UCD_STD))
        made += spreads
        what = (
            f'Entropy of the answers to "{question.text}", 0 certain to 1 '
            f'undecided, {schema.title} {question.task}'
        )
        name = f'{question.name}_entropy'
        made.append(_masked(entropy[:, i], name, what, _UCD_ENTROPY))
    return made


def _attribute_columns(predictions, chosen):
    schema, made = predictions.schema, []
    values = predictions.values
    for k in map(schema.index, chosen):
        attribute = schema.attributes[k]
        label = f'{attribute.label}, {attribute.low:g} to {attribute.high:g}'
        what = f'{label}, {schema.title} {attribute.column}'
        made.append(_masked(values[:, k], attribute.name, what, _UCD_ATTRIBUTE))
        if predictions.std is not None:
            std = predictions.std[:, k]
            std = np.ma.array(std, mask=values.mask[:, k] | ~np.isfinite(std))
            what = f'Standard deviation of {what}'
            name = f'{attribute.name}_std'
            made.append(_masked(std, name, what, _UCD_ATTRIBUTE_STD))
    return made


def _class_columns(predictions, *, with_path):
    title = predictions.schema.title
    made = [
        _masked(
            predictions.morphology_class,
            'morphology_class',
            f'Most probable class, {title}',
            _UCD_CLASS,
        ),
        _masked(
            predictions.morphology_probability,
            'morphology_probability',
            f'P(morphology_class), {title}',
            _UCD_PROBABILITY,
        ),
    ]
    if with_path:
        made.append(
            _masked(
                predictions.morphology_path,
                'morphology_path',
                f'Answers on the path of morphology_class, {title}',
                _UCD_CLASS,
            )
        )
    return made


def _masked(values, name, description, ucd):
    mask = np.ma.getmaskarray(values)
    if values.dtype.kind == 'f':
        # so that nothing reappears when a mask is taken off
        data = np.where(mask, np.nan, values.data).astype(np.float32)
        fill_value = np.nan
    else:
        data, fill_value = np.where(mask, '', values.data), ''
    column = MaskedColumn(
        data, name, mask=mask, description=description, meta={'ucd': ucd}
    )
    column.fill_value = fill_value
    return column


def annotate_table(table, columns, *, meta=None, overwrite=False):
    """
    Add columns to a copy of a table.

    Parameters
    ----------
    table : `~astropy.table.Table` or None
        The table; it is not modified. `None` stands for one without columns.
    columns : sequence of `~astropy.table.Column`
        The columns to add.
    meta : dict, optional
        Entries to add to the ``meta`` of the table.
    overwrite : bool, optional
        Whether to replace columns of the same name, in their place. An index
        on such a column is dropped.

    Returns
    -------
    annotated : `~astropy.table.QTable`
        The columns of ``table`` (those with a unit as quantities, of integers
        where 64 bits would not go into a float) with their masks, and the added
        ones; meta and indices are kept.

    Raises
    ------
    TypeError
        If ``table`` is not a table.
    ValueError
        If the lengths differ, or ``table`` has columns of the same names and
        ``overwrite`` is False.

    Examples
    --------
    >>> from astropy.table import Column, Table
    >>> from galmorph.predictions import annotate_table
    >>> table = Table({'id': [7, 8]})
    >>> annotate_table(table, [Column([0.1, 0.9], 'spiral')]).colnames
    ['id', 'spiral']
    >>> table.colnames
    ['id']
    """
    if table is None:
        return QTable(columns, meta=meta)
    if not isinstance(table, Table):
        msg = f'table must be an astropy Table, not {type(table).__name__}'
        raise TypeError(msg)
    n_row = len(columns[0])
    if len(table) != n_row:
        msg = f'table has {len(table)} rows, and the predictions have {n_row}'
        raise ValueError(msg)
    clashing = [c.info.name for c in columns if c.info.name in table.colnames]
    if clashing and not overwrite:
        msg = (
            f'table already has the columns {", ".join(clashing)}; rename them, or '
            f'replace them with overwrite=True'
        )
        raise ValueError(msg)
    annotated = _copy_as_qtable(table, without_index=clashing)
    for column in columns:
        if column.info.name in clashing:
            annotated.replace_column(column.info.name, column, copy=False)
        else:
            annotated.add_column(column, copy=False)
    annotated.meta.update(meta or {})
    return annotated


def _copy_as_qtable(table, *, without_index):
    cls = type(table) if isinstance(table, QTable) else QTable
    copied = cls(table, copy=True, copy_indices=False)
    keep_integers(copied, table.itercols())
    # A copied index would still read the columns as they were before they
    # became quantities, and one on two columns those of the input.
    copied.primary_key = None
    for index in table.indices:
        names = [column.info.name for column in index.columns]
        if not set(names) & set(without_index):
            data = index.data
            unique = getattr(data, 'unique', getattr(data, '_unique', False))
            copied.add_index(names, engine=type(data), unique=unique)
    if table.primary_key and not set(table.primary_key) & set(without_index):
        copied.primary_key = table.primary_key
    return copied
