# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of radial profiles and Petrosian radii."""

import numpy as np
import pytest

from galmorph.preprocessing.profiles import (
    PetrosianRadii,
    RadialProfile,
    petrosian_radii,
    sersic_wings,
)
from tests.helpers.galaxies import petrosian_sizes, sersic_image


def profile_of(image, x=None, y=None, good=None):
    ny, nx = image.shape
    x = (nx - 1) / 2 if x is None else x
    y = (ny - 1) / 2 if y is None else y
    return RadialProfile(image, np.isfinite(image) if good is None else good, x, y)


class TestRadialProfile:
    @pytest.mark.parametrize('center', [(50, 50), (50.5, 50.5), (49.7, 50.2)])
    def test_a_flat_image_has_the_area_of_the_circle(self, center):
        profile = profile_of(np.full((101, 101), 2.0), *center)
        radius = np.array([0.5, 1, 2.3, 5, 17.1, 40, 49])
        assert profile.within(radius) == pytest.approx(2 * np.pi * radius**2, rel=5e-3)
        assert profile.surface(radius[2:]) == pytest.approx(2, rel=5e-3)

    def test_a_gaussian_has_its_curve_of_growth(self):
        y, x = np.mgrid[:101, :101]
        image = np.exp(-0.5 * ((x - 50.3) ** 2 + (y - 49.8) ** 2) / 6**2)
        profile = profile_of(image, 50.3, 49.8)
        radius = np.array([3.0, 6, 12, 20])
        total = 2 * np.pi * 36
        exact = total * (1 - np.exp(-0.5 * (radius / 6) ** 2))
        assert profile.within(radius) == pytest.approx(exact, rel=3e-3)
        assert profile.enclosing(0.5 * total) == pytest.approx(6 * 1.17741, rel=3e-3)

    def test_the_centre_may_lie_near_the_border(self):
        profile = profile_of(np.ones((60, 60)), 3.0, 58.6)
        assert profile.within(20) == pytest.approx(np.pi * 400, rel=0.01)
        assert profile.coverage(20) == pytest.approx(0.33, abs=0.08)

    def test_missing_pixels_take_the_mean_of_their_ring(self):
        image = sersic_image((121, 121), r_eff=12, n=1, flux=100)
        good = np.ones(image.shape, dtype=bool)
        good[55:80, 70:100] = False
        whole, part = profile_of(image), profile_of(image, good=good)
        radius = np.array([5.0, 15, 30, 50])
        assert part.within(radius) == pytest.approx(whole.within(radius), rel=5e-3)
        assert part.coverage(40) < whole.coverage(40)
        assert whole.coverage(40) == pytest.approx(1, abs=0.01)

    def test_rings_without_pixels_take_their_neighbours(self):
        radius = np.hypot(*np.mgrid[-40:41, -40:41])
        profile = profile_of(np.ones((81, 81)), good=(radius < 10) | (radius > 14))
        assert profile.within(30) == pytest.approx(np.pi * 900, rel=0.01)

    def test_subtract_takes_the_sky_off(self):
        profile = profile_of(np.full((61, 61), 5.0))
        profile.subtract(3.0)
        profile.subtract(1.0)
        assert profile.within(20) == pytest.approx(np.pi * 400, rel=5e-3)

    def test_the_limit_is_inside_of_the_corners(self):
        assert 100 < profile_of(np.ones((201, 201))).limit < 100 * np.sqrt(2)

    def test_holding_is_the_radius_of_a_part_of_the_pixels(self):
        radius = profile_of(np.ones((201, 201))).holding(0.5)
        assert np.pi * radius**2 == pytest.approx(0.5 * 201**2, rel=0.03)


class TestPetrosianRadii:
    @pytest.mark.parametrize('n', [0.5, 1, 2, 4])
    @pytest.mark.parametrize('r_eff', [6, 15])
    def test_sersic_profiles_with_known_sky(self, n, r_eff):
        expected = petrosian_sizes(n, r_eff)
        side = 2 * int(2.2 * expected[0]) + 1
        image = sersic_image(
            (side, side), r_eff=r_eff, n=n, position=(side / 2 + 0.2, side / 2 - 0.3)
        )
        profile = profile_of(image, side / 2 + 0.2, side / 2 - 0.3)
        radii = petrosian_radii(profile)
        assert radii[:3] == pytest.approx(expected, rel=0.006)
        assert radii.is_reached

    def test_the_outermost_passage_counts_inside_the_source(self):
        radius = np.hypot(*np.mgrid[-80:81, -80:81])
        image = 100 * np.exp(-0.5 * (radius / 4) ** 2)
        image += 8 * np.exp(-0.5 * ((radius - 35) / 3) ** 2)
        ring = petrosian_radii(profile_of(image), extent=45)
        core = petrosian_radii(profile_of(image), extent=15)
        assert 35 < ring.radius < 55
        assert core.radius < 15

    def test_a_flat_image_never_falls_to_eta(self):
        radii = petrosian_radii(profile_of(np.ones((81, 81))))
        assert not radii.is_reached
        assert radii.r90 < 57

    def test_an_aperture_beyond_the_image_is_not_reached(self):
        image = sersic_image((61, 61), r_eff=12, n=1)
        assert not petrosian_radii(profile_of(image)).is_reached


class TestSersicWings:
    @pytest.mark.parametrize('n', [0.5, 1, 2.5, 4])
    def test_they_go_on_with_the_profile(self, n):
        _, r50, r90 = petrosian_sizes(n, 10)
        image = sersic_image((1201, 1201), r_eff=10, n=n, flux=50)
        petro_radius = petrosian_sizes(n, 10)[0]
        flux = profile_of(image).within(2 * petro_radius)
        radii = PetrosianRadii(petro_radius, r50, r90, flux, is_reached=True)
        for offset in (30, 45):
            pixel = image[600, 600 + offset]
            if pixel > 1e-6:
                assert sersic_wings(offset, radii) == pytest.approx(pixel, rel=0.06)

    def test_nothing_has_no_wings(self):
        nothing = PetrosianRadii(1.0, 1.0, 2.0, -5.0, is_reached=True)
        assert sersic_wings(10, nothing) == 0
        assert not sersic_wings([10.0, 20.0], nothing).any()
