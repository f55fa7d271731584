# Licensed under a 3-clause BSD style license - see LICENSE.rst
import gzip

import numpy as np
import pytest
from astropy.table import QTable

from galmorph.tables import conversion, open_tables
from tests.helpers.columns import assert_same, chunks_of, make_table


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(conversion, '_CHUNK_ROWS', 6)


def test_chunks_of_ecsv_are_the_table(tmp_path):
    path = tmp_path / 'a.ecsv'
    table = make_table()
    table['note'] = [f'a "b" {i}' if i % 3 else 'x\ny, z' for i in range(20)]
    arrays = [np.arange(i % 3 + 1.0) for i in range(20)]
    table['array'] = np.array(arrays, dtype=object)
    table.write(path)
    assert_same(chunks_of(path, 7), QTable.read(path))


def test_ecsv_of_no_rows(tmp_path):
    path = tmp_path / 'a.ecsv'
    make_table()[['id', 'count', 'size', 'name', 'coord']][:0].write(path)
    assert_same(chunks_of(path, 7), QTable.read(path))


def test_compressed_ecsv(tmp_path):
    path = tmp_path / 'a.ecsv'
    table = make_table()[['id', 'size', 'name']]
    table.write(path)
    packed = tmp_path / 'a.ecsv.gz'
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert_same(chunks_of(packed, 7), QTable.read(path))


def test_chunks_of_csv_are_the_table(tmp_path):
    path = tmp_path / 'a.csv'
    rows = [
        f'{i},{i if i < 10 else i / 2},{"" if i % 2 else i},{i if i < 15 else "x"},,'
        f'"q ""{i}"", \nr",{f"00{i}" if i < 12 else f"M {i}"},{"" if i < 8 else 1.5}\n'
        for i in range(20)
    ]
    path.write_text('a,b,c,d,e,f,g,h\n' + ''.join(rows), encoding='utf-8')
    whole = QTable.read(path)
    assert whole['g'][0] == '000'
    assert_same(chunks_of(path, 7), whole)


@pytest.mark.parametrize('text', ['a,b\n', 'a,b', 'a\n1\n2\n', '\na,b\n1,2'])
def test_csv_of_few_rows(tmp_path, text):
    path = tmp_path / 'a.csv'
    path.write_text(text, encoding='utf-8')
    assert_same(chunks_of(path, 7), QTable.read(path))


@pytest.mark.parametrize(
    ('name', 'text'),
    [
        ('a.csv', 'a,b\n1,2\n3,4,5\n'),
        ('a.ecsv', 'a b\n1 2\n'),
        ('a.ecsv', ''),
        ('a.vot', '<VOTABLE><RESOURCE>'),
    ],
)
def test_damaged_file_is_named(tmp_path, name, text):
    path = tmp_path / name
    path.write_text(text, encoding='utf-8')
    with pytest.raises(OSError, match=rf'{name} cannot be read as'):
        open_tables(path)


def test_copy_is_removed(tmp_path, monkeypatch):
    monkeypatch.setattr('tempfile.tempdir', str(tmp_path / 'temporary'))
    (tmp_path / 'temporary').mkdir()
    path = tmp_path / 'a.csv'
    path.write_text('a,b\n1,2\n', encoding='utf-8')
    with open_tables(path):
        assert len(list((tmp_path / 'temporary').iterdir())) == 1
    assert list((tmp_path / 'temporary').iterdir()) == []


def test_copy_in_scratch_serves_again(tmp_path, monkeypatch):
    path, scratch = tmp_path / 'a.csv', tmp_path / 'scratch'
    path.write_text('a,b\n1,2\n', encoding='utf-8')
    with open_tables(path, scratch=scratch) as stream:
        fingerprint = stream.fingerprint()
    assert len(list(scratch.iterdir())) == 1
    monkeypatch.delattr(conversion, 'convert')
    with open_tables(path, scratch=scratch) as stream:
        assert stream.read(0, 1)['b'].tolist() == [2]
        assert stream.fingerprint() == fingerprint
    monkeypatch.undo()
    path.write_text('a,b\n1,2\n3,4\n', encoding='utf-8')
    with open_tables(path, scratch=scratch) as stream:
        assert stream.n_rows == 2
        assert stream.fingerprint() != fingerprint
