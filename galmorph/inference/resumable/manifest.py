# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a run is of, so that no other one goes on with it."""

import hashlib
import json
from pathlib import Path

from galmorph.exceptions import GalmorphError
from galmorph.files import write_atomically

__all__ = ['Manifest', 'ManifestError']

_N_SHOWN = 3


class ManifestError(GalmorphError, ValueError):
    """An unfinished run that is of another call than the one to go on with it."""


class Manifest:
    """
    What a run is of: its input, its weights and its settings.

    Parameters
    ----------
    content : dict
        Anything that JSON knows, with names that a user understands.

    Examples
    --------
    >>> from galmorph.inference.resumable.manifest import Manifest
    >>> old = Manifest({'weights': {'name': 'a'}, 'table': {'n_rows': 9}})
    >>> new = Manifest({'weights': {'name': 'b'}, 'table': {'n_rows': 9}})
    >>> old.differences(new)
    ["weights name: 'a' then, 'b' now"]
    """

    def __init__(self, content):
        # As it is after it has been written and read.
        self.content = json.loads(json.dumps(content))

    @property
    def digest(self):
        """A checksum of all of it."""
        content = json.dumps(self.content, sort_keys=True).encode()
        return hashlib.blake2b(content, digest_size=16).hexdigest()

    def differences(self, new):
        """
        Tell in what a later call differs.

        Parameters
        ----------
        new : `Manifest`
            That of the call.

        Returns
        -------
        differences : list of str
            The names of what differs, with both values.
        """
        before, after = _flat(self.content), _flat(new.content)
        nothing = object()
        found = []
        for key in dict.fromkeys([*before, *after]):
            values = [some.get(key, nothing) for some in (before, after)]
            if values[0] != values[1]:
                texts = ['nothing' if v is nothing else repr(v) for v in values]
                found.append(f'{key}: {texts[0]} then, {texts[1]} now')
        return found

    def save(self, path):
        """
        Write it down.

        Parameters
        ----------
        path : path-like
            The file.
        """
        text = json.dumps(self.content, indent=1, sort_keys=True)
        write_atomically(path, f'{text}\n'.encode())

    def check(self, path):
        """
        Make sure that the run on disk is of this call.

        Parameters
        ----------
        path : path-like
            The file that `save` wrote.

        Raises
        ------
        ManifestError
            If it is of another one: the message names what differs.
        """
        try:
            old = Manifest(json.loads(Path(path).read_bytes()))
            found = old.differences(self)
        except (OSError, ValueError, AttributeError) as error:
            found = [f'{path} cannot be read ({error})']
        if not found:
            return
        text = '; '.join(found[:_N_SHOWN])
        if len(found) > _N_SHOWN:
            text += f'; and {len(found) - _N_SHOWN} more'
        msg = (
            f'the unfinished run in {str(Path(path).parent)!r} is of another call: '
            f'{text}. Call as then to go on with it, or start anew with overwrite=True'
        )
        raise ManifestError(msg)


def _flat(content, prefix=''):
    """Nested entries by what leads to them."""
    if not isinstance(content, dict):
        return {prefix: content}
    flat = {}
    for key, value in content.items():
        flat.update(_flat(value, f'{prefix} {key}' if prefix else key))
    return flat
