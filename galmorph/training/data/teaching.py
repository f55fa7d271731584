# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Labels by a teacher, for images that have none."""

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
from astropy.table import Table

from galmorph.exceptions import RecipeError
from galmorph.training.data.labels import Labels, read_labels

__all__ = ['teach']


def teach(source, teacher, schema, folder=None):
    """
    Replace labels by those of a teacher; what is not to be learnt is left out.

    Parameters
    ----------
    source : `~galmorph.training.data.reading.TaskSource`
        The galaxies.
    teacher : `~galmorph.training.parts.Teacher`
        The teacher.
    schema : `~galmorph.schemas.DecisionTree` or attribute schema
        The questions.
    folder : path-like, optional
        Where to keep the answers for another time.

    Returns
    -------
    taught : `~galmorph.training.data.reading.TaskSource`
        The galaxies of the training, and those without a label.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If the teacher answers another schema.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> from galmorph.training.parts import Teacher
    >>> from galmorph.training.data.teaching import teach
    >>> teach([], Teacher(weights='dieleman.gz2'), load_schema('zhu5'))
    Traceback (most recent call last):
        ...
    galmorph.exceptions.RecipeError: the teacher 'dieleman.gz2' answers 'gz2', ...
    """
    if teacher.weights is not None:
        from galmorph import MorphologyClassifier

        classifier = MorphologyClassifier(
            teacher.weights, n_transforms=teacher.n_transforms
        )
        if classifier.card.schema != schema.name:
            msg = (
                f'the teacher {teacher.weights!r} answers {classifier.card.schema!r}, '
                f'not {schema.name!r}'
            )
            raise RecipeError(msg)
    # What validates or tests must not be taught, not even by a teacher.
    split = np.asarray(source.table['split'])
    rows = source[np.isin(split, ('train', 'unlabelled'))]
    rows.table['split'] = 'train'
    if teacher.weights is not None:
        values = _answers(rows, classifier, folder)
    else:
        table = Table.read(teacher.table)
        order = {str(name): row for row, name in enumerate(table['id'])}
        picked = [order.get(str(name), -1) for name in rows.table['id']]
        labels = read_labels(table, schema, tolerance=0.02)
        values = np.where(np.array(picked)[:, None] < 0, np.nan, labels.values[picked])
    labels = Labels('fractions', values, structure=schema.structure)
    rows = dataclasses.replace(rows, labels=labels)
    return rows[labels.is_known]


def _answers(rows, classifier, folder):
    """What a classifier says of images; kept in a file, for it takes long."""
    text = '\n'.join(map(str, rows.table['image']))
    sizes = '' if rows.sizes is None else list(rows.sizes.value)
    key = f'{classifier.card.sha256} {classifier.n_transforms} {text}{sizes}'
    name = hashlib.sha256(key.encode()).hexdigest()[:16]
    path = None if folder is None else Path(folder) / f'teacher_{name}.npy'
    if path is not None and path.exists():
        return np.load(path)
    found = classifier.classify(rows.images, size=rows.sizes)
    values = np.asarray(found.probabilities.filled(np.nan), np.float32)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix('.tmp.npy')
        np.save(temporary, values)
        temporary.replace(path)
    return values
