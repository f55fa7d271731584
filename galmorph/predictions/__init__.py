# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Answers of a network: probabilities, flags and the columns of a table."""

from galmorph.predictions.container import MIN_RELEVANCE, MorphologyPredictions
from galmorph.predictions.provenance import make_meta, merge_provenance
from galmorph.predictions.tables import annotate_table, make_columns

__all__ = [
    'MIN_RELEVANCE',
    'MorphologyPredictions',
    'annotate_table',
    'make_columns',
    'make_meta',
    'merge_provenance',
]
