# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the command ``galmorph evaluate``."""

import numpy as np
import pytest
import yaml
from astropy.table import Table
from PIL import Image

from galmorph import Recipe, create_network
from galmorph.cli import main
from galmorph.cli.evaluate import draw_figures
from galmorph.schemas import load_schema
from galmorph.training import save_network
from galmorph.training.data.labels import Labels
from galmorph.training.evaluation import evaluate as evaluate_answers
from tests.helpers.predictions import draw_paths
from tests.helpers.tiny import draw_stamps

TREE = load_schema('gz2')
N = 8


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Pictures, and a table of vote fractions in Kaggle's columns."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'images').mkdir()
    for i, stamp in enumerate(draw_stamps(N)):
        Image.fromarray(stamp).save(tmp_path / 'images' / f'{i}.png')
    names = [f'images/{i}.png' for i in range(N)]
    table = Table({'GalaxyID': np.arange(N) + 100, 'file': names})
    table['split'] = ['train', 'test'] * (N // 2)
    for column, values in zip(TREE.source_columns, draw_paths(N).T, strict=True):
        table[column] = values.round(6)
    table['zhu5'] = np.arange(N) % 5
    table.write(tmp_path / 'labels.csv')
    return tmp_path


@pytest.fixture
def evaluate(tiny_card):
    def run(*arguments):
        options = ['--device', 'cpu']
        return main(['evaluate', str(tiny_card), *map(str, arguments), *options])

    return run


def expected(classifier, rows):
    """Root mean square error over the rows of the table."""
    stamps = list(draw_stamps(N)[rows])
    error = classifier.classify(stamps).values.data - draw_paths(N)[rows].round(6)
    return np.sqrt(np.mean(error**2))


class TestHelp:
    def test_has_an_example(self, capsys):
        with pytest.raises(SystemExit, match='0'):
            main(['evaluate', '--help'])
        assert 'galmorph evaluate' in capsys.readouterr().out.split('examples')[1]


class TestTable:
    def test_scores_of_the_test_galaxies(self, folder, evaluate, classifier, capsys):
        assert evaluate('labels.csv', '--output', 'metrics.yaml') == 0
        metrics = yaml.safe_load((folder / 'metrics.yaml').read_text())
        assert metrics['split'] == 'test'
        assert metrics['n_galaxy'] == N // 2
        value = expected(classifier, slice(1, None, 2))
        assert metrics['rmse37']['value'] == pytest.approx(value, abs=6e-5)
        out = capsys.readouterr().out
        assert f"tiny.gz2 on {N // 2} galaxies of 'test', with fractions" in out
        assert f'rmse37 {metrics["rmse37"]["value"]:.4f}' in ' '.join(out.split())
        assert 'wrote metrics.yaml' in out

    def test_all_galaxies_and_transforms(self, folder, evaluate, classifier):
        arguments = ('--split', 'all', '--output', 'm.yaml', '--quiet')
        assert evaluate('labels.csv', *arguments) == 0
        metrics = yaml.safe_load((folder / 'm.yaml').read_text())
        value = expected(classifier, slice(None))
        assert metrics['rmse37']['value'] == pytest.approx(value, abs=6e-5)
        turns = ('--transforms', 4, '--zooms', '1,1.2')
        assert evaluate('labels.csv', *turns, *arguments) == 0
        turned = yaml.safe_load((folder / 'm.yaml').read_text())
        assert turned['n_transforms'] == 4
        assert turned['zooms'] == [1, 1.2]
        assert turned['rmse37']['value'] != metrics['rmse37']['value']

    def test_the_mean_of_several_weights(self, folder, tiny_card, capsys):
        weights = f'{tiny_card},{tiny_card}'
        assert main(['evaluate', weights, 'labels.csv', '--device', 'cpu']) == 0
        assert 'tiny.gz2 + tiny.gz2 on 4 galaxies' in capsys.readouterr().out
        weights = f'{tiny_card},lost.gz2'
        assert main(['evaluate', weights, 'labels.csv', '--device', 'cpu']) == 2
        assert "'lost.gz2'" in capsys.readouterr().err

    def test_labels_of_another_table_joined_by_a_column(self, folder, evaluate):
        table = Table.read(folder / 'labels.csv')
        table['file', 'GalaxyID'].write('galaxies.ecsv')
        table.remove_columns(['file', 'split'])
        table[::-1].write('votes.csv')
        arguments = ('--labels', 'votes.csv', '--output', 'm.yaml', '--quiet')
        assert evaluate('galaxies.ecsv', *arguments, '--id', 'GalaxyID') == 0
        joined = yaml.safe_load((folder / 'm.yaml').read_text())
        assert evaluate('labels.csv', '--split', 'all', *arguments[2:]) == 0
        own = yaml.safe_load((folder / 'm.yaml').read_text())
        assert joined['rmse37'] == own['rmse37']
        assert evaluate('galaxies.ecsv', *arguments) == 0
        wrong = yaml.safe_load((folder / 'm.yaml').read_text())
        assert wrong['rmse37'] != own['rmse37']

    def test_counts_in_columns_of_ones_own(self, folder, evaluate, capsys):
        table = Table.read(folder / 'labels.csv')
        counts = np.round(20 * draw_paths(N)).astype(int)
        own = Table({'path': table['file']})
        for i, values in enumerate(counts.T):
            own[f'n{i}'] = values
        own.write('counts.csv')
        columns = ','.join(f'n{i}' for i in range(37))
        assert evaluate('counts.csv', '--kind', 'counts', '--columns', columns,
                        '--output', 'm.yaml') == 0  # fmt: skip
        metrics = yaml.safe_load((folder / 'm.yaml').read_text())
        assert 'floor' in metrics['questions']['smooth_or_features']
        assert 'with counts' in capsys.readouterr().out

    def test_a_broken_picture_costs_only_itself(self, folder, evaluate, capsys):
        (folder / 'images' / '3.png').write_bytes(b'no picture')
        assert evaluate('labels.csv') == 0
        assert '1 not predicted' in capsys.readouterr().out

    def test_a_table_in_another_folder(self, folder, evaluate, monkeypatch, tmp_path):
        (tmp_path / 'elsewhere').mkdir()
        monkeypatch.chdir(tmp_path / 'elsewhere')
        assert evaluate('../labels.csv', '--quiet') == 0


class TestFolder:
    def test_published_layout(self, folder, evaluate, classifier, capsys):
        assert evaluate('.', '--output', 'm.yaml') == 0
        metrics = yaml.safe_load((folder / 'm.yaml').read_text())
        value = expected(classifier, slice(1, None, 2))
        assert metrics['rmse37']['value'] == pytest.approx(value, abs=6e-5)
        assert 'completely round smooth' in capsys.readouterr().out

    def test_weights_of_one_question(self, folder, capsys):
        options = {'stem': 4, 'widths': [4], 'depths': [1]}
        name = 'gz2/smooth_or_features'
        network = create_network(
            'compact', structure=load_schema(name).structure, **options
        )
        card = save_network(
            network,
            folder,
            'one',
            architecture={'name': 'compact', 'options': options},
            schema=name,
            recipe=Recipe(views=(0.0,), output_size=32),
        )
        command = ['evaluate', str(card), '.', '--device', 'cpu', '--output', 'm.yaml']
        assert main(command) == 0
        metrics = yaml.safe_load((folder / 'm.yaml').read_text())
        assert metrics['n_galaxy'] == N // 2
        assert 'smooth_or_features' in capsys.readouterr().out

    def test_layout_of_another_schema(self, folder, evaluate, capsys):
        assert evaluate('.', '--layout', 'efigi') == 2
        assert 'attributes.csv' in capsys.readouterr().err

    def test_unknown_layout(self, folder, evaluate, capsys):
        assert evaluate('.', '--layout', 'gz3') == 2
        assert "'candels'] as --layout" in capsys.readouterr().err


class TestFigures:
    def test_all_that_fractions_give(self, folder, evaluate, capsys):
        assert evaluate('labels.csv', '--figures', 'plots', '--split', 'all') == 0
        names = {path.name for path in (folder / 'plots').iterdir()}
        # too few galaxies for a figure of single answers
        stems = ('confusion_matrix', 'errors', 'roc', 'reliability')
        assert names == {f'{s}.{suffix}' for s in stems for suffix in ('pdf', 'png')}
        assert 'wrote plots/roc.pdf' in capsys.readouterr().out

    @pytest.mark.parametrize(
        ('schema', 'kind'), [('gz2', 'fractions'), ('efigi', 'attributes')]
    )
    def test_many_galaxies(self, tmp_path, schema, kind):
        schema = load_schema(schema)
        values = np.random.default_rng(1).random((40, schema.n_answers))
        values[30:, 2] = np.nan
        # figures of many panels take their time
        values[:, 5:] = np.nan
        labels = Labels(kind, values)
        answers = np.nan_to_num(values)
        evaluation = evaluate_answers(answers, None, labels, schema=schema, n_draws=10)
        files = draw_figures(evaluation, tmp_path)
        assert tmp_path / 'predicted_against_true.pdf' in files
        assert tmp_path / 'errors.pdf' in files
        assert all(path.stat().st_size > 5000 for path in files)


class TestRequests:
    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['lost.csv'], "there is no file 'lost.csv'"),
            (['labels.csv', '--split', 'final'], "no split 'final', only ['test', "),
            (['labels.csv', '--kind', 'votes'], 'kind must be one of'),
            (['labels.csv', '--image', 'picture'], 'picture'),
            (['labels.csv', '--labels', 'short.csv'], 'name the column that joins'),
            (['labels.csv', '--labels', 'short.csv', '--id', 'name'],
             "'name' is no column of TABLE"),
            (['labels.csv', '--labels', 'short.csv', '--id', 'GalaxyID'],
             '6 rows of TABLE have no labels, GalaxyID = '),
            (['labels.csv', '--output', 'no/m.yaml'], "output folder 'no' is not"),
            (['labels.csv', '--transforms', '3', '--zooms', '1,1.2'], 'zooms'),
            (['empty.csv'], 'none of the 2 galaxies'),
            (['plain.csv', '--split', 'test'], "'test' needs a column 'split'"),
            (['wrong.csv'], "'Class1.1': not in [0, 1] in rows 0, 1"),
            (['.', '--mosaic', 'm.fits'], "needs a table, and '.' is a folder"),
            (['labels.csv', '--mosaic', 'm.fits'], "no file 'm.fits' for --mosaic"),
        ],
    )  # fmt: skip
    def test_refused_before_the_work(
        self, folder, evaluate, capsys, arguments, message
    ):
        table = Table.read(folder / 'labels.csv')
        table[1:3].write('short.csv')
        plain = table['file', 'Class1.1', 'Class1.2', 'Class1.3'][:2]
        plain.write('plain.csv')
        plain['Class1.1'] = 1.5
        plain.write('wrong.csv')
        plain = Table(plain, masked=True)
        for name in plain.colnames[1:]:
            plain[name].mask = True
        plain.write('empty.csv')
        assert evaluate(*arguments, '--quiet') == 2
        assert message in capsys.readouterr().err
