# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The cutout services of MAST, through astroquery."""

import collections
import contextlib
import zipfile

from astroquery.mast import HapcutClass, ZcutClass, conf

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources._session import keep_settings, prepare_session

__all__ = ['MastCutouts']

_KINDS = {
    'zcut': (ZcutClass, ('survey', 'astrocut')),
    'hapcut': (HapcutClass, ('astrocut',)),
}


class MastCutouts:
    """
    A cutout service of MAST, for several threads.

    astroquery's clients hold one HTTP session, have no timeout, and take a
    failure of the server for a bad query. Here each thread that asks has a
    client of its own, which says what went wrong.

    Parameters
    ----------
    service : str
        'zcut' or 'hapcut'.
    server : str, optional
        The address of a mirror, by default that of MAST.
    timeout : float, optional
        Seconds to wait for an answer.

    Examples
    --------
    >>> from galmorph.sources._mast import MastCutouts
    >>> MastCutouts('zcut')
    <MastCutouts: zcut at https://mast.stsci.edu>
    """

    def __init__(self, service, *, server=None, timeout=60.0):
        self.service = service
        self.timeout = timeout
        self.server = (server or conf.server).rstrip('/')
        self._idle = collections.deque()

    def __repr__(self):
        return f'<MastCutouts: {self.service} at {self.server}>'

    @contextlib.contextmanager
    def client(self):
        """
        Lend a client of astroquery.

        Yields
        ------
        client : `~astroquery.mast.ZcutClass` or `~astroquery.mast.HapcutClass`
            The client.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            With the flag ``UNREADABLE_IMAGE`` for a damaged zip file, with
            ``ARCHIVE_ERROR`` where the server does not know the service.
        """
        try:
            client, answers = self._idle.pop()
        except IndexError:
            client, answers = self._new()
        answers.clear()
        try:
            with keep_settings():
                yield client
        except zipfile.BadZipFile as error:
            raise _damaged(error) from error
        except ValueError as error:
            # A file that is no zip file is taken for a message.
            if answers and answers[-1].content.startswith(b'PK'):
                raise _damaged(error) from error
            raise
        finally:
            self._idle.append((client, answers))

    def _new(self):
        kind, paths = _KINDS[self.service]
        client = kind()
        # astroquery reads its configuration once, when it is imported, and there
        # is no public way to another server.
        connection = client._service_api_connection  # noqa: SLF001
        connection.SERVICE_URL = self.server
        connection.TIMEOUT = float('inf')
        services = {path: {'path': path} for path in paths}
        connection.set_service_params(services, self.service)
        session = connection._session  # noqa: SLF001
        return client, prepare_session(session, self.timeout, _refuse_errors)


def _refuse_errors(response, *_, **__):
    if response.status_code < 400:
        return
    # A connection with an unread answer cannot be used again.
    response.close()
    if response.status_code in (404, 410):
        # Of the service: it answers 200 where there is no image.
        msg = f'MAST answered {response.status_code} to {response.url}'
        raise ImageError(msg, flag=MorphologyFlag.ARCHIVE_ERROR)
    response.raise_for_status()


def _damaged(error):
    return ImageError(
        f'MAST sent a damaged zip file ({error})', flag=MorphologyFlag.UNREADABLE_IMAGE
    )
