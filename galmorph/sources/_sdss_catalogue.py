# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The photometric catalogue of the SDSS, which tells frame and size of a galaxy."""

import csv
import dataclasses
import json

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord, angular_separation

from galmorph import __version__
from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources.base import ImageSource

__all__ = [
    'FIELDS',
    'FRAME_RADII',
    'USER_AGENT',
    'CataloguedSource',
    'check_status',
    'choose_match',
    'with_radius',
]

# Columns of PhotoObjAll, and what their values are. An objid is beyond the
# integers that readers of JSON keep.
_TYPES = {
    'objid': str,
    'ra': float,
    'dec': float,
    'run': int,
    'rerun': int,
    'camcol': int,
    'field': int,
    'mode': int,
    'type': int,
    'clean': int,
    'petroR50_r': float,
    'petroR90_r': float,
    'petroMag_r': float,
}
FIELDS = tuple(_TYPES)

# 424 pixels of 0.02 petroR90_r: the side of a picture of Galaxy Zoo 2 (Willett
# et al. 2013), in petroR90_r.
FRAME_RADII = 8.48

USER_AGENT = f'galmorph/{__version__} (an astropy-affiliated package)'

# The columns of the kinds of size that a recipe may have.
_RADII = {'petroR90_r': 'petroR90_r', 'half_light_radius': 'petroR50_r'}

_PRIMARY, _GALAXY = 1, 3

# SkyServer takes no larger radius.
_MAX_RADIUS = 3 * u.arcmin

# No survey image lies further south.
_SOUTH = -30.0


class CataloguedSource(ImageSource):
    """
    A source that looks galaxies up in the photometric catalogue of the SDSS.

    `plan` asks for all objects around all targets in one request, and keeps
    for each target the one that matches.

    Parameters
    ----------
    data_release : int, optional
        The data release.
    match_radius : `~astropy.units.Quantity`, optional
        How far from the target a galaxy may be, up to 3 arcmin.
    **options
        As in `~galmorph.sources.ImageSource`.
    """

    url = 'https://www.sdss4.org/dr17/'
    survey = 'SDSS'
    default_size = 60 * u.arcsec
    attribution = (
        'Funding for the Sloan Digital Sky Survey IV has been provided by the '
        'Alfred P. Sloan Foundation, the U.S. Department of Energy Office of '
        'Science, and the Participating Institutions. SDSS-IV acknowledges '
        'support and resources from the Center for High-Performance Computing at '
        'the University of Utah. The SDSS web site is www.sdss4.org; the full '
        'acknowledgement, with the Participating Institutions, is at '
        'https://www.sdss.org/collaboration/citing-sdss/'
    )
    asks_by_archive = True
    bibtex = """\
@article{York2000,
  author  = {{York}, D. G. and {Adelman}, J. and {Anderson}, J. E. and others},
  title   = {The {Sloan Digital Sky Survey}: Technical Summary},
  journal = {AJ},
  year    = {2000},
  volume  = {120},
  pages   = {1579--1587},
  doi     = {10.1086/301513},
}
@article{SDSSDR17,
  author  = {{Abdurro'uf} and {Accetta}, K. and {Aerts}, C. and others},
  title   = {The Seventeenth Data Release of the {Sloan Digital Sky Surveys}:
             Complete Release of {MaNGA}, {MaStar}, and {APOGEE-2} Data},
  journal = {ApJS},
  year    = {2022},
  volume  = {259},
  eid     = {35},
  doi     = {10.3847/1538-4365/ac4414},
}"""

    def __init__(self, *, data_release=17, match_radius=5 * u.arcsec, **options):
        super().__init__(**options)
        self.data_release = int(data_release)
        self.match_radius = u.Quantity(match_radius).to(u.arcsec)
        if not 0 < self.match_radius <= _MAX_RADIUS:
            msg = f'match_radius must be up to {_MAX_RADIUS}, not {match_radius}'
            raise ValueError(msg)

    def covers(self, coords):
        """Tell what lies too far south to have been seen from Apache Point."""
        return coords.icrs.dec.deg > _SOUTH

    def plan(self, targets):
        """
        Look targets up in the catalogue, all those unknown in one request.

        Parameters
        ----------
        targets : list of `~galmorph.sources.Target`
            The targets.

        Returns
        -------
        planned : list of `~galmorph.sources.Target` or \
`~galmorph.exceptions.ImageError`
            The targets with the row of the catalogue in ``meta['catalogue']``,
            and petroR90_r as their radius where they had none.
        """
        keys = [self._match_key(target) for target in targets]
        found, unknown = {}, {}
        for key, target in zip(keys, targets, strict=True):
            if key not in found:
                found[key] = self._recall(key)
            if found[key] is None:
                unknown[key] = target
        if unknown:
            found.update(self._look_up(unknown))
        return [
            row if isinstance(row, ImageError) else _with_row(target, row)
            for target, row in zip(targets, map(found.get, keys), strict=True)
        ]

    def _match_key(self, target):
        radius = self.match_radius.to_value(u.arcsec)
        # 1e-6 degrees are far below the errors of the catalogue.
        return (
            f'match 1 of DR{self.data_release} within {radius:.4g} arcsec of '
            f'{target.ra:.6f} {target.dec:+.6f}'
        )

    def _recall(self, key):
        """The row that was kept, the error, or None."""
        try:
            path = self.archive.recall(key)
            return None if path is None else json.loads(path.read_bytes())
        except ImageError as error:
            return error
        except (OSError, ValueError):
            # Deleted meanwhile, or damaged on the disk.
            self.archive.cache.forget(self.archive.name, key)
            return None

    def _look_up(self, unknown):
        """Rows of unknown targets, by their keys; errors where it failed."""
        keys, targets = list(unknown), list(unknown.values())
        if self.archive.offline:
            return {key: self._refusal(key) for key in keys}
        try:
            rows = self.archive.request(
                lambda: self._ask(targets), f'catalogue for {len(targets)} positions'
            )
        except ImageError as error:
            return dict.fromkeys(keys, error)
        found = {}
        for key, target, distances in zip(
            keys, targets, _distances(targets, rows), strict=True
        ):
            found[key] = self._matched(target, rows, distances)
            self.archive.keep(key, found[key])
        return found

    def _refusal(self, key):
        try:
            return self.archive.request(None, key)
        except ImageError as error:
            return error

    def _matched(self, target, rows, distances):
        try:
            return choose_match(rows, distances, self.match_radius.to_value(u.arcsec))
        except ImageError as error:
            where = f'SDSS DR{self.data_release} at ({target.ra:.6f}, {target.dec:.6f})'
            return ImageError(f'{where}: {error}', flag=error.flag)

    def _ask(self, targets):
        """All objects around all targets, as dicts."""
        from astroquery import cache_conf
        from astroquery.sdss import SDSSClass

        from galmorph.sources._session import keep_settings

        # One for each request: its session is not made for several threads.
        sdss = SDSSClass()
        sdss.TIMEOUT = self.timeout
        coords = SkyCoord(
            [target.ra for target in targets],
            [target.dec for target in targets],
            unit='deg',
        )
        # Its list of columns would go into the cache of astroquery else.
        with keep_settings(), cache_conf.set_temp('cache_active', False):
            # The parser of astroquery takes a page of HTML for a table without
            # rows, so that an archive in trouble would have no match.
            response = sdss.query_region_async(
                coords,
                radius=self.match_radius,
                photoobj_fields=list(FIELDS),
                timeout=self.timeout,
                data_release=self.data_release,
                cache=False,
            )
        return _parse(response)


def choose_match(rows, distances, radius):
    """
    Choose the galaxy that a target is.

    Candidates are primary detections (mode 1) that the SDSS calls a galaxy
    (type 3). The nearest one is taken if it is clearly nearer than the next:
    that has to be twice as far and another half arcsecond.

    Parameters
    ----------
    rows : list of dict
        Objects of the catalogue.
    distances : sequence of float
        Their distances from the target, in arcsec.
    radius : float
        How far the galaxy may be, in arcsec.

    Returns
    -------
    row : dict
        The galaxy, with its ``distance``.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``NO_MATCH`` or ``AMBIGUOUS_MATCH``.

    Examples
    --------
    >>> from galmorph.sources._sdss_catalogue import choose_match
    >>> rows = [{'objid': '1', 'mode': 1, 'type': 3},
    ...         {'objid': '2', 'mode': 1, 'type': 6}]
    >>> choose_match(rows, [1.2, 0.4], radius=5)['objid']
    '1'
    """
    near = sorted(
        (
            (float(distance), row['objid'], row)
            for distance, row in zip(distances, rows, strict=True)
            if distance <= radius and row['mode'] == _PRIMARY
        ),
        key=lambda entry: entry[:2],
    )
    # An object near two targets is in the answer twice.
    galaxies = {
        objid: (distance, row)
        for distance, objid, row in near
        if row['type'] == _GALAXY
    }
    galaxies = list(galaxies.values())
    if not galaxies:
        stars = ', only stars' if near else ''
        msg = f'there is no galaxy within {radius:.4g} arcsec{stars}'
        raise ImageError(msg, flag=MorphologyFlag.NO_MATCH)
    distance, row = galaxies[0]
    if len(galaxies) > 1 and galaxies[1][0] < 2 * distance + 0.5:
        listed = ' and '.join(
            f'{other["objid"]} at {far:.2f} arcsec' for far, other in galaxies[:2]
        )
        msg = f'galaxies {listed} match about equally well'
        raise ImageError(msg, flag=MorphologyFlag.AMBIGUOUS_MATCH)
    return {**row, 'distance': round(distance, 4)}


def _distances(targets, rows):
    """Arcseconds from each target to each object of the catalogue."""
    here, there = (
        np.radians([[at['ra'], at['dec']] for at in places]).reshape(-1, 2)
        for places in (map(vars, targets), rows)
    )
    radians = angular_separation(*here.T[..., np.newaxis], *there.T)
    return np.degrees(radians) * 3600


def _with_row(target, row):
    radius = target.radius
    if radius is None:
        radius = _radius(row['petroR90_r'])
    meta = {**target.meta, 'catalogue': row}
    return dataclasses.replace(target, radius=radius, meta=meta)


def _radius(value):
    # -9999 where it could not be measured.
    return value * u.arcsec if value is not None and value > 0 else None


def with_radius(image, kind):
    """
    Give an image the size of its galaxy that the catalogue has of a kind.

    Parameters
    ----------
    image : `~galmorph.GalaxyImage`
        An image from any source.
    kind : str
        The kind, as ``size`` of a `~galmorph.preprocessing.recipe.Recipe`.

    Returns
    -------
    image : `~galmorph.GalaxyImage`
        A view with that size, unknown where it could not be measured; the image
        itself where it has no row of the catalogue.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage
    >>> from galmorph.sources._sdss_catalogue import with_radius
    >>> row = {'petroR50_r': 4.0, 'petroR90_r': 10.0}
    >>> image = GalaxyImage(np.zeros((32, 32)), bands='r', meta={'catalogue': row})
    >>> with_radius(image, 'half_light_radius').size
    <Quantity 4. arcsec>
    """
    row, column = image.meta.get('catalogue', ()), _RADII[kind]
    return image.at(image.position, _radius(row[column])) if column in row else image


def check_status(response):
    """
    Raise an exception unless SkyServer answered with what was asked for.

    Parameters
    ----------
    response : `requests.Response`
        The answer. A page that does not exist (404) says nothing of the sky, so
        it shall not be kept as an answer about it.

    Examples
    --------
    >>> import requests
    >>> from galmorph.sources._sdss_catalogue import check_status
    >>> response = requests.Response()
    >>> response.status_code = 200
    >>> check_status(response)
    """
    if response.status_code in (404, 410):
        msg = f'SkyServer has no such page: {response.url}'
        raise RuntimeError(msg)
    response.raise_for_status()


def _parse(response):
    """Rows of SkyServer's CSV; an exception where it is something else."""
    text = response.text
    check_status(response)
    lines = [line for line in text.splitlines() if line.strip()]
    is_marked = bool(lines) and lines[0].startswith('#')
    lines = [line for line in lines if not line.startswith('#')]
    if is_marked and not lines:
        return []
    if lines and lines[0].lower().startswith('no objects have been found'):
        return []
    header, *rows = csv.reader(lines) if lines else [[]]
    if [name.strip().lower() for name in header] != [name.lower() for name in FIELDS]:
        msg = f'SkyServer answered with no table: {" ".join(text.split())[:150]}'
        raise RuntimeError(msg)
    return [
        {
            name: None if value.lower() == 'null' else kind(value)
            for (name, kind), value in zip(_TYPES.items(), row, strict=True)
        }
        for row in rows
    ]
