# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the five classes of Zhu et al. (2019)."""

import numpy as np
import pytest
from astropy.table import Table

from galmorph.schemas import load_schema, zhu5_classes
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.predictions import draw_paths

TREE = load_schema('gz2')


def path_with(**fractions):
    """One row of path probabilities: ``c1_1=0.5`` stands for Class1.1."""
    path = np.zeros(37)
    for name, value in fractions.items():
        path[TREE.source_columns.index(f'Class{name[1:].replace("_", ".")}')] = value
    return path


@pytest.mark.parametrize(
    ('fractions', 'expected'),
    [
        ({'c1_1': 0.6, 'c7_1': 0.5}, 0),
        ({'c1_1': 0.6, 'c7_1': 0.499}, -1),
        ({'c1_1': 0.9, 'c7_2': 0.7}, 1),
        ({'c1_1': 0.9, 'c7_3': 0.5}, 2),
        ({'c1_2': 0.7, 'c2_1': 0.602}, 3),
        ({'c1_2': 0.7, 'c2_1': 0.601}, -1),
        ({'c1_2': 0.9, 'c2_2': 0.715, 'c4_1': 0.619}, 4),
        ({'c1_2': 0.9, 'c2_2': 0.714, 'c4_1': 0.619}, -1),
        ({'c1_2': 0.9, 'c2_2': 0.8, 'c4_1': 0.618}, -1),
        ({'c1_1': 0.9, 'c7_1': np.nan}, -1),
    ],
)
def test_thresholds(fractions, expected):
    assert zhu5_classes(path_with(**fractions)) == expected


def test_conditional_fractions_pass_more_easily():
    path = path_with(c1_1=0.5, c7_2=0.3, c1_2=0.5, c2_2=0.4, c4_1=0.3)
    assert zhu5_classes(path) == -1
    # 0.6 in between; 0.8 not edge-on, 0.75 spiral. As smooth as featured.
    assert zhu5_classes(path, 'gz2-conditional') == 1
    path[:2] = 0.49, 0.51
    assert zhu5_classes(path, 'gz2-conditional') == 4


def test_path_probabilities_give_one_class_at_most():
    path = draw_paths(2000)
    classes = zhu5_classes(path)
    assert classes.shape == (2000,)
    assert set(classes.tolist()) == {-1, 0, 1, 2, 3, 4}
    # A galaxy with a class has more than half of the votes on the way to it.
    answers = np.array([15, 16, 17, 3, 7])
    sure = classes >= 0
    assert (path[sure, answers[classes[sure]]] >= 0.5).all()


def test_classes_are_the_answers_of_the_schema():
    names = [answer.column for answer in load_schema('zhu5').answers]
    assert names == ['0', '1', '2', '3', '4']


@needs_shared_data
def test_gives_the_classes_of_the_published_list():
    table = Table.read(SHARED_DATA / 'gz2' / 'labels.csv')
    path = [np.ma.filled(table[c].astype(float), np.nan) for c in TREE.source_columns]
    path = np.stack(path, axis=1)
    known = np.isfinite(path).all(1)
    assert known.sum() == 835
    listed = np.ma.filled(table['zhu5'], -1)
    np.testing.assert_array_equal(zhu5_classes(path[known]), listed[known])
    has_class = known & (listed >= 0)
    conditional = zhu5_classes(path[has_class], 'gz2-conditional')
    np.testing.assert_array_equal(conditional, listed[has_class])


@pytest.mark.parametrize(
    ('path', 'convention', 'message'),
    [
        (np.zeros(36), 'kaggle-cumulative', r'37 columns; its shape is \(36,\)'),
        (np.zeros(37), 'kaggle', "'gz2-conditional', not 'kaggle'"),
    ],
)
def test_bad_arguments(path, convention, message):
    with pytest.raises(ValueError, match=message):
        zhu5_classes(path, convention)
