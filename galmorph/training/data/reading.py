# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The galaxies of each task of a recipe: images, labels, splits, checked."""

import dataclasses
import functools
import logging
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from galmorph.exceptions import LabelError, RecipeError
from galmorph.schemas import load_schema
from galmorph.training.data._own import read_candels, read_own, unknown_labels
from galmorph.training.data.labels import Labels
from galmorph.training.data.layouts import list_layouts, read_layout
from galmorph.training.data.seen import resolve
from galmorph.training.data.splits import split_by_class, split_by_id
from galmorph.training.data.teaching import check_teacher, teach

__all__ = ['TaskSource', 'read_task', 'read_tasks']

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True, eq=False)
class TaskSource:
    """
    The galaxies that teach a task.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A row a galaxy: ``image``, ``id`` and ``split``.
    images : list
        What `~galmorph.images.read_image` takes, functions that return it, or
        galaxies of a mosaic.
    labels : `~galmorph.training.data.labels.Labels`
        What is known of each.
    sizes : `~astropy.units.Quantity`, shape (n,), optional
        The size of each galaxy, where it is known.
    ignored : tuple of str, optional
        Columns of the user's tables that were not used.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galmorph.training.data.labels import Labels
    >>> from galmorph.training.data.reading import TaskSource
    >>> table = Table({'image': ['a.jpg'], 'id': ['a'], 'split': ['train']})
    >>> TaskSource(table, ['a.jpg'], Labels('fractions', np.ones((1, 3)))).describe()
    'fractions of 1 galaxies: 1 train'
    """

    table: Table
    images: list
    labels: Labels
    sizes: u.Quantity | None = None
    ignored: tuple[str, ...] = ()

    def __len__(self):
        return len(self.table)

    def __getitem__(self, rows):
        return dataclasses.replace(
            self,
            table=self.table[rows],
            images=[self.images[row] for row in np.arange(len(self))[rows]],
            labels=self.labels[rows],
            sizes=None if self.sizes is None else self.sizes[rows],
        )

    def describe(self):
        """
        Say how many galaxies there are.

        Returns
        -------
        text : str
            A line.
        """
        names, counts = np.unique(np.asarray(self.table['split']), return_counts=True)
        splits = ', '.join(f'{n} {name}' for name, n in zip(names, counts, strict=True))
        what = self.labels.kind if self.labels.is_known.any() else 'images'
        return f'{what} of {len(self)} galaxies: {splits}'

    def describe_labels(self, schema):
        """
        Say of which questions something is known, and what was not read.

        Parameters
        ----------
        schema : `~galmorph.schemas.DecisionTree` or attribute schema
            The questions.

        Returns
        -------
        lines : list of str
            The questions with their numbers of galaxies, those without any, and
            the columns that were not used.

        Examples
        --------
        >>> import numpy as np
        >>> from astropy.table import Table
        >>> from galmorph import load_schema
        >>> from galmorph.training.data.labels import read_labels
        >>> from galmorph.training.data.reading import TaskSource
        >>> known = Table({'Class6.1': [0.2], 'Class6.2': [0.8], 'note': ['?']})
        >>> labels = read_labels(known, load_schema('gz2'))
        >>> table = Table({'image': ['a.jpg'], 'id': ['a'], 'split': ['train']})
        >>> source = TaskSource(table, ['a.jpg'], labels, ignored=('note',))
        >>> for line in source.describe_labels(load_schema('gz2')):
        ...     print(line)
        labels: odd (1)
        no labels: smooth_or_features, edgeon, bar, spiral, bulge_prominence, ...
        columns not used: note
        """
        known = np.isfinite(self.labels.values)
        if self.labels.kind == 'counts':
            known &= self.labels.values > 0
        if self.labels.bound is not None:
            known |= np.isfinite(self.labels.bound)
        numbers = {
            name: int(known[:, start:stop].any(1).sum())
            for name, (start, stop, _) in zip(
                schema.names, schema.structure, strict=True
            )
        }
        lines = {
            'labels': [f'{name} ({n})' for name, n in numbers.items() if n],
            'no labels': [name for name, n in numbers.items() if not n],
            'columns not used': self.ignored,
        }
        return [f'{what}: {", ".join(all_)}' for what, all_ in lines.items() if all_]


def read_tasks(recipe, folder=None):
    """
    Read the galaxies of all tasks of a recipe.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.
    folder : path-like, optional
        Folder that those of the recipe are within, the current one by
        default.

    Returns
    -------
    tasks : dict of str to `TaskSource`
        The galaxies of each, without optional tasks that have none. Labels by
        the table of a teacher are there, those by weights are not yet.

    Raises
    ------
    galmorph.exceptions.LabelError
        If labels or images are not right, with their rows.
    galmorph.exceptions.RecipeError
        If a task has no galaxies to train on.

    Examples
    --------
    >>> from galmorph.training.recipe import load_recipe
    >>> from galmorph.training.data.reading import read_tasks
    >>> read_tasks(load_recipe('zhu_2019'), 'lost')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.LabelError: the task 'zhu5': lost has neither ...
    """
    read = functools.cache(_read_rows)
    tasks, left_out = {}, []
    # A task without a head of its own goes with the one that has it.
    order = sorted(
        recipe.tasks, key=lambda name: recipe.tasks[name].head_of is not None
    )
    for name in order:
        task = recipe.tasks[name]
        if task.head_of is not None and task.head_of not in tasks:
            continue
        try:
            source = read_task(task, folder, read=read)
        except LabelError as error:
            if task.optional and not error.rows:
                logger.info('the task %r is left out: %s', name, error)
                left_out.append(f'the task {name!r}: {error}')
                continue
            raise LabelError(error.rows, f'the task {name!r}: {error}') from error
        if task.teacher is not None:
            source = _taught_by_table(name, task, source, folder)
        if not task.needs_labels:
            source = _all_train(name, task, source)
        if np.any(np.isin(source.table['split'], _taught(task))):
            tasks[name] = source
        elif not task.optional:
            msg = f'the task {name!r} has no galaxies to train on'
            if task.teacher is not None and task.data.select != 'all':
                msg += "; 'select: all' gives its teacher those without labels"
            raise RecipeError(msg)
    if not tasks:
        msg = '; '.join(['no task has galaxies to train on', *left_out])
        raise RecipeError(msg)
    _check_splits(tasks, recipe)
    return {name: tasks[name] for name in recipe.tasks if name in tasks}


def _taught_by_table(name, task, source, folder):
    """Labels by a table; those by weights take time, and come later."""
    schema = load_schema(task.schema)
    try:
        check_teacher(task.teacher, schema)
        if task.teacher.table is None:
            return source
        return teach(source, task.teacher, schema, data=folder)
    except LabelError as error:
        raise LabelError(error.rows, f'the task {name!r}: {error}') from error
    except RecipeError as error:
        msg = f'the task {name!r}: {error}'
        raise RecipeError(msg) from error


def _check_splits(tasks, recipe):
    """Refuse a galaxy that one task learns from and another is judged by."""
    first = {}
    # Tables may call one file by several paths.
    name_of = functools.cache(resolve)
    for name, source in tasks.items():
        splits = np.asarray(source.table['split']).astype(str)
        if recipe.tasks[name].teacher is not None:
            # A teacher will label them.
            splits = np.where(splits == 'unlabelled', 'train', splits)
        pairs = zip(source.table['image'], splits.tolist(), strict=True)
        for image, split in ((name_of(str(i)), split) for i, split in pairs):
            if split not in ('train', 'valid', 'test'):
                continue
            other, before = first.setdefault(image, (name, split))
            if before != split:
                msg = (
                    f'the galaxy {image!r} is in {before!r} of the task {other!r} '
                    f"and in {split!r} of {name!r}; give both the same 'id', "
                    "'fractions' and 'split_seed', or a column 'split'"
                )
                raise RecipeError(msg)


def read_task(task, folder=None, *, read=None):
    """
    Read the galaxies of a task.

    Parameters
    ----------
    task : `~galmorph.training.parts.Task`
        The task.
    folder : path-like, optional
        As in `read_tasks`.
    read : callable, optional
        What reads a data set, where several tasks share it.

    Returns
    -------
    source : `TaskSource`
        The galaxies of which labels are known.

    Raises
    ------
    galmorph.exceptions.LabelError
        If labels or images are not right, with their rows.
    galmorph.exceptions.RecipeError
        If attributes are to be drawn by their classes.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from PIL import Image
    >>> from galmorph.training.parts import Task
    >>> from galmorph.training.data.reading import read_task
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in 'abc':
    ...         Image.fromarray(np.zeros((32, 32), 'u1')).save(f'{folder}/{name}.png')
    ...     table = Table({'image': ['a.png', 'b.png', 'c.png'], 'zhu5': [0, 4, -1]})
    ...     table.write(f'{folder}/galaxies.csv')
    ...     task = Task.from_dict({
    ...         'schema': 'zhu5', 'loss': 'cross_entropy',
    ...         'data': {'table': 'galaxies.csv', 'kind': 'classes'}})
    ...     len(read_task(task, folder))
    2
    """
    source = task.data
    place = Path(folder or '.')
    if source.layout == 'table':
        options = {
            'is_taught': task.teacher is not None,
            'is_labelled': task.needs_labels,
        }
        rows = TaskSource(*read_own(source, task.schema, place, **options))
    else:
        if source.folder is not None:
            place /= source.folder
        read = read or _read_rows
        data = read(source.layout, str(place))
        rows = _with_labels(data, task)
        if data.fractions and (source.fractions or source.split_seed):
            fractions = source.fractions or data.fractions
            rows = _resplit(rows, fractions, source.split_seed)
    if task.needs_labels:
        rows = rows[_selected(rows.labels, source.select)]
    is_by_class = task.needs_labels and rows.labels.kind != 'attributes'
    if task.sampling != 'uniform' and not is_by_class:
        what = 'attributes' if task.needs_labels else 'images without labels'
        msg = f"'sampling' {task.sampling!r} is by classes, and {what} have none"
        raise RecipeError(msg)
    if source.limit is not None:
        rows = rows[slice(source.limit)]
    return rows


def _read_rows(layout, folder):
    """Read a data set by the name of its layout."""
    if layout == 'candels':
        return read_candels(Path(folder))
    if layout not in list_layouts():
        known = [*list_layouts(), 'candels', 'table']
        msg = f"'layout' must be one of {known}, not {layout!r}"
        raise RecipeError(msg)
    return read_layout(layout, folder)


def _all_train(name, task, source):
    """All galaxies train but those that validate or test: none needs a label."""
    if task.teacher is not None:
        msg = (
            f'the task {name!r}: the loss {task.loss.name!r} takes no labels, so it '
            "needs no 'teacher'"
        )
        raise RecipeError(msg)
    table = source.table.copy()
    split = np.asarray(table['split'])
    table['split'] = np.where(split == 'unlabelled', 'train', split)
    # A data set has some, by which it may be split.
    labels = unknown_labels(len(source), load_schema(task.schema))
    return dataclasses.replace(source, table=table, labels=labels)


def _taught(task):
    """The splits that a task learns from."""
    return ('train',) if task.teacher is None else ('train', 'unlabelled')


def _with_labels(data, task):
    """The rows of a data set with the labels of a task."""
    labels = data.labels_of(task.schema)
    if labels is None and (task.teacher is not None or not task.needs_labels):
        labels = unknown_labels(len(data), load_schema(task.schema))
    elif labels is None:
        msg = (
            f'the data {task.data.layout!r} has labels of {sorted(data.labels)}, '
            f'not of {task.schema!r}'
        )
        raise RecipeError(msg)
    images = [str(path) for path in data.table['image']]
    return TaskSource(data.table.copy(), images, labels, data.sizes)


def _resplit(rows, fractions, seed):
    """Split a data set that knows no splits in another way."""
    ids = rows.table['id']
    if rows.labels.kind == 'classes':
        split = split_by_class(ids, rows.labels.classes, fractions, seed=seed)
    else:
        split = split_by_id(ids, fractions, seed=seed)
    rows.table['split'] = split
    return rows


def _selected(labels, select):
    known = np.isfinite(labels.values)
    has_bound = np.zeros(len(labels), bool)
    if labels.bound is not None:
        has_bound = np.isfinite(labels.bound).any(1)
    return {
        'values': known.any(1) & labels.is_known,
        'bounds': has_bound & ~known.any(1),
        'known': labels.is_known,
        'complete': known.all(1),
        'all': np.ones(len(labels), bool),
    }[select]
