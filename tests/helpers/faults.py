# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A sky and a catalogue with all that may be wrong with them, and what to expect."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS

from galmorph.flags import MorphologyFlag

__all__ = ['Spoilt', 'spoil']

_NOWHERE = MorphologyFlag.NO_COVERAGE | MorphologyFlag.OUTSIDE_IMAGE
#: The flags that rows on a spoilt tile may have.
# Where a file cannot be read, nobody knows what it covers.
_ON = {
    'missing': _NOWHERE | MorphologyFlag.UNREADABLE_IMAGE,
    'dangling': _NOWHERE | MorphologyFlag.UNREADABLE_IMAGE,
    'truncated': MorphologyFlag.UNREADABLE_IMAGE,
    'shape': MorphologyFlag.BANDS_MISSING
    | MorphologyFlag.INVALID_IMAGE
    | MorphologyFlag.UNREADABLE_IMAGE,
}


class Spoilt(NamedTuple):
    """
    What was done to a sky.

    Parameters
    ----------
    tables : list of `~pathlib.Path`
        The sources in two files, of which one has its right ascensions in radians.
    expected : dict of str to (`~numpy.ndarray` of bool, `MorphologyFlag`)
        Rows of the two tables that have one of some flags, and no answer.
    same : `~numpy.ndarray` of bool
        Rows that nothing touches.
    turned : `~numpy.ndarray` of bool
        Rows on the tile that has another frame.
    """

    tables: list
    expected: dict
    same: np.ndarray
    turned: np.ndarray


def spoil(sky, folder, *, bands='gri', seed=1):
    """
    Spoil one hundredth of the rows in each way, and five tiles.

    Parameters
    ----------
    sky : object
        With ``sources`` and ``tiles``, the paths by bands; it is modified.
    folder : `~pathlib.Path`
        Where the tables go.
    bands : str, optional
        The bands.
    seed : int, optional
        Of what is spoilt.

    Returns
    -------
    spoilt : `Spoilt`
        What to expect.
    """
    sources = QTable.read(sky.sources)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(sources))
    one = max(2, len(sources) // 100)
    wrong = {'nan': rows[:one], 'far': rows[one : 2 * one]}
    sources['ra'][wrong['nan']] = np.nan * u.deg
    sources['dec'][wrong['far']] = -40 * u.deg
    n_tile = len(sky.tiles[bands[0]])
    # Far from each other, so that a neighbour is not spoilt twice.
    kinds = [*_ON, 'frame']
    chosen = np.linspace(0, n_tile - 1, len(kinds)).round().astype(int)
    tiles = dict(zip(kinds, chosen.tolist(), strict=True))
    centres = [_centre(path) for path in sky.tiles[bands[0]]]
    for kind, number in tiles.items():
        _SPOIL[kind]([sky.tiles[band][number] for band in bands])
    is_bad = np.isin(np.arange(len(sources)), np.concatenate(list(wrong.values())))
    expected = {
        'nan': (_among(sources, wrong['nan']), MorphologyFlag.BAD_COORDINATES),
        'far': (
            _among(sources, wrong['far']),
            _NOWHERE | MorphologyFlag.UNREADABLE_IMAGE,
        ),
    }
    for kind, flag in _ON.items():
        alone = (sources['tile'] == tiles[kind]) & (sources['n_tiles'] == 1)
        expected[kind] = (np.asarray(alone) & ~is_bad, flag)
    coords = SkyCoord(sources['ra'], sources['dec'])
    touched = np.zeros(len(sources), bool)
    side = fits.getheader(sky.tiles[bands[0]][1])['NAXIS1'] * 0.396 * u.arcsec
    for number in tiles.values():
        touched |= np.asarray(coords.separation(centres[number]) < 1.1 * side)
    half = len(sources) // 2
    paths = [folder / 'degrees.parquet', folder / 'radians.parquet']
    sources[:half].write(paths[0])
    last = sources[half:]
    last['ra'] = last['ra'].to(u.rad)
    last.write(paths[1])
    turned = np.asarray(sources['tile'] == tiles['frame']) & ~is_bad
    return Spoilt(paths, expected, ~touched & ~is_bad, turned)


def _among(sources, rows):
    return np.isin(np.arange(len(sources)), rows)


def _centre(path):
    with fits.open(path) as hdulist:
        header = hdulist[0].header
        return WCS(header).pixel_to_world(header['NAXIS1'] / 2, header['NAXIS2'] / 2)


def _remove(paths):
    for path in paths:
        path.unlink()


def _leave_dangling(paths):
    for path in paths:
        path.unlink()
        path.symlink_to(path.with_name('nowhere.fits'))


def _truncate(paths):
    for path in paths:
        os.truncate(path, Path(path).stat().st_size * 6 // 10 // 2880 * 2880)


def _change_shape(paths):
    with fits.open(paths[-1], memmap=False, do_not_scale_image_data=True) as hdulist:
        header, data = hdulist[0].header.copy(), hdulist[0].data[:-20].copy()
    fits.PrimaryHDU(data, header).writeto(paths[-1], overwrite=True)


def _turn(paths):
    """Write the same TAN projection about the same pixel in galactic coordinates."""
    for path in paths:
        with fits.open(path, mode='update', memmap=False) as hdulist:
            header = hdulist[0].header
            wcs = WCS(header)
            centre = SkyCoord(*wcs.wcs.crval, unit='deg')
            north = centre.directional_offset_by(0 * u.deg, 1 * u.arcsec).galactic
            angle = centre.galactic.position_angle(north).rad
            turn = [
                [np.cos(angle), np.sin(angle)],
                [-np.sin(angle), np.cos(angle)],
            ]
            matrix = np.array(turn) @ wcs.pixel_scale_matrix
            for name in ('CD1_1', 'CD1_2', 'CD2_1', 'CD2_2', 'PC1_1', 'PC1_2', 'PC2_1',
                         'PC2_2', 'CDELT1', 'CDELT2', 'RADESYS', 'LONPOLE',
                         'LATPOLE'):  # fmt: skip
                header.pop(name, None)
            header['CTYPE1'], header['CTYPE2'] = 'GLON-TAN', 'GLAT-TAN'
            header['CRVAL1'] = centre.galactic.l.deg
            header['CRVAL2'] = centre.galactic.b.deg
            for i in range(2):
                for j in range(2):
                    header[f'CD{i + 1}_{j + 1}'] = matrix[i, j]


_SPOIL = {
    'missing': _remove,
    'dangling': _leave_dangling,
    'truncated': _truncate,
    'shape': _change_shape,
    'frame': _turn,
}
