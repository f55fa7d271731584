# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Losses: of vote fractions, classes, counts and attributes, unknown labels masked.

A loss is called as ``loss(output, batch)``; see `Loss`.
"""

from galmorph.training.losses._loss import Loss
from galmorph.training.losses.fractions import (
    CensoredLoss,
    CrossEntropyLoss,
    DistillationLoss,
    QuestionLoss,
    SquaredLoss,
)
from galmorph.training.losses.likelihoods import (
    BinomialLoss,
    DirichletLoss,
    IntervalLoss,
    MultinomialLoss,
)
from galmorph.training.losses.registry import create_loss, list_losses

__all__ = [
    'BinomialLoss',
    'CensoredLoss',
    'CrossEntropyLoss',
    'DirichletLoss',
    'DistillationLoss',
    'IntervalLoss',
    'Loss',
    'MultinomialLoss',
    'QuestionLoss',
    'SquaredLoss',
    'create_loss',
    'list_losses',
]
