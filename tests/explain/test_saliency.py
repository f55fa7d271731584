# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of saliency: against networks whose answer is known, and real weights."""

import numpy as np
import pytest
import torch
from astropy import units as u

from galmorph import MorphologyClassifier, read_image
from galmorph.demo import load_deep_field
from galmorph.exceptions import ImageError
from galmorph.explain import gradient_saliency, occlusion_saliency
from galmorph.explain._views import frame_positions, views_of
from tests.helpers.explained import SIDE, Weighted

ANSWER = 'spiral_spiral'


def bump(x, y, sigma):
    """A Gaussian over pixels of a view."""
    down, right = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2
    return np.exp(-0.5 * ((right - x) ** 2 + (down - y) ** 2) / sigma**2)


@pytest.fixture(scope='module')
def bundled():
    return MorphologyClassifier('dieleman.gz2', 'cpu')


@pytest.fixture(scope='module')
def galaxy():
    field = load_deep_field()
    return field.at((123.0, 401.0), 22 * u.pix)


class TestGradient:
    def test_of_a_weighted_sum_are_its_weights(self, explained, spots):
        weights = np.random.default_rng(1).normal(size=(1, 3, SIDE, SIDE))
        classifier = explained(Weighted(weights), views=(0.0,))
        picture = spots((212, 212))[0]
        for options in ({'n_samples': 1}, {'n_samples': 3}):
            found = gradient_saliency(
                classifier, picture, ANSWER, n_pixels=SIDE, **options
            )
            np.testing.assert_allclose(
                found.values, np.abs(weights[0]).sum(0), rtol=2e-5, atol=1e-5
            )

    def test_views_are_turned_back_and_added(self, explained, spots):
        # The same place of the sky in both views: 8 pixels right of the centre,
        # which the view from 45° has 8 pixels away at the upper right.
        r = 8 / np.sqrt(2)
        weights = np.stack([bump(8, 0, 2), bump(r, -r, 2)])[:, None].repeat(3, 1)
        found = gradient_saliency(
            explained(Weighted(weights)), spots((212, 212))[0], ANSWER,
            n_pixels=SIDE, n_samples=1,
        )  # fmt: skip
        np.testing.assert_allclose(found.values, 6 * bump(8, 0, 2), atol=0.2)

    def test_describes_what_it_is_of(self, explained, spots):
        weights = np.full((2, 3, SIDE, SIDE), 1e-4)
        classifier = explained(Weighted(weights))
        picture = spots((212, 212))[0]
        found = gradient_saliency(classifier, picture, ANSWER, n_pixels=64)
        views = views_of(classifier.engine, read_image(picture))
        assert found.values.shape == (64, 64)
        assert found.stamp.shape == (64, 64, 3)
        assert found.probability == pytest.approx(1e-4 * float(views.sum()), rel=1e-5)
        assert (found.answer, found.method) == (ANSWER, 'gradient')
        assert found.width == pytest.approx(SIDE * 6 * 0.02)

    def test_same_seed_same_map(self, classifier):
        picture = np.random.default_rng(2).random((48, 48, 3))
        first, again, other = (
            gradient_saliency(
                classifier, picture, ANSWER, n_samples=2, seed=seed
            ).values
            for seed in (1, 1, 2)
        )
        np.testing.assert_array_equal(first, again)
        assert np.abs(first - other).max() > 0

    def test_galaxy_matters_more_than_sky(self, bundled, galaxy):
        found = gradient_saliency(bundled, galaxy, ANSWER, n_samples=2, n_pixels=64)
        y, x = np.mgrid[:64, :64] - 31.5
        radius = np.hypot(x, y)
        inner, outer = found.values[radius < 16], found.values[radius > 32]
        assert inner.mean() > 4 * outer.mean()

    def test_wrong_arguments(self, classifier, spots):
        picture = spots((212, 212))[0]
        with pytest.raises(ValueError, match="answer='spiral' is none of 'gz2'"):
            gradient_saliency(classifier, picture, 'spiral')
        with pytest.raises(ValueError, match='n_samples must be at least 1, not 0'):
            gradient_saliency(classifier, picture, ANSWER, n_samples=0)
        with pytest.raises(ImageError, match='no such file'):
            gradient_saliency(classifier, 'missing.fits', ANSWER)


class TestOcclusion:
    def test_of_a_weighted_sum_is_what_the_disk_hides(self, explained, spots):
        weights = np.random.default_rng(1).random((2, 3, SIDE, SIDE)) / 100
        classifier = explained(Weighted(weights))
        picture = spots((230, 190))[0]
        found = occlusion_saliency(classifier, picture, ANSWER, radius=1.0, n_steps=3)
        views = views_of(classifier.engine, read_image(picture)).numpy()[0]
        x, y = frame_positions(classifier.engine.recipe)
        third = SIDE * 6 / 3
        for row, column in np.ndindex(3, 3):
            distance = np.hypot(x - (column - 1) * third, y - (row - 1) * third)
            disk = np.clip((50 - distance) / 6 + 0.5, 0, 1)[:, None]
            # The sky of these pictures is black but for the wing of the spot.
            hidden = (weights * (views - views[0, 0, 0, 0]) * disk).sum()
            assert found.values[row, column] == pytest.approx(
                hidden, rel=1e-3, abs=1e-5
            )

    def test_covering_sky_changes_nothing(self, explained, spots):
        weights = np.full((2, 3, SIDE, SIDE), 1e-3)
        found = occlusion_saliency(
            explained(Weighted(weights)), spots((300, 212))[0], ANSWER, n_steps=9
        )
        row, column = np.unravel_index(found.values.argmax(), (9, 9))
        # 88 frame pixels right of the centre are 4 of the 9 steps of 22.
        assert (row, column) == (4, 8)
        assert np.abs(found.values[:, :6]).max() < 1e-3 * found.values.max()

    def test_covering_the_galaxy_matters_more_than_covering_sky(self, bundled, galaxy):
        found = occlusion_saliency(bundled, galaxy, ANSWER, n_steps=7)
        y, x = np.mgrid[:7, :7] - 3
        radius = np.hypot(x, y)
        falls = np.abs(found.values)
        assert found.probability > 0.5
        assert falls[radius < 2].mean() > 5 * falls[radius > 3.5].mean()

    def test_batches_do_not_matter(self, explained, spots):
        weights = np.random.default_rng(1).random((2, 3, SIDE, SIDE)) / 100
        classifier = explained(Weighted(weights))
        picture = spots((230, 190))[0]
        some = occlusion_saliency(classifier, picture, ANSWER, n_steps=5).values
        classifier.engine.batch_size = 1
        single = occlusion_saliency(classifier, picture, ANSWER, n_steps=5).values
        np.testing.assert_allclose(single, some, atol=1e-6)

    def test_wrong_arguments(self, classifier, spots):
        picture = spots((212, 212))[0]
        with pytest.raises(ValueError, match='radius must be positive, not -1'):
            occlusion_saliency(classifier, picture, ANSWER, radius=-1)
        with pytest.raises(ValueError, match='n_steps must be positive, not 0'):
            occlusion_saliency(classifier, picture, ANSWER, n_steps=0)


def test_network_is_left_as_it_was(bundled, galaxy):
    before = bundled.classify(galaxy).probabilities
    gradient_saliency(bundled, galaxy, ANSWER, n_samples=1)
    assert all(p.grad is None for p in bundled.engine.network.parameters())
    assert torch.is_grad_enabled()
    np.testing.assert_array_equal(bundled.classify(galaxy).probabilities, before)
