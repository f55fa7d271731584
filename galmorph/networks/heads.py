# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Heads: from the raw outputs of a trunk to the probabilities of a tree."""

import torch
from torch import nn

__all__ = ['DivisiveTreeHead']


class DivisiveTreeHead(nn.Module):
    """
    Rectify, normalise a question at a time, multiply through the tree.

    The output layer of Dieleman et al. (2015, MNRAS 450, 1441, section 5.5):
    negative outputs become 0, those of a question are divided by their sum,
    and the result is multiplied by the path probability of the parent
    answer. A question whose outputs are all negative gives zeros.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        For each question the first answer, one past the last, and the parent
        answer or -1, as in `~galmorph.schemas.DecisionTree.structure`.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.heads import DivisiveTreeHead
    >>> head = DivisiveTreeHead([(0, 2, -1), (2, 4, 1)])
    >>> head(torch.tensor([[1.0, 3.0, 2.0, -1.0]])).tolist()
    [[0.25, 0.75, 0.75, 0.0]]
    """

    # Keeps 0 / 0 at 0; the value of the authors' code.
    epsilon = 1e-12

    def __init__(self, structure):
        super().__init__()
        self.structure = tuple((int(a), int(b), int(p)) for a, b, p in structure)

    def forward(self, raw):
        """
        Apply the head.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        path : `torch.Tensor`, shape (n, n_answers)
            Path probabilities.
        """
        positive = raw.relu()
        path = []
        for start, stop, parent in self.structure:
            question = positive[:, start:stop]
            question = question / (question.sum(1, keepdim=True) + self.epsilon)
            if parent >= 0:
                question = question * torch.cat(path, 1)[:, parent, None]
            path.append(question)
        return torch.cat(path, 1)
