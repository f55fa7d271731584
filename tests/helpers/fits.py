# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS images with a celestial WCS, made for the tests."""

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS, Sip

__all__ = ['make_hdu', 'make_pixels', 'make_wcs']

RA, DEC = 150.1, 2.2


def make_pixels(shape=(40, 50), seed=0, dtype='float32'):
    """Noise around a smooth source at the centre."""
    rng = np.random.default_rng(seed)
    ny, nx = shape[-2:]
    y, x = np.mgrid[:ny, :nx]
    radius = np.hypot(x - (nx - 1) / 2, y - (ny - 1) / 2)
    pixels = 100 * np.exp(-radius / 5) + rng.normal(10, 1, shape)
    return pixels.astype(dtype)


def make_wcs(shape=(40, 50), *, scale=0.4, rotation=0.0, flipped=False, sip=False):
    """
    Make a TAN WCS, ``scale`` in arcsec, ``rotation`` in degrees.

    East is left when north is up, or right where ``flipped``.
    """
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = (
        ['RA---TAN-SIP', 'DEC--TAN-SIP'] if sip else ['RA---TAN', 'DEC--TAN']
    )
    wcs.wcs.crval = [RA, DEC]
    wcs.wcs.crpix = [(nx + 1) / 2, (ny + 1) / 2]
    angle = np.radians(rotation)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    parity = 1 if flipped else -1
    wcs.wcs.cd = scale / 3600 * np.diag([parity, 1]) @ turn
    wcs.wcs.radesys = 'ICRS'
    if sip:
        a, b = np.zeros((2, 3, 3))
        a[2, 0] = b[1, 1] = 1e-4
        wcs.sip = Sip(a, b, None, None, wcs.wcs.crpix)
    wcs.wcs.set()
    return wcs


def make_hdu(pixels=None, wcs=None, kind=fits.PrimaryHDU, **keywords):
    """Make an image HDU; keywords go to its header."""
    pixels = make_pixels() if pixels is None else pixels
    header = fits.Header() if wcs is None else wcs.to_header(relax=True)
    for key, value in keywords.items():
        header[key] = value
    return kind(pixels, header)
