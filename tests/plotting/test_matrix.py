# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the figure of a confusion matrix."""

import numpy as np
import pytest
from matplotlib.figure import Figure

from galmorph.plotting import plot_confusion_matrix
from galmorph.training.evaluation.classification import ClassificationReport

MATRIX = np.array([[815, 21, 10], [29, 1762, 0], [0, 0, 0]])
EMPTY = np.array([[8, 0, 2], [0, 0, 0], [1, 0, 9]])
NAMES = ['completely round smooth', 'in between', 'spiral']


def draw(*args, **options):
    figure = plot_confusion_matrix(*args, figure=Figure(), **options)
    figure.draw_without_rendering()
    return figure.axes[0]


class TestConfusionMatrix:
    def test_cells_have_percentages_of_their_row_and_counts(self):
        axes = draw(MATRIX, NAMES)
        texts = {
            (round(t.get_position()[0]), round(t.get_position()[1])): []
            for t in axes.texts
        }
        for text in axes.texts:
            x, y = text.get_position()
            texts[round(x), round(y)].append(text.get_text())
        assert texts[0, 0] == ['96.3%', '815']
        assert texts[1, 1] == ['98.4%', '1,762']
        # column 1 of row 0: what is round and was taken for in between
        assert texts[1, 0] == ['2.5%', '21']
        assert (2, 1) not in texts

    def test_shades_are_the_parts_of_the_rows(self):
        shown = np.asarray(draw(MATRIX).images[0].get_array())
        assert shown[:2].sum(1) == pytest.approx(1)
        assert not shown[2].any()

    def test_true_classes_are_rows(self):
        axes = draw(MATRIX, NAMES)
        assert axes.get_ylabel() == 'True class'
        assert [label.get_text() for label in axes.get_yticklabels()] == [
            'completely\nround smooth\n(846)', 'in between\n(1,791)', 'spiral\n(0)',
        ]  # fmt: skip

    def test_leaves_out_a_class_that_is_not_there(self):
        axes = draw(EMPTY, NAMES)
        labels = [label.get_text() for label in axes.get_yticklabels()]
        assert labels == ['completely\nround smooth\n(10)', 'spiral\n(10)']
        assert axes.images[0].get_array().shape == (2, 2)

    def test_takes_a_report(self):
        report = ClassificationReport.from_confusion(MATRIX, NAMES)
        axes = draw(report, title='Galaxies')
        assert axes.get_title() == 'Galaxies'
        assert axes.get_xticklabels()[2].get_text() == 'spiral'

    def test_numbers_name_classes_without_names(self):
        axes = draw(MATRIX)
        assert [t.get_text() for t in axes.get_xticklabels()] == ['0', '1', '2']

    def test_text_stays_within_the_figure(self):
        axes = draw(MATRIX, NAMES)
        box = axes.figure.bbox
        for label in [*axes.get_xticklabels(), *axes.get_yticklabels()]:
            extent = label.get_window_extent()
            assert extent.x0 >= box.x0
            assert extent.y0 >= box.y0

    @pytest.mark.parametrize('matrix', [np.ones((2, 3)), np.ones(4)])
    def test_not_square(self, matrix):
        with pytest.raises(ValueError, match='matrix must be square'):
            plot_confusion_matrix(matrix)

    def test_wrong_number_of_names(self):
        with pytest.raises(ValueError, match='2 classes for 3 rows'):
            plot_confusion_matrix(MATRIX, ['a', 'b'])
