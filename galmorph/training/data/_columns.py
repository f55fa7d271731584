# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The columns of a label table, and all that can be wrong with them."""

import difflib
import re

import numpy as np
from astropy.table import Column, MaskedColumn

from galmorph.exceptions import LabelError

__all__ = []

# Names of Galaxy Zoo 2 columns in Kaggle's tables.
_KAGGLE = re.compile(r'Class\d+\.\d+')

# How much alike names are before one is taken for the other, misspelt.
_ALIKE = 0.85

# Rows and problems that a message names before it counts the others.
_MAX_ROWS, _MAX_PROBLEMS = 10, 12


class Problems:
    """What is wrong with a table, gathered."""

    def __init__(self):
        self.texts, self.rows = [], set()

    def add(self, column, text, is_bad, values=None):
        """Note the rows where ``is_bad`` holds, if there are any."""
        rows = np.flatnonzero(is_bad)
        if not len(rows):
            return
        self.rows.update(rows.tolist())
        shown = ', '.join(map(str, rows[:_MAX_ROWS].tolist()))
        if len(rows) > _MAX_ROWS:
            shown += f' and {len(rows) - _MAX_ROWS} more'
        where = f'row {shown}' if len(rows) == 1 else f'rows {shown}'
        value = '' if values is None else f' ({_shown(values[rows[0]])})'
        self.texts.append(f'column {column!r}: {text} in {where}{value}')

    def raise_any(self):
        """Raise them all in one error."""
        if not self.texts:
            return
        texts = self.texts[:_MAX_PROBLEMS]
        if len(self.texts) > _MAX_PROBLEMS:
            texts.append(f'and {len(self.texts) - _MAX_PROBLEMS} more problems')
        text = '\n'.join(['the labels cannot be used:', *texts])
        raise LabelError(sorted(self.rows), text)


def _shown(value):
    return f'{value:.6g}' if isinstance(value, (float, np.floating)) else str(value)


def choose_columns(table, schema, columns, problems):
    """Choose the column of each answer, None where there is none."""
    known = list(schema.columns)
    source = list(schema.source_columns)
    if columns is None:
        n_found = [len(set(table.colnames) & set(names)) for names in (known, source)]
        names = source if n_found[1] > n_found[0] else known
        _check_default(table, schema, names, n_found, problems)
        return [name if name in table.colnames else None for name in names]
    if isinstance(columns, dict):
        names = [None] * len(known)
        for answer, column in columns.items():
            if answer not in known and answer not in source:
                text = f'answer {answer!r}: unknown to {schema.name!r}, which has '
                problems.texts.append(text + ', '.join(source))
                continue
            index = (known if answer in known else source).index(answer)
            names[index] = column
    else:
        names = [columns] if isinstance(columns, str) else list(columns)
        if len(names) != len(known):
            msg = (
                f'columns must name {len(known)} columns, one an answer of '
                f'{schema.name!r}, not {len(names)}; give a dict for some of them'
            )
            raise ValueError(msg)
    for name in names:
        if name is not None and name not in table.colnames:
            problems.texts.append(f'column {name!r}: the table has none of that name')
    return names


def _check_default(table, schema, names, n_found, problems):
    if not any(n_found):
        problems.texts.append(
            f'the table has no column of {schema.name!r}, such as {names[0]!r}; '
            f'name them with columns=; it has {", ".join(table.colnames)}'
        )
        return
    for start, stop, _ in schema.structure:
        missing = [name for name in names[start:stop] if name not in table.colnames]
        if 0 < len(missing) < stop - start:
            problems.texts.append(
                f'column {missing[0]!r}: missing, though other answers of its '
                'question are there'
            )
    # Of one question the others may be there.
    if any(map(_KAGGLE.fullmatch, names)) and '/' not in schema.name:
        for name in table.colnames:
            if _KAGGLE.fullmatch(name) and name not in names:
                text = f'column {name!r}: no answer of {schema.name!r}'
                problems.texts.append(text)
    _check_spelling(table, schema, names, problems)


def _check_spelling(table, schema, names, problems):
    """Note columns that seem to be meant for a question that has none."""
    absent = {}
    for start, stop, _ in schema.structure:
        if not set(names[start:stop]) & set(table.colnames):
            for index in range(start, stop):
                for known in (schema.columns[index], schema.source_columns[index]):
                    absent[_plain(known)] = known, names[index]
    has_kaggle = any(map(_KAGGLE.fullmatch, names))
    for name in table.colnames:
        if name in names or (has_kaggle and _KAGGLE.fullmatch(name)):
            continue
        plain = _plain(name)
        for found in difflib.get_close_matches(plain, absent, 1, _ALIKE):
            known, wanted = absent[found]
            # An error of edgeon_yes is not misspelt, nor is a third ring a second.
            is_more = name.lower().startswith(f'{known.lower()}_')
            if is_more or _numerals(name) != _numerals(known):
                continue
            problems.texts.append(
                f'column {name!r}: no answer of {schema.name!r}; if it is {wanted!r}, '
                'rename it or give columns=, else remove it'
            )


def _plain(name):
    return re.sub(r'[\W_]', '', name.lower())


def _numerals(name):
    return re.findall(r'\d+', name)


def stack_columns(table, names, problems):
    """Read the columns as float32, shape (n, n_answers), NaN where unknown."""
    values = np.full((len(table), len(names)), np.nan, np.float32)
    for index, name in enumerate(names):
        if name is not None:
            values[:, index] = _numbers(table[name], name, problems)
    return values


def _numbers(column, name, problems):
    mask = np.broadcast_to(getattr(column, 'mask', False), len(column))
    array = np.asarray(getattr(column, 'unmasked', column))
    if array.dtype.kind in 'biuf':
        values = array.astype(np.float64)
    else:
        values, wrong = np.full(len(array), np.nan), np.zeros(len(array), bool)
        for row, value in enumerate(array):
            # FITS tables have text as bytes.
            is_bytes = isinstance(value, bytes)
            text = value.decode('utf-8', 'replace') if is_bytes else value
            text = '' if text is None else str(text).strip()
            if mask[row] or not text:
                continue
            try:
                values[row] = float(text)
            except ValueError:
                wrong[row] = True
        problems.add(name, 'not a number', wrong, array)
    values[mask] = np.nan
    problems.add(name, 'not finite', np.isinf(values), values)
    return values


def check_fractions(values, names, problems):
    """Note fractions outside [0, 1]."""
    bad = (values < -1e-5) | (values > 1 + 1e-5)
    for index, name in enumerate(names):
        problems.add(name, 'not in [0, 1]', bad[:, index], values[:, index])


def check_counts(values, names, problems):
    """Note what is no number of votes."""
    known = np.isfinite(values)
    with np.errstate(invalid='ignore'):
        broken = known & (values != np.round(values))
    for index, name in enumerate(names):
        column = values[:, index]
        problems.add(name, 'a negative number of votes', column < 0, column)
        problems.add(name, 'not a whole number of votes', broken[:, index], column)


def check_votes(values, schema, problems):
    """Note questions that more have answered than were led to them."""
    most = _at_most(values, schema, np.inf)
    is_impossible = (values < 0).any(1)
    for index, question in enumerate(schema.questions):
        total = np.nansum(values[:, question.slice], 1)
        # Votes may be fractions that were multiplied by a number and rounded.
        rounding = (question.stop - question.start + 1) / 2
        bad = (total > most[:, index] + rounding) & ~is_impossible
        text = 'more votes than the answer that leads to them'
        problems.add(_span(schema, question), text, bad, total)


def check_sums(values, schema, tolerance, problems, *, is_path):
    """Note path fractions that miss their parent, conditional ones 1 and 0."""
    most = _at_most(values, schema, 1)
    # An impossible value has been reported already.
    is_impossible = ((values < -1e-5) | (values > 1 + 1e-5)).any(1)
    for index, question in enumerate(schema.questions):
        has_parent = is_path and question.parent is not None
        part = values[:, question.slice]
        wanted = values[:, question.parent] if has_parent else np.ones(len(values))
        bad = np.abs(part.sum(1) - wanted) > tolerance
        if not is_path:
            bad &= np.abs(part.sum(1)) > tolerance
        span, whole = _span(schema, question), 'their parent' if has_parent else '1'
        text = f'do not sum to {whole}'
        problems.add(span, text, bad & ~is_impossible, part.sum(1))
        # Of those that are known in part the rest may make up for less.
        is_partial = ~np.isfinite(part.sum(1) + wanted)
        total = np.nansum(part, 1)
        bad = total > tolerance + (most[:, index] if is_path else 1)
        bad &= is_partial & ~is_impossible
        problems.add(span, f'sum to more than {whole}', bad, total)


def _at_most(values, schema, most):
    """What the answers of each question sum to at most, shape (n, n_question)."""
    limits = np.full((len(values), len(schema.questions)), most, np.float32)
    # Of each answer: itself, or the limit of its question where it is unknown.
    reached = np.empty(values.shape, np.float32)
    for index, question in enumerate(schema.questions):
        if question.parent is not None:
            limits[:, index] = reached[:, question.parent]
        part = values[:, question.slice]
        reached[:, question.slice] = np.where(
            np.isfinite(part), part, limits[:, [index]]
        )
    return limits


def _span(schema, question):
    first = schema.source_columns[question.start]
    return f'{first} to {schema.source_columns[question.stop - 1]}'


def match_rows(names, wanted, column, problems):
    """Find the row of each wanted name, -1 where there is none."""
    names = [str(name).strip() for name in names]
    wanted = [str(name).strip() for name in wanted]
    rows, asked = {}, set(wanted)
    repeated = np.zeros(len(names), bool)
    for row, name in enumerate(names):
        first = rows.setdefault(name, row)
        if first != row and name in asked:
            repeated[[first, row]] = True
    text = 'one galaxy more than once; keep one row of it'
    problems.add(column, text, repeated, names)
    return np.array([rows.get(name, -1) for name in wanted], int)


def label_options(table, schema, kind=None, columns=None):
    """Choose how `~galmorph.training.data.labels.read_labels` reads a table."""
    if kind is None and schema.kind == 'attributes':
        kind = 'attributes'
    elif kind is None:
        is_class = len(schema.questions) == 1 and schema.name in table.colnames
        kind = 'classes' if is_class else 'fractions'
    if kind == 'classes' and columns:
        # Whatever it is called there, it is the one of the classes.
        columns = next(iter(columns.values() if isinstance(columns, dict) else columns))
    options = {'kind': kind, 'columns': columns}
    if kind == 'attributes' and any(name.endswith('_inf') for name in table.colnames):
        options |= {'low': '_inf', 'high': '_sup'}
    return options


def _check_order(table, known):
    """Refuse two tables that name the same galaxies in another order."""
    for name in set(table.colnames) & set(known.colnames):
        if table[name].ndim > 1 or table[name].dtype.kind not in 'iuSUO':
            continue
        one, other = ([str(v).strip() for v in t[name]] for t in (table, known))
        is_name = len({*one}) == len({*other}) == len(one)
        if is_name and one != other and {*one} & {*other}:
            row = next(row for row in range(len(one)) if one[row] != other[row])
            msg = (
                f'row {row} of the galaxies has {name} = {one[row]!r}, and of the '
                f"labels {other[row]!r}; give 'id', the column that joins them"
            )
            raise LabelError([row], msg)


def join_rows(table, known, column, way_out, *, may_miss=False):
    """
    Put the rows of labels in the order of the galaxies, masked where missing.

    Without a column, tables of the same length are in the same order. The way
    out is what to do where some galaxies miss, and may not.
    """
    if column is None:
        if len(table) != len(known):
            msg = (
                f'the table has {len(table)} rows, and the labels have {len(known)}; '
                "give 'id', the column that joins them"
            )
            raise LabelError((), msg)
        _check_order(table, known)
        return known
    for what, one in (('galaxies', table), ('labels', known)):
        if column not in one.colnames:
            msg = f"the {what} have no column {column!r} for 'id', only {one.colnames}"
            raise LabelError((), msg)
    problems = Problems()
    rows = match_rows(known[column], table[column], column, problems)
    problems.raise_any()
    is_missing = rows < 0
    missing = np.flatnonzero(is_missing)
    if len(missing) and (not may_miss or is_missing.all()):
        shown = ', '.join(map(str, missing[:_MAX_ROWS]))
        msg = f'column {column!r}: {len(missing)} without labels, in rows {shown}'
        if not is_missing.all():
            msg += f'; {way_out}'
        raise LabelError(missing, msg)
    joined = known[rows]
    for name in joined.colnames:
        if len(missing) and isinstance(joined[name], Column) and joined[name].ndim == 1:
            mask = is_missing | np.ma.getmaskarray(joined[name])
            joined[name] = MaskedColumn(joined[name], mask=mask)
    return joined
