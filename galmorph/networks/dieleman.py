# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The rotation-invariant network that won the Galaxy Challenge."""

import torch
from torch import nn
from torch.nn import functional

from galmorph.networks.heads import create_head
from galmorph.networks.layers import ConvUntied, Maxout

__all__ = ['Dieleman', 'extract_parts']


def extract_parts(views, part_size=45):
    """
    Cut views of a galaxy into corner parts that all point to its centre.

    Each view is taken as it is and flipped left to right. Part k of a view is
    the top left corner of the view rotated counter-clockwise by k × 90°, so
    the centre of the galaxy lies at the same pixel of every part (Dieleman
    et al. 2015, MNRAS 450, 1441, section 5.2 and figure 4).

    Parameters
    ----------
    views : `torch.Tensor`, shape (n, n_view, n_channel, size, size)
        Square pictures, row 0 at the top.
    part_size : int, optional
        Side of a part in pixels.

    Returns
    -------
    parts : `torch.Tensor`, shape (n, n_part, n_channel, part_size, part_size)
        Eight parts a view: the four of the view, then those of its mirror
        image.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.dieleman import extract_parts
    >>> extract_parts(torch.zeros(1, 2, 3, 69, 69)).shape
    torch.Size([1, 16, 3, 45, 45])
    """
    size = part_size
    both = torch.stack([views, views.flip(-1)], 2).flatten(1, 2)
    # Each corner is cut first and turned after, which moves fewer pixels.
    corners = (
        both[..., :size, :size],
        both[..., :size, -size:],
        both[..., -size:, -size:],
        both[..., -size:, :size],
    )
    parts = [torch.rot90(corner, k, (-2, -1)) for k, corner in enumerate(corners)]
    return torch.stack(parts, 2).flatten(1, 2)


class Dieleman(nn.Module):
    """
    The network of Dieleman, Willett & Dambre (2015, MNRAS 450, 1441).

    A galaxy is seen from sixteen sides: two views, 45° apart, each also
    flipped, each cut into four corners turned towards the centre. All parts
    go through the same convolutions; their features meet in two maxout
    layers. Convolutions have a bias of their own at every position, as in
    the authors' code, and dropout acts on the inputs of the dense layers. The
    options of the seventeen networks that won together are in
    `~galmorph.networks.ensemble.dieleman_ensemble`.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        The tree, as in `~galmorph.schemas.DecisionTree.structure`.
    n_views : int, optional
        Views of each galaxy in the input.
    view_size, part_size : int, optional
        Side of a view, and of a part, in pixels.
    n_channels : int, optional
        Colours.
    filters : sequence of (int, int), optional
        Side and number of the filters of the four convolutions. Max-pooling
        by 2 follows the first, the second and the fourth.
    dense : sequence of int, optional
        Linear units of the dense layers; maxout over pairs halves them.
    shared : int, optional
        Linear units of a dense layer before those, which each part goes
        through alone. By default there is none.
    activation : str, optional
        'maxout' over pairs of units, or 'relu', of the dense layers.
    untied_biases : bool, optional
        A bias a position in the convolutions; else one a feature map.
    dropout : float, optional
        Share of the inputs of the dense layers that training drops.
    head, head_options : optional
        As in `~galmorph.networks.model.TrunkNetwork`.

    Raises
    ------
    ValueError
        If the filters do not fit the parts, or the dense layers no pairs.

    Examples
    --------
    >>> import torch
    >>> from galmorph import create_network, load_schema
    >>> network = create_network('dieleman', structure=load_schema('gz2').structure)
    >>> with torch.inference_mode():
    ...     network.eval()(torch.rand(1, 2, 3, 69, 69)).shape
    torch.Size([1, 37])
    """

    # Standard deviations and biases of the authors' code.
    _conv_std = (0.01, 0.01, 0.01, 0.1)
    _conv_bias = 0.1
    _dense_std, _dense_bias = 0.001, 0.01
    _output_std = 0.01

    def __init__(
        self,
        structure,
        *,
        n_views=2,
        view_size=69,
        part_size=45,
        n_channels=3,
        filters=((6, 32), (5, 64), (3, 128), (3, 128)),
        dense=(4096, 4096),
        shared=None,
        activation='maxout',
        untied_biases=True,
        dropout=0.5,
        head='divisive',
        head_options=None,
    ):
        super().__init__()
        if part_size > view_size:
            msg = (
                f'part_size must not exceed view_size, {view_size}, but is {part_size}'
            )
            raise ValueError(msg)
        if len(filters) != len(self._conv_std):
            msg = f'filters must be four pairs of side and number, not {filters!r}'
            raise ValueError(msg)
        if activation not in ('maxout', 'relu'):
            msg = f"activation must be 'maxout' or 'relu', not {activation!r}"
            raise ValueError(msg)
        pool_size = 2 if activation == 'maxout' else 1
        if any(width % pool_size for width in (*dense, shared or 0)):
            msg = (
                f'dense and shared must be even, for maxout takes pairs, not '
                f'{dense!r} and {shared!r}'
            )
            raise ValueError(msg)
        self.input_shape = (n_views, n_channels, view_size, view_size)
        self.part_size = part_size
        size, channels = part_size, n_channels
        self.convs = nn.ModuleList()
        for index, (kernel, width) in enumerate(filters):
            if kernel > size:
                msg = (
                    f'the filters {filters!r} are too large for parts of '
                    f'{part_size} pixels'
                )
                raise ValueError(msg)
            conv = ConvUntied(
                channels, width, kernel, input_size=size, untied=untied_biases
            )
            nn.init.normal_(conv.weight, std=self._conv_std[index])
            nn.init.constant_(conv.bias, self._conv_bias)
            self.convs.append(conv)
            size, channels = conv.output_size, width
            if self._is_pooled(index):
                size = -(-size // 2)
        features, n_parts = channels * size**2, 8 * n_views
        self.shared = None
        if shared is not None:
            self.shared = _linear(features, shared, self._dense_std, self._dense_bias)
            features = shared // pool_size
        features *= n_parts
        self.dense = nn.ModuleList()
        for width in dense:
            self.dense.append(
                _linear(features, width, self._dense_std, self._dense_bias)
            )
            features = width // pool_size
        self.head = create_head(head, structure, **(head_options or {}))
        self.output = _linear(
            features, self.head.n_raw, self._output_std, self.head.initial_bias
        )
        self.dropout = nn.Dropout(dropout)
        self.activation = Maxout() if activation == 'maxout' else nn.ReLU()

    @staticmethod
    def _is_pooled(index):
        return index != 2

    def features(self, views):
        """
        Compute the features of the convolutions.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_views, n_channels, size, size)
            Pictures in [0, 1], row 0 at the top.

        Returns
        -------
        features : `torch.Tensor`, shape (n, n_part, n_feature)
            The features of each part, in the order of `extract_parts`.
        """
        parts = extract_parts(views, self.part_size)
        n_galaxy, n_part = parts.shape[:2]
        parts = parts.flatten(0, 1)
        if parts.device.type == 'cpu' and not torch.compiler.is_compiling():
            # A few galaxies at a time, whose maps stay in the cache.
            some = parts.split(8 * n_part)
            maps = torch.cat([self._convolve(these) for these in some])
        else:
            maps = self._convolve(parts)
        return maps.flatten(1).unflatten(0, (n_galaxy, n_part))

    def _convolve(self, maps):
        maps = maps.contiguous(memory_format=torch.channels_last)
        for index, conv in enumerate(self.convs):
            maps = conv(maps)
            if self._is_pooled(index):
                maps = functional.max_pool2d(maps, 2, ceil_mode=True)
            # After the pooling: the same numbers, on a quarter of the pixels.
            maps = maps.relu_()
        return maps

    def raw(self, views):
        """
        Compute the outputs before the constraints of the tree.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_views, n_channels, size, size)
            Pictures in [0, 1], row 0 at the top.

        Returns
        -------
        raw : `torch.Tensor`, shape (n, head.n_raw)
            Unbounded outputs.
        """
        features = self.features(views)
        if self.shared is not None:
            each = self.shared(self.dropout(features.flatten(0, 1)))
            features = self.activation(each).unflatten(0, features.shape[:2])
        features = features.flatten(1)
        for layer in self.dense:
            features = self.activation(layer(self.dropout(features)))
        return self.output(self.dropout(features))

    def forward(self, views):
        """
        Compute the probabilities of all answers.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_views, n_channels, size, size)
            Pictures in [0, 1], row 0 at the top.

        Returns
        -------
        path : `torch.Tensor`, shape (n, n_answers)
            Path probabilities.
        """
        return self.head(self.raw(views))


def _linear(n_inputs, n_outputs, std, bias):
    layer = nn.Linear(n_inputs, n_outputs)
    nn.init.normal_(layer.weight, std=std)
    nn.init.constant_(layer.bias, bias)
    return layer
