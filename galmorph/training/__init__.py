# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training, evaluating and publishing of weights; needs ``astro-galmorph[train]``."""

import importlib

# As in galmorph itself: lightning is loaded by what needs it.
_HOMES = {
    'Augmentation': 'galmorph.training.augmentation',
    'GalaxyDataset': 'galmorph.training.datasets',
    'Labels': 'galmorph.training.labels',
    'PixelCache': 'galmorph.training.cache',
    'build_cache': 'galmorph.training.cache',
    'create_loss': 'galmorph.training.losses',
    'list_losses': 'galmorph.training.losses',
    'read_labels': 'galmorph.training.labels',
}

__all__ = [
    'Augmentation',
    'GalaxyDataset',
    'Labels',
    'PixelCache',
    'build_cache',
    'create_loss',
    'list_losses',
    'read_labels',
]


def __getattr__(name):
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    msg = f'module {__name__!r} has no attribute {name!r}'
    raise AttributeError(msg)


def __dir__():
    return sorted(set(globals()) | set(__all__))
