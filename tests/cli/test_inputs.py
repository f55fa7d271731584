# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of what the command line is given."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import Table

from galmorph.cli.inputs import (
    collect,
    parse_hdu,
    parse_mosaic,
    parse_names,
    parse_size,
    parse_weights,
    parse_zooms,
)
from galmorph.cli.outputs import RequestError
from tests.helpers.fits import make_hdu


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('b.fits', 'a.fits.gz', 'c.FIT'):
        make_hdu().writeto(name)
    for name in ('d.JPG', 'e.txt', 'f.png'):
        (tmp_path / name).touch()
    (tmp_path / 'sub.fits').mkdir()
    return tmp_path


class TestImages:
    def test_folder_gives_its_images_in_order(self, folder):
        table, images = collect([str(folder)])
        names = [path.rpartition('/')[2] for path in images]
        assert names == ['a.fits.gz', 'b.fits', 'c.FIT', 'd.JPG', 'f.png']
        assert table['path'].tolist() == images

    def test_patterns_and_files_in_the_order_given(self, folder):
        _, images = collect(['f.png', '[ab].fits*'])
        assert images == ['f.png', 'a.fits.gz', 'b.fits']

    def test_file_whose_name_looks_like_a_pattern(self, folder):
        make_hdu().writeto('[x].fits')
        assert collect(['[x].fits'])[1] == ['[x].fits']

    def test_damaged_fits_is_left_to_the_reader(self, folder):
        (folder / 'bad.fits').write_bytes(b'SIMPLE  =')
        assert collect(['bad.fits'])[1] == ['bad.fits']

    def test_same_file_twice_is_two_rows(self, folder):
        assert len(collect(['f.png', 'f.png'])[0]) == 2


class TestCatalogues:
    @pytest.mark.parametrize(
        'name', ['t.ecsv', 't.csv', 't.fits', 't.vot', 't.fits.gz', 't.html']
    )
    def test_formats(self, folder, name):
        table = Table({'path': ['b.fits', 'f.png']})
        format_ = 'votable' if name.endswith('vot') else None
        table.write(name, format=format_)
        read, images = collect([name])
        assert images == ['b.fits', 'f.png']
        assert read.colnames == ['path']

    def test_fits_with_an_image_is_an_image_unless_told(self, folder):
        table = fits.table_to_hdu(Table({'path': ['f.png']}))
        fits.HDUList([fits.PrimaryHDU(np.eye(9)), table]).writeto('both.fits')
        assert collect(['both.fits'])[1] == ['both.fits']
        assert collect(['both.fits'], format='fits')[1] == ['f.png']

    def test_paths_here_come_before_those_beside_the_catalogue(self, folder):
        (folder / 'far').mkdir()
        for name in ('f.png', 'g.png'):
            (folder / 'far' / name).touch()
        Table({'path': ['f.png', 'g.png', 'no.png']}).write('far/t.csv')
        assert collect(['far/t.csv'])[1] == ['f.png', 'far/g.png', 'no.png']

    def test_masked_path_stays_missing(self, folder):
        (folder / 't.csv').write_text('id,path\n1,f.png\n2,\n')
        assert collect(['t.csv'])[1] == ['f.png', None]

    def test_mosaic_needs_positions(self, folder):
        Table({'path': ['f.png']}).write('t.csv')
        with pytest.raises(RequestError, match='no positions'):
            collect(['t.csv'], mosaic='b.fits')
        Table({'RA': [1.0], 'Dec': [2.0]}).write('r.csv')
        assert collect(['r.csv'], mosaic='b.fits')[1] is None
        with pytest.raises(RequestError, match='not both'):
            collect(['r.csv'], mosaic='b.fits', image='RA')


class TestParse:
    def test_size_of_a_column_or_of_all(self):
        table = Table({'r90': [3.0, -1.0]})
        assert parse_size(None, table) is None
        np.testing.assert_array_equal(parse_size('r90', table).value, [3, np.nan])
        assert parse_size('12 pix', table).unit == u.pix
        assert parse_size('12 pix', table).value.tolist() == [12, 12]

    @pytest.mark.parametrize('text', ['r50', '3', '3 s', 'arcsec3'])
    def test_size_that_is_none(self, text):
        with pytest.raises(RequestError, match='size'):
            parse_size(text, Table({'r90': [3.0]}))

    def test_hdu(self):
        assert parse_hdu(None) is None
        assert parse_hdu('-1') == -1
        assert parse_hdu('SCI,2') == ['SCI', 2]

    def test_names(self):
        assert parse_names(None) is None
        assert parse_names(' g, r ,,i') == ['g', 'r', 'i']

    def test_mosaic(self, tmp_path):
        assert parse_mosaic('tiles/*.fits') == 'tiles/*.fits'
        assert parse_mosaic('g=a.fits, r=b/*.fits') == {'g': 'a.fits', 'r': 'b/*.fits'}
        for text in ('s3://a/b.fits?v=1', 'g=a.fits,b.fits', '=a.fits', 'g='):
            assert parse_mosaic(text) == text
        path = tmp_path / 'seeing=2,depth=3.fits'
        path.touch()
        assert parse_mosaic(str(path)) == str(path)

    def test_weights(self, tmp_path):
        assert parse_weights(None) is None
        assert parse_weights('a') == 'a'
        assert parse_weights('a, b.yaml') == ['a', 'b.yaml']
        path = tmp_path / 'one, two.yaml'
        path.touch()
        assert parse_weights(str(path)) == str(path)


class TestZooms:
    def test_numbers(self):
        assert parse_zooms('1', 1) == (1.0,)
        assert parse_zooms('0.8, 1,1.25', 6) == (0.8, 1, 1.25)

    @pytest.mark.parametrize(
        ('text', 'n_transforms', 'message'),
        [
            ('1,two', 2, "--zooms '1,two' must be numbers"),
            ('1,-2', 2, 'zooms must be positive'),
            ('1,2', 3, 'cannot be shared among 2 zooms'),
            ('', 1, 'cannot be shared among 0 zooms'),
        ],
    )
    def test_others(self, text, n_transforms, message):
        with pytest.raises(ValueError, match=message):
            parse_zooms(text, n_transforms)
