# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How much sky to ask for, and where the target is on it."""

import numpy as np
from astropy import units as u
from astropy.wcs.utils import wcs_to_celestial_frame

__all__ = ['locate', 'wanted_side']

# Galaxy Zoo 2 frames have 424 pixels of 0.02 petroR90 (Willett et al. 2013). A
# square turned by any angle fits into one that is wider by the root of 2, and a
# tenth more leaves some sky.
_FRAMES = 1.1 * 424 * 0.02 * 2**0.5


def wanted_side(target, default, *, low=2 * u.arcsec, high=1 * u.deg):
    """
    Tell how wide an image of a target should be.

    Parameters
    ----------
    target : `~galmorph.sources.Target`
        The target. Its size counts; else 13.2 times its radius, in which the
        frame of Galaxy Zoo 2 fits, 8.48 radii wide, however it is turned; or
        twice its reach where that is more.
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
        n_radii = max(_FRAMES, 2 * target.reach)
        return np.clip(n_radii * target.radius, low, high).to(u.arcsec)
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
