# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of learning from images without labels, by comparing two views of each."""

import lightning
import numpy as np
import pytest
import torch
from astropy.table import Table
from PIL import Image

from galmorph import load_card, load_schema
from galmorph.cli import main
from galmorph.exceptions import RecipeError
from galmorph.training import GalaxyZooDataModule, Labels, TaskData, fit
from galmorph.training.augmentation import Augmentation
from galmorph.training.data.assembling import create_datamodule
from galmorph.training.data.reading import read_tasks
from galmorph.training.finetuning import finetuning_recipe
from galmorph.training.losses import VICRegLoss, create_loss
from galmorph.training.module import MorphologyModule
from galmorph.weights import load_weights
from tests.helpers.recipes import make_recipe
from tests.helpers.tiny import draw_stamps
from tests.helpers.training import make_path_fractions

TREE = load_schema('gz2')
VIEWS = {
    'schema': 'gz2',
    'data': {'table': 'galaxies.csv', 'split': 'part'},
    'loss': {'name': 'vicreg', 'options': {'expander': [8, 8]}},
}


def make_pretraining(**changes):
    return make_recipe(tasks={'gz2': VIEWS}, augmentation='dieleman', **changes)


@pytest.fixture
def unlabelled(tmp_path):
    """Write galaxies without labels; two validate, one is in no split."""
    names = [f'g{row}.png' for row in range(12)]
    for name, stamp in zip(names, draw_stamps(12), strict=True):
        Image.fromarray(stamp).save(tmp_path / name)
    parts = ['valid'] * 2 + [''] + ['train'] * 9
    Table({'image': names, 'part': parts}).write(tmp_path / 'galaxies.csv')
    return tmp_path


def reference(first, second, weights=(25, 25, 1)):
    """Equations 1 to 6 of Bardes et al. (2022), by numpy's own statistics."""
    value = weights[0] * np.mean((first - second) ** 2)
    for view in (first, second):
        spread = np.sqrt(np.var(view, axis=0, ddof=1) + 1e-4)
        matrix = np.cov(view, rowvar=False)
        off = matrix - np.diag(np.diag(matrix))
        value += weights[1] * np.mean(np.maximum(0, 1 - spread))
        value += weights[2] * np.sum(off**2) / len(off)
    return value


class TestVICReg:
    def loss(self, features, **options):
        loss = VICRegLoss(TREE, expander=(), **options)
        return loss({'features': torch.as_tensor(features)}, {})

    def test_equations_of_the_paper(self):
        features = np.random.default_rng(1).normal(0, 0.8, (14, 5))
        expected = reference(features[::2], features[1::2])
        assert self.loss(features).item() == pytest.approx(expected)

    def test_alike_views_of_spread_features_cost_nothing(self):
        # Orthogonal columns of mean zero and variance above one.
        columns = np.array([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1.0]])
        assert self.loss(np.repeat(columns, 2, axis=0)).item() == pytest.approx(0)

    def test_features_that_have_collapsed_cost_the_variance(self):
        assert self.loss(np.ones((8, 3))).item() == pytest.approx(2 * 25 * 0.99)

    def test_gradients_are_those_of_finite_differences(self):
        loss = VICRegLoss(TREE, n_features=3, expander=(4, 4)).double()
        features = torch.rand(8, 3, dtype=torch.float64, requires_grad=True)
        assert torch.autograd.gradcheck(lambda f: loss({'features': f}, {}), features)

    def test_collapsed_features_have_a_finite_gradient(self):
        features = torch.ones(6, 3, requires_grad=True)
        VICRegLoss(TREE, expander=())({'features': features}, {}).backward()
        assert features.grad.isfinite().all()

    def test_one_galaxy_has_no_spread(self):
        assert self.loss(np.array([[0.0, 0.0], [1.0, 0.0]])).item() == 12.5

    def test_half_precision_features_give_single_precision(self):
        assert self.loss(torch.rand(8, 3).bfloat16()).dtype == torch.float32

    def test_statistics_keep_single_precision_in_mixed_precision(self):
        features = 0.8 * torch.randn(64, 5, generator=torch.Generator().manual_seed(1))
        expected = reference(features[::2].numpy(), features[1::2].numpy())
        with torch.autocast('cpu', dtype=torch.bfloat16):
            found = self.loss(features).item()
        assert found == pytest.approx(expected, rel=1e-5)

    def test_expander_needs_to_know_its_input(self):
        with pytest.raises(ValueError, match='needs n_features'):
            create_loss('vicreg', 'gz2')

    @pytest.mark.parametrize('expander', [8, [8, 0], [8, 2.5], 'wide'])
    def test_expander_has_widths(self, expander):
        with pytest.raises(ValueError, match='list of positive whole numbers, not'):
            VICRegLoss(TREE, n_features=3, expander=expander)


class TestBatches:
    def make(self, n=9, **options):
        pixels = np.stack(list(draw_stamps(n)))
        labels = Labels('fractions', np.full((n, 37), np.nan))
        options = {'augmentation': Augmentation.preset('dieleman'), **options}
        return TaskData(pixels, labels, n_shown=2, **options)

    def test_galaxies_without_labels_are_shown_twice(self):
        data = GalaxyZooDataModule({'all': self.make()}, batch_size=6)
        batch = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
        rows = batch['all']['index']
        assert torch.equal(rows[::2], rows[1::2])
        assert len(set(rows.tolist())) == 3
        views = batch['all']['views']
        assert not torch.allclose(views[::2], views[1::2], atol=0.01)
        assert data.pass_length == 3

    def test_validation_compares_the_same_views_each_time(self):
        splits = ['train'] * 5 + ['valid'] * 4
        data = GalaxyZooDataModule({'all': self.make(splits=splits)}, batch_size=4)
        first, second = (list(data.val_dataloader()) for _ in range(2))
        shown = [data.on_after_batch_transfer(b, 0)['all']['views'] for b in first]
        again = [data.on_after_batch_transfer(b, 0)['all']['views'] for b in second]
        assert [len(views) for views in shown] == [4, 4]
        assert all(map(torch.equal, shown, again))
        assert not torch.allclose(shown[0][::2], shown[0][1::2], atol=0.01)

    def test_one_galaxy_a_batch_is_refused(self):
        # Nothing would keep features apart, and a low loss would look like success.
        with pytest.raises(ValueError, match=r'needs 2 galaxies .* has 1; enlarge'):
            GalaxyZooDataModule({'all': self.make()}, batch_size=3)

    def test_one_galaxy_to_validate_is_refused(self):
        data = self.make(splits=['train'] * 8 + ['valid'])
        with pytest.raises(ValueError, match="needs 2 'valid' galaxies"):
            GalaxyZooDataModule({'all': data}, batch_size=6).val_dataloader()

    @pytest.mark.parametrize('batch_size', [4, 6, 64])
    def test_batches_that_validate_have_galaxies_to_compare(self, batch_size):
        data = self.make(splits=['train'] * 4 + ['valid'] * 5)
        module = GalaxyZooDataModule({'all': data}, batch_size=batch_size)
        sizes = [len(batch['all']['index']) for batch in module.val_dataloader()]
        assert sum(sizes) == 10
        assert min(sizes) >= 4

    def test_views_without_augmentation_are_refused(self):
        with pytest.raises(ValueError, match='the same without augmentation'):
            self.make(augmentation=None)

    def test_cannot_share_the_views_of_another_task(self):
        known = Labels('fractions', np.full((9, 37), 0.5))
        other = TaskData(self.make().images, known)
        with pytest.raises(ValueError, match='shows each galaxy 2 times'):
            GalaxyZooDataModule({'gz2': other, 'all': self.make(images_of='gz2')})


class TestReading:
    def test_a_table_of_images_is_enough(self, unlabelled):
        source = read_tasks(make_pretraining(), unlabelled)['gz2']
        splits = np.asarray(source.table['split']).tolist()
        assert splits == ['valid'] * 2 + ['train'] * 10

    def test_check_says_so(self, unlabelled, capsys):
        path = unlabelled / 'recipe.yaml'
        path.write_text(make_pretraining().to_yaml(), 'utf-8')
        assert main(['train', str(path), '--data', str(unlabelled), '--check']) == 0
        out = capsys.readouterr().out
        assert out.strip() == 'gz2: images of 12 galaxies: 10 train, 2 valid'

    def test_what_validates_a_task_is_not_learnt_from_by_another(self, unlabelled):
        table = Table.read(unlabelled / 'galaxies.csv')
        for column, values in zip(TREE.columns, make_path_fractions(12).T, strict=True):
            table[column] = values
        table['part'] = ['train'] * 6 + ['valid'] * 6
        table.write(unlabelled / 'votes.csv')
        data = {'table': 'votes.csv', 'split': 'part'}
        tasks = {
            'gz2': {'schema': 'gz2', 'data': data, 'loss': 'mse'},
            'views': {**VIEWS, 'head_of': 'gz2'},
        }
        with pytest.raises(RecipeError, match=r"in 'train' of the task 'gz2'"):
            create_datamodule(make_recipe(tasks=tasks), unlabelled)

    def test_labels_are_not_looked_at(self, unlabelled):
        table = Table.read(unlabelled / 'galaxies.csv')
        table['Class1.1'] = 7.0
        table.write(unlabelled / 'galaxies.csv', overwrite=True)
        data = {**VIEWS['data'], 'labels': 'lost.csv'}
        tasks = {'gz2': {**VIEWS, 'data': data}}
        source = read_tasks(make_recipe(tasks=tasks), unlabelled)['gz2']
        assert not source.labels.is_known.any()

    @pytest.mark.parametrize('sampling', ['balanced', 'weighted'])
    def test_cannot_be_drawn_by_classes(self, sampling, unlabelled):
        recipe = make_recipe(tasks={'gz2': {**VIEWS, 'sampling': sampling}})
        with pytest.raises(RecipeError, match='images without labels have none'):
            read_tasks(recipe, unlabelled)

    def test_needs_an_augmentation(self, unlabelled):
        with pytest.raises(RecipeError, match=r"task 'gz2': 2 views .* 'dieleman'"):
            create_datamodule(
                make_recipe(tasks={'gz2': VIEWS}, augmentation='none'), unlabelled
            )

    def test_order_of_tasks_does_not_matter(self, kaggle):
        labelled = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        views = {'schema': 'gz2', 'data': 'gz2', 'loss': 'vicreg', 'head_of': 'votes'}
        recipe = make_recipe(tasks={'views': views, 'votes': labelled})
        assert list(read_tasks(recipe, kaggle)) == ['views', 'votes']

    def test_takes_no_teacher(self, unlabelled):
        recipe = make_pretraining().override({'tasks.gz2.teacher': 'dieleman.gz2'})
        with pytest.raises(RecipeError, match="needs no 'teacher'"):
            read_tasks(recipe, unlabelled)


class TestPretraining:
    @pytest.fixture
    def pretrained(self, unlabelled):
        options = {'data': unlabelled, 'accelerator': 'cpu'}
        return fit(make_pretraining(), output=unlabelled / 'run', **options)

    def test_loss_falls(self, unlabelled):
        recipe = make_pretraining(
            steps=40, validate_every=20, batch_size=12, optimiser={'lr': 1e-2}
        )
        options = {'data': unlabelled, 'accelerator': 'cpu', 'evaluate': False}
        log = fit(recipe, output=unlabelled / 'long', **options).log
        assert log['valid/loss'][1] < log['valid/loss'][0] - 1

    def test_card_supports_no_question(self, pretrained):
        card = load_card(pretrained.card)
        assert card.supported_questions == []
        assert not card.metrics
        assert card.training['n_train'] == 10

    def test_finetuning_learns_the_head_anew(self, pretrained):
        recipe = finetuning_recipe(pretrained.card, 'a.csv', kind='fractions')
        assert recipe.optimiser.head_lr > recipe.optimiser.lr

    def test_only_the_network_is_published(self, pretrained, unlabelled):
        state = load_weights(unlabelled / 'run' / load_card(pretrained.card).file)
        assert not any('expander' in name for name in state)

    def test_another_training_begins_from_it(self, pretrained, kaggle, tmp_path):
        recipe = make_recipe(steps=2, initialise=str(pretrained.card), ema=None)
        result = fit(recipe, data=kaggle, output=tmp_path / 'votes', accelerator='cpu')
        assert load_card(result.card).metrics['split'] == 'valid'

    def test_resumes_to_the_same_weights(self, pretrained, unlabelled, tmp_path):
        class Interrupt(lightning.Callback):
            def on_train_batch_start(self, trainer, *_):
                if trainer.global_step == 3:
                    raise InterruptedError

        options = {'data': unlabelled, 'output': tmp_path / 'cut'}
        options['accelerator'] = 'cpu'
        with pytest.raises(InterruptedError):
            fit(make_pretraining(), callbacks=[Interrupt()], **options)
        resumed = fit(make_pretraining(), **options)
        expected, found = (
            load_weights(result.folder / load_card(result.card).file)
            for result in (pretrained, resumed)
        )
        assert all(torch.equal(expected[name], found[name]) for name in expected)


class TestTogether:
    def test_beside_labels_on_one_trunk(self, kaggle, tmp_path):
        recipe = make_recipe(steps=4, batch_size=8).override(
            {
                'tasks.views': {
                    'schema': 'gz2',
                    'head_of': 'gz2',
                    'data': 'gz2',
                    'loss': 'vicreg',
                    'weight': 0.01,
                }
            }
        )
        options = {'output': tmp_path, 'accelerator': 'cpu', 'evaluate': False}
        log = fit(recipe, data=kaggle, **options).log
        assert np.isfinite(log['valid/views/loss']).all()
        assert np.isfinite(log['valid/gz2/rmse']).all()
        assert 'valid/views/rmse' not in log.colnames

    def test_network_without_features_is_refused(self):
        tasks = {'gz2': {'schema': 'gz2', 'data': 'gz2', 'loss': 'vicreg'}}
        recipe = make_recipe(tasks=tasks, network='dieleman', pixels={})
        with pytest.raises(RecipeError, match='compares features'):
            MorphologyModule(recipe)
