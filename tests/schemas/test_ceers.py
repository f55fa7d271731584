# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the tree of Galaxy Zoo CEERS, and of what follows from it."""

import numpy as np
import pytest
from astropy.table import Table

from galmorph.exceptions import SchemaError
from galmorph.schemas import load_schema, map_answers
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.predictions import draw_paths

CEERS, CANDELS = load_schema('gz_ceers'), load_schema('candels5')
SMOOTH = 'smooth_or_featured'


class TestTree:
    def test_has_the_columns_of_the_votes(self):
        assert CEERS.n_answers == 39
        assert [q.task for q in CEERS.questions] == [
            f'T{i:02d}' for i in (0, 1, 2, 3, 4, 5, 6, 7, 8, 11, 12, 19)
        ]

    @needs_shared_data
    def test_votes_are_counted_along_the_tree(self):
        table = Table.read(SHARED_DATA / 'gz_ceers' / 'votes.csv')
        assert tuple(table.colnames[2:]) == CEERS.source_columns
        votes = np.stack([table[c] for c in CEERS.source_columns], 1)
        for question in CEERS.questions[1:]:
            asked = votes[:, question.slice].sum(1)
            if question.parent is None:
                assert question.name == 'merging'
                expected = votes[:, 0] + votes[:, 1]
            else:
                expected = votes[:, question.parent]
            np.testing.assert_array_equal(asked, expected)

    def test_classes_fill_the_tree(self):
        path = draw_paths(20, tree=CEERS)
        for partition in CEERS.classes:
            index = [CEERS.source_columns.index(c) for c in partition.values()]
            np.testing.assert_allclose(path[:, index].sum(1), 1)


class TestMapAnswers:
    def test_candels_fractions_add_up(self):
        mapped = map_answers(draw_paths(50, tree=CEERS), CEERS, CANDELS)
        assert mapped.shape == (50, 5)
        assert ((mapped >= 0) & (mapped <= 1)).all()
        np.testing.assert_allclose(mapped.sum(1), 1)

    @pytest.mark.parametrize(
        ('answers', 'name'),
        [
            (('smooth_or_featured_smooth', 'merging_none'), 'spheroid'),
            (('smooth_or_featured_features_or_disk', 'merging_merging'), 'disk'),
            (('smooth_or_featured_smooth', 'merging_major_disturbance'), 'irregular'),
            (
                (
                    f'{SMOOTH}_star_artifact_or_bad_zoom',
                    'problem_star',
                    'merging_none',
                ),
                'point_source',
            ),
            (
                (f'{SMOOTH}_star_artifact_or_bad_zoom', 'problem_bad_image_zoom'),
                'unclassifiable',
            ),
        ],
    )  # fmt: skip
    def test_sure_answers(self, answers, name):
        path = np.isin(CEERS.columns, answers).astype(float)
        mapped = map_answers(path, CEERS, CANDELS)
        assert CANDELS.columns[mapped.argmax()] == f'morphology_{name}'
        assert mapped.max() == mapped.sum() == 1

    def test_trees_that_are_not_related(self):
        with pytest.raises(SchemaError, match=r"'candels5' does not follow from 'gz2'"):
            map_answers(np.zeros(37), load_schema('gz2'), CANDELS)

    def test_another_number_of_answers(self):
        with pytest.raises(ValueError, match='39 values'):
            map_answers(np.zeros(37), CEERS, CANDELS)

    def test_a_mapping_that_misnames_a_column(self):
        description = CANDELS.to_dict()
        terms = {
            **description['mappings']['gz_ceers'],
            'morphology_disk': [['spirals']],
        }
        description['mappings'] = {'gz_ceers': terms}
        broken = type(CANDELS).from_dict(description)
        with pytest.raises(SchemaError, match="misnames 'spirals'"):
            map_answers(np.zeros(39), CEERS, broken)
