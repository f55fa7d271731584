# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of random affines, against the published ranges."""

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.networks.inputs import Standardise
from galmorph.preprocessing import geometry
from galmorph.preprocessing.recipe import Recipe
from galmorph.training.augmentation import Augmentation, list_augmentations

N = 20_000


def draw(name, n=N, seed=1, **options):
    augmentation = Augmentation.preset(name)
    return augmentation.draw_affines(n, np.random.default_rng(seed), **options)


def scales(affines):
    return np.sqrt(np.abs(np.linalg.det(affines)))


def angles(affines):
    """Angle of the second axis, which a flip left to right leaves alone."""
    return np.rad2deg(np.arctan2(-affines[:, 0, 1], affines[:, 1, 1])) % 360


def is_uniform(values, low, high):
    """Tell whether the extremes and moments are those of a uniform draw."""
    span = high - low
    return (
        low <= values.min() < low + 0.001 * span
        and high - 0.001 * span < values.max() <= high
        and abs(values.mean() - (low + high) / 2) < 0.01 * span
        and abs(values.std() - span / np.sqrt(12)) < 0.01 * span
    )


def make_views(n=4, n_channel=3, size=12, n_view=2):
    generator = torch.Generator().manual_seed(7)
    return torch.rand(n, n_view, n_channel, size, size, generator=generator)


class TestDieleman:
    # Systems: rotation U(0, 360), shift U(-4, 4), zoom log-uniform to 1.3,
    # flip of half.
    def test_ranges(self):
        affines = draw('dieleman')
        assert is_uniform(angles(affines), 0, 360)
        assert is_uniform(np.log(scales(affines)), -np.log(1.3), np.log(1.3))
        assert is_uniform(affines[:, 0, 2], -4, 4)
        assert is_uniform(affines[:, 1, 2], -4, 4)
        assert abs((np.linalg.det(affines) < 0).mean() - 0.5) < 0.02

    def test_is_rigid_but_for_the_scale(self):
        linear = draw('dieleman', 100)[:, :2, :2]
        product = linear @ linear.transpose(0, 2, 1)
        diagonal = np.broadcast_to(product[:, :1, :1] * np.eye(2), product.shape)
        np.testing.assert_allclose(product, diagonal, atol=1e-12)

    def test_colour_is_one_normal_number_a_galaxy(self):
        views = torch.full((4000, 2, 3, 1, 1), 0.5)
        augmentation = Augmentation.preset('dieleman')
        shifted = augmentation.adjust(views, torch.Generator().manual_seed(1)) - 0.5
        alpha = shifted[..., 0, 0] / torch.tensor(
            [-0.0148366, -0.01253134, -0.01040762]
        )
        assert alpha.std((1, 2)).max() < 1e-4
        assert alpha[:, 0, 0].mean().abs() < 0.03
        assert abs(alpha[:, 0, 0].std() - 0.5) < 0.02

    def test_is_cut_to_the_range(self):
        views = torch.ones(100, 1, 3, 2, 2)
        adjusted = Augmentation.preset('dieleman').adjust(
            views, torch.Generator().manual_seed(1)
        )
        assert adjusted.max() == 1
        assert adjusted.min() < 1


class TestZhu:
    def test_scale_is_a_fresh_crop(self):
        # Of 170 to 240 frame pixels, where the recipe has 220.
        assert is_uniform(scales(draw('zhu')) * 220, 170, 240)

    def test_crop_is_one_of_289_places(self):
        affines = draw('zhu')
        # Back to the 80 pixels that the crop was resized to.
        shift = np.linalg.inv(affines[:, :2, :2]) @ affines[:, :2, 2:]
        places = (shift[:, :, 0] / (220 / 80)).round(6)
        assert set(np.unique(places)) == set(range(-8, 9))
        assert len(np.unique(places, axis=0)) == 289

    def test_crop_stays_within_the_larger_one(self):
        recipe = Recipe(step=220 / 80, output_size=64, views=(0.0,))
        affines = draw('zhu', 2000)
        corners = affines @ recipe.output_to_frame @ [[-0.5], [-0.5], [1]]
        # At scale S the field of 80 pixels reaches S / 2 from the middle.
        reach = np.abs(corners[:, :2, 0]).max(1) / scales(affines)
        assert reach.max() <= 110 + 1e-9

    def test_quarter_turns_and_flips(self):
        turns = draw('zhu', 500)[:, :2, :2] / scales(draw('zhu', 500))[:, None, None]
        assert len(np.unique(turns.round(9), axis=0)) == 8

    def test_brightness_is_inert_before_whitening(self):
        plain = {'contrast': (1, 1), 'saturation': (1, 1), 'hue': 0}
        augmentation = Augmentation.preset('zhu', **plain)
        views = make_views()
        adjusted = augmentation.adjust(views, torch.Generator().manual_seed(1))
        assert (adjusted - views).abs().max() > 0.05
        whiten = Standardise()
        torch.testing.assert_close(
            whiten(adjusted.flatten(0, 1)), whiten(views.flatten(0, 1)),
            atol=1e-5, rtol=1e-4,
        )  # fmt: skip


class TestOthers:
    def test_ucsc_is_dieleman_without_colour(self):
        np.testing.assert_array_equal(draw('ucsc', 50), draw('dieleman', 50))
        assert not Augmentation.preset('ucsc').changes_pixels

    def test_ucsc_has_three_rotations_of_each_galaxy(self):
        indices = np.repeat(np.arange(50), 200)
        found = angles(draw('ucsc3', len(indices), indices=indices)).round(6)
        sets = {tuple(np.unique(found[indices == i])) for i in range(50)}
        assert {len(each) for each in sets} == {3}
        assert len(sets) == 50
        assert is_nearly_flat(np.concatenate([list(each) for each in sets]))

    def test_three_rotations_need_indices(self):
        with pytest.raises(ValueError, match='needs the indices'):
            draw('ucsc3', 3)

    def test_sixteen_configurations_are_eight(self):
        augmentation = Augmentation.preset('uppsala16')
        assert augmentation.flip
        assert augmentation.flip_vertical
        different = np.unique(draw('uppsala16', 1000).round(9), axis=0)
        assert len(different) == 8
        np.testing.assert_array_equal(
            different, np.unique(draw('dihedral', 1000).round(9), axis=0)
        )

    def test_nothing(self):
        np.testing.assert_array_equal(draw('none', 3), [np.eye(3)] * 3)
        views = make_views()
        adjusted = Augmentation().adjust(views, torch.Generator())
        assert adjusted is views

    def test_shear(self):
        augmentation = Augmentation(shear=10)
        affines = augmentation.draw_affines(N, np.random.default_rng(1))
        np.testing.assert_allclose(np.linalg.det(affines), 1)
        assert is_uniform(np.rad2deg(np.arctan(affines[:, 0, 1])), -10, 10)


def is_nearly_flat(values):
    count, _ = np.histogram(values, 4, (0, 360))
    return count.min() > 0.5 * count.max()


class TestReach:
    @pytest.mark.parametrize('name', list_augmentations())
    @pytest.mark.parametrize('views', [(0.0,), (0.0, 45.0)])
    def test_holds_all_that_is_shown(self, name, views):
        augmentation = Augmentation.preset(name)
        recipe = Recipe(views=views)
        affines = draw(name, 2000, indices=np.arange(2000))
        corners = np.array([[x, y, 1] for x in (0, 68) for y in (0, 68)]).T
        shown = affines[:, None] @ recipe.output_to_frame @ corners
        reach = augmentation.reach()[:, None] @ recipe.output_to_frame @ corners
        assert np.abs(shown).max() <= np.abs(reach).max() + 1e-9

    def test_of_nothing_is_the_frame(self):
        np.testing.assert_array_equal(np.unique(Augmentation().reach(), axis=0),
                                      [np.eye(3)])  # fmt: skip


class TestRepetition:
    @settings(max_examples=20)
    @given(st.sampled_from(list_augmentations()), st.integers(0, 99))
    def test_draws_are_those_of_the_seed(self, name, seed):
        first, second = (draw(name, 5, seed, indices=np.arange(5)) for _ in range(2))
        np.testing.assert_array_equal(first, second)

    def test_one_range_leaves_the_others_alone(self):
        rng = np.random.default_rng
        first = Augmentation(rotation=360).draw_affines(9, rng(1))
        second = Augmentation(rotation=360, zoom=(2, 2)).draw_affines(9, rng(1))
        np.testing.assert_allclose(first @ geometry.scaling(2), second)

    @pytest.mark.parametrize('name', ['dieleman', 'zhu'])
    def test_colours_are_those_of_the_seed(self, name):
        augmentation, views = Augmentation.preset(name), make_views()
        first, second, third = (
            augmentation.adjust(views, torch.Generator().manual_seed(seed))
            for seed in (1, 1, 2)
        )
        assert torch.equal(first, second)
        assert not torch.equal(first, third)

    def test_views_of_a_galaxy_share_the_draw(self):
        views = make_views(n_view=1).expand(-1, 2, -1, -1, -1)
        adjusted = Augmentation.preset('zhu').adjust(
            views, torch.Generator().manual_seed(3)
        )
        torch.testing.assert_close(adjusted[:, 0], adjusted[:, 1])

    def test_grey_views_have_no_hue(self):
        adjusted = Augmentation(hue=0.5, pca=1, saturation=(0, 2)).adjust(
            make_views(n_channel=1), torch.Generator()
        )
        torch.testing.assert_close(adjusted, make_views(n_channel=1))

    def test_gain_is_log_normal(self):
        views = torch.full((5000, 1, 3, 1, 1), 0.1)
        adjusted = Augmentation(gain=0.1, channel_gain=0.05).adjust(
            views, torch.Generator().manual_seed(1)
        )
        logarithm = (adjusted / 0.1).log()[:, 0, :, 0, 0]
        assert abs(logarithm.mean(1).std() - np.hypot(0.1, 0.05 / 3**0.5)) < 0.005
        assert abs(logarithm.std(1).square().mean().sqrt() - 0.05) < 0.003

    def test_part_is_degraded(self):
        views = torch.full((2000, 1, 3, 3, 3), 0.5)
        augmentation = Augmentation(degraded=0.25, noise=(0.1, 0.1))
        adjusted = augmentation.adjust(views, torch.Generator().manual_seed(1))
        is_changed = (adjusted != views).flatten(1).any(1)
        assert abs(is_changed.float().mean() - 0.25) < 0.03


class TestDegrade:
    def test_part_of_the_fluxes(self):
        fluxes = 10 * torch.rand(2000, 1, 3, 3, 3)
        augmentation = Augmentation(degraded=0.25, dimming=(0.5, 0.9))
        found = augmentation.degrade(fluxes, torch.Generator().manual_seed(1))
        is_changed = (found != fluxes).flatten(1).any(1)
        assert abs(is_changed.float().mean() - 0.25) < 0.03
        factors = (found.sum((2, 3, 4)) / fluxes.sum((2, 3, 4)))[is_changed]
        assert 0.499 < factors.min() < 0.51
        assert 0.89 < factors.max() < 0.901

    def test_noise_is_a_fraction_of_the_unit(self):
        fluxes = torch.zeros(2, 1, 3, 100, 100)
        found = Augmentation(degraded=1, noise=(0.1, 0.1)).degrade(
            fluxes, torch.Generator().manual_seed(1), unit=(0.5, 1, 20)
        )
        scatter = found.transpose(0, 2).flatten(1).std(1)
        np.testing.assert_allclose(scatter, [0.05, 0.1, 2], rtol=0.03)

    def test_views_of_a_galaxy_share_the_draw(self):
        fluxes = torch.rand(5, 1, 3, 8, 8).expand(-1, 2, -1, -1, -1)
        augmentation = Augmentation(degraded=0.5, psf=(0, 4), dimming=(0.1, 1))
        found = augmentation.degrade(fluxes, torch.Generator().manual_seed(2))
        torch.testing.assert_close(found[:, 0], found[:, 1])

    def test_galaxies_of_one_brightness_get_more_noise_instead(self):
        fluxes = torch.rand(2, 1, 1, 8, 8)
        dimmed = Augmentation(degraded=1, noise=(0.1, 0.1), dimming=(0.25, 0.25))
        found = dimmed.degrade(
            fluxes, torch.Generator().manual_seed(1),
            is_scaled=torch.tensor([True, False]),
        )  # fmt: skip
        wanted = Augmentation(degraded=1, noise=(0.4, 0.4)).degrade(
            fluxes, torch.Generator().manual_seed(1)
        )
        torch.testing.assert_close(found[0], wanted[0])
        noise = (wanted - fluxes)[1] / 4
        torch.testing.assert_close(found[1], fluxes[1] / 4 + noise)

    @pytest.mark.parametrize('limits', [(0, 100), (5, 90)])
    def test_percentiles_stay_where_the_stretch_has_its_limits(self, limits):
        # The brightest pixel of the frame lies beyond the views.
        fluxes = 0.6 * torch.rand(4, 2, 2, 16, 16)
        augmentation = Augmentation(degraded=1, psf=(2, 3), noise=(0, 0.1))
        found = augmentation.degrade(
            fluxes, torch.Generator().manual_seed(1), limits=limits
        )
        assert not torch.allclose(found, fluxes, atol=0.05)
        before, after = (
            np.percentile(v.numpy(), limits, axis=(1, 3, 4)) for v in (fluxes, found)
        )
        np.testing.assert_allclose(after, before, atol=1e-5)

    def test_flat_views_have_no_limits(self):
        fluxes = torch.full((1, 1, 1, 4, 4), 0.3)
        found = Augmentation(degraded=1, psf=(2, 2)).degrade(
            fluxes, torch.Generator(), limits=(0, 100)
        )
        torch.testing.assert_close(found, fluxes)

    def test_adjust_leaves_what_is_no_picture(self):
        views = make_views()
        augmentation = Augmentation(degraded=1, dimming=(0.5, 0.5), psf=(2, 2))
        is_picture = np.array([True, False, False, True])
        found, every = (
            augmentation.adjust(views, torch.Generator(), is_picture=which)
            for which in (is_picture, None)
        )
        assert torch.equal(found[~is_picture], views[~is_picture])
        torch.testing.assert_close(found[is_picture], every[is_picture])


class TestRecord:
    @pytest.mark.parametrize('name', list_augmentations())
    def test_survives_json(self, name):
        augmentation = Augmentation.preset(name)
        record = json.loads(json.dumps(augmentation.to_dict()))
        assert Augmentation.from_dict(record) == augmentation

    def test_preset_with_changes(self):
        augmentation = Augmentation.from_dict({'preset': 'dieleman', 'shift': 6})
        assert (augmentation.shift, augmentation.pca) == (6, 0.5)

    @pytest.mark.parametrize(
        ('record', 'message'),
        [
            ({'rotate': 3}, r"no \['rotate'\]; it has \['rotation'"),
            ({'preset': 'zoobot'}, "no augmentation 'zoobot'"),
            ({'zoom': (1.3, 0.7)}, 'zoom must be a range'),
            ({'zoom': (0, 1)}, 'zoom must be positive'),
            ({'dimming': (0, 1)}, 'dimming must be positive'),
            ({'zoom': 1.3}, 'zoom must be 2 numbers'),
            ({'contrast': ['a', 'b']}, 'contrast must be 2 numbers'),
            ({'hue': 0.7}, 'hue must be at most 0.5'),
            ({'shift': -1}, 'shift must be a number from 0, not -1'),
            ({'shift': '4'}, "shift must be a number from 0, not '4'"),
            ({'flip': 1}, 'flip must be true or false'),
            ({'n_rotations': 2.5}, 'n_rotations must be a number'),
            ({'degraded': 2}, 'degraded must be at most 1'),
        ],
    )
    def test_errors_name_the_field(self, record, message):
        with pytest.raises(ValueError, match=message):
            Augmentation.from_dict(record)
