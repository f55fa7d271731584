# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the cache: whole, current, and the same pixels."""

import functools
import os
import pickle

import numpy as np
import pytest
import torch
from astropy import units as u
from PIL import Image

from galmorph.exceptions import GalmorphError, GalmorphWarning, ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, read_image
from galmorph.preprocessing.prepare import PreparedImage, prepare
from galmorph.preprocessing.recipe import Recipe
from galmorph.preprocessing.render import render, resample, stack_images
from galmorph.training.augmentation import Augmentation
from galmorph.training.data.cache import (
    PixelCache,
    build_cache,
    load_image,
    reduce_image,
)
from tests.helpers.tiny import draw_stamps

RECIPE = Recipe()


@pytest.fixture
def files(tmp_path):
    paths = []
    for index, stamp in enumerate(draw_stamps(5, 64)):
        paths.append(str(tmp_path / f'{index}.png'))
        Image.fromarray(stamp[: 64 - 4 * index, : 64 - 4 * index]).save(paths[-1])
    return paths


def show(images, recipe=RECIPE):
    return render(stack_images(images, recipe), recipe).numpy()


class TestBuildCache:
    def test_pixels_are_those_of_prepare(self, files, tmp_path):
        cache = build_cache(files, RECIPE, tmp_path / 'cache', reduction=1)
        assert len(cache) == 5
        for row, path in enumerate(files):
            wanted = prepare(read_image(path), RECIPE)
            found = cache[row]
            np.testing.assert_array_equal(found.pixels, wanted.pixels)
            np.testing.assert_array_equal(found.affines, wanted.affines)
            assert found.pixels.dtype == np.uint8
            assert (found.is_picture, found.flags) == (True, wanted.flags)

    def test_fluxes_are_float32(self, tmp_path):
        data = np.random.default_rng(1).normal(1, 0.1, (3, 40, 40))
        data[0, 3, 3] = np.nan
        image = GalaxyImage(data, bands='gri', size=8 * u.pix)
        cache = build_cache([image], RECIPE, tmp_path / 'cache', key='one')
        wanted = prepare(image, RECIPE)
        assert cache[0].pixels.dtype == np.float32
        np.testing.assert_allclose(cache[0].pixels, wanted.pixels, rtol=1e-6)
        assert cache[0].filled == pytest.approx(wanted.filled)
        assert not cache[0].is_picture
        assert cache.flags[0] & MorphologyFlag.NONFINITE_PIXELS

    def test_torch_may_have_the_pixels(self, files, tmp_path):
        pixels = build_cache(files, RECIPE, tmp_path / 'cache')[0].pixels
        assert torch.from_numpy(pixels).sum() == pixels.sum()

    def test_sizes(self, files, tmp_path):
        sizes = [8, np.nan, 9, 7, 6] * u.pix
        cache = build_cache(files, RECIPE, tmp_path / 'cache', sizes=sizes)
        wanted = load_image(files[0], RECIPE, size=8 * u.pix)
        np.testing.assert_allclose(cache[0].affines, wanted.affines)
        wanted = load_image(files[1], RECIPE)
        np.testing.assert_allclose(cache[1].affines, wanted.affines)

    def test_reach_keeps_what_augmentation_shows(self, tmp_path):
        stamp = draw_stamps(1, 400)[0]
        augmentation = Augmentation(zoom=(1, 2), shift=20, rotation=360)
        image = GalaxyImage(np.moveaxis(stamp, -1, 0), is_picture=True, size=12 * u.pix)
        few = build_cache([image], RECIPE, tmp_path / 'a', key='a')[0]
        many = build_cache(
            [image], RECIPE, tmp_path / 'b', key='b', reach=augmentation.reach()
        )[0]
        assert many.pixels.shape[1] > 1.5 * few.pixels.shape[1]
        np.testing.assert_allclose(show([few]), show([many]), atol=1e-5)

    def test_bad_images_are_reported_and_the_others_kept(self, files, tmp_path):
        (tmp_path / '1.png').write_bytes(b'no picture')
        files[3] = str(tmp_path / 'lost.png')
        with pytest.warns(GalmorphWarning, match='2 images cannot be used: row 1: .*'):
            cache = build_cache(files, RECIPE, tmp_path / 'cache')
        assert cache.is_good.tolist() == [True, False, True, False, True]
        assert sorted(cache.errors) == [1, 3]
        assert 'no such file' in cache.errors[3]
        with pytest.raises(ImageError, match='lost') as caught:
            cache[3]
        assert caught.value.flag is MorphologyFlag.UNREADABLE_IMAGE
        assert cache[4].pixels.any()
        # Told again where the cache is taken.
        with pytest.warns(GalmorphWarning, match='2 images .* delete .*/cache to try'):
            build_cache(files, RECIPE, tmp_path / 'cache')

    def test_nothing_to_use(self, tmp_path):
        with pytest.raises(GalmorphError, match='no image can be used: lost'):
            build_cache(['lost.png'], RECIPE, tmp_path / 'cache')
        assert list(tmp_path.iterdir()) == []

    def test_whatever_is_raised_costs_one_row(self, files, tmp_path):
        def broken():
            raise MemoryError

        with pytest.warns(GalmorphWarning, match='row 1: MemoryError'):
            cache = build_cache([files[0], broken], RECIPE, tmp_path / 'c', key='x')
        assert cache.is_good.tolist() == [True, False]


class TestCurrent:
    """When a cache is taken as it is, and when it is built anew."""

    @pytest.fixture
    def n_read(self, monkeypatch):
        counter = []

        def counted(obj, **options):
            counter.append(obj)
            return read_image(obj, **options)

        monkeypatch.setattr('galmorph.training.data.cache.read_image', counted)
        return counter

    def test_second_time_nothing_is_read(self, files, tmp_path, n_read):
        first = build_cache(files, RECIPE, tmp_path / 'cache')
        second = build_cache(files, RECIPE, tmp_path / 'cache')
        assert len(n_read) == 5
        np.testing.assert_array_equal(first[2].pixels, second[2].pixels)

    @pytest.mark.parametrize(
        'change', ['recipe', 'file', 'order', 'reduction', 'sizes', 'reach', 'damage']
    )
    def test_changes_make_it_stale(self, change, files, tmp_path, n_read):
        path, recipe, options = tmp_path / 'cache', RECIPE, {}
        build_cache(files, recipe, path)
        if change == 'recipe':
            recipe = Recipe(step=2.5)
        elif change == 'file':
            os.utime(files[2], (1, 1))
        elif change == 'order':
            files = files[::-1]
        elif change == 'damage':
            path.write_bytes(path.read_bytes()[:-10])
        else:
            values = {'reduction': 1, 'sizes': np.full(5, 8) * u.pix,
                      'reach': Augmentation.preset('ucsc').reach()}  # fmt: skip
            options[change] = values[change]
        build_cache(files, recipe, path, **options)
        assert len(n_read) == 10

    def test_arrays_tell_by_their_content(self, tmp_path, n_read):
        stamps = draw_stamps(3, 32)
        build_cache(stamps, RECIPE, tmp_path / 'cache')
        build_cache(list(stamps.copy()), RECIPE, tmp_path / 'cache')
        assert len(n_read) == 6  # a stack and a list are not the same
        build_cache(list(stamps.copy()), RECIPE, tmp_path / 'cache')
        assert len(n_read) == 6
        stamps[1, 0, 0] += 1
        build_cache(list(stamps), RECIPE, tmp_path / 'cache')
        assert len(n_read) == 9

    def test_functions_of_files_tell_by_the_file(self, files, tmp_path, n_read):
        images = [functools.partial(read_image, path) for path in files]
        build_cache(images, RECIPE, tmp_path / 'cache')
        build_cache(images, RECIPE, tmp_path / 'cache')
        assert len(n_read) == 5

    def test_other_objects_need_a_key(self, tmp_path, n_read):
        images = [GalaxyImage(draw_stamps(1, 32)[0, ..., 0], is_picture=True)]
        path = tmp_path / 'cache'
        for _ in range(2):
            build_cache(images, RECIPE, path)
        assert len(n_read) == 2
        for _ in range(2):
            build_cache(images, RECIPE, path, key='mine')
        assert len(n_read) == 3

    def test_interrupted_build_leaves_no_cache(self, files, tmp_path, monkeypatch):
        path = tmp_path / 'cache'
        build_cache(files, RECIPE, path)

        def interrupted(*args, **kwargs):
            raise KeyboardInterrupt

        monkeypatch.setattr('galmorph.training.data.cache.np.savez', interrupted)
        with pytest.raises(KeyboardInterrupt):
            build_cache(files, Recipe(step=2), path)
        with pytest.raises(GalmorphError, match='no cache that can be read'):
            PixelCache(path)
        assert not list(tmp_path.glob('*.tmp'))


class TestPixelCache:
    def test_travels_to_other_processes(self, files, tmp_path):
        cache = build_cache(files, RECIPE, tmp_path / 'cache')
        pixels = cache[1].pixels
        text = pickle.dumps(cache)
        assert len(text) < cache.n_bytes
        np.testing.assert_array_equal(pickle.loads(text)[1].pixels, pixels)

    def test_numbers_from_the_end(self, files, tmp_path):
        cache = build_cache(files, RECIPE, tmp_path / 'cache')
        np.testing.assert_array_equal(cache[-1].pixels, cache[4].pixels)
        with pytest.raises(IndexError):
            cache[5]

    def test_change_of_pixels_stays_in_memory(self, files, tmp_path):
        cache = build_cache(files, RECIPE, tmp_path / 'cache')
        cache[0].pixels[:] = 7
        assert (PixelCache(cache.path)[0].pixels != 7).any()

    def test_other_format(self, files, tmp_path, monkeypatch):
        build_cache(files, RECIPE, tmp_path / 'cache')
        monkeypatch.setattr('galmorph.training.data.cache._FORMAT', 99)
        with pytest.raises(GalmorphError, match='of another version; delete it'):
            PixelCache(tmp_path / 'cache')


class TestReduceImage:
    def test_424_pixels_become_those_of_the_212_pixel_stamps(self):
        picture = draw_stamps(1, 424)[0]
        image = load_image(picture, RECIPE, reach=Augmentation(zoom=(1, 1.5)).reach())
        assert image.pixels.shape == (3, 424, 424)
        reduced = reduce_image(image, RECIPE)
        boxes = picture.reshape(212, 2, 212, 2, 3).mean((1, 3))
        np.testing.assert_array_equal(
            reduced.pixels, np.rint(boxes).transpose(2, 0, 1).astype(np.uint8)
        )
        # Those are left as they are.
        stamp = load_image(np.rint(boxes).astype(np.uint8), RECIPE)
        assert reduce_image(stamp, RECIPE) is stamp
        np.testing.assert_allclose(show([reduced]), show([stamp]), atol=1e-5)

    def test_centre_stays(self):
        # On a plane every average has the value of its middle.
        ramp = np.add.outer(np.arange(90.0), 2 * np.arange(90.0)).astype(np.float32)
        affines = np.eye(3)[None, None] * [9, 9, 1]
        image = PreparedImage(ramp[None], affines, False, MorphologyFlag(0))
        recipe = Recipe(antialias=0, output_size=7, views=(0,))
        image.affines[..., :2, 2] = 15
        for k in (2, 3, 4, 7):
            reduced = reduce_image(image, recipe, k)
            assert reduced.pixels.shape == (1, 90 // k, 90 // k)
            images = [torch.from_numpy(each.pixels)[None] for each in (image, reduced)]
            views = [
                resample(pixels, torch.from_numpy(each.affines[0])[None], 7)
                for pixels, each in zip(images, (image, reduced), strict=True)
            ]
            torch.testing.assert_close(*views)

    def test_box_of_the_recipe_may_be_averaged(self):
        # 3 pixels of the picture a pixel of the input, averaged over all 3.
        image = load_image(draw_stamps(1, 424)[0], Recipe(antialias=1))
        assert reduce_image(image, Recipe(antialias=1)).pixels.shape[1] < 424 / 2.5
