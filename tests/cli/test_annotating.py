# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`galmorph predict` from file to file."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import QTable
from PIL import Image

from galmorph import MorphologyFlag
from galmorph.cli import main
from galmorph.cli.annotating import is_streamed
from tests.helpers.fits import make_wcs
from tests.helpers.tiny import draw_stamps


@pytest.fixture
def catalogue(tmp_path):
    """A table of two pictures in its own folder, and one that is lost."""
    for number, stamp in enumerate(draw_stamps(2)):
        Image.fromarray(stamp).save(tmp_path / f'{number}.png')
    path = tmp_path / 'catalogue.ecsv'
    QTable({'path': ['0.png', '1.png', 'lost.png']}).write(path)
    return path


@pytest.fixture
def mosaic(tmp_path):
    """Two tiles with a galaxy each, and a table of them in two files."""
    wcs = make_wcs((100, 200))
    y, x = np.mgrid[:100, :200]
    pixels = sum(np.exp(-np.hypot(x - at, y - 50) / 3) for at in (50, 150))
    folder = tmp_path / 'tiles'
    folder.mkdir()
    for number, left in enumerate((0, 100)):
        part = wcs[:, left : left + 100].to_header()
        part['BUNIT'], part['FILTER'] = 'nanomaggy', 'r'
        fits.writeto(
            folder / f'{number}.fits',
            pixels[:, left : left + 100].astype(np.float32),
            part,
        )
    sky = wcs.pixel_to_world([50, 150, 50], [50, 50, 5000])
    table = QTable({'ra': sky.ra, 'dec': sky.dec, 'size': [4, 4, 4]})
    table[:1].write(tmp_path / 'a.parquet')
    table[1:].write(tmp_path / 'b.parquet')
    return tmp_path


def run(*arguments):
    return main(['predict', *map(str, arguments), '--device', 'cpu'])


def test_resumed_command(catalogue, tiny_card, tmp_path, capsys):
    output = tmp_path / 'out.parquet'
    command = [catalogue, '--output', output, '--resume', '--weights', tiny_card]
    assert run(*command) == 0
    out, err = capsys.readouterr()
    assert 'predicted 2 of 3 galaxies (tiny.gz2' in out
    assert '1  UNREADABLE_IMAGE' in out
    assert f'wrote {output}' in out
    assert '3/3' in err
    assert 'unanswered=1' in err
    found = QTable.read(output)
    assert found['morphology_class'].mask.tolist() == [False, False, True]
    before = output.stat().st_mtime_ns
    assert run(*command) == 0
    assert 'had been finished by this command before' in capsys.readouterr().out
    assert output.stat().st_mtime_ns == before


def test_tiles_and_several_tables(mosaic, tiny_card, tmp_path, capsys):
    output = tmp_path / 'out.fits'
    command = [
        mosaic / 'a.parquet', mosaic / 'b.parquet', '--mosaic', mosaic / 'tiles/*.fits',
        '--size', 'size', '--columns', 'best', '--output', output,
        '--weights', tiny_card,
    ]  # fmt: skip
    assert run(*command, '--quiet') == 0
    assert not any(capsys.readouterr())
    found = QTable.read(output)
    assert found['morphology_probability'].mask.tolist() == [False, False, True]
    assert run(*command) == 2
    assert 'exists; --overwrite replaces it' in capsys.readouterr().err
    assert run(*command, '--overwrite', '--quiet') == 0
    assert not capsys.readouterr().err
    again = [output, *command[2:], '--overwrite', '--quiet']
    again[again.index('--output') + 1] = tmp_path / 'again.fits'
    assert run(*again) == 0
    assert 'replaces' in capsys.readouterr().err


def test_a_file_for_each_band(mosaic, tiny_card, tmp_path, capsys):
    (tile, *_) = sorted((mosaic / 'tiles').glob('*.fits'))
    command = [
        mosaic / 'a.parquet', '--size', 'size', '--output', tmp_path / 'a.ecsv',
        '--weights', tiny_card, '--quiet',
    ]  # fmt: skip
    assert run(*command, '--mosaic', f'g={tile},r={tile},i={tile}') == 0
    found = QTable.read(tmp_path / 'a.ecsv')
    assert not (found['morphology_flags'] & int(MorphologyFlag.SINGLE_BAND)).any()
    assert run(*command, '--overwrite', '--mosaic', f'g={tile},r=lost.fits') == 2
    assert "no file 'lost.fits' for --mosaic" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('options', 'text'),
    [
        (['--size', 'radius'], "--size 'radius' is neither a column"),
        (['--size', '3'], "--size '3' needs a unit"),
        (['--columns', 'colour'], 'columns must be'),
        (['--processes', '0'], 'n_processes must be at least 1'),
        (['--mosaic', 'nowhere/*.fits'], 'the table has no positions'),
        (['--image', 'place'], "image='place' is no column"),
    ],
)
def test_requests_that_cannot_be_met(catalogue, tiny_card, capsys, options, text):
    output = catalogue.with_name('out.parquet')
    command = [catalogue, '--output', output, '--resume', '--weights', tiny_card]
    assert run(*command, *options) == 2
    assert text in capsys.readouterr().err
    assert not list(output.parent.glob('out*'))


def test_lost_tiles(mosaic, tiny_card, capsys):
    output = mosaic / 'out.parquet'
    command = [mosaic / 'a.parquet', '--output', output, '--weights', tiny_card]
    assert run(*command, '--mosaic', mosaic / 'nowhere/*.fits') == 2
    assert 'nowhere' in capsys.readouterr().err
    assert not output.exists()


def test_other_formats_of_output(catalogue, tiny_card, tmp_path, capsys):
    output = tmp_path / 'out.ecsv'
    command = [catalogue, '--output', output, '--weights', tiny_card]
    assert run(*command, '--resume') == 2
    assert 'must end in .parquet or .fits' in capsys.readouterr().err
    assert run(*command, '--quiet') == 0


def test_which_go_from_file_to_file():
    class Arguments:
        resume, processes, mosaic, survey, output = False, 1, None, None, 'a.parquet'

    arguments = Arguments()
    assert not is_streamed(arguments)
    for name, value in [('resume', True), ('processes', 2), ('mosaic', 'm.fits')]:
        other = Arguments()
        setattr(other, name, value)
        assert is_streamed(other)
    arguments.mosaic, arguments.output = 'm.fits', 'a.ecsv'
    assert not is_streamed(arguments)
