# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of best paths and of how sure they are."""

import numpy as np
import pytest
from scipy.stats import entropy

from galmorph.predictions.decisions import (
    choose_answers,
    normalised_entropy,
    path_names,
)
from galmorph.schemas import DecisionTree, load_schema
from tests.helpers.predictions import draw_paths

TREE = load_schema('gz2')
INDEX = {name: i for i, name in enumerate(TREE.columns)}
QUESTION = {question.name: i for i, question in enumerate(TREE.questions)}


def name_of(answers, **kwargs):
    """Name the path of a galaxy whose answers are certain."""
    conditional = np.zeros((1, 37))
    for question in TREE.questions:
        conditional[0, question.start] = 1
    for answer in answers:
        question = next(q for q in TREE.questions if q.start <= INDEX[answer] < q.stop)
        conditional[0, question.slice] = 0
        conditional[0, INDEX[answer]] = 1
    chosen = choose_answers(TREE, TREE.to_path(conditional), **kwargs)
    return path_names(TREE, chosen)[0]


class TestPaths:
    @pytest.mark.parametrize(
        ('answers', 'expected'),
        [
            (['odd_no'], 'smooth > completely_round > odd no'),
            (['odd_feature_merger'], 'smooth > completely_round > odd yes > merger'),
            (['smooth_or_features_star_or_artifact'], 'star_or_artifact'),
            (
                ['smooth_or_features_features_or_disk', 'odd_no'],
                'features_or_disk > edgeon yes > rounded > odd no',
            ),
            (
                [
                    'smooth_or_features_features_or_disk',
                    'edgeon_no',
                    'bar_no_bar',
                    'arms_number_2',
                    'odd_no',
                ],
                (
                    'features_or_disk > edgeon no > no_bar > spiral > tight > '
                    'arms_number 2 > bulge_prominence no_bulge > odd no'
                ),
            ),
        ],
    )
    def test_names_in_the_order_of_asking(self, answers, expected):
        # the tree has the answer 'no_bulge' twice, and 'rounded' once
        assert name_of(answers) == expected

    def test_unsupported_questions_and_what_follows_are_left_out(self):
        supported = np.ones(11, bool)
        supported[[QUESTION['edgeon'], QUESTION['odd']]] = False
        answers = ['smooth_or_features_features_or_disk', 'edgeon_no']
        assert name_of(answers, supported=supported) == 'features_or_disk'

    def test_nothing_supported_has_no_name(self):
        assert name_of([], supported=np.zeros(11, bool)) == ''

    def test_through_an_answer(self):
        path = draw_paths(40)
        through = np.resize([INDEX['spiral_spiral'], INDEX['rounded_in_between']], 40)
        chosen = choose_answers(TREE, path, through=through)
        assert (chosen[::2, QUESTION['spiral']] == INDEX['spiral_spiral']).all()
        assert (chosen[::2, QUESTION['edgeon']] == INDEX['edgeon_no']).all()
        assert (chosen[1::2, QUESTION['rounded']] == INDEX['rounded_in_between']).all()
        assert (chosen[1::2, QUESTION['edgeon']] == -1).all()

    def test_every_answer_is_the_most_probable_of_its_question(self):
        path = draw_paths(40)
        chosen = choose_answers(TREE, path)
        for i, question in enumerate(TREE.questions):
            asked = chosen[:, i] >= 0
            best = path[asked, question.slice].max(1)
            np.testing.assert_array_equal(path[asked, chosen[asked, i]], best)

    def test_distinct_paths_of_a_tree_with_very_many(self):
        questions = [
            {
                'name': f'q{i}',
                'task': f'T{i}',
                'parent': None,
                'text': 'Which?',
                'answers': [
                    {'name': n, 'label': n, 'id': f'{i} {n}', 'column': f'{i}.{n}'}
                    for n in 'abc'
                ],
            }
            for i in range(50)
        ]
        tree = DecisionTree.from_dict(
            {'name': 'long', 'title': 'Long', 'questions': questions}
        )
        path = np.random.default_rng(1).random((30, 150))
        path[20:] = path[:10]
        chosen = choose_answers(tree, path)
        expected = [
            ' > '.join(f'q{i} {"abc"[answer % 3]}' for i, answer in enumerate(row))
            for row in chosen
        ]
        assert path_names(tree, chosen).tolist() == expected
        assert len(set(expected)) == 20

    def test_no_rows(self):
        chosen = choose_answers(TREE, np.zeros((0, 37)))
        assert path_names(TREE, chosen).shape == (0,)


class TestNormalisedEntropy:
    def test_agrees_with_scipy(self):
        path = draw_paths(20)
        found = normalised_entropy(TREE, path)
        for i, question in enumerate(TREE.questions):
            expected = entropy(path[:, question.slice], axis=1)
            expected /= np.log(len(question.answers))
            np.testing.assert_allclose(found[:, i], expected, rtol=1e-12)

    def test_stays_within_bounds_in_float32(self):
        path = draw_paths(1000).astype('f4')
        path[:, TREE.question('arms_number').slice] = 1e-3
        found = normalised_entropy(TREE, path)
        assert found.dtype == np.float32
        assert found.min() >= 0
        assert found.max() <= 1
