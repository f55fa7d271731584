# Licensed under a 3-clause BSD style license - see LICENSE.rst
import dataclasses
import logging

import numpy as np
import pytest
import torch

from galmorph.images import GalaxyImage, read_image
from galmorph.inference.engine import Engine
from galmorph.inference.ensemble import EnsembleEngine
from galmorph.inference.transforms import frame_transforms
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from tests.helpers.tiny import TinyNetwork, draw_stamps

STRUCTURE = load_schema('gz2').structure


def make_engine(network=None, recipe=None, **kwargs):
    network = TinyNetwork(STRUCTURE) if network is None else network
    return Engine(network, recipe or Recipe(), device='cpu', **kwargs)


def make_images(n, n_transforms=1, **kwargs):
    transforms = frame_transforms(n_transforms)
    return [
        prepare(read_image(stamp), Recipe(), transforms)
        for stamp in draw_stamps(n, **kwargs)
    ]


class Hungry(TinyNetwork):
    """Runs out of memory with more than ``limit`` pictures at a time."""

    def __init__(self, limit, error=None):
        super().__init__(STRUCTURE)
        self.limit, self.seen = limit, []
        self.error = error or torch.cuda.OutOfMemoryError('out of memory')

    def raw(self, views):
        self.seen.append(len(views))
        if len(views) > self.limit:
            raise self.error
        return super().raw(views)


class Dazzled(TinyNetwork):
    """Runs out of memory wherever a picture is white."""

    def raw(self, views):
        if (views.flatten(1).mean(1) > 0.8).any():
            raise torch.cuda.OutOfMemoryError
        return super().raw(views)


def whiten(images, *rows):
    """Make some images white."""
    for row in rows:
        pixels = np.full_like(images[row].pixels, 255)
        images[row] = dataclasses.replace(images[row], pixels=pixels)
    return images


class TestSpread:
    def test_networks_that_do_not_know(self):
        engine = make_engine()
        answers, spread, _ = engine.run_with_spread(make_images(2))
        assert not engine.has_spread
        assert spread is None
        np.testing.assert_array_equal(answers, engine.run(make_images(2)))
        assert engine.run_with_spread([])[1] is None

    def test_heads_that_know(self):
        network = TinyNetwork(STRUCTURE, head='dirichlet')
        engine = make_engine(network, batch_size=3)
        images = make_images(4, n_transforms=2)
        answers, spread, _ = engine.run_with_spread(images)
        assert engine.has_spread
        assert answers.shape == spread.shape == (4, 2, 37)
        raw = network.raw(engine.render(images).flatten(0, 1))
        np.testing.assert_allclose(
            spread.reshape(8, 37), network.head.spread(raw).detach(), atol=1e-6
        )

    def test_scales_of_attributes_stay_precise(self):
        structure = load_schema('efigi').structure
        network = TinyNetwork(
            structure, head='interval', offset=[3.21] * 17, scale=[4.56] * 17
        )
        engine = make_engine(network, precision='bf16')
        assert network.head.scale.dtype == torch.float32
        assert engine.network.head.offset[0] == np.float32(3.21)
        answers, spread, _ = engine.run_with_spread(make_images(2))
        assert answers.shape == (2, 1, 17)
        assert (spread > 0).all()


class TestRun:
    @pytest.mark.parametrize('n', [0, 1, 7, 33])
    def test_batches_of_any_length(self, n):
        path = make_engine(batch_size=8).run(make_images(n))
        assert path.dtype == np.float32
        assert path.shape == ((n, 1, 37) if n else (0, 1, 0))

    def test_is_what_the_network_says(self):
        engine, images = make_engine(batch_size=3), make_images(7)
        views = engine.render(images)
        with torch.no_grad():
            wanted = TinyNetwork(STRUCTURE)(views[:, 0]).numpy()
        np.testing.assert_allclose(engine.run(images)[:, 0], wanted, atol=1e-6)
        assert np.ptp(wanted, axis=0).max() > 0.1

    @pytest.mark.parametrize('batch_size', [1, 2, 5, 64])
    def test_batch_size_does_not_matter(self, batch_size):
        images = make_images(9) + make_images(4, size=61)
        wanted = make_engine(batch_size=13).run(images)
        path = make_engine(batch_size=batch_size).run(images)
        np.testing.assert_allclose(path, wanted, atol=1e-5)

    def test_order_does_not_matter(self):
        images = make_images(9) + make_images(4, size=61)
        order = np.random.default_rng(0).permutation(len(images))
        engine = make_engine(batch_size=4)
        path = engine.run([images[i] for i in order])
        np.testing.assert_allclose(path, engine.run(images)[order], atol=1e-5)

    def test_repetition_is_exact(self):
        images = make_images(9)
        path = make_engine(batch_size=4).run(images)
        np.testing.assert_array_equal(path, make_engine(batch_size=4).run(images))

    def test_transforms_are_kept_apart(self):
        engine = make_engine(batch_size=8)
        path = engine.run(make_images(3, n_transforms=8))
        assert path.shape == (3, 8, 37)
        np.testing.assert_allclose(path[:, :1], engine.run(make_images(3)), atol=1e-6)
        assert np.ptp(path, axis=1).max() > 0.01

    @pytest.mark.parametrize('batch_size', [1, 3, 20])
    def test_batch_counts_the_transforms(self, batch_size):
        network = Hungry(limit=batch_size)
        engine = make_engine(network, batch_size=batch_size)
        wanted = make_engine().run(make_images(3, n_transforms=8))
        path = engine.run(make_images(3, n_transforms=8))
        np.testing.assert_allclose(path, wanted, atol=1e-5)
        assert engine.batch_size == batch_size

    def test_bfloat16_is_near(self):
        class Probe(TinyNetwork):
            def raw(self, views):
                assert views.dtype == self.linear.weight.dtype == torch.bfloat16
                return super().raw(views)

        images = make_images(9)
        path = make_engine(Probe(STRUCTURE), precision='bf16').run(images)
        assert path.dtype == np.float32
        np.testing.assert_allclose(path, make_engine().run(images), atol=0.03)
        # The tree is kept in float32.
        np.testing.assert_allclose(path[:, 0, :3].sum(1), 1, atol=1e-6)

    def test_any_module_will_do(self):
        network = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.LazyLinear(37), torch.nn.Sigmoid()
        )
        network(torch.zeros(1, 2, 3, 69, 69))
        assert make_engine(network).run(make_images(2)).shape == (2, 1, 37)

    def test_dropout_is_off(self):
        network = torch.nn.Sequential(torch.nn.Dropout(0.5), TinyNetwork(STRUCTURE))
        engine, images = make_engine(network.train()), make_images(2)
        np.testing.assert_array_equal(engine.run(images), engine.run(images))

    @pytest.mark.parametrize('batch_size', [0, -3])
    def test_batch_size_must_be_positive(self, batch_size):
        with pytest.raises(ValueError, match=f'at least 1, not {batch_size}'):
            make_engine(batch_size=batch_size)

    def test_settings_are_checked(self):
        with pytest.raises(ValueError, match='precision'):
            make_engine(precision='half')
        with pytest.raises(ValueError, match='device'):
            Engine(TinyNetwork(STRUCTURE), Recipe(), device='abacus')


class TestMemoryRunsOut:
    @pytest.mark.parametrize(
        'error',
        [
            None,
            torch.cuda.OutOfMemoryError('CUDA error'),
            RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"),
            RuntimeError('DefaultCPUAllocator: not enough memory: you tried'),
            RuntimeError('CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling'),
            RuntimeError('MPS backend out of memory'),
            MemoryError(),
        ],
    )
    def test_batch_is_halved_and_stays_so(self, error, caplog):
        network = Hungry(limit=5, error=error)
        engine, images = make_engine(network, batch_size=16), make_images(17)
        with caplog.at_level(logging.WARNING, 'galmorph'):
            path = engine.run(images)
        assert network.seen == [16, 8, 4, 4, 4, 4, 1]
        assert engine.batch_size == 4
        assert 'the batch size is 8 now' in caplog.text
        np.testing.assert_allclose(path, make_engine().run(images), atol=1e-5)

    def test_transforms_are_split(self):
        network = Hungry(limit=3)
        engine, images = make_engine(network, batch_size=8), make_images(2, 8)
        path = engine.run(images)
        assert engine.batch_size == 2
        np.testing.assert_allclose(path, make_engine().run(images), atol=1e-5)

    def test_even_one_is_too_many(self):
        engine = make_engine(Hungry(limit=0), batch_size=4)
        with pytest.raises(torch.cuda.OutOfMemoryError):
            engine.run(make_images(3))

    @pytest.mark.parametrize('head', ['divisive', 'dirichlet'])
    @pytest.mark.parametrize('rows', [[5], [0, 8], range(9)])
    @pytest.mark.parametrize('n_transforms', [1, 2])
    def test_one_image_that_is_too_large(self, caplog, head, rows, n_transforms):
        engine = make_engine(Dazzled(STRUCTURE, head=head), batch_size=8)
        images = make_images(9, n_transforms)
        wanted = make_engine(TinyNetwork(STRUCTURE, head=head)).run(images)
        with caplog.at_level(logging.WARNING, 'galmorph'):
            answers, spread, lost = engine.run_with_spread(whiten(images, *rows))
        assert np.flatnonzero(lost).tolist() == list(rows)
        assert answers.shape == (9, n_transforms, 37)
        assert np.isnan(answers[lost]).all()
        np.testing.assert_allclose(answers[~lost], wanted[~lost], atol=1e-5)
        assert (spread is None) == (head == 'divisive')
        if spread is not None:
            np.testing.assert_array_equal(np.isnan(spread), np.isnan(answers))
        assert engine.batch_size == 8
        assert 'the batch size is 8 again' in caplog.text

    def test_one_image_that_is_too_large_for_a_member(self):
        members = [make_engine(Dazzled(STRUCTURE)), make_engine()]
        ensemble = EnsembleEngine(members)
        transforms = frame_transforms(1)
        images = [
            ensemble.prepare(read_image(stamp), transforms) for stamp in draw_stamps(3)
        ]
        parts = tuple(whiten(list(images[1].parts), 0))
        images[1] = dataclasses.replace(images[1], parts=parts)
        answers, spread, lost = ensemble.run_with_spread(images)
        assert lost.tolist() == [False, True, False]
        assert answers.shape == (3, 2, 37)
        assert spread is None

    def test_other_errors_are_not_taken_for_it(self):
        engine = make_engine(Hungry(limit=0, error=RuntimeError('mat1 and mat2')))
        with pytest.raises(RuntimeError, match='mat1'):
            engine.run(make_images(3))
        assert engine.batch_size == 64


class TestRender:
    def test_shape(self):
        views = make_engine().render(make_images(5, n_transforms=4))
        assert views.shape == (5, 4, 2, 3, 69, 69)
        assert views.dtype == torch.float32

    def test_shapes_and_kinds_of_images_mix(self):
        stamp = draw_stamps(1, size=80)[0]
        flux = GalaxyImage(stamp[..., 0].astype(float), bands='r')
        kinds = [read_image(stamp), flux, read_image(stamp[:50] / 255)]
        images = [prepare(image, Recipe()) for image in kinds]
        engine = make_engine()
        together = engine.render(images)
        for image, views in zip(images, together, strict=True):
            torch.testing.assert_close(engine.render([image])[0], views)

    def test_bytes_and_fractions_agree(self):
        stamp = draw_stamps(1)[0]
        images = [prepare(read_image(s), Recipe()) for s in (stamp, stamp / 255)]
        views = make_engine().render(images)
        torch.testing.assert_close(views[0], views[1], atol=1e-6, rtol=0)
        assert 0.3 < views.max() <= 1

    def test_input_stays(self):
        (image,) = make_images(1)
        floats = dataclasses.replace(image, pixels=image.pixels / np.float32(255))
        before = floats.pixels.copy()
        make_engine().render([floats])
        np.testing.assert_array_equal(floats.pixels, before)

    def test_normalisation_comes_last(self):
        recipe = Recipe(mean=(0.1, 0.2, 0.3), std=(0.5, 1.0, 2.0))
        images = make_images(2)
        plain = make_engine().render(images)
        views = make_engine(recipe=recipe).render(images)
        mean = torch.tensor(recipe.mean)[:, None, None]
        std = torch.tensor(recipe.std)[:, None, None]
        torch.testing.assert_close(views, (plain - mean) / std)
