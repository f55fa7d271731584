# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the losses, against scipy and torch."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from scipy import stats

from galmorph.schemas import load_schema
from galmorph.training.losses import (
    CensoredLoss,
    CrossEntropyLoss,
    DistillationLoss,
    QuestionLoss,
    SquaredLoss,
    count_views,
    create_loss,
    list_losses,
)
from galmorph.training.losses.likelihoods import (
    BinomialLoss,
    DirichletLoss,
    IntervalLoss,
    MultinomialLoss,
)
from tests.helpers.predictions import draw_paths

TREE = load_schema('gz2')
SPANS = SimpleNamespace(
    name='made',
    structure=((0, 1, -1), (1, 2, -1)),
    attributes=(SimpleNamespace(low=-6.0, high=11.0), SimpleNamespace(low=0, high=1)),
)
RNG = np.random.default_rng(4)
COUNT_LOSSES = [BinomialLoss, MultinomialLoss, DirichletLoss]
LABELLED = [name for name in list_losses() if count_views(name) == 1]


def unknown(n=1):
    return torch.full((n, 37), torch.nan, dtype=torch.float64)


def draw(n=6, seed=1):
    """Raw outputs, the softmax answers that they give, and other fractions."""
    raw = torch.tensor(np.random.default_rng(seed).normal(size=(n, 37)))
    conditional = torch.cat([raw[:, a:b].softmax(1) for a, b, _ in TREE.structure], 1)
    path = torch.tensor(TREE.to_path(conditional.numpy()))
    output = {'raw': raw, 'answers': path, 'concentrations': 1 + 100 * raw.sigmoid()}
    return output, torch.tensor(draw_paths(n, seed=seed + 1))


def draw_counts(n=6, seed=2):
    """Votes of 20 volunteers, passed down the tree."""
    rng = np.random.default_rng(seed)
    counts = np.zeros((n, 37))
    for question in TREE.questions:
        for row in counts:
            total = 20 if question.parent is None else int(row[question.parent])
            p = rng.dirichlet(np.ones(len(question.answers)))
            row[question.slice] = rng.multinomial(total, p)
    return torch.tensor(counts)


def labels_for(name):
    """A schema, outputs and labels that a loss takes."""
    output, fractions = draw()
    if name == 'interval':
        value = torch.rand(6, 2, dtype=torch.float64)
        batch = {'target': value.flip(0), 'low': value - 1, 'high': value + 1}
        return SPANS, {'raw': value, 'answers': value}, batch
    if name in ('binomial', 'multinomial', 'dirichlet'):
        return TREE, output, {'target': draw_counts()}
    return TREE, output, {'target': fractions}


def create(name, schema):
    options = {'question': 'odd'} if name == 'cross_entropy' else {}
    return create_loss(name, schema, **options)


class TestAll:
    @pytest.mark.parametrize('name', LABELLED)
    def test_without_labels_the_loss_and_its_gradient_are_zero(self, name):
        schema, output, batch = labels_for(name)
        batch = {key: torch.full_like(value, torch.nan) for key, value in batch.items()}
        output = {key: value.requires_grad_() for key, value in output.items()}
        loss = create(name, schema)(output, batch)
        loss.backward()
        assert loss.item() == pytest.approx(0, abs=1e-6)
        for value in output.values():
            assert value.grad is None or not value.grad.any()

    @pytest.mark.parametrize('name', LABELLED)
    def test_an_unlabelled_galaxy_changes_nothing(self, name):
        schema, output, batch = labels_for(name)
        loss = create(name, schema)
        expected = loss({k: v[1:] for k, v in output.items()},
                        {k: v[1:] for k, v in batch.items()})  # fmt: skip
        for value in batch.values():
            value[0] = torch.nan
        assert loss(output, batch).item() == pytest.approx(expected.item())

    @pytest.mark.parametrize('name', LABELLED)
    def test_a_weight_of_two_is_a_galaxy_twice(self, name):
        schema, output, batch = labels_for(name)
        rows = [0, 0, 1, 2]
        loss = create(name, schema)
        expected = loss({k: v[rows] for k, v in output.items()},
                        {k: v[rows] for k, v in batch.items()})  # fmt: skip
        output = {k: v[:3] for k, v in output.items()}
        batch = {k: v[:3] for k, v in batch.items()}
        batch['weight'] = torch.tensor([2.0, 1.0, 1.0])
        assert loss(output, batch).item() == pytest.approx(expected.item())

    @pytest.mark.parametrize('name', LABELLED)
    def test_gradients_are_those_of_finite_differences(self, name):
        schema, output, batch = labels_for(name)
        batch = {key: value[:2] for key, value in batch.items()}
        loss = create(name, schema)
        keys = list(output)

        def function(*values):
            return loss(dict(zip(keys, values, strict=True)), batch)

        inputs = [output[key][:2].clone().requires_grad_() for key in keys]
        assert torch.autograd.gradcheck(function, inputs, atol=1e-5)

    @pytest.mark.parametrize('name', LABELLED)
    def test_half_precision_outputs_give_single_precision(self, name):
        schema, output, batch = labels_for(name)
        output = {key: value.bfloat16() for key, value in output.items()}
        batch = {key: value.float() for key, value in batch.items()}
        loss = create(name, schema)(output, batch)
        assert loss.dtype == torch.float32
        assert torch.isfinite(loss)

    def test_labels_of_another_schema(self):
        with pytest.raises(ValueError, match=r"'target' must have the shape \(n, 37\)"):
            SquaredLoss(TREE)({'answers': torch.zeros(1, 5)},
                              {'target': torch.zeros(1, 5)})  # fmt: skip


class TestCreate:
    def test_unknown_name(self):
        with pytest.raises(ValueError, match="'dirichelt'; did you mean 'dirichlet'"):
            create_loss('dirichelt', 'gz2')

    def test_unknown_option(self):
        match = r"'censored' has no option 'sigmas'; it takes \['sigma'\]"
        with pytest.raises(ValueError, match=match):
            create_loss('censored', 'gz2', sigmas=1)

    def test_no_buffer_reaches_a_checkpoint(self):
        assert not create_loss('dirichlet', 'gz2').state_dict()


class TestSquared:
    def test_is_the_mean_over_known_answers(self):
        output, target = draw()
        target[RNG.random(target.shape) < 0.4] = torch.nan
        known = torch.isfinite(target)
        expected = (output['answers'] - target)[known].square().mean().item()
        batch = {'target': target}
        assert SquaredLoss(TREE)(output, batch).item() == pytest.approx(expected)
        root = create_loss('rmse', TREE)(output, batch).item()
        assert root == pytest.approx(expected**0.5)

    def test_root_has_a_gradient_where_all_is_right(self):
        answers = torch.ones(1, 37, requires_grad=True)
        create_loss('rmse', TREE)(
            {'answers': answers}, {'target': torch.ones(1, 37)}
        ).backward()
        assert torch.isfinite(answers.grad).all()

    def test_attributes_count_in_units_of_their_span(self):
        output = {'answers': torch.tensor([[17.0, 0.5]])}
        loss = SquaredLoss(SPANS)(output, {'target': torch.zeros(1, 2)})
        assert loss.item() == pytest.approx((1 + 0.25) / 2)


class TestCensored:
    @pytest.mark.parametrize('value', [0.1, 0.5, 0.9])
    def test_a_bound_costs_the_likelihood_of_a_censored_value(self, value):
        bound = unknown()
        bound[0, 9] = 0.5
        output = {'answers': torch.full((1, 37), value, dtype=torch.float64)}
        loss = CensoredLoss(TREE)(output, {'target': unknown(), 'bound': bound})
        expected = -2 * 0.1**2 * stats.norm.logcdf((value - 0.5) / 0.1) / 37
        assert loss.item() == pytest.approx(expected, rel=1e-6, abs=1e-9)

    def test_without_bounds_it_is_the_squared_error(self):
        output, target = draw()
        expected = SquaredLoss(TREE)(output, {'target': target}).item()
        assert CensoredLoss(TREE)(output, {'target': target}).item() == pytest.approx(
            expected
        )

    def test_a_galaxy_of_which_more_is_known_has_more_to_say(self):
        target = unknown(2)
        target[0], target[1, 0] = 0.5, 0.5
        loss = CensoredLoss(TREE)(
            {'answers': torch.zeros(2, 37)}, {'target': target}
        ).item()
        assert loss == pytest.approx(0.25 * 38 / 74)


class TestCrossEntropy:
    @pytest.mark.parametrize('smoothing', [0.0, 0.1])
    @pytest.mark.parametrize('weights', [None, [1.0, 2.0, 0.5]])
    def test_classes_as_torch_has_it(self, smoothing, weights):
        output, _ = draw()
        target = torch.tensor([0, 1, 2, -1, 1, 0])
        expected = torch.nn.functional.cross_entropy(
            output['raw'][:, :3],
            target,
            weight=None if weights is None else torch.tensor(weights).double(),
            label_smoothing=smoothing,
            ignore_index=-1,
        )
        loss = CrossEntropyLoss(
            TREE,
            question='smooth_or_features',
            label_smoothing=smoothing,
            class_weights=weights,
        )
        value = loss(output, {'target': target}).item()
        assert value == pytest.approx(expected.item(), rel=1e-6)

    def test_smoothing_leaves_a_question_that_few_were_asked(self):
        output, target = draw()
        part = TREE.question('spiral').slice
        conditional = target[:, part] / target[:, part].sum(1, keepdim=True)
        loss = CrossEntropyLoss(TREE, question='spiral', label_smoothing=0.1)
        target = torch.full_like(target, torch.nan)
        target[:, part] = conditional
        asked = loss(output, {'target': target}).item()
        assert loss(output, {'target': 0.01 * target}).item() == pytest.approx(asked)

    def test_fractions_are_soft_labels(self):
        output, target = draw()
        expected = torch.nn.functional.cross_entropy(
            output['raw'][:, :3], target[:, :3]
        )
        loss = CrossEntropyLoss(TREE, question='smooth_or_features')
        assert loss(output, {'target': target}).item() == pytest.approx(expected.item())

    def test_answers_of_any_head_will_do(self):
        output, target = draw()
        first, second = (
            CrossEntropyLoss(TREE, question='smooth_or_features', source=source)(
                output, {'target': target}
            ).item()
            for source in ('raw', 'answers')
        )
        assert first == pytest.approx(second, rel=1e-5)

    def test_a_tree_needs_the_name_of_a_question(self):
        with pytest.raises(ValueError, match="11 questions: name one as 'question'"):
            CrossEntropyLoss(TREE)

    def test_wrong_number_of_weights(self):
        with pytest.raises(ValueError, match=r'class_weights must have 2 .* not 3'):
            CrossEntropyLoss(TREE, question='odd', class_weights=[1, 1, 1])

    def test_wrong_source(self):
        with pytest.raises(ValueError, match="'raw' or 'answers', not 'logits'"):
            CrossEntropyLoss(TREE, question='odd', source='logits')

    def test_raw_outputs_that_are_no_logits(self):
        output = {'raw': torch.zeros(1, 74), 'answers': torch.zeros(1, 37)}
        with pytest.raises(ValueError, match="take source='answers'"):
            QuestionLoss(TREE)(output, {'target': torch.zeros(1, 37)})


class TestQuestion:
    def test_weights_conditional_entropies_by_the_parent(self):
        output, target = draw()
        conditional = TREE.to_conditional(target.numpy())
        relevance = TREE.relevance(target.numpy())
        relevance[0, 1] = 0
        target[0, TREE.question('edgeon').start] = torch.nan
        total = 0
        for i, question in enumerate(TREE.questions):
            log_p = output['raw'][:, question.slice].log_softmax(1).numpy()
            entropy = -(conditional[:, question.slice] * log_p).sum(1)
            total += np.nan_to_num(relevance[:, i] * entropy)
        loss = QuestionLoss(TREE)(output, {'target': target})
        assert loss.item() == pytest.approx(total.mean())

    def test_is_least_at_the_label(self):
        output, _ = draw()
        target = output['answers']
        best = QuestionLoss(TREE)(output, {'target': target})
        for seed in range(5):
            other, _ = draw(seed=seed + 10)
            assert QuestionLoss(TREE)(other, {'target': target}) > best


class TestDistillation:
    def test_sum_of_squared_error_and_divergence(self):
        output, teacher = draw()
        loss = DistillationLoss(TREE, squared=2.0, divergence=0.5)
        squared = (output['answers'] - teacher).square().mean().item()
        conditional = TREE.to_conditional(teacher.numpy())
        mine = TREE.to_conditional(output['answers'].numpy())
        relevance = TREE.relevance(teacher.numpy())
        nats = sum(
            (relevance[:, i] * stats.entropy(
                conditional[:, q.slice], mine[:, q.slice], axis=1)).mean()
            for i, q in enumerate(TREE.questions)
        )  # fmt: skip
        value = loss(output, {'target': teacher}).item()
        assert value == pytest.approx(2 * squared + 0.5 * nats, rel=1e-5)

    def test_a_certain_teacher_gives_no_nan(self):
        teacher = torch.zeros(1, 37)
        teacher[0, [0, 14, 17]] = 1
        answers = torch.rand(1, 37, requires_grad=True)
        DistillationLoss(TREE)({'answers': answers}, {'target': teacher}).backward()
        assert torch.isfinite(answers.grad).all()


class TestCounts:
    @staticmethod
    def conditional(output):
        return TREE.to_conditional(output['answers'].numpy())

    def test_binomial(self):
        output, _ = draw()
        counts = draw_counts().numpy()
        p = self.conditional(output)
        expected = 0
        for question in TREE.questions:
            n = counts[:, question.slice].sum(1)
            stop = question.stop - (len(question.answers) == 2)
            for i in range(question.start, stop):
                expected = expected - stats.binom.logpmf(counts[:, i], n, p[:, i])
        loss = BinomialLoss(TREE)(output, {'counts': torch.tensor(counts)})
        assert loss.item() == pytest.approx(expected.mean(), rel=1e-5)

    def test_multinomial(self):
        output, _ = draw()
        counts = draw_counts().numpy()
        p = self.conditional(output)
        expected = 0
        for q in TREE.questions:
            k = counts[:, q.slice]
            expected = expected - stats.multinomial.logpmf(k, k.sum(1), p[:, q.slice])
        for source in ('raw', 'answers'):
            loss = MultinomialLoss(TREE, source=source)
            value = loss(output, {'target': torch.tensor(counts)}).item()
            assert value == pytest.approx(expected.mean(), rel=1e-5)

    def test_dirichlet(self):
        output, _ = draw()
        counts = draw_counts().numpy()
        alpha = output['concentrations'].numpy()
        expected = 0
        for q in TREE.questions:
            k = counts[:, q.slice].astype(int)
            for i in range(len(k)):
                expected -= stats.dirichlet_multinomial.logpmf(
                    k[i], alpha[i, q.slice], k[i].sum()
                )
        loss = DirichletLoss(TREE)(output, {'counts': torch.tensor(counts)})
        assert loss.item() == pytest.approx(expected / len(counts), rel=1e-6)

    @pytest.mark.parametrize(
        ('counts', 'alpha', 'expected'),
        [
            ((10, 30), (50, 50), 5.893017),
            ((5, 0), (1, 1), 1.791759),
            ((0, 0), (3, 7), 0.0),
        ],
    )
    def test_dirichlet_of_one_question(self, counts, alpha, expected):
        one = SimpleNamespace(structure=((0, 2, -1),))
        value = DirichletLoss(one)(
            {'concentrations': torch.tensor([alpha], dtype=torch.float64)},
            {'counts': torch.tensor([counts], dtype=torch.float64)},
        )
        assert value.item() == pytest.approx(expected, abs=5e-7)

    @pytest.mark.parametrize('kind', COUNT_LOSSES)
    def test_an_unasked_question_has_no_gradient(self, kind):
        raw = torch.randn(1, 37, requires_grad=True)
        counts = torch.zeros(1, 37)
        counts[0, :3] = torch.tensor([5.0, 3.0, 0.0])
        loss = kind(TREE) if kind is DirichletLoss else kind(TREE, source='raw')
        output = {'raw': raw, 'concentrations': 1 + 100 * raw.sigmoid()}
        loss(output, {'counts': counts}).backward()
        assert raw.grad[0, :3].any()
        assert raw.grad[0, 3:].abs().max() < 1e-6

    @pytest.mark.parametrize('kind', COUNT_LOSSES)
    def test_a_question_with_an_unknown_count_is_left_out(self, kind):
        output, _ = draw()
        counts = draw_counts()
        without = counts.clone()
        counts[:, 4], without[:, 3:5] = torch.nan, 0
        values = [kind(TREE)(output, {'counts': c}).item() for c in (counts, without)]
        assert values[0] == pytest.approx(values[1])

    @pytest.mark.parametrize('kind', COUNT_LOSSES)
    def test_votes_against_certain_answers_stay_finite(self, kind):
        answers = torch.zeros(1, 37)
        answers[0, 0] = 1
        output = {'answers': answers, 'concentrations': 1 + 100 * answers}
        loss = kind(TREE)(output, {'counts': torch.full((1, 37), 9.0)})
        assert torch.isfinite(loss)


class TestInterval:
    def test_spread_and_interval_add_in_quadrature(self):
        # where the interval is even it is the density of a Gaussian
        value, spread = torch.tensor([[2.0, 0.3]]), torch.tensor([[1.7, 0.2]])
        batch = {
            'target': torch.tensor([[0.0, 0.5]]),
            'low': torch.tensor([[-1.0, 0.25]]),
            'high': torch.tensor([[1.0, 0.75]]),
        }
        loss = IntervalLoss(SPANS, floor=0.0)
        value = loss({'answers': value, 'spread': spread}, batch).item()
        error = np.array([2 / 17, -0.2])
        width = np.hypot([1.7 / 17, 0.2], [1 / 17, 0.25])
        expected = -stats.norm.logpdf(error, scale=width) - 0.5 * np.log(2 * np.pi)
        assert value == pytest.approx(expected.mean(), rel=1e-5)

    def test_the_side_of_the_error_has_its_own_width(self):
        batch = {
            'target': torch.tensor([[0.0, 0.5]]),
            'low': torch.tensor([[torch.nan, 0.4]]),
            'high': torch.tensor([[torch.nan, 0.9]]),
        }
        loss = IntervalLoss(SPANS, floor=0.01)
        low, high = (
            loss({'answers': torch.tensor([[0.0, v]])}, batch).item()
            for v in (0.3, 0.7)
        )
        assert low == pytest.approx(0.5 * 2**2 / 2, rel=1e-5)
        assert high == pytest.approx(0.5 * 0.5**2 / 2, rel=1e-5)

    def test_the_best_spread_is_that_of_the_errors(self):
        rng = np.random.default_rng(5)
        errors = torch.tensor(rng.normal(0, 0.3, (20_000, 1)))
        schema = SimpleNamespace(structure=((0, 1, -1),))
        loss = IntervalLoss(schema, floor=0.0)
        spreads = np.linspace(0.2, 0.4, 21)
        values = [
            loss({'answers': errors, 'spread': torch.full_like(errors, s)},
                 {'target': torch.zeros_like(errors)}).item()
            for s in spreads
        ]  # fmt: skip
        assert spreads[np.argmin(values)] == pytest.approx(
            errors.std().item(), abs=0.01
        )
