# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Likelihoods of vote counts, and of values that come with an interval."""

import torch

from galmorph.training.losses._loss import EPSILON, Loss, check_source, only_known

__all__ = ['BinomialLoss', 'DirichletLoss', 'IntervalLoss', 'MultinomialLoss']


class _CountLoss(Loss):
    """Takes counts from ``counts``, or else from ``target``."""

    def counts(self, batch):
        """Counts of answers and questions, and which questions are known."""
        name = 'target' if batch.get('counts') is None else 'counts'
        counts = self.target(batch, name)
        unknown = self.sum_questions((~torch.isfinite(counts)).float())
        known = unknown == 0
        counts = only_known(known[:, self.question], counts)
        if counts.dtype != torch.float64:
            counts = counts.float()
        return counts, self.sum_questions(counts), known.any(1).float()


class BinomialLoss(_CountLoss):
    """
    Negative log-likelihood of counts, each answer against all others.

    It takes ``counts``, or ``target``, shape (n, n_answers): how many
    volunteers gave each answer, NaN where that is unknown. Those who gave an
    answer, of all who were asked the question, follow a binomial distribution
    of its conditional probability. Of a question with two answers only the
    first is taken, since it tells the second. Sums over the questions.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.
    source : {'raw', 'answers'}, optional
        Take the softmax of the raw outputs, or the answers of any head.

    Examples
    --------
    Three of four see a bar, where the network says one half:

    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses.likelihoods import BinomialLoss
    >>> tree = load_schema('gz2')
    >>> counts = torch.zeros(1, 37)
    >>> counts[0, tree.question('bar').slice] = torch.tensor([3.0, 1.0])
    >>> loss = BinomialLoss(tree, source='raw')
    >>> round(loss({'raw': torch.zeros(1, 37)}, {'counts': counts}).item(), 4)
    1.3863
    """

    def __init__(self, schema, *, source='answers'):
        super().__init__(schema)
        self.source = check_source(source)
        last = torch.tensor([stop - 1 for _, stop, _ in self.structure])
        is_told = torch.isin(torch.arange(self.n_answers), last) & (self.n_options == 2)
        self.register_buffer('is_counted', ~is_told, persistent=False)

    def terms(self, output, batch):
        """Sum over the answers, and whether any is known."""
        k, total, known = self.counts(batch)
        n = total[:, self.question]
        p = self.log_conditional(output, self.source).exp().clamp(EPSILON, 1 - EPSILON)
        log_choices = (
            torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
        )
        log_likelihood = log_choices + k * p.log() + (n - k) * torch.log1p(-p)
        return -(log_likelihood * self.is_counted).sum(1), known


class MultinomialLoss(_CountLoss):
    """
    Negative log-likelihood of counts, all answers of a question together.

    It takes ``counts``, or ``target``, as `BinomialLoss` does. Sums over the
    questions; one that nobody was asked costs nothing.

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
    >>> from galmorph.training.losses.likelihoods import MultinomialLoss
    >>> counts = torch.zeros(1, 37)
    >>> counts[0, :3] = torch.tensor([2.0, 1.0, 0.0])
    >>> loss = MultinomialLoss(load_schema('gz2'), source='raw')
    >>> value = loss({'raw': torch.zeros(1, 37)}, {'counts': counts})
    >>> round(value.item(), 4)  # 3 orders of 1 in 27: ln 9
    2.1972
    """

    def __init__(self, schema, *, source='answers'):
        super().__init__(schema)
        self.source = check_source(source)

    def terms(self, output, batch):
        """Sum over the questions, and whether any is known."""
        k, total, known = self.counts(batch)
        log_p = self.log_conditional(output, self.source)
        log_likelihood = torch.lgamma(total + 1).sum(1)
        log_likelihood = log_likelihood + (k * log_p - torch.lgamma(k + 1)).sum(1)
        return -log_likelihood, known


class DirichletLoss(_CountLoss):
    """
    Negative log-likelihood of counts whose probabilities are uncertain.

    The fractions of a question follow a Dirichlet distribution, so its counts
    follow a Dirichlet-multinomial one (as in Walmsley et al. 2022, MNRAS 509,
    3966). It takes ``counts``, or ``target``, as `BinomialLoss` does, and of
    the output ``concentrations``, shape (n, n_answers), those of
    `~galmorph.networks.heads.DirichletTreeHead`. Sums over the questions.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree`
        The questions.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses.likelihoods import DirichletLoss
    >>> concentrations, counts = torch.ones(1, 37), torch.zeros(1, 37)
    >>> concentrations[0, :3] = torch.tensor([2.0, 1.0, 1.0])
    >>> counts[0, :3] = torch.tensor([3.0, 1.0, 0.0])
    >>> loss = DirichletLoss(load_schema('gz2'))
    >>> value = loss({'concentrations': concentrations}, {'counts': counts})
    >>> round(value.item(), 6)
    2.169054
    """

    def terms(self, output, batch):
        """Sum over the questions, and whether any is known."""
        k, total, known = self.counts(batch)
        alpha = self.answers(output, 'concentrations')
        sums = self.sum_questions(alpha)
        log_likelihood = (
            torch.lgamma(sums) + torch.lgamma(total + 1) - torch.lgamma(total + sums)
        ).sum(1)
        log_likelihood = log_likelihood + (
            torch.lgamma(k + alpha) - torch.lgamma(alpha) - torch.lgamma(k + 1)
        ).sum(1)
        return -log_likelihood, known


class IntervalLoss(Loss):
    """
    Negative log-likelihood of values whose interval is known.

    A label is a value ``target`` between ``low`` and ``high``, all of shape
    (n, n_answers). Its error is Gaussian, with the width of the interval on
    the side where the prediction lies; a value without interval is exact. If
    the output has ``spread``, the standard deviation that the network claims,
    the variances add, and a spread too large costs as one too small does.
    Everything is in units of the span of the attribute. Means over the known
    attributes.

    Parameters
    ----------
    schema : attribute schema
        The attributes.
    floor : float, optional
        What no label is better than, in units of the span. Labels in steps of
        a quarter are uncertain by 0.25 / √12 at least.

    Examples
    --------
    An error of one and a half half-intervals costs 1.5² / 2:

    >>> import torch
    >>> from types import SimpleNamespace
    >>> from galmorph.training.losses.likelihoods import IntervalLoss
    >>> attributes = [SimpleNamespace(low=0.0, high=1.0)]
    >>> schema = SimpleNamespace(structure=((0, 1, -1),), attributes=attributes)
    >>> batch = {'target': torch.tensor([[0.5]]), 'low': torch.tensor([[0.3]]),
    ...          'high': torch.tensor([[0.9]])}
    >>> loss = IntervalLoss(schema, floor=0.0)
    >>> round(loss({'answers': torch.tensor([[0.2]])}, batch).item(), 4)
    1.125
    """

    def __init__(self, schema, *, floor=0.07):
        super().__init__(schema)
        self.floor = floor

    def terms(self, output, batch):
        """Sum over the known attributes, and their number."""
        value, target = self.answers(output), self.target(batch)
        known = torch.isfinite(target)
        target = target.nan_to_num()
        below = self._width(batch, 'low', target)
        above = self._width(batch, 'high', target)
        error = (value - target) / self.span
        width = torch.where(error > 0, above, below)
        if output.get('spread') is None:
            loss = 0.5 * error.square() / width.square().clamp_min(1e-12)
        else:
            spread = (self.answers(output, 'spread') / self.span).square() + 1e-12
            # The normalisation of a Gaussian of two halves has their mean width.
            norm = spread + ((below + above) / 2).square()
            loss = 0.5 * error.square() / (spread + width.square()) + 0.5 * norm.log()
        return only_known(known, loss).sum(1), known.sum(1).float()

    def _width(self, batch, side, target):
        """Distance of a limit of the interval, in units of the span."""
        if batch.get(side) is None:
            width = torch.zeros_like(target)
        else:
            width = (self.target(batch, side) - target).abs().nan_to_num() / self.span
        return width.clamp_min(self.floor)
