# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the recipes that train weights further."""

import pytest
from astropy.table import Table

from galmorph.training import MorphologyModule, save_trained
from galmorph.training.finetuning import finetuning_recipe
from tests.helpers.recipes import make_recipe


def make_weights(folder, schema, head, loss):
    task = {'schema': schema, 'head': head, 'data': 'gz2', 'loss': loss}
    module = MorphologyModule(make_recipe(tasks={schema: task}))
    return save_trained(module, folder, 'old')


def test_bounds_are_what_is_trained_on():
    recipe = finetuning_recipe('dieleman.gz2', 'a.csv', kind='bounds')
    (task,) = recipe.tasks.values()
    assert (task.data.select, task.loss.name) == ('bounds', 'censored')


def test_classes_are_known_by_the_name_of_their_schema(tmp_path):
    Table({'image': ['a.png'], 'zhu5': ['spiral']}).write(tmp_path / 'a.csv')
    recipe = finetuning_recipe('dieleman.gz2', tmp_path / 'a.csv', schema='zhu5')
    (task,) = recipe.tasks.values()
    assert (task.data.kind, task.loss.name) == ('classes', 'cross_entropy')


class TestHeads:
    def test_questions_after_attributes_are_a_tree(self, tmp_path):
        card = make_weights(tmp_path, 'efigi', 'interval', 'interval')
        recipe = finetuning_recipe(card, 'a.csv', schema='zhu5', kind='classes')
        head = MorphologyModule(recipe).network_of('zhu5').head
        assert type(head).__name__ == 'SoftmaxTreeHead'

    @pytest.mark.parametrize(
        ('schema', 'head', 'kind'),
        [('efigi', 'interval', 'attributes'), ('gz2', 'dirichlet', 'counts')],
    )
    def test_spread_is_trained_further(self, tmp_path, schema, head, kind):
        card = make_weights(tmp_path, schema, head, head)
        recipe = finetuning_recipe(card, 'a.csv', kind=kind)
        assert recipe.tasks[schema].loss.name == head
