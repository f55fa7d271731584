# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table

from galmorph.tables import TableWriter, open_tables
from tests.helpers.columns import assert_same, chunks_of, make_table


def test_table_in_memory(tmp_path):
    table = make_table()
    assert_same(chunks_of(table, 7), table)
    with open_tables(table) as stream:
        assert stream.paths == []
        assert stream.n_rows == 20
        assert stream.colnames == table.colnames
        read = stream.read(0, 20)
    read['id'][0] = 99
    assert table['id'][0] == 0


def test_units_of_a_plain_table_become_quantities():
    table = Table({'a': [1.0, 2.0]}, units={'a': 'deg'})
    assert open_tables(table).template['a'].unit == 'deg'
    assert isinstance(open_tables(table).read(0, 1)['a'], u.Quantity)


@pytest.mark.parametrize('is_alone', [True, False])
@pytest.mark.parametrize('suffix', ['parquet', 'fits', 'ecsv', 'vot', None])
def test_long_integers_with_a_unit(tmp_path, suffix, is_alone):
    numbers = [2**60 + 1, 3, 2**53 + 1]
    table = Table({'n': Column(numbers, unit='count')})
    table['m'] = MaskedColumn(numbers, unit='count', mask=[1, 0, 0])
    if not is_alone and suffix != 'ecsv':
        table['d'] = Column([1.0, 2, 3], unit='Mpc')
        table['c'] = SkyCoord([1, 2, 3], [4, 5, 6], unit='deg')
    source = table if suffix is None else tmp_path / f'a.{suffix}'
    if suffix in ('parquet', 'fits'):
        with TableWriter(source, table) as writer:
            writer.write(table)
    elif suffix is not None:
        if suffix == 'vot':
            table.remove_columns([name for name in table.colnames if name == 'c'])
        table.write(source, format={'vot': 'votable'}.get(suffix))
    with open_tables(source) as stream:
        assert stream.template['n'].dtype.kind == 'i'
        assert stream.read(2, 3)['n'].value.tolist() == numbers[2:]
        read = stream.read(0, 3)
    assert read['n'].dtype.kind == read['m'].dtype.kind == 'i'
    assert np.asarray(read['n'].value).tolist() == numbers
    assert read['n'].unit == u.count
    assert read['m'].mask.tolist() == [True, False, False]
    assert read['m'].unmasked.value[2] == 2**53 + 1


@pytest.mark.parametrize('suffixes', [('parquet', 'parquet'), ('fits', 'parquet')])
def test_several_tables(tmp_path, suffixes):
    first = QTable(
        {
            'id': np.arange(5, dtype='i4'),
            'size': [1.0, 2, 3, 4, 5] * u.arcsec,
            'name': ['a'] * 5,
            'coord': SkyCoord(np.arange(5) * u.deg, np.zeros(5) * u.deg),
        }
    )
    if suffixes[0] == 'fits':
        first['name'] = first['name'].astype('S')
    second = QTable(
        {
            'name': ['galaxy'] * 4,
            'size': [1.0, 2, 3, 4] * u.arcmin,
            'id': MaskedColumn([1, 2, 3, 4], mask=[0, 1, 0, 0], dtype='i8'),
            'coord': SkyCoord(np.arange(4) * u.deg, np.ones(4) * u.deg),
        }
    )
    paths = [tmp_path / f'{n}.{s}' for n, s in zip('ab', suffixes, strict=True)]
    first.write(paths[0])
    second.write(paths[1])
    with open_tables(paths) as stream:
        assert stream.n_rows == 9
        assert stream.paths == paths
        template = stream.template
        table = stream.read(3, 8)
        only = stream.read(6, 8, ['size'])
    assert template.colnames == table.colnames == first.colnames
    assert table['id'].tolist() == [3, 4, 1, None, 3]
    assert table['id'].dtype == template['id'].dtype == 'i8'
    assert table['size'].unit == 'arcsec'
    np.testing.assert_allclose(table['size'].value, [4, 5, 60, 120, 180])
    np.testing.assert_allclose(only['size'].value, [120, 180])
    assert [str(name) for name in table['name']] == ['a', 'a'] + ['galaxy'] * 3
    np.testing.assert_allclose(table['coord'].dec.deg, [0, 0, 1, 1, 1])
    with open_tables(paths) as stream:
        chunks = [chunk for _, chunk in stream.iterate(2)]
        assert stream.string_widths() == {'name': 6}
    assert all(hasattr(chunk['id'], 'mask') for chunk in chunks)
    assert [len(chunk) for chunk in chunks] == [2, 2, 2, 2, 1]


def test_pattern_in_the_order_of_names(tmp_path):
    (tmp_path / 'deep').mkdir()
    for number, name in enumerate(['b.fits', 'a.fits', 'deep/c.fits']):
        Table({'n': [number]}).write(tmp_path / name)
    with open_tables(f'{tmp_path}/*.fits') as stream:
        assert [path.name for path in stream.paths] == ['a.fits', 'b.fits']
        assert stream.read(0, 9)['n'].tolist() == [1, 0]
    with open_tables(f'{tmp_path}/**/*.fits') as stream:
        assert stream.n_rows == 3


def test_name_that_looks_like_a_pattern(tmp_path):
    path = tmp_path / 'a[1].fits'
    Table({'n': [1]}).write(path)
    with open_tables(path) as stream:
        assert stream.n_rows == 1


@pytest.mark.parametrize(
    ('other', 'match'),
    [
        ({'a': [1.0] * u.m}, r"b\.fits has no column 'b', which .*a\.fits has"),
        (
            {'a': [1.0] * u.m, 'b': [1], 'c': [1]},
            r"b\.fits has a column 'c', which .*a\.fits has not",
        ),
    ],
)
def test_other_columns_are_refused(tmp_path, other, match):
    QTable({'a': [1.0] * u.m, 'b': [1]}).write(tmp_path / 'a.fits')
    QTable(other).write(tmp_path / 'b.fits')
    with pytest.raises(ValueError, match=match):
        open_tables(f'{tmp_path}/*.fits')


@pytest.mark.parametrize('column', [[1.0] * u.s, ['a'], [[1.0, 2.0]] * u.m])
def test_columns_that_do_not_go_together_are_refused(tmp_path, column):
    QTable({'a': [1.0] * u.m}).write(tmp_path / 'a.fits')
    QTable({'a': column}).write(tmp_path / 'b.fits')
    with (
        open_tables(f'{tmp_path}/*.fits') as stream,
        pytest.raises(ValueError, match=r"column 'a' of .*b\.fits does not go with"),
    ):
        stream.read(0, 1)


def test_formats_by_how_files_begin(tmp_path):
    table = Table({'n': [1, 2]})
    for name in ('parquet', 'fits', 'ascii.ecsv', 'votable'):
        path = tmp_path / name.replace('.', '_')
        table.write(path, format=name)
        with open_tables(path) as stream:
            assert stream.read(0, 2)['n'].tolist() == [1, 2]


def test_unknown_formats_are_refused(tmp_path):
    path = tmp_path / 'a.txt'
    path.write_text('1 2 3\n', encoding='utf-8')
    known = 'parquet, fits, ecsv, csv, votable'
    with pytest.raises(ValueError, match=rf'a\.txt is of no format .* {known}'):
        open_tables(path)
    with pytest.raises(ValueError, match=f"unknown format 'hdf5'.* {known}"):
        open_tables(path, format='hdf5')


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r'no file .*a\.fits'):
        open_tables(tmp_path / 'a.fits')
    with pytest.raises(FileNotFoundError, match=r'no file is named like .*\*\.fits'):
        open_tables(f'{tmp_path}/*.fits')
    with pytest.raises(ValueError, match=r'is a folder: .*parquet'):
        open_tables(tmp_path)
    with pytest.raises(ValueError, match='no table to open'):
        open_tables([])
    with pytest.raises(TypeError, match='not int'):
        open_tables(3)


def test_arguments_without_sense_are_refused():
    stream = open_tables(Table({'n': [1, 2]}))
    with pytest.raises(ValueError, match="no column 'm', only n"):
        stream.read(0, 1, ['m'])
    with pytest.raises(ValueError, match='no row -1'):
        stream.read(-1, 1)
    with pytest.raises(ValueError, match='chunk_size must be at least 1, not 0'):
        next(stream.iterate(0))


def test_fingerprint_of_files(tmp_path):
    paths = [tmp_path / name for name in ('a.fits', 'b.fits', 'c.fits')]
    for path, n in zip(paths, [1, 1, 2], strict=True):
        Table({'n': [n]}).write(path)
    prints = []
    for path in paths:
        with open_tables(path) as stream:
            prints.append(stream.fingerprint())
    assert prints[0] == prints[1] != prints[2]
    with open_tables(paths) as stream:
        assert stream.fingerprint() == [p for own in prints for p in own]


def test_fingerprint_of_a_table():
    def fingerprint(**changes):
        table = make_table()
        for name, column in changes.items():
            table[name] = column
        return open_tables(table).fingerprint()

    table = make_table()
    other = make_table(seed=2)
    same = fingerprint()
    assert same == fingerprint()
    for name in ('id', 'count', 'name', 'coord', 'seen', 'holes'):
        changed = table[name].copy()
        changed[0] = changed[1]
        assert fingerprint(**{name: changed}) != same, name
    assert fingerprint(size=other['size'].value * u.arcmin) != same
    hidden = table['count'].copy()
    hidden.data[hidden.mask] += 1
    assert fingerprint(count=hidden) == same
    hidden.mask[0] = True
    assert fingerprint(count=hidden) != same
    described = make_table()
    described.meta['NUMBER'] = 4
    assert open_tables(described).fingerprint() != same


def test_data_frame_of_pandas():
    pandas = pytest.importorskip('pandas')
    frame = pandas.DataFrame({'n': [1, 2], 'name': ['a', 'b']})
    with open_tables(frame) as stream:
        assert stream.read(0, 2)['name'].tolist() == ['a', 'b']
        assert stream.colnames == ['n', 'name']
    with open_tables(frame.set_index('name')) as stream:
        assert stream.colnames == ['name', 'n']


def test_what_is_nearly_a_table_is_told_from_paths():
    with pytest.raises(TypeError, match=r'not Row; table\[:1\]'):
        open_tables(QTable({'n': [1, 2]})[0])
    with pytest.raises(TypeError, match='not SkyCoord; Table'):
        open_tables(SkyCoord([1], [2], unit='deg'))
