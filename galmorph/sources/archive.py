# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`Archive`: requests with manners, cached, retried, or answered offline."""

import collections
import concurrent.futures
import json
import logging
import random
import threading
import time

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources.cache import ImageCache

__all__ = ['Archive', 'end_with']

logger = logging.getLogger(__name__)

# Answers that say that there is nothing, and those that another try may change.
# The others, such as 403, are of the archive and not of the sky.
_NOTHING = (404, 410)
_MAY_PASS = (408, 425, 429)

# The longest pause that an archive can ask for, in seconds.
_LONGEST_PAUSE = 60.0

# The event that ends the work of a thread.
_thread = threading.local()


def end_with(stop):
    """
    Let this thread make no further try once an event is set.

    Parameters
    ----------
    stop : `threading.Event`
        The event.

    Examples
    --------
    >>> import threading
    >>> from concurrent.futures import ThreadPoolExecutor
    >>> from galmorph.sources.archive import end_with
    >>> stop = threading.Event()
    >>> pool = ThreadPoolExecutor(1, initializer=end_with, initargs=(stop,))
    >>> pool.submit(sum, [1, 2]).result()
    3
    """
    _thread.stop = stop


class Archive:
    """
    How a source talks to its archive.

    A request that was answered once is answered from the cache, also if the
    answer was that there is nothing. What fails for another reason is tried
    again, later each time, and is not kept: the next call asks once more.

    Parameters
    ----------
    name : str
        The name of the source, under which its answers are kept.
    cache : `~galmorph.sources.cache.ImageCache` or path-like, optional
        The cache, or its folder.
    n_connections : int, optional
        Requests at a time.
    n_retries : int, optional
        How often to try again.
    backoff : float, optional
        Seconds before the second try. It doubles with each try, times a random
        factor, so that requests that failed together do not return together.
    offline : bool, optional
        Make no request: what the cache does not have is missing.

    Attributes
    ----------
    n_requests : int
        Requests made so far, each try counted.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.sources.archive import Archive
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     archive = Archive('mine', cache=folder)
    ...     for _ in range(2):
    ...         path = archive.file('M 31', lambda: b'pixels', suffix='.fits')
    ...     path.read_bytes(), archive.n_requests
    (b'pixels', 1)
    """

    def __init__(
        self,
        name,
        *,
        cache=None,
        n_connections=4,
        n_retries=3,
        backoff=1.0,
        offline=False,
    ):
        self.name = name
        self.cache = cache if isinstance(cache, ImageCache) else ImageCache(cache)
        self.n_connections = int(n_connections)
        self.n_retries = int(n_retries)
        self.backoff = float(backoff)
        self.offline = bool(offline)
        self.n_requests = 0
        if self.n_connections < 1:
            msg = f'n_connections must be at least 1, not {n_connections!r}'
            raise ValueError(msg)
        if self.n_retries < 0 or not self.backoff >= 0:
            msg = f'n_retries and backoff must not be negative: {n_retries}, {backoff}'
            raise ValueError(msg)
        self._slots = threading.BoundedSemaphore(self.n_connections)
        self._lock = threading.Lock()
        self._running = {}
        self._opened = collections.OrderedDict()

    def file(self, key, download, *, suffix='', check=None):
        """
        Get a file, from the cache or by one request.

        Threads that ask for the same file wait for one download.

        Parameters
        ----------
        key : str
            What identifies the request.
        download : callable
            Makes the request, and returns bytes. It raises an
            `~galmorph.exceptions.ImageError` where the archive has no such
            thing, which is kept; any other exception is a failure, but an HTTP
            status that says so, such as 404, counts as the former.
        suffix : str, optional
            How the name of the file ends.
        check : callable, optional
            Called with the bytes. It raises an exception if they are not what
            was asked for; that is a failure too.

        Returns
        -------
        path : `~pathlib.Path`
            The file.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            If the archive has nothing, does not answer, or keeps on sending
            damaged files; or if it is not to be asked.
        """
        return self._once(
            ('file', key), lambda: self._file(key, download, suffix, check)
        )

    def value(self, key, ask):
        """
        Get a value that JSON can hold, such as a row of a catalogue.

        Parameters
        ----------
        key : str
            What identifies the request.
        ask : callable
            Makes the request, and returns the value. Exceptions are those of
            `file`.

        Returns
        -------
        value : object
            The value.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            As in `file`.
        """
        for is_last in (False, True):
            path = self.file(key, lambda: json.dumps(ask()).encode(), suffix='.json')
            try:
                return json.loads(path.read_bytes())
            except (OSError, ValueError):
                # Deleted meanwhile, or damaged on the disk.
                if is_last:
                    raise
                self.cache.forget(self.name, key)
        return None

    def opened(self, path, read, *, keep=8):
        """
        Give what was read from a file, without reading it twice.

        Parameters
        ----------
        path : `~pathlib.Path`
            The file.
        read : callable
            From a path to what is wanted of it.
        keep : int, optional
            How many of those used last to keep in memory.

        Returns
        -------
        content : object
            What ``read`` returned: shared, and not to be changed.
        """
        return self._once(('open', path), lambda: self._open(path, read, keep))

    def recall(self, key):
        """
        Look into the cache only, for requests that ask for several things.

        Parameters
        ----------
        key : str
            What identifies the request.

        Returns
        -------
        path : `~pathlib.Path` or None
            The file.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            If the archive is known to have nothing.
        """
        entry = self.cache.get(self.name, key)
        if entry is not None and not entry.is_file:
            raise entry.error
        return None if entry is None else entry.path

    def keep(self, key, value):
        """
        Keep one of several answers to a request.

        Parameters
        ----------
        key : str
            What identifies it.
        value : object or `~galmorph.exceptions.ImageError`
            What `value` shall return, or raise.
        """
        if isinstance(value, ImageError):
            self.cache.refuse(self.name, key, value)
        else:
            content = json.dumps(value).encode()
            self.cache.put(self.name, key, content, suffix='.json')

    def request(self, ask, what, *, check=None):
        """
        Make a request, several times if need be, without the cache.

        Parameters
        ----------
        ask : callable
            Makes the request. Exceptions are those of ``download`` in `file`.
        what : str
            What is asked for, for messages.
        check : callable, optional
            Raises an exception if the answer is not as it should be. Meanwhile
            another request may be made.

        Returns
        -------
        answer : object
            What ``ask`` returned.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            As in `file`.
        """
        if self.offline:
            msg = f'{what} is not in the cache, and {self.name!r} is not asked offline'
            raise ImageError(msg, flag=MorphologyFlag.NOT_CACHED)
        stop = getattr(_thread, 'stop', None)
        failure = None
        for attempt in range(self.n_retries + 1):
            if attempt:
                pause = self.backoff * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)
                time.sleep(max(pause, _wanted_pause(failure)))
            if stop is not None and stop.is_set():
                msg = f'{what} was not waited for'
                raise ImageError(msg, flag=MorphologyFlag.ARCHIVE_ERROR)
            try:
                with self._slots:
                    with self._lock:
                        self.n_requests += 1
                    answer = ask()
                if check is not None:
                    check(answer)
                return answer
            except ImageError as error:
                if error.flag != MorphologyFlag.UNREADABLE_IMAGE:
                    raise
                failure = error
            except Exception as error:
                status = _status(error)
                if status in _NOTHING:
                    msg = f'{self.name!r} has no {what} (HTTP {status})'
                    raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE) from error
                if 400 <= (status or 0) < 500 and status not in _MAY_PASS:
                    msg = f'{self.name!r} refuses {what} (HTTP {status})'
                    raise ImageError(msg, flag=MorphologyFlag.ARCHIVE_ERROR) from error
                failure = error
            logger.debug('%s failed: %s', what, failure, exc_info=failure)
        if isinstance(failure, ImageError):
            raise failure
        text = ' '.join(str(failure).split())[:200] or type(failure).__name__
        msg = (
            f'{self.name!r} gave no {what} in {self.n_retries + 1} tries: '
            f'{type(failure).__name__}: {text}'
        )
        raise ImageError(msg, flag=MorphologyFlag.ARCHIVE_ERROR) from failure

    def _file(self, key, download, suffix, check):
        path = self.recall(key)
        if path is not None:
            return path

        def look(content):
            try:
                check(content)
            except ImageError:
                raise
            except Exception as error:
                msg = f'{self.name!r} sent a damaged {key}: {error}'
                flag = MorphologyFlag.UNREADABLE_IMAGE
                raise ImageError(msg, flag=flag) from error

        try:
            content = self.request(download, key, check=None if check is None else look)
        except ImageError as error:
            if error.flag not in _PASSING:
                self.cache.refuse(self.name, key, error)
            raise
        return self.cache.put(self.name, key, content, suffix=suffix).path

    def _open(self, path, read, keep):
        with self._lock:
            if path in self._opened:
                self._opened.move_to_end(path)
                return self._opened[path]
        content = read(path)
        with self._lock:
            self._opened[path] = content
            while len(self._opened) > keep:
                self._opened.popitem(last=False)
        return content

    def _once(self, key, function):
        """Do in one thread what several ask for at the same time."""
        with self._lock:
            future = self._running.get(key)
            is_mine = future is None
            if is_mine:
                future = self._running[key] = concurrent.futures.Future()
        if not is_mine:
            return future.result()
        try:
            result = function()
        except BaseException as error:
            future.set_exception(error)
            raise
        else:
            future.set_result(result)
            return result
        finally:
            with self._lock:
                del self._running[key]


# What may be otherwise at the next call.
_PASSING = (
    MorphologyFlag.ARCHIVE_ERROR,
    MorphologyFlag.NOT_CACHED,
    MorphologyFlag.UNREADABLE_IMAGE,
)


def _reply(error):
    """Status and headers in an exception of requests, urllib or astropy."""
    for _ in range(5):
        if error is None:
            break
        response = getattr(error, 'response', None)
        status = getattr(response, 'status_code', None) or getattr(error, 'code', None)
        if isinstance(status, int):
            # A reply of requests that says no is false.
            reply = error if response is None else response
            return status, getattr(reply, 'headers', None)
        error = error.__cause__ or error.__context__
    return None, None


def _status(error):
    return _reply(error)[0]


def _wanted_pause(error):
    """Seconds that the archive asks for in the header Retry-After."""
    _, headers = _reply(error)
    try:
        return min(float(headers['Retry-After']), _LONGEST_PAUSE)
    except (KeyError, TypeError, ValueError):
        # Not asked for; or a date, which the back-off does for.
        return 0.0
