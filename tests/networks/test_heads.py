# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the output layer against its definition and hand-made vectors."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galmorph.networks.heads import DivisiveTreeHead
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
