# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The losses that can be asked for by name."""

import difflib
import inspect

from galmorph.schemas import load_schema
from galmorph.training.losses.fractions import (
    CensoredLoss,
    CrossEntropyLoss,
    DistillationLoss,
    QuestionLoss,
    SquaredLoss,
)
from galmorph.training.losses.likelihoods import (
    BinomialLoss,
    DirichletLoss,
    IntervalLoss,
    MultinomialLoss,
)
from galmorph.training.losses.views import VICRegLoss

__all__ = ['count_views', 'create_loss', 'list_losses']

_LOSSES = {
    'mse': SquaredLoss,
    'rmse': SquaredLoss,
    'censored': CensoredLoss,
    'cross_entropy': CrossEntropyLoss,
    'question': QuestionLoss,
    'binomial': BinomialLoss,
    'multinomial': MultinomialLoss,
    'dirichlet': DirichletLoss,
    'interval': IntervalLoss,
    'distillation': DistillationLoss,
    'vicreg': VICRegLoss,
}


def list_losses():
    """
    List the losses that can be created by name.

    Returns
    -------
    names : list of str
        The names.

    Examples
    --------
    >>> from galmorph.training.losses import list_losses
    >>> list_losses()[:3]
    ['mse', 'rmse', 'censored']
    """
    return list(_LOSSES)


def count_views(name):
    """
    Count the views of each galaxy that a loss takes.

    Parameters
    ----------
    name : str
        One of `list_losses`; others are taken to need one.

    Returns
    -------
    n_shown : int
        1 of losses that compare with labels. Two, which it compares with each
        other, of one that needs no labels.

    Examples
    --------
    >>> from galmorph.training.losses import count_views
    >>> count_views('mse'), count_views('vicreg')
    (1, 2)
    """
    return getattr(_LOSSES.get(name), 'n_shown', 1)


def create_loss(name, schema, **options):
    """
    Create a loss by its name.

    Parameters
    ----------
    name : str
        One of `list_losses`: of fractions 'mse', 'rmse', 'censored',
        'question' and 'distillation'; of classes 'cross_entropy'; of counts
        'binomial', 'multinomial' and 'dirichlet'; of attributes 'mse',
        'rmse' and 'interval'; and 'vicreg', of two views without labels.
    schema : `~galmorph.schemas.DecisionTree`, attribute schema or str
        The questions or attributes, or the name of a schema.
    **options
        What the loss takes.

    Returns
    -------
    loss : `torch.nn.Module`
        Called as ``loss(output, batch)``, it gives a scalar.

    Raises
    ------
    ValueError
        If there is no loss of this name, or it has no such option.

    Examples
    --------
    >>> import torch
    >>> from galmorph.training.losses import create_loss
    >>> loss = create_loss('rmse', 'gz2')
    >>> output = {'answers': torch.zeros(2, 37)}
    >>> round(loss(output, {'target': torch.full((2, 37), 0.25)}).item(), 6)
    0.25
    """
    if name not in _LOSSES:
        near = difflib.get_close_matches(str(name), _LOSSES, n=1)
        hint = f'did you mean {near[0]!r}?' if near else f'known are {list(_LOSSES)}'
        msg = f'unknown loss {name!r}; {hint}'
        raise ValueError(msg)
    kind = _LOSSES[name]
    known = [
        option
        for option in list(inspect.signature(kind).parameters)[1:]
        if option != 'root'
    ]
    unknown = sorted(set(options) - set(known))
    if unknown:
        takes = f'it takes {known}' if known else 'it takes none'
        msg = f'the loss {name!r} has no option {unknown[0]!r}; {takes}'
        raise ValueError(msg)
    if name == 'rmse':
        options['root'] = True
    return kind(load_schema(schema) if isinstance(schema, str) else schema, **options)
