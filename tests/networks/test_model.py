# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of networks of trunk, output layer and head."""

import pytest
import torch
from torch import nn

from galmorph.networks.heads import SigmoidHead
from galmorph.networks.model import TrunkNetwork, check_initialisation, initialise
from galmorph.networks.plain import PlainTrunk, same_padding

STRUCTURE = ((0, 3, -1), (3, 5, 1))


class Means(nn.Module):
    """The means of each channel, and of its square."""

    n_features = 6

    def forward(self, images):
        return torch.cat([images.mean((2, 3)), images.square().mean((2, 3))], 1)


@pytest.fixture
def views():
    return torch.rand(4, 2, 3, 8, 8, generator=torch.Generator().manual_seed(1))


class TestTrunkNetwork:
    def test_averages_the_features_of_the_views(self, views):
        network = TrunkNetwork(Means(), STRUCTURE)
        features = (Means()(views[:, 0]) + Means()(views[:, 1])) / 2
        torch.testing.assert_close(network.features(views), features)
        torch.testing.assert_close(network.raw(views), network.output(features))
        torch.testing.assert_close(network(views), network.head(network.raw(views)))

    def test_no_galaxy(self, views):
        assert TrunkNetwork(Means(), STRUCTURE)(views[:0]).shape == (0, 5)

    @pytest.mark.parametrize('head', ['softmax', 'divisive', 'interval'])
    def test_head_by_name(self, head, views):
        network = TrunkNetwork(Means(), STRUCTURE, head=head)
        assert network.raw(views).shape == (4, network.head.n_raw)
        assert network(views).shape == (4, 5)
        assert (network.output.bias == network.head.initial_bias).all()

    def test_head_options(self, views):
        options = {'offset': [10] * 5, 'scale': [0.1] * 5}
        network = TrunkNetwork(
            Means(), STRUCTURE, head='regression', head_options=options
        )
        torch.testing.assert_close(network(views), 10 + 0.1 * network.raw(views))

    def test_head_of_ones_own(self, views):
        head = SigmoidHead(STRUCTURE)
        network = TrunkNetwork(Means(), STRUCTURE, head=head)
        assert network.head is head
        assert network(views).shape == (4, 5)

    def test_dropout_acts_on_the_features(self, views):
        network = TrunkNetwork(Means(), STRUCTURE, dropout=0.5)
        fed = []
        network.output.register_forward_pre_hook(lambda _, x: fed.append(x[0]))
        torch.manual_seed(0)
        many = views.repeat(50, 1, 1, 1, 1)
        network(many)
        network.eval()(many)
        features = network.features(many)
        kept = fed[0] != 0
        assert 0.4 < kept.float().mean() < 0.6
        torch.testing.assert_close(fed[0][kept], 2 * features[kept])
        torch.testing.assert_close(fed[1], features)

    def test_inputs_come_before_the_trunk(self, views):
        class Grey(Means):
            n_features = 2

        network = TrunkNetwork(Grey(), STRUCTURE, standardise='image', colour='grey')
        features = network.features(views)
        expected = torch.tensor([0.0, 1.0]).expand(4, 2)
        torch.testing.assert_close(features, expected, atol=1e-5, rtol=0)

    def test_tasks_that_share_a_trunk(self, views):
        trunk = nn.Sequential(nn.Flatten(), nn.Linear(192, 6))
        trunk.n_features = 6
        first = TrunkNetwork(trunk, STRUCTURE)
        second = TrunkNetwork(trunk, ((0, 5, -1),), head='sigmoid')
        tasks = nn.ModuleDict({'first': first, 'second': second})
        names = dict(tasks.named_parameters())
        # The trunk once, an output layer each.
        assert len(names) == 2 + 2 * 2
        second(views).sum().backward()
        assert first.trunk[1].weight.grad is trunk[1].weight.grad
        assert first.output.weight.grad is None

    def test_views_of_another_size(self, views):
        trunk = PlainTrunk(nn.Identity(), n_channels=3, input_size=9, dense=(4,))
        with pytest.raises(ValueError, match=r'must be 9 pixels .* not \(8, 8\)'):
            TrunkNetwork(trunk, STRUCTURE)(views)

    def test_the_start_is_indifferent(self, views):
        path = TrunkNetwork(Means(), ((0, 5, -1),))(views)
        torch.testing.assert_close(path, torch.full((4, 5), 0.2), atol=0.02, rtol=0)


class TestPlainTrunk:
    def test_maxout_and_dropout_between_dense_layers(self):
        torch.manual_seed(0)
        convs = nn.Conv2d(3, 2, 5)
        options = {'n_channels': 3, 'input_size': 8, 'dense': (40, 60)}
        trunk = PlainTrunk(convs, activation='maxout', dropout=0.5, **options)
        assert trunk.n_features == 30
        fed = []
        trunk.dense[1].register_forward_pre_hook(lambda _, x: fed.append(x[0]))
        images = torch.rand(20, 3, 8, 8)
        found = trunk.eval()(images)
        trunk.train()(images)
        whole = trunk.dense[0](convs(images).flatten(1))
        whole = torch.maximum(whole[:, ::2], whole[:, 1::2])
        torch.testing.assert_close(fed[0], whole)
        assert 0.4 < (fed[1] == 0).float().mean() < 0.6
        whole = trunk.dense[1](whole)
        torch.testing.assert_close(found, torch.maximum(whole[:, ::2], whole[:, 1::2]))

    def test_shapes_are_found_without_a_change_of_the_convolutions(self):
        convs = nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 2, 4, 2))
        trunk = PlainTrunk(convs, n_channels=3, input_size=9, dense=(4,))
        assert trunk.dense[0].in_features == 2 * 3 * 3
        assert convs.training
        assert convs[0].num_batches_tracked == 0

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'input_size': 3}, 'input_size=3 is too small'),
            ({'activation': 'tanh'}, "'relu' or 'maxout', not 'tanh'"),
            ({'activation': 'maxout', 'dense': (5,)}, 'dense must be even'),
        ],
    )
    def test_options_that_make_no_trunk(self, options, message):
        options = {'n_channels': 3, 'input_size': 8, 'dense': (4,), **options}
        with pytest.raises(ValueError, match=message):
            PlainTrunk(nn.Conv2d(3, 2, 5), **options)

    @pytest.mark.parametrize('size', [7, 64, 169])
    @pytest.mark.parametrize('kernel_size', [3, 6, 11])
    @pytest.mark.parametrize('stride', [1, 2, 4])
    def test_same_padding(self, size, kernel_size, stride):
        before, after = same_padding(size, kernel_size, stride)
        assert after - before in (0, 1)
        padded = size + before + after
        assert (padded - kernel_size) // stride + 1 == -(-size // stride)


class TestInitialise:
    @pytest.mark.parametrize('layer', [nn.Linear(90, 600), nn.Conv2d(10, 300, 3)])
    def test_variances(self, layer):
        torch.manual_seed(0)
        fan_in = layer.weight[0].numel()
        fan_out = layer.weight.numel() // layer.weight.shape[1]
        for kind, variance in (('he', 2 / fan_in), ('glorot', 2 / (fan_in + fan_out))):
            initialise(layer, kind)
            assert layer.weight.var().item() == pytest.approx(variance, rel=0.05)
            assert (layer.bias == 0).all()

    def test_unknown(self):
        with pytest.raises(ValueError, match="'he' or 'glorot', not 'lecun'"):
            initialise(nn.Linear(2, 2), 'lecun')
        with pytest.raises(ValueError, match="'he' or 'paper', not 'lecun'"):
            check_initialisation('lecun')
