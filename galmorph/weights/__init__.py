# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Weights: their cards, their files, and the names they are asked for by."""

from galmorph.weights.card import WeightsCard
from galmorph.weights.registry import (
    list_weights,
    load_card,
    register_weights,
    weights_path,
)
from galmorph.weights.storage import load_weights, save_weights, verify_weights

__all__ = [
    'WeightsCard',
    'list_weights',
    'load_card',
    'load_weights',
    'register_weights',
    'save_weights',
    'verify_weights',
    'weights_path',
]
