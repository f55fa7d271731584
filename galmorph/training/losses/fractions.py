# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Losses of vote fractions and of classes, unknown labels masked."""

import torch

from galmorph.training.losses._loss import Loss, check_source, only_known

__all__ = [
    'CensoredLoss',
    'CrossEntropyLoss',
    'DistillationLoss',
    'QuestionLoss',
    'SquaredLoss',
]


class SquaredLoss(Loss):
    """
    Mean squared error over all known answers of a batch.

    Over Kaggle's labels this is the square of the Galaxy Challenge's score.
    Errors of attributes are divided by the span of the attribute.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree` or attribute schema
        The questions, or the attributes.
    root : bool, optional
        Take the square root of the mean.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses import SquaredLoss
    >>> target = torch.full((1, 37), torch.nan)
    >>> target[0, :2] = torch.tensor([0.5, 0.25])
    >>> output = {'answers': torch.zeros(1, 37)}
    >>> SquaredLoss(load_schema('gz2'))(output, {'target': target}).item()
    0.15625
    """

    def __init__(self, schema, *, root=False):
        super().__init__(schema)
        self.root = root

    def terms(self, output, batch):
        """Sum of squares, and number of known answers."""
        target = self.target(batch)
        known = torch.isfinite(target)
        error = (self.answers(output) - target.nan_to_num()) / self.span
        return only_known(known, error).square().sum(1), known.sum(1).float()

    def finish(self, mean):
        """Take the root, if asked for."""
        # The slope of a root is infinite at 0.
        return (mean + 1e-12).sqrt() if self.root else mean


class CensoredLoss(Loss):
    """
    Squared error of known answers, and a censored likelihood of bounded ones.

    A class that was cut from votes says that some path probabilities exceed
    thresholds. With Gaussian errors of width ``sigma`` around known values,
    exceeding a threshold costs -2 sigma² ln Φ((p - threshold) / sigma).

    It takes ``bound``, shape (n, n_answers), NaN where there is none. The sum
    is divided by the number of all answers, so that a galaxy of which more is
    known has more to say.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.
    sigma : float, optional
        The width, of a probability.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses import CensoredLoss
    >>> unknown, bound = torch.full((2, 1, 37), torch.nan)
    >>> bound[0, 5] = 0.5
    >>> batch = {'target': unknown, 'bound': bound}
    >>> loss = CensoredLoss(load_schema('gz2'))
    >>> [round(37 * loss({'answers': torch.full((1, 37), p)}, batch).item(), 4)
    ...  for p in (0.3, 0.5, 0.7)]
    [0.0757, 0.0139, 0.0005]
    """

    def __init__(self, schema, *, sigma=0.1):
        super().__init__(schema)
        self.sigma = sigma

    def terms(self, output, batch):
        """Sum over the answers, and number of all answers."""
        path, target = self.answers(output), self.target(batch)
        known = torch.isfinite(target)
        loss = only_known(known, path - target.nan_to_num()).square()
        if batch.get('bound') is not None:
            bound = self.target(batch, 'bound')
            bounded = torch.isfinite(bound)
            score = torch.where(bounded, (path - bound.nan_to_num()) / self.sigma, 10)
            censored = -2 * self.sigma**2 * torch.special.log_ndtr(score)
            loss = loss + only_known(bounded, censored)
            known = known | bounded
        return loss.sum(1), known.any(1) * float(self.n_answers)


class CrossEntropyLoss(Loss):
    """
    Cross-entropy of one question, of classes or of fractions as soft labels.

    ``target`` has the shape (n, n_answers), fractions of which each row sums
    to 1, or NaN; or (n,), the index of a class, and -1 where it is unknown.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.
    question : str, optional
        Which to take; it can be left out where there is only one.
    label_smoothing : float, optional
        The part of a label that is spread over all answers.
    class_weights : sequence of float, optional
        A weight for each answer of the question.
    source : {'raw', 'answers'}, optional
        Take the softmax of the raw outputs, or the answers of any head.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses import CrossEntropyLoss
    >>> loss = CrossEntropyLoss(load_schema('gz2'), question='smooth_or_features')
    >>> output = {'raw': torch.zeros(2, 37)}
    >>> round(loss(output, {'target': torch.tensor([1, -1])}).item(), 4)
    1.0986
    """

    def __init__(
        self,
        schema,
        *,
        question=None,
        label_smoothing=0.0,
        class_weights=None,
        source='raw',
    ):
        super().__init__(schema)
        names = [q.name for q in schema.questions]
        if question is None and len(names) > 1:
            msg = (
                f"{schema.name!r} has {len(names)} questions: name one as 'question', "
                "or take the loss 'question', which covers them all"
            )
            raise ValueError(msg)
        question = names[0] if question is None else question
        self.slice = schema.question(question).slice
        self.label_smoothing = label_smoothing
        self.source = check_source(source)
        n_class = self.slice.stop - self.slice.start
        weights = [1.0] * n_class if class_weights is None else list(class_weights)
        if len(weights) != n_class:
            msg = (
                f'class_weights must have {n_class} values, one an answer of '
                f'{question!r}, not {len(weights)}'
            )
            raise ValueError(msg)
        self.register_buffer('class_weights', torch.tensor(weights), persistent=False)

    def terms(self, output, batch):
        """Cross-entropy, and weight of the class."""
        log_p = self.log_conditional(output, self.source)[:, self.slice]
        target = batch['target']
        if target.ndim == 1:
            known = target >= 0
            target = torch.nn.functional.one_hot(
                target.clamp_min(0).long(), log_p.shape[1]
            )
        else:
            target = self.target(batch)[:, self.slice]
            known = torch.isfinite(target).all(1)
        target = only_known(known[:, None], target.to(log_p))
        # Path fractions of a question that few were asked sum to less than 1.
        even = target.sum(1, keepdim=True) / log_p.shape[1]
        smoothed = torch.lerp(target, even, self.label_smoothing)
        values = -(smoothed * self.class_weights * log_p).sum(1)
        return only_known(known, values), known * (target * self.class_weights).sum(1)


class QuestionLoss(Loss):
    """
    Cross-entropy of every question, weighted by how probably it is asked.

    ``target`` holds path probabilities. Each question is a softmax over its
    answers; its cross-entropy with the conditional fractions is weighted by
    the path fraction of the parent answer, so a question that was never asked
    drops out.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.
    source : {'raw', 'answers'}, optional
        Take the softmax of the raw outputs, or the answers of any head.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses import QuestionLoss
    >>> target = torch.full((1, 37), torch.nan)
    >>> target[0, :5] = torch.tensor([0.5, 0.5, 0, 0.25, 0.25])
    >>> loss = QuestionLoss(load_schema('gz2'))
    >>> value = loss({'raw': torch.zeros(1, 37)}, {'target': target})
    >>> round(value.item(), 4)  # ln 3 + 0.5 ln 2
    1.4452
    """

    def __init__(self, schema, *, source='raw'):
        super().__init__(schema)
        self.source = check_source(source)

    def terms(self, output, batch):
        """Sum over the questions, and whether any is known."""
        log_p = self.log_conditional(output, self.source)
        target, known = self.known_questions(batch)
        return -(target * log_p).sum(1), known.any(1).float()

    def known_questions(self, batch):
        """Zero the questions of which an answer is unknown."""
        target = self.target(batch)
        unknown = self.sum_questions((~torch.isfinite(target)).float())
        known = (unknown == 0)[:, self.question]
        return only_known(known, target), known


class DistillationLoss(QuestionLoss):
    """
    A teacher's answers as labels: squared error and divergence together.

    ``target`` holds the teacher's path probabilities. The divergence is that
    of Kullback and Leibler, of every question, weighted by the path
    probability that the teacher gives its parent; with one question it is the
    divergence of the classes.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.
    squared, divergence : float, optional
        How much of each: of the squared error, a mean over the answers, and
        of the divergence, a sum over the questions in nats.
    source : {'raw', 'answers'}, optional
        What the divergence takes: the softmax of the raw outputs, or the
        answers of any head.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses import DistillationLoss
    >>> tree = load_schema('gz2')
    >>> teacher = torch.tensor(tree.to_path([1 / len(q.answers)
    ...                                      for q in tree.questions
    ...                                      for _ in q.answers]))[None]
    >>> loss = DistillationLoss(tree)
    >>> abs(round(loss({'answers': teacher}, {'target': teacher}).item(), 6))
    0.0
    """

    def __init__(self, schema, *, squared=1.0, divergence=0.1, source='answers'):
        super().__init__(schema, source=source)
        self.squared = squared
        self.divergence = divergence

    def terms(self, output, batch):
        """Both parts together, and whether any question is known."""
        target, known = self.known_questions(batch)
        n_known = known.sum(1).clamp_min(1)
        error = only_known(known, self.answers(output) - target).square().sum(1)
        log_p = self.log_conditional(output, self.source)
        share = target / self.of_parent(target).clamp_min(1e-12)
        nats = (torch.special.xlogy(target, share) - target * log_p).sum(1)
        values = self.squared * error / n_known + self.divergence * nats
        return values, known.any(1).float()
