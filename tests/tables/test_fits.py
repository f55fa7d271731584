# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gzip

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table

from galmorph.tables import TableWriter, open_tables
from tests.helpers.columns import assert_same, chunks_of, make_table


def write_chunks(path, table, size=6, **kwargs):
    with TableWriter(path, table[:0], **kwargs) as writer:
        for start in range(0, len(table), size):
            writer.write(table[start : start + size])


@pytest.mark.parametrize('chunk_size', [7, 100])
def test_chunks_are_the_table(tmp_path, chunk_size):
    path = tmp_path / 'a.fits'
    make_table().write(path)
    assert_same(chunks_of(path, chunk_size), QTable.read(path))


def test_written_chunks_are_the_table(tmp_path):
    path = tmp_path / 'a.fits'
    table = make_table()
    # FITS has another way to write it
    table['flux'].info.format = None
    write_chunks(path, table)
    assert_same(QTable.read(path), table, texts_of_bytes=True)
    assert_same(chunks_of(path, 7), table, texts_of_bytes=True)
    with fits.open(path) as hdus:
        hdus.verify('exception')
        assert hdus[1].header['TNULL2'] == np.iinfo('i4').min
    assert path.stat().st_size % 2880 == 0


def test_table_of_no_rows(tmp_path):
    path = tmp_path / 'a.fits'
    table = make_table()[['id', 'count', 'size', 'name', 'coord', 'pair']][:0]
    write_chunks(path, table)
    assert_same(QTable.read(path), table, texts_of_bytes=True)
    with open_tables(path) as stream:
        assert_same(stream.read(0, 9), table, texts_of_bytes=True)
        assert stream.n_rows == 0


def test_bytes_depend_on_the_rows_alone(tmp_path):
    table = make_table()[['id', 'flux', 'name', 'coord']]
    write_chunks(tmp_path / 'a.fits', table, 6)
    write_chunks(tmp_path / 'b.fits', table, 20)
    contents = [(tmp_path / f'{name}.fits').read_bytes() for name in 'ab']
    assert contents[0] == contents[1]


def test_compressed_file(tmp_path):
    path = tmp_path / 'a.fits.gz'
    table = Table({'a': range(50), 'b': np.arange(50.0)})
    table.write(path)
    with open_tables(path) as stream:
        assert stream.read(30, 33)['a'].tolist() == [30, 31, 32]
        assert stream.read(3, 5)['b'].tolist() == [3, 4]


def test_arrays_of_any_length(tmp_path):
    path = tmp_path / 'a.fits'
    arrays = np.array([np.arange(i % 4, dtype='f4') for i in range(12)], object)
    words = np.array(['x' * (i % 3) for i in range(12)], object)
    columns = [
        fits.Column('v', 'PE()', array=arrays),
        fits.Column('n', 'J', array=range(12)),
        fits.Column('w', 'QA()', array=words),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    whole = QTable.read(path)
    table = chunks_of(path, 5)
    assert table['n'].tolist() == list(range(12))
    for name in 'vw':
        for cell, expected in zip(table[name], whole[name], strict=True):
            np.testing.assert_array_equal(cell, expected)


def test_scaled_columns(tmp_path):
    path = tmp_path / 'a.fits'
    values = np.arange(12)
    columns = [
        fits.Column('a', 'I', array=values),
        fits.Column('u', 'J', array=values.astype('u4'), bzero=2**31),
        fits.Column('n', 'I', array=values, null=4, unit='m'),
        fits.Column('l', 'L', array=values > 3),
        fits.Column('c', 'M', array=values + 1j),
        fits.Column('s', '3A', array=['ab', '', 'c'] * 4),
    ]
    fits.BinTableHDU.from_columns(columns).writeto(path)
    fits.setval(path, 'TSCAL1', value=0.5, ext=1)
    fits.setval(path, 'TZERO1', value=3.0, ext=1)
    assert QTable.read(path)['a'][1] == 3.5
    assert_same(chunks_of(path, 5), QTable.read(path))


def test_older_kind_of_table(tmp_path):
    path = tmp_path / 'a.fits'
    columns = [
        fits.Column('a', 'I6', array=range(12), ascii=True),
        fits.Column('b', 'F9.3', array=np.arange(12) / 4, ascii=True),
        fits.Column('s', 'A5', array=['ab', '', 'cde'] * 4, ascii=True),
    ]
    fits.TableHDU.from_columns(columns).writeto(path)
    assert_same(chunks_of(path, 5), QTable.read(path))


def test_first_table_is_read(tmp_path):
    path = tmp_path / 'a.fits'
    image = fits.CompImageHDU(np.zeros((8, 8), 'i2'))
    tables = [fits.table_to_hdu(Table({name: [1, 2]})) for name in 'ab']
    fits.HDUList([fits.PrimaryHDU(), image, *tables]).writeto(path)
    with open_tables(path) as stream:
        assert stream.colnames == ['a']


def test_missing_integer_keeps_its_value(tmp_path):
    path = tmp_path / 'a.fits'
    column = MaskedColumn([1, 2, 3], mask=[False, True, False], fill_value=-99)
    write_chunks(path, QTable({'a': column}), 2)
    assert fits.getheader(path, 1)['TNULL1'] == -99
    assert QTable.read(path)['a'].tolist() == [1, None, 3]


def test_value_that_means_missing_is_refused(tmp_path):
    column = MaskedColumn([1, -99], mask=[False, False], fill_value=-99)
    with pytest.raises(ValueError, match="column 'a' has the value -99"):
        write_chunks(tmp_path / 'a.fits', QTable({'a': column}))


def test_no_string_is_cut(tmp_path):
    path = tmp_path / 'a.fits'
    with TableWriter(path, Table({'s': Column([], dtype='U3')})) as writer:
        writer.write(Table({'s': ['abc', 'a']}))
        with pytest.raises(ValueError, match="column 's' has a string of 4 char"):
            writer.write(Table({'s': ['abcd']}))
    assert QTable.read(path)['s'].tolist() == ['abc', 'a']


def test_letters_beyond_ascii_are_refused(tmp_path):
    with pytest.raises(ValueError, match="column 's': FITS has no letters but ASCII"):
        write_chunks(tmp_path / 'a.fits', Table({'s': ['é']}))


def test_objects_are_refused(tmp_path):
    table = Table({'s': np.array([[1], [1, 2]], dtype=object)})
    with pytest.raises(ValueError, match="FITS cannot hold column 's' of object"):
        write_chunks(tmp_path / 'a.fits', table)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('content', [b'', b'SIMPLE  =', b'galaxies' * 1000])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / 'a.fits'
    path.write_bytes(content)
    with pytest.raises(OSError, match=r'a\.fits cannot be read as FITS'):
        open_tables(path)


def test_file_without_table_is_named(tmp_path):
    path = tmp_path / 'a.fits'
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(path)
    with pytest.raises(OSError, match=r'a\.fits .* holds no table'):
        open_tables(path)


@pytest.mark.filterwarnings('ignore:File may have been truncated')
@pytest.mark.parametrize('compressed', [False, True])
def test_file_cut_short_is_named(tmp_path, compressed):
    path = tmp_path / 'a.fits'
    Table({'a': np.random.default_rng(1).random(10_000)}).write(path)
    content = path.read_bytes()
    if compressed:
        path = tmp_path / 'a.fits.gz'
        content = gzip.compress(content)
    path.write_bytes(content[: len(content) // 2])
    with (
        pytest.raises(OSError, match=r'a\.fits.* cannot be read as FITS'),
        open_tables(path) as stream,
    ):
        stream.read(0, 10_000)
