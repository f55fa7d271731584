# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What heads of decision trees have in common."""

import torch
from torch import nn


class TreeHead(nn.Module):
    """
    A head with one raw output an answer.

    ``initial_bias`` is the bias that its output layer starts with.
    """

    initial_bias = 0.0

    def __init__(self, structure):
        super().__init__()
        self.structure = tuple((int(a), int(b), int(p)) for a, b, p in structure)
        self.n_answers = self.n_raw = self.structure[-1][1]

    def multiply(self, conditional):
        """Path probabilities of a list of conditional ones, a question each."""
        path = []
        for (_, _, parent), question in zip(self.structure, conditional, strict=True):
            if parent >= 0:
                question = question * torch.cat(path, 1)[:, parent, None]
            path.append(question)
        return torch.cat(path, 1)
