# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of labels, and of all that can be wrong with them."""

import copy
import pickle

import numpy as np
import pytest
from astropy.table import MaskedColumn, Table

from galmorph.exceptions import LabelError
from galmorph.schemas import load_schema
from galmorph.training.data.labels import Labels, check_images, read_labels
from tests.helpers.training import make_path_fractions, make_votes

TREE, ZHU, EFIGI, CEERS = map(load_schema, ['gz2', 'zhu5', 'efigi', 'gz_ceers'])


def make_table(n=6, **changes):
    columns = dict(zip(TREE.source_columns, make_path_fractions(n).T, strict=True))
    return Table({**columns, **changes})


def problems(table, schema=TREE, **options):
    with pytest.raises(LabelError) as caught:
        read_labels(table, schema, **options)
    return caught.value


class TestFractions:
    def test_are_those_of_the_table(self):
        labels = read_labels(make_table(), TREE)
        np.testing.assert_allclose(labels.values, make_path_fractions(6), atol=1e-7)
        assert labels.kind == 'fractions'
        assert labels.values.dtype == np.float32
        assert labels.targets is labels.values

    def test_columns_of_galmorph_will_do(self):
        table = Table(make_path_fractions(3), names=TREE.columns)
        table['smooth_or_features_entropy'] = 0.5
        np.testing.assert_allclose(
            read_labels(table, TREE).values, make_path_fractions(3), atol=1e-7
        )

    @pytest.mark.parametrize('unknown', ['mask', 'nan', 'blank'])
    def test_unknown_values_are_nan(self, unknown):
        table = make_table()
        for name in TREE.source_columns[:3]:
            column = table[name].astype(object) if unknown == 'blank' else table[name]
            if unknown == 'mask':
                column = MaskedColumn(column, mask=np.arange(6) == 2)
            else:
                column[2] = {'nan': np.nan, 'blank': ' '}[unknown]
            table[name] = column
        values = read_labels(table, TREE).values
        assert np.isnan(values[2, :3]).all()
        assert np.isfinite(np.delete(values, 2, 0)).all()

    def test_questions_may_be_missing(self):
        table = make_table()
        table.remove_columns(list(TREE.source_columns[5:13]))
        values = read_labels(table, TREE).values
        assert np.isnan(values[:, 5:13]).all()
        assert np.isfinite(values[:, 13:]).all()

    def test_columns_may_be_named(self):
        table = Table({'p': [0.7], 'q': [0.3], 'r': [0.0]})
        columns = {'Class1.1': 'p', 'smooth_or_features_features_or_disk': 'q',
                   'Class1.3': 'r'}  # fmt: skip
        values = read_labels(table, TREE, columns=columns).values[0]
        np.testing.assert_allclose(values[:3], [0.7, 0.3, 0])
        assert np.isnan(values[3:]).all()

    def test_rounded_values_are_not_out_of_range(self):
        table = Table({'Class6.1': [1.0000005], 'Class6.2': [-0.0000005]})
        part = TREE.question('odd').slice
        assert read_labels(table, TREE).values[0, part].tolist() == [1, 0]


class TestWhatIsWrong:
    def test_all_rows_are_told_at_once(self):
        table = make_table(40)
        table['Class1.1'][[3, 17]] = 1.2, -0.1
        table['Class7.2'][5] += 0.1
        table['Class2.1'][30] = np.inf
        error = problems(table)
        assert error.rows == (3, 5, 17, 30)
        text = str(error)
        assert "column 'Class1.1': not in [0, 1] in rows 3, 17 (1.2)" in text
        assert "'Class7.1 to Class7.3': do not sum to their parent in row 5" in text
        assert "column 'Class2.1': not finite in row 30" in text

    def test_roots_sum_to_1(self):
        table = make_table()
        table['Class6.1'], table['Class6.2'] = 0.5, 0.4
        assert "'Class6.1 to Class6.2': do not sum to 1 in rows 0, 1" in str(
            problems(table)
        )

    def test_tolerance(self):
        table = make_table()
        table['Class6.1'] += 0.004
        read_labels(table, TREE)
        assert problems(table, tolerance=1e-3).rows == tuple(range(6))

    def test_unknown_parts_have_no_sum(self):
        table = make_table()
        table['Class7.2'][:] = np.nan
        read_labels(table, TREE)

    @pytest.mark.parametrize('unknown', ['Class7.2', 'Class1.1'])
    def test_known_parts_do_not_exceed_what_leads_to_them(self, unknown):
        table = make_table()
        table[unknown][:] = np.nan
        table['Class7.1'][4] = 0.99
        table['Class1.2'][4], table['Class1.3'][4] = 0.7, 0.1
        if unknown == 'Class7.2':
            table['Class1.1'][4] = 0.2
        else:
            # Then the root, 1, is all that they must not exceed.
            table['Class7.3'][4] = 0.6
        error = problems(table)
        assert error.rows == (4,)
        assert "'Class7.1 to Class7.3': sum to more than their parent" in str(error)

    def test_many_rows_are_counted(self):
        table = make_table(100)
        table['Class1.1'][:] = 7
        error = problems(table)
        assert len(error.rows) == 100
        assert 'in rows 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 90 more (7)' in str(error)

    def test_text_is_no_number(self):
        table = make_table()
        table['Class1.1'] = ['0.1', 'much', '', '0.2', 'little', '0.3']
        error = problems(table)
        assert {1, 4} <= set(error.rows)
        assert "'Class1.1': not a number in rows 1, 4 (much)" in str(error)

    def test_text_of_fits_tables_may_be_a_number(self):
        table = make_table(2)
        plain = read_labels(table, TREE).values
        for name in table.colnames:
            table[name] = [f'{value:.7f}'.encode() for value in table[name]]
        np.testing.assert_allclose(read_labels(table, TREE).values, plain, atol=1e-6)

    def test_column_missing_of_a_question(self):
        table = make_table()
        table.rename_column('Class2.2', 'Clas2.2')
        assert "column 'Class2.2': missing" in str(problems(table))

    def test_question_that_the_tree_has_not(self):
        error = problems(make_table(**{'Class12.1': np.zeros(6)}))
        assert "column 'Class12.1': no answer of 'gz2'" in str(error)
        assert error.rows == ()

    @pytest.mark.parametrize(
        ('name', 'meant'),
        [
            ('edge_on_yes', 'edgeon_yes'),
            ('spirals_spiral', 'spiral_spiral'),
            ('Spiral_No_Spiral', 'spiral_no_spiral'),
            ('Class4.2', 'spiral_no_spiral'),
        ],
    )
    def test_question_with_another_spelling(self, name, meant):
        table = Table(make_path_fractions(6)[:, :3], names=TREE.columns[:3])
        table[name] = 0.5
        text = f"column {name!r}: no answer of 'gz2'; if it is {meant!r}, rename"
        assert text in str(problems(table))

    def test_other_columns_are_left_alone(self):
        table = Table(make_path_fractions(6)[:, :3], names=TREE.columns[:3])
        for name in ('smooth_or_features_entropy', 'edgeon_yes_std', 'arms_number',
                     'image', 'redshift', 'bar_length', 'arms_number_6'):  # fmt: skip
            table[name] = 0.5
        read_labels(table, TREE)
        # What a question is called elsewhere is no matter where it is known.
        table = make_table(edge_on_yes=np.zeros(6))
        read_labels(table, TREE)

    def test_no_column_at_all(self):
        text = str(problems(Table({'a': [1]})))
        assert 'no column of' in text
        assert 'columns=' in text

    @pytest.mark.parametrize(
        ('columns', 'message'),
        [
            ({'Class9.9': 'a'}, "answer 'Class9.9': unknown to 'gz2'"),
            ({'Class1.1': 'b'}, "column 'b': the table has none"),
        ],
    )
    def test_columns_that_are_not_there(self, columns, message):
        assert message in str(problems(Table({'a': [0.1]}), columns=columns))

    def test_wrong_number_of_columns(self):
        with pytest.raises(ValueError, match='must name 37 columns'):
            read_labels(make_table(), TREE, columns=['Class1.1'])

    def test_kind(self):
        with pytest.raises(ValueError, match=r"kind must be one of .* not 'votes'"):
            read_labels(make_table(), TREE, kind='votes')

    @pytest.mark.parametrize(
        'travel', [copy.deepcopy, lambda e: pickle.loads(pickle.dumps(e))]
    )
    def test_error_comes_back_from_another_process(self, travel):
        error = travel(LabelError([np.int64(3)], 'three'))
        assert (error.rows, str(error)) == ((3,), 'three')


class TestConditional:
    def test_become_path_fractions(self):
        path = make_path_fractions(5)
        table = Table(TREE.to_conditional(path), names=TREE.columns)
        labels = read_labels(table, TREE, kind='conditional')
        assert labels.kind == 'fractions'
        np.testing.assert_allclose(labels.values, path, atol=1e-6)

    def test_question_without_votes(self):
        conditional = TREE.to_conditional(make_path_fractions(2))
        conditional[:, :3] = 1, 0, 0
        conditional[:, TREE.question('bar').slice] = 0
        conditional[:, TREE.question('rounded').slice] = 0
        table = Table(conditional, names=TREE.columns)
        values = read_labels(table, TREE, kind='conditional').values
        # Nobody was asked of bars; of roundness all were, and nothing is known.
        assert (values[:, TREE.question('bar').slice] == 0).all()
        assert np.isnan(values[:, TREE.question('rounded').slice]).all()

    def test_must_sum_to_1(self):
        conditional = TREE.to_conditional(make_path_fractions(2))
        conditional[1, :3] = 0.2
        table = Table(conditional, names=TREE.columns)
        error = problems(table, kind='conditional')
        assert error.rows == (1,)
        assert 'do not sum to 1 in row 1 (0.6)' in str(error)


class TestCounts:
    @pytest.fixture
    def votes(self):
        return make_votes(CEERS, 4)

    def test_targets_are_path_fractions(self, votes):
        votes[0] = 0
        for question in CEERS.questions:
            if question.name == 'edgeon_bulge':
                votes[1, question.slice] = 0
        table = Table(votes, names=CEERS.columns)
        labels = read_labels(table, CEERS, kind='counts')
        np.testing.assert_array_equal(labels.values, votes)
        fractions = votes.astype(float)
        for question in CEERS.questions:
            total = votes[:, question.slice].sum(1, keepdims=True)
            with np.errstate(invalid='ignore'):
                fractions[:, question.slice] = votes[:, question.slice] / total
        np.testing.assert_allclose(labels.targets, CEERS.to_path(fractions), rtol=1e-5)
        assert labels.is_known.tolist() == [False, True, True, True]

    def test_must_be_whole_and_positive(self, votes):
        votes = votes.astype(float)
        votes[2, 0], votes[3, 5] = -1, 2.5
        error = problems(Table(votes, names=CEERS.columns), CEERS, kind='counts')
        assert error.rows == (2, 3)
        assert 'a negative number of votes in row 2 (-1)' in str(error)
        assert 'not a whole number of votes in row 3 (2.5)' in str(error)

    def test_are_no_more_than_of_the_answer_before(self, votes):
        edgeon, bar = CEERS.question('edgeon'), CEERS.question('bar')
        votes[2, edgeon.slice] = 0, 80
        table = Table(votes, names=CEERS.columns)
        error = problems(table, CEERS, kind='counts')
        assert error.rows == (2,)
        text = 'more votes than the answer that leads to them in row 2 (80)'
        assert text in str(error)
        # Where nobody knows who was asked, the answers before that tell.
        table = Table(votes.astype(float), names=CEERS.columns)
        for name in CEERS.columns[edgeon.slice]:
            table[name] = np.nan
        read_labels(table, CEERS, kind='counts')
        table[CEERS.columns[bar.start]][1] = 90
        assert problems(table, CEERS, kind='counts').rows == (1,)

    def test_may_be_rounded_fractions(self):
        votes = np.round(20 * make_path_fractions(200))
        read_labels(Table(votes, names=TREE.columns), TREE, kind='counts')


class TestClasses:
    @pytest.mark.parametrize(
        'values',
        [
            [0, 4, -1, 2],
            [0.0, 4.0, np.nan, 2.0],
            ['0', '4', '', '2'],
            ['completely_round', 'spiral', None, 'cigar_shaped'],
            # as FITS tables have them
            [b'completely_round', b'spiral', b'', b'cigar_shaped'],
            np.ma.masked_equal([0, 4, 9, 2], 9),
        ],
    )
    def test_names_and_numbers(self, values):
        labels = read_labels(Table({'zhu5': values}), ZHU, kind='classes')
        assert labels.classes.tolist() == [0, 4, -1, 2]
        np.testing.assert_array_equal(labels.values[[0, 1, 3]], np.eye(5)[[0, 4, 2]])
        assert np.isnan(labels.values[2]).all()
        assert labels.is_known.tolist() == [True, True, False, True]

    def test_unknown_class(self):
        table = Table({'kind': ['spiral', 'lenticular', 'edge_on', 'S0']})
        error = problems(table, ZHU, kind='classes', columns='kind')
        assert error.rows == (1, 3)
        assert "column 'kind': no class of 'zhu5' (completely_round" in str(error)

    def test_need_one_question(self):
        with pytest.raises(ValueError, match='a schema of one question'):
            read_labels(Table({'gz2': [1]}), TREE, kind='classes')

    def test_weights_make_classes_count_alike(self):
        labels = Labels('classes', np.eye(4)[[0] * 6 + [1] * 3 + [2]])
        weights = labels.class_weights()
        np.testing.assert_allclose(weights * [6, 3, 1, 0], [10 / 3] * 3 + [0])
        assert weights[labels.classes].mean() == pytest.approx(1)


class TestAttributes:
    @pytest.fixture
    def table(self):
        table = Table()
        for name in EFIGI.source_columns:
            table[name] = [0.25, 0.5]
            table[f'{name}_inf'] = [0.0, 0.25]
            table[f'{name}_sup'] = [0.5, 0.75]
        return table

    def test_values_with_their_interval(self, table):
        table['T'] = [-6, 11]
        labels = read_labels(table, EFIGI, kind='attributes', low='_inf', high='_sup')
        assert labels.values[:, 0].tolist() == [-6, 11]
        assert labels.low[1, 3] == 0.25
        assert labels.high[0, 3] == 0.5
        # The sense of the arms, and that alone, is another in a mirror.
        ((column, ends),) = labels.mirrored
        assert (EFIGI.source_columns[column], ends) == ('Arm_Rotation', 1)

    def test_out_of_range_and_turned_round(self, table):
        table['T'] = [-7, 0]
        table['Bar_Length_inf'][1] = 0.9
        error = problems(table, EFIGI, kind='attributes', low='_inf', high='_sup')
        assert error.rows == (0, 1)
        assert "column 'T': not in [-6, 11] in row 0 (-7)" in str(error)
        assert "'Bar_Length': the low end is above the high one in row 1" in str(error)

    def test_interval_that_is_not_there(self, table):
        error = problems(table, EFIGI, kind='attributes', low='_low')
        assert "column 'T_low': the table has none" in str(error)


class TestBounds:
    def test_thresholds_are_no_values(self):
        table = Table({'at_least': [0.5, np.nan]})
        labels = read_labels(
            table, TREE, kind='bounds', columns={'Class7.1': 'at_least'}
        )
        assert np.isnan(labels.values).all()
        column = TREE.source_columns.index('Class7.1')
        np.testing.assert_array_equal(labels.bound[:, column], [0.5, np.nan])
        assert labels.is_known.tolist() == [True, False]


class TestLabels:
    def test_rows(self):
        labels = read_labels(make_table(), TREE).with_bound(np.zeros((6, 37)))
        part = labels[[4, 1]]
        assert len(part) == 2
        np.testing.assert_array_equal(part.values, labels.values[[4, 1]])
        assert part.bound.shape == (2, 37)
        assert part.structure == TREE.structure

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'kind': 'votes', 'values': np.zeros((1, 2))}, 'kind must be'),
            ({'kind': 'counts', 'values': np.zeros(3)}, 'shape'),
            (
                {
                    'kind': 'attributes',
                    'values': np.zeros((1, 2)),
                    'low': np.zeros((1, 3)),
                },
                'low must have the shape',
            ),
        ],
    )
    def test_shapes(self, options, message):
        with pytest.raises(ValueError, match=message):
            Labels(**options)


class TestCheckImages:
    def test_all_missing_files_are_named(self, tmp_path):
        (tmp_path / 'b.jpg').touch()
        names = [tmp_path / 'a.jpg', tmp_path / 'b.jpg', tmp_path / 'c' / 'd.jpg']
        with pytest.raises(LabelError, match='no such file in rows 0, 2') as caught:
            check_images(names)
        assert caught.value.rows == (0, 2)
        check_images(names[1:2])
