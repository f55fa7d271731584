# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The headers of FITS files as tiles of the sky, and bands on one grid as fields."""

import dataclasses
import functools
import os
import re
import warnings
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from astropy.wcs.utils import proj_plane_pixel_area

from galmorph.images.celestial import grid_offset, icrs_wcs, wcs_from_header
from galmorph.images.finding import is_remote, remote_file
from galmorph.images.galaxy_image import MIN_SIDE
from galmorph.images.headers import band_names, split_bands, unit_from_header
from galmorph.images.positions import pixel_to_icrs, unit_vectors

__all__ = [
    'PACKED',
    'UNNAMED',
    'Field',
    'Tile',
    'group_tiles',
    'name_bands_by_files',
    'read_tiles',
]

#: Files that can only be decompressed as a whole.
PACKED = ('.gz', '.bz2')
#: How bands without a name begin.
UNNAMED = 'unknown'

_SHORT_BAND = re.compile(r'[ugrizyYJHK]')
# What an image takes over from the primary header.
_INHERITED = ('FILTER', 'FILTER1', 'FILTER2', 'BAND', 'BUNIT', 'TELESCOP', 'INSTRUME')
_INHERITED += ('SURVEY', 'PHOTFLAM', 'PHOTPLAM')
# Bands of one grid agree by better than this, in pixels.
_MAX_OFFSET = 0.5
_BLOCK = 2880


@dataclasses.dataclass(frozen=True)
class Tile:
    """
    One plane of an image in a file.

    Parameters
    ----------
    path : `~pathlib.Path` or str
        The file, or its URL.
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
    offset : int or None
        The byte at which the pixels of the plane begin; None where they are
        compressed.
    damage : str
        Why the pixels cannot be read, where that is known.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.tiles import Tile
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
    offset: int | None = None
    damage: str = ''

    @property
    def unit(self):
        """The unit of the pixels, or None."""
        return unit_from_header(self.header)

    @property
    def is_packed(self):
        """Whether the file can only be decompressed as a whole."""
        return str(self.path).lower().endswith(PACKED)


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
    >>> from galmorph.images.tiles import Field, Tile
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
        vectors = unit_vectors(*pixel_to_icrs(tile.wcs, x, y))
        self.centre = vectors[0]
        distances = np.linalg.norm(vectors[1:] - self.centre, axis=1)
        # A whole sky has no edges.
        is_finite = np.isfinite(distances).all() and np.isfinite(self.centre).all()
        self.radius = 1.001 * distances.max() if is_finite else 2.0
        if not is_finite:
            self.centre = np.array([0.0, 0.0, 1.0])

    def __str__(self):
        names = dict.fromkeys(_file_name(tile.path) for tile in self.tiles.values())
        return ', '.join(names)

    @functools.cached_property
    def paths(self):
        """The files, each once."""
        return tuple(dict.fromkeys(tile.path for tile in self.tiles.values()))


def read_tiles(path, *, bands=None, hdu=None):
    """
    Read from the headers what images a file has.

    Parameters
    ----------
    path : `~pathlib.Path` or str
        A FITS file, or the URL of one.
    bands : str or sequence of str, optional
        The names of the bands, in place of those of the headers and of the
        name of the file.
    hdu : int, str, tuple or list of these, optional
        The HDU, or those of the bands. By default the first image with a WCS,
        and those of its shape that the headers name as other bands.

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
    >>> from galmorph.images.tiles import read_tiles
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, 'coadd-i-0042.fits')
    ...     fits.writeto(path, np.zeros((9, 9)), header)
    ...     [tile.band for tile in read_tiles(path)]
    ['i']
    """
    tiles = []
    options, size = _opening(path)
    with warnings.catch_warnings():
        # of a file that is cut off, which is found out here
        warnings.simplefilter('ignore', fits.verify.VerifyWarning)
        warnings.filterwarnings('ignore', 'File may have been truncated')
        with fits.open(path, **options) as hdulist:
            for number in _chosen(hdulist, hdu):
                tiles += _tiles_of(
                    path, hdulist, number, before=tiles, bands=bands, hdu=hdu, size=size
                )
    return tiles


def _opening(path):
    """How to open a file, and its size."""
    if not is_remote(path):
        return {}, os.stat(path).st_size  # noqa: PTH116
    system, name = remote_file(path)
    return {'use_fsspec': True}, system.size(name)


def _chosen(hdulist, hdu):
    if hdu is None:
        return range(len(hdulist))
    return [hdulist.index_of(one) for one in (hdu if isinstance(hdu, list) else [hdu])]


def _tiles_of(path, hdulist, number, *, before, bands, hdu, size):
    """The tiles of one HDU, after those before it in the file."""
    image = hdulist[number]
    shape = image.shape if image.is_image else ()
    if len(shape) < 2 or 0 in shape or min(shape[-2:]) < MIN_SIDE:
        return []
    if before and shape[-2:] != before[0].shape:
        return []
    header = _inherited(image.header, hdulist[0].header)
    wcs = wcs_from_header(header, hdulist)
    if wcs is None:
        return []
    wcs = icrs_wcs(wcs)
    # The chips of a camera each have their own place.
    before = [tile for tile in before if _is_one_grid(tile.wcs, wcs, tile.shape)]
    planes = list(np.ndindex(*shape[:-2]))
    if bands and isinstance(hdu, list) and len(hdu) > 1:
        # one name an HDU
        names = tuple(bands)[len(before) : len(before) + len(planes)]
    else:
        names = _names(path, header, len(planes), bands=bands, is_first=not before)
    if len(names) != len(planes) or {tile.band for tile in before} & set(names):
        # The errors, the weights or the mask of the image before.
        return []
    offset, damage = _place(path, image, size)
    step = abs(header.get('BITPIX', 8)) // 8 * shape[-2] * shape[-1]
    first = Tile(path, number, (), '', header, wcs, shape[-2:], offset, damage)
    return [
        dataclasses.replace(
            first,
            plane=plane,
            band=name,
            offset=None if offset is None else offset + index * step,
        )
        for index, (plane, name) in enumerate(zip(planes, names, strict=True))
    ]


def _is_one_grid(first, second, shape):
    middle = np.array([[shape[1] / 2], [shape[0] / 2]])
    one, other = (unit_vectors(*pixel_to_icrs(wcs, *middle)) for wcs in (first, second))
    pixel = np.deg2rad(proj_plane_pixel_area(first) ** 0.5)
    if np.linalg.norm(one - other) > pixel:
        return False
    return grid_offset(first, second, shape) < _MAX_OFFSET


def _names(path, header, n_planes, *, bands, is_first):
    names = split_bands(bands, n_planes) if bands else ()
    names = names or tuple(band_names(header, n_planes) or ())
    if not names and is_first:
        name = _band_in_name(_file_name(path)) if n_planes == 1 else UNNAMED
        names = (name, *(f'{name} {plane}' for plane in range(2, n_planes + 1)))
    return names


def _place(path, image, size):
    """Where the pixels of an HDU are, and whether they are all there."""
    if str(path).lower().endswith(PACKED):
        return None, ''
    info = image.fileinfo()
    is_plain = not isinstance(image, fits.CompImageHDU)
    # The last block of some files is not filled up.
    length = image.size if is_plain else info['datSpan'] - _BLOCK + 1
    damage = ''
    if info['datLoc'] + length > size:
        damage = f'it is cut off at {size} of {info["datLoc"] + length} bytes'
    return (info['datLoc'] if is_plain else None), damage


def _inherited(header, primary):
    header = header.copy()
    for key in _INHERITED:
        if key in primary and key not in header:
            header[key] = primary[key]
    return header


def _file_name(path):
    return str(path).replace('\\', '/').rsplit('/', 1)[-1]


def _band_in_name(name):
    """The band that the name of a file tells: the last word that is one."""
    names = band_names({'ORIG_FLE': name})
    if names is not None:
        return names[0]
    words = re.split(r'[._-]', name)[:-1]
    found = [word for word in words if _SHORT_BAND.fullmatch(word)]
    return found[-1] if found else UNNAMED


def name_bands_by_files(tiles):
    """
    Trust the names of files whose headers all tell one band.

    Reprojecting and stacking often copy the header of one band to the others.
    Of several images in the same band on one grid, whose file names each tell
    another band, the names are right.

    Parameters
    ----------
    tiles : list of `Tile`
        Tiles in any order.

    Returns
    -------
    tiles : list of `Tile`
        The same, some with another band.
    doubted : list of `Tile`
        Those whose headers are not believed, as they were.

    Examples
    --------
    >>> import dataclasses
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.tiles import Tile, name_bands_by_files
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 5,
    ...            'CRPIX2': 5, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> tile = Tile('ngc_g.fits', 0, (), 'g', fits.Header(), wcs, (9, 9))
    >>> other = dataclasses.replace(tile, path='ngc_r.fits')
    >>> named, doubted = name_bands_by_files([tile, other])
    >>> [tile.band for tile in named], [tile.path for tile in doubted]
    (['g', 'r'], ['ngc_r.fits'])
    """
    told = [_band_in_name(_file_name(tile.path)) for tile in tiles]
    alike = {}
    for number, tile in enumerate(tiles):
        if told[number] != UNNAMED:
            alike.setdefault((tile.band, tile.shape), []).append(number)
    named, doubted = list(tiles), []
    for numbers in alike.values():
        if len({told[number] for number in numbers}) < 2:
            continue
        for here in _on_one_grid(numbers, [tiles[number] for number in numbers]):
            names = [told[number] for number in here]
            if len(here) == len(set(names)) > 1:
                for number, name in zip(here, names, strict=True):
                    if name != tiles[number].band:
                        doubted.append(tiles[number])
                    named[number] = dataclasses.replace(tiles[number], band=name)
    return named, doubted


def _on_one_grid(numbers, tiles):
    """The numbers of the tiles, those on one grid together."""
    fields, grids = [], []
    for field, number in sorted(
        zip(map(Field, tiles), numbers, strict=True), key=lambda pair: pair[0].centre[2]
    ):
        index = next(_on_the_grid(field, fields), None)
        if index is None:
            fields.append(field)
            grids.append([number])
        else:
            grids[index].append(number)
    return [sorted(here) for here in grids]


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
        In the order of their first tiles. Of two tiles in the same band on one
        grid each has its own.

    Examples
    --------
    >>> import dataclasses
    >>> from astropy.io import fits
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.tiles import Tile, group_tiles
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 5,
    ...            'CRPIX2': 5, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> tile = Tile('g.fits', 0, (), 'g', fits.Header(), wcs, (9, 9))
    >>> fields = group_tiles([tile, dataclasses.replace(tile, band='r')])
    >>> [list(field.tiles) for field in fields]
    [['g', 'r']]
    """
    fields, members = [], []
    single = [Field(tile) for tile in tiles]
    # By Declination, so that those on one grid are neighbours.
    for number in sorted(range(len(tiles)), key=lambda n: single[n].centre[2]):
        (band,) = single[number].tiles
        found = next(_on_the_grid(single[number], fields, without=band), None)
        if found is None:
            fields.append(single[number])
            members.append([number])
        else:
            fields[found].tiles[band] = tiles[number]
            members[found].append(number)
    for field, numbers in zip(fields, members, strict=True):
        numbers.sort()
        field.tiles = {tiles[number].band: tiles[number] for number in numbers}
        field.wcs = tiles[numbers[0]].wcs
    order = sorted(range(len(fields)), key=lambda index: members[index][0])
    return [fields[index] for index in order]


def _on_the_grid(field, fields, without=None):
    """Which fields, sorted by Declination, are on one grid, and lack a band."""
    pixel = np.deg2rad(field.scale)
    for index in range(len(fields) - 1, -1, -1):
        other = fields[index]
        if field.centre[2] - other.centre[2] > pixel:
            return
        is_near = np.linalg.norm(field.centre - other.centre) < pixel
        if (
            is_near
            and without not in other.tiles
            and field.shape == other.shape
            and grid_offset(other.wcs, field.wcs, field.shape) < _MAX_OFFSET
        ):
            yield index
