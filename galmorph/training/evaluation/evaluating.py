# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How well weights do: scores of all kinds of labels, with intervals."""

import dataclasses
import os

import numpy as np
from astropy.table import QTable, Table

from galmorph.inference.catalog import sizes_of
from galmorph.training.evaluation._bootstrap import N_DRAWS, Score
from galmorph.training.evaluation._judging import Judge, pooled_parts
from galmorph.training.evaluation.classification import ClassificationReport
from galmorph.training.evaluation.curves import reliability, roc_curves

__all__ = ['Evaluation', 'Score', 'evaluate']


@dataclasses.dataclass(frozen=True, eq=False)
class Evaluation:
    """
    The scores of weights on labelled galaxies, as `evaluate` gives them.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree` or `~galmorph.schemas.AttributeSchema`
        What was predicted.
    kind : str
        The kind of the labels: 'fractions', 'counts', 'classes' or 'attributes'.
    scores : dict of str to `Score`
        The scores of all galaxies, and others that belong to no question.
    questions : dict of str to `Score`
        The root mean square error of each question or attribute.
    extra : dict of str to dict
        What else is known of a question: its binomial ``floor``, and the
        ``accuracy`` of its most probable answer.
    answers, labels : `~numpy.ndarray`, shape (n, n_answers)
        What was predicted, and what is known, in the same terms: path
        probabilities, or with counts conditional ones; NaN where unknown.
    report : `~galmorph.training.evaluation.classification.ClassificationReport` or None
        Scores of exclusive classes, where the labels tell them.
    class_probabilities : `~numpy.ndarray`, shape (n, n_class)
        Predicted probabilities of these classes.
    true_classes : `~numpy.ndarray` of int, shape (n,)
        The true ones, -1 where unknown.
    n_failed : int
        Labelled galaxies that were not predicted, and are left out.
    split : str or None
        What the galaxies are called.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.training.evaluation import evaluate
    >>> from galmorph.training.data.labels import Labels
    >>> labels = Labels('classes', np.eye(5)[[0, 1, 2, 3, 4, 4]])
    >>> answers = np.eye(5)[[0, 1, 3, 3, 4, 4]]
    >>> evaluation = evaluate(answers, None, labels, schema=load_schema('zhu5'))
    >>> evaluation.scores['accuracy']
    Score(0.8333 [0.5000, 1.0000], n=6)
    >>> evaluation.report.matrix[2]
    array([0, 0, 0, 1, 0])
    """

    schema: object
    kind: str
    scores: dict
    questions: dict
    extra: dict
    answers: np.ndarray
    labels: np.ndarray
    report: ClassificationReport | None = None
    class_probabilities: np.ndarray | None = None
    true_classes: np.ndarray | None = None
    n_failed: int = 0
    split: str | None = None

    def __repr__(self):
        split = f' of {self.split!r}' if self.split else ''
        return (
            f'<Evaluation: {self.kind} of {self.schema.name!r}, '
            f'{len(self.answers)} galaxies{split}>'
        )

    def to_dict(self):
        """
        Give the scores as the ``metrics`` of a `~galmorph.weights.WeightsCard`.

        Returns
        -------
        metrics : dict
            Plain types. Scores that the galaxies do not suffice for are
            left out.
        """
        metrics = {'split': self.split, 'n_galaxy': len(self.answers)}
        metrics = {key: value for key, value in metrics.items() if value is not None}
        if self.n_failed:
            metrics['n_not_predicted'] = self.n_failed
        metrics |= {
            name: s.to_dict() for name, s in self.scores.items() if _is_sound(s)
        }
        if self.report is not None:
            metrics |= self.report.to_dict()
        questions = {
            name: score.to_dict('rmse')
            | {k: round(float(v), 4) for k, v in self.extra.get(name, {}).items()}
            for name, score in self.questions.items()
            if _is_sound(score)
        }
        return metrics | ({'questions': questions} if questions else {})

    def to_table(self):
        """
        Give the scores as a table.

        Returns
        -------
        table : `~astropy.table.QTable`
            The columns ``score``, ``value``, ``low``, ``high`` and ``n``.
        """
        rows = dict(self.scores)
        rows |= {f'rmse of {name}': score for name, score in self.questions.items()}
        table = QTable({'score': list(rows) or np.array([], 'U1')})
        for name in ('value', 'low', 'high', 'n'):
            table[name] = [getattr(score, name) for score in rows.values()]
            if name != 'n':
                table[name].info.format = '.4f'
        return table

    def baselines(self, others=None):
        """
        Score the simplest answers on the same galaxies.

        Parameters
        ----------
        others : dict of str to array-like, optional
            More answers by their names, shape (n, n_answers) or (n_answers,),
            in the terms of ``labels``: such as those that
            `~galmorph.training.evaluation.baselines.kaggle_baselines` learns
            from other galaxies.

        Returns
        -------
        errors : dict of str to dict of str to float
            Root mean square errors of each question, and of all answers under
            the names of ``scores``. 'mean' answers with the mean labels of
            these galaxies, which no other constant does better than. For
            fractions there are 'zeros' and 'ones', too.

        Raises
        ------
        ValueError
            If the labels are classes, or answers have another shape.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph import load_schema
        >>> from galmorph.training.evaluation import evaluate
        >>> from galmorph.training.data.labels import Labels
        >>> labels = Labels('fractions', np.full((3, 37), 0.25))
        >>> answers = np.full((3, 37), 0.3)
        >>> evaluation = evaluate(
        ...     answers, None, labels, schema=load_schema('gz2'), n_draws=10)
        >>> for name, errors in evaluation.baselines({'half': [0.5] * 37}).items():
        ...     print(f'{name:5} {errors["rmse37"]:.2f} {errors["spiral"]:.2f}')
        mean  0.00 0.00
        zeros 0.25 0.25
        ones  0.75 0.75
        half  0.25 0.25
        """
        if self.kind == 'classes':
            msg = 'classes have no errors; the report has the numbers of each class'
            raise ValueError(msg)
        known = np.isfinite(self.labels)
        total = np.where(known, self.labels, 0).sum(0)
        answers = {'mean': total / np.maximum(known.sum(0), 1)}
        if self.kind == 'fractions':
            answers |= {'zeros': np.zeros(len(total)), 'ones': np.ones(len(total))}
        parts = pooled_parts(self.kind, self.labels)
        if self.kind == 'attributes':
            columns = enumerate(self.schema.columns)
            parts |= {name: (slice(None), i) for i, name in columns}
        else:
            parts |= {q.name: (slice(None), q.slice) for q in self.schema.questions}
        found = {}
        for name, values in (answers | dict(others or {})).items():
            values = np.asarray(values, float)
            if values.shape not in (self.labels.shape, self.labels.shape[1:]):
                msg = (
                    f'others[{name!r}] must have the shape {self.labels.shape}, an '
                    f'answer for each label, not {values.shape}'
                )
                raise ValueError(msg)
            errors = values - self.labels
            found[name] = {key: _root_mean(errors[part]) for key, part in parts.items()}
        return found

    def roc(self):
        """
        Trace the ROC curves of the classes.

        Returns
        -------
        curves : dict of str to `~galmorph.training.evaluation.curves.RocCurve`
            Empty where there are no classes.
        """
        if self.report is None:
            return {}
        return roc_curves(
            self.class_probabilities, self.true_classes, self.report.classes
        )

    def reliability(self, question=None, *, n_bins=10):
        """
        Compare probabilities with what is observed where they are given.

        Parameters
        ----------
        question : str, optional
            The question; all by default.
        n_bins : int, optional
            Number of bins.

        Returns
        -------
        table : `~astropy.table.QTable`
            As `~galmorph.training.evaluation.curves.reliability` gives it.

        Raises
        ------
        ValueError
            If attributes were predicted, which are no probabilities.
        """
        if self.kind == 'attributes':
            msg = 'attributes are no probabilities, and have no reliability'
            raise ValueError(msg)
        part = slice(None) if question is None else self.schema.question(question).slice
        return reliability(self.answers[:, part], self.labels[:, part], n_bins=n_bins)


def evaluate(
    source,
    table,
    labels,
    *,
    schema=None,
    split=None,
    n_draws=N_DRAWS,
    seed=0,
    **options,
):
    """
    Compare predictions with labels.

    Answers to unsupported questions count too, although tables mask them.

    Parameters
    ----------
    source : `~galmorph.MorphologyClassifier`, weights, predictions or array-like
        What predicts, or has predicted, one row a galaxy: the name or the card of
        weights, a list of these; what ``classify`` returns; or an array of the
        shape (n, n_answers).
    table : `~astropy.table.Table` or None
        The images, as `~galmorph.MorphologyClassifier.classify_table` takes
        them; not needed for predictions.
    labels : `~galmorph.training.data.labels.Labels`
        What is known of each row. Rows without labels are left out.
    schema : `~galmorph.schemas.DecisionTree` or attribute schema, optional
        What an array predicts; otherwise ``source`` knows.
    split : str, optional
        What to call the galaxies.
    n_draws, seed : int, optional
        Number of bootstrap samples of the galaxies, and their seed.
    **options
        For ``classify_table``: ``image``, ``size``, ``progress_bar`` and others.

    Returns
    -------
    evaluation : `Evaluation`
        For fractions: ``rmse<k>``, pooled over the k answers that are known of
        every galaxy, and over the galaxies of which all answers are known
        (for Kaggle's labels the score of the Galaxy Challenge); the error of
        each question; scores of the finest classes that the known answers
        tell apart; the expected calibration error. For counts: the same of
        conditional fractions of at least 5 votes, with the binomial floor. For
        classes: accuracy, averages of precision, recall, F1 and of the area
        under the ROC curve, calibration error of the probability of the class.
        For attributes: error, bias and R² of each.

    Raises
    ------
    ValueError
        If numbers of rows or answers disagree, or no labelled galaxy was
        predicted.
    TypeError
        If ``source`` is a table, which lacks what is masked, or ``table`` is none.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.training.evaluation import evaluate
    >>> from galmorph.training.data.labels import Labels
    >>> labels = Labels('fractions', np.full((3, 37), 0.5))
    >>> answers = np.full((3, 37), 0.25)
    >>> evaluate(answers, None, labels, schema=load_schema('gz2')).scores['rmse37']
    Score(0.2500 [0.2500, 0.2500], n=3)
    """
    values = np.asarray(labels.values, float)
    known = np.isfinite(values).any(1)
    if labels.kind == 'counts':
        known &= np.nansum(values, 1) > 0
    schema, answers = _predict(source, table, known, schema, options)
    if values.shape[1] != schema.n_answers:
        msg = (
            f'labels has {values.shape[1]} answers, {schema.name!r}, which is '
            f'predicted, {schema.n_answers}'
        )
        raise ValueError(msg)
    is_predicted = np.isfinite(answers).all(1)
    n_failed = int((~is_predicted).sum())
    answers, rows = answers[is_predicted], np.flatnonzero(known)[is_predicted]
    if not len(answers):
        msg = f'none of the {n_failed} labelled galaxies was predicted'
        raise ValueError(msg)
    judge = Judge(schema, answers, values[rows], n_draws, seed)
    path = labels.targets[rows] if labels.kind == 'counts' else values[rows]
    found = getattr(judge, labels.kind)(path)
    return Evaluation(
        schema=schema, kind=labels.kind, n_failed=n_failed, split=split, **found
    )


def _predict(source, table, rows, schema, options):
    """Predict labelled rows: the schema, and an answer for each."""
    if isinstance(source, Table):
        msg = 'source is a table; give what classify() or classify_table() returns'
        raise TypeError(msg)
    if _are_weights(source):
        from galmorph import MorphologyClassifier

        source = MorphologyClassifier(source)
    if hasattr(source, 'classify_table'):
        if table is not None and not isinstance(table, Table):
            msg = f'table must be an astropy Table, not {type(table).__name__}'
            raise TypeError(msg)
        if table is None or len(table) != len(rows):
            n = 'none' if table is None else len(table)
            msg = f'table must have a row for each of the {len(rows)} labels, not {n}'
            raise ValueError(msg)
        if options.get('size') is not None:
            options = options | {'size': sizes_of(table, options['size'])[rows]}
        predictions = source.classify_table(table[rows], **options)
        # What a table masks, unsupported questions, is there behind the mask.
        return predictions.schema, np.asarray(predictions.values.data, float)
    if hasattr(source, 'provenance'):
        schema, answers = source.schema, np.asarray(source.values.data, float)
    elif schema is None:
        msg = 'schema is needed where source is an array'
        raise ValueError(msg)
    else:
        answers = np.asarray(source, float)
    if answers.shape != (len(rows), schema.n_answers):
        msg = (
            f'source must have the shape ({len(rows)}, {schema.n_answers}), a row a '
            f'label and a column an answer of {schema.name!r}, not {answers.shape}'
        )
        raise ValueError(msg)
    return schema, answers[rows]


def _root_mean(errors):
    known = np.isfinite(errors)
    return float(np.sqrt((errors[known] ** 2).mean())) if known.any() else np.nan


def _is_sound(score):
    return np.isfinite([score.value, score.low, score.high]).all()


def _are_weights(source):
    names = source if isinstance(source, (list, tuple)) else [source]
    return len(names) > 0 and all(
        isinstance(name, (str, os.PathLike)) for name in names
    )
