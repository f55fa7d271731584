# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The celestial WCS of an image: taken, read from a header, moved, compared."""

import functools
import re

import numpy as np
from astropy.coordinates import FK5, ICRS, CartesianRepresentation
from astropy.io import fits
from astropy.time import Time
from astropy.wcs import WCS, WCSSUB_CELESTIAL
from astropy.wcs.utils import pixel_to_pixel, wcs_to_celestial_frame
from astropy.wcs.wcsapi import HighLevelWCSWrapper

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag

__all__ = [
    'celestial_wcs',
    'grid_offset',
    'icrs_wcs',
    'shift_wcs',
    'wcs_from_header',
]

# A header of a drizzled mosaic has thousands of cards, and `WCS` formats each
# of them several times (0.2 s for CANDELS). These are the ones that matter.
_WCS_KEYWORD = re.compile(
    r'NAXIS\d?|WCSAXES|(CTYPE|CRVAL|CRPIX|CDELT|CUNIT|CROTA)\d'
    r'|(CD|PC|PV|PS)\d+_\d+|(CD|PC)\d{6}|LONPOLE|LATPOLE|RADE(SYS|CSYS)'
    r'|EQUINOX|EPOCH|WAT\d_\d+'
)
_SIP_KEYWORD = re.compile(r'[AB]P?_(ORDER|DMAX|\d_\d)')
_TABLE_KEYWORDS = ('CPDIS1', 'CPDIS2', 'D2IMDIS1', 'D2IMDIS2')

# The zenithal projections, which stay what they are under a rotation of the sky.
_ZENITHAL = ('TAN', 'SIN', 'ARC', 'STG', 'ZEA')


def celestial_wcs(wcs):
    """
    Take the two celestial axes of a WCS.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        The WCS of an image or of a cube.

    Returns
    -------
    wcs : `~astropy.wcs.WCS`
        The WCS with its celestial axes only: the same object where it has no
        other axis.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``NO_WCS``, where it has no celestial axes, is of
        another kind, or cannot be inverted.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.celestial import celestial_wcs
    >>> cube = WCS(naxis=3)
    >>> cube.wcs.ctype = 'RA---TAN', 'DEC--TAN', 'WAVE'
    >>> celestial_wcs(cube).naxis
    2
    """
    if isinstance(wcs, HighLevelWCSWrapper):
        wcs = wcs.low_level_wcs
    if not isinstance(wcs, WCS):
        msg = (
            f'wcs must be an astropy.wcs.WCS, not {type(wcs).__name__}: '
            'approximate it by a FITS WCS first'
        )
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    try:
        wcs.wcs.set()
        both = wcs.wcs.lng >= 0 and wcs.wcs.lat >= 0
        if both and wcs.naxis != 2:
            wcs = wcs.celestial
    except Exception as error:
        msg = f'wcs cannot be used: {_first_line(error)}'
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS) from error
    if not both:
        axes = ', '.join(repr(name) for name in wcs.wcs.ctype)
        msg = (
            f'wcs has no celestial axes, its axes are {axes}: give a WCS of the '
            'sky, or the image without a WCS'
        )
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    return wcs


def wcs_from_header(header, hdulist=None):
    """
    Read the celestial WCS of a FITS header.

    SIP coefficients count only where ``CTYPE`` ends in ``-SIP`` (Shupe et
    al. 2005): drizzled mosaics still carry those of the raw exposure.

    Parameters
    ----------
    header : `~astropy.io.fits.Header`
        The header of one image.
    hdulist : `~astropy.io.fits.HDUList`, optional
        Where lookup tables of distortions are found.

    Returns
    -------
    wcs : `~astropy.wcs.WCS` or None
        None where the header says nothing about the sky.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        With the flag ``NO_WCS``, where the axes are known not to be those of
        the sky (a spectrum), or the WCS is broken.

    Examples
    --------
    >>> from astropy.io import fits
    >>> from galmorph.images.celestial import wcs_from_header
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN'})
    >>> wcs_from_header(header).naxis
    2
    >>> wcs_from_header(fits.Header()) is None
    True
    """
    types = [
        str(header.get(f'CTYPE{axis}', '')).upper()
        for axis in range(1, max(header.get('WCSAXES', 0), header.get('NAXIS', 2)) + 1)
    ]
    if not any(types):
        return None
    tables = hdulist is not None and any(key in header for key in _TABLE_KEYWORDS)
    has_sip = any(name.endswith('-SIP') for name in types)
    if not tables:
        header = _reduced(header, sip=has_sip)
    try:
        wcs = WCS(
            header,
            fobj=hdulist if tables else None,
            naxis=[WCSSUB_CELESTIAL],
            fix=False,
        )
        if not has_sip:
            wcs.sip = None
        # the fixes of WCS.fix, without its warnings
        wcs.wcs.fix()
        if wcs.naxis == 2:
            return celestial_wcs(wcs)
        spectral = WCS(header, fix=False).wcs.spec >= 0
    except ImageError:
        raise
    except Exception as error:
        msg = (
            f'the WCS of the header cannot be used: {_first_line(error)}; '
            'correct it, or give the array without it'
        )
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS) from error
    if spectral or wcs.naxis == 1:
        axes = ', '.join(repr(name) for name in types)
        msg = f'the WCS of the header has no two celestial axes, its axes are {axes}'
        raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
    return None


def _reduced(header, *, sip):
    reduced = fits.Header()
    for card in header.cards:
        keyword = card.keyword
        if _WCS_KEYWORD.fullmatch(keyword) or (sip and _SIP_KEYWORD.fullmatch(keyword)):
            # RADECSYS is the deprecated spelling, and warned of
            reduced[keyword.replace('RADECSYS', 'RADESYS')] = card.value
    return reduced


def _first_line(error):
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def shift_wcs(wcs, x, y):
    """
    Move the origin of a WCS to another pixel.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A WCS with two axes.
    x, y : int
        The pixel, 0-based, that becomes (0, 0).

    Returns
    -------
    wcs : `~astropy.wcs.WCS`
        A new WCS, with its distortions moved along.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.celestial import shift_wcs
    >>> print(shift_wcs(WCS(naxis=2), 10, 20).wcs.crpix)
    [-10. -20.]
    """
    moved = wcs.deepcopy()
    # that of the whole image
    moved.pixel_shape = None
    origin = np.array([x, y], float)
    moved.wcs.crpix = moved.wcs.crpix - origin
    if wcs.sip is not None:
        sip = wcs.sip
        moved.sip = type(sip)(sip.a, sip.b, sip.ap, sip.bp, sip.crpix - origin)
    for name in ('cpdis1', 'cpdis2', 'det2im1', 'det2im2'):
        table = getattr(moved, name)
        if table is not None:
            # crval is the place of the table in the image
            table.crval = tuple(np.asarray(table.crval) - origin)
    return moved


def grid_offset(first, second, shape):
    """
    Tell how far the pixels of two images of one shape lie apart.

    Parameters
    ----------
    first, second : `~astropy.wcs.WCS`
        Celestial WCSs.
    shape : tuple of int
        (ny, nx) of both images.

    Returns
    -------
    offset : float
        The largest distance of a corner of ``first`` from the same corner of
        ``second``, in pixels of ``second``; infinite where a corner of one
        has no place in the other.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.celestial import grid_offset, shift_wcs
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CDELT1': -1e-4,
    ...            'CDELT2': 1e-4})
    >>> print(f'{grid_offset(wcs, shift_wcs(wcs, 3, 4), (50, 60)):.3f}')
    5.000
    """
    if first is second or (
        not first.has_distortion
        and not second.has_distortion
        and first.wcs.compare(second.wcs, tolerance=1e-12)
    ):
        return 0.0
    ny, nx = shape
    x = np.array([0, nx - 1, 0, nx - 1], float)
    y = np.array([0, 0, ny - 1, ny - 1], float)
    # A WCS far away gives NaN or a failure to converge: both mean elsewhere.
    try:
        other_x, other_y = pixel_to_pixel(first, second, x, y)
    except Exception:
        return np.inf
    offset = np.max(np.hypot(other_x - x, other_y - y))
    return float(offset) if np.isfinite(offset) else np.inf


def icrs_wcs(wcs):
    """
    Give a WCS in ICRS that says the same as one in FK5.

    FITS takes an image with ``EQUINOX`` 2000 and without ``RADESYS``, such as
    those of CANDELS, for FK5 (Calabretta & Greisen 2002), whose positions
    differ from ICRS by 0.02 arcsec: most of a pixel of Hubble. The rotation
    between the frames moves the reference point and turns the axes, which is
    exact for zenithal projections.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A celestial WCS with two axes.

    Returns
    -------
    wcs : `~astropy.wcs.WCS`
        In ICRS. One that is in another frame than FK5, has distortions or is
        of another projection comes back as it is.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from galmorph.images.celestial import icrs_wcs
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRVAL1': 189.2,
    ...            'CRVAL2': 62.2, 'CDELT1': -1e-5, 'CDELT2': 1e-5,
    ...            'RADESYS': 'FK5'})
    >>> icrs_wcs(wcs).wcs.radesys
    'ICRS'
    """
    kind = wcs.wcs.ctype[0][5:]
    is_simple = (
        wcs.wcs.lng == 0
        and kind in _ZENITHAL
        and not wcs.has_distortion
        and not wcs.wcs.get_pv()
        and wcs.wcs.lonpole == 180
    )
    frame = wcs_to_celestial_frame(wcs)
    if not is_simple or not isinstance(frame, FK5):
        return wcs
    rotation = _rotation(frame.equinox.jyear)
    point, _, north = (rotation @ axis for axis in _axes(*wcs.wcs.crval))
    crval = (
        np.rad2deg(np.arctan2(point[1], point[0])) % 360,
        np.rad2deg(np.arcsin(point[2])),
    )
    _, new_east, new_north = _axes(*crval)
    sin, cos = north @ new_east, north @ new_north
    new = WCS(naxis=2)
    new.wcs.ctype = [f'RA---{kind}', f'DEC--{kind}']
    new.wcs.cunit = 'deg', 'deg'
    new.wcs.crpix = wcs.wcs.crpix
    new.wcs.crval = crval
    new.wcs.cd = [[cos, sin], [-sin, cos]] @ wcs.pixel_scale_matrix
    new.wcs.radesys = 'ICRS'
    new.wcs.set()
    return new


@functools.lru_cache(maxsize=8)
def _rotation(equinox):
    """The matrix from FK5 of an equinox to ICRS."""
    frame = FK5(
        CartesianRepresentation(np.eye(3)), equinox=Time(equinox, format='jyear')
    )
    return frame.transform_to(ICRS()).cartesian.xyz.value


def _axes(lon, lat):
    """Unit vectors to a point in degrees, and to the east and north of it."""
    lon, lat = np.deg2rad([lon, lat])
    sin, cos = np.sin([lon, lat]), np.cos([lon, lat])
    return (
        np.array([cos[1] * cos[0], cos[1] * sin[0], sin[1]]),
        np.array([-sin[0], cos[0], 0.0]),
        np.array([-sin[1] * cos[0], -sin[1] * sin[0], cos[1]]),
    )
