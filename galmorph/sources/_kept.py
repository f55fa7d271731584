# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files of the cache that were deleted or damaged since they came."""

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag

__all__ = ['read_kept']


def read_kept(archive, key, find, read):
    """
    Read a file of the cache, and get it anew if it cannot be read.

    Another process may have made room in the cache, or the disk be damaged.

    Parameters
    ----------
    archive : `~galmorph.sources.archive.Archive`
        The way to the archive.
    key : str
        What identifies the file.
    find : callable
        Returns the path, from the cache or by a request.
    read : callable
        From the path to what is wanted.

    Returns
    -------
    content : object
        What ``read`` returned.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If there is none.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.sources._kept import read_kept
    >>> from galmorph.sources.archive import Archive
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     archive = Archive('mine', cache=folder)
    ...     find = lambda: archive.file('M 31', lambda: b'12')
    ...     _ = find().write_bytes(b'??')
    ...     read_kept(archive, 'M 31', find, lambda path: int(path.read_bytes()))
    12
    """
    path = find()
    try:
        return read(path)
    except ImageError as error:
        if error.flag != MorphologyFlag.UNREADABLE_IMAGE:
            raise
    # A damaged file makes readers raise whatever comes.
    except Exception:  # noqa: S110
        pass
    archive.cache.forget(archive.name, key)
    return read(find())
