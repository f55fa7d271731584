# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest

from galmorph.inference.transforms import frame_transforms


@pytest.mark.parametrize('n_transforms', [1, 2, 3, 5, 8, np.int64(16)])
class TestFrameTransforms:
    def test_identity_comes_first(self, n_transforms):
        affines = frame_transforms(n_transforms)
        assert affines.shape == (n_transforms, 3, 3)
        np.testing.assert_allclose(affines[0], np.eye(3), atol=1e-15)

    def test_all_are_different_isometries_about_the_centre(self, n_transforms):
        affines = frame_transforms(n_transforms)
        np.testing.assert_allclose(affines[:, :2, 2], 0, atol=1e-12)
        linear = affines[:, :2, :2]
        product = linear @ linear.transpose(0, 2, 1)
        np.testing.assert_allclose(product, [np.eye(2)] * n_transforms, atol=1e-12)
        assert len(np.unique(linear.round(9).reshape(-1, 4), axis=0)) == n_transforms

    def test_half_of_an_even_number_is_mirrored(self, n_transforms):
        mirrored = np.linalg.det(frame_transforms(n_transforms)) < 0
        wanted = n_transforms // 2 if n_transforms % 2 == 0 else 0
        assert mirrored.sum() == wanted


@pytest.mark.parametrize('n_transforms', [0, -1, 1.5, 8.0, '8', None])
def test_number_must_be_whole_and_positive(n_transforms):
    with pytest.raises(ValueError, match='n_transforms must be a whole number'):
        frame_transforms(n_transforms)


class TestZooms:
    def test_the_sixty_views_of_dieleman(self):
        zooms = (1 / 1.2, 1, 1.2)
        affines = frame_transforms(60, zooms=zooms)
        areas = np.linalg.det(affines[:, :2, :2])
        found = np.abs(areas).reshape(3, 20) ** -0.5
        np.testing.assert_allclose(found, np.repeat(zooms, 20).reshape(3, 20))
        assert (areas < 0).sum() == 30
        turned = affines[20:30]
        angles = np.degrees(np.arctan2(turned[:, 1, 0], turned[:, 0, 0])) % 360
        np.testing.assert_allclose(np.sort(angles.round(9) % 360), np.arange(10) * 36)

    def test_one_zoom_changes_nothing(self):
        np.testing.assert_array_equal(
            frame_transforms(8, zooms=[1]), frame_transforms(8)
        )

    def test_a_zoom_alone_magnifies(self):
        (affine,) = frame_transforms(1, zooms=(2,))
        np.testing.assert_allclose(affine, np.diag([0.5, 0.5, 1]))

    @pytest.mark.parametrize(
        ('zooms', 'message'),
        [
            ((1, 0), r'positive numbers, not \[1.0, 0.0\]'),
            ((1, np.nan), 'positive numbers'),
            ((), 'shared among 0 zooms'),
            ((0.8, 1, 1.2), 'n_transforms=8 cannot be shared among 3 zooms'),
        ],
    )
    def test_bad_zooms(self, zooms, message):
        with pytest.raises(ValueError, match=message):
            frame_transforms(8, zooms=zooms)
