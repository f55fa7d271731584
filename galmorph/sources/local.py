# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`LocalImages`: FITS mosaics and folders on disk, with the face of an archive."""

import dataclasses
import logging
import math
import threading

import numpy as np
from astropy import units as u
from astropy.io import fits

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage
from galmorph.images.arrays import stack_bands
from galmorph.images.celestial import shift_wcs
from galmorph.images.content import is_covered
from galmorph.images.galaxy_image import MIN_SIDE
from galmorph.sources._framing import locate, wanted_side
from galmorph.sources._tiles import (
    PACKED,
    find_files,
    group_tiles,
    read_section,
    read_tiles,
    unit_vectors,
)
from galmorph.sources.base import ImageSource

__all__ = ['LocalImages']

logger = logging.getLogger(__name__)

# Files that are decompressed as a whole stay in memory, this many.
_KEPT_FILES = 3


class LocalImages(ImageSource):
    """
    FITS images on disk: a mosaic, several of them, or a folder of tiles.

    The headers of all files are read once, at the first use. A target is cut
    from the tile that holds most of its surroundings, band by band of one grid;
    only those pixels are read from plain and from tile-compressed (``.fz``)
    files. No request is ever made.

    Parameters
    ----------
    images : path-like, list or dict
        A FITS file, a folder with its subfolders, a pattern such as
        ``'tiles/**/*_drz.fits'``, or a list of these; or a dict of these by the
        names of bands. In folders, files whose names say that they are maps of
        weights, errors, masks and the like are left out.
    bands : str or sequence of str, optional
        The names of the bands in each file. By default the headers tell them,
        or the names of the files: ``f160w``, or a word such as ``r``.
    hdu : int or str, optional
        The HDU of the image. By default the first one with a WCS, and those of
        its shape that their headers name as other bands.
    unit : `~astropy.units.UnitBase` or str, optional
        The unit of the pixels, in place of ``BUNIT``.
    survey : str, optional
        The survey or telescope, such as 'SDSS' or 'HST', in place of that of the
        headers.
    **options
        As in `~galmorph.sources.ImageSource`.

    Raises
    ------
    FileNotFoundError
        If there is no such file, or no FITS image in the folder.

    Notes
    -----
    Without ``bands``, `~galmorph.sources.ImageSource.fetch` takes all bands of the
    best tile. Bands on other grids than this are not resampled: such a target is
    flagged ``BANDS_MISSING``. Where a tile has NaN or zeros at the target, the next
    one is taken.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from astropy.io import fits
    >>> from galmorph.sources import LocalImages
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN',
    ...                       'CRPIX1': 150.5, 'CRPIX2': 100.5, 'CDELT1': -1e-4,
    ...                       'CDELT2': 1e-4, 'BUNIT': 'nJy'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/field_f160w.fits', np.ones((200, 300)), header)
    ...     source = LocalImages(folder)
    ...     source.fetch(SkyCoord([0, 9], [0, 9], unit='deg'), size=9 * u.arcsec)
    [<GalaxyImage 25 x 25 pixels, bands F160W, nJy, 0.36 arcsec / pix>, \
ImageError('none of 1 images covers 9.00000 +9.00000')]
    """

    name = 'local'
    title = 'images on disk'
    default_bands = ()

    def __init__(
        self, images, *, bands=None, hdu=None, unit=None, survey='', **options
    ):
        super().__init__(**options)
        self.files = find_files(images)
        self.hdu = hdu
        self.unit = None if unit is None else u.Unit(unit)
        self.survey = survey
        self.damaged = []
        self._names = (bands,) if isinstance(bands, str) else bands
        self._lock = threading.Lock()
        self._fields = None

    def __repr__(self):
        return f'<LocalImages: {len(self.files)} files, {self.files[0][0]} ...>'

    @property
    def bands(self):
        """All bands, in the order of the files."""
        fields = self._index()
        return tuple(dict.fromkeys(band for field in fields for band in field.tiles))

    def covers(self, coords):
        """
        Tell where there is an image.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`, shape (n,)
            Positions.

        Returns
        -------
        is_covered : `~numpy.ndarray` of bool, shape (n,)
            Whether a position is within the circle around an image.

        Examples
        --------
        See `LocalImages`.
        """
        return self._near(coords.icrs.ra.deg, coords.icrs.dec.deg).any(1)

    def plan(self, targets):
        """Find the tiles of all targets."""
        near = self._near(
            np.array([target.ra for target in targets]),
            np.array([target.dec for target in targets]),
        )
        planned = []
        for target, row in zip(targets, near, strict=True):
            found = self._candidates(target, np.flatnonzero(row))
            meta = {**target.meta, 'tiles': found}
            planned.append(
                dataclasses.replace(target, meta=meta)
                if found
                else self._nowhere(target)
            )
        return planned

    def group(self, target):
        """Tile by tile."""
        return target.meta['tiles'][0][0]

    def fetch_one(self, target):
        """Cut a target from the best tile that has data there."""
        if 'tiles' not in target.meta:
            (target,) = self.plan([target])
            if isinstance(target, ImageError):
                raise target
        lacks = None
        for index, x, y in target.meta['tiles']:
            field = self._index()[index]
            missing = [band for band in target.bands if band not in field.tiles]
            if missing:
                msg = f'{_named(field)} has {list(field.tiles)}, not {missing}'
                lacks = lacks or ImageError(msg, flag=MorphologyFlag.BANDS_MISSING)
                continue
            image = self._cut(field, x, y, target)
            if image is not None:
                return image
        raise lacks or self._nowhere(target)

    def _index(self):
        """The fields, from the headers of all files."""
        with self._lock:
            if self._fields is None:
                tiles = []
                for path, band in self.files:
                    bands = self._names if band is None else (band,)
                    try:
                        found = read_tiles(path, bands=bands, hdu=self.hdu)
                    # A damaged file makes astropy raise whatever comes.
                    except Exception as error:
                        logger.warning('%s cannot be read: %s', path, error)
                        self.damaged.append(path)
                        continue
                    if not found:
                        logger.warning('%s has no image with a celestial WCS', path)
                    tiles += found
                self._fields = group_tiles(tiles)
            return self._fields

    def _near(self, ra, dec):
        """Whether targets are in the circles around fields."""
        fields = self._index()
        if not fields:
            return np.zeros((len(ra), 0), bool)
        centres = np.array([field.centre for field in fields])
        radii = np.array([field.radius for field in fields])
        # The square of the chord, which is exact for small distances too.
        vectors = unit_vectors(ra, dec)
        chords = [((centres - vector) ** 2).sum(1) for vector in vectors]
        return np.array(chords).reshape(-1, len(fields)) <= radii**2

    def _candidates(self, target, indices):
        """Fields with the target on them, the best one first: index, x, y."""
        side = wanted_side(target, self.default_size).to_value(u.deg)
        found = []
        for index in indices:
            field = self._index()[index]
            x, y = locate(field.wcs, target)
            ny, nx = field.shape
            if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
                continue
            half = side / field.scale / 2
            part = _part(x, half, nx) * _part(y, half, ny)
            margin = min(x, nx - 1 - x, y, ny - 1 - y) * field.scale
            lacks = not set(target.bands) <= set(field.tiles)
            found.append(((lacks, -round(part, 3), -margin), int(index), x, y))
        return [tuple(rest) for _, *rest in sorted(found)]

    def _cut(self, field, x, y, target):
        """The image of a target, or None where there is no data."""
        side = wanted_side(target, self.default_size).to_value(u.deg)
        half = side / field.scale / 2
        columns = _bounds(x, half, field.shape[1])
        rows = _bounds(y, half, field.shape[0])
        wcs = shift_wcs(field.wcs, columns.start, rows.start)
        position = x - columns.start, y - rows.start
        images = {}
        for band in target.bands or field.tiles:
            tile = field.tiles[band]
            data = self._read(tile, rows, columns)
            if not is_covered(~np.isfinite(data) | (data == 0), *position):
                return None
            meta = {'headers': [tile.header], 'source': str(tile.path)}
            if self.survey:
                meta['survey'] = self.survey
            images[band] = GalaxyImage(
                data,
                bands=band,
                unit=tile.unit if self.unit is None else self.unit,
                wcs=wcs,
                position=position,
                size=target.radius,
                meta=meta,
            )
        return stack_bands(images) if len(images) > 1 else images[band]

    def _read(self, tile, rows, columns):
        try:
            if tile.path.name.lower().endswith(PACKED):
                planes = self.archive.opened(tile.path, _read_all, keep=_KEPT_FILES)
                return read_section(tile, rows, columns, planes)
            return read_section(tile, rows, columns)
        except Exception as error:
            msg = f'{tile.path} cannot be read: {error}'
            raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error

    def _nowhere(self, target):
        n_files = len(self.files)
        msg = f'none of {n_files} images covers {target.ra:.5f} {target.dec:+.5f}'
        flag = MorphologyFlag.NO_COVERAGE
        if self.damaged:
            msg += f'; {len(self.damaged)} of them cannot be read'
            if len(self.damaged) == n_files:
                flag = MorphologyFlag.UNREADABLE_IMAGE
        return ImageError(msg, flag=flag)


def _read_all(path):
    """The data of all HDUs of a file."""
    with fits.open(path, memmap=False) as hdulist:
        return [hdu.data if hdu.is_image else None for hdu in hdulist]


def _part(centre, half, length):
    """How much of an interval lies on an axis."""
    inside = min(centre + half, length - 0.5) - max(centre - half, -0.5)
    return inside / (2 * half)


def _bounds(centre, half, length):
    """As many pixels as were asked for, where the image has them."""
    n_pixels = math.ceil(2 * half - 1e-6)
    start = math.ceil(centre - n_pixels / 2)
    first = min(max(start, 0), max(length - MIN_SIDE, 0))
    last = max(min(start + n_pixels, length), min(first + MIN_SIDE, length))
    return slice(first, last)


def _named(field):
    return next(iter(field.tiles.values())).path.name
