# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the heads of attributes."""

import math

import pytest
import torch

from galmorph.networks.heads import create_head

STRUCTURE = [(i, i + 1, -1) for i in range(3)]
SCALES = {'offset': [3.0, 0.5, 0.0], 'scale': [4.0, 0.25, 1.0]}


def test_regression_is_linear():
    head = create_head('regression', STRUCTURE, **SCALES)
    raw = torch.randn(5, 3)
    expected = torch.tensor([3, 0.5, 0]) + torch.tensor([4, 0.25, 1]) * raw
    assert (head.n_raw, head.n_answers) == (3, 3)
    assert torch.equal(head(raw), expected)
    assert torch.equal(create_head('regression', STRUCTURE)(raw), raw)
    assert not hasattr(head, 'spread')


def test_interval_has_a_value_and_a_positive_spread():
    head = create_head('interval', STRUCTURE, **SCALES)
    assert (head.n_raw, head.n_answers) == (6, 3)
    raw = torch.tensor([[1.0, 2, 3, -200, 0, 200]])
    assert head(raw).tolist() == [[7.0, 1.0, 3.0]]
    expected = [4e-3, 0.25 * (1e-3 + math.log(2)), 200.001]
    assert head.spread(raw)[0].tolist() == pytest.approx(expected, rel=1e-4)
    assert (head.spread(torch.randn(50, 6) * 100) > 0).all()


def test_interval_learns_the_scatter():
    # Normal likelihood of values about 3 whose scatter is 2.
    torch.manual_seed(0)
    head = create_head('interval', STRUCTURE[:1], offset=[2], scale=[4])
    values = 3 + 2 * torch.randn(4000, 1)
    raw = torch.zeros(1, 2, requires_grad=True)
    optimiser = torch.optim.LBFGS([raw], max_iter=50)

    def closure():
        optimiser.zero_grad()
        loss = -torch.distributions.Normal(head(raw), head.spread(raw)).log_prob(values)
        loss.mean().backward()
        return loss.mean()

    optimiser.step(closure)
    assert head(raw).item() == pytest.approx(values.mean().item(), abs=1e-3)
    assert head.spread(raw).item() == pytest.approx(values.std().item(), abs=5e-3)


@pytest.mark.parametrize('name', ['regression', 'interval'])
def test_the_scales_belong_to_the_options_of_a_card(name):
    head = create_head(name, STRUCTURE, **SCALES)
    assert not head.state_dict()
    assert head.double().offset.dtype == torch.float64


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'offset': [1, 2]}, 'offset must have one number for each of the 3'),
        ({'scale': [1, 2, 0]}, 'scale must be positive'),
    ],
)
def test_scales_that_do_not_fit(options, message):
    with pytest.raises(ValueError, match=message):
        create_head('regression', STRUCTURE, **options)
