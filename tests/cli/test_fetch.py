# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the commands ``fetch`` and ``cache``, and of ``predict --survey``."""

import subprocess
import sys

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import QTable, Table
from PIL import Image

from galmorph import GalaxyImage, MorphologyFlag, read_image
from galmorph.cli import main
from galmorph.exceptions import ImageError
from galmorph.sources import ImageCache, ImageSource, register_source, registry
from tests.helpers.fits import make_wcs


class Plates(ImageSource):
    """A survey of ra below 100 that keeps what it is asked for."""

    title = 'plates'
    survey = 'Plates'
    bands = ('g', 'r', 'i')
    default_bands = ('r',)
    default_size = 20 * u.arcsec
    attribution = 'thank the plates'
    bibtex = '@misc{plates}'
    is_down = False
    is_picture = False

    def covers(self, coords):
        return coords.ra.deg < 100

    def fetch_one(self, target):
        if target.ra >= 100:
            msg = 'no plate here'
            raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
        self.archive.file(f'{target.ra:.4f}', self.download)
        size = self.default_size if target.size is None else target.size
        n = round(size.to_value(u.arcsec) / 0.4) + 1
        wcs = make_wcs((n, n), scale=0.4)
        wcs.wcs.crval = target.ra, target.dec
        y, x = np.mgrid[:n, :n] - (n - 1) / 2
        light = np.exp(-np.hypot(x, y) / 4) * np.ones((len(target.bands), 1, 1))
        light[:, -1] += 0.1
        return GalaxyImage(
            (255 * light).astype('uint8') if self.is_picture else light.astype('f4'),
            bands=target.bands,
            unit=None if self.is_picture else u.nmgy,
            wcs=wcs,
            size=target.radius,
            is_picture=self.is_picture,
            meta={'survey': self.survey},
        )

    def download(self):
        if type(self).is_down:
            raise ConnectionError
        return b'a plate'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A current folder with a catalogue, and a survey 'plates'."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg'))
    (tmp_path / 'xdg').mkdir()
    monkeypatch.setattr(registry, '_registered', {})
    monkeypatch.setattr(Plates, 'is_down', False)
    monkeypatch.setattr(Plates, 'is_picture', False)
    register_source('plates')(Plates)
    table = Table(
        {
            'name': ['NGC 1', 'a/b', 'c', 'd'],
            'ra': [10.0, 20.0, 200.0, np.nan],
            'dec': [1.0, 2.0, 3.0, 4.0],
            'r90': [3.0, -1.0, 4.0, 5.0],
            'side': [10.0, 40.0, 10.0, 10.0],
        }
    )
    table.write('cat.ecsv')
    return tmp_path


def fetch(*arguments):
    return main(
        ['fetch', 'cat.ecsv', '--survey', 'plates', '--output', 'out',
         '--retries', '0', *arguments]
    )  # fmt: skip


def fetched():
    return QTable.read('out/fetched.ecsv')


class TestFetch:
    def test_a_file_and_a_row_a_target(self, folder, capsys):
        assert fetch('--id', 'name') == 0
        names = sorted(path.name for path in (folder / 'out').iterdir())
        assert names == ['NGC_1.fits', 'a_b.fits', 'fetched.ecsv']
        table = fetched()
        assert table.colnames[:2] == ['name', 'ra']
        assert table['path'].tolist() == ['NGC_1.fits', 'a_b.fits', None, None]
        flags = MorphologyFlag.NO_COVERAGE, MorphologyFlag.BAD_COORDINATES
        assert table['fetch_flags'].tolist() == [0, 0, *flags]
        assert table['fetch_reason'][2] == 'no plate here'
        assert table.meta['survey'] == 'plates'
        assert table.meta['attribution'] == 'thank the plates'
        out, err = capsys.readouterr()
        assert 'images of 2 of 4 targets\n' in out
        assert '1  NO_COVERAGE' in out
        assert 'thank the plates' in out
        assert '4/4' in err

    def test_what_a_file_holds(self, folder):
        assert fetch('--bands', 'gri', '--radius', 'r90', '--quiet') == 0
        image = read_image('out/row0.fits')
        assert image.bands == ('g', 'r', 'i')
        assert image.unit == u.nmgy
        assert image.shape2d == (51, 51)
        target = SkyCoord(10, 1, unit='deg')
        assert image.wcs.pixel_to_world(25, 25).separation(target) < 0.01 * u.arcsec
        header = fits.getheader('out/row0.fits')
        assert header['RADIUS'] == 3
        assert header['SURVEY'] == 'Plates'
        assert (header['RA_TARG'], header['DEC_TARG']) == (10, 1)
        assert 'RADIUS' not in fits.getheader('out/row1.fits')

    @pytest.mark.parametrize(
        ('size', 'sides'), [('20 arcsec', [51, 51]), ('side', [26, 101])]
    )
    def test_sizes(self, folder, size, sides):
        assert fetch('--size', size, '--quiet') == 0
        shapes = [read_image(f'out/row{row}.fits').shape2d[0] for row in (0, 1)]
        assert shapes == sides

    def test_pictures_stand_upright(self, folder, monkeypatch):
        monkeypatch.setattr(Plates, 'is_picture', True)
        assert fetch('--bands', 'i,r,g') == 0
        pixels = np.asarray(Image.open('out/row0.png'))
        assert pixels.shape == (51, 51, 3)
        # The bright edge is in the north, which is the top of a picture.
        assert pixels[0].mean() > pixels[-1].mean() + 20
        assert read_image('out/row0.png').is_picture

    def test_edge_of_a_field_is_padded(self, folder, monkeypatch):
        fetch_one = Plates.fetch_one

        def cut(self, target):
            image = fetch_one(self, target)
            return image.section(20, 51, 0, 40, position=(25, 25))

        monkeypatch.setattr(Plates, 'fetch_one', cut)
        assert fetch('--quiet') == 0
        image = read_image('out/row0.fits')
        target = SkyCoord(10, 1, unit='deg')
        x, y = image.wcs.world_to_pixel(target)
        np.testing.assert_allclose(image.position, (x, y), atol=0.51)
        assert np.nanargmax(image.data[0]) == np.ravel_multi_index(
            (round(float(y)), round(float(x))), image.shape2d
        )
        assert np.isnan(image.data).any()

    def test_second_run_fetches_what_is_missing(self, folder, monkeypatch, capsys):
        monkeypatch.setattr(Plates, 'is_down', True)
        assert fetch() == 1
        assert fetched()['fetch_flags'][0] == MorphologyFlag.ARCHIVE_ERROR
        assert 'ConnectionError' in fetched()['fetch_reason'][0]
        monkeypatch.setattr(Plates, 'is_down', False)
        assert fetch() == 0
        before = (folder / 'out' / 'row0.fits').stat().st_mtime_ns
        (folder / 'out' / 'row1.fits').unlink()
        capsys.readouterr()
        assert fetch() == 0
        assert 'images of 2 of 4 targets, 1 of them from before' in (
            capsys.readouterr().out
        )
        assert (folder / 'out' / 'row0.fits').stat().st_mtime_ns == before
        assert fetched()['path'].tolist() == ['row0.fits', 'row1.fits', None, None]

    def test_interrupted_run_leaves_its_table(self, folder, monkeypatch):
        fetch_one = Plates.fetch_one
        calls = []

        def interrupted(self, target):
            calls.append(target)
            if target.ra == 20:
                raise KeyboardInterrupt
            return fetch_one(self, target)

        monkeypatch.setattr(Plates, 'fetch_one', interrupted)
        assert fetch('--quiet') == 130
        table = fetched()
        assert table['path'].tolist() == ['row0.fits', None, None, None]
        assert table['fetch_flags'][1] == MorphologyFlag.MISSING_IMAGE

    def test_offline(self, folder, capsys):
        assert fetch('--offline', '--cache', 'kept') == 1
        assert fetched()['fetch_flags'][0] == MorphologyFlag.NOT_CACHED
        assert fetch('--cache', 'kept') == 0
        for path in (folder / 'out').iterdir():
            path.unlink()
        assert fetch('--offline', '--cache', 'kept', '--quiet') == 0

    def test_its_table_is_an_input_of_predict(self, folder, tiny_card):
        fetch('--bands', 'gri', '--radius', 'r90', '--quiet')
        arguments = ['predict', 'out/fetched.ecsv', '--output', 'a.ecsv']
        arguments += ['--weights', str(tiny_card), '--device', 'cpu', '--quiet']
        assert main([*arguments, '--size', 'r90']) == 0
        table = QTable.read('a.ecsv')
        assert table['morphology_class'].mask.tolist() == [False, False, True, True]

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['--survey', 'plate'], "did you mean 'plates'"),
            (['--bands', 'F160W'], 'bands must be among'),
            (['--size', '3'], "--size '3' needs a unit"),
            (['--radius', 'r50'], "--radius 'r50' is neither a column"),
            (['--size', '3 pix'], 'size must be an angle'),
            (['--id', 'objid'], "--id 'objid' is no column"),
            (['--id', 'twice'], 'does not name each row for itself'),
            (['--connections', '0'], 'n_connections must be at least 1'),
            (['--retries', '-1'], 'n_retries and backoff must not be negative'),
            (['--output', 'cat.ecsv'], 'cannot write into the output folder'),
        ],
    )
    def test_requests_that_cannot_be_met(self, folder, arguments, message, capsys):
        table = Table.read('cat.ecsv')
        table['twice'] = ['a', 'b', 'A', 'c']
        table.write('cat.ecsv', overwrite=True)
        assert fetch(*arguments) == 2
        assert message in capsys.readouterr().err

    def test_catalogues_without_positions(self, folder, capsys):
        Table({'x': [1]}).write('cat.ecsv', overwrite=True)
        assert fetch() == 2
        assert 'no positions' in capsys.readouterr().err


class TestCache:
    def test_shows_and_clears(self, folder, capsys):
        fetch('--quiet', '--cache', 'kept')
        ImageCache('kept').put('other', 'x', bytes(2500))
        capsys.readouterr()
        assert main(['cache', '--cache', 'kept']) == 0
        out = capsys.readouterr().out
        assert 'folder  kept' in out
        assert 'limit   20 GB' in out
        lines = {line.split()[0]: line for line in out.splitlines()}
        assert '2 files    14 bytes' in lines['plates']
        assert '1 files      2.5 kB' in lines['other']
        assert main(['cache', '--cache', 'kept', '--clear', 'other']) == 0
        assert 'deleted 2.5 kB in kept' in capsys.readouterr().out
        assert {entry.source for entry in ImageCache('kept').entries()} == {'plates'}
        assert main(['cache', '--cache', 'kept', '--clear']) == 0
        assert ImageCache('kept').entries() == []
        assert main(['cache', '--cache', 'kept']) == 0
        assert 'nothing is kept' in capsys.readouterr().out

    def test_clears_no_unknown_source(self, folder, capsys):
        assert main(['cache', '--cache', 'kept', '--clear', 'sdss']) == 2
        assert "nothing of 'sdss' is kept, but of []" in capsys.readouterr().err

    def test_verifies(self, folder, capsys):
        fetch('--quiet', '--cache', 'kept')
        assert main(['cache', '--cache', 'kept', '--verify']) == 0
        assert capsys.readouterr().out == '2 files, 0 of them damaged\n'
        entry = ImageCache('kept').get('plates', '10.0000')
        entry.path.write_bytes(b'a plane')
        assert main(['cache', '--cache', 'kept', '--verify']) == 1
        out = capsys.readouterr().out
        assert out == 'deleted plates: 10.0000\n2 files, 1 of them damaged\n'

    def test_the_default_folder(self, folder, capsys):
        fetch('--quiet')
        assert main(['cache']) == 0
        assert 'plates' in capsys.readouterr().out


class TestPredict:
    @pytest.fixture
    def predict(self, folder, tiny_card):
        def run(*arguments):
            options = ['--weights', str(tiny_card), '--device', 'cpu']
            return main(
                ['predict', 'cat.ecsv', '--output', 'a.ecsv', '--retries', '0',
                 *arguments, *options]
            )  # fmt: skip

        return run

    def test_annotates(self, predict, capsys):
        assert predict('--survey', 'plates', '--bands', 'gri', '--size', 'r90') == 0
        table = QTable.read('a.ecsv')
        assert table['morphology_class'].mask.tolist() == [False, False, True, True]
        flags = table['morphology_flags']
        assert flags[2] & MorphologyFlag.NO_COVERAGE
        assert flags[3] & MorphologyFlag.BAD_COORDINATES
        out = capsys.readouterr().out
        assert 'predicted 2 of 4 galaxies' in out
        assert 'no plate here' in out

    def test_offline(self, predict):
        assert predict('--survey', 'plates', '--offline', '--cache', 'kept') == 1
        flags = QTable.read('a.ecsv')['morphology_flags']
        assert flags[0] == MorphologyFlag.NOT_CACHED

    @pytest.mark.parametrize(
        ('arguments', 'message'),
        [
            (['--survey', 'plate'], "did you mean 'plates'"),
            (['--survey', 'plates', '--bands', 'z'], 'bands must be among'),
            (['--survey', 'plates', '--mosaic', 'm.fits'], 'give one of --image'),
            (['--survey', 'plates', '--hdu', '1'], '--hdu is for images of your own'),
        ],
    )
    def test_requests_that_cannot_be_met(self, predict, arguments, message, capsys):
        assert predict(*arguments) == 2
        assert message in capsys.readouterr().err

    def test_images_are_no_catalogue(self, folder, capsys):
        arguments = ['--survey', 'plates', '--output', 'a.ecsv']
        assert main(['predict', 'x.fits', *arguments]) == 2
        assert '--survey need a catalogue' in capsys.readouterr().err


class TestHelp:
    @pytest.mark.parametrize('command', ['fetch', 'cache'])
    def test_has_an_example(self, command, capsys):
        with pytest.raises(SystemExit, match='0'):
            main([command, '--help'])
        assert f'galmorph {command}' in capsys.readouterr().out.split('example')[1]

    def test_python_m_galmorph(self):
        done = subprocess.run(
            [sys.executable, '-m', 'galmorph', 'weights', 'list'],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0
        assert '* compact.gz2' in done.stdout
