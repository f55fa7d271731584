# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From a trained network to weights and their card."""

from pathlib import Path

import galmorph
from galmorph.exceptions import WeightsError
from galmorph.schemas import load_schema
from galmorph.training.building import network_options, own_network, pixels_of
from galmorph.weights import WeightsCard, save_weights

__all__ = ['save_network', 'save_trained']


def save_network(
    network,
    folder,
    name,
    *,
    architecture,
    schema,
    recipe,
    supported_questions=None,
    precision='float16',
    training=None,
    metrics=None,
    **entries,
):
    """
    Write the weights of a network, and the card that describes them.

    The two files, ``name.safetensors`` and ``name.yaml``, are all that
    `~galmorph.MorphologyClassifier` needs; they go together anywhere.

    Parameters
    ----------
    network : `torch.nn.Module`
        The network. Its weights must be those of the architecture.
    folder : path-like
        Where to write; it is made if it is not there.
    name : str
        Name of the weights: letters, digits and ``._+-``.
    architecture : dict
        ``name`` and ``options`` for `~galmorph.networks.create_network`.
    schema : str
        The questions, as in `~galmorph.schemas.load_schema`.
    recipe : `~galmorph.Recipe`
        What the network saw.
    supported_questions : list of str, optional
        The questions that are answered, or the attributes that are measured;
        all by default.
    precision : str or dict, optional
        As in `~galmorph.weights.save_weights`.
    training, metrics : dict, optional
        As in `~galmorph.weights.WeightsCard`.
    **entries
        Other entries of the card, such as ``title``, ``licence`` and ``limits``.

    Returns
    -------
    card : `~pathlib.Path`
        The YAML file of the card.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If an entry of the card is not right, or a weight is not finite.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph import MorphologyClassifier, Recipe, create_network, load_schema
    >>> from galmorph.training.publish import save_network
    >>> options = {'widths': [8], 'depths': [1]}
    >>> network = create_network(
    ...     'compact', structure=load_schema('gz2').structure, **options)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     card = save_network(
    ...         network, folder, 'mine.gz2', schema='gz2', recipe=Recipe(),
    ...         architecture={'name': 'compact', 'options': options})
    ...     MorphologyClassifier(card).card.file
    'mine.gz2.safetensors'
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f'{name}.safetensors'
    content = {
        'title': name,
        'description': f'Trained with galmorph {galmorph.__version__}.',
        'version': '1',
        'licence': 'not stated',
        'instrument': recipe.survey,
        'limits': [],
        'paper': {},
        **entries,
    }
    if supported_questions is None:
        supported_questions = list(load_schema(schema).names)
    sha256 = save_weights(network.state_dict(), path, precision=precision)
    try:
        card = WeightsCard.from_dict(
            {
                'name': name,
                'network': architecture,
                'schema': schema,
                'recipe': recipe.to_dict(),
                'file': path.name,
                'size': path.stat().st_size,
                'sha256': sha256,
                'training': training or {},
                'metrics': metrics or {},
                'supported_questions': supported_questions,
                **content,
            }
        )
        card.check_names()
    except WeightsError:
        # No weights without a card.
        path.unlink()
        raise
    target = folder / f'{name}.yaml'
    card.to_file(target)
    return target


def save_trained(module, folder, name=None, *, task=None, training=None, metrics=None):
    """
    Write the weights and the card of a task of a module.

    Parameters
    ----------
    module : `~galmorph.training.module.MorphologyModule`
        The module, with the weights that are to be written.
    folder : path-like
        Where to write.
    name : str, optional
        Name of the weights; by default that of the recipe, followed by that
        of the task where there are several.
    task : str, optional
        The task; the first by default.
    training, metrics : dict, optional
        Entries of the card. What the recipe says of the training is there
        without.

    Returns
    -------
    card : `~pathlib.Path`
        The YAML file of the card.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.training import MorphologyModule, save_trained
    >>> from galmorph.training.recipe import TrainingRecipe
    >>> module = MorphologyModule(TrainingRecipe.from_dict({
    ...     'name': 'small', 'steps': 10, 'network': {
    ...         'name': 'compact', 'options': {'widths': [8], 'depths': [1]}},
    ...     'tasks': {'gz2': {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}}}))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save_trained(module, folder).name
    'small.yaml'
    """
    recipe = module.recipe
    task = task or next(iter(recipe.tasks))
    if name is None:
        name = recipe.name if len(module.networks) == 1 else f'{recipe.name}.{task}'
    entries = {'title': recipe.title or name, **recipe.card}
    if recipe.description:
        entries.setdefault('description', ' '.join(recipe.description.split()))
    return save_network(
        own_network(recipe, task, module.network_of(task)),
        folder,
        name,
        architecture={
            'name': recipe.network.name,
            'options': network_options(recipe, task),
        },
        schema=recipe.tasks[task].schema,
        recipe=pixels_of(recipe, task),
        supported_questions=recipe.tasks[task].supported_questions,
        precision=recipe.precision_stored,
        training={**_describe(module), **(training or {})},
        metrics=metrics,
        **entries,
    )


def _describe(module):
    """What the recipe says of the training, in one entry each."""
    recipe = module.recipe
    tasks = {
        name: f'{task.data.layout}, {task.loss.name}'
        for name, task in recipe.tasks.items()
    }
    rate = recipe.optimiser.lr
    described = {
        'recipe': recipe.name,
        'reference': recipe.reference,
        'tasks': tasks,
        'steps': module.n_steps,
        'batch_size': recipe.batch_size,
        'optimiser': f'{recipe.optimiser.name}, {rate:g}, {recipe.schedule.name}',
        'seed': recipe.seed,
        'ema': recipe.ema,
        'initialised': recipe.initialise,
    }
    return {key: value for key, value in described.items() if value not in (None, '')}
