# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Copies in Parquet of tables in formats without access to single rows."""

import contextlib
import hashlib
import secrets
import tempfile
from pathlib import Path

from galmorph.tables.columns import Layout
from galmorph.tables.parquet import ParquetReader
from galmorph.tables.parquet_writing import ParquetWriter
from galmorph.tables.text import iterate_csv, iterate_ecsv
from galmorph.tables.votable import iterate_votable

__all__ = ['convert', 'open_converted']

_ITERATE = {'ecsv': iterate_ecsv, 'csv': iterate_csv, 'votable': iterate_votable}
_CHUNK_ROWS = 20_000
# changes with what is written
_VERSION = 1


def open_converted(path, format, scratch=None):  # noqa: A002
    """
    Open the copy of a table, which is made if it is not there.

    Parameters
    ----------
    path : path-like
        The file.
    format : {'ecsv', 'csv', 'votable'}
        Its format.
    scratch : path-like, optional
        Folder for the copy, which stays there and serves as long as the file
        does not change. By default a temporary one, which is removed when the
        reader is closed.

    Returns
    -------
    reader : `~galmorph.tables.parquet.ParquetReader`
        The copy.

    Raises
    ------
    OSError
        If the file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.tables.conversion import open_converted
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'a.csv'
    ...     Table({'n': [1], 'm': [2]}).write(path)
    ...     with open_converted(path, 'csv') as reader:
    ...         print(reader.read(0, 1)['m'].tolist())
    [2]
    """
    path = Path(path)
    with contextlib.ExitStack() as stack:
        if scratch is None:
            folder = stack.enter_context(
                tempfile.TemporaryDirectory(
                    prefix='galmorph-', ignore_cleanup_errors=True
                )
            )
        else:
            folder = scratch
            Path(folder).mkdir(parents=True, exist_ok=True)
        state = path.stat()
        key = repr((_VERSION, str(path.resolve()), state.st_size, state.st_mtime_ns))
        name = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
        copy = Path(folder) / f'{path.name}.{name}.parquet'
        if not copy.exists():
            convert(path, format, copy)
        reader = ParquetReader(copy)
        stack.callback(reader.close)
        rest = stack.pop_all()
    reader.close = rest.close
    return reader


def convert(path, format, target):  # noqa: A002
    """
    Copy a table to Parquet, in pieces.

    Parameters
    ----------
    path : path-like
        The file.
    format : {'ecsv', 'csv', 'votable'}
        Its format.
    target : path-like
        The copy, which appears complete or not at all.

    Raises
    ------
    OSError
        If the file is damaged.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import Table
    >>> from galmorph.tables.conversion import convert
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path, copy = Path(folder) / 'a.csv', Path(folder) / 'a.parquet'
    ...     Table({'n': [1], 'm': [2]}).write(path)
    ...     convert(path, 'csv', copy)
    ...     print(Table.read(copy)['m'].tolist())
    [2]
    """
    target = Path(target)
    part = target.with_name(f'.{target.name}.{secrets.token_hex(4)}.part')
    try:
        with part.open('xb') as file:
            _copy(_ITERATE[format](path, _CHUNK_ROWS), file)
        part.replace(target)
    except ImportError:
        raise
    except Exception as error:
        msg = f'{path} cannot be read as {format}: {error}'
        raise OSError(msg) from error
    finally:
        part.unlink(missing_ok=True)


def _copy(chunks, file):
    writer = None
    try:
        for chunk in chunks:
            if writer is None:
                layout = Layout(chunk, all_masked=True)
                writer = ParquetWriter(file, layout, plain=True)
            writer.write(layout.split(chunk))
    except BaseException:
        if writer is not None:
            writer.abandon()
        raise
    writer.finish()
