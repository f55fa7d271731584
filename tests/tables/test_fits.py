# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pytest
from astropy.table import QTable

from galmorph.tables import TableWriter
from tests.helpers.columns import assert_same, chunks_of, make_table


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
