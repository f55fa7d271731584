# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figures: galaxies with their answers and flags, and how well weights do."""

from galmorph.plotting.curves import (
    plot_learning_curves,
    plot_reliability,
    plot_roc,
)
from galmorph.plotting.errors import plot_errors
from galmorph.plotting.galaxies import plot_answers, plot_contact_sheet
from galmorph.plotting.matrix import plot_confusion_matrix
from galmorph.plotting.scatter import plot_predicted_against_true

__all__ = [
    'plot_answers',
    'plot_confusion_matrix',
    'plot_contact_sheet',
    'plot_errors',
    'plot_learning_curves',
    'plot_predicted_against_true',
    'plot_reliability',
    'plot_roc',
]
