# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The kind of predictions that a schema asks for."""

from galmorph.predictions.attributes import AttributePredictions
from galmorph.predictions.container import MorphologyPredictions

__all__ = ['make_predictions']


def make_predictions(schema, values, **options):
    """
    Make predictions of the kind of a schema.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree` or \
`~galmorph.schemas.AttributeSchema`
        What was asked.
    values : array-like, shape (n_galaxy, n_answers)
        Path probabilities, or values of the attributes.
    **options
        Passed on: ``flags``, ``supported``, ``reasons``, ``std`` and
        ``provenance``.

    Returns
    -------
    predictions : `MorphologyPredictions` or `AttributePredictions`
        The predictions.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.predictions import make_predictions
    >>> make_predictions(load_schema('efigi'), np.zeros((1, 17)), flags=[0])
    <AttributePredictions: 1 galaxies, 0 not predicted, 'efigi', 17 of 17 attributes>
    """
    kinds = {'tree': MorphologyPredictions, 'attributes': AttributePredictions}
    return kinds[schema.kind](schema, values, **options)
