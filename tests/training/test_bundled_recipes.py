# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Each recipe of the package starts, with a smaller network, on small data."""

import functools

import numpy as np
import pytest
import torch
from astropy.table import Table

from galmorph import GalaxyImage, MorphologyClassifier, load_card
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.render import render, stack_images
from galmorph.preprocessing.sizes import measure_galaxy
from galmorph.schemas import load_schema
from galmorph.training import MorphologyModule, fit, save_trained
from galmorph.training.building import build_networks, pixels_of
from galmorph.training.data import reading
from galmorph.training.recipe import list_recipes, load_recipe
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.recipes import write_candels, write_clear_kaggle, write_collections

SMALL = {
    'brainstation_2018_question': {'network.options.n_units': 8},
    'brainstation_2019': {'network.options.n_units': 8},
    'compact_multitask': {
        'network.options.widths': [8],
        'network.options.depths': [1],
        'batch_size': 8,
    },
    'dieleman_2015': {
        'network.options.filters': [[6, 4], [5, 4], [3, 4], [3, 4]],
        'network.options.dense': [8, 8],
        'test.n_transforms': 6,
    },
    'dieleman_2015_ensemble': {
        'network.options.filters': [[6, 4], [5, 4], [3, 4], [3, 4]],
        'network.options.dense': [8, 8],
        'test.n_transforms': 6,
        'ensemble': [
            {'norm_constraint': {'every': 1, 'dense.0': 0.4, 'dense.1': 0.23}},
            {'pixels.recentre': True, 'network.options.shared': 8},
        ],
    },
    'ucsc_2016': {'network.options.n_units': 8},
    'uppsala_2018': {
        'network.options.widths': [4, 4, 4, 4, 4],
        'network.options.dense': [8, 8],
    },
    'zhu_2019': {'network.options.k': 0.0625, 'network.options.n_units': 1},
}
# One of each kind; the other variants differ in numbers.
RUNS = [
    *list_recipes(),
    'brainstation_2018_question/all_questions',
    'brainstation_2018_question/baseline',
    'compact_multitask/distilled',
    'compact_multitask/taught',
    'dieleman_2015/taught',
    'ucsc_2016/relu',
    'ucsc_2016/sigmoid',
    'uppsala_2018/106_b16_aug',
    'uppsala_2018/106_b32_90_10',
    'uppsala_2018/106_b32_hsv',
    'uppsala_2018/69_b16',
    'uppsala_2018/constrained',
    'zhu_2019/mean_of_q',
    'zhu_2019/q180',
    'zhu_2019/small',
    'zhu_2019/taught',
]


def start(name, data, output, **changes):
    """Train two steps."""
    recipe = load_recipe(name)
    changes = {
        'steps': 2,
        'validate_every': 2,
        'batch_size': 4,
        **SMALL[name.partition('/')[0]],
        **changes,
    }
    for task in recipe.tasks:
        changes[f'tasks.{task}.data.limit'] = 40
    return fit(recipe.override(changes), data=data, output=output, accelerator='cpu')


def write_soft_labels(folder):
    """Write what a teacher says of the galaxies of the challenge."""
    ids = Table.read(folder / 'training_solutions_rev1.csv')['GalaxyID']
    rng, table = np.random.default_rng(3), Table({'id': ids})
    for name in ('gz2', 'zhu5'):
        tree = load_schema(name)
        conditional = np.concatenate(
            [rng.dirichlet(np.ones(n), len(ids)) for n in tree.counts], axis=1
        )
        for column, values in zip(
            tree.columns, tree.to_path(conditional).T, strict=True
        ):
            table[column] = values
    table.write(folder / 'soft_labels.fits')


@pytest.fixture(scope='module')
def kaggle(tmp_path_factory):
    """Return Kaggle's layout, with what it lacks beside it."""
    folder = tmp_path_factory.mktemp('data')
    write_collections(folder / 'collections')
    place = folder / 'challenge'
    write_clear_kaggle(place, 40)
    for name in ('efigi', 'gz_ceers'):
        (folder / 'collections' / name).rename(place / name)
    write_candels(place / 'candels_goodss')
    write_soft_labels(place)
    return place


def first_weights(recipe, folder):
    """Make weights, of the size of the test, to begin with or to be taught by."""
    changes = {'initialise': None, **SMALL[recipe.partition('/')[0]]}
    module = MorphologyModule(load_recipe(recipe).override(changes), n_steps=1)
    return str(save_trained(module, folder, 'first', task=next(iter(module.networks))))


@pytest.mark.parametrize('name', RUNS)
def test_starts_on_the_layout_of_kaggle(name, kaggle, tmp_path):
    recipe, changes = load_recipe(name), {}
    by_weights = [
        f'tasks.{task}.teacher.weights'
        for task, settings in recipe.tasks.items()
        if settings.teacher is not None and settings.teacher.weights is not None
    ]
    if recipe.initialise is not None or by_weights:
        first = first_weights(name, tmp_path / 'first')
        changes = dict.fromkeys(by_weights, first)
    if recipe.initialise is not None:
        changes['initialise'] = first
    result = start(name, kaggle, tmp_path, **changes)
    for each in result.members or [result]:
        assert 'valid/loss' in each.metrics
        assert all(load_card(card).name for card in each.cards.values())


@pytest.mark.parametrize(
    ('name', 'n'),
    [
        ('brainstation_2018_question', 951_427),
        ('brainstation_2018_question/baseline', 46_470_627),
        # 34 answers more.
        ('brainstation_2018_question/all_questions', 951_427 + 34 * 513),
        ('brainstation_2019', 976_613),
    ],
)
def test_numbers_of_a_network_as_published(name, n):
    with torch.device('meta'):
        (network,) = build_networks(load_recipe(name)).values()
    state = network.state_dict().items()
    counted = [v.numel() for k, v in state if not k.endswith('num_batches_tracked')]
    assert sum(counted) == n


@pytest.mark.parametrize(('variant', 'n'), [('', 20_000), ('/5k', 5000)])
def test_brainstation_takes_as_many_galaxies_as_published(variant, n):
    recipe = load_recipe(f'brainstation_2018_question{variant}')
    assert recipe.tasks['gz2'].data.limit == n
    assert recipe.published['n_train'] == 0.8 * n


def test_frame_of_ucsc_is_four_petrosian_radii_whatever_the_flux():
    y, x = np.mgrid[:201, :201] - 100
    disk = np.exp(-np.hypot(x, y) / 9).astype('f4')
    pixels = pixels_of(load_recipe('ucsc_2016'), 'candels5')
    stamps = [
        prepare(GalaxyImage(factor * disk, bands='F160W'), pixels)
        for factor in (1, 100)
    ]
    side = 45 * stamps[0].affines[0, 0, 0, 0]
    assert side == pytest.approx(4 * measure_galaxy(disk).petro_radius, rel=0.03)
    faint, bright = render(stack_images(stamps, pixels), pixels)
    torch.testing.assert_close(faint, bright, atol=1e-4, rtol=0)
    assert faint.amin() < 0.01
    assert faint.amax() > 0.95


def test_network_of_one_question_classifies(kaggle, tmp_path):
    result = start('brainstation_2018_question', kaggle, tmp_path)
    card = load_card(result.card)
    assert card.schema == 'gz2/smooth_or_features'
    assert card.supported_questions == ['smooth_or_features']
    assert card.metrics['n_galaxy'] > 0
    classifier = MorphologyClassifier(result.card)
    table = classifier.predict(str(next((kaggle / 'images_training_rev1').iterdir())))
    columns = [f'smooth_or_features_{a.name}' for a in classifier.schema.answers]
    assert sum(table[name][0] for name in columns) == pytest.approx(1)
    assert table['morphology_class'][0] in classifier.schema.classes[0]


def test_tasks_without_data_are_left_out(tmp_path):
    write_clear_kaggle(tmp_path / 'challenge', 10)
    result = start('compact_multitask', tmp_path / 'challenge', tmp_path / 'run')
    assert list(result.cards) == ['gz2', 'zhu5']


@needs_shared_data
@pytest.mark.parametrize('name', list_recipes())
def test_starts_on_real_galaxies(name, tmp_path, monkeypatch):
    monkeypatch.setattr(reading, 'read_layout', _read_once)
    result = start(name, SHARED_DATA, tmp_path)
    assert 'valid/loss' in result.metrics


@functools.cache
def _read_once(name, folder):
    from galmorph.training.data.layouts import read_layout

    return read_layout(name, folder)
