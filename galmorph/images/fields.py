# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""All bands of a tile: their pixels in one unit, and what else an image has."""

import astropy.units as u
import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.galaxy_image import MIN_SIDE, GalaxyImage
from galmorph.images.sections import SectionReader
from galmorph.images.tiles import UNNAMED
from galmorph.images.tileset import describe

__all__ = ['FieldReader']


class FieldReader:
    """
    Reads all bands of the tiles of a mosaic.

    Parameters
    ----------
    tiles : `~galmorph.images.tileset.TileSet`
        The tiles.
    unit : `~astropy.units.UnitBase`, optional
        The unit of the pixels, in place of ``BUNIT``.
    survey : str, optional
        The survey or telescope.

    Examples
    --------
    Two bands of one grid, the second of which comes in the unit of the first:

    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.images.fields import FieldReader
    >>> from galmorph.images.tileset import TileSet
    >>> sky = np.arange(400.0).reshape(20, 20)
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN',
    ...                       'CRPIX1': 20.5, 'CRPIX2': 10.5, 'CDELT1': -1e-4,
    ...                       'CDELT2': 1e-4, 'BUNIT': 'nJy', 'FILTER': 'r'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/r.fits', sky, header)
    ...     header.update(BUNIT='uJy', FILTER='i')
    ...     fits.writeto(f'{folder}/i.fits', sky, header)
    ...     reader = FieldReader(TileSet(folder))
    ...     (pixels,), unit = reader.read(0, np.array([[1, 4, 0, 2]]), ('r', 'i'))
    >>> print(unit, pixels.tolist())
    nJy [[[1.0, 2.0, 3.0], [21.0, 22.0, 23.0]], \
[[1000.0, 2000.0, 3000.0], [21000.0, 22000.0, 23000.0]]]
    """

    def __init__(self, tiles, *, unit=None, survey=''):
        self.tiles = tiles
        self.unit = unit
        self.survey = survey
        self._sections = SectionReader()
        self._templates = {}

    def read(self, index, boxes, bands):
        """
        Read some boxes of pixels in several bands.

        Parameters
        ----------
        index : int
            The number of the tile.
        boxes : `~numpy.ndarray` of int, shape (n, 4)
            x_start, x_stop, y_start, y_stop of each, inside the tile.
        bands : tuple of str
            The bands.

        Returns
        -------
        pixels : list of `~numpy.ndarray`, shape (n_band, ny, nx)
            One array a box, float32.
        unit : `~astropy.units.UnitBase` or None
            That of the first band, to which others are converted; None where
            one is not known.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            If a band is missing, or a file cannot be read.
        `~galmorph.exceptions.ChangedFileError`
            If a file is not what it was when the mosaic was opened.

        Examples
        --------
        See `~galmorph.images.TiledMosaic`.
        """
        field = self.tiles.fields[index]
        flaw = self.tiles.flaw(field, bands)
        if flaw is not None:
            raise flaw
        self.tiles.check(index)
        units = [self.unit or field.tiles[band].unit for band in bands]
        unit = None if None in units else units[0]
        planes = []
        for band, own in zip(bands, units, strict=True):
            path = field.tiles[band].path
            try:
                found = self._sections.read(field.tiles[band], boxes)
                factor = 1 if unit is None else own.to(unit)
            except u.UnitConversionError as error:
                msg = f'{path}: band {band!r} is in {own}, but {bands[0]!r} in {unit}'
                raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE) from error
            except Exception as error:
                self.tiles.check(index)
                msg = f'{path} cannot be read: {describe(error)}'
                raise ImageError(msg, flag=MorphologyFlag.UNREADABLE_IMAGE) from error
            planes.append(
                found
                if factor == 1
                else [plane * np.float32(factor) for plane in found]
            )
        self.tiles.check(index)
        if len(bands) == 1:
            return [plane[np.newaxis] for plane in planes[0]], unit
        return [np.stack(bands) for bands in zip(*planes, strict=True)], unit

    def template(self, index, bands, unit):
        """
        Make an image that has all but the pixels.

        Parameters
        ----------
        index : int
            The number of the tile.
        bands : tuple of str
            The bands.
        unit : `~astropy.units.UnitBase` or None
            The unit of the pixels.

        Returns
        -------
        image : `~galmorph.images.GalaxyImage`
            The image, whose WCS is that of the tile.

        Examples
        --------
        See `~galmorph.images.TiledMosaic`.
        """
        key = index, bands
        if key not in self._templates:
            tiles = [self.tiles.fields[index].tiles[band] for band in bands]
            meta = {
                'headers': [tile.header for tile in tiles],
                'source': str(tiles[0].path),
            }
            if self.survey:
                meta['survey'] = self.survey
            self._templates[key] = GalaxyImage(
                np.zeros((len(bands), MIN_SIDE, MIN_SIDE), np.float32),
                bands=[_shown(band) for band in bands],
                unit=unit,
                wcs=self.tiles.fields[index].wcs,
                meta=meta,
            )
        return self._templates[key]


def _shown(band):
    return UNNAMED if band.startswith(f'{UNNAMED} ') else band
