# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The answers of a network for many galaxies, with what they rest on."""

import numpy as np

from galmorph.predictions._parsing import check_range
from galmorph.predictions.base import Predictions
from galmorph.predictions.decisions import (
    choose_answers,
    normalised_entropy,
    path_names,
)
from galmorph.schemas import load_schema, map_answers

__all__ = ['MIN_RELEVANCE', 'MorphologyPredictions']

MIN_RELEVANCE = 1e-3
"""
Smallest path probability of a question whose conditional answers are given.

A question that is asked of less than one volunteer in a thousand has answers
that no count of votes could test; at 0 they are undefined.
"""


class MorphologyPredictions(Predictions):
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

    _kind, _names = 'tree', 'questions'
    _argument = 'probabilities'

    def __init__(self, schema, probabilities, **options):
        super().__init__(schema, probabilities, **options)

    def _within_range(self, values):
        check_range(values)
        return np.clip(values, 0, 1, out=values)

    @property
    def probabilities(self):
        """
        Path probabilities, a masked array of shape (n_galaxy, n_answers).

        Masked in rows with a fatal flag and for unsupported questions.
        """
        return self.values

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
        values = self.schema.relevance(self._values)
        return np.ma.array(values, mask=mask, fill_value=np.nan)

    @property
    def conditional(self):
        """
        Conditional probabilities, a masked array (n_galaxy, n_answers).

        Masked where the path probabilities are, and where the `relevance` of
        the question is unknown or below ``MIN_RELEVANCE``, 0.001.
        """
        mask = self.probabilities.mask | self._by_answer(self._undefined())
        values = self.schema.to_conditional(self._values)
        return np.ma.array(values, mask=mask, fill_value=np.nan)

    @property
    def entropy(self):
        """
        Indecision about each question, a masked array (n_galaxy, n_question).

        The Shannon entropy of the conditional probabilities divided by that
        of an even choice: 0 is certain, 1 undecided. Masked where the
        conditional probabilities are.
        """
        values = normalised_entropy(self.schema, self._values)
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
        best = self._values[:, list(answers)].argmax(1)
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
        values = np.take_along_axis(self._values, found[1][:, None], 1)[:, 0]
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
            self._values,
            supported=self.supported,
            through=None if found is None else found[1],
        )
        names = path_names(self.schema, chosen)
        return np.ma.array(names, mask=~self.is_predicted | (names == ''))

    def map_to(self, name, *, strict=True):
        """
        Derive the answers of another tree.

        Parameters
        ----------
        name : str
            The other tree, which says how its answers follow from those of
            this one, such as 'candels5' from 'gz_ceers'; see
            `~galmorph.schemas.map_answers`.
        strict : bool, optional
            Refuse to derive answers from questions that the weights do not
            support. Without it, judge for yourself.

        Returns
        -------
        predictions : `MorphologyPredictions`
            The answers of the other tree, without standard deviations.

        Raises
        ------
        `~galmorph.exceptions.SchemaError`
            If there is no such tree, or it does not follow from this one.
        ValueError
            If the weights do not support a question that it needs.
        """
        target = load_schema(name)
        path = map_answers(self._values, self.schema, target)
        terms = target.mappings[self.schema.name].values()
        needed = {
            factor.strip('!') for t in terms for product in t for factor in product
        }
        known = self._by_answer(self.supported)
        missing = [c for c, k in zip(self.schema.columns, known, strict=True)
                   if c in needed and not k]  # fmt: skip
        if missing and strict:
            msg = (
                f'{name!r} needs {missing}, which these weights do not support; '
                'strict=False takes their answers all the same'
            )
            raise ValueError(msg)
        return type(self)(
            target,
            path,
            flags=self.flags,
            reasons=self.reasons,
            provenance={**self.provenance, 'mapped_from': self.schema.name},
        )
