# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""FITS files that are meant by a path, a pattern, a folder or a URL."""

import glob
import os
import re
from pathlib import Path

from galmorph.exceptions import ChangedFileError
from galmorph.images.fits import FITS_SUFFIXES

__all__ = ['check_unchanged', 'find_files', 'identify', 'is_remote', 'remote_file']

# Words in the names of maps that go with an image.
_NO_IMAGE = re.compile(
    r'(?:^|[._-])(wht|weights?|rms|err|errors?|sigma|unc|var|variance|ivar|invvar|mask'
    r'|maskbits|flags?|dq|seg|segm|segmap|segmentation|exp|expmap|exptime|nexp|depth'
    r'|ctx|con|cov|psf|psfsize|bkg|background|model|resid|residual|chi2|galdepth)'
    r'(?=[._-])',
    re.IGNORECASE,
)
_PATTERN = re.compile(r'[*?\[]')


def is_remote(path):
    """
    Tell URLs from paths.

    Parameters
    ----------
    path : path-like
        A path or a URL such as ``'s3://bucket/tile.fits'``.

    Returns
    -------
    is_remote : bool
        Whether fsspec has to open it.

    Examples
    --------
    >>> from galmorph.images.finding import is_remote
    >>> is_remote('s3://survey/tiles/*.fits'), is_remote('C:/tiles/a.fits')
    (True, False)
    """
    return '://' in str(path)


def remote_file(url):
    """
    Find what opens a URL.

    Parameters
    ----------
    url : str
        The URL.

    Returns
    -------
    system : ``fsspec.AbstractFileSystem``
        The file system.
    path : str
        The file there.

    Raises
    ------
    ImportError
        If fsspec is not installed.

    Examples
    --------
    >>> from galmorph.images.finding import remote_file
    >>> remote_file('memory://tiles/a.fits')[1]
    '/tiles/a.fits'
    """
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        msg = f'{url} is opened by the package fsspec, which is not installed'
        raise ImportError(msg) from error
    return url_to_fs(str(url))


def find_files(images):
    """
    Find the FITS files that are meant.

    Parameters
    ----------
    images : path-like, list or dict
        A file, a folder, a pattern with ``*``, ``?`` or ``**``, a URL or such a
        pattern of URLs, or a list of these; or a dict of these by the names of
        bands.

    Returns
    -------
    files : list of (`~pathlib.Path` or str, str or None)
        The files, each once, URLs as strings, and their bands where these are
        given. Maps of weights, errors, masks and the like are left out of
        folders.

    Raises
    ------
    FileNotFoundError
        If there is no such file.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from galmorph.images.finding import find_files
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     for name in ('a_sci.fits', 'a_wht.fits', 'readme.txt'):
    ...         _ = Path(folder, name).write_bytes(b'')
    ...     [path.name for path, band in find_files(folder)]
    ['a_sci.fits']
    """
    if isinstance(images, dict):
        return [
            (path, str(band))
            for band, some in images.items()
            for path, _ in find_files(some)
        ]
    if isinstance(images, (str, os.PathLike)):
        images = [images]
    found = {}
    for item in images:
        some = _remote_files(str(item)) if is_remote(item) else _local_files(item)
        if not some:
            is_folder = not is_remote(item) and Path(item).expanduser().is_dir()
            kind = 'FITS image in' if is_folder else 'such file as'
            msg = f'there is no {kind} {str(item)!r}'
            raise FileNotFoundError(msg)
        found.update(dict.fromkeys(some))
    if not found:
        msg = 'there is no image: an empty list of files was given'
        raise FileNotFoundError(msg)
    return [(path, None) for path in found]


def _local_files(item):
    path = Path(item).expanduser()
    if path.is_dir():
        return sorted(p for p in path.rglob('*') if _is_image(p.name))
    if path.exists():
        return [path]
    # Path.glob takes no absolute pattern. A link to nowhere is found as well.
    names = glob.glob(str(path), recursive=True)  # noqa: PTH207
    return [Path(name) for name in sorted(names) if not Path(name).is_dir()]


def _remote_files(url):
    if not _PATTERN.search(url):
        system, path = remote_file(url)
        if not system.isdir(path):
            return [url]
        names = [name for name in system.find(path) if _is_image(name.split('/')[-1])]
    else:
        system, path = remote_file(url)
        names = [name for name in system.glob(path) if not system.isdir(name)]
    return [system.unstrip_protocol(name) for name in sorted(names)]


def _is_image(name):
    name = name.lower()
    is_fits = name.endswith(FITS_SUFFIXES) and not name.startswith('.')
    return is_fits and not _NO_IMAGE.search(name)


def identify(path):
    """
    Tell which state of a file this is.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    state : tuple or None
        Its size and time in nanoseconds; of a URL the size and what its file
        system knows. None where there is no such file.

    Examples
    --------
    >>> from galmorph.images.finding import identify
    >>> identify('no_such.fits') is None
    True
    """
    try:
        if is_remote(path):
            system, name = remote_file(path)
            return system.info(name).get('size'), str(system.ukey(name))
        # For each tile that is read: Path takes longer than the system.
        status = os.stat(path)  # noqa: PTH116
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns


def check_unchanged(path, state):
    """
    Make sure that a file is still what it was.

    Parameters
    ----------
    path : path-like
        The file.
    state : tuple or None
        What `identify` told before.

    Raises
    ------
    `~galmorph.exceptions.ChangedFileError`
        If it has vanished, appeared, or changed.

    Examples
    --------
    >>> from galmorph.images.finding import check_unchanged
    >>> check_unchanged('gone.fits', (2880, 1700000000000000000))
    Traceback (most recent call last):
    ...
    galmorph.exceptions.ChangedFileError: gone.fits is no longer there: ...
    """
    now = identify(path)
    if now == state:
        return
    what = 'is no longer there' if now is None else 'has changed'
    msg = f'{path} {what}: it was another file when the mosaic was opened'
    if now is None:
        msg = f'{path} {what}: it was there when the mosaic was opened'
    raise ChangedFileError(msg)
