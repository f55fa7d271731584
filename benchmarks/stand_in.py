# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Weights that cost next to nothing, to measure what lies around a network.

They are of a network of the package, so that every process can load them. Their
numbers are random.
"""

import torch

from galmorph import Recipe, create_network, load_schema
from galmorph.training import save_network

__all__ = ['make_stand_in']


def make_stand_in(folder, *, output_size=32):
    """
    Write weights and their card.

    Parameters
    ----------
    folder : `~pathlib.Path`
        Where to.
    output_size : int, optional
        The side of the view that the network sees.

    Returns
    -------
    card : `~pathlib.Path`
        The card.
    """
    options = {'stem': 4, 'widths': [4, 8], 'depths': [1, 1]}
    torch.manual_seed(3)
    network = create_network(
        'compact', structure=load_schema('gz2').structure, **options
    )
    with torch.no_grad():
        # Answers that differ from galaxy to galaxy.
        network.output.weight *= 300
    return save_network(
        network,
        folder,
        'stand-in',
        architecture={'name': 'compact', 'options': options},
        schema='gz2',
        recipe=Recipe(views=(0.0,), output_size=output_size),
        precision='float32',
    )
