# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The networks of a recipe: one a task, on one trunk."""

import torch
from torch import nn

from galmorph.exceptions import RecipeError
from galmorph.networks import create_network
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema

__all__ = ['build_networks', 'network_options', 'own_network', 'pixels_of']


def network_options(recipe, task):
    """
    Return what `~galmorph.networks.create_network` takes for a task.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.
    task : str
        Name of a task with a head of its own.

    Returns
    -------
    options : dict
        The options of the network, with the head of the task and the number of
        its bands: what a card keeps. Values of attributes are offset and
        scaled by their ranges.

    Examples
    --------
    >>> from galmorph.training.building import network_options
    >>> from galmorph.training.recipe import load_recipe
    >>> network_options(load_recipe('zhu_2019'), 'zhu5')['k']
    2
    """
    settings = recipe.tasks[task]
    schema = load_schema(settings.schema)
    options = dict(recipe.network.options)
    n_bands = len(pixels_of(recipe, task).bands)
    if n_bands != 3:
        options.setdefault('n_channels', n_bands)
    if settings.head is None:
        return options
    options['head'] = settings.head.name
    head_options = dict(settings.head.options)
    if hasattr(schema, 'attributes') and settings.head.name in (
        'regression',
        'interval',
    ):
        head_options.setdefault(
            'offset', [(a.low + a.high) / 2 for a in schema.attributes]
        )
        head_options.setdefault(
            'scale', [(a.high - a.low) / 4 for a in schema.attributes]
        )
    if head_options:
        options['head_options'] = head_options
    return options


def build_networks(recipe):
    """
    Build the networks of a recipe, with random weights.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.

    Returns
    -------
    networks : `torch.nn.ModuleDict`
        One for each task that has a head of its own. All have one trunk.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If the network has no such option, or has no trunk to share.

    Examples
    --------
    >>> from galmorph.training.building import build_networks
    >>> from galmorph.training.recipe import load_recipe
    >>> networks = build_networks(load_recipe('compact_multitask'))
    >>> networks['gz2'].trunk is networks['efigi'].trunk
    True
    """
    networks = nn.ModuleDict()
    _check_colours(recipe)
    n_channels = count_channels(recipe)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(recipe.seed)
        for name, task in recipe.tasks.items():
            if task.head_of is not None:
                continue
            structure = load_schema(task.schema).structure
            options = network_options(recipe, name)
            try:
                network = create_network(
                    recipe.network.name, structure=structure, **options
                )
            except (TypeError, ValueError) as error:
                msg = f'the network {recipe.network.name!r}: {error}'
                raise RecipeError(msg) from error
            if networks and not hasattr(network, 'trunk'):
                msg = (
                    f'the network {recipe.network.name!r} has no trunk to share, and '
                    'trains one task with a head of its own at a time'
                )
                raise RecipeError(msg)
            networks[name] = network
    if len(networks) > 1:
        trunks = [
            network.trunk
            for name, network in networks.items()
            if len(pixels_of(recipe, name).bands) == n_channels
        ]
        for network in networks.values():
            network.trunk = trunks[0]
    if recipe.channels_last:
        networks.to(memory_format=torch.channels_last)
    return networks


def count_channels(recipe):
    """
    Count the bands that the trunk of all tasks sees.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.

    Returns
    -------
    n_channels : int
        Three where a task has three; one band is then shown in each.

    Examples
    --------
    >>> from galmorph.training.building import count_channels
    >>> from galmorph.training.recipe import load_recipe
    >>> count_channels(load_recipe('compact_multitask'))
    3
    """
    return max(len(pixels_of(recipe, name).bands) for name in recipe.tasks)


def _check_colours(recipe):
    """Refuse colours for a network without them, and a trunk that turns none."""
    colour = recipe.network.options.get('colour', 'rgb')
    for name, task in recipe.tasks.items():
        bands = pixels_of(recipe, name).bands
        if task.head_of and len(bands) > len(pixels_of(recipe, task.head_of).bands):
            msg = (
                f"'head_of' of the task {name!r}: {task.head_of!r} has one band, and "
                f'{name!r} has {list(bands)}; let the first be the task with colours'
            )
            raise RecipeError(msg)
        if colour != 'rgb' and len(bands) != 3:
            msg = (
                f'the network turns colours into {colour!r}, which needs three bands; '
                f'the task {name!r} has {list(bands)}; train it with another network'
            )
            raise RecipeError(msg)


def pixels_of(recipe, task):
    """
    Return what the network of a task sees.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.
    task : str
        Name of the task.

    Returns
    -------
    pixels : `~galmorph.Recipe`
        The pixels of the recipe, with what differs for the task.

    Examples
    --------
    >>> from galmorph.training.building import pixels_of
    >>> from galmorph.training.recipe import load_recipe
    >>> pixels_of(load_recipe('zhu_2019'), 'zhu5').output_size
    64
    """
    settings = recipe.tasks[task]
    return Recipe.from_dict({**recipe.pixels, **settings.pixels})


def own_network(recipe, task, network):
    """
    Give a task the network that its card describes.

    A task with one band shares the trunk of those with three, which sees the
    band in all three channels. By itself it has filters for one channel, the
    sums of the three.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.
    task : str
        Name of a task with a head of its own.
    network : `torch.nn.Module`
        Its network, as `build_networks` made it.

    Returns
    -------
    own : `torch.nn.Module`
        The same network, or one of its own where the channels differ.

    Examples
    --------
    >>> from galmorph.training.building import build_networks, own_network
    >>> from galmorph.training.recipe import load_recipe
    >>> recipe = load_recipe('compact_multitask')
    >>> shared = build_networks(recipe)['ceers']
    >>> own = own_network(recipe, 'ceers', shared)
    >>> shared.trunk.stem.conv.weight.shape[1], own.trunk.stem.conv.weight.shape[1]
    (3, 1)
    """
    if len(pixels_of(recipe, task).bands) == count_channels(recipe):
        return network
    with torch.random.fork_rng(devices=[]):
        own = create_network(
            recipe.network.name,
            structure=load_schema(recipe.tasks[task].schema).structure,
            **network_options(recipe, task),
        )
    state = network.state_dict()
    for name, tensor in own.state_dict().items():
        if state[name].shape != tensor.shape:
            state[name] = state[name].sum(1, keepdim=True)
    own.load_state_dict(state)
    return own
