# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.io import votable
from astropy.table import QTable

from galmorph.tables import conversion, open_tables
from tests.helpers.columns import assert_same, chunks_of, make_table

KINDS = ['tabledata', 'binary', 'binary2']


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(conversion, '_CHUNK_ROWS', 6)


def make_simple(kind):
    names = ['id', 'count', 'byte', 'flag', 'hidden', 'ratio', 'size', 'flux', 'name']
    if kind == 'binary':
        # has no way to tell that an integer is missing
        names = [name for name in names if name not in ('count', 'byte', 'hidden')]
    return make_table()[names]


@pytest.mark.parametrize('n_rows', [0, 20])
@pytest.mark.parametrize('kind', KINDS)
def test_chunks_are_the_table(tmp_path, kind, n_rows):
    path = tmp_path / 'a.vot'
    table = make_simple(kind)[:n_rows]
    table.write(path, format='votable', tabledata_format=kind)
    whole = QTable.read(path)
    assert_same(chunks_of(path, 7), whole)
    assert whole['flux'].info.meta['ucd'] == 'phot.flux;em.opt'


@pytest.mark.parametrize('kind', KINDS)
def test_cells_of_any_length(tmp_path, kind):
    path = tmp_path / 'a.xml'
    table = make_table()[['id', 'pair', 'flag']]
    table['text'] = np.array(['a' * i for i in range(20)], dtype=object)
    arrays = np.empty(20, dtype=object)
    lengths = [i % 4 + 1 for i in range(20)]
    arrays[:] = [np.ma.array(np.arange(n * 1.0), mask=[False] * n) for n in lengths]
    table['array'] = arrays
    # with the letters of two bytes each
    table['unicode'] = np.array(['é' * (i % 5 + 1) for i in range(20)])
    table.write(path, format='votable', tabledata_format=kind)
    whole = QTable.read(path)
    read = chunks_of(path, 7)
    for name in ('text', 'unicode'):
        assert read[name].dtype.kind == 'U'
        assert read[name].tolist() == [str(text) for text in whole[name]]
    for cell, expected in zip(read['array'], whole['array'], strict=True):
        np.testing.assert_array_equal(np.asarray(cell), np.asarray(expected))
    names = ['id', 'pair', 'flag']
    assert_same(read[names], whole[names])


def test_prefixes_and_counts(tmp_path):
    path = tmp_path / 'a.vot'
    rows = ''.join(f'<v:TR><v:TD>{i}</v:TD></v:TR>\n' for i in range(20))
    path.write_text(
        '<?xml version="1.0"?><v:VOTABLE version="1.3" '
        'xmlns:v="http://www.ivoa.net/xml/VOTable/v1.3"><v:RESOURCE>'
        '<v:TABLE nrows="20"><v:FIELD name="n" ID="n" datatype="int" ucd="meta.id"/>'
        f'<v:DATA><v:TABLEDATA>{rows}</v:TABLEDATA></v:DATA></v:TABLE>'
        '</v:RESOURCE></v:VOTABLE>',
        encoding='utf-8',
    )
    table = chunks_of(path, 7)
    assert table['n'].tolist() == list(range(20))
    assert table['n'].info.meta['ucd'] == 'meta.id'


def test_several_tables_are_refused(tmp_path):
    path = tmp_path / 'a.vot'
    document = votable.from_table(make_simple('tabledata'))
    document.resources.append(votable.from_table(make_simple('binary')).resources[0])
    document.to_xml(str(path))
    with pytest.raises(OSError, match=r'a\.vot .* holds several tables'):
        open_tables(path)


@pytest.mark.parametrize('kind', KINDS)
def test_file_cut_short_is_named(tmp_path, kind):
    path = tmp_path / 'a.vot'
    table = make_simple(kind)
    table.write(path, format='votable', tabledata_format=kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * 0.8)])
    with pytest.raises(OSError, match=r'a\.vot cannot be read as votable'):
        open_tables(path)
