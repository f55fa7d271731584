# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the figure of the errors of questions."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from galmorph import load_schema
from galmorph.plotting import plot_errors
from galmorph.training.data.labels import Labels
from galmorph.training.evaluation import evaluate
from tests.helpers.predictions import draw_paths

METRICS = {
    'split': 'test',
    'rmse17': {'value': 0.15, 'low': 0.14, 'high': 0.16, 'n': 1412},
    'ece': {'value': 0.01, 'low': 0.01, 'high': 0.02, 'n': 1412},
    'questions': {
        'edgeon': {'rmse': 0.1, 'low': 0.09, 'high': 0.12, 'n': 400, 'floor': 0.08},
        'odd_feature': {'rmse': 0.2, 'low': 0.18, 'high': 0.21, 'n': 30},
    },
}


def draw(*args, **options):
    figure = plot_errors(*args, figure=Figure(), **options)
    return figure, figure.axes[0]


def texts_of(legend):
    return [text.get_text() for text in legend.get_texts()]


class TestRows:
    def test_a_row_a_question_with_its_number_of_galaxies(self):
        _, axes = draw(METRICS)
        names = [label.get_text() for label in axes.get_yticklabels()]
        assert names == ['17 answers', 'edgeon', 'odd feature']
        assert [text.get_text() for text in axes.texts] == ['1,412', '400', '30', 'N']
        # The first row is the uppermost.
        assert axes.get_ylim()[0] > axes.get_ylim()[1]

    def test_values_and_intervals(self):
        _, axes = draw(METRICS)
        (points,) = axes.containers[:1]
        assert points.lines[0].get_xdata().tolist() == [0.15, 0.1, 0.2]
        (bars,) = points.lines[2]
        ends = [segment[:, 0].tolist() for segment in bars.get_segments()]
        assert np.allclose(ends, [[0.14, 0.16], [0.09, 0.12], [0.18, 0.21]])

    def test_the_floor_is_where_it_is_known(self):
        figure, axes = draw(METRICS)
        (bar,) = axes.patches
        assert bar.get_width() == 0.08
        assert bar.get_y() + bar.get_height() / 2 == pytest.approx(1)
        assert 'binomial floor' in texts_of(figure.legends[0])

    def test_several_weights(self):
        figure, axes = draw({'one': METRICS, 'another': METRICS}, title='Both')
        assert texts_of(figure.legends[0])[:2] == ['one', 'another']
        first, second = (c.lines[0].get_ydata() for c in axes.containers[:2])
        assert (first < second).all()
        assert axes.get_title() == 'Both'


class TestBaselines:
    def test_are_marked_in_their_rows(self):
        figure, axes = draw(METRICS, baselines={'mean': {'edgeon': 0.3}})
        marks = next(one for one in axes.lines if one.get_label() == 'mean label')
        assert np.isfinite(marks.get_xdata()).tolist() == [False, True, False]
        assert axes.get_xlim()[1] > 0.3
        assert 'mean label' in texts_of(figure.legends[0])

    def test_two_answers_are_equally_wrong_at_zero_and_one(self):
        baselines = {
            'zeros': {'edgeon': 0.64, 'odd_feature': 0.2},
            'ones': {'edgeon': 0.64, 'odd_feature': 0.9},
        }
        _, axes = draw(METRICS, baselines=baselines)
        marks = {line.get_label(): line.get_xdata() for line in axes.lines}
        assert np.isfinite(marks['zeros']).tolist() == [False, True, True]
        assert np.isfinite(marks['ones']).tolist() == [False, False, True]

    def test_of_an_evaluation_come_by_themselves(self):
        labels = draw_paths(20, seed=4)
        evaluation = evaluate(
            draw_paths(20),
            None,
            Labels('fractions', labels),
            schema=load_schema('gz2'),
            n_draws=20,
        )
        figure, axes = draw(evaluation)
        assert {'mean label', 'zeros', 'ones'} < set(texts_of(figure.legends[0]))
        # Errors of ones are many times those of a network.
        assert axes.get_xscale() == 'log'
        figure, _ = draw(evaluation, baselines={})
        assert texts_of(figure.legends[0]) == ['error, 95 % interval']


@pytest.mark.parametrize('metrics', [{'questions': {}}, {}, {'one': {'accuracy': {}}}])
def test_without_questions(metrics):
    with pytest.raises(ValueError, match='metrics has no errors of questions'):
        plot_errors(metrics, figure=Figure())
