# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Losses that compare two views of a galaxy, and need no labels."""

import itertools

import torch
from torch import nn
from torch.nn import functional

from galmorph.training.losses._loss import Loss

__all__ = ['VICRegLoss']


class VICRegLoss(Loss):
    """
    Variance, invariance and covariance of features: self-supervision.

    Two views of a galaxy, augmented differently, shall have the same features
    (invariance); those of different galaxies shall differ in each feature
    (variance), and no two features shall tell the same (covariance): Bardes,
    Ponce & LeCun 2022, arXiv:2105.04906. The features go through an expander
    first, dense layers that are trained along and then left behind.

    It takes ``features``, shape (2 n, n_features), rows 2 i and 2 i + 1 of which
    are of one galaxy. Labels and weights of galaxies are not looked at. On several
    devices each compares its own galaxies.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree` or attribute schema
        Of the head that the features are for; not used.
    n_features : int, optional
        Features of the network. A recipe knows them.
    expander : sequence of int, optional
        Widths of the layers of the expander. Without any, the features
        themselves are compared.
    invariance, variance, covariance : float, optional
        How much of each: λ, μ and ν of the equation 6 of the paper. The
        invariance is a mean over the dimensions, as in the authors' code, where
        the equation 5 has their sum.

    Raises
    ------
    ValueError
        If there is an expander, and ``n_features`` is not given, or its widths are
        no positive whole numbers.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses import VICRegLoss
    >>> loss = VICRegLoss(load_schema('gz2'), expander=())
    >>> features = 3 * torch.eye(4).repeat_interleave(2, 0)
    >>> round(loss({'features': features}, {}).item(), 3)  # covariance alone
    3.375
    """

    n_shown = 2

    def __init__(
        self,
        schema,
        *,
        n_features=None,
        expander=(512, 512),
        invariance=25.0,
        variance=25.0,
        covariance=1.0,
    ):
        super().__init__(schema)
        if not isinstance(expander, list | tuple) or not all(
            isinstance(width, int) and width > 0 for width in expander
        ):
            msg = f'expander must be a list of positive whole numbers, not {expander!r}'
            raise ValueError(msg)
        if expander and n_features is None:
            msg = 'an expander needs n_features, the number of features that it takes'
            raise ValueError(msg)
        widths = [n_features, *expander]
        layers = []
        for before, after in itertools.pairwise(widths):
            # Not behind the last, whose spread is what the loss is about.
            if layers:
                layers += [nn.BatchNorm1d(before), nn.ReLU()]
            layers.append(nn.Linear(before, after))
        self.expander = nn.Sequential(*layers)
        self.invariance = invariance
        self.variance = variance
        self.covariance = covariance

    def forward(self, output, batch):  # noqa: ARG002
        """
        Compute the loss.

        Parameters
        ----------
        output : dict of str to `torch.Tensor`
            ``features``; also ``answers``, of a network on several devices.
        batch : dict
            Not looked at.

        Returns
        -------
        loss : `torch.Tensor`, shape ()
            Of one galaxy, the invariance alone.
        """
        expanded = self.expander(output['features'])
        expanded = self.answers({'expanded': expanded}, 'expanded')
        first, second = expanded[::2], expanded[1::2]
        total = self.invariance * functional.mse_loss(first, second)
        if 'answers' in output:
            # Several devices wait for a gradient of every weight, and so the head's.
            total = total + 0 * output['answers'].sum()
        if len(first) < 2:
            return total
        for view in (first, second):
            centred = view - view.mean(0)
            # Sums over a batch, which bfloat16 would round.
            with torch.autocast(view.device.type, enabled=False):
                covariance = centred.T @ centred / (len(view) - 1)
            variances = covariance.diagonal()
            # Not its root at 0, where it has no gradient.
            lacking = functional.relu(1 - (variances + 1e-4).sqrt()).mean()
            others = (covariance.square().sum() - variances.square().sum()) / len(
                variances
            )
            total = total + self.variance * lacking + self.covariance * others
        return total
