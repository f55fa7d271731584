# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Galaxies with labels, as the command line names them."""

import dataclasses
from pathlib import Path

import numpy as np
from astropy.table import QTable

from galmorph.cli import inputs
from galmorph.cli.outputs import RequestError

__all__ = []

# The data set that a folder is taken to hold, by the schema of the weights.
_LAYOUTS = {
    'gz2': 'gz2',
    'zhu5': 'gz2',
    'gz_ceers': 'ceers',
    'efigi': 'efigi',
    'candels5': 'candels',
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Galaxies:
    """What is evaluated, and images and galaxies as a training names them."""

    table: object
    labels: object
    options: dict
    names: list
    ids: list
    # Whether the reader made up the column 'split'.
    is_drawn: bool = False


def read_galaxies(arguments, schema):
    """Read a table, or a folder with a published data set."""
    read = _read_folder if Path(arguments.table).is_dir() else _read_table
    return read(arguments, schema)


def _read_folder(arguments, schema):
    from galmorph.exceptions import LabelError
    from galmorph.training.data._own import read_candels
    from galmorph.training.data.layouts import list_layouts, read_layout

    if arguments.mosaic:
        msg = f'--mosaic needs a table, and {arguments.table!r} is a folder'
        raise RequestError(msg)
    # One question of a tree is 'tree/question'.
    layout = arguments.layout or _LAYOUTS.get(schema.name.partition('/')[0])
    known = [*list_layouts(), 'candels']
    if layout not in known:
        msg = (
            f'no data set is known that has labels of {schema.name!r}; give a table, '
            f'or one of {known} as --layout'
        )
        raise RequestError(msg)
    folder = Path(arguments.table)
    try:
        data = (
            read_candels(folder) if layout == 'candels' else read_layout(layout, folder)
        )
    except LabelError as error:
        raise RequestError(str(error)) from error
    labels = data.labels_of(schema.name)
    if labels is None:
        msg = (
            f'the data set {layout!r} has labels of {sorted(data.labels)}, and '
            f'{arguments.weights!r} answers {schema.name!r}'
        )
        raise RequestError(msg)
    return _Galaxies(
        table=data.table,
        labels=labels,
        options={'size': data.sizes},
        names=list(data.table['image']),
        ids=list(data.table['id']),
        is_drawn=data.fractions is not None,
    )


def _read_table(arguments, schema):
    from galmorph.exceptions import LabelError
    from galmorph.inference.catalog import coordinates_of, image_column
    from galmorph.training.data._columns import join_rows, label_options
    from galmorph.training.data._targets import name_targets
    from galmorph.training.data.labels import read_labels

    table, images = inputs.collect(
        [arguments.table], image=arguments.image, mosaic=arguments.mosaic
    )
    known = table
    columns = inputs.parse_names(arguments.columns)
    try:
        if arguments.labels:
            known = inputs.read_catalogue(arguments.labels)
            way_out = 'leave them out of the galaxies'
            known = join_rows(table, known, arguments.id, way_out)
        reading = label_options(known, schema, arguments.kind, columns)
        labels = read_labels(known, schema, **reading)
    except (LabelError, ValueError) as error:
        raise RequestError(str(error)) from error
    options = {'size': inputs.parse_size(arguments.size, table)}
    if arguments.mosaic:
        options['mosaic'] = arguments.mosaic
        names = name_targets(arguments.mosaic, coordinates_of(table))
        ids = _ids_of(arguments, table, [name.rpartition('#')[2] for name in names])
    else:
        options['image'] = column = image_column(table, arguments.image)
        is_named = table[column].ndim == 1
        ids = _ids_of(
            arguments, table, table[column] if is_named else range(len(table))
        )
        names = images if is_named else [f'{arguments.table}#{name}' for name in ids]
        # Paths, as they are found from here, or images of any shape.
        cells = np.empty(len(table), object)
        for row, image in enumerate(images):
            cells[row] = image
        table = QTable({**{n: table[n] for n in table.colnames}, column: cells})
    return _Galaxies(table=table, labels=labels, options=options, names=names, ids=ids)


def _ids_of(arguments, table, default):
    """Identifiers as a training of the same table has them."""
    if arguments.id is None:
        return list(default)
    if arguments.id not in table.colnames:
        msg = f'--id {arguments.id!r} is no column of TABLE; it has {table.colnames}'
        raise RequestError(msg)
    return list(table[arguments.id])
