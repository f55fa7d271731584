# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the figures of curves."""

import numpy as np
import pytest
from astropy.table import Table
from matplotlib.figure import Figure

from galmorph.plotting import plot_learning_curves, plot_reliability, plot_roc
from galmorph.training.evaluation.curves import reliability, roc_curves


def legend(axes):
    return [text.get_text() for text in axes.get_legend().get_texts()]


@pytest.fixture
def curves():
    rng = np.random.default_rng(1)
    true = rng.integers(0, 3, 200)
    values = rng.random((200, 3)) + 0.8 * np.eye(3)[true]
    return roc_curves(values / values.sum(1, keepdims=True), true, ['a', 'b', 'c'])


@pytest.fixture
def log():
    step = np.arange(100, 1100, 100)
    valid = np.where(step % 200 == 0, 1 / step, np.nan)
    return Table(
        {
            'step': step,
            'epoch': step // 500,
            'train/loss': 2 / step,
            'valid/loss': valid,
            'valid/gz2/rmse': np.sqrt(valid),
            'valid/gz2/rmse/edgeon': np.sqrt(valid),
            'valid/zhu5/accuracy': 1 - valid,
        }
    )


class TestRoc:
    def test_draws_each_class_and_tells_its_area(self, curves):
        axes = plot_roc(curves, figure=Figure()).axes[0]
        assert legend(axes) == [f'{n}, AUC {c.auc:.3f}' for n, c in curves.items()]
        line = axes.lines[1]
        assert line.get_xdata() == pytest.approx(curves['a'].false_positive_rate)
        assert line.get_ydata() == pytest.approx(curves['a'].true_positive_rate)

    def test_inset_shows_the_corner(self, curves):
        (inset,) = plot_roc(curves, zoom=0.3, figure=Figure()).axes[0].child_axes[:1]
        assert inset.get_xlim() == (0, 0.3)
        assert inset.get_ylim()[0] == pytest.approx(0.7)

    def test_without_inset(self, curves):
        axes = plot_roc(curves, zoom=0, title='Test', figure=Figure()).axes[0]
        assert axes.child_axes == []
        assert axes.get_title() == 'Test'


class TestReliability:
    def test_draws_the_bins_and_their_error(self):
        rng = np.random.default_rng(2)
        predicted = rng.random(500)
        table = reliability(predicted, rng.random(500) < predicted**2)
        axes, counts = plot_reliability(table, figure=Figure()).axes
        line = axes.lines[1]
        assert line.get_xdata() == pytest.approx(table['predicted'])
        off = np.abs(table['predicted'] - table['observed'])
        expected = np.average(off, weights=table['n'])
        assert legend(axes) == [f'ECE {expected:.3f}']
        assert counts.patches[0].get_data().values.tolist() == table['n'].tolist()

    def test_several(self):
        tables = {
            name: reliability([0.2, 0.7], [0.1, 0.9]) for name in ('spiral', 'smooth')
        }
        axes = plot_reliability(tables, title='Test', figure=Figure()).axes[0]
        assert legend(axes) == ['spiral, ECE 0.150', 'smooth, ECE 0.150']

    def test_empty_bins_between_others(self):
        table = reliability([0.05, 0.95], [0, 1])
        _, counts = plot_reliability(table, figure=Figure()).axes
        data = counts.patches[0].get_data()
        assert data.values.tolist() == [1, 0, 1]
        assert data.edges == pytest.approx([0, 0.1, 0.9, 1])


class TestLearningCurves:
    def test_a_panel_for_each_quantity_but_single_questions(self, log):
        figure = plot_learning_curves(log, figure=Figure())
        labels = [axes.get_ylabel() for axes in figure.axes]
        assert labels == ['loss', 'gz2/rmse', 'zhu5/accuracy']

    def test_marks_the_lowest_loss_and_the_highest_accuracy(self, log):
        loss, accuracy = plot_learning_curves(
            log, quantities=['loss', 'zhu5/accuracy'], figure=Figure()
        ).axes
        assert legend(loss) == ['training', 'validation', 'best: 0.001 at 1000']
        assert legend(accuracy)[-1] == 'best: 0.999 at 1000'

    def test_leaves_out_what_was_not_logged(self, log):
        axes = plot_learning_curves(log, quantities=['loss'], figure=Figure()).axes[0]
        training, validation = axes.lines[:2]
        assert len(training.get_xdata()) == 10
        assert validation.get_xdata().tolist() == [200, 400, 600, 800, 1000]

    def test_masked_columns_and_epochs(self, log):
        masked = Table(log, masked=True)
        masked['train/loss'].mask = [True] * 5 + [False] * 5
        axes = plot_learning_curves(
            masked, quantities=['loss'], x='epoch', title='Run', figure=Figure()
        ).axes[0]
        assert len(axes.lines[0].get_xdata()) == 5
        assert axes.get_xlabel() == 'epoch'

    def test_wide_ranges_are_logarithmic(self, log):
        figure = plot_learning_curves(log, figure=Figure())
        assert [axes.get_yscale() for axes in figure.axes] == [
            'log',
            'linear',
            'linear',
        ]

    @pytest.mark.parametrize('options', [{'quantities': ['accuracy']}, {'x': 'time'}])
    def test_unknown_columns(self, log, options):
        with pytest.raises(
            ValueError, match=r'log has no column .*; it has step, epoch'
        ):
            plot_learning_curves(log, figure=Figure(), **options)
