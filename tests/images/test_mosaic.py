# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.nddata import Cutout2D
from astropy.utils.masked import Masked
from hypothesis import given
from hypothesis import strategies as st

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, Mosaic
from tests.helpers.fits import make_hdu, make_pixels, make_wcs

SHAPE = (200, 300)


def make_mosaic(**kwargs):
    return Mosaic((make_pixels(SHAPE), make_wcs(SHAPE, **kwargs)))


class TestLocate:
    @given(
        rotation=st.floats(-180, 180),
        flipped=st.booleans(),
        x=st.lists(st.floats(-50, 350), min_size=1, max_size=5),
    )
    def test_as_astropy(self, rotation, flipped, x):
        mosaic = make_mosaic(rotation=rotation, flipped=flipped)
        y = np.linspace(0, 199, len(x))
        coords = mosaic.image.wcs.pixel_to_world(x, y)
        for frame in (coords, coords.galactic):
            np.testing.assert_allclose(mosaic.locate(frame), (x, y), atol=1e-6)

    def test_scalar(self):
        x, y = make_mosaic().locate(make_wcs(SHAPE).pixel_to_world(5, 6))
        assert x.shape == y.shape == ()
        assert (x, y) == (pytest.approx(5), pytest.approx(6))

    def test_not_finite_and_masked(self):
        ra = Masked([150.1, np.nan, 150.1, 150.1] * u.deg, mask=[0, 0, 1, 0])
        coords = SkyCoord(ra, [2.2, 2.2, 2.2, 2.2] * u.deg)
        x, y = make_mosaic().locate(coords)
        assert np.isfinite(x).tolist() == [True, False, False, True]
        assert np.isfinite(y).tolist() == [True, False, False, True]

    def test_distorted(self):
        mosaic = make_mosaic(sip=True)
        coords = mosaic.image.wcs.pixel_to_world([20, 280.5], [30, 170])
        far = SkyCoord([153.0, 330.1], [-8.0, -2.2], unit='deg')
        x, y = mosaic.locate(SkyCoord([*coords, *far]))
        np.testing.assert_allclose(x[:2], [20, 280.5], atol=1e-3)
        np.testing.assert_allclose(y[:2], [30, 170], atol=1e-3)
        assert not (np.isfinite(x[2:]) & (x[2:] > 0) & (x[2:] < 300)).any()

    def test_no_wcs(self):
        mosaic = Mosaic(make_pixels(SHAPE))
        coords = SkyCoord(150.1, 2.2, unit='deg')
        for call in (lambda: mosaic.locate(coords), lambda: mosaic.cutouts(coords, 9)):
            with pytest.raises(ImageError, match='has no celestial WCS') as info:
                call()
            assert info.value.flag == MorphologyFlag.NO_WCS


class TestCutouts:
    @given(x=st.floats(-0.5, 299.5), y=st.floats(-0.5, 199.5), half=st.floats(4, 60))
    def test_cover_what_was_asked_for(self, x, y, half):
        mosaic = Mosaic(make_pixels(SHAPE))
        (image,) = mosaic.cutouts_at(x, y, half)
        left, bottom = image.origin
        ny, nx = image.shape2d
        assert min(image.shape2d) >= 8
        assert left <= max(0, x - half)
        assert bottom <= max(0, y - half)
        assert left + nx - 1 >= min(299, x + half)
        assert bottom + ny - 1 >= min(199, y + half)
        assert max(image.shape2d) <= max(8, 2 * half + 3)
        assert image.position == (x - left, y - bottom)
        assert np.shares_memory(image.data, mosaic.image.data)

    @pytest.mark.parametrize('flipped', [False, True])
    def test_as_cutout2d(self, flipped):
        mosaic = make_mosaic(rotation=33, flipped=flipped)
        image, wcs = mosaic.image, mosaic.image.wcs
        coords = wcs.pixel_to_world([50.25, 120.0], [60.0, 99.6])
        for target, cut in zip(coords, mosaic.cutouts(coords, 15), strict=True):
            expected = Cutout2D(image.data[0], target, cut.shape2d, wcs)
            ny, nx = cut.shape2d
            left, bottom = cut.origin
            np.testing.assert_array_equal(
                cut.data[0], image.data[0, bottom : bottom + ny, left : left + nx]
            )
            assert np.abs(np.subtract(expected.origin_original, cut.origin)).max() <= 1
            found = cut.wcs.pixel_to_world(*cut.position)
            assert found.separation(target) < 1e-9 * u.deg

    def test_bad_targets_cost_only_themselves(self):
        mosaic = make_mosaic()
        inside = mosaic.image.wcs.pixel_to_world([10.4, 290], [10.4, 190])
        coords = SkyCoord(
            [inside[0].ra.deg, np.nan, 10, 330.1, inside[1].ra.deg],
            [inside[0].dec.deg, 2, 10, -2.2, inside[1].dec.deg],
            unit='deg',
        )
        images = mosaic.cutouts(coords, 30)
        assert [getattr(image, 'flag', None) for image in images] == [
            None,
            MorphologyFlag.BAD_COORDINATES,
            MorphologyFlag.OUTSIDE_IMAGE,
            MorphologyFlag.OUTSIDE_IMAGE,
            None,
        ]
        assert images[0].shape2d == (42, 42)

    def test_sizes_and_widths_for_each(self):
        sizes = Masked([3, np.nan, 2, -1] * u.arcsec, mask=[0, 0, 1, 0])
        images = make_mosaic().cutouts_at([50] * 4, [50] * 4, [10, 11, 12, 13], sizes)
        assert [image.size for image in images] == [3 * u.arcsec, None, None, None]
        assert [image.shape2d[0] for image in images] == [21, 23, 25, 27]

    def test_bands_unit_mask_and_header_are_kept(self):
        hdu = make_hdu(
            make_pixels((2, *SHAPE)), make_wcs(SHAPE), BANDS='gr', BUNIT='nJy'
        )
        mosaic = Mosaic(hdu)
        (image,) = mosaic.cutouts_at(50, 60, 20)
        assert (image.bands, image.unit) == (('g', 'r'), u.nJy)
        assert image.meta['headers'][0] is hdu.header
        masked = Mosaic(np.ma.masked_greater(make_pixels(SHAPE), 50))
        assert masked.cutouts_at(150, 100, 20)[0].mask.any()

    def test_scalar_coordinate(self):
        (image,) = make_mosaic().cutouts(make_wcs(SHAPE).pixel_to_world(50, 60), 20)
        assert image.position == pytest.approx((20, 20), abs=1)

    def test_none(self):
        coords = SkyCoord([], [], unit='deg')
        assert make_mosaic().cutouts(coords, 20) == []

    @pytest.mark.parametrize('half_width', [0, -3, np.nan])
    def test_wrong_width(self, half_width):
        with pytest.raises(ValueError, match='half_width positive'):
            make_mosaic().cutouts_at(50, 50, half_width)

    def test_wrong_size_unit(self):
        with pytest.raises(u.UnitTypeError, match='sizes must be angles'):
            make_mosaic().cutouts_at(50, 50, 9, [3] * u.K)

    def test_smallest_mosaic(self):
        (image,) = Mosaic(np.ones((8, 8))).cutouts_at(0, 7, 1)
        assert image.shape2d == (8, 8)

    def test_no_data_at_the_target(self):
        pixels = make_pixels(SHAPE)
        pixels[:, :150] = 0
        for data in (pixels, np.where(pixels == 0, np.nan, pixels)):
            mosaic = Mosaic((data, make_wcs(SHAPE)))
            x, y = [130, 170], [100, 100.0]
            for found in (
                mosaic.cutouts_at(x, y, 40),
                mosaic.cutouts(mosaic.image.wcs.pixel_to_world(x, y), 40),
            ):
                error, image = found
                assert error.flag == MorphologyFlag.NO_COVERAGE
                assert 'no data at x=130.0, y=100.0' in str(error)
                assert image.position == pytest.approx((40, 40), abs=1)

    def test_zeros_without_data_are_masked(self):
        pixels = make_pixels((2, *SHAPE))
        pixels[0, :, :150] = 0
        mosaic = Mosaic(np.ma.masked_greater(pixels, 60))
        near, far = mosaic.cutouts_at([165, 250], [100, 100], 40)
        part = pixels[:, 60:141, 125:206]
        np.testing.assert_array_equal(near.mask, (part == 0) | (part > 60))
        assert np.shares_memory(near.data, mosaic.image.data)
        assert not far.mask.any()
        assert mosaic.image.mask.sum() == (pixels > 60).sum()

    def test_black_of_a_picture_and_of_a_model_is_the_sky(self):
        black = np.zeros((*SHAPE, 3), 'u1')
        black[:, 150:] = 7
        assert Mosaic(black).cutouts_at(130, 100, 40)[0].mask is None
        y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
        radius = np.hypot(x - 150, y - 100)
        model = np.where(radius < 20, np.exp(-radius / 5), 0)
        assert Mosaic(model).cutouts_at(150, 100, 40)[0].mask is None

    def test_repr(self):
        assert repr(Mosaic(GalaxyImage(make_pixels()))).startswith('<Mosaic of <Galaxy')
