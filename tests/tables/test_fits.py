# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pytest
from astropy.table import QTable, vstack

from galmorph.tables import TableWriter, open_tables
from tests.helpers.tables import assert_same, make_table


def chunks_of(path, chunk_size, **kwargs):
    with open_tables(path, **kwargs) as stream:
        chunks = [chunk for _, chunk in stream.iterate(chunk_size)]
        assert stream.n_rows == sum(len(chunk) for chunk in chunks)
    return vstack(chunks, metadata_conflicts='silent')


@pytest.mark.parametrize('chunk_size', [1, 7, 20, 100])
def test_chunks_are_the_table(tmp_path, chunk_size):
    path = tmp_path / 'a.fits'
    make_table().write(path)
    assert_same(chunks_of(path, chunk_size), QTable.read(path))


def test_written_chunks_are_the_table(tmp_path):
    path = tmp_path / 'a.fits'
    table = make_table()
    # FITS has another way to write it
    table['flux'].info.format = None
    with TableWriter(path, table[:0]) as writer:
        for start in range(0, 20, 6):
            writer.write(table[start : start + 6])
    assert_same(QTable.read(path), table, texts_of_bytes=True)
    assert_same(chunks_of(path, 7), table, texts_of_bytes=True)
    assert [file.name for file in tmp_path.iterdir()] == ['a.fits']
