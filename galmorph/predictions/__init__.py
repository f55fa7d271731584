# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Answers of a network: values, flags and the columns of a table."""

from galmorph.predictions.attributes import AttributePredictions
from galmorph.predictions.choosing import make_predictions
from galmorph.predictions.container import MIN_RELEVANCE, MorphologyPredictions
from galmorph.predictions.provenance import make_meta, merge_provenance
from galmorph.predictions.tables import annotate_table, make_columns

__all__ = [
    'MIN_RELEVANCE',
    'AttributePredictions',
    'MorphologyPredictions',
    'annotate_table',
    'make_columns',
    'make_meta',
    'make_predictions',
    'merge_provenance',
]
