# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The formats of tables, and how they are told apart."""

from pathlib import Path

__all__ = ['FORMATS', 'find_format']

FORMATS = {
    'parquet': ('.parquet', '.parq', '.pq'),
    'fits': ('.fits', '.fit', '.fts'),
    'ecsv': ('.ecsv',),
    'csv': ('.csv',),
    'votable': ('.vot', '.votable', '.xml'),
}
_COMPRESSED = ('.gz', '.bz2', '.xz', '.z')
_BEGINNINGS = {
    b'PAR1': 'parquet',
    b'SIMPLE  =': 'fits',
    b'# %ECSV': 'ecsv',
    b'<?xml': 'votable',
    b'<VOTABLE': 'votable',
}


def find_format(path):
    """
    Find the format of a file, by its name or else by how it begins.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    format : str
        A key of ``FORMATS``.

    Raises
    ------
    ValueError
        If it is none of them.
    OSError
        If the file is missing or cannot be read.

    Examples
    --------
    >>> from galmorph.tables.formats import find_format
    >>> find_format('galaxies.fits.gz')
    'fits'
    """
    path = Path(path)
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in _COMPRESSED:
        suffixes.pop()
    for name, known in FORMATS.items():
        if suffixes and suffixes[-1] in known:
            return name
    with path.open('rb') as file:
        beginning = file.read(64).lstrip(b'\xef\xbb\xbf \t\r\n')
    for start, name in _BEGINNINGS.items():
        if beginning.startswith(start):
            return name
    msg = f'{path} is of no format that is known here: {", ".join(FORMATS)}'
    raise ValueError(msg)
