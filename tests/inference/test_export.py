# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of networks as files for other programs."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from galmorph.exceptions import WeightsError
from galmorph.inference.engine import load_network
from galmorph.inference.export import export_onnx, export_program
from galmorph.networks import create_network, inception, registry, resnet
from galmorph.networks.resnet import PreactTrunk
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.weights import load_card, save_weights
from tests.helpers.tiny import make_tiny_card
from tests.networks import test_published as published

GZ2 = load_schema('gz2')
COMPACT = {'stem': 4, 'widths': [6, 8], 'depths': [1, 1]}
DIELEMAN = {'dense': [16], 'n_views': 1, 'view_size': 32, 'part_size': 31}
BUILTIN = sorted(registry._BUILTIN)
# Options of small networks, and the sides of their images.
SMALL = {**published.SMALL, 'compact': COMPACT, 'dieleman': DIELEMAN}
SIZES = {**published.SIZES, 'compact': 32, 'dieleman': 32}
# Of the compact network, which has the least to trace.
VARIANTS = {
    'dirichlet': ('gz2', {'head': 'dirichlet'}),
    'hsv': ('gz2', {'head': 'divisive', 'colour': 'hsv', 'standardise': 'image'}),
    'interval': ('efigi', {'head': 'interval'}),
}


@pytest.fixture(scope='module', params=[*BUILTIN, *VARIANTS])
def card(request, tmp_path_factory):
    """Return a card of random weights."""
    schema, options = VARIANTS.get(request.param, ('gz2', {}))
    name = request.param if request.param in BUILTIN else 'compact'
    options = {**SMALL[name], **options}
    size = SIZES.get(name, 64)
    # Hue and saturation are those of colours from 0 to 1.
    pixels = {'mean': (0.5, 0.4, 0.3), 'std': (0.2, 0.2, 0.2)}
    pixels = {} if request.param == 'hsv' else pixels
    recipe = Recipe(output_size=size, views=(0.0,), **pixels)
    folder = tmp_path_factory.mktemp(request.param)
    with pytest.MonkeyPatch.context() as patch:
        # What no option makes small takes its time to trace.
        patch.setattr(resnet, 'PreactTrunk', small_trunk)
        kinds = {make: (make, argument) for make, argument in inception._BLOCKS}
        patch.setattr(inception, '_BLOCKS', list(kinds.values()))
        torch.manual_seed(3)
        structure = load_schema(schema).structure
        network = create_network(name, structure=structure, **options)
        # Answers that differ by more than rounding, and by less than all there is.
        *_, last = (m for m in network.modules() if isinstance(m, torch.nn.Linear))
        with torch.no_grad():
            raw = network.eval().raw(torch.rand(5, 1, 3, size, size))
            last.bias -= raw.mean(0)
            for parameter in last.parameters():
                parameter /= raw.std(0).mean()
        path = folder / 'weights.safetensors'
        sha256 = save_weights(network.state_dict(), path, precision='float32')
        card = make_tiny_card(
            folder,
            structure=structure,
            schema=schema,
            options={'head': 'interval'} if schema == 'efigi' else {},
            name=name,
            network={'name': name, 'options': options},
            recipe=recipe.to_dict(),
            file=path.name,
            size=path.stat().st_size,
            sha256=sha256,
        )
        yield load_card(card)


def small_trunk(**options):
    """A trunk of ResNet with few filters and units."""
    return PreactTrunk(**{**options, 'k': 1 / 32, 'n_units': (1, 1, 1, 2)})


@pytest.fixture(scope='module')
def views(card):
    shape = 5, 1, 3, card.recipe['output_size'], card.recipe['output_size']
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope='module')
def expected(card, views):
    """Return what the network itself says: answers, spread if it has one."""
    network = load_network(card, load_schema(card.schema)).eval()
    with torch.inference_mode():
        raw = network.raw(views)
        answers = [network.head(raw)]
        if hasattr(network.head, 'spread'):
            answers.append(network.head.spread(raw))
    return [answer.numpy() for answer in answers]


def check_metadata(text, card):
    metadata = json.loads(text)
    recipe = Recipe.from_dict(metadata['recipe'])
    assert recipe == Recipe.from_dict(card.recipe)
    assert metadata['columns'] == list(load_schema(card.schema).columns)
    assert metadata['shape'] == [1, 3, recipe.output_size, recipe.output_size]
    assert metadata['sha256'] == card.sha256


def test_answers_depend_on_the_image(expected):
    """Otherwise there would be nothing to compare."""
    assert all(values.std(0).max() > 1e-4 for values in expected)


def test_onnx(card, views, expected, tmp_path):
    pytest.importorskip('onnxscript')
    onnxruntime = pytest.importorskip('onnxruntime')
    path = tmp_path / 'network.onnx'
    assert export_onnx(card, path) < 1e-4
    # One file, whatever the size of the weights.
    assert [file.name for file in tmp_path.iterdir()] == ['network.onnx']
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    assert [node.name for node in session.get_inputs()] == ['views']
    names = ['answers', 'spread'][: len(expected)]
    assert [node.name for node in session.get_outputs()] == names
    check_metadata(session.get_modelmeta().custom_metadata_map['galmorph'], card)
    for number in (1, 5):
        found = session.run(None, {'views': views[:number].numpy()})
        for answers, values in zip(found, expected, strict=True):
            np.testing.assert_allclose(answers, values[:number], atol=1e-4)


def test_program(card, views, expected, tmp_path):
    path = tmp_path / 'network.pt2'
    assert export_program(card, path) < 1e-4
    extra = {'galmorph.json': ''}
    program = torch.export.load(path, extra_files=extra)
    check_metadata(extra['galmorph.json'], card)
    for number in (1, 5):
        found = program.module()(views[:number])
        found = found if isinstance(found, tuple) else (found,)
        for answers, values in zip(found, expected, strict=True):
            np.testing.assert_allclose(
                answers.detach().numpy(), values[:number], atol=1e-4
            )


def test_a_network_of_ones_own_runs_without_galmorph(tmp_path, monkeypatch):
    class Mean(torch.nn.Linear):
        """Has neither raw outputs nor a head."""

        def __init__(self, structure):
            super().__init__(3, structure[-1][1])

        def forward(self, views):
            return super().forward(views.mean((1, 3, 4))).sigmoid()

    monkeypatch.setitem(registry._registered, 'mean', Mean)
    weights = tmp_path / 'mean.safetensors'
    network = Mean(GZ2.structure)
    sha256 = save_weights(network.state_dict(), weights, precision='float32')
    card = make_tiny_card(
        tmp_path,
        structure=GZ2.structure,
        network={'name': 'mean', 'options': {}},
        file=weights.name,
        size=weights.stat().st_size,
        sha256=sha256,
    )
    path = tmp_path / 'mean.pt2'
    assert export_program(load_card(card), path) < 1e-6
    code = (
        'import sys, torch\n'
        f'program = torch.export.load({str(path)!r}).module()\n'
        'assert program(torch.zeros(4, 2, 3, 69, 69)).shape == (4, 37)\n'
        'sys.exit("galmorph" in sys.modules)'
    )
    subprocess.run([sys.executable, '-W', 'ignore', '-c', code], check=True)


def test_unknown_weights(tmp_path):
    with pytest.raises(WeightsError, match='unknown weights'):
        export_program('hubble', tmp_path / 'hubble.pt2')
    assert not list(tmp_path.iterdir())


def test_what_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'onnxruntime', None)
    with pytest.raises(ImportError, match='ONNX needs onnxruntime; install'):
        export_onnx('dieleman.gz2', tmp_path / 'network.onnx')
