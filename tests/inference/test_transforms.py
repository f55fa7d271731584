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
