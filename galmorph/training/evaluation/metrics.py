# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Metrics during training: torchmetrics with masks, one set for a kind of labels."""

import contextlib
import warnings

import torch
from torchmetrics import Metric, MetricCollection
from torchmetrics.classification import (
    MulticlassAccuracy,
    MulticlassAUROC,
    MulticlassConfusionMatrix,
    MulticlassF1Score,
)
from torchmetrics.utilities import dim_zero_cat

__all__ = [
    'AttributeErrors',
    'ClassMetrics',
    'CountRMSE',
    'PooledRMSE',
    'QuestionRMSE',
    'create_metrics',
]

# Fewer votes say too little of a fraction.
MIN_VOTES = 5
# Relative to the mean; what scatters less has equal values, and rounding.
_MIN_SCATTER = 1e-6


class _Sums(Metric):
    """Keeps sums, which add up over batches and devices."""

    is_differentiable = False
    higher_is_better = False
    full_state_update = False

    def __init__(self, shape, names):
        super().__init__()
        for name in (*names, 'count'):
            dtype = torch.long if name == 'count' else torch.float32
            zeros = torch.zeros(shape, dtype=dtype)
            self.add_state(name, zeros, dist_reduce_fx='sum')


class PooledRMSE(_Sums):
    """
    Root mean square error over galaxies and answers, as Kaggle defined it.

    Parameters
    ----------
    columns : sequence of int, optional
        The answers to take, all by default.

    Examples
    --------
    >>> import torch
    >>> from galmorph.training.evaluation.metrics import PooledRMSE
    >>> metric = PooledRMSE()
    >>> metric.update(torch.zeros(1, 3), torch.tensor([[3.0, 4.0, torch.nan]]))
    >>> round(metric.compute().item(), 4)
    3.5355
    """

    def __init__(self, columns=None):
        super().__init__((), ('squares',))
        self.columns = None if columns is None else list(columns)

    def update(self, answers, target):
        """Add a batch: answers and labels, shape (n, n_answers), NaN if unknown."""
        error = answers - target
        if self.columns is not None:
            error = error[:, self.columns]
        known = torch.isfinite(error)
        self.squares += torch.where(known, error, 0).square().sum()
        self.count += known.sum()

    def compute(self):
        """Give the error, NaN without labels."""
        return (self.squares / self.count).sqrt()


class QuestionRMSE(_Sums):
    """
    Root mean square error of the path probabilities of each question.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.evaluation.metrics import QuestionRMSE
    >>> metric = QuestionRMSE(load_schema('gz2'))
    >>> metric.update(torch.zeros(2, 37), torch.full((2, 37), 0.25))
    >>> metric.compute()['rmse/edgeon'].item()
    0.25
    """

    def __init__(self, schema):
        super().__init__(len(schema.questions), ('squares',))
        self.questions = [(q.name, q.start, q.stop) for q in schema.questions]

    def update(self, answers, target):
        """Add a batch: answers and labels, shape (n, n_answers), NaN if unknown."""
        error = answers - target
        known = torch.isfinite(error)
        squares = torch.where(known, error, 0).square()
        for i, (_, start, stop) in enumerate(self.questions):
            self.squares[i] += squares[:, start:stop].sum()
            self.count[i] += known[:, start:stop].sum()

    def compute(self):
        """Give the error of each question, NaN without labels."""
        values = (self.squares / self.count).sqrt()
        return {f'rmse/{q[0]}': values[i] for i, q in enumerate(self.questions)}


class CountRMSE(_Sums):
    """
    Root mean square error of conditional fractions, and the least possible.

    The fraction that N volunteers gave scatters around the true one, so even a
    perfect prediction has the error sqrt(mean p (1 - p) / (N - 1)), the
    binomial floor. Galaxies with fewer than 5 votes on a question are left
    out of it.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.evaluation.metrics import CountRMSE
    >>> metric = CountRMSE(load_schema('gz2'))
    >>> path, counts = torch.full((1, 37), 0.5), torch.zeros(1, 37)
    >>> counts[0, 13:15] = torch.tensor([8.0, 2.0])  # odd: yes, no
    >>> metric.update(path, counts)
    >>> values = metric.compute()
    >>> [round(values[name].item(), 4) for name in ('rmse/odd', 'floor/odd')]
    [0.3, 0.1333]
    """

    def __init__(self, schema):
        super().__init__(len(schema.questions), ('squares', 'variances'))
        self.questions = [(q.name, q.start, q.stop, q.parent) for q in schema.questions]

    def update(self, answers, target):
        """Add a batch: path probabilities and counts, shape (n, n_answers)."""
        answers = answers.float()
        for i, (_, start, stop, parent) in enumerate(self.questions):
            counts = target[:, start:stop].float()
            total = counts.sum(1, keepdim=True)
            enough = (total >= MIN_VOTES).squeeze(1)
            observed = counts[enough] / total[enough]
            predicted = answers[enough, start:stop]
            if parent is not None:
                above = answers[enough, parent, None]
                # What the network holds impossible it knows nothing of.
                even = torch.full_like(predicted, 1 / (stop - start))
                predicted = torch.where(above > 0, predicted / above, even).clamp_max(1)
            variance = observed * (1 - observed) / (total[enough] - 1)
            self.squares[i] += (predicted - observed).square().sum()
            self.variances[i] += variance.sum()
            self.count[i] += observed.numel()

    def compute(self):
        """Give the error and the floor of each question, NaN without votes."""
        rmse = (self.squares / self.count).sqrt()
        floor = (self.variances / self.count).sqrt()
        return {
            f'{kind}/{question[0]}': values[i]
            for kind, values in (('rmse', rmse), ('floor', floor))
            for i, question in enumerate(self.questions)
        }


class AttributeErrors(_Sums):
    """
    Root mean square error, bias and R² of each attribute.

    Parameters
    ----------
    schema : `~galmorph.schemas.AttributeSchema`
        The attributes.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.evaluation.metrics import AttributeErrors
    >>> metric = AttributeErrors(load_schema('efigi'))
    >>> target = torch.full((2, 17), torch.nan)
    >>> target[:, 0] = torch.tensor([1.0, 5.0])
    >>> metric.update(target + 1, target)
    >>> values = metric.compute()
    >>> [values[f'{name}/t_type'].item() for name in ('rmse', 'bias', 'r2')]
    [1.0, 1.0, 0.75]
    """

    def __init__(self, schema):
        super().__init__(schema.n_answers, ('squares', 'errors'))
        self.columns = schema.columns
        # Sums of the values and of their squares would lose the scatter of an
        # attribute that hardly varies.
        self.add_state(
            'moments', torch.zeros(3, schema.n_answers), dist_reduce_fx=_pool_moments
        )

    def update(self, answers, target):
        """Add a batch: values and labels, shape (n, n_answers), NaN if unknown."""
        error = (answers - target).float()
        known = torch.isfinite(error)
        error = torch.where(known, error, 0)
        value = torch.where(known, target, 0).float()
        number = known.sum(0)
        self.squares += error.square().sum(0)
        self.errors += error.sum(0)
        self.count += number
        mean = value.sum(0) / number.clamp_min(1)
        scatter = torch.where(known, value - mean, 0).square().sum(0)
        batch = torch.stack([number.float(), mean, scatter])
        self.moments = _pool_moments(torch.stack([self.moments, batch]))

    def compute(self):
        """
        Give the three of each attribute, NaN without labels.

        R² is NaN, too, where all labels are equal.
        """
        number, mean, scatter = self.moments
        varies = scatter > number * (_MIN_SCATTER * mean).square()
        found = {
            'rmse': (self.squares / self.count).sqrt(),
            'bias': self.errors / self.count,
            'r2': torch.where(varies, 1 - self.squares / scatter, torch.nan),
        }
        return {
            f'{kind}/{column}': values[i]
            for kind, values in found.items()
            for i, column in enumerate(self.columns)
        }


def _pool_moments(parts):
    """Numbers, means and sums of squared deviations of parts, shape (k, 3, n)."""
    numbers, means, scatters = parts.unbind(1)
    number = numbers.sum(0)
    mean = (numbers * means).sum(0) / number.clamp_min(1)
    scatter = scatters.sum(0) + (numbers * (means - mean).square()).sum(0)
    return torch.stack([number, mean, scatter])


class _MacroAUC(MulticlassAUROC):
    """The mean over classes that some galaxies have, and others have not."""

    def compute(self):
        # torchmetrics counts the area of a class without galaxies as 0.
        counts = torch.bincount(dim_zero_cat(self.target), minlength=self.num_classes)
        present = (counts > 0) & (counts < counts.sum())
        if not present.any():
            return torch.full((), torch.nan, device=counts.device)
        return super().compute()[present].mean()


class ClassMetrics(MetricCollection):
    """
    Accuracy, F1, area under the ROC curve and confusion of the classes.

    All are torchmetrics' own. It takes probabilities and labels of the shape
    (n, n_class), of which the largest is the class, or class indices of the
    shape (n,); galaxies without a class, NaN or -1, are left out.

    Parameters
    ----------
    n_class : int
        The number of classes.

    Examples
    --------
    >>> import torch
    >>> from galmorph.training.evaluation.metrics import ClassMetrics
    >>> metrics = ClassMetrics(2)
    >>> answers = torch.tensor([[0.9, 0.1], [0.4, 0.6], [0.8, 0.2]])
    >>> metrics.update(answers, torch.tensor([0, 1, -1]))
    >>> metrics.compute()['accuracy'].item()
    1.0
    """

    def __init__(self, n_class):
        super().__init__(
            {
                'accuracy': MulticlassAccuracy(n_class, average='micro'),
                'macro_f1': MulticlassF1Score(n_class, average='macro'),
                'weighted_f1': MulticlassF1Score(n_class, average='weighted'),
                'macro_auc': _MacroAUC(n_class, average='none'),
                'confusion': MulticlassConfusionMatrix(n_class),
            },
            compute_groups=False,
        )

    def update(self, answers, target):
        """Add a batch."""
        answers, target = _with_class(answers, target)
        if len(target):
            super().update(answers, target)

    def forward(self, answers, target):
        """Add a batch, and give the scores of it alone."""
        answers, target = _with_class(answers, target)
        if not len(target):
            return self._of_nothing()
        with _no_warning_of_small_samples():
            return super().forward(answers, target)

    def compute(self):
        """
        Give the scores, NaN without galaxies, and the confusion matrix.

        True classes are its rows.
        """
        area = self['macro_auc']
        if not area.update_called:
            # Other devices exchange what they have seen with this one, which has
            # seen nothing; of lists it needs the shape.
            empty = torch.zeros(0, area.num_classes, device=area.device)
            area.preds, area.target = [empty], [empty.argmax(1)]
        with _no_warning_of_small_samples():
            scores = super().compute()
        return scores if scores['confusion'].any() else self._of_nothing()

    def _of_nothing(self):
        n_class, device = self['confusion'].num_classes, self['confusion'].device
        scores = dict.fromkeys(self, torch.tensor(torch.nan, device=device))
        none = torch.zeros(n_class, n_class, dtype=torch.long, device=device)
        return scores | {'confusion': none}


def _with_class(answers, target):
    if target.ndim > 1:
        known = torch.isfinite(target).all(1)
        target = target.nan_to_num().argmax(1)
    else:
        known = target >= 0
    return answers[known].float(), target[known].long()


@contextlib.contextmanager
def _no_warning_of_small_samples():
    """A class may be missing from a batch, or all but one."""
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', message='No (positive|negative) samples')
        warnings.filterwarnings('ignore', message='Average precision score for one')
        warnings.filterwarnings('ignore', message='.*before the ``update`` method')
        yield


def create_metrics(schema, kind):
    """
    Create the metrics for a kind of labels.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree` or attribute schema
        What is predicted.
    kind : str
        'fractions', 'counts', 'classes' or 'attributes', as
        ``Labels.kind``. The metrics take what ``Labels.values`` holds.

    Returns
    -------
    metrics : `torchmetrics.MetricCollection`
        Updated with (answers, target). Keys are 'rmse' and 'rmse/<question>'
        for fractions, 'rmse/<question>' and 'floor/<question>' for counts,
        those of `ClassMetrics` for classes, and 'rmse/<attribute>',
        'bias/<attribute>' and 'r2/<attribute>' for attributes.

    Raises
    ------
    ValueError
        If the kind is unknown, or does not go with the schema.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.evaluation.metrics import create_metrics
    >>> metrics = create_metrics(load_schema('gz2'), 'fractions')
    >>> metrics.update(torch.zeros(2, 37), torch.full((2, 37), 0.25))
    >>> round(metrics.compute()['rmse'].item(), 4)
    0.25
    """
    is_tree = not hasattr(schema, 'attributes')
    if kind == 'attributes' and not is_tree:
        return MetricCollection({'attributes': AttributeErrors(schema)})
    if kind == 'fractions' and is_tree:
        return MetricCollection(
            {'rmse': PooledRMSE(), 'questions': QuestionRMSE(schema)},
            compute_groups=False,
        )
    if kind == 'counts' and is_tree:
        return MetricCollection({'questions': CountRMSE(schema)})
    if kind == 'classes' and is_tree and len(schema.questions) == 1:
        return ClassMetrics(schema.n_answers)
    suited = ['attributes'] if not is_tree else ['fractions', 'counts']
    suited += ['classes'] if is_tree and len(schema.questions) == 1 else []
    msg = f'kind must be one of {suited} for the schema {schema.name!r}, not {kind!r}'
    raise ValueError(msg)
