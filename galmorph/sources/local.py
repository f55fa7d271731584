# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`LocalImages`: FITS mosaics and folders on disk, with the face of an archive."""

import dataclasses
import math

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from galmorph.exceptions import ChangedFileError, ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import TiledMosaic
from galmorph.images.galaxy_image import MIN_SIDE
from galmorph.images.positions import Positions
from galmorph.sources._framing import wanted_side
from galmorph.sources.base import ImageSource

__all__ = ['LocalImages']


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
        self.mosaic = TiledMosaic(
            images, hdu=hdu, bands=bands, unit=unit, survey=survey
        )
        self.survey = survey

    def __repr__(self):
        files = self.mosaic.files
        return f'<LocalImages: {len(files)} files, {files[0][0]} ...>'

    @property
    def bands(self):
        """All bands, in the order of the files."""
        return self.mosaic.bands

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
        positions = Positions(coords)
        is_covered = np.zeros(len(positions), bool)
        for _, rows in positions.near(*self.mosaic.circles):
            is_covered[rows] = True
        return is_covered

    def plan(self, targets):
        """Find the tile of each target."""
        coords = SkyCoord([(t.ra, t.dec) for t in targets], unit=u.deg)
        sides = u.Quantity([wanted_side(t, self.default_size) for t in targets])
        tiles = self.mosaic.assign(coords, sides / 2)
        return [
            dataclasses.replace(target, meta={**target.meta, 'tile': int(tile)})
            for target, tile in zip(targets, tiles, strict=True)
        ]

    def group(self, target):
        """Tile by tile."""
        return target.meta['tile']

    def fetch_one(self, target):
        """Cut a target from the best tile that has data there."""
        side = wanted_side(target, self.default_size)
        coords = SkyCoord([target.ra], [target.dec], unit=u.deg)
        sizes = None if target.radius is None else target.radius.reshape(1)
        try:
            (image,) = self.mosaic.cutouts(coords, side / 2, sizes, bands=target.bands)
        except ChangedFileError as error:
            flag = MorphologyFlag.UNREADABLE_IMAGE
            raise ImageError(str(error), flag=flag) from error
        if not isinstance(image, ImageError):
            return _trimmed(image, side)
        if image.flag == MorphologyFlag.OUTSIDE_IMAGE:
            raise ImageError(str(image), flag=MorphologyFlag.NO_COVERAGE)
        raise image


def _trimmed(image, side):
    """As many pixels as were asked for, where the image has them."""
    n_pixels = math.ceil(float(side / image.pixel_scale / u.pix) - 1e-6)
    bounds = []
    for centre, length in zip(image.position, image.shape2d[::-1], strict=True):
        start = math.ceil(centre - n_pixels / 2)
        first = min(max(start, 0), length - MIN_SIDE)
        bounds += [first, max(min(start + n_pixels, length), first + MIN_SIDE)]
    return image.section(*bounds, position=image.position, size=image.size)
