# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a network looks at: filters, feature maps, and where answers come from."""

from galmorph.explain.exciting import Excitement, find_exciting
from galmorph.explain.figures import (
    plot_exciting,
    plot_feature_maps,
    plot_filters,
    plot_saliency,
)
from galmorph.explain.layers import (
    FeatureMaps,
    feature_maps,
    first_filters,
    list_layers,
)
from galmorph.explain.saliency import (
    SaliencyMap,
    gradient_saliency,
    occlusion_saliency,
)

__all__ = [
    'Excitement',
    'FeatureMaps',
    'SaliencyMap',
    'feature_maps',
    'find_exciting',
    'first_filters',
    'gradient_saliency',
    'list_layers',
    'occlusion_saliency',
    'plot_exciting',
    'plot_feature_maps',
    'plot_filters',
    'plot_saliency',
]
