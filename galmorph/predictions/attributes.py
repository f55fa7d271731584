# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measured attributes of many galaxies, and the type that follows."""

import math

import numpy as np

from galmorph.predictions.base import Predictions

__all__ = ['AttributePredictions']


class AttributePredictions(Predictions):
    """
    The attributes that a network measured on many galaxies.

    They behave as `~galmorph.MorphologyPredictions` do: a row with a fatal
    flag is masked, an unsupported attribute in all rows.

    Parameters
    ----------
    schema : `~galmorph.schemas.AttributeSchema`
        The attributes.
    values : array-like, shape (n_galaxy, n_answers)
        Their values, in the order of ``schema.columns``; those beyond the
        ends of a scale are set to it. NaN where a galaxy was not predicted.
    flags : array-like of int, shape (n_galaxy,)
        The `~galmorph.flags.MorphologyFlag` bits of each row. A row without
        a fatal bit whose supported values are not all finite gets
        ``NOT_PREDICTED``.
    supported : sequence of str or of bool, optional
        The names of the attributes that the weights know, or a bool for each.
        All are by default.
    reasons : sequence of str, optional
        For each row, what went wrong in words; '' where nothing did.
    std : array-like, shape (n_galaxy, n_answers), optional
        Standard deviations of ``values``.
    provenance : dict, optional
        What the values came from, in plain types.

    Attributes
    ----------
    schema, flags, reasons, std, provenance
        As given, the flags as int32.
    supported : `~numpy.ndarray` of bool, shape (n_answers,)
        Whether the weights know the attribute.

    Raises
    ------
    TypeError
        If ``schema`` is a decision tree.
    ValueError
        If shapes disagree.
    `~galmorph.exceptions.SchemaError`
        If ``supported`` names an unknown attribute.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.predictions import AttributePredictions
    >>> values = np.full((1, 17), 0.5)
    >>> values[0, 0] = 3.2
    >>> predictions = AttributePredictions(load_schema('efigi'), values, flags=[0])
    >>> predictions
    <AttributePredictions: 1 galaxies, 0 not predicted, 'efigi', 17 of 17 attributes>
    >>> print(predictions.morphology_class)
    ['Sb']
    """

    _kind, _names = 'attributes', 'attributes'

    def _within_range(self, values):
        return np.clip(values, self.schema.low, self.schema.high, out=values)

    def _stage(self):
        """The stage along the sequence of types, its deviation, and its mask."""
        if not self.schema.stages:
            return None
        index = self.schema.index(self.schema.stages['attribute'])
        if not self.supported[index]:
            return None
        return index

    @property
    def morphology_class(self):
        """
        The type of each galaxy, a masked array of str.

        That of the nearest stage, 'Sb'. Masked in rows with a fatal flag, and
        everywhere if the weights do not know the stage.
        """
        if self._stage() is None:
            return np.ma.masked_all(len(self), 'U1')
        names = self.schema.stage_names(self._values)
        return np.ma.array(names, mask=~self.is_predicted)

    @property
    def morphology_probability(self):
        """
        The probability of `morphology_class`, a masked array.

        That of a normal distribution with the standard deviation of the
        stage, within half a stage. Masked where there is no deviation.
        """
        index = self._stage()
        if index is None or self.std is None:
            return np.ma.masked_all(len(self), np.float32)
        stage, std = (
            values[:, index].astype(float) for values in (self._values, self.std)
        )
        low, high = self.schema.low[index], self.schema.high[index]
        nearest = np.clip(np.rint(stage), low, high)
        # The first and the last stage have all that lies beyond them.
        below = np.where(nearest <= low, -np.inf, nearest - 0.5)
        above = np.where(nearest >= high, np.inf, nearest + 0.5)
        with np.errstate(divide='ignore', invalid='ignore'):
            values = _normal((above - stage) / std) - _normal((below - stage) / std)
        mask = ~self.is_predicted | ~np.isfinite(values)
        return np.ma.array(values.astype(np.float32), mask=mask, fill_value=np.nan)


def _normal(x):
    """The cumulative normal distribution."""
    return 0.5 * (1 + np.array([math.erf(v) for v in x / math.sqrt(2)], float))
