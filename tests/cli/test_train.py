# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the commands that train."""

import importlib.util

import pytest
import yaml
from astropy.table import Table
from PIL import Image

from galmorph import load_card
from galmorph.cli import main
from galmorph.training.module import MorphologyModule
from galmorph.training.publish import save_trained
from tests.helpers.recipes import make_recipe, write_clear_kaggle
from tests.helpers.tiny import draw_stamps


@pytest.fixture
def challenge(tmp_path):
    write_clear_kaggle(tmp_path / 'challenge', 20)
    (tmp_path / 'small.yaml').write_text(make_recipe().to_yaml())
    return tmp_path


class TestTrain:
    def test_writes_weights(self, challenge, capfd):
        status = main(
            [
                'train', str(challenge / 'small.yaml'), '--quiet',
                '--data', str(challenge / 'challenge'),
                '--output', str(challenge / 'run'),
                '--set', 'steps=2', '--set', 'name=mine', '--device', 'cpu',
            ]
        )  # fmt: skip
        assert status == 0
        assert load_card(challenge / 'run' / 'mine.yaml').training['steps'] == 2
        assert capfd.readouterr().out == ''

    def test_lists_recipes_and_variants(self, capsys):
        assert main(['train', '--list']) == 0
        out = capsys.readouterr().out
        assert 'zhu_2019' in out
        assert 'uppsala_2018/106_b32_hsv' in out

    def test_shows_what_would_be_done(self, capsys):
        assert main(['train', 'zhu_2019', '--show', '--set', 'seed=9']) == 0
        assert 'seed: 9\n' in capsys.readouterr().out

    def test_leaves_tasks_out(self, capsys):
        assert main(['train', 'compact_multitask', '--show', '--only', 'efigi']) == 0
        shown = yaml.safe_load(capsys.readouterr().out)
        assert list(shown['tasks']) == ['efigi']
        assert 'monitor' not in shown
        # It tells of all tasks.
        assert 'description' not in shown
        assert main(['train', 'compact_multitask', '--only', 'efigy']) == 2
        assert "not 'efigy'" in capsys.readouterr().err
        assert main(['train', '--only', 'efigi', 'compact_multitask']) == 2
        assert 'It goes before --only' in capsys.readouterr().err

    def test_optional_task_alone_without_data(self, tmp_path, capsys):
        command = ['train', 'compact_multitask', '--only', 'efigi']
        assert main([*command, '--check', '--data', str(tmp_path)]) == 2
        assert "to train on; the task 'efigi': " in capsys.readouterr().err

    def test_checks_the_labels(self, challenge, capsys):
        status = main(
            ['train', str(challenge / 'small.yaml'), '--check', '--data',
             str(challenge / 'challenge')]
        )  # fmt: skip
        assert status == 0
        first, labels = capsys.readouterr().out.splitlines()
        assert first == 'gz2: fractions of 20 galaxies: 18 train, 2 valid'
        assert labels.startswith('  labels: smooth_or_features (20), edgeon (20), ')

    def test_checks_the_columns(self, challenge, capsys):
        file = challenge / 'challenge' / 'training_solutions_rev1.csv'
        table = Table.read(file)
        folder = challenge / 'challenge' / 'images_training_rev1'
        own = Table({'image': [f'{folder}/{name}.jpg' for name in table['GalaxyID']]})
        for name in ('Class6.1', 'Class6.2'):
            own[name] = table[name]
        own['redshift'] = 0.1
        own.write(challenge / 'own.csv')
        status = main(
            ['train', str(challenge / 'small.yaml'), '--check',
             '--set', 'tasks.gz2.data={table: own.csv}', '--data', str(challenge)]
        )  # fmt: skip
        assert status == 0
        labels, none, ignored = capsys.readouterr().out.splitlines()[1:]
        assert labels == '  labels: odd (20)'
        assert none.startswith('  no labels: smooth_or_features, edgeon, bar, ')
        assert ignored == '  columns not used: redshift'

    def test_checks_the_table_of_a_teacher(self, challenge, capsys):
        change = 'tasks.gz2.teacher={table: soft.fits}'
        status = main(
            ['train', str(challenge / 'small.yaml'), '--check', '--set', change,
             '--data', str(challenge / 'challenge')]
        )  # fmt: skip
        assert status == 2
        assert "the task 'gz2': the 'table' of the teacher" in capsys.readouterr().err

    def test_checks_the_questions_of_a_teacher(self, challenge, capsys):
        change = 'tasks.gz2.teacher=compact.zhu5'
        status = main(
            ['train', str(challenge / 'small.yaml'), '--check', '--set', change,
             '--data', str(challenge / 'challenge')]
        )  # fmt: skip
        assert status == 2
        assert "'compact.zhu5' answers 'zhu5', not 'gz2'" in capsys.readouterr().err

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            ([], 'name a RECIPE'),
            (['zhu'], "unknown recipe 'zhu'"),
            (['zhu_2019', '--set', 'step=3'], "no key 'step'; did you mean 'steps'"),
            (['zhu_2019', '--data', 'lost', '--output', 'OUT'], 'lost has neither'),
            (['zhu_2019', '--data', 'lost', '--check'], 'lost has neither'),
        ],
    )
    def test_request_that_cannot_be_met(self, arguments, message, tmp_path, capsys):
        arguments = [str(tmp_path / a) if a == 'OUT' else a for a in arguments]
        assert main(['train', *arguments]) == 2
        assert message in capsys.readouterr().err

    def test_bad_labels_are_a_bad_request(self, challenge, capsys):
        path = challenge / 'challenge' / 'training_solutions_rev1.csv'
        path.write_text(path.read_text().replace(',0.', ',7.', 1))
        status = main(
            ['train', str(challenge / 'small.yaml'), '--data',
             str(challenge / 'challenge'), '--output', str(challenge / 'run')]
        )  # fmt: skip
        assert status == 2
        assert 'in row 0' in capsys.readouterr().err

    def test_says_what_to_install(self, monkeypatch, capsys):
        monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
        assert main(['train', 'zhu_2019']) == 2
        assert "pip install 'astro-galmorph[train]'" in capsys.readouterr().err


class TestFinetune:
    @pytest.fixture
    def galaxies(self, tmp_path):
        names = [f'g{row}.png' for row in range(12)]
        for name, stamp in zip(names, draw_stamps(12), strict=True):
            Image.fromarray(stamp).save(tmp_path / name)
        table = Table({'image': names})
        table['split'] = ['valid', 'train', 'train'] * 4
        table['zhu5'] = [row % 5 for row in range(12)]
        table.write(tmp_path / 'galaxies.csv')
        return str(tmp_path / 'galaxies.csv')

    def test_new_questions(self, galaxies, tmp_path):
        save_trained(MorphologyModule(make_recipe(name='old')), tmp_path)
        weights = str(tmp_path / 'old.yaml')
        arguments = [
            'finetune', weights, galaxies, galaxies, '--schema', 'zhu5',
            '--kind', 'classes', '--split', 'split', '--device', 'cpu',
            '--output', str(tmp_path / 'run'),
            '--set', 'steps=2', '--set', 'batch_size=4', '--set', 'name=mine',
        ]  # fmt: skip
        assert main([*arguments, '--quiet']) == 0
        card = load_card(tmp_path / 'run' / 'mine.yaml')
        assert card.schema == 'zhu5'
        assert card.training['initialised'] == weights
        assert card.training['n_train'] == 8

    @pytest.mark.parametrize(
        ('weights', 'table', 'message'),
        [
            ('dielman', 'galaxies.csv', "unknown weights 'dielman'"),
            ('dieleman.gz2', 'lost.csv', 'there is no file'),
        ],
    )
    def test_what_is_not_there(self, galaxies, weights, table, message, capsys):
        path = galaxies.replace('galaxies.csv', table)
        assert main(['finetune', weights, path, galaxies]) == 2
        assert message in capsys.readouterr().err
