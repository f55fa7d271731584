# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Heads of attributes: values on scales of their own, not probabilities."""

import torch
from torch import nn
from torch.nn import functional

__all__ = ['IntervalHead', 'RegressionHead']


class RegressionHead(nn.Module):
    """
    Give one value an attribute.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        One entry an attribute, as in `~galmorph.schemas.DecisionTree`'s
        ``structure``; only their number counts.
    offset, scale : sequence of float, optional
        ``value = offset + scale * raw``: a typical value of each attribute
        and how much it varies, so that raw outputs are about 1. By default 0
        and 1.

    Raises
    ------
    ValueError
        If there is not one offset and one positive scale an attribute.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.values import RegressionHead
    >>> head = RegressionHead([(0, 1, -1), (1, 2, -1)], offset=[3, 0.5], scale=[4, 0.5])
    >>> head(torch.tensor([[-1.0, 1.0]])).tolist()
    [[-1.0, 1.0]]
    """

    initial_bias = 0.0

    def __init__(self, structure, *, offset=None, scale=None):
        super().__init__()
        self.n_answers = self.n_raw = int(structure[-1][1])
        for name, values, default in (('offset', offset, 0), ('scale', scale, 1)):
            values = [default] * self.n_answers if values is None else list(values)
            if len(values) != self.n_answers:
                msg = (
                    f'{name} must have one number for each of the {self.n_answers} '
                    f'attributes, not {values!r}'
                )
                raise ValueError(msg)
            tensor = torch.tensor(values, dtype=torch.float32)
            # They belong to the options of a card, not to its weights.
            self.register_buffer(name, tensor, persistent=False)
        if not (self.scale > 0).all():
            msg = f'scale must be positive, not {scale!r}'
            raise ValueError(msg)

    def forward(self, raw):
        """
        Apply the head.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        values : `torch.Tensor`, shape (n, n_answers)
            In the units of the attributes.
        """
        return self.offset + self.scale * raw


class IntervalHead(RegressionHead):
    """
    Give each attribute a value and its standard deviation.

    Of the raw outputs the first half are the values, the second half
    become positive by softplus.

    Parameters
    ----------
    structure, offset, scale : optional
        As in `RegressionHead`; the scale is that of the deviation too.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.values import IntervalHead
    >>> head = IntervalHead([(0, 1, -1)], offset=[3], scale=[4])
    >>> raw = torch.zeros(1, 2)
    >>> head(raw).item(), round(head.spread(raw).item(), 3)
    (3.0, 2.777)
    """

    # In units of the scale: no likelihood becomes infinite.
    smallest = 1e-3

    def __init__(self, structure, *, offset=None, scale=None):
        super().__init__(structure, offset=offset, scale=scale)
        self.n_raw = 2 * self.n_answers

    def forward(self, raw):
        """
        Compute the values.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, 2 * n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        values : `torch.Tensor`, shape (n, n_answers)
            In the units of the attributes.
        """
        return super().forward(raw[:, : self.n_answers])

    def spread(self, raw):
        """
        Compute the standard deviations.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, 2 * n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        spread : `torch.Tensor`, shape (n, n_answers)
            In the units of the attributes, positive.
        """
        positive = functional.softplus(raw[:, self.n_answers :])
        return self.scale * (self.smallest + positive)
