# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well weights do: scores, intervals, curves, baselines."""

from galmorph.training.evaluation.evaluating import Evaluation, Score, evaluate

__all__ = ['Evaluation', 'Score', 'evaluate']
