# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The look of figures for a paper: sizes, colours, ticks."""

import itertools

# Okabe & Ito: told apart with any colour vision.
COLOURS = (
    '#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9', '#000000',
)  # fmt: skip
# After the colours are used up.
DASHES = ('-', '--', ':')
GUIDE = '#8a8f98'
# Inches: a column of a journal, and its page.
COLUMN, PAGE = 3.5, 7.1
FONT, SMALL = 8, 7


def new_figure(figure, width, height):
    """Take the figure that is given, or make one, of a size in inches."""
    if figure is None:
        import matplotlib.pyplot as plt

        figure = plt.figure()
    figure.set_size_inches(width, height)
    figure.set_dpi(200)
    figure.set_layout_engine('constrained')
    return figure


def style(axes, *, minor=True):
    """Turn the ticks inwards, on all sides."""
    axes.tick_params(
        which='both', direction='in', top=True, right=True, labelsize=SMALL
    )
    if minor:
        axes.minorticks_on()
    for side in axes.spines.values():
        side.set_linewidth(0.7)
    for label in (axes.xaxis.label, axes.yaxis.label, axes.title):
        label.set_fontsize(FONT)


def round_ticks(axis, n=5):
    """Put few ticks, at steps of 1, 2 or 5."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(n, steps=[1, 2, 5, 10]))


def label_decades(axis):
    """Label a logarithmic axis at 1, 2 and 5, as plain numbers."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f'{value:g}'))
    axis.set_minor_formatter(NullFormatter())


def looks():
    """Endless pairs of colour and line style, no two of the first 21 alike."""
    return itertools.cycle((c, d) for d in DASHES for c in COLOURS)
