# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the layers that torch does not have."""

import numpy as np
import pytest
import torch
from scipy.signal import correlate
from torch import nn

from galmorph.networks.layers import ConvUntied, Maxout, constrain_norms


def make_conv(**options):
    torch.manual_seed(0)
    conv = ConvUntied(2, 3, 4, input_size=9, **options)
    nn.init.normal_(conv.weight)
    nn.init.normal_(conv.bias)
    return conv


class TestConvUntied:
    @pytest.mark.parametrize('untied', [True, False])
    def test_against_scipy(self, untied):
        conv = make_conv(untied=untied)
        images = torch.randn(2, 2, 9, 9)
        with torch.no_grad():
            found = conv(images).numpy()
        weight, bias = (p.detach().numpy() for p in conv.parameters())
        assert bias.shape == ((3, 6, 6) if untied else (3, 1, 1))
        for image, maps in zip(images.numpy(), found, strict=True):
            for channel in range(3):
                expected = correlate(image, weight[channel], mode='valid')[0]
                np.testing.assert_allclose(
                    maps[channel], expected + bias[channel], rtol=1e-4, atol=1e-5
                )

    def test_gradients(self):
        conv = make_conv().double()
        images = torch.randn(1, 2, 9, 9, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(conv, (images,))
        conv(images).sum().backward()
        # Each bias acts on one position of one map.
        np.testing.assert_allclose(conv.bias.grad.numpy(), 1)

    def test_state_survives_a_round_trip(self):
        first, second = make_conv(), ConvUntied(2, 3, 4, input_size=9)
        second.load_state_dict(first.state_dict())
        images = torch.randn(1, 2, 9, 9)
        assert torch.equal(first(images), second(images))

    def test_tied_biases_take_any_size(self):
        assert make_conv(untied=False)(torch.zeros(1, 2, 30, 20)).shape[2:] == (27, 17)


class TestMaxout:
    def test_pairs_are_adjacent(self):
        features = torch.tensor([[1.0, 2.0, 4.0, 3.0, -5.0, -6.0]])
        assert Maxout()(features).tolist() == [[2, 4, -5]]

    def test_other_groups(self):
        features = torch.arange(12.0).reshape(2, 6)
        assert Maxout(3)(features).tolist() == [[2, 5], [8, 11]]

    def test_an_empty_batch(self):
        assert Maxout()(torch.zeros(0, 6)).shape == (0, 3)


class TestConstrainNorms:
    def test_units_shrink_to_the_limit_in_root_mean_square(self):
        torch.manual_seed(0)
        layer = nn.Linear(6, 5)
        layer.weight.data = (
            torch.randn(5, 6) * torch.tensor([0.01, 0.1, 1, 10, 0])[:, None]
        )
        before = layer.weight.detach().clone()
        constrain_norms([layer], [0.4])
        rms = before.square().mean(1).sqrt()
        for row, old, norm in zip(layer.weight, before, rms, strict=True):
            expected = old * 0.4 / norm if norm > 0.4 else old
            torch.testing.assert_close(row.detach(), expected)

    def test_each_layer_has_its_limit_and_convolutions_are_layers(self):
        layers = nn.Linear(4, 2), nn.Conv2d(3, 2, 3)
        for layer in layers:
            nn.init.constant_(layer.weight, 2.0)
        constrain_norms(layers, (0.4, 0.23))
        torch.testing.assert_close(layers[0].weight.data, torch.full((2, 4), 0.4))
        torch.testing.assert_close(
            layers[1].weight.data, torch.full((2, 3, 3, 3), 0.23)
        )
        assert all(layer.weight.requires_grad for layer in layers)

    @pytest.mark.parametrize('limits', [(), (0.4, 0.4), (0,)])
    def test_limits_that_do_not_fit(self, limits):
        with pytest.raises(ValueError, match='one positive number for each of the 1'):
            constrain_norms([nn.Linear(2, 2)], limits)
