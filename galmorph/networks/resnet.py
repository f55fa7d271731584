# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Residual networks with activation before weights, as Zhu et al. have them."""

import numbers

from torch import nn
from torch.nn import functional

from galmorph.networks.inputs import colour_channels
from galmorph.networks.model import TrunkNetwork, initialise
from galmorph.networks.plain import same_padding

__all__ = ['PreactTrunk', 'resnet50_preact', 'resnet_zhu']


def resnet_zhu(
    structure,
    *,
    k=2,
    n_units=2,
    n_channels=3,
    unit_dropout=0.2,
    momentum=0.003,
    standardise='image',
    colour='rgb',
    **options,
):
    """
    Build the 26-layer residual network of Zhu et al. (2019, Ap&SS 364, 55).

    For five classes it has 55,679,429 parameters, as the paper's table and
    the authors' code say; the 26.3 million of its text fit neither. The
    probability 0.8 that it gives for dropout is that of keeping. Views have
    64 pixels, and are whitened one by one.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    k : float, optional
        Widening of all units.
    n_units : int or sequence of int, optional
        Units of each of the four groups.
    n_channels : int, optional
        Channels of the views.
    unit_dropout : float, optional
        Share that training drops inside the units, before their last
        convolution.
    momentum : float, optional
        Of the running means of batch normalisation. The authors' value, for
        72,000 steps; a short training wants 0.1, the usual one.
    standardise, colour, **options : optional
        As in `~galmorph.networks.model.TrunkNetwork`.

    Returns
    -------
    network : `~galmorph.networks.model.TrunkNetwork`
        The network.

    Examples
    --------
    >>> import torch
    >>> from galmorph import create_network
    >>> with torch.device('meta'):
    ...     network = create_network('resnet_zhu', structure=[(0, 5, -1)])
    >>> sum(p.numel() for p in network.parameters())
    55679429
    """
    trunk = PreactTrunk(
        k=k,
        n_units=n_units,
        n_channels=colour_channels(colour, n_channels),
        dropout=unit_dropout,
        momentum=momentum,
    )
    return TrunkNetwork(
        trunk, structure, standardise=standardise, colour=colour, **options
    )


def resnet50_preact(
    structure,
    *,
    n_channels=3,
    unit_dropout=0.0,
    momentum=0.003,
    standardise='image',
    colour='rgb',
    **options,
):
    """
    Build ResNet-50 with activation before weights (He et al. 2016).

    The network (arXiv:1603.05027) with which Zhu et al. (2019) compare
    theirs, whose code has the same units: k = 1, groups of 3, 4, 6 and 3
    units, the stride in the last unit of a group, and a 7×7 stem of stride 2
    with max-pooling over 3×3. With 1000 answers it has the 25,568,360
    parameters of ``ResNet50V2`` in Keras.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    n_channels, unit_dropout, momentum : optional
        As in `resnet_zhu`.
    standardise, colour, **options : optional
        As in `~galmorph.networks.model.TrunkNetwork`.

    Returns
    -------
    network : `~galmorph.networks.model.TrunkNetwork`
        The network.

    Examples
    --------
    >>> import torch
    >>> from galmorph import create_network
    >>> with torch.device('meta'):
    ...     network = create_network('resnet50_preact', structure=[(0, 5, -1)])
    >>> sum(p.numel() for p in network.parameters())
    23529605
    """
    trunk = PreactTrunk(
        k=1,
        n_units=(3, 4, 6, 3),
        stem=(7, 2, 3),
        n_channels=colour_channels(colour, n_channels),
        dropout=unit_dropout,
        momentum=momentum,
    )
    return TrunkNetwork(
        trunk, structure, standardise=standardise, colour=colour, **options
    )


class PreactTrunk(nn.Module):
    """
    Four groups of bottleneck units, for images of any size.

    Parameters
    ----------
    k : float, optional
        Widening; with 1 the groups give 256, 512, 1024 and 2048 maps.
    n_units : int or sequence of int, optional
        Units of each group. The last one of each but the last group halves
        the image.
    stem : tuple of int, optional
        Kernel and stride of the first convolution, kernel of the max-pooling
        by 2 that follows.
    n_channels : int, optional
        Channels of the images.
    dropout : float, optional
        Share that training drops before the last convolution of a unit.
    momentum : float, optional
        Of the running means of batch normalisation.

    Raises
    ------
    ValueError
        If there are not four groups.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.resnet import PreactTrunk
    >>> trunk = PreactTrunk(k=1 / 32, n_units=1)
    >>> trunk(torch.rand(2, 3, 32, 32)).shape
    torch.Size([2, 64])
    """

    def __init__(
        self,
        *,
        k=2,
        n_units=2,
        stem=(6, 1, 2),
        n_channels=3,
        dropout=0.0,
        momentum=0.003,
    ):
        super().__init__()
        if isinstance(n_units, numbers.Integral):
            n_units = 4 * (n_units,)
        if len(n_units) != 4 or not all(number > 0 for number in n_units):
            msg = f'n_units must be positive, one or four numbers, not {n_units!r}'
            raise ValueError(msg)
        kernel_size, stride, pool_size = stem
        before, after = same_padding(kernel_size, kernel_size)
        self.stem = nn.Sequential(
            nn.ZeroPad2d((before, after, before, after)),
            nn.Conv2d(n_channels, 64, kernel_size, stride),
            nn.MaxPool2d(pool_size, 2, padding=(pool_size - 1) // 2),
        )
        self.units = nn.ModuleList()
        channels = 64
        for group, number in enumerate(n_units):
            middle, width = round(64 * k * 2**group), round(256 * k * 2**group)
            for index in range(number):
                halves = index == number - 1 and group < 3
                unit = _Unit(channels, middle, width, 2 if halves else 1, dropout)
                self.units.append(unit)
                channels = width
        self.norm = nn.BatchNorm2d(channels)
        self.n_features = channels
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = momentum
        initialise(self)

    def forward(self, images):
        """
        Compute the features.

        Parameters
        ----------
        images : `torch.Tensor`, shape (n, n_channels, ny, nx)
            Images.

        Returns
        -------
        features : `torch.Tensor`, shape (n, n_features)
            The mean of the last maps over the image.
        """
        maps = self.stem(images)
        for unit in self.units:
            maps = unit(maps)
        return functional.relu(self.norm(maps)).mean((2, 3))


class _Unit(nn.Module):
    """A bottleneck; biases only where no normalisation follows."""

    def __init__(self, n_inputs, middle, n_outputs, stride, dropout):
        super().__init__()
        self.stride = stride
        self.norm1 = nn.BatchNorm2d(n_inputs)
        self.conv1 = nn.Conv2d(n_inputs, middle, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(middle)
        self.conv2 = nn.Conv2d(middle, middle, 3, stride, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(middle)
        self.dropout = nn.Dropout(dropout)
        self.conv3 = nn.Conv2d(middle, n_outputs, 1)
        self.shortcut = None
        if n_inputs != n_outputs:
            self.shortcut = nn.Conv2d(n_inputs, n_outputs, 1, stride)

    def forward(self, maps):
        active = functional.relu(self.norm1(maps))
        if self.shortcut is None:
            direct = maps[..., :: self.stride, :: self.stride]
        else:
            direct = self.shortcut(active)
        found = functional.relu(self.norm2(self.conv1(active)))
        found = functional.relu(self.norm3(self.conv2(found)))
        return self.conv3(self.dropout(found)) + direct
