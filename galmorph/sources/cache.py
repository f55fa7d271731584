# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`ImageCache`: what archives answered, on disk, complete or not there."""

import contextlib
import dataclasses
import datetime as dt
import hashlib
import json
import os
import re
import threading
import time
from pathlib import Path

from astropy.config import get_cache_dir_path

from galmorph.config import conf
from galmorph.exceptions import ImageError
from galmorph.files import write_atomically
from galmorph.flags import MorphologyFlag

__all__ = ['CacheEntry', 'ImageCache']

# A file that somebody is about to read is not thrown away.
_IN_USE = 60.0

# What a killed process was writing is left alone while it could still live.
_ABANDONED = 3600.0

# The part of the limit after which the folder is counted again: other processes
# write there, too.
_STEP = 0.05

# The names that files have here, so that nothing else is ever deleted.
_OURS = re.compile(r'\.?[A-Za-z0-9.+_-]*-(?P<digest>[0-9a-f]{20})(\.[^/]*)?')


@dataclasses.dataclass(frozen=True)
class CacheEntry:
    """
    What an archive answered to one request.

    Parameters
    ----------
    source : str
        The name of the source.
    key : str
        The request.
    path : `~pathlib.Path` or None
        The file, or `None` where there is nothing to be had.
    error : `~galmorph.exceptions.ImageError` or None
        Why there is nothing.
    size : int
        Bytes of the file.
    sha256 : str
        Its hash.
    date : str
        When it came, UTC.

    Examples
    --------
    >>> from galmorph.sources.cache import CacheEntry
    >>> CacheEntry(source='sdss', key='frame', size=10).is_file
    False
    """

    source: str
    key: str
    path: Path | None = None
    error: ImageError | None = None
    size: int = 0
    sha256: str = ''
    date: str = ''

    @property
    def is_file(self):
        """Whether there is a file."""
        return self.path is not None


class ImageCache:
    """
    A folder of what archives answered: files, and that there is nothing.

    Each file has a note beside it, with its request, length and hash, which is
    written after it: a file without a note, as a killed process may leave it,
    is not there. Several processes may use one folder.

    Parameters
    ----------
    folder : path-like, optional
        The folder; by default ``galmorph.conf.source_cache`` or, where that is
        empty, ``sources`` in astropy's cache folder of galmorph.
    limit : float, optional
        Gigabytes, beyond which the files used longest ago are deleted; by
        default ``galmorph.conf.source_cache_limit``.
    keep_refusals : float, optional
        Days after which an archive is asked again for what it did not have.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.sources.cache import ImageCache
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = ImageCache(folder)
    ...     entry = cache.put('hips', 'M 31', b'pixels', suffix='.jpg')
    ...     cache.get('hips', 'M 31').size, cache.get('hips', 'M 33')
    (6, None)
    """

    def __init__(self, folder=None, *, limit=None, keep_refusals=30.0):
        folder = folder or conf.source_cache
        self.folder = (
            Path(folder).expanduser()
            if folder
            else get_cache_dir_path('galmorph') / 'sources'
        )
        self.limit = conf.source_cache_limit if limit is None else limit
        self.keep_refusals = keep_refusals
        self._lock = threading.Lock()
        self._total = None
        self._added = 0

    def __repr__(self):
        return f'ImageCache({str(self.folder)!r}, limit={self.limit})'

    def get(self, source, key):
        """
        Look for an answer.

        Parameters
        ----------
        source : str
            The name of the source.
        key : str
            The request.

        Returns
        -------
        entry : `~galmorph.sources.cache.CacheEntry` or None
            `None` where it is unknown, incomplete or too old.
        """
        note = self._note(source, key)
        entry = self._read(note)
        if entry is None or (entry.source, entry.key) != (source, key):
            return None
        try:
            if not entry.is_file:
                age = time.time() - note.stat().st_mtime
                return entry if age < 86400 * self.keep_refusals else None
            if entry.path.stat().st_size != entry.size:
                return None
        except OSError:
            # Another process deletes it.
            return None
        # What was used last is deleted last; a folder may be for reading only.
        with contextlib.suppress(OSError):
            os.utime(note)
        return entry

    def put(self, source, key, content, *, suffix=''):
        """
        Keep a file.

        Parameters
        ----------
        source, key : str
            The name of the source, and the request.
        content : bytes
            The file.
        suffix : str, optional
            How its name ends.

        Returns
        -------
        entry : `~galmorph.sources.cache.CacheEntry`
            The entry.
        """
        note = self._note(source, key)
        note.parent.mkdir(parents=True, exist_ok=True)
        path = note.with_name(f'{note.stem}{suffix}')
        before = self._read(note)
        # A file that a power cut has shortened is not of the length in its note.
        write_atomically(path, content, sync=False)
        digest = hashlib.sha256(content).hexdigest()
        date = self._write(
            note, source, key, file=path.name, size=len(content), sha256=digest
        )
        _replace(before, path)
        self._account(len(content))
        return CacheEntry(source, key, path, None, len(content), digest, date)

    def refuse(self, source, key, error):
        """
        Keep in mind that there is nothing.

        Parameters
        ----------
        source, key : str
            The name of the source, and the request.
        error : `~galmorph.exceptions.ImageError`
            Why.

        Returns
        -------
        entry : `~galmorph.sources.cache.CacheEntry`
            The entry.
        """
        note = self._note(source, key)
        note.parent.mkdir(parents=True, exist_ok=True)
        before = self._read(note)
        date = self._write(note, source, key, flag=int(error.flag), text=str(error))
        _replace(before, None)
        return CacheEntry(source, key, error=error, date=date)

    def forget(self, source, key):
        """
        Delete an answer, such as a file that turned out to be damaged.

        Parameters
        ----------
        source, key : str
            The name of the source, and the request.
        """
        self._delete(self._note(source, key))

    def entries(self, source=None):
        """
        List what there is, without marking it as used.

        Parameters
        ----------
        source : str, optional
            Of one source only.

        Returns
        -------
        entries : list of `~galmorph.sources.cache.CacheEntry`
            The files and refusals.
        """
        found = (self._read(note) for note in self._notes(source))
        return [entry for entry in found if entry is not None]

    def verify(self):
        """
        Compare all files with their hashes, and delete those that differ.

        Returns
        -------
        damaged : list of `~galmorph.sources.cache.CacheEntry`
            What was deleted.
        """
        damaged = []
        for entry in self.entries():
            if entry.is_file and _hash(entry.path) != entry.sha256:
                self.forget(entry.source, entry.key)
                damaged.append(entry)
        return damaged

    def clear(self, source=None):
        """
        Delete what there is.

        Parameters
        ----------
        source : str, optional
            Of one source only.

        Returns
        -------
        n_bytes : int
            How much was deleted.
        """
        n_bytes = sum(self._delete(note) for note in list(self._notes(source)))
        self._sweep(source)
        with self._lock:
            self._total = None
        return n_bytes

    def _note(self, source, key):
        digest = hashlib.sha256(key.encode()).hexdigest()[:20]
        name = re.sub(r'[^A-Za-z0-9.+-]+', '_', key).strip('_')[:60]
        # Folders of tens of thousands of files are slow to list.
        return self.folder / source / digest[:2] / f'{name}-{digest}.note'

    def _notes(self, source=None):
        start = self.folder if source is None else self.folder / source
        return start.rglob('*.note') if start.exists() else iter(())

    @staticmethod
    def _write(note, source, key, **content):
        date = dt.datetime.now(dt.UTC).isoformat(timespec='seconds')
        content = {'source': source, 'key': key, 'date': date, **content}
        write_atomically(note, json.dumps(content).encode(), sync=False)
        return date

    @staticmethod
    def _read(note):
        try:
            content = json.loads(note.read_bytes())
            shared = {name: content[name] for name in ('source', 'key', 'date')}
            if 'file' not in content:
                flag = MorphologyFlag(content['flag'])
                return CacheEntry(
                    error=ImageError(content['text'], flag=flag), **shared
                )
            return CacheEntry(
                path=note.with_name(content['file']),
                size=content['size'],
                sha256=content['sha256'],
                **shared,
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def _delete(self, note):
        entry = self._read(note)
        note.unlink(missing_ok=True)
        if entry is None or not entry.is_file:
            return 0
        entry.path.unlink(missing_ok=True)
        return entry.size

    def _account(self, n_bytes):
        """Delete what was used longest ago, once there is too much."""
        with self._lock:
            limit = self.limit * 1e9
            self._added += n_bytes
            if self._total is not None:
                self._total += n_bytes
                if self._total <= limit and self._added <= _STEP * limit:
                    return
            files = [entry for entry in self.entries() if entry.is_file]
            self._total, self._added = sum(entry.size for entry in files), 0
            if self._total <= limit:
                return
            self._sweep()
            notes = (self._note(entry.source, entry.key) for entry in files)
            for used, note in sorted((_last_use(note), note) for note in notes):
                # Some room, so that the next file does not ask for this again.
                if self._total <= 0.9 * limit or time.time() - used < _IN_USE:
                    return
                self._total -= self._delete(note)

    def _sweep(self, source=None):
        """Delete what killed processes left: parts, and files without a note."""
        start = self.folder if source is None else self.folder / source
        for path in list(start.rglob('*')) if start.exists() else []:
            name = _OURS.fullmatch(path.name)
            if name is None or name['digest'][:2] != path.parent.name:
                continue
            with contextlib.suppress(OSError):
                is_old = time.time() - path.stat().st_mtime > _ABANDONED
                if is_old and not (path.suffix == '.note' or _has_note(path)):
                    path.unlink()


def _has_note(path):
    """Whether the note of this very file is there."""
    digest = _OURS.fullmatch(path.name)['digest']
    stem = path.name[: path.name.index(digest) + len(digest)]
    try:
        content = json.loads(path.with_name(f'{stem}.note').read_bytes())
        return content.get('file') == path.name
    except (OSError, ValueError, AttributeError):
        return False


def _replace(before, path):
    """Delete the file of an answer that another one replaced."""
    if before is not None and before.is_file and before.path != path:
        before.path.unlink(missing_ok=True)


def _hash(path):
    try:
        with path.open('rb') as file:
            return hashlib.file_digest(file, 'sha256').hexdigest()
    except OSError:
        return None


def _last_use(note):
    """When a file was read last; one that somebody deletes meanwhile is new."""
    try:
        return note.stat().st_mtime
    except OSError:
        return time.time()
