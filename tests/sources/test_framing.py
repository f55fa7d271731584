# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of sides, places and frames of images that sources bring."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS

from galmorph.sources import Target
from galmorph.sources._framing import locate, wanted_side


def make_wcs(ra, dec, kind='TAN', **values):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = f'RA---{kind}', f'DEC--{kind}'
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = 500.5, -2000
    wcs.wcs.cd = np.array([[-0.8, 0.6], [0.6, 0.8]]) * 0.03 / 3600
    wcs.wcs.radesys = 'FK5'
    wcs.wcs.equinox = 2000.0
    for name, value in values.items():
        setattr(wcs.wcs, name, value)
    wcs.wcs.set()
    return wcs


class TestLocate:
    @pytest.mark.parametrize(
        'values',
        [
            {},
            {'radesys': 'ICRS'},
            {'radesys': 'FK4', 'equinox': 1950.0},
            {'ctype': ['DEC--TAN', 'RA---TAN']},
        ],
    )
    def test_agrees_with_astropy(self, values):
        wcs = make_wcs(30, 20, **values)
        if values.get('ctype'):
            wcs.wcs.crval = 20, 30
        coord = SkyCoord(30.01, 20.02, unit='deg')
        found = locate(wcs, Target(30.01, 20.02))
        np.testing.assert_allclose(found, wcs.world_to_pixel(coord), atol=1e-6)

    def test_galactic(self):
        wcs = make_wcs(30, 20, ctype=['GLON-TAN', 'GLAT-TAN'])
        coord = SkyCoord(30, 20, unit='deg', frame='galactic').icrs
        found = locate(wcs, Target(coord.ra.deg, coord.dec.deg))
        np.testing.assert_allclose(found, (499.5, -2001), atol=1e-4)


class TestSide:
    def test_size_counts_before_radius(self):
        target = Target(0, 0, size=1 * u.arcmin, radius=9 * u.arcsec)
        assert wanted_side(target, 5 * u.arcsec) == 60 * u.arcsec

    def test_frame_fits_in_at_any_angle(self):
        side = wanted_side(Target(0, 0, radius=2 * u.arcsec), 5 * u.arcsec)
        # A square of 424 pixels of 0.02 radii, turned by 45 degrees.
        assert side > 424 * 0.02 * 2 * u.arcsec * np.sqrt(2)
        assert side < 15 * 2 * u.arcsec

    def test_reach_counts_where_it_is_more(self):
        target = Target(0, 0, radius=2 * u.arcsec, reach=11)
        assert wanted_side(target, 5 * u.arcsec) == 44 * u.arcsec
        assert wanted_side(target, 5 * u.arcsec, high=40 * u.arcsec) == 40 * u.arcsec
        less = wanted_side(Target(0, 0, radius=2 * u.arcsec, reach=3), 5 * u.arcsec)
        assert less == wanted_side(Target(0, 0, radius=2 * u.arcsec), 5 * u.arcsec)

    @pytest.mark.parametrize(
        ('radius', 'expected'), [(1e-3, 2), (1e5, 3600)], ids=['tiny', 'huge']
    )
    def test_is_bounded(self, radius, expected):
        side = wanted_side(Target(0, 0, radius=radius * u.arcsec), 5 * u.arcsec)
        assert side == expected * u.arcsec

    def test_default(self):
        assert wanted_side(Target(0, 0), 0.5 * u.arcmin) == 30 * u.arcsec
