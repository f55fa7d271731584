# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`SDSSPictures`: colour pictures of the Sloan Digital Sky Survey."""

from astropy import units as u
from astropy.wcs import WCS

from galmorph.exceptions import ImageError
from galmorph.images import GalaxyImage, read_image
from galmorph.sources._sdss_catalogue import (
    FRAME_RADII,
    USER_AGENT,
    CataloguedSource,
    check_status,
)

__all__ = ['SDSSPictures']

# The side of the pictures of Galaxy Zoo 2, and what SkyServer makes.
_N_PIXEL = 424
_N_PIXELS = 64, 2048
_SCALES = 0.015, 60.0

_JPEG_START, _JPEG_END = b'\xff\xd8', b'\xff\xd9'


class SDSSPictures(CataloguedSource):
    """
    Colour pictures that the SkyServer of the SDSS makes: the fast way.

    They are what volunteers and weights of Galaxy Zoo 2 saw [1]_: 424 x 424
    pixels of 0.02 petroR90_r, north up and east left, with i, r and g as red,
    green and blue. A wanted size changes the number of pixels, 64 to 2048, not
    their scale, as far as that suffices.

    Parameters
    ----------
    data_release : int, optional
        The data release.
    match_radius : `~astropy.units.Quantity`, optional
        How far from the target its galaxy may be, up to 3 arcmin.
    **options
        As in `~galmorph.sources.ImageSource`.

    See Also
    --------
    galmorph.sources.SDSS : Calibrated frames. The match to the catalogue is the
        same.

    References
    ----------
    .. [1] Willett et al. 2013, MNRAS 435, 2835.

    Examples
    --------
    >>> from galmorph.sources import SDSSPictures
    >>> SDSSPictures(offline=True)
    <SDSSPictures: Sloan Digital Sky Survey, pictures>
    """

    name = 'sdss-jpeg'
    title = 'Sloan Digital Sky Survey, pictures'
    bands = ('R', 'G', 'B')
    default_bands = ('R', 'G', 'B')

    def __init__(self, *, data_release=17, match_radius=5 * u.arcsec, **options):
        super().__init__(
            data_release=data_release, match_radius=match_radius, **options
        )

    def fetch_one(self, target):
        """
        Get the picture of a target.

        Parameters
        ----------
        target : `~galmorph.sources.Target`
            As `~galmorph.sources.ImageSource.plan` returned it.

        Returns
        -------
        image : `~galmorph.GalaxyImage`
            The picture; row 0 is its top, and its WCS says so.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            If the picture is damaged or does not come.
        """
        scale, n_pixel = _geometry(target, self.default_size)
        wanted = {
            'ra': f'{target.ra:.6f}',
            'dec': f'{target.dec:.6f}',
            'scale': f'{scale:.6f}',
            'width': n_pixel,
            'height': n_pixel,
            'opt': '',
        }
        key = f'picture of DR{self.data_release} ' + ' '.join(
            str(wanted[name]) for name in ('ra', 'dec', 'scale', 'width')
        )
        path = self.archive.file(
            key, lambda: self._download(wanted), suffix='.jpg', check=_check
        )
        try:
            image = read_image(path)
        except ImageError:
            # The next call shall ask for it once more.
            self.archive.cache.forget(self.archive.name, key)
            raise
        planes = [self.default_bands.index(band) for band in target.bands]
        return GalaxyImage(
            image.data[planes],
            bands=target.bands,
            wcs=_wcs(target, scale, image.shape2d),
            size=target.radius,
            is_picture=True,
            meta={
                'source': path.name,
                'survey': self.survey,
                'catalogue': target.meta['catalogue'],
            },
        )

    def _download(self, wanted):
        import requests
        from astroquery.sdss import conf

        # astroquery has no call for it.
        response = requests.get(
            f'{conf.skyserver_baseurl}/dr{self.data_release}'
            '/SkyServerWS/ImgCutout/getjpeg',
            params=wanted,
            headers={'User-Agent': USER_AGENT},
            timeout=self.timeout,
        )
        check_status(response)
        if not response.content.startswith(_JPEG_START):
            text = ' '.join(response.content[:150].decode('latin-1').split())
            msg = f'something else came in place of the picture: {text}'
            raise RuntimeError(msg)
        return response.content


def _check(content):
    # Decoders fill in what is missing, and say nothing.
    if _JPEG_END not in content[-64:]:
        msg = 'the picture has no end'
        raise ValueError(msg)


def _geometry(target, default_size):
    """The scale in arcsec a pixel, and the number of pixels of a side."""
    size = target.size
    if target.radius is not None:
        scale = FRAME_RADII * target.radius.to_value(u.arcsec) / _N_PIXEL
    else:
        size = default_size if size is None else size
        scale = size.to_value(u.arcsec) / _N_PIXEL
    scale = min(max(scale, _SCALES[0]), _SCALES[1])
    if size is None:
        return scale, _N_PIXEL
    n_pixel = size.to_value(u.arcsec) / scale
    if n_pixel > _N_PIXELS[1]:
        scale *= n_pixel / _N_PIXELS[1]
    n_pixel = min(max(round(n_pixel), _N_PIXELS[0]), _N_PIXELS[1])
    return scale, n_pixel


def _wcs(target, scale, shape):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crval = target.ra, target.dec
    wcs.wcs.crpix = (shape[1] + 1) / 2, (shape[0] + 1) / 2
    # Row 0 is the top: rows run south.
    wcs.wcs.cdelt = -scale / 3600, -scale / 3600
    wcs.wcs.radesys = 'ICRS'
    wcs.wcs.set()
    return wcs
