# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables with columns of every kind, and their comparison."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable
from astropy.time import Time
from astropy.utils.masked import Masked


def make_table(n=20, seed=1):
    """Make a table; what is masked is so in the second half of the rows alone."""
    rng = np.random.default_rng(seed)
    mask = (np.arange(n) >= n // 2) & (np.arange(n) % 3 == 0)
    table = QTable(meta={'SURVEY': 'none', 'NUMBER': 3})
    table['id'] = np.arange(n)
    table['count'] = MaskedColumn(rng.integers(-9, 9, n), mask=mask, dtype='i4')
    table['count'].description = 'How many there are'
    table['byte'] = MaskedColumn(np.arange(n), mask=mask, dtype='u1')
    table['short'] = np.arange(n).astype('u2')
    table['flag'] = rng.random(n) > 0.5
    table['hidden'] = MaskedColumn(rng.random(n) > 0.5, mask=mask)
    table['ratio'] = MaskedColumn(rng.random(n), mask=mask, dtype='f4')
    table['size'] = Masked(rng.random(n) * u.arcsec, mask=mask)
    table['flux'] = rng.random(n) * u.nJy
    table['flux'].info.description = 'How bright it is, of all that is round here'
    table['flux'].info.format = '.3f'
    table['flux'].info.meta = {'ucd': 'phot.flux;em.opt'}
    table['name'] = [f'NGC {i**2}' for i in range(n)]
    table['kind'] = MaskedColumn([f'S{i}' for i in range(n)], mask=mask, dtype='U8')
    table['coord'] = SkyCoord(rng.random(n) * u.deg, -rng.random(n) * u.deg)
    table['other'] = SkyCoord(
        Masked(rng.random(n) * u.deg, mask=mask), rng.random(n) * u.deg, frame='fk5'
    )
    table['seen'] = Time(2459000.5 + rng.random(n), format='jd', scale='tdb')
    times = Time(Masked(2459000.5 + rng.random(n), mask=mask), format='mjd')
    table['lost'] = times
    table['pair'] = rng.random((n, 2))
    table['holes'] = MaskedColumn(rng.random((n, 2)), mask=np.c_[mask, ~mask])
    table['words'] = np.array([['a', 'bcd']] * n).reshape(n, 2)
    return table


def assert_same(table, expected, *, texts_of_bytes=False):
    """
    Compare all that tables say.

    With ``texts_of_bytes``, strings of bytes are as good as those of letters.
    """
    assert table.colnames == expected.colnames
    assert len(table) == len(expected)
    assert dict(table.meta) == dict(expected.meta)
    for name in table.colnames:
        assert_same_column(
            table[name], expected[name], name, texts_of_bytes=texts_of_bytes
        )


def assert_same_column(column, expected, name, *, texts_of_bytes=False):
    assert type(column) is type(expected), name
    for attribute in ('unit', 'description', 'format', 'meta'):
        value = getattr(column.info, attribute)
        other = getattr(expected.info, attribute)
        assert (value or None) == (other or None), (name, attribute)
    assert column.shape == expected.shape, name
    mask = np.broadcast_to(np.asarray(getattr(column, 'mask', False)), column.shape)
    other = np.broadcast_to(np.asarray(getattr(expected, 'mask', False)), column.shape)
    np.testing.assert_array_equal(mask, other, err_msg=name)
    if isinstance(column, SkyCoord):
        assert column.frame.is_equivalent_frame(expected.frame)
    if isinstance(column, Time):
        assert (column.scale, column.format) == (expected.scale, expected.format)
    if hasattr(column, 'dtype'):
        dtypes = [c.dtype.newbyteorder('=') for c in (column, expected)]
        if texts_of_bytes:
            dtypes = [
                str(dtype).replace('U', 'S').replace('<', '|') for dtype in dtypes
            ]
        assert dtypes[0] == dtypes[1], name
        if column.dtype.kind == 'O':
            pairs = zip(column, expected, strict=True)
            assert all(np.array_equal(a, b) for a, b in pairs), name
            return
    assert np.all(_plain(column == expected) | _both_nan(column, expected) | mask), name


def _plain(values):
    return np.asarray(getattr(values, 'unmasked', getattr(values, 'data', values)))


def _both_nan(column, expected):
    if getattr(column, 'dtype', np.dtype(object)).kind != 'f':
        return False
    return _plain(np.isnan(column)) & _plain(np.isnan(expected))


def chunks_of(path, chunk_size, **kwargs):
    """Read a table by chunks, and put these together."""
    from astropy.table import vstack

    from galmorph.tables import open_tables

    with open_tables(path, **kwargs) as stream:
        chunks = [chunk for _, chunk in stream.iterate(chunk_size)]
        assert stream.n_rows == sum(len(chunk) for chunk in chunks)
        if not chunks:
            return stream.template
    stacked = vstack(chunks, metadata_conflicts='silent')
    stacked.meta = chunks[0].meta
    return stacked
