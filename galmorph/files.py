# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files that appear complete or not at all, and locks on them."""

import contextlib
import os
import secrets
from pathlib import Path

try:
    import fcntl
except ImportError:
    # Windows has none
    fcntl = None

__all__ = ['hold_lock', 'sync_folder', 'write_atomically']


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
        if sync:
            sync_folder(path.parent)
    finally:
        part.unlink(missing_ok=True)


def sync_folder(folder):
    """
    Wait until the names of the files in a folder are on the disk.

    Parameters
    ----------
    folder : path-like
        The folder. Where the system cannot do this, nothing is done.

    Examples
    --------
    >>> from galmorph.files import sync_folder
    >>> sync_folder('.')
    """
    try:
        descriptor = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError:
        pass
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def hold_lock(path, what):
    """
    Let one process at a time do something.

    The lock goes with the process, however that ends. Windows has none.

    Parameters
    ----------
    path : path-like
        The file that is locked; it is made, and stays.
    what : str
        What is done, for the message.

    Raises
    ------
    BlockingIOError
        If another process has the lock.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from galmorph.files import hold_lock
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with hold_lock(Path(folder) / 'lock', 'a test'):
    ...         pass
    """
    with Path(path).open('a') as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                msg = f'{what} is going on in another process'
                raise BlockingIOError(error.errno, msg) from error
        yield
