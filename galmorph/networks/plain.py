# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Trunks of the classical kind: convolutions, then dense layers."""

import copy

import torch
from torch import nn

from galmorph.networks.layers import Maxout

__all__ = ['PlainTrunk', 'same_padding']


class PlainTrunk(nn.Module):
    """
    Convolutions whose last maps go flat into dense layers.

    Parameters
    ----------
    convs : `torch.nn.Module`
        From images to maps.
    n_channels, input_size : int
        Channels and side of the images, which fix the shape of the first
        dense layer.
    dense : sequence of int
        Linear units of the dense layers.
    activation : str, optional
        'relu', or 'maxout' over pairs of units, after each dense layer.
    dropout : float, optional
        Share of the features that training drops between dense layers. Those
        of the last belong to `~galmorph.networks.model.TrunkNetwork`.

    Raises
    ------
    ValueError
        If the images are too small for the convolutions.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.plain import PlainTrunk
    >>> convs = torch.nn.Conv2d(3, 4, 5, stride=2)
    >>> trunk = PlainTrunk(convs, n_channels=3, input_size=21, dense=(16, 8))
    >>> trunk(torch.rand(2, 3, 21, 21)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self, convs, *, n_channels, input_size, dense, activation='relu', dropout=0.0
    ):
        super().__init__()
        if activation not in ('relu', 'maxout'):
            msg = f"activation must be 'relu' or 'maxout', not {activation!r}"
            raise ValueError(msg)
        pool_size = 2 if activation == 'maxout' else 1
        if any(width % pool_size for width in dense):
            msg = f'dense must be even, for maxout takes pairs, not {dense!r}'
            raise ValueError(msg)
        self.input_size = input_size
        self.convs = convs
        features = _n_outputs(convs, n_channels, input_size)
        self.dense = nn.ModuleList()
        for width in dense:
            self.dense.append(nn.Linear(features, width))
            features = width // pool_size
        self.n_features = features
        self.activation = Maxout() if activation == 'maxout' else nn.ReLU()
        self.dropout = nn.Dropout(dropout)

    def forward(self, images):
        """
        Compute the features.

        Parameters
        ----------
        images : `torch.Tensor`, shape (n, n_channels, input_size, input_size)
            Images.

        Returns
        -------
        features : `torch.Tensor`, shape (n, n_features)
            The outputs of the last dense layer.
        """
        features = self.convs(images).flatten(1)
        for index, layer in enumerate(self.dense):
            if index > 0:
                features = self.dropout(features)
            features = self.activation(layer(features))
        return features


def same_padding(size, kernel_size, stride=1):
    """
    Give the rows to add so that a map has ``ceil(size / stride)`` of them.

    Parameters
    ----------
    size, kernel_size, stride : int
        Of one axis.

    Returns
    -------
    before, after : int
        As TensorFlow pads with 'SAME': where the sum is odd, one more after.

    Examples
    --------
    >>> from galmorph.networks.plain import same_padding
    >>> same_padding(169, 11, 4), same_padding(64, 6)
    ((5, 5), (2, 3))
    """
    rows = -(-size // stride)
    total = max((rows - 1) * stride + kernel_size - size, 0)
    return total // 2, total - total // 2


def _n_outputs(convs, n_channels, size):
    """Count the numbers that convolutions make of an image, without work."""
    shapes = copy.deepcopy(convs).to('meta').eval()
    try:
        maps = shapes(torch.empty(1, n_channels, size, size, device='meta'))
    except RuntimeError as error:
        msg = f'input_size={size!r} is too small for the convolutions: {error}'
        raise ValueError(msg) from error
    return maps[0].numel()
