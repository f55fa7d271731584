# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the output layer against its definition and hand-made vectors."""

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galmorph.networks.heads import DivisiveTreeHead, create_head, list_heads
from galmorph.schemas import load_schema

GZ2 = load_schema('gz2')
HEAD = DivisiveTreeHead(GZ2.structure)

# Worked out by hand, question by question, in double precision: rectify, divide
# by the sum over the question, multiply by the parent.
RAMP = [
    0.166666667, 0.333333333, 0.5, 0.148148148, 0.185185185, 0.085470085, 0.0997151,
    0.087145969, 0.098039216, 0.040257649, 0.044283414, 0.048309179, 0.052334944,
    0.482758621, 0.517241379, 0.052287582, 0.055555556, 0.058823529, 0.059561129,
    0.062695925, 0.065830721, 0.068965517, 0.072100313, 0.07523511, 0.078369906,
    0.047553727, 0.049382716, 0.051211706, 0.028080368, 0.029048656, 0.030016945,
    0.013471841, 0.013892836, 0.014313831, 0.014734826, 0.015155821, 0.015576816,
]  # fmt: skip
ONES = (
    3 * [1 / 3] + 2 * [1 / 6] + 4 * [1 / 12] + 4 * [1 / 24] + 2 * [1 / 2]
    + 3 * [1 / 9] + 7 * [1 / 14] + 3 * [1 / 18] + 3 * [1 / 36] + 6 * [1 / 72]
)  # fmt: skip
# The signs leave one answer of the first question, which ends the path.
ALTERNATING = [
    0, -1, 2, -3, 4, 0, 1, -2, 3, -4, 0, -1, 2, -3, 4, 0, 1, -2, 3, -4, 0, -1, 2, -3,
    4, 0, 1, -2, 3, -4, 0, -1, 2, -3, 4, 0, 1,
]  # fmt: skip
HARD = [1.0 if index in (2, 14) else 0.0 for index in range(37)]


TREES = ('dirichlet', 'divisive', 'softmax')
ALL = ('clipped', 'sigmoid', *TREES)


def by_definition(raw):
    """The output layer, written as loops over the published tree."""
    positive = np.maximum(np.asarray(raw, float), 0)
    path = np.zeros_like(positive)
    for question in GZ2.questions:
        total = sum(positive[question.slice]) + 1e-12
        parent = 1.0 if question.parent is None else path[question.parent]
        for index in range(question.start, question.stop):
            path[index] = positive[index] / total * parent
    return path


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
@pytest.mark.parametrize(
    ('raw', 'expected'),
    [
        (range(1, 38), RAMP),
        (37 * [1], ONES),
        (37 * [-1], 37 * [0]),
        (37 * [0], 37 * [0]),
        (ALTERNATING, HARD),
    ],
    ids=['ramp', 'ones', 'negative', 'zero', 'alternating'],
)
def test_vectors(raw, expected, dtype):
    found = HEAD(torch.tensor([list(raw)], dtype=dtype))[0].numpy()
    np.testing.assert_allclose(
        found, expected, atol=1e-6 if dtype.itemsize == 4 else 1e-9
    )


@given(arrays(float, 37, elements=st.floats(-3, 3)))
def test_any_vector(raw):
    found = HEAD(torch.from_numpy(raw)[None])[0].numpy()
    np.testing.assert_allclose(found, by_definition(raw), atol=1e-12)
    positive = np.maximum(raw, 0)
    if all(positive[q.slice].sum() > 1e-3 for q in GZ2.questions):
        assert GZ2.violation(found) < 1e-8


@given(st.floats(1e-3, 1e6))
def test_the_scale_of_a_question_does_not_matter(factor):
    raw = torch.arange(1.0, 38.0, dtype=torch.float64)[None]
    np.testing.assert_allclose(HEAD(factor * raw), HEAD(raw), rtol=1e-8)


def test_gradients_are_those_of_finite_differences():
    torch.manual_seed(3)
    raw = torch.randn(2, 37, dtype=torch.float64)
    raw = torch.where(raw.abs() < 0.05, 0.3, raw).requires_grad_()
    assert torch.autograd.gradcheck(HEAD, (raw,), eps=1e-7, atol=1e-6)


def test_gradients_flow_through_the_parents():
    raw = torch.ones(1, 37, dtype=torch.float64, requires_grad=True)
    HEAD(raw)[0, 36].backward()
    # can't tell <- spiral <- not edge-on <- disk
    touched = {0, 1, 2, 3, 4, 7, 8, *range(31, 37)}
    assert set(raw.grad[0].nonzero().flatten().tolist()) == touched


def test_negative_outputs_have_neither_nan_nor_gradient():
    raw = torch.full((3, 37), -1.0, requires_grad=True)
    path = HEAD(raw)
    path.square().sum().backward()
    assert torch.equal(path, torch.zeros(3, 37))
    assert torch.equal(raw.grad, torch.zeros(3, 37))


def test_an_empty_batch():
    assert HEAD(torch.zeros(0, 37)).shape == (0, 37)


def test_has_nothing_to_learn():
    assert not list(HEAD.parameters())
    assert not HEAD.state_dict()


def test_names():
    assert set(ALL) | {'regression', 'interval'} == set(list_heads())
    with pytest.raises(ValueError, match="no head 'hydra'; choose from \\['clipped'"):
        create_head('hydra', GZ2.structure)


@pytest.mark.parametrize('name', ALL)
class TestEveryHead:
    def test_numbers(self, name):
        head = create_head(name, GZ2.structure)
        assert (head.n_raw, head.n_answers) == (37, 37)
        assert head(torch.randn(0, 37)).shape == (0, 37)
        assert not head.state_dict()

    @pytest.mark.parametrize('scale', [1.0, 1e4])
    def test_answers_and_gradients(self, name, scale):
        head = create_head(name, GZ2.structure)
        torch.manual_seed(0)
        raw = (scale * torch.randn(20, 37)).requires_grad_()
        answers = head(raw)
        answers.square().sum().backward()
        assert ((answers >= 0) & (answers <= 1)).all()
        assert torch.isfinite(raw.grad).all()
        if scale == 1:
            assert raw.grad.abs().max() > 0

    def test_the_start_has_a_gradient(self, name):
        head = create_head(name, GZ2.structure)
        raw = torch.full((1, 37), head.initial_bias, requires_grad=True)
        head(raw)[:, 0].sum().backward()
        assert raw.grad[0, 0] > 0


@pytest.mark.parametrize('name', TREES)
def test_trees_sum_to_their_parents(name):
    torch.manual_seed(1)
    raw = torch.randn(50, 37, dtype=torch.float64).abs()
    path = create_head(name, GZ2.structure)(raw).numpy()
    assert GZ2.violation(path).max() < 1e-9


def test_softmax_by_definition():
    raw = np.random.default_rng(0).normal(0, 3, (6, 37))
    conditional = np.concatenate(
        [scipy.special.softmax(raw[:, q.slice], 1) for q in GZ2.questions], 1
    )
    found = create_head('softmax', GZ2.structure)(torch.from_numpy(raw)).numpy()
    np.testing.assert_allclose(found, GZ2.to_path(conditional), atol=1e-12)


def test_sigmoid_and_clipped_by_definition():
    raw = np.random.default_rng(0).normal(0, 3, (6, 37))
    for name, expected in (
        ('sigmoid', scipy.special.expit(raw)),
        ('clipped', np.clip(raw, 0, 1)),
    ):
        found = create_head(name, GZ2.structure)(torch.from_numpy(raw)).numpy()
        np.testing.assert_allclose(found, expected, atol=1e-12)


class TestDirichlet:
    HEAD = create_head('dirichlet', ((0, 3, -1), (3, 5, 1), (5, 7, 4)))

    def test_concentrations(self):
        raw = torch.tensor([[-200.0, 0, 200, 1, 2, 3, 4]])
        found = self.HEAD.concentrations(raw)[0]
        assert found[:3].tolist() == [1, 51, 101]
        expected = 1 + 100 / (1 + np.exp(-np.arange(1, 5)))
        np.testing.assert_allclose(found[3:], expected, rtol=1e-6)

    def test_moments_are_those_of_draws(self):
        raw = torch.tensor([[-2.0, 0, -3, -4, -3, 0, -2]], dtype=torch.float64)
        alpha = self.HEAD.concentrations(raw)[0].numpy()
        rng = np.random.default_rng(5)
        draws = [rng.dirichlet(alpha[a:b], 400_000) for a, b, _ in self.HEAD.structure]
        draws[1] *= draws[0][:, [1]]
        draws[2] *= draws[1][:, [1]]
        draws = np.concatenate(draws, 1)
        np.testing.assert_allclose(self.HEAD(raw)[0], draws.mean(0), atol=1e-3)
        np.testing.assert_allclose(self.HEAD.spread(raw)[0], draws.std(0), atol=1e-3)

    def test_spread_of_one_question_as_scipy(self):
        raw = torch.tensor([[-2.0, 0, -3]], dtype=torch.float64)
        head = create_head('dirichlet', ((0, 3, -1),))
        alpha = head.concentrations(raw)[0].numpy()
        expected = np.sqrt(scipy.stats.dirichlet.var(alpha))
        np.testing.assert_allclose(head.spread(raw)[0], expected, rtol=1e-6)

    def test_spread_is_never_nan(self):
        raw = 1000 * torch.randn(100, 7)
        assert torch.isfinite(self.HEAD.spread(raw)).all()
