# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of galaxies with labels, and of what the renderer makes of them."""

import dataclasses

import numpy as np
import pytest
import torch
from astropy import units as u
from scipy.ndimage import gaussian_filter

from galmorph.images import GalaxyImage, read_image
from galmorph.inference.engine import Engine
from galmorph.preprocessing import geometry
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.training.augmentation import Augmentation
from galmorph.training.data.cache import build_cache
from galmorph.training.data.datasets import BatchRenderer, GalaxyDataset, augmented
from galmorph.training.data.labels import Labels
from tests.helpers.fits import make_wcs
from tests.helpers.tiny import TinyNetwork, draw_stamps

RECIPE = Recipe(output_size=24, step=424 / 24 / 1.5)
STAMPS = draw_stamps(6, 40)


def make_labels(n=6, **options):
    values = np.random.default_rng(1).random((n, 37))
    return Labels('fractions', values, **options)


class TestItems:
    def test_item_has_image_and_labels(self):
        dataset = GalaxyDataset(STAMPS, make_labels(), RECIPE, indices=[4, 2])
        assert len(dataset) == 2
        item = dataset[1]
        assert item['index'] == 2
        np.testing.assert_array_equal(item['target'], make_labels().values[2])
        wanted = prepare(read_image(STAMPS[2]), RECIPE)
        np.testing.assert_array_equal(item['image'].pixels, wanted.pixels)

    @pytest.mark.parametrize(
        ('labels', 'keys'),
        [
            (make_labels(), set()),
            (make_labels(bound=np.zeros((6, 37))), {'bound'}),
            (
                Labels(
                    'attributes', np.zeros((6, 2)), np.zeros((6, 2)), np.ones((6, 2))
                ),
                {'low', 'high'},
            ),
            (Labels('classes', np.eye(6)), {'label'}),
            (Labels('counts', np.ones((6, 2)), structure=((0, 2, -1),)), {'counts'}),
        ],
    )
    def test_batch_has_what_the_labels_have(self, labels, keys):
        batch = GalaxyDataset(STAMPS, labels, RECIPE).batch([0, 5])
        assert set(batch) == {'images', 'index', 'target', 'weight'} | keys
        assert batch['index'].tolist() == [0, 5]
        tensors = {name: batch[name] for name in keys | {'target', 'weight'}}
        for name, tensor in tensors.items():
            assert len(tensor) == 2
            assert tensor.dtype == (torch.int64 if name == 'label' else torch.float32)

    def test_counts_and_their_fractions(self):
        labels = Labels('counts', [[3, 1], [0, 0]], structure=((0, 2, -1),))
        batch = GalaxyDataset(STAMPS[:2], labels, RECIPE).batch([0, 1])
        assert batch['target'][0].tolist() == [0.75, 0.25]
        assert batch['target'][1].isnan().all()
        assert batch['counts'][0].tolist() == [3, 1]

    def test_weights(self):
        dataset = GalaxyDataset(STAMPS, make_labels(), RECIPE, weights=np.arange(6))
        assert dataset.batch([1, 3])['weight'].tolist() == [1, 3]

    def test_as_many_labels_as_images(self):
        with pytest.raises(ValueError, match='5 labels for 6 images'):
            GalaxyDataset(STAMPS, make_labels(5), RECIPE)


class TestRenderer:
    def test_is_the_render_of_inference(self):
        dataset = GalaxyDataset(STAMPS, make_labels(), RECIPE)
        views = BatchRenderer(RECIPE)(dataset.batch(range(6))['images'])
        network = TinyNetwork(load_schema('gz2').structure)
        engine = Engine(network, RECIPE, device='cpu')
        images = [prepare(read_image(stamp), RECIPE) for stamp in STAMPS]
        assert torch.equal(views, engine.render(images)[:, 0])

    def test_augmentation_is_the_transform_of_the_frame(self):
        augmentation = Augmentation.preset('ucsc')
        dataset = GalaxyDataset(STAMPS, make_labels(), RECIPE, augmentation)
        batch = dataset.batch(range(6), np.random.default_rng(3))
        views = BatchRenderer(RECIPE, augmentation)(batch['images'])
        affines = augmentation.draw_affines(6, np.random.default_rng(3))
        network = TinyNetwork(load_schema('gz2').structure)
        engine = Engine(network, RECIPE, device='cpu')
        for row, affine in enumerate(affines):
            image = prepare(read_image(STAMPS[row]), RECIPE, affine[None])
            wanted = engine.render([image])[0, 0]
            torch.testing.assert_close(views[row], wanted, atol=2e-5, rtol=0)

    def test_without_numbers_nothing_is_random(self):
        augmentation = Augmentation.preset('dieleman')
        dataset = GalaxyDataset(STAMPS, make_labels(), RECIPE, augmentation)
        plain = GalaxyDataset(STAMPS, make_labels(), RECIPE)
        renderer = BatchRenderer(RECIPE, augmentation)
        torch.testing.assert_close(
            renderer(dataset.batch([1])['images']),
            BatchRenderer(RECIPE)(plain.batch([1])['images']),
            atol=1e-6, rtol=0,
        )  # fmt: skip

    def test_colours_come_before_the_mean_of_the_recipe(self):
        recipe = dataclasses.replace(RECIPE, mean=(0.5,) * 3, std=(0.25,) * 3)
        augmentation = Augmentation(brightness=0.3)
        images = GalaxyDataset(STAMPS, make_labels(), recipe).batch([0, 1])['images']
        views = BatchRenderer(recipe, augmentation)(
            images, torch.Generator().manual_seed(1)
        )
        plain = BatchRenderer(RECIPE)(images)
        wanted = augmentation.adjust(plain, torch.Generator().manual_seed(1))
        torch.testing.assert_close(views, (wanted - 0.5) / 0.25)

    def test_cache_shows_the_same(self, tmp_path):
        augmentation = Augmentation.preset('dieleman')
        cache = build_cache(
            STAMPS, RECIPE, tmp_path / 'cache', reach=augmentation.reach()
        )
        shown = []
        for images in (STAMPS, cache):
            dataset = GalaxyDataset(images, make_labels(), RECIPE, augmentation)
            batch = dataset.batch([3, 1], np.random.default_rng(1))
            shown.append(BatchRenderer(RECIPE)(batch['images']))
        torch.testing.assert_close(*shown)

    def test_batch_moves(self):
        images = GalaxyDataset(STAMPS, make_labels(), RECIPE).batch([0, 1])['images']
        assert len(images.to('cpu')) == 2
        assert images.to('meta').groups[0][1].device.type == 'meta'


# A pixel of the network is one of the image.
FLUX_RECIPE = Recipe(output_size=25, frame_size=25, frame_scale=1 / 8, step=1,
                     views=(0.0,), antialias=0, pixel_area=0.16)  # fmt: skip
GREY_RECIPE = dataclasses.replace(
    FLUX_RECIPE, bands=('F200W',), stretch='asinh-image', surface_brightness=(7.0,),
    mean=(0.0,), std=(1.0,),
)  # fmt: skip


def make_fluxes(n_band=3):
    """A galaxy, brighter in red, and a star, in nanomaggies; the sky is 0."""
    y, x = np.mgrid[:61, :61] - 30
    galaxy = np.exp(-0.5 * ((x / 2.5) ** 2 + (y / 1.5) ** 2))
    star = np.exp(-0.5 * ((x - 4) ** 2 + (y + 3) ** 2))
    bands = np.array([2.0, 1.2, 0.5])[:n_band, None, None]
    return (bands * galaxy + 0.8 * star).astype(np.float32)


def make_image(fluxes, recipe=FLUX_RECIPE, **options):
    options = {'unit': 'nanomaggy', 'wcs': make_wcs((61, 61))} | options
    return GalaxyImage(fluxes, bands=recipe.bands, size=8 * u.pix, **options)


def show(images, recipe=FLUX_RECIPE, augmentation=None, seed=1):
    dataset = GalaxyDataset(images, make_labels(len(images)), recipe)
    generator = torch.Generator().manual_seed(seed)
    batch = dataset.batch(range(len(images)))
    return BatchRenderer(recipe, augmentation)(batch['images'], generator)


def blurred(fluxes, fwhm):
    # Ours is integrated over pixels, of the variance 1/12.
    width = np.hypot(fwhm / 2.3548, 12**-0.5)
    return gaussian_filter(fluxes, (0, width, width), mode='nearest', truncate=6)


def seen(fluxes):
    """What the network sees of the fluxes: row 0 is in the north."""
    return fluxes[:, 18:43, 18:43][:, ::-1]


class TestDegradation:
    augmentation = Augmentation(degraded=1, dimming=(0.5, 0.5), psf=(3, 3))

    def test_fluxes_are_degraded_before_the_stretch(self):
        fluxes = make_fluxes()
        degraded = 0.5 * blurred(fluxes, 3)
        views = show([make_image(fluxes)], augmentation=self.augmentation)
        # The formula of the pictures of SDSS.
        scaled = np.reshape([4.9, 5.7, 7.8], (3, 1, 1)) * seen(degraded)
        total = scaled.sum(0)
        wanted = scaled * np.arcsinh(3 * total) / (3 * total)
        wanted /= np.maximum(wanted.max(0), 1)
        np.testing.assert_allclose(views[0, 0], wanted, atol=2e-3)
        torch.testing.assert_close(
            views, show([make_image(degraded)]), atol=2e-3, rtol=0
        )
        compressed = 0.5 * blurred(show([make_image(fluxes)])[0, 0].numpy(), 3)
        assert np.abs(compressed - wanted).max() > 0.2

    def test_limits_are_those_of_the_degraded_image(self):
        fluxes = make_fluxes(1) + np.float32(50)
        degraded = blurred(fluxes, 3)
        views = show([make_image(fluxes, GREY_RECIPE)], GREY_RECIPE, self.augmentation)
        scaled = seen(degraded) - seen(degraded).min()
        scaled /= scaled.max()
        wanted = np.arcsinh(10 * scaled) / np.arcsinh(10)
        np.testing.assert_allclose(views[0, 0], wanted, atol=3e-3)
        torch.testing.assert_close(
            views, show([make_image(degraded, GREY_RECIPE)], GREY_RECIPE),
            atol=3e-3, rtol=0,
        )  # fmt: skip

    def test_noise_is_in_units_of_a_typical_galaxy(self):
        noise = Augmentation(degraded=1, noise=(0.01, 0.01))
        fluxes = np.zeros((3, 61, 61))
        fluxes[:, 15:46, 15:46] = 0.05
        views = show([make_image(fluxes)] * 5, augmentation=noise)[:, 0].numpy()
        # The formula of the pictures of SDSS, solved for the fluxes.
        total = views.sum(1, keepdims=True)
        scales = np.reshape([4.9, 5.7, 7.8], (3, 1, 1))
        found = views / scales * np.sinh(3 * total) / (3 * total)
        np.testing.assert_allclose(found.mean((0, 2, 3)), 0.05, rtol=0.01)
        wanted = np.multiply(0.01, FLUX_RECIPE.surface_brightness)
        np.testing.assert_allclose(found.std((0, 2, 3)), wanted, rtol=0.05)

    def test_noise_between_limits_is_part_of_the_range(self):
        noise = Augmentation(degraded=1, noise=(0.1, 0.1))
        image = make_image(make_fluxes(1), GREY_RECIPE)
        plain, views = (
            np.sinh(show([image], GREY_RECIPE, each).numpy()[0, 0, 0] * np.arcsinh(10))
            / 10
            for each in (None, noise)
        )
        assert views.min() == 0
        assert views.max() == pytest.approx(1)
        is_sky = plain < 1e-3
        assert is_sky.sum() > 200
        # The range has grown by the noise itself, by about 3 times 0.1.
        assert 0.06 < views[is_sky].std() < 0.1

    def test_dimming_without_a_unit_is_noise(self):
        image = make_image(make_fluxes(), unit=None, wcs=None)
        images = [make_image(make_fluxes()), image, make_image(0.5 * make_fluxes())]
        dimmed = Augmentation(degraded=1, dimming=(0.5, 0.5))
        plain, views = show(images), show(images, augmentation=dimmed)
        torch.testing.assert_close(views[:2], plain[[2, 1]])
        dimmed, noisy = (
            Augmentation(degraded=1, dimming=(dimming,) * 2, noise=(noise,) * 2)
            for dimming, noise in ((0.5, 0.1), (1, 0.2))
        )
        torch.testing.assert_close(
            show([image], augmentation=dimmed), show([image], augmentation=noisy)
        )

    def test_others_stay_bit_by_bit(self):
        images = [make_image(make_fluxes())] * 20
        augmentation = dataclasses.replace(self.augmentation, degraded=0.5)
        plain = show(images)
        is_plain = (show(images, augmentation=augmentation) == plain).flatten(1).all(1)
        assert 4 < is_plain.sum() < 16

    def test_pictures_beside_fluxes(self):
        pixels = np.random.default_rng(1).random((3, 25, 25), np.float32)
        picture = GalaxyImage(pixels, is_picture=True)
        fluxes = make_fluxes()
        views = show([picture, make_image(fluxes), picture],
                     augmentation=self.augmentation)  # fmt: skip
        wanted = 0.5 * blurred(pixels, 3)
        for row in (0, 2):
            np.testing.assert_allclose(views[row, 0], wanted, atol=2e-3)
        torch.testing.assert_close(
            views[1:2], show([make_image(0.5 * blurred(fluxes, 3))]), atol=2e-3, rtol=0
        )

    def test_pictures_are_degraded_last(self):
        augmentation = Augmentation.preset('dieleman', degraded=0.5, psf=(0, 3),
                                           noise=(0, 0.1))  # fmt: skip
        plain = show(STAMPS, RECIPE)
        wanted = augmentation.adjust(plain, torch.Generator().manual_seed(1))
        assert torch.equal(show(STAMPS, RECIPE, augmentation), wanted)


class TestMirror:
    # A scale from 0 to 1, and one that is even about 0.
    @pytest.mark.parametrize('ends', [1.0, 0.0])
    def test_sense_of_the_arms_turns_with_the_image(self, ends):
        values = np.tile([0.25, 0.25], (6, 1))
        labels = Labels('attributes', values, values - 0.25, values + 0.05,
                        mirrored=((1, ends),))  # fmt: skip
        augmentation = Augmentation(flip=True, rotation=360)
        dataset = GalaxyDataset(STAMPS, labels, RECIPE, augmentation)
        batch = dataset.batch(range(6), np.random.default_rng(1))
        affines = augmentation.draw_affines(6, np.random.default_rng(1))
        is_mirrored = torch.from_numpy(np.linalg.det(affines) < 0)
        assert 0 < is_mirrored.sum() < 6
        wanted = torch.where(is_mirrored, ends - 0.25, 0.25)
        torch.testing.assert_close(batch['target'][:, 1], wanted)
        torch.testing.assert_close(
            batch['low'][:, 1], torch.where(is_mirrored, ends - 0.3, 0.0)
        )
        torch.testing.assert_close(
            batch['high'][:, 1], torch.where(is_mirrored, ends, 0.3)
        )
        assert (batch['target'][:, 0] == 0.25).all()
        assert (labels.values == 0.25).all()


class TestAugmented:
    def test_identity_changes_nothing(self):
        image = prepare(read_image(STAMPS[0]), RECIPE)
        found = augmented(image, RECIPE, np.eye(3))
        np.testing.assert_allclose(found.affines, image.affines, atol=1e-9)

    def test_shift_is_in_frame_pixels(self):
        image = prepare(read_image(STAMPS[0]), RECIPE)
        found = augmented(image, RECIPE, geometry.translation(10, 0))
        step = found.affines[0, 0, :2, 2] - image.affines[0, 0, :2, 2]
        np.testing.assert_allclose(step, [10 * 40 / 424, 0], atol=1e-9)
