# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The commands ``galmorph train`` and ``galmorph finetune``."""

import argparse
import dataclasses
import importlib.util
from pathlib import Path

from galmorph.cli import inputs
from galmorph.cli.outputs import RequestError, as_request, check_folder

__all__ = ['add_finetune', 'add_train']

_TRAIN = """
Train weights from a recipe, and write them with their card.

RECIPE is a name of --list, with a variant behind a slash where it has some, or
a YAML file. A training that was interrupted goes on when the command is
given again.
"""

_TRAIN_EXAMPLES = """
examples:
  galmorph train --list
  galmorph train zhu_2019 --show
  galmorph train dieleman_2015 --data galaxy_challenge --output runs/dieleman
  galmorph train compact_multitask --data data --set steps=2000 --set ema=0.99
  galmorph train compact_multitask --data data --only efigi
  galmorph train uppsala_2018/106_b32_hsv --data galaxy_challenge

exit status:
  0  done        1  the work failed
  2  the request cannot be met, found out before the first step
"""

_FINETUNE = """
Train weights further, on galaxies of one's own.

TABLE has a row a galaxy, with a column of image paths, or with ra and dec for
--mosaic. LABELS has a row a galaxy too, in the same order, or to be joined by
--id, with columns as the schema names them. Both may be one file.
"""

_FINETUNE_EXAMPLES = """
examples:
  galmorph finetune dieleman.gz2 galaxies.ecsv votes.csv --output runs/mine
  galmorph finetune dieleman.gz2 galaxies.csv galaxies.csv --schema zhu5 \\
      --kind classes --set steps=500
"""


def add_train(command, parents):
    """
    Add the command ``train``.

    Parameters
    ----------
    command : callable
        From a name, help, examples and keywords to a parser.
    parents : list of `argparse.ArgumentParser`
        Options that all commands have.

    Examples
    --------
    >>> from galmorph.cli import main
    >>> main(['train', '--list'])  # doctest: +ELLIPSIS
    brainstation_2018_question ...
    """
    parser = command(
        'train',
        'train weights from a recipe',
        _TRAIN_EXAMPLES,
        parents=[*parents, _common()],
        run=_train,
        description=_TRAIN,
    )
    parser.add_argument('recipe', nargs='?', metavar='RECIPE')
    parser.add_argument(
        '--data', metavar='FOLDER', help='folder of images and labels (default: .)'
    )
    parser.add_argument('--list', action='store_true', help='list the recipes')
    parser.add_argument(
        '--only',
        nargs='+',
        metavar='TASK',
        help='leave the other tasks out',
    )
    parser.add_argument(
        '--show', action='store_true', help='show the recipe, with all changes'
    )
    parser.add_argument(
        '--check', action='store_true', help='read recipe and labels, and stop'
    )


def add_finetune(command, parents):
    """
    Add the command ``finetune``.

    Parameters
    ----------
    command, parents
        As in `add_train`.

    Examples
    --------
    >>> from galmorph.cli import main
    >>> main(['finetune', 'dieleman.gz2', 'lost.csv', 'lost.csv'])
    2
    """
    parser = command(
        'finetune',
        'train weights further on galaxies of your own',
        _FINETUNE_EXAMPLES,
        parents=[*parents, _common()],
        run=_finetune,
        description=_FINETUNE,
    )
    parser.add_argument('weights', metavar='WEIGHTS', help='name, or path of a card')
    parser.add_argument('table', metavar='TABLE')
    parser.add_argument('labels', metavar='LABELS')
    options = (
        ('--schema', 'NAME', 'questions of the labels (default: those of WEIGHTS)'),
        ('--kind', 'KIND', 'fractions, conditional, counts, classes or attributes'),
        ('--image', 'COLUMN', "column of image paths (default: 'image', 'path', ...)"),
        ('--id', 'COLUMN', 'column that joins TABLE and LABELS, and draws splits'),
        ('--size', 'SIZE', "radius that pixels scale by: a column, or '3 arcsec'"),
        ('--split', 'COLUMN', "column with 'train', 'valid' and 'test'"),
        ('--separation', 'ANGLE', "keep neighbours in one split: '5 arcsec'"),
    )
    for name, metavar, text in options:
        parser.add_argument(name, metavar=metavar, help=text)
    inputs.add_mosaic_option(parser)
    parser.add_argument(
        '--head-only', action='store_true', help='leave all but the last layer alone'
    )


def _common():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        '--set',
        metavar='KEY=VALUE',
        action='append',
        default=[],
        dest='changes',
        help='change an entry of the recipe, as optimiser.lr=1e-3; repeatable',
    )
    common.add_argument(
        '--output', metavar='FOLDER', help='for log, checkpoints and weights'
    )
    common.add_argument(
        '--device', metavar='DEVICE', help="'auto' (default), 'cpu', 'gpu' or 'mps'"
    )
    common.add_argument(
        '--devices', metavar='N', help="how many of them (default: 'auto')"
    )
    common.add_argument(
        '--no-evaluation',
        action='store_true',
        help='do not measure the weights on the validation galaxies',
    )
    common.add_argument('--quiet', action='store_true', help='show nothing')
    return common


def _train(arguments):
    _need_lightning()
    from galmorph.training.recipe import list_recipes, load_recipe

    if arguments.list:
        width = max(map(len, list_recipes()))
        for name in list_recipes():
            recipe = load_recipe(name)
            print(f'{name:{width}}  {recipe.title}')
            for variant in recipe.variants:
                print(f'  {name}/{variant}')
        return
    if arguments.recipe is None:
        msg = 'name a RECIPE; galmorph train --list lists them'
        if arguments.only:
            msg += '. It goes before --only, which takes all names behind it'
        raise RequestError(msg)
    with as_request():
        recipe = load_recipe(arguments.recipe)
        if arguments.only:
            recipe = recipe.only(arguments.only)
            # They are of all tasks.
            recipe = dataclasses.replace(recipe, title='', description='')
        recipe = recipe.override(arguments.changes)
    if arguments.show:
        print(recipe.to_yaml(), end='')
        return
    if arguments.check:
        from galmorph.schemas import load_schema
        from galmorph.training.data.reading import read_tasks

        with as_request():
            tasks = read_tasks(recipe, arguments.data)
        for name, task in tasks.items():
            print(f'{name}: {task.describe()}')
            teacher = recipe.tasks[name].teacher
            # Weights have not answered yet, and views need no labels.
            is_told = teacher is None or teacher.weights is None
            if is_told and task.labels.is_known.any():
                schema = load_schema(recipe.tasks[name].schema)
                for line in task.describe_labels(schema):
                    print(f'  {line}')
        return
    _run(recipe, arguments, data=arguments.data)


def _finetune(arguments):
    _need_lightning()
    from galmorph.training.finetuning import finetuning_recipe

    for path in (arguments.table, arguments.labels):
        if not Path(path).is_file():
            msg = f'there is no file {path!r}'
            raise RequestError(msg)
    with as_request():
        recipe = finetuning_recipe(
            arguments.weights,
            arguments.table,
            arguments.labels,
            schema=arguments.schema,
            kind=arguments.kind,
            image=arguments.image,
            id=arguments.id,
            split=arguments.split,
            mosaic=arguments.mosaic,
            size=arguments.size,
            separation=arguments.separation,
            head_only=arguments.head_only,
        ).override(arguments.changes)
    _run(recipe, arguments)


def _run(recipe, arguments, **options):
    from galmorph.exceptions import LabelError, RecipeError
    from galmorph.training.fit import fit

    output = Path(arguments.output or Path('runs') / recipe.name)
    check_folder(output, create=True)
    accelerator = 'gpu' if arguments.device == 'cuda' else arguments.device
    try:
        result = fit(
            recipe,
            output=output,
            progress_bar=not arguments.quiet,
            evaluate=not arguments.no_evaluation,
            accelerator=accelerator or 'auto',
            devices=arguments.devices or 'auto',
            **options,
        )
    except (LabelError, RecipeError) as error:
        raise RequestError(str(error)) from error
    if arguments.quiet:
        return
    for name, value in result.metrics.items():
        print(f'{name:40} {value:.4f}')
    for task, metrics in result.ensemble.items():
        for name, score in metrics.items():
            if isinstance(score, dict) and 'value' in score:
                label = f'mean of all members/{task}/{name}'
                print(f'{label:40} {score["value"]:.4f}')
    for each in result.members or [result]:
        for card in each.cards.values():
            print(f'wrote {card}')
    if result.ensemble:
        print(f'wrote {result.folder / "ensemble.yaml"}')


def _need_lightning():
    for name in ('lightning', 'torchmetrics'):
        if importlib.util.find_spec(name) is None:
            msg = f"training needs {name}: pip install 'astro-galmorph[train]'"
            raise RequestError(msg)
