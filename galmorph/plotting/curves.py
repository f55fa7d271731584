# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figures of curves: ROC, reliability, and the course of a training."""

import numpy as np

from galmorph.plotting._style import (
    COLOURS,
    COLUMN,
    FONT,
    GUIDE,
    PAGE,
    SMALL,
    label_decades,
    looks,
    new_figure,
    round_ticks,
    style,
)

__all__ = ['plot_learning_curves', 'plot_reliability', 'plot_roc']


def plot_roc(curves, *, zoom=0.2, title=None, figure=None):
    """
    Plot receiver operating characteristics.

    Parameters
    ----------
    curves : dict
        From names of classes to what has ``false_positive_rate``,
        ``true_positive_rate`` and ``auc``, such as the curves of
        `~galmorph.training.evaluation.Evaluation.roc`.
    zoom : float, optional
        An inset shows the corner up to this false positive rate, where the
        curves of good weights crowd; 0 leaves it out.
    title : str, optional
        What to write above.
    figure : `~matplotlib.figure.Figure`, optional
        As in `~galmorph.plotting.plot_confusion_matrix`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from matplotlib.figure import Figure
    >>> from galmorph.plotting import plot_roc
    >>> curve = SimpleNamespace(false_positive_rate=[0, 0.1, 1],
    ...                         true_positive_rate=[0, 0.9, 1], auc=0.9)
    >>> figure = plot_roc({'spiral': curve}, figure=Figure())
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'spiral, AUC 0.900'
    """
    figure = new_figure(figure, COLUMN, COLUMN)
    axes = figure.add_subplot()
    panels = [axes]
    if zoom:
        panels.append(axes.inset_axes((0.44, 0.42, 0.5, 0.5)))
    for panel in panels:
        panel.plot([0, 1], [0, 1], color=GUIDE, lw=0.8, ls=(0, (4, 3)), zorder=0)
        for (name, curve), (colour, dash) in zip(curves.items(), looks(), strict=False):
            panel.plot(curve.false_positive_rate, curve.true_positive_rate,
                       color=colour, ls=dash, lw=1.2,
                       label=f'{name}, AUC {curve.auc:.3f}')  # fmt: skip
        style(panel)
    axes.set(xlim=(-0.01, 1), ylim=(0, 1.01), xlabel='False positive rate',
             ylabel='True positive rate', aspect='equal')  # fmt: skip
    if zoom:
        panels[1].set(xlim=(0, zoom), ylim=(1 - zoom, 1.004))
        panels[1].tick_params(labelsize=SMALL - 1)
        for axis in (panels[1].xaxis, panels[1].yaxis):
            round_ticks(axis, 4)
        marked = axes.indicate_inset_zoom(panels[1], edgecolor=GUIDE, lw=0.6, alpha=1)
        # They would run across the numbers of the inset.
        for line in marked.connectors:
            line.set_visible(False)
    _legend(axes, loc='lower right')
    return _finish(figure, axes, title)


def plot_reliability(tables, *, title=None, figure=None):
    """
    Plot what is observed where a probability is given.

    Points on the diagonal are honest; above it the network is too cautious,
    below too bold. The lower panel counts the predictions.

    Parameters
    ----------
    tables : `~astropy.table.Table` or dict
        As `~galmorph.training.evaluation.curves.reliability` gives it, or several by
        their names.
    title : str, optional
        What to write above.
    figure : `~matplotlib.figure.Figure`, optional
        As in `~galmorph.plotting.plot_confusion_matrix`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure. The legend has the expected calibration error of the bins.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from matplotlib.figure import Figure
    >>> from galmorph.plotting import plot_reliability
    >>> table = Table({'low': [0, 0.5], 'high': [0.5, 1], 'n': [30, 10],
    ...                'predicted': [0.2, 0.8], 'observed': [0.22, 0.7],
    ...                'error': [0.02, 0.05]})
    >>> figure = plot_reliability(table, figure=Figure())
    >>> figure.axes[0].get_legend().get_texts()[0].get_text()
    'ECE 0.040'
    """
    tables = tables if isinstance(tables, dict) else {'': tables}
    figure = new_figure(figure, COLUMN, 1.27 * COLUMN + 0.2 * bool(title))
    grid = figure.add_gridspec(2, height_ratios=(1, 0.3))
    axes = figure.add_subplot(grid[0])
    counts = figure.add_subplot(grid[1], sharex=axes)
    axes.plot([0, 1], [0, 1], color=GUIDE, lw=0.8, ls=(0, (4, 3)), zorder=0)
    for (name, table), (colour, dash) in zip(tables.items(), looks(), strict=False):
        n = np.asarray(table['n'])
        off = np.abs(np.asarray(table['predicted']) - table['observed'])
        error = f'ECE {np.sum(n * off) / n.sum():.3f}'
        axes.errorbar(table['predicted'], table['observed'], table['error'],
                      color=colour, ls=dash, lw=1, marker='o', ms=3, capsize=1.5,
                      label=f'{name}, {error}' if name else error)  # fmt: skip
        # Bins without predictions are not in the table.
        edges = np.unique([table['low'], table['high']])
        filled = np.zeros(len(edges) - 1)
        filled[np.searchsorted(edges, table['low'])] = n
        counts.stairs(filled, edges, color=colour, ls=dash, lw=1, baseline=None)
    axes.set(xlim=(0, 1), ylim=(0, 1), ylabel='Observed fraction')
    # Both keep the same width.
    axes.set_box_aspect(1)
    counts.set_box_aspect(0.3)
    counts.set(yscale='log', xlabel='Predicted probability', ylabel='Number')
    style(axes)
    style(counts, minor=False)
    counts.yaxis.set_minor_formatter('')
    axes.tick_params(labelbottom=False)
    _legend(axes, loc='upper left')
    return _finish(figure, axes, title)


def plot_learning_curves(log, *, quantities=None, x='step', title=None, figure=None):
    """
    Plot the course of a training.

    Parameters
    ----------
    log : `~astropy.table.Table`
        As the CSV logger of Lightning writes it: columns ``train/<quantity>``
        and ``valid/<quantity>``, masked or NaN where nothing was logged.
    quantities : sequence of str, optional
        What to plot, one panel each, such as 'loss' or 'gz2/rmse'. By default
        all but those of single questions.
    x : str, optional
        The column to plot against.
    title : str, optional
        What to write above.
    figure : `~matplotlib.figure.Figure`, optional
        As in `~galmorph.plotting.plot_confusion_matrix`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure. A ring marks the best validation: the highest of an
        accuracy, F1, area or R², the lowest of anything else.

    Raises
    ------
    ValueError
        If the log has no such column.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from matplotlib.figure import Figure
    >>> from galmorph.plotting import plot_learning_curves
    >>> log = Table({'step': [100, 200, 300], 'train/loss': [0.9, 0.5, 0.4],
    ...              'valid/loss': [0.8, 0.6, 0.7]})
    >>> figure = plot_learning_curves(log, figure=Figure())
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['training', 'validation', 'best: 0.6 at 200']
    """
    if x not in log.colnames:
        msg = f'log has no column {x!r}; it has {", ".join(log.colnames)}'
        raise ValueError(msg)
    logged = dict.fromkeys(
        name.split('/', 1)[1]
        for name in log.colnames
        if name.startswith(('train/', 'valid/'))
    )
    if quantities is None:
        quantities = [name for name in logged if name.count('/') < 2]
    unknown = [name for name in quantities if name not in logged]
    if unknown or not quantities:
        missing = unknown[0] if unknown else 'loss'
        msg = (
            f"log has no column 'train/{missing}' or 'valid/{missing}'; it has "
            f'{", ".join(log.colnames)}'
        )
        raise ValueError(msg)
    n_columns = min(2, len(quantities))
    n_rows = -(-len(quantities) // n_columns)
    width = COLUMN if n_columns == 1 else PAGE
    figure = new_figure(figure, width, 2.4 * n_rows)
    for i, name in enumerate(quantities):
        first = figure.axes[0] if i else None
        axes = figure.add_subplot(n_rows, n_columns, i + 1, sharex=first)
        for part, label, colour in (('train', 'training', COLOURS[0]),
                                    ('valid', 'validation', COLOURS[1])):  # fmt: skip
            steps, values = _logged(log, x, f'{part}/{name}')
            if not len(steps):
                continue
            marker = {'marker': 'o', 'ms': 2.5} if len(steps) < 40 else {}
            axes.plot(steps, values, color=colour, lw=1.1, label=label, **marker)
            if part == 'valid':
                _mark_best(axes, name, steps, values)
        lines = [line.get_ydata() for line in axes.lines]
        values = np.concatenate([*lines, [np.nan]])
        if np.nanmin(values, initial=np.inf) > 0 and (
            np.nanmax(values) > 8 * np.nanmin(values)
        ):
            axes.set_yscale('log')
            label_decades(axes.yaxis)
        axes.set(xlabel=x, ylabel=name)
        style(axes, minor=axes.get_yscale() == 'linear')
        _legend(axes, loc='best')
    return _finish(figure, None, title)


def _logged(log, x, column):
    if column not in log.colnames:
        return np.array([]), np.array([])
    steps, values = (
        np.ma.filled(np.ma.asarray(log[name]).astype(float), np.nan)
        for name in (x, column)
    )
    known = np.isfinite(steps) & np.isfinite(values)
    order = np.argsort(steps[known], kind='stable')
    return steps[known][order], values[known][order]


def _mark_best(axes, name, steps, values):
    higher = any(word in name for word in ('accuracy', 'f1', 'auc', 'r2'))
    best = np.argmax(values) if higher else np.argmin(values)
    axes.plot(steps[best], values[best], 'o', mfc='none', mec='k', ms=6, mew=0.8,
              label=f'best: {values[best]:.3g} at {steps[best]:g}')  # fmt: skip


def _legend(axes, **options):
    if axes.get_legend_handles_labels()[0]:
        axes.legend(fontsize=SMALL - 0.5, frameon=False, handlelength=1.6, **options)


def _finish(figure, axes, title):
    if title and axes is not None:
        axes.set_title(title, fontsize=FONT)
    elif title:
        figure.suptitle(title, fontsize=FONT + 1)
    return figure
