# Licensed under a 3-clause BSD style license - see LICENSE.rst
import io

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.table import QTable, Table

from galmorph.tables import TableWriter, open_tables
from tests.helpers.columns import assert_same, chunks_of, make_table


@pytest.mark.parametrize('chunk_size', [7, 100])
def test_chunks_are_the_table(tmp_path, chunk_size):
    path = tmp_path / 'a.parquet'
    make_table().write(path)
    assert_same(chunks_of(path, chunk_size), QTable.read(path))


def test_written_chunks_are_the_table(tmp_path):
    path = tmp_path / 'a.parquet'
    table = make_table()
    with TableWriter(path, table[:0]) as writer:
        for start in range(0, 20, 6):
            writer.write(table[start : start + 6])
    assert_same(QTable.read(path), table)
    assert_same(chunks_of(path, 7), table)
    assert pq.read_metadata(path).num_row_groups == 4


def test_table_of_no_rows(tmp_path):
    path = tmp_path / 'a.parquet'
    table = make_table()[:0]
    with TableWriter(path, table) as writer:
        writer.write(table)
    assert_same(QTable.read(path), table)
    with open_tables(path) as stream:
        assert_same(stream.read(0, 9), table)
        assert_same(stream.template, table)
        assert list(stream.iterate(3)) == []


def test_template_tells_what_is_masked(tmp_path):
    path = tmp_path / 'a.parquet'
    make_table().write(path)
    with open_tables(path) as stream:
        template = stream.template
        first = stream.read(0, 4)
    assert hasattr(template['count'], 'mask')
    assert type(template['size']) is type(first['size'])
    assert template['lost'].masked
    assert first['lost'].masked
    assert not first['seen'].masked


def test_cells_with_several_axes_keep_their_shape(tmp_path):
    path = tmp_path / 'a.parquet'
    table = QTable({'cube': np.arange(24.0).reshape(2, 3, 4)})
    with TableWriter(path, table) as writer:
        writer.write(table)
    assert_same(chunks_of(path, 1), table)


@pytest.mark.parametrize('row_group_size', [4, 1000])
def test_columns_of_pandas(tmp_path, row_group_size):
    path = tmp_path / 'a.parquet'
    n = 5
    frame = pd.DataFrame(
        {
            'integer': pd.array([1, None, 3] * n, dtype='Int32'),
            'float': pd.array([1, None, np.inf] * n, dtype='Float32'),
            'flag': pd.array([True, None, False] * n, dtype='boolean'),
            'text': ['x', None, 'yyy'] * n,
            'category': pd.Categorical(['spiral', 'star', 'spiral'] * n),
            'date': pd.date_range('2020-01-01', periods=3 * n),
            'nothing': [None] * 3 * n,
            'full': pd.array(range(3 * n), dtype='Int64'),
        }
    )
    frame.to_parquet(path, row_group_size=row_group_size)
    with open_tables(path) as stream:
        template = stream.template
    table = chunks_of(path, 7)
    expected = {
        'integer': 'int32',
        'float': 'float32',
        'flag': 'bool',
        'text': '<U3',
        'category': '<U6',
        'date': frame['date'].dtype.str,
        'nothing': 'float64',
        'full': 'int64',
    }
    for name, dtype in expected.items():
        assert table[name].dtype == dtype, name
        null = frame[name].isna()
        assert hasattr(table[name], 'mask') == hasattr(template[name], 'mask')
        assert hasattr(table[name], 'mask') == null.any(), name
        if null.any():
            np.testing.assert_array_equal(table[name].mask, null)
        shown = [value for value, no in zip(table[name], null, strict=True) if not no]
        wanted = list(frame[name][~null].to_numpy(dtype))
        assert [str(value) for value in shown] == [str(value) for value in wanted]


def test_no_number_is_not_null(tmp_path):
    path = tmp_path / 'a.parquet'
    pq.write_table(pa.table({'a': [1.0, np.nan, 3.0]}), path)
    table = chunks_of(path, 2)
    assert not hasattr(table['a'], 'mask')
    assert np.isnan(table['a'][1])


def test_nulls_are_found_without_statistics(tmp_path):
    path = tmp_path / 'a.parquet'
    table = pa.table({'a': [1, 2, None], 'b': [1, 2, 3]})
    pq.write_table(table, path, write_statistics=False)
    with open_tables(path) as stream:
        assert hasattr(stream.read(0, 1)['a'], 'mask')
        assert not hasattr(stream.read(0, 1)['b'], 'mask')


def test_nested_columns_are_objects(tmp_path):
    path, copy = tmp_path / 'a.parquet', tmp_path / 'b.parquet'
    curves = [[1.0, 2.0], [], [3.0]]
    details = [{'band': 'g', 'mag': [1.0]}, {'band': 'r', 'mag': [2.0]}, None]
    pq.write_table(pa.table({'id': [1, 2, 3], 'curve': curves, 'more': details}), path)
    table = chunks_of(path, 2)
    assert [list(curve) for curve in table['curve']] == curves
    assert table['more'][0]['band'] == 'g'
    assert table['more'].mask.tolist() == [False, False, True]
    with open_tables(path) as stream:
        assert stream.read(0, 3, ['id']).colnames == ['id']
        with TableWriter(copy, stream.template) as writer:
            for _, chunk in stream.iterate(2):
                writer.write(chunk)
    assert pq.read_table(copy)['curve'].to_pylist() == curves


def test_strings_of_unknown_length_have_room(tmp_path):
    path, copy = tmp_path / 'a.parquet', tmp_path / 'b.parquet'
    pq.write_table(pa.table({'a': ['x', 'x', 'galaxy', 'é']}), path)
    with open_tables(path) as stream:
        assert stream.template['a'].dtype == '<U1'
        assert stream.string_widths() == {'a': 6}
        with TableWriter(copy, stream.template) as writer:
            for _, chunk in stream.iterate(2):
                writer.write(chunk)
    assert QTable.read(copy)['a'].tolist() == ['x', 'x', 'galaxy', 'é']


def test_metadata_of_a_votable(tmp_path):
    path = tmp_path / 'a.parquet'
    metadata = {
        'ra': {'unit': 'deg', 'ucd': 'pos.eq.ra', 'description': 'Right ascension'},
        'n': {'unit': '', 'ucd': 'meta.number', 'description': 'Number'},
    }
    table = Table({'ra': [1.0, 2.0, 3.0], 'n': [1, 2, 3]})
    table.write(path, format='parquet.votable', metadata=metadata)
    whole = QTable.read(path, format='parquet.votable')
    table = chunks_of(path, 2)
    assert table['ra'].unit == whole['ra'].unit == 'deg'
    assert table['ra'].info.description == 'Right ascension'
    assert table['ra'].info.meta['ucd'] == whole['ra'].info.meta['ucd'] == 'pos.eq.ra'
    assert table['n'].value.tolist() == [1, 2, 3]


def test_rows_in_any_order(tmp_path):
    path = tmp_path / 'a.parquet'
    pq.write_table(pa.table({'a': range(100), 'a.mask': range(100)}), path, 9)
    with open_tables(path) as stream:
        for start, stop in [(50, 60), (60, 61), (99, 120), (3, 3), (0, 100), (8, 20)]:
            expected = list(range(start, min(stop, 100)))
            assert stream.read(start, stop, ['a'])['a'].tolist() == expected
            assert stream.read(start, stop)['a.mask'].tolist() == expected


def test_masked_values_are_null_for_others(tmp_path):
    path = tmp_path / 'a.parquet'
    table = make_table()
    with TableWriter(path, table) as writer:
        writer.write(table)
    frame = pd.read_parquet(path, columns=['ratio', 'kind'])
    assert frame['ratio'].isna().tolist() == table['ratio'].mask.tolist()
    assert frame['kind'].isna().tolist() == table['kind'].mask.tolist()


def test_bytes_depend_on_the_rows_alone():
    table = make_table()
    files = []
    for _ in range(2):
        from galmorph.tables.columns import Layout
        from galmorph.tables.parquet_writing import ParquetWriter

        file = io.BytesIO()
        layout = Layout(table)
        writer = ParquetWriter(file, layout)
        writer.write(layout.split(table))
        writer.finish()
        files.append(file.getvalue())
    assert files[0] == files[1]


@pytest.mark.parametrize('content', [b'', b'PAR1', b'PAR1' + bytes(100) + b'PAR1'])
def test_damaged_file_is_named(tmp_path, content):
    path = tmp_path / 'a.parquet'
    path.write_bytes(content)
    with pytest.raises(OSError, match=r'a\.parquet cannot be read as Parquet'):
        open_tables(path)


def test_file_damaged_within_its_rows_is_named(tmp_path):
    path = tmp_path / 'a.parquet'
    rng = np.random.default_rng(1)
    table = pa.table({'a': rng.random(10_000)})
    pq.write_table(table, path, write_page_checksum=True)
    content = bytearray(path.read_bytes())
    content[100:60_000] = b'\xff' * 59_900
    path.write_bytes(content)
    with (
        open_tables(path) as stream,
        pytest.raises(OSError, match=r'a\.parquet cannot be read as Parquet'),
    ):
        stream.read(0, 10_000)


def test_complex_numbers_are_refused(tmp_path):
    path = tmp_path / 'a.parquet'
    table = QTable({'visibility': np.ones(2, complex)})
    with (
        pytest.raises(ValueError, match="column 'visibility' cannot be kept"),
        TableWriter(path, table) as writer,
    ):
        writer.write(table)
    assert list(tmp_path.iterdir()) == []
