# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The layers of a network: their names, first filters, and feature maps."""

import dataclasses

import numpy as np
import torch
from astropy.table import Table

from galmorph.explain._views import answers_of, read, views_of
from galmorph.explain._watch import Watch, check_layers, run_empty

__all__ = ['FeatureMaps', 'feature_maps', 'first_filters', 'list_layers']


@dataclasses.dataclass(frozen=True)
class FeatureMaps:
    """
    What layers of a network make of a galaxy.

    Attributes
    ----------
    maps : dict of str to `~numpy.ndarray`
        For each layer an array of the shape (n_part, n_map, ny, nx), or
        (n_part, n_unit) of a dense layer. Parts are the pictures that go
        through the layer for one galaxy: views, or pieces of views.
    pictures : `~numpy.ndarray`, shape (n_part, n_channel, ny, nx)
        What the first convolution saw.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.explain import FeatureMaps
    >>> found = FeatureMaps({'conv': np.zeros((2, 8, 5, 5))}, np.zeros((2, 3, 9, 9)))
    >>> found.maps['conv'].shape
    (2, 8, 5, 5)
    """

    maps: dict
    pictures: np.ndarray


def list_layers(classifier):
    """
    List the layers that can be looked into.

    Parameters
    ----------
    classifier : `~galmorph.MorphologyClassifier`
        The classifier.

    Returns
    -------
    layers : `~astropy.table.Table`
        A row a layer, in the order in which they run: ``layer``, ``kind``,
        ``n_part``, how many pictures of each galaxy go through it, ``n_map``,
        and ``side`` of a map in pixels, 1 for dense layers.

    Examples
    --------
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.explain import list_layers
    >>> print(list_layers(MorphologyClassifier('dieleman.gz2', 'cpu'))[:2])
     layer     kind    n_part n_map side
    ------- ---------- ------ ----- ----
    convs.0 ConvUntied     16    32   40
    convs.1 ConvUntied     16    64   16
    """
    watch = run_empty(classifier.engine)
    shapes = watch.shapes.values()
    return Table(
        {
            'layer': list(watch.kinds),
            'kind': list(watch.kinds.values()),
            'n_part': [shape[0] for shape in shapes],
            'n_map': [shape[1] for shape in shapes],
            'side': [shape[-1] if len(shape) == 4 else 1 for shape in shapes],
        },
        dtype=[str, str, int, int, int],
    )


def first_filters(classifier):
    """
    Give the filters of the first convolution.

    Parameters
    ----------
    classifier : `~galmorph.MorphologyClassifier`
        The classifier.

    Returns
    -------
    filters : `~numpy.ndarray`, shape (n_filter, n_channel, side, side)
        The weights, as they are, float32.

    Raises
    ------
    ValueError
        If the network has no convolution.

    Examples
    --------
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.explain import first_filters
    >>> first_filters(MorphologyClassifier('dieleman.gz2', 'cpu')).shape
    (32, 3, 6, 6)
    """
    weight = run_empty(classifier.engine).first_weight
    if weight is None:
        msg = f'the network of {classifier.card.name!r} has no convolution'
        raise ValueError(msg)
    return weight.float().cpu().numpy()


def feature_maps(classifier, image, layers=None, *, size=None):
    """
    Compute the feature maps of a galaxy.

    Parameters
    ----------
    classifier : `~galmorph.MorphologyClassifier`
        The classifier.
    image : image
        As `~galmorph.images.read_image` takes it.
    layers : str or list of str, optional
        Names of `list_layers`. By default all convolutions.
    size : `~astropy.units.Quantity`, optional
        The size of the galaxy, as in `~galmorph.MorphologyClassifier.predict`.

    Returns
    -------
    found : `FeatureMaps`
        The outputs of the layers as they are: those of a convolution before
        what follows it, such as a rectifier.

    Raises
    ------
    ValueError
        If the network has no such layer.
    `~galmorph.exceptions.ImageError`
        If the image cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.explain import feature_maps
    >>> stamp = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
    >>> classifier = MorphologyClassifier('dieleman.gz2', 'cpu')
    >>> found = feature_maps(classifier, stamp, 'convs.0')
    >>> found.maps['convs.0'].shape, found.pictures.shape
    ((16, 32, 40, 40), (16, 3, 45, 45))
    """
    engine = classifier.engine
    watch = run_empty(engine)
    if layers is None:
        modules = dict(engine.network.named_modules())
        layers = [
            layer
            for layer in watch.kinds
            if getattr(getattr(modules.get(layer), 'weight', None), 'ndim', 0) == 4
        ]
    layers = [layers] if isinstance(layers, str) else list(layers)
    check_layers(layers, watch.kinds)
    views = views_of(engine, read(image, size))
    with torch.no_grad(), Watch(engine.network, layers) as watch:
        answers_of(engine, views)
    pictures = views[0] if watch.first_input is None else watch.first_input
    return FeatureMaps(
        {layer: watch.outputs[layer].float().cpu().numpy() for layer in layers},
        pictures.float().cpu().numpy(),
    )
