# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Positions and their pixels against astropy's own."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.utils.masked import Masked
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.images.positions import (
    Positions,
    is_on_sky,
    pixel_to_icrs,
    unit_vectors,
    world_to_pixel,
)
from tests.helpers.fits import make_wcs

FRAMES = {
    'ICRS': {},
    'none': {'radesys': ''},
    'FK5': {'radesys': 'FK5', 'equinox': 2000.0},
    'FK5 1975': {'radesys': 'FK5', 'equinox': 1975.0},
    'by equinox': {'radesys': '', 'equinox': 2000.0},
    'FK4': {'radesys': 'FK4', 'equinox': 1950.0},
    'galactic': {'radesys': '', 'ctype': ['GLON-TAN', 'GLAT-TAN']},
    'swapped': {'ctype': ['DEC--TAN', 'RA---TAN'], 'crval': [2.2, 150.1]},
}


@pytest.fixture(params=FRAMES)
def wcs(request):
    wcs = make_wcs(rotation=20)
    for name, value in FRAMES[request.param].items():
        setattr(wcs.wcs, name, value)
    wcs.wcs.set()
    return wcs


class TestPixels:
    def test_as_astropy(self, wcs):
        x, y = np.array([0, 49, 20.5, -300]), np.array([0, 39, 11.25, 700])
        sky = wcs.pixel_to_world(x, y)
        ra, dec = pixel_to_icrs(wcs, x, y)
        np.testing.assert_allclose(ra, sky.icrs.ra.deg, atol=1e-10)
        np.testing.assert_allclose(dec, sky.icrs.dec.deg, atol=1e-10)
        positions = Positions(sky.transform_to('galactic'))
        rows = np.array([3, 0])
        np.testing.assert_allclose(
            positions.pixels(wcs, rows), [x[rows], y[rows]], atol=1e-5
        )
        np.testing.assert_allclose(positions.all_pixels(wcs), [x, y], atol=1e-5)
        expected = wcs.world_to_pixel(sky)
        np.testing.assert_allclose(positions.all_pixels(wcs), expected, atol=1e-5)

    def test_out_of_reach(self):
        lon, lat = np.array([150.1, 330.1]), np.array([2.2, -2.2])
        for sip in (False, True):
            x, y = world_to_pixel(make_wcs(sip=sip), lon, lat)
            assert x[0] == pytest.approx(24.5)
            assert y[0] == pytest.approx(19.5)
            assert not (np.isfinite(x[1]) and 0 < x[1] < 50)

    def test_not_finite_and_masked(self):
        ra = Masked([150.1, np.nan, 150.1, 10] * u.deg, mask=[0, 0, 1, 0])
        coords = SkyCoord(ra, [2.2, 2.2, 2.2, 60] * u.deg)
        assert is_on_sky(coords).tolist() == [True, False, False, True]
        positions = Positions(coords)
        assert positions.good.tolist() == [True, False, False, True]
        x, _ = positions.all_pixels(make_wcs())
        assert np.isfinite(x)[:3].tolist() == [True, False, False]

    def test_scalar_and_none(self):
        assert len(Positions(SkyCoord(1, 2, unit='deg'))) == 1
        assert len(Positions(SkyCoord([], [], unit='deg'))) == 0


class TestNear:
    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(st.floats(0, 360), st.floats(-90, 90), st.floats(1e-4, 2)),
            min_size=1,
            max_size=6,
        ),
        st.integers(0, 9),
    )
    def test_as_separations(self, circles, seed):
        rng = np.random.default_rng(seed)
        coords = SkyCoord(rng.uniform(0, 360, 50), rng.uniform(-90, 90, 50), unit='deg')
        positions = Positions(coords)
        ra, dec, radii = np.array(circles).T
        centres = unit_vectors(ra, dec)
        among = np.arange(50) % 7 > 0
        found = dict(positions.near(centres, radii, among))
        for number, (centre, radius) in enumerate(zip(centres, radii, strict=True)):
            chords = np.linalg.norm(positions.vectors - centre, axis=1)
            expected = np.flatnonzero((chords <= radius) & among)
            rows = found.get(number, np.array([], int))
            # but for those on the edge of the circle
            differ = np.setxor1d(rows, expected)
            np.testing.assert_allclose(chords[differ], radius, rtol=1e-9)
            assert (np.diff(rows) > 0).all()
