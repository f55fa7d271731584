# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the module that Lightning trains."""

import numpy as np
import pytest
import torch

from galmorph.exceptions import RecipeError
from galmorph.networks import register_network, registry
from galmorph.schemas import load_schema
from galmorph.training.building import (
    build_networks,
    network_options,
    own_network,
    pixels_of,
)
from galmorph.training.module import MorphologyModule
from tests.helpers.predictions import draw_paths
from tests.helpers.recipes import make_recipe

TWO = {
    'gz2': {'schema': 'gz2', 'head': 'softmax', 'data': 'gz2', 'loss': 'mse'},
    'zhu5': {
        'schema': 'zhu5',
        'head': 'softmax',
        'data': 'gz2',
        'loss': 'cross_entropy',
        'weight': 0.5,
    },
}


def make_module(recipe):
    """Make a module that has no trainer to log to."""
    module = MorphologyModule(recipe)
    module.log = lambda *_, **__: None
    return module


def make_batch(n=4, n_channel=3, size=32):
    views = torch.rand(n, 1, n_channel, size, size)
    return {'views': views, 'target': torch.tensor(draw_paths(n)).float()}


def make_classes(n=4, size=32):
    classes = torch.eye(5)[torch.arange(n) % 5]
    return {'views': torch.rand(n, 1, 3, size, size), 'target': classes}


class TestSteps:
    def test_loss_of_a_task_is_that_of_its_network(self):
        module = make_module(make_recipe()).eval()
        batch = make_batch()
        loss = module.training_step({'gz2': batch})
        answers = module.networks['gz2'](batch['views'])
        assert loss.item() == pytest.approx(
            (answers - batch['target']).square().mean().item(), rel=1e-5
        )

    def test_losses_of_tasks_are_weighted(self):
        module = make_module(make_recipe(tasks=TWO)).eval()
        votes, classes = make_batch(), make_classes()
        total = module.training_step({'gz2': votes, 'zhu5': classes})
        expected = module.training_step({'gz2': votes})
        expected = expected + module.training_step({'zhu5': classes})
        assert total.item() == pytest.approx(expected.item(), rel=1e-5)

    def test_views_of_all_tasks_go_through_the_trunk_together(self):
        module = make_module(make_recipe(tasks=TWO))
        seen = []
        module.networks['gz2'].trunk.register_forward_hook(
            lambda _, inputs, __: seen.append(len(inputs[0]))
        )
        module.training_step({'gz2': make_batch(3), 'zhu5': make_classes(2)})
        assert seen == [5]

    def test_views_of_several_labels_go_through_the_trunk_once(self):
        tasks = {**TWO, 'zhu5': {**TWO['zhu5'], 'images_of': 'gz2'}}
        module = make_module(make_recipe(tasks=tasks))
        seen = []
        module.networks['gz2'].trunk.register_forward_hook(
            lambda _, inputs, __: seen.append(len(inputs[0]))
        )
        votes, classes = make_batch(3), make_classes(3)
        module.training_step(
            {'gz2': votes, 'zhu5': {**classes, 'views': votes['views']}}
        )
        assert seen == [3]
        module.eval()
        shared = module.training_step(
            {'gz2': votes, 'zhu5': {**classes, 'views': votes['views']}}
        )
        apart = module.training_step(
            {'gz2': votes, 'zhu5': {**classes, 'views': votes['views'].clone()}}
        )
        assert shared.item() == pytest.approx(apart.item(), rel=1e-5)

    def test_first_steps_see_the_raw_outputs(self):
        recipe = make_recipe(unconstrained_steps=5)
        module = make_module(recipe).eval()
        batch = make_batch()
        raw = module.networks['gz2'].raw(batch['views']).clamp(0, 1)
        expected = (raw - batch['target']).square().mean().item()
        assert module.training_step({'gz2': batch}).item() == pytest.approx(
            expected, rel=1e-5
        )

    def test_other_labels_train_the_same_head(self):
        tasks = {'gz2': TWO['gz2'], 'more': {**TWO['gz2'], 'head_of': 'gz2'}}
        module = make_module(make_recipe(tasks=tasks))
        assert list(module.networks) == ['gz2']
        assert module.network_of('more') is module.networks['gz2']

    def test_interval_loss_gets_the_spread(self):
        task = {
            'schema': 'efigi',
            'head': 'interval',
            'data': 'efigi',
            'loss': 'interval',
        }
        module = make_module(make_recipe(tasks={'efigi': task})).eval()
        schema = load_schema('efigi')
        middle = torch.tensor([(a.low + a.high) / 2 for a in schema.attributes])
        batch = make_batch() | {'target': middle.expand(4, -1)}
        spread = module._outputs({'efigi': batch})['efigi']['spread']
        assert spread.shape == (4, 17)
        # Offset by the middle of the scales, it begins close to it.
        answers = module(batch['views'])
        assert (answers - middle).abs().max() < 1
        assert module.training_step({'efigi': batch}).isfinite()


class TestOptimisers:
    def test_only_matrices_decay(self):
        recipe = make_recipe(
            optimiser={'weight_decay': 0.1, 'lr': 0.01, 'head_lr': 1.0}
        )
        optimiser = MorphologyModule(recipe).configure_optimizers()['optimizer']
        groups = {
            (group['initial_lr'], group['weight_decay']): group['params']
            for group in optimiser.param_groups
        }
        assert sorted(groups) == [(0.01, 0.0), (0.01, 0.1), (1.0, 0.0), (1.0, 0.1)]
        assert all(p.ndim >= 2 for p in groups[1.0, 0.1])
        assert all(p.ndim == 1 for p in groups[0.01, 0.0])

    @pytest.mark.parametrize('name', ['head', 'output'])
    def test_name_of_a_task_is_no_layer(self, name):
        def groups_of(task):
            recipe = make_recipe(
                tasks={task: {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}},
                optimiser={'lr': 0.01, 'head_lr': 1.0},
            )
            optimiser = MorphologyModule(recipe).configure_optimizers()['optimizer']
            return [(g['initial_lr'], len(g['params'])) for g in optimiser.param_groups]

        assert groups_of(name) == groups_of('votes')

    @pytest.mark.parametrize('name', ['adam', 'adamw', 'sgd'])
    def test_makes_each(self, name):
        recipe = make_recipe(optimiser={'name': name, 'momentum': 0.0})
        optimiser = MorphologyModule(recipe).configure_optimizers()['optimizer']
        assert type(optimiser).__name__.lower() == name

    def test_nesterov_step_is_that_of_dieleman(self):
        # v <- 0.9 v - lr g; w <- w + 0.9 v - lr g
        recipe = make_recipe(
            optimiser={'name': 'sgd', 'lr': 0.1},
            schedule='constant',
            channels_last=False,
        )
        module = MorphologyModule(recipe)
        optimiser = module.configure_optimizers()['optimizer']
        weight = module.networks['gz2'].output.bias
        w, v = weight.detach().numpy().astype(float), 0.0
        for gradient in (1.0, -0.5, 2.0):
            optimiser.zero_grad()
            weight.grad = torch.full_like(weight, gradient)
            optimiser.step()
            v = 0.9 * v - 0.1 * gradient
            w = w + 0.9 * v - 0.1 * gradient
        np.testing.assert_allclose(weight.detach(), w, rtol=1e-5)

    def test_frozen_layers_stay_in_evaluation(self):
        recipe = make_recipe(freeze=['*', '!output.*'])
        module = MorphologyModule(recipe).train()
        network = module.networks['gz2']
        assert not network.trunk.stem.norm.training
        assert network.output.training
        trained = {n for n, p in network.named_parameters() if p.requires_grad}
        assert trained == {'output.weight', 'output.bias'}

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'freeze': ['stump.*']}, "'freeze' names 'stump"),
            ({'norm_constraint': {'stump': 0.4}}, "'norm_constraint' names 'stump'"),
            ({'network': 'kompact'}, "there is no network 'kompact'"),
            ({'network.options.widht': 3}, 'unexpected keyword'),
            ({'tasks.gz2.loss': 'dice'}, "'loss' of the task 'gz2': unknown loss"),
            ({'tasks.gz2.head': 'hydra'}, 'hydra'),
            ({'tasks.gz2.head': 'divisive', 'tasks.gz2.loss': 'question'}, 'source'),
            ({'tasks.gz2.loss': 'dirichlet'}, "needs the 'head' 'dirichlet'"),
            ({'tasks.gz2.head': 'regression'}, 'cannot answer'),
            ({'tasks.gz2.schema': 'efigi'}, "must be 'regression' or 'interval'"),
        ],
    )
    def test_names_what_does_not_exist(self, changes, message):
        with pytest.raises(RecipeError, match=message):
            MorphologyModule(make_recipe().override(changes))


class TestBuilding:
    def test_weights_depend_on_the_seed_alone(self):
        torch.manual_seed(5)
        one = build_networks(make_recipe(seed=3))['gz2'].state_dict()
        torch.manual_seed(6)
        two = build_networks(make_recipe(seed=3))['gz2'].state_dict()
        other = build_networks(make_recipe(seed=4))['gz2'].state_dict()
        name = 'trunk.stem.conv.weight'
        assert torch.equal(one[name], two[name])
        assert not torch.equal(one[name], other[name])

    def test_grey_task_has_the_sum_of_the_filters(self):
        grey = {
            'schema': 'gz_ceers',
            'head': 'softmax',
            'data': 'ceers',
            'loss': 'multinomial',
            'pixels': {
                'bands': ['F200W'],
                'surface_brightness': [1.0],
                'mean': [0.0],
                'std': [1.0],
            },
        }
        recipe = make_recipe(tasks={'gz2': TWO['gz2'], 'ceers': grey})
        module = make_module(recipe).eval()
        batch = make_batch(n_channel=1)
        shared = module._outputs({'ceers': batch})['ceers']['answers']
        own = own_network(recipe, 'ceers', module.networks['ceers']).eval()
        assert network_options(recipe, 'ceers')['n_channels'] == 1
        assert len(pixels_of(recipe, 'ceers').bands) == 1
        torch.testing.assert_close(own(batch['views']), shared)


class Flat(torch.nn.Module):
    """A network of a user, that gives probabilities and nothing else."""

    def __init__(self, structure, width=3):
        super().__init__()
        self.layer = torch.nn.Linear(width, structure[-1][1])

    def forward(self, views):
        return self.layer(views.mean((1, 3, 4))).sigmoid()


class Headed(Flat):
    """One with raw outputs and a head of the user's own."""

    def __init__(self, structure):
        super().__init__(structure)
        self.head = torch.nn.Sigmoid()

    def raw(self, views):
        return self.layer(views.mean((1, 3, 4)))


class Oracle(Flat):
    """Reads the class from the views, and is certain."""

    def forward(self, views):
        classes = views[:, 0, 0, 0, 0].long()
        certain = torch.nn.functional.one_hot(classes, self.layer.out_features)
        return certain + 0 * super().forward(views)


class TestNetworkOfTheUser:
    @pytest.fixture(autouse=True)
    def networks(self, monkeypatch):
        monkeypatch.setattr(registry, '_registered', {})
        for kind in (Flat, Headed, Oracle):
            register_network(kind.__name__.lower(), kind)

    def test_is_trained_by_its_name(self):
        module = make_module(make_recipe(network='flat'))
        assert module.training_step({'gz2': make_batch()}).isfinite()

    def test_has_no_trunk_to_share(self):
        recipe = make_recipe(network='flat', tasks=TWO)
        recipe = recipe.override({'tasks.gz2.head': None, 'tasks.zhu5.head': None})
        with pytest.raises(RecipeError, match="'flat' has no trunk to share"):
            make_module(recipe)

    @pytest.mark.parametrize('loss', ['cross_entropy', 'question', 'distillation'])
    def test_perfect_probabilities_cost_nothing(self, loss):
        task = {'schema': 'zhu5', 'data': 'gz2', 'loss': loss}
        recipe = make_recipe(network='oracle', tasks={'zhu5': task})
        recipe = recipe.override(['tasks.zhu5.loss.options.source=answers'])
        batch = make_classes()
        batch['views'][:, 0, 0, 0, 0] = batch['target'].argmax(1).float()
        loss = make_module(recipe).training_step({'zhu5': batch})
        assert loss.item() == pytest.approx(0, abs=1e-6)

    @pytest.mark.parametrize(
        ('network', 'loss', 'message'),
        [
            ('flat', 'cross_entropy', 'Flat does not give; .* source: answers'),
            ('flat', 'question', 'Flat does not give; .* source: answers'),
            ('flat', 'dirichlet', "needs the 'head' 'dirichlet', and the network"),
            ('headed', 'cross_entropy', 'a Sigmoid, does not; .* source: answers'),
            ('headed', 'dirichlet', "needs the 'head' 'dirichlet', not a Sigmoid"),
        ],
    )
    def test_is_not_trained_on_a_softmax_of_probabilities(self, network, loss, message):
        task = {'schema': 'zhu5', 'data': 'gz2', 'loss': loss}
        with pytest.raises(RecipeError, match=message):
            make_module(make_recipe(network=network, tasks={'zhu5': task}))


ONE_BAND = {
    'bands': ['r'],
    'surface_brightness': [1.0],
    'mean': [0.0],
    'std': [1.0],
}


def test_first_task_may_have_fewer_bands():
    tasks = {'zhu5': {**TWO['zhu5'], 'pixels': ONE_BAND}, 'gz2': TWO['gz2']}
    module = make_module(make_recipe(tasks=tasks))
    assert module.networks['gz2'].trunk is module.networks['zhu5'].trunk
    grey, colour = make_batch(n_channel=1), make_batch()
    outputs = module._outputs({'zhu5': grey, 'gz2': colour})
    assert outputs['zhu5']['answers'].shape == (4, 5)
    assert outputs['gz2']['answers'].shape == (4, 37)


def test_colours_for_the_head_of_a_task_that_has_none():
    grey = {**TWO['gz2'], 'pixels': ONE_BAND}
    guest = {**TWO['gz2'], 'head': None, 'head_of': 'grey'}
    with pytest.raises(RecipeError, match="'guest': 'grey' has one band"):
        MorphologyModule(make_recipe(tasks={'grey': grey, 'guest': guest}))


def test_colours_of_a_task_that_has_none():
    tasks = {**TWO, 'zhu5': {**TWO['zhu5'], 'pixels': ONE_BAND}}
    recipe = make_recipe(tasks=tasks)
    recipe = recipe.override({'network.options.colour': 'hsv'})
    with pytest.raises(RecipeError, match=r"'zhu5' has \['r'\]"):
        MorphologyModule(recipe)
