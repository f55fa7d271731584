# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figure of what was predicted against what is true."""

import numpy as np

from galmorph.plotting._style import (
    COLOURS,
    COLUMN,
    FONT,
    GUIDE,
    PAGE,
    SMALL,
    new_figure,
    round_ticks,
    style,
)

__all__ = ['plot_predicted_against_true']

# More points than this become a density.
_MAX_POINTS = 1500
_MIN_IN_BIN = 5


def plot_predicted_against_true(
    predicted, true, names=None, *, limits=None, title=None, figure=None
):
    """
    Plot predicted against true values, with their running median.

    One quantity gets a panel of residuals; several get a panel each. Bars
    hold the central 68 % of the predictions in a bin of the true value.

    Parameters
    ----------
    predicted, true : array-like, shape (n,) or (n, k)
        The values of k quantities; NaN where unknown.
    names : str or sequence of str, optional
        What to call the quantities.
    limits : tuple of float or sequence of these, optional
        The ends of the axes, for all or for each; by default those of the
        values.
    title : str, optional
        What to write above.
    figure : `~matplotlib.figure.Figure`, optional
        As in `~galmorph.plotting.plot_confusion_matrix`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure. Each panel tells the number of galaxies, the bias, the root
        mean square error and R².

    Raises
    ------
    ValueError
        If the shapes disagree, or nothing is known of a quantity.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from galmorph.plotting import plot_predicted_against_true
    >>> true = np.arange(10.0)
    >>> figure = plot_predicted_against_true(true + 0.5, true, 'T', figure=Figure())
    >>> print(figure.axes[0].texts[0].get_text())
    N = 10
    bias = +0.500
    RMS = 0.500
    R² = 0.970
    """
    predicted, true = np.asarray(predicted, float), np.asarray(true, float)
    if predicted.shape != true.shape or predicted.ndim not in (1, 2):
        msg = (
            'predicted and true must have the same shape, (n,) or (n, k), not '
            f'{predicted.shape} and {true.shape}'
        )
        raise ValueError(msg)
    predicted, true = (v.reshape(len(v), -1) for v in (predicted, true))
    n_panel = predicted.shape[1]
    names = [names or 'value'] if names is None or isinstance(names, str) else names
    if len(names) != n_panel:
        msg = f'there are {len(names)} names for {n_panel} quantities'
        raise ValueError(msg)
    known = np.isfinite(predicted) & np.isfinite(true)
    if not known.any(0).all():
        msg = f'nothing is known of {names[int(known.any(0).argmin())]!r}'
        raise ValueError(msg)
    if limits is None or np.ndim(limits[0]) == 0:
        limits = [limits] * n_panel

    if n_panel == 1:
        figure = new_figure(figure, COLUMN, 1.27 * COLUMN + 0.2 * bool(title))
        grid = figure.add_gridspec(2, height_ratios=(1, 0.3))
        panels = [figure.add_subplot(grid[0])]
    else:
        n_columns = min(4, n_panel)
        n_rows = -(-n_panel // n_columns)
        width = PAGE if n_columns > 2 else COLUMN * n_columns
        figure = new_figure(figure, width, (width / n_columns + 0.12) * n_rows)
        panels = [figure.add_subplot(n_rows, n_columns, i + 1) for i in range(n_panel)]
    for i, axes in enumerate(panels):
        x, y = true[known[:, i], i], predicted[known[:, i], i]
        ends = limits[i] or _ends(x, y)
        _panel(axes, x, y, ends)
        if n_panel == 1:
            axes.set_ylabel(f'Predicted {names[i]}')
            lower = figure.add_subplot(grid[1], sharex=axes)
            _residuals(lower, x, y, ends)
            lower.set(xlabel=f'True {names[i]}', ylabel='Predicted − true')
            axes.tick_params(labelbottom=False)
        else:
            axes.set_title(str(names[i]), fontsize=SMALL)
    if n_panel > 1:
        figure.supxlabel('True', fontsize=FONT)
        figure.supylabel('Predicted', fontsize=FONT)
        if title:
            figure.suptitle(title, fontsize=FONT + 1)
    elif title:
        panels[0].set_title(title, fontsize=FONT)
    return figure


def _panel(axes, x, y, ends):
    axes.plot(ends, ends, color=GUIDE, lw=0.8, ls=(0, (4, 3)), zorder=1)
    _cloud(axes, x, y, (*ends, *ends))
    _running(axes, x, y, ends)
    axes.set(xlim=ends, ylim=ends)
    axes.set_box_aspect(1)
    for axis in (axes.xaxis, axes.yaxis):
        round_ticks(axis)
    error = y - x
    scatter = np.sum((x - x.mean()) ** 2)
    lines = [f'N = {len(x):,}', f'bias = {error.mean():+.3f}',
             f'RMS = {np.sqrt(np.mean(error**2)):.3f}']  # fmt: skip
    if scatter > 0:
        lines.append(f'R² = {1 - np.sum(error**2) / scatter:.3f}')
    text = '\n'.join(lines).replace('-', '−')
    # Above the points and below the medians.
    axes.text(0.04, 0.96, text, transform=axes.transAxes, va='top',
              fontsize=SMALL - 0.5, zorder=2,
              bbox={'fc': 'white', 'ec': 'none', 'alpha': 0.75, 'pad': 1})  # fmt: skip
    style(axes)


def _residuals(axes, x, y, ends):
    reach = 1.15 * max(np.percentile(np.abs(y - x), 99), 1e-6)
    axes.axhline(0, color=GUIDE, lw=0.8, ls=(0, (4, 3)), zorder=1)
    _cloud(axes, x, y - x, (*ends, -reach, reach), rows=14)
    _running(axes, x, y - x, ends)
    axes.set(xlim=ends, ylim=(-reach, reach))
    axes.set_box_aspect(0.3)
    round_ticks(axes.yaxis)
    style(axes)


def _cloud(axes, x, y, extent, rows=40):
    if len(x) > _MAX_POINTS:
        axes.hexbin(x, y, gridsize=(40, rows), extent=extent, bins='log', mincnt=1,
                    cmap='Greys', linewidths=0.1, zorder=0, vmin=0.5)  # fmt: skip
        return
    if _is_discrete(x):
        # Points of a scale in steps would hide each other.
        step = np.diff(np.unique(x)).min()
        x = x + np.random.default_rng(0).uniform(-0.3, 0.3, len(x)) * step
    size = np.clip(2000 / len(x), 2, 9)
    axes.scatter(x, y, s=size, color=COLOURS[0], alpha=0.35, lw=0, zorder=0)


def _running(axes, x, y, ends):
    """Median and central 68 % in bins of the true value."""
    if _is_discrete(x):
        values = np.unique(x)
        edges = np.concatenate([[-np.inf], (values[1:] + values[:-1]) / 2, [np.inf]])
    else:
        edges = np.linspace(*ends, 11)
        edges[-1] = np.inf
    bins = np.digitize(x, edges)
    rows = []
    for k in np.unique(bins):
        inside = bins == k
        if inside.sum() >= _MIN_IN_BIN:
            rows.append((np.median(x[inside]),
                         *np.percentile(y[inside], [16, 50, 84])))  # fmt: skip
    if rows:
        centre, low, middle, high = np.array(rows).T
        axes.errorbar(centre, middle, (middle - low, high - middle), color=COLOURS[1],
                      lw=1, marker='o', ms=2.5, capsize=1.5, elinewidth=0.8,
                      zorder=3)  # fmt: skip


def _is_discrete(values):
    return 1 < len(np.unique(values)) <= min(25, len(values) / 2)


def _ends(x, y):
    both = np.concatenate([x, y])
    low, high = both.min(), both.max()
    margin = 0.04 * (high - low) or 0.5
    return low - margin, high + margin
