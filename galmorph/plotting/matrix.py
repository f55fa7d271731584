# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figure of a confusion matrix."""

import numpy as np

from galmorph.plotting._style import FONT, SMALL, new_figure, style

__all__ = ['plot_confusion_matrix']

# Inches.
_CELL, _LABELS = 0.62, 1.5
_MAX_LABEL = 14


def plot_confusion_matrix(matrix, classes=None, *, title=None, figure=None):
    """
    Plot which classes are taken for which.

    Each cell has the part of the galaxies of its row, which is its shade, and
    their number below. Cells without galaxies stay empty, and classes that are
    neither there nor predicted are left out.

    Parameters
    ----------
    matrix : array-like of int, shape (n_class, n_class)
        Counts, with true classes as rows; or anything that has ``matrix`` and
        ``classes``, such as a
        `~galmorph.training.evaluation.classification.ClassificationReport`.
    classes : sequence of str, optional
        Names of the classes; numbers from 0 by default.
    title : str, optional
        What to write above.
    figure : `~matplotlib.figure.Figure`, optional
        An empty figure to draw in, whose size is set. By default a new one of
        `matplotlib.pyplot`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.

    Raises
    ------
    ValueError
        If the matrix is not square, or has another number of classes.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from galmorph.plotting import plot_confusion_matrix
    >>> figure = plot_confusion_matrix([[9, 1], [2, 8]], ['disk', 'spheroid'],
    ...                                figure=Figure())
    >>> [text.get_text() for text in figure.axes[0].texts][:2]
    ['90.0%', '9']
    """
    if classes is None:
        classes = getattr(matrix, 'classes', None)
    matrix = np.asarray(getattr(matrix, 'matrix', matrix))
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        msg = f'matrix must be square, a row a true class, not {matrix.shape}'
        raise ValueError(msg)
    classes = [str(c) for c in (range(len(matrix)) if classes is None else classes)]
    if len(classes) != len(matrix):
        msg = f'there are {len(classes)} classes for {len(matrix)} rows of matrix'
        raise ValueError(msg)
    exists = matrix.sum(0) + matrix.sum(1) > 0
    matrix = matrix[exists][:, exists]
    classes = [name for name, is_there in zip(classes, exists, strict=True) if is_there]
    total = matrix.sum(1)
    share = matrix / np.maximum(total, 1)[:, None]

    side = _CELL * len(matrix)
    figure = new_figure(figure, side + _LABELS, side + _LABELS - 0.3)
    axes = figure.add_subplot()
    axes.imshow(share, cmap='Blues', vmin=0, vmax=1.15)
    for (row, column), count in np.ndenumerate(matrix):
        if not count:
            continue
        colour = 'white' if share[row, column] > 0.6 else 'black'
        weight = 'bold' if row == column else 'normal'
        axes.text(column, row - 0.13, f'{100 * share[row, column]:.1f}%', color=colour,
                  ha='center', va='center', fontsize=FONT, weight=weight)  # fmt: skip
        axes.text(column, row + 0.22, f'{count:,}', color=colour, ha='center',
                  va='center', fontsize=SMALL - 1)  # fmt: skip
    ticks = np.arange(len(matrix))
    axes.set_xticks(ticks, [_wrap(name) for name in classes])
    labels = [f'{_wrap(name)}\n({n:,})' for name, n in zip(classes, total, strict=True)]
    axes.set_yticks(ticks, labels)
    axes.set_xlabel('Predicted class')
    axes.set_ylabel('True class')
    if title:
        axes.set_title(title)
    style(axes, minor=False)
    axes.tick_params(length=0)
    if max(map(len, classes)) > 9 or len(classes) > 6:
        axes.tick_params('x', rotation=45)
        for label in axes.get_xticklabels():
            label.set(ha='right', rotation_mode='anchor')
    # Thin lines between the cells.
    axes.set_xticks(ticks[1:] - 0.5, minor=True)
    axes.set_yticks(ticks[1:] - 0.5, minor=True)
    axes.grid(which='minor', color='white', linewidth=1.2)
    axes.tick_params(which='minor', length=0)
    return figure


def _wrap(name):
    """Break a long name at a space."""
    if len(name) <= _MAX_LABEL or ' ' not in name:
        return name
    breaks = [i for i, letter in enumerate(name) if letter == ' ']
    middle = min(breaks, key=lambda i: abs(i - len(name) / 2))
    return f'{name[:middle]}\n{name[middle + 1 :]}'
