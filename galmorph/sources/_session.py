# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How several threads use astroquery: its HTTP sessions, and its settings."""

import collections
import contextlib
import threading

from astroquery import cache_conf

from galmorph import __version__

__all__ = ['keep_settings', 'prepare_session']

_lock = threading.Lock()
# The threads within `keep_settings`, and the setting before the first of them.
_within = {'threads': 0, 'cache': True}


@contextlib.contextmanager
def keep_settings():
    """
    Leave the settings of astroquery as they are while threads use it.

    A request that shall not be cached turns ``astroquery.cache_conf.cache_active``
    off and on again. Of two threads, one takes what the other has set for the
    setting of the user, and leaves the cache off.

    Examples
    --------
    >>> from astroquery import cache_conf
    >>> from galmorph.sources._session import keep_settings
    >>> with keep_settings():
    ...     cache_conf.cache_active = False
    >>> cache_conf.cache_active
    True
    """
    with _lock:
        if _within['threads'] == 0:
            _within['cache'] = cache_conf.cache_active
        _within['threads'] += 1
    try:
        yield
    finally:
        with _lock:
            _within['threads'] -= 1
            if _within['threads'] == 0:
                cache_conf.cache_active = _within['cache']


def prepare_session(session, timeout, *hooks):
    """
    Change the session of a client of astroquery that is ours alone.

    It waits no longer than it should, and names us. astroquery guesses the
    encoding of every answer for its log, which takes 0.3 s for 2 MB of pixels;
    this ends here.

    Parameters
    ----------
    session : `requests.Session`
        The session.
    timeout : float
        Seconds to wait for an answer, where the request does not say it.
    *hooks : callable
        Called with each response, before its content is read.

    Returns
    -------
    answers : `~collections.deque`
        Where the last response will be found.

    Examples
    --------
    >>> import requests
    >>> from galmorph.sources._session import prepare_session
    >>> session = requests.Session()
    >>> answers = prepare_session(session, 60)
    >>> session.headers['User-Agent'].startswith('galmorph/')
    True
    """
    from requests.adapters import HTTPAdapter

    class Adapter(HTTPAdapter):
        def send(self, request, **options):
            options['timeout'] = options.get('timeout') or timeout
            return super().send(request, **options)

    answers = collections.deque(maxlen=1)

    def keep(response, *_, **__):
        answers.append(response)

    session.hooks['response'] = [keep, *hooks]
    for scheme in ('https://', 'http://'):
        session.mount(scheme, Adapter())
    agent = session.headers['User-Agent']
    session.headers['User-Agent'] = f'galmorph/{__version__} {agent}'
    return answers
