# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Labels: votes, classes and attributes of a table, checked and masked."""

import dataclasses
import functools
import os
from pathlib import Path

import numpy as np

from galmorph.training.data._columns import (
    Problems,
    check_counts,
    check_fractions,
    check_sums,
    check_votes,
    choose_columns,
    stack_columns,
)

__all__ = ['Labels', 'check_images', 'read_labels']

_KINDS = ('fractions', 'conditional', 'counts', 'classes', 'attributes', 'bounds')


@dataclasses.dataclass(frozen=True, eq=False)
class Labels:
    """
    What is known of the galaxies of a table.

    Parameters
    ----------
    kind : str
        'fractions' for path probabilities, 'counts' for numbers of votes,
        'classes' for one-hot rows, 'attributes' for values.
    values : `~numpy.ndarray`, shape (n, n_answers)
        The labels, float32; NaN where unknown.
    low, high : `~numpy.ndarray`, shape (n, n_answers), optional
        The interval of an attribute.
    bound : `~numpy.ndarray`, shape (n, n_answers), optional
        What a fraction is known to exceed; NaN where nothing is.
    structure : tuple of tuple of int, optional
        ``structure`` of the schema, by which counts become fractions.
    mirrored : tuple of (int, float), optional
        Attributes that a mirror image reverses, and the sum of the ends of the
        scale of each.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.data.labels import Labels
    >>> labels = Labels('fractions', np.array([[0.7, 0.3], [np.nan, np.nan]]))
    >>> labels
    <Labels: fractions of 2 answers, 1 of 2 galaxies known>
    >>> print(labels[[1]].is_known)
    [False]
    """

    kind: str
    values: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    bound: np.ndarray | None = None
    structure: tuple = ()
    mirrored: tuple = ()

    def __post_init__(self):
        if self.kind not in ('fractions', 'counts', 'classes', 'attributes'):
            msg = (
                "kind must be 'fractions', 'counts', 'classes' or 'attributes', not "
                f'{self.kind!r}'
            )
            raise ValueError(msg)
        shape = np.shape(self.values)
        for name in ('values', 'low', 'high', 'bound'):
            array = getattr(self, name)
            if array is None:
                continue
            array = np.asarray(array, np.float32)
            if array.ndim != 2 or array.shape != shape:
                msg = f'{name} must have the shape (n, n_answers), not {array.shape}'
                raise ValueError(msg)
            object.__setattr__(self, name, array)

    def __len__(self):
        return len(self.values)

    def __getitem__(self, rows):
        changes = {
            name: getattr(self, name)[rows]
            for name in ('values', 'low', 'high', 'bound')
            if getattr(self, name) is not None
        }
        return dataclasses.replace(self, **changes)

    def __repr__(self):
        return (
            f'<Labels: {self.kind} of {self.values.shape[1]} answers, '
            f'{int(self.is_known.sum())} of {len(self)} galaxies known>'
        )

    @property
    def is_known(self):
        """Whether anything is known of each galaxy, shape (n,)."""
        known = np.isfinite(self.values)
        if self.kind == 'counts':
            known &= self.values > 0
        if self.bound is not None:
            known |= np.isfinite(self.bound)
        return known.any(1)

    @property
    def classes(self):
        """The index of the class of each galaxy, int64, -1 where unknown."""
        known = np.isfinite(self.values).all(1)
        return np.where(known, np.nan_to_num(self.values).argmax(1), -1)

    @functools.cached_property
    def targets(self):
        """
        What an output is compared with, float32, shape (n, n_answers).

        Path fractions of counts, NaN where nobody voted; else the values.
        """
        if self.kind != 'counts':
            return self.values
        return _path_fractions(self.values, self.structure)

    def with_bound(self, bound):
        """
        Add thresholds that fractions are known to exceed.

        Parameters
        ----------
        bound : array-like, shape (n, n_answers)
            The thresholds, NaN where there is none.

        Returns
        -------
        labels : `Labels`
            New ones.
        """
        return dataclasses.replace(self, bound=np.asarray(bound, np.float32))

    def of_answers(self, columns):
        """
        Forget other answers.

        Parameters
        ----------
        columns : slice
            The answers of one question; ``structure`` is left out.

        Returns
        -------
        labels : `Labels`
            New ones, of fewer answers.
        """
        changes = {
            name: getattr(self, name)[:, columns]
            for name in ('values', 'low', 'high', 'bound')
            if getattr(self, name) is not None
        }
        return dataclasses.replace(self, **changes, structure=(), mirrored=())

    def only(self, rows):
        """
        Forget what is known of other galaxies.

        Parameters
        ----------
        rows : `~numpy.ndarray` of int
            Those that stay known.

        Returns
        -------
        labels : `Labels`
            New ones, of as many galaxies.
        """
        changes = {}
        for name in ('values', 'low', 'high', 'bound'):
            known = getattr(self, name)
            if known is not None:
                changes[name] = np.full_like(known, np.nan)
                changes[name][rows] = known[rows]
        return dataclasses.replace(self, **changes)

    def class_weights(self):
        """
        Weigh the classes so that all count alike.

        Returns
        -------
        weights : `~numpy.ndarray`, shape (n_answers,)
            Inverse frequencies, of mean 1 over the galaxies; 0 for a class
            without any.
        """
        known = self.classes[self.classes >= 0]
        count = np.bincount(known, minlength=self.values.shape[1])
        weights = np.divide(1, count, out=np.zeros(len(count)), where=count > 0)
        return weights * len(known) / max((count > 0).sum(), 1)


def read_labels(
    table, schema, *, kind='fractions', columns=None, low=None, high=None,
    tolerance=0.005,
):  # fmt: skip
    """
    Read the labels of a table, and check all of them.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table. Masked values, blanks and NaN are unknown.
    schema : `~galmorph.schemas.DecisionTree` or attribute schema
        What the answers are.
    kind : str, optional
        What the columns hold:

        * 'fractions': path probabilities, as Kaggle's;
        * 'conditional': fractions of those who were asked, as in the
          catalogues of Galaxy Zoo. They become path probabilities; a
          question that was asked but has no votes is unknown;
        * 'counts': numbers of votes;
        * 'classes': one column of names, or of indices from 0, of the answers
          of the only question. Blank or -1 is unknown;
        * 'attributes': values, with an interval where ``low`` and ``high``
          are given;
        * 'bounds': thresholds that path probabilities are known to exceed.
    columns : str, dict or sequence of str, optional
        The columns: one for each answer, or a dict from answers (their
        ``columns`` or ``source_columns`` in the schema) to columns of the
        table, where the answers left out are unknown. By default
        ``schema.columns`` or ``schema.source_columns``, whichever the table
        has, and for classes the column of the name of the schema. Questions of
        which it has no column are unknown; a column that seems to be one of
        theirs, misspelt, is an error.
    low, high : str or sequence of str, optional
        The columns of the interval, or what is appended to the names of the
        columns, such as '_inf' and '_sup'.
    tolerance : float, optional
        By how much the answers of a question may miss their parent.

    Returns
    -------
    labels : `Labels`
        The labels, of the kind 'fractions' for the kinds 'conditional' and
        'bounds'.

    Raises
    ------
    `~galmorph.exceptions.LabelError`
        If a column is missing or unknown, a value is impossible, answers do
        not sum to their parent, or are more than it. It tells of all rows.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph import load_schema
    >>> from galmorph.training.data.labels import read_labels
    >>> table = Table({'Class1.1': [0.6, 1.4], 'Class1.2': [0.4, -0.4],
    ...                'Class1.3': [0.0, 0.0]})
    >>> read_labels(table[:1], load_schema('gz2'))
    <Labels: fractions of 37 answers, 1 of 1 galaxies known>
    >>> read_labels(table, load_schema('gz2'))
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: the labels cannot be used:
    column 'Class1.1': not in [0, 1] in row 1 (1.4)
    column 'Class1.2': not in [0, 1] in row 1 (-0.4)
    """
    if kind not in _KINDS:
        msg = f'kind must be one of {_KINDS}, not {kind!r}'
        raise ValueError(msg)
    problems = Problems()
    if kind == 'classes':
        labels = _read_classes(table, schema, columns, problems)
        problems.raise_any()
        return labels
    names = choose_columns(table, schema, columns, problems)
    problems.raise_any()
    if kind == 'attributes':
        labels = _read_attributes(table, schema, names, (low, high), problems)
        problems.raise_any()
        return labels
    values = stack_columns(table, names, problems)
    check = check_counts if kind == 'counts' else check_fractions
    check(values, names, problems)
    if kind in ('fractions', 'conditional'):
        is_path = kind == 'fractions'
        check_sums(values, schema, tolerance, problems, is_path=is_path)
    elif kind == 'counts':
        check_votes(values, schema, problems)
    problems.raise_any()
    if kind == 'counts':
        return Labels('counts', values, structure=schema.structure)
    values = np.clip(values, 0, 1)
    if kind == 'bounds':
        unknown = np.full_like(values, np.nan)
        return Labels('fractions', unknown, bound=values, structure=schema.structure)
    if kind == 'conditional':
        values = _to_path(values, schema)
    return Labels('fractions', values, structure=schema.structure)


def check_images(paths):
    """
    Look for the files of images, and report all that are missing.

    Parameters
    ----------
    paths : sequence of str or path
        The files.

    Raises
    ------
    `~galmorph.exceptions.LabelError`
        If there are rows without a file.

    Examples
    --------
    >>> from galmorph.training.data.labels import check_images
    >>> check_images(['no_such_folder/a.jpg'])
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: the labels cannot be used:
    column 'image': there is no such file in row 0 (no_such_folder/a.jpg)
    """
    folders, missing = {}, np.zeros(len(paths), bool)
    for row, path in enumerate(map(os.fspath, paths)):
        folder, name = os.path.split(path)
        if folder not in folders:
            # One look at a folder is faster than one at each of its files.
            folders[folder] = _names_in(Path(folder))
        missing[row] = name not in folders[folder]
    problems = Problems()
    problems.add('image', 'there is no such file', missing, paths)
    problems.raise_any()


def _names_in(folder):
    return {file.name for file in folder.iterdir()} if folder.is_dir() else set()


def _to_path(conditional, schema):
    conditional = conditional.copy()
    for question in schema.questions:
        # Of a question that nobody answered nothing is known.
        empty = conditional[:, question.slice].sum(1) < 0.5
        conditional[empty, question.slice] = np.nan
    return schema.to_path(conditional)


def _path_fractions(counts, structure):
    path = np.full_like(counts, np.nan)
    for start, stop, parent in structure:
        total = counts[:, start:stop].sum(1, keepdims=True)
        with np.errstate(invalid='ignore', divide='ignore'):
            path[:, start:stop] = counts[:, start:stop] / total
        if parent >= 0:
            above = path[:, parent, None]
            path[:, start:stop] = np.where(above == 0, 0, path[:, start:stop] * above)
    return path


def _read_classes(table, schema, columns, problems):
    if len(schema.questions) != 1:
        names = [question.name for question in schema.questions]
        msg = f'classes need a schema of one question; {schema.name!r} has {names}'
        raise ValueError(msg)
    name = schema.name if columns is None else columns
    if name not in table.colnames:
        problems.texts.append(
            f'column {name!r}: the table has none of that name; it has '
            + ', '.join(table.colnames)
        )
        return None
    indices = _class_names(schema)
    column = table[name]
    mask = np.broadcast_to(getattr(column, 'mask', False), len(column))
    array = np.asarray(getattr(column, 'unmasked', column))
    values = np.full((len(table), schema.n_answers), np.nan, np.float32)
    unknown = np.zeros(len(table), bool)
    for row, value in enumerate(array):
        text = '' if value is None or mask[row] else _class_text(value)
        if text in ('', '-1', 'nan'):
            continue
        if text in indices:
            values[row] = 0
            values[row, indices[text]] = 1
        else:
            unknown[row] = True
    allowed = ', '.join(answer.name for answer in schema.answers)
    problems.add(name, f'no class of {schema.name!r} ({allowed})', unknown, array)
    return Labels('classes', values, structure=schema.structure)


def _class_names(schema):
    """All names by which a class may go, the clearest last."""
    indices = {str(index): index for index in range(schema.n_answers)}
    for attribute in ('column', 'label', 'name'):
        for index, answer in enumerate(schema.answers):
            indices[getattr(answer, attribute)] = index
    return indices


def _class_text(value):
    # As FITS tables have them.
    if isinstance(value, bytes):
        value = value.decode('utf-8', 'replace')
    if isinstance(value, (float, np.floating)) and float(value).is_integer():
        value = int(value)
    return str(value).strip()


def _read_attributes(table, schema, names, ends, problems):
    values = stack_columns(table, names, problems)
    limits = [(a.low, a.high) for a in schema.attributes]
    low, high = (_end_of_interval(table, schema, names, end, problems) for end in ends)
    for index, name in enumerate(names):
        lower, upper = limits[index]
        for array in (values, low, high):
            if array is None:
                continue
            column = array[:, index]
            bad = (column < lower) | (column > upper)
            problems.add(name, f'not in [{lower:g}, {upper:g}]', bad, column)
        if low is not None and high is not None:
            bad = low[:, index] > high[:, index]
            problems.add(name, 'the low end is above the high one', bad, low[:, index])
    mirrored = [
        (i, a.low + a.high) for i, a in enumerate(schema.attributes) if a.is_chiral
    ]
    return Labels(
        'attributes',
        values,
        low,
        high,
        structure=schema.structure,
        mirrored=tuple(mirrored),
    )


def _end_of_interval(table, schema, names, end, problems):
    if end is None:
        return None
    if isinstance(end, str):
        end = [None if name is None else name + end for name in names]
    columns = choose_columns(table, schema, end, problems)
    problems.raise_any()
    return stack_columns(table, columns, problems)
