# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of decision trees and of their probability algebra."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galmorph.exceptions import SchemaError
from galmorph.schemas import DecisionTree, list_schemas, load_schema

GZ2 = load_schema('gz2')
TREES = [name for name in list_schemas() if load_schema(name).kind == 'tree']

# Question, number of answers, parent column: Willett et al. (2013), table 2,
# and the decision tree of the Kaggle Galaxy Challenge.
FACTS = {
    'T01': (3, None),
    'T02': (2, 'Class1.2'),
    'T03': (2, 'Class2.2'),
    'T04': (2, 'Class2.2'),
    'T05': (4, 'Class2.2'),
    'T06': (2, None),
    'T07': (3, 'Class1.1'),
    'T08': (7, 'Class6.1'),
    'T09': (3, 'Class2.1'),
    'T10': (3, 'Class4.1'),
    'T11': (6, 'Class4.1'),
}

# Two answers, of which the second leads on, twice.
SMALL = {
    'name': 'small',
    'title': 'Small',
    'questions': [
        {
            'name': f'q{number}',
            'task': f'T0{number}',
            'parent': None if number == 0 else f'{number - 1}b',
            'text': 'What?',
            'answers': [
                {'name': 'a', 'label': 'A', 'id': '', 'column': f'{number}a'},
                {'name': 'b', 'label': 'B', 'id': '', 'column': f'{number}b'},
            ],
        }
        for number in range(3)
    ],
}


@st.composite
def conditionals(draw, n_galaxy=3):
    """Conditional probabilities of Galaxy Zoo 2, with hard 0 and 1 among them."""
    weights = draw(
        arrays(
            float,
            (n_galaxy, GZ2.n_answers),
            elements=st.floats(0.01, 1) | st.just(0.0),
        )
    )
    for question in GZ2.questions:
        part = weights[:, question.slice]
        part[part.sum(1) == 0, 0] = 1
        part /= part.sum(1, keepdims=True)
    return weights


class TestGalaxyZoo2:
    def test_has_the_published_questions(self):
        assert [q.task for q in GZ2.questions] == list(FACTS)
        assert GZ2.n_answers == 37
        start = 0
        for question in GZ2.questions:
            n_answers, parent = FACTS[question.task]
            assert (question.start, question.stop) == (start, start + n_answers)
            found = question.parent
            assert (None if found is None else GZ2.source_columns[found]) == parent
            start += n_answers

    def test_source_columns_are_those_of_kaggle(self):
        expected = tuple(
            f'Class{int(task[1:])}.{answer + 1}'
            for task, (n_answers, _) in FACTS.items()
            for answer in range(n_answers)
        )
        assert GZ2.source_columns == expected

    def test_answer_numbers_are_those_of_the_catalogue(self):
        # a35 was never used, and the dust lane came late, as a38.
        numbers = [*range(1, 24), 24, 38, *range(25, 35), 36, 37]
        found = [answer.id for answer in GZ2.answers]
        tasks = [task for task, (n, _) in FACTS.items() for _ in range(n)]
        expected = [f't{t[1:]} a{n:02}' for t, n in zip(tasks, numbers, strict=True)]
        assert found == expected

    @pytest.mark.parametrize(
        ('column', 'name'),
        [
            ('Class1.1', 'smooth_or_features_smooth'),
            ('Class1.3', 'smooth_or_features_star_or_artifact'),
            ('Class2.1', 'edgeon_yes'),
            ('Class3.1', 'bar_bar'),
            ('Class5.4', 'bulge_prominence_dominant'),
            ('Class6.1', 'odd_yes'),
            ('Class7.3', 'rounded_cigar_shaped'),
            ('Class8.6', 'odd_feature_merger'),
            ('Class8.7', 'odd_feature_dust_lane'),
            ('Class9.2', 'bulge_shape_boxy'),
            ('Class10.1', 'arms_winding_tight'),
            ('Class11.6', 'arms_number_cant_tell'),
        ],
    )
    def test_columns_are_named_as_in_the_catalogue(self, column, name):
        assert GZ2.columns[GZ2.source_columns.index(column)] == name

    def test_every_way_through_the_tree_is_the_published_one(self):
        # "In the end is asked whether anything is odd", but of no star.
        follows = {q.name: {a.leads_to for a in q.answers} for q in GZ2.questions}
        assert follows == {
            'smooth_or_features': {'rounded', 'edgeon', None},
            'edgeon': {'bulge_shape', 'bar'},
            'bar': {'spiral'},
            'spiral': {'arms_winding', 'bulge_prominence'},
            'bulge_prominence': {'odd'},
            'odd': {'odd_feature', None},
            'rounded': {'odd'},
            'odd_feature': {None},
            'bulge_shape': {'odd'},
            'arms_winding': {'arms_number'},
            'arms_number': {'bulge_prominence'},
        }

    def test_oddness_sums_to_one_even_for_a_star(self):
        # The published labels do, though a star is never asked.
        star = np.zeros(37)
        star[[2, 14]] = 1
        assert GZ2.violation(star) == 0
        star[14] = 0
        assert GZ2.violation(star) == 1

    def test_is_one_object(self):
        assert load_schema('gz2') is GZ2
        assert 'gz2' in list_schemas()

    def test_classes_add_up_to_one(self):
        rng = np.random.default_rng(1)
        path = GZ2.to_path(
            np.concatenate(
                [rng.dirichlet(np.ones(n), 50) for n, _ in FACTS.values()], 1
            )
        )
        for n_known, n_classes in ((11, 7), (2, 3), (0, 0)):
            supported = [index < n_known for index in range(11)]
            names, indices = GZ2.class_partition(supported)
            assert len(names) == n_classes
            if names:
                np.testing.assert_allclose(path[:, indices].sum(1), 1)

    def test_classes_without_spiral_arms(self):
        known = {'smooth_or_features', 'edgeon', 'rounded'}
        names, _ = GZ2.class_partition([q.name in known for q in GZ2.questions])
        assert 'face-on disk' in names
        assert 'spiral' not in names


class TestProbabilities:
    @given(conditionals())
    def test_path_probabilities_keep_the_sums(self, conditional):
        path = GZ2.to_path(conditional)
        assert GZ2.violation(path).max() < 1e-12
        for question in GZ2.questions:
            expected = 1 if question.parent is None else path[:, question.parent]
            np.testing.assert_allclose(path[:, question.slice].sum(1), expected)

    @given(conditionals())
    def test_there_and_back(self, conditional):
        path = GZ2.to_path(conditional)
        back = GZ2.to_conditional(path)
        relevance = np.repeat(
            GZ2.relevance(path), [n for n, _ in FACTS.values()], axis=1
        )
        assert (np.isnan(back) == (relevance == 0)).all()
        asked = relevance > 0
        np.testing.assert_allclose(back[asked], conditional[asked], rtol=1e-9)
        np.testing.assert_allclose(GZ2.to_path(back), path, rtol=1e-9, atol=1e-300)

    @given(conditionals())
    def test_a_path_is_never_more_probable_than_its_beginning(self, conditional):
        path = GZ2.to_path(conditional)
        assert ((path >= 0) & (path <= 1 + 1e-12)).all()
        for question in GZ2.questions:
            if question.parent is not None:
                parent = path[:, question.parent, None]
                assert (path[:, question.slice] <= parent + 1e-12).all()

    @given(conditionals(), st.floats(0, 1))
    def test_means_keep_the_constraints(self, conditional, share):
        path = GZ2.to_path(conditional)
        mean = share * path[0] + (1 - share) * path[1]
        assert GZ2.violation(mean) < 1e-12
        assert (mean >= 0).all()

    def test_by_hand(self):
        tree = DecisionTree.from_dict(SMALL)
        path = tree.to_path([0.25, 0.75, 0.5, 0.5, 1, 0])
        np.testing.assert_allclose(path, [0.25, 0.75, 0.375, 0.375, 0.375, 0])
        np.testing.assert_allclose(tree.relevance(path), [1, 0.75, 0.375])

    def test_a_question_that_is_never_asked(self):
        tree = DecisionTree.from_dict(SMALL)
        path = tree.to_path([1, 0, np.nan, np.nan, np.nan, np.nan])
        np.testing.assert_array_equal(path, [1, 0, 0, 0, 0, 0])
        np.testing.assert_array_equal(tree.to_conditional(path), [1, 0] + 4 * [np.nan])

    def test_unknown_answers_stay_unknown(self):
        tree = DecisionTree.from_dict(SMALL)
        path = tree.to_path([np.nan, np.nan, 0.5, 0.5, 1, 0])
        assert np.isnan(path).sum() == 6

    @pytest.mark.parametrize('shape', [(6,), (2, 6), (2, 3, 6), (0, 6)])
    def test_leading_axes_stay(self, shape):
        tree = DecisionTree.from_dict(SMALL)
        values = np.full(shape, 0.5, np.float32)
        assert tree.to_path(values).shape == shape
        assert tree.to_path(values).dtype == np.float32
        assert tree.to_conditional(values).shape == shape
        assert tree.relevance(values).shape == (*shape[:-1], 3)
        assert tree.violation(values).shape == shape[:-1]

    def test_integers_and_lists_are_taken(self):
        tree = DecisionTree.from_dict(SMALL)
        assert tree.to_path([0, 1, 0, 1, 1, 0]).tolist() == [0, 1, 0, 1, 1, 0]

    def test_the_input_is_not_modified(self):
        values = np.full((2, 37), 0.5)
        values.flags.writeable = False
        GZ2.to_path(values)
        GZ2.to_conditional(values)
        assert (values == 0.5).all()

    @pytest.mark.parametrize('name', ['to_path', 'to_conditional', 'relevance'])
    def test_another_number_of_answers(self, name):
        with pytest.raises(
            ValueError, match=r"37 values .*'gz2'; its shape is \(36,\)"
        ):
            getattr(GZ2, name)(np.zeros(36))


class TestDescription:
    @pytest.mark.parametrize('name', TREES)
    def test_round_trip_through_json(self, name):
        tree = load_schema(name)
        description = json.loads(json.dumps(tree.to_dict()))
        again = DecisionTree.from_dict(description)
        assert again.questions == tree.questions
        assert again.classes == tree.classes
        assert again.to_dict() == tree.to_dict()
        assert again.structure == tree.structure

    def test_structure(self):
        tree = DecisionTree.from_dict(SMALL)
        assert tree.structure == ((0, 2, -1), (2, 4, 1), (4, 6, 3))

    def test_finds_questions_by_name(self):
        assert GZ2.question('odd').task == 'T06'
        with pytest.raises(SchemaError, match="no question 'colour'; it has smooth_or"):
            GZ2.question('colour')

    def test_unknown_tree(self):
        with pytest.raises(SchemaError, match=r"no schema 'gz9'; .*'gz2'"):
            load_schema('gz9')

    @pytest.mark.parametrize(
        ('change', 'message'),
        [
            (lambda d: d['questions'][1].update(parent='2a'), 'must come before it'),
            (lambda d: d['questions'][1].update(parent='x'), "parent 'x' of question"),
            (lambda d: d['questions'][1].update(name='q0'), 'names of .* not unique'),
            (lambda d: d['questions'][1]['answers'][0].update(name='b'), 'not unique'),
            (
                lambda d: d['questions'][1]['answers'][0].update(column='0a'),
                'source columns of .* not unique',
            ),
            (
                lambda d: d['questions'][0]['answers'][0].update(leads_to='q9'),
                "leads to 'q9': unknown",
            ),
            (lambda d: d['questions'][2].update(answers=[]), 'does not follow'),
            (lambda d: d['questions'][1].pop('text'), "not valid: 'text'"),
            (lambda d: d.pop('title'), "not valid: 'title'"),
            (
                lambda d: d['questions'][0]['answers'][0].update(colour='red'),
                'not valid: .*colour',
            ),
            (lambda d: d.update(classes=[{'x': '9z'}]), r"unknown answers \['9z'\]"),
        ],
    )
    def test_contradictions_are_refused(self, change, message):
        description = json.loads(json.dumps(SMALL))
        change(description)
        with pytest.raises(SchemaError, match=message):
            DecisionTree.from_dict(description)


class TestOneQuestion:
    def test_stands_by_itself(self):
        tree = load_schema('gz2/smooth_or_features')
        assert tree.columns == GZ2.columns[:3]
        assert tree.structure == ((0, 3, -1),)
        assert [answer.leads_to for answer in tree.answers] == [None] * 3
        names, indices = tree.class_partition()
        assert names == ('smooth', 'features or disk', 'star or artifact')
        assert indices == (0, 1, 2)
        assert DecisionTree.from_dict(tree.to_dict()).columns == tree.columns

    @pytest.mark.parametrize(
        ('name', 'message'),
        [
            ('gz2/bar', "'bar' of 'gz2' is not asked of .* smooth_or_features, odd"),
            ('gz2/arms', "'gz2' has no question 'arms'"),
            ('efigi/arms', "'efigi' has attributes"),
            ('gz3/odd', "no schema 'gz3'"),
        ],
    )
    def test_that_is_none(self, name, message):
        with pytest.raises(SchemaError, match=message):
            load_schema(name)
