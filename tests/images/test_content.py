# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, check_content
from galmorph.images.content import is_covered
from tests.helpers.fits import make_pixels


class TestCheckContent:
    @pytest.mark.parametrize('value', [0, 3.5, np.nan, np.inf])
    def test_blank(self, value):
        image = GalaxyImage(np.full((3, 40, 50), value))
        match = 'same value' if np.isfinite(value) else 'no finite pixel'
        with pytest.raises(ImageError, match=match) as info:
            check_content(image)
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE

    def test_all_masked(self):
        image = GalaxyImage(make_pixels(), mask=np.ones((40, 50), bool))
        with pytest.raises(ImageError, match='no finite pixel'):
            check_content(image)

    def test_constant_but_for_masked_pixels(self):
        pixels = np.ones((40, 50))
        pixels[7, 9] = 5
        check_content(GalaxyImage(pixels))
        with pytest.raises(ImageError, match='same value'):
            check_content(GalaxyImage(pixels, mask=pixels == 5))

    def test_one_blank_band(self):
        data = make_pixels((3, 40, 50))
        data[1] = 0
        image = GalaxyImage(data, bands='grz')
        with pytest.raises(ImageError, match="band 'r'") as info:
            check_content(image)
        assert info.value.flag == MorphologyFlag.BANDS_MISSING
        check_content(image, bands=('g', 'z'))

    def test_picture_may_lack_a_colour(self):
        data = make_pixels((3, 40, 50), dtype='uint8')
        data[2] = 0
        check_content(GalaxyImage(data, is_picture=True))
        with pytest.raises(ImageError, match='same value'):
            check_content(GalaxyImage(np.zeros_like(data), is_picture=True))

    @given(
        finite=st.lists(
            st.tuples(st.integers(0, 19), st.integers(0, 24)), max_size=5, unique=True
        )
    )
    def test_nan_pattern(self, finite):
        pixels = np.full((20, 25), np.nan)
        for value, place in enumerate(finite):
            pixels[place] = value
        image = GalaxyImage(pixels)
        if len(finite) > 1:
            check_content(image)
        else:
            with pytest.raises(ImageError, match='the image has'):
                check_content(image)


class TestCovered:
    def test_one_good_pixel_will_do(self):
        empty = np.ones((20, 30), bool)
        empty[5, 7] = False
        assert is_covered(empty, 8.4, 4.4)
        assert not is_covered(empty, 8.6, 4.4)
        assert not is_covered(empty, 7, 7)

    def test_corners(self):
        empty = np.zeros((20, 30), bool)
        assert is_covered(empty, -0.4, 19.4)
        assert is_covered(empty, 29.4, -0.4)
        assert not is_covered(empty, 29.6, 3)
        assert not is_covered(empty, np.nan, 3)
