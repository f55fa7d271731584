# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Losses: of fractions, classes, counts and attributes, and of views without labels.

A loss is called as ``loss(output, batch)``; see `Loss`. Unknown labels are masked.
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
from galmorph.training.losses.registry import (
    count_views,
    create_loss,
    list_losses,
)
from galmorph.training.losses.views import VICRegLoss

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
    'VICRegLoss',
    'count_views',
    'create_loss',
    'list_losses',
]
