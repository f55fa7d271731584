# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pickle

import astropy.units as u
import numpy as np
import pytest
from astropy.nddata import NDData
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage
from tests.helpers.fits import make_pixels, make_wcs


class TestConstruction:
    def test_is_nddata(self):
        image = GalaxyImage(make_pixels(), unit='nJy')
        assert isinstance(image, NDData)
        assert image.unit == u.nJy
        assert image.uncertainty is None
        assert image.meta == {}

    def test_plane_becomes_one_band(self):
        image = GalaxyImage(make_pixels((40, 50)))
        assert image.data.shape == (1, 40, 50)
        assert image.shape2d == (40, 50)
        assert image.n_band == 1
        assert image.bands == ('unknown',)
        assert image.position == (24.5, 19.5)

    @pytest.mark.parametrize('dtype', ['uint8', 'float32', 'float64'])
    def test_native_pixels_are_not_copied(self, dtype):
        pixels = make_pixels((3, 40, 50), dtype=dtype)
        pixels.flags.writeable = False
        image = GalaxyImage(pixels)
        assert image.data.dtype == dtype
        assert np.shares_memory(image.data, pixels)

    @pytest.mark.parametrize(
        ('dtype', 'expected'),
        [
            ('>f4', 'float32'),
            ('>f8', 'float64'),
            ('float16', 'float32'),
            ('longdouble', 'float64'),
            ('>i2', 'float32'),
            ('uint16', 'float32'),
            ('int64', 'float32'),
            ('bool', 'float32'),
        ],
    )
    def test_other_pixels_become_native_floats(self, dtype, expected):
        pixels = make_pixels(dtype=dtype)
        image = GalaxyImage(pixels)
        assert image.data.dtype == np.dtype(expected)
        assert image.data.dtype.isnative
        np.testing.assert_array_equal(image.data[0], pixels)

    def test_memory_map_stays(self, tmp_path):
        path = tmp_path / 'pixels'
        make_pixels().tofile(path)
        pixels = np.memmap(path, 'float32', 'r', shape=(40, 50))
        assert np.shares_memory(GalaxyImage(pixels).data, pixels)

    def test_unit_and_mask_of_array_are_kept(self):
        assert GalaxyImage(make_pixels() * u.nmgy).unit == u.nmgy
        masked = np.ma.masked_greater(make_pixels(), 50)
        np.testing.assert_array_equal(GalaxyImage(masked).mask[0], masked.mask)

    @pytest.mark.parametrize(
        ('n_band', 'bands'), [(1, ('L',)), (3, ('R', 'G', 'B')), (2, ('unknown',) * 2)]
    )
    def test_bands_of_pictures(self, n_band, bands):
        data = np.zeros((n_band, 20, 20), np.uint8)
        assert GalaxyImage(data, is_picture=True).bands == bands

    def test_bands_as_text(self):
        assert GalaxyImage(np.zeros((3, 20, 20)), bands='gri').bands == ('g', 'r', 'i')
        assert GalaxyImage(np.zeros((20, 20)), bands='F160W').bands == ('F160W',)
        with pytest.raises(ImageError, match=r"one name, .*not \('g', 'r', 'i'\)"):
            GalaxyImage(np.zeros((20, 20)), bands='gri')
        assert GalaxyImage(np.zeros((20, 20)), bands='F160W').bands == ('F160W',)

    @pytest.mark.parametrize('bands', [('g',), 'gr', ('g', 'r', 5)])
    def test_wrong_bands(self, bands):
        with pytest.raises(ImageError, match='bands must be 3 names'):
            GalaxyImage(np.zeros((3, 20, 20)), bands=bands)

    @pytest.mark.parametrize(
        ('shape', 'match'),
        [
            ((), 'must have the shape'),
            ((9,), 'must have the shape'),
            ((0, 20), 'must have the shape'),
            ((2, 3, 20, 20), 'must have the shape'),
            ((1, 1), 'too small'),
            ((20, 1), 'too small'),
            ((20, 20, 3), 'bands come first'),
        ],
    )
    def test_wrong_shape(self, shape, match):
        with pytest.raises(ImageError, match=match) as info:
            GalaxyImage(np.zeros(shape))
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE

    @pytest.mark.parametrize('dtype', ['complex64', 'U3', 'O'])
    def test_not_real_numbers(self, dtype):
        with pytest.raises(ImageError, match='real numbers'):
            GalaxyImage(np.zeros((20, 20), dtype))

    def test_mask(self):
        plane = make_pixels() > 50
        data = make_pixels((2, 40, 50))
        assert GalaxyImage(data, mask=plane).mask.shape == data.shape
        assert GalaxyImage(data, mask=data > 50).mask.dtype == bool
        with pytest.raises(ImageError, match=r'mask has the shape \(3, 3\)'):
            GalaxyImage(data, mask=np.zeros((3, 3), bool))


class TestTarget:
    def test_at_is_a_view(self):
        image = GalaxyImage(make_pixels(), size=3 * u.arcsec)
        other = image.at((0, 39.5), size=4 * u.pix)
        assert other.data is image.data
        assert other.position == (0.0, 39.5)
        assert other.size == 4 * u.pix
        assert image.position == (24.5, 19.5)
        assert image.at((3, 4)).size is None

    @pytest.mark.parametrize(
        ('position', 'flag'),
        [
            ((-0.6, 5), MorphologyFlag.OUTSIDE_IMAGE),
            ((5, 39.6), MorphologyFlag.OUTSIDE_IMAGE),
            ((np.nan, 5), MorphologyFlag.BAD_COORDINATES),
            ((np.inf, 5), MorphologyFlag.BAD_COORDINATES),
        ],
    )
    def test_wrong_position(self, position, flag):
        with pytest.raises(ImageError, match='position') as info:
            GalaxyImage(make_pixels(), position=position)
        assert info.value.flag == flag

    @pytest.mark.parametrize('size', [np.nan, -1, 0, np.inf] * u.arcsec)
    def test_unknown_size(self, size):
        assert GalaxyImage(make_pixels(), size=size).size is None

    @pytest.mark.parametrize('size', [3.0, 3 * u.K])
    def test_size_without_angle(self, size):
        with pytest.raises(u.UnitTypeError, match='size must be an angle'):
            GalaxyImage(make_pixels(), size=size)

    def test_array_of_sizes(self):
        with pytest.raises(ImageError, match='one value'):
            GalaxyImage(make_pixels(), size=[1, 2] * u.arcsec)


class TestWCS:
    @given(
        scale=st.floats(0.01, 5),
        rotation=st.floats(-180, 180),
        flipped=st.booleans(),
    )
    def test_pixel_scale(self, scale, rotation, flipped):
        wcs = make_wcs(scale=scale, rotation=rotation, flipped=flipped)
        image = GalaxyImage(make_pixels(), wcs=wcs)
        assert image.pixel_scale.unit == u.arcsec / u.pix
        assert image.pixel_scale.value == pytest.approx(scale)

    def test_pixel_scale_of_oblong_pixels(self):
        wcs = make_wcs()
        wcs.wcs.cd = np.diag([-4, 9]) / 3600
        assert GalaxyImage(make_pixels(), wcs=wcs).pixel_scale.value == pytest.approx(6)

    def test_without(self):
        image = GalaxyImage(make_pixels())
        assert image.wcs is None
        assert not image.has_wcs
        assert image.pixel_scale is None
        assert image.section(5, 20, 5, 20, position=(9, 9)).wcs is None

    def test_no_celestial_axes(self):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ['LINEAR', 'LINEAR']
        with pytest.raises(ImageError, match='no celestial axes') as info:
            GalaxyImage(make_pixels(), wcs=wcs)
        assert info.value.flag == MorphologyFlag.NO_WCS

    def test_section(self):
        wcs = make_wcs(rotation=30)
        image = GalaxyImage(make_pixels((2, 40, 50)), wcs=wcs, mask=np.eye(40, 50) > 0)
        part = image.section(10, 30, 5, 25, position=(17.25, 11.5))
        again = part.section(2, 15, 3, 15, position=part.position)
        assert np.shares_memory(part.data, image.data)
        np.testing.assert_array_equal(part.data, image.data[:, 5:25, 10:30])
        np.testing.assert_array_equal(part.mask, image.mask[:, 5:25, 10:30])
        assert part.parent_wcs is wcs
        assert again.origin == (12, 8)
        sky = wcs.pixel_to_world(17.25, 11.5)
        for view in (part, again):
            assert view.wcs is view.wcs
            assert (
                view.wcs.pixel_to_world(*view.position).separation(sky) < 1e-9 * u.deg
            )
            assert view.pixel_scale == image.pixel_scale

    def test_pickle(self):
        image = GalaxyImage(make_pixels(), wcs=make_wcs(), bands='r')
        part = image.section(10, 30, 5, 25, position=(17.25, 11.5))
        back = pickle.loads(pickle.dumps(part))
        np.testing.assert_array_equal(back.data, part.data)
        np.testing.assert_array_equal(back.wcs.wcs.crpix, part.wcs.wcs.crpix)
        assert back.bands == ('r',)


def test_repr_is_short():
    image = GalaxyImage(make_pixels(), wcs=make_wcs(), unit='nmgy', bands='g')
    expected = '<GalaxyImage 40 x 50 pixels, bands g, nmgy, 0.4 arcsec / pix>'
    assert repr(image) == str(image) == expected
