# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.masked import Masked
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, read_images
from galmorph.images.arrays import image_from_array, stack_bands
from galmorph.images.celestial import shift_wcs
from tests.helpers.fits import make_pixels, make_wcs

DTYPES = st.builds(
    lambda order, name: np.dtype(name).newbyteorder(order),
    st.sampled_from('<>'),
    st.sampled_from(['u1', 'i1', 'i2', 'u2', 'i4', 'i8', 'f2', 'f4', 'f8', 'bool']),
)


class TestAxes:
    @given(
        dtype=DTYPES,
        shape=st.tuples(st.integers(1, 7), st.integers(9, 20), st.integers(9, 20)),
        is_last=st.booleans(),
        is_writeable=st.booleans(),
        step=st.sampled_from([1, 2, -1]),
    )
    def test_pixels_arrive(self, *, dtype, shape, is_last, is_writeable, step):
        n_band, ny, nx = shape
        rng = np.random.default_rng(ny)
        pixels = rng.integers(0, 2, (n_band, ny, nx * abs(step))).astype(dtype)
        pixels = pixels[..., ::step]
        given_array = np.moveaxis(pixels, 0, -1) if is_last else pixels
        given_array.flags.writeable = is_writeable
        before = given_array.copy()
        image = image_from_array(given_array, unit='nmgy')
        assert image.data.shape == (n_band, ny, nx)
        assert image.data.dtype.isnative
        assert image.data.dtype in ('uint8', 'float32', 'float64')
        np.testing.assert_array_equal(image.data, pixels)
        np.testing.assert_array_equal(given_array, before)

    @given(
        pixels=hnp.arrays(
            'float32', (12, 11), elements=st.sampled_from([np.nan, np.inf, 0, 1])
        )
    )
    def test_nan_pattern_is_kept(self, pixels):
        for array in (pixels, pixels.astype('>f8'), pixels[np.newaxis]):
            np.testing.assert_array_equal(image_from_array(array).data[0], pixels)

    @given(shape=hnp.array_shapes(min_dims=0, max_dims=5, min_side=0, max_side=9))
    def test_any_shape_is_an_image_or_an_image_error(self, shape):
        (image,) = read_images([np.zeros(shape)])
        if isinstance(image, ImageError):
            assert image.flag == MorphologyFlag.INVALID_IMAGE
        else:
            assert min(image.shape2d) >= 8

    def test_one_galaxy_with_leading_axes(self):
        assert image_from_array(np.zeros((1, 1, 40, 50))).data.shape == (1, 40, 50)

    def test_stack(self):
        with pytest.raises(ImageError, match='read_images takes it'):
            image_from_array(np.zeros((5, 3, 40, 50)))

    def test_many_planes(self):
        with pytest.raises(ImageError, match=r'as \(n_image, 1, ny, nx\)'):
            image_from_array(np.zeros((32, 40, 50)))

    @pytest.mark.parametrize('array', [np.zeros((20, 20), complex), np.full(9, 'a')])
    def test_not_numbers(self, array):
        with pytest.raises(ImageError, match='real numbers'):
            image_from_array(array)


class TestPictures:
    @pytest.mark.parametrize('is_last', [True, False])
    @pytest.mark.parametrize('n_band', [3, 4])
    def test_uint8(self, n_band, is_last):
        pixels = make_pixels((n_band, 40, 50), dtype='uint8')
        array = np.moveaxis(pixels, 0, -1) if is_last else pixels
        image = image_from_array(array)
        assert image.is_picture
        assert image.bands == ('R', 'G', 'B')
        assert np.shares_memory(image.data, pixels)
        np.testing.assert_array_equal(image.data, pixels[:3])

    def test_grey(self):
        image = image_from_array(np.zeros((40, 50), np.uint8))
        assert image.is_picture
        assert image.bands == ('L',)
        assert image_from_array(np.zeros((40, 50, 2), np.uint8)).bands == ('L',)

    def test_float_rgb(self):
        array = np.linspace(0, 1, 40 * 50 * 3).reshape(40, 50, 3)
        array[3, 4] = np.nan
        image = image_from_array(array)
        assert image.is_picture
        np.testing.assert_array_equal(image.data, np.moveaxis(array, -1, 0))

    @pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
    def test_float_rgb_without_finite_pixels(self, value):
        assert image_from_array(np.full((40, 50, 3), value)).is_picture

    def test_integers_of_eight_bits(self):
        image = image_from_array(np.full((40, 50, 3), 200, np.int64))
        assert image.data.dtype == np.uint8
        assert image.data.max() == 200

    def test_sixteen_bits(self):
        image = image_from_array(np.full((40, 50, 3), 65535, '>u2'))
        assert image.data.dtype == np.float32
        assert image.data.max() == 1

    @pytest.mark.parametrize(
        'array', [np.full((40, 50, 3), 37.5), [[[-7] * 3] * 9] * 9]
    )
    def test_out_of_range(self, array):
        with pytest.raises(ImageError, match='for calibrated pixels give their unit'):
            image_from_array(array)

    def test_calibrated_bands_last(self):
        array = np.full((40, 50, 3), 37.5)
        for image in (
            image_from_array(array, bands='grz'),
            image_from_array(array, unit='nmgy'),
            image_from_array(array * u.nmgy),
        ):
            assert not image.is_picture
            assert image.data.shape == (3, 40, 50)

    def test_bands_first_floats_are_calibrated(self):
        assert not image_from_array(np.zeros((3, 40, 50))).is_picture


class TestUnitsAndMasks:
    def test_quantity_is_converted(self):
        image = image_from_array(make_pixels() * u.uJy, unit='nJy')
        assert image.unit == u.nJy
        np.testing.assert_allclose(image.data[0], make_pixels() * 1000)

    def test_quantity_of_another_kind(self):
        with pytest.raises(ImageError, match=r'unit nJy was asked for, but .* in K'):
            image_from_array(make_pixels() * u.K, unit='nJy')

    @pytest.mark.parametrize('is_last', [True, False])
    def test_masked_array(self, is_last):
        data = make_pixels((3, 40, 50))
        mask = data > 50
        masked = np.ma.array(data, mask=mask)
        array = np.moveaxis(masked, 0, -1) if is_last else masked
        image = image_from_array(array, bands='gri')
        np.testing.assert_array_equal(image.mask, mask)
        np.testing.assert_array_equal(image.data, data)

    def test_nothing_masked(self):
        assert image_from_array(np.ma.array(make_pixels())).mask is None
        assert image_from_array(np.ma.array(make_pixels(), mask=False)).mask is None

    def test_masked_quantity(self):
        mask = make_pixels() > 50
        image = image_from_array(Masked(make_pixels() * u.nJy, mask=mask))
        np.testing.assert_array_equal(image.mask[0], mask)
        assert image.unit == u.nJy

    def test_mask_of_rgba(self):
        mask = np.zeros((40, 50, 4), bool)
        mask[2, 3] = True
        image = image_from_array(np.zeros((40, 50, 4), np.uint8), mask=mask)
        assert image.mask.sum(axis=(1, 2)).tolist() == [1, 1, 1]


class TestStackBands:
    def test_pixels_masks_and_headers(self):
        g = GalaxyImage(make_pixels(seed=1), mask=make_pixels() > 50)
        r = GalaxyImage(make_pixels(seed=2), wcs=make_wcs())
        r.meta['headers'] = [fits.Header({'FILTER': 'r'})]
        image = stack_bands({'g': g, 'r': r})
        assert image.bands == ('g', 'r')
        np.testing.assert_array_equal(image.data, [g.data[0], r.data[0]])
        np.testing.assert_array_equal(image.mask[0], g.mask[0])
        assert not image.mask[1].any()
        assert image.has_wcs
        assert [len(header) for header in image.meta['headers']] == [0, 1]

    def test_units(self):
        a = GalaxyImage(make_pixels(), unit='uJy')
        b = GalaxyImage(make_pixels(), unit='nJy')
        image = stack_bands({'a': a, 'b': b})
        assert image.unit == u.uJy
        np.testing.assert_allclose(image.data[1] * 1000, image.data[0], rtol=1e-6)
        assert stack_bands({'a': a, 'b': GalaxyImage(make_pixels())}).unit is None

    @pytest.mark.parametrize(
        ('other', 'match'),
        [
            (GalaxyImage(make_pixels((30, 30))), 'give all bands on one grid'),
            (GalaxyImage(make_pixels((3, 40, 50))), 'an image of 3 bands'),
            (GalaxyImage(make_pixels(), is_picture=True), 'only one is a picture'),
            (GalaxyImage(make_pixels(), unit='K'), 'cannot be converted to nJy'),
            (
                GalaxyImage(make_pixels(), wcs=shift_wcs(make_wcs(), 1, 0)),
                'off that of the others by 1 pixels',
            ),
        ],
    )
    def test_disagreement(self, other, match):
        first = GalaxyImage(make_pixels(), unit='nJy', wcs=make_wcs())
        with pytest.raises(ImageError, match=match) as info:
            stack_bands({'g': first, 'r': other})
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE

    def test_a_third_of_a_pixel_is_one_grid(self):
        first = GalaxyImage(make_pixels(), wcs=make_wcs())
        other = GalaxyImage(make_pixels(), wcs=shift_wcs(make_wcs(), 0.3, 0))
        assert stack_bands({'g': first, 'r': other}).n_band == 2
