# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxy morphology from images, in Astropy's own types."""

import importlib

try:
    from galmorph._version import version as __version__
except ImportError:
    # a checkout that was never built
    __version__ = '0+unknown'

# Names are looked up when they are first asked for (PEP 562), so that
# `import galmorph` stays free of torch, astroquery, photutils and matplotlib.
_HOMES = {
    'GalaxyImage': 'galmorph.images',
    'MorphologyClassifier': 'galmorph.classifier',
    'MorphologyFlag': 'galmorph.flags',
    'MorphologyPredictions': 'galmorph.predictions',
    'Recipe': 'galmorph.preprocessing.recipe',
    'conf': 'galmorph.config',
    'create_network': 'galmorph.networks',
    'decode_flags': 'galmorph.flags',
    'list_networks': 'galmorph.networks',
    'list_weights': 'galmorph.weights',
    'load_card': 'galmorph.weights',
    'load_schema': 'galmorph.schemas',
    'read_image': 'galmorph.images',
    'register_weights': 'galmorph.weights',
}

__all__ = [
    'GalaxyImage',
    'MorphologyClassifier',
    'MorphologyFlag',
    'MorphologyPredictions',
    'Recipe',
    '__bibtex__',
    '__citation__',
    '__version__',
    'conf',
    'create_network',
    'decode_flags',
    'list_networks',
    'list_weights',
    'load_card',
    'load_schema',
    'read_image',
    'register_weights',
]

__bibtex__ = f"""@software{{galmorph,
  author  = {{{{galmorph developers}}}},
  title   = {{{{galmorph}}: galaxy morphology from images, for Astropy}},
  year    = {{2026}},
  version = {{{__version__}}}
}}"""
__citation__ = __bibtex__


def __getattr__(name):
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    msg = f'module {__name__!r} has no attribute {name!r}'
    raise AttributeError(msg)


def __dir__():
    return sorted(set(globals()) | set(__all__))
