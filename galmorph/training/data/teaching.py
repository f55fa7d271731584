# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Labels by a teacher, for images that have none."""

import dataclasses
import math
from pathlib import Path

import numpy as np

from galmorph.exceptions import LabelError, RecipeError
from galmorph.training.data._columns import Problems, match_rows
from galmorph.training.data._own import read_file
from galmorph.training.data._targets import open_images
from galmorph.training.data.cache import digest_images
from galmorph.training.data.labels import Labels, read_labels
from galmorph.weights import load_card

__all__ = ['check_teacher', 'teach']

# Galaxies that are held in memory at a time, where they are not in files.
_PART = 1024

_WAY_OUT = 'scripts/make_soft_labels.py of the sources writes one'


def teach(
    source, teacher, schema, folder=None, *, data=None, device=None, progress_bar=False
):
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
        Where to keep the answers of weights for another time.
    data : path-like, optional
        The folder of the data, where the table of a teacher is looked for
        before the current folder.
    device : str, optional
        Where weights run, as `~galmorph.MorphologyClassifier` takes it.
    progress_bar : bool, optional
        Whether to show how far they are.

    Returns
    -------
    taught : `~galmorph.training.data.reading.TaskSource`
        The galaxies of the training, and those without a label.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If the teacher answers another schema.
    galmorph.exceptions.LabelError
        If the table of the teacher is not there, is not of these galaxies, or
        has one of them twice.

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
    check_teacher(teacher, schema)
    # What validates or tests must not be taught, not even by a teacher.
    split = np.asarray(source.table['split'])
    rows = source[np.isin(split, ('train', 'unlabelled'))]
    rows.table['split'] = 'train'
    if teacher.weights is not None:
        from galmorph import MorphologyClassifier

        classifier = MorphologyClassifier(
            teacher.weights, device, n_transforms=teacher.n_transforms
        )
        values = _answers(rows, classifier, folder, progress_bar=progress_bar)
    else:
        values = _read_answers(rows, teacher.table, schema, data)
    labels = Labels('fractions', values, structure=schema.structure)
    rows = dataclasses.replace(rows, labels=labels)
    return rows[labels.is_known]


def check_teacher(teacher, schema):
    """
    Make sure that the weights of a teacher answer the questions.

    Parameters
    ----------
    teacher : `~galmorph.training.parts.Teacher`
        The teacher; one with a table is not looked at.
    schema : `~galmorph.schemas.DecisionTree` or attribute schema
        The questions.

    Raises
    ------
    galmorph.exceptions.RecipeError
        If they answer others.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> from galmorph.training.parts import Teacher
    >>> from galmorph.training.data.teaching import check_teacher
    >>> check_teacher(Teacher(weights='dieleman.gz2'), load_schema('gz2'))
    """
    if teacher.weights is None:
        return
    card = load_card(teacher.weights)
    if card.schema != schema.name:
        msg = (
            f'the teacher {teacher.weights!r} answers {card.schema!r}, not '
            f'{schema.name!r}'
        )
        raise RecipeError(msg)


def _read_answers(rows, name, schema, data):
    """What a table says of galaxies; NaN of those that it does not have."""
    path = next((p for p in (Path(data or '.', name), Path(name)) if p.is_file()), None)
    if path is None:
        places = 'in the current folder'
        if data is not None and not Path(name).is_absolute():
            places = f'in {str(data)!r} or {places}'
        msg = f"the 'table' of the teacher, {name!r}, is not {places}; {_WAY_OUT}"
        raise LabelError((), msg)
    try:
        table = read_file(path)
    except LabelError as error:
        msg = f"the 'table' of the teacher: {error}; {_WAY_OUT}"
        raise LabelError((), msg) from error
    if 'id' not in table.colnames:
        msg = (
            f"the 'table' of the teacher, {str(path)!r}, has no column 'id', only "
            f'{table.colnames}; {_WAY_OUT}'
        )
        raise LabelError((), msg)
    problems = Problems()
    picked = match_rows(table['id'], rows.table['id'], 'id', problems)
    try:
        problems.raise_any()
        labels = read_labels(table, schema, tolerance=0.02)
    except LabelError as error:
        msg = f"the 'table' of the teacher, {str(path)!r}: {error}\n{_WAY_OUT}"
        raise LabelError(error.rows, msg) from error
    if len(picked) and not (picked >= 0).any():
        msg = (
            f"the 'table' of the teacher, {str(path)!r}, has no 'id' of the "
            f'{len(rows)} galaxies, such as {str(next(iter(rows.table["id"]), ""))!r}; '
            f'{_WAY_OUT}'
        )
        raise LabelError((), msg)
    return np.where(picked[:, None] < 0, np.nan, labels.values[picked])


def _answers(rows, classifier, folder, *, progress_bar=False):
    """What a classifier says of images; kept in a file, for it takes long."""
    told_by = classifier.card.sha256, classifier.n_transforms
    digest = digest_images(rows.images, classifier.recipe, rows.sizes, told_by)
    path = None
    if folder is not None and digest is not None:
        path = Path(folder) / f'teacher_{digest[:16]}.npy'
    if path is not None and path.exists():
        return np.load(path)
    if all(isinstance(image, str) for image in rows.images):
        shown = {'size': rows.sizes, 'progress_bar': progress_bar}
        found = [classifier.classify(rows.images, **shown)]
    else:
        parts = np.array_split(np.arange(len(rows)), math.ceil(len(rows) / _PART))
        from tqdm.auto import tqdm

        parts = tqdm(parts, unit=' parts', disable=not progress_bar)
        found = [_classify(rows[part], classifier) for part in parts]
    values = [each.probabilities.filled(np.nan) for each in found]
    values = np.concatenate(values, dtype=np.float32)
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix('.tmp.npy')
        np.save(temporary, values)
        temporary.replace(path)
    return values


def _classify(rows, classifier):
    images = open_images(rows.images, classifier.recipe, rows.sizes)
    return classifier.classify(list(images), size=rows.sizes)
