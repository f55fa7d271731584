# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the layers and of their feature maps."""

import numpy as np
import pytest
import torch

from galmorph import MorphologyClassifier
from galmorph.demo import load_deep_field
from galmorph.explain import feature_maps, first_filters, list_layers
from galmorph.explain._views import views_of
from galmorph.networks.dieleman import extract_parts
from tests.helpers.explained import Blobs, Weighted


@pytest.fixture(scope='module')
def bundled():
    return MorphologyClassifier('dieleman.gz2', 'cpu')


@pytest.fixture(scope='module')
def galaxy():
    return load_deep_field().section(54, 194, 330, 470, position=(124, 401))


class TestListLayers:
    def test_lists_layers_in_the_order_in_which_they_run(self, bundled):
        layers = list_layers(bundled)
        assert layers['kind'].tolist() == [
            *['ConvUntied'] * 4, 'Linear', 'Maxout', 'Linear', 'Maxout', 'Linear',
            'DivisiveTreeHead',
        ]  # fmt: skip
        assert layers['layer'][7] == f'{layers["layer"][5]}#2'
        assert layers['n_map'].tolist()[:5] == [32, 64, 128, 128, 4096]
        assert layers['side'].tolist()[:5] == [40, 16, 6, 4, 1]
        assert layers['n_part'].tolist()[:5] == [16, 16, 16, 16, 1]

    def test_leaves_out_what_does_nothing(self, explained):
        layers = list_layers(explained(Blobs()))['layer'].tolist()
        assert layers == ['conv', 'rectify', 'conv#2', 'rectify#2', 'output']


class TestFirstFilters:
    def test_are_those_of_the_network(self, explained):
        filters = first_filters(explained(Blobs()))
        assert filters.shape == (2, 3, 3, 3)
        np.testing.assert_allclose(filters[0], 1 / 27, rtol=1e-6)

    def test_are_those_of_the_convolution_that_runs_first(self, explained):
        class Swapped(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.second = torch.nn.Conv2d(3, 37, 1)
                self.first = torch.nn.Conv2d(3, 3, 5)

            def forward(self, views):
                return self.second(self.first(views[:, 0])).mean((2, 3))

        assert first_filters(explained(Swapped())).shape == (3, 3, 5, 5)

    def test_network_without_convolution(self, explained):
        with pytest.raises(ValueError, match="'known' has no convolution"):
            first_filters(explained(Weighted(1.0)))


class TestFeatureMaps:
    def test_are_the_activations_of_the_network(self, bundled, galaxy):
        found = feature_maps(bundled, galaxy, ['convs.0', 'convs.2', 'output'])
        network = bundled.engine.network
        with torch.no_grad():
            views = views_of(bundled.engine, galaxy)
            parts = extract_parts(views)[0]
            first = network.convs[0](parts)
            pooled = torch.nn.functional.max_pool2d(first, 2, ceil_mode=True).relu()
            pooled = torch.nn.functional.max_pool2d(
                network.convs[1](pooled), 2, ceil_mode=True
            ).relu()
            third = network.convs[2](pooled)
            raw = network.raw(views)
        np.testing.assert_array_equal(found.pictures, parts)
        for layer, expected in (
            ('convs.0', first),
            ('convs.2', third),
            ('output', raw),
        ):
            np.testing.assert_allclose(
                found.maps[layer], expected, rtol=1e-4, atol=1e-5
            )
        # As they were before the rectifier, which works in place.
        assert found.maps['convs.2'].min() < 0

    def test_are_those_of_all_convolutions_by_default(self, bundled, galaxy):
        found = feature_maps(bundled, galaxy)
        assert list(found.maps) == ['convs.0', 'convs.1', 'convs.2', 'convs.3']

    def test_runs_of_one_layer_are_kept_apart(self, explained, spots):
        found = feature_maps(
            explained(Blobs(), step=3.0), spots((242, 212))[0], ['conv', 'conv#2']
        )
        right, turned = (
            np.unravel_index(maps[0, 0].argmax(), (31, 31))
            for maps in found.maps.values()
        )
        # 30 frame pixels are 10 of the view: to the right of the centre, and, as
        # seen from 45°, to its upper right.
        assert np.hypot(right[0] - 15, right[1] - 25) < 1.5
        assert np.hypot(turned[0] - 15 + 7.1, turned[1] - 15 - 7.1) < 1.5

    def test_leave_the_network_as_it_was(self, bundled, galaxy):
        before = bundled.classify(galaxy).probabilities
        feature_maps(bundled, galaxy, 'convs.1')
        assert not any(m._forward_hooks for m in bundled.engine.network.modules())
        np.testing.assert_array_equal(bundled.classify(galaxy).probabilities, before)

    def test_unknown_layer(self, bundled, galaxy):
        with pytest.raises(ValueError, match=r"no layer 'conv9'; it has convs\.0, "):
            feature_maps(bundled, galaxy, 'conv9')
