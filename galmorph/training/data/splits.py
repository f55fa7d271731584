# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Splits of a table that do not leak, and do not change when rows are added."""

import hashlib
import warnings

import numpy as np
from astropy import units as u
from astropy.coordinates import search_around_sky

from galmorph.exceptions import GalmorphWarning

__all__ = ['dieleman_split', 'split_by_class', 'split_by_id', 'split_by_position']

_NAMES = ('train', 'valid', 'test')
_FRACTIONS = (0.8, 0.1, 0.1)


def split_by_id(ids, fractions=_FRACTIONS, *, seed=0):
    """
    Split by a hash of the identifier.

    Where a galaxy goes depends on its identifier alone: rows may be added,
    taken away or reordered, and repeated rows stay together.

    Parameters
    ----------
    ids : sequence
        Identifiers, strings or whole numbers.
    fractions : sequence of float or dict of str to float, optional
        The parts of 'train', 'valid' and 'test', or by other names.
    seed : int, optional
        Another number gives another split.

    Returns
    -------
    split : `~numpy.ndarray` of str, shape (n,)
        The name of the split of each row.

    Raises
    ------
    ValueError
        If the fractions do not sum to 1.

    Examples
    --------
    >>> from galmorph.training.data.splits import split_by_id
    >>> split = split_by_id(range(1000))
    >>> [int((split == name).sum()) for name in ('train', 'valid', 'test')]
    [806, 101, 93]
    """
    return _assign([_uniform(identifier, seed) for identifier in ids], fractions)


def split_by_position(coords, fractions=_FRACTIONS, *, separation, seed=0):
    """
    Split the sky, so that no pair of neighbours is divided.

    Galaxies closer than ``separation`` are friends, friends of friends stay
    together, and where they go depends on the position of one of them. So the
    same galaxy in two images, or both galaxies of a pair, are on one side.

    Parameters
    ----------
    coords : `~astropy.coordinates.SkyCoord`, shape (n,)
        Positions.
    fractions : sequence of float or dict of str to float, optional
        The parts of 'train', 'valid' and 'test', or by other names.
    separation : `~astropy.units.Quantity`
        An angle. If it is so large that most galaxies are friends of friends,
        which is warned of, the parts cannot be as asked for.
    seed : int, optional
        Another number gives another split.

    Returns
    -------
    split : `~numpy.ndarray` of str, shape (n,)
        The name of the split of each row.

    Raises
    ------
    ValueError
        If a position is not finite, or the fractions do not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from galmorph.training.data.splits import split_by_position
    >>> coords = SkyCoord([10, 10.0001, 50], [0, 0, 20], unit='deg')
    >>> split = split_by_position(coords, (0.5, 0.5), separation=1 * u.arcsec)
    >>> bool(split[0] == split[1])
    True
    """
    coords = coords.icrs
    if not np.isfinite(coords.ra.deg + coords.dec.deg).all():
        rows = np.flatnonzero(~np.isfinite(coords.ra.deg + coords.dec.deg))
        msg = f'the positions of rows {rows[:10].tolist()} are not finite'
        raise ValueError(msg)
    if not len(coords):
        return _assign([], fractions)
    first, second, _, _ = search_around_sky(coords, coords, separation)
    group = _connected(len(coords), first, second)
    largest = np.bincount(group).max()
    if len(coords) > 10 and largest > len(coords) / 2:
        msg = (
            f'{largest} of {len(coords)} galaxies are friends of friends within '
            f'{separation}, and stay in one split; take a smaller separation'
        )
        warnings.warn(msg, GalmorphWarning, stacklevel=2)
    # A group is named by its southernmost member: few rows that are added
    # change that. Digits beyond a milliarcsecond are noise.
    order = np.lexsort((coords.ra.deg, coords.dec.deg))
    leader = np.full(len(coords), len(coords))
    rank = np.empty(len(coords), int)
    rank[order] = np.arange(len(coords))
    np.minimum.at(leader, group, rank)
    south = coords[order[leader[group]]]
    return split_by_id(
        [
            f'{round(ra)} {round(dec)}'
            for ra, dec in zip(
                south.ra.to_value(u.mas), south.dec.to_value(u.mas), strict=True
            )
        ],
        fractions,
        seed=seed,
    )


def split_by_class(ids, classes, fractions=_FRACTIONS, *, seed=0):
    """
    Split so that every class has the same parts, as Zhu et al. (2019) do.

    Parameters
    ----------
    ids : sequence
        Identifiers, strings or whole numbers, each of one row.
    classes : sequence
        The class of each row.
    fractions : sequence of float or dict of str to float, optional
        The parts of 'train', 'valid' and 'test', or by other names.
    seed : int, optional
        Another number gives another split.

    Returns
    -------
    split : `~numpy.ndarray` of str, shape (n,)
        The name of the split of each row.

    Raises
    ------
    ValueError
        If the fractions do not sum to 1.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.data.splits import split_by_class
    >>> classes = np.repeat(['round', 'cigar'], (90, 10))
    >>> split = split_by_class(range(100), classes, (0.9, 0.1))
    >>> [int((split[classes == name] == 'valid').sum()) for name in ('round', 'cigar')]
    [9, 1]
    """
    classes = np.asarray(classes)
    uniform = np.array([_uniform(identifier, seed) for identifier in ids])
    rank = np.empty(len(uniform))
    for name in np.unique(classes):
        rows = np.flatnonzero(classes == name)
        order = np.argsort(uniform[rows], kind='stable')
        rank[rows[order]] = (np.arange(len(rows)) + 0.5) / len(rows)
    return _assign(rank, fractions)


def dieleman_split(ids):
    """
    Split as Dieleman et al. (2015) did the Galaxy Challenge.

    Parameters
    ----------
    ids : sequence of int or str
        The ``GalaxyID`` of each row.

    Returns
    -------
    split : `~numpy.ndarray` of str, shape (n,)
        'valid' for the tenth with the largest numbers, else 'train'.

    Examples
    --------
    >>> from galmorph.training.data.splits import dieleman_split
    >>> dieleman_split([100090, 100008, 999967, 100023, 100053,
    ...                 100078, 100122, 100123, 100128, 100134]).tolist()[:3]
    ['train', 'train', 'valid']
    """
    numbers = np.array([int(identifier) for identifier in ids], np.int64)
    split = np.full(len(numbers), 'train')
    order = np.argsort(numbers, kind='stable')
    split[order[len(numbers) - len(numbers) // 10 :]] = 'valid'
    return split


def _uniform(identifier, seed):
    text = f'{seed}:{identifier}'.encode()
    digest = hashlib.blake2b(text, digest_size=8).digest()
    return int.from_bytes(digest, 'big') / 2**64


def _assign(uniform, fractions):
    if not isinstance(fractions, dict):
        fractions = dict(zip(_NAMES, fractions, strict=False))
    values = np.array(list(fractions.values()), float)
    if (values < 0).any() or abs(values.sum() - 1) > 1e-6:
        msg = f'fractions must be positive and sum to 1, not {fractions}'
        raise ValueError(msg)
    edges = np.cumsum(values)[:-1]
    index = np.searchsorted(edges, np.asarray(uniform, float), side='right')
    return np.array(list(fractions))[index]


def _connected(n, first, second):
    """Label the groups that pairs connect, by the smallest member."""
    label = np.arange(n)
    while True:
        new = label.copy()
        np.minimum.at(new, first, label[second])
        # What the label of a label is: long chains halve at each step.
        new = new[new]
        if np.array_equal(new, label):
            return label
        label = new
