# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Heads: from the raw outputs of a trunk to the probabilities of a tree."""

from galmorph.networks._tree import TreeHead
from galmorph.networks.values import IntervalHead, RegressionHead

__all__ = [
    'ClippedHead',
    'DirichletTreeHead',
    'DivisiveTreeHead',
    'SigmoidHead',
    'SoftmaxTreeHead',
    'create_head',
    'list_heads',
]


class DivisiveTreeHead(TreeHead):
    """
    Rectify, normalise a question at a time, multiply through the tree.

    The output layer of Dieleman et al. (2015, MNRAS 450, 1441, section 5.5):
    negative outputs become 0, those of a question are divided by their sum,
    and the result is multiplied by the path probability of the parent
    answer. A question whose outputs are all negative gives zeros.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        For each question the first answer, one past the last, and the parent
        answer or -1, as in `~galmorph.schemas.DecisionTree.structure`.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.heads import DivisiveTreeHead
    >>> head = DivisiveTreeHead([(0, 2, -1), (2, 4, 1)])
    >>> head(torch.tensor([[1.0, 3.0, 2.0, -1.0]])).tolist()
    [[0.25, 0.75, 0.75, 0.0]]
    """

    # Keeps 0 / 0 at 0; the value of the authors' code.
    epsilon = 1e-12
    # Outputs that begin below 0 have no gradient.
    initial_bias = 0.1

    def forward(self, raw):
        """
        Apply the head.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        path : `torch.Tensor`, shape (n, n_answers)
            Path probabilities.
        """
        positive = raw.relu()
        conditional = []
        for start, stop, _ in self.structure:
            question = positive[:, start:stop]
            total = question.sum(1, keepdim=True) + self.epsilon
            conditional.append(question / total)
        return self.multiply(conditional)


class SoftmaxTreeHead(TreeHead):
    """
    Take the softmax of each question, multiply through the tree.

    Of a tree with one question this is the softmax of a classifier.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        As in `DivisiveTreeHead`.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.heads import SoftmaxTreeHead
    >>> head = SoftmaxTreeHead([(0, 2, -1), (2, 4, 1)])
    >>> head(torch.zeros(1, 4)).tolist()
    [[0.5, 0.5, 0.25, 0.25]]
    """

    def forward(self, raw):
        """
        Apply the head.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            Logits.

        Returns
        -------
        path : `torch.Tensor`, shape (n, n_answers)
            Path probabilities, which obey the tree exactly.
        """
        return self.multiply([raw[:, a:b].softmax(1) for a, b, _ in self.structure])


class SigmoidHead(TreeHead):
    """
    Give each answer a probability of its own, between 0 and 1.

    Nothing makes the answers of a question sum to that of their parent: the
    outputs of Castillo et al. (2018) for Galaxy Zoo 2, and, for boxes that
    do not exclude each other, of Ignat et al. (2016).

    Parameters
    ----------
    structure : sequence of (int, int, int)
        As in `DivisiveTreeHead`; only the number of answers counts.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.heads import SigmoidHead
    >>> SigmoidHead([(0, 2, -1)])(torch.zeros(1, 2)).tolist()
    [[0.5, 0.5]]
    """

    def forward(self, raw):
        """
        Apply the head.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            Logits.

        Returns
        -------
        path : `torch.Tensor`, shape (n, n_answers)
            Probabilities.
        """
        return raw.sigmoid()


class ClippedHead(TreeHead):
    """
    Cut each output at 0 and 1, as Roberts (2019) does.

    Beyond the cuts the gradient is 0. Nothing makes the answers obey the
    tree.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        As in `DivisiveTreeHead`; only the number of answers counts.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.heads import ClippedHead
    >>> ClippedHead([(0, 3, -1)])(torch.tensor([[-1.0, 0.25, 2.0]])).tolist()
    [[0.0, 0.25, 1.0]]
    """

    initial_bias = 0.1

    def forward(self, raw):
        """
        Apply the head.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        path : `torch.Tensor`, shape (n, n_answers)
            Numbers in [0, 1].
        """
        return raw.clamp(0, 1)


class DirichletTreeHead(TreeHead):
    """
    Give each question a Dirichlet distribution over its answers.

    The concentrations 1 + 100 × sigmoid, between 1 and 101, are those of
    Walmsley et al. (2022, MNRAS 509, 3966). The larger their sum the surer
    the network is of its fractions.

    Parameters
    ----------
    structure : sequence of (int, int, int)
        As in `DivisiveTreeHead`.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.heads import DirichletTreeHead
    >>> head = DirichletTreeHead([(0, 2, -1)])
    >>> raw = torch.zeros(1, 2)
    >>> head.concentrations(raw).tolist(), head(raw).tolist()
    ([[51.0, 51.0]], [[0.5, 0.5]])
    """

    lowest, largest_rise = 1.0, 100.0

    def concentrations(self, raw):
        """
        Compute the concentrations.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        concentrations : `torch.Tensor`, shape (n, n_answers)
            Between 1 and 101.
        """
        return self.lowest + self.largest_rise * raw.sigmoid()

    def forward(self, raw):
        """
        Compute the mean of the path probabilities.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        path : `torch.Tensor`, shape (n, n_answers)
            The means of the questions, multiplied through the tree.
        """
        return self.multiply([mean for mean, _ in self._moments(raw)])

    def spread(self, raw):
        """
        Compute the standard deviation of the path probabilities.

        The distributions of the questions are independent, so second moments
        multiply through the tree as means do.

        Parameters
        ----------
        raw : `torch.Tensor`, shape (n, n_answers)
            The outputs of the last dense layer.

        Returns
        -------
        spread : `torch.Tensor`, shape (n, n_answers)
            Standard deviations.
        """
        moments = self._moments(raw)
        mean = self.multiply([first for first, _ in moments])
        square = self.multiply([second for _, second in moments])
        return (square - mean.square()).clamp(min=0).sqrt()

    def _moments(self, raw):
        """First and second moment of the conditional probabilities."""
        concentrations = self.concentrations(raw)
        moments = []
        for start, stop, _ in self.structure:
            question = concentrations[:, start:stop]
            total = question.sum(1, keepdim=True)
            mean = question / total
            moments.append((mean, mean * (question + 1) / (total + 1)))
        return moments


_HEADS = {
    'clipped': ClippedHead,
    'dirichlet': DirichletTreeHead,
    'divisive': DivisiveTreeHead,
    'interval': IntervalHead,
    'regression': RegressionHead,
    'sigmoid': SigmoidHead,
    'softmax': SoftmaxTreeHead,
}


def list_heads():
    """
    List the heads that can be created by name.

    Returns
    -------
    names : list of str
        The names.

    Examples
    --------
    >>> from galmorph.networks.heads import list_heads
    >>> list_heads()
    ['clipped', 'dirichlet', 'divisive', 'interval', 'regression', 'sigmoid', 'softmax']
    """
    return sorted(_HEADS)


def create_head(name, structure, **options):
    """
    Make a head.

    Parameters
    ----------
    name : str
        One of `list_heads`.
    structure : sequence of (int, int, int)
        The answers, as in `~galmorph.schemas.DecisionTree.structure`.
    **options
        What the head takes besides.

    Returns
    -------
    head : `torch.nn.Module`
        From raw outputs, shape (n, ``head.n_raw``), to answers, shape
        (n, ``head.n_answers``). Heads that know how sure they are have a
        method ``spread``, from raw outputs to standard deviations.

    Raises
    ------
    ValueError
        If there is no head of that name.

    Examples
    --------
    >>> from galmorph.networks.heads import create_head
    >>> head = create_head('interval', [(0, 1, -1), (1, 2, -1)])
    >>> head.n_raw, head.n_answers
    (4, 2)
    """
    if name not in _HEADS:
        msg = f'there is no head {name!r}; choose from {list_heads()}'
        raise ValueError(msg)
    return _HEADS[name](structure, **options)
