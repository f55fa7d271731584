# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the step from a network to weights and their card."""

import pytest
import torch

from galmorph import MorphologyClassifier, Recipe, create_network, load_card
from galmorph.exceptions import WeightsError
from galmorph.schemas import load_schema
from galmorph.training.module import MorphologyModule
from galmorph.training.publish import save_network, save_trained
from galmorph.weights import load_weights
from tests.helpers.recipes import make_recipe
from tests.helpers.tiny import draw_stamps

OPTIONS = {'stem': 4, 'widths': [8], 'depths': [1]}


def make_network(schema='gz2'):
    structure = load_schema(schema).structure
    return create_network('compact', structure=structure, **OPTIONS)


def save(folder, network=None, **changes):
    settings = {
        'architecture': {'name': 'compact', 'options': OPTIONS},
        'schema': 'gz2',
        'recipe': Recipe(),
        **changes,
    }
    return save_network(network or make_network(), folder, 'mine', **settings)


class TestSaveNetwork:
    def test_classifier_has_the_same_weights(self, tmp_path):
        network = make_network()
        card = save(tmp_path / 'new', network, precision='float32')
        loaded = MorphologyClassifier(card, 'cpu').engine.network.state_dict()
        for name, tensor in network.state_dict().items():
            assert torch.equal(loaded[name], tensor)

    def test_entries_of_the_card(self, tmp_path):
        card = load_card(
            save(tmp_path, licence='CC0-1.0', limits=['Small.'], training={'n': 3})
        )
        assert (card.licence, card.limits, card.training) == (
            'CC0-1.0', ['Small.'], {'n': 3},
        )  # fmt: skip
        assert card.supported_questions == list(load_schema('gz2').names)

    def test_attributes_are_supported(self, tmp_path):
        card = save(tmp_path, make_network('efigi'), schema='efigi')
        assert 't_type' in load_card(card).supported_questions

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'licence': 3}, "'licence' must be text"),
            ({'colour': 'red'}, "unknown key 'colour'"),
            ({'supported_questions': ['arms']}, "names 'arms'"),
            ({'architecture': {'name': 'kompact'}}, "unknown network 'kompact'"),
        ],
    )
    def test_leaves_no_weights_without_a_card(self, tmp_path, changes, message):
        with pytest.raises(WeightsError, match=message):
            save(tmp_path, **changes)
        assert list(tmp_path.iterdir()) == []

    def test_network_that_burst(self, tmp_path):
        network = make_network()
        network.output.bias.data[0] = torch.nan
        with pytest.raises(WeightsError, match=r"'output\.bias' hold values that are"):
            save(tmp_path, network)


class TestSaveTrained:
    def test_card_has_what_the_recipe_says(self, tmp_path):
        recipe = make_recipe(
            title='Small', reference='Us 2026', precision_stored='float32',
            card={'licence': 'BSD-3-Clause'},
        )  # fmt: skip
        module = MorphologyModule(recipe)
        path = save_trained(module, tmp_path, training={'n_train': 7})
        card = load_card(path)
        assert (card.name, card.title, card.licence) == (
            'small',
            'Small',
            'BSD-3-Clause',
        )
        assert card.network['options'] == OPTIONS
        assert card.training['reference'] == 'Us 2026'
        assert card.training['n_train'] == 7
        stored = load_weights(tmp_path / card.file)
        name = 'trunk.stem.conv.weight'
        assert torch.equal(stored[name], module.networks['gz2'].state_dict()[name])

    def test_task_with_a_head_of_attributes(self, tmp_path):
        task = {'schema': 'efigi', 'head': 'regression', 'data': 'efigi', 'loss': 'mse'}
        module = MorphologyModule(make_recipe(tasks={'efigi': task})).eval()
        card = save_trained(module, tmp_path)
        options = load_card(card).network['options']
        assert options['head'] == 'regression'
        assert options['head_options']['offset'][0] == 2.5
        table = MorphologyClassifier(card, 'cpu').predict(list(draw_stamps(1)))
        assert -6 <= table['t_type'][0] <= 11
