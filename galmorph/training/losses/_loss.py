# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What all losses share: the tree as tensors, masks, and the mean."""

import torch
from torch import nn

# Of probabilities, in logarithms and quotients; what float32 resolves near 1.
EPSILON = 1e-7
_SOURCES = ('raw', 'answers')


class Loss(nn.Module):
    """
    Base class of the losses: a weighted mean over galaxies, without NaN.

    A subclass defines ``terms(output, batch)``, the loss of each galaxy and
    what to divide their sum by, for each galaxy its part: 0 where nothing is
    known of it. One that needs no labels says in ``n_shown`` how many views of each
    galaxy it compares; they are neighbours in its batch.

    Parameters
    ----------
    schema : `~galmorph.schemas.DecisionTree` or attribute schema
        The questions, or the attributes.

    Examples
    --------
    >>> import torch
    >>> from galmorph import load_schema
    >>> from galmorph.training.losses import Loss
    >>> class LargestError(Loss):
    ...     def terms(self, output, batch):
    ...         error = output['answers'] - batch['target']
    ...         return error.abs().amax(1), torch.ones(len(error))
    >>> loss = LargestError(load_schema('gz2'))
    >>> loss({'answers': torch.zeros(2, 37)}, {'target': torch.ones(2, 37)}).item()
    1.0
    """

    n_shown = 1

    def __init__(self, schema):
        super().__init__()
        self.structure = tuple(tuple(map(int, entry)) for entry in schema.structure)
        self.n_answers = self.structure[-1][1]
        counts = torch.tensor([stop - start for start, stop, _ in self.structure])
        question = torch.arange(len(counts)).repeat_interleave(counts)
        parent = torch.tensor([parent for *_, parent in self.structure])[question]
        self.register_buffer('question', question, persistent=False)
        self.register_buffer('parent', parent, persistent=False)
        self.register_buffer('n_options', counts[question], persistent=False)
        # The span of attributes, by which errors of a T type and of a fraction
        # become comparable; 1 for probabilities.
        attributes = getattr(schema, 'attributes', None)
        span = [a.high - a.low for a in attributes] if attributes else 1.0
        span = torch.as_tensor(span).expand(self.n_answers).clone()
        self.register_buffer('span', span, persistent=False)

    def forward(self, output, batch):
        """
        Compute the loss.

        Parameters
        ----------
        output : dict of str to `torch.Tensor`
            ``answers``, shape (n, n_answers), what leaves the head, and
            ``raw``, shape (n, n_raw), what leaves the last layer before it,
            where the network tells.
        batch : dict of str to `torch.Tensor`
            The labels, NaN where unknown: ``target`` and what else the loss
            says that it takes; ``weight``, shape (n,), weights the galaxies.

        Returns
        -------
        loss : `torch.Tensor`, shape ()
            0 if no label is known.
        """
        values, norms = self.terms(output, batch)
        weight = batch.get('weight')
        if weight is not None:
            values, norms = values * weight, norms * weight
        return self.finish(values.sum() / norms.sum().clamp_min(1e-12))

    def terms(self, output, batch):
        """Loss of each galaxy, and its part of the divisor, shapes (n,)."""
        raise NotImplementedError

    def finish(self, mean):
        """Last step, after the mean over the galaxies."""
        return mean

    def answers(self, output, name='answers'):
        """Take an output in at least single precision."""
        values = output[name]
        return values if values.dtype == torch.float64 else values.float()

    def target(self, batch, name='target'):
        """Take labels, and check that there is one for each answer."""
        values = batch[name]
        if values.shape[1:] != (self.n_answers,):
            msg = (
                f'{name!r} must have the shape (n, {self.n_answers}), one label an '
                f'answer, not {tuple(values.shape)}'
            )
            raise ValueError(msg)
        return values

    def sum_questions(self, values):
        """Add the answers of each question, shape (..., n_question)."""
        shape = (*values.shape[:-1], len(self.structure))
        return values.new_zeros(shape).index_add(-1, self.question, values)

    def of_parent(self, path):
        """Take the parent's value for each answer, 1 below a root."""
        return torch.where(self.parent >= 0, path[..., self.parent], 1)

    def log_conditional(self, output, source):
        """Logarithms of the conditional probabilities, shape (n, n_answers)."""
        if source == 'raw':
            raw = self.answers(output, 'raw')
            if raw.shape[1] != self.n_answers:
                msg = (
                    f"source='raw' takes one raw output an answer, {self.n_answers}, "
                    f"not {raw.shape[1]}; take source='answers'"
                )
                raise ValueError(msg)
            parts = [raw[:, a:b].log_softmax(1) for a, b, _ in self.structure]
            return torch.cat(parts, 1)
        path = self.answers(output)
        share = (path + EPSILON) / (self.of_parent(path) + EPSILON)
        # Answers that know no tree may exceed their parent.
        return share.clamp_max(1).log()


def check_source(source):
    """Check where a loss takes its probabilities from."""
    if source not in _SOURCES:
        msg = f"source must be 'raw' or 'answers', not {source!r}"
        raise ValueError(msg)
    return source


def only_known(known, values):
    """Put zeros where a label is unknown, without a gradient."""
    return torch.where(known, values, 0)
