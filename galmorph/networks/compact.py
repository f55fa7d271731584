# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A small residual network, quick on a CPU."""

from torch import nn
from torch.nn import functional

from galmorph.networks.inputs import colour_channels
from galmorph.networks.model import TrunkNetwork

__all__ = ['CompactTrunk', 'compact']


def compact(
    structure,
    *,
    stem=32,
    widths=(64, 128, 256),
    depths=(2, 2, 2),
    n_channels=3,
    dropout=0.2,
    head='softmax',
    colour='rgb',
    **options,
):
    """
    Build the compact network.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    stem, widths, depths : optional
        As in `CompactTrunk`.
    n_channels : int, optional
        Channels of the views.
    dropout, head, colour, **options : optional
        As in `~galmorph.networks.model.TrunkNetwork`.

    Returns
    -------
    network : `~galmorph.networks.model.TrunkNetwork`
        The network.

    Examples
    --------
    >>> from galmorph import create_network, load_schema
    >>> network = create_network('compact', structure=load_schema('gz2').structure)
    >>> sum(p.numel() for p in network.parameters())
    2768965
    """
    channels = colour_channels(colour, n_channels)
    trunk = CompactTrunk(stem=stem, widths=widths, depths=depths, n_channels=channels)
    return TrunkNetwork(
        trunk, structure, dropout=dropout, head=head, colour=colour, **options
    )


class CompactTrunk(nn.Module):
    """
    Residual blocks of dense 3×3 convolutions, for images of any size.

    Depthwise convolutions have fewer weights, yet wait for the memory of a
    CPU; these do not. A stage halves the image: the shortcut of its first
    block averages pixels and adapts the channels.

    Parameters
    ----------
    stem : int, optional
        Filters of the first convolution, 5×5 with stride 2.
    widths, depths : sequence of int, optional
        Filters and number of the blocks of each stage.
    n_channels : int, optional
        Channels of the images.

    Raises
    ------
    ValueError
        If ``widths`` and ``depths`` do not match.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.compact import CompactTrunk
    >>> CompactTrunk(widths=(8, 16), depths=(1, 1))(torch.rand(4, 3, 32, 32)).shape
    torch.Size([4, 16])
    """

    def __init__(
        self, *, stem=32, widths=(64, 128, 256), depths=(2, 2, 2), n_channels=3
    ):
        super().__init__()
        if not widths or len(widths) != len(depths):
            msg = (
                'widths and depths must have one value a stage each, not '
                f'{widths!r} and {depths!r}'
            )
            raise ValueError(msg)
        self.stem = _Stem(n_channels, stem)
        self.blocks = nn.ModuleList()
        channels = stem
        for width, depth in zip(widths, depths, strict=True):
            for index in range(depth):
                self.blocks.append(_Block(channels, width, 2 if index == 0 else 1))
                channels = width
        self.n_features = channels
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(
                    module.weight, mode='fan_out', nonlinearity='relu'
                )

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


class _Stem(nn.Module):
    def __init__(self, n_inputs, n_outputs):
        super().__init__()
        self.conv = nn.Conv2d(n_inputs, n_outputs, 5, 2, 2, bias=False)
        self.norm = nn.BatchNorm2d(n_outputs)

    def forward(self, images):
        return functional.relu(self.norm(self.conv(images)))


class _Shortcut(nn.Module):
    def __init__(self, n_inputs, n_outputs, stride):
        super().__init__()
        self.stride = stride
        self.conv = nn.Conv2d(n_inputs, n_outputs, 1, bias=False)
        self.norm = nn.BatchNorm2d(n_outputs)

    def forward(self, maps):
        if self.stride > 1:
            # Odd sides keep their last row, as the convolutions do.
            maps = functional.avg_pool2d(maps, self.stride, ceil_mode=True)
        return self.norm(self.conv(maps))


class _Block(nn.Module):
    def __init__(self, n_inputs, n_outputs, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(n_inputs, n_outputs, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_outputs)
        self.conv2 = nn.Conv2d(n_outputs, n_outputs, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_outputs)
        self.shortcut = None
        if n_inputs != n_outputs or stride != 1:
            self.shortcut = _Shortcut(n_inputs, n_outputs, stride)

    def forward(self, maps):
        found = functional.relu(self.norm1(self.conv1(maps)))
        found = self.norm2(self.conv2(found))
        return functional.relu(
            found + (maps if self.shortcut is None else self.shortcut(maps))
        )
