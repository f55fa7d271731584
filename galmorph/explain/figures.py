# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Figures of filters, feature maps, montages and saliency, for papers."""

import numpy as np

from galmorph.explain._sheet import DIM, Sheet, as_text
from galmorph.explain.saliency import SaliencyMap

__all__ = ['plot_exciting', 'plot_feature_maps', 'plot_filters', 'plot_saliency']

# Inches; the width is that of a page of two columns.
_WIDTH, _GAP, _LINE = 7.1, 0.04, 0.17
_LETTERS = {1: ('',), 3: ('R', 'G', 'B')}


def plot_filters(filters, *, by_channel=False, n_columns=16, figure=None):
    """
    Plot the filters of the first convolution.

    Each filter has its own contrast: grey is 0, and its largest weight is
    black or white, or a full colour.

    Parameters
    ----------
    filters : array-like, shape (n_filter, n_channel, side, side)
        As `first_filters` gives them, with one or three channels.
    by_channel : bool, optional
        Show the channels one below the other, in grey, and not as colours.
    n_columns : int, optional
        Filters in a row.
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
        If the filters have not one or three channels.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from galmorph.explain import plot_filters
    >>> filters = np.random.default_rng(1).normal(size=(32, 3, 6, 6))
    >>> len(plot_filters(filters, figure=Figure()).axes[0].images)
    32
    """
    filters = np.asarray(filters, float)
    if filters.ndim != 4 or filters.shape[1] not in _LETTERS:
        msg = (
            'filters must have the shape (n_filter, n_channel, side, side) with 1 or '
            f'3 channels, not {filters.shape}'
        )
        raise ValueError(msg)
    n_filter, n_channel = filters.shape[:2]
    largest = np.abs(filters).max((1, 2, 3), keepdims=True)
    shown = 0.5 + 0.5 * filters / np.where(largest > 0, largest, 1)
    if by_channel:
        groups = list(zip(_LETTERS[n_channel], shown.swapaxes(0, 1), strict=True))
    else:
        groups = [('', np.moveaxis(shown, 1, -1))]
    n_columns = min(n_columns, n_filter)
    n_rows = -(-n_filter // n_columns)
    left = 0.2 if len(groups) > 1 else 0.0
    side = (_WIDTH - left + _GAP) / n_columns - _GAP
    block = n_rows * (side + _GAP)
    height = len(groups) * (block + 0.1) - 0.1 - _GAP
    sheet = Sheet(figure, _WIDTH, height)
    top = height
    for letter, pictures in groups:
        sheet.text(0.02, top - block / 2, letter, va='center', weight='bold')
        for k, picture in enumerate(pictures):
            row, column = divmod(k, n_columns)
            x = left + column * (side + _GAP)
            sheet.picture(x, top - side - row * (side + _GAP), side, picture)
        top -= block + 0.1
    return sheet.figure


def plot_feature_maps(found, *, part=0, n_maps=32, n_columns=16, figure=None):
    """
    Plot what each layer makes of a galaxy.

    Each map has its own scale, from 0, which is black, to its largest value:
    what a rectifier takes away is black. Units of a dense layer are the
    columns of a strip.

    Parameters
    ----------
    found : `FeatureMaps`
        As `feature_maps` gives them.
    part : int, optional
        Which of the pictures that go through the layers.
    n_maps : int, optional
        Feature maps of each layer, at most: the first ones.
    n_columns : int, optional
        Maps in a row.
    figure : `~matplotlib.figure.Figure`, optional
        As in `plot_filters`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.

    Raises
    ------
    ValueError
        If there is no such part.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from galmorph.explain import FeatureMaps, plot_feature_maps
    >>> found = FeatureMaps({'conv': np.ones((2, 8, 5, 5))}, np.ones((2, 3, 9, 9)))
    >>> len(plot_feature_maps(found, figure=Figure()).axes[0].images)
    9
    """
    n_part = len(found.pictures)
    if not 0 <= part < n_part:
        msg = f'part must be from 0 to {n_part - 1}, not {part!r}'
        raise ValueError(msg)
    side = (_WIDTH + _GAP) / n_columns - _GAP
    head = 2 * side + _GAP
    # A layer that sees the galaxy as a whole has only one part.
    layers = {
        name: values[part if len(values) > part else 0]
        for name, values in found.maps.items()
    }
    heights = [
        _LINE + (0.5 * side if values.ndim == 1 else _rows(values, n_maps, n_columns)
        * (side + _GAP)) + 0.06 for values in layers.values()
    ]  # fmt: skip
    height = head + 0.08 + sum(heights)
    sheet = Sheet(figure, _WIDTH, height)
    sheet.picture(0, height - head, head, _as_colours(found.pictures[part]))
    text = 'what the first convolution sees'
    if n_part > 1:
        text += f'\npart {part + 1} of {n_part}'
    sheet.text(head + 0.1, height - 0.02, text, colour=DIM, va='top', linespacing=1.5)
    top = height - head - 0.08
    for (name, values), taken in zip(layers.items(), heights, strict=True):
        sheet.text(0, top - _LINE / 2, name, weight='bold', va='center')
        sheet.text(_WIDTH, top - _LINE / 2, _dimensions(values, n_maps), colour=DIM,
                   va='center', ha='right')  # fmt: skip
        if values.ndim == 1:
            y = top - _LINE - 0.5 * side
            sheet.strip(0, y, _WIDTH, 0.5 * side, _rectified(values)[None])
        for k, values_of_map in enumerate(values[:n_maps] if values.ndim > 1 else ()):
            row, column = divmod(k, n_columns)
            y = top - _LINE - side - row * (side + _GAP)
            x = column * (side + _GAP)
            sheet.picture(x, y, side, _rectified(values_of_map), vmin=0, vmax=1,
                          cmap='magma')  # fmt: skip
        top -= taken
    return sheet.figure


def plot_exciting(found, *, names=None, figure=None):
    """
    Plot the galaxies that excite feature maps most, a row a map.

    Under each is the response of the map, in units of that to the first one.
    A square marks what the map looked at, where that is not all of the
    galaxy.

    Parameters
    ----------
    found : `Excitement`
        As `find_exciting` gives it.
    names : sequence of str, optional
        What to call the maps.
    figure : `~matplotlib.figure.Figure`, optional
        As in `plot_filters`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.

    Raises
    ------
    ValueError
        If there are not as many names as maps.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from galmorph.explain import Excitement, plot_exciting
    >>> found = Excitement(
    ...     'conv', np.arange(2), np.array([[4, 1], [1, 7]]), np.ones((2, 2)),
    ...     np.zeros((2, 2, 64, 64, 3)), np.full((2, 2, 4, 2), np.nan))
    >>> len(plot_exciting(found, figure=Figure()).axes[0].images)
    4
    """
    n_map, n_galaxy, n_pixels = found.stamps.shape[:3]
    if names is None:
        kind = 'unit' if found.is_dense else 'map'
        names = [f'{kind} {k}' for k in found.maps]
    names = list(names)
    if len(names) != n_map:
        msg = f'names has {len(names)} entries for {n_map} maps'
        raise ValueError(msg)
    left = 0.22
    side = (_WIDTH - left + _GAP) / n_galaxy - _GAP
    step = side + _LINE + 0.03
    height = n_map * step - 0.03
    sheet = Sheet(figure, _WIDTH, height)
    for (row, column), peak in np.ndenumerate(found.peaks):
        x, y = left + column * (side + _GAP), height - row * step - side
        if column == 0:
            sheet.text(0.02, y + side / 2, names[row], rotation=90, va='center')
        sheet.picture(x, y, side, found.stamps[row, column])
        corners = found.regions[row, column]
        if np.isfinite(corners).all():
            across = (corners[:, 0] + 0.5) / n_pixels * side
            down = (corners[:, 1] + 0.5) / n_pixels * side
            sheet.outline(x + across, y + side - down, clip=(x, y, side))
        first = found.peaks[row, 0]
        part = as_text(peak / first, '.2f') if first > 0 else ''
        sheet.text(x + side / 2, y - 0.02, part, size=6.5, colour=DIM, ha='center',
                   va='top')  # fmt: skip
    return sheet.figure


def plot_saliency(maps, *, titles=None, figure=None):
    """
    Plot saliency maps below the galaxies that they are of.

    The bar on the first galaxy is the size by which it was scaled, for
    example its 90 % Petrosian radius.

    Parameters
    ----------
    maps : `SaliencyMap` or sequence of them
        As `gradient_saliency` and `occlusion_saliency` give them, one a
        column.
    titles : sequence of str, optional
        What to write above the columns; by default the answer and its
        probability.
    figure : `~matplotlib.figure.Figure`, optional
        As in `plot_filters`.

    Returns
    -------
    figure : `~matplotlib.figure.Figure`
        The figure.

    Raises
    ------
    ValueError
        If there are not as many titles as maps.

    Examples
    --------
    >>> import numpy as np
    >>> from matplotlib.figure import Figure
    >>> from galmorph.explain import SaliencyMap, plot_saliency
    >>> one = SaliencyMap(np.eye(4), np.zeros((64, 64, 3)), 'edgeon_yes', 0.9,
    ...                   'occlusion', 4.1)
    >>> len(plot_saliency([one, one], figure=Figure()).axes)
    3
    """
    maps = [maps] if isinstance(maps, SaliencyMap) else list(maps)
    if titles is None:
        titles = [f'{one.answer}\n{one.probability:.2f}' for one in maps]
    titles = list(titles)
    if len(titles) != len(maps):
        msg = f'titles has {len(titles)} entries for {len(maps)} maps'
        raise ValueError(msg)
    label, foot, head = 0.24, 0.32, 0.36
    # Maps of another method begin with room for its name.
    begins = [k == 0 or one.method != maps[k - 1].method for k, one in enumerate(maps)]
    room = _WIDTH - label * sum(begins) + _GAP
    side = min(room / len(maps) - _GAP, 2.2)
    width = label * sum(begins) + len(maps) * (side + _GAP) - _GAP
    height = head + 2 * side + _GAP + foot
    sheet = Sheet(figure, width, height)
    x = 0.0
    for one, title, begin in zip(maps, titles, begins, strict=True):
        is_signed = one.method == 'occlusion'
        if begin:
            text = 'fall when covered' if is_signed else 'gradient'
            x += label
            sheet.text(x - 0.05, foot + side / 2, text, rotation=90, va='center',
                       ha='right', size=7.5)  # fmt: skip
        sheet.text(x + side / 2, height - 0.02, title, ha='center', va='top',
                   linespacing=1.3, width=side, size=7.5)  # fmt: skip
        sheet.picture(x, foot + side + _GAP, side, one.stamp)
        if one is maps[0]:
            sheet.scale_bar(x + 0.1, foot + side + _GAP + 0.1, side / one.width)
        limit = float(np.abs(one.values).max()) or 1.0
        options = {
            'cmap': 'RdBu_r' if is_signed else 'magma',
            'vmin': -limit if is_signed else 0.0,
            'vmax': limit,
        }
        sheet.picture(x, foot, side, one.values, smooth=is_signed, **options)
        sheet.colour_bar(x + 0.1 * side, foot - 0.1, 0.8 * side, **options)
        x += side + _GAP
    return sheet.figure


def _rows(values, n_maps, n_columns):
    return -(-min(len(values), n_maps) // n_columns)


def _dimensions(values, n_maps):
    if values.ndim == 1:
        return f'{len(values)} units'
    text = f'{len(values)} maps of {values.shape[1]} × {values.shape[2]}'
    return f'the first {n_maps} of {text}' if len(values) > n_maps else text


def _rectified(values):
    values = np.maximum(np.asarray(values, float), 0)
    return values / (values.max() or 1)


def _as_colours(picture):
    """A picture, shape (ny, nx, 3 or 1), in [0, 1]; stretched if it is not."""
    picture = np.moveaxis(np.asarray(picture, float), 0, -1)
    if picture.shape[-1] not in _LETTERS:
        picture = picture.mean(-1, keepdims=True)
    low, high = picture.min(), picture.max()
    if low < 0 or high > 1:
        picture = (picture - low) / ((high - low) or 1)
    return picture
