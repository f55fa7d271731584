# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of ROC curves and calibration, against scipy and torchmetrics."""

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu
from torchmetrics.functional.classification import multiclass_calibration_error

from galmorph.training.evaluation.curves import (
    calibration_error,
    rank_auc,
    reliability,
    roc_curves,
)
from tests.helpers.zhu import ZHU


@pytest.fixture
def classified():
    rng = np.random.default_rng(1)
    true = rng.integers(0, 4, 300)
    values = rng.dirichlet(np.ones(4), 300) + 0.3 * np.eye(4)[true]
    # ties, as votes have them
    return np.round(values / values.sum(1, keepdims=True), 2), true


class TestRoc:
    def test_area_is_the_rank_statistic(self, classified):
        values, true = classified
        curves = roc_curves(values, true, list('abcd'))
        for k, curve in enumerate(curves.values()):
            inside, outside = values[true == k, k], values[true != k, k]
            u = mannwhitneyu(inside, outside).statistic
            assert curve.auc == pytest.approx(u / (len(inside) * len(outside)))
            assert curve.n == (true == k).sum()

    def test_area_is_below_the_curve(self, classified):
        for curve in roc_curves(*classified, list('abcd')).values():
            area = np.trapezoid(curve.true_positive_rate, curve.false_positive_rate)
            assert curve.auc == pytest.approx(area, abs=1e-6)
            assert curve.false_positive_rate[[0, -1]].tolist() == [0, 1]

    def test_galaxies_without_a_class_are_left_out(self, classified):
        values, true = classified
        more = np.concatenate([values, values[:50]])
        unknown = np.concatenate([true, np.full(50, -1)])
        first, second = (
            roc_curves(v, t, list('abcd'))['b'].auc
            for v, t in ((values, true), (more, unknown))
        )
        assert first == second

    def test_a_class_that_is_not_there_has_no_curve(self, classified):
        values, true = classified
        curves = roc_curves(values, np.where(true == 2, 1, true), list('abcd'))
        assert list(curves) == ['a', 'b', 'd']

    def test_of_a_published_matrix(self):
        # Certain answers have one threshold: the area is (TPR + TNR) / 2.
        true, predicted = np.indices((5, 5)).reshape(2, 25).repeat(np.ravel(ZHU), 1)
        curves = roc_curves(np.eye(5)[predicted], true, list('abcde'))
        cigar = curves['c']
        assert cigar.true_positive_rate[1] == pytest.approx(34 / 58)
        assert cigar.false_positive_rate[1] == pytest.approx(13 / 2822)
        areas = [0.9736, 0.9631, 0.7908, 0.9696, 0.9810]
        assert [round(curve.auc, 4) for curve in curves.values()] == areas
        for k, area in enumerate(areas):
            ranked = rank_auc(predicted == k, true == k, np.ones((1, 2880)))[0]
            assert ranked == pytest.approx(area, abs=5e-5)


class TestRankAuc:
    def test_weights_repeat_galaxies(self, classified):
        values, true = classified
        weights = np.random.default_rng(2).integers(0, 4, (5, 300)).astype(float)
        areas = rank_auc(values[:, 0], true == 0, weights)
        for area, weight in zip(areas, weights.astype(int), strict=True):
            repeated, labels = (np.repeat(v, weight) for v in (values[:, 0], true == 0))
            u = mannwhitneyu(repeated[labels], repeated[~labels]).statistic
            assert area == pytest.approx(u / (labels.sum() * (~labels).sum()))

    def test_a_sample_without_the_class_has_none(self):
        weights = np.array([[1.0, 1.0], [0.0, 2.0]])
        areas = rank_auc([0.9, 0.1], [True, False], weights)
        assert areas[0] == 1
        assert np.isnan(areas[1])


class TestCalibration:
    def test_error_is_that_of_torchmetrics(self, classified):
        values, true = classified
        # torchmetrics puts an edge into the lower bin, and sums in single precision
        values = values + 1e-4
        expected = multiclass_calibration_error(
            torch.tensor(values), torch.tensor(true), 4, n_bins=10, norm='l1'
        )
        found = calibration_error(values.max(1), values.argmax(1) == true, n_bins=10)
        assert found == pytest.approx(expected.item(), abs=1e-5)

    def test_error_of_the_table_is_the_same(self, classified):
        values, true = classified
        observed = np.eye(4)[true]
        observed[:20, 1] = np.nan
        table = reliability(values, observed, n_bins=7)
        off = np.abs(table['predicted'] - table['observed'])
        expected = np.average(off, weights=table['n'])
        found = calibration_error(values, observed, n_bins=7)
        assert found == pytest.approx(expected)
        assert table['n'].sum() == 300 * 4 - 20

    def test_weights_repeat_galaxies(self, classified):
        values, true = classified
        weights = np.random.default_rng(2).integers(0, 4, (3, 300))
        errors = calibration_error(values, np.eye(4)[true], weights=weights)
        for error, weight in zip(errors, weights, strict=True):
            rows = np.repeat(np.arange(300), weight)
            expected = calibration_error(values[rows], np.eye(4)[true[rows]])
            assert error == pytest.approx(expected)

    def test_an_honest_network_is_reliable(self):
        rng = np.random.default_rng(3)
        predicted = rng.random(50_000)
        table = reliability(predicted, rng.random(50_000) < predicted)
        pull = (table['observed'] - table['predicted']) / table['error']
        assert np.abs(pull).max() < 3.5
        assert table['low'].tolist() == pytest.approx(np.arange(10) / 10)

    def test_the_ends_belong_to_the_outer_bins(self):
        table = reliability([0.0, 1.0], [0, 1])
        assert table['low'].tolist() == [0, 0.9]
        assert table['error'].tolist() == [0, 0]
