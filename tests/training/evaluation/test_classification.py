# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the scores of classes, against a published table and torchmetrics."""

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import (
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

from galmorph.training.evaluation.classification import (
    ClassificationReport,
    class_scores,
)
from tests.helpers.zhu import ZHU

NAMES = ['completely round', 'in between', 'cigar', 'edge-on', 'spiral']
# Zhu et al. (2019).
TABLE_4 = {
    'precision': [0.9611, 0.9561, 0.7234, 0.9412, 0.9573],
    'recall': [0.9634, 0.9431, 0.5862, 0.9485, 0.9782],
    'f1': [0.9622, 0.9495, 0.6476, 0.9448, 0.9677],
}


def expand(matrix):
    true, predicted = np.indices(np.shape(matrix))
    return [np.repeat(v.ravel(), np.ravel(matrix)) for v in (true, predicted)]


class TestZhu:
    report = ClassificationReport.from_confusion(ZHU, NAMES)

    @pytest.mark.parametrize('score', TABLE_4)
    def test_each_class_as_in_table_4(self, score):
        assert getattr(self.report, score).round(4).tolist() == TABLE_4[score]

    def test_accuracy(self):
        assert self.report.n == 2880
        assert self.report.accuracy == 2742 / 2880
        assert round(100 * self.report.accuracy, 4) == 95.2083

    def test_averages_of_table_7_are_weighted(self):
        weighted = [round(v, 4) for v in self.report.weighted.values()]
        assert weighted == [0.9512, 0.9521, 0.9515]

    def test_macro_averages(self):
        macro = [round(v, 4) for v in self.report.macro.values()]
        assert macro == [0.9078, 0.8839, 0.8944]

    def test_is_the_same_from_classes(self):
        report = ClassificationReport.from_classes(*expand(ZHU), NAMES)
        assert report.matrix.tolist() == ZHU
        assert report.to_dict()['classes']['cigar'] == {
            'precision': 0.7234, 'recall': 0.5862, 'f1': 0.6476, 'n': 58,
        }  # fmt: skip

    def test_text(self):
        lines = str(self.report).split('\n')
        assert lines[3].split() == ['cigar', '0.7234', '0.5862', '0.6476', '58']
        assert lines[-1] == 'accuracy 0.9521'

    def test_table(self):
        table = self.report.to_table()
        assert table['class'].tolist() == NAMES
        assert table['n'].tolist() == [846, 808, 58, 388, 780]


class TestReport:
    # a class that is never predicted, and one that does not exist
    RARE = ((5, 0, 1, 0), (2, 0, 1, 0), (0, 0, 4, 0), (0, 0, 0, 0))

    @pytest.mark.parametrize('average', ['macro', 'weighted'])
    def test_rare_classes_as_torchmetrics_has_them(self, average):
        true, predicted = map(torch.tensor, expand(self.RARE))
        report = ClassificationReport.from_confusion(self.RARE)
        for name, function in (
            ('precision', multiclass_precision),
            ('recall', multiclass_recall),
            ('f1', multiclass_f1_score),
        ):
            expected = function(predicted, true, 4, average=average).item()
            assert getattr(report, average)[name] == pytest.approx(expected), name

    def test_a_class_that_is_not_there_has_no_score(self):
        report = ClassificationReport.from_confusion(self.RARE)
        assert report.precision[1] == 0
        assert np.isnan(report.f1[3])
        assert report.to_dict()['classes']['3'] == {'n': 0}

    def test_unknown_classes_are_left_out(self):
        report = ClassificationReport.from_classes([0, -1, 1], [0, 1, -1], ['a', 'b'])
        assert report.matrix.tolist() == [[1, 0], [0, 0]]

    def test_many_matrices_at_once(self):
        both = np.stack([ZHU, np.eye(5)])
        scores = class_scores(both)
        assert scores['accuracy'].tolist() == [2742 / 2880, 1]
        assert scores['macro_f1'][0] == pytest.approx(0.8944, abs=5e-5)
        assert scores['recall'].shape == (2, 5)

    def test_no_galaxy_at_all(self):
        scores = class_scores(np.zeros((3, 3)))
        assert np.isnan(scores['accuracy'])
        assert np.isnan(scores['macro_f1'])

    @pytest.mark.parametrize(
        ('matrix', 'match'),
        [
            (np.ones((2, 3)), 'square'),
            ([[0.5, 1], [1, 1]], 'counts'),
            ([[-1, 1], [1, 1]], 'counts'),
        ],
    )
    def test_no_confusion_matrix(self, matrix, match):
        with pytest.raises(ValueError, match=match):
            ClassificationReport.from_confusion(matrix)

    def test_wrong_number_of_names(self):
        with pytest.raises(ValueError, match='2 names for 5 rows'):
            ClassificationReport.from_confusion(ZHU, ['a', 'b'])
