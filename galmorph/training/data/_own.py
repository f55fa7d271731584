# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables of the user's own, and CANDELS stamps, as data of a task."""

import functools

import numpy as np
from astropy import units as u
from astropy.io.registry import IORegistryError
from astropy.table import Table

from galmorph.exceptions import LabelError, RecipeError
from galmorph.inference.catalog import (
    coordinate_columns,
    coordinates_of,
    sizes_of,
)
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.training.data._columns import (
    Problems,
    choose_columns,
    join_rows,
    label_options,
)
from galmorph.training.data._targets import (
    make_targets,
    name_targets,
    with_unit,
    within,
)
from galmorph.training.data.labels import Labels, check_images, read_labels
from galmorph.training.data.layouts import TrainingTable
from galmorph.training.data.splits import split_by_id, split_by_position

_FRACTIONS = (0.8, 0.1, 0.1)
# Too few for a test.
_FEW = (0.8, 0.2)
_SPLITS = ('train', 'valid', 'test', 'unlabelled')
_IMAGE_COLUMNS = ('image', 'path', 'file', 'filename')


def read_own(source, schema_name, folder, *, is_taught=False, is_labelled=True):
    """Read tables of the user's own, and name the columns that were not used."""
    if source.table is None:
        msg = "the layout 'table' needs 'table', the file of the galaxies"
        raise RecipeError(msg)
    path = folder / source.table
    table = known = read_file(path)
    # One table is in its own order, even where a galaxy has two images.
    if is_labelled and source.labels is not None and folder / source.labels != path:
        known = read_file(folder / source.labels)
        may_miss = is_taught or source.select == 'all'
        way_out = "'select: all' takes them as unknown"
        known = join_rows(table, known, source.id, way_out, may_miss=may_miss)
    schema = load_schema(schema_name)
    if is_labelled:
        labels, used = _labels(known, source, schema, is_taught)
    else:
        labels, used = unknown_labels(len(known), schema), set()
    names, ids, images = _images(table, source, path, folder)
    rows = Table({'image': names, 'id': ids})
    # Long enough for every name.
    rows['split'] = _split(table, ids, source, path).astype('U10')
    sizes = _sizes(table, source.size, path)
    if sizes is not None:
        rows['size'] = sizes
    used |= {source.id, source.split, source.size}
    if source.mosaic is None:
        used.add(source.image or _image_column(table, path))
    if source.mosaic is not None or source.separation is not None:
        used |= set(coordinate_columns(table))
    columns = dict.fromkeys([*table.colnames, *known.colnames])
    return rows, images, labels, sizes, tuple(c for c in columns if c not in used)


def _labels(known, source, schema, is_taught):
    """The labels of a table, and the columns that they were read from."""
    columns = source.columns or None
    answers = {schema.name, *schema.columns, *schema.source_columns}
    if is_taught and columns is None and not answers & set(known.colnames):
        return unknown_labels(len(known), schema), set()
    options = label_options(known, schema, source.kind, columns)
    labels = read_labels(known, schema, **options)
    if labels.kind == 'classes':
        return labels, {options['columns'] or schema.name}
    used = set(choose_columns(known, schema, columns, Problems())) - {None}
    ends = [options[end] for end in ('low', 'high') if end in options]
    return labels, used | {name + end for name in used for end in ends}


def unknown_labels(n, schema):
    """Labels of galaxies of which nothing is known."""
    kind = 'attributes' if hasattr(schema, 'attributes') else 'fractions'
    values = np.full((n, schema.n_answers), np.nan)
    return Labels(kind, values, structure=schema.structure)


def _images(table, source, path, folder):
    """Names of images, identifiers, and images: paths, arrays, or of a mosaic."""
    if source.id is not None and source.id not in table.colnames:
        msg = f'{path} has no column {source.id!r}, only {table.colnames}'
        raise LabelError((), msg)
    ids = None if source.id is None else [str(name) for name in table[source.id]]
    if source.mosaic is not None:
        coords = _coordinates(table, path)
        images = make_targets(source.mosaic, coords, folder)
        names = name_targets(within(source.mosaic, folder), coords)
        return names, ids or [name.rpartition('#')[2] for name in names], images
    column = source.image or _image_column(table, path)
    if column not in table.colnames:
        raise LabelError((), f'{path} has no column {column!r}, only {table.colnames}')
    cells = table[column]
    if cells.ndim > 1:
        ids = ids or [str(row) for row in range(len(table))]
        return [f'{path}#{name}' for name in ids], ids, _arrays(cells)
    images = [str(path.parent / str(name)) for name in cells]
    check_images(images)
    # Not the paths, which change with the folder, and the splits with them.
    return images, ids or [str(name) for name in cells], images


def _arrays(column):
    pixels = np.asarray(getattr(column, 'unmasked', column))
    unit = getattr(column, 'unit', None)
    if unit is None:
        return list(pixels)
    return [functools.partial(with_unit, each, str(unit)) for each in pixels]


def _split(table, ids, source, path):
    """Read the split, or draw it."""
    if source.split:
        if source.split not in table.colnames:
            raise LabelError((), f'{path} has no column {source.split!r}')
        return _read_split(table[source.split])
    fractions = source.fractions or _FRACTIONS
    if source.separation is None:
        return split_by_id(ids, fractions, seed=source.split_seed)
    angle = u.Quantity(source.separation)
    try:
        return split_by_position(
            _coordinates(table, path),
            fractions,
            separation=angle,
            seed=source.split_seed,
        )
    except ValueError as error:
        raise LabelError((), f"'separation', in {path}: {error}") from error


def _coordinates(table, path):
    try:
        return coordinates_of(table)
    except ValueError as error:
        raise LabelError((), f'{path}: {error}') from error


def _sizes(table, size, path):
    """The sizes of a column, or one for all."""
    try:
        if size is not None and size not in table.colnames:
            size = u.Quantity(size)
        return sizes_of(table, size)
    except (TypeError, ValueError) as error:
        msg = (
            f"'size' {size!r} must be a column of {path}, or a value such as "
            f"'3 arcsec': {error}"
        )
        raise LabelError((), msg) from error


def read_file(path):
    """Read a table; what cannot be read is an error in labels."""
    try:
        return Table.read(path)
    except IORegistryError as error:
        msg = f'{path} is of no format that astropy knows by its name or content'
        raise LabelError((), msg) from error
    except (OSError, ValueError) as error:
        raise LabelError((), f'{path} cannot be read as a table: {error}') from error


def _image_column(table, path):
    for name in _IMAGE_COLUMNS:
        if name in table.colnames:
            return name
    msg = f"{path} has no column of images; name it with 'image', or a 'mosaic'"
    raise LabelError((), msg)


def _read_split(column):
    """Read the splits; a galaxy of none is not used."""
    mask = getattr(column, 'mask', np.zeros(len(column), bool))
    names = [str(name).strip() for name in column]
    names = np.where(mask | (np.array(names, str) == ''), 'unlabelled', names)
    problems = Problems()
    wrong = ~np.isin(names, _SPLITS)
    problems.add(column.name, f'none of the splits {list(_SPLITS)}', wrong, names)
    problems.raise_any()
    return names


def read_candels(folder):
    """Read FITS stamps in F160W with the fractions of Kartaltepe et al. (2015)."""
    inside = folder / 'candels_goodss'
    folder = inside if inside.is_dir() else folder
    if not (folder / 'labels.csv').is_file():
        raise LabelError((), f'{folder} has no labels.csv')
    table = Table.read(folder / 'labels.csv', format='ascii.csv')
    stamps = {p.name.split('_h.fits')[0]: p for p in folder.rglob('*_h.fits*')}
    table = table[[str(name) in stamps for name in table['ID']]]
    if not len(table):
        raise LabelError((), f'{folder} has no stamps ID_h.fits of its labels')
    schema = load_schema('candels5')
    columns = [name for name in table.colnames if name != 'ID']
    labels = read_labels(table, schema, columns=columns)
    ids = [str(name) for name in table['ID']]
    rows = Table({'id': ids, 'image': [str(stamps[name]) for name in ids]})
    rows['split'] = split_by_id(ids, _FEW)
    return TrainingTable(rows, {'candels5': labels}, Recipe(), _FEW)
