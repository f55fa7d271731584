# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How much sky to ask for, where the target is on it, and whether it is seen."""

import functools

import numpy as np
from astropy import units as u
from astropy.coordinates import FK5, ICRS, CartesianRepresentation
from astropy.time import Time
from astropy.wcs import WCS
from astropy.wcs.utils import wcs_to_celestial_frame

__all__ = ['icrs_wcs', 'is_covered', 'locate', 'wanted_side']

# Galaxy Zoo 2 frames have 424 pixels of 0.02 petroR90 (Willett et al. 2013). A
# square turned by any angle fits into one that is wider by the root of 2, and a
# tenth more leaves some sky.
_FRAMES = 1.1 * 424 * 0.02 * 2**0.5

# The zenithal projections, which stay what they are under a rotation of the sky.
_ZENITHAL = ('TAN', 'SIN', 'ARC', 'STG', 'ZEA')


def wanted_side(target, default, *, low=2 * u.arcsec, high=1 * u.deg):
    """
    Tell how wide an image of a target should be.

    Parameters
    ----------
    target : `~galmorph.sources.Target`
        The target. Its size counts; else 13.2 times its radius, in which the
        frame of a network fits, 8.48 radii wide, however it is turned.
    default : `~astropy.units.Quantity`
        The side where neither is known.
    low, high : `~astropy.units.Quantity`, optional
        The bounds of what follows from a radius.

    Returns
    -------
    side : `~astropy.units.Quantity`
        In arcsec.

    Examples
    --------
    >>> from astropy import units as u
    >>> from galmorph.sources import Target
    >>> from galmorph.sources._framing import wanted_side
    >>> wanted_side(Target(10, 20, radius=1 * u.arcsec), 30 * u.arcsec).round(1)
    <Quantity 13.2 arcsec>
    """
    if target.size is not None:
        return target.size.to(u.arcsec)
    if target.radius is not None:
        return np.clip(_FRAMES * target.radius, low, high).to(u.arcsec)
    return default.to(u.arcsec)


def locate(wcs, target):
    """
    Find the pixel of a target.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A celestial WCS of any frame.
    target : `~galmorph.sources.Target`
        A target near the image.

    Returns
    -------
    x, y : float
        0-based; NaN where the projection does not reach.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from galmorph.sources import Target
    >>> from galmorph.sources._framing import locate
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 21,
    ...            'CRPIX2': 11, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> x, y = locate(wcs, Target(0, 0))
    >>> print(f'{x:.2f} {y:.2f}')
    20.00 10.00
    """
    world = target.ra, target.dec
    if wcs.wcs.radesys != 'ICRS' or not wcs.wcs.lngtyp.startswith('RA'):
        sky = target.coord.transform_to(wcs_to_celestial_frame(wcs)).spherical
        world = sky.lon.deg, sky.lat.deg
    if wcs.wcs.lng == 1:
        world = world[::-1]
    if wcs.has_distortion:
        x, y = wcs.all_world2pix(*world, 0, quiet=True)
    else:
        x, y = wcs.wcs_world2pix(*world, 0)
    return float(x), float(y)


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
    >>> from galmorph.sources._framing import icrs_wcs
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


def is_covered(empty, x, y):
    """
    Tell whether the target was observed.

    Parameters
    ----------
    empty : `~numpy.ndarray` of bool, shape (ny, nx)
        True for pixels without data.
    x, y : float
        The target, 0-based.

    Returns
    -------
    is_covered : bool
        Whether it is on the image, and one of the 3 x 3 pixels there has data.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.sources._framing import is_covered
    >>> empty = np.arange(20) * np.ones((20, 1)) < 10
    >>> is_covered(empty, 15, 4), is_covered(empty, 5, 4), is_covered(empty, 50, 4)
    (True, False, False)
    """
    ny, nx = empty.shape
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        return False
    column, row = round(x), round(y)
    near = empty[max(row - 1, 0) : row + 2, max(column - 1, 0) : column + 2]
    return not near.all()
