# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Inception v3, one of the networks with which Zhu et al. compare theirs."""

import torch
from torch import nn
from torch.nn import functional

from galmorph.networks.inputs import colour_channels
from galmorph.networks.model import TrunkNetwork, initialise

__all__ = ['InceptionTrunk', 'inception_v3']


def inception_v3(
    structure,
    *,
    stem_stride=1,
    width=1.0,
    n_channels=3,
    dropout=0.2,
    head='softmax',
    colour='rgb',
    **options,
):
    """
    Build Inception v3 (Szegedy et al. 2016, arXiv:1512.00567).

    Zhu et al. (2019) compare with it on images of 64 pixels and do not say
    how they fitted it to them. Published for 299, it needs 75; here the first
    convolution takes every pixel instead of every second, which changes no
    weight. Without the auxiliary classifier.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    stem_stride, width : optional
        As in `InceptionTrunk`.
    n_channels : int, optional
        Channels of the views.
    dropout : float, optional
        Share of the features that training drops.
    head, colour, **options : optional
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
    ...     network = create_network('inception_v3', structure=[(0, 5, -1)])
    >>> sum(p.numel() for p in network.parameters())
    21795813
    """
    trunk = InceptionTrunk(
        stem_stride=stem_stride,
        width=width,
        n_channels=colour_channels(colour, n_channels),
    )
    return TrunkNetwork(
        trunk, structure, dropout=dropout, head=head, colour=colour, **options
    )


class InceptionTrunk(nn.Module):
    """
    The convolutions of Inception v3.

    Parameters
    ----------
    stem_stride : int, optional
        Stride of the first convolution: 1 for images from 39 pixels on, 2, as
        published, from 75 on.
    width : float, optional
        Factor of the number of all filters.
    n_channels : int, optional
        Channels of the images.

    Raises
    ------
    ValueError
        If the stride is neither.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.inception import InceptionTrunk
    >>> InceptionTrunk(width=1 / 16)(torch.rand(2, 3, 64, 64)).shape
    torch.Size([2, 128])
    """

    def __init__(self, *, stem_stride=1, width=1.0, n_channels=3):
        super().__init__()
        if stem_stride not in (1, 2):
            msg = f'stem_stride must be 1 or 2, not {stem_stride!r}'
            raise ValueError(msg)

        def chain(n_inputs, *layers):
            return _chain(n_inputs, layers, width)

        self.stem = nn.Sequential(
            chain(n_channels, (32, 3, stem_stride), (32, 3), (64, 3, 1, 1)),
            nn.MaxPool2d(3, 2),
            chain(_scaled(64, width), (80, 1), (192, 3)),
            nn.MaxPool2d(3, 2),
        )
        channels = _scaled(192, width)
        self.blocks = nn.ModuleList()
        for make, argument in _BLOCKS:
            block = make(chain, channels, argument)
            self.blocks.append(block)
            channels = block.count(channels)
        self.n_features = channels
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
        for block in self.blocks:
            maps = block(maps)
        return maps.mean((2, 3))


class _Conv(nn.Module):
    """Convolution, normalisation, ReLU."""

    def __init__(self, n_inputs, n_outputs, kernel_size, stride=1, padding=0):
        super().__init__()
        self.n_outputs = n_outputs
        self.conv = nn.Conv2d(
            n_inputs, n_outputs, kernel_size, stride, padding, bias=False
        )
        self.norm = nn.BatchNorm2d(n_outputs, eps=1e-3)

    def forward(self, maps):
        return functional.relu(self.norm(self.conv(maps)))


class _Fork(nn.Module):
    """Two convolutions side by side, 1×3 and 3×1, after a chain."""

    def __init__(self, before, n_outputs):
        super().__init__()
        self.before = before
        n_inputs = before[-1].n_outputs
        self.wide = _Conv(n_inputs, n_outputs, (1, 3), 1, (0, 1))
        self.high = _Conv(n_inputs, n_outputs, (3, 1), 1, (1, 0))
        self.n_outputs = 2 * n_outputs

    def forward(self, maps):
        maps = self.before(maps)
        return torch.cat([self.wide(maps), self.high(maps)], 1)


class _Block(nn.Module):
    """Branches side by side, and one that pools."""

    def __init__(self, branches, pool=None):
        super().__init__()
        self.branches = nn.ModuleList(branches)
        # Where no convolution follows it the pooling halves the image.
        self.pool = pool

    def count(self, n_inputs):
        """Count the maps that come out."""
        number = sum(
            branch.n_outputs if isinstance(branch, _Fork) else branch[-1].n_outputs
            for branch in self.branches
        )
        return number + (n_inputs if self.pool is None else self.pool[-1].n_outputs)

    def forward(self, maps):
        if self.pool is None:
            pooled = functional.max_pool2d(maps, 3, 2)
        else:
            mean = functional.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)
            pooled = self.pool(mean)
        return torch.cat([*(branch(maps) for branch in self.branches), pooled], 1)


def _scaled(number, width):
    return max(1, round(number * width))


def _chain(n_inputs, layers, width):
    """Convolutions one after the other: (filters, kernel, stride, padding)."""
    convs = []
    for filters, *others in layers:
        convs.append(_Conv(n_inputs, _scaled(filters, width), *others))
        n_inputs = convs[-1].n_outputs
    return nn.Sequential(*convs)


def _block_a(chain, n, n_pool):
    """5×5 as it is, or as two of 3×3; figure 5 of the paper."""
    branches = [
        chain(n, (64, 1)),
        chain(n, (48, 1), (64, 5, 1, 2)),
        chain(n, (64, 1), (96, 3, 1, 1), (96, 3, 1, 1)),
    ]
    return _Block(branches, chain(n, (n_pool, 1)))


def _reduction_a(chain, n, _):
    return _Block([chain(n, (384, 3, 2)), chain(n, (64, 1), (96, 3, 1, 1), (96, 3, 2))])


def _block_b(chain, n, middle):
    """7×7 as 1×7 and 7×1; figure 6 of the paper."""
    wide, high = ((1, 7), 1, (0, 3)), ((7, 1), 1, (3, 0))
    branches = [
        chain(n, (192, 1)),
        chain(n, (middle, 1), (middle, *wide), (192, *high)),
        chain(
            n,
            (middle, 1),
            (middle, *high),
            (middle, *wide),
            (middle, *high),
            (192, *wide),
        ),
    ]
    return _Block(branches, chain(n, (192, 1)))


def _reduction_b(chain, n, _):
    seven = (192, (1, 7), 1, (0, 3)), (192, (7, 1), 1, (3, 0))
    return _Block(
        [chain(n, (192, 1), (320, 3, 2)), chain(n, (192, 1), *seven, (192, 3, 2))]
    )


def _block_c(chain, n, _):
    """Side by side, so that more maps come out; figure 7 of the paper."""
    one = chain(n, (320, 1))
    # 384 for each side of a fork, as many as the chain before the first has.
    first, second = chain(n, (384, 1)), chain(n, (448, 1), (384, 3, 1, 1))
    forks = [_Fork(before, before[-1].n_outputs) for before in (first, second)]
    return _Block([one, *forks], chain(n, (192, 1)))


_BLOCKS = (
    (_block_a, 32),
    (_block_a, 64),
    (_block_a, 64),
    (_reduction_a, None),
    (_block_b, 128),
    (_block_b, 160),
    (_block_b, 160),
    (_block_b, 192),
    (_reduction_b, None),
    (_block_c, None),
    (_block_c, None),
)
