# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Readers of published data sets: images, labels and splits, checked."""

from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import MaskedColumn, Table

from galmorph.images import read_image
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema, zhu5_classes
from galmorph.training.data._tables import (
    TrainingTable,
    find_file,
    make_rows,
    read_csv,
)
from galmorph.training.data.labels import check_images, read_labels
from galmorph.training.data.sizing import infer_size
from galmorph.training.data.splits import dieleman_split

__all__ = [
    'TrainingTable',
    'list_layouts',
    'read_ceers',
    'read_efigi',
    'read_gz2',
    'read_kaggle',
    'read_layout',
    'read_stripe82',
    'zhu5_bounds',
]

# Zhu et al. (2019), table 1, on Kaggle's columns; the first cut of each class
# follows from the second.
_BOUNDS = (
    {'Class7.1': 0.5},
    {'Class7.2': 0.5},
    {'Class7.3': 0.5},
    {'Class2.1': 0.602},
    {'Class2.2': 0.715, 'Class4.1': 0.619},
)

# How wide a frame is: EFIGI's in Petrosian R90, within 15 %; that of CEERS in
# half-light radii. The user guide, "Recipes", says where both are from.
_EFIGI_FRAME, _CEERS_FRAME = 3.92, 16.96


def list_layouts():
    """
    List the data sets that have a reader.

    Returns
    -------
    names : list of str
        What `read_layout` takes.

    Examples
    --------
    >>> from galmorph.training.data.layouts import list_layouts
    >>> list_layouts()
    ['ceers', 'efigi', 'gz2', 'kaggle', 'stripe82']
    """
    return sorted(_READERS)


def read_layout(name, folder):
    """
    Read a data set by its name.

    Parameters
    ----------
    name : str
        One of `list_layouts`.
    folder : str or path
        Its folder, or one above it.

    Returns
    -------
    data : `TrainingTable`
        Images and labels.

    Raises
    ------
    ValueError
        If there is no such data set.
    `~galmorph.exceptions.LabelError`
        If a file is missing, or labels are impossible.

    Examples
    --------
    >>> from galmorph.training.data.layouts import read_layout
    >>> read_layout('gz2', 'no_such_folder')
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: no_such_folder has neither labels.csv nor \
training_solutions_rev1.csv nor gz2/labels.csv
    """
    if name not in _READERS:
        msg = f'there is no layout {name!r}; choose from {list_layouts()}'
        raise ValueError(msg)
    return _READERS[name](folder)


def read_kaggle(folder):
    """
    Read Kaggle's Galaxy Challenge, as it is downloaded.

    Parameters
    ----------
    folder : str or path
        With ``training_solutions_rev1.csv``, and the JPEGs in
        ``images_training_rev1``.

    Returns
    -------
    data : `TrainingTable`
        Labels 'gz2', and 'zhu5' by `~galmorph.schemas.zhu5_classes`; the
        split is `~galmorph.training.data.splits.dieleman_split`.

    Raises
    ------
    `~galmorph.exceptions.LabelError`
        If a file is missing, or labels are impossible.

    Examples
    --------
    >>> from galmorph.training.data.layouts import read_kaggle
    >>> read_kaggle('no_such_folder')
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: no_such_folder has no training_solutions_rev1.csv
    """
    file = find_file(folder, 'training_solutions_rev1.csv')
    table = read_csv(file)
    ids = np.array(table['GalaxyID']).astype(str)
    images = file.parent / 'images_training_rev1'
    labels = read_labels(table, load_schema('gz2'))
    classes = Table({'zhu5': zhu5_classes(labels.values)})
    data = Table(
        {
            'id': ids,
            'image': [str(images / f'{name}.jpg') for name in ids],
            'split': dieleman_split(ids),
        }
    )
    check_images(data['image'])
    zhu5 = read_labels(classes, load_schema('zhu5'), kind='classes')
    return TrainingTable(data, {'gz2': labels, 'zhu5': zhu5}, Recipe(), (0.9, 0.1))


def read_gz2(folder):
    """
    Read Galaxy Zoo 2 frames with a table of fractions and classes.

    Parameters
    ----------
    folder : str or path
        With ``labels.csv``: ``GalaxyID``, ``file``, ``split``, the 37 columns of
        Kaggle, blank where unknown, and ``zhu5``; or the folder above, ``gz2``
        within it. A folder in Kaggle's own layout is read as `read_kaggle`
        does.

    Returns
    -------
    data : `TrainingTable`
        Labels 'gz2', with bounds where only the class is known, and 'zhu5'.

    Raises
    ------
    `~galmorph.exceptions.LabelError`
        If a file is missing, or labels are impossible.

    Examples
    --------
    >>> from galmorph.training.data.layouts import read_gz2
    >>> read_gz2('no_such_folder')
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: no_such_folder has neither labels.csv nor \
training_solutions_rev1.csv nor gz2/labels.csv
    """
    file = find_file(folder, 'labels.csv', 'gz2', 'training_solutions_rev1.csv')
    if file.name == 'training_solutions_rev1.csv':
        return read_kaggle(file.parent)
    table = read_csv(file)
    data = make_rows(table, file.parent, np.array(table['GalaxyID']).astype(str))
    zhu5 = read_labels(table, load_schema('zhu5'), kind='classes')
    labels = read_labels(table, load_schema('gz2'))
    bound = zhu5_bounds(zhu5)
    # Votes say more than the class that was cut from them.
    bound[np.isfinite(labels.values).any(1)] = np.nan
    labels = {'gz2': labels.with_bound(bound), 'zhu5': zhu5}
    return TrainingTable(data, labels, Recipe())


def zhu5_bounds(labels):
    """
    Say what a class of Zhu et al. (2019) tells of the fractions.

    Parameters
    ----------
    labels : `~galmorph.training.data.labels.Labels`
        Classes of the schema 'zhu5'.

    Returns
    -------
    bound : `~numpy.ndarray`, shape (n, 37)
        Path probabilities of the schema 'gz2' that each galaxy exceeds; NaN
        where nothing is known.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.data.labels import Labels
    >>> from galmorph.training.data.layouts import zhu5_bounds
    >>> bound = zhu5_bounds(Labels('classes', np.eye(5)[[3]]))
    >>> np.flatnonzero(np.isfinite(bound[0])), float(bound[0, 3])
    (array([3]), 0.6019999980926514)
    """
    columns = load_schema('gz2').source_columns
    bound = np.full((len(labels), len(columns)), np.nan, np.float32)
    for index, thresholds in enumerate(_BOUNDS):
        rows = labels.classes == index
        for column, threshold in thresholds.items():
            bound[rows, columns.index(column)] = threshold
    return bound


def read_stripe82(folder):
    """
    Read Stripe 82 pictures of a fixed scale, with conditional fractions.

    The size of the galaxies is not known; `~galmorph.training.data.sizing.infer_size`
    finds it.

    Parameters
    ----------
    folder : str or path
        With ``labels.csv``: ``objid``, ``file``, ``split``, and 37 columns that end in
        ``_fraction``, in the order of the schema; or the folder above,
        ``gz2_stripe82`` within it.

    Returns
    -------
    data : `TrainingTable`
        Labels 'gz2'; a question without votes is unknown.

    Raises
    ------
    `~galmorph.exceptions.LabelError`
        If a file is missing, or labels are impossible.

    Examples
    --------
    >>> from galmorph.training.data.layouts import read_stripe82
    >>> read_stripe82('no_such_folder')
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: no_such_folder has neither labels.csv nor \
gz2_stripe82/labels.csv
    """
    file = find_file(folder, 'labels.csv', 'gz2_stripe82')
    table = read_csv(file)
    columns = [name for name in table.colnames if name.endswith('_fraction')]
    labels = read_labels(table, load_schema('gz2'), kind='conditional', columns=columns)
    data = make_rows(table, file.parent, np.array(table['objid']).astype(str))
    sizes = [infer_size(read_image(path).data) for path in data['image']]
    data['size'] = sizes * u.pix
    return TrainingTable(data, {'gz2': labels}, Recipe())


def read_ceers(folder):
    """
    Read Galaxy Zoo CEERS: JWST stamps with numbers of votes.

    Parameters
    ----------
    folder : str or path
        With ``votes.csv``: ``file``, ``split``, and 39 columns of votes in the order
        of the schema; or the folder above, ``gz_ceers`` within it.

    Returns
    -------
    data : `TrainingTable`
        Labels 'gz_ceers', of the kind 'counts'. The recipe has one band and
        its own frame.

    Raises
    ------
    `~galmorph.exceptions.LabelError`
        If a file is missing, or labels are impossible.

    Examples
    --------
    >>> from galmorph.training.data.layouts import read_ceers
    >>> read_ceers('no_such_folder')
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: no_such_folder has neither votes.csv nor \
gz_ceers/votes.csv
    """
    file = find_file(folder, 'votes.csv', 'gz_ceers')
    table = read_csv(file)
    columns = [name for name in table.colnames if '__' in name]
    labels = read_labels(table, load_schema('gz_ceers'), kind='counts', columns=columns)
    data = make_rows(table, file.parent, [Path(name).stem for name in table['file']])
    recipe = Recipe(
        bands=('F200W',), unit='nJy', stretch='asinh-image', survey='JWST',
        size='half_light_radius', surface_brightness=(1.0,), mean=(0.0,), std=(1.0,),
        frame_size=212, frame_scale=_CEERS_FRAME / 212, step=150 / 112,
        output_size=112, views=(0.0,), antialias=1.0,
    )  # fmt: skip
    return TrainingTable(data, {'gz_ceers': labels}, recipe)


def read_efigi(folder):
    """
    Read EFIGI: Hubble types and attributes, with intervals.

    Parameters
    ----------
    folder : str or path
        With ``attributes.csv``: ``PGC_name``, ``file``, ``split``, and for each
        attribute its value, and with ``_inf`` and ``_sup`` its interval; or the
        folder above, ``efigi`` within it. A value of -1 with the interval from
        -1 to -1 is undefined, that of T excepted.

    Returns
    -------
    data : `TrainingTable`
        Labels 'efigi'. The recipe has its own frame.

    Raises
    ------
    `~galmorph.exceptions.LabelError`
        If a file is missing, or labels are impossible.

    Examples
    --------
    >>> from galmorph.training.data.layouts import read_efigi
    >>> read_efigi('no_such_folder')
    Traceback (most recent call last):
    ...
    galmorph.exceptions.LabelError: no_such_folder has neither attributes.csv nor \
efigi/attributes.csv
    """
    file = find_file(folder, 'attributes.csv', 'efigi')
    table, schema = read_csv(file), load_schema('efigi')
    for name in set(schema.source_columns) & set(table.colnames) - {'T'}:
        names = [name, f'{name}_inf', f'{name}_sup']
        undefined = np.all([table[n] == -1 for n in names], axis=0)
        for each in names:
            table[each] = MaskedColumn(table[each], mask=np.asarray(undefined))
    labels = read_labels(table, schema, kind='attributes', low='_inf', high='_sup')
    data = make_rows(table, file.parent, np.array(table['PGC_name']).astype(str))
    recipe = Recipe(
        frame_size=88, frame_scale=_EFIGI_FRAME / 88, step=88 / 112,
        output_size=112, views=(0.0,),
    )  # fmt: skip
    return TrainingTable(data, {'efigi': labels}, recipe)


_READERS = {
    'ceers': read_ceers,
    'efigi': read_efigi,
    'gz2': read_gz2,
    'kaggle': read_kaggle,
    'stripe82': read_stripe82,
}
