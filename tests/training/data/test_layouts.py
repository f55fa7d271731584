# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the readers, on small data sets of the real formats."""

import numpy as np
import pytest
from astropy.table import Table

from galmorph.exceptions import LabelError
from galmorph.images import read_image
from galmorph.preprocessing.prepare import prepare
from galmorph.schemas import load_schema, zhu5_classes
from galmorph.training.data.labels import read_labels
from galmorph.training.data.layouts import (
    list_layouts,
    read_ceers,
    read_efigi,
    read_gz2,
    read_kaggle,
    read_layout,
    read_stripe82,
)
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.training import (
    make_path_fractions,
    write_ceers,
    write_efigi,
    write_gz2,
    write_kaggle,
    write_stripe82,
)

TREE, EFIGI = load_schema('gz2'), load_schema('efigi')


class TestKaggle:
    def test_is_read_as_it_is_downloaded(self, tmp_path):
        ids = write_kaggle(tmp_path)
        data = read_kaggle(tmp_path)
        assert data.table['id'].tolist() == [str(number) for number in ids]
        assert data.table['image'][3].endswith(f'images_training_rev1/{ids[3]}.jpg')
        assert (data.table['split'] == 'valid').sum() == 2
        wanted = make_path_fractions(20)
        np.testing.assert_allclose(data.labels['gz2'].values, wanted, atol=1e-6)
        classes = zhu5_classes(wanted)
        assert data.labels['zhu5'].classes.tolist() == classes.tolist()
        assert data.sizes is None

    def test_missing_pictures_are_named(self, tmp_path):
        ids = write_kaggle(tmp_path)
        for row in (2, 7):
            (tmp_path / 'images_training_rev1' / f'{ids[row]}.jpg').unlink()
        with pytest.raises(LabelError, match='no such file in rows 2, 7') as caught:
            read_kaggle(tmp_path)
        assert caught.value.rows == (2, 7)

    def test_bad_votes_are_named(self, tmp_path):
        write_kaggle(tmp_path)
        file = tmp_path / 'training_solutions_rev1.csv'
        lines = file.read_text().splitlines()
        lines[6] = lines[6].replace(lines[6].split(',')[1], '3.5', 1)
        file.write_text('\n'.join(lines))
        with pytest.raises(LabelError, match=r"'Class1.1': not in \[0, 1\] in row 5"):
            read_kaggle(tmp_path)


class TestGz2:
    @pytest.fixture
    def data(self, tmp_path):
        write_gz2(tmp_path / 'gz2')
        return read_gz2(tmp_path)

    def test_labels_of_one_question(self, data):
        labels = data.labels_of('gz2/odd')
        part = TREE.question('odd').slice
        wanted = data.labels['gz2'].values[:, part]
        np.testing.assert_array_equal(labels.values, wanted)
        assert labels.bound.shape == wanted.shape
        assert labels.structure == ((0, 2, -1),)
        assert data.labels_of('gz2') is data.labels['gz2']
        assert data.labels_of('gz_ceers/odd') is None

    def test_all_kinds_of_rows(self, data):
        known = np.isfinite(data.labels['gz2'].values).sum(1)
        assert known.tolist() == [37, 17, 0, 0] * 5
        assert data.labels['gz2'].is_known.tolist() == [True, True, True, False] * 5
        assert set(data.table['split']) == {'train', 'valid', 'unlabelled'}

    def test_class_bounds_the_fractions(self, data):
        labels = data.labels['gz2']
        assert data.labels['zhu5'].classes[[2, 6, 10, 14, 18]].tolist() == [
            0,
            1,
            2,
            3,
            4,
        ]
        bounds = {
            2: {'Class7.1': 0.5},
            6: {'Class7.2': 0.5},
            10: {'Class7.3': 0.5},
            14: {'Class2.1': 0.602},
            18: {'Class2.2': 0.715, 'Class4.1': 0.619},
        }
        for row, wanted in bounds.items():
            columns = np.flatnonzero(np.isfinite(labels.bound[row]))
            found = {TREE.source_columns[i]: labels.bound[row, i] for i in columns}
            assert found == pytest.approx(wanted)
        # Where there are votes they say it all.
        assert np.isnan(labels.bound[[0, 1, 4, 5]]).all()

    def test_folder_of_kaggle_is_read_too(self, tmp_path):
        write_kaggle(tmp_path / 'kaggle')
        assert len(read_layout('gz2', tmp_path / 'kaggle')) == 20

    def test_nothing_there(self, tmp_path):
        with pytest.raises(LabelError, match=r'neither labels\.csv nor'):
            read_gz2(tmp_path)


class TestStripe82:
    def test_conditional_fractions_become_path_fractions(self, tmp_path):
        ids = write_stripe82(tmp_path)
        data = read_stripe82(tmp_path)
        assert data.table['id'].tolist() == [str(number) for number in ids]
        values = data.labels['gz2'].values
        np.testing.assert_allclose(values[2:], make_path_fractions(4)[2:], atol=0.003)
        # Not asked; asked, and not answered.
        assert (values[0, TREE.question('bar').slice] == 0).all()
        assert np.isnan(values[1, TREE.question('rounded').slice]).all()
        assert data.sizes.unit == 'pix'
        assert ((data.sizes.value >= 5) & (data.sizes.value <= 20)).all()


class TestCeers:
    def test_votes_and_frame(self, tmp_path):
        votes = write_ceers(tmp_path)
        data = read_ceers(tmp_path)
        np.testing.assert_array_equal(data.labels['gz_ceers'].values, votes)
        assert data.labels['gz_ceers'].kind == 'counts'
        assert data.table['id'][2] == 'F200W_2'
        prepared = prepare(read_image(data.table['image'][0]), data.recipe)
        # The whole stamp is the frame, of which the network sees 150 / 212.
        scale = prepared.affines[0, 0, 0, 0]
        assert scale * 112 == pytest.approx(40 * 150 / 212)
        assert len(prepared.pixels) == 1


class TestEfigi:
    def test_undefined_is_unknown_but_for_the_stage(self, tmp_path):
        write_efigi(tmp_path)
        labels = read_efigi(tmp_path).labels['efigi']
        assert (labels.values[:, 0] == -1).all()
        assert (labels.low[:, 0] == -2).all()
        assert np.isnan(labels.values[:, -1]).all()
        assert np.isnan(labels.low[:, -1]).all()
        assert (labels.values[:, 1:-1] == 0.25).all()

    def test_whole_picture_is_shown(self, tmp_path):
        write_efigi(tmp_path)
        data = read_efigi(tmp_path)
        prepared = prepare(read_image(data.table['image'][0]), data.recipe)
        assert prepared.affines[0, 0, 0, 0] * 112 == pytest.approx(88)


class TestReadLayout:
    def test_every_layout_misses_its_files(self, tmp_path):
        for name in list_layouts():
            with pytest.raises(LabelError, match='has n'):
                read_layout(name, tmp_path)

    def test_unknown_layout(self):
        with pytest.raises(ValueError, match="no layout 'zoo'; choose from"):
            read_layout('zoo', '.')


@needs_shared_data
class TestRealData:
    @pytest.mark.parametrize(
        ('file', 'name', 'kind'),
        [
            ('gz2/labels.csv', 'gz2', 'fractions'),
            ('gz_ceers/votes.csv', 'gz_ceers', 'counts'),
        ],
    )
    def test_any_question_may_be_missing(self, file, name, kind):
        table, schema = Table.read(SHARED_DATA / file), load_schema(name)
        table = table[:1]
        for question in schema.questions:
            left = table.copy()
            left.remove_columns(list(schema.source_columns[question.slice]))
            values = read_labels(left, schema, kind=kind).values
            assert np.isnan(values).sum() == len(question.answers)

    def test_galaxy_zoo_2(self):
        data = read_layout('gz2', SHARED_DATA)
        labels = data.labels['gz2']
        assert len(data) == 30_682
        assert np.isfinite(labels.values).any(1).sum() == 3932
        assert np.isfinite(labels.values).all(1).sum() == 835
        classes = data.labels['zhu5'].classes
        count = [int((classes == index).sum()) for index in range(5)]
        assert count == [7458, 7137, 510, 3473, 6901]
        # Where all votes are known, the rule gives the class in the table.
        complete = np.isfinite(labels.values).all(1)
        given = complete & (classes >= 0)
        found = zhu5_classes(labels.values[given])
        assert (found == classes[given]).all()

    def test_ceers(self):
        data = read_layout('ceers', SHARED_DATA)
        assert len(data) == 3306
        labels = data.labels['gz_ceers']
        tree = load_schema('gz_ceers')
        assert (
            tree.violation(labels.targets[np.isfinite(labels.targets).all(1)]).max()
            < 1e-5
        )

    def test_efigi(self):
        labels = read_layout('efigi', SHARED_DATA).labels['efigi']
        assert len(labels) == 3565
        assert np.isfinite(labels.values[:, 0]).all()
        known = np.isfinite(labels.values)
        assert 0 < known[:, EFIGI.source_columns.index('Arm_Strength')].sum() < 3565
        assert (labels.low[known] <= labels.high[known]).all()
