# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Catalogues that a cluster works on: Dask data frames, and LSDB on top of them."""

import ast
import copy
import functools
import importlib
import json
import os
import secrets
import sys
import threading
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from galmorph.inference import catalog
from galmorph.inference.feeds import make_feed, make_reader

__all__ = ['annotate']

__doctest_requires__ = {'annotate': ['dask.dataframe', 'distributed']}

# A worker with several threads works on one partition at a time: the network has
# the device for itself, and the classifier has threads of its own.
_ONE_AT_A_TIME = threading.Lock()


def annotate(
    catalogue,
    weights=None,
    *,
    image=None,
    mosaic=None,
    survey=None,
    size=None,
    hdu=None,
    bands=None,
    unit=None,
    columns='all',
    device=None,
    precision=None,
    batch_size=None,
    n_transforms=1,
    zooms=(1.0,),
    n_workers=None,
    overwrite=False,
):
    """
    Annotate a catalogue of Dask or LSDB.

    Nothing is computed yet: the catalogue that comes back is as lazy as the one
    given, and its partitions are annotated by whatever computes or writes it.
    Each worker loads the weights once, when its first partition comes, and opens
    the images by itself: paths must be right on the workers.

    Parameters
    ----------
    catalogue : ``dask.dataframe.DataFrame`` or ``lsdb.catalog.Catalog``
        A row a galaxy. It is not modified.
    weights : str, `~pathlib.Path` or list of them, optional
        As in `~galmorph.MorphologyClassifier`. A name has to be known to the
        workers too; of weights of one's own give the path of the card.
    image : str, optional
        The column of image paths, as in
        `~galmorph.MorphologyClassifier.predict_table`.
    mosaic : path-like, list or dict, optional
        The files that hold the targets: a path, a pattern such as
        ``'tiles/*.fits'``, a folder, a URL, a list of these, or a dict of these by
        the names of bands.
    survey : str, optional
        The name of a survey to fetch images from.
    size : str or `~astropy.units.Quantity`, optional
        The column of the radii, in arcseconds; or one radius for all.
    hdu, bands, unit, columns, overwrite : optional
        As in `~galmorph.MorphologyClassifier.predict_table`.
    device : str, optional
        As in `~galmorph.MorphologyClassifier`. With 'auto', the workers of a
        machine share its GPUs, of which they see those that
        ``CUDA_VISIBLE_DEVICES`` names: each takes the one of its number.
    precision, batch_size, n_transforms, zooms : optional
        As in `~galmorph.MorphologyClassifier`.
    n_workers : int, optional
        Threads of each worker that read and prepare images; by default as many as
        Dask gave it.

    Returns
    -------
    annotated : ``dask.dataframe.DataFrame`` or ``lsdb.catalog.Catalog``
        The same partitions, rows, order and index, and new columns as
        `~galmorph.MorphologyClassifier.predict_table` adds them: ``float32``,
        ``int32`` and strings of Arrow, null where they are masked there.

    Raises
    ------
    ImportError
        If Dask is not installed, or LSDB where it is needed.
    TypeError
        If the catalogue is of another kind, or an argument cannot be sent to
        workers.
    ValueError
        If the catalogue lacks a column, or has one of the new ones already.
    `~galmorph.exceptions.WeightsError`
        If the weights are unknown or damaged.

    Notes
    -----
    Positions are those of the catalogue where LSDB tells them, else columns named
    like ``ra`` and ``dec``, in degrees.

    What the answers came from goes along, in the keywords of
    `~galmorph.predictions.make_meta`; the date is that of the call. Of a Dask data
    frame it is in the ``attrs`` of each partition and of what ``compute`` gives,
    and ``to_parquet`` writes it. Of a catalogue of LSDB it is in
    ``annotated.hc_structure.catalog_info.extra_dict()``, and
    ``annotated.write_catalog`` writes it to ``hats.properties``.

    Examples
    --------
    >>> import dask.dataframe as dd
    >>> import pandas as pd
    >>> from galmorph.inference.distributed import annotate
    >>> frame = pd.DataFrame({'name': ['a', 'b'], 'path': ['a.fits', 'b.fits']})
    >>> catalogue = dd.from_pandas(frame, npartitions=2)
    >>> annotated = annotate(catalogue, device='cpu', columns='best')
    >>> annotated.npartitions, annotated.columns.tolist()
    (2, ['name', 'path', 'morphology_class', 'morphology_probability',
    'morphology_path', 'morphology_flags', 'morphology_reason'])

    On a cluster of two processes on this machine::

        import lsdb
        from dask.distributed import Client
        from galmorph.inference.distributed import annotate

        if __name__ == '__main__':
            with Client(n_workers=2, threads_per_worker=1):
                catalogue = lsdb.open_catalog('sdss', columns=['ra', 'dec', 'r90'])
                annotated = annotate(
                    catalogue, mosaic='tiles/*.fits', size='r90', columns='best')
                annotated.write_catalog('morphology')
    """
    is_lsdb = _is_lsdb(catalogue)
    meta = catalogue.meta if is_lsdb else catalogue._meta  # noqa: SLF001
    positions = None
    if is_lsdb and (mosaic is not None or survey is not None):
        info = catalogue.hc_structure.catalog_info
        positions = info.ra_column, info.dec_column
    from galmorph.classifier import MorphologyClassifier

    # One that no device is needed for tells the columns. What is not given is
    # taken from the settings here, not those of the workers.
    told = MorphologyClassifier(
        _sendable_weights(weights),
        device,
        precision=precision,
        batch_size=batch_size,
        n_transforms=n_transforms,
        zooms=zooms,
    )
    options = {
        'weights': _sendable_weights(told.weights),
        'device': str(told.device),
        'precision': told.precision,
        'batch_size': told.batch_size,
        'n_transforms': n_transforms,
        'zooms': tuple(float(zoom) for zoom in zooms),
        'n_workers': n_workers,
    }
    reading = {
        'image': image,
        'survey': _sendable_survey(survey),
        'size': _sendable_size(size),
        'hdu': hdu,
        'bands': bands,
        'unit': None if unit is None else str(u.Unit(unit)),
    }
    mosaic = _sendable_mosaic(mosaic)
    template, names = _template(meta, positions)
    feed = _check(template, told.recipe, mosaic, reading)
    made, provenance = _columns_of(options, columns)
    _check_names(template, made, overwrite=overwrite)
    if feed is None:
        needed = catalog.coordinate_columns(template)
        needed += [size] if isinstance(size, str) else []
    else:
        needed = feed.names
        provenance.update(feed.provenance)
    job = {
        'run': secrets.token_hex(8),
        'classifier': options,
        'mosaic': mosaic,
        'reading': reading,
        'columns': columns if isinstance(columns, str) else list(columns),
        'names': {name: names[name] for name in needed},
        'attrs': _meta_of(provenance, options),
    }
    empty = _attach(meta, made, job['attrs'])
    annotated = catalogue.map_partitions(_annotate_partition, job, meta=empty)
    if is_lsdb:
        structure = copy.copy(annotated.hc_structure)
        structure.catalog_info = structure.catalog_info.copy_and_update(**job['attrs'])
        annotated.hc_structure = structure
    return annotated


def _is_lsdb(catalogue):
    data_frames = _import('dask.dataframe', 'dask')
    if isinstance(catalogue, data_frames.DataFrame):
        return False
    if isinstance(catalogue, _import('lsdb', 'lsdb').catalog.Catalog):
        return True
    msg = (
        'catalogue must be a dask.dataframe.DataFrame or a catalogue of LSDB, not '
        f'{type(catalogue).__name__}; MorphologyClassifier.predict_table takes tables'
    )
    raise TypeError(msg)


def _import(name, extra):
    try:
        return importlib.import_module(name)
    except ImportError as error:
        msg = (
            f'annotating this catalogue needs {name}: pip install '
            f"'astro-galmorph[{extra}]'"
        )
        raise ImportError(msg) from error


def _sendable_weights(weights):
    """Names as they are, and paths that are right from any folder."""
    if weights is None:
        return None
    if isinstance(weights, (list, tuple)):
        return [_sendable_weights(one) for one in weights]
    if not isinstance(weights, (str, os.PathLike)):
        msg = (
            'weights must be a name or the path of a card, not '
            f'{type(weights).__name__}: each worker loads them by itself'
        )
        raise TypeError(msg)
    path = Path(weights)
    return str(path.absolute()) if path.is_file() else str(weights)


def _sendable_survey(survey):
    if survey is None or isinstance(survey, str):
        return survey
    msg = (
        f'survey must be a name, not {type(survey).__name__}: each worker opens it by '
        'itself, with the settings that it finds'
    )
    raise TypeError(msg)


def _sendable_mosaic(mosaic):
    if isinstance(mosaic, dict):
        return {str(band): _sendable_mosaic(some) for band, some in mosaic.items()}
    if isinstance(mosaic, (list, tuple)):
        return [_sendable_mosaic(one) for one in mosaic]
    if mosaic is None or (isinstance(mosaic, str) and '://' in mosaic):
        return mosaic
    if isinstance(mosaic, (str, os.PathLike)):
        return str(Path(mosaic).expanduser().absolute())
    msg = (
        f'mosaic must name files, not be a {type(mosaic).__name__}: each worker opens '
        'them by itself'
    )
    raise TypeError(msg)


def _sendable_size(size):
    if size is None or isinstance(size, str):
        return size
    if not (isinstance(size, u.Quantity) and size.isscalar):
        msg = f'size must name a column, or be one Quantity for all, not {size!r}'
        raise TypeError(msg)
    return float(size.value), str(size.unit)


def _received_size(size):
    return u.Quantity(*size) if isinstance(size, tuple) else size


def _template(meta, positions):
    """Make a table without rows, and tell the columns of the catalogue in it."""
    names = {name: name for name in meta.columns if isinstance(name, str)}
    if positions:
        found = {name for name in names if name.lower() in ('ra', 'dec')}
        names = {name: names[name] for name in names if name not in found}
        names = {**dict(zip(('ra', 'dec'), positions, strict=True)), **names}
    empty = meta.iloc[:0]
    return Table({name: _column(empty[own]) for name, own in names.items()}), names


def _check(template, recipe, mosaic, reading):
    """Find out at once what has no meaning; return the feed unless of a mosaic."""
    reading = {**reading, 'size': _received_size(reading['size'])}
    size = reading['size']
    if isinstance(size, str) and size in template.colnames:
        kind = template[size].dtype
        if kind.kind != 'f':
            msg = f'size={size!r} must hold numbers, not {kind}'
            raise ValueError(msg)
    if mosaic is None or reading['image'] or reading['survey']:
        return make_feed(template, recipe, mosaic=mosaic, **reading)
    # The mosaic itself is opened by the workers.
    catalog.coordinates_of(template)
    catalog.sizes_of(template, size)
    make_reader(reading['hdu'], reading['bands'], reading['unit'])
    return None


def _columns_of(options, columns):
    """Make the columns that a table without rows gets, and the provenance."""
    from galmorph.classifier import MorphologyClassifier

    classifier = MorphologyClassifier(
        options['weights'],
        'cpu',
        precision='float32',
        n_transforms=options['n_transforms'],
        zooms=options['zooms'],
    )
    no_images = Table({'image': np.empty(0, object)})
    table = classifier.predict_table(no_images, columns=columns)
    made = {name: table[name] for name in table.colnames if name != 'image'}
    return made, json.loads(table.meta['GM_PROV'])


def _meta_of(provenance, options):
    from galmorph.predictions import make_meta

    given = {key: options[key] for key in ('device', 'precision')}
    return make_meta({**provenance, **given})


def _check_names(template, made, *, overwrite):
    from galmorph.predictions import annotate_table

    annotate_table(template, list(made.values()), overwrite=overwrite)


def _annotate_partition(frame, job):
    """Annotate a pandas data frame; all that tells how is in the job."""
    names = job['names']
    table = Table({name: _column(frame[own]) for name, own in names.items()})
    reading = {**job['reading'], 'size': _received_size(job['reading']['size'])}
    with _ONE_AT_A_TIME:
        classifier = _load_classifier(repr(job['classifier']))
        mosaic = job['mosaic']
        if mosaic is not None:
            mosaic = _open_mosaic(
                repr({key: job[key] for key in ('run', 'mosaic', 'reading')})
            )
        annotated = classifier.predict_table(
            table, mosaic=mosaic, columns=job['columns'], **reading
        )
    made = {name: annotated[name] for name in annotated.colnames if name not in names}
    return _attach(frame, made, job['attrs'])


@functools.lru_cache(maxsize=1)
def _load_classifier(options):
    """Keep the network of the last options: a worker loads it once."""
    from galmorph.classifier import MorphologyClassifier

    options = ast.literal_eval(options)
    if options['device'] == 'auto':
        options['device'] = _own_device()
    if options['n_workers'] is None:
        options['n_workers'] = _n_threads()
    return MorphologyClassifier(**options)


@functools.lru_cache(maxsize=1)
def _open_mosaic(options):
    """Keep the mosaic of the last run, with its headers."""
    from galmorph.images import open_mosaic

    options = ast.literal_eval(options)
    reading = {key: options['reading'][key] for key in ('hdu', 'bands', 'unit')}
    return open_mosaic(options['mosaic'], **reading)


def _worker():
    """The Dask worker that this is, or None."""
    if 'distributed' not in sys.modules:
        return None
    from distributed import get_worker

    try:
        return get_worker()
    except ValueError:
        return None


def _n_threads():
    worker = _worker()
    return None if worker is None else worker.state.nthreads


def _own_device():
    """The GPU of this worker, 'auto' if there is no choice."""
    import torch

    worker = _worker()
    n_device = torch.cuda.device_count()
    if worker is None or n_device < 2:
        return 'auto'
    visible = os.environ.get('CUDA_VISIBLE_DEVICES', '')
    if visible != ','.join(sorted(visible.split(','))):
        # dask-cuda turns the list for each worker: its own comes first.
        return 'cuda:0'
    digits = str(worker.name).rpartition('-')[2]
    number = int(digits) if digits.isdecimal() else worker.port or 0
    return f'cuda:{number % n_device}'


def _column(series):
    """Make a column of a pandas one: numbers with NaN, or objects with a mask."""
    from pandas.api.types import is_bool_dtype, is_numeric_dtype

    if is_numeric_dtype(series.dtype) and not is_bool_dtype(series.dtype):
        return series.to_numpy(float, na_value=np.nan)
    values = np.empty(len(series), object)
    values[:] = list(series)
    return np.ma.array(values, mask=series.isna().to_numpy(bool))


def _attach(frame, made, attrs):
    """Put columns behind those of a data frame, or in the place of their names."""
    import pandas as pd

    kept = frame[[name for name in frame.columns if name not in made]]
    new = {name: _arrow(column) for name, column in made.items()}
    new = pd.DataFrame(new, index=frame.index)
    order = list(dict.fromkeys([*frame.columns, *made]))
    annotated = pd.concat([kept, new], axis=1)[order]
    annotated.attrs.update({**frame.attrs, **attrs})
    return annotated


def _arrow(column):
    """Make an array of Arrow for pandas of a column, null where it is masked."""
    import pandas as pd
    import pyarrow as pa

    kinds = {'f': pa.float32(), 'i': pa.int32(), 'U': pa.string()}
    kind = kinds[column.dtype.kind]
    mask = np.broadcast_to(getattr(column, 'mask', False), len(column))
    values = np.ma.getdata(column)
    values = values.astype(object) if kind == pa.string() else values
    array = pa.array(np.asarray(values), kind, mask=np.array(mask))
    return pd.arrays.ArrowExtensionArray(array)
