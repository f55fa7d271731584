# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the command ``galmorph evaluate``."""

import shutil

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

    def test_labels_of_another_table_joined_by_a_column(self, folder, evaluate, capsys):
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
        # Not by the order, in which they are others.
        assert evaluate('galaxies.ecsv', *arguments) == 2
        assert 'row 0 of the galaxies has GalaxyID = ' in capsys.readouterr().err

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


@pytest.fixture
def own(folder, tiny_card):
    """Weights whose training drew a split of the first six pictures."""

    def write(name='run', splits=('train', 'valid', 'test', 'test', 'train', 'valid')):
        shutil.copytree(tiny_card.parent, folder / name)
        images = [str(folder / 'images' / f'{i}.png') for i in range(len(splits))]
        record = Table({'id': np.arange(len(splits)) + 100, 'image': images})
        record['split'] = splits
        (folder / name / 'splits').mkdir()
        record.write(folder / name / 'splits' / 'gz2.csv')
        return folder / name / tiny_card.name

    return write


@pytest.fixture
def score(folder, capsys):
    """Evaluate, and give the scores and what was printed."""

    def run(*arguments):
        command = ['evaluate', *map(str, arguments), '--device', 'cpu']
        assert main([*command, '--output', 'm.yaml']) == 0
        return yaml.safe_load((folder / 'm.yaml').read_text()), capsys.readouterr()

    return run


class TestRecordedSplit:
    def test_counts_before_that_of_the_table(self, own, score, classifier):
        metrics, printed = score(own(), 'labels.csv')
        # Rows 2 and 3 were its test; row 7 is new to it, and 'test' in the table.
        value = expected(classifier, [2, 3, 7])
        assert metrics['rmse37']['value'] == pytest.approx(value, abs=6e-5)
        assert "galaxies of 'test'" in printed.out
        text = "run/splits, and the column 'split' for 2 galaxies that are not in it"
        assert text in printed.out
        assert 'warning' not in printed.err

    def test_of_a_table_without_a_split(self, folder, own, score, capsys):
        table = Table.read('labels.csv')
        table.remove_column('split')
        table.write('plain.csv')
        card = own()
        assert score(card, 'plain.csv')[0]['n_galaxy'] == 2
        assert score(card, 'plain.csv', '--split', 'valid')[0]['n_galaxy'] == 2
        metrics, printed = score(card, 'plain.csv', '--split', 'new')
        assert metrics['n_galaxy'] == 2
        assert "'new' for 2 galaxies" in printed.out
        metrics, printed = score(card, 'plain.csv', '--split', 'all')
        assert metrics['n_galaxy'] == N
        assert f'trained on 2 of these {N} galaxies' in printed.err
        table[6:].write('others.csv')
        metrics, printed = score(card, 'others.csv')
        assert 'split' not in metrics
        assert 'none; ' in printed.out
        assert 'run/splits has none of the galaxies' in printed.out
        assert main(['evaluate', str(card), 'others.csv', '--split', 'test']) == 2
        assert 'run/splits has none' in capsys.readouterr().err

    def test_of_a_mosaic_or_images_in_the_table(self, folder, own, score):
        table = Table.read('labels.csv')
        table.remove_columns(['split', 'file'])
        table['image'] = draw_stamps(N)
        table.write('galaxies.fits')
        card = own()
        record = Table({'image': [f'{folder}/galaxies.fits#{i}' for i in range(3)]})
        record['split'] = ['train', 'test', 'valid']
        record.write(folder / 'run' / 'splits' / 'gz2.csv', overwrite=True)
        assert score(card, 'galaxies.fits')[0]['n_galaxy'] == 1

    def test_of_a_file_finds_galaxies_that_were_moved(self, folder, own, score):
        own()
        shutil.copytree('images', 'new/images')
        shutil.copy('labels.csv', 'new/labels.csv')
        splits = ('--splits', 'run/splits/gz2.csv', '--split', 'valid')
        name = ('--id', 'GalaxyID')
        metrics, printed = score('run/tiny.gz2.yaml', 'new/labels.csv', *splits, *name)
        assert metrics['n_galaxy'] == 2
        assert 'run/splits/gz2.csv' in printed.out
        # A published data set has identifiers of its own.
        assert score('run/tiny.gz2.yaml', 'new', *splits)[0] == metrics

    def test_of_several_weights(self, own, score, capsys):
        first, second = own(), own('other')
        weights = f'{first},{second}'
        assert score(weights, 'labels.csv', '--split', 'valid')[0]['n_galaxy'] == 2
        third = own('third', ['train', 'test', 'test'])
        weights = f'{first},{third}'
        command = ['evaluate', weights, 'labels.csv', '--split', 'valid']
        assert main(command) == 2
        error = capsys.readouterr().err
        assert '1 of the galaxies in different splits' in error
        assert '--splits' in error
        _, printed = score(weights, 'labels.csv', '--split', 'all')
        assert printed.err.count('warning') == 2
        _, printed = score(*command[1:], '--splits', 'run/splits')
        assert 'split: run/splits' in printed.out

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['labels.csv', '--splits', 'lost.csv'], "no file 'lost.csv' for --splits"),
            (['labels.csv', '--splits', 'labels.csv'], "no column 'image'"),
            (['labels.csv', '--splits', 'far.csv'], 'has none of the 8 galaxies'),
            (['labels.csv', '--split', 'final'], "only ['test', 'train', 'valid'], by"),
            (['labels.csv', '--labels', 'twice.csv', '--id', 'GalaxyID'],
             "'GalaxyID': one galaxy more than once; keep one row of it in rows 3, 8"),
        ],
    )  # fmt: skip
    def test_what_is_refused(self, folder, own, capsys, arguments, message):
        far = Table({'image': ['/far/1.png'], 'split': ['train'], 'id': ['X1']})
        far.write('far.csv')
        table = Table.read('labels.csv')
        table.add_row(dict(table[3]))
        table.write('twice.csv')
        assert main(['evaluate', str(own()), *arguments, '--quiet']) == 2
        assert message in capsys.readouterr().err


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
            (['labels.csv', '--labels', 'short.csv'],
             "give 'id', the column that joins them"),
            (['labels.csv', '--labels', 'short.csv', '--id', 'name'],
             "the galaxies have no column 'name' for 'id'"),
            (['labels.csv', '--id', 'name'], "--id 'name' is no column of TABLE"),
            (['labels.csv', '--labels', 'short.csv', '--id', 'GalaxyID'],
             "'GalaxyID': 6 without labels, in rows 0, 3, 4, 5, 6, 7; leave"),
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
