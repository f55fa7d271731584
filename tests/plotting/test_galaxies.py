# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the figures."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure

from galmorph import MorphologyFlag, load_schema
from galmorph.flags import FATAL
from galmorph.plotting import plot_answers, plot_contact_sheet
from galmorph.plotting.galaxies import _MARKS
from tests.helpers.predictions import make_predictions


@pytest.fixture
def table():
    table = make_predictions(13).to_table()
    table['morphology_flags'][4] |= int(MorphologyFlag.EDGE)
    return table


@pytest.fixture
def stamps():
    return np.random.default_rng(3).random((13, 32, 32, 3))


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def draw(stamps, table, **options):
    figure = plot_contact_sheet(stamps, table, figure=Figure(), **options)
    # One canvas, else each extent is measured on a new one.
    FigureCanvasAgg(figure).draw()
    return figure


def overlaps(figure):
    """Pairs of texts that cover each other, badges aside."""
    boxes = [
        (text.get_text(), text.get_window_extent())
        for text in figure.axes[0].texts
        if len(text.get_text()) > 1
    ]
    return [
        (a, b)
        for i, (a, box) in enumerate(boxes)
        for b, other in boxes[:i]
        if min(box.x1, other.x1) - max(box.x0, other.x0) > 1
        and min(box.y1, other.y1) - max(box.y0, other.y0) > 1
    ]


class TestContactSheet:
    def test_says_class_and_probability_of_each_galaxy(self, stamps, table):
        found = texts(draw(stamps, table))
        for i in (0, 2, 12):
            assert str(table['morphology_class'][i]) in found
            assert f'{table["morphology_probability"][i]:.2f}' in found

    def test_shows_every_stamp_with_its_top_row_up(self, stamps, table):
        figure = draw(stamps, table)
        images = figure.axes[0].images
        assert len(images) == 13
        np.testing.assert_array_equal(images[5].get_array(), stamps[5])
        assert all(image.origin == 'upper' for image in images)

    def test_marks_some_flags_and_lists_those_of_all_once(self, stamps, table):
        found = texts(draw(stamps, table))
        assert found.count('E') == 2
        assert found.count('M') == 1
        assert {'EDGE', 'SIZE_MEASURED', 'UNREADABLE_IMAGE'} <= set(found)

    def test_row_without_answer_is_blank(self, stamps, table):
        stamps[1] = np.nan
        figure = draw(stamps, table)
        assert texts(figure).count('no answer') == 1
        assert len(figure.axes[0].images) == 12

    @pytest.mark.parametrize('n_columns', [1, 4, 10, 99])
    def test_texts_keep_apart_and_inside(self, stamps, table, n_columns):
        table['morphology_class'][3:9] = 'disk without spiral arms'
        table['morphology_flags'][6] |= 0x3FFF00
        figure = draw(stamps, table, n_columns=n_columns, title='Ti', caption='Caption')
        assert overlaps(figure) == []
        width, height = figure.get_size_inches() * figure.dpi
        for text in figure.axes[0].texts:
            box = text.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= width
            assert box.y0 >= 0
            assert box.y1 <= height

    def test_measures_texts_on_one_small_canvas(self, stamps, table, monkeypatch):
        sizes, made = [], RendererAgg.__init__

        def note(renderer, width, height, dpi):
            sizes.append(width * height)
            made(renderer, width, height, dpi)

        monkeypatch.setattr(RendererAgg, '__init__', note)
        plot_contact_sheet(stamps, table, figure=Figure(), n_columns=4)
        assert len(sizes) == 1
        assert sizes[0] < 1e5

    def test_takes_bytes_names_and_no_rows(self, stamps, table):
        as_bytes = (stamps * 255).astype(np.uint8)
        names = [f'NGC {i}' for i in range(13)]
        assert 'NGC 7' in texts(draw(as_bytes, table, names=names))
        assert 'none' in texts(draw(stamps[:0], table[:0]))

    def test_without_figure_makes_one_of_pyplot(self, stamps, table):
        import matplotlib as mpl

        mpl.use('agg')
        import matplotlib.pyplot as plt

        figure = plot_contact_sheet(stamps[:2], table[:2])
        assert plt.gcf() is figure
        plt.close(figure)

    def test_wrong_numbers_and_shapes(self, stamps, table):
        with pytest.raises(ValueError, match='13 stamps for 5 rows'):
            draw(stamps, table[:5])
        with pytest.raises(ValueError, match='shape'):
            draw(stamps[..., 0], table)
        with pytest.raises(ValueError, match='names has 1 entries'):
            draw(stamps, table, names=['a'])
        with pytest.raises(ValueError, match='lacks morphology_class'):
            draw(stamps, table['edgeon_yes', 'morphology_flags'])

    def test_every_flag_that_leaves_an_answer_has_its_own_mark(self):
        named = {flag.name for flag in MorphologyFlag if not flag & FATAL}
        assert set(_MARKS) == named
        assert len(set(_MARKS.values())) == len(_MARKS)


class TestAnswers:
    def test_shows_every_answer(self, table, stamps):
        figure = plot_answers(table[0], stamp=stamps[0], figure=Figure())
        figure.canvas.draw()
        found = texts(figure)
        for question in load_schema('gz2').questions:
            assert question.name.replace('_', ' ') in found
        assert f'{table["edgeon_yes"][0]:.2f}' in found
        assert 'SIZE_MEASURED' in found
        assert overlaps(figure) == []

    def test_leaves_out_unsupported_questions(self):
        table = make_predictions(2, unsupported=('bar',)).to_table()
        found = texts(plot_answers(table[0], figure=Figure()))
        assert 'bar' not in found
        assert 'spiral' in found

    def test_row_without_answers(self):
        table = make_predictions(2).to_table('best')
        with pytest.raises(ValueError, match='no answer'):
            plot_answers(table[0], figure=Figure())

    def test_row_that_was_not_predicted_says_why(self):
        table = make_predictions(2, broken=[1]).to_table()
        found = texts(plot_answers(table[1], figure=Figure()))
        assert found[:2] == ['No answer', 'UNREADABLE_IMAGE']
        assert found[2] == table['morphology_reason'][1]

    def test_flags_are_shown_without_a_stamp(self, table, stamps):
        for options in ({}, {'stamp': stamps[4]}):
            figure = plot_answers(table[4], figure=Figure(), **options)
            assert 'EDGE' in texts(figure)
            FigureCanvasAgg(figure).draw()
            assert not overlaps(figure)

    def test_table_in_place_of_a_row(self, table):
        with pytest.raises(TypeError, match=r'one row, table\[0\]'):
            plot_answers(table)
