# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of predictions for trees other than that of Galaxy Zoo 2."""

import numpy as np
import pytest
from astropy.table import QTable

from galmorph.exceptions import SchemaError
from galmorph.predictions import MorphologyPredictions
from galmorph.schemas import load_schema, map_answers
from tests.helpers.predictions import draw_paths

CEERS = load_schema('gz_ceers')
NAMES = ['zhu5', 'candels5', 'gz_ceers']


def predict(name, n_galaxy=4, **options):
    tree = load_schema(name)
    path = draw_paths(n_galaxy, tree=tree)
    return MorphologyPredictions(tree, path, flags=[0] * n_galaxy, **options)


def ceers_path(**answers):
    path = np.zeros((1, 39))
    for name, value in answers.items():
        path[0, CEERS.columns.index(name)] = value
    return path


class TestClasses:
    @pytest.mark.parametrize('name', ['zhu5', 'candels5'])
    def test_of_one_question_are_its_answers(self, name):
        predictions = predict(name)
        best = predictions.probabilities.argmax(1)
        names = list(predictions.schema.classes[0])
        assert predictions.morphology_class.tolist() == [names[i] for i in best]
        np.testing.assert_array_equal(
            predictions.morphology_probability, predictions.probabilities.max(1)
        )

    def test_an_artefact_of_ceers_is_not_asked_whether_it_merges(self):
        path = ceers_path(
            smooth_or_featured_star_artifact_or_bad_zoom=1,
            merging_none=1,
            problem_star=1,
        )
        predictions = MorphologyPredictions(CEERS, path, flags=[0])
        assert predictions.morphology_class[0] == 'star or artifact'
        assert predictions.morphology_path[0] == 'star_artifact_or_bad_zoom > star'

    def test_a_galaxy_of_ceers_is(self):
        path = ceers_path(
            smooth_or_featured_smooth=1, how_rounded_in_between=1, merging_none=1
        )
        predictions = MorphologyPredictions(CEERS, path, flags=[0])
        assert predictions.morphology_class[0] == 'in between smooth'
        assert predictions.morphology_path[0] == 'smooth > in_between > merging none'


class TestMapTo:
    def test_candels_from_ceers(self):
        predictions = predict('gz_ceers', provenance={'weights': 'tiny'})
        mapped = predictions.map_to('candels5')
        expected = map_answers(
            predictions.probabilities.data, CEERS, load_schema('candels5')
        )
        np.testing.assert_allclose(mapped.probabilities, expected, atol=1e-6)
        assert mapped.schema.name == 'candels5'
        assert mapped.provenance == {'weights': 'tiny', 'mapped_from': 'gz_ceers'}
        assert mapped.to_table().meta['GM_SCHEM'] == 'candels5'

    def test_masked_rows_stay_masked(self):
        path = draw_paths(2, tree=CEERS)
        predictions = MorphologyPredictions(
            CEERS, path, flags=[0, 1], reasons=['', 'lost']
        )
        mapped = predictions.map_to('candels5')
        assert mapped.is_predicted.tolist() == [True, False]
        assert mapped.reasons == ['', 'lost']

    def test_needs_its_questions(self):
        predictions = predict('gz_ceers', supported=['smooth_or_featured', 'problem'])
        with pytest.raises(ValueError, match=r"'candels5' needs .*'merging_major_dist"):
            predictions.map_to('candels5')

    def test_trees_that_are_not_related(self):
        with pytest.raises(SchemaError, match=r"follow from 'zhu5', but from \['gz_ce"):
            predict('zhu5').map_to('candels5')


@pytest.mark.parametrize('name', NAMES)
@pytest.mark.parametrize('suffix', ['ecsv', 'fits', 'vot'])
def test_goes_through_files_without_a_warning(name, suffix, tmp_path):
    predictions = predict(name, std=np.full((4, load_schema(name).n_answers), 0.1))
    table = predictions.to_table()
    options = {'format': 'votable'} if suffix == 'vot' else {}
    table.write(tmp_path / f'table.{suffix}', **options)
    again = QTable.read(tmp_path / f'table.{suffix}', **options)
    assert again.colnames == table.colnames
    for column in predictions.schema.columns:
        np.testing.assert_array_equal(again[column], table[column])
    assert again['morphology_class'].tolist() == table['morphology_class'].tolist()
