# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tiny weights with a card, and a registry and a cache of their own."""

import pytest
import torch
from astropy.utils.data import conf

from galmorph.weights import WeightsCard, registry, save_weights


@pytest.fixture(autouse=True)
def alone(tmp_path, monkeypatch):
    """Keep the registry, the cache and the network of this machine out."""
    # astropy's own set_temp_cache leaves the caches of other packages alone;
    # a folder that exists already is what all its versions understand
    (tmp_path / 'cache/galmorph').mkdir(parents=True)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setattr(registry, '_registered', {})
    with conf.set_temp('allow_internet', False):
        yield


@pytest.fixture
def state_dict():
    generator = torch.Generator().manual_seed(3)
    return {
        'conv.weight': torch.randn(4, 3, 5, 5, generator=generator),
        'conv.bias': torch.randn(4, 6, 6, generator=generator),
        'dense.weight': torch.randn(6, 40, generator=generator),
        'dense.bias': torch.randn(6, generator=generator),
        'count': torch.tensor(7),
    }


@pytest.fixture
def folder(tmp_path):
    """Return a folder for a card and its weights file."""
    (tmp_path / 'mine').mkdir()
    return tmp_path / 'mine'


@pytest.fixture
def content(state_dict, folder):
    """Return a card as a dict; its weights file lies in the folder."""
    path = folder / 'tiny.test.safetensors'
    sha256 = save_weights(state_dict, path)
    return {
        'name': 'tiny.test',
        'title': 'A small network for tests',
        'description': 'Random numbers.\nThey know no galaxies.\n',
        'version': '1.0',
        'licence': 'CC-BY-4.0',
        'instrument': 'SDSS',
        'network': {'name': 'dieleman', 'options': {'dense': [8, 8]}},
        'schema': 'gz2',
        'recipe': {'bands': ['g', 'r', 'i'], 'size': 69, 'stretch': {'Q': 8.0}},
        'file': path.name,
        'size': path.stat().st_size,
        'sha256': sha256,
        'training': {'data': 'none', 'n_train': 0, 'date': '2026-11-01'},
        'metrics': {
            'split': 'test',
            'n_galaxy': 2200,
            'rmse17': {'value': 0.099, 'low': 0.095, 'high': 0.103, 'n': 2200},
            'questions': {
                'smooth_or_features': {
                    'rmse': 0.12,
                    'low': 0.11,
                    'high': 0.13,
                    'n': 1900,
                },
            },
        },
        'supported_questions': ['smooth_or_features', 'edgeon'],
        'limits': ['no galaxy smaller than the seeing'],
        'paper': {
            'authors': 'Dieleman, Willett & Dambre',
            'title': 'Rotation-invariant networks',
            'journal': 'MNRAS 450, 1441',
            'year': 2015,
            'doi': '10.1093/mnras/stv632',
            'bibtex': '@article{Dieleman2015,\n  year = {2015}\n}\n',
        },
    }


@pytest.fixture
def card_path(content, folder):
    path = folder / 'tiny.test.yaml'
    WeightsCard.from_dict(content).to_file(path)
    return path
