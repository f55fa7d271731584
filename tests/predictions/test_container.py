# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the answers for many galaxies: masks, classes, rows."""

import numpy as np
import pytest

from galmorph.exceptions import SchemaError
from galmorph.flags import MorphologyFlag
from galmorph.predictions import MIN_RELEVANCE, MorphologyPredictions
from galmorph.schemas import load_schema
from tests.helpers.predictions import draw_paths, make_predictions

TREE = load_schema('gz2')
INDEX = {name: i for i, name in enumerate(TREE.columns)}
QUESTION = {question.name: i for i, question in enumerate(TREE.questions)}


class TestArguments:
    def test_input_is_not_modified(self):
        path, flags, reasons = draw_paths(3), np.zeros(3, np.int32), ['', '', '']
        path[2] = np.nan
        before = path.copy()
        MorphologyPredictions(TREE, path, flags=flags, reasons=reasons)
        np.testing.assert_array_equal(path, before)
        assert not flags.any()
        assert reasons == ['', '', '']

    @pytest.mark.parametrize('shape', [(37,), (2, 36), (1, 2, 37), (3, 0)])
    def test_wrong_shape(self, shape):
        with pytest.raises(ValueError, match=r'probabilities must have shape \(n_gal'):
            MorphologyPredictions(TREE, np.zeros(shape), flags=[0, 0])

    @pytest.mark.parametrize(
        ('name', 'value'),
        [
            ('flags', [0]),
            ('flags', 0),
            ('flags', [[0], [0]]),
            ('reasons', ['']),
            ('std', np.zeros((1, 37))),
            ('supported', [True, False]),
        ],
    )
    def test_wrong_length(self, name, value):
        kwargs = {'flags': [0, 0], name: value}
        with pytest.raises(ValueError, match=f'{name} must have one value for each'):
            MorphologyPredictions(TREE, draw_paths(2), **kwargs)

    @pytest.mark.parametrize('value', [1.1, -0.1])
    def test_no_probability(self, value):
        path = draw_paths(3)
        path[2, 0] = value
        with pytest.raises(ValueError, match='between 0 and 1; row 2'):
            MorphologyPredictions(TREE, path, flags=[0, 0, 0])

    def test_rounding_is_clipped(self):
        path = draw_paths(1)
        path[0, :2] = 1.0005, -0.0005
        values = MorphologyPredictions(TREE, path, flags=[0]).probabilities
        assert values[0, :2].tolist() == [1, 0]

    def test_unknown_supported_question(self):
        with pytest.raises(SchemaError, match=r"supported names \['colour'\]"):
            MorphologyPredictions(
                TREE, draw_paths(1), flags=[0], supported=['bar', 'colour']
            )

    @pytest.mark.parametrize(
        'supported',
        ['bar', ['bar'], np.arange(11) == QUESTION['bar']],
        ids=['name', 'names', 'bools'],
    )
    def test_supported_by_name_or_bool(self, supported):
        predictions = MorphologyPredictions(
            TREE, draw_paths(1), flags=[0], supported=supported
        )
        assert np.flatnonzero(predictions.supported).tolist() == [QUESTION['bar']]

    def test_repr_counts(self):
        assert repr(make_predictions(unsupported=['bar'])) == (
            "<MorphologyPredictions: 5 galaxies, 1 not predicted, 'gz2', "
            '10 of 11 questions>'
        )


class TestMasks:
    def test_fatal_rows_have_no_numbers(self):
        predictions = make_predictions(4, broken=(0, 2))
        for values in (
            predictions.probabilities,
            predictions.conditional,
            predictions.entropy,
            predictions.relevance,
            predictions.morphology_class,
            predictions.morphology_probability,
            predictions.morphology_path,
        ):
            assert np.ma.getmaskarray(values)[[0, 2]].all()
            assert not np.ma.getmaskarray(values)[[1, 3]].any()
        assert np.isnan(predictions.probabilities.data[[0, 2]]).all()

    def test_number_of_a_fatal_row_is_dropped(self):
        flags = [MorphologyFlag.NO_WCS]
        predictions = MorphologyPredictions(TREE, draw_paths(1), flags=flags)
        assert np.isnan(predictions.probabilities.data).all()

    def test_other_flags_mask_nothing(self):
        flags = [MorphologyFlag.EDGE | MorphologyFlag.LOW_SIGNAL]
        predictions = MorphologyPredictions(TREE, draw_paths(1), flags=flags)
        assert not predictions.probabilities.mask.any()

    @pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf, np.ma.masked])
    def test_row_without_a_finite_answer_is_flagged(self, value):
        path = np.ma.array(draw_paths(2))
        path[1, 3] = value
        predictions = MorphologyPredictions(
            TREE, path, flags=[0, MorphologyFlag.EDGE], reasons=['', '']
        )
        assert predictions.flags.tolist() == [
            0,
            MorphologyFlag.NOT_PREDICTED | MorphologyFlag.EDGE,
        ]
        assert predictions.reasons == ['', 'the network gave no finite answer']
        assert predictions.probabilities.mask.all(1).tolist() == [False, True]

    def test_reason_that_was_given_is_kept(self):
        predictions = MorphologyPredictions(
            TREE, np.full((1, 37), np.nan), flags=[0], reasons=['overflow']
        )
        assert predictions.reasons == ['overflow']

    def test_unsupported_question_may_be_unknown(self):
        path = draw_paths(2)
        path[:, TREE.question('odd_feature').slice] = np.nan
        others = [q.name for q in TREE.questions if q.name != 'odd_feature']
        predictions = MorphologyPredictions(TREE, path, flags=[0, 0], supported=others)
        assert not predictions.flags.any()
        masked = predictions.probabilities.mask
        assert masked[:, TREE.question('odd_feature').slice].all()
        assert masked.sum() == 2 * 7

    def test_what_follows_an_unsupported_question(self):
        predictions = make_predictions(2, broken=(), unsupported=['edgeon'])
        bar = QUESTION['bar']
        assert predictions.relevance.mask[:, bar].all()
        assert predictions.entropy.mask[:, bar].all()
        assert predictions.conditional.mask[:, INDEX['bar_bar']].all()
        assert not predictions.probabilities.mask[:, INDEX['bar_bar']].any()


class TestProbabilities:
    def test_relevance_is_that_of_the_parent_answer(self):
        predictions = make_predictions(3, broken=())
        path = predictions.probabilities
        relevance = predictions.relevance
        assert (relevance[:, QUESTION['odd']] == 1).all()
        np.testing.assert_array_equal(
            relevance[:, QUESTION['arms_number']], path[:, INDEX['spiral_spiral']]
        )

    def test_conditional_answers_sum_to_one(self):
        conditional = make_predictions(3).conditional
        for question in TREE.questions:
            total = conditional[:, question.slice].sum(1).compressed()
            np.testing.assert_allclose(total, 1, rtol=1e-5)

    @pytest.mark.parametrize(
        ('relevance', 'is_known'),
        [(0, False), (0.5 * MIN_RELEVANCE, False), (2 * MIN_RELEVANCE, True)],
    )
    def test_question_that_is_hardly_asked(self, relevance, is_known):
        conditional = np.concatenate(
            [np.full(len(q.answers), 1 / len(q.answers)) for q in TREE.questions]
        )
        conditional[:3] = 1 - relevance, relevance, 0
        predictions = MorphologyPredictions(
            TREE, [TREE.to_path(conditional)], flags=[0]
        )
        edgeon = QUESTION['edgeon']
        assert predictions.entropy.mask[0, edgeon] == (not is_known)
        assert predictions.conditional.mask[0, INDEX['edgeon_yes']] == (not is_known)
        assert predictions.relevance[0, edgeon] == np.float32(relevance)
        assert predictions.probabilities[0, INDEX['edgeon_yes']] == np.float32(
            relevance / 2
        )

    def test_entropy_of_certain_and_even_answers(self):
        path = np.zeros((1, 37))
        path[0, :3] = 0.5, 0.5, 0
        path[0, [INDEX['edgeon_no'], INDEX['odd_no']]] = 0.5, 1
        path[0, TREE.question('rounded').slice] = 0.5 / 3
        entropy = MorphologyPredictions(TREE, path, flags=[0]).entropy[0]
        assert entropy[0] == pytest.approx(np.log(2) / np.log(3))
        assert entropy[QUESTION['edgeon']] == 0
        assert entropy[QUESTION['rounded']] == pytest.approx(1)
        # asked with 0.5, and no answer above 0: nothing to tell
        assert entropy.mask[QUESTION['bar']]


class TestClass:
    def test_is_the_most_probable_of_the_finest_partition(self):
        predictions = make_predictions(50)
        names, answers = TREE.class_partition()
        for row in np.flatnonzero(predictions.is_predicted):
            values = {
                name: predictions.probabilities[row, answer]
                for name, answer in zip(names, answers, strict=True)
            }
            best = max(values, key=values.get)
            assert predictions.morphology_class[row] == best
            assert predictions.morphology_probability[row] == values[best]

    def test_falls_back_to_what_is_supported(self):
        coarse = make_predictions(20, broken=(), unsupported=['rounded'])
        assert set(coarse.morphology_class) <= {
            'smooth',
            'features or disk',
            'star or artifact',
        }

    def test_is_masked_without_any_partition(self):
        predictions = make_predictions(3, unsupported=['smooth_or_features'])
        assert predictions.morphology_class.mask.all()
        assert predictions.morphology_probability.mask.all()
        assert predictions.to_table('best')['morphology_class'].mask.all()

    def test_path_agrees_with_class(self):
        predictions = make_predictions(200, broken=())
        label = {
            'completely round smooth': 'smooth > completely_round',
            'in between smooth': 'smooth > in_between',
            'cigar-shaped smooth': 'smooth > cigar_shaped',
            'edge-on disk': 'features_or_disk > edgeon yes',
            'spiral': '> spiral >',
            'disk without spiral arms': '> no_spiral',
            'star or artifact': 'star_or_artifact',
        }
        found = predictions.morphology_class
        assert set(found) == set(label)
        for name, path in zip(found, predictions.morphology_path, strict=True):
            assert label[name] in path


class TestRows:
    def test_length(self):
        assert len(make_predictions(4)) == 4

    @pytest.mark.parametrize(
        ('index', 'rows'),
        [
            (slice(1, 3), [1, 2]),
            (slice(None, None, -1), [4, 3, 2, 1, 0]),
            (np.array([True, False, False, True, False]), [0, 3]),
            ([2, 2], [2, 2]),
            (-1, [4]),
            ([], []),
        ],
    )
    def test_choosing_rows(self, index, rows):
        predictions = make_predictions(std=draw_paths(5, seed=2))
        part = predictions[index]
        np.testing.assert_array_equal(
            part.probabilities.data, predictions.probabilities.data[rows]
        )
        np.testing.assert_array_equal(part.std, predictions.std[rows])
        assert part.flags.tolist() == predictions.flags[rows].tolist()
        assert part.reasons == [predictions.reasons[row] for row in rows]
        assert part.provenance == predictions.provenance

    def test_iteration_ends(self):
        assert [len(row) for row in make_predictions(3)] == [1, 1, 1]

    def test_row_that_does_not_exist(self):
        with pytest.raises(IndexError, match='out of bounds'):
            make_predictions(3)[3]

    def test_no_rows(self):
        predictions = MorphologyPredictions(TREE, [], flags=[])
        assert len(predictions) == 0
        assert len(predictions.to_table()) == len(predictions.to_table('best')) == 0


class TestConcatenate:
    def test_restores_what_was_cut(self):
        whole = make_predictions(5, unsupported=['odd'], std=draw_paths(5, seed=2))
        again = MorphologyPredictions.concatenate([whole[:2], whole[2:2], whole[2:]])
        np.testing.assert_array_equal(
            again.probabilities.data, whole.probabilities.data
        )
        np.testing.assert_array_equal(again.std, whole.std)
        np.testing.assert_array_equal(again.flags, whole.flags)
        np.testing.assert_array_equal(again.supported, whole.supported)
        assert again.reasons == whole.reasons
        assert again.provenance == whole.provenance

    def test_nothing(self):
        with pytest.raises(ValueError, match='at least one'):
            MorphologyPredictions.concatenate([])

    @pytest.mark.parametrize(
        ('kwargs', 'what'),
        [
            ({'unsupported': ['bar']}, 'support'),
            ({'std': draw_paths(5)}, 'std'),
            ({'provenance': {'sha256': 'f00d'}}, 'weights|sha256'),
        ],
    )
    def test_parts_of_different_runs(self, kwargs, what):
        parts = [make_predictions(5), make_predictions(5, **kwargs)]
        with pytest.raises(ValueError, match=f'parts differ in ({what})'):
            MorphologyPredictions.concatenate(parts)
