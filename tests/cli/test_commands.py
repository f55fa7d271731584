# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the command ``galmorph``."""

import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable, Table
from PIL import Image

import galmorph
from galmorph.cli import main
from galmorph.cli.commands import _parser
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.fits import make_hdu, make_wcs
from tests.helpers.tiny import draw_stamps


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with three pictures, and one that is broken."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'größe').mkdir()
    for i, stamp in enumerate(draw_stamps(3)):
        Image.fromarray(stamp).save(tmp_path / 'größe' / f'{i}.png')
    (tmp_path / 'größe' / 'broken.jpg').write_bytes(b'no picture')
    return tmp_path


@pytest.fixture
def predict(tiny_card):
    def run(*arguments):
        options = ['--weights', str(tiny_card), '--device', 'cpu']
        return main(['predict', *map(str, arguments), *options])

    return run


class TestHelp:
    @pytest.mark.parametrize(
        'command',
        ['', 'demo', 'predict', 'weights', 'weights list', 'weights show', 'info'],
    )
    def test_has_an_example(self, command, capsys):
        with pytest.raises(SystemExit, match='0'):
            main([*command.split(), '--help'])
        assert (
            f'galmorph {command}'.strip() in capsys.readouterr().out.split('example')[1]
        )

    def test_version(self, capsys):
        with pytest.raises(SystemExit, match='0'):
            main(['--version'])
        assert capsys.readouterr().out == f'galmorph {galmorph.__version__}\n'

    @pytest.mark.parametrize('arguments', [[], ['predict', 'a.jpg'], ['no-command']])
    def test_wrong_usage(self, arguments, capsys):
        with pytest.raises(SystemExit, match='2'):
            main(arguments)
        assert 'usage: galmorph' in capsys.readouterr().err

    def test_light_commands_load_nothing_heavy(self):
        code = (
            'import sys\nfrom galmorph.cli import main\n'
            'main(["weights", "list"])\n'
            'main(["weights", "show", "dieleman.gz2"])\n'
            'heavy = {"torch", "photutils", "matplotlib", "skimage", "scipy"}\n'
            'sys.exit(str(heavy & set(sys.modules)) if heavy & set(sys.modules) else 0)'
        )
        done = subprocess.run(
            [sys.executable, '-c', code], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr


class TestWeightsAndInfo:
    def test_list_marks_the_default(self, capsys):
        assert main(['weights', 'list']) == 0
        assert '* compact.gz2 ' in capsys.readouterr().out

    def test_show(self, capsys):
        assert main(['weights', 'show', 'dieleman.gz2']) == 0
        assert 'Supported questions' in capsys.readouterr().out

    def test_unknown_weights_are_one_line(self, capsys):
        assert main(['weights', 'show', 'dielman.gz2']) == 1
        out, err = capsys.readouterr()
        assert out == ''
        assert err.startswith("galmorph: error: unknown weights 'dielman.gz2'")
        assert err.count('\n') == 1

    def test_traceback_on_request(self):
        with pytest.raises(galmorph.exceptions.WeightsError):
            main(['weights', 'show', 'dielman.gz2', '--traceback'])

    def test_info(self, capsys):
        assert main(['info']) == 0
        lines = dict(
            line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()
        )
        assert lines['galmorph'] == galmorph.__version__
        assert lines['numpy'] == np.__version__
        assert 'cpu' in lines['devices']
        assert 'verified' in lines['default']


class TestPredictImages:
    def test_folder_with_a_broken_picture(self, folder, predict, capsys):
        assert predict('größe', '--output', 'a.ecsv') == 0
        table = QTable.read(folder / 'a.ecsv')
        assert table.colnames[0] == 'path'
        assert [path.rpartition('/')[2] for path in table['path']] == [
            '0.png', '1.png', '2.png', 'broken.jpg',
        ]  # fmt: skip
        assert table['morphology_class'].mask.tolist() == [False] * 3 + [True]
        out, err = capsys.readouterr()
        assert 'predicted 3 of 4 galaxies (tiny.gz2' in out
        assert 'broken.jpg: cannot be read' in out
        assert '3  FRAME_ASSUMED' in out
        assert '1  UNREADABLE_IMAGE' in out
        assert 'wrote a.ecsv: 4 rows' in out
        assert '4/4' in err

    def test_quiet_says_nothing(self, folder, predict, capsys):
        assert predict('größe/0.png', '--output', 'a.ecsv', '--quiet') == 0
        assert capsys.readouterr() == ('', '')

    @pytest.mark.parametrize('name', ['a.fits', 'a.vot', 'a.csv'])
    def test_other_formats(self, folder, predict, name):
        (folder / 'größe').rename('stamps')
        options = ('--output', name, '--columns', 'best', '--transforms', 2)
        assert predict('stamps/*.png', *options) == 0
        table = Table.read(folder / name)
        assert len(table) == 3
        assert table.colnames[:2] == ['path', 'morphology_class']

    def test_questions_size_and_hdu(self, folder, predict, capsys):
        sky = fits.ImageHDU(np.random.default_rng(0).normal(size=(80, 80)))
        hdus = [fits.PrimaryHDU(), sky, make_hdu(kind=fits.ImageHDU, wcs=make_wcs())]
        fits.HDUList(hdus).writeto('a.fits')
        options = ('--columns', 'edgeon,bar', '--size', '6 arcsec', '--hdu', 2)
        assert predict('a.fits', '--output', 'b.ecsv', *options) == 0
        table = QTable.read('b.ecsv')
        assert {'edgeon_yes', 'bar_entropy'} <= set(table.colnames)
        assert 'spiral_spiral' not in table.colnames
        assert 'SIZE_MEASURED' not in capsys.readouterr().out

    def test_the_mean_of_several_weights(self, folder, tiny_card, capsys):
        weights = f'{tiny_card},{tiny_card}'
        arguments = ['--weights', weights, '--output', 'mean.ecsv', '--device', 'cpu']
        assert main(['predict', 'größe', *arguments]) == 0
        assert '(tiny.gz2 + tiny.gz2, ' in capsys.readouterr().out

    def test_nothing_predicted_is_a_failure(self, folder, predict):
        assert predict('größe/broken.jpg', '--output', 'a.ecsv') == 1
        assert len(QTable.read('a.ecsv')) == 1


class TestPredictCatalogue:
    @pytest.fixture
    def catalogue(self, folder):
        names = ['2.png', '', 'größe/0.png', 'gone.png']
        table = Table({'id': [9, 7, 5, 3], 'path': names, 'r90': [5.0, 5, 5, -1]})
        table.write(folder / 'größe' / 'catalogue.ecsv')
        return folder / 'größe' / 'catalogue.ecsv'

    def test_rows_are_those_of_the_catalogue(self, catalogue, predict, capsys):
        assert predict(catalogue, '--size', 'r90', '--output', 'a.ecsv') == 0
        table = QTable.read('a.ecsv')
        assert table['id'].tolist() == [9, 7, 5, 3]
        assert table['path'].filled('').tolist() == [
            '2.png', '', 'größe/0.png', 'gone.png',
        ]  # fmt: skip
        assert table['morphology_class'].mask.tolist() == [False, True, False, True]
        assert 'MISSING_IMAGE' in capsys.readouterr().out

    def test_column_of_the_same_name(self, catalogue, predict, capsys):
        assert predict(catalogue, '--output', 'a.ecsv') == 0
        assert predict('a.ecsv', '--output', 'b.ecsv') == 2
        assert 'already has the columns' in capsys.readouterr().err
        assert predict('a.ecsv', '--output', 'a.ecsv', '--overwrite') == 0
        assert '--overwrite replaces 5' in capsys.readouterr().err
        assert len(QTable.read('a.ecsv').colnames) == 55

    def test_positions_on_a_mosaic(self, folder, predict):
        rng = np.random.default_rng(2)
        wcs = make_wcs((120, 150))
        make_hdu(rng.normal(size=(120, 150)).astype('f4'), wcs).writeto('m.fits')
        ra, dec = wcs.all_pix2world([40, 100, 900], [50, 60, 50], 0)
        table = Table({'ra': ra, 'dec': dec, 'r90': [3.0, 3, 3]})
        table.write('catalogue.fits')
        options = ('--mosaic', 'm.fits', '--size', 'r90', '--output', 'a.fits')
        assert predict('catalogue.fits', *options) == 0
        flags = QTable.read('a.fits')['morphology_flags']
        assert galmorph.decode_flags(flags[2]) == ('OUTSIDE_IMAGE',)

    def test_empty_catalogue(self, catalogue, predict, folder):
        Table.read(catalogue)[:0].write('empty.ecsv')
        assert predict('empty.ecsv', '--output', 'a.ecsv') == 0
        assert len(QTable.read('a.ecsv')) == 0


class TestFoundOutBeforeTheWork:
    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['größe', '--output', 'no/a.ecsv'], "folder 'no' is not there"),
            (['größe', '--output', 'größe'], 'is a folder'),
            (['größe', '--output', 'here.ecsv'], 'exists; give --overwrite'),
            (['größe', '--output', 'a.jpg'], 'no table format'),
            (['größe', '--output', 'a'], 'no table format'),
            (['größe', '--output', 'a.fits'], 'cannot hold the text'),
            (['gone.png', '--output', 'a.ecsv'], "no file 'gone.png'"),
            (['*.gone', '--output', 'a.ecsv'], 'no file matches'),
            (['empty', '--output', 'a.ecsv'], 'holds no FITS file'),
            (['gone.ecsv', '--output', 'a.ecsv'], "no file 'gone.ecsv'"),
            (['bad.ecsv', '--output', 'a.ecsv'], 'cannot read the catalogue'),
            (['here.ecsv', 'größe', '--output', 'a.ecsv'], 'or one catalogue'),
            (['here.ecsv', '--output', 'a.ecsv'], 'no column of images'),
            (['here.ecsv', '--output', 'a.ecsv', '--image', 'x'], "'x' is no column"),
            (['here.ecsv', '--output', 'a.ecsv', '--mosaic', 'x.fits'], 'no file'),
            (['größe', '--output', 'a.ecsv', '--mosaic', 'x.fits'], 'catalogue'),
            (['größe', '--output', 'a.ecsv', '--size', 'r90'], 'neither a column'),
            (['größe', '--output', 'a.ecsv', '--size', '3'], 'needs a unit'),
            (['größe', '--output', 'a.ecsv', '--size', '3 s'], 'an angle'),
            (['größe', '--output', 'a.ecsv', '--columns', 'colour'], 'columns must'),
        ],
    )
    def test_exit_2_and_one_line(self, folder, predict, capsys, arguments, message):
        (folder / 'empty').mkdir()
        (folder / 'bad.ecsv').write_text('# %ECSV 1.0\nno yaml')
        Table({'id': [1]}).write('here.ecsv')
        before = sorted(folder.rglob('*'))
        assert predict(*arguments) == 2
        out, err = capsys.readouterr()
        assert out == ''
        assert err.startswith('galmorph: error: ')
        assert message in err
        assert err.count('\n') == 1
        assert sorted(folder.rglob('*')) == before

    def test_output_folder_that_cannot_be_written_to(self, folder, predict, capsys):
        # Root may write anywhere, so a file stands in for a closed folder.
        (folder / 'file').touch()
        assert predict('größe', '--output', 'file/a.ecsv') == 2
        assert main(['demo', '--output', 'file']) == 2
        assert capsys.readouterr().err.count('galmorph: error: ') == 2

    def test_wrong_device(self, folder, tiny_card, capsys):
        arguments = ['größe', '--output', 'a.ecsv', '--device', 'gpu']
        assert main(['predict', *arguments, '--weights', str(tiny_card)]) == 1
        assert "device 'gpu'" in capsys.readouterr().err


def test_interrupt(monkeypatch, capsys):
    def stop(_):
        raise KeyboardInterrupt

    monkeypatch.setattr('galmorph.cli.commands._info', stop)
    assert _parser().parse_args(['info']).run is stop
    assert main(['info']) == 130
    assert 'interrupted' in capsys.readouterr().err


@needs_shared_data
def test_real_images(tmp_path):
    output = tmp_path / 'a.ecsv'
    pattern = SHARED_DATA / 'candels_goodss' / 'fits' / '*_h.fits.gz'
    assert main(['predict', str(pattern), '--output', str(output), '--quiet']) == 0
    table = QTable.read(output)
    wanted = (
        galmorph.MorphologyFlag.OTHER_INSTRUMENT | galmorph.MorphologyFlag.SINGLE_BAND
    )
    assert len(table) > 10
    assert not np.ma.is_masked(table['morphology_class'])
    assert ((table['morphology_flags'] & int(wanted)) == int(wanted)).all()
