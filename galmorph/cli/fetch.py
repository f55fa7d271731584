# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The commands ``galmorph fetch`` and ``galmorph cache``."""

import io
import re
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import MaskedColumn

from galmorph.cli import inputs
from galmorph.cli.outputs import (
    Output,
    RequestError,
    as_request,
    check_folder,
    summarise_flags,
)
from galmorph.exceptions import ImageError
from galmorph.files import write_atomically
from galmorph.flags import MorphologyFlag

__all__ = ['add_cache', 'add_fetch', 'add_source_options', 'create_source']

_FETCH = """
Fetch an image of each position of a catalogue, into a folder: a FITS file a
target, or a PNG file where the survey gives pictures. The table fetched.ecsv
there says what came, and why something did not.

What is in the folder is kept: the same command later fetches what is missing.
"""

_FETCH_EXAMPLES = """
examples:
  galmorph fetch catalogue.ecsv --survey sdss --output images
  galmorph fetch catalogue.fits --survey candels --bands F160W --size '5 arcsec' \\
      --id source_id --output images
  galmorph fetch catalogue.csv --survey hips:CDS/P/DESI-Legacy-Surveys/DR10/color \\
      --output images
  galmorph predict images/fetched.ecsv --output annotated.ecsv

exit status:
  0  done        1  the work failed, or there is no image at all
  2  the request cannot be met, found out before the work
"""

_CACHE = """
Show what archives sent, and is kept on disk for the next time; with --clear or
--verify, delete it, or what is damaged.
"""

_TABLE = 'fetched.ecsv'
_SUFFIXES = ('.fits', '.png')


def add_fetch(command, parents):
    """
    Add the command ``fetch``.

    Parameters
    ----------
    command : callable
        From a name, help, examples and keywords to a parser.
    parents : list of `argparse.ArgumentParser`
        Options that all commands have.

    Examples
    --------
    >>> from galmorph.cli import main
    >>> main(['fetch', 'lost.csv', '--survey', 'sdss', '--output', '.'])
    2
    """
    parser = command(
        'fetch',
        'fetch images of a catalogue from a survey',
        _FETCH_EXAMPLES,
        parents=parents,
        run=_fetch,
        description=_FETCH,
    )
    parser.add_argument('catalogue', metavar='CATALOGUE')
    parser.add_argument('--output', required=True, metavar='FOLDER')
    parser.add_argument(
        '--survey', required=True, metavar='NAME', help='sdss, candels, auto, hips:ID'
    )
    options = (
        ('--bands', 'BANDS', "bands, with commas: 'g,r,i' (default: the survey's)"),
        ('--size', 'SIZE', "side of the images: a column, or '60 arcsec'"),
        ('--radius', 'RADIUS', "radius of the galaxies: a column, or '3 arcsec'"),
        ('--id', 'COLUMN', 'column that names the files (default: the row number)'),
        ('--format', 'FORMAT', 'read the catalogue in this astropy format'),
    )
    for name, metavar, text in options:
        parser.add_argument(name, metavar=metavar, help=text)
    add_source_options(parser)
    parser.add_argument(
        '--quiet', action='store_true', help='no progress bar and no summary'
    )


def add_source_options(parser):
    """
    Add the options that say how to ask an archive.

    Parameters
    ----------
    parser : `argparse.ArgumentParser`
        The parser of a command.

    Examples
    --------
    >>> import argparse
    >>> from galmorph.cli.fetch import add_source_options
    >>> parser = argparse.ArgumentParser()
    >>> add_source_options(parser)
    >>> parser.parse_args(['--connections', '2', '--offline'])
    Namespace(connections=2, retries=None, timeout=None, cache=None, offline=True)
    """
    parser.add_argument(
        '--connections', type=int, metavar='N', help='requests at a time'
    )
    parser.add_argument(
        '--retries', type=int, metavar='N', help='how often to try again'
    )
    parser.add_argument(
        '--timeout',
        type=float,
        metavar='SECONDS',
        help='how long to wait for an answer',
    )
    parser.add_argument('--cache', metavar='FOLDER', help='where to keep what comes')
    parser.add_argument(
        '--offline', action='store_true', help='ask nobody: use what was kept'
    )


def create_source(arguments, *, recipe=None):
    """
    Create the source that ``--survey`` and the options beside it describe.

    Parameters
    ----------
    arguments : `argparse.Namespace`
        Those of `add_source_options`, and ``survey``.
    recipe : `~galmorph.preprocessing.recipe.Recipe`, optional
        What the weights saw, by which 'auto' chooses.

    Returns
    -------
    source : `~galmorph.sources.ImageSource`
        The source.

    Raises
    ------
    `~galmorph.cli.outputs.RequestError`
        If there is none, or an option has no meaning.

    Examples
    --------
    >>> from argparse import Namespace
    >>> from galmorph.cli.fetch import create_source
    >>> create_source(Namespace(
    ...     survey='sdss', connections=2, retries=None, timeout=None, cache=None,
    ...     offline=True))
    <SDSS: ...>
    """
    from galmorph.inference.fetching import survey_order
    from galmorph.sources import create_source as create

    options = {
        'n_connections': arguments.connections,
        'n_retries': arguments.retries,
        'timeout': arguments.timeout,
        'cache': arguments.cache,
    }
    options = {name: value for name, value in options.items() if value is not None}
    if arguments.survey == 'auto' and recipe is not None:
        options['surveys'] = survey_order(recipe)
    with as_request():
        return create(arguments.survey, offline=arguments.offline, **options)


def _fetch(arguments):
    from galmorph.inference.catalog import coordinates_of

    table = inputs.read_catalogue(arguments.catalogue, arguments.format)
    folder = Path(arguments.output)
    check_folder(folder, create=True)
    output = Output(folder / _TABLE, overwrite=True)
    source = create_source(arguments)
    bands = inputs.parse_names(arguments.bands)
    with as_request():
        targets = source.targets(
            coordinates_of(table),
            size=inputs.parse_size(arguments.size, table, option='--size'),
            radius=inputs.parse_size(arguments.radius, table, option='--radius'),
            # 'gri' are three.
            bands=bands[0] if bands is not None and len(bands) == 1 else bands,
        )
    stems = _stems(table, arguments.id)
    output.try_out(table, table[:0])
    there = {path.name for path in folder.iterdir()}
    paths = [
        next((stem + end for end in _SUFFIXES if stem + end in there), None)
        for stem in stems
    ]
    n_kept = sum(path is not None for path in paths)
    errors = [
        None
        if path
        else ImageError('it was not reached', flag=MorphologyFlag.MISSING_IMAGE)
        for path in paths
    ]
    try:
        for row, image in _images(source, targets, paths, quiet=arguments.quiet):
            errors[row] = image if isinstance(image, ImageError) else None
            if errors[row] is None:
                paths[row] = _write(image, targets[row], folder / stems[row])
    finally:
        output.write(_annotated(table, source, paths, errors))
    if not arguments.quiet:
        _say_what_came(paths, errors, n_kept, source, output.path)
    return 0 if any(paths) or not len(table) else 1


def _images(source, targets, paths, *, quiet):
    """Rows without a file, with their image or the reason why there is none."""
    from tqdm.auto import tqdm

    todo = [row for row, path in enumerate(paths) if path is None]
    with tqdm(total=len(todo), unit=' images', disable=quiet) as bar:
        for index, image in source.stream([targets[row] for row in todo]):
            try:
                image = image() if callable(image) else image
            except ImageError as error:
                image = error
            yield todo[index], image
            bar.update()


def _say_what_came(paths, errors, n_kept, source, path):
    n_there = sum(path is not None for path in paths)
    kept = f', {n_kept} of them from before' if n_kept else ''
    print(f'images of {n_there} of {len(paths)} targets{kept}')
    flags = summarise_flags([int(error.flag) for error in errors if error])
    if flags:
        print(f'missing, by reason:\n{flags}')
    print(f'wrote {path}')
    if source.attribution:
        print(f'\nPlease acknowledge:\n{source.attribution}')


def _stems(table, column):
    """Names of files without their suffixes, one a row."""
    if column is None:
        width = len(str(max(len(table) - 1, 0)))
        return [f'row{row:0{width}}' for row in range(len(table))]
    if column not in table.colnames:
        msg = f'--id {column!r} is no column of the table; it has {table.colnames}'
        raise RequestError(msg)
    stems = [re.sub(r'[^\w.+-]+', '_', str(name)).strip('._') for name in table[column]]
    # Some file systems take capital letters for small ones.
    _, first, counts = np.unique(
        [stem.lower() for stem in stems], return_index=True, return_counts=True
    )
    if (counts > 1).any() or '' in stems or np.any(getattr(table[column], 'mask', 0)):
        again = [stems[row] for row in first[counts > 1][:3]]
        msg = f'--id {column!r} does not name each row for itself: {again}'
        raise RequestError(msg)
    return stems


def _write(image, target, stem):
    """Write an image, and return the name of its file."""
    if image.is_picture and image.data.shape[0] in (1, 3):
        path, content = stem.with_name(f'{stem.name}.png'), _as_png(image)
    else:
        path, content = stem.with_name(f'{stem.name}.fits'), _as_fits(image, target)
    write_atomically(path, content)
    return path.name


def _as_png(image):
    from PIL import Image

    pixels = image.data
    if pixels.dtype != np.uint8:
        pixels = np.round(255 * np.clip(np.nan_to_num(pixels), 0, 1)).astype(np.uint8)
    # The first row of a picture is its top, and that of FITS its bottom.
    if image.has_wcs and image.wcs.pixel_scale_matrix[1, 1] > 0:
        pixels = pixels[:, ::-1]
    file = io.BytesIO()
    pixels = pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1)
    Image.fromarray(np.ascontiguousarray(pixels)).save(file, 'PNG')
    return file.getvalue()


def _as_fits(image, target):
    pixels = image.data
    if image.mask is not None and pixels.dtype.kind == 'f':
        pixels = np.where(image.mask, np.nan, pixels)
    header = fits.Header()
    # Who reads the file takes its middle for the target.
    (left, right), (below, above) = (
        _padding(at, n)
        for at, n in zip(image.position, pixels.shape[:0:-1], strict=True)
    )
    if left + right + below + above and pixels.dtype.kind == 'f':
        edges = ((0, 0), (below, above), (left, right))
        pixels = np.pad(pixels, edges, constant_values=np.nan)
    else:
        left = below = 0
    if image.has_wcs:
        wcs = image.wcs.deepcopy()
        wcs.wcs.crpix += left, below
        header.update(wcs.to_header(relax=True))
    if image.unit is not None:
        try:
            header['BUNIT'] = image.unit.to_string('fits')
        except ValueError:
            # The standard knows no nanomaggy.
            header['BUNIT'] = image.unit.to_string()
    if len(image.bands) == 1:
        header['FILTER'] = image.bands[0]
    else:
        header['BANDS'] = ','.join(image.bands)
    header['RA_TARG'] = target.ra, '[deg] ICRS'
    header['DEC_TARG'] = target.dec, '[deg] ICRS'
    if image.size is not None and image.size.unit.is_equivalent(u.arcsec):
        header['RADIUS'] = image.size.to_value(u.arcsec), '[arcsec] of the galaxy'
    for name in ('survey', 'source'):
        text = str(image.meta.get(name, ''))
        if text.isascii() and text.isprintable() and text:
            header[name[:8].upper()] = text[:60]
    file = io.BytesIO()
    pixels = pixels[0] if len(pixels) == 1 else pixels
    fits.PrimaryHDU(pixels, header).writeto(file, checksum=True)
    return file.getvalue()


def _padding(position, n_pixel):
    """Pixels before and behind that bring a position to the middle."""
    shift = round(2 * (position - (n_pixel - 1) / 2))
    return (0, shift) if shift > 0 else (-shift, 0)


def _annotated(table, source, paths, errors):
    table = table.copy(copy_data=False)
    is_missing = [path is None for path in paths]
    table['path'] = MaskedColumn([path or '' for path in paths], mask=is_missing)
    table['fetch_flags'] = np.array([int(e.flag) if e else 0 for e in errors], np.int32)
    table['fetch_reason'] = np.array([str(e) if e else '' for e in errors], dtype='U')
    table.meta['survey'] = source.archive.name
    table.meta['attribution'] = source.attribution
    return table


def add_cache(command, parents):
    """
    Add the command ``cache``.

    Parameters
    ----------
    command : callable
        From a name, help, examples and keywords to a parser.
    parents : list of `argparse.ArgumentParser`
        Options that all commands have.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.cli import main
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     main(['cache', '--cache', folder])
    folder  ...
    limit   20 GB
    nothing is kept
    0
    """
    parser = command(
        'cache',
        'show, verify or clear what archives sent',
        'examples:\n  galmorph cache\n  galmorph cache --verify\n'
        '  galmorph cache --clear sdss',
        parents=parents,
        run=_cache,
        description=_CACHE,
    )
    parser.add_argument('--cache', metavar='FOLDER', help='the folder')
    what = parser.add_mutually_exclusive_group()
    what.add_argument(
        '--clear', nargs='?', const='', metavar='SOURCE', help='delete all, or of one'
    )
    what.add_argument(
        '--verify', action='store_true', help='compare checksums, delete what differs'
    )


def _cache(arguments):
    from galmorph.sources import ImageCache

    cache = ImageCache(arguments.cache)
    entries = {}
    for entry in cache.entries():
        entries.setdefault(entry.source, []).append(entry)
    if arguments.clear is not None:
        name = arguments.clear or None
        if name is not None and name not in entries:
            msg = f'nothing of {name!r} is kept, but of {sorted(entries)}'
            raise RequestError(msg)
        n_bytes = cache.clear(name)
        print(f'deleted {_amount(n_bytes)} in {cache.folder}')
        return 0
    if arguments.verify:
        damaged = cache.verify()
        for entry in damaged:
            print(f'deleted {entry.source}: {entry.key}')
        n_files = sum(entry.is_file for some in entries.values() for entry in some)
        print(f'{n_files} files, {len(damaged)} of them damaged')
        return 1 if damaged else 0
    print(f'folder  {cache.folder}\nlimit   {cache.limit:g} GB')
    width = max(map(len, entries), default=0)
    for name, some in sorted(entries.items()):
        n_files = sum(entry.is_file for entry in some)
        print(
            f'{name:{width}}  {n_files:8,} files  '
            f'{_amount(sum(entry.size for entry in some)):>10}  '
            f'{len(some) - n_files:8,} without an image'
        )
    if not entries:
        print('nothing is kept')
    return 0


def _amount(n_bytes):
    for factor, unit in ((1e9, 'GB'), (1e6, 'MB'), (1e3, 'kB')):
        if n_bytes >= factor:
            return f'{n_bytes / factor:.1f} {unit}'
    return f'{n_bytes} bytes'
