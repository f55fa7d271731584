# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The seventeen networks whose mean won the Galaxy Challenge."""

__all__ = ['dieleman_ensemble']

_LARGE_FIRST = [[8, 32], [4, 64], [3, 128], [3, 128]]


def _filters_of_last(number):
    return [[6, 32], [5, 64], [3, 128], [3, number]]


# The names of the authors' code. Those that end in "dup" repeat another.
_ENSEMBLE = {
    'extradense': {},
    'extradense_dup3': {},
    'extradense_pysex': {},
    'extradense_pysexgen1_dup': {},
    'extradense_pysexgen1_dup2': {},
    'extradense_big256': {'filters': _filters_of_last(256)},
    'normconstraint': {},
    'maxout2048': {'dense': [4096]},
    'maxout2048_pysex': {'dense': [4096]},
    '8433n_maxout2048': {'filters': _LARGE_FIRST, 'dense': [4096]},
    '8433n_maxout2048_pysex': {'filters': _LARGE_FIRST, 'dense': [4096]},
    '8433n_maxout2048_extradense': {'filters': _LARGE_FIRST},
    '8433n_maxout2048_extradense_pysex': {'filters': _LARGE_FIRST},
    'bigger': {
        'filters': _filters_of_last(192),
        'dense': [4096],
        'activation': 'relu',
    },
    'pysex': {'dense': [4096], 'activation': 'relu'},
    'shareddense': {'shared': 512, 'dense': [4096]},
    'shareddense512': {'shared': 1024, 'dense': [4096]},
}


def dieleman_ensemble():
    """
    List the members of the ensemble of Dieleman et al. (2015).

    Their answers are averaged with equal weights, and so stay consistent
    with the tree. Members with 'pysex' in their name see images that are
    recentred and rescaled to the galaxy that SExtractor finds, which here is
    the business of the recipe and of ``size=``. 'normconstraint' applies
    `~galmorph.networks.layers.constrain_norms` to its ``dense`` layers after
    every tenth update, limits 0.4 and 0.23.

    Returns
    -------
    members : dict of str to dict
        Options of the network 'dieleman', by the name of the member.

    Examples
    --------
    >>> from galmorph.networks.ensemble import dieleman_ensemble
    >>> members = dieleman_ensemble()
    >>> len(members), members['shareddense']
    (17, {'shared': 512, 'dense': [4096]})
    """
    return {name: dict(options) for name, options in _ENSEMBLE.items()}
