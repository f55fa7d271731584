# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of batches: shares, sampling, repetition, and resuming in Lightning."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.table import Table

from galmorph.exceptions import GalmorphWarning
from galmorph.preprocessing.recipe import Recipe
from galmorph.training.augmentation import Augmentation
from galmorph.training.data.cache import build_cache
from galmorph.training.data.labels import Labels
from tests.helpers.tiny import draw_stamps

lightning = pytest.importorskip('lightning')
datamodule = pytest.importorskip('galmorph.training.data.datamodule')
GalaxyZooDataModule, TaskData = datamodule.GalaxyZooDataModule, datamodule.TaskData

RECIPE = Recipe(output_size=16, step=424 / 16 / 1.5, views=(0.0,))
STAMPS = draw_stamps(40, 24)


def make_task(n=40, labels=None, **options):
    if labels is None:
        labels = Labels('fractions', np.random.default_rng(1).random((n, 3)))
    return TaskData(STAMPS[:n], labels, RECIPE, **options)


def make_module(tasks=None, **options):
    tasks = {'one': make_task()} if tasks is None else tasks
    return GalaxyZooDataModule(tasks, **{'batch_size': 8, **options})


def indices(loader, task='one', n=None):
    batches = [batch for batch, _ in zip(loader, range(n or len(loader)), strict=False)]
    return [batch[task]['index'].tolist() for batch in batches]


class TestTaskData:
    def test_rows_that_are_of_use(self, tmp_path):
        values = np.ones((6, 3))
        values[1] = np.nan
        stamps = list(STAMPS[:6])
        stamps[4] = 'lost.png'
        with pytest.warns(GalmorphWarning, match='row 4'):
            cache = build_cache(stamps, RECIPE, tmp_path / 'cache')
        splits = ['train', 'train', 'valid', 'train', 'train', 'unlabelled']
        task = TaskData(cache, Labels('fractions', values), RECIPE, splits=splits)
        assert task.rows('train').tolist() == [0, 3]
        assert task.rows('valid').tolist() == [2]
        assert task.rows('test').tolist() == []

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'splits': ['train']}, 'splits has 1 rows, for 40 images'),
            ({'weights': np.ones(3)}, 'weights has 3 rows'),
            ({'sizes': [1] * u.pix}, 'sizes has 1 rows'),
            ({'share': 0}, 'share must be positive, not 0'),
            ({'sampling': 'random'}, "sampling must be one of .* not 'random'"),
            ({'sampling': np.ones(3)}, 'sampling must be 40 numbers from 0'),
            ({'sampling': np.full(40, -1)}, 'sampling must be 40 numbers from 0'),
        ],
    )
    def test_mistakes(self, options, message):
        with pytest.raises(ValueError, match=message):
            make_task(**options)

    def test_classes_of_votes_are_those_of_the_first_question(self):
        values = [[0.2, 0.8, 0.9], [0.6, 0.4, 0.1], [np.nan, np.nan, np.nan]]
        labels = Labels('fractions', values, structure=((0, 2, -1), (2, 3, 0)))
        assert make_task(3, labels).classes.tolist() == [1, 0, -1]

    def test_attributes_have_no_classes(self):
        labels = Labels('attributes', np.zeros((3, 2)))
        with pytest.raises(ValueError, match='give an array as sampling'):
            make_module({'a': make_task(3, labels, sampling='balanced')}, batch_size=1)


class TestSampling:
    def test_a_pass_shows_every_galaxy_once(self):
        data = make_module({'one': make_task(37)})
        assert data.pass_length == 5
        data.steps_per_epoch = 37
        shown = np.concatenate(indices(data.train_dataloader()))
        # 37 steps of 8 are 8 passes, whose borders are not those of batches.
        passes = shown.reshape(8, 37)
        assert (np.sort(passes, 1) == np.arange(37)).all()
        assert (passes[0] != passes[1]).any()

    def test_only_training_galaxies_are_shown(self):
        splits = np.where(np.arange(40) % 4, 'train', 'valid')
        data = make_module({'one': make_task(splits=splits)})
        shown = np.concatenate(indices(data.train_dataloader()))
        assert (shown % 4 > 0).all()
        validated = np.concatenate(indices(data.val_dataloader()))
        assert validated.tolist() == list(range(0, 40, 4))
        assert data.test_dataloader() == []

    def test_balanced(self):
        classes = np.repeat([0, 1, 2], [30, 8, 2])
        labels = Labels('classes', np.eye(3)[classes])
        data = make_module(
            {'one': make_task(labels=labels, sampling='balanced')}, steps_per_epoch=150
        )
        draws = data.train_dataloader().steps.draws['one']
        shown = classes[np.concatenate([draws.at(step) for step in range(1000)])]
        np.testing.assert_allclose(np.bincount(shown) / len(shown), 1 / 3, atol=0.02)

    def test_weighted(self):
        classes = np.repeat([0, 1], [30, 10])
        labels = Labels('classes', np.eye(2)[classes])
        data = make_module({'one': make_task(labels=labels, sampling='weighted')})
        batches = list(data.train_dataloader())
        weight = np.concatenate([batch['one']['weight'] for batch in batches])
        of_class = classes[np.concatenate([b['one']['index'] for b in batches])]
        np.testing.assert_allclose(weight, np.where(of_class == 0, 40 / 60, 2))
        assert weight.mean() == pytest.approx(1)

    def test_in_proportion(self):
        sampling = np.zeros(40)
        sampling[[3, 5]] = 1, 3
        data = make_module({'one': make_task(sampling=sampling)})
        draws = data.train_dataloader().steps.draws['one']
        shown = np.concatenate([draws.at(step) for step in range(500)])
        assert set(shown) == {3, 5}
        assert abs((shown == 5).mean() - 0.75) < 0.03

    def test_no_chance(self):
        with pytest.raises(ValueError, match='no training galaxy a chance'):
            make_module({'one': make_task(sampling=np.zeros(40))})


class TestTasks:
    @pytest.mark.parametrize(
        ('shares', 'batch_size', 'counts'),
        [
            ((1, 1), 8, [4, 4]),
            ((3, 1), 8, [6, 2]),
            ((100, 1), 4, [3, 1]),
            ((1, 1, 1), 8, [3, 3, 2]),
        ],
    )
    def test_shares(self, shares, batch_size, counts):
        tasks = {f't{i}': make_task(share=share) for i, share in enumerate(shares)}
        data = make_module(tasks, batch_size=batch_size)
        batch = next(iter(data.train_dataloader()))
        found = [len(part['index']) for part in batch.values()]
        assert sorted(found, reverse=True) == counts

    def test_tasks_draw_apart(self):
        batch = next(
            iter(make_module({'a': make_task(), 'b': make_task()}).train_dataloader())
        )
        assert batch['a']['index'].tolist() != batch['b']['index'].tolist()
        assert batch['a']['seed'] != batch['b']['seed']

    def test_validation_shows_one_task_a_batch(self):
        splits = ['valid'] * 11 + ['train'] * 29
        tasks = {name: make_task(splits=splits) for name in 'ab'}
        batches = list(make_module(tasks).val_dataloader())
        assert [list(batch) for batch in batches] == [['a'], ['a'], ['b'], ['b']]

    def test_too_many_tasks(self):
        with pytest.raises(ValueError, match='at least the number of tasks, 2'):
            make_module({'a': make_task(), 'b': make_task()}, batch_size=1)

    def test_task_without_training_galaxies(self):
        data = make_module({'a': make_task(splits=['test'] * 40)})
        assert len(data.test_dataloader()) == 5
        with pytest.raises(ValueError, match="'a' has no training galaxy"):
            data.train_dataloader()

    def test_what_a_recipe_asks_for(self):
        splits = ['valid'] * 11 + ['train'] * 29
        table = Table({'image': [f'{i}.jpg' for i in range(40)]})
        data = make_module({'a': make_task(splits=splits, table=table)})
        assert data.kinds == {'a': 'fractions'}
        assert data.describe('a') == {'n_train': 29, 'n_valid': 11}
        rows, labels = data.labelled('a', 'valid')
        assert rows['image'].tolist() == [f'{i}.jpg' for i in range(11)]
        assert len(labels) == 11
        rows, _ = make_module().labelled('one', 'train')
        np.testing.assert_array_equal(rows['image'], STAMPS)


class TestImagesOfAnotherTask:
    def make(self, **options):
        augmentation = Augmentation.preset('dieleman')
        splits = ['valid'] * 8 + ['train'] * 32
        host = make_task(augmentation=augmentation, splits=splits)
        values = np.random.default_rng(2).uniform(0, 0.4, (40, 2))
        values[10] = np.nan
        guest = Labels('attributes', values, mirrored=((1, 1.0),))
        options = {'splits': splits, 'augmentation': augmentation, **options}
        guest = make_task(labels=guest, images_of='host', **options)
        return make_module({'host': host, 'guest': guest}), values

    def test_one_view_and_two_labels(self):
        data, values = self.make()
        batch = next(iter(data.train_dataloader()))
        shown = batch['guest']
        rows = batch['host']['index']
        # The batch is all the host's; the sense of the arms follows the views.
        assert len(rows) == 8
        assert 0 < shown['is_mirrored'].sum() < 8
        expected = torch.tensor(values, dtype=torch.float32)[rows]
        mirrored = shown['is_mirrored']
        expected[mirrored, 1] = 1 - expected[mirrored, 1]
        np.testing.assert_array_equal(shown['target'], expected)
        rendered = data.on_after_batch_transfer(batch, 0)
        assert rendered['guest']['views'] is rendered['host']['views']

    def test_what_is_not_to_be_learnt_is_unknown(self):
        splits = ['valid'] * 8 + ['test'] * 16 + ['train'] * 16
        data, _ = self.make(splits=splits)
        loader = data.train_dataloader()
        batches = [batch for batch, _ in zip(loader, range(4), strict=False)]
        rows = torch.cat([batch['guest']['index'] for batch in batches])
        known = torch.cat([batch['guest']['target'] for batch in batches]).isfinite()
        assert sorted(rows.tolist()) == list(range(8, 40))
        assert (known.all(1) == (rows >= 24)).all()

    def test_each_is_validated_by_its_own(self):
        data, _ = self.make()
        names = [list(batch) for batch in data.val_dataloader()]
        assert names == [['host'], ['guest']]

    def test_mistakes(self):
        guest = make_task(images_of='lost')
        with pytest.raises(ValueError, match=r"one of \['host'\], not 'lost'"):
            make_module({'host': make_task(), 'guest': guest})
        guest = make_task(30, images_of='host')
        with pytest.raises(ValueError, match="'guest' must have the images"):
            make_module({'host': make_task(), 'guest': guest})
        guest = make_task(images_of='host', splits=['test'] * 40)
        data = make_module({'host': make_task(), 'guest': guest})
        with pytest.raises(ValueError, match="'guest' has no training galaxy"):
            data.train_dataloader()


class TestRepetition:
    def make(self, **options):
        task = make_task(augmentation=Augmentation.preset('dieleman'))
        return make_module({'one': task}, **options)

    def rendered(self, data, loader, n):
        batches = [batch for batch, _ in zip(loader, range(n), strict=False)]
        return [data.on_after_batch_transfer(b, 0)['one']['views'] for b in batches]

    def test_same_seed_same_views(self):
        first, second = (
            self.rendered(data, data.train_dataloader(), 3)
            for data in (self.make(), self.make())
        )
        for a, b in zip(first, second, strict=True):
            assert torch.equal(a, b)
        assert not torch.equal(first[0], first[1])

    def test_other_seed_other_views(self):
        first, second = (
            self.rendered(data, data.train_dataloader(), 1)[0]
            for data in (self.make(), self.make(seed=1))
        )
        assert not torch.equal(first, second)

    def test_goes_on_from_a_state(self):
        data = self.make()
        whole = self.rendered(data, data.train_dataloader(), 5)
        loader = data.train_dataloader()
        iterator = iter(loader)
        next(iterator), next(iterator)
        state = loader.state_dict()
        again = self.make().train_dataloader()
        again.load_state_dict(state)
        for wanted, found in zip(whole[2:], self.rendered(data, again, 3), strict=True):
            assert torch.equal(wanted, found)

    def test_validation_is_not_random(self):
        task = make_task(
            splits=['valid', 'train'] * 20,
            augmentation=Augmentation.preset('dieleman'),
        )
        data = make_module({'one': task})
        first, second = (
            self.rendered(data, data.val_dataloader(), 1)[0] for _ in range(2)
        )
        assert torch.equal(first, second)

    def test_processes_make_no_difference(self):
        with warnings.catch_warnings():
            # Of processes that fork where there are threads.
            warnings.simplefilter('ignore', DeprecationWarning)
            data = self.make(n_workers=1)
            found = self.rendered(data, data.train_dataloader(), 2)
        data = self.make()
        for a, b in zip(found, self.rendered(data, data.train_dataloader(), 2),
                        strict=True):  # fmt: skip
            assert torch.equal(a, b)


class Recorder(lightning.LightningModule):
    """Notes what it is shown, and may stop in the middle."""

    def __init__(self, stop=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.shown, self.stop = [], stop

    def training_step(self, batch):
        part = batch['one']
        self.shown.append((part['index'].tolist(), part['views'].sum().item()))
        if self.global_step + 1 == self.stop:
            self.trainer.should_stop = True
        return (self.weight - part['views'].mean()) ** 2

    def validation_step(self, batch):
        assert batch['one']['views'].shape[1:] == (1, 3, 16, 16)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.1)


class TestLightning:
    def fit(self, module, folder, *, max_epochs=3, checkpoint=None, **options):
        trainer = lightning.Trainer(
            accelerator='cpu', devices=1, max_epochs=max_epochs, logger=False,
            enable_checkpointing=False, enable_progress_bar=False,
            enable_model_summary=False, default_root_dir=folder,
            num_sanity_val_steps=0, **options,
        )  # fmt: skip
        task = make_task(
            splits=['valid'] * 5 + ['train'] * 35,
            augmentation=Augmentation.preset('dieleman'),
        )
        data = make_module({'one': task})
        with warnings.catch_warnings():
            # What Lightning would advise.
            warnings.simplefilter('ignore')
            trainer.fit(module, data, ckpt_path=checkpoint)
        return trainer

    @pytest.fixture
    def whole(self, tmp_path):
        module = Recorder()
        self.fit(module, tmp_path)
        return module

    def test_epochs_follow_each_other(self, whole):
        assert len(whole.shown) == 15
        assert len({tuple(rows) for rows, _ in whole.shown}) == 15

    def test_continues_after_an_epoch(self, whole, tmp_path):
        first, second = Recorder(), Recorder()
        trainer = self.fit(first, tmp_path, max_epochs=1)
        trainer.save_checkpoint(tmp_path / 'a.ckpt')
        self.fit(second, tmp_path, checkpoint=tmp_path / 'a.ckpt')
        assert first.shown + second.shown == whole.shown
        assert second.weight == whole.weight

    def test_continues_in_the_middle_of_an_epoch(self, whole, tmp_path):
        class Saver(lightning.Callback):
            def on_train_batch_end(self, trainer, module, *args):
                if trainer.global_step == 7:
                    trainer.save_checkpoint(tmp_path / 'b.ckpt')

        self.fit(Recorder(), tmp_path, max_epochs=2, callbacks=[Saver()])
        second = Recorder()
        self.fit(second, tmp_path, checkpoint=tmp_path / 'b.ckpt')
        assert second.shown == whole.shown[7:]
        assert second.weight == whole.weight

    @pytest.mark.parametrize('limit', [3, 12])
    def test_length_of_an_epoch_is_the_trainers(self, whole, tmp_path, limit):
        module = Recorder()
        self.fit(module, tmp_path, max_epochs=-1, max_steps=15,
                 limit_train_batches=limit)  # fmt: skip
        assert module.shown == whole.shown


def test_every_device_needs_a_galaxy_to_validate():
    module = make_module({'one': make_task(splits=['train'] * 37 + ['valid'] * 3)})
    module.trainer = SimpleNamespace(global_rank=1, world_size=3)
    assert indices(module.val_dataloader()) == [[38]]
    module.trainer = SimpleNamespace(global_rank=1, world_size=4)
    with pytest.raises(ValueError, match=r"needs 4 'valid' .* has 3; take fewer"):
        module.val_dataloader()
    # Without any nobody waits.
    assert module.test_dataloader() == []


def test_every_task_needs_a_galaxy_a_device():
    splits = ['train'] * 30 + ['valid'] * 10
    few = make_task(splits=['train'] * 39 + ['valid'])
    module = make_module({'many': make_task(splits=splits), 'few': few})
    module.trainer = SimpleNamespace(global_rank=0, world_size=2)
    with pytest.raises(ValueError, match=r"'few' needs 2 'valid' .* has 1; take"):
        module.val_dataloader()


@pytest.mark.parametrize(('n_valid', 'world'), [(17, 2), (9, 4), (3, 2), (33, 4)])
def test_devices_have_as_many_batches_to_validate(n_valid, world):
    splits = ['train'] * (40 - n_valid) + ['valid'] * n_valid
    module = make_module({'one': make_task(splits=splits)})
    shown = []
    for rank in range(world):
        module.trainer = SimpleNamespace(global_rank=rank, world_size=world)
        shown.append(indices(module.val_dataloader()))
    assert len({len(batches) for batches in shown}) == 1
    assert all(batch for batches in shown for batch in batches)
    rows = sorted(row for batches in shown for batch in batches for row in batch)
    assert rows == list(range(40 - n_valid, 40))
