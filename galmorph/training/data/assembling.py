# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The batches of a recipe: the galaxies of its tasks, taught, decoded, and shared."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from astropy.table import Table

from galmorph.exceptions import RecipeError
from galmorph.schemas import load_schema
from galmorph.training.augmentation import Augmentation
from galmorph.training.building import pixels_of
from galmorph.training.data.cache import build_cache
from galmorph.training.data.datamodule import GalaxyZooDataModule, TaskData
from galmorph.training.data.reading import TaskSource, read_tasks
from galmorph.training.data.tasks import check_views
from galmorph.training.data.teaching import teach
from galmorph.training.losses import count_views

__all__ = ['create_datamodule']


def create_datamodule(
    recipe, folder=None, *, cache=None, device=None, progress_bar=False
):
    """
    Make the batches of a recipe.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`
        The recipe.
    folder : path-like, optional
        As in `~galmorph.training.data.reading.read_tasks`.
    cache : path-like, optional
        Folder for decoded pixels; without it images are read each time.
    device : str, optional
        Where the weights of a teacher run, as `~galmorph.MorphologyClassifier`
        takes it.
    progress_bar : bool, optional
        Whether to show how far the teacher and the decoding are.

    Returns
    -------
    datamodule : `~galmorph.training.data.datamodule.GalaxyZooDataModule`
        The batches. Tasks that show the same images in the same way share
        their decoded pixels.

    Raises
    ------
    galmorph.exceptions.LabelError
        If labels or images are not right, with their rows.

    Examples
    --------
    >>> from galmorph.training.recipe import load_recipe
    >>> from galmorph.training.data.assembling import create_datamodule
    >>> create_datamodule(load_recipe('zhu_2019'), 'lost')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.LabelError: the task 'zhu5': lost has neither ...
    """
    sources = read_tasks(recipe, folder)
    # Before the teacher, which takes long.
    seen, groups = {name: _seen(recipe, name) for name in sources}, {}
    for name, source in sources.items():
        task = recipe.tasks[name]
        if task.teacher is not None and task.teacher.weights is not None:
            schema = load_schema(task.schema)
            told = {'device': device, 'progress_bar': progress_bar}
            sources[name] = teach(source, task.teacher, schema, cache, **told)
    for name, (pixels, augmentation) in seen.items():
        size, sizes = recipe.tasks[name].data.size, sources[name].sizes
        unit = str(getattr(sizes, 'unit', ''))
        key = pixels, augmentation.reach().tobytes(), size, unit
        groups.setdefault(key, []).append(name)
    tasks = {}
    for names in groups.values():
        merged = _merged({name: sources[name] for name in names})
        first = merged[names[0]]
        images = first.images
        if cache is not None:
            size = recipe.tasks[names[0]].data.size
            images = _decoded(
                first, size, *seen[names[0]], cache, progress_bar=progress_bar
            )
        has_files = all(isinstance(image, str) for image in first.images)
        for name, source in merged.items():
            task = recipe.tasks[name]
            shown_by = task.images_of if task.images_of in sources else None
            if shown_by is not None and not (
                shown_by in merged and _is_same(task.data, recipe.tasks[shown_by].data)
            ):
                msg = (
                    f"'images_of' of the task {name!r}: {shown_by!r} shows other "
                    "images; both need the same 'data'"
                )
                raise RecipeError(msg)
            tasks[name] = TaskData(
                images,
                source.labels,
                *seen[name],
                splits=source.table['split'],
                share=task.share,
                sampling=task.sampling,
                sizes=source.sizes,
                table=source.table,
                originals=None if has_files else first.images,
                images_of=shown_by,
                n_shown=count_views(task.loss.name),
            )
    return GalaxyZooDataModule(
        {name: tasks[name] for name in sources},
        batch_size=recipe.batch_size,
        seed=recipe.seed,
        n_workers=recipe.n_workers,
    )


def _seen(recipe, name):
    """How a task sees its images: their pixels, and the augmentation."""
    task = recipe.tasks[name]
    settings = task.augmentation
    if settings is None:
        settings = recipe.augmentation
    if isinstance(settings, str):
        settings = {'preset': settings}
    try:
        augmentation = Augmentation.from_dict(settings)
        check_views(count_views(task.loss.name), augmentation)
        return pixels_of(recipe, name), augmentation
    except (TypeError, ValueError) as error:
        msg = f'the pixels or the augmentation of the task {name!r}: {error}'
        raise RecipeError(msg) from error


def _decoded(source, size, pixels, augmentation, cache, *, progress_bar):
    """The decoded images of a source, kept in a folder of their own."""
    reach = augmentation.reach()
    listed = '\n'.join(map(str, source.table['image']))
    text = f'{pixels.hash} {reach.tobytes()} {listed}{size or ""}'
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return build_cache(
        source.images,
        pixels,
        Path(cache) / key,
        sizes=source.sizes,
        reach=reach,
        progress_bar=progress_bar,
    )


def _is_same(data, other):
    """Tell whether two tasks have the same images, whichever of them they take."""
    names = ('layout', 'folder', 'table', 'image', 'mosaic')
    return all(getattr(data, name) == getattr(other, name) for name in names)


def _merged(sources):
    """Give tasks the images of all of them; what is not theirs is unknown."""
    if len(sources) == 1:
        return sources
    place = {}
    for source in sources.values():
        for path in source.table['image']:
            place.setdefault(str(path), len(place))
    images, sizes = [None] * len(place), None
    tables = {}
    for name, source in sources.items():
        rows = np.array([place[str(path)] for path in source.table['image']])
        for row, image in zip(rows, source.images, strict=True):
            images[row] = image
        if source.sizes is not None:
            if sizes is None:
                sizes = np.full(len(place), np.nan) * source.sizes.unit
            sizes[rows] = source.sizes
        tables[name] = rows
    result = {}
    for name, source in sources.items():
        rows = tables[name]
        table = Table({'image': list(place)})
        for column, filling in (('id', ''), ('split', 'unlabelled')):
            values = np.full(len(place), filling, dtype='U64')
            values[rows] = source.table[column]
            table[column] = values
        if sizes is not None:
            table['size'] = sizes
        changes = {}
        for field in ('values', 'low', 'high', 'bound'):
            known = getattr(source.labels, field)
            if known is not None:
                changes[field] = np.full((len(place), known.shape[1]), np.nan)
                changes[field][rows] = known
        labels = dataclasses.replace(source.labels, **changes)
        result[name] = TaskSource(table, images, labels, sizes)
    return result
