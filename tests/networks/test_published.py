# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of published networks against their descriptions and known counts."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from galmorph.networks import create_network
from galmorph.networks.inception import InceptionTrunk
from galmorph.networks.resnet import PreactTrunk

GZ2, FIVE, THREE, THOUSAND = (((0, n, -1),) for n in (37, 5, 3, 1000))


def create(name, structure=FIVE, **options):
    """Make a network of shapes only."""
    with torch.device('meta'):
        return create_network(name, structure=structure, **options)


def count(network, *, buffers=False):
    number = sum(p.numel() for p in network.parameters())
    if buffers:
        # Keras counts the running means of normalisation too.
        number += sum(b.numel() for b in network.buffers() if b.ndim)
    return number


def weighted(network):
    return [m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]


def shapes_of(network, size, kinds):
    """List channels and side of what layers give, in the order of calls."""
    shapes, n_channels = [], 3
    for module in network.modules():
        if isinstance(module, kinds):
            module.register_forward_hook(
                lambda _, __, maps: shapes.append(tuple(maps.shape[1:3]))
            )
    network.eval()(torch.empty(2, 1, n_channels, size, size, device='meta'))
    return shapes


@pytest.mark.parametrize(
    ('name', 'structure', 'options', 'expected'),
    [
        ('vgg16', GZ2, {}, 50_526_053),
        ('vgg16', GZ2, {'input_size': 69}, 40_040_293),
        ('vgg16', THOUSAND, {'input_size': 224}, 138_357_544),
        ('candels', FIVE, {'activation': 'relu'}, 5_533_413),
        # 512 → 4096 and 2048 → 4096 linear units.
        ('candels', FIVE, {}, 276_192 + 513 * 4096 + 2049 * 4096 + 10_245),
        ('alexnet_lite', GZ2, {}, 976_421),
        ('alexnet_lite', THREE, {}, 958_979),
        ('alexnet_lite', THREE, {'colour': 'grey'}, 951_235),
        ('baseline_cnn', THREE, {}, 46_470_627),
        ('resnet_zhu', FIVE, {}, 55_679_429),
        ('resnet_zhu', FIVE, {'k': 1}, 13_957_829),
        # Keras' ResNet50V2.
        ('resnet50_preact', THOUSAND, {}, 25_568_360),
        # The paper's network, and the one without groups.
        ('alexnet', THOUSAND, {'input_size': 227, 'stride': 4}, 60_965_224),
        (
            'alexnet',
            THOUSAND,
            {'input_size': 227, 'stride': 4, 'n_groups': 1},
            62_378_344,
        ),
        ('alexnet', FIVE, {}, 2_334_080 + 1025 * 4096 + 4097 * 4096 + 20_485),
        # Keras' InceptionV3 and the scales of normalisation that it omits.
        ('inception_v3', THOUSAND, {}, 23_817_352 + 17_216),
        ('inception_v3', FIVE, {}, 21_795_813),
    ],
)
def test_count(name, structure, options, expected):
    assert count(create(name, structure, **options)) == expected


@pytest.mark.parametrize(
    ('structure', 'options', 'expected'),
    [
        (GZ2, {}, 976_613),
        (THREE, {}, 959_171),
        (THREE, {'colour': 'grey'}, 951_427),
    ],
)
def test_count_of_alexnet_lite_with_running_means(structure, options, expected):
    network = create('alexnet_lite', structure, **options)
    assert count(network, buffers=True) == expected


def test_count_of_resnet50_with_running_means():
    network = create('resnet50_preact', THOUSAND)
    assert count(network, buffers=True) == 25_613_800


SMALL = {
    'alexnet': {'widths': (4, 4, 4, 4, 4), 'dense': (8, 8)},
    'alexnet_lite': {'n_units': 16},
    'baseline_cnn': {'n_units': 8, 'input_size': 45},
    'candels': {'n_units': 16},
    'inception_v3': {'width': 1 / 16},
    'resnet_zhu': {'k': 1 / 16},
    'resnet50_preact': {},
    'vgg16': {'widths': (4, 4, 4, 4, 4), 'dense': (8, 8), 'input_size': 69},
}
SIZES = {'alexnet_lite': 169, 'baseline_cnn': 45, 'candels': 45, 'vgg16': 69}


@pytest.mark.parametrize('name', sorted(SMALL.keys() - {'resnet50_preact'}))
class TestEveryNetwork:
    @pytest.mark.parametrize('colour', ['rgb', 'grey'])
    def test_gradients_reach_every_parameter(self, name, colour):
        torch.manual_seed(1)
        options = {**SMALL[name], 'colour': colour, 'head': 'softmax'}
        network = create_network(name, structure=FIVE, **options)
        size = SIZES.get(name, 64)
        answers = network(torch.rand(3, 2, 3, size, size))
        assert answers.shape == (3, 5)
        answers[:, :2].sum().backward()
        for key, parameter in network.named_parameters():
            assert torch.isfinite(parameter.grad).all(), key
            # A bias before normalisation does nothing, nor does a dead unit.
            if key.endswith('weight') and 'norm' not in key:
                assert parameter.grad.abs().max() > 0, key

    def test_answers_do_not_depend_on_the_batch(self, name):
        network = create_network(name, structure=FIVE, **SMALL[name]).eval()
        size = SIZES.get(name, 64)
        views = torch.rand(3, 1, 3, size, size)
        with torch.inference_mode():
            alone = network(views[1:2])
            torch.testing.assert_close(alone, network(views)[1:2])

    def test_features_keep_their_scale_at_the_start(self, name):
        torch.manual_seed(2)
        options = {**SMALL[name], 'standardise': 'image'}
        network = create_network(name, structure=FIVE, **options)
        size = SIZES.get(name, 64)
        with torch.no_grad():
            features = network.features(torch.rand(8, 1, 3, size, size))
        # Between images, which is what can be learnt from.
        assert 1e-3 < features.std(0).mean() < 100

    def test_unknown_options(self, name):
        with pytest.raises(TypeError, match='colour_blind'):
            create(name, colour_blind=True, **SMALL[name])


@pytest.mark.parametrize('name', ['alexnet', 'alexnet_lite', 'candels', 'vgg16'])
def test_initialisation_of_the_paper(name):
    torch.manual_seed(0)
    options = {**SMALL[name], 'initialisation': 'paper'}
    network = create_network(name, structure=FIVE, **options)
    convs = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    stds = {
        'alexnet': [0.01] * 5,
        # A normal distribution that is cut at two standard deviations.
        'candels': [0.0088, 0.0088, 0.0088, 0.088],
    }
    for index, conv in enumerate(convs):
        n_out, n_in = conv.weight.shape[:2]
        side = conv.weight[0, 0].numel()
        glorot = (2 / (side * (n_in + n_out))) ** 0.5
        expected = stds[name][index] if name in stds else glorot
        assert conv.weight.std().item() == pytest.approx(expected, rel=0.2)
    biases = {'alexnet': [0, 1, 0, 1, 1], 'candels': [0.1] * 4}
    found = [conv.bias.mean().item() for conv in convs]
    assert found == pytest.approx(biases.get(name, [0.0] * len(convs)))
    with pytest.raises(ValueError, match="'he' or 'paper', not 'hers'"):
        create_network(name, structure=FIVE, initialisation='hers')


class TestVGG:
    @pytest.mark.parametrize(('size', 'side'), [(106, 3), (69, 2)])
    def test_shapes(self, size, side):
        network = create('vgg16', GZ2, input_size=size)
        shapes = shapes_of(network, size, nn.MaxPool2d)
        assert shapes[-1] == (512, side)
        assert [channels for channels, _ in shapes] == [64, 128, 256, 512, 512]
        assert type(network.head).__name__ == 'SigmoidHead'

    def test_follows_the_definition(self):
        torch.manual_seed(0)
        network = create_network('vgg16', structure=FIVE, **SMALL['vgg16']).eval()
        views = torch.rand(2, 1, 3, 69, 69)
        layers = [m for m in network.trunk.convs if isinstance(m, nn.Conv2d)]
        with torch.no_grad():
            maps = views[:, 0]
            for index, conv in enumerate(layers, start=1):
                maps = functional.conv2d(maps, conv.weight, conv.bias, padding=1).relu()
                if index in (2, 4, 7, 10, 13):
                    maps = functional.max_pool2d(maps, 2)
            features = maps.flatten(1)
            for layer in network.trunk.dense:
                features = layer(features).relu()
            expected = network.output(features).sigmoid()
            torch.testing.assert_close(network(views), expected)

    def test_batch_norm(self):
        network = create('vgg16', GZ2, batch_norm=True)
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert [norm.num_features for norm in norms[::4]] == [64, 256, 512, 512]
        assert count(network) == 50_526_053 + 2 * 4224

    def test_widths_that_do_not_fit(self):
        with pytest.raises(ValueError, match=r'widths must be 5 numbers, not \(8,\)'):
            create('vgg16', widths=(8,))


class TestCandels:
    def test_shapes(self):
        shapes = shapes_of(create('candels'), 45, (nn.Conv2d, nn.MaxPool2d))
        assert shapes == [
            (32, 40), (32, 20), (64, 16), (64, 8), (128, 6), (128, 4), (128, 2),
        ]  # fmt: skip

    def test_too_small(self):
        with pytest.raises(ValueError, match='input_size=20 is too small'):
            create_network('candels', structure=FIVE, input_size=20)


class TestAlexNet:
    def test_shapes_of_the_paper(self):
        network = create('alexnet', input_size=227, stride=4)
        shapes = shapes_of(network, 227, (nn.Conv2d, nn.MaxPool2d))
        assert shapes == [
            (96, 55), (96, 27), (256, 27), (256, 13),
            (384, 13), (384, 13), (256, 13), (256, 6),
        ]  # fmt: skip

    def test_shapes_at_64(self):
        shapes = shapes_of(create('alexnet'), 64, nn.MaxPool2d)
        assert shapes == [(96, 13), (256, 6), (256, 2)]

    def test_contrast_of_the_paper(self):
        network = create_network('alexnet', structure=FIVE, **SMALL['alexnet'])
        layer = next(
            m for m in network.modules() if isinstance(m, nn.LocalResponseNorm)
        )
        maps = torch.rand(2, 9, 3, 3) * 50
        scale = torch.stack(
            [
                2 + 1e-4 * maps[:, max(i - 2, 0) : i + 3].square().sum(1)
                for i in range(9)
            ],
            1,
        )
        torch.testing.assert_close(layer(maps), maps / scale**0.75)

    def test_widths_that_do_not_fit(self):
        with pytest.raises(
            ValueError, match=r'widths must be five numbers, not \(8,\)'
        ):
            create('alexnet', widths=(8,))

    def test_shapes_of_the_light_one(self):
        shapes = shapes_of(create('alexnet_lite'), 169, (nn.Conv2d, nn.MaxPool2d))
        assert shapes == [
            (32, 43), (32, 21), (64, 17), (64, 8), (128, 6), (128, 4), (128, 2),
        ]  # fmt: skip

    def test_shapes_of_the_baseline(self):
        shapes = shapes_of(create('baseline_cnn'), 169, nn.Conv2d)
        assert shapes == [(32, 85), (64, 41), (128, 19)]


class TestResNet:
    def test_shapes_of_the_table(self):
        network = create('resnet_zhu')
        shapes = []
        for unit in network.trunk.units:
            unit.register_forward_hook(
                lambda _, __, maps: shapes.append(tuple(maps.shape[1:3]))
            )
        network(torch.empty(2, 1, 3, 64, 64, device='meta'))
        assert shapes == [
            (512, 32), (512, 16), (1024, 16), (1024, 8),
            (2048, 8), (2048, 4), (4096, 4), (4096, 4),
        ]  # fmt: skip

    def test_26_layers(self):
        network = create('resnet_zhu')
        weighted = [
            m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        assert len(weighted) == 26 + 4

    def test_shapes_of_resnet50(self):
        network = create('resnet50_preact')
        # Without the projections.
        weighted = [
            m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)
        ]
        assert len(weighted) == 50 + 4
        with torch.device('meta'):
            maps = network.trunk.stem(torch.empty(1, 3, 224, 224))
            sides = {maps.shape[-1]}
            for unit in network.trunk.units:
                maps = unit(maps)
                sides.add(maps.shape[-1])
        assert sides == {56, 28, 14, 7}

    def test_follows_the_definition(self):
        torch.manual_seed(3)
        trunk = PreactTrunk(k=1 / 32, n_units=2).eval()
        for module in trunk.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.uniform_(module.running_mean, -1, 1)
                nn.init.uniform_(module.running_var, 0.5, 2)

        def active(norm, maps):
            mean, var = norm.running_mean, norm.running_var
            maps = (maps - mean[:, None, None]) / (var[:, None, None] + 1e-5).sqrt()
            return maps.clamp(min=0)

        images = torch.randn(2, 3, 24, 24)
        with torch.no_grad():
            stem = trunk.stem[1]
            # Two rows before and three after.
            maps = functional.pad(images, (2, 3, 2, 3))
            maps = functional.conv2d(maps, stem.weight, stem.bias)
            maps = functional.max_pool2d(maps, 2)
            for index, unit in enumerate(trunk.units):
                stride = 2 if index in (1, 3, 5) else 1
                first = active(unit.norm1, maps)
                if index % 2 == 0:
                    direct = functional.conv2d(
                        first, unit.shortcut.weight, unit.shortcut.bias
                    )
                else:
                    direct = maps[:, :, ::stride, ::stride]
                found = functional.conv2d(first, unit.conv1.weight)
                found = active(unit.norm2, found)
                found = functional.conv2d(found, unit.conv2.weight, None, stride, 1)
                found = active(unit.norm3, found)
                found = functional.conv2d(found, unit.conv3.weight, unit.conv3.bias)
                maps = found + direct
            expected = active(trunk.norm, maps).mean((2, 3))
            torch.testing.assert_close(trunk(images), expected, rtol=1e-4, atol=1e-5)

    def test_settings_of_the_paper(self):
        network = create('resnet_zhu')
        norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
        assert {(norm.eps, norm.momentum) for norm in norms} == {(1e-5, 0.003)}
        assert {unit.dropout.p for unit in network.trunk.units} == {0.2}
        assert [type(layer).__name__ for layer in network.inputs] == ['Standardise']

    @pytest.mark.parametrize('n_units', [(2, 2), (1, 1, 1, 0), 0])
    def test_groups_that_do_not_fit(self, n_units):
        with pytest.raises(ValueError, match='one or four numbers, not'):
            create('resnet_zhu', n_units=n_units)


class TestInception:
    def test_shapes_of_the_paper(self):
        with torch.device('meta'):
            trunk = InceptionTrunk(stem_stride=2).eval()
            maps = torch.empty(1, 3, 299, 299)
            sides = []
            for layer in (*trunk.stem[0], *trunk.stem[1:2], *trunk.stem[2]):
                maps = layer(maps)
                sides.append(tuple(maps.shape[1:3]))
            assert sides == [
                (32, 149), (32, 147), (64, 147), (64, 73), (80, 73), (192, 71),
            ]  # fmt: skip
            maps = trunk.stem[3](maps)
            shapes = []
            for block in trunk.blocks:
                maps = block(maps)
                shapes.append(tuple(maps.shape[1:3]))
        assert shapes == [
            (256, 35), (288, 35), (288, 35),
            *5 * [(768, 17)],
            (1280, 8), (2048, 8), (2048, 8),
        ]  # fmt: skip

    @pytest.mark.parametrize(('stride', 'size'), [(1, 39), (2, 75)])
    def test_the_smallest_images(self, stride, size):
        with torch.device('meta'):
            trunk = InceptionTrunk(stem_stride=stride, width=1 / 16).eval()
            assert trunk(torch.empty(1, 3, size, size)).shape == (1, 128)
            with pytest.raises(RuntimeError):
                trunk(torch.empty(1, 3, size - 1, size - 1))

    def test_a_fork_is_two_convolutions_side_by_side(self):
        trunk = InceptionTrunk(width=1 / 16).eval()
        fork = trunk.blocks[-1].branches[1]
        maps = torch.rand(2, trunk.blocks[-1].branches[0][0].conv.in_channels, 3, 3)
        with torch.no_grad():
            before = fork.before(maps)
            for layer, found in zip(
                (fork.wide, fork.high), fork(maps).chunk(2, 1), strict=True
            ):
                padding = tuple(side // 2 for side in layer.conv.kernel_size)
                linear = functional.conv2d(before, layer.conv.weight, padding=padding)
                expected = (linear / (1 + 1e-3) ** 0.5).relu()
                torch.testing.assert_close(found, expected)

    def test_strides_that_do_not_fit(self):
        with pytest.raises(ValueError, match='stem_stride must be 1 or 2, not 3'):
            create('inception_v3', stem_stride=3)
