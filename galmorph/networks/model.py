# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A network in three parts: trunk, output layer, head."""

from torch import nn

from galmorph.networks.heads import create_head
from galmorph.networks.inputs import create_inputs

__all__ = ['TrunkNetwork', 'check_initialisation', 'initialise']


class TrunkNetwork(nn.Module):
    """
    A trunk that finds features, and a head that answers questions with them.

    The features of several views of a galaxy are averaged. Several networks
    may share one trunk: each then answers a tree of its own.

    Parameters
    ----------
    trunk : `torch.nn.Module`
        From images, shape (n, n_channel, size, size), to features, shape
        (n, ``trunk.n_features``). Where it has an ``input_size`` that is not
        `None`, images of other sides are refused.
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    head : str or `torch.nn.Module`, optional
        A name of `~galmorph.networks.heads.list_heads`, or a head.
    head_options : dict, optional
        What `~galmorph.networks.heads.create_head` takes for that name.
    dropout : float, optional
        Share of the features that training drops before the output layer.
    standardise, colour : optional
        Layers before the trunk, as in
        `~galmorph.networks.inputs.create_inputs`.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.networks.compact import CompactTrunk
    >>> from galmorph.networks.model import TrunkNetwork
    >>> trunk = CompactTrunk(stem=4, widths=(8,), depths=(1,))
    >>> network = TrunkNetwork(trunk, load_schema('gz2').structure, head='sigmoid')
    >>> network(torch.rand(5, 2, 3, 32, 32)).shape
    torch.Size([5, 37])
    """

    def __init__(
        self,
        trunk,
        structure,
        *,
        head='softmax',
        head_options=None,
        dropout=0.0,
        standardise=None,
        colour='rgb',
    ):
        super().__init__()
        self.inputs = create_inputs(standardise=standardise, colour=colour)
        self.trunk = trunk
        self.dropout = nn.Dropout(dropout)
        if isinstance(head, nn.Module):
            self.head = head
        else:
            self.head = create_head(head, structure, **(head_options or {}))
        self.output = nn.Linear(trunk.n_features, self.head.n_raw)
        # Small, so that training begins with the same answers for all.
        nn.init.normal_(self.output.weight, std=0.01)
        nn.init.constant_(self.output.bias, getattr(self.head, 'initial_bias', 0.0))

    def features(self, views):
        """
        Compute the features of galaxies.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_view, n_channel, size, size)
            Pictures, row 0 at the top.

        Returns
        -------
        features : `torch.Tensor`, shape (n, trunk.n_features)
            The mean over the views.

        Raises
        ------
        ValueError
            If the trunk is made for another size.
        """
        size = getattr(self.trunk, 'input_size', None)
        if size is not None and tuple(views.shape[-2:]) != (size, size):
            msg = (
                f'views must be {size} pixels wide and high, as the network, not '
                f'{tuple(views.shape[-2:])}; set its input_size, or the '
                'output_size of the recipe'
            )
            raise ValueError(msg)
        images = self.inputs(views.flatten(0, 1))
        features = self.trunk(images)
        return features.unflatten(0, views.shape[:2]).mean(1)

    def raw(self, views):
        """
        Compute the outputs before the head.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_view, n_channel, size, size)
            Pictures, row 0 at the top.

        Returns
        -------
        raw : `torch.Tensor`, shape (n, head.n_raw)
            Unbounded outputs.
        """
        return self.output(self.dropout(self.features(views)))

    def forward(self, views):
        """
        Compute the answers.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_view, n_channel, size, size)
            Pictures, row 0 at the top.

        Returns
        -------
        answers : `torch.Tensor`, shape (n, head.n_answers)
            What the head gives: path probabilities, or values.
        """
        return self.head(self.raw(views))


def initialise(network, kind='he'):
    """
    Draw the weights of all convolutions and dense layers; biases become 0.

    Parameters
    ----------
    network : `torch.nn.Module`
        Changed in place.
    kind : str, optional
        'he' for a normal distribution of variance 2 / fan in (He et al. 2015,
        arXiv:1502.01852), which keeps the scale of what goes through layers
        with ReLU; 'glorot' for a uniform one of variance
        2 / (fan in + fan out), the default of Keras.

    Raises
    ------
    ValueError
        If the kind is another.

    Examples
    --------
    >>> from torch import nn
    >>> from galmorph.networks.model import initialise
    >>> layer = nn.Linear(4, 4)
    >>> initialise(layer)
    >>> layer.bias.tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    if kind not in ('he', 'glorot'):
        msg = f"kind must be 'he' or 'glorot', not {kind!r}"
        raise ValueError(msg)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            if kind == 'he':
                nn.init.kaiming_normal_(module.weight, nonlinearity='relu')
            else:
                nn.init.xavier_uniform_(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def check_initialisation(name):
    """
    Check the option ``initialisation`` of a network.

    Parameters
    ----------
    name : str
        'he', or 'paper' for that of the authors.

    Raises
    ------
    ValueError
        If it is another.

    Examples
    --------
    >>> from galmorph.networks.model import check_initialisation
    >>> check_initialisation('he')
    """
    if name not in ('he', 'paper'):
        msg = f"initialisation must be 'he' or 'paper', not {name!r}"
        raise ValueError(msg)
