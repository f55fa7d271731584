# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where images come from: archives through astroquery, HiPS, folders."""

import importlib

from galmorph.sources.base import ImageSource, Target
from galmorph.sources.cache import ImageCache
from galmorph.sources.registry import create_source, list_sources, register_source

__all__ = [
    'CANDELS',
    'HAP',
    'SDSS',
    'AutoSource',
    'HiPS',
    'ImageCache',
    'ImageSource',
    'LocalImages',
    'SDSSPictures',
    'Target',
    'create_source',
    'list_sources',
    'register_source',
]

# astroquery is imported when a source that needs it is.
_HOMES = {
    'AutoSource': 'auto',
    'CANDELS': 'candels',
    'HAP': 'candels',
    'HiPS': 'hips',
    'LocalImages': 'local',
    'SDSS': 'sdss',
    'SDSSPictures': 'sdss_pictures',
}


def __getattr__(name):
    if name in _HOMES:
        module = importlib.import_module(f'{__name__}.{_HOMES[name]}')
        return getattr(module, name)
    msg = f'module {__name__!r} has no attribute {name!r}'
    raise AttributeError(msg)
