# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The answers of a network for many galaxies, with what they rest on."""

import numpy as np

from galmorph.flags import FATAL, MorphologyFlag, describe_flags
from galmorph.predictions._parsing import (
    check_length,
    check_range,
    check_same_run,
    parse_answers,
    parse_supported,
)
from galmorph.predictions.decisions import (
    choose_answers,
    normalised_entropy,
    path_names,
)
from galmorph.predictions.provenance import make_meta, merge_provenance
from galmorph.predictions.tables import annotate_table, make_columns

__all__ = ['MIN_RELEVANCE', 'MorphologyPredictions']

MIN_RELEVANCE = 1e-3
"""
Smallest path probability of a question whose conditional answers are given.

A question that is asked of less than one volunteer in a thousand has answers
that no count of votes could test; at 0 they are undefined.
"""


class MorphologyPredictions:
    """
    The answers of a network for many galaxies.

    Every row is either predicted or masked as a whole: one that has a fatal
    flag has no answer. The answers of an unsupported question are masked in
    all rows. Behind a mask the numbers of a fatal row are NaN, those of an
    unsupported question are what the network gave.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions and answers.
    probabilities : array-like, shape (n_galaxy, n_answers)
        Path probabilities, in the order of ``schema.columns``. NaN where a
        galaxy was not predicted.
    flags : array-like of int, shape (n_galaxy,)
        The `~galmorph.flags.MorphologyFlag` bits of each row. A row without
        a fatal bit whose supported answers are not all finite gets
        ``NOT_PREDICTED``.
    supported : sequence of str or of bool, optional
        The names of the questions that the weights know, or a bool for each
        question. All are by default.
    reasons : sequence of str, optional
        For each row, what went wrong in words; '' where nothing did.
    std : array-like, shape (n_galaxy, n_answers), optional
        Standard deviations of ``probabilities``.
    provenance : dict, optional
        What the answers came from, in plain types. Known keys are
        ``version``, ``weights``, ``sha256``, ``recipe``, ``device``,
        ``precision`` and ``date``; see `~galmorph.predictions.make_meta`.

    Attributes
    ----------
    schema, flags, reasons, std, provenance
        As given, the flags as int32.
    supported : `~numpy.ndarray` of bool, shape (n_question,)
        Whether the weights know the question.

    Raises
    ------
    ValueError
        If shapes disagree or a probability lies outside 0 to 1 by more than
        rounding (0.001; less is clipped).
    `~galmorph.exceptions.SchemaError`
        If ``supported`` names an unknown question.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyFlag, MorphologyPredictions, load_schema
    >>> tree = load_schema('gz2')
    >>> even = np.concatenate([np.full(len(q.answers), 1 / len(q.answers))
    ...                        for q in tree.questions])
    >>> predictions = MorphologyPredictions(
    ...     tree,
    ...     [tree.to_path(even), np.full(37, np.nan)],
    ...     flags=[0, MorphologyFlag.OUTSIDE_IMAGE],
    ...     reasons=['', 'the target lies outside the image'],
    ... )
    >>> predictions
    <MorphologyPredictions: 2 galaxies, 1 not predicted, 'gz2', 11 of 11 questions>
    >>> table = predictions.to_table('best')
    >>> table.colnames
    ['morphology_class', 'morphology_probability', 'morphology_path',
     'morphology_flags', 'morphology_reason']
    >>> table['morphology_probability'].mask.tolist()
    [False, True]
    """

    def __init__(
        self,
        schema,
        probabilities,
        *,
        flags,
        supported=None,
        reasons=None,
        std=None,
        provenance=None,
    ):
        self.schema = schema
        self.supported = parse_supported(schema, supported)
        path = parse_answers(schema, probabilities, 'probabilities')
        n_galaxy = len(path)
        self.flags = np.array(flags, dtype=np.int32)
        check_length(self.flags, n_galaxy, 'flags')
        self.reasons = [''] * n_galaxy if reasons is None else list(map(str, reasons))
        check_length(self.reasons, n_galaxy, 'reasons')
        self.std = None if std is None else parse_answers(schema, std, 'std')
        if std is not None:
            check_length(self.std[:, 0], n_galaxy, 'std')
        self.provenance = dict(provenance or {})
        self._flag_unfinished(path)
        path[~self.is_predicted] = np.nan
        check_range(path)
        self._path = np.clip(path, 0, 1, out=path)

    def _flag_unfinished(self, path):
        finite = np.isfinite(path[:, self._by_answer(self.supported)]).all(1)
        unfinished = np.flatnonzero(self.is_predicted & ~finite)
        self.flags[unfinished] |= MorphologyFlag.NOT_PREDICTED
        why = describe_flags()['NOT_PREDICTED'][1]
        for row in unfinished:
            self.reasons[row] = self.reasons[row] or why

    def _by_answer(self, by_question):
        """Repeat values of the questions for each of their answers."""
        counts = [len(question.answers) for question in self.schema.questions]
        return np.repeat(by_question, counts, axis=-1)

    def __len__(self):
        return len(self._path)

    def __repr__(self):
        return (
            f'<{type(self).__name__}: {len(self)} galaxies, '
            f'{np.count_nonzero(~self.is_predicted)} not predicted, '
            f'{self.schema.name!r}, {np.count_nonzero(self.supported)} of '
            f'{len(self.supported)} questions>'
        )

    def __getitem__(self, index):
        rows = np.atleast_1d(np.arange(len(self))[index])
        return type(self)(
            self.schema,
            self._path[rows],
            flags=self.flags[rows],
            supported=self.supported,
            reasons=[self.reasons[row] for row in rows],
            std=None if self.std is None else self.std[rows],
            provenance=self.provenance,
        )

    @classmethod
    def concatenate(cls, parts):
        """
        Put the rows of several predictions below each other.

        Parameters
        ----------
        parts : sequence of `MorphologyPredictions`
            Predictions of the same weights, at least one.

        Returns
        -------
        predictions : `MorphologyPredictions`
            All rows, in order. Where the parts disagree in their provenance
            (two devices, two days), the values are joined by commas.

        Raises
        ------
        ValueError
            If there are no parts, or they do not belong in one table: other
            questions, weights or recipe, or only some with ``std``.
        """
        parts = list(parts)
        if not parts:
            msg = 'parts must hold at least one MorphologyPredictions'
            raise ValueError(msg)
        first = parts[0]
        check_same_run(parts)
        provenance = merge_provenance([part.provenance for part in parts])
        has_std = first.std is not None
        return cls(
            first.schema,
            np.concatenate([part.probabilities.data for part in parts]),
            flags=np.concatenate([part.flags for part in parts]),
            supported=first.supported,
            reasons=[reason for part in parts for reason in part.reasons],
            std=np.concatenate([part.std for part in parts]) if has_std else None,
            provenance=provenance,
        )

    @property
    def is_predicted(self):
        """Whether each row has an answer: a bool array, shape (n_galaxy,)."""
        return (self.flags & int(FATAL)) == 0

    @property
    def probabilities(self):
        """
        Path probabilities, a masked array of shape (n_galaxy, n_answers).

        Masked in rows with a fatal flag and for unsupported questions.
        """
        mask = ~self.is_predicted[:, None] | ~self._by_answer(self.supported)
        return np.ma.array(self._path, mask=mask, fill_value=np.nan)

    @property
    def relevance(self):
        """
        How probable it is that a question is asked, shape (n_galaxy, n_question).

        The path probability of the parent answer, 1 for a root. Masked in
        rows with a fatal flag, and where the parent question is unsupported.
        """
        known = [
            question.parent is None or self._by_answer(self.supported)[question.parent]
            for question in self.schema.questions
        ]
        mask = ~self.is_predicted[:, None] | ~np.array(known, bool)
        values = self.schema.relevance(self._path)
        return np.ma.array(values, mask=mask, fill_value=np.nan)

    @property
    def conditional(self):
        """
        Conditional probabilities, a masked array (n_galaxy, n_answers).

        Masked where the path probabilities are, and where the `relevance` of
        the question is unknown or below ``MIN_RELEVANCE``, 0.001.
        """
        mask = self.probabilities.mask | self._by_answer(self._undefined())
        values = self.schema.to_conditional(self._path)
        return np.ma.array(values, mask=mask, fill_value=np.nan)

    @property
    def entropy(self):
        """
        Indecision about each question, a masked array (n_galaxy, n_question).

        The Shannon entropy of the conditional probabilities divided by that
        of an even choice: 0 is certain, 1 undecided. Masked where the
        conditional probabilities are.
        """
        values = normalised_entropy(self.schema, self._path)
        mask = self._undefined() | ~self.supported | np.isnan(values)
        return np.ma.array(values, mask=mask, fill_value=np.nan)

    def _undefined(self):
        relevance = self.relevance
        return relevance.mask | ~(relevance.data >= MIN_RELEVANCE)

    def _classify(self):
        """Return class names, and for each row one of them and its answer."""
        names, answers = self.schema.class_partition(self.supported)
        if not names:
            return None
        best = self._path[:, list(answers)].argmax(1)
        return np.array(names)[best], np.array(answers)[best]

    @property
    def morphology_class(self):
        """
        The most probable class of each row, a masked array of str.

        The classes are the finest partition of the tree whose answers are
        all supported; without any, every row is masked.
        """
        found = self._classify()
        if found is None:
            return np.ma.masked_all(len(self), 'U1')
        return np.ma.array(found[0], mask=~self.is_predicted)

    @property
    def morphology_probability(self):
        """The path probability of `morphology_class`, a masked array."""
        found = self._classify()
        if found is None:
            return np.ma.masked_all(len(self), np.float32)
        values = np.take_along_axis(self._path, found[1][:, None], 1)[:, 0]
        return np.ma.array(values, mask=~self.is_predicted, fill_value=np.nan)

    @property
    def morphology_path(self):
        """
        The answers on the best path of each row, a masked array of str.

        The best path goes through `morphology_class`; every other question
        that it meets gets its most probable answer. Unsupported questions,
        and those that depend on them, are left out. An answer that the tree
        has more than once stands behind its question: 'features_or_disk >
        edgeon no > no_bar > spiral'.
        """
        found = self._classify()
        chosen = choose_answers(
            self.schema,
            self._path,
            supported=self.supported,
            through=None if found is None else found[1],
        )
        names = path_names(self.schema, chosen)
        return np.ma.array(names, mask=~self.is_predicted | (names == ''))

    def to_table(self, columns='all'):
        """
        Make a table of the answers.

        Parameters
        ----------
        columns : {'all', 'best'} or str or sequence of str, optional
            'all' gives every answer, the entropy of every question and the
            class; 'best' the class, its probability and the answers on the
            best path; names of questions give their answers and entropies.
            Flags and reasons always come along.

        Returns
        -------
        table : `~astropy.table.QTable`
            A row a galaxy. See `~galmorph.predictions.make_columns` for the
            columns and `~galmorph.predictions.make_meta` for the ``meta``.

        Raises
        ------
        ValueError
            If ``columns`` names an unknown question.
        """
        return self.annotate(None, columns=columns)

    def annotate(self, table, columns='all', *, overwrite=False):
        """
        Add the answers to a copy of a table.

        Parameters
        ----------
        table : `~astropy.table.Table` or None
            A row a galaxy, in the same order. It is not modified.
        columns : {'all', 'best'} or str or sequence of str, optional
            As in `to_table`.
        overwrite : bool, optional
            Whether to replace columns of the same name.

        Returns
        -------
        annotated : `~astropy.table.QTable`
            The columns, units, masks, meta and indices of ``table``, and
            behind them the answers.

        Raises
        ------
        ValueError
            If ``columns`` names an unknown question, ``table`` has another
            length, or it has columns of the same names and ``overwrite`` is
            False.
        """
        return annotate_table(
            table,
            make_columns(self, columns),
            meta=make_meta(self.provenance, schema=self.schema.name),
            overwrite=overwrite,
        )
