# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the affine algebra and of the linearised WCS."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from galmorph.preprocessing import geometry
from galmorph.preprocessing.geometry import apply_affine
from tests.helpers.fits import make_wcs

coordinates = st.floats(-1e3, 1e3)
angles = st.floats(-720, 720)


def tan_wcs(ra, dec, *, radesys='ICRS', equinox=None, ctype=('RA---TAN', 'DEC--TAN')):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ctype
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = 101, 101
    wcs.wcs.cdelt = -0.5 / 3600, 0.5 / 3600
    if ctype[0].startswith('RA'):
        wcs.wcs.radesys = radesys
    if equinox is not None:
        wcs.wcs.equinox = equinox
    wcs.wcs.set()
    return wcs


class TestAffines:
    @given(coordinates, coordinates, coordinates, coordinates)
    def test_the_step_that_comes_first_stands_on_the_right(self, x, y, dx, dy):
        both = geometry.scaling(2) @ geometry.translation(dx, dy)
        np.testing.assert_allclose(
            apply_affine(both, x, y), (2 * (x + dx), 2 * (y + dy))
        )

    @given(angles, coordinates, coordinates)
    def test_rotation_is_that_of_complex_numbers(self, angle, x, y):
        turned = (x + 1j * y) * np.exp(1j * np.radians(angle))
        np.testing.assert_allclose(
            apply_affine(geometry.rotation(angle), x, y),
            (turned.real, turned.imag),
            atol=1e-9,
        )

    def test_flip_mirrors_left_and_right(self):
        assert apply_affine(geometry.flip(), 2.0, 3.0) == (-2, 3)
        assert apply_affine(geometry.flip(False), 2.0, 3.0) == (2, 3)
        np.testing.assert_array_equal(geometry.flip([True, False])[:, 0, 0], [-1, 1])

    def test_two_factors(self):
        assert apply_affine(geometry.scaling(2, -3), 1.0, 1.0) == (2, -3)

    @pytest.mark.parametrize('n_pixels', [1, 68, 69])
    def test_the_centre_is_between_the_outermost_pixels(self, n_pixels):
        first = apply_affine(geometry.centre_of(n_pixels), 0.0, 0.0)
        last = apply_affine(geometry.centre_of(n_pixels), n_pixels - 1, n_pixels - 1)
        assert first == tuple(-value for value in last)

    def test_stacks(self):
        stack = geometry.rotation([0, 90]) @ geometry.translation(1, 0)
        assert stack.shape == (2, 3, 3)
        x, y = apply_affine(stack, 0.0, 0.0)
        np.testing.assert_allclose(x, [1, 0], atol=1e-15)
        np.testing.assert_allclose(y, [0, 1], atol=1e-15)
        x, _ = apply_affine(stack[:, None], np.arange(5.0), 0.0)
        assert x.shape == (2, 5)
        assert geometry.translation(np.zeros((2, 3)), 1).shape == (2, 3, 3, 3)


class TestSkyToPixel:
    @pytest.mark.parametrize('flipped', [False, True])
    @pytest.mark.parametrize('rotation', [0, 30, 82, 180, 275])
    @pytest.mark.parametrize('position', [(24.5, 19.5), (3.3, 37.8)])
    def test_offsets_on_the_sky(self, flipped, rotation, position):
        wcs = make_wcs(rotation=rotation, flipped=flipped)
        affine = geometry.sky_to_pixel(wcs, *position)
        centre = wcs.pixel_to_world(*position)
        for west, south in ((5, 0), (0, 5), (-3, 4)):
            sky = SkyCoord(
                *u.Quantity([-west, -south], u.arcsec), frame=centre.skyoffset_frame()
            )
            expected = wcs.world_to_pixel(sky.icrs)
            np.testing.assert_allclose(
                apply_affine(affine, west, south), expected, atol=1e-3
            )

    def test_distortions(self):
        wcs = make_wcs((400, 500), sip=True)
        position = (420.0, 330.0)
        centre = wcs.pixel_to_world(*position)
        sky = centre.directional_offset_by(0 * u.deg, 4 * u.arcsec)
        np.testing.assert_allclose(
            apply_affine(geometry.sky_to_pixel(wcs, *position), 0, -4),
            wcs.all_world2pix(sky.ra.deg, sky.dec.deg, 0),
            atol=0.02,
        )

    @pytest.mark.parametrize('ra', [0.0, 359.99999, 180.0])
    @pytest.mark.parametrize('dec', [-89.5, 0.0, 60.0, 89.9])
    def test_everywhere_on_the_sphere(self, ra, dec):
        affine = geometry.sky_to_pixel(tan_wcs(ra, dec), 100, 100)
        # West is +x and south is -y, at two pixels an arcsecond.
        expected = [[2, 0, 100], [0, -2, 100], [0, 0, 1]]
        np.testing.assert_allclose(affine, expected, atol=1e-4)

    @pytest.mark.parametrize('dec', [-90.0, 90.0])
    def test_at_a_pole_the_scale_is_right(self, dec):
        affine = geometry.sky_to_pixel(tan_wcs(0, dec), 100, 100)
        assert abs(np.linalg.det(affine)) == pytest.approx(4, rel=1e-6)

    @pytest.mark.parametrize(
        'wcs',
        [
            tan_wcs(120, 40, ctype=('GLON-TAN', 'GLAT-TAN')),
            tan_wcs(120, 80, radesys='FK4', equinox=1950),
            tan_wcs(120, 80, radesys='FK5', equinox=1975),
            tan_wcs(120, 80, radesys='FK5', equinox=2000),
            tan_wcs(120, 40, ctype=('ELON-TAN', 'ELAT-TAN')),
        ],
        ids=['galactic', 'fk4', 'fk5-1975', 'fk5', 'ecliptic'],
    )
    def test_north_is_that_of_icrs(self, wcs):
        affine = geometry.sky_to_pixel(wcs, 70, 130)
        centre = wcs.pixel_to_world(70, 130).icrs
        for angle, offset in ((0, (0, -9)), (90, (-9, 0))):
            sky = centre.directional_offset_by(angle * u.deg, 9 * u.arcsec)
            np.testing.assert_allclose(
                apply_affine(affine, *offset),
                [float(v) for v in wcs.world_to_pixel(sky)],
                atol=2e-3,
            )

    @pytest.mark.parametrize('kind', ['equatorial', 'galactic'])
    def test_latitude_on_the_first_axis(self, kind):
        wcs = make_wcs(rotation=30)
        if kind == 'galactic':
            wcs = tan_wcs(120, 70, ctype=('GLON-TAN', 'GLAT-TAN'))
        swapped = wcs.sub([2, 1])
        assert swapped.wcs.lng == 1
        # The first axis of the pixels goes with that of the sky.
        x, y = 24.5, 19.5
        expected = geometry.sky_to_pixel(wcs, x, y)[[1, 0, 2]]
        found = geometry.sky_to_pixel(swapped, y, x)
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_arrays_of_positions(self):
        wcs = make_wcs(rotation=20)
        x, y = np.array([[1.0, 20.0, 40.0], [3.0, 5.0, 7.0]])
        found = geometry.sky_to_pixel(wcs, x, y)
        for index in range(3):
            np.testing.assert_allclose(
                found[index], geometry.sky_to_pixel(wcs, x[index], y[index])
            )
        np.testing.assert_array_equal(found[:, :2, 2], np.stack([x, y], 1))

    def test_nan_beyond_the_sky(self):
        wcs = tan_wcs(0, 0, ctype=('RA---AIT', 'DEC--AIT'))
        wcs.wcs.cdelt = -1, 1
        affine = geometry.sky_to_pixel(wcs, [100, 2000], [100, 2000])
        assert np.isfinite(affine[0]).all()
        assert np.isnan(affine[1, :2, :2]).all()
