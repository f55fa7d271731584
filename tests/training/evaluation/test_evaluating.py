# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the evaluation of weights, against numpy and a bootstrap by hand."""

import astropy.units as u
import numpy as np
import pytest
from astropy.table import Table

from galmorph.flags import MorphologyFlag
from galmorph.predictions import MorphologyPredictions
from galmorph.schemas import load_schema
from galmorph.training.data.labels import Labels
from galmorph.training.data.layouts import read_layout
from galmorph.training.evaluation import evaluate
from galmorph.weights import WeightsCard, load_card
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.predictions import draw_paths
from tests.helpers.tiny import draw_stamps
from tests.training.evaluation.test_classification import ZHU, expand

TREE, ZHU5, EFIGI = map(load_schema, ('gz2', 'zhu5', 'efigi'))
FEW = {'n_draws': 50}


def draw(n=60):
    """Answers and labels; most labels know 33 answers, the first 20 all."""
    answers, labels = draw_paths(n, seed=1), draw_paths(n, seed=2)
    labels[20:, 9:13] = np.nan
    return answers, 0.5 * (answers + labels)


def as_card(metrics, schema='gz2'):
    """A card accepts the scores."""
    content = load_card('dieleman.gz2').to_dict()
    content |= {'metrics': metrics, 'schema': schema, 'supported_questions': []}
    card = WeightsCard.from_dict(content)
    card.check_names()
    return card.summary()


class TestFractions:
    def test_errors_of_common_and_of_complete_answers(self):
        answers, labels = draw()
        found = evaluate(answers, None, Labels('fractions', labels), schema=TREE)
        error = answers - labels.astype(np.float32)
        common = np.isfinite(labels).all(0)
        rmse33, rmse37 = (found.scores[f'rmse{n}'] for n in (33, 37))
        assert rmse33.value == pytest.approx(np.sqrt(np.mean(error[:, common] ** 2)))
        assert rmse37.value == pytest.approx(np.sqrt(np.mean(error[:20] ** 2)))
        assert (rmse33.n, rmse37.n) == (60, 20)

    def test_intervals_are_those_of_resampled_galaxies(self):
        answers, labels = draw()
        found = evaluate(answers, None, Labels('fractions', labels), schema=TREE)
        squares = (answers - labels.astype(np.float32))[:20] ** 2
        rows = np.random.default_rng(0).integers(0, 20, (2000, 20))
        samples = [np.sqrt(squares[r].mean()) for r in rows]
        score = found.scores['rmse37']
        expected = np.percentile(samples, [2.5, 97.5])
        assert [score.low, score.high] == pytest.approx(expected)

    def test_questions(self):
        answers, labels = draw()
        found = evaluate(answers, None, Labels('fractions', labels), schema=TREE, **FEW)
        for question in TREE.questions:
            error = (answers - labels)[:, question.slice]
            score = found.questions[question.name]
            assert score.value == pytest.approx(np.sqrt(np.nanmean(error**2)), rel=1e-6)
            assert score.n == (20 if question.name == 'bulge_prominence' else 60)
        edgeon = TREE.question('edgeon').slice
        asked = labels[:, 1] >= 0.5
        agree = answers[asked, edgeon].argmax(1) == labels[asked, edgeon].argmax(1)
        assert found.extra['edgeon']['accuracy'] == agree.mean()

    def test_classes_are_the_finest_that_all_labels_tell(self):
        answers, labels = draw()
        full = Labels('fractions', labels[:20])
        found = evaluate(answers[:20], None, full, schema=TREE, **FEW)
        names, indices = TREE.class_partition()
        assert found.report.classes == names
        true = labels[:20, list(indices)].argmax(1)
        hit = answers[:20, list(indices)].argmax(1) == true
        assert found.scores['accuracy'].value == hit.mean()
        labels[:, 9:13], labels[:, 7:9] = np.nan, np.nan
        coarse = Labels('fractions', labels)
        found = evaluate(answers, None, coarse, schema=TREE, **FEW)
        assert 'face-on disk' in found.report.classes

    def test_labels_without_a_common_answer(self):
        labels = np.full((2, 37), np.nan)
        labels[0, :3], labels[1, 13:15] = 0.2, 0.4
        found = evaluate(
            np.zeros((2, 37)), None, Labels('fractions', labels), schema=TREE, **FEW
        )
        expected = np.sqrt((3 * 0.2**2 + 2 * 0.4**2) / 5)
        assert found.scores['rmse'].value == pytest.approx(expected)
        assert found.report is None
        assert found.roc() == {}

    def test_reliability_of_one_question_and_of_all(self):
        answers, labels = draw()
        found = evaluate(answers, None, Labels('fractions', labels), schema=TREE, **FEW)
        assert found.reliability()['n'].sum() == np.isfinite(labels).sum()
        assert found.reliability('odd', n_bins=4)['n'].sum() == 2 * 60

    def test_a_card_takes_the_scores(self):
        answers, labels = draw()
        found = evaluate(
            answers, None, Labels('fractions', labels), schema=TREE, split='test', **FEW
        )
        metrics = found.to_dict()
        assert metrics['split'] == 'test'
        assert metrics['n_galaxy'] == 60
        assert list(metrics['rmse33']) == ['value', 'low', 'high', 'n']
        assert 'Metrics on test, 60 galaxies' in as_card(metrics)

    def test_table(self):
        answers, labels = draw()
        found = evaluate(answers, None, Labels('fractions', labels), schema=TREE, **FEW)
        table = found.to_table()
        assert table['score'][:2].tolist() == ['rmse33', 'rmse37']
        assert 'rmse of odd' in table['score']
        assert np.all(table['low'] <= table['high'])
        assert repr(found) == "<Evaluation: fractions of 'gz2', 60 galaxies>"


class TestCounts:
    def test_conditional_fractions_and_the_floor(self):
        rng = np.random.default_rng(3)
        answers, counts = draw_paths(80), rng.integers(0, 7, (80, 37)).astype(float)
        labels = Labels('counts', counts, structure=TREE.structure)
        found = evaluate(answers, None, labels, schema=TREE, **FEW)
        conditional = TREE.to_conditional(answers)
        for question in TREE.questions:
            k = counts[:, question.slice]
            n = k.sum(1)
            rows = n >= 5
            p, n = k[rows] / n[rows, None], n[rows, None]
            error = conditional[rows][:, question.slice] - p
            floor = np.sqrt(np.mean(p * (1 - p) / (n - 1)))
            score = found.questions[question.name]
            assert score.value == pytest.approx(np.sqrt(np.mean(error**2)))
            assert score.n == rows.sum()
            assert found.extra[question.name]['floor'] == pytest.approx(floor)
        metrics = found.to_dict()
        assert 'floor' in metrics['questions']['odd']
        as_card(metrics)

    @needs_shared_data
    def test_floor_of_galaxy_zoo_ceers(self):
        data = read_layout('ceers', SHARED_DATA)
        labels = data.labels['gz_ceers'][np.asarray(data.table['split']) == 'test']
        path = np.nan_to_num(labels.targets)
        found = evaluate(path, None, labels, schema=load_schema('gz_ceers'), **FEW)
        assert {
            name: round(float(found.extra[name]['floor']), 3)
            for name in ('smooth_or_featured', 'how_rounded', 'edgeon', 'spiral')
        } == {
            'smooth_or_featured': 0.081, 'how_rounded': 0.106, 'edgeon': 0.124,
            'spiral': 0.13,
        }  # fmt: skip
        assert found.scores['rmse'].value == pytest.approx(0, abs=1e-6)

    def test_galaxies_without_votes_are_no_labels(self):
        counts = np.zeros((3, 37))
        counts[0, :3] = 10
        labels = Labels('counts', counts, structure=TREE.structure)
        found = evaluate(draw_paths(3), None, labels, schema=TREE, **FEW)
        assert len(found.answers) == 1


class TestClasses:
    def test_published_matrix(self):
        true, predicted = expand(ZHU)
        labels = Labels('classes', np.eye(5)[true])
        found = evaluate(np.eye(5)[predicted], None, labels, schema=ZHU5, **FEW)
        assert found.report.matrix.tolist() == ZHU
        values = {name: round(s.value, 4) for name, s in found.scores.items()}
        assert values['accuracy'] == 0.9521
        assert values['macro_f1'] == 0.8944
        assert values['weighted_f1'] == 0.9515
        assert values['weighted_precision'] == 0.9512
        assert values['ece'] == round(1 - 2742 / 2880, 4)
        # of certain answers: the mean of sensitivity and specificity
        report = found.report.matrix
        other = report.sum() - report.sum(1)
        false = (report.sum(0) - np.diag(report)) / other
        area = np.mean((found.report.recall + 1 - false) / 2)
        assert found.scores['macro_auc'].value == pytest.approx(area)
        assert found.roc()['spiral'].auc == pytest.approx(
            (found.report.recall[4] + 1 - false[4]) / 2
        )

    def test_interval_of_the_accuracy_is_binomial(self):
        true, predicted = expand(ZHU)
        labels = Labels('classes', np.eye(5)[true])
        found = evaluate(
            np.eye(5)[predicted], None, labels, schema=ZHU5, n_draws=500
        ).scores['accuracy']
        p = 2742 / 2880
        width = 2 * 1.96 * np.sqrt(p * (1 - p) / 2880)
        assert found.high - found.low == pytest.approx(width, rel=0.15)

    def test_a_card_takes_the_scores(self):
        labels = np.eye(5)[[0, 0, 1, 4]]
        labels = Labels('classes', np.vstack([labels, np.full((1, 5), np.nan)]))
        found = evaluate(np.eye(5)[[0, 1, 1, 4, 2]], None, labels, schema=ZHU5, **FEW)
        metrics = found.to_dict()
        assert metrics['n_galaxy'] == 4
        assert metrics['confusion_matrix'][0] == [1, 1, 0, 0, 0]
        assert 'questions' not in metrics
        assert 'accuracy' in as_card(metrics, 'zhu5')

    def test_one_class_has_no_area(self):
        labels = Labels('classes', np.eye(5)[[1, 1]])
        found = evaluate(np.eye(5)[[1, 2]], None, labels, schema=ZHU5, **FEW)
        assert np.isnan(found.scores['macro_auc'].value)
        assert 'macro_auc' not in found.to_dict()


class TestAttributes:
    def test_error_bias_and_r2(self):
        rng = np.random.default_rng(4)
        true = rng.uniform(0, 1, (50, 17))
        predicted = true + rng.normal(0.02, 0.1, true.shape)
        true[10:, 3] = np.nan
        true[:, 5] = np.nan
        found = evaluate(
            predicted, None, Labels('attributes', true), schema=EFIGI, **FEW
        )
        error = predicted - true.astype(np.float32)
        for i, name in enumerate(EFIGI.columns):
            if i == 5:
                continue
            e, t = (v[np.isfinite(error[:, i]), i] for v in (error, true))
            assert found.questions[name].value == pytest.approx(np.sqrt(np.mean(e**2)))
            assert found.scores[f'{name}_bias'].value == pytest.approx(e.mean())
            r2 = 1 - np.mean(e**2) / np.var(t)
            assert found.scores[f'{name}_r2'].value == pytest.approx(r2, rel=1e-5)
        assert found.questions['arm_curvature'].n == 10
        metrics = found.to_dict()
        assert 'bar_length' not in metrics['questions']
        with pytest.raises(ValueError, match='no reliability'):
            found.reliability()

    def test_interval_of_the_bias_is_that_of_a_mean(self):
        error = np.random.default_rng(5).normal(0.1, 1, 400)
        true = np.full((400, 17), np.nan)
        true[:, 0] = 0
        predicted = np.zeros((400, 17))
        predicted[:, 0] = error
        found = evaluate(predicted, None, Labels('attributes', true), schema=EFIGI)
        score = found.scores['t_type_bias']
        half = 1.96 * error.std() / 20
        expected = [error.mean() - half, error.mean() + half]
        assert [score.low, score.high] == pytest.approx(expected, abs=0.02)

    def test_r2_of_samples_without_scatter(self):
        true = np.full((60, 17), np.nan)
        # Half of the samples miss the galaxy that differs.
        true[:, 0], true[:, 1] = 0.1, 0.3
        true[0, 0] = 0.7
        predicted = np.nan_to_num(true) + 0.01
        found = evaluate(predicted, None, Labels('attributes', true), schema=EFIGI)
        score = found.scores['t_type_r2']
        assert 0.9 < score.low <= score.value <= score.high <= 1
        constant = f'{EFIGI.columns[1]}_r2'
        assert np.isnan(found.scores[constant].value)
        assert constant not in found.to_dict()


class TestBaselines:
    def test_of_fractions(self):
        labels = draw_paths(30, seed=3)
        labels[10:, 2] = np.nan
        found = evaluate(
            draw_paths(30), None, Labels('fractions', labels), schema=TREE, **FEW
        )
        errors = found.baselines({'itself': found.answers})
        assert list(errors) == ['mean', 'zeros', 'ones', 'itself']
        # As other answers as the network's own they have its errors.
        for name, score in (found.scores | found.questions).items():
            if name.startswith('rmse') or name in found.questions:
                assert errors['itself'][name] == pytest.approx(score.value)
        for name, value in (('zeros', 0), ('ones', 1)):
            expected = np.sqrt(np.nanmean((labels[:10] - value) ** 2))
            assert errors[name]['rmse37'] == pytest.approx(expected, rel=1e-5)
        spread = labels[:, TREE.question('odd').slice].std(0)
        expected = np.sqrt((spread**2).mean())
        assert errors['mean']['odd'] == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize('kind', ['counts', 'attributes'])
    def test_zeros_and_ones_are_for_fractions(self, kind):
        schema = TREE if kind == 'counts' else EFIGI
        values = np.random.default_rng(2).integers(1, 9, (20, schema.n_answers))
        labels = Labels(kind, values.astype(float))
        found = evaluate(np.full(values.shape, 0.5), None, labels, schema=schema, **FEW)
        errors = found.baselines({'itself': found.answers})
        assert list(errors) == ['mean', 'itself']
        for name, score in found.questions.items():
            assert errors['itself'][name] == pytest.approx(score.value)

    def test_classes_have_no_errors(self):
        labels = Labels('classes', np.eye(5))
        found = evaluate(np.eye(5), None, labels, schema=ZHU5, **FEW)
        with pytest.raises(ValueError, match='classes have no errors'):
            found.baselines()

    def test_answers_of_another_shape(self):
        labels = draw_paths(8)
        found = evaluate(labels, None, Labels('fractions', labels), schema=TREE, **FEW)
        with pytest.raises(ValueError, match=r"others\['odd'\] must have .* \(8, 37\)"):
            found.baselines({'odd': np.zeros((3, 37))})


class TestSources:
    def test_unsupported_questions_count(self):
        answers, labels = draw()
        flags = np.zeros(60, int)
        flags[3] = MorphologyFlag.UNREADABLE_IMAGE
        predictions = MorphologyPredictions(
            TREE, answers, flags=flags, supported=['odd']
        )
        found = evaluate(predictions, None, Labels('fractions', labels), **FEW)
        assert found.questions['edgeon'].n == 59
        assert found.n_failed == 1
        assert found.to_dict()['n_not_predicted'] == 1

    def test_a_classifier_sees_only_what_has_labels(self, classifier):
        images = np.empty(4, object)
        for i, stamp in enumerate(draw_stamps(4)):
            images[i] = stamp
        images[3] = None
        table = Table({'image': images})
        labels = np.full((4, 37), np.nan)
        labels[[1, 3]] = draw_paths(2)
        found = evaluate(classifier, table, Labels('fractions', labels), **FEW)
        assert len(found.answers) == 1
        assert found.n_failed == 1
        expected = classifier.classify(images[1]).values.data
        assert found.answers == pytest.approx(expected, abs=1e-6)
        sizes = [5, 9, 5, 5] * u.pix
        sized = evaluate(
            classifier, table, Labels('fractions', labels), size=sizes, **FEW
        )
        expected = classifier.classify(images[1], size=9 * u.pix).values.data
        assert sized.answers == pytest.approx(expected, abs=1e-6)
        assert not np.allclose(sized.answers, found.answers, atol=1e-6)

    def test_wrong_number_of_rows(self, classifier):
        answers, labels = draw()
        labels = Labels('fractions', labels)
        with pytest.raises(ValueError, match=r'source must have the shape \(60, 37\)'):
            evaluate(answers[:5], None, labels, schema=TREE)
        with pytest.raises(ValueError, match='a row for each of the 60 labels, not 2'):
            evaluate(classifier, Table({'image': ['a', 'b']}), labels)
        with pytest.raises(ValueError, match='60 labels, not none'):
            evaluate(classifier, None, labels)

    def test_weights_by_name_and_card(self, tiny_card):
        table = Table({'image': draw_stamps(2)})
        labels = Labels('fractions', draw_paths(2))
        one = evaluate(str(tiny_card), table, labels, **FEW)
        two = evaluate([tiny_card, tiny_card], table, labels, **FEW)
        assert two.answers == pytest.approx(one.answers, abs=1e-6)

    def test_tables_where_they_do_not_belong(self, classifier):
        labels = Labels('fractions', draw_paths(2))
        table = classifier.predict(draw_stamps(2))
        with pytest.raises(TypeError, match=r'give what classify\(\)'):
            evaluate(table, None, labels)
        with pytest.raises(TypeError, match='table must be an astropy Table, not list'):
            evaluate(classifier, ['a.fits', 'b.fits'], labels)

    def test_labels_of_another_schema(self):
        with pytest.raises(ValueError, match="labels has 5 answers, 'gz2'"):
            evaluate(draw_paths(2), None, Labels('classes', np.eye(5)[:2]), schema=TREE)

    def test_an_array_needs_a_schema(self):
        with pytest.raises(ValueError, match='schema is needed'):
            evaluate(draw_paths(2), None, Labels('fractions', draw_paths(2)))

    def test_nothing_predicted(self):
        with pytest.raises(ValueError, match='none of the 2 labelled galaxies'):
            evaluate(np.full((2, 37), np.nan), None,
                     Labels('fractions', draw_paths(2)), schema=TREE)  # fmt: skip
