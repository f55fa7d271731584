# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the names of the networks."""

import subprocess
import sys

import pytest
import torch
from torch import nn

from galmorph import MorphologyClassifier
from galmorph.networks import create_network, list_networks, register_network, registry
from galmorph.schemas import load_schema
from galmorph.weights import save_weights
from tests.helpers.tiny import draw_stamps, make_tiny_card


@pytest.fixture(autouse=True)
def _own_names(monkeypatch):
    monkeypatch.setattr(registry, '_registered', {})


def linear(structure, width=8):
    return nn.Linear(width, structure[-1][1])


BUILTIN = [
    'alexnet', 'alexnet_lite', 'baseline_cnn', 'candels', 'compact', 'dieleman',
    'inception_v3', 'resnet50_preact', 'resnet_zhu', 'vgg16',
]  # fmt: skip


def test_dieleman_is_built_in():
    assert list_networks() == BUILTIN
    network = create_network('dieleman', structure=((0, 3, -1),), dense=(16,))
    assert type(network).__name__ == 'Dieleman'
    assert network.training
    assert network.output.out_features == 3


def test_a_network_of_ones_own():
    register_network('linear', linear)
    assert list_networks() == sorted([*BUILTIN, 'linear'])
    network = create_network('linear', structure=((0, 2, -1), (2, 5, 0)), width=4)
    assert tuple(network.weight.shape) == (5, 4)


def test_a_network_of_ones_own_classifies(tmp_path):
    class Own(nn.Module):
        """Knows nothing of galmorph, not even heads."""

        def __init__(self, structure, width=4):
            super().__init__()
            self.conv = nn.Conv2d(3, width, 5, stride=4)
            self.dense = nn.Linear(width, structure[-1][1])

        def forward(self, views):
            maps = self.conv(views.flatten(0, 1)).relu()
            features = maps.mean((2, 3)).unflatten(0, views.shape[:2]).mean(1)
            return self.dense(features).sigmoid()

    register_network('own', Own)

    structure = load_schema('gz2').structure
    torch.manual_seed(0)
    network = create_network('own', structure=structure, width=6)
    path = tmp_path / 'own.gz2.safetensors'
    sha256 = save_weights(network.state_dict(), path, precision='float32')
    card = make_tiny_card(
        tmp_path,
        structure=structure,
        name='own.gz2',
        network={'name': 'own', 'options': {'width': 6}},
        file=path.name,
        size=path.stat().st_size,
        sha256=sha256,
    )
    classifier = MorphologyClassifier(card, 'cpu', n_workers=1)
    predictions = classifier.classify(list(draw_stamps(3)))
    assert predictions.is_predicted.all()
    views = torch.zeros(1, 2, 3, 69, 69)
    with torch.inference_mode():
        expected = network(views)
        torch.testing.assert_close(classifier.engine.network(views), expected)


def test_a_taken_name():
    register_network('linear', linear)
    for name in ('linear', 'dieleman'):
        with pytest.raises(ValueError, match=f"network '{name}' exists already"):
            register_network(name, linear)
    register_network('dieleman', linear, overwrite=True)
    assert isinstance(create_network('dieleman', structure=((0, 2, -1),)), nn.Linear)


def test_an_unknown_name():
    with pytest.raises(ValueError, match=r"no network 'hubble'; .*'dieleman'"):
        create_network('hubble')


def test_what_is_no_factory():
    with pytest.raises(TypeError, match='factory must be callable, not 3'):
        register_network('three', 3)


def test_names_are_listed_without_torch():
    code = (
        'import sys; from galmorph.networks import list_networks; list_networks(); '
        'sys.exit("torch" in sys.modules)'
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
