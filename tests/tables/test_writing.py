# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import (
    Angle,
    CartesianRepresentation,
    EarthLocation,
    Longitude,
    SkyCoord,
)
from astropy.table import MaskedColumn, QTable, Table
from astropy.time import Time
from astropy.utils.exceptions import AstropyUserWarning

from galmorph.tables import TableWriter, open_tables
from tests.helpers.columns import chunks_of, make_table

FORMATS = ['parquet', 'fits']


@pytest.mark.parametrize('suffix', FORMATS)
def test_nothing_stays_after_an_error(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    path.write_bytes(b'before')
    table = make_table()

    def fail():
        with TableWriter(path, table) as writer:
            writer.write(table)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_bytes() == b'before'
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize('suffix', FORMATS)
def test_number_of_rows_is_checked(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    table = Table({'n': [1, 2]})
    with (
        pytest.raises(ValueError, match='is to have 3 rows, 2 were written'),
        TableWriter(path, table, n_rows=3) as writer,
    ):
        writer.write(table)
    assert list(tmp_path.iterdir()) == []
    with TableWriter(path, table, n_rows=2) as writer:
        writer.write(table)
    assert len(QTable.read(path)) == 2


@pytest.mark.parametrize('suffix', FORMATS)
@pytest.mark.parametrize(
    ('name', 'column', 'match'),
    [
        ('id', np.arange(20.0), "column 'id' is of dtype float64, not int64"),
        ('name', np.arange(20), "column 'name' is of dtype int64"),
        ('pair', np.zeros((20, 3)), r"column 'pair' .* \(3,\), not \(2,\)"),
        ('flux', np.zeros(20) * u.s, "column 'flux' is of another kind"),
        ('flux', np.zeros(20), "column 'flux' is of another kind"),
        ('seen', Time(np.zeros(20), format='mjd'), "column 'seen' is of another kind"),
        ('id', MaskedColumn(range(20), mask=[1] * 20), "column 'id' has masked cells"),
        (
            'coord',
            SkyCoord(np.zeros(20), np.zeros(20), unit='deg', frame='galactic'),
            "column 'coord' is of another kind",
        ),
    ],
)
def test_columns_that_do_not_fit_are_refused(tmp_path, suffix, name, column, match):
    table = make_table()[['id', 'name', 'pair', 'flux', 'seen', 'coord']]
    chunk = table.copy()
    chunk[name] = column
    with (
        pytest.raises(ValueError, match=match),
        TableWriter(tmp_path / f'a.{suffix}', table[:0]) as writer,
    ):
        writer.write(chunk)
    assert list(tmp_path.iterdir()) == []


def test_missing_and_unknown_columns_are_refused(tmp_path):
    with TableWriter(tmp_path / 'a.fits', Table({'a': [1], 'b': [2]})) as writer:
        with pytest.raises(ValueError, match="column 'b' is missing"):
            writer.write(Table({'a': [1]}))
        with pytest.raises(ValueError, match="column 'c' is not one of"):
            writer.write(Table({'a': [1], 'b': [2], 'c': [3]}))
        writer.write(Table({'b': [2], 'a': [1]}))
    assert QTable.read(tmp_path / 'a.fits')['b'].tolist() == [2]


@pytest.mark.parametrize('name', ['a.csv', 'a.ecsv', 'a', 'a.fits.gz'])
def test_other_formats_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r'must end in \.parquet or \.fits'):
        TableWriter(tmp_path / name, Table({'a': [1]}))


def test_format_may_be_given(tmp_path):
    path = tmp_path / 'a.tmp'
    with TableWriter(path, Table({'a': [1]}), format='fits') as writer:
        writer.write(Table({'a': [1]}))
    assert QTable.read(path, format='fits')['a'].tolist() == [1]


def test_template_without_columns_is_refused(tmp_path):
    with pytest.raises(ValueError, match='no columns'):
        TableWriter(tmp_path / 'a.fits', Table())


@pytest.mark.parametrize('suffix', FORMATS)
def test_template_is_left_alone(tmp_path, suffix):
    table = make_table()
    meta, colnames = dict(table.meta), list(table.colnames)
    with TableWriter(tmp_path / f'a.{suffix}', table) as writer:
        writer.write(table)
    assert (dict(table.meta), table.colnames) == (meta, colnames)


@pytest.mark.parametrize('source', FORMATS)
@pytest.mark.parametrize('target', FORMATS)
def test_from_format_to_format(tmp_path, source, target):
    first, second = tmp_path / f'a.{source}', tmp_path / f'b.{target}'
    table = make_table()[['id', 'count', 'hidden', 'size', 'kind', 'other']]
    table.write(first)
    with open_tables(first) as stream, TableWriter(second, stream.template) as writer:
        for _, chunk in stream.iterate(7):
            writer.write(chunk)
    read = QTable.read(second)
    for name in ('count', 'size', 'kind'):
        assert read[name].mask.tolist() == table[name].mask.tolist()
    assert read['other'].frame.name == 'fk5'


@pytest.mark.parametrize('suffix', FORMATS)
def test_columns_of_other_kinds(tmp_path, suffix):
    path = tmp_path / f'a.{suffix}'
    values = np.arange(1.0, 9) / 8
    table = QTable(
        {
            'longitude': Longitude(values * u.deg),
            'angle': Angle(values * u.rad),
            'place': EarthLocation.from_geodetic(values * u.deg, values * u.deg),
            'star': SkyCoord(
                values * u.deg,
                values * u.deg,
                distance=values * u.kpc,
                pm_ra_cosdec=values * u.mas / u.yr,
                pm_dec=values * u.mas / u.yr,
                obstime=Time('J2015.5'),
            ),
            'vector': CartesianRepresentation(np.ones((3, 8)) * u.m),
            'while': Time(2451545 + values, format='jd') - Time('J2000'),
            'one': np.ones((8, 1)),
        }
    )
    with TableWriter(path, table[:0]) as writer:
        writer.write(table[:3])
        writer.write(table[3:])
    for read in (QTable.read(path), chunks_of(path, 3)):
        for name in table.colnames:
            assert type(read[name]) is type(table[name]), name
            assert read[name].shape == table[name].shape, name
        np.testing.assert_allclose(read['star'].distance.kpc, values)
        assert read['star'].obstime == Time('J2015.5')
        np.testing.assert_allclose(read['angle'].rad, values)


def test_unit_that_fits_lacks_is_told_once(tmp_path):
    path = tmp_path / 'a.fits'
    table = QTable({'m': u.Magnitude(np.ones(9) * u.ABmag)})

    def write():
        with TableWriter(path, table) as writer:
            for start in range(0, 9, 3):
                writer.write(table[start : start + 3])

    with pytest.warns(AstropyUserWarning, match=r'mag\(AB\)') as warned:
        write()
    assert len(warned) == 1
    assert QTable.read(path)['m'].unit == u.ABmag
