# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS files on disk as tiles of the sky: found, placed, and read in part."""

import dataclasses
import glob
import os
import re
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area

from galmorph.images.celestial import grid_offset, icrs_wcs, wcs_from_header
from galmorph.images.fits import FITS_SUFFIXES
from galmorph.images.headers import band_names, unit_from_header

__all__ = ['Field', 'Tile', 'find_files', 'group_tiles', 'read_section', 'read_tiles']

#: Files that can only be decompressed as a whole.
PACKED = ('.gz', '.bz2')

# Words in the names of maps that go with an image.
_NO_IMAGE = re.compile(
    r'(?:^|[._-])(wht|weights?|rms|err|errors?|sigma|unc|var|variance|ivar|invvar|mask'
    r'|maskbits|flags?|dq|seg|segm|segmap|segmentation|exp|expmap|exptime|nexp|depth'
    r'|ctx|con|cov|psf|psfsize|bkg|background|model|resid|residual|chi2|galdepth)'
    r'(?=[._-])',
    re.IGNORECASE,
)
_SHORT_BAND = re.compile(r'[ugrizyYJHK]')
# What an image takes over from the primary header.
_INHERITED = ('FILTER', 'FILTER1', 'FILTER2', 'BAND', 'BUNIT', 'TELESCOP', 'INSTRUME')
_INHERITED += ('SURVEY', 'PHOTFLAM', 'PHOTPLAM')
# Bands of one grid agree by better than this, in pixels.
_MAX_OFFSET = 0.5


@dataclasses.dataclass(frozen=True)
class Tile:
    """
    One plane of an image in a file.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    hdu : int
        The number of the HDU.
    plane : tuple of int
        Where in the axes before the last two.
    band : str
        The name of the band.
    header : `~astropy.io.fits.Header`
        The header.
    wcs : `~astropy.wcs.WCS`
        The celestial WCS, in ICRS if it can be.
    shape : tuple of int
        (ny, nx).

    Examples
    --------
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.sources._tiles import Tile
    >>> Tile('a.fits', 0, (), 'r', fits.Header({'BUNIT': 'nJy'}), WCS(), (9, 9)).unit
    Unit("nJy")
    """

    path: Path
    hdu: int
    plane: tuple
    band: str
    header: fits.Header
    wcs: WCS
    shape: tuple

    @property
    def unit(self):
        """The unit of the pixels, or None."""
        return unit_from_header(self.header)


class Field:
    """
    Tiles of several bands on one grid.

    Parameters
    ----------
    tile : `Tile`
        The first one.

    Attributes
    ----------
    tiles : dict of str to `Tile`
        By their bands.
    wcs : `~astropy.wcs.WCS`
        That of the first one.
    shape : tuple of int
        (ny, nx).
    centre : `~numpy.ndarray`, shape (3,)
        The unit vector to its middle.
    radius : float
        The distance of the corners on the unit sphere, at most 2.
    scale : float
        The side of a pixel in degrees.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.sources._tiles import Field, Tile
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 5,
    ...            'CRPIX2': 5, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> Field(Tile('a.fits', 0, (), 'r', fits.Header(), wcs, (9, 9))).centre.round(9)
    array([1., 0., 0.])
    """

    def __init__(self, tile):
        self.tiles = {tile.band: tile}
        self.wcs = tile.wcs
        self.shape = tile.shape
        self.scale = proj_plane_pixel_area(tile.wcs) ** 0.5
        ny, nx = tile.shape
        # The middle, and points along the edges: those of a large image bulge.
        along = np.linspace(0, 1, 5)
        x = np.concatenate([[0.5], along, along, 0 * along, 0 * along + 1]) * nx - 0.5
        y = np.concatenate([[0.5], 0 * along, 0 * along + 1, along, along]) * ny - 0.5
        vectors = unit_vectors(*_pixel_to_icrs(tile.wcs, x, y))
        self.centre = vectors[0]
        distances = np.linalg.norm(vectors[1:] - self.centre, axis=1)
        # A whole sky has no edges.
        is_finite = np.isfinite(distances).all() and np.isfinite(self.centre).all()
        self.radius = 1.001 * distances.max() if is_finite else 2.0
        if not is_finite:
            self.centre = np.array([0.0, 0.0, 1.0])


def unit_vectors(ra, dec):
    """
    Turn positions into vectors.

    Parameters
    ----------
    ra, dec : `~numpy.ndarray`, shape (n,)
        In degrees.

    Returns
    -------
    vectors : `~numpy.ndarray`, shape (n, 3)
        On the unit sphere.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.sources._tiles import unit_vectors
    >>> print(unit_vectors(np.array([0.0]), np.array([90.0])).round(9))
    [[0. 0. 1.]]
    """
    ra, dec = np.deg2rad(ra), np.deg2rad(dec)
    parts = np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)
    return np.stack(parts, axis=-1)


def find_files(images):
    """
    Find the FITS files that are meant.

    Parameters
    ----------
    images : path-like, list or dict
        A file, a folder, a pattern with ``*``, ``?`` or ``**``, or a list of
        these; or a dict of these by the names of bands.

    Returns
    -------
    files : list of (`~pathlib.Path`, str or None)
        The files, each once, and their bands where these are given. Maps of
        weights, errors, masks and the like are left out of folders.

    Raises
    ------
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from galmorph.sources._tiles import find_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ('a_sci.fits', 'a_wht.fits', 'readme.txt'):
    ...         _ = Path(folder, name).write_bytes(b'')
    ...     [path.name for path, band in find_files(folder)]
    ['a_sci.fits']
    """
    if isinstance(images, dict):
        return [
            (path, str(band))
            for band, some in images.items()
            for path, _ in find_files(some)
        ]
    if isinstance(images, (str, os.PathLike)):
        images = [images]
    found = {}
    for item in images:
        path = Path(item).expanduser()
        if path.is_dir():
            some = sorted(p for p in path.rglob('*') if _is_image(p))
        elif path.exists():
            some = [path]
        else:
            # Path.glob takes no absolute pattern.
            names = glob.glob(str(path), recursive=True)  # noqa: PTH207
            some = [Path(name) for name in sorted(names) if not Path(name).is_dir()]
        if not some:
            kind = 'FITS image in' if path.is_dir() else 'such file as'
            msg = f'there is no {kind} {str(item)!r}'
            raise FileNotFoundError(msg)
        found.update(dict.fromkeys(some))
    return [(path, None) for path in found]


def _is_image(path):
    name = path.name.lower()
    is_fits = name.endswith(FITS_SUFFIXES) and not name.startswith('.')
    return is_fits and not _NO_IMAGE.search(name)


def read_tiles(path, *, bands=None, hdu=None):
    """
    Read from the headers what images a file has.

    Parameters
    ----------
    path : `~pathlib.Path`
        A FITS file.
    bands : sequence of str, optional
        The names of the bands, in place of those of the headers and of the
        name of the file.
    hdu : int or str, optional
        The HDU. By default the first image with a WCS, and those of its shape
        that the headers name as other bands.

    Returns
    -------
    tiles : list of `Tile`
        The images that have a celestial WCS.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from pathlib import Path
    >>> from galmorph.sources._tiles import read_tiles
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, 'coadd-i-0042.fits')
    ...     fits.writeto(path, np.zeros((9, 9)), header)
    ...     [tile.band for tile in read_tiles(path)]
    ['i']
    """
    tiles = []
    with fits.open(path) as hdulist:
        chosen = range(len(hdulist)) if hdu is None else [hdulist.index_of(hdu)]
        for number in chosen:
            image = hdulist[number]
            shape = image.shape if image.is_image else ()
            if len(shape) < 2 or 0 in shape:
                continue
            if tiles and shape[-2:] != tiles[0].shape:
                continue
            header = _inherited(image.header, hdulist[0].header)
            wcs = wcs_from_header(header, hdulist)
            if wcs is None:
                continue
            planes = list(np.ndindex(*shape[:-2]))
            names = tuple(bands or band_names(header, len(planes)) or ())
            if not names and not tiles:
                names = (_band_in_name(path.name),) * len(planes)
            known = {tile.band for tile in tiles}
            if len(names) != len(planes) or known & set(names):
                # The errors, the weights or the mask of the image before.
                continue
            wcs = icrs_wcs(wcs)
            tiles += [
                Tile(path, number, plane, name, header, wcs, shape[-2:])
                for plane, name in zip(planes, names, strict=True)
            ]
    return tiles


def _inherited(header, primary):
    header = header.copy()
    for key in _INHERITED:
        if key in primary and key not in header:
            header[key] = primary[key]
    return header


def _band_in_name(name):
    """The band that the name of a file tells: the last word that is one."""
    names = band_names({'ORIG_FLE': name})
    if names is not None:
        return names[0]
    words = re.split(r'[._-]', name)[:-1]
    found = [word for word in words if _SHORT_BAND.fullmatch(word)]
    return found[-1] if found else 'unknown'


def group_tiles(tiles):
    """
    Put the bands of one grid together.

    Parameters
    ----------
    tiles : list of `Tile`
        Tiles in any order.

    Returns
    -------
    fields : list of `Field`
        Of two tiles in the same band on one grid each has its own.

    Examples
    --------
    >>> import dataclasses
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.sources._tiles import Tile, group_tiles
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 5,
    ...            'CRPIX2': 5, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> tile = Tile('g.fits', 0, (), 'g', fits.Header(), wcs, (9, 9))
    >>> fields = group_tiles([tile, dataclasses.replace(tile, band='r')])
    >>> [list(field.tiles) for field in fields]
    [['g', 'r']]
    """
    fields = []
    # By Declination, so that those on one grid are neighbours.
    for field in sorted(map(Field, tiles), key=lambda field: field.centre[2]):
        ((band, tile),) = field.tiles.items()
        pixel = np.deg2rad(field.scale)
        for other in reversed(fields):
            if field.centre[2] - other.centre[2] > pixel:
                other = None
                break
            is_near = np.linalg.norm(field.centre - other.centre) < pixel
            if (
                is_near
                and band not in other.tiles
                and field.shape == other.shape
                and grid_offset(other.wcs, field.wcs, field.shape) < _MAX_OFFSET
            ):
                break
        else:
            other = None
        if other is None:
            fields.append(field)
        else:
            other.tiles[band] = tile
    return fields


def read_section(tile, rows, columns, planes=None):
    """
    Read some pixels of a tile.

    Parameters
    ----------
    tile : `Tile`
        The tile.
    rows, columns : slice
        The pixels, inside the image.
    planes : list of `~numpy.ndarray`, optional
        The data of all HDUs; by default the file is opened, and no more is read
        than needed.

    Returns
    -------
    data : `~numpy.ndarray`, shape (ny, nx)
        The pixels.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from pathlib import Path
    >>> from galmorph.sources._tiles import read_section, read_tiles
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, 'a.fits')
    ...     fits.writeto(path, np.eye(9), header)
    ...     tile, = read_tiles(path)
    ...     print(read_section(tile, slice(2, 4), slice(1, 4)))
    [[0. 1. 0.]
     [0. 0. 1.]]
    """
    where = (*tile.plane, rows, columns)
    if planes is not None:
        return np.array(planes[tile.hdu][where])
    with fits.open(tile.path) as hdulist:
        image = hdulist[tile.hdu]
        # A section is read row by row; the map of a file is faster, but has to
        # be copied as a whole where pixels are scaled, or decompressed.
        is_mapped = not isinstance(image, fits.CompImageHDU) and not any(
            key in image.header for key in ('BSCALE', 'BZERO', 'BLANK')
        )
        return np.array(image.data[where] if is_mapped else image.section[where])


def _pixel_to_icrs(wcs, x, y):
    if wcs.wcs.radesys == 'ICRS' and wcs.wcs.lngtyp == 'RA':
        world = wcs.all_pix2world(x, y, 0)
        return world if wcs.wcs.lng == 0 else world[::-1]
    sky = wcs.pixel_to_world(x, y).icrs
    return sky.ra.deg, sky.dec.deg
