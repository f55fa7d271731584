# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of galaxies with labels, and of what the renderer makes of them."""

import dataclasses

import numpy as np
import pytest
import torch

from galmorph.images import read_image
from galmorph.inference.engine import Engine
from galmorph.preprocessing import geometry
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.training.augmentation import Augmentation
from galmorph.training.data.cache import build_cache
from galmorph.training.data.datasets import BatchRenderer, GalaxyDataset, augmented
from galmorph.training.data.labels import Labels
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


class TestMirror:
    def test_sense_of_the_arms_turns_with_the_image(self):
        values = np.tile([0.25, 0.25], (6, 1))
        labels = Labels('attributes', values, values - 0.25, values + 0.05,
                        mirrored=(1,))  # fmt: skip
        augmentation = Augmentation(flip=True, rotation=360)
        dataset = GalaxyDataset(STAMPS, labels, RECIPE, augmentation)
        batch = dataset.batch(range(6), np.random.default_rng(1))
        affines = augmentation.draw_affines(6, np.random.default_rng(1))
        is_mirrored = torch.from_numpy(np.linalg.det(affines) < 0)
        assert 0 < is_mirrored.sum() < 6
        wanted = torch.where(is_mirrored, 0.75, 0.25)
        torch.testing.assert_close(batch['target'][:, 1], wanted)
        torch.testing.assert_close(
            batch['low'][:, 1], torch.where(is_mirrored, 0.7, 0.0)
        )
        torch.testing.assert_close(
            batch['high'][:, 1], torch.where(is_mirrored, 1.0, 0.3)
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
