# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scores of classes: confusion matrix, accuracy, precision, recall and F1."""

import dataclasses

import numpy as np
from astropy.table import QTable

__all__ = ['ClassificationReport', 'class_scores']

_SCORES = ('precision', 'recall', 'f1')


@dataclasses.dataclass(frozen=True, eq=False)
class ClassificationReport:
    """
    What a confusion matrix says.

    Parameters
    ----------
    matrix : `~numpy.ndarray` of int, shape (n_class, n_class)
        How many galaxies of each class, a row, were taken for each class, a
        column.
    classes : sequence of str
        Their names.

    Examples
    --------
    The matrix of Zhu et al. (2019), table 5, with true classes as rows:

    >>> from galmorph.training.evaluation.classification import ClassificationReport
    >>> report = ClassificationReport.from_confusion(
    ...     [[815, 21, 0, 0, 10], [29, 762, 0, 0, 17], [0, 4, 34, 18, 2],
    ...      [0, 3, 12, 368, 5], [4, 7, 1, 5, 763]],
    ...     ['round', 'in-between', 'cigar', 'edge-on', 'spiral'])
    >>> print(report)
                precision  recall      f1     n
    round          0.9611  0.9634  0.9622   846
    in-between     0.9561  0.9431  0.9495   808
    cigar          0.7234  0.5862  0.6476    58
    edge-on        0.9412  0.9485  0.9448   388
    spiral         0.9573  0.9782  0.9677   780
    macro          0.9078  0.8839  0.8944  2880
    weighted       0.9512  0.9521  0.9515  2880
    accuracy 0.9521
    """

    matrix: np.ndarray
    classes: tuple

    @classmethod
    def from_confusion(cls, matrix, classes=None):
        """
        Check a confusion matrix.

        Parameters
        ----------
        matrix : array-like of int, shape (n_class, n_class)
            True classes as rows.
        classes : sequence of str, optional
            Their names; numbers from 0 by default.

        Returns
        -------
        report : `ClassificationReport`
            The report.

        Raises
        ------
        ValueError
            If the matrix is not square, or its numbers are no counts.
        """
        matrix = np.asarray(matrix)
        if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
            msg = f'matrix must be square, a row a true class, not {matrix.shape}'
            raise ValueError(msg)
        counts = matrix.astype(np.int64)
        if (counts != matrix).any() or (counts < 0).any():
            msg = 'matrix must hold counts: whole numbers, none of them negative'
            raise ValueError(msg)
        classes = range(len(counts)) if classes is None else classes
        classes = tuple(map(str, classes))
        if len(classes) != len(counts):
            msg = f'classes has {len(classes)} names for {len(counts)} rows of matrix'
            raise ValueError(msg)
        return cls(counts, classes)

    @classmethod
    def from_classes(cls, true, predicted, classes):
        """
        Count true and predicted classes.

        Parameters
        ----------
        true, predicted : array-like of int, shape (n,)
            Indices of the classes; galaxies with -1 in either are left out.
        classes : sequence of str
            The names.

        Returns
        -------
        report : `ClassificationReport`
            The report.
        """
        true, predicted = np.asarray(true, int), np.asarray(predicted, int)
        known = (true >= 0) & (predicted >= 0)
        matrix = np.zeros((len(classes), len(classes)), np.int64)
        np.add.at(matrix, (true[known], predicted[known]), 1)
        return cls.from_confusion(matrix, classes)

    @property
    def n(self):
        """The number of galaxies."""
        return int(self.matrix.sum())

    @property
    def accuracy(self):
        """The part of the galaxies whose class is right."""
        return float(class_scores(self.matrix)['accuracy'])

    @property
    def precision(self):
        """For each class, how many of those taken for it are of it."""
        return class_scores(self.matrix)['precision']

    @property
    def recall(self):
        """For each class, how many of it are taken for it."""
        return class_scores(self.matrix)['recall']

    @property
    def f1(self):
        """For each class, the harmonic mean of precision and recall."""
        return class_scores(self.matrix)['f1']

    @property
    def macro(self):
        """Precision, recall and F1, each a mean over the classes: a dict."""
        return self._average('macro')

    @property
    def weighted(self):
        """Precision, recall and F1, each a mean over the galaxies: a dict."""
        return self._average('weighted')

    def _average(self, kind):
        scores = class_scores(self.matrix)
        return {name: float(scores[f'{kind}_{name}']) for name in _SCORES}

    def to_table(self):
        """
        Give the scores of each class.

        Returns
        -------
        table : `~astropy.table.QTable`
            The columns ``class``, ``precision``, ``recall``, ``f1`` and ``n``.
        """
        scores = class_scores(self.matrix)
        names = ('precision', 'recall', 'f1')
        table = QTable({'class': self.classes} | {name: scores[name] for name in names})
        table['n'] = self.matrix.sum(1)
        return table

    def to_dict(self):
        """
        Give matrix and scores in plain types, rounded to 4 decimals.

        Returns
        -------
        description : dict
            ``classes``, a dict of scores by class, and ``confusion_matrix``.
            A class that is neither there nor predicted has only ``n``, 0.
        """
        classes = {}
        for row in self.to_table():
            known = [name for name in _SCORES if np.isfinite(row[name])]
            scores = {name: round(float(row[name]), 4) for name in known}
            classes[str(row['class'])] = scores | {'n': int(row['n'])}
        return {'classes': classes, 'confusion_matrix': self.matrix.tolist()}

    def __str__(self):
        rows = [
            (row['class'], row['precision'], row['recall'], row['f1'], row['n'])
            for row in self.to_table()
        ]
        rows += [
            (kind, *self._average(kind).values(), self.n)
            for kind in ('macro', 'weighted')
        ]
        width = max(len(row[0]) for row in rows)
        lines = [f'{"":{width}}  precision  recall      f1 {"n":>5}']
        lines += [
            f'{name:{width}}  {p:9.4f}  {r:6.4f}  {f:6.4f} {n:5d}'
            for name, p, r, f, n in rows
        ]
        return '\n'.join([*lines, f'accuracy {self.accuracy:.4f}'])


def class_scores(matrix):
    """
    Compute all scores of confusion matrices.

    A class that is there but never predicted has precision 0. One that is
    neither there nor predicted has no score, and no part in the averages.

    Parameters
    ----------
    matrix : array-like, shape (..., n_class, n_class)
        Counts, with true classes as rows.

    Returns
    -------
    scores : dict of str to `~numpy.ndarray`
        ``precision``, ``recall`` and ``f1``, shape (..., n_class); their
        averages, ``macro_f1``, ``weighted_f1`` and so on, and ``accuracy``,
        shape (...).

    Examples
    --------
    >>> from galmorph.training.evaluation.classification import class_scores
    >>> scores = class_scores([[3, 1], [0, 4]])
    >>> scores['recall'].tolist(), float(scores['accuracy'])
    ([0.75, 1.0], 0.875)
    """
    matrix = np.asarray(matrix, float)
    hits = np.diagonal(matrix, axis1=-2, axis2=-1)
    true, predicted = matrix.sum(-1), matrix.sum(-2)
    exists = true + predicted > 0

    def divide(upper, lower):
        found = np.divide(
            upper, lower, out=np.zeros_like(upper + lower), where=lower > 0
        )
        return np.where(exists, found, np.nan)

    scores = {
        'precision': divide(hits, predicted),
        'recall': divide(hits, true),
        'f1': divide(2 * hits, true + predicted),
    }
    total = true.sum(-1)
    with np.errstate(invalid='ignore', divide='ignore'):
        averages = {'accuracy': hits.sum(-1) / total}
        for name, values in scores.items():
            values = np.where(exists, values, 0)
            averages[f'macro_{name}'] = values.sum(-1) / exists.sum(-1)
            averages[f'weighted_{name}'] = (values * true).sum(-1) / total
    return scores | averages
