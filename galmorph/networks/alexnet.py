# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""AlexNet, a light one of it, and a baseline of three convolutions."""

from torch import nn

from galmorph.networks.inputs import colour_channels
from galmorph.networks.model import (
    TrunkNetwork,
    check_initialisation,
    initialise,
)
from galmorph.networks.plain import PlainTrunk, same_padding

__all__ = ['alexnet', 'alexnet_lite', 'baseline_cnn']


def alexnet(
    structure,
    *,
    input_size=64,
    stride=2,
    widths=(96, 256, 384, 384, 256),
    dense=(4096, 4096),
    n_groups=2,
    n_channels=3,
    dropout=0.5,
    initialisation='he',
    head='softmax',
    colour='rgb',
    **options,
):
    """
    Build AlexNet (Krizhevsky, Sutskever & Hinton 2012).

    Zhu et al. (2019) compare with it on images of 64 pixels and do not say
    how they fitted it to them. Here the first convolution takes every second
    pixel instead of every fourth, for at the published stride nothing is
    left after the third pooling; all else is as published.
    ``input_size=227, stride=4`` is the original, 60,965,224 parameters with
    1000 answers.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    input_size : int, optional
        Side of the views in pixels.
    stride : int, optional
        Stride of the first convolution.
    widths : sequence of int, optional
        Filters of the five convolutions.
    dense : sequence of int, optional
        Units of the dense layers.
    n_groups : int, optional
        Groups of the second, fourth and fifth convolution, 2 for the two
        GPUs of the paper.
    n_channels : int, optional
        Channels of the views.
    dropout : float, optional
        Share of the units of each dense layer that training drops.
    initialisation : str, optional
        'he', or 'paper' for a standard deviation of 0.01 and biases of 0, or
        1 where the paper has them.
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
    >>> from galmorph import create_network
    >>> with torch.device('meta'):
    ...     network = create_network('alexnet', structure=[(0, 5, -1)])
    >>> sum(p.numel() for p in network.parameters())
    23334277
    """
    check_initialisation(initialisation)
    if len(widths) != 5:
        msg = f'widths must be five numbers, not {widths!r}'
        raise ValueError(msg)
    channels = colour_channels(colour, n_channels)
    one, two, three, four, five = widths
    # torch divides alpha by the size, Krizhevsky et al. do not.
    contrast = {'size': 5, 'alpha': 5e-4, 'beta': 0.75, 'k': 2.0}
    convs = nn.Sequential(
        nn.Conv2d(channels, one, 11, stride=stride),
        nn.ReLU(),
        nn.LocalResponseNorm(**contrast),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(one, two, 5, padding=2, groups=n_groups),
        nn.ReLU(),
        nn.LocalResponseNorm(**contrast),
        nn.MaxPool2d(3, 2),
        nn.Conv2d(two, three, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(three, four, 3, padding=1, groups=n_groups),
        nn.ReLU(),
        nn.Conv2d(four, five, 3, padding=1, groups=n_groups),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
    )
    trunk = PlainTrunk(
        convs,
        n_channels=channels,
        input_size=input_size,
        dense=dense,
        dropout=dropout,
    )
    initialise(trunk)
    if initialisation == 'paper':
        layers = [layer for layer in convs if isinstance(layer, nn.Conv2d)]
        for index, layer in enumerate([*layers, *trunk.dense]):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.constant_(layer.bias, 0.0 if index in (0, 2) else 1.0)
    return TrunkNetwork(
        trunk, structure, dropout=dropout, head=head, colour=colour, **options
    )


def alexnet_lite(
    structure,
    *,
    input_size=169,
    n_units=512,
    n_channels=3,
    dropout=0.5,
    initialisation='he',
    head='softmax',
    colour='rgb',
    **options,
):
    """
    Build the light AlexNet of Roberts (2018, 2019).

    With colours and 37 answers it has 976,613 numbers, those of the batch
    normalisation included; the author's outputs are those of
    ``head='clipped'``. His classifier of one question sees
    ``colour='grey'``.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    input_size : int, optional
        Side of the views in pixels.
    n_units : int, optional
        Units of the two dense layers.
    n_channels : int, optional
        Channels of the views.
    dropout : float, optional
        Share of the units of each dense layer that training drops.
    initialisation : str, optional
        'he', or 'paper' for that of Glorot, which the author's Keras used.
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
    >>> from galmorph import create_network, load_schema
    >>> structure = load_schema('gz2').structure
    >>> network = create_network('alexnet_lite', structure=structure, head='clipped')
    >>> sum(p.numel() for p in network.parameters())
    976421
    """
    check_initialisation(initialisation)
    channels = colour_channels(colour, n_channels)
    before, after = same_padding(input_size, 11, 4)
    # The settings of the author's Keras.
    normalise = {'eps': 1e-3, 'momentum': 0.01}
    convs = nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(channels, 32, 11, stride=4),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.BatchNorm2d(32, **normalise),
        nn.Conv2d(32, 64, 5),
        nn.ReLU(),
        nn.MaxPool2d(3, 2),
        nn.BatchNorm2d(64, **normalise),
        nn.Conv2d(64, 128, 3),
        nn.ReLU(),
        nn.Conv2d(128, 128, 3),
        nn.ReLU(),
        nn.Conv2d(128, 128, 3),
        nn.ReLU(),
    )
    trunk = PlainTrunk(
        convs,
        n_channels=channels,
        input_size=input_size,
        dense=(n_units, n_units),
        dropout=dropout,
    )
    initialise(trunk, 'he' if initialisation == 'he' else 'glorot')
    return TrunkNetwork(
        trunk, structure, dropout=dropout, head=head, colour=colour, **options
    )


def baseline_cnn(
    structure,
    *,
    input_size=169,
    n_units=1000,
    n_channels=3,
    dropout=0.0,
    initialisation='he',
    head='softmax',
    colour='rgb',
    **options,
):
    """
    Build the baseline of Roberts (2018): three convolutions, one dense layer.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    input_size : int, optional
        Side of the views in pixels.
    n_units : int, optional
        Units of the dense layer.
    n_channels : int, optional
        Channels of the views.
    dropout : float, optional
        Share of these units that training drops.
    initialisation : str, optional
        'he', or 'paper' for that of Glorot, which the author's Keras used.
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
    >>> from galmorph import create_network
    >>> with torch.device('meta'):
    ...     network = create_network('baseline_cnn', structure=[(0, 3, -1)])
    >>> sum(p.numel() for p in network.parameters())
    46470627
    """
    check_initialisation(initialisation)
    channels = colour_channels(colour, n_channels)
    before, after = same_padding(input_size, 5, 2)
    convs = nn.Sequential(
        nn.ZeroPad2d((before, after, before, after)),
        nn.Conv2d(channels, 32, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(32, 64, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(64, 128, 5, stride=2),
        nn.ReLU(),
    )
    trunk = PlainTrunk(
        convs, n_channels=channels, input_size=input_size, dense=(n_units,)
    )
    initialise(trunk, 'he' if initialisation == 'he' else 'glorot')
    return TrunkNetwork(
        trunk, structure, dropout=dropout, head=head, colour=colour, **options
    )
