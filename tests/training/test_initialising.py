# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of trainings that begin from weights."""

import pytest
import torch

from galmorph.exceptions import RecipeError
from galmorph.training.initialising import initialise
from galmorph.training.module import MorphologyModule
from galmorph.weights import load_weights
from tests.helpers.recipes import make_recipe, write_weights


def test_takes_what_fits(tmp_path):
    card = write_weights(tmp_path)
    module = MorphologyModule(make_recipe(seed=7))
    n_taken, n_new = initialise(module, card)
    assert n_new == 0
    state = module.networks['gz2'].state_dict()
    assert n_taken == len(state)
    stored = load_weights(tmp_path / 'untrained.safetensors')
    assert torch.equal(state['output.weight'], stored['output.weight'])


def test_other_questions_begin_anew(tmp_path):
    card = write_weights(tmp_path)
    task = {'schema': 'zhu5', 'data': 'gz2', 'loss': 'cross_entropy'}
    module = MorphologyModule(make_recipe(tasks={'zhu5': task}))
    assert initialise(module, card)[1] == 2


def test_each_task_from_its_own(tmp_path):
    task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse', 'weight': 2}
    tasks = {'gz2': make_recipe().tasks['gz2'].to_dict(), 'other': task}
    card = write_weights(tmp_path)
    recipe = make_recipe(tasks=tasks, initialise={'other': str(card)}, seed=7)
    module = MorphologyModule(recipe)
    before = module.networks['gz2'].output.weight.clone()
    assert initialise(module, recipe.initialise)[1] == 0
    stored = load_weights(tmp_path / 'untrained.safetensors')
    assert torch.equal(module.networks['other'].output.weight, stored['output.weight'])
    assert torch.equal(module.networks['gz2'].output.weight, before)
    assert recipe.only(['gz2']).initialise is None


def test_task_that_is_not_there():
    with pytest.raises(RecipeError, match=r"'initialise'.*\['gz2'\], not 'zhu5'"):
        make_recipe(initialise={'zhu5': 'compact.zhu5'})


def test_weights_of_another_network():
    with pytest.raises(RecipeError, match="of the network 'dieleman', fit 'compact'"):
        initialise(MorphologyModule(make_recipe()), 'dieleman.gz2')


class TestAnew:
    def test_leaves_what_it_names_as_drawn(self, tmp_path):
        card = write_weights(tmp_path)
        recipe = make_recipe(seed=7, initialise=str(card), anew=['output.*'])
        module = MorphologyModule(recipe)
        drawn = module.networks['gz2'].output.weight.clone()
        n_taken, n_new = initialise(module, card)
        state = module.networks['gz2'].state_dict()
        assert n_new == sum(name.startswith('output.') for name in state)
        assert n_taken == len(state) - n_new
        assert torch.equal(module.networks['gz2'].output.weight, drawn)

    def test_names_nothing(self, tmp_path):
        card = write_weights(tmp_path)
        recipe = make_recipe(initialise=str(card), anew=['dense.*'])
        with pytest.raises(RecipeError, match=r"'anew' names 'dense\.\*'"):
            initialise(MorphologyModule(recipe), card)

    def test_without_weights_to_begin_from(self):
        with pytest.raises(RecipeError, match=r"'anew'.*needs 'initialise'"):
            make_recipe(anew=['output.*'])

    def test_goes_with_the_tasks_that_begin_from_weights(self):
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        tasks = {'gz2': make_recipe().tasks['gz2'].to_dict(), 'other': task}
        recipe = make_recipe(
            tasks=tasks, initialise={'other': 'compact.gz2'}, anew=['output.*']
        )
        assert recipe.only(['gz2']).anew == []
        assert recipe.only(['other']).anew == ['output.*']
