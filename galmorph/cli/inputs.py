# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the command line is given: images, folders, patterns or a catalogue."""

import glob
import re
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable

from galmorph.cli.outputs import RequestError

__all__ = [
    'add_mosaic_option',
    'choose_size',
    'collect',
    'parse_hdu',
    'parse_mosaic',
    'parse_names',
    'parse_size',
    'parse_weights',
    'parse_zooms',
    'read_catalogue',
]

_FITS = ('.fits', '.fit', '.fts')
_PICTURES = ('.jpg', '.jpeg', '.png', '.webp', '.tif', '.tiff')
_TABLES = (
    '.ecsv', '.csv', '.tsv', '.txt', '.dat', '.tex', '.html', '.xml', '.vot',
    '.votable', '.parquet', '.pq', '.hdf5', '.h5',
)  # fmt: skip
_COMPRESSED = ('.gz', '.bz2', '.fz', '.xz')


def collect(inputs, *, format=None, image=None, mosaic=None, survey=None):  # noqa: A002
    """
    Find out what was given, and read the catalogue if it is one.

    Parameters
    ----------
    inputs : list of str
        Files, folders and patterns; or one catalogue.
    format : str, optional
        The format of the catalogue, as `astropy.table.Table.read` names it.
        A FITS file without it is a catalogue if it holds no image.
    image : str, optional
        The column of image paths. A relative path that is not in the current
        folder is taken to be in that of the catalogue.
    mosaic : str or dict, optional
        The mosaic, if positions are asked for instead of paths.
    survey : str, optional
        The survey, likewise.

    Returns
    -------
    table : `~astropy.table.QTable`
        The catalogue, or the column ``path`` of images.
    images : list or None
        One a row, `None` with a mosaic or a survey.

    Raises
    ------
    `~galmorph.cli.outputs.RequestError`
        If nothing is found, or a catalogue cannot be read or lacks the column.

    Examples
    --------
    >>> from galmorph.cli.inputs import collect
    >>> table, images = collect(['a.jpg', 'b.jpg'])
    Traceback (most recent call last):
    ...
    galmorph.cli.outputs.RequestError: there is no file 'a.jpg'
    """
    catalogues = [path for path in inputs if format or _is_catalogue(path)]
    if catalogues and len(inputs) > 1:
        msg = f'give images or one catalogue, not {len(inputs)} files with {catalogues}'
        raise RequestError(msg)
    if not catalogues:
        if not (image is mosaic is survey is None):
            msg = (
                '--image, --mosaic and --survey need a catalogue, and '
                f'{inputs[0]!r} is none'
            )
            raise RequestError(msg)
        paths = [found for path in inputs for found in _expand(path)]
        return QTable({'path': np.array(paths, dtype='U')}), paths
    table = read_catalogue(inputs[0], format)
    try:
        return table, _images(table, image, mosaic, survey, Path(inputs[0]).parent)
    except ValueError as error:
        raise RequestError(str(error)) from error


def _images(table, image, mosaic, survey, folder):
    from galmorph.inference.catalog import beside, coordinates_of, iterate_table

    if sum(given is not None for given in (image, mosaic, survey)) > 1:
        msg = 'give one of --image, --mosaic and --survey, not both'
        raise ValueError(msg)
    if survey is not None:
        coordinates_of(table)
        return None
    if mosaic is not None:
        for name in mosaic.values() if isinstance(mosaic, dict) else [mosaic]:
            if not Path(name).exists() and not glob.glob(name):  # noqa: PTH207
                msg = f'there is no file {name!r} for --mosaic'
                raise ValueError(msg)
        coordinates_of(table)
        return None
    return [beside(obj, folder) for obj, _ in iterate_table(table, image=image)]


def _expand(path):
    if Path(path).is_dir():
        found = sorted(str(p) for p in Path(path).iterdir() if _suffix(p) in
                       (*_FITS, *_PICTURES) and p.is_file())  # fmt: skip
        if not found:
            msg = f'the folder {path!r} holds no FITS file and no picture'
            raise RequestError(msg)
        return found
    if Path(path).exists():
        return [path]
    found = sorted(glob.glob(path, recursive=True))  # noqa: PTH207
    if not found:
        what = 'file matches' if glob.has_magic(path) else 'file'
        msg = (
            f'there is no {what} {path!r}' if what == 'file' else f'no {what} {path!r}'
        )
        raise RequestError(msg)
    return found


def _suffix(path):
    path = Path(path)
    inner = path.with_suffix('') if path.suffix.lower() in _COMPRESSED else path
    return inner.suffix.lower()


def _is_catalogue(path):
    if not Path(path).is_file():
        return _suffix(path) in _TABLES and not glob.has_magic(str(path))
    return _suffix(path) in _TABLES or (_suffix(path) in _FITS and _is_fits_table(path))


def _is_fits_table(path):
    from astropy.io import fits

    try:
        with fits.open(path) as hdus:
            is_image = any(hdu.is_image and len(hdu.shape) > 1 for hdu in hdus)
            has_table = any(
                isinstance(h, (fits.BinTableHDU, fits.TableHDU)) for h in hdus
            )
    except Exception:
        # A damaged image is for the reader of images to report.
        return False
    return has_table and not is_image


def read_catalogue(path, format=None):  # noqa: A002
    """
    Read a table.

    Parameters
    ----------
    path : str
        The file.
    format : str, optional
        Its format, as `astropy.table.Table.read` names it.

    Returns
    -------
    table : `~astropy.table.QTable`
        The table.

    Raises
    ------
    `~galmorph.cli.outputs.RequestError`
        If it is not there or cannot be read.

    Examples
    --------
    >>> from galmorph.cli.inputs import read_catalogue
    >>> read_catalogue('lost.csv')
    Traceback (most recent call last):
    ...
    galmorph.cli.outputs.RequestError: there is no file 'lost.csv'
    """
    try:
        return QTable.read(path, format=format)
    except FileNotFoundError as error:
        msg = f'there is no file {path!r}'
        raise RequestError(msg) from error
    except Exception as error:
        # Each format has errors of its own.
        msg = f'cannot read the catalogue {path!r}: {error}'
        raise RequestError(msg) from error


def parse_size(text, table, *, option='--size'):
    """
    Understand ``--size``: a column, or one value for all.

    Parameters
    ----------
    text : str or None
        What was given.
    table : `~astropy.table.Table`
        The rows.
    option : str, optional
        The option, for messages.

    Returns
    -------
    sizes : `~astropy.units.Quantity` or None
        A value a row; NaN where it is unknown.

    Raises
    ------
    `~galmorph.cli.outputs.RequestError`
        If it is neither.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.cli.inputs import parse_size
    >>> print(parse_size('3 arcsec', Table({'path': ['a.fits', 'b.fits']})))
    [3. 3.] arcsec
    """
    from galmorph.inference.catalog import sizes_of

    if text is None:
        return None
    try:
        return sizes_of(table, choose_size(text, table.colnames, option=option))
    except ValueError as error:
        raise RequestError(str(error)) from error


def choose_size(text, names, *, option='--size'):
    """
    Tell a column of sizes from one size for all.

    Parameters
    ----------
    text : str
        What was given.
    names : list of str
        The columns of the table.
    option : str, optional
        The option, for messages.

    Returns
    -------
    size : str or `~astropy.units.Quantity`
        The column, or the size.

    Raises
    ------
    `~galmorph.cli.outputs.RequestError`
        If it is neither.

    Examples
    --------
    >>> from galmorph.cli.inputs import choose_size
    >>> choose_size('petroR90_r', ['ra', 'dec', 'petroR90_r'])
    'petroR90_r'
    >>> choose_size('3 arcsec', ['ra', 'dec'])
    <Quantity 3. arcsec>
    """
    if text in names:
        return text
    try:
        size = u.Quantity(text)
    except (TypeError, ValueError) as error:
        msg = (
            f'{option} {text!r} is neither a column, of {names}, nor a value such as '
            "'3 arcsec' or '12 pix'"
        )
        raise RequestError(msg) from error
    if size.unit == u.dimensionless_unscaled:
        msg = f"{option} {text!r} needs a unit, such as '{text} arcsec'"
        raise RequestError(msg)
    return size


def add_mosaic_option(parser):
    """
    Add ``--mosaic`` to a command.

    Parameters
    ----------
    parser : `argparse.ArgumentParser`
        That of the command.

    Examples
    --------
    >>> import argparse
    >>> from galmorph.cli.inputs import add_mosaic_option
    >>> parser = argparse.ArgumentParser()
    >>> add_mosaic_option(parser)
    >>> parser.parse_args(['--mosaic', 'tiles/*.fits']).mosaic
    'tiles/*.fits'
    """
    parser.add_argument(
        '--mosaic',
        type=parse_mosaic,
        metavar='FILES',
        help="cut galaxies from a FITS image or tiles, 'tiles/*.fits', or by band, "
        'g=FILES,r=FILES',
    )


def parse_mosaic(text):
    """
    Understand ``--mosaic``: files, or those of each band.

    Parameters
    ----------
    text : str
        What was given.

    Returns
    -------
    mosaic : str or dict of str to str
        What `~galmorph.MorphologyClassifier.predict_table` takes.

    Examples
    --------
    >>> from galmorph.cli.inputs import parse_mosaic
    >>> parse_mosaic('tiles/*.fits')
    'tiles/*.fits'
    >>> parse_mosaic('g=field_g.fits,r=field_r.fits')
    {'g': 'field_g.fits', 'r': 'field_r.fits'}
    """
    parts = [re.fullmatch(r'\s*([\w-]+)=(.+)', part) for part in text.split(',')]
    if Path(text).exists() or not all(parts):
        return text
    return {part[1]: part[2].strip() for part in parts}


def parse_names(text):
    """
    Split names at commas.

    Parameters
    ----------
    text : str or None
        What was given.

    Returns
    -------
    names : list of str or None
        The names.

    Examples
    --------
    >>> from galmorph.cli.inputs import parse_names
    >>> parse_names('g, r,i')
    ['g', 'r', 'i']
    """
    if text is None:
        return None
    return [name.strip() for name in text.split(',') if name.strip()]


def parse_weights(text):
    """
    Understand WEIGHTS: a name, the path of a card, or several with commas.

    Parameters
    ----------
    text : str or None
        What was given.

    Returns
    -------
    weights : str, list of str or None
        What `~galmorph.MorphologyClassifier` takes.

    Examples
    --------
    >>> from galmorph.cli.inputs import parse_weights
    >>> parse_weights('dieleman.gz2')
    'dieleman.gz2'
    >>> parse_weights('first.yaml,second.yaml')
    ['first.yaml', 'second.yaml']
    """
    names = parse_names(text)
    if not names or len(names) == 1 or Path(text).is_file():
        return text
    return names


def parse_hdu(text):
    """
    Understand ``--hdu``: a number, a name, or several with commas.

    Parameters
    ----------
    text : str or None
        What was given.

    Returns
    -------
    hdu : int, str, list of these or None
        As `~galmorph.images.read_image` takes it.

    Examples
    --------
    >>> from galmorph.cli.inputs import parse_hdu
    >>> parse_hdu('1'), parse_hdu('SCI'), parse_hdu('1,2')
    (1, 'SCI', [1, 2])
    """
    names = parse_names(text)
    if not names:
        return None
    names = [int(name) if name.lstrip('-').isdigit() else name for name in names]
    return names[0] if len(names) == 1 else names


def parse_zooms(text, n_transforms):
    """
    Understand ``--zooms``: numbers with commas.

    Parameters
    ----------
    text : str
        What was given.
    n_transforms : int
        How many transforms are shared among them.

    Returns
    -------
    zooms : tuple of float
        The zooms.

    Raises
    ------
    ValueError
        If one is no positive number, or the transforms cannot be shared.

    Examples
    --------
    >>> from galmorph.cli.inputs import parse_zooms
    >>> parse_zooms('0.8, 1, 1.25', 6)
    (0.8, 1.0, 1.25)
    """
    from galmorph.inference.transforms import frame_transforms

    try:
        zooms = tuple(float(word) for word in parse_names(text))
    except ValueError as error:
        msg = f"--zooms {text!r} must be numbers with commas, such as '0.83,1,1.2'"
        raise ValueError(msg) from error
    frame_transforms(n_transforms, zooms)
    return zooms
