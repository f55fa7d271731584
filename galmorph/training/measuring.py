# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Measuring what was trained on the galaxies of the validation."""

import dataclasses
import logging

import numpy as np
import yaml

from galmorph.files import write_atomically
from galmorph.training.data.seen import trained_on
from galmorph.training.parts import TestTime
from galmorph.weights import load_card

__all__ = ['measure', 'measure_mean']

logger = logging.getLogger(__name__)


def measure(card, datamodule, task, test=None, *, device=None):
    """
    Measure weights on the validation galaxies, and write that into their card.

    Parameters
    ----------
    card : path-like
        The card, which is replaced.
    datamodule : `~galmorph.training.data.datamodule.GalaxyZooDataModule`
        The data.
    task : str
        The task that they answer.
    test : `~galmorph.training.parts.TestTime`, optional
        Over what to average; nothing by default.
    device : str, optional
        As `~galmorph.MorphologyClassifier` takes it.

    Returns
    -------
    evaluation : `~galmorph.training.evaluation.Evaluation` or None
        The scores; `None` if there are no such galaxies.

    Examples
    --------
    The last step of `~galmorph.training.fit.fit`:

    >>> from galmorph.training.measuring import measure
    >>> measure('lost.yaml', None, 'gz2')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.WeightsError: weights card 'lost.yaml': no such file
    """
    described, test = load_card(card), test or TestTime()
    evaluation = _evaluate([card], datamodule, task, test, device)
    if evaluation is not None:
        metrics = evaluation.to_dict() | test.to_dict()
        dataclasses.replace(described, metrics=metrics).to_file(card)
    return evaluation


def _evaluate(cards, datamodule, task, test, device):
    """Score the mean of weights where none of them was trained, if anywhere."""
    from galmorph import MorphologyClassifier
    from galmorph.training.evaluation import evaluate

    table, labels = datamodule.labelled(task, 'valid')
    # The members of an ensemble may have splits of their own.
    is_new = ~np.any([trained_on(card, table['image']) for card in cards], axis=0)
    if not is_new.any():
        return None
    table, labels = table[is_new], labels[is_new]
    if not np.isfinite(labels.values).any():
        # Bounds alone are nothing to measure by.
        return None
    size = 'size' if 'size' in table.colnames else None
    classifier = MorphologyClassifier(
        cards, device, n_transforms=test.n_transforms, zooms=test.zooms
    )
    return evaluate(classifier, table, labels, split='valid', size=size)


def measure_mean(recipe, members, folder, datamodule, *, device=None):
    """
    Measure the mean of an ensemble, and write that into ``ensemble.yaml``.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        That of the ensemble.
    members : sequence of `~galmorph.training.fit.TrainingResult`
        What the members left.
    folder : `~pathlib.Path`
        The folder of the ensemble, which those of the members are in.
    datamodule : `~galmorph.training.data.datamodule.GalaxyZooDataModule`
        The data.
    device : str, optional
        As `~galmorph.MorphologyClassifier` takes it.

    Returns
    -------
    scores : dict of str to dict
        By task, the ``metrics`` of a card. A task is left out if some member
        was trained on each of the galaxies.

    Examples
    --------
    Without weights there is nothing to measure:

    >>> from pathlib import Path
    >>> from galmorph.training.fit import TrainingResult
    >>> from galmorph.training.measuring import measure_mean
    >>> from galmorph.training.recipe import load_recipe
    >>> recipe = load_recipe('dieleman_2015_ensemble')
    >>> member = TrainingResult(
    ...     card=None, cards={}, metrics={}, folder=Path(), n_steps=1)
    >>> measure_mean(recipe, [member], Path(), None)
    {}
    """
    scores, written = {}, {}
    # Members may have tasks of their own.
    tasks = recipe.member(0).tasks
    for task in members[0].cards:
        if not tasks[task].needs_labels:
            continue
        cards = [member.cards[task] for member in members if task in member.cards]
        evaluation = _evaluate(cards, datamodule, task, recipe.test, device)
        if evaluation is None:
            logger.warning(
                'the mean of the members is not measured for the task %r: there is '
                'no validation galaxy that none of them was trained on',
                task,
            )
            continue
        scores[task] = evaluation.to_dict() | recipe.test.to_dict()
        names = [card.relative_to(folder).as_posix() for card in cards]
        written[task] = {'weights': names, 'metrics': scores[task]}
    if written:
        text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True)
        write_atomically(folder / 'ensemble.yaml', text.encode())
    return scores
