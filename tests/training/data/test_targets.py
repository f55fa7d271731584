# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of training on galaxies of a mosaic, on arrays, and with known sizes."""

import dataclasses

import astropy.units as u
import numpy as np
import pytest
import yaml
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

from galmorph import MorphologyClassifier, Recipe, load_card
from galmorph.cli import main
from galmorph.exceptions import LabelError, RecipeError
from galmorph.images import TiledMosaic
from galmorph.schemas import load_schema
from galmorph.training import fit
from galmorph.training.augmentation import Augmentation
from galmorph.training.building import pixels_of
from galmorph.training.data.assembling import create_datamodule
from galmorph.training.data.cache import build_cache
from galmorph.training.data.datasets import BatchRenderer, GalaxyDataset
from galmorph.training.data.reading import read_task
from galmorph.training.data.teaching import teach
from galmorph.training.finetuning import finetuning_recipe
from galmorph.training.parts import DataSource, Task, Teacher
from tests.helpers.fits import make_wcs
from tests.helpers.recipes import make_recipe
from tests.helpers.tiles import divide, make_sky

SHAPE = (300, 400)
N = 10
GREY = {'bands': ['r'], 'unit': 'nJy', 'stretch': 'asinh-image', 'mean': [0.1],
        'std': [0.2], 'surface_brightness': [1.0], 'step': 13.0,
        'output_size': 32, 'views': [0]}  # fmt: skip


def make_task(**data):
    data = {'table': 'galaxies.ecsv', 'kind': 'classes', **data}
    return Task.from_dict({'schema': 'zhu5', 'data': data, 'loss': 'cross_entropy'})


def describe(task):
    return {'classes': task.to_dict()}


@pytest.fixture
def sky(tmp_path):
    """Write four tiles with galaxies, and the table of their positions."""
    wcs, rng = make_wcs(SHAPE, rotation=30), np.random.default_rng(4)
    x = rng.uniform(30, SHAPE[1] - 31, N)
    y = rng.uniform(30, SHAPE[0] - 31, N)
    pixels, (rows, columns) = make_sky(shape=SHAPE), np.indices(SHAPE)
    for place in zip(x, y, strict=True):
        radius = np.hypot(columns - place[0], rows - place[1])
        pixels += 300 * np.exp(-radius / 2).astype('f4')
    divide(tmp_path / 'tiles', pixels, wcs, BUNIT='nJy', FILTER='r')
    coords = wcs.pixel_to_world(x, y)
    table = QTable({'ra': coords.ra.deg, 'dec': coords.dec.deg})
    table['radius'] = np.linspace(2, 4, N) * u.arcsec
    table['zhu5'] = np.arange(N) % 5
    table['part'] = ['train', 'train', 'train', 'train', 'valid'] * 2
    table.write(tmp_path / 'galaxies.ecsv')
    return table


class TestMosaic:
    def test_weights_see_what_a_prediction_sees(self, sky, tmp_path, capsys):
        task = make_task(mosaic='tiles/*.fits', size='radius', split='part')
        recipe = make_recipe(tasks=describe(task), pixels=GREY, steps=2)
        result = fit(recipe, data=tmp_path, output=tmp_path / 'run', accelerator='cpu')
        card = load_card(result.card)
        assert card.metrics['n_galaxy'] == card.training['n_valid'] == 2
        data = create_datamodule(recipe, tmp_path, cache=tmp_path / 'run' / 'cache')
        table, _ = data.labelled('classes', 'valid')
        classifier = MorphologyClassifier(result.card)
        shown = classifier.classify_table(table, image='image', size='size')
        wanted = classifier.classify_table(
            sky[[4, 9]], mosaic=str(tmp_path / 'tiles' / '*.fits'), size='radius'
        )
        np.testing.assert_allclose(shown.probabilities, wanted.probabilities, atol=1e-5)
        self.check_command(result.card, tmp_path, sky[[4, 9]], wanted, capsys)

    def check_command(self, card, folder, valid, answers, capsys):
        valid.write(folder / 'valid.ecsv')
        options = ('--mosaic', folder / 'tiles/*.fits', '--size', 'radius')
        options += ('--device', 'cpu', '--quiet', '--output', folder / 'm.yaml')
        for table, split in (
            ('valid.ecsv', 'valid'),
            ('galaxies.ecsv', 'valid'),
            ('galaxies.ecsv', 'all'),
        ):
            command = ('evaluate', card, folder / table, *options, '--split', split)
            assert main([str(word) for word in command]) == 0
            error = capsys.readouterr().err
            assert ('trained on 8 of these 10' in error) == (split == 'all')
            metrics = yaml.safe_load((folder / 'm.yaml').read_text())
            assert metrics['n_galaxy'] == (2 if split == 'valid' else N)
            if split == 'valid':
                share = np.mean(answers.probabilities.argmax(1) == valid['zhu5'])
                assert metrics['accuracy']['value'] == pytest.approx(share)

    @pytest.mark.parametrize('preset', ['none', 'dieleman'])
    def test_cutouts_hold_all_that_an_augmentation_shows(self, sky, tmp_path, preset):
        task = make_task(mosaic='tiles', size='radius')
        source = read_task(task, tmp_path)
        data = create_datamodule(
            make_recipe(tasks=describe(task), pixels=GREY), tmp_path
        ).tasks['classes']
        coords = SkyCoord(sky['ra'], sky['dec'], unit='deg')
        wide = TiledMosaic(tmp_path / 'tiles').cutouts(coords, 250, source.sizes)
        augmentation = Augmentation.preset(preset)
        seen, wanted = (
            GalaxyDataset(
                images, source.labels, data.recipe, augmentation, sizes=source.sizes
            )
            for images in (source.images, wide)
        )
        render, rows = BatchRenderer(data.recipe), np.repeat(np.arange(N), 4)
        views = [
            render(each.batch(rows, np.random.default_rng(1))['images'])
            for each in (seen, wanted)
        ]
        # Beyond the sky there is the level of what is near.
        np.testing.assert_allclose(views[0], views[1], atol=3e-3)

    @pytest.mark.parametrize(
        'mosaic',
        [{'r': 'tiles/*.fits'}, ['tiles/tile-0-*.fits', 'tiles/tile-1-*.fits']],
    )
    def test_of_bands_and_of_several_patterns(self, sky, tmp_path, mosaic):
        (first, *_) = read_task(make_task(mosaic=mosaic), tmp_path).images
        assert first.cut(Recipe(**GREY), size=3 * u.arcsec).bands == ('r',)

    def test_is_read_once_and_again_when_a_tile_changes(self, sky, tmp_path):
        source = read_task(make_task(mosaic='tiles'), tmp_path)
        recipe = make_recipe(tasks=describe(make_task()), pixels=GREY)
        pixels = pixels_of(recipe, 'classes')
        cache = build_cache(source.images, pixels, tmp_path / 'cache')
        again = read_task(make_task(mosaic='tiles'), tmp_path).images
        before = (tmp_path / 'cache').stat().st_mtime_ns
        assert build_cache(again, pixels, tmp_path / 'cache').hash == cache.hash
        assert (tmp_path / 'cache').stat().st_mtime_ns == before
        (tile, *_) = sorted((tmp_path / 'tiles').iterdir())
        tile.write_bytes(tile.read_bytes() + b'\0' * 2880)
        changed = read_task(make_task(mosaic='tiles'), tmp_path).images
        assert build_cache(changed, pixels, tmp_path / 'cache').hash != cache.hash

    def test_galaxies_elsewhere_are_told_by_row(self, sky, tmp_path):
        sky['ra'][3] += 1
        sky.write(tmp_path / 'galaxies.ecsv', overwrite=True)
        with pytest.raises(LabelError, match=r"1 galaxies are not on .*'tiles'.*3; "):
            read_task(make_task(mosaic='tiles'), tmp_path)
        sky['dec'][2] = np.nan
        sky.write(tmp_path / 'galaxies.ecsv', overwrite=True)
        with pytest.raises(LabelError, match='have no position, in rows 2'):
            read_task(make_task(mosaic='tiles'), tmp_path)

    @pytest.mark.parametrize(
        ('data', 'message'),
        [
            ({'mosaic': 'lost/*.fits'}, "the mosaic 'lost/.*fits': "),
            ({'mosaic': 'tiles', 'size': 'petro'}, "'size' 'petro' must be a column"),
            ({'mosaic': 'tiles', 'size': '3'}, "'size' .* must be a column of"),
            ({'mosaic': 'tiles', 'id': 'name'}, "no column 'name', only"),
        ],
    )
    def test_names_what_is_amiss(self, sky, tmp_path, data, message):
        with pytest.raises(LabelError, match=message):
            read_task(make_task(**data), tmp_path)

    def test_needs_positions(self, sky, tmp_path):
        sky.rename_column('ra', 'x')
        sky.write(tmp_path / 'galaxies.ecsv', overwrite=True)
        with pytest.raises(LabelError, match=r'ecsv: the table has no positions'):
            read_task(make_task(mosaic='tiles'), tmp_path)

    def test_is_labelled_by_a_teacher(self, sky, tmp_path, tiny_card):
        source = read_task(make_task(mosaic='tiles', size='radius'), tmp_path)
        source.table['split'] = 'train'
        teacher = Teacher(weights=str(tiny_card), n_transforms=1)
        taught = teach(source, teacher, load_schema('gz2'))
        wanted = MorphologyClassifier(tiny_card).classify_table(
            sky, mosaic=str(tmp_path / 'tiles'), size='radius'
        )
        np.testing.assert_allclose(
            taught.labels.values,
            wanted.probabilities.filled(np.nan),
            atol=1e-5,
        )


class TestSizes:
    @pytest.mark.parametrize('size', ['3 arcsec', '12 pix'])
    def test_one_for_all(self, sky, tmp_path, size):
        source = read_task(make_task(mosaic='tiles', size=size), tmp_path)
        assert (source.sizes == u.Quantity(size)).all()
        assert source[1:3].sizes.shape == (2,)

    def test_tasks_with_other_sizes_do_not_share_pixels(self, sky, tmp_path):
        tasks = {
            name: dataclasses.replace(
                make_task(mosaic='tiles', size=size),
                head_of=None if name == 'a' else 'a',
            ).to_dict()
            for name, size in (('a', '3 arcsec'), ('b', 'radius'), ('c', '3 arcsec'))
        }
        recipe = make_recipe(tasks=tasks, pixels=GREY)
        data = create_datamodule(recipe, tmp_path, cache=tmp_path / 'cache')
        a, b, c = data.tasks.values()
        assert a.images is c.images
        assert not np.allclose(a.images[0].affines, b.images[0].affines)
        assert (b.sizes == sky['radius']).all()


class TestArrays:
    @pytest.mark.parametrize('unit', [None, 'nJy'])
    def test_of_a_column(self, tmp_path, unit):
        rng = np.random.default_rng(2)
        pixels = rng.normal(1, 0.1, (N, 40, 40)).astype('f4')
        table = Table({'image': pixels, 'zhu5': np.arange(N) % 5})
        table['image'].unit = unit
        table['part'] = ['train', 'train', 'train', 'train', 'valid'] * 2
        table.write(tmp_path / 'galaxies.fits')
        data = {'table': 'galaxies.fits', 'split': 'part', 'size': '4 pix'}
        recipe = make_recipe(
            tasks=describe(make_task(**data)),
            pixels={**GREY, 'unit': unit or ''},
            steps=2,
        )
        result = fit(recipe, data=tmp_path, output=tmp_path / 'run', accelerator='cpu')
        assert load_card(result.card).metrics['n_galaxy'] == 2


class TestSeparation:
    @pytest.fixture
    def pairs(self, tmp_path):
        rng = np.random.default_rng(0)
        ra, dec = rng.uniform(10, 40, 60), rng.uniform(-20, 20, 60)
        table = Table({'ra': [*ra, *ra], 'dec': [*dec, *(dec + 2 / 3600)]})
        table['image'] = np.ones((120, 16, 16), 'f4')
        table['zhu5'] = 1
        table['id'] = np.arange(120)
        table.write(tmp_path / 'galaxies.fits')

    def test_keeps_neighbours_together(self, pairs, tmp_path):
        data = {'table': 'galaxies.fits', 'id': 'id', 'fractions': [0.5, 0.5]}
        by_id = read_task(make_task(**data), tmp_path).table['split']
        assert (by_id[:60] != by_id[60:]).any()
        near = make_task(**data, separation='5 arcsec')
        split = read_task(near, tmp_path).table['split']
        assert (split[:60] == split[60:]).all()
        assert set(split) == {'train', 'valid'}
        other = make_task(**data, separation='5 arcsec', split_seed=1)
        assert (read_task(other, tmp_path).table['split'] != split).any()

    @pytest.mark.parametrize('separation', ['5', 'near', '-1 arcsec', '3 m'])
    def test_is_an_angle(self, separation):
        with pytest.raises(RecipeError, match=r"'separation' of .* such as '5 arcsec'"):
            DataSource.from_dict({'table': 'a.csv', 'separation': separation})

    @pytest.mark.parametrize(
        ('source', 'message'),
        [
            ({'layout': 'gz2', 'mosaic': 'a.fits'}, "'mosaic' of .*'table'.*'gz2'"),
            ({'image': 'path', 'mosaic': 'a.fits'}, "both 'image' and 'mosaic'"),
            ({'split': 'part', 'separation': '5 arcsec'}, "'split' and 'separation'"),
        ],
    )
    def test_what_does_not_go_together(self, source, message):
        with pytest.raises(RecipeError, match=message):
            DataSource.from_dict(source)


def test_fine_tuning_takes_a_mosaic(sky, tmp_path, tiny_card, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = finetuning_recipe(
        tiny_card, 'galaxies.ecsv', schema='zhu5', kind='classes',
        mosaic='tiles/*.fits', size='radius', separation='5 arcsec',
    )  # fmt: skip
    (task,) = recipe.tasks.values()
    monkeypatch.chdir('/')
    assert len(read_task(task)) == N
    assert task.data.size == 'radius'
    assert task.data.separation == '5 arcsec'
