# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the detection and the sizes of galaxies."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import read_image
from galmorph.preprocessing.sizes import GalaxySize, measure_galaxy
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.galaxies import (
    add_noise,
    petrosian_sizes,
    sersic_image,
    star_image,
)

F = MorphologyFlag


def radii(size):
    return size.petro_radius, size.petro_r50, size.petro_r90


def sky_noise(n, r_eff, signal_to_noise, axis_ratio=1.0):
    """Return the noise that gives a galaxy of flux 1 a signal to noise."""
    petro_radius = petrosian_sizes(n, r_eff, axis_ratio)[0]
    return 0.85 / (np.sqrt(np.pi) * petro_radius * signal_to_noise)


class TestSersicGalaxies:
    @pytest.mark.parametrize('n', [0.5, 1, 4])
    @pytest.mark.parametrize('r_eff', [5, 10])
    @pytest.mark.parametrize('center', [(150, 150), (149.7, 150.4)])
    def test_round_galaxies_without_noise(self, n, r_eff, center):
        image = 3 + sersic_image((301, 301), r_eff=r_eff, n=n, position=center)
        size = measure_galaxy(image)
        assert radii(size) == pytest.approx(petrosian_sizes(n, r_eff), rel=0.02)
        assert (size.x, size.y) == pytest.approx(center, abs=0.05)
        assert size.axis_ratio > 0.97
        assert size.flags == 0

    @pytest.mark.parametrize(
        ('n', 'axis_ratio', 'angle'),
        [(1, 0.5, 40), (4, 0.6, 100), (0.5, 0.3, 170), (1, 0.2, 0)],
    )
    def test_elliptical_galaxies(self, n, axis_ratio, angle):
        image = sersic_image(
            (251, 251), r_eff=12, n=n, axis_ratio=axis_ratio, angle=angle
        )
        size = measure_galaxy(image)
        expected = petrosian_sizes(n, 12, axis_ratio)
        assert radii(size) == pytest.approx(expected, rel=0.02)
        assert size.axis_ratio == pytest.approx(axis_ratio, abs=0.02)
        turned = (size.position_angle - angle + 90) % 180 - 90
        assert turned == pytest.approx(0, abs=1)

    @pytest.mark.parametrize(
        ('n', 'r_eff', 'axis_ratio'),
        [(0.5, 10, 1.0), (1, 10, 1.0), (1, 12, 0.5), (4, 8, 1.0)],
    )
    def test_noisy_galaxies_are_right_in_the_mean(self, n, r_eff, axis_ratio):
        noise = sky_noise(n, r_eff, 800, axis_ratio)
        image = sersic_image((221, 221), r_eff=r_eff, n=n, axis_ratio=axis_ratio)
        sizes = [
            measure_galaxy(add_noise(image, noise, level=9 * noise, seed=seed))
            for seed in range(8)
        ]
        mean = np.mean([radii(size) for size in sizes], axis=0)
        expected = petrosian_sizes(n, r_eff, axis_ratio)
        assert mean == pytest.approx(expected, rel=0.02)
        assert all(size.flags == 0 for size in sizes)
        radius = np.hypot(*np.mgrid[-110:111, -110:111])
        signal = image[radius < expected[0]].sum() / (noise * expected[0] * np.pi**0.5)
        measured = np.mean([size.signal_to_noise for size in sizes])
        assert measured == pytest.approx(signal, rel=0.04)

    def test_the_spread_is_within_the_limit_where_not_flagged(self):
        expected = petrosian_sizes(4, 8)
        image = sersic_image((201, 201), r_eff=8, n=4)
        for signal_to_noise in (60, 150, 400):
            noise = sky_noise(4, 8, signal_to_noise)
            for seed in range(6):
                size = measure_galaxy(add_noise(image, noise, seed=seed))
                if not size.flags & F.SIZE_UNCERTAIN:
                    assert radii(size) == pytest.approx(expected, rel=0.15)

    def test_known_sky_needs_no_room_for_it(self):
        image = sersic_image((141, 141), r_eff=15, n=4, flux=1e4)
        size = measure_galaxy(image + 100, background=100, noise=0)
        assert radii(size) == pytest.approx(petrosian_sizes(4, 15), rel=0.02)
        assert size.signal_to_noise == np.inf

    def test_seeing_makes_galaxies_larger(self):
        sharp = measure_galaxy(sersic_image((151, 151), r_eff=6, n=1))
        blurred = measure_galaxy(sersic_image((151, 151), r_eff=6, n=1, psf_sigma=3))
        assert blurred.petro_r50 > 1.1 * sharp.petro_r50

    @pytest.mark.parametrize('factor', [1e-12, 1e12])
    def test_the_unit_of_flux_does_not_matter(self, factor):
        image = add_noise(sersic_image((101, 101), r_eff=6, flux=1e4), 1.0)
        expected, size = measure_galaxy(image), measure_galaxy(image * factor)
        assert radii(size) == pytest.approx(radii(expected), rel=1e-6)
        assert size.flags == expected.flags

    def test_turned_images_give_the_same_size(self):
        image = sersic_image(
            (121, 131), r_eff=8, axis_ratio=0.6, angle=20, flux=1e4, position=(66, 58)
        )
        image = add_noise(image, 0.5)
        size, turned = measure_galaxy(image), measure_galaxy(image.T)
        assert radii(turned) == pytest.approx(radii(size), rel=2e-3)
        assert (turned.x, turned.y) == pytest.approx((size.y, size.x), abs=0.01)
        assert turned.position_angle == pytest.approx(90 - size.position_angle, abs=0.3)


class TestNeighbours:
    def galaxy(self):
        return sersic_image((201, 201), r_eff=9, n=1, flux=5000)

    @pytest.mark.parametrize('position', [(160, 130), (131, 112), (100, 40)])
    def test_stars_beside_the_galaxy_are_replaced(self, position):
        star = star_image((201, 201), fwhm=4, flux=1500, position=position)
        size = measure_galaxy(add_noise(self.galaxy() + star, 0.15))
        assert radii(size) == pytest.approx(petrosian_sizes(1, 9), rel=0.04)
        assert (size.x, size.y) == pytest.approx((100, 100), abs=0.3)

    def test_the_source_at_the_position_is_measured(self):
        other = sersic_image((201, 201), r_eff=5, n=1, flux=3000, position=(40, 50))
        image = add_noise(self.galaxy() + other, 0.1)
        size = measure_galaxy(image, position=(41, 49))
        assert (size.x, size.y) == pytest.approx((40, 50), abs=0.3)
        assert size.petro_r50 == pytest.approx(petrosian_sizes(1, 5)[1], rel=0.06)

    def test_masked_pixels_do_not_count(self):
        image = add_noise(self.galaxy(), 0.1)
        mask = np.zeros(image.shape, dtype=bool)
        image[90:110, 120:140], mask[90:110, 120:140] = 1e6, True
        size = measure_galaxy(image, mask=mask)
        assert radii(size) == pytest.approx(petrosian_sizes(1, 9), rel=0.03)

    @pytest.mark.parametrize('value', [np.nan, np.inf])
    def test_nonfinite_pixels_do_not_count(self, value):
        image = add_noise(self.galaxy(), 0.1)
        image[np.random.default_rng(1).random(image.shape) < 0.05] = value
        assert radii(measure_galaxy(image)) == pytest.approx(
            petrosian_sizes(1, 9), rel=0.03
        )


class TestFlags:
    def test_a_galaxy_larger_than_the_stamp(self):
        image = sersic_image((101, 101), r_eff=40, n=4, flux=1e5)
        size = measure_galaxy(add_noise(image, 0.1))
        assert size.flags & F.EDGE
        assert size.flags & F.SIZE_UNCERTAIN
        assert size.petro_r90 < petrosian_sizes(4, 40)[2]

    @pytest.mark.parametrize('side', [81, 111])
    def test_an_elliptical_without_sky_around_it(self, side):
        image = sersic_image((side, side), r_eff=12, n=4, flux=1e4)
        size = measure_galaxy(image)
        assert size.flags & F.SIZE_UNCERTAIN

    def test_a_galaxy_at_the_border(self):
        image = sersic_image((121, 121), r_eff=10, flux=1e4, position=(8, 60))
        size = measure_galaxy(add_noise(image, 0.3), position=(8, 60))
        assert size.flags & F.EDGE
        assert size.petro_r50 == pytest.approx(petrosian_sizes(1, 10)[1], rel=0.15)

    def test_faint_galaxies(self):
        noise = sky_noise(1, 6, 14)
        image = add_noise(sersic_image((101, 101), r_eff=6), noise, seed=3)
        size = measure_galaxy(image)
        assert size.flags & F.SIZE_UNCERTAIN
        assert size.flags & (F.LOW_SIGNAL | F.NO_SOURCE)

    @pytest.mark.parametrize('beta', [None, 4.765, 3])
    @pytest.mark.parametrize('fwhm', [2, 3, 3.7])
    @pytest.mark.parametrize('center', [(40, 40), (40.5, 40.3)])
    def test_stars(self, beta, fwhm, center):
        star = star_image((81, 81), fwhm=fwhm, beta=beta, flux=1e4, position=center)
        size = measure_galaxy(add_noise(star, 1.0))
        assert size.flags & F.POINT_SOURCE
        assert size.flags & F.UNRESOLVED

    @pytest.mark.parametrize('n', [0.5, 1, 4])
    @pytest.mark.parametrize('axis_ratio', [1, 0.4])
    def test_ordinary_galaxies_are_not_stars(self, n, axis_ratio):
        r_eff = 3.2 / petrosian_sizes(n, 1, axis_ratio)[1]
        image = sersic_image(
            (151, 151), r_eff=r_eff, n=n, axis_ratio=axis_ratio, flux=1e5, psf_sigma=1
        )
        size = measure_galaxy(add_noise(image, 0.5))
        assert not size.flags & (F.POINT_SOURCE | F.UNRESOLVED)

    def test_a_tiny_elliptical_is_unresolved_but_no_star(self):
        image = sersic_image((101, 101), r_eff=3, n=4, flux=1e5)
        size = measure_galaxy(add_noise(image, 0.1))
        assert size.flags & F.UNRESOLVED
        assert not size.flags & F.POINT_SOURCE

    def test_pure_noise_has_no_reliable_size(self):
        for seed in range(10):
            noise = np.random.default_rng(seed).normal(0, 1, (80, 80))
            assert measure_galaxy(noise).flags & (F.NO_SOURCE | F.SIZE_UNCERTAIN)

    def test_a_bright_source_far_from_the_position_is_not_taken(self):
        star = star_image((101, 101), fwhm=5, flux=1e4, position=(20, 20))
        size = measure_galaxy(add_noise(star, 0.01), position=(80, 80))
        assert size.flags & (F.NO_SOURCE | F.SIZE_UNCERTAIN)
        assert np.hypot(size.x - 80, size.y - 80) < 8


class TestBadInput:
    @pytest.mark.parametrize(
        'data',
        [
            np.full((50, 50), np.nan),
            np.full((50, 50), 3.0),
            np.zeros((50, 50), dtype=np.uint8),
            np.ones((1, 50)),
            np.arange(49.0).reshape(7, 7),
            np.zeros((0, 0)),
            -sersic_image((51, 51), r_eff=5, flux=100),
        ],
        ids=['nan', 'constant', 'bytes', 'line', 'tiny', 'empty', 'negative'],
    )
    def test_images_without_a_source_are_flagged(self, data):
        size = measure_galaxy(data)
        assert size.flags & (F.NO_SOURCE | F.SIZE_UNCERTAIN)
        if size.flags & F.NO_SOURCE:
            assert np.isnan(radii(size)).all()

    @pytest.mark.parametrize('position', [(-3, 20), (20, 60), (np.nan, 20)])
    def test_positions_outside_are_flagged(self, position):
        image = sersic_image((50, 50), r_eff=5)
        assert measure_galaxy(image, position=position).flags == F.NO_SOURCE

    def test_three_dimensions_are_refused(self):
        with pytest.raises(ImageError, match=r'must be one band .* not \(3, 9, 9\)'):
            measure_galaxy(np.ones((3, 9, 9)))

    def test_a_mask_of_another_shape_is_refused(self):
        with pytest.raises(ValueError, match=r'mask must have the shape \(9, 9\)'):
            measure_galaxy(np.ones((9, 9)), mask=np.zeros((9, 8), dtype=bool))

    def test_the_input_is_not_modified(self):
        image = add_noise(sersic_image((61, 61), r_eff=5, flux=100), 0.01)
        image[3, 3] = np.nan
        image.flags.writeable = False
        before = image.copy()
        measure_galaxy(image)
        np.testing.assert_array_equal(image, before)

    @pytest.mark.parametrize('dtype', ['>f4', '<f8', 'u1', '>i2'])
    def test_any_number_type_is_read(self, dtype):
        image = 20 + sersic_image((101, 101), r_eff=8, flux=3e4)
        size = measure_galaxy(image.astype(dtype))
        assert size.petro_r50 == pytest.approx(petrosian_sizes(1, 8)[1], rel=0.05)

    @settings(max_examples=30, deadline=None)
    @given(
        seed=st.integers(0, 2**16),
        shape=st.tuples(st.integers(1, 60), st.integers(1, 60)),
        part=st.floats(0, 1),
        kind=st.sampled_from(['noise', 'galaxy', 'bytes', 'blocks']),
    )
    def test_any_image_gives_a_size_or_a_reason(self, seed, shape, part, kind):
        rng = np.random.default_rng(seed)
        data = rng.normal(0, 1, shape)
        if kind == 'galaxy':
            data += sersic_image(shape, r_eff=1 + 9 * part, n=1, flux=1e3)
        elif kind == 'bytes':
            data = np.clip(100 * data, 0, 255).astype(np.uint8).astype(float)
        elif kind == 'blocks':
            data = np.sign(data)
        data[rng.random(shape) < part] = np.nan
        size = measure_galaxy(data)
        assert isinstance(size, GalaxySize)
        if not size.flags & F.NO_SOURCE:
            assert np.isfinite(radii(size)).all()
            assert 0 < size.petro_r50 < size.petro_r90


class TestPictures:
    def test_a_stretched_picture_is_measured(self):
        image = add_noise(sersic_image((212, 212), r_eff=14, flux=1e4), 0.3)
        picture = np.clip(np.arcsinh(image / 2) / 3, 0, 1)
        size = measure_galaxy((255 * picture).round() / 255)
        assert (size.x, size.y) == pytest.approx((105.5, 105.5), abs=0.5)
        assert 10 < size.petro_r50 < 40

    def test_a_saturated_picture_is_measured(self):
        image = np.clip(sersic_image((201, 201), r_eff=14, flux=2e3), 0, 1)
        assert np.isfinite(radii(measure_galaxy(image))).all()

    @needs_shared_data
    def test_real_pictures(self):
        paths = sorted((SHARED_DATA / 'gz2' / 'images').glob('*.jpg'))[:12]
        for path in paths:
            luminance = read_image(path).data.mean(axis=0) / 255
            size = measure_galaxy(luminance)
            middle = (luminance.shape[0] - 1) / 2
            assert np.hypot(size.x - middle, size.y - middle) < 20
            assert 20 < size.petro_r90 < 424


class TestRealImages:
    @needs_shared_data
    def test_candels_stamps(self):
        paths = sorted((SHARED_DATA / 'candels_goodss' / 'fits').glob('*_h.fits.gz'))
        assert len(paths) == 12
        for path in paths:
            image = read_image(path)
            size = measure_galaxy(image.data[0], position=image.position)
            assert not size.flags & (F.NO_SOURCE | F.POINT_SOURCE)
            assert np.hypot(size.x - 41.5, size.y - 41.5) < 3
            assert 2.5 < size.petro_r50 < 10
            assert 1.8 < size.petro_r90 / size.petro_r50 < 4

    @needs_shared_data
    def test_bands_of_one_galaxy_agree(self):
        image = read_image(SHARED_DATA / 'fits' / 'decals_grz_b.fits.gz')
        sizes = [measure_galaxy(band) for band in image.data]
        assert np.ptp([size.x for size in sizes]) < 1
        r90 = [size.petro_r90 for size in sizes]
        assert np.ptp(r90) < 0.1 * np.mean(r90)

    @needs_shared_data
    def test_blended_galaxies_are_told_apart(self):
        path = SHARED_DATA / 'fits' / 'abell_2744_dwarf_galaxy_f105w.fits.gz'
        size = measure_galaxy(read_image(path).data[0])
        assert (size.x, size.y) == pytest.approx((99.6, 99.5), abs=1)
        assert size.axis_ratio > 0.85
        assert 6 < size.petro_r50 < 10
