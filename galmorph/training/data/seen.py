# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a training has seen, kept beside its weights."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
from astropy.table import Table

from galmorph.exceptions import RecipeError
from galmorph.files import write_atomically

__all__ = ['record_data', 'trained_on']

_FOLDER = 'splits'
_DIGESTS = 'digests.json'


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
        known = task.table[columns][task.labels.is_known]
        known['image'] = [_absolute(path) for path in known['image']]
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
    seen = set()
    for path in Path(card).parent.joinpath(_FOLDER).glob('*.csv'):
        table = Table.read(path, converters={'*': str})
        rows = np.asarray(table['split'] == 'train')
        seen.update(map(str, table['image'][rows]))
    return np.array(
        [isinstance(i, (str, os.PathLike)) and _absolute(i) in seen for i in images],
        bool,
    )


def _absolute(path):
    return str(Path(path).resolve())


def _digest(task):
    """A hash of labels, splits and names of the images."""
    hashed = hashlib.sha256(task.labels.kind.encode())
    for name in ('values', 'low', 'high', 'bound'):
        known = getattr(task.labels, name)
        if known is not None:
            # Every NaN is the same.
            hashed.update(np.where(np.isnan(known), np.float32(-1e9), known).tobytes())
    splits = [] if task.splits is None else task.splits
    hashed.update('\n'.join(map(str, splits)).encode())
    if task.table is not None and 'image' in task.table.colnames:
        column = task.table['image']
        if column.dtype.kind in 'UO':
            hashed.update('\n'.join(map(str, column)).encode())
    return hashed.hexdigest()
