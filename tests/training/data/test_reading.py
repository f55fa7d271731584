# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the galaxies of a recipe's tasks."""

import dataclasses
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galmorph import MorphologyClassifier
from galmorph.exceptions import LabelError, RecipeError
from galmorph.schemas import load_schema
from galmorph.training.data.assembling import create_datamodule
from galmorph.training.data.reading import read_task, read_tasks
from galmorph.training.data.teaching import teach
from galmorph.training.parts import Task, Teacher
from tests.helpers.recipes import (
    make_recipe,
    write_candels,
    write_clear_kaggle,
    write_collections,
)
from tests.helpers.tiny import draw_stamps
from tests.helpers.training import make_path_fractions, write_gz2


def make_task(schema='gz2', loss='mse', **data):
    return Task.from_dict({'schema': schema, 'data': data or 'gz2', 'loss': loss})


def write_soft_labels(path, ids, seed=0):
    """Write a table of a teacher."""
    fractions = make_path_fractions(len(ids), seed)
    table = Table({'id': ids})
    for column, values in zip(load_schema('gz2').columns, fractions.T, strict=True):
        table[column] = values
    table.write(path)
    return fractions


@pytest.fixture
def tables(tmp_path):
    """Write a table of galaxies, and one of votes in another order."""
    names = [f'g{row}.png' for row in range(8)]
    for name, stamp in zip(names, draw_stamps(8), strict=True):
        Image.fromarray(stamp).save(tmp_path / name)
    table = Table({'name': [f'n{row}' for row in range(8)], 'image': names})
    table.write(tmp_path / 'galaxies.csv')
    votes = Table({'name': table['name']})
    tree = load_schema('gz2')
    path = make_path_fractions(8)
    for column, values in zip(tree.columns, path.T, strict=True):
        votes[column] = values
    votes[::-1].write(tmp_path / 'votes.csv')
    return path


class TestOwnTables:
    def test_labels_are_joined_by_id(self, tables, tmp_path):
        task = make_task(table='galaxies.csv', labels='votes.csv', id='name')
        source = read_task(task, tmp_path)
        np.testing.assert_allclose(source.labels.values, tables, atol=1e-6)
        assert source.images[0] == str(tmp_path / 'g0.png')
        assert set(source.table['split']) <= {'train', 'valid', 'test'}

    def test_classes_are_known_by_the_name_of_their_schema(self, tables, tmp_path):
        table = Table.read(tmp_path / 'galaxies.csv')
        table['zhu5'] = ['spiral', 'edge_on'] * 4
        table.write(tmp_path / 'galaxies.csv', overwrite=True)
        task = make_task('zhu5', 'cross_entropy', table='galaxies.csv')
        assert read_task(task, tmp_path).labels.classes.tolist() == [4, 3] * 4

    def test_table_of_no_known_format(self, tmp_path):
        (tmp_path / 'galaxies.weird').write_text('hello')
        with pytest.raises(LabelError, match=r'galaxies\.weird is of no format'):
            read_task(make_task(table='galaxies.weird'), tmp_path)

    def test_column_of_splits(self, tables, tmp_path):
        table = Table.read(tmp_path / 'galaxies.csv')
        table['part'] = ['valid'] * 3 + ['train'] * 5
        table.write(tmp_path / 'galaxies.csv', overwrite=True)
        task = make_task(
            table='galaxies.csv', labels='votes.csv', id='name', split='part'
        )
        source = read_task(task, tmp_path)
        assert source.table['split'].tolist() == ['valid'] * 3 + ['train'] * 5

    def test_unknown_split_is_refused_and_a_blank_one_left_out(self, tables, tmp_path):
        table = Table.read(tmp_path / 'galaxies.csv')
        task = make_task(
            table='galaxies.csv', labels='votes.csv', id='name', split='part'
        )
        table['part'] = ['valid', ''] + ['train'] * 6
        table.write(tmp_path / 'galaxies.csv', overwrite=True)
        split = read_task(task, tmp_path).table['split'].tolist()
        assert split == ['valid', 'unlabelled'] + ['train'] * 6
        table['part'] = ['val', 'Train'] + ['train'] * 6
        table.write(tmp_path / 'galaxies.csv', overwrite=True)
        with pytest.raises(LabelError, match=r"'part': none of.* in rows 0, 1 \(val\)"):
            read_task(task, tmp_path)

    def test_split_does_not_depend_on_the_folder(self, tables, tmp_path):
        votes = Table.read(tmp_path / 'votes.csv')[::-1]
        votes.write(tmp_path / 'ordered.csv')
        source = read_task(
            make_task(table='galaxies.csv', labels='ordered.csv'), tmp_path
        )
        assert source.table['id'].tolist() == [f'g{row}.png' for row in range(8)]

    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'table': 'lost.csv'}, r'lost\.csv cannot be read'),
            ({'id': 'number'}, "no column 'number'"),
            ({'image': 'photo'}, "no column 'photo'"),
            ({'split': 'part'}, "no column 'part'"),
            ({'kind': 'counts'}, 'not a whole number of votes'),
        ],
    )
    def test_names_what_is_missing(self, tables, tmp_path, changes, message):
        source = {'table': 'galaxies.csv', 'labels': 'votes.csv', 'id': 'name'}
        with pytest.raises(LabelError, match=message):
            read_task(make_task(**{**source, **changes}), tmp_path)

    def test_tables_of_other_lengths_need_an_id(self, tables, tmp_path):
        votes = Table.read(tmp_path / 'votes.csv')
        votes[:5].write(tmp_path / 'few.csv')
        task = make_task(table='galaxies.csv', labels='few.csv')
        with pytest.raises(LabelError, match='8 rows, and the labels have 5'):
            read_task(task, tmp_path)
        task = make_task(table='galaxies.csv', labels='few.csv', id='name')
        with pytest.raises(LabelError, match='3 without labels, in rows 0, 1, 2'):
            read_task(task, tmp_path)

    def test_tables_in_another_order_need_an_id(self, tables, tmp_path):
        task = make_task(table='galaxies.csv', labels='votes.csv')
        message = "row 0 of the galaxies has name = 'n0', and of the labels 'n7'"
        with pytest.raises(LabelError, match=message):
            read_task(task, tmp_path)
        # Numbers that have nothing to do with each other are in no order.
        votes = Table.read(tmp_path / 'votes.csv')
        votes['name'] = [f'v{row}' for row in range(8)]
        votes.write(tmp_path / 'votes.csv', overwrite=True)
        assert len(read_task(task, tmp_path)) == 8

    def test_one_galaxy_has_one_row_of_labels(self, tables, tmp_path):
        votes = Table.read(tmp_path / 'votes.csv')
        votes.add_row(votes[2])
        votes.add_row(['another', *list(votes[2])[1:]])
        votes.add_row(votes[-1])
        votes.write(tmp_path / 'votes.csv', overwrite=True)
        task = make_task(table='galaxies.csv', labels='votes.csv', id='name')
        message = r"'name': one galaxy more than once; .* in rows 2, 8 \(n5\)"
        with pytest.raises(LabelError, match=message) as caught:
            read_task(task, tmp_path)
        # Those that are in no table of galaxies do not matter.
        assert caught.value.rows == (2, 8)

    def test_one_table_may_show_a_galaxy_twice(self, tables, tmp_path):
        table = Table.read(tmp_path / 'galaxies.csv')
        table['name'][1] = 'n0'
        table['zhu5'] = [3, 4, *[0] * 6]
        table.write(tmp_path / 'both.csv')
        task = make_task('zhu5', 'cross_entropy', table='both.csv', kind='classes',
                         labels='both.csv', id='name')  # fmt: skip
        source = read_task(task, tmp_path)
        assert source.labels.classes.tolist() == [3, 4, *[0] * 6]
        assert source.table['split'][0] == source.table['split'][1]

    def test_names_the_columns_that_are_not_used(self, tables, tmp_path):
        table = Table.read(tmp_path / 'galaxies.csv')
        table['ra'], table['part'], table['note'] = 10.0, 'train', '?'
        table.write(tmp_path / 'galaxies.csv', overwrite=True)
        votes = Table.read(tmp_path / 'votes.csv')
        votes.remove_columns(['bar_bar', 'bar_no_bar'])
        votes['bias'] = 0
        votes.write(tmp_path / 'votes.csv', overwrite=True)
        source = read_task(
            make_task(
                table='galaxies.csv', labels='votes.csv', id='name', split='part'
            ),
            tmp_path,
        )
        assert source.ignored == ('ra', 'note', 'bias')
        known, unknown, ignored = source.describe_labels(load_schema('gz2'))
        assert known.startswith('labels: smooth_or_features (8), edgeon (8), spiral')
        assert unknown == 'no labels: bar'
        assert ignored == 'columns not used: ra, note, bias'

    def test_classes(self, tables, tmp_path):
        table = Table.read(tmp_path / 'galaxies.csv')
        table['kind'] = ['spiral', '', *['edge_on'] * 6]
        table.write(tmp_path / 'classes.csv')
        task = make_task(
            'zhu5',
            'cross_entropy',
            table='classes.csv',
            kind='classes',
            columns={'class': 'kind'},
        )
        source = read_task(task, tmp_path)
        assert len(source) == 7
        assert source.labels.classes.tolist() == [4, *[3] * 6]


class TestSelect:
    @pytest.mark.parametrize(
        ('select', 'n'),
        [('values', 10), ('complete', 5), ('bounds', 5), ('known', 15), ('all', 20)],
    )
    def test_galaxies_of_which_something_is_known(self, tmp_path, select, n):
        write_gz2(tmp_path / 'gz2')
        task = make_task(layout='gz2', select=select)
        assert len(read_task(task, tmp_path)) == n

    def test_limit(self, tmp_path):
        write_gz2(tmp_path / 'gz2')
        assert len(read_task(make_task(layout='gz2', limit=3), tmp_path)) == 3

    def test_challenge_is_split_as_asked(self, tmp_path):
        write_clear_kaggle(tmp_path / 'challenge', 20)
        split = [
            read_task(make_task(layout='gz2', **changes), tmp_path / 'challenge').table
            for changes in ({}, {'fractions': [0.5, 0.5]})
        ]
        n_valid = [int((table['split'] == 'valid').sum()) for table in split]
        assert n_valid[0] == 2
        assert n_valid[1] > 5

    def test_classes_of_the_challenge_are_split_evenly(self, tmp_path):
        write_clear_kaggle(tmp_path / 'challenge', 20)
        task = make_task('zhu5', 'cross_entropy', layout='gz2', fractions=[0.75, 0.25])
        source = read_task(task, tmp_path / 'challenge')
        valid = source.labels.classes[source.table['split'] == 'valid']
        assert sorted(valid.tolist()) == [0, 1, 2, 3, 4]


TAUGHT = {'schema': 'gz2', 'loss': 'distillation'}


def test_attributes_are_not_drawn_by_classes(tables, tmp_path):
    table = Table.read(tmp_path / 'galaxies.csv')
    table['t_type'] = 3.0
    table.write(tmp_path / 'attributes.csv')
    task = {'schema': 'efigi', 'loss': 'mse', 'data': {'table': 'attributes.csv'}}
    with pytest.raises(RecipeError, match="'sampling' 'balanced' is by classes"):
        read_task(Task.from_dict({**task, 'sampling': 'balanced'}), tmp_path)


def test_one_image_by_two_paths_has_one_split(tables, tmp_path):
    (tmp_path / 'tables').mkdir()
    table = Table.read(tmp_path / 'galaxies.csv')
    table['zhu5'] = 'spiral'
    table.write(tmp_path / 'one.csv')
    table['image'] = [f'../{name}' for name in table['image']]
    table['part'] = 'train'
    table.write(tmp_path / 'tables' / 'two.csv')
    tasks = {
        name: {'schema': 'zhu5', 'loss': 'cross_entropy', 'data': data}
        for name, data in (
            ('one', {'table': 'one.csv', 'fractions': [0.5, 0.5]}),
            ('two', {'table': 'tables/two.csv', 'split': 'part'}),
        )
    }
    with pytest.raises(RecipeError, match="of the task 'one' and in 'train' of 'two'"):
        read_tasks(make_recipe(tasks=tasks, monitor='valid/loss'), tmp_path)


class TestUnlabelled:
    """Galaxies that a teacher is to label, or that need none."""

    @pytest.mark.parametrize('kind', [None, 'classes'])
    def test_table_of_images_alone(self, tables, tmp_path, tiny_card, kind):
        data = {'table': 'galaxies.csv', 'select': 'all', 'kind': kind}
        task = Task.from_dict(
            {**TAUGHT, 'data': data, 'teacher': {'weights': str(tiny_card)}}
        )
        source = read_task(task, tmp_path)
        assert len(source) == 8
        assert not source.labels.is_known.any()
        taught = teach(source, task.teacher, load_schema('gz2'))
        assert taught.labels.is_known.all()
        with pytest.raises(LabelError, match="no column of 'gz2'"):
            read_task(make_task(**data | {'kind': None}), tmp_path)

    @pytest.mark.parametrize('has_teacher', [True, False])
    def test_galaxies_that_the_labels_have_not(self, tables, tmp_path, has_teacher):
        votes = Table.read(tmp_path / 'votes.csv')
        votes[:5].write(tmp_path / 'few.csv')
        data = {'table': 'galaxies.csv', 'labels': 'few.csv', 'id': 'name'}
        extra = {'teacher': 'dieleman.gz2'} if has_teacher else {}
        task = {**TAUGHT, 'data': {**data, 'select': 'all'}, **extra}
        source = read_task(Task.from_dict(task), tmp_path)
        assert source.labels.is_known.tolist() == [False] * 3 + [True] * 5
        np.testing.assert_allclose(source.labels.values[3:], tables[3:], atol=1e-6)
        # None at all is another column.
        votes['name'] = [f'x{row}' for row in range(8)]
        votes.write(tmp_path / 'few.csv', overwrite=True)
        with pytest.raises(LabelError, match='8 without labels'):
            read_task(Task.from_dict(task), tmp_path)

    def test_are_left_out_unless_asked_for(self, tables, tmp_path, tiny_card):
        task = {**TAUGHT, 'data': {'table': 'galaxies.csv'},
                'teacher': str(tiny_card)}  # fmt: skip
        recipe = make_recipe(tasks={'gz2': task})
        with pytest.raises(RecipeError, match="'select: all' gives its teacher"):
            read_tasks(recipe, tmp_path)

    def test_teacher_labels_no_galaxy_that_validates_another_task(
        self, tables, tmp_path, tiny_card
    ):
        table = Table.read(tmp_path / 'galaxies.csv')
        table['zhu5'], table['part'] = 'spiral', ['train'] * 6 + ['valid'] * 2
        table.write(tmp_path / 'galaxies.csv', overwrite=True)
        table['none'] = ''
        table['name', 'image', 'none'].write(tmp_path / 'bare.csv')
        own = {'table': 'galaxies.csv', 'split': 'part'}
        bare = {'table': 'bare.csv', 'split': 'none', 'select': 'all'}
        tasks = {
            'zhu5': {'schema': 'zhu5', 'data': own, 'loss': 'cross_entropy'},
            'soft': {**TAUGHT, 'data': bare, 'teacher': str(tiny_card)},
        }
        with pytest.raises(RecipeError, match="'valid' of the task 'zhu5' and in 'tr"):
            read_tasks(make_recipe(tasks=tasks, monitor='valid/loss'), tmp_path)


class TestTeach:
    def test_leaves_validation_and_test_alone(self, tmp_path, tiny_card):
        write_gz2(tmp_path / 'gz2')
        source = read_task(make_task(layout='gz2', select='all'), tmp_path)
        teacher = Teacher(weights=str(tiny_card), n_transforms=1)
        taught = teach(source, teacher, load_schema('gz2'), tmp_path / 'kept')
        kept = np.isin(source.table['split'], ('train', 'unlabelled'))
        assert len(taught) == kept.sum() < len(source)
        assert set(taught.table['split']) == {'train'}
        # What the teacher does not support is not learnt.
        known = np.isfinite(taught.labels.values).all(0)
        assert known.sum() == 18
        # The answers of before are taken.
        (path,) = (tmp_path / 'kept').iterdir()
        np.save(path, np.full((len(taught), 37), 0.25, np.float32))
        again = teach(source, teacher, load_schema('gz2'), tmp_path / 'kept')
        assert (again.labels.values == 0.25).all()
        # Not those of other pictures under the same names.
        Path(taught.images[0]).touch()
        again = teach(source, teacher, load_schema('gz2'), tmp_path / 'kept')
        np.testing.assert_array_equal(again.labels.values, taught.labels.values)

    def test_teacher_sees_the_frame_of_the_size(self, tmp_path, tiny_card):
        write_gz2(tmp_path / 'gz2')
        source = read_task(make_task(layout='gz2', select='all'), tmp_path)
        teacher = Teacher(weights=str(tiny_card), n_transforms=1)
        taught = []
        for size in (4, 9):
            sizes = np.full(len(source), size) * u.pix
            sized = dataclasses.replace(source, table=source.table.copy(), sizes=sizes)
            taught.append(teach(sized, teacher, load_schema('gz2'), tmp_path / 'kept'))
        values = [np.nan_to_num(each.labels.values) for each in taught]
        assert np.abs(values[0] - values[1]).max() > 0
        classifier = MorphologyClassifier(tiny_card, n_transforms=1)
        found = classifier.classify([taught[1].images[0]], size=[9] * u.pix)
        expected = found.probabilities.filled(np.nan)
        np.testing.assert_allclose(taught[1].labels.values[:1], expected, atol=1e-6)


class TestSoftLabels:
    @pytest.fixture
    def source(self, tmp_path):
        write_gz2(tmp_path / 'data' / 'gz2')
        task = make_task(layout='gz2', select='all')
        return read_task(task, tmp_path / 'data')

    @pytest.mark.parametrize('ids', [[101, 102, 103], ['101', '102', '103']])
    def test_are_joined_by_id(self, source, tmp_path, ids):
        path = write_soft_labels(tmp_path / 'soft.fits', ids)
        teacher = Teacher(table=str(tmp_path / 'soft.fits'))
        taught = teach(source, teacher, load_schema('gz2'))
        assert set(taught.table['id']) <= {'101', '102', '103'}
        row = [101, 102, 103].index(int(taught.table['id'][0]))
        np.testing.assert_allclose(taught.labels.values[0], path[row], atol=1e-6)

    def test_of_the_data_come_before_those_of_the_current_folder(
        self, source, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(tmp_path)
        teacher, schema = Teacher(table='soft.fits'), load_schema('gz2')
        write_soft_labels(tmp_path / 'soft.fits', [101, 102])
        assert set(teach(source, teacher, schema).table['id']) <= {'101', '102'}
        taught = teach(source, teacher, schema, data=tmp_path / 'data')
        assert set(taught.table['id']) <= {'101', '102'}
        write_soft_labels(tmp_path / 'data' / 'soft.fits', [103, 104])
        taught = teach(source, teacher, schema, data=tmp_path / 'data')
        assert set(taught.table['id']) <= {'103', '104'}

    @pytest.mark.parametrize(
        ('content', 'message'),
        [
            (None, r"'soft\.ecsv', is not in '.*data' or in the current folder"),
            ('no table', r'data.soft\.ecsv.* cannot be read'),
            ({'name': [1]}, "has no column 'id', only"),
            ({'id': [101], 'zhu5': [1]}, "no column of 'gz2'"),
            ({'id': [7]}, "no 'id' of the 17 galaxies, such as '101"),
            ({'id': [102, 7, 102, 7]}, r"'id': one galaxy more .* rows 0, 2 \(102\)"),
        ],
    )
    def test_that_are_of_no_use_are_told_from(self, source, tmp_path, content, message):
        path = tmp_path / 'data' / 'soft.ecsv'
        if content is not None and list(content) == ['id'] and 7 in content['id']:
            write_soft_labels(path, content['id'])
        elif isinstance(content, dict):
            Table(content).write(path)
        elif content is not None:
            path.write_text(content)
        task = {'schema': 'gz2', 'data': {'layout': 'gz2', 'select': 'all'},
                'loss': 'distillation', 'teacher': {'table': 'soft.ecsv'},
                'optional': True}  # fmt: skip
        with pytest.raises(LabelError, match=message) as error:
            read_tasks(make_recipe(tasks={'taught': task}), tmp_path / 'data')
        assert str(error.value).startswith("the task 'taught': the 'table' of the")
        assert 'scripts/make_soft_labels.py' in str(error.value)

    def test_of_an_unknown_format(self, source, tmp_path):
        (tmp_path / 'data' / 'soft.weird').write_text('weird')
        teacher = Teacher(table='soft.weird')
        with pytest.raises(LabelError, match=r'teacher: .*soft\.weird is of no format'):
            teach(source, teacher, load_schema('gz2'), data=tmp_path / 'data')


class TestSplitSeed:
    @pytest.mark.parametrize('layout', ['gz2', 'candels', 'table'])
    def test_draws_the_parts(self, tmp_path, tables, layout):
        write_clear_kaggle(tmp_path / 'challenge', 30)
        write_candels(tmp_path / 'candels_goodss', 20)
        data = {
            'gz2': {'layout': 'gz2', 'folder': 'challenge', 'fractions': [0.5, 0.5]},
            'candels': {'layout': 'candels', 'fractions': [0.5, 0.5]},
            'table': {'table': 'galaxies.csv', 'labels': 'votes.csv', 'id': 'name',
                      'fractions': [0.5, 0.5]},
        }[layout]  # fmt: skip
        schema = 'candels5' if layout == 'candels' else 'gz2'
        splits = [
            read_task(make_task(schema, **data, split_seed=seed), tmp_path)
            .table['split']
            .tolist()
            for seed in (0, 0, 1)
        ]
        assert splits[0] == splits[1] != splits[2]
        assert set(splits[0]) == {'train', 'valid'}

    def test_is_shared_by_the_members_of_an_ensemble(self, tmp_path):
        write_clear_kaggle(tmp_path, 30)
        data = {'layout': 'gz2', 'fractions': [0.7, 0.3]}
        recipe = make_recipe(
            tasks={'gz2': {'schema': 'gz2', 'data': data, 'loss': 'mse'}},
            ensemble=[{}, {}],
        )
        members = [recipe.member(index) for index in range(2)]
        assert members[0].seed != members[1].seed
        one, other = (read_tasks(m, tmp_path)['gz2'].table for m in members)
        assert one['split'].tolist() == other['split'].tolist()

    def test_leaves_the_splits_of_the_data_alone(self, tmp_path):
        write_gz2(tmp_path / 'gz2')
        tables = [
            read_task(make_task(layout='gz2', **changes), tmp_path).table
            for changes in ({}, {'split_seed': 3, 'fractions': [0.5, 0.5]})
        ]
        assert tables[0]['split'].tolist() == tables[1]['split'].tolist()


class TestDatamodule:
    def test_tasks_of_the_same_pixels_share_a_cache(self, tmp_path):
        write_gz2(tmp_path / 'gz2')
        tasks = {
            'votes': {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'},
            'bounds': {
                'schema': 'gz2',
                'head_of': 'votes',
                'data': {'layout': 'gz2', 'select': 'bounds'},
                'loss': 'censored',
            },
            'near': {
                'schema': 'gz2',
                'head_of': 'votes',
                'data': 'gz2',
                'loss': 'mse',
                'pixels': {'step': 9.0},
            },
        }
        data = create_datamodule(
            make_recipe(tasks=tasks), tmp_path, cache=tmp_path / 'cache'
        )
        votes, bounds, near = data.tasks.values()
        assert votes.images is bounds.images
        assert votes.images is not near.images
        shown = [
            {str(task.table['image'][row]) for row in task.rows(split)}
            for task in (votes, bounds)
            for split in ('train', 'valid')
        ]
        assert all(not a & b for i, a in enumerate(shown) for b in shown[:i])
        np.testing.assert_array_equal(
            votes.labels.values[votes.rows('train')],
            near.labels.values[near.rows('train')],
        )

    def test_a_galaxy_has_one_split_in_all_tasks(self, tmp_path):
        write_clear_kaggle(tmp_path / 'challenge', 40)
        tasks = {
            name: {
                'schema': 'gz2',
                'data': {'layout': 'gz2', 'fractions': fractions},
                'loss': 'mse',
            }
            for name, fractions in (('a', [0.5, 0.5]), ('b', [0.8, 0.2]))
        }
        tasks['b']['head_of'] = 'a'
        with pytest.raises(RecipeError, match=r"is in '\w+' of the task 'a' and in"):
            read_tasks(make_recipe(tasks=tasks), tmp_path / 'challenge')

    def test_labels_on_the_images_of_another_task(self, tmp_path):
        write_gz2(tmp_path / 'gz2')
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        other = {**task, 'head_of': 'votes', 'images_of': 'votes'}
        recipe = make_recipe(tasks={'votes': task, 'again': other})
        data = create_datamodule(recipe, tmp_path)
        batch = next(iter(data.train_dataloader()))
        assert batch['again']['index'].tolist() == batch['votes']['index'].tolist()
        assert 'images' not in batch['again']

    def test_images_of_a_task_with_other_images(self, tmp_path):
        write_collections(tmp_path)
        task = {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}
        other = {'schema': 'gz_ceers', 'data': 'ceers', 'loss': 'multinomial'}
        tasks = {'votes': task, 'stamps': {**other, 'images_of': 'votes'}}
        with pytest.raises(RecipeError, match="'votes' shows other images"):
            create_datamodule(make_recipe(tasks=tasks), tmp_path)

    def test_names_a_wrong_augmentation(self, tmp_path):
        write_clear_kaggle(tmp_path / 'challenge', 6)
        with pytest.raises(RecipeError, match=r"task 'gz2': .*'dielman'"):
            create_datamodule(
                make_recipe(augmentation='dielman'), tmp_path / 'challenge'
            )

    def test_names_an_unknown_layout(self, tmp_path):
        tasks = {'a': {'schema': 'gz2', 'data': 'gz3', 'loss': 'mse'}}
        with pytest.raises(RecipeError, match=r"'layout' must be one of .*not 'gz3'"):
            read_tasks(make_recipe(tasks=tasks), tmp_path)

    def test_candels(self, tmp_path):
        write_candels(tmp_path / 'candels_goodss')
        source = read_task(make_task('candels5', layout='candels'), tmp_path)
        assert len(source) == 6
        np.testing.assert_allclose(source.labels.values.sum(1), 1, atol=1e-5)
