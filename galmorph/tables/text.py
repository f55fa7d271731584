# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables in text, by pieces: ECSV and CSV."""

from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.data import get_readable_fileobj

from galmorph.tables.columns import keep_integers

__all__ = ['iterate_csv', 'iterate_ecsv']


def iterate_ecsv(path, chunk_size):
    """
    Read a table in ECSV, chunk by chunk.

    Each piece of the text is given to astropy with the header before it.

    Parameters
    ----------
    path : path-like
        The file, compressed or not.
    chunk_size : int
        Rows of a chunk.

    Yields
    ------
    chunk : `~astropy.table.QTable`
        The rows. A file of no rows yields one chunk of none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.tables.text import iterate_ecsv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.ecsv'
    ...     Table({'n': [1, 2, 3]}).write(path)
    ...     [chunk['n'].tolist() for chunk in iterate_ecsv(path, 2)]
    [[1, 2], [3]]
    """
    with get_readable_fileobj(str(path), encoding='utf-8') as file:
        header = _read_header(file, comment='#')
        for text in _iterate_text(file, chunk_size):
            table = QTable.read(header + text, format='ascii.ecsv')
            if 'int64' in header and 'unit' in header:
                plain = Table.read(header + text, format='ascii.ecsv')
                keep_integers(table, plain.itercols())
            yield table


def iterate_csv(path, chunk_size):
    """
    Read a table in CSV, chunk by chunk.

    What the columns hold is known at the end: the file is read twice.

    Parameters
    ----------
    path : path-like
        The file, compressed or not.
    chunk_size : int
        Rows of a chunk.

    Yields
    ------
    chunk : `~astropy.table.QTable`
        The rows, of the same dtypes in all chunks but for the length of
        strings. A file of no rows yields one chunk of none.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.tables.text import iterate_csv
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.csv'
    ...     Table({'id': [1, 2], 'name': ['x', '7']}).write(path)
    ...     [chunk['name'].tolist() for chunk in iterate_csv(path, 1)]
    [['x'], ['7']]
    """
    kinds = {}
    for _, chunk in _csv_pieces(path, chunk_size):
        for name in chunk.colnames:
            kinds[name] = _common(kinds.get(name), chunk[name])
    for text, chunk in _csv_pieces(path, chunk_size):
        as_text = [
            name
            for name, kind in kinds.items()
            if kind == 'U' and chunk[name].dtype.kind != 'U'
        ]
        if as_text and len(chunk):
            # Digits in a column of words: a row with a word is put behind them.
            word = ','.join('x' if name in as_text else '0' for name in kinds)
            text = text if text.endswith('\n') else f'{text}\n'
            chunk = QTable.read(f'{text}{word}\n', format='ascii.csv')[:-1]
        for name, kind in kinds.items():
            if kind not in (None, chunk[name].dtype.kind):
                dtype = {'U': 'U1', 'f': 'f8', 'i': 'i8'}[kind]
                chunk[name] = chunk[name].astype(dtype)
        yield chunk


def _csv_pieces(path, chunk_size):
    with get_readable_fileobj(str(path), encoding='utf-8') as file:
        header = _read_header(file)
        for text in _iterate_text(file, chunk_size):
            yield header + text, QTable.read(header + text, format='ascii.csv')


def _read_header(file, comment=None):
    """The text up to the names of the columns."""
    header = ''
    for line in file:
        header += line
        if line.strip() and not (comment and line.lstrip().startswith(comment)):
            break
    return header if header.endswith('\n') else f'{header}\n'


def _common(kind, column):
    """The kind of a column of which some rows are of a kind, and these here."""
    new = column.dtype.kind
    if isinstance(column, MaskedColumn) and column.mask.all():
        # nothing is known of it; astropy takes integers
        return kind or None
    if not isinstance(column, Column) or kind in (None, new):
        return new
    return 'f' if {kind, new} <= {'i', 'f'} else 'U'


def _iterate_text(file, chunk_size):
    """
    Pieces of the text of some rows each; one of nothing where there are none.

    A string in quotes may go over several lines: a row ends where the number
    of quotes is even.
    """
    lines, n_rows, n_quotes, is_first = [], 0, 0, True
    for line in file:
        lines.append(line)
        n_quotes += line.count('"')
        if n_quotes % 2 == 0:
            n_rows += 1
        if n_rows == chunk_size:
            yield ''.join(lines)
            lines, n_rows, n_quotes, is_first = [], 0, 0, False
    if lines or is_first:
        yield ''.join(lines)
