# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of flux units, background and missing pixels."""

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, read_image
from galmorph.preprocessing.photometry import (
    clipped_statistics,
    estimate_background,
    fill_nonfinite,
    flux_scale,
)
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.galaxies import add_noise, sersic_image

# From the header of hlsp_candels_hst_acs_gn-tot-30mas_f814w_v1.0_drz.fits, as
# recorded in the tests of astroquery.mast.
F814W = {'PHOTFLAM': 7.0073061e-20, 'PHOTPLAM': 8059.3491}


def image_of(*, unit=None, headers=None, n_band=1, **kwargs):
    data = np.random.default_rng(0).normal(size=(n_band, 12, 12))
    bands = tuple('grizy'[:n_band])
    meta = {} if headers is None else {'headers': headers}
    return GalaxyImage(data, bands=bands, unit=unit, meta=meta, **kwargs)


class TestFluxScale:
    def test_hubble_keywords_give_the_known_zero_point(self):
        image = image_of(unit=u.electron / u.s, headers=[F814W])
        (scale,) = flux_scale(image, unit=u.nJy)
        zero_point = (
            -2.5 * np.log10(F814W['PHOTFLAM'])
            - 21.10
            - 5 * np.log10(F814W['PHOTPLAM'])
            + 18.6921
        )
        assert scale == pytest.approx(151.82, abs=0.01)
        assert zero_point == pytest.approx(25.947, abs=1e-3)
        assert 31.4 - 2.5 * np.log10(scale) == pytest.approx(zero_point, abs=1e-3)

    def test_a_nanomaggy_is_3631_nanojansky(self):
        assert flux_scale(image_of(unit=u.nmgy), unit=u.nJy) == pytest.approx(3631)
        assert flux_scale(image_of(unit=u.nJy)) == pytest.approx(1 / 3631)
        assert flux_scale(image_of(unit=u.nmgy)) == pytest.approx(1)

    @pytest.mark.parametrize(
        ('text', 'expected'),
        [
            ('nanomaggies', 3631),
            ('nanomaggy', 3631),
            ('uJy', 1e3),
            ('nJy/pix', 1),
            ('', None),
            ('furlong per candle', None),
        ],
    )
    def test_bunit_is_read_where_the_object_has_no_unit(self, text, expected):
        scale = flux_scale(image_of(headers=[{'BUNIT': text}]), unit=u.nJy)
        assert scale is None if expected is None else scale == pytest.approx(expected)

    def test_the_unit_of_the_object_comes_before_bunit(self):
        image = image_of(unit=u.uJy, headers=[{'BUNIT': 'nJy', **F814W}])
        assert flux_scale(image, unit=u.nJy) == pytest.approx(1000)

    @pytest.mark.parametrize('text', ['ELECTRONS/S', 'electron / s', None])
    def test_pixels_of_hubble_are_rates_in_any_spelling(self, text):
        header = F814W if text is None else {'BUNIT': text, **F814W}
        expected = flux_scale(image_of(unit=u.electron / u.s, headers=[F814W]))
        assert flux_scale(image_of(headers=[header])) == pytest.approx(expected)

    def test_counts_are_divided_by_the_exposure_time(self):
        rate = flux_scale(image_of(unit=u.electron / u.s, headers=[F814W]))
        header = {**F814W, 'EXPTIME': 500.0}
        total = flux_scale(image_of(unit=u.electron, headers=[header]))
        assert total * 500 == pytest.approx(rate)
        assert flux_scale(image_of(unit=u.electron, headers=[F814W])) is None

    def test_flux_per_wavelength_takes_the_pivot_wavelength(self):
        unit = 1e-20 * u.erg / u.s / u.cm**2 / u.AA
        (scale,) = flux_scale(image_of(unit=u.Unit(unit), headers=[F814W]), unit=u.nJy)
        by_hand = 1e-20 * F814W['PHOTPLAM'] ** 2 / 2.99792458e18 * 1e32
        assert scale == pytest.approx(by_hand, rel=1e-6)
        assert flux_scale(image_of(unit=u.Unit(unit))) is None

    def test_surface_brightness_takes_the_area_of_a_pixel(self):
        unit = u.MJy / u.sr
        image = image_of(unit=unit, headers=[{'PIXAR_SR': 2.29e-14}])
        assert flux_scale(image, unit=u.nJy) == pytest.approx(22.9)
        assert flux_scale(image_of(unit=unit)) is None

    def test_surface_brightness_takes_the_area_from_the_wcs(self):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
        wcs.wcs.cdelt = -0.1 / 3600, 0.1 / 3600
        image = image_of(unit=u.MJy / u.sr, wcs=wcs)
        expected = 1e15 * (0.1 * np.pi / 180 / 3600) ** 2
        assert flux_scale(image, unit=u.nJy) == pytest.approx(expected, rel=1e-6)

    def test_each_band_has_its_own_header(self):
        bright = {**F814W, 'PHOTFLAM': 2 * F814W['PHOTFLAM']}
        scale = flux_scale(image_of(headers=[F814W, bright], n_band=2))
        assert scale.shape == (2,)
        assert scale[1] / scale[0] == pytest.approx(2)

    def test_one_band_without_calibration_makes_none(self):
        assert flux_scale(image_of(headers=[F814W, None], n_band=2)) is None

    @pytest.mark.parametrize('value', [0.0, -1.0, np.nan, 'N/A', True, None])
    def test_senseless_keywords_calibrate_nothing(self, value):
        assert flux_scale(image_of(headers=[{**F814W, 'PHOTFLAM': value}])) is None

    def test_other_zero_points_are_not_guessed(self):
        assert flux_scale(image_of(headers=[{'MAGZERO': 25.0}])) is None
        assert flux_scale(image_of()) is None

    def test_pictures_have_no_flux(self):
        picture = GalaxyImage(
            np.arange(300, dtype=np.uint8).reshape(3, 10, 10), is_picture=True
        )
        assert flux_scale(picture) is None

    @pytest.mark.parametrize('unit', [u.K, u.mag, u.Jy / u.beam, u.m])
    def test_units_that_are_not_flux_are_named(self, unit):
        with pytest.raises(ImageError, match=f"'{unit}' of band 'g' is not") as error:
            flux_scale(image_of(unit=unit))
        assert error.value.flag == MorphologyFlag.INVALID_IMAGE

    def test_the_unit_wanted_must_be_flux(self):
        with pytest.raises(ValueError, match=r'unit must be a flux density .* not K'):
            flux_scale(image_of(unit=u.nJy), unit=u.K)

    @needs_shared_data
    def test_real_candels_stamps_are_calibrated(self):
        path = SHARED_DATA / 'candels_goodss' / 'fits' / 'GDS_deep2_10673_h.fits.gz'
        header = fits.getheader(path)
        flux = header['PHOTFLAM'] * u.erg / u.s / u.cm**2 / u.AA
        expected = flux.to(u.nJy, u.spectral_density(header['PHOTPLAM'] * u.AA))
        assert flux_scale(read_image(path), unit=u.nJy) == pytest.approx(expected.value)


class TestEstimateBackground:
    @pytest.mark.parametrize('side', [40, 200, 500])
    def test_pure_noise(self, side):
        sky = np.random.default_rng(3).normal(7.0, 2.0, (2, side, side))
        level, noise = estimate_background(sky)
        assert level.shape == noise.shape == (2,)
        assert level == pytest.approx([7, 7], abs=20 / side)
        assert noise == pytest.approx([2, 2], rel=3 / side + 0.03)

    def test_a_galaxy_in_the_middle_does_not_count(self):
        galaxy = sersic_image((150, 150), r_eff=10, n=1, flux=1e5)
        (level,), (noise,) = estimate_background(add_noise(galaxy, 1.0, level=30))
        assert level == pytest.approx(30, abs=0.15)
        assert noise == pytest.approx(1, rel=0.05)

    def test_a_neighbour_at_the_border_does_not_count(self):
        star = sersic_image((150, 150), r_eff=4, n=0.5, flux=1e5, position=(140, 75))
        (level,), (noise,) = estimate_background(add_noise(star, 1.0, level=30))
        assert level == pytest.approx(30, abs=0.15)
        assert noise == pytest.approx(1, rel=0.06)

    def test_masked_and_nonfinite_pixels_do_not_count(self):
        sky = np.random.default_rng(5).normal(1.0, 0.1, (60, 60))
        sky[:20], sky[20:25] = np.nan, 1e9
        mask = np.zeros((60, 60), dtype=bool)
        mask[20:25] = True
        (level,), (noise,) = estimate_background(sky, mask)
        assert level == pytest.approx(1, abs=0.02)
        assert noise == pytest.approx(0.1, rel=0.1)

    def test_a_masked_border_leaves_the_inside(self):
        sky = np.full((50, 50), np.nan)
        sky[10:40, 10:40] = np.random.default_rng(5).normal(1.0, 0.1, (30, 30))
        assert estimate_background(sky).level == pytest.approx(1, abs=0.02)

    def test_quantised_sky_keeps_its_noise(self):
        sky = np.random.default_rng(5).normal(10, 0.6, (100, 100)).round()
        (level,), (noise,) = estimate_background(sky.astype(np.uint8))
        assert level == 10
        assert noise == pytest.approx(np.hypot(0.6, 12**-0.5), rel=0.05)

    def test_a_constant_image_has_no_noise(self):
        assert estimate_background(np.full((9, 9), 4.0)) == ([4.0], [0.0])

    def test_a_band_without_pixels_is_nan(self):
        data = np.ones((2, 20, 20))
        data[1] = np.nan
        level, noise = estimate_background(data)
        np.testing.assert_array_equal(level, [1, np.nan])
        np.testing.assert_array_equal(noise, [0, np.nan])

    @pytest.mark.parametrize('shape', [(5,), (1, 1, 4, 4), (0, 4)])
    def test_other_shapes_are_refused(self, shape):
        with pytest.raises(ValueError, match='data must have the shape'):
            estimate_background(np.ones(shape))


class TestClippedStatistics:
    def test_outliers_are_left_out(self):
        values = np.random.default_rng(0).normal(0, 1, 20_000)
        values[:500] = 100
        mean, median, sigma = clipped_statistics(values)
        assert (mean, median) == pytest.approx((0, 0), abs=0.05)
        assert sigma == pytest.approx(1, rel=0.03)

    def test_nothing_gives_nan(self):
        assert np.isnan(clipped_statistics(np.array([]))).all()


class TestFillNonfinite:
    def test_good_images_come_back_as_they_are(self):
        image = image_of()
        data, fraction = fill_nonfinite(image)
        assert data is image.data
        assert fraction == 0

    @pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
    @pytest.mark.parametrize('dtype', ['f4', 'f8'])
    def test_single_pixels_take_the_mean_of_their_neighbours(self, value, dtype):
        y, x = np.mgrid[:30, :30]
        plane = (10.0 + 0.1 * x + 0.2 * y).astype(dtype)
        broken = plane.copy()
        broken[11, 17] = value
        image = GalaxyImage(broken, bands=('r',))
        data, fraction = fill_nonfinite(image)
        assert fraction == pytest.approx(1 / 900)
        assert data.dtype == dtype
        assert data.shape == (1, 30, 30)
        assert data[0, 11, 17] == pytest.approx(plane[11, 17], rel=1e-5)
        assert not np.isfinite(image.data[0, 11, 17])

    def test_large_holes_take_the_sky_level(self):
        data = np.random.default_rng(1).normal(50, 1, (80, 80))
        data[:, :30] = np.nan
        filled, fraction = fill_nonfinite(GalaxyImage(data, bands=('r',)))
        assert fraction == pytest.approx(30 / 80)
        assert filled[0, 40, :20] == pytest.approx(50, abs=0.5)

    def test_masked_pixels_of_a_picture_stay_bytes(self):
        data = np.full((3, 20, 20), 40, dtype=np.uint8)
        data[:, :, 10:] = 41
        mask = np.zeros((3, 20, 20), dtype=bool)
        mask[1, 5, 5] = True
        data[1, 5, 5] = 255
        filled, fraction = fill_nonfinite(GalaxyImage(data, mask=mask, is_picture=True))
        assert filled.dtype == np.uint8
        assert filled[1, 5, 5] == 40
        assert fraction == pytest.approx(1 / 1200)

    def test_a_band_of_nothing_is_an_error(self):
        image = image_of(n_band=2)
        image.data[1] = np.nan
        with pytest.raises(ImageError, match="band 'r' of the image has no finite"):
            fill_nonfinite(image)

    @settings(max_examples=25, deadline=None)
    @given(
        seed=st.integers(0, 2**16),
        part=st.floats(0, 0.9),
        dtype=st.sampled_from(['f4', 'f8']),
        shape=st.tuples(st.integers(1, 3), st.integers(8, 25), st.integers(8, 25)),
    )
    def test_the_result_is_finite_and_good_pixels_stay(self, seed, part, dtype, shape):
        rng = np.random.default_rng(seed)
        data = rng.normal(3, 1, shape).astype(dtype)
        bad = rng.random(shape) < part
        bad[:, 0, 0] = False
        data[bad] = rng.choice([np.nan, np.inf, -np.inf], bad.sum())
        image = GalaxyImage(data, bands=tuple('gri'[: shape[0]]))
        filled, fraction = fill_nonfinite(image)
        assert np.isfinite(filled).all()
        assert fraction == pytest.approx(bad.mean())
        np.testing.assert_array_equal(filled[~bad], data[~bad])
        assert filled.min() >= data[~bad].min()
        assert filled.max() <= data[~bad].max()
