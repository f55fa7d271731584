# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figures: galaxies with their answers and flags."""

import numpy as np
from astropy.table import Table

from galmorph.flags import FATAL, MorphologyFlag, decode_flags, describe_flags
from galmorph.schemas import load_schema

__all__ = ['plot_answers', 'plot_contact_sheet']

_BACKGROUND, _PANEL = '#101318', '#1c2129'
_TEXT, _DIM, _FAINT = '#e8eaed', '#9aa3af', '#454d59'
_FLAG_COLOUR, _FATAL_COLOUR = '#ffd166', '#ff6b6b'
# Of about the same lightness, and told apart with any colour vision.
_CLASS_COLOURS = (
    '#6cb6ff', '#ff9e64', '#7ee0b5', '#d2a8ff', '#f2cc60', '#ff8fab', '#a5b1c2',
)  # fmt: skip

# The letters that mark flags in a stamp.
_MARKS = {
    'NONFINITE_PIXELS': 'N',
    'EDGE': 'E',
    'SIZE_MEASURED': 'M',
    'SIZE_UNCERTAIN': 'U',
    'SIZE_UNKNOWN': '?',
    'FRAME_ASSUMED': 'F',
    'ORIENTATION_ASSUMED': 'O',
    'SINGLE_BAND': '1',
    'FLUX_SCALED': 'B',
    'OTHER_INSTRUMENT': 'I',
    'LOW_SIGNAL': 'L',
    'POINT_SOURCE': 'P',
    'UNRESOLVED': 'R',
    'NO_SOURCE': '0',
}

# Inches.
_STAMP, _GAP, _LABEL, _MARGIN = 1.2, 0.1, 0.38, 0.35
_MARKS_IN_A_ROW = 7
_LINE = 0.19
_MIN_WIDTH = 10.5


def plot_contact_sheet(
    stamps, table, *, names=None, n_columns=10, title=None, caption=None, figure=None
):
    """
    Plot many galaxies with their classes, probabilities and flags.

    Flags that all galaxies have are listed once; the others mark the stamps
    with a letter.

    Parameters
    ----------
    stamps : array-like, shape (n, ny, nx, 3)
        Pictures of the galaxies, colours in [0, 1] or uint8, top row first,
        such as `~galmorph.inference.stamps.render_stamps` makes. One that is
        not finite is left blank.
    table : `~astropy.table.Table`
        A row a galaxy, with the columns ``morphology_class``,
        ``morphology_probability`` and ``morphology_flags``, as
        `~galmorph.MorphologyClassifier.predict` gives them.
    names : sequence, optional
        What to call the galaxies; their row number, from 1, by default.
    n_columns : int, optional
        Stamps in a row.
    title, caption : str, optional
        What to write above the stamps.
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
        If ``stamps`` are no colour pictures, or their number is not that of
        the rows or names; or if ``table`` lacks a column.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from matplotlib.figure import Figure
    >>> from galmorph.plotting import plot_contact_sheet
    >>> table = Table({'morphology_class': ['spiral', 'edge-on disk'],
    ...                'morphology_probability': [0.8, 0.6],
    ...                'morphology_flags': [0, 512]})
    >>> figure = plot_contact_sheet(np.zeros((2, 64, 64, 3)), table, figure=Figure())
    >>> figure.get_size_inches().round(1).tolist()
    [10.5, 3.1]
    """
    stamps = _as_stamps(stamps, len(table))
    classes, probability, flags = _answers(table)
    names = np.arange(1, len(table) + 1) if names is None else names
    if len(names) != len(table):
        msg = f'names has {len(names)} entries, the table {len(table)} rows'
        raise ValueError(msg)
    colours = _colours(classes)
    shared, some = _split_flags(flags)

    n_columns = max(1, min(n_columns, len(table)))
    n_rows = -(-len(table) // n_columns)
    block = n_columns * (_STAMP + _GAP) - _GAP
    width = max(_MIN_WIDTH, block + 2 * _MARGIN)
    head = 0.45 * bool(title) + _LINE * 1.2 * bool(caption)
    foot = _LINE * (2.6 + max(len(shared), len(some), 1))
    height = 2 * _MARGIN + head + n_rows * (_STAMP + _GAP + _LABEL) + foot
    page = _Page(figure, width, height)

    top = height - _MARGIN
    if title:
        page.text(_MARGIN, top - 0.1, title, 15, weight='bold', va='center')
    if caption:
        y = top - 0.45 * bool(title) - 0.02
        page.text(_MARGIN, y, caption, 9, _DIM, va='center')
    marked = sum(map(int, some))
    for i, (row, column) in enumerate(np.ndindex(n_rows, n_columns)):
        if i == len(table):
            break
        x = _MARGIN + column * (_STAMP + _GAP)
        y = top - head - (row + 1) * (_STAMP + _GAP + _LABEL) + _LABEL + _GAP
        page.stamp(x, y, _STAMP, stamps[i])
        page.badge(x + 0.05, y + _STAMP - 0.05, str(names[i]))
        letters = [_MARKS[n] for n in decode_flags(int(flags[i]) & marked)
                   if n in _MARKS]  # fmt: skip
        page.marks(x + _STAMP - 0.1, y + 0.1, letters)
        if flags[i] & int(FATAL):
            reason = decode_flags(int(flags[i]) & int(FATAL))[0]
            page.text(x + _STAMP / 2, y + _STAMP / 2, 'no answer', 8, _FATAL_COLOUR,
                      ha='center', va='center')  # fmt: skip
            page.text(x, y - 0.1, reason, 7, _FATAL_COLOUR, width=_STAMP, va='center')
        else:
            page.answer(x, y, _STAMP, name=classes[i], probability=probability[i],
                        colours=colours)  # fmt: skip

    page.class_legend(_MARGIN, foot + 0.5 * _MARGIN, width, classes, colours)
    y = foot + 0.5 * _MARGIN - 1.4 * _LINE
    page.flag_legend(_MARGIN, y, 'Flags of every galaxy', dict.fromkeys(shared))
    page.flag_legend(width / 2, y, 'Flags of the galaxies marked', some)
    return page.figure


def plot_answers(row, *, stamp=None, schema=None, title=None, figure=None):
    """
    Plot all answers for one galaxy.

    Parameters
    ----------
    row : `~astropy.table.Row`
        A row of a table with all answers. Bars are path probabilities: those
        of a question add up to that of the answer that leads to it. The most
        probable answer of each question is bright. Bars of attributes go from
        the lower to the upper end of the scale.
    stamp : array-like, shape (ny, nx, 3), optional
        A picture of the galaxy, as for `plot_contact_sheet`.
    schema : `~galmorph.schemas.DecisionTree` or \
`~galmorph.schemas.AttributeSchema`, optional
        The questions, or attributes. By default those that the ``meta`` of the
        table names.
    title : str, optional
        What to write above; by default the class.
    figure : `~matplotlib.figure.Figure`, optional
        As in `plot_contact_sheet`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.

    Raises
    ------
    ValueError
        If the row has no column of an answer.
    TypeError
        If it is a table.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from matplotlib.figure import Figure
    >>> from galmorph import load_schema
    >>> from galmorph.plotting import plot_answers
    >>> table = Table({'edgeon_yes': [0.2], 'edgeon_no': [0.5]})
    >>> figure = plot_answers(table[0], schema=load_schema('gz2'), figure=Figure())
    >>> [text.get_text() for text in figure.axes[0].texts][1:4]
    ['edgeon', 'yes', '0.20']
    """
    if isinstance(row, Table):
        msg = 'row must be one row, table[0], not a table'
        raise TypeError(msg)
    schema = load_schema(row.meta.get('GM_SCHEM', 'gz2')) if schema is None else schema
    asked = _bars_of(schema, row)
    columns = set(schema.columns) & set(row.colnames)
    if not columns:
        msg = f'the row has no answer of {schema.name!r}; make it with columns="all"'
        raise ValueError(msg)
    side = 3.2 if stamp is not None else 0.0
    flags = decode_flags(int(row['morphology_flags'])) \
        if 'morphology_flags' in row.colnames else ()  # fmt: skip
    n_lines = sum(len(pairs) + 1.7 for _, pairs in asked)
    height = max(n_lines * _LINE + 2 * _MARGIN + 0.5, side + 2 * _MARGIN + 0.7)
    if not side:
        height += len(flags) * _LINE
    left = _MARGIN + side + (0.35 if side else 0)
    page = _Page(figure, left + 6.3 + _MARGIN, height)
    if title is None:
        title = _text(row, 'morphology_class') or ('Answers' if asked else 'No answer')
    page.text(_MARGIN, height - _MARGIN - 0.1, title, 14, weight='bold', va='center')
    y = height - _MARGIN - 0.5
    if side:
        page.stamp(_MARGIN, y - side, side, _as_stamps([stamp], 1)[0])
    for i, name in enumerate(flags):
        page.text(_MARGIN, y - side - (i + bool(side)) * _LINE, name, 7.5, _FLAG_COLOUR,
                  va='center')  # fmt: skip
    if not side:
        y -= len(flags) * _LINE
    reason = _text(row, 'morphology_reason')
    if reason and not asked:
        page.text(left, y - 0.5 * _LINE, reason, 9, va='center', width=6.3)
    for heading, bars in asked:
        y -= 0.5 * _LINE
        page.text(left, y, heading, 9, _DIM, va='center')
        longest = max(length for _, _, length in bars)
        for label, number, length in bars:
            y -= _LINE
            is_best = schema.kind == 'attributes' or length == longest
            page.text(left + 0.15, y, label, 8, _TEXT if is_best else _DIM, va='center',
                      width=2.3)  # fmt: skip
            page.bar(left + 2.6, y - 0.05, 3.0, 0.1, value=length,
                     colour=_CLASS_COLOURS[0] if is_best else _FAINT)  # fmt: skip
            page.text(left + 5.7, y, number, 8, _TEXT if is_best else _DIM,
                      va='center', width=0.75)  # fmt: skip
        y -= 1.2 * _LINE
    return page.figure


def _text(row, name):
    """What a column says of a row, if it says something."""
    value = row[name] if name in row.colnames else ''
    return '' if np.ma.is_masked(value) else str(value)


def _bars_of(schema, row):
    """For each heading the label, number and length of its bars."""
    asked = []
    if schema.kind == 'attributes':
        known = [(a, row[a.name]) for a in schema.attributes if a.name in row.colnames]
        bars = []
        for attribute, value in known:
            if not _is_known(value):
                continue
            std = row[f'{attribute.name}_std'] \
                if f'{attribute.name}_std' in row.colnames else None  # fmt: skip
            number = f'{value:.2f}'
            if std is not None and _is_known(std):
                number += f' ± {std:.2f}'
            length = (value - attribute.low) / (attribute.high - attribute.low)
            bars.append((attribute.label, number, float(length)))
        return [(schema.title, bars)] if bars else []
    for question in schema.questions:
        names = [f'{question.name}_{answer.name}' for answer in question.answers]
        if set(names) <= set(row.colnames) and any(_is_known(row[n]) for n in names):
            values = [_number(row[name]) for name in names]
            labels = [answer.label for answer in question.answers]
            bars = [(label, f'{value:.2f}', value)
                    for label, value in zip(labels, values, strict=True)]  # fmt: skip
            asked.append((question.name.replace('_', ' '), bars))
    return asked


class _Page:
    """A dark page whose coordinates are inches from the lower left."""

    def __init__(self, figure, width, height):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        if figure is None:
            import matplotlib.pyplot as plt

            figure = plt.figure()
        figure.set_size_inches(width, height)
        figure.set_facecolor(_BACKGROUND)
        figure.set_dpi(150)
        self.figure = figure
        self.axes = figure.add_axes((0, 0, 1, 1), facecolor=_BACKGROUND)
        self.axes.set_axis_off()
        self._extent = (0, width, 0, height)
        # Each text would make one for itself, of the size of the page.
        self._renderer = FigureCanvasAgg(Figure((1, 1), 150)).get_renderer()
        self._restore()

    def _restore(self):
        self.axes.axis(self._extent)

    def text(self, x, y, text, size, colour=_TEXT, *, width=None, **options):
        """Write text, smaller if need be, so that it keeps to a width."""
        made = self.axes.text(x, y, text, fontsize=size, color=colour, **options)
        if width is not None:
            taken = self.extent(made)
            made.set_fontsize(size * min(1, width / taken))
        return made

    def extent(self, text):
        """The width of a text, in inches."""
        return text.get_window_extent(self._renderer).width / self.figure.dpi

    def patch(self, patch):
        self.axes.add_patch(patch)

    def stamp(self, x, y, side, pixels):
        from matplotlib.patches import Rectangle

        panel = Rectangle((x, y), side, side, fc=_PANEL, ec='none', zorder=0)
        self.patch(panel)
        if np.isfinite(pixels).all():
            self.axes.imshow(
                pixels,
                extent=(x, x + side, y, y + side),
                origin='upper',
                interpolation='bilinear',
                zorder=0.5,
            )
            self._restore()

    def badge(self, x, y, text):
        from matplotlib import patheffects

        made = self.text(x, y, text, 6.5, _TEXT, ha='left', va='top')
        # Legible on a bright galaxy as well.
        made.set_path_effects([patheffects.withStroke(linewidth=2, foreground='k')])

    def marks(self, x, y, letters):
        from matplotlib.patches import Circle

        for i, letter in enumerate(reversed(letters)):
            line, place = divmod(i, _MARKS_IN_A_ROW)
            centre = (x - 0.155 * place, y + 0.155 * line)
            self.patch(Circle(centre, 0.067, fc=_FLAG_COLOUR, ec='k', lw=0.6, zorder=3))
            self.text(*centre, letter, 5.5, 'k', weight='bold', ha='center',
                      va='center_baseline', zorder=4)  # fmt: skip

    def bar(self, x, y, width, height, *, value, colour):
        from matplotlib.patches import Rectangle

        self.patch(Rectangle((x, y), width, height, fc=_PANEL, ec='none'))
        self.patch(Rectangle((x, y), width * value, height, fc=colour, ec='none'))

    def answer(self, x, y, side, *, name, probability, colours):
        if np.isfinite(probability):
            number = self.text(x + side, y - 0.09, f'{probability:.2f}', 7, _TEXT,
                               ha='right', va='center')  # fmt: skip
            room = side - self.extent(number) - 0.06
            self.bar(x, y - 0.12, room, 0.055, value=probability, colour=colours[name])
        self.text(x, y - 0.25, name, 7, colours[name], va='center', width=side)

    def class_legend(self, x, y, width, classes, colours):
        from matplotlib.patches import Rectangle

        labels = [
            self.text(x, y, f'{name}  {np.count_nonzero(classes == name)}', 8.5,
                      va='center')
            for name in colours
        ]  # fmt: skip
        steps = [self.extent(label) + 0.45 for label in labels]
        shrink = min(1, (width - 2 * _MARGIN) / max(sum(steps), 1))
        for label, step, colour in zip(labels, steps, colours.values(), strict=True):
            label.set_fontsize(8.5 * shrink)
            label.set_x(x + 0.17)
            self.patch(Rectangle((x, y - 0.055), 0.11, 0.11, fc=colour, ec='none'))
            x += step * shrink

    def flag_legend(self, x, y, title, counts):
        self.text(x, y, title, 8, _DIM, va='center')
        if not counts:
            self.text(x, y - _LINE, 'none', 7.5, _FAINT, va='center')
        meanings = describe_flags()
        for flag, count in counts.items():
            y -= _LINE
            if flag.name in _MARKS:
                self.marks(x + 0.07, y, [_MARKS[flag.name]])
            made = self.text(x + 0.22, y, flag.name, 7.5, _TEXT, va='center')
            offset = 0.22 + self.extent(made) + 0.1
            text = meanings[flag.name][1]
            if count is not None:
                text = f'{text}: {count}'
            room = self._extent[1] / 2 - _MARGIN - offset
            self.text(x + offset, y, text, 7, _DIM, va='center', width=room)


def _as_stamps(stamps, n_rows):
    stamps = np.asarray(stamps)
    if not len(stamps):
        stamps = stamps.reshape(0, 1, 1, 3)
    if stamps.ndim != 4 or stamps.shape[-1] != 3:
        msg = f'stamps must have the shape (n, ny, nx, 3), not {stamps.shape}'
        raise ValueError(msg)
    if len(stamps) != n_rows:
        msg = f'there are {len(stamps)} stamps for {n_rows} rows'
        raise ValueError(msg)
    return stamps if stamps.dtype == np.uint8 else np.clip(stamps, 0, 1)


def _answers(table):
    """Class, probability and flags of each row, without masks."""
    wanted = ('morphology_class', 'morphology_probability', 'morphology_flags')
    missing = [name for name in wanted if name not in table.colnames]
    if missing:
        msg = f"table lacks {', '.join(missing)}; make it with columns='all' or 'best'"
        raise ValueError(msg)
    classes, probability, flags = (np.ma.asarray(table[name]) for name in wanted)
    return (
        np.ma.filled(classes, '').astype(str),
        np.ma.filled(probability.astype(float), np.nan),
        np.ma.filled(flags, 0).astype(int),
    )


def _colours(classes):
    """A colour for each class, the most frequent first."""
    names, counts = np.unique(classes[classes != ''], return_counts=True)
    order = np.argsort(-counts, kind='stable')
    n = len(_CLASS_COLOURS)
    return {str(names[k]): _CLASS_COLOURS[i % n] for i, k in enumerate(order)}


def _split_flags(flags):
    """Counts of the flags that all answers have, and of those that some have."""
    shared, some = {}, {}
    n_answer = np.count_nonzero((flags & int(FATAL)) == 0)
    for flag in MorphologyFlag:
        count = int(np.count_nonzero(flags & int(flag)))
        if count:
            (shared if count == n_answer else some)[flag] = count
    return shared, some


def _is_known(value):
    return value is not np.ma.masked and bool(np.isfinite(value))


def _number(value):
    return float(value) if _is_known(value) else 0.0
