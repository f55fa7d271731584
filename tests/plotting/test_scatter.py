# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the figure of predicted against true values."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from galmorph.plotting import plot_predicted_against_true


def draw(n=300, k=None, seed=0):
    rng = np.random.default_rng(seed)
    true = rng.random(n if k is None else (n, k))
    return true + rng.normal(0.05, 0.1, true.shape), true


class TestPredictedAgainstTrue:
    def test_tells_the_scores(self):
        predicted, true = draw()
        true[:10] = np.nan
        axes, _ = plot_predicted_against_true(
            predicted, true, 'bar length', figure=Figure()
        ).axes
        error = (predicted - true)[10:]
        r2 = 1 - np.mean(error**2) / np.var(true[10:])
        assert axes.texts[0].get_text().split('\n') == [
            'N = 290',
            f'bias = {error.mean():+.3f}',
            f'RMS = {np.sqrt(np.mean(error**2)):.3f}',
            f'R² = {r2:.3f}',
        ]

    def test_residuals_below_share_the_axis(self):
        predicted, true = draw()
        axes, lower = plot_predicted_against_true(
            predicted, true, 'T', limits=(0, 1), figure=Figure()
        ).axes
        assert axes.get_xlim() == axes.get_ylim() == lower.get_xlim() == (0, 1)
        assert lower.get_xlabel() == 'True T'
        assert axes.get_ylabel() == 'Predicted T'

    def test_several_get_a_panel_each(self):
        predicted, true = draw(k=5)
        figure = plot_predicted_against_true(
            predicted, true, list('abcde'), title='Attributes',
            limits=[(0, 1)] * 4 + [(-1, 2)], figure=Figure(),
        )  # fmt: skip
        assert [axes.get_title() for axes in figure.axes] == list('abcde')
        assert figure.axes[4].get_xlim() == (-1, 2)

    def test_running_medians_follow_the_steps_of_a_scale(self):
        rng = np.random.default_rng(1)
        true = rng.integers(-2, 3, 400).astype(float)
        axes = plot_predicted_against_true(true + 1, true, figure=Figure()).axes[0]
        (medians,) = (c.lines[0] for c in axes.containers)
        assert medians.get_xdata().tolist() == [-2, -1, 0, 1, 2]
        assert medians.get_ydata().tolist() == [-1, 0, 1, 2, 3]

    def test_many_points_become_a_density(self):
        predicted, true = draw(5000)
        axes = plot_predicted_against_true(
            predicted, true, limits=(0, 1), figure=Figure()
        ).axes[0]
        assert axes.collections[0].get_array().sum() > 0
        assert len(axes.collections[0].get_offsets()) < 5000

    def test_labels_that_are_all_alike_have_no_r2(self):
        axes = plot_predicted_against_true(
            np.arange(3.0), np.ones(3), figure=Figure()
        ).axes[0]
        assert 'R²' not in axes.texts[0].get_text()

    def test_shapes_that_disagree(self):
        with pytest.raises(ValueError, match='predicted and true must have the same'):
            plot_predicted_against_true(np.ones(3), np.ones(4))

    def test_wrong_number_of_names(self):
        with pytest.raises(ValueError, match='1 names for 2 quantities'):
            plot_predicted_against_true(np.ones((3, 2)), np.ones((3, 2)), 'T')

    def test_unknown_quantity(self):
        true = np.ones((3, 2))
        true[:, 1] = np.nan
        with pytest.raises(ValueError, match="nothing is known of 'b'"):
            plot_predicted_against_true(np.ones((3, 2)), true, ['a', 'b'])
