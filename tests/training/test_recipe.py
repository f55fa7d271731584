# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of training recipes."""

from pathlib import Path

import pytest
import yaml

from galmorph.exceptions import RecipeError
from galmorph.networks.ensemble import dieleman_ensemble
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.training.augmentation import Augmentation
from galmorph.training.data.layouts import list_layouts
from galmorph.training.losses import create_loss
from galmorph.training.parts import Schedule
from galmorph.training.recipe import TrainingRecipe, list_recipes, load_recipe

VARIANTS = [
    f'{name}/{variant}'
    for name in list_recipes()
    for variant in load_recipe(name).variants
]


def make(**changes):
    """Make a recipe that is right, but for the changes."""
    content = {
        'name': 'small',
        'steps': 10,
        'network': 'compact',
        'tasks': {'gz2': {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}},
    }
    return TrainingRecipe.from_dict({**content, **changes})


class TestBundledRecipes:
    @pytest.mark.parametrize('name', [*list_recipes(), *VARIANTS])
    def test_names_what_exists(self, name):
        recipe = load_recipe(name)
        for task in recipe.tasks.values():
            assert load_schema(task.schema).name == task.schema
            assert task.data.layout in {*list_layouts(), 'candels'}
            create_loss(task.loss.name, task.schema, **task.loss.options)
            Recipe.from_dict({**recipe.pixels, **task.pixels})
            for settings in (task.augmentation, recipe.augmentation):
                if isinstance(settings, str):
                    settings = {'preset': settings}
                Augmentation.from_dict(settings or {})
        monitored = recipe.monitor.split('/')
        assert monitored[0] == 'valid'
        assert monitored[1] in {'loss', *recipe.tasks}

    @pytest.mark.parametrize('name', list_recipes())
    def test_goes_through_yaml(self, name):
        recipe = load_recipe(name)
        again = TrainingRecipe.from_dict(yaml.safe_load(recipe.to_yaml()))
        assert again == recipe
        assert again.name == name

    def test_ensemble_is_that_of_the_paper(self):
        recipe = load_recipe('dieleman_2015_ensemble')
        members = [recipe.member(index) for index in range(17)]
        options = {
            m.name.removeprefix('dieleman_2015_'): m.network.options for m in members
        }
        assert options == dieleman_ensemble()
        recentred = [m.name for m in members if m.pixels.get('recentre')]
        assert recentred == [m.name for m in members if 'pysex' in m.name]
        assert len({member.seed for member in members}) == 17
        assert members[6].norm_constraint == {
            'every': 10,
            'dense.0': 0.4,
            'dense.1': 0.23,
        }

    @pytest.mark.parametrize('name', ['zhu_2019', 'uppsala_2018', 'brainstation_2019',
                                      'brainstation_2018_question'])  # fmt: skip
    def test_what_chooses_the_weights_does_not_measure_them(self, name):
        whole = load_recipe(name)
        for recipe in (whole, *map(whole.variant, whole.variants)):
            for task in recipe.tasks.values():
                train, valid, test = task.data.fractions
                assert valid == pytest.approx(0.1 * (train + valid))
                assert test in (0.1, 0.2)

    def test_rate_of_zhu_falls_when_the_paper_says(self):
        recipe = load_recipe('zhu_2019')
        rates = [
            recipe.optimiser.lr * recipe.schedule.factor_at(step, recipe.steps)
            for step in (0, 29_999, 30_001, 59_999, 60_001, 71_999)
        ]
        assert rates == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001, 0.001])

    def test_has_eight_runs_of_uppsala(self):
        published = {
            name: load_recipe(f'uppsala_2018/{name}').published['rmse']
            for name in load_recipe('uppsala_2018').variants
            if name != 'constrained'
        }
        assert len(published) == 8
        assert max(published, key=published.get) == '106_b32_hsv'


class TestChecks:
    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'stepps': 3}, "no key 'stepps'; did you mean 'steps'"),
            ({'steps': 'many'}, "'steps' of the recipe must be a whole number"),
            ({'steps': True}, "'steps' of the recipe must be a whole number"),
            ({'steps': None}, "needs either 'steps' or 'epochs'"),
            ({'epochs': 3}, "needs either 'steps' or 'epochs'"),
            ({'steps': 0}, "'steps' of the recipe must be positive, not 0"),
            ({'ema': 1.5}, "'ema' of the recipe must lie between 0 and 1"),
            ({'keep': 'worst'}, "'keep' of the recipe must be one of"),
            ({'tasks': {}}, "'tasks' of the recipe needs one task"),
            ({'tasks': [1]}, "'tasks' of the recipe must be a mapping"),
            ({'optimiser': {'name': 'lion'}}, "must be one of .*'sgd'.*not 'lion'"),
            ({'optimiser': {'lr': -1}}, "'lr' of 'optimiser' of the recipe must be"),
            ({'schedule': {'name': 'steps', 'at': [3]}}, 'within 0 and 1'),
            ({'variants': {'a': {'network.nome': 'x'}}}, "no key 'nome'"),
            ({'ensemble': ['b']}, "names the variant 'b'"),
        ],
    )
    def test_names_the_key(self, changes, message):
        with pytest.raises(RecipeError, match=message):
            make(**changes)

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (
                {'schema': None},
                "'schema' of 'gz2' in 'tasks' of the recipe must be text",
            ),
            ({'head_of': 'zhu5'}, "names 'zhu5', which has no head"),
            (
                {'share': 0},
                "'share' of 'gz2' in 'tasks' of the recipe must be positive",
            ),
            ({'data': {'fractions': [0.5, 0.2]}}, 'two or three parts of 1'),
            ({'teacher': {'n_transforms': 2}}, "either 'weights' or 'table'"),
        ],
    )
    def test_names_the_key_of_a_task(self, changes, message):
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse', **changes}
        with pytest.raises(RecipeError, match=message):
            make(tasks={'gz2': task})

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'images_of': 'gz3'}, "names 'gz3', which shows no images .*'gz2'"),
            ({'images_of': 'more'}, "names 'more', which shows no images"),
            ({'images_of': 'gz2', 'pixels': {'step': 2.0}}, "has other 'pixels'"),
        ],
    )
    def test_images_of_another_task(self, changes, message):
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        with pytest.raises(RecipeError, match=message):
            make(tasks={'gz2': task, 'more': {**task, **changes}})

    def test_task_draws_images_of_its_own_without_the_other(self):
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        recipe = make(tasks={'gz2': task, 'more': {**task, 'images_of': 'gz2'}})
        assert recipe.only(['gz2', 'more']).tasks['more'].images_of == 'gz2'
        assert recipe.only(['more']).tasks['more'].images_of is None

    def test_fewer_tasks_monitor_one_that_stays(self):
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        recipe = make(tasks={'gz2': task, 'more': task}, monitor='valid/more/rmse')
        assert recipe.only(['more']).monitor == 'valid/more/rmse'
        assert recipe.only(['gz2']).monitor == 'valid/loss'

    def test_fewer_tasks_are_some_that_are_there(self):
        with pytest.raises(RecipeError, match=r"one of \['gz2'\], not 'gz3'"):
            make().only(['gz2', 'gz3'])

    @pytest.mark.parametrize(
        ('monitor', 'mode', 'better'),
        [
            ('valid/gz2/accuracy', 'min', 'max'),
            ('valid/efigi/r2/t_type', 'min', 'max'),
            ('valid/gz2/rmse', 'max', 'min'),
            ('valid/loss', 'max', 'min'),
        ],
    )
    def test_mode_against_the_score(self, monitor, mode, better):
        with pytest.raises(RecipeError, match=f"'mode' .* must be '{better}' to"):
            make(monitor=monitor, mode=mode)
        assert make(monitor=monitor, mode=better).mode == better

    def test_fewer_tasks_leave_no_variant_that_cannot_be_made(self):
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        variants = {'heavy': {'tasks.more.weight': 2}, 'short': {'steps': 7}}
        recipe = make(tasks={'gz2': task, 'more': task}, variants=variants)
        assert list(recipe.only(['gz2', 'more']).variants) == ['heavy', 'short']
        fewer = recipe.only(['gz2']).override(['batch_size=3'])
        assert list(fewer.variants) == ['short']
        assert fewer.variant('short').steps == 7

    def test_fewer_tasks_keep_variants_and_members_that_can_be_made(self):
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        variants = {
            'heavy': {'tasks.gz2.weight': 2},
            'begun': {'initialise': {'more': 'dieleman.gz2'}},
        }
        ensemble = ['heavy', 'begun', {'tasks.more.weight': 2}, {'steps': 7}]
        recipe = make(
            tasks={'gz2': task, 'more': task}, variants=variants, ensemble=ensemble
        )
        fewer = recipe.only(['gz2']).override(['batch_size=3'])
        assert list(fewer.variants) == ['heavy']
        assert fewer.ensemble == ['heavy', {'steps': 7}]

    def test_task_stays_with_the_one_whose_head_it_trains(self):
        with pytest.raises(RecipeError, match="'stripe82' names 'gz2', which has no"):
            load_recipe('compact_multitask').only(['stripe82'])

    def test_missing_key(self):
        with pytest.raises(RecipeError, match="lacks the key 'loss'"):
            make(tasks={'gz2': {'schema': 'gz2', 'data': 'gz2'}})


class TestOverride:
    def test_texts_are_read_as_yaml(self):
        recipe = make().override(
            ['optimiser.lr=1e-3', 'tasks.gz2.loss.options.root=true', 'ema=null']
        )
        assert recipe.optimiser.lr == 1e-3
        assert recipe.tasks['gz2'].loss.name == 'mse'
        assert recipe.tasks['gz2'].loss.options == {'root': True}

    def test_steps_replace_epochs(self):
        recipe = make(steps=None, epochs=3).override(['steps=5'])
        assert (recipe.steps, recipe.epochs) == (5, None)

    def test_leaves_the_original_alone(self):
        recipe = make(pixels={'step': 2.0})
        changed = recipe.override({'pixels.step': 3.0})
        assert (recipe.pixels['step'], changed.pixels['step']) == (2.0, 3.0)

    def test_preset_of_an_augmentation_can_be_changed(self):
        recipe = make(augmentation='dieleman').override(['augmentation.shift=2'])
        assert recipe.augmentation == {'preset': 'dieleman', 'shift': 2}

    @pytest.mark.parametrize(
        ('text', 'message'),
        [
            ('optimiser.learning=1', "no key 'learning'"),
            ('optimiser', 'KEY=VALUE'),
            ('steps.more=3', "'steps' is 10"),
            ('steps=[', 'cannot be read as YAML'),
        ],
    )
    def test_names_what_is_wrong(self, text, message):
        with pytest.raises(RecipeError, match=message):
            make().override([text])


class TestLoadRecipe:
    def test_reads_a_file(self, tmp_path):
        path = tmp_path / 'mine.yaml'
        path.write_text(make().to_yaml())
        assert load_recipe(path) == make()

    def test_reads_a_file_in_a_folder_that_is_called_as_a_recipe(
        self, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        path = Path('zhu_2019', 'mine.yaml')
        path.parent.mkdir()
        path.write_text(make().to_yaml())
        assert load_recipe(path) == load_recipe('zhu_2019/mine.yaml') == make()
        assert load_recipe('zhu_2019/q180').name == 'zhu_2019_q180'

    def test_unknown_variant(self):
        with pytest.raises(RecipeError, match="no variant 'q22'; did you mean 'q220'"):
            load_recipe('zhu_2019/q22')

    def test_names_the_file(self, tmp_path):
        with pytest.raises(RecipeError, match=r'lost\.yaml.* cannot be read'):
            load_recipe(tmp_path / 'lost.yaml')
        (tmp_path / 'list.yaml').write_text('- 1')
        with pytest.raises(RecipeError, match=r'list\.yaml.* must be a mapping'):
            load_recipe(tmp_path / 'list.yaml')


class TestTestTime:
    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            (
                ['test.n_transforms=8'],
                r"is 8, .* 3 'zooms' \[0.8.*\]; .* multiple of 3",
            ),
            (['test.zooms=[1.0, -1.2]'], "'zooms' of 'test' .* positive numbers, not"),
            (['test.zooms=[]'], "'zooms' .* positive numbers"),
        ],
    )
    def test_zooms_share_the_transforms(self, changes, message):
        with pytest.raises(RecipeError, match=message):
            load_recipe('dieleman_2015').override(changes)

    def test_zooms_of_a_recipe_may_change_beside_its_variants(self):
        test = {'n_transforms': 3, 'zooms': [0.9, 1.0, 1.1]}
        assert load_recipe('zhu_2019').override({'test': test}).test.n_transforms == 3


class TestSchedule:
    def test_cosine_with_warmup(self):
        schedule = Schedule(name='cosine', warmup=10, floor=0.1)
        assert schedule.factor_at(0, 100) == pytest.approx(0.1)
        assert schedule.factor_at(50, 100) == pytest.approx(0.55)
        assert schedule.factor_at(100, 100) == pytest.approx(0.1)

    def test_constant(self):
        assert Schedule(name='constant').factor_at(99, 100) == 1


def test_every_recipe_answers_a_schema_with_its_questions():
    for name in list_recipes():
        for task in load_recipe(name).tasks.values():
            questions = getattr(load_schema(task.schema), 'questions', ())
            known = {question.name for question in questions}
            assert set(task.supported_questions or ()) <= known
