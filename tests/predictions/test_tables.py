# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the columns, of annotated tables, and of their way through files."""

import json

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.io.votable.ucd import check_ucd
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.table.bst import BST
from astropy.time import Time
from astropy.timeseries import TimeSeries

from galmorph.flags import MorphologyFlag
from galmorph.predictions import MorphologyPredictions, annotate_table
from galmorph.schemas import load_schema
from tests.helpers.predictions import PROVENANCE, draw_paths, make_predictions

TREE = load_schema('gz2')
CLASS = ['morphology_class', 'morphology_probability']
ALWAYS = ['morphology_flags', 'morphology_reason']


class TestColumns:
    def test_all(self):
        names = make_predictions().to_table().colnames
        entropies = [f'{question.name}_entropy' for question in TREE.questions]
        assert names[:4] == [*TREE.columns[:3], 'smooth_or_features_entropy']
        assert set(names) == {*TREE.columns, *entropies, *CLASS, *ALWAYS}
        assert names[-4:] == [*CLASS, *ALWAYS]

    def test_best(self):
        names = make_predictions().to_table('best').colnames
        assert names == [*CLASS, 'morphology_path', *ALWAYS]

    @pytest.mark.parametrize('columns', ['bar', ['bar'], ('bar',)])
    def test_named_question(self, columns):
        names = make_predictions().to_table(columns).colnames
        assert names == ['bar_bar', 'bar_no_bar', 'bar_entropy', *ALWAYS]

    def test_named_questions_come_in_the_order_asked_for(self):
        names = make_predictions().to_table(['odd', 'bar']).colnames
        assert names.index('odd_yes') < names.index('bar_bar')

    def test_std(self):
        std = draw_paths(5, seed=2)
        std[0, 0] = np.nan
        table = make_predictions(std=std).to_table(['smooth_or_features', 'odd'])
        assert table.colnames[3:7] == [
            *(f'{name}_std' for name in TREE.columns[:3]),
            'smooth_or_features_entropy',
        ]
        column = table['smooth_or_features_smooth_std']
        assert column.mask.tolist() == [True, True, False, False, False]
        np.testing.assert_array_equal(column[2:], std[2:, 0].astype('f4'))

    @pytest.mark.parametrize('columns', ['colour', ['bar', 'colour'], [], ['bar'] * 2])
    def test_unknown_questions(self, columns):
        with pytest.raises(
            ValueError, match=r"columns must be 'all', 'best' or .*odd_f"
        ):
            make_predictions().to_table(columns)

    def test_values(self):
        predictions = make_predictions()
        table = predictions.to_table()
        for i, name in enumerate(TREE.columns):
            assert table[name].dtype == np.float32
            np.testing.assert_array_equal(
                table[name].mask, [False, True, False, False, False]
            )
            np.testing.assert_array_equal(
                table[name][2:], predictions.probabilities[2:, i]
            )
        for i, question in enumerate(TREE.questions):
            np.testing.assert_array_equal(
                table[f'{question.name}_entropy'][2:], predictions.entropy[2:, i]
            )
        assert table['morphology_flags'].dtype == np.int32
        np.testing.assert_array_equal(table['morphology_flags'], predictions.flags)
        reasons = table['morphology_reason']
        assert reasons.mask.tolist() == [True, False, True, True, True]
        assert reasons[1] == 'image 1 is truncated'

    def test_unsupported_question_is_masked_not_missing(self):
        table = make_predictions(unsupported=['bar']).to_table()
        for name in ('bar_bar', 'bar_no_bar', 'bar_entropy'):
            assert table[name].mask.all()
            assert np.isnan(table[name].data.data).all()

    @pytest.mark.parametrize('columns', ['all', 'best'])
    def test_no_nan_without_a_mask(self, columns):
        path = np.zeros((3, 37))
        path[:, 0] = path[:, 13] = 1
        path[2, 5] = np.nan
        predictions = MorphologyPredictions(TREE, path, flags=[0, 1, 0])
        for column in predictions.to_table(columns).itercols():
            if column.dtype.kind == 'f':
                assert np.isfinite(column.data.compressed()).all()
                assert np.isnan(column.filled()[column.mask]).all()

    def test_described(self):
        columns = make_predictions().to_table(['smooth_or_features']).columns
        description = columns['smooth_or_features_smooth'].info.description
        assert description == 'P(smooth), Galaxy Zoo 2 t01 a01, Kaggle Class1.1'
        description = columns['smooth_or_features_entropy'].info.description
        assert TREE.questions[0].text in description

    @pytest.mark.parametrize('columns', ['all', 'best'])
    def test_every_column_has_a_description_and_a_controlled_ucd(self, columns):
        predictions = make_predictions(std=draw_paths(5))
        for column in predictions.to_table(columns).itercols():
            assert column.info.description
            ucd = column.info.meta['ucd']
            assert check_ucd(ucd, check_controlled_vocabulary=True)

    def test_reason_of_many_lines_and_alphabets(self):
        predictions = make_predictions(2)
        predictions.reasons[1] = 'Größe.fits:\n truncated'
        table = predictions.to_table('best')
        assert table['morphology_reason'][1] == r'Gr\xf6\xdfe.fits: truncated'

    def test_provenance(self):
        meta = make_predictions().to_table('best').meta
        assert meta['GM_WGHTS'] == 'dieleman.gz2'
        assert json.loads(meta['GM_PROV']) == {**PROVENANCE, 'schema': 'gz2'}


def make_catalogue(cls=Table):
    """Make a table with one of each thing that must not get lost."""
    table = cls()
    table['id'] = Column([30, 10, 20, 10], description='object', format='5d')
    table['flux'] = MaskedColumn(
        [1.0, 2.0, 3.0, 4.0], mask=[0, 1, 0, 0], unit='mJy', description='total'
    )
    table['radius'] = Column(np.array([1, 2, 3, 4], 'f4'), unit='arcsec')
    table['note'] = MaskedColumn(['a', 'b', 'c', 'd'], mask=[0, 0, 0, 1])
    table['coord'] = SkyCoord([1, 2, 3, 4], [5, 6, 7, 8], unit='deg', frame='icrs')
    table['time'] = Time(['2020-01-01', '2020-01-02', '2020-01-03', '2020-01-04'])
    table['speed'] = [1, 2, 3, 4] * u.km / u.s
    table['stamp'] = np.arange(16.0).reshape(4, 4)
    table.meta['survey'] = {'name': 'SDSS', 'fields': [1, 2]}
    return table


class TestAnnotate:
    @pytest.mark.parametrize('cls', [Table, QTable])
    def test_keeps_what_was_there(self, cls):
        table = make_catalogue(cls)
        annotated = make_predictions(4).annotate(table, 'best')
        assert type(annotated) is QTable
        assert annotated.colnames == [
            *table.colnames,
            *CLASS,
            'morphology_path',
            *ALWAYS,
        ]
        for name in ('id', 'note', 'stamp'):
            np.testing.assert_array_equal(annotated[name], table[name])
        assert annotated['id'].info.description == 'object'
        assert annotated['id'].info.format == '5d'
        assert annotated['flux'].unit == u.mJy
        assert annotated['flux'].mask.tolist() == [False, True, False, False]
        assert annotated['flux'].info.description == 'total'
        assert annotated['radius'].unit == u.arcsec
        assert annotated['radius'].dtype == np.float32
        assert annotated['note'].mask.tolist() == [False, False, False, True]
        assert isinstance(annotated['coord'], SkyCoord)
        assert (annotated['coord'].separation(table['coord']) == 0).all()
        assert (annotated['time'] == table['time']).all()
        assert (annotated['speed'] == [1, 2, 3, 4] * u.km / u.s).all()
        assert annotated.meta['survey'] == table.meta['survey']
        assert annotated.meta['GM_SCHEM'] == 'gz2'

    @pytest.mark.parametrize('cls', [Table, QTable])
    def test_table_is_not_modified(self, cls):
        table = make_catalogue(cls)
        annotated = make_predictions(4).annotate(table)
        annotated['id'][0] = -1
        annotated['radius'][0] = 99 * u.arcsec
        annotated['flux'].mask[0] = True
        annotated['stamp'][0] = 0
        annotated['coord'].info.description = 'moved'
        annotated.meta['survey']['fields'].append(3)
        expected = make_catalogue(cls)
        assert table.colnames == expected.colnames
        assert table.meta == expected.meta
        for name in ('id', 'radius', 'stamp', 'flux'):
            np.testing.assert_array_equal(table[name], expected[name])
        assert table['flux'].mask.tolist() == [False, True, False, False]
        assert table['coord'].info.description is None

    def test_masked_table(self):
        table = Table({'a': [1, 2]}, masked=True)
        table['a'].mask[1] = True
        annotated = make_predictions(2).annotate(table, 'bar')
        assert annotated['a'].mask.tolist() == [False, True]
        assert annotated['bar_bar'].mask.tolist() == [False, True]

    @pytest.mark.parametrize('cls', [Table, QTable])
    def test_indices(self, cls):
        table = make_catalogue(cls)
        table['name'] = ['w', 'x', 'y', 'z']
        table.add_index('name', unique=True, engine=BST)
        table.add_index(['id', 'radius'])
        annotated = make_predictions(4).annotate(table, 'best')
        found = [[c.info.name for c in index.columns] for index in annotated.indices]
        assert found == [['id', 'radius'], ['name']]
        assert annotated.primary_key == table.primary_key == ('name',)
        assert isinstance(annotated.indices[1].data, BST)
        assert annotated.loc['y']['id'] == 20
        for index in annotated.indices:
            assert all(c is annotated[c.info.name] for c in index.columns)
        annotated['name'][0] = 'q'
        assert annotated.loc['q']['id'] == 30
        assert table.loc['w']['id'] == 30

    def test_long_integers_with_a_unit(self):
        numbers = [1237648720693755918, 3, 2**53 + 1, -5]
        table = make_catalogue()
        table['n'] = Column(numbers, unit='count', description='photons')
        table['m'] = MaskedColumn(numbers, unit='count', mask=[0, 1, 0, 0])
        annotated = make_predictions(4).annotate(table, 'best')
        for name in 'nm':
            assert annotated[name].dtype == np.int64
            assert annotated[name].unit == u.count
        assert annotated['n'].value.tolist() == numbers
        assert annotated['n'].info.description == 'photons'
        assert annotated['m'].mask.tolist() == [False, True, False, False]
        assert annotated['m'].unmasked.value[2] == 2**53 + 1
        annotated['n'][0] = 0
        assert table['n'][0] == numbers[0]
        # also where it was a table of quantities already
        again = make_predictions(4).annotate(annotated, 'bar', overwrite=True)
        assert again['n'].value.tolist() == [0, *numbers[1:]]

    def test_subclass_of_qtable(self):
        series = TimeSeries(
            time=Time(['2020-01-01', '2020-01-02']), data={'flux': [1, 2] * u.mJy}
        )
        annotated = make_predictions(2).annotate(series, 'bar')
        assert isinstance(annotated, TimeSeries)
        assert annotated.colnames[:3] == ['time', 'flux', 'bar_bar']

    def test_rows_stay_in_order_and_may_repeat(self):
        predictions = make_predictions(4)[[0, 2, 0, 3]]
        annotated = predictions.annotate(Table({'id': [5, 3, 5, 1]}), 'bar')
        assert annotated['id'].tolist() == [5, 3, 5, 1]
        assert annotated['bar_bar'][0] == annotated['bar_bar'][2]

    @pytest.mark.parametrize('columns', ['all', 'best', 'bar'])
    @pytest.mark.parametrize('table', [Table(), QTable({'id': np.zeros(0, int)})])
    def test_empty_table(self, table, columns):
        annotated = make_predictions(4)[:0].annotate(table, columns)
        assert len(annotated) == 0
        assert annotated.colnames[: len(table.colnames)] == table.colnames
        assert 'morphology_flags' in annotated.colnames

    @pytest.mark.parametrize('n_row', [0, 3, 5])
    def test_other_length(self, n_row):
        table = Table({'id': np.arange(n_row)})
        with pytest.raises(ValueError, match=f'table has {n_row} rows, .* have 4'):
            make_predictions(4).annotate(table)

    @pytest.mark.parametrize('table', [{'id': [1]}, [1], np.zeros(1, [('a', 'i4')])])
    def test_no_table(self, table):
        with pytest.raises(TypeError, match='table must be an astropy Table, not'):
            make_predictions(1, broken=()).annotate(table)

    def test_names_all_columns_that_exist(self):
        table = Table({'bar_bar': [1.0], 'id': [1], 'morphology_flags': [0]})
        predictions = make_predictions(1, broken=())
        with pytest.raises(
            ValueError, match=r'the columns bar_bar, morphology_flags; .*overwrite=True'
        ):
            predictions.annotate(table, 'bar')
        assert table.colnames == ['bar_bar', 'id', 'morphology_flags']

    def test_columns_that_are_not_added_do_not_clash(self):
        table = Table({'bar_bar': [1.0]})
        annotated = make_predictions(1, broken=()).annotate(table, 'best')
        assert annotated['bar_bar'][0] == 1

    @pytest.mark.parametrize('cls', [Table, QTable])
    def test_overwrite_replaces_in_place(self, cls):
        table = cls({'bar_bar': ['x', 'y'], 'id': [1, 2], 'morphology_flags': [7, 7]})
        table.add_index('bar_bar')
        table.add_index('id')
        predictions = make_predictions(2)
        annotated = predictions.annotate(table, 'bar', overwrite=True)
        assert annotated.colnames == [
            'bar_bar',
            'id',
            'morphology_flags',
            'bar_no_bar',
            'bar_entropy',
            'morphology_reason',
        ]
        np.testing.assert_array_equal(annotated['morphology_flags'], predictions.flags)
        assert annotated['bar_bar'].dtype == np.float32
        assert annotated['bar_bar'].info.meta['ucd']
        assert annotated.primary_key == ('id',)
        assert table['bar_bar'].tolist() == ['x', 'y']

    def test_twice_gives_the_same(self):
        predictions = make_predictions(4)
        once = predictions.annotate(make_catalogue())
        twice = predictions.annotate(once, overwrite=True)
        assert twice.colnames == once.colnames
        np.testing.assert_array_equal(twice['bar_bar'], once['bar_bar'])
        assert twice.meta == once.meta


class TestAnnotateTable:
    def test_without_a_table(self):
        annotated = annotate_table(None, [Column([1], 'a')], meta={'k': 'v'})
        assert isinstance(annotated, QTable)
        assert annotated.meta == {'k': 'v'}


def write_and_read(table, path):
    table.write(path)
    return QTable.read(path)


def masked_cells(column):
    return np.ma.getmaskarray(column).tolist()


def single_spaced(text):
    return ' '.join(text.split())


@pytest.mark.parametrize('columns', ['all', 'best', 'spiral'])
@pytest.mark.parametrize('n_galaxy', [0, 1, 5])
class TestRoundTrip:
    """What each format of Table.write keeps; it warns of nothing."""

    def make(self, n_galaxy, columns):
        predictions = make_predictions(5, unsupported=['odd_feature'])[:n_galaxy]
        if n_galaxy > 1:
            predictions.reasons[1] = 'Größe.fits is truncated'
        return predictions.to_table(columns)

    def check(self, table, again, *, texts_have_masks=True):
        assert again.colnames == table.colnames
        for name in table.colnames:
            old, new = table[name], again[name]
            is_text = old.dtype.kind == 'U'
            known = ~np.ma.getmaskarray(old)
            assert new.dtype.kind in ('SU' if is_text else old.dtype.kind)
            assert is_text or new.dtype.itemsize == old.dtype.itemsize
            assert np.asarray(new)[known].astype(old.dtype).tolist() == (
                np.asarray(old)[known].tolist()
            )
            if is_text and not texts_have_masks:
                assert all(text == '' for text in np.asarray(new)[~known])
            else:
                assert masked_cells(new) == masked_cells(old)
            assert single_spaced(new.info.description) == old.info.description
            assert new.info.meta['ucd'] == old.info.meta['ucd']

    def test_ecsv(self, n_galaxy, columns, tmp_path):
        table = self.make(n_galaxy, columns)
        again = write_and_read(table, tmp_path / 'table.ecsv')
        self.check(table, again)
        assert again.meta == table.meta

    def test_fits(self, n_galaxy, columns, tmp_path):
        table = self.make(n_galaxy, columns)
        again = write_and_read(table, tmp_path / 'table.fits')
        self.check(table, again)
        assert {key: again.meta[key] for key in table.meta} == table.meta

    def test_votable(self, n_galaxy, columns, tmp_path):
        table = self.make(n_galaxy, columns)
        path = tmp_path / 'table.vot'
        table.write(path, format='votable')
        again = QTable.read(path, format='votable')
        # texts have no null in a VOTable, only ''
        self.check(table, again, texts_have_masks=False)

    def test_parquet(self, n_galaxy, columns, tmp_path):
        # astropy reads Parquet by way of pandas; it writes without
        pytest.importorskip('pandas')
        table = self.make(n_galaxy, columns)
        again = write_and_read(table, tmp_path / 'table.parquet')
        self.check(table, again)
        assert again.meta == table.meta

    def test_parquet_for_other_tools(self, n_galaxy, columns, tmp_path):
        parquet = pytest.importorskip('pyarrow.parquet')
        table = self.make(n_galaxy, columns)
        path = tmp_path / 'table.parquet'
        table.write(path)
        found = parquet.read_table(path)
        assert set(table.colnames) <= set(found.column_names)
        for name in table.colnames:
            column = table[name]
            values = found[name].to_pylist()
            known = ~np.ma.getmaskarray(column)
            assert [v for v, k in zip(values, known, strict=True) if k] == (
                np.asarray(column)[known].tolist()
            )
            if column.dtype.kind == 'f':
                # as NaN, so that a tool that skips the mask sees no number
                assert np.isnan(np.array(values, float)[~known]).all()
        assert b'GM_PROV' in found.schema.metadata[b'table_meta_yaml']


def test_annotated_catalogue_survives_ecsv(tmp_path):
    table = make_catalogue()
    annotated = make_predictions(4).annotate(table)
    again = write_and_read(annotated, tmp_path / 'catalogue.ecsv')
    assert again.colnames == annotated.colnames
    assert again.meta == annotated.meta
    assert isinstance(again['coord'], SkyCoord)
    assert again['flux'].unit == u.mJy
    assert again['flux'].mask.tolist() == [False, True, False, False]
    assert masked_cells(again['bar_bar']) == [False, True, False, False]


def test_annotated_catalogue_survives_fits(tmp_path):
    table = make_catalogue()
    # nested meta of the user's own has no place in a FITS header
    del table.meta['survey']
    annotated = make_predictions(4).annotate(table)
    again = write_and_read(annotated, tmp_path / 'catalogue.fits')
    assert again.colnames == annotated.colnames
    assert again['flux'].unit == u.mJy
    assert isinstance(again['coord'], SkyCoord)
    assert again['morphology_flags'][1] == MorphologyFlag.UNREADABLE_IMAGE
    assert masked_cells(again['bar_bar']) == [False, True, False, False]
