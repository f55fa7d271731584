# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Beginning a training from weights that are there."""

import fnmatch

from galmorph.exceptions import RecipeError
from galmorph.weights import load_card, load_weights, weights_path

__all__ = ['initialise']


def initialise(module, weights):
    """
    Begin from weights that are there.

    Parameters
    ----------
    module : `~galmorph.training.module.MorphologyModule`
        Its networks are changed in place.
    weights : str, path-like or dict
        Weights, or the path of a card: for the networks of all tasks, or by
        the name of the task.

    Returns
    -------
    n_taken, n_new : int
        How many weight arrays were taken, and how many begin anew: those of
        another name or shape, the output layers for other questions, and what
        the recipe calls ``anew``.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If none fits, or ``anew`` names weights that the network has not.

    Examples
    --------
    >>> from galmorph.training.initialising import initialise
    >>> from galmorph.training.finetuning import finetuning_recipe
    >>> from galmorph.training.module import MorphologyModule
    >>> recipe = finetuning_recipe('dieleman.gz2', 'mine.csv', schema='zhu5')
    >>> initialise(MorphologyModule(recipe), 'dieleman.gz2')
    (12, 2)
    """
    if not isinstance(weights, dict):
        weights = dict.fromkeys(module.networks, weights)
    cards = {source: load_card(source) for source in set(weights.values())}
    states = {
        source: load_weights(weights_path(card), card.sha256)
        for source, card in cards.items()
    }
    n_taken = n_new = 0
    last = ('output.', 'head.')
    anew = module.recipe.anew
    known = {name for own in module.networks.values() for name in own.state_dict()}
    for pattern in anew:
        if not fnmatch.filter(known, pattern):
            msg = f"'anew' names {pattern!r}, and the network has no such weights"
            raise RecipeError(msg)
    for task, network in module.networks.items():
        if task not in weights:
            continue
        card, state = cards[weights[task]], states[weights[task]]
        is_same = module.recipe.tasks[task].schema == card.schema
        own = network.state_dict()
        fitting = {
            name: tensor
            for name, tensor in state.items()
            if name in own
            and own[name].shape == tensor.shape
            and (is_same or not name.startswith(last))
            and not any(fnmatch.fnmatchcase(name, pattern) for pattern in anew)
        }
        if all(name.startswith(last) for name in fitting):
            fitting = {}
        network.load_state_dict(fitting, strict=False)
        n_taken += len(fitting)
        n_new += len(own) - len(fitting)
    if not n_taken:
        known = ', '.join(
            f'{card.name!r}, of the network {card.network["name"]!r}'
            for card in cards.values()
        )
        msg = (
            f"'initialise': none of the weights {known}, fit "
            f'{module.recipe.network.name!r}; take the network and the options of '
            'their card'
        )
        raise RecipeError(msg)
    return n_taken, n_new
