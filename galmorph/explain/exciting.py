# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Activation montages: the galaxies that excite a feature map most."""

import dataclasses

import numpy as np
import torch
from astropy.table import Table

from galmorph.exceptions import ImageError
from galmorph.explain._views import (
    answers_of,
    stamp_of,
    view_to_stamp,
    views_of,
)
from galmorph.explain._watch import Watch, check_layers, run_empty
from galmorph.inference import catalog
from galmorph.preprocessing.geometry import apply_affine

__all__ = ['Excitement', 'find_exciting']

# A pixel belongs to what a map looks at where the gradient is above this part
# of its largest value.
_GRADIENT = 0.01

# A map that looks at more of a view than this sees all of the galaxy.
_WHOLE = 0.8


@dataclasses.dataclass(frozen=True)
class Excitement:
    """
    The galaxies that excite the feature maps of a layer most.

    Attributes
    ----------
    layer : str
        The layer.
    maps : `~numpy.ndarray`, shape (n_map,)
        The feature maps, or the units of a dense layer.
    rows : `~numpy.ndarray`, shape (n_map, n_galaxies)
        For each map the rows of the galaxies, the most exciting first.
    peaks : `~numpy.ndarray`, shape (n_map, n_galaxies)
        The largest response of the map to each of them.
    stamps : `~numpy.ndarray`, shape (n_map, n_galaxies, n_pixels, n_pixels, 3)
        Their pictures, north up.
    regions : `~numpy.ndarray`, shape (n_map, n_galaxies, 4, 2)
        Corners, in pixels of the stamp, of what the map looked at there. NaN
        where that is nearly everything.
    is_dense : bool
        Whether the layer is a dense one, without places.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.explain import Excitement
    >>> found = Excitement(
    ...     'conv', np.arange(2), np.array([[4, 1], [1, 7]]), np.ones((2, 2)),
    ...     np.zeros((2, 2, 64, 64, 3)), np.full((2, 2, 4, 2), np.nan))
    >>> found.rows[0]
    array([4, 1])
    """

    layer: str
    maps: np.ndarray
    rows: np.ndarray
    peaks: np.ndarray
    stamps: np.ndarray
    regions: np.ndarray
    is_dense: bool = False


def find_exciting(
    classifier, images, layer, *, maps=8, n_galaxies=8, image=None, size=None,
    n_pixels=128, progress_bar=False,
):  # fmt: skip
    """
    Find the galaxies that excite the feature maps of a layer most.

    This is how Dieleman et al. (2015, MNRAS 450, 1441, section 7) look for
    the meaning of what their network has learnt.

    Parameters
    ----------
    classifier : `~galmorph.MorphologyClassifier`
        The classifier.
    images : `~astropy.table.Table` or list of images
        Galaxies, as in `~galmorph.MorphologyClassifier.predict_table` or
        `~galmorph.MorphologyClassifier.predict`. One whose image cannot be
        used is passed over. Those of a mosaic come from
        `~galmorph.images.Mosaic.cutouts_at`.
    layer : str
        A name of `~galmorph.explain.list_layers`.
    maps : int or sequence of int, optional
        Which maps; or how many: those whose responses, rectified, differ most
        between the galaxies, and from one another.
    n_galaxies : int, optional
        Galaxies a map.
    image : str, optional
        The column of images.
    size : str or `~astropy.units.Quantity`, optional
        The sizes of the galaxies.
    n_pixels : int, optional
        Side of the stamps.
    progress_bar : bool, optional
        Whether to show progress.

    Returns
    -------
    found : `Excitement`
        The galaxies.

    Raises
    ------
    ValueError
        If the network has no such layer or map, or if there are fewer
        galaxies than asked for.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.explain import find_exciting
    >>> stamps = np.random.default_rng(1).integers(0, 255, (3, 64, 64, 3), np.uint8)
    >>> found = find_exciting(
    ...     MorphologyClassifier('dieleman.gz2', 'cpu'), list(stamps), 'convs.1',
    ...     maps=[5], n_galaxies=2)
    >>> found.rows.shape, bool(found.peaks[0, 0] >= found.peaks[0, 1])
    ((1, 2), True)
    """
    engine = classifier.engine
    shapes = run_empty(engine).shapes
    check_layers([layer], shapes)
    n_map = shapes[layer][1]
    if not np.isscalar(maps) and not all(0 <= k < n_map for k in maps):
        msg = f'maps must be from 0 to {n_map - 1} in the layer {layer!r}, not {maps!r}'
        raise ValueError(msg)
    rows = _rows(images, image, size)
    peaks = np.full((len(rows), n_map), -np.inf, np.float32)
    for row in _progress(range(len(rows)), shown=progress_bar):
        try:
            views = views_of(engine, catalog.read_row(rows[row]))
        except ImageError:
            continue
        peaks[row] = _peaks(engine, views, layer).cpu().numpy()
    usable = np.isfinite(peaks).all(1)
    if usable.sum() < n_galaxies:
        msg = (
            f'n_galaxies={n_galaxies} is more than the {usable.sum()} of '
            f'{len(rows)} images that can be used'
        )
        raise ValueError(msg)
    if np.isscalar(maps):
        maps = _telling(np.maximum(peaks[usable], 0), min(maps, n_map))
    maps = np.array(maps, int)
    best = np.argsort(-peaks[:, maps].T, axis=1, kind='stable')[:, :n_galaxies]
    is_dense = len(shapes[layer]) == 2
    stamps = np.empty((*best.shape, n_pixels, n_pixels, 3), np.float32)
    regions = np.full((*best.shape, 4, 2), np.nan)
    for row in np.unique(best):
        galaxy = catalog.read_row(rows[row])
        stamps[best == row] = stamp_of(galaxy, engine.recipe, n_pixels)
        if not is_dense:
            views = views_of(engine, galaxy)
            for place in zip(*np.nonzero(best == row), strict=True):
                index = maps[place[0]]
                regions[place] = _region(engine, views, layer, index, n_pixels)
    largest = np.take_along_axis(peaks[:, maps].T, best, 1)
    return Excitement(layer, maps, best, largest, stamps, regions, is_dense)


def _telling(responses, n_maps):
    """The columns, in order, that are largest beside what others before them say."""
    rest = responses - responses.mean(0)
    chosen = []
    for _ in range(n_maps):
        size = (rest**2).sum(0)
        size[chosen] = -1
        chosen.append(int(size.argmax()))
        axis = rest[:, chosen[-1]] / max(np.sqrt(size.max()), 1e-12)
        rest = rest - axis[:, None] * (axis @ rest)
    return sorted(chosen)


def _rows(images, image, size):
    """Arguments of `~galmorph.inference.catalog.read_row`."""
    sizes = catalog.sizes_of(images, size)
    if isinstance(images, Table):
        return list(catalog.iterate_table(images, image=image, sizes=sizes))
    sizes = [None] * len(images) if sizes is None else sizes
    return list(zip(images, sizes, strict=True))


def _peaks(engine, views, layer):
    """The largest value of each map, shape (n_map,)."""
    with torch.no_grad(), Watch(engine.network, [layer]) as watch:
        answers_of(engine, views)
    return _over_places(watch.outputs[layer]).float().amax(1)


def _over_places(output):
    """Values of each map over all parts and pixels, shape (n_map, n)."""
    return output.movedim(1, 0).flatten(1)


def _region(engine, views, layer, index, n_pixels):
    """Corners of what the peak of a map depends on, in pixels of the stamp."""
    views = views.clone().requires_grad_()
    with Watch(engine.network, [layer]) as watch:
        answers_of(engine, views)
    peak = _over_places(watch.outputs[layer])[index].max()
    gradient = torch.autograd.grad(peak, views)[0][0].abs().amax(1)
    view = int(gradient.flatten(1).amax(1).argmax())
    seen = gradient[view] > _GRADIENT * gradient[view].max()
    rows, columns = (np.flatnonzero(seen.any(axis).cpu().numpy()) for axis in (1, 0))
    if not len(rows):
        return np.full((4, 2), np.nan)
    top, bottom, left, right = rows[0], rows[-1], columns[0], columns[-1]
    if (bottom - top + 1) * (right - left + 1) > _WHOLE * seen.numel():
        return np.full((4, 2), np.nan)
    x = np.array([left - 0.5, right + 0.5, right + 0.5, left - 0.5])
    y = np.array([top - 0.5, top - 0.5, bottom + 0.5, bottom + 0.5])
    to_stamp = view_to_stamp(engine.recipe, view, n_pixels)
    return np.stack(apply_affine(to_stamp, x, y), -1)


def _progress(rows, *, shown):
    from tqdm.auto import tqdm

    return tqdm(rows, unit=' galaxies', disable=not shown)
