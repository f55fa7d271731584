# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The rows of a table as images: from files, from a column, from a mosaic."""

import functools
import os
import threading
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column

from galmorph.exceptions import ImageError
from galmorph.images import GalaxyImage, open_mosaic, read_image
from galmorph.preprocessing import _field
from galmorph.preprocessing.prepare import measure_image

__all__ = [
    'START_HALF_WIDTH',
    'beside',
    'coordinate_columns',
    'coordinates_of',
    'half_widths',
    'image_column',
    'iterate_mosaic',
    'iterate_table',
    'read_row',
    'read_target',
    'sizes_of',
]

_IMAGE_COLUMNS = ('image', 'path', 'file', 'filename')
# In the order tried, of any case; the last ones are those of VizieR and SExtractor.
_RA_DEC = (
    ('ra', 'dec'),
    ('raj2000', 'dej2000'),
    ('ra_icrs', 'de_icrs'),
    ('_raj2000', '_dej2000'),
    ('alpha_j2000', 'delta_j2000'),
    ('alphawin_j2000', 'deltawin_j2000'),
)

# Half widths of the cutouts, in pixels, in which the size of a galaxy is
# looked for until it fits.
_HALF_WIDTHS = (48, 96, 192, 384)
#: The first of them.
START_HALF_WIDTH = _HALF_WIDTHS[0] * u.pix

# The memory that cutouts of a mosaic of files take at a time.
_MAX_BYTES = 1 << 27

# Objects that read their pixels from a file when they are first asked for
# them, such as the HDUs of one file, share its position.
_FILES = threading.Lock()


def image_column(table, image=None):
    """
    Find the column of images.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    image : str, optional
        Its name. By default the first of 'image', 'path', 'file', 'filename'
        that the table has, in any case.

    Returns
    -------
    name : str
        The name of the column.

    Raises
    ------
    ValueError
        If the table has no such column.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.inference.catalog import image_column
    >>> image_column(Table({'id': [1], 'Path': ['a.fits']}))
    'Path'
    """
    if image is None:
        lower = {name.lower(): name for name in table.colnames[::-1]}
        found = [lower[name] for name in _IMAGE_COLUMNS if name in lower]
        if not found:
            msg = (
                f'the table has no column of images: none of {list(_IMAGE_COLUMNS)} '
                f'is among {table.colnames}; name it with image=, or give mosaic='
            )
            raise ValueError(msg)
        image = found[0]
    elif image not in table.colnames:
        msg = f'image={image!r} is no column of the table; it has {table.colnames}'
        raise ValueError(msg)
    return image


def iterate_table(table, *, image=None, sizes=None):
    """
    Go through the images that a column names or holds.

    Parameters
    ----------
    table : `~astropy.table.Table`
        The table.
    image : str, optional
        The column of paths, arrays or image objects, as in `image_column`.
    sizes : `~astropy.units.Quantity`, shape (n,), optional
        The size of each galaxy.

    Returns
    -------
    rows : iterator
        An argument of `read_row` for each row.

    Raises
    ------
    ValueError
        If the table has no such column.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.inference.catalog import iterate_table
    >>> for path, size in iterate_table(Table({'path': ['a.fits', 'b.fits']})):
    ...     print(path, size)
    a.fits None
    b.fits None
    """
    column = table[image_column(table, image)]
    mask = np.broadcast_to(
        getattr(column, 'mask', False), (len(table), *column.shape[1:])
    )
    mask = mask.reshape(len(table), -1).all(1) if len(table) else mask
    return (
        (None if mask[row] else column[row], None if sizes is None else sizes[row])
        for row in range(len(table))
    )


def read_row(row, *, folder=None, **options):
    """
    Read one row of `iterate_table`.

    Parameters
    ----------
    row : tuple
        An image, or what `~galmorph.images.read_image` takes, and its size.
    folder : path-like, optional
        Where a relative path is looked for that is not in the current folder.
    **options
        Passed to `~galmorph.images.read_image`.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The image.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.inference.catalog import read_row
    >>> read_row((np.eye(20), None))
    <GalaxyImage 20 x 20 pixels, bands unknown>
    """
    obj, size = row
    if folder is not None:
        obj = beside(obj, folder)
    if _reads_alone(obj):
        image = read_image(obj, **options)
    else:
        with _FILES:
            image = read_image(obj, **options)
    if size is None or np.isnan(size):
        return image
    return image.at(image.position, size)


def beside(obj, folder):
    """
    Look for a file in the current folder, and else in another one.

    Parameters
    ----------
    obj : object
        A path as text, or an image.
    folder : path-like
        The other folder.

    Returns
    -------
    obj : object
        The path, in that folder where it is there only; or the image.

    Examples
    --------
    >>> from galmorph.inference.catalog import beside
    >>> beside('lost.fits', 'images')
    'lost.fits'
    """
    if isinstance(obj, bytes):
        obj = obj.decode()
    if not isinstance(obj, str) or not obj.strip():
        return obj
    obj = str(obj)
    inside = Path(folder, obj)
    return str(inside) if not Path(obj).exists() and inside.exists() else obj


def _reads_alone(obj):
    """Tell whether no other object reads from the same open file."""
    if isinstance(obj, dict):
        return all(map(_reads_alone, obj.values()))
    return isinstance(obj, (str, bytes, os.PathLike, np.ndarray, GalaxyImage))


def iterate_mosaic(mosaic, coords, recipe, *, sizes=None, chunk_size=1024, reach=None):
    """
    Cut the targets of a table out of a mosaic, a chunk at a time.

    Each cutout holds the frame of the recipe around its galaxy, and all that the
    network sees of it as in `half_widths`. Where the size is not known the cutout
    grows until the measured size fits.

    Parameters
    ----------
    mosaic : `~galmorph.images.TiledMosaic`, `~galmorph.images.Mosaic` or image
        The mosaic, or what `~galmorph.images.open_mosaic` takes.
    coords : `~astropy.coordinates.SkyCoord`, shape (n,)
        The targets; NaN for a coordinate that is no good.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    sizes : `~astropy.units.Quantity`, shape (n,), optional
        The size of each galaxy, an angle or a number of pixels; measured where
        it is NaN.
    chunk_size : int, optional
        Rows whose cutouts are made together.
    reach : `~numpy.ndarray`, shape (n, 3, 3), optional
        Further affines of the frame, as in `half_widths`.

    Returns
    -------
    rows : iterator
        An argument of `~galmorph.inference.catalog.read_target` for each target, or the
        `~galmorph.exceptions.ImageError` that stands for it.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If the mosaic cannot be used, or has no WCS.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from astropy.wcs import WCS
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.inference.catalog import iterate_mosaic, read_target
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    >>> wcs.wcs.crval = 150, 2
    >>> wcs.wcs.crpix = 101, 101
    >>> wcs.wcs.cdelt = -1 / 3600, 1 / 3600
    >>> mosaic = GalaxyImage(np.ones((200, 200)), bands='r', wcs=wcs)
    >>> rows = iterate_mosaic(
    ...     mosaic, SkyCoord([150], [2], unit='deg'), Recipe(), sizes=[5] * u.arcsec)
    >>> [read_target(row).shape2d for row in rows]
    [(45, 45)]
    """
    mosaic = open_mosaic(mosaic)
    return _iterate_mosaic(mosaic, coords, recipe, sizes, chunk_size, reach=reach)


def _iterate_mosaic(mosaic, coords, recipe, sizes, chunk_size, *, reach):
    for start in range(0, len(coords), chunk_size):
        rows = np.arange(start, min(start + chunk_size, len(coords)))
        some_sizes = None if sizes is None else sizes[rows]
        half, has_size = half_widths(some_sizes, recipe, len(rows), reach)
        n_bytes = np.where(
            has_size,
            mosaic.cutout_bytes(half, len(rows)),
            mosaic.cutout_bytes(START_HALF_WIDTH, len(rows)),
        )
        # Large galaxies are cut a few at a time.
        part = np.cumsum(n_bytes) // _MAX_BYTES
        for number in np.unique(part):
            some = part == number
            images = np.full(len(rows), None)
            for which, half_width in (
                (some & has_size, half[some & has_size]),
                (some & ~has_size, START_HALF_WIDTH),
            ):
                if which.any():
                    known = None if sizes is None else sizes[rows[which]]
                    images[which] = _as_objects(
                        mosaic.cutouts(coords[rows[which]], half_width, known)
                    )
            for index in np.flatnonzero(some).tolist():
                image = images[index]
                if has_size[index] or isinstance(image, ImageError):
                    yield image
                else:
                    row = int(rows[index])
                    yield functools.partial(
                        _grown, mosaic, coords, row, image, recipe, reach=reach
                    )


def half_widths(sizes, recipe, n, reach=None):
    """
    Tell how far cutouts of galaxies reach from their centres.

    That is as far as the network sees, at any angle and with zooms from 1/1.2 on,
    no less than the frame, nor than 3 radii that hold 90 % of the light, where
    the sky is measured.

    Parameters
    ----------
    sizes : `~astropy.units.Quantity`, shape (n,), or None
        The sizes, angles or numbers of pixels.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    n : int
        How many galaxies.
    reach : `~numpy.ndarray`, shape (n, 3, 3), optional
        Further affines of the frame for which the pixels must do.

    Returns
    -------
    half_width : `~astropy.units.Quantity`, shape (n,)
        In the unit of the sizes.
    has_size : `~numpy.ndarray` of bool, shape (n,)
        Whether it is known; where it is not, take ``START_HALF_WIDTH``, and look.

    Examples
    --------
    >>> from astropy import units as u
    >>> from galmorph import Recipe
    >>> from galmorph.inference.catalog import half_widths
    >>> half_width, has_size = half_widths([5, -1] * u.arcsec, Recipe(), 2)
    >>> print(half_width[0].round(3), has_size)
    21.2 arcsec [ True False]
    """
    half, unit = np.full(n, np.nan), u.pix
    if sizes is not None:
        unit = sizes.unit
        half = _field.reach(recipe, reach) * _plain(sizes)
    has_size = np.isfinite(half) & (half > 0)
    half = np.where(has_size, half, 1)
    if unit.is_equivalent(u.pix):
        half = np.maximum(half, 8)
    return half * unit, has_size


def read_target(row):
    """
    Cut out one target of `~galmorph.inference.catalog.iterate_mosaic`.

    Parameters
    ----------
    row : `~galmorph.images.GalaxyImage` or callable
        The cutout, or what gives it.

    Returns
    -------
    image : `~galmorph.images.GalaxyImage`
        The cutout.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage
    >>> from galmorph.inference.catalog import read_target
    >>> read_target(lambda: GalaxyImage(np.eye(20)))
    <GalaxyImage 20 x 20 pixels, bands unknown>
    """
    return row() if callable(row) else row


def _grown(mosaic, coords, row, image, recipe, *, reach):
    """A cutout of a galaxy of unknown size that reaches as far as it is seen."""
    reach = _field.reach(recipe, reach)
    for half in _HALF_WIDTHS[1:]:
        # One that fills its cutout measures too small, but above this.
        if not reach * recipe.radius_of(measure_image(image)) > half / 2:
            break
        (image,) = mosaic.cutouts(coords[row : row + 1], half * u.pix)
        if isinstance(image, ImageError):
            raise image
    return image


def _plain(sizes):
    """The values of sizes, NaN where they are masked."""
    values = getattr(sizes, 'unmasked', sizes).value
    return np.where(getattr(sizes, 'mask', False), np.nan, values)


def _as_objects(images):
    # numpy takes a list of images for an array of pixels.
    objects = np.empty(len(images), object)
    objects[:] = images
    return objects


def coordinates_of(table):
    """
    Find the sky positions of a table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        With a `~astropy.coordinates.SkyCoord` column, or columns named like
        ``ra`` and ``dec``, in any case, in degrees where they have no unit.

    Returns
    -------
    coords : `~astropy.coordinates.SkyCoord`, shape (n,)
        The positions. NaN where a value is masked, not finite or off the
        sphere.

    Raises
    ------
    ValueError
        If there are none, or they have a unit that is not an angle.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.inference.catalog import coordinates_of
    >>> coords = coordinates_of(Table({'RA': [10.0, 20.0], 'DEC': [1.0, 95.0]}))
    >>> print(coords.dec.deg)
    [ 1. nan]
    """
    names = coordinate_columns(table)
    if len(names) == 1:
        return table[names[0]]
    values = [_degrees(table[name], name) for name in names]
    good = np.isfinite(values[0]) & (np.abs(values[1]) <= 90)
    values = [np.where(good, value, np.nan) for value in values]
    return SkyCoord(*values, unit=u.deg)


def coordinate_columns(table):
    """
    Find the columns that hold the sky positions of a table.

    Parameters
    ----------
    table : `~astropy.table.Table`
        As in `coordinates_of`.

    Returns
    -------
    names : list of str
        One of coordinates, or those of right ascension and declination.

    Raises
    ------
    ValueError
        If there are none.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.inference.catalog import coordinate_columns
    >>> coordinate_columns(Table({'id': [1], 'RA': [10.0], 'DEC': [1.0]}))
    ['RA', 'DEC']
    """
    for name in table.colnames:
        if isinstance(table[name], SkyCoord):
            return [name]
    lower = {name.lower(): name for name in table.colnames[::-1]}
    for pair in _RA_DEC:
        if all(name in lower for name in pair):
            return [lower[name] for name in pair]
    pairs = ', '.join(' and '.join(pair) for pair in _RA_DEC)
    msg = (
        'the table has no positions: it needs a SkyCoord column, or two in degrees '
        f'that are called {pairs}; it has {table.colnames}'
    )
    raise ValueError(msg)


def _degrees(column, name):
    unit = getattr(column, 'unit', None) or u.deg
    values = getattr(column, 'unmasked', column)
    values = np.asarray(getattr(values, 'value', values))
    if values.dtype.kind not in 'iuf' or not unit.is_equivalent(u.deg):
        msg = (
            f'column {name!r} must hold angles as numbers, not {values.dtype} in '
            f'{unit}; give degrees, or a SkyCoord column'
        )
        raise ValueError(msg)
    degrees = (values.astype(float) * unit).to_value(u.deg)
    degrees[np.broadcast_to(getattr(column, 'mask', False), degrees.shape)] = np.nan
    return degrees


def sizes_of(table, size):
    """
    Find the sizes of the galaxies of a table.

    Parameters
    ----------
    table : `~astropy.table.Table` or sequence
        The table, or images.
    size : str, `~astropy.units.Quantity`, `~astropy.table.Column` or None
        The name of the column of the sizes; or the sizes themselves, one for
        each row or one for all. A column without a unit is in arcseconds, as
        ``petroR90_r`` of the SDSS.

    Returns
    -------
    sizes : `~astropy.units.Quantity` or None
        The sizes, shape (n,); NaN where masked or not positive.

    Raises
    ------
    ValueError
        If there is no such column, the unit is neither an angle nor pixels,
        or there are more or fewer sizes than rows.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph.inference.catalog import sizes_of
    >>> print(sizes_of(Table({'petroR90_r': [5.0, -9999.0]}), 'petroR90_r'))
    [ 5. nan] arcsec
    """
    if size is None:
        return None
    if isinstance(size, str):
        names = getattr(table, 'colnames', None)
        if names is None:
            msg = f'size must be a Quantity where there is no table, not {size!r}'
            raise ValueError(msg)
        if size not in names:
            msg = f'size={size!r} is no column of the table; it has {names}'
            raise ValueError(msg)
        size = table[size]
    elif isinstance(size, (list, tuple)):
        size = u.Quantity(size)
    unit = getattr(size, 'unit', None)
    if unit is None and isinstance(size, Column):
        unit = u.arcsec
    if unit is None or not (unit.is_equivalent(u.deg) or unit.is_equivalent(u.pix)):
        given = repr(size) if unit is None else f'in {str(unit)!r}'
        msg = f'size must be an angle or a number of pixels (Quantity), not {given}'
        raise ValueError(msg)
    values = getattr(size, 'unmasked', size)
    values = np.asarray(getattr(values, 'value', values))
    try:
        # 'same_kind' refuses text, even where it looks like numbers.
        casting = 'unsafe' if values.dtype.kind == 'O' else 'same_kind'
        values = values.astype(float, casting=casting)
    except (TypeError, ValueError) as error:
        msg = f'size must hold numbers, not {values.dtype}'
        raise ValueError(msg) from error
    values[np.broadcast_to(getattr(size, 'mask', False), values.shape)] = np.nan
    if values.ndim == 0:
        values = np.full(len(table), values)
    if values.shape != (len(table),):
        msg = f'size has {len(values)} values, for {len(table)} rows'
        raise ValueError(msg)
    values[~(np.isfinite(values) & (values > 0))] = np.nan
    return values * unit
