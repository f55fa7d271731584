# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files that appear complete or not at all."""

import os
import secrets
from pathlib import Path

__all__ = ['write_atomically']


def write_atomically(path, content, *, sync=True):
    """
    Write bytes to a file that appears complete or not at all.

    Parameters
    ----------
    path : path-like
        The file.
    content : bytes
        What it shall hold.
    sync : bool, optional
        Whether to wait until it is on the disk: a power cut may else leave an
        empty file, as no killed process does.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from galmorph.files import write_atomically
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_atomically(Path(folder) / 'a.txt', b'galaxy')
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.txt']
    """
    path = Path(path)
    part = path.with_name(f'.{path.name}.{secrets.token_hex(4)}.part')
    try:
        with part.open('xb') as file:
            file.write(content)
            if sync:
                file.flush()
                os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
