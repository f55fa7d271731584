# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""CANDELS and other deep fields of Hubble: cutouts by MAST."""

import json
import math
import re
import threading

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources._framing import wanted_side
from galmorph.sources._hubble import image_of_planes, merge_cutouts, read_planes
from galmorph.sources._kept import read_kept
from galmorph.sources._mast import MastCutouts
from galmorph.sources.base import ImageSource

__all__ = ['CANDELS', 'HAP']

# Fields of Grogin et al. (2011) in ICRS degrees, with radii that hold their
# mosaics with the parallel exposures: name, RA, Dec, radius.
_FIELDS = (
    ('GOODS-S', 53.123, -27.805, 0.25),
    ('GOODS-N', 189.229, 62.238, 0.25),
    ('COSMOS', 150.116, 2.201, 0.35),
    ('UDS', 34.407, -5.200, 0.35),
    ('EGS', 214.825, 52.825, 0.75),
)

# What a radius, be it a wrong one, may ask for.
_WIDEST = 2 * u.arcmin

# Degrees: the surveys of a patch of the sky this wide are asked for at once.
_PATCH = 0.1

_BANDS = (
    'F225W F275W F336W F350LP F390W F435W F438W F475W F555W F600LP F606W F625W F775W '
    'F814W F850LP F098M F105W F110W F125W F140W F160W'
)

_MAST_NOTICE = (
    'Some of the data presented in this work were obtained from the Mikulski Archive '
    'for Space Telescopes (MAST) at the Space Telescope Science Institute, which is '
    'operated by the Association of Universities for Research in Astronomy, Inc., '
    'under NASA contract NAS5-26555.'
)

_CANDELS_BIBTEX = """\
@article{2011ApJS..197...35G,
    author = {{Grogin}, Norman A. and {Kocevski}, Dale D. and {Faber}, S. M. and
        {others}},
    title = {CANDELS: The Cosmic Assembly Near-infrared Deep Extragalactic Legacy
        Survey},
    journal = {ApJS},
    year = {2011},
    volume = {197},
    pages = {35},
    doi = {10.1088/0067-0049/197/2/35},
}
@article{2011ApJS..197...36K,
    author = {{Koekemoer}, Anton M. and {Faber}, S. M. and {Ferguson}, Henry C. and
        {others}},
    title = {CANDELS: The Cosmic Assembly Near-infrared Deep Extragalactic Legacy
        Survey--The Hubble Space Telescope Observations, Imaging Data Products, and
        Mosaics},
    journal = {ApJS},
    year = {2011},
    volume = {197},
    pages = {36},
    doi = {10.1088/0067-0049/197/2/36},
}"""


class _Hubble(ImageSource):
    """What both ways to images of Hubble at MAST have in common."""

    url = 'https://mast.stsci.edu'
    survey = 'HST'
    bands = tuple(_BANDS.split())
    default_bands = ('F160W',)
    default_size = 12 * u.arcsec
    asks_by_archive = True
    service = None

    def __init__(self, *, server=None, **options):
        super().__init__(**options)
        self._mast = MastCutouts(self.service, server=server, timeout=self.timeout)

    def _cutouts(self, key, target, side, nothing, **options):
        """The bands that one request brings."""

        def download():
            with self._mast.client() as client:
                found = client.get_cutouts(target.coord, size=side, **options)
            if not found:
                raise ImageError(nothing, flag=MorphologyFlag.NO_COVERAGE)
            return merge_cutouts(found)

        def find():
            return self.archive.file(key, download, suffix='.fits')

        return read_kept(self.archive, key, find, read_planes)


class CANDELS(_Hubble):
    """
    Deep fields of the Hubble Space Telescope, through the Zcut service of MAST.

    MAST is asked which surveys it has around a target, such as
    ``candels_gn_30mas`` or ``goods_north``. Of those that have all bands that
    are wanted the one with the finest pixels is taken, by the number before
    ``mas`` in its name, CANDELS before surveys without such a number: F814W
    comes in pixels of 0.03 arcsec, F160W, or both, in 0.06 arcsec. Bands that
    no survey has together are not put on one grid by resampling: such a target
    is flagged ``BANDS_MISSING``.

    Pixels come in nJy, by ``PHOTFLAM`` and ``PHOTPLAM`` of the header, with the
    sky level of each cutout subtracted and pixels without data masked. The WCS
    is in ICRS, where that of the mosaics is in FK5.

    Parameters
    ----------
    server : str, optional
        The address of a mirror, by default that of MAST.
    anywhere : bool, optional
        Let `covers` admit all positions. By default it admits those near the
        five fields of CANDELS, so that ``survey='auto'`` does not ask MAST
        about the whole sky. Zcut has other deep fields too, which
        `~galmorph.sources.ImageSource.fetch` finds in any case.
    **options
        As in `~galmorph.sources.ImageSource`.

    Notes
    -----
    The fields are described by Grogin et al. (2011, ApJS 197, 35), the mosaics
    by Koekemoer et al. (2011, ApJS 197, 36).

    Examples
    --------
    >>> from astropy.coordinates import SkyCoord
    >>> from galmorph.sources import CANDELS
    >>> CANDELS().covers(SkyCoord([189.2, 10.7], [62.2, 41.3], unit='deg'))
    array([ True, False])
    """

    name = 'candels'
    title = 'CANDELS and other deep fields of Hubble, MAST Zcut'
    service = 'zcut'
    attribution = (
        'This work is based on observations taken by the CANDELS Multi-Cycle Treasury '
        'Program with the NASA/ESA HST, which is operated by the Association of '
        'Universities for Research in Astronomy, Inc., under NASA contract '
        f'NAS5-26555. {_MAST_NOTICE} Cite Grogin et al. (2011) and Koekemoer et al. '
        '(2011).'
    )
    bibtex = _CANDELS_BIBTEX

    def __init__(self, *, server=None, anywhere=False, **options):
        super().__init__(server=server, **options)
        self.anywhere = bool(anywhere)
        self._known = {}
        self._lock = threading.Lock()

    def covers(self, coords):
        """
        Tell which positions are near the fields of CANDELS.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`, shape (n,)
            Positions.

        Returns
        -------
        is_covered : `~numpy.ndarray` of bool, shape (n,)
            True for all where ``anywhere`` is set.

        Examples
        --------
        See `CANDELS`.
        """
        if self.anywhere:
            return np.ones(len(coords), bool)
        near = np.zeros(len(coords), bool)
        for _, ra, dec, radius in _FIELDS:
            field = SkyCoord(ra, dec, unit=u.deg)
            near |= field.separation(coords.icrs).deg < radius
        return near

    def group(self, target):
        """Patch by patch, for which MAST is asked once."""
        return _patch(target.ra, target.dec)

    def fetch_one(self, target):
        """Ask one survey after the other, the finest one first."""
        side = wanted_side(target, self.default_size, high=_WIDEST)
        failures = []
        for survey in self._in_order(self._surveys(target), target, side):
            key = self._key(survey, target, side)
            nothing = f'there is no image of {key}'
            try:
                planes = self._cutouts(key, target, side, nothing, survey=survey)
                self._learn(survey, planes)
                return image_of_planes(
                    planes, target, target.bands, survey=self.survey, source=survey
                )
            except ImageError as error:
                # A survey that may have it, but failed, is not replaced by
                # another one: the image would depend on the weather.
                if error.flag not in _NOT_HERE:
                    raise
                failures.append(error)
        raise max(failures, key=lambda error: _NOT_HERE.index(error.flag))

    def _surveys(self, target):
        """The names of the surveys around a target."""
        ra, dec = _patch(target.ra, target.dec)
        # That of a circle around the patch.
        radius = 0.75 * _PATCH

        def ask():
            with self._mast.client() as client:
                centre = SkyCoord(ra, dec, unit=u.deg)
                found = client.get_surveys(centre, radius=radius * u.deg)
            if not found:
                msg = f'MAST has no deep field near {ra:.3f} {dec:+.3f}'
                raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
            return [str(name) for name in found]

        return self.archive.value(f'deep fields near {ra:.4f} {dec:+.4f}', ask)

    @staticmethod
    def _key(survey, target, side):
        # In 4 mas and in the hundredths of an arcsecond.
        where = f'{target.ra:.6f} {target.dec:+.6f}'
        return f'{survey} at {where}, {side.value:.2f} arcsec'

    def _in_order(self, surveys, target, side):
        """The best survey first; last those that are known to lack a band."""

        def rank(survey):
            bands = self._bands_of(survey)
            lacks = bands is not None and not set(target.bands) <= set(bands)
            # Its bands may differ from place to place. What the cache has of
            # this place is looked at in turn, so that a second run goes the
            # way of the first one.
            lacks = lacks and not self._has_asked(self._key(survey, target, side))
            scale = re.search(r'(\d+)mas', survey)
            return (
                lacks,
                math.inf if scale is None else int(scale[1]),
                not survey.startswith('candels'),
                surveys.index(survey),
            )

        return sorted(surveys, key=rank)

    def _has_asked(self, key):
        try:
            return self.archive.recall(key) is not None
        except ImageError:
            return True

    def _bands_of(self, survey):
        """The bands that a survey had where it was first asked, or `None`."""
        with self._lock:
            if survey not in self._known:
                path = self.archive.recall(f'bands of {survey}')
                if path is None:
                    return None
                self._known[survey] = json.loads(path.read_bytes())
            return self._known[survey]

    def _learn(self, survey, planes):
        if planes and self._bands_of(survey) is None:
            bands = sorted({plane.band for plane in planes})
            with self._lock:
                if survey not in self._known:
                    self._known[survey] = bands
                    self.archive.keep(f'bands of {survey}', bands)


class HAP(_Hubble):
    """
    Mosaics of the Hubble Advanced Products, through the Hapcut service of MAST.

    They cover all that Hubble saw, in pixels of 0.04 arcsec and 0.12 arcsec
    (WFC3/IR), less deep and less carefully made than those of the surveys that
    `CANDELS` brings. All bands at a position come with one request; the finest
    grid that has all that are wanted is taken.

    Pixels and WCS are as in `CANDELS`.

    Parameters
    ----------
    server : str, optional
        The address of a mirror, by default that of MAST.
    **options
        As in `~galmorph.sources.ImageSource`.

    Examples
    --------
    >>> from galmorph.sources import HAP
    >>> HAP().default_bands
    ('F160W',)
    """

    name = 'hst'
    title = 'Hubble Advanced Products, MAST Hapcut'
    service = 'hapcut'
    attribution = (
        'Based on observations made with the NASA/ESA Hubble Space Telescope. '
        f'{_MAST_NOTICE}'
    )

    def fetch_one(self, target):
        """Ask for all bands, and take those that are wanted."""
        side = wanted_side(target, self.default_size, high=_WIDEST)
        where = f'{target.ra:.6f} {target.dec:+.6f}, {side.value:.2f} arcsec'
        key = f'Hubble mosaics at {where}'
        planes = self._cutouts(key, target, side, f'there are no {key}')
        return image_of_planes(
            planes,
            target,
            target.bands,
            survey=self.survey,
            source='Hubble Advanced Products',
        )


# From the worst reason to the best one.
_NOT_HERE = (MorphologyFlag.NO_COVERAGE, MorphologyFlag.BANDS_MISSING)


def _patch(ra, dec):
    """The centre of the patch of the sky around a position."""
    row = math.floor(dec / _PATCH) + 0.5
    n_columns = max(1, math.floor(360 / _PATCH * math.cos(math.radians(row * _PATCH))))
    column = math.floor(ra % 360 / 360 * n_columns) + 0.5
    return column * 360 / n_columns, row * _PATCH
