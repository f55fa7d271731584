# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figure of the errors of questions, with what they are to be compared with."""

import itertools
import re

import numpy as np

from galmorph.plotting._style import (
    COLOURS,
    COLUMN,
    FONT,
    GUIDE,
    SMALL,
    label_decades,
    new_figure,
    round_ticks,
    style,
)

__all__ = ['plot_errors']

# Inches.
_ROW, _MARGIN = 0.17, 0.85
_MARKS = {'zeros': '$0$', 'ones': '$1$', 'mean': '|'}
_MORE_MARKS = 'x+*^'
# Scores over all answers, or over those that all galaxies have labels of.
_POOLED = r'rmse(\d*)'
_INK, _PALE = '#3b4048', '#dfe3e8'
# Errors that spread by more are drawn on a logarithmic axis.
_MAX_RATIO = 8


def plot_errors(metrics, *, baselines=None, title=None, figure=None):
    """
    Plot the root mean square error of each question, with its interval.

    The number of galaxies is at the right. Where the number of votes is known,
    a bar reaches to the binomial floor, below which no answers can get.

    Parameters
    ----------
    metrics : `~galmorph.training.evaluation.Evaluation` or dict
        An evaluation, or the ``metrics`` of a `~galmorph.weights.WeightsCard`;
        or several of these by their names, measured on the same galaxies.
    baselines : dict of str to dict of str to float, optional
        Errors of simple answers by question, drawn as marks: as
        `~galmorph.training.evaluation.Evaluation.baselines` gives them, which
        is what is drawn by default of an evaluation.
    title : str, optional
        What to write above.
    figure : `~matplotlib.figure.Figure`, optional
        As in `~galmorph.plotting.plot_confusion_matrix`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.

    Raises
    ------
    ValueError
        If there are no errors of questions, as with exclusive classes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from galmorph import load_card
    >>> from galmorph.plotting import plot_errors
    >>> card = load_card('compact.gz_ceers')
    >>> figure = plot_errors(card.metrics, figure=Figure())
    >>> [label.get_text() for label in figure.axes[0].get_yticklabels()][:3]
    ['all answers', 'smooth or featured', 'how rounded']
    """
    is_one = hasattr(metrics, 'to_dict') or 'questions' in metrics
    given = {'': metrics} if is_one else dict(metrics)
    first = next(iter(given.values()), None)
    if baselines is None:
        baselines = first.baselines() if hasattr(first, 'baselines') else {}
    scores = {name: _errors_of(one) for name, one in given.items()}
    rows = list(dict.fromkeys(itertools.chain.from_iterable(scores.values())))
    if all(re.fullmatch(_POOLED, row) for row in rows):
        msg = 'metrics has no errors of questions; classes have a confusion matrix'
        raise ValueError(msg)

    row_height = _ROW * (1 + 0.35 * (len(scores) - 1))
    height = row_height * len(rows) + _MARGIN + 0.2 * bool(title)
    figure = new_figure(figure, COLUMN, height)
    axes = figure.add_subplot()
    marks = {
        name: [errors.get(row, np.nan) for row in rows]
        for name, errors in baselines.items()
    }
    if 'zeros' in marks and 'ones' in marks:
        # Of two answers that add up to 1 both are equally wrong: one mark tells it.
        same = np.isclose(marks['zeros'], marks['ones'], rtol=0.02)
        marks['ones'] = np.where(same, np.nan, marks['ones'])
    ends = [score[key] for one in scores.values() for score in one.values()
            for key in ('low', 'high')]  # fmt: skip
    _scale(axes, np.concatenate([ends, *marks.values()]))
    _draw_scores(axes, rows, scores)
    _draw_marks(axes, marks)
    _draw_floors(axes, rows, scores)
    _name_rows(axes, rows, scores)
    axes.set_xlabel('Root mean square error')
    style(axes, minor=False)
    axes.tick_params(axis='y', which='both', length=0)
    figure.legend(loc='outside lower center', ncols=2, fontsize=SMALL - 0.5,
                  frameon=False, handlelength=1.6, columnspacing=1.5)  # fmt: skip
    if title:
        axes.set_title(title, fontsize=FONT)
    return figure


def _errors_of(metrics):
    """Scores by row: over all answers first, then of the questions."""
    metrics = metrics.to_dict() if hasattr(metrics, 'to_dict') else metrics
    pooled = {
        name: score | {'rmse': score['value']}
        for name, score in metrics.items()
        if re.fullmatch(_POOLED, name)
    }
    return pooled | metrics.get('questions', {})


def _scale(axes, values):
    """Let the errors fill the axis."""
    values = values[np.isfinite(values) & (values > 0)]
    low, high = values.min(initial=1), values.max(initial=0)
    if high > _MAX_RATIO * low:
        axes.set(xscale='log', xlim=(0.8 * low, 1.2 * high))
        label_decades(axes.xaxis)
    else:
        axes.set(xlim=(0, 1.08 * high or 1))
        round_ticks(axes.xaxis)


def _draw_floors(axes, rows, scores):
    floors = {row: score['floor'] for one in scores.values()
              for row, score in one.items() if 'floor' in score}  # fmt: skip
    if floors:
        axes.barh([rows.index(row) for row in floors], list(floors.values()),
                  height=0.8, color=_PALE, lw=0, zorder=0.6,
                  label='binomial floor')  # fmt: skip


def _draw_marks(axes, marks):
    more = itertools.cycle(_MORE_MARKS)
    for name, values in marks.items():
        marker = _MARKS.get(name) or next(more)
        size = 8 if marker == '|' else 4
        axes.plot(values, np.arange(len(values)), ls='none', marker=marker, ms=size,
                  color=_INK, mew=1 if len(marker) == 1 else 0.2, zorder=1,
                  label='mean label' if name == 'mean' else name)  # fmt: skip


def _draw_scores(axes, rows, scores):
    shifts = (np.arange(len(scores)) - (len(scores) - 1) / 2) * 0.3
    looks = zip(shifts, itertools.cycle(COLOURS), itertools.cycle('osD^'))
    for (name, one), (shift, colour, marker) in zip(
        scores.items(), looks, strict=False
    ):
        x, low, high = (
            np.array([score[key] for score in one.values()])
            for key in ('rmse', 'low', 'high')
        )
        y = np.array([rows.index(row) for row in one]) + shift
        axes.errorbar(x, y, xerr=(x - low, high - x), ls='none', marker=marker, ms=3,
                      color=colour, elinewidth=1, capsize=0, zorder=2,
                      label=name or 'error, 95 % interval')  # fmt: skip


def _name_rows(axes, rows, scores):
    names, numbers = [], []
    for row in rows:
        pooled = re.fullmatch(_POOLED, row)
        name = f'{pooled[1] or "all"} answers' if pooled else row
        names.append(name.replace('_', ' '))
        n = max(one[row].get('n', 0) for one in scores.values() if row in one)
        numbers.append(f'{n:,}')
    axes.set_yticks(range(len(rows)), names)
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_axisbelow(True)
    axes.grid(axis='y', color=_PALE, lw=0.5)
    place = {'textcoords': 'offset points', 'ha': 'right', 'color': _INK,
             'fontsize': SMALL - 1, 'annotation_clip': False}  # fmt: skip
    right = 5 + 3.4 * max(map(len, numbers))
    for row, text in enumerate(numbers):
        axes.annotate(text, (1, row), (right, 0), va='center',
                      xycoords=axes.get_yaxis_transform(), **place)  # fmt: skip
    axes.annotate('N', (1, 1), (right, 3), xycoords='axes fraction', **place)
    n_pooled = sum(bool(re.fullmatch(_POOLED, row)) for row in rows)
    if n_pooled:
        axes.axhline(n_pooled - 0.5, color=GUIDE, lw=0.6)
