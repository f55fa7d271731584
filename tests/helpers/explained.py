# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks whose explanation is known."""

import torch

__all__ = ['SIDE', 'Blobs', 'Weighted']

SIDE = 33


class Weighted(torch.nn.Module):
    """Every answer is a weighted sum of the pixels of all views."""

    def __init__(self, weights):
        super().__init__()
        self.weights = torch.nn.Parameter(torch.as_tensor(weights, dtype=torch.float32))

    def forward(self, views):
        value = (views * self.weights).sum((1, 2, 3, 4))
        return value[:, None].expand(-1, 37)


class Blobs(torch.nn.Module):
    """Two filters: a bright spot of 3 × 3 pixels, and nothing at all."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 2, 3)
        self.rectify = torch.nn.ReLU(inplace=True)
        self.empty = torch.nn.Sequential()
        self.drop = torch.nn.Dropout(0.5)
        self.output = torch.nn.Linear(2, 37)
        with torch.no_grad():
            self.conv.weight[0] = 1 / 27
            self.conv.weight[1] = 0
            self.conv.bias[:] = torch.tensor([-0.1, -1.0])

    def forward(self, views):
        # The filters see one view after the other.
        maps = [self.rectify(self.conv(self.empty(view))) for view in views.unbind(1)]
        features = torch.stack([one.amax((2, 3)) for one in maps]).mean(0)
        return self.output(self.drop(features)).sigmoid()
