# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the network of Dieleman et al. against its published definition."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from galmorph.networks import create_network
from galmorph.networks.dieleman import Dieleman, extract_parts
from galmorph.networks.ensemble import dieleman_ensemble
from galmorph.schemas import load_schema

STRUCTURE = load_schema('gz2').structure

F8433 = ((8, 32), (4, 64), (3, 128), (3, 128))


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope='module')
def network():
    torch.manual_seed(1)
    return create_network('dieleman', structure=STRUCTURE).eval()


@pytest.fixture(scope='module')
def small():
    """The same trunk, whose dense layers are too small to take time."""
    torch.manual_seed(2)
    network = Dieleman(STRUCTURE, dense=(32, 32)).eval()
    for layer in (*network.dense, network.output):
        nn.init.normal_(layer.weight, std=0.05)
    return network


@pytest.fixture
def views():
    return torch.rand(2, 2, 3, 69, 69, generator=torch.Generator().manual_seed(4))


class TestParts:
    def test_are_corners_of_the_turned_views(self):
        views = np.random.default_rng(0).random((3, 2, 3, 69, 69))
        parts = extract_parts(torch.from_numpy(views)).numpy()
        assert parts.shape == (3, 16, 3, 45, 45)
        for galaxy in range(3):
            sides = [
                side
                for view in views[galaxy]
                for side in (view, np.flip(view, axis=-1))
            ]
            for index in range(16):
                turned = np.rot90(sides[index // 4], index % 4, axes=(-2, -1))
                np.testing.assert_array_equal(parts[galaxy, index], turned[:, :45, :45])

    def test_have_the_centre_at_one_pixel_and_overlap_by_21(self):
        views = torch.zeros(1, 2, 1, 69, 69)
        views[..., 34, 34] = 1
        parts = extract_parts(views)
        assert (parts[..., 34, 34] == 1).all()
        assert parts.sum() == 16
        # Pixels 24 to 44, of both the left and the right corner.
        column = torch.zeros(1, 1, 1, 69, 69)
        column[..., 0, :] = 1
        first, second = extract_parts(column)[0, :2, 0]
        assert first.sum() + second.sum() == 69 + 21

    @pytest.mark.parametrize('part_size', [35, 69])
    def test_other_sizes(self, part_size):
        views = torch.rand(1, 1, 1, 69, 69)
        parts = extract_parts(views, part_size)
        expected = torch.rot90(views[0, 0], 2, (-2, -1))[:, :part_size, :part_size]
        assert torch.equal(parts[0, 2], expected)


class TestParameters:
    def test_count(self, network):
        assert count(network) == 42_377_125

    def test_count_with_tied_biases(self):
        with torch.device('meta'):
            assert count(Dieleman(STRUCTURE, untied_biases=False)) == 42_303_237

    @pytest.mark.parametrize(
        ('member', 'expected'),
        [
            ('extradense', 42_377_125),
            ('extradense_dup3', 42_377_125),
            ('extradense_pysex', 42_377_125),
            ('extradense_pysexgen1_dup', 42_377_125),
            ('extradense_pysexgen1_dup2', 42_377_125),
            ('extradense_big256', 76_081_061),
            ('normconstraint', 42_377_125),
            ('maxout2048', 33_984_421),
            ('maxout2048_pysex', 33_984_421),
            ('8433n_maxout2048', 33_963_685),
            ('8433n_maxout2048_pysex', 33_963_685),
            ('8433n_maxout2048_extradense', 42_356_389),
            ('8433n_maxout2048_extradense_pysex', 42_356_389),
            ('bigger', 50_912_165),
            ('pysex', 34_060_197),
            ('shareddense', 17_469_861),
            ('shareddense512', 34_509_733),
        ],
    )
    def test_count_of_each_member_of_the_ensemble(self, member, expected):
        members = dieleman_ensemble()
        assert len(members) == 17
        with torch.device('meta'):
            network = create_network('dieleman', structure=STRUCTURE, **members[member])
        assert count(network) == expected

    def test_shapes_layer_by_layer(self, network):
        shapes = [(*conv.weight.shape, *conv.bias.shape) for conv in network.convs]
        assert shapes == [
            (32, 3, 6, 6, 32, 40, 40),
            (64, 32, 5, 5, 64, 16, 16),
            (128, 64, 3, 3, 128, 6, 6),
            (128, 128, 3, 3, 128, 4, 4),
        ]
        dense = [(d.in_features, d.out_features) for d in network.dense]
        assert dense == [(8192, 4096), (2048, 4096)]
        assert (network.output.in_features, network.output.out_features) == (2048, 37)

    def test_initial_values(self, network):
        expected = [(c, std, 0.1) for c, std in zip(
            network.convs, (0.01, 0.01, 0.01, 0.1), strict=True
        )]  # fmt: skip
        expected += [(d, 0.001, 0.01) for d in network.dense]
        expected += [(network.output, 0.01, 0.1)]
        for layer, std, bias in expected:
            weight = layer.weight.detach()
            tolerance = 5 * std / weight.numel() ** 0.5
            assert abs(weight.mean().item()) < tolerance
            assert abs(weight.std().item() - std) < tolerance
            assert torch.equal(layer.bias, torch.full_like(layer.bias, bias))

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'filters': F8433[:3]}, 'filters must be four'),
            ({'filters': ((46, 3), *F8433[1:])}, 'too large for parts of 45 pixels'),
            ({'dense': (33,)}, 'dense and shared must be even'),
            ({'shared': 33}, 'dense and shared must be even'),
            ({'activation': 'tanh'}, "'maxout' or 'relu', not 'tanh'"),
            ({'part_size': 70}, 'part_size must not exceed view_size, 69'),
        ],
    )
    def test_options_that_make_no_network(self, options, message):
        with pytest.raises(ValueError, match=message):
            Dieleman(STRUCTURE, **options)


class TestForward:
    def test_follows_the_definition(self, small, views):
        with torch.no_grad():
            found = small(views)
            maps = extract_parts(views).flatten(0, 1)
            pooled = (True, True, False, True)
            for conv, is_pooled in zip(small.convs, pooled, strict=True):
                maps = functional.relu(functional.conv2d(maps, conv.weight) + conv.bias)
                if is_pooled:
                    maps = functional.max_pool2d(maps, 2)
            features = maps.reshape(2, 16 * 512)
            for layer in small.dense:
                features = features @ layer.weight.T + layer.bias
                features = torch.maximum(features[:, ::2], features[:, 1::2])
            raw = features @ small.output.weight.T + small.output.bias
            expected = small.head(raw)
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-5)

    def test_output_is_a_path(self, network, views):
        with torch.inference_mode():
            path = network(views).numpy()
        assert path.shape == (2, 37)
        assert load_schema('gz2').violation(path).max() < 1e-5

    @pytest.mark.parametrize('n_galaxy', [0, 1, 11])
    def test_batches(self, small, n_galaxy):
        views = torch.rand(n_galaxy, 2, 3, 69, 69)
        with torch.inference_mode():
            path = small(views)
            assert path.shape == (n_galaxy, 37)
            for row in range(n_galaxy):
                np.testing.assert_allclose(path[row], small(views[[row]])[0], atol=1e-5)

    def test_no_part_is_convolved_twice(self, small, views):
        seen = [[] for _ in small.convs]
        hooks = [
            conv.register_forward_hook(
                lambda _, inputs, __, calls=calls: calls.append(inputs[0].clone())
            )
            for conv, calls in zip(small.convs, seen, strict=True)
        ]
        more = torch.cat([views] * 5)
        with torch.inference_mode():
            small(more)
        for hook in hooks:
            hook.remove()
        sides = {45: 3, 20: 32, 8: 64, 6: 128}
        for calls, (side, channels) in zip(seen, sides.items(), strict=True):
            assert {tuple(c.shape[1:]) for c in calls} == {(channels, side, side)}
            assert sum(len(call) for call in calls) == 16 * 10
        expected = extract_parts(more).flatten(0, 1)
        assert torch.equal(torch.cat(seen[0]), expected)

    def test_a_quarter_turn_permutes_the_features(self, small, views):
        with torch.inference_mode():
            before = small.features(views)
            after = small.features(torch.rot90(views, 1, (-2, -1)))
            paths = small(views), small(torch.rot90(views, 1, (-2, -1)))
        # A view moves on by one part; its mirror image turns the other way.
        order = [
            4 * side + (k + (1 if side % 2 == 0 else -1)) % 4
            for side in range(4)
            for k in range(4)
        ]
        np.testing.assert_allclose(after, before[:, order], atol=1e-5)
        # The dense layers see ordered parts: no invariance.
        assert (paths[0] - paths[1]).abs().max() > 1e-4

    def test_a_mirror_image_swaps_the_sides(self, small, views):
        with torch.inference_mode():
            before = small.features(views)
            after = small.features(views.flip(-1))
        order = [*range(4, 8), *range(4), *range(12, 16), *range(8, 12)]
        np.testing.assert_allclose(after, before[:, order], atol=1e-5)

    def test_dropout_acts_on_the_inputs_of_the_dense_layers(self, small, views):
        fed = []
        hooks = [
            layer.register_forward_pre_hook(lambda _, inputs: fed.append(inputs[0]))
            for layer in (*small.dense, small.output)
        ]
        small.train()
        torch.manual_seed(5)
        with torch.no_grad():
            features = small.features(views).flatten(1)
            small.raw(views)
        small.eval()
        with torch.no_grad():
            small.raw(views)
        for hook in hooks:
            hook.remove()
        assert [f.shape[1] for f in fed[:3]] == [8192, 16, 16]
        kept = fed[0] != 0
        np.testing.assert_allclose(fed[0][kept], 2 * features[kept], rtol=1e-5)
        share = kept.sum() / (features != 0).sum()
        assert abs(share.item() - 0.5) < 0.05
        np.testing.assert_allclose(fed[3], features, rtol=1e-5)

    def test_gradients_reach_every_parameter(self, small, views):
        small.zero_grad()
        small(views).square().sum().backward()
        for name, parameter in small.named_parameters():
            assert torch.isfinite(parameter.grad).all(), name
            assert parameter.grad.abs().max() > 0, name

    def test_the_input_is_not_modified(self, small, views):
        before = views.clone()
        with torch.inference_mode():
            small(views)
        assert torch.equal(views, before)

    def test_a_dense_layer_that_parts_share(self, views):
        network = Dieleman(STRUCTURE, shared=6, dense=(8,)).eval()
        with torch.inference_mode():
            parts = network.features(views)
            merged = []
            for part in parts.unbind(1):
                linear = functional.linear(
                    part, network.shared.weight, network.shared.bias
                )
                merged.append(torch.maximum(linear[:, ::2], linear[:, 1::2]))
            features = network.dense[0](torch.cat(merged, 1))
            features = torch.maximum(features[:, ::2], features[:, 1::2])
            expected = network.output(features)
            torch.testing.assert_close(network.raw(views), expected)
            assert network.raw(views[:0]).shape == (0, 37)

    def test_dense_layers_with_relu(self, views):
        network = Dieleman(STRUCTURE, dense=(7,), activation='relu').eval()
        with torch.inference_mode():
            features = network.dense[0](network.features(views).flatten(1)).clamp(min=0)
            expected = network.output(features)
            torch.testing.assert_close(network.raw(views), expected)

    @pytest.mark.parametrize('head', ['softmax', 'dirichlet', 'interval'])
    def test_other_heads(self, head):
        network = Dieleman(STRUCTURE, dense=(8,), head=head, part_size=45)
        assert network.output.out_features == network.head.n_raw
        assert (network.output.bias == 0).all()
        with torch.no_grad():
            assert network(torch.rand(1, 2, 3, 69, 69)).shape == (1, 37)

    def test_a_tied_network_of_one_view(self):
        network = Dieleman(
            STRUCTURE, n_views=1, n_channels=1, dense=(8,), untied_biases=False
        )
        assert network.input_shape == (1, 1, 69, 69)
        assert network(torch.rand(1, 1, 1, 69, 69)).shape == (1, 37)
