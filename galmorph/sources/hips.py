# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`HiPS`: images from any hierarchical progressive survey, by hips2fits."""

import collections
import io
import json
import math

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.wcs import WCS
from astroquery.hips2fits import hips2fitsClass

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, check_content
from galmorph.images.content import is_covered
from galmorph.images.fits import image_from_hdulist
from galmorph.images.headers import band_names
from galmorph.images.pictures import read_picture
from galmorph.sources._framing import locate, wanted_side
from galmorph.sources._kept import read_kept
from galmorph.sources._session import keep_settings, prepare_session
from galmorph.sources.base import ImageSource

__all__ = ['HiPS']

# The pixels of a frame of Galaxy Zoo 2, and the bounds of their side in arcsec.
_FRAME = 424
_FINEST, _COARSEST = 0.05, 2.0
_MIN_PIXELS, _MAX_PIXELS = 32, 4096


class HiPS(ImageSource):
    """
    Any hierarchical progressive survey (HiPS), through hips2fits of the CDS.

    HiPS [1]_ are the way to the images of the DESI Legacy Surveys, Pan-STARRS,
    HSC, Euclid, Webb and a thousand others; https://aladin.cds.unistra.fr/hips/list
    lists them. hips2fits [2]_ resamples them to the pixels that are asked for:
    images have north up and east left in a TAN projection, the target in the
    middle. Colour HiPS give pictures, for weights that saw pictures; HiPS of one
    band give fluxes, whose unit hips2fits does not tell.

    Parameters
    ----------
    identifier : str
        The HiPS, such as ``'CDS/P/DESI-Legacy-Surveys/DR10/color'``.
    format : {'fits', 'jpg'}, optional
        By default 'jpg' where the identifier has the word 'color', else 'fits'.
    bands : str or sequence of str, optional
        The name of the band. By default the last part of the identifier where
        that names a band, as in ``'CDS/P/SDSS9/r'``, else 'unknown'; R, G and B
        of a picture.
    unit : `~astropy.units.UnitBase` or str, optional
        The unit of the pixels, where it is known.
    pixel_scale : `~astropy.units.Quantity`, optional
        The side of the pixels, an angle. By default 424 of them fill a field of
        8.48 radii, or one of the size asked for, within 0.05 to 2 arcsec.
    server : str, optional
        The address of the service, by default that of astroquery.
    **options
        As in `~galmorph.sources.ImageSource`.

    Raises
    ------
    ValueError
        If an argument has no meaning.

    References
    ----------
    .. [1] Fernique, P., et al. 2015, A&A, 578, A114.
    .. [2] Boch, T., et al. 2020, ASP Conf. Ser., 527, 121.

    Examples
    --------
    >>> from galmorph.sources import HiPS
    >>> HiPS('CDS/P/DESI-Legacy-Surveys/DR10/color').format
    'jpg'
    >>> HiPS('CDS/P/SDSS9/r').bands
    ('r',)
    """

    name = 'hips'
    url = 'https://alasky.cds.unistra.fr/hips-image-services/hips2fits'
    default_size = 60 * u.arcsec
    asks_by_archive = True
    bibtex = """\
@article{2015A&A...578A.114F,
    author = {{Fernique}, P. and {Allen}, M. G. and {Boch}, T. and {others}},
    title = {Hierarchical progressive surveys. Multi-resolution HEALPix data
        structures for astronomical images, catalogues, and 3-dimensional data
        cubes},
    journal = {A\\&A},
    year = {2015},
    volume = {578},
    pages = {A114},
    doi = {10.1051/0004-6361/201526075},
}
@inproceedings{2020ASPC..527..121B,
    author = {{Boch}, T. and {Fernique}, P. and {Bonnarel}, F. and {others}},
    title = {HiPS2FITS: fast generation of FITS cutouts from HiPS image datasets},
    booktitle = {Astronomical Data Analysis Software and Systems XXIX},
    series = {ASP Conference Series},
    year = {2020},
    volume = {527},
    pages = {121},
}"""

    def __init__(
        self,
        identifier,
        *,
        format=None,  # noqa: A002
        bands=None,
        unit=None,
        pixel_scale=None,
        server=None,
        **options,
    ):
        super().__init__(**options)
        self.identifier = identifier.strip().strip('/')
        last = self.identifier.rpartition('/')[2]
        if not self.identifier:
            msg = "identifier must name a HiPS, such as 'CDS/P/SDSS9/color'"
            raise ValueError(msg)
        if format is None:
            is_colour = 'color' in self.identifier.lower()
            format = 'jpg' if is_colour else 'fits'  # noqa: A001
        if format not in ('fits', 'jpg'):
            msg = f"format must be 'fits' or 'jpg', not {format!r}"
            raise ValueError(msg)
        if pixel_scale is not None and not pixel_scale.to_value(u.arcsec) > 0:
            msg = f'pixel_scale must be a positive angle, not {pixel_scale}'
            raise ValueError(msg)
        self.format = format
        if bands is None:
            known = band_names({'EXTNAME': last}) or ('unknown',)
            bands = ('R', 'G', 'B') if format == 'jpg' else known
        self.bands = (bands,) if isinstance(bands, str) else tuple(bands)
        self.default_bands = self.bands
        self.unit = None if unit is None else u.Unit(unit)
        self.pixel_scale = pixel_scale
        self.server = server
        self.title = self.survey = self.identifier
        self._idle = collections.deque()

    @property
    def attribution(self):
        """How users acknowledge the service and the survey."""
        return (
            'This research has made use of hips2fits, a tool developed at CDS, '
            'Strasbourg, France aiming at extracting FITS images from HiPS sky maps '
            'with respect to a WCS (Boch et al. 2020; HiPS: Fernique et al. 2015). '
            f'Acknowledge the survey behind the HiPS {self.identifier} as its '
            'properties (obs_ack, obs_copyright) say.'
        )

    def fetch_one(self, target):
        """Ask for the pixels around a target."""
        wcs = self._wcs(target)
        side = wcs.pixel_shape[0]
        scale = 3600 * abs(wcs.wcs.cdelt[0])
        key = (
            f'{self.identifier} at {target.ra:.6f} {target.dec:+.6f}, '
            f'{side} pixels of {scale:.4f} arcsec, {self.format}'
        )

        def read(content):
            return self._image(content, wcs, target)

        def find():
            suffix = f'.{self.format}'
            return self.archive.file(
                key, lambda: self._download(wcs), suffix=suffix, check=read
            )

        return read_kept(self.archive, key, find, lambda path: read(path.read_bytes()))

    def _wcs(self, target):
        """The pixels to ask for."""
        side = wanted_side(target, self.default_size).value
        if self.pixel_scale is not None:
            scale = self.pixel_scale.to_value(u.arcsec)
        else:
            field = side
            if target.size is None and target.radius is not None:
                field = 0.02 * _FRAME * target.radius.to_value(u.arcsec)
            scale = min(max(field / _FRAME, _FINEST), _COARSEST)
        n_pixels = min(max(math.ceil(side / scale), _MIN_PIXELS), _MAX_PIXELS)
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
        wcs.wcs.cunit = 'deg', 'deg'
        wcs.wcs.crval = target.ra, target.dec
        wcs.wcs.crpix = (n_pixels + 1) / 2, (n_pixels + 1) / 2
        wcs.wcs.cdelt = -scale / 3600, scale / 3600
        wcs.wcs.radesys = 'ICRS'
        wcs.wcs.set()
        wcs.pixel_shape = n_pixels, n_pixels
        return wcs

    def _download(self, wcs):
        try:
            client = self._idle.pop()
        except IndexError:
            client = hips2fitsClass()
            if self.server is not None:
                client.server = self.server
            client.timeout = self.timeout
            prepare_session(client._session, self.timeout)  # noqa: SLF001
        try:
            # Its elder sister decodes a JPEG file, and raises AttributeError
            # for whatever status the server answers.
            with keep_settings():
                response = client.query_with_wcs_async(
                    hips=self.identifier,
                    wcs=wcs,
                    format=self.format,
                    min_cut=0.5,
                    max_cut=99.5,
                    stretch='linear',
                    cmap='Greys_r',
                )
            content = response.content
        finally:
            self._idle.append(client)
        if response.status_code in (400, 404):
            msg = f'hips2fits has no image of {self.identifier}{_reason(content)}'
            raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
        response.raise_for_status()
        return content

    def _image(self, content, wcs, target):
        """The image in an answer; `ImageError` where there is nothing on it."""
        options = {'size': target.radius, 'meta': {'survey': self.survey}}
        if self.format == 'jpg':
            picture = read_picture(io.BytesIO(content))
            # The first row of a picture is its top, that of FITS the bottom.
            data = np.ascontiguousarray(picture.data[:, ::-1])
            bands = self.bands if len(data) == len(self.bands) else None
            image = GalaxyImage(
                data,
                bands=bands,
                wcs=wcs,
                position=locate(wcs, target),
                is_picture=True,
                **options,
            )
        else:
            image = self._from_fits(content, wcs, target, options)
        try:
            check_content(image)
        except ImageError as error:
            self._is_nowhere(target, error)
        if not image.is_picture and not any(
            is_covered(~np.isfinite(plane), *image.position) for plane in image.data
        ):
            self._is_nowhere(target)
        return image

    def _from_fits(self, content, wcs, target, options):
        if not content.startswith(b'SIMPLE') or len(content) % 2880:
            msg = 'it is no FITS file, or not a whole one'
            raise ValueError(msg)
        with fits.open(io.BytesIO(content)) as hdulist:
            read = image_from_hdulist(hdulist, unit=self.unit)
            meta = options['meta'] | {'headers': read.meta['headers']}
            bands = self.bands if len(self.bands) == read.n_band else None
            found = wcs if read.wcs is None else read.wcs
            return GalaxyImage(
                read.data,
                bands=bands or read.bands,
                unit=read.unit,
                wcs=found,
                position=locate(found, target),
                size=options['size'],
                meta=meta,
                is_picture=read.is_picture,
            )

    def _is_nowhere(self, target, error=None):
        msg = f'{self.identifier} does not cover {target.ra:.5f} {target.dec:+.5f}'
        raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE) from error


def _reason(content):
    """What the server says of an error."""
    try:
        said = json.loads(content)
    except ValueError:
        return ''
    texts = [str(said[key]).strip() for key in ('title', 'description') if key in said]
    return ': ' + ': '.join(texts) if texts else ''
