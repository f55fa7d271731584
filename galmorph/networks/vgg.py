# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""VGG-16, as Castillo et al. (2018) tried it on Galaxy Zoo 2."""

from torch import nn

from galmorph.networks.inputs import colour_channels
from galmorph.networks.model import (
    TrunkNetwork,
    check_initialisation,
    initialise,
)
from galmorph.networks.plain import PlainTrunk

__all__ = ['vgg16']


def vgg16(
    structure,
    *,
    input_size=106,
    widths=(64, 128, 256, 512, 512),
    dense=(4096, 4096),
    batch_norm=False,
    n_channels=3,
    dropout=0.5,
    initialisation='he',
    head='sigmoid',
    colour='rgb',
    **options,
):
    """
    Build a VGG-16.

    Thirteen 3×3 convolutions in five groups, each group followed by
    max-pooling, then dense layers with dropout (Simonyan & Zisserman 2015,
    arXiv:1409.1556). Castillo, Shukla & Wright (2018) cut the middle 212
    pixels of the 424 of Galaxy Zoo 2 down to 106, or 207 down to 69, and
    trained the 37 sigmoid outputs on the mean squared error. Their code, as
    it was run, takes an axis of the image for its colours; here the axes are
    right.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    input_size : int, optional
        Side of the views in pixels.
    widths : sequence of int, optional
        Filters of the groups, which have 2, 2, 3, 3 and 3 convolutions.
    dense : sequence of int, optional
        Units of the dense layers.
    batch_norm : bool, optional
        Normalise after each convolution, which the paper does not.
    n_channels : int, optional
        Channels of the views.
    dropout : float, optional
        Share of the units of each dense layer that training drops.
    initialisation : str, optional
        'he', or 'paper' for that of Glorot, which the authors' Keras used.
    head, colour, **options : optional
        As in `~galmorph.networks.model.TrunkNetwork`.

    Returns
    -------
    network : `~galmorph.networks.model.TrunkNetwork`
        The network.

    Raises
    ------
    ValueError
        If an option has no meaning.

    Examples
    --------
    >>> import torch
    >>> from galmorph import create_network, load_schema
    >>> structure = load_schema('gz2').structure
    >>> with torch.device('meta'):
    ...     network = create_network('vgg16', structure=structure)
    >>> sum(p.numel() for p in network.parameters())
    50526053
    """
    check_initialisation(initialisation)
    if len(widths) != len(_DEPTHS):
        msg = f'widths must be {len(_DEPTHS)} numbers, not {widths!r}'
        raise ValueError(msg)
    channels = colour_channels(colour, n_channels)
    layers, n_inputs = [], channels
    for width, depth in zip(widths, _DEPTHS, strict=True):
        for _ in range(depth):
            layers.append(nn.Conv2d(n_inputs, width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU())
            n_inputs = width
        layers.append(nn.MaxPool2d(2))
    trunk = PlainTrunk(
        nn.Sequential(*layers),
        n_channels=channels,
        input_size=input_size,
        dense=dense,
        dropout=dropout,
    )
    initialise(trunk, 'he' if initialisation == 'he' else 'glorot')
    return TrunkNetwork(
        trunk, structure, dropout=dropout, head=head, colour=colour, **options
    )


_DEPTHS = (2, 2, 3, 3, 3)
