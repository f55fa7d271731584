# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of whole trainings, of tiny networks on pictures that are made up."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import lightning
import numpy as np
import pytest
import torch
import yaml
from astropy.table import Table
from PIL import Image

from galmorph import MorphologyClassifier, load_card, load_schema, register_weights
from galmorph.cli import main
from galmorph.exceptions import LabelError, RecipeError
from galmorph.training import fit, read_log
from galmorph.training.data.assembling import create_datamodule
from galmorph.training.data.seen import trained_on
from galmorph.training.evaluation import evaluate
from galmorph.training.fit import TrainingResult, count_steps
from galmorph.weights import load_weights, registry
from tests.helpers.recipes import (
    make_recipe,
    write_clear_kaggle,
    write_collections,
    write_weights,
)
from tests.helpers.tiny import draw_stamps

# A process that trains, and ends without a word after the third step.
KILLED = """
import os, sys
import lightning
from galmorph.training import fit
from tests.helpers.recipes import make_recipe

class Kill(lightning.Callback):
    def on_train_batch_end(self, trainer, *_):
        if trainer.global_step == 3:
            os._exit(9)

fit(make_recipe(patience=5), data=sys.argv[1], output=sys.argv[2],
    accelerator='cpu', callbacks=[Kill()])
"""


SMOOTH = load_schema('gz2/smooth_or_features')

# Its first validation is the best: patience ends it.
STALE = {'steps': 20, 'optimiser': {'lr': 1e-12}, 'freeze': ['*', '!output.*']}


# Its first is the best, too, since no training survives such a rate.
BEST_FIRST = {'optimiser': {'name': 'sgd', 'lr': 3.0}}


class Interrupt(lightning.Callback):
    def __init__(self, step):
        self.step = step

    def on_train_batch_start(self, trainer, *_):
        if trainer.global_step == self.step:
            raise InterruptedError


class Refuse(lightning.Callback):
    def on_train_batch_start(self, *_):
        pytest.fail('trained again')


@pytest.fixture(scope='module')
def trained(kaggle, tmp_path_factory):
    output = tmp_path_factory.mktemp('run')
    return fit(make_recipe(), data=kaggle, output=output, accelerator='cpu')


def weights_of(result):
    card = load_card(result.card)
    return load_weights(Path(result.card).parent / card.file)


class TestResult:
    def test_card_predicts(self, trained):
        classifier = MorphologyClassifier(trained.card, 'cpu')
        table = classifier.predict(list(draw_stamps(2)))
        path = [table[name][0] for name in classifier.schema.columns[:3]]
        assert np.sum(path) == pytest.approx(1, abs=1e-5)

    def test_card_says_what_was_done(self, trained):
        card = load_card(trained.card)
        assert card.name == 'small'
        assert card.schema == 'gz2'
        assert card.recipe['output_size'] == 32
        assert card.training['n_train'] == 27
        assert card.training['steps'] in (2, 4, 6)
        assert card.metrics['split'] == 'valid'
        assert card.metrics['n_galaxy'] == 3
        assert 'small' in card.summary()

    def test_measures_what_the_training_validated(self, trained):
        metrics = load_card(trained.card).metrics
        # The file has half the precision.
        assert metrics['rmse37']['value'] == pytest.approx(
            trained.metrics['valid/gz2/rmse'], abs=2e-3
        )

    def test_card_can_be_registered(self, trained, monkeypatch):
        monkeypatch.setattr(registry, '_registered', {})
        register_weights(trained.card)
        assert load_card('small').network['options']['widths'] == [8]

    def test_log_has_a_row_a_validation(self, trained):
        log = trained.log
        assert log['step'].tolist() == [2, 4, 6]
        assert {'train/loss', 'valid/loss', 'valid/gz2/rmse'} <= set(log.colnames)
        best = log['valid/loss'].min()
        assert trained.metrics['valid/loss'] == pytest.approx(best)

    def test_log_for_tensorboard(self, trained):
        pytest.importorskip('tensorboard')
        files = list((trained.folder / 'tensorboard').glob('events.*'))
        assert len(files) == 1
        assert files[0].stat().st_size > 0

    def test_average_of_the_weights_is_published(self, kaggle, tmp_path):
        recipe = make_recipe(keep='last', precision_stored='float32')
        options = {'data': kaggle, 'accelerator': 'cpu', 'evaluate': False}
        result = fit(recipe, output=tmp_path / 'average', **options)
        plain = fit(
            recipe.override({'ema': None}), output=tmp_path / 'plain', **options
        )
        name = 'output.weight'
        state = torch.load(
            tmp_path / 'average' / 'checkpoints' / 'last.ckpt', weights_only=False
        )
        current = state['current_model_state'][f'networks.gz2.{name}']
        assert torch.equal(weights_of(plain)[name], current)
        assert not torch.equal(weights_of(result)[name], current)


class TestResume:
    def test_killed_training_ends_as_an_unbroken_one(self, trained, kaggle, tmp_path):
        root, killed = Path(__file__).parents[2], tmp_path / 'killed'
        process = subprocess.run(
            [sys.executable, '-c', KILLED, str(kaggle), str(killed)],
            env=os.environ | {'PYTHONPATH': str(root)},
            cwd=root,
            check=False,
        )
        assert process.returncode == 9
        assert read_log(killed)['step'].tolist() == [2]
        assert not (killed / 'small.yaml').exists()
        # On another machine, perhaps.
        output = killed.rename(tmp_path / 'moved')
        data = shutil.copytree(kaggle, tmp_path / 'data')
        recipe = make_recipe(patience=5)
        result = fit(recipe, data=data, output=output, accelerator='cpu')
        again, before = weights_of(result), weights_of(trained)
        assert again.keys() == before.keys()
        assert all(torch.equal(again[name], before[name]) for name in before)
        assert result.metrics == trained.metrics
        assert result.log['valid/loss'].tolist() == trained.log['valid/loss'].tolist()
        assert load_card(result.card).to_dict() == load_card(trained.card).to_dict()

    def test_finished_training_is_not_repeated(self, trained, kaggle):
        options = {'data': kaggle, 'accelerator': 'cpu', 'callbacks': [Refuse()]}
        result = fit(make_recipe(), output=trained.folder, **options)
        assert result.metrics == trained.metrics
        assert result.n_steps == trained.n_steps

    @pytest.mark.parametrize('ema', [None, 0.9])
    def test_training_that_patience_ended_is_not_repeated(self, kaggle, tmp_path, ema):
        recipe = make_recipe(patience=1, ema=ema, **STALE)
        options = {'data': kaggle, 'output': tmp_path, 'accelerator': 'cpu'}
        before = fit(recipe, evaluate=False, **options)
        assert before.n_steps < 20
        result = fit(recipe, callbacks=[Refuse()], **options)
        assert result.n_steps == before.n_steps
        assert result.metrics == before.metrics
        assert load_card(result.card).metrics['split'] == 'valid'

    def test_finished_training_is_measured_as_another_name_says(
        self, trained, kaggle, tmp_path
    ):
        test = {'n_transforms': 2, 'zooms': [0.5, 2.0]}
        recipe = make_recipe(name='zoomed', title='Both sizes', test=test)
        options = {'data': kaggle, 'accelerator': 'cpu', 'callbacks': [Refuse()]}
        result = fit(recipe, output=trained.folder, **options)
        before, card = load_card(trained.card), load_card(result.card)
        assert (card.name, card.title) == ('zoomed', 'Both sizes')
        assert card.sha256 == before.sha256
        assert {name: card.metrics[name] for name in test} == test
        assert 'zooms' not in before.metrics
        assert card.metrics != before.metrics | test
        # The command says the same of the weights of the other name.
        output = tmp_path / 'metrics.yaml'
        done = main([
            'evaluate', str(trained.card), str(kaggle), '--split', 'valid',
            '--transforms', '2', '--zooms', '0.5,2', '--output', str(output),
            '--quiet',
        ])  # fmt: skip
        assert done == 0
        assert yaml.safe_load(output.read_text()) == card.metrics

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'name': 'my run'}, 'my run'),
            ({'card': {'license': 'MIT'}}, 'license'),
            ({'precision_stored': 'half'}, 'precision'),
            ({'tasks.gz2.supported_questions': ['bars']}, 'bars'),
        ],
    )
    def test_card_that_cannot_be_written_is_found_out_before(
        self, kaggle, tmp_path, changes, message
    ):
        recipe = make_recipe().override(changes)
        with pytest.raises(RecipeError, match=f"task 'gz2' could .*{message}"):
            fit(recipe, data=kaggle, output=tmp_path, callbacks=[Refuse()])

    def test_moved_training_knows_its_best(self, kaggle, tmp_path):
        # Its first validation is the best, and comes before the move.
        recipe = make_recipe(steps=6, **BEST_FIRST)
        options = {'data': kaggle, 'accelerator': 'cpu', 'evaluate': False}
        whole = fit(recipe, output=tmp_path / 'whole', **options)
        losses = whole.log['valid/loss']
        assert losses.argmin() == 0
        with pytest.raises(InterruptedError):
            fit(recipe, output=tmp_path / 'run', callbacks=[Interrupt(4)], **options)
        output = (tmp_path / 'run').rename(tmp_path / 'moved')
        assert fit(recipe, output=output, **options).metrics == whole.metrics

    def test_goes_on_in_a_folder_that_is_called_as_a_recipe(
        self, kaggle, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        options = {'data': kaggle, 'accelerator': 'cpu', 'evaluate': False}
        before = fit(make_recipe(steps=2), output='zhu_2019', **options)
        options['callbacks'] = [Refuse()]
        result = fit(make_recipe(steps=2), output='zhu_2019', **options)
        assert result.metrics == before.metrics

    def test_refuses_the_folder_of_another_recipe(self, trained, kaggle):
        other = make_recipe(batch_size=3)
        with pytest.raises(RecipeError, match="training with another 'batch_size'"):
            fit(other, data=kaggle, output=trained.folder)
        with pytest.raises(RecipeError, match='resume is false'):
            fit(make_recipe(), data=kaggle, output=trained.folder, resume=False)

    def test_refuses_other_labels(self, trained, kaggle, tmp_path):
        fit(make_recipe(), data=kaggle, output=tmp_path / 'run', accelerator='cpu')
        changed = tmp_path / 'challenge'
        shutil.copytree(kaggle, changed)
        file = changed / 'training_solutions_rev1.csv'
        table = Table.read(file)
        for name in ('Class1.1', 'Class1.2'):
            table[name][0] = 0.5
        table['Class1.3'][0] = 0
        for name in table.colnames[4:]:
            table[name] = np.nan
        table.write(file, overwrite=True)
        with pytest.raises(RecipeError, match=r"began with other data of 'gz2'"):
            fit(make_recipe(), data=changed, output=tmp_path / 'run')


class TestDivergence:
    def test_ends_the_training_and_says_how_to_go_on(self, kaggle, tmp_path):
        recipe = make_recipe(optimiser={'name': 'sgd', 'lr': 1e30})
        with pytest.raises(
            RecipeError, match=r'diverged by step .* lower .optimiser.lr'
        ):
            fit(recipe, data=kaggle, output=tmp_path, accelerator='cpu')
        assert not list(tmp_path.glob('*.safetensors'))
        checkpoint = tmp_path / 'checkpoints' / 'last.ckpt'
        if checkpoint.exists():
            state = torch.load(checkpoint, weights_only=False)['state_dict']
            assert all(t.isfinite().all() for t in state.values())


class TestSeen:
    def test_list_of_splits(self, trained):
        table = Table.read(trained.folder / 'splits' / 'gz2.csv')
        assert set(table['split']) == {'train', 'valid'}
        seen = trained_on(trained.card, table['image'])
        np.testing.assert_array_equal(seen, table['split'] == 'train')
        assert not trained_on(trained.card, [np.eye(3), 'other.jpg']).any()

    def test_evaluation_warns(self, trained, kaggle, capsys):
        arguments = ['evaluate', str(trained.card), str(kaggle), '--split', 'all']
        assert main([*arguments, '--quiet', '--layout', 'kaggle']) == 0
        table = Table.read(trained.folder / 'splits' / 'gz2.csv')
        n = int((table['split'] == 'train').sum())
        assert (
            f'trained on {n} of these {len(table)} galaxies' in capsys.readouterr().err
        )


class TestDrawnSplit:
    def test_is_that_of_an_evaluation(self, kaggle, tmp_path, capsys):
        changes = {'tasks.gz2.data.fractions': [0.6, 0.2, 0.2], 'steps': 2}
        options = {'output': tmp_path / 'run', 'accelerator': 'cpu'}
        drawn = fit(make_recipe().override(changes), data=kaggle, **options)
        capsys.readouterr()
        table = Table.read(drawn.folder / 'splits' / 'gz2.csv')
        moved = tmp_path / 'moved'
        shutil.copytree(kaggle, moved)
        for folder in (kaggle, moved):
            for split in ('valid', 'test'):
                done = main([
                    'evaluate', str(drawn.card), str(folder), '--split', split,
                    '--output', str(tmp_path / 'm.yaml'),
                ])  # fmt: skip
                assert done == 0
                printed = capsys.readouterr()
                assert f'split: {drawn.folder / "splits"}\n' in printed.out
                assert 'warning' not in printed.err
                metrics = yaml.safe_load((tmp_path / 'm.yaml').read_text())
                n_galaxy = int((table['split'] == split).sum())
                assert metrics['n_galaxy'] == n_galaxy > 0
                if split == 'valid':
                    assert metrics == load_card(drawn.card).metrics


class TestName:
    def test_module_does_not_hide_the_function(self):
        text = 'import galmorph.training.fit as _; from galmorph.training import fit; '
        text += 'assert callable(fit)'
        done = subprocess.run([sys.executable, '-c', text], check=False)
        assert done.returncode == 0


class TestBeforeTheFirstStep:
    def test_reports_labels_with_their_rows(self, tmp_path):
        write_clear_kaggle(tmp_path / 'bad', 8)
        path = tmp_path / 'bad' / 'training_solutions_rev1.csv'
        lines = path.read_text().splitlines()
        lines[3] = ','.join([lines[3].split(',')[0], '1.4', *lines[3].split(',')[2:]])
        path.write_text('\n'.join(lines))
        with pytest.raises(LabelError, match=r'not in .*row 2') as caught:
            fit(make_recipe(), data=tmp_path / 'bad', output=tmp_path / 'run')
        assert caught.value.rows == (2,)
        assert not (tmp_path / 'run').exists()

    def test_reports_missing_images(self, tmp_path):
        write_clear_kaggle(tmp_path / 'bad', 8)
        next((tmp_path / 'bad' / 'images_training_rev1').iterdir()).unlink()
        with pytest.raises(LabelError, match='no such file'):
            fit(make_recipe(), data=tmp_path / 'bad', output=tmp_path / 'run')

    def test_names_a_score_that_is_not_there(self, kaggle, tmp_path):
        recipe = make_recipe(monitor='valid/gz2/rsme')
        with pytest.raises(RecipeError, match="did you mean 'valid/gz2/rmse'"):
            fit(recipe, data=kaggle, output=tmp_path)

    def test_names_labels_that_are_not_there(self, kaggle, tmp_path):
        task = {'schema': 'efigi', 'head': 'regression', 'data': 'gz2', 'loss': 'mse'}
        with pytest.raises(RecipeError, match=r"has labels of \['gz2', 'zhu5'\]"):
            fit(make_recipe(tasks={'a': task}), data=kaggle, output=tmp_path)


class TestStops:
    def test_without_a_better_score(self, kaggle, tmp_path):
        recipe = make_recipe(patience=1, **STALE)
        result = fit(recipe, data=kaggle, output=tmp_path, evaluate=False)
        assert result.n_steps < 20

    def test_without_validation_galaxies_the_last_weights_count(self, kaggle, tmp_path):
        recipe = make_recipe(steps=2).override(
            {'tasks.gz2.data.fractions': [1.0, 0.0], 'patience': 3}
        )
        result = fit(recipe, data=kaggle, output=tmp_path)
        assert result.metrics == {}
        assert load_card(result.card).training['steps'] == 2


class TestTasks:
    def test_each_has_a_card_that_predicts(self, tmp_path):
        data = write_collections(tmp_path / 'data')
        recipe = make_recipe(
            steps=2,
            batch_size=8,
            tasks={
                'gz2': {
                    'schema': 'gz2',
                    'head': 'softmax',
                    'data': {'layout': 'gz2', 'select': 'known'},
                    'loss': 'censored',
                },
                'efigi': {
                    'schema': 'efigi',
                    'head': 'interval',
                    'data': 'efigi',
                    'loss': 'interval',
                },
                'soft': {
                    'schema': 'gz2',
                    'head_of': 'gz2',
                    'data': {'layout': 'gz2', 'select': 'all'},
                    'loss': 'distillation',
                    'teacher': {
                        'weights': str(write_weights(tmp_path)),
                        'n_transforms': 2,
                    },
                },
            },
        )
        result = fit(recipe, data=data, output=tmp_path / 'run', accelerator='cpu')
        assert list(result.cards) == ['gz2', 'efigi']
        for card in result.cards.values():
            table = MorphologyClassifier(card, 'cpu').predict(list(draw_stamps(2)))
            assert len(table) == 2
        assert 't_type' in table.colnames

    def test_ensemble_trains_its_members(self, kaggle, tmp_path):
        others = {'network.options.stem': 3, 'pixels.recentre': True}
        recipe = make_recipe(steps=2, test={'n_transforms': 2}, ensemble=[{}, others])
        result = fit(recipe, data=kaggle, output=tmp_path, accelerator='cpu')
        names = [member.card.stem for member in result.members]
        assert names == ['small_0', 'small_1']
        assert result.card in [member.card for member in result.members]
        stems = [load_card(m.card).network['options']['stem'] for m in result.members]
        assert stems == [4, 3]
        assert load_card(result.members[1].card).recipe['recentre'] is True
        # The mean of both, each of which sees the pixels that it was trained on.
        both = [member.card for member in result.members]
        data = create_datamodule(recipe, kaggle)
        table, labels = data.labelled('gz2', 'valid')
        classifier = MorphologyClassifier(both, 'cpu', n_transforms=2)
        expected = evaluate(classifier, table, labels, split='valid').to_dict()
        assert result.ensemble == {'gz2': {**expected, 'n_transforms': 2}}
        own = [load_card(card).metrics['rmse37'] for card in both]
        assert expected['rmse37'] not in own
        written = yaml.safe_load((tmp_path / 'ensemble.yaml').read_text())
        assert written['gz2']['metrics'] == result.ensemble['gz2']
        names = ['small_0/small_0.yaml', 'small_1/small_1.yaml']
        assert written['gz2']['weights'] == names
        output = tmp_path / 'metrics.yaml'
        done = main([
            'evaluate', ','.join(map(str, both)), str(kaggle), '--split', 'valid',
            '--transforms', '2', '--output', str(output), '--quiet',
        ])  # fmt: skip
        assert done == 0
        assert yaml.safe_load(output.read_text()) == result.ensemble['gz2']

    def test_mean_is_of_galaxies_that_no_member_was_trained_on(
        self, kaggle, tmp_path, caplog
    ):
        parts = [
            {'tasks.gz2.data.fractions': [0.9, 0.1]},
            {'tasks.gz2.data.fractions': [1.0, 0.0]},
        ]
        recipe = make_recipe(steps=2, ensemble=parts)
        result = fit(recipe, data=kaggle, output=tmp_path, accelerator='cpu')
        assert result.ensemble == {}
        assert not (tmp_path / 'ensemble.yaml').exists()
        assert 'no validation galaxy that none of them' in caplog.text


class TestSupport:
    @pytest.mark.parametrize(
        ('schema', 'head', 'labels'),
        [
            ('gz2', None, dict(zip(SMOOTH.columns, (0.5, 0.4, 0.1), strict=True))),
            ('efigi', 'regression', {'t_type': 3.5}),
        ],
    )
    def test_card_supports_what_was_taught(self, tmp_path, schema, head, labels):
        for row, stamp in enumerate(draw_stamps(6)):
            Image.fromarray(stamp).save(tmp_path / f'{row}.png')
        table = Table({'image': [f'{row}.png' for row in range(6)]})
        for column, value in labels.items():
            table[column] = value
        table['split'] = ['valid', *['train'] * 5]
        table.write(tmp_path / 'galaxies.csv')
        data = {'table': 'galaxies.csv', 'split': 'split'}
        task = {'schema': schema, 'data': data, 'loss': 'mse'}
        task |= {} if head is None else {'head': head}
        result = fit(
            make_recipe(tasks={schema: task}, steps=2), data=tmp_path,
            output=tmp_path / 'run', accelerator='cpu', evaluate=False,
        )  # fmt: skip
        expected = ['smooth_or_features' if schema == 'gz2' else 't_type']
        assert list(load_card(result.card).supported_questions) == expected

    def test_member_without_the_score_is_not_the_best(self, monkeypatch, tmp_path):
        scores = iter([{}, {'valid/gz2/r2': 0.5}])

        def result(*_, **__):
            return TrainingResult(
                card=None, cards={}, metrics=next(scores), folder=tmp_path, n_steps=1
            )

        whole = make_recipe(ensemble=[{}, {}], monitor='valid/gz2/r2', mode='max')
        monkeypatch.setattr(sys.modules[fit.__module__], 'fit', result)
        assert fit(whole, output=tmp_path).metrics == {'valid/gz2/r2': 0.5}


class TestCountSteps:
    @pytest.mark.parametrize(
        ('changes', 'expected'),
        [
            ({'steps': 100, 'validate_every': 25}, (100, 25)),
            ({'steps': 100, 'validate_every': 30}, (102, 34)),
            ({'steps': 10, 'validate_every': 30}, (10, 10)),
            ({'steps': None, 'epochs': 2.5, 'validate_every': None}, (20, 10)),
        ],
    )
    def test_every_period_is_whole(self, changes, expected):
        class Data:
            pass_length = 8

        recipe = make_recipe(**changes)
        assert count_steps(recipe, Data) == expected
