# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the script that turns a training into bundled weights."""

import numpy as np
import pytest

from galmorph import MorphologyClassifier, load_card
from galmorph.training import fit
from tests.helpers.modules import ROOT, load_file
from tests.helpers.recipes import make_recipe
from tests.helpers.tiny import draw_stamps

ENTRIES = {
    'name': 'mine.gz2',
    'title': 'Mine',
    'description': 'A small one.',
    'limits': ['Not for use.'],
    'training': {'data': 'drawn'},
    'paper': {},
}


@pytest.fixture(scope='module')
def script():
    return load_file('scripts/publish.py')


@pytest.fixture(scope='module')
def run(kaggle, tmp_path_factory):
    output = tmp_path_factory.mktemp('run')
    recipe = make_recipe(precision_stored='float32')
    fit(recipe, data=kaggle, output=output, accelerator='cpu', evaluate=False)
    return output


@pytest.fixture
def package(script, tmp_path, monkeypatch):
    """A folder in place of the weights of the package."""
    # Cards of other folders have their weights beside them.
    (tmp_path / 'data').mkdir()
    (tmp_path / 'cards').symlink_to(tmp_path / 'data')
    monkeypatch.setattr(script, 'ROOT', tmp_path)
    return tmp_path


class TestCards:
    @pytest.mark.parametrize('name', ['compact', 'dieleman_2015', 'zhu_2019'])
    def test_bundled_cards_say_what_they_were_published_with(self, script, name):
        path = ROOT / 'scripts' / 'cards' / f'{name}.yaml'
        for entries in script.read_cards(path).values():
            card = load_card(entries['name'])
            assert card.limits == entries['limits']
            assert card.paper == entries['paper']
            assert card.description == entries['description']
            assert entries['training'].items() <= card.training.items()


class TestPublish:
    def test_task_that_the_run_has_not(self, script, run, kaggle, package):
        with pytest.raises(SystemExit, match=r"no task 'efigi', but \['gz2'\]"):
            script.publish(run, kaggle, 'efigi', dict(ENTRIES), test=False)
        assert not list(package.glob('data/*'))

    def test_weights_and_card_of_a_run(self, script, run, kaggle, package):
        script.publish(run, kaggle, 'gz2', dict(ENTRIES), test=False)
        card = load_card(package / 'cards' / 'mine.gz2.yaml')
        assert card.title == 'Mine'
        assert card.training['data'] == 'drawn'
        assert card.training['steps'] in (2, 4, 6)
        assert card.metrics['split'] == 'valid'
        assert card.metrics['rmse37_8_transforms']['n'] == 3
        # Nothing was asked of 300 galaxies.
        assert card.supported_questions == []

    def test_stored_weights_answer_as_those_of_the_run(
        self, script, run, kaggle, package
    ):
        script.publish(run, kaggle, 'gz2', dict(ENTRIES), test=False)
        path = package / 'data' / 'mine.gz2.safetensors'
        assert path.stat().st_size < (run / 'small.safetensors').stat().st_size
        stamps = list(draw_stamps(3))
        stored, exact = (
            MorphologyClassifier(card, 'cpu').classify(stamps).values.data
            for card in (package / 'cards' / 'mine.gz2.yaml', run / 'small.yaml')
        )
        np.testing.assert_allclose(stored, exact, atol=script.MAX_CHANGE)

    def test_refuses_storage_that_costs_too_much(
        self, script, run, kaggle, package, monkeypatch
    ):
        monkeypatch.setattr(script, 'MAX_CHANGE', 0)
        entries = {**ENTRIES, 'stored': {'precision': 'int8'}}
        with pytest.raises(SystemExit, match='store more exactly'):
            script.publish(run, kaggle, 'gz2', entries, test=False)

    def test_questions_that_are_supported(self, script, run, kaggle, monkeypatch):
        monkeypatch.setattr(script, 'MIN_GALAXIES', 10)
        card = run / 'small.yaml'
        schema = script.load_schema('gz2')
        recipe = script.load_recipe(run / 'recipe.yaml')
        source = script.read_tasks(recipe, kaggle)['gz2']
        found = script.measure(card, source, 'valid')
        asked = script.count_training(recipe, {'gz2': source}, schema, 'gz2')
        assert asked['smooth_or_features'] == 27
        monkeypatch.setattr(script, 'MAX_ERROR', np.inf)
        chosen = script.choose_questions(schema, source, found, asked)
        assert chosen == [name for name in schema.names if asked[name] >= 10]
        monkeypatch.setattr(script, 'MAX_ERROR', 0)
        assert script.choose_questions(schema, source, found, asked) == []
