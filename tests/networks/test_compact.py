# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the compact network: its layers, names and numbers."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from galmorph.networks import create_network
from galmorph.networks.compact import CompactTrunk

STRUCTURE = ((0, 3, -1), (3, 5, 1))
SMALL = {'stem': 4, 'widths': (6, 8), 'depths': (2, 1)}


@pytest.fixture(scope='module')
def trunk():
    torch.manual_seed(1)
    trunk = CompactTrunk(**SMALL)
    for module in trunk.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean, -1, 1)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return trunk.eval()


def test_names_of_the_weights():
    with torch.device('meta'):
        network = create_network('compact', structure=STRUCTURE)
    norm = ('weight', 'bias', 'running_mean', 'running_var', 'num_batches_tracked')
    expected = {'trunk.stem.conv.weight', 'output.weight', 'output.bias'}
    expected |= {f'trunk.stem.norm.{name}' for name in norm}
    for block in range(6):
        layers = ['', *(['shortcut.'] if block % 2 == 0 else [])]
        for layer, numbers in zip(layers, (('1', '2'), ('',)), strict=False):
            for number in numbers:
                prefix = f'trunk.blocks.{block}.{layer}'
                expected.add(f'{prefix}conv{number}.weight')
                expected |= {f'{prefix}norm{number}.{name}' for name in norm}
    assert set(network.state_dict()) == expected


def test_count():
    with torch.device('meta'):
        network = create_network('compact', structure=STRUCTURE)
    # Convolutions and the two numbers a channel of their normalisation.
    count, channels = 25 * 3 * 32 + 2 * 32, 32
    for width in (64, 128, 256):
        count += 9 * channels * width + 3 * 9 * width**2 + channels * width
        count += 5 * 2 * width
        channels = width
    count += 256 * 5 + 5
    assert sum(p.numel() for p in network.parameters()) == count


def test_initial_values():
    torch.manual_seed(0)
    network = create_network('compact', structure=STRUCTURE)
    weight = network.trunk.blocks[5].conv1.weight.detach()
    assert abs(weight.std().item() / (2 / (9 * 256)) ** 0.5 - 1) < 0.01
    assert (network.trunk.blocks[5].norm2.weight == 1).all()
    assert network.dropout.p == 0.2


@pytest.mark.parametrize('size', [32, 35])
def test_follows_the_definition(trunk, size):
    images = torch.randn(3, 3, size, size)

    def norm(layer, maps):
        shape = (1, -1, 1, 1)
        maps = maps - layer.running_mean.view(shape)
        maps = maps / (layer.running_var.view(shape) + 1e-5).sqrt()
        return maps * layer.weight.view(shape) + layer.bias.view(shape)

    with torch.no_grad():
        maps = functional.conv2d(images, trunk.stem.conv.weight, None, 2, 2)
        maps = norm(trunk.stem.norm, maps).relu()
        for block, stride in zip(trunk.blocks, (2, 1, 2), strict=True):
            found = functional.conv2d(maps, block.conv1.weight, None, stride, 1)
            found = norm(block.norm1, found).relu()
            found = functional.conv2d(found, block.conv2.weight, None, 1, 1)
            found = norm(block.norm2, found)
            if stride == 2:
                # The mean of the pixels that there are.
                more = 2 * (0, maps.shape[-1] % 2)
                ones = functional.avg_pool2d(functional.pad(maps**0, more), 2)
                maps = functional.avg_pool2d(functional.pad(maps, more), 2) / ones
                maps = functional.conv2d(maps, block.shortcut.conv.weight)
                maps = norm(block.shortcut.norm, maps)
            else:
                assert block.shortcut is None
            maps = (found + maps).relu()
        expected = maps.mean((2, 3))
        torch.testing.assert_close(trunk(images), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('colour', ['rgb', 'hsv', 'grey'])
def test_views_of_any_colour(colour):
    network = create_network('compact', structure=STRUCTURE, colour=colour, **SMALL)
    channels = 1 if colour == 'grey' else 3
    assert network.trunk.stem.conv.in_channels == channels
    answers = network(torch.rand(4, 2, 3, 32, 32))
    assert answers.shape == (4, 5)
    torch.testing.assert_close(answers[:, :3].sum(1), torch.ones(4))


def test_gradients_reach_every_parameter():
    network = create_network(
        'compact', structure=STRUCTURE, standardise='image', **SMALL
    )
    network(torch.rand(4, 1, 3, 32, 32)).square().sum().backward()
    for name, parameter in network.named_parameters():
        assert torch.isfinite(parameter.grad).all(), name
        assert parameter.grad.abs().max() > 0, name


def test_stages_that_do_not_match():
    with pytest.raises(ValueError, match=r'one value a stage each, not \(8,\)'):
        create_network('compact', structure=STRUCTURE, widths=(8,))
