# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Layers that `torch` does not have."""

import torch
from torch import nn

__all__ = ['ConvUntied', 'Maxout', 'constrain_norms']


class ConvUntied(nn.Module):
    """
    A convolution without padding whose bias may differ at every position.

    Parameters
    ----------
    in_channels, out_channels : int
        Numbers of feature maps.
    kernel_size : int
        Side of the square filters.
    input_size : int
        Side of the square input, which fixes the shape of the bias.
    untied : bool, optional
        One bias an output position and channel; else one a channel.

    Examples
    --------
    >>> from galmorph.networks.layers import ConvUntied
    >>> ConvUntied(3, 32, 6, input_size=45).bias.shape
    torch.Size([32, 40, 40])
    """

    def __init__(
        self, in_channels, out_channels, kernel_size, *, input_size, untied=True
    ):
        super().__init__()
        self.output_size = input_size - kernel_size + 1
        side = self.output_size if untied else 1
        shape = (out_channels, in_channels, kernel_size, kernel_size)
        self.weight = nn.Parameter(torch.empty(shape))
        # Channels last in memory, as the feature maps are: the addition is then
        # one pass over neighbouring numbers.
        bias = torch.zeros(side, side, out_channels).permute(2, 0, 1)
        self.bias = nn.Parameter(bias)

    def forward(self, images):
        """
        Convolve.

        Parameters
        ----------
        images : `torch.Tensor`, shape (n, in_channels, size, size)
            Feature maps.

        Returns
        -------
        maps : `torch.Tensor`, shape (n, out_channels, output, output)
            Feature maps.
        """
        return nn.functional.conv2d(images, self.weight).add_(self.bias)


class Maxout(nn.Module):
    """
    The largest of each group of adjacent features (Goodfellow et al. 2013).

    Parameters
    ----------
    pool_size : int, optional
        Features in a group.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.layers import Maxout
    >>> Maxout()(torch.tensor([[1.0, 4.0, 3.0, 2.0]])).tolist()
    [[4.0, 3.0]]
    """

    def __init__(self, pool_size=2):
        super().__init__()
        self.pool_size = pool_size

    def forward(self, features):
        """
        Pool.

        Parameters
        ----------
        features : `torch.Tensor`, shape (n, n_feature)
            Features; their number is a multiple of ``pool_size``.

        Returns
        -------
        pooled : `torch.Tensor`, shape (n, n_feature / pool_size)
            The largest of each group.
        """
        return features.unflatten(1, (-1, self.pool_size)).amax(2)


@torch.no_grad()
def constrain_norms(layers, limits):
    """
    Scale down the units whose incoming weights have grown too large.

    The norm constraint of one member of Dieleman's ensemble, applied after
    every tenth update to its dense layers, limits 0.4 and 0.23. The norm is
    the root mean square of the weights of a unit, not their Euclidean length.

    Parameters
    ----------
    layers : sequence of `torch.nn.Module`
        Dense layers or convolutions, whose ``weight`` is changed in place.
    limits : sequence of float
        The largest norm for each of them.

    Raises
    ------
    ValueError
        If there is not one positive limit a layer.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.layers import constrain_norms
    >>> layer = torch.nn.Linear(2, 2)
    >>> layer.weight.data = torch.tensor([[3.0, 3.0], [0.1, -0.1]])
    >>> constrain_norms([layer], [0.5])
    >>> torch.round(layer.weight.data, decimals=3).tolist()
    [[0.5, 0.5], [0.10000000149011612, -0.10000000149011612]]
    """
    if len(layers) != len(limits) or not all(limit > 0 for limit in limits):
        msg = (
            f'limits must be one positive number for each of the {len(layers)} '
            f'layers, not {limits!r}'
        )
        raise ValueError(msg)
    for layer, limit in zip(layers, limits, strict=True):
        rows = layer.weight.flatten(1)
        norm = rows.square().mean(1).sqrt()
        factor = limit / norm.clamp(min=limit)
        layer.weight.mul_(factor.view(-1, *[1] * (layer.weight.ndim - 1)))
