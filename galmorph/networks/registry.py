# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The names of the networks, and the modules that define them."""

import importlib

__all__ = ['create_network', 'list_networks', 'register_network']

# Where each network of the package lives: its module is imported, and torch
# with it, only when the network is asked for.
_BUILTIN = {
    'alexnet': 'galmorph.networks.alexnet:alexnet',
    'alexnet_lite': 'galmorph.networks.alexnet:alexnet_lite',
    'baseline_cnn': 'galmorph.networks.alexnet:baseline_cnn',
    'candels': 'galmorph.networks.candels:candels',
    'compact': 'galmorph.networks.compact:compact',
    'dieleman': 'galmorph.networks.dieleman:Dieleman',
    'inception_v3': 'galmorph.networks.inception:inception_v3',
    'resnet50_preact': 'galmorph.networks.resnet:resnet50_preact',
    'resnet_zhu': 'galmorph.networks.resnet:resnet_zhu',
    'vgg16': 'galmorph.networks.vgg:vgg16',
}
_registered = {}


def register_network(name, factory, *, overwrite=False):
    """
    Give a network of one's own a name that cards and recipes can use.

    Parameters
    ----------
    name : str
        The name.
    factory : callable
        A `torch.nn.Module` class, or a function that returns a module. It
        takes the options of the network as keywords, among them
        ``structure``, the `~galmorph.schemas.DecisionTree.structure` of the
        tree that the network answers.
    overwrite : bool, optional
        Replace a network that has this name already.

    Raises
    ------
    TypeError
        If ``factory`` cannot be called.
    ValueError
        If the name is taken and ``overwrite`` is false.

    Examples
    --------
    >>> from galmorph.networks import list_networks, register_network
    >>> def tiny(structure, width=8):
    ...     import torch
    ...     return torch.nn.Linear(width, structure[-1][1])
    >>> register_network('tiny', tiny, overwrite=True)
    >>> 'tiny' in list_networks()
    True
    """
    if not callable(factory):
        msg = f'factory must be callable, not {factory!r}'
        raise TypeError(msg)
    if name in list_networks() and not overwrite:
        msg = f'the network {name!r} exists already; choose another name or overwrite'
        raise ValueError(msg)
    _registered[name] = factory


def list_networks():
    """
    List the networks that can be created by name.

    Returns
    -------
    names : list of str
        The names, those of `register_network` among them.

    Examples
    --------
    >>> from galmorph import list_networks
    >>> 'dieleman' in list_networks()
    True
    """
    return sorted({**_BUILTIN, **_registered})


def create_network(name, **options):
    """
    Build a network with random weights.

    Parameters
    ----------
    name : str
        One of `list_networks`.
    **options
        What the network takes, for example ``structure``.

    Returns
    -------
    network : `torch.nn.Module`
        The network, in training mode.

    Raises
    ------
    ValueError
        If there is no network of that name.

    Examples
    --------
    >>> from galmorph import create_network, load_schema
    >>> structure = load_schema('gz2').structure
    >>> network = create_network('dieleman', structure=structure)
    >>> sum(p.numel() for p in network.parameters())
    42377125
    """
    if name in _registered:
        return _registered[name](**options)
    if name not in _BUILTIN:
        msg = f'there is no network {name!r}; choose from {list_networks()}'
        raise ValueError(msg)
    module, attribute = _BUILTIN[name].split(':')
    return getattr(importlib.import_module(module), attribute)(**options)
