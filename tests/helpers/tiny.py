# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Weights that answer in a millisecond, and galaxies to show them."""

import numpy as np
import torch

from galmorph.networks import create_network
from galmorph.networks.heads import create_head
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.weights import WeightsCard, save_weights

__all__ = ['TinyNetwork', 'draw_stamps', 'make_compact_card', 'make_tiny_card']

QUESTIONS = [
    'smooth_or_features',
    'edgeon',
    'bar',
    'spiral',
    'bulge_prominence',
    'odd',
    'rounded',
]


class TinyNetwork(torch.nn.Module):
    """A linear map of coarse pixels; without trained weights a random one."""

    def __init__(self, structure, n_view=2, n_channel=3, head='divisive', **options):
        super().__init__()
        generator = torch.Generator().manual_seed(2)
        self.head = create_head(head, structure, **options)
        self.linear = torch.nn.Linear(n_view * n_channel * 64, self.head.n_raw)
        with torch.no_grad():
            self.linear.weight.normal_(std=0.1, generator=generator)
            self.linear.bias.fill_(2.0)

    def raw(self, views):
        coarse = torch.nn.functional.avg_pool2d(views.flatten(1, 2), 8)
        return self.linear(coarse.flatten(1))

    def forward(self, views):
        return self.head(self.raw(views))


def make_tiny_card(folder, *, structure=None, schema='gz2', options=(), **changes):
    """Write the tiny weights and their card; return the path of the card."""
    loaded, options = load_schema(schema), dict(options)
    structure = loaded.structure if structure is None else structure
    name = f'tiny.{schema}'
    path = folder / f'{name}.safetensors'
    state = TinyNetwork(structure, **options).state_dict()
    sha256 = save_weights(state, path, precision='float32')
    content = {
        'name': name,
        'title': 'A small network for tests',
        'description': 'Random numbers.',
        'version': '1',
        'licence': 'BSD-3-Clause',
        'instrument': 'SDSS',
        'network': {'name': 'tiny', 'options': options},
        'schema': schema,
        'recipe': Recipe().to_dict(),
        'file': path.name,
        'size': path.stat().st_size,
        'sha256': sha256,
        'training': {},
        'metrics': {},
        'supported_questions': QUESTIONS if schema == 'gz2' else list(loaded.names),
        'limits': [],
        'paper': {'bibtex': '@article{Tiny2026,\n  year = 2026\n}'},
        **changes,
    }
    card = folder / f'{name}.yaml'
    WeightsCard.from_dict(content).to_file(card)
    return card


def make_compact_card(folder):
    """Write weights of a network of the package, which other processes know too."""
    options = {'stem': 4, 'widths': [4, 8], 'depths': [1, 1]}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        structure = load_schema('gz2').structure
        network = create_network('compact', structure=structure, **options)
    path = folder / 'small.safetensors'
    sha256 = save_weights(network.state_dict(), path, precision='float32')
    return make_tiny_card(
        folder,
        network={'name': 'compact', 'options': options},
        recipe=Recipe(views=(0.0,), output_size=32).to_dict(),
        file=path.name,
        size=path.stat().st_size,
        sha256=sha256,
    )


def draw_stamps(n, size=48, seed=0):
    """Draw RGB pictures of disks, shape (n, size, size, 3), uint8."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    stamps = np.empty((n, size, size, 3), np.uint8)
    for stamp in stamps:
        scale, angle, thin = rng.uniform([3, 0, 0.2], [8, np.pi, 1])
        along = x * np.cos(angle) + y * np.sin(angle)
        across = (y * np.cos(angle) - x * np.sin(angle)) / thin
        light = np.exp(-np.hypot(along, across) / scale)[..., None]
        colour = rng.uniform(0.5, 1, 3)
        noise = rng.uniform(0, 0.1, stamp.shape)
        stamp[:] = 255 * np.clip(light * colour + noise, 0, 1)
    return stamps
