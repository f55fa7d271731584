# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Curves of probabilities: receiver operating characteristic and reliability."""

import dataclasses

import numpy as np
from astropy.table import QTable

__all__ = [
    'RocCurve',
    'calibration_error',
    'rank_auc',
    'reliability',
    'roc_curves',
]


@dataclasses.dataclass(frozen=True, eq=False)
class RocCurve:
    """
    Receiver operating characteristic of one class against all others.

    Parameters
    ----------
    false_positive_rate, true_positive_rate : `~numpy.ndarray`
        What part of the other galaxies, and of those of the class, lie above
        a threshold of the probability, which falls along the arrays.
    auc : float
        The area under the curve.
    n : int
        How many galaxies are of the class.

    Examples
    --------
    >>> from galmorph.training.evaluation.curves import roc_curves
    >>> roc_curves([[0.9, 0.1], [0.2, 0.8]], [0, 1], ['disk', 'spheroid'])['disk']
    RocCurve(auc=1.0000, n=1)
    """

    false_positive_rate: np.ndarray
    true_positive_rate: np.ndarray
    auc: float
    n: int

    def __repr__(self):
        return f'RocCurve(auc={self.auc:.4f}, n={self.n})'


def roc_curves(probabilities, true, classes):
    """
    Trace the ROC curve of each class against all others.

    Parameters
    ----------
    probabilities : array-like, shape (n, n_class)
        Probabilities of the classes.
    true : array-like of int, shape (n,)
        Indices of the true classes; galaxies with -1 are left out.
    classes : sequence of str
        The names.

    Returns
    -------
    curves : dict of str to `RocCurve`
        Without classes that no galaxy has, or all.

    Examples
    --------
    >>> from galmorph.training.evaluation.curves import roc_curves
    >>> curves = roc_curves([[0.9, 0.1], [0.4, 0.6], [0.6, 0.4]], [0, 0, 1], 'ab')
    >>> curves['a'].auc
    0.5
    """
    import torch
    from torchmetrics.functional.classification import binary_auroc, binary_roc

    true = np.asarray(true, int)
    probabilities = np.asarray(probabilities, np.float64)[true >= 0]
    true = true[true >= 0]
    curves = {}
    for index, name in enumerate(classes):
        is_class = true == index
        if not 0 < is_class.sum() < len(true):
            continue
        values = torch.from_numpy(np.clip(probabilities[:, index], 0, 1))
        target = torch.from_numpy(is_class.astype(np.int64))
        false, hit, _ = binary_roc(values, target)
        auc = binary_auroc(values, target).item()
        curves[str(name)] = RocCurve(false.numpy(), hit.numpy(), auc, is_class.sum())
    return curves


def rank_auc(values, is_class, weights):
    """
    Compute areas under the ROC curve of weighted galaxies.

    An area is the probability that a galaxy of the class ranks above another
    one; ties count half.

    Parameters
    ----------
    values : array-like, shape (n,)
        The probability of the class.
    is_class : array-like of bool, shape (n,)
        Whether a galaxy is of it.
    weights : `~numpy.ndarray`, shape (n_sample, n)
        Weights of the galaxies, for several results at once.

    Returns
    -------
    auc : `~numpy.ndarray`, shape (n_sample,)
        NaN for a sample that has no galaxy of the class, or no other.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.evaluation.curves import rank_auc
    >>> rank_auc([0.9, 0.4, 0.6], [True, True, False], np.ones((1, 3))).tolist()
    [0.5]
    """
    order = np.argsort(values, kind='stable')
    values, is_class = np.asarray(values)[order], np.asarray(is_class)[order]
    weights = weights[:, order]
    starts = np.flatnonzero(np.diff(values, prepend=-np.inf) > 0)
    hits = np.add.reduceat(weights * is_class, starts, axis=1)
    others = np.add.reduceat(weights * ~is_class, starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    with np.errstate(invalid='ignore'):
        return (hits * below).sum(1) / (hits.sum(1) * others.sum(1))


def _bins_of(predicted, n_bins):
    return np.clip((np.asarray(predicted) * n_bins).astype(int), 0, n_bins - 1)


def reliability(predicted, observed, *, n_bins=10):
    """
    Compare probabilities with what is observed where they are given.

    Parameters
    ----------
    predicted : array-like
        Probabilities.
    observed : array-like
        Vote fractions, or whether it was so; of the same shape, NaN where
        unknown.
    n_bins : int, optional
        Number of equal bins of the probability.

    Returns
    -------
    table : `~astropy.table.QTable`
        A row for each bin that is not empty: ``low`` and ``high`` end of the
        bin, ``n``, the means ``predicted`` and ``observed``, and the
        ``error`` of the latter.

    Examples
    --------
    >>> from galmorph.training.evaluation.curves import reliability
    >>> table = reliability([0.1, 0.3, 0.8, 0.8], [0, 1, 1, 0], n_bins=2)
    >>> table['n'].tolist(), table['predicted'].tolist(), table['observed'].tolist()
    ([2, 2], [0.2, 0.8], [0.5, 0.5])
    """
    predicted, observed = np.broadcast_arrays(
        np.asarray(predicted, float), np.asarray(observed, float)
    )
    known = np.isfinite(predicted) & np.isfinite(observed)
    predicted, observed = predicted[known], observed[known]
    bins = _bins_of(predicted, n_bins)
    filled, inverse, n = np.unique(bins, return_inverse=True, return_counts=True)
    mean = np.bincount(inverse, observed, len(n)) / n
    scatter = np.bincount(inverse, (observed - mean[inverse]) ** 2, len(n)) / n
    return QTable(
        {
            'low': filled / n_bins,
            'high': (filled + 1) / n_bins,
            'n': n,
            'predicted': np.bincount(inverse, predicted, len(n)) / n,
            'observed': mean,
            'error': np.sqrt(scatter / np.maximum(n - 1, 1)),
        }
    )


def calibration_error(predicted, observed, *, n_bins=10, weights=None):
    """
    Expected calibration error: how far probabilities are off, on average.

    Parameters
    ----------
    predicted, observed : array-like, shape (n,) or (n, n_answers)
        As in `reliability`.
    n_bins : int, optional
        Number of equal bins of the probability.
    weights : array-like, shape (n_sample, n), optional
        Weights of the galaxies, for several results at once.

    Returns
    -------
    error : float or `~numpy.ndarray`, shape (n_sample,)
        The mean over the bins of the difference between mean probability and
        mean observation, weighted by the numbers in the bins.

    Examples
    --------
    >>> from galmorph.training.evaluation.curves import calibration_error
    >>> round(calibration_error([0.1, 0.3, 0.8, 0.8], [0, 1, 1, 0], n_bins=2), 4)
    0.3
    """
    predicted = np.asarray(predicted, float).reshape(len(predicted), -1)
    observed = np.asarray(observed, float).reshape(predicted.shape)
    known = np.isfinite(predicted) & np.isfinite(observed)
    bins = _bins_of(np.where(known, predicted, 0), n_bins)
    difference = np.where(known, predicted - observed, 0)
    excess = np.zeros((len(predicted), n_bins))
    rows = np.broadcast_to(np.arange(len(predicted))[:, None], bins.shape)
    np.add.at(excess, (rows, bins), difference)
    one = np.ones((1, len(predicted)))
    weights = one if weights is None else np.asarray(weights, float)
    error = np.abs(weights @ excess).sum(1) / (weights @ known.sum(1))
    return float(error[0]) if weights is one else error
