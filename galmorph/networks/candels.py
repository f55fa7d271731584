# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The CANDELS network of Ignat et al. (2016)."""

from torch import nn

from galmorph.networks.inputs import colour_channels
from galmorph.networks.model import (
    TrunkNetwork,
    check_initialisation,
    initialise,
)
from galmorph.networks.plain import PlainTrunk

__all__ = ['candels']

# Standard deviations and biases of the authors' code, layer by layer.
_STD = (0.01, 0.01, 0.01, 0.1, 0.001, 0.001)
_BIAS = (0.1, 0.1, 0.1, 0.1, 0.01, 0.01)


def candels(
    structure,
    *,
    input_size=45,
    n_units=2048,
    activation='maxout',
    n_channels=3,
    dropout=0.5,
    initialisation='he',
    head='softmax',
    colour='rgb',
    **options,
):
    """
    Build the network of Ignat et al. (2016) for CANDELS.

    The convolutions of Dieleman et al. (2015) on one image, without turned
    parts, after Huertas-Company et al. (2015, ApJS 221, 8), then two dense
    layers. The authors had ReLU there, 5,533,413 parameters, and missed
    maxout, which is the default here.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    input_size : int, optional
        Side of the views in pixels.
    n_units : int, optional
        Features of each dense layer, maxout over pairs has twice as many
        linear units.
    activation : str, optional
        'maxout' or 'relu', of the dense layers.
    n_channels : int, optional
        Channels of the views.
    dropout : float, optional
        Share of the units of each dense layer that training drops.
    initialisation : str, optional
        'he', or 'paper' for the truncated normal weights of the authors.
    head : str, optional
        'softmax' for votes that were normalised to sum to 1; 'sigmoid', as
        the authors', for boxes that do not exclude each other.
    colour, **options : optional
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
    >>> from galmorph import create_network
    >>> network = create_network('candels', structure=[(0, 5, -1)], activation='relu')
    >>> sum(p.numel() for p in network.parameters())
    5533413
    """
    check_initialisation(initialisation)
    channels = colour_channels(colour, n_channels)
    convs = nn.Sequential(
        nn.Conv2d(channels, 32, 6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(64, 128, 3),
        nn.ReLU(),
        nn.Conv2d(128, 128, 3),
        nn.ReLU(),
        nn.MaxPool2d(2),
    )
    trunk = PlainTrunk(
        convs,
        n_channels=channels,
        input_size=input_size,
        dense=2 * (n_units * (2 if activation == 'maxout' else 1),),
        activation=activation,
        dropout=dropout,
    )
    network = TrunkNetwork(
        trunk, structure, dropout=dropout, head=head, colour=colour, **options
    )
    initialise(trunk)
    if initialisation == 'paper':
        layers = [layer for layer in convs if isinstance(layer, nn.Conv2d)]
        layers += trunk.dense
        for layer, std, bias in zip(layers, _STD, _BIAS, strict=True):
            nn.init.trunc_normal_(layer.weight, std=std, a=-2 * std, b=2 * std)
            nn.init.constant_(layer.bias, bias)
        nn.init.constant_(network.output.bias, 0.1)
    return network
