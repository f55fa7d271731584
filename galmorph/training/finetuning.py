# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Further training of weights on galaxies of one's own."""

from pathlib import Path

from astropy.table import Table

from galmorph.exceptions import LabelError
from galmorph.schemas import load_schema
from galmorph.training.data._columns import label_options
from galmorph.training.data._own import read_file
from galmorph.training.data._targets import within
from galmorph.training.recipe import TrainingRecipe
from galmorph.weights import load_card

__all__ = ['finetune', 'finetuning_recipe']

# With answers of any head, not only those of a softmax.
_LOSSES = {
    'fractions': {'name': 'mse'},
    'conditional': {'name': 'mse'},
    'bounds': {'name': 'censored'},
    'counts': {'name': 'multinomial', 'options': {'source': 'answers'}},
    'classes': {'name': 'cross_entropy', 'options': {'source': 'answers'}},
    'attributes': {'name': 'mse'},
}


def finetuning_recipe(
    weights,
    table,
    labels=None,
    *,
    name=None,
    schema=None,
    kind=None,
    image=None,
    id=None,  # noqa: A002
    split=None,
    mosaic=None,
    size=None,
    separation=None,
    head_only=False,
):
    """
    Write the recipe that trains weights further.

    Network and pixels are those of the weights. The learning rate is low for
    what is known, and higher for an output layer that begins anew because the
    questions are others, or were never answered.

    Parameters
    ----------
    weights : str or path-like
        Weights, or the path of a card.
    table, labels : path-like
        Tables, as in `~galmorph.training.parts.DataSource`. Without
        ``labels`` they are columns of ``table``.
    name : str, optional
        Name of the new weights; by default that of the weights and of the
        schema, with 'finetuned'.
    schema : str, optional
        The questions of the labels, by default those of the weights.
    kind : str, optional
        What the labels are, as in `~galmorph.training.data.labels.read_labels`;
        by default 'attributes' where the schema has them, 'classes' where a column
        is called as a schema of one question, and 'fractions' else.
    image, id, split : str, optional
        Columns, as in `~galmorph.training.parts.DataSource`.
    mosaic, size, separation : optional
        As in `~galmorph.training.parts.DataSource`.
    head_only : bool, optional
        Train the output layer only.

    Returns
    -------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        A recipe for `~galmorph.training.fit.fit`;
        `~galmorph.training.recipe.TrainingRecipe.override` changes it.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If there are no such weights.
    galmorph.exceptions.RecipeError
        If an argument has no meaning.

    Examples
    --------
    >>> from galmorph.training.finetuning import finetuning_recipe
    >>> recipe = finetuning_recipe('dieleman.gz2', 'galaxies.csv', schema='zhu5',
    ...                            kind='classes')
    >>> recipe.name, recipe.initialise, recipe.tasks['zhu5'].loss.name
    ('dieleman.gz2.zhu5.finetuned', 'dieleman.gz2', 'cross_entropy')
    """
    card = load_card(weights)
    schema = schema or card.schema
    is_new = schema != card.schema
    # That of weights that learnt without labels was never trained.
    begins_anew = is_new or not card.supported_questions
    attributes = getattr(load_schema(schema), 'attributes', None)
    kind = kind or _kind_of(table if labels is None else labels, load_schema(schema))
    source = {
        'layout': 'table',
        'table': str(Path(table).absolute()),
        'labels': None if labels is None else str(Path(labels).absolute()),
        'image': image,
        'id': id,
        'split': split,
        # As it is meant here, and not within the folder of the data.
        'mosaic': None if mosaic is None else within(mosaic, Path.cwd()),
        'size': size,
        'separation': separation,
        'kind': kind,
        'select': 'bounds' if kind == 'bounds' else 'values',
    }
    task = {'schema': schema, 'data': source, 'loss': _LOSSES.get(kind, 'mse')}
    options = dict(card.network.get('options', {}))
    if attributes and is_new:
        task['head'] = 'regression'
    elif is_new:
        # Those of other questions.
        options.pop('head_options', None)
        if hasattr(load_schema(card.schema), 'attributes'):
            options['head'] = 'softmax'
    # A head that tells how sure it is learns that from its own likelihood alone.
    head = task.get('head', options.get('head'))
    if (head, kind) in (('interval', 'attributes'), ('dirichlet', 'counts')):
        task['loss'] = head
    task_name = schema.replace('/', '_')
    default = f'{card.name}.{task_name}' if is_new else card.name
    return TrainingRecipe.from_dict(
        {
            'name': name or f'{default}.finetuned',
            'title': f'{card.title}, fine-tuned',
            'network': {'name': card.network['name'], 'options': options},
            'tasks': {task_name: task},
            'pixels': card.recipe,
            'augmentation': 'dihedral',
            'initialise': str(weights),
            'freeze': ['*', '!output.*'] if head_only else [],
            'batch_size': 32,
            'epochs': 20,
            'ema': 0.99,
            'patience': 5,
            'optimiser': {
                'name': 'adamw',
                'lr': 1e-4,
                'head_lr': 1e-3 if begins_anew or head_only else None,
                'weight_decay': 0.01,
                'clip': 5.0,
            },
            'schedule': {'name': 'cosine', 'warmup': 20},
            'card': {
                'licence': card.licence,
                'instrument': card.instrument,
                'paper': card.paper,
            },
        }
    )


def _kind_of(path, schema):
    """What the labels of a table are taken to be by those who read it."""
    try:
        known = read_file(path)
    except LabelError:
        # They say what is wrong with it.
        known = Table()
    return label_options(known, schema)['kind']


def finetune(weights, table, labels=None, *, output=None, changes=(), **options):
    """
    Train weights further on galaxies of one's own.

    Parameters
    ----------
    weights : str or path-like
        Weights, or the path of a card.
    table, labels : path-like
        Tables, as in `finetuning_recipe`.
    output : path-like, optional
        Folder for log, checkpoints and weights, ``runs/<name>`` by default.
    changes : dict or list of str, optional
        As in `~galmorph.training.recipe.TrainingRecipe.override`.
    **options
        Other arguments of `finetuning_recipe`, and of
        `~galmorph.training.fit.fit`.

    Returns
    -------
    result : `~galmorph.training.fit.TrainingResult`
        The path of the card, and scores.

    Examples
    --------
    >>> from galmorph.training import finetune
    >>> finetune('dieleman.gz2', 'lost.csv')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.LabelError: the task 'gz2': ...lost.csv cannot be read ...
    """
    from galmorph.training.fit import fit

    names = ('name', 'schema', 'kind', 'image', 'id', 'split', 'mosaic', 'size',
             'separation', 'head_only')  # fmt: skip
    settings = {key: options.pop(key) for key in names if key in options}
    recipe = finetuning_recipe(weights, table, labels, **settings)
    return fit(recipe.override(changes), output=output, **options)
