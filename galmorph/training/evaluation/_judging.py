# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The scores of each kind of labels."""

import numpy as np

from galmorph.training.evaluation._bootstrap import Score, bootstrap, ratio_of_sums
from galmorph.training.evaluation.classification import (
    ClassificationReport,
    class_scores,
)
from galmorph.training.evaluation.curves import calibration_error, rank_auc

# As in `galmorph.training.evaluation.metrics.CountRMSE`.
MIN_VOTES = 5
# Of the scatter of all galaxies; a sample with less has equal values.
_MIN_SCATTER = 1e-9


class Judge:
    """Computes the scores of one kind of labels."""

    def __init__(self, schema, answers, values, n_draws, seed):
        self.schema = schema
        self.answers = answers
        self.values = values
        self.options = {'n_draws': n_draws, 'seed': seed}

    def fractions(self, path):
        errors = self.answers - path
        parts = pooled_parts('fractions', path)
        scores = {name: self._rmse(errors[part]) for name, part in parts.items()}
        questions = {q.name: self._rmse(errors[:, q.slice])
                     for q in self.schema.questions}  # fmt: skip
        asked = self.schema.relevance(path) >= 0.5
        extra = self._accuracies(self.answers, path, asked)
        found = self._partition(path)
        scores |= found.pop('scores', {})
        scores['ece'] = self._calibration(self.answers, path)
        return {'scores': scores, 'questions': questions, 'extra': extra,
                'answers': self.answers, 'labels': path, **found}  # fmt: skip

    def counts(self, path):
        observed = np.full_like(self.values, np.nan)
        variance = np.full_like(self.values, np.nan)
        predicted = self.schema.to_conditional(self.answers)
        for question in self.schema.questions:
            counts = self.values[:, question.slice]
            total = counts.sum(1)
            enough = total >= MIN_VOTES
            fraction = counts[enough] / total[enough, None]
            observed[enough, question.slice] = fraction
            spread = fraction * (1 - fraction) / (total[enough, None] - 1)
            variance[enough, question.slice] = spread
            # What the network holds impossible it knows nothing of.
            part = predicted[:, question.slice]
            part[np.isnan(part)] = 1 / part.shape[1]
        predicted = predicted.clip(0, 1)
        errors = predicted - observed
        asked = np.stack(
            [np.isfinite(observed[:, q.start]) for q in self.schema.questions], 1
        )
        extra = self._accuracies(predicted, observed, asked)
        for question in self.schema.questions:
            part = variance[:, question.slice]
            if np.isfinite(part).any():
                floor = np.sqrt(np.nanmean(part))
                extra[question.name] = {'floor': floor} | extra[question.name]
        scores = {'rmse': self._rmse(errors)}
        questions = {q.name: self._rmse(errors[:, q.slice])
                     for q in self.schema.questions}  # fmt: skip
        found = self._partition(path)
        scores |= found.pop('scores', {})
        scores['ece'] = self._calibration(predicted, observed)
        return {'scores': scores, 'questions': questions, 'extra': extra,
                'answers': predicted, 'labels': observed, **found}  # fmt: skip

    def classes(self, one_hot):
        true = np.where(np.isfinite(one_hot).all(1), one_hot.argmax(1), -1)
        names, indices = self.schema.class_partition()
        if list(indices) != list(range(self.schema.n_answers)):
            names = [answer.name for answer in self.schema.answers]
        found = self._classify(self.answers, true, names)
        right = (self.answers.argmax(1) == true).astype(float)
        top = self._calibration(self.answers.max(1), right)
        return {'questions': {}, 'extra': {}, 'answers': self.answers,
                'labels': one_hot, **found,
                'scores': found['scores'] | {'ece': top}}  # fmt: skip

    def attributes(self, values):
        errors = self.answers - values
        scores, questions = {}, {}
        for i, name in enumerate(self.schema.columns):
            known = np.isfinite(errors[:, i])
            error, value = errors[known, i], values[known, i]
            questions[name] = self._rmse(error[:, None])
            if known.any():
                one = np.ones(len(error))
                scores[f'{name}_bias'] = self._score(ratio_of_sums(error, one), known)
                scores[f'{name}_r2'] = self._score(_r2(error, value), known)
        return {'scores': scores, 'questions': questions, 'extra': {},
                'answers': self.answers, 'labels': values}  # fmt: skip

    def _partition(self, path):
        """Classify by the finest classes whose probabilities all labels tell."""
        told = np.isfinite(path).all(0)
        supported = [told[q.slice].all() for q in self.schema.questions]
        names, indices = self.schema.class_partition(supported)
        if not names:
            return {}
        columns = list(indices)
        return self._classify(
            self.answers[:, columns], path[:, columns].argmax(1), names
        )

    def _classify(self, probabilities, true, names):
        n_class, known = len(names), true >= 0
        predicted = probabilities.argmax(1)
        report = ClassificationReport.from_classes(true, predicted, names)
        cells = np.eye(n_class**2)[(true * n_class + predicted)[known]]
        wanted = ('accuracy', 'macro_precision', 'macro_recall', 'macro_f1',
                  'weighted_precision', 'weighted_recall', 'weighted_f1')  # fmt: skip
        truth, values = true[known], probabilities[known]

        def statistic(weights):
            matrix = (weights @ cells).reshape(-1, n_class, n_class)
            found = class_scores(matrix)
            areas = [
                rank_auc(values[:, k], truth == k, weights)
                for k in range(n_class)
                if 0 < (truth == k).sum() < len(truth)
            ]
            # A sample without the class has none, and a small one may have no
            # area at all.
            areas = np.reshape(areas, (-1, len(weights)))
            with np.errstate(invalid='ignore'):
                area = np.nansum(areas, 0) / np.isfinite(areas).sum(0)
            return np.stack([*(found[name] for name in wanted), area], 1)

        value, low, high = bootstrap(statistic, len(truth), **self.options)
        scores = {
            name: Score(value[i], low[i], high[i], len(truth))
            for i, name in enumerate((*wanted, 'macro_auc'))
        }
        return {'scores': scores, 'report': report, 'true_classes': true,
                'class_probabilities': probabilities}  # fmt: skip

    def _accuracies(self, answers, labels, asked):
        """How often the most probable answer is that of most volunteers."""
        found = {}
        for i, question in enumerate(self.schema.questions):
            mine, theirs = answers[:, question.slice], labels[:, question.slice]
            rows = asked[:, i] & np.isfinite(theirs).all(1)
            agree = mine[rows].argmax(1) == theirs[rows].argmax(1)
            found[question.name] = {'accuracy': agree.mean()} if rows.any() else {}
        return found

    def _rmse(self, errors):
        known = np.isfinite(errors)
        rows = known.any(1)
        squares = np.where(known, errors, 0)[rows] ** 2
        mean = ratio_of_sums(squares.sum(1), known[rows].sum(1))
        return self._score(lambda weights: np.sqrt(mean(weights)), rows)

    def _calibration(self, predicted, observed):
        def statistic(weights):
            return calibration_error(predicted, observed, weights=weights)

        return self._score(statistic, np.ones(len(predicted), bool))

    def _score(self, statistic, rows):
        n = int(rows.sum())
        if not n:
            return Score(np.nan, np.nan, np.nan, 0)
        return Score(*map(float, bootstrap(statistic, n, **self.options)), n)


def pooled_parts(kind, labels):
    """The indices of the labels that each error of all answers is over, by its name."""
    known = np.isfinite(labels)
    common, complete = known.all(0), known.all(1)
    parts = {}
    if kind == 'fractions' and common.any():
        parts[f'rmse{common.sum()}'] = slice(None), common
    if kind == 'fractions' and complete.any():
        parts[f'rmse{known.shape[1]}'] = complete
    if kind in ('fractions', 'counts') and not parts:
        parts['rmse'] = slice(None)
    return parts


def _r2(error, value):
    # Deviations from a constant near the mean lose no digits.
    value = value - value.mean()
    least = _MIN_SCATTER * value.var()

    def statistic(weights):
        total = weights.sum(1)
        scatter = weights @ value**2 - (weights @ value) ** 2 / total
        # Of equal values only rounding is left, and an R² of any size.
        scatter[scatter <= least * total] = np.nan
        return 1 - (weights @ error**2) / scatter

    return statistic
