# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Each recipe of the package starts, with a smaller network, on small data."""

import functools

import pytest

from galmorph import load_card
from galmorph.training import fit
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
RUNS = [
    *list_recipes(),
    'brainstation_2018_question/all_questions',
    'compact_multitask/distilled',
    'ucsc_2016/relu',
    'uppsala_2018/106_b32_hsv',
    'uppsala_2018/69_b16',
    'uppsala_2018/constrained',
    'zhu_2019/mean_of_q',
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


def teacher_of(card):
    return {'tasks.distilled.teacher': {'weights': str(card), 'n_transforms': 1}}


@pytest.fixture(scope='module')
def kaggle(tmp_path_factory):
    """Return Kaggle's layout, with what it lacks beside it."""
    folder = tmp_path_factory.mktemp('data')
    write_collections(folder / 'collections')
    place = folder / 'challenge'
    write_clear_kaggle(place, 30)
    for name in ('efigi', 'gz_ceers'):
        (folder / 'collections' / name).rename(place / name)
    write_candels(place / 'candels_goodss')
    return place


@pytest.mark.parametrize('name', RUNS)
def test_starts_on_the_layout_of_kaggle(name, kaggle, tmp_path, tiny_card):
    changes = teacher_of(tiny_card) if name.endswith('/distilled') else {}
    result = start(name, kaggle, tmp_path, **changes)
    for each in result.members or [result]:
        assert 'valid/loss' in each.metrics
        assert all(load_card(card).name for card in each.cards.values())


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
