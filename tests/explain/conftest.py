# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Fixtures of explanations."""

from types import SimpleNamespace

import numpy as np
import pytest

from galmorph import Recipe, load_schema
from galmorph.inference.engine import Engine
from tests.helpers.explained import SIDE


@pytest.fixture
def explained():
    """Make what explanations need of a classifier out of a network."""

    def make(network, **options):
        options = {'views': (0.0, 45.0), 'step': 6.0, 'output_size': SIDE, **options}
        return SimpleNamespace(
            engine=Engine(network, Recipe(**options), device='cpu', batch_size=16),
            schema=load_schema('gz2'),
            card=SimpleNamespace(name='known'),
        )

    return make


@pytest.fixture
def spots():
    """Draw framed pictures with one spot each, at (x, y) in 424 frame pixels."""

    def draw(*places, brightness=None):
        y, x = np.mgrid[:212, :212] * 2.0
        brightness = np.ones(len(places)) if brightness is None else brightness
        pictures = [
            value * np.exp(-0.5 * ((x - a) ** 2 + (y - b) ** 2) / 10**2)
            for (a, b), value in zip(places, brightness, strict=True)
        ]
        return [np.repeat(one[..., None], 3, -1).astype('f4') for one in pictures]

    return draw
