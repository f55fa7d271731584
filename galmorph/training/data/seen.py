# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a training has seen, kept beside its weights."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from astropy.table import Table

from galmorph.exceptions import LabelError, RecipeError
from galmorph.files import write_atomically
from galmorph.inference.catalog import beside

__all__ = ['record_data', 'record_of', 'recorded_splits', 'trained_on']

_FOLDER = 'splits'
_DIGESTS = 'digests.json'
# What one task learnt from was seen, whatever it is for the next.
_ORDER = ('train', 'valid', 'test')


def record_data(folder, tasks, *, resumes=False):
    """
    Write which galaxies train, validate and test; or compare with what was.

    Parameters
    ----------
    folder : path-like
        The folder of the training: ``splits/<task>.csv`` lists the images.
    tasks : dict of str to `~galmorph.training.data.tasks.TaskData`
        The data.
    resumes : bool, optional
        Whether the training goes on, and so must be of the same data.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If it goes on with other images, labels or splits.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from galmorph.training import Labels, TaskData
    >>> from galmorph.training.data.seen import record_data
    >>> task = TaskData(np.zeros((3, 32, 32, 3), 'u1'),
    ...                 Labels('fractions', np.full((3, 37), 0.5)))
    >>> other = TaskData(np.zeros((3, 32, 32, 3), 'u1'),
    ...                  Labels('fractions', np.full((3, 37), 0.2)))
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     record_data(folder, {'gz2': task})
    ...     record_data(folder, {'gz2': other}, resumes=True)
    Traceback (most recent call last):
    ...
    galmorph.exceptions.RecipeError: the training in ... other data of 'gz2'...
    """
    place = Path(folder) / _FOLDER
    digests = {name: _digest(task) for name, task in tasks.items()}
    if resumes and (place / _DIGESTS).exists():
        before = json.loads((place / _DIGESTS).read_text('utf-8'))
        changed = sorted(
            name
            for name in before.keys() | digests.keys()
            if before.get(name) != digests.get(name)
        )
        if changed:
            msg = (
                f'the training in {str(folder)!r} began with other data of '
                f'{", ".join(map(repr, changed))}: the images, labels or splits have '
                'changed; name another output, or delete the folder'
            )
            raise RecipeError(msg)
        return
    place.mkdir(parents=True, exist_ok=True)
    for name, task in tasks.items():
        if task.table is None:
            continue
        columns = [c for c in ('id', 'image', 'split') if c in task.table.colnames]
        if 'image' not in columns or task.table['image'].dtype.kind not in 'UO':
            continue
        known = task.table[columns][task.is_used]
        known['image'] = [resolve(path) for path in known['image']]
        known.write(place / f'{name}.csv', overwrite=True)
    write_atomically(place / _DIGESTS, json.dumps(digests).encode())


def trained_on(card, images):
    """
    Tell which images weights were trained on, as far as that is recorded.

    Parameters
    ----------
    card : path-like
        The file of the card, where `~galmorph.training.fit.fit` put it.
    images : sequence
        Images; those that are paths are looked for.

    Returns
    -------
    is_seen : `~numpy.ndarray` of bool, shape (n,)
        All false where nothing is recorded.

    Examples
    --------
    >>> from galmorph.training.data.seen import trained_on
    >>> trained_on('lost.yaml', ['a.jpg'])
    array([False])
    """
    return recorded_splits(record_of(card), images) == 'train'


def record_of(card):
    """
    Name the record of the training of weights.

    Parameters
    ----------
    card : path-like
        The file of the card.

    Returns
    -------
    folder : `~pathlib.Path`
        What `record_data` writes, if it did.

    Examples
    --------
    >>> from galmorph.training.data.seen import record_of
    >>> record_of('runs/mine/mine.yaml').as_posix()
    'runs/mine/splits'
    """
    return Path(card).parent / _FOLDER


def recorded_splits(record, images, ids=None):
    """
    Tell in which split a training had images.

    Parameters
    ----------
    record : path-like
        The folder ``splits`` beside the card, or a table as those in it, a CSV
        file with the columns ``image``, ``split`` and perhaps ``id``.
    images : sequence
        Images; those that are paths are looked for.
    ids : sequence, optional
        Identifiers, by which galaxies are looked for whose image is not found.

    Returns
    -------
    splits : `~numpy.ndarray` of str, shape (n,)
        'train', 'valid' or 'test', the first of them where tasks differ; empty
        where the training did not use the image, or nothing is recorded.

    Raises
    ------
    galmorph.exceptions.LabelError
        If a table cannot be read, or lacks a column.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.training.data.seen import recorded_splits
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, 'gz2.csv')
    ...     table = Table({'id': [5, 6], 'image': ['/old/a.jpg', '/old/b.jpg']})
    ...     table['split'] = ['train', 'test']
    ...     table.write(path)
    ...     recorded_splits(path, ['/old/b.jpg', '/new/a.jpg', 'c.jpg'], [6, 5, 4])
    array(['test', 'train', ''], dtype='<U5')
    """
    record = Path(record)
    paths = [record] if record.is_file() else sorted(record.glob('*.csv'))
    by_image, by_id = {}, {}
    for path in paths:
        table = _read_record(path)
        names = [resolve(beside(name, path.parent)) for name in table['image']]
        keys = {'image': (by_image, names)}
        if 'id' in table.colnames:
            keys['id'] = (by_id, map(str, table['id']))
        for known, column in keys.values():
            for key, split in zip(column, map(str, table['split']), strict=True):
                known[key] = min(known.get(key, ''), split, key=_rank)
    is_path = [isinstance(image, (str, os.PathLike)) for image in images]
    splits = [
        by_image.get(resolve(image), '') if known else ''
        for image, known in zip(images, is_path, strict=True)
    ]
    if ids is not None:
        splits = [
            split or by_id.get(str(key), '')
            for split, key in zip(splits, ids, strict=True)
        ]
    return np.array(splits, str)


def _read_record(path):
    try:
        table = Table.read(path, format='ascii.csv', converters={'*': str})
    except (OSError, ValueError) as error:
        raise LabelError((), f'{path} cannot be read as a table: {error}') from error
    for name in ('image', 'split'):
        if name not in table.colnames:
            raise LabelError((), f'{path} has no column {name!r}: {table.colnames}')
    return table


def _rank(split):
    return _ORDER.index(split) if split in _ORDER else len(_ORDER)


def resolve(path):
    """The one name of a file, whatever path leads to it."""
    return str(Path(path).resolve())


def _digest(task):
    """A hash of labels, splits and names of the images."""
    hashed = hashlib.sha256(task.labels.kind.encode())
    for name in ('values', 'low', 'high', 'bound'):
        known = getattr(task.labels, name)
        if known is not None:
            # Every NaN is the same.
            hashed.update(np.where(np.isnan(known), np.float32(-1e9), known).tobytes())
    if task.sizes is not None:
        hashed.update(f'{task.sizes.unit}'.encode())
        hashed.update(np.nan_to_num(task.sizes.value, nan=-1.0).tobytes())
    splits = [] if task.splits is None else task.splits
    hashed.update('\n'.join(map(str, splits)).encode())
    if task.table is not None and 'image' in task.table.colnames:
        column = task.table['image']
        if column.dtype.kind in 'UO' and len(column):
            # The data may be in another place, or called by another path. To ask
            # the disk for each would take long.
            paths = [Path(path).absolute() for path in column]
            start = len(os.path.commonpath([path.parent for path in paths]))
            hashed.update('\n'.join(path.as_posix()[start:] for path in paths).encode())
    return hashed.hexdigest()
