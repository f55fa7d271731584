# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What all predictions share: rows that are known or masked, and their table."""

import numpy as np

from galmorph.flags import FATAL, MorphologyFlag, describe_flags
from galmorph.predictions._parsing import (
    check_length,
    check_same_run,
    parse_answers,
    parse_supported,
)
from galmorph.predictions.provenance import make_meta, merge_provenance
from galmorph.predictions.tables import annotate_table, make_columns

__all__ = ['Predictions']


class Predictions:
    """
    The answers of a network for many galaxies, of whatever kind.

    This is the part that `~galmorph.MorphologyPredictions`, of a decision
    tree, and `~galmorph.predictions.AttributePredictions` have in common; make
    one of those, or let `~galmorph.predictions.make_predictions` choose.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree` or \
`~galmorph.schemas.AttributeSchema`
        What was asked.
    values : array-like, shape (n_galaxy, n_answers)
        The answers, in the order of ``schema.columns``.
    flags : array-like of int, shape (n_galaxy,)
        The `~galmorph.flags.MorphologyFlag` bits of each row.
    supported : sequence of str or of bool, optional
        What of ``schema.names`` the weights know.
    reasons : sequence of str, optional
        For each row, what went wrong.
    std : array-like, shape (n_galaxy, n_answers), optional
        Standard deviations of ``values``.
    provenance : dict, optional
        What the answers came from.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.predictions import AttributePredictions
    >>> from galmorph.predictions.base import Predictions
    >>> predictions = AttributePredictions(
    ...     load_schema('efigi'), np.zeros((2, 17)), flags=[0, 0])
    >>> isinstance(predictions, Predictions), len(predictions)
    (True, 2)
    """

    # The kind of schema, and what its names are called.
    _kind, _names = None, None

    def __init__(
        self,
        schema,
        values,
        *,
        flags,
        supported=None,
        reasons=None,
        std=None,
        provenance=None,
    ):
        if schema.kind != self._kind:
            msg = (
                f'{type(self).__name__} needs a schema of the kind {self._kind!r}, and '
                f'{schema.name!r} is one of {schema.kind!r}; make_predictions chooses'
            )
            raise TypeError(msg)
        self.schema = schema
        self.supported = parse_supported(schema, supported)
        values = parse_answers(schema, values, self._argument)
        n_galaxy = len(values)
        self.flags = np.array(flags, dtype=np.int32)
        check_length(self.flags, n_galaxy, 'flags')
        self.reasons = [''] * n_galaxy if reasons is None else list(map(str, reasons))
        check_length(self.reasons, n_galaxy, 'reasons')
        self.std = None if std is None else parse_answers(schema, std, 'std')
        if std is not None:
            check_length(self.std[:, 0], n_galaxy, 'std')
        self.provenance = dict(provenance or {})
        self._flag_unfinished(values)
        values[~self.is_predicted] = np.nan
        self._values = self._within_range(values)

    # What the user calls the values, for messages.
    _argument = 'values'

    def _within_range(self, values):
        """The values, none of them off its scale."""
        raise NotImplementedError

    def _flag_unfinished(self, values):
        finite = np.isfinite(values[:, self._by_answer(self.supported)]).all(1)
        unfinished = np.flatnonzero(self.is_predicted & ~finite)
        self.flags[unfinished] |= MorphologyFlag.NOT_PREDICTED
        why = describe_flags()['NOT_PREDICTED'][1]
        for row in unfinished:
            self.reasons[row] = self.reasons[row] or why

    def _by_answer(self, by_name):
        """Repeat values of the names of the schema for each of their answers."""
        return np.repeat(by_name, self.schema.counts, axis=-1)

    def __len__(self):
        return len(self._values)

    def __repr__(self):
        return (
            f'<{type(self).__name__}: {len(self)} galaxies, '
            f'{np.count_nonzero(~self.is_predicted)} not predicted, '
            f'{self.schema.name!r}, {np.count_nonzero(self.supported)} of '
            f'{len(self.supported)} {self._names}>'
        )

    def __getitem__(self, index):
        rows = np.atleast_1d(np.arange(len(self))[index])
        return type(self)(
            self.schema,
            self._values[rows],
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
        parts : sequence of `Predictions`
            Predictions of the same weights, at least one.

        Returns
        -------
        predictions : `Predictions`
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
            msg = f'parts must hold at least one {cls.__name__}'
            raise ValueError(msg)
        first = parts[0]
        check_same_run(parts)
        provenance = merge_provenance([part.provenance for part in parts])
        has_std = first.std is not None
        return cls(
            first.schema,
            np.concatenate([part.values.data for part in parts]),
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
    def values(self):
        """
        The answers, a masked array of shape (n_galaxy, n_answers).

        Masked in rows with a fatal flag and where the weights do not know the
        answer.
        """
        mask = ~self.is_predicted[:, None] | ~self._by_answer(self.supported)
        return np.ma.array(self._values, mask=mask, fill_value=np.nan)

    def to_table(self, columns='all'):
        """
        Make a table of the answers.

        Parameters
        ----------
        columns : {'all', 'best'} or str or sequence of str, optional
            'all' gives every answer, and the class; of a tree also the
            entropy of every question. 'best' gives the class, its probability
            and, of a tree, the answers on the best path; names of questions or
            attributes give theirs. Flags and reasons always come along.

        Returns
        -------
        table : `~astropy.table.QTable`
            A row a galaxy. See `~galmorph.predictions.make_columns` for the
            columns and `~galmorph.predictions.make_meta` for the ``meta``.

        Raises
        ------
        ValueError
            If ``columns`` names an unknown question or attribute.
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
            If ``columns`` names an unknown question or attribute, ``table``
            has another length, or it has columns of the same names and
            ``overwrite`` is False.
        """
        return annotate_table(
            table,
            make_columns(self, columns),
            meta=make_meta(self.provenance, schema=self.schema.name),
            overwrite=overwrite,
        )
