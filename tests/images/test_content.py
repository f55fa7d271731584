# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, check_content
from galmorph.images.content import has_data, is_covered, observed_part, unobserved
from tests.helpers.fits import make_pixels

Y, X = np.mgrid[:121, :121] - 60.0
RNG = np.random.default_rng(3)
NOISE = RNG.normal(size=X.shape)
GALAXY = 40 * np.exp(-np.hypot(X, Y) / 6)
MODEL = np.where(GALAXY > 0.1, GALAXY, 0)


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


class TestUnobserved:
    """Zeros from the edge inwards are missing where the rest is a noisy sky."""

    def find(self, plane):
        plane = np.asarray(plane, 'float32')
        found = unobserved(plane[np.newaxis])
        return np.zeros(plane.shape, bool) if found is None else found[0]

    @pytest.mark.parametrize('level', [0, 1.5, 3, 1000])
    @pytest.mark.parametrize(
        'where',
        [
            X < -20,
            X + 0.6 * Y < -10,
            (X < -3) | (Y < -3),
            X > 57,
            abs(X + Y / 9 + 20) < 4,
        ],
        ids=['half', 'slanted', 'corner', 'strip', 'gap'],
    )
    def test_outside_the_field_of_view(self, where, level):
        plane = NOISE + GALAXY + level
        np.testing.assert_array_equal(self.find(np.where(where, 0, plane)), where)

    def test_zeros_beside_pixels_that_are_not_finite_or_masked(self):
        plane = np.where(X < -40, 0, NOISE + GALAXY)
        plane[:, :10] = np.nan
        np.testing.assert_array_equal(self.find(plane), plane == 0)
        plane[:60, :10] = np.inf
        plane[60:, :10] = 3
        mask = np.zeros((1, 121, 121), bool)
        mask[:, :, :10] = True
        found = unobserved(plane[np.newaxis], mask)
        np.testing.assert_array_equal(found[0], plane == 0)

    def test_correlated_noise(self):
        plane = NOISE + GALAXY
        smooth = sum(np.roll(plane, s, (0, 1)) for s in ((0, 0), (0, 1), (1, 0)))
        smooth[:, :30] = 0
        assert self.find(smooth).sum() == 30 * 121

    def test_each_band_by_itself(self):
        planes = np.array([NOISE, NOISE + 1])
        planes[1, :, :30] = 0
        np.testing.assert_array_equal(unobserved(planes), planes == 0)

    @pytest.mark.parametrize(
        'plane',
        [
            MODEL,
            MODEL[30:90, 30:90],
            sum(np.roll(MODEL, s, (0, 1)) for s in ((0, 0), (50, 9), (-20, -48))),
            np.where(GALAXY > 1, GALAXY + NOISE, 0),
            RNG.poisson(GALAXY),
            *(RNG.poisson(GALAXY + sky) for sky in (0.03, 0.1, 0.3)),
            *(np.maximum(NOISE + GALAXY + sky, 0) for sky in (1, 0, -1, -2)),
            np.rint(NOISE + GALAXY),
        ],
    )
    def test_sky_of_zeros(self, plane):
        assert not self.find(plane).any()

    def test_hole_and_dead_pixels(self):
        plane = NOISE + GALAXY
        plane[70:90, 20:40] = 0
        plane[0, 5:7] = plane[50, 0] = plane[-1, -1] = 0
        assert not self.find(plane).any()


class TestHasData:
    @pytest.mark.parametrize('value', [0, np.nan, np.inf])
    def test_needs_each_band(self, value):
        pixels = np.ones((2, 20, 30))
        pixels[1, :, :10] = value
        assert has_data(pixels, 10.4, 5)
        assert has_data(pixels, 9, 5)
        assert not has_data(pixels, 8.4, 5)


class TestObservedPart:
    def test_lines_without_data_at_the_border(self):
        pixels = np.ones((2, 30, 40))
        pixels[:, :, 35:] = np.nan
        pixels[:, :4] = np.nan
        # inside, and in one band
        pixels[:, 10] = np.nan
        pixels[0, :, 0] = np.nan
        assert observed_part(GalaxyImage(pixels)) == (0, 35, 4, 30)

    def test_mask_counts_and_pictures_have_none(self):
        mask = np.zeros((30, 40), bool)
        mask[:, :3] = True
        assert observed_part(GalaxyImage(np.ones((30, 40)), mask=mask)) == (
            3,
            40,
            0,
            30,
        )
        picture = GalaxyImage(np.zeros((3, 30, 40), np.uint8), is_picture=True)
        assert observed_part(picture) == (0, 40, 0, 30)

    def test_nothing_at_all(self):
        assert observed_part(GalaxyImage(np.full((30, 40), np.nan))) == (0, 40, 0, 30)
