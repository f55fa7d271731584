# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of measured attributes and of their columns."""

import numpy as np
import pytest
from astropy.io.votable.ucd import check_ucd
from astropy.table import QTable
from scipy.stats import norm

from galmorph.exceptions import SchemaError
from galmorph.flags import MorphologyFlag
from galmorph.predictions import (
    AttributePredictions,
    MorphologyPredictions,
    make_predictions,
)
from galmorph.schemas import load_schema

EFIGI = load_schema('efigi')
ALWAYS = ['morphology_flags', 'morphology_reason']


def draw(n_galaxy=4, *, std=None, supported=None, broken=(1,)):
    rng = np.random.default_rng(3)
    values = rng.random((n_galaxy, 17))
    values[:, 0] = rng.uniform(-6, 11, n_galaxy)
    flags = np.zeros(n_galaxy, int)
    flags[list(broken)] = MorphologyFlag.UNREADABLE_IMAGE
    return make_predictions(
        EFIGI,
        values,
        flags=flags,
        reasons=['cut off' if flag else '' for flag in flags],
        std=None if std is None else np.full((n_galaxy, 17), std),
        supported=supported,
        provenance={'weights': 'tiny.efigi'},
    )


class TestValues:
    def test_are_kept_within_their_scale(self):
        values = np.full((1, 17), 1.2)
        values[0, :3] = 14, -0.3, 0.4
        predictions = AttributePredictions(EFIGI, values, flags=[0])
        assert predictions.values[0, :4].tolist() == pytest.approx([11, 0, 0.4, 1])

    def test_are_masked_where_there_is_no_answer(self):
        predictions = draw(supported=['t_type', 'bar_length'])
        known = np.isin(EFIGI.names, ['t_type', 'bar_length'])
        np.testing.assert_array_equal(predictions.values.mask[0], ~known)
        assert predictions.values.mask[1].all()
        assert predictions.supported.tolist() == known.tolist()

    def test_unfinished_rows_are_flagged(self):
        values = np.zeros((2, 17))
        values[1, 3] = np.nan
        predictions = AttributePredictions(EFIGI, values, flags=[0, 0])
        assert predictions.flags.tolist() == [0, MorphologyFlag.NOT_PREDICTED]
        assert predictions.reasons[1] == 'the network gave no finite answer'

    def test_rows_are_cut_out_and_put_together(self):
        predictions = draw(std=0.1)
        again = AttributePredictions.concatenate([predictions[:1], predictions[1:]])
        np.testing.assert_array_equal(again.values.data, predictions.values.data)
        np.testing.assert_array_equal(again.std, predictions.std)
        assert again.reasons == predictions.reasons

    def test_kinds_do_not_mix(self):
        tree = load_schema('zhu5')
        answers = make_predictions(tree, np.full((1, 5), 0.2), flags=[0])
        assert type(answers) is MorphologyPredictions
        with pytest.raises(ValueError, match='parts differ in kind'):
            AttributePredictions.concatenate([draw(), answers])
        with pytest.raises(
            TypeError, match="needs a schema of the kind 'tree', and 'e"
        ):
            MorphologyPredictions(EFIGI, np.zeros((1, 17)), flags=[0])
        with pytest.raises(
            TypeError, match=r"'attributes', .*make_predictions chooses"
        ):
            AttributePredictions(tree, np.zeros((1, 5)), flags=[0])

    def test_bad_arguments(self):
        with pytest.raises(SchemaError, match="which 'efigi' does not have"):
            draw(supported=['colour'])
        with pytest.raises(
            ValueError, match=r'values must have shape \(n_galaxy, 17\)'
        ):
            make_predictions(EFIGI, np.zeros((1, 16)), flags=[0])
        with pytest.raises(ValueError, match='one value for each attribute, 17'):
            draw(supported=[True])


class TestClass:
    def test_is_the_nearest_stage(self):
        values = np.zeros((3, 17))
        values[:, 0] = 2.6, -4.8, 10.9
        predictions = AttributePredictions(EFIGI, values, flags=[0, 0, 1])
        assert predictions.morphology_class[:2].tolist() == ['Sb', 'E']
        assert predictions.morphology_class.mask.tolist() == [False, False, True]

    def test_probability_is_that_of_a_normal_distribution(self):
        values, std = np.zeros((4, 17)), np.ones((4, 17))
        values[:, 0] = 2.6, -6, 11, 4
        std[:, 0] = 0.8, 0.7, 2, 0
        predictions = AttributePredictions(EFIGI, values, flags=[0] * 4, std=std)
        expected = [
            norm.cdf(3.5, 2.6, 0.8) - norm.cdf(2.5, 2.6, 0.8),
            norm.cdf(-5.5, -6, 0.7),
            norm.sf(10.5, 11, 2),
            1,
        ]
        np.testing.assert_allclose(
            predictions.morphology_probability, expected, rtol=1e-6
        )

    def test_without_a_deviation_there_is_no_probability(self):
        assert draw().morphology_probability.mask.all()

    def test_without_a_stage_there_is_no_class(self):
        predictions = draw(supported=['bar_length'], std=1)
        assert predictions.morphology_class.mask.all()
        assert predictions.morphology_probability.mask.all()


class TestTable:
    def test_all_columns(self):
        names = draw(std=0.1).to_table().colnames
        assert names[:4] == ['t_type', 't_type_std', 'bulge_to_total',
                             'bulge_to_total_std']  # fmt: skip
        assert names[-4:] == ['morphology_class', 'morphology_probability', *ALWAYS]
        assert len(names) == 2 * 17 + 4
        assert draw().to_table().colnames == [
            *EFIGI.columns, 'morphology_class', 'morphology_probability', *ALWAYS
        ]  # fmt: skip

    def test_chosen_columns(self):
        assert draw().to_table('best').colnames == [
            'morphology_class', 'morphology_probability', *ALWAYS
        ]  # fmt: skip
        names = draw().to_table(['inclination', 't_type']).colnames
        assert names == ['inclination', 't_type', *ALWAYS]
        with pytest.raises(ValueError, match="different attributes of 'efigi', not"):
            draw().to_table('edgeon')

    def test_described(self):
        table = draw(std=0.1).to_table()
        info = table['t_type'].info
        assert info.description == 'Hubble stage T, -6 to 11, EFIGI T'
        assert table['t_type_std'].info.description.startswith(
            'Standard deviation of H'
        )
        for column in table.itercols():
            assert column.info.description
            assert check_ucd(column.info.meta['ucd'], check_controlled_vocabulary=True)

    @pytest.mark.parametrize('suffix', ['ecsv', 'fits', 'vot'])
    def test_goes_through_files(self, suffix, tmp_path):
        table = draw(std=0.1).to_table()
        path = tmp_path / f'table.{suffix}'
        table.write(path, format={'vot': 'votable'}.get(suffix))
        again = QTable.read(path, format={'vot': 'votable'}.get(suffix))
        assert again.colnames == table.colnames
        for name in ('t_type', 'inclination_std'):
            np.testing.assert_array_equal(again[name].mask, table[name].mask)
            np.testing.assert_array_equal(again[name][[0, 2]], table[name][[0, 2]])
        assert again['morphology_class'][0] == table['morphology_class'][0]
