# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the metrics of training, against numpy."""

import numpy as np
import pytest
import torch

from galmorph.schemas import load_schema
from galmorph.training.evaluation.curves import rank_auc
from galmorph.training.evaluation.metrics import (
    AttributeErrors,
    ClassMetrics,
    CountRMSE,
    PooledRMSE,
    QuestionRMSE,
    create_metrics,
)
from tests.helpers.predictions import draw_paths

TREE = load_schema('gz2')


def draw(n=20):
    answers, target = draw_paths(n, seed=1), draw_paths(n, seed=2)
    target[np.random.default_rng(3).random(target.shape) < 0.3] = np.nan
    return torch.tensor(answers).float(), torch.tensor(target).float()


def run(metric, answers, target, n_batch=3):
    """Update in parts, some of which may know nothing."""
    for rows in np.array_split(np.arange(len(answers)), n_batch):
        metric.update(answers[rows], target[rows])
    return metric.compute()


class TestPooled:
    def test_is_the_score_of_kaggle(self):
        answers, target = draw()
        expected = np.sqrt(np.nanmean((answers - target).numpy() ** 2))
        assert run(PooledRMSE(), answers, target).item() == pytest.approx(expected)

    def test_some_columns(self):
        answers, target = draw()
        columns = [0, 1, 2, 13, 14]
        expected = np.sqrt(np.nanmean((answers - target).numpy()[:, columns] ** 2))
        value = run(PooledRMSE(columns), answers, target).item()
        assert value == pytest.approx(expected)

    def test_without_labels_it_is_not_a_number(self):
        metric = PooledRMSE()
        metric.update(torch.zeros(2, 3), torch.full((2, 3), torch.nan))
        assert metric.compute().isnan()

    def test_is_no_mean_of_the_batches(self):
        metric = PooledRMSE()
        metric.update(torch.zeros(1, 1), torch.ones(1, 1))
        metric.update(torch.zeros(3, 1), torch.zeros(3, 1))
        assert metric.compute().item() == 0.5


class TestQuestions:
    def test_each_has_its_own(self):
        answers, target = draw()
        values = run(QuestionRMSE(TREE), answers, target)
        for question in TREE.questions:
            error = (answers - target).numpy()[:, question.slice]
            expected = np.sqrt(np.nanmean(error**2))
            assert values[f'rmse/{question.name}'].item() == pytest.approx(expected)


class TestCounts:
    def test_conditional_fractions_of_enough_votes(self):
        rng = np.random.default_rng(4)
        answers = draw_paths(50)
        counts = rng.integers(0, 6, (50, 37)).astype(float)
        counts[:3, :3] = np.nan
        values = run(CountRMSE(TREE), torch.tensor(answers), torch.tensor(counts))
        conditional = TREE.to_conditional(answers)
        for question in TREE.questions:
            k = counts[:, question.slice]
            n = k.sum(1, keepdims=True)
            rows = (n >= 5).ravel()
            p, n = (k / np.where(rows[:, None], n, 1))[rows], n[rows]
            error = conditional[rows][:, question.slice] - p
            rmse = np.sqrt(np.mean(error**2))
            floor = np.sqrt(np.mean(p * (1 - p) / (n - 1)))
            assert values[f'rmse/{question.name}'].item() == pytest.approx(rmse, 1e-5)
            assert values[f'floor/{question.name}'].item() == pytest.approx(floor, 1e-5)

    def test_a_perfect_network_has_the_error_of_the_floor(self):
        rng = np.random.default_rng(5)
        p = rng.dirichlet([1, 1, 1], 20_000)
        counts = torch.full((len(p), 37), torch.nan)
        counts[:, :3] = torch.tensor(rng.multinomial(30, p)).float()
        answers = torch.zeros(len(p), 37)
        answers[:, :3] = torch.tensor(p)
        values = run(CountRMSE(TREE), answers, counts)
        floor = values['floor/smooth_or_features'].item()
        assert values['rmse/smooth_or_features'].item() == pytest.approx(floor, 0.01)

    def test_what_is_held_impossible_counts_as_an_even_guess(self):
        answers, counts = torch.zeros(1, 37), torch.zeros(1, 37)
        question = TREE.question('bar')
        counts[0, question.slice] = torch.tensor([10.0, 0.0])
        value = run(CountRMSE(TREE), answers, counts, 1)['rmse/bar'].item()
        assert value == pytest.approx(0.5)


class TestAttributes:
    def test_error_bias_and_r2(self):
        schema = load_schema('efigi')
        rng = np.random.default_rng(6)
        true = rng.normal(3, 2, (100, 17))
        predicted = true + rng.normal(0.3, 1, true.shape)
        true[rng.random(true.shape) < 0.2] = np.nan
        values = run(AttributeErrors(schema), *map(torch.tensor, (predicted, true)))
        error = predicted - true
        for i, name in enumerate(schema.columns):
            e, t = error[:, i], true[:, i]
            r2 = 1 - np.nansum(e**2) / np.nansum((t - np.nanmean(t)) ** 2)
            found = [values[f'{kind}/{name}'].item() for kind in ('rmse', 'bias', 'r2')]
            expected = [np.sqrt(np.nanmean(e**2)), np.nanmean(e), r2]
            assert found == pytest.approx(expected, rel=1e-4, abs=1e-5)

    def test_r2_of_what_hardly_varies(self):
        schema = load_schema('efigi')
        rng = np.random.default_rng(6)
        true = 500 + rng.normal(0, 0.03, (4000, 17))
        true[:, 1] = 0.1
        target = torch.tensor(true).float()
        answers = target + torch.tensor(rng.normal(0, 0.01, true.shape)).float()
        values = run(AttributeErrors(schema), answers, target, n_batch=40)
        error, true = (answers - target).double().numpy(), target.double().numpy()
        r2 = 1 - (error[:, 0] ** 2).mean() / true[:, 0].var()
        assert values['r2/t_type'].item() == pytest.approx(r2, rel=1e-3)
        assert values[f'r2/{schema.columns[1]}'].isnan()

    def test_a_batch_by_itself_and_all_of_them(self):
        metric = AttributeErrors(load_schema('efigi'))
        target = torch.arange(8.0)[:, None].expand(8, 17)
        for rows in (slice(0, 3), slice(3, 8)):
            one = metric(target[rows] + 1, target[rows])
            r2 = 1 - 1 / target[rows, 0].var(correction=0)
            assert one['r2/t_type'].item() == pytest.approx(r2.item())
        r2 = 1 - 1 / target[:, 0].var(correction=0)
        assert metric.compute()['r2/t_type'].item() == pytest.approx(r2.item())


class TestClasses:
    def test_galaxies_without_a_class_are_left_out(self):
        rng = np.random.default_rng(7)
        answers = torch.tensor(rng.dirichlet(np.ones(5), 60))
        target = torch.tensor(rng.integers(-1, 5, 60))
        metrics = ClassMetrics(5)
        found = run(metrics, answers, target)
        known = target >= 0
        hit = answers[known].argmax(1) == target[known]
        assert found['accuracy'].item() == pytest.approx(hit.float().mean().item())
        assert found['confusion'].sum() == known.sum()
        assert (
            found['confusion'][2, 3] == ((target == 2) & (answers.argmax(1) == 3)).sum()
        )

    def test_area_is_a_mean_over_classes_that_are_there(self):
        rng = np.random.default_rng(3)
        answers = rng.dirichlet(np.ones(5), 60)
        target = rng.integers(0, 4, 60)
        found = run(ClassMetrics(5), torch.tensor(answers), torch.tensor(target))
        one = np.ones((1, 60))
        areas = [rank_auc(answers[:, k], target == k, one)[0] for k in range(4)]
        assert found['macro_auc'].item() == pytest.approx(np.mean(areas), abs=1e-6)

    def test_one_hot_labels_are_the_same(self):
        rng = np.random.default_rng(7)
        answers = torch.tensor(rng.dirichlet(np.ones(5), 60))
        target = rng.integers(-1, 5, 60)
        one_hot = torch.tensor(np.where(target[:, None] < 0, np.nan, np.eye(5)[target]))
        first = run(ClassMetrics(5), answers, torch.tensor(target))
        second = run(ClassMetrics(5), answers, one_hot)
        for name, value in first.items():
            assert second[name].tolist() == value.tolist()

    def test_without_galaxies_or_classes_it_warns_of_nothing(self):
        metrics = ClassMetrics(3)
        nothing = metrics.compute()
        assert all(nothing[name].isnan() for name in set(nothing) - {'confusion'})
        assert nothing['confusion'].tolist() == [[0] * 3] * 3
        assert metrics(torch.ones(1, 3), torch.tensor([-1]))['macro_f1'].isnan()
        metrics.update(torch.eye(3), torch.tensor([0, 0, 0]))
        assert metrics.compute()['accuracy'].item() == pytest.approx(1 / 3)
        assert metrics(torch.eye(3), torch.tensor([0, 1, 2]))['accuracy'] == 1

    def test_a_device_without_galaxies_takes_part_in_the_exchange(self):
        sent = {}

        def exchange(tensor, group):
            sent[device].append((tensor.ndim, tensor.dtype))
            return [tensor]

        for device in ('busy', 'idle', 'without classes'):
            sent[device] = []
            metrics = ClassMetrics(2)
            for metric in metrics.values():
                metric.distributed_available_fn = lambda: True
                metric.dist_sync_fn = exchange
            if device == 'busy':
                metrics.update(torch.eye(2), torch.tensor([0, 1]))
            elif device == 'without classes':
                metrics.update(torch.eye(2), torch.tensor([-1, -1]))
            metrics.compute()
        assert sent['busy']
        assert sent['busy'] == sent['idle'] == sent['without classes']

    def test_reset(self):
        metrics = ClassMetrics(2)
        metrics.update(torch.eye(2), torch.tensor([1, 0]))
        metrics.reset()
        metrics.update(torch.eye(2), torch.tensor([0, 1]))
        assert metrics.compute()['accuracy'] == 1


class TestCreate:
    @pytest.mark.parametrize(
        ('schema', 'kind', 'key'),
        [
            ('gz2', 'fractions', 'rmse'),
            ('gz2', 'fractions', 'rmse/odd'),
            ('gz2', 'counts', 'floor/odd'),
            ('zhu5', 'classes', 'macro_f1'),
            ('efigi', 'attributes', 'r2/bar_length'),
        ],
    )
    def test_suits_labels(self, schema, kind, key):
        schema = load_schema(schema)
        metrics = create_metrics(schema, kind)
        answers = torch.rand(9, schema.n_answers)
        metrics.update(answers, answers.round() * (6 if kind == 'counts' else 1))
        assert key in metrics.compute()

    @pytest.mark.parametrize(
        ('schema', 'kind', 'suited'),
        [
            ('gz2', 'classes', r"\['fractions', 'counts'\]"),
            ('efigi', 'fractions', r"\['attributes'\]"),
            ('zhu5', 'votes', r"\['fractions', 'counts', 'classes'\]"),
        ],
    )
    def test_others_are_refused(self, schema, kind, suited):
        with pytest.raises(ValueError, match=f'kind must be one of {suited}'):
            create_metrics(load_schema(schema), kind)
