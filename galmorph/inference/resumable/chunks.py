# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Finished chunks on disk: each is there whole, or not at all."""

import hashlib
import io
import json
import logging
import re
from pathlib import Path

import numpy as np

from galmorph.files import write_atomically
from galmorph.inference.stream import Answers

__all__ = ['ChunkStore']

logger = logging.getLogger(__name__)

_NAME = re.compile(r'(\d{9})-([0-9a-f]{32})\.npz')


class ChunkStore:
    """
    A folder of finished chunks.

    A chunk is one file, which is synchronised to the disk before it takes its
    name, and whose name holds the checksum of its content. So neither a killed
    process nor a power cut leaves half a chunk that is taken for a whole one.

    Parameters
    ----------
    folder : path-like
        The folder, made if it is not there. Chunks in it whose checksum is
        wrong are deleted, and what a killed process was writing.

    Attributes
    ----------
    done : dict of int to `~pathlib.Path`
        The chunks that are there.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.inference.resumable.chunks import ChunkStore
    >>> from galmorph.inference.stream import Answers
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     ChunkStore(folder).save(7, Answers.empty(2, 37))
    ...     store = ChunkStore(folder)
    ...     sorted(store.done), store.load(7).values.shape
    ([7], (2, 37))
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        self.folder.mkdir(exist_ok=True)
        self.done = {}
        for path in sorted(self.folder.iterdir()):
            name = _NAME.fullmatch(path.name)
            if name is None or _digest(path.read_bytes()) != name[2]:
                logger.warning('%s is damaged or unfinished; it is made anew', path)
                path.unlink()
            else:
                self.done[int(name[1])] = path

    def save(self, number, answers):
        """
        Keep a chunk.

        Parameters
        ----------
        number : int
            Its number.
        answers : `~galmorph.inference.stream.Answers`
            Its content.
        """
        std = {} if answers.std is None else {'std': answers.std}
        reasons = np.frombuffer(json.dumps(answers.reasons).encode(), np.uint8)
        buffer = io.BytesIO()
        np.savez(
            buffer, values=answers.values, flags=answers.flags, reasons=reasons, **std
        )
        content = buffer.getvalue()
        path = self.folder / f'{number:09d}-{_digest(content)}.npz'
        write_atomically(path, content)
        self.done[number] = path

    def add(self, number):
        """
        Take note of a chunk that another process has saved.

        Parameters
        ----------
        number : int
            Its number.
        """
        (self.done[number],) = self.folder.glob(f'{number:09d}-*.npz')

    def load(self, number):
        """
        Read a chunk.

        Parameters
        ----------
        number : int
            Its number, one of ``done``.

        Returns
        -------
        answers : `~galmorph.inference.stream.Answers`
            Its content.
        """
        with np.load(self.done[number]) as content:
            return Answers(
                content['values'],
                content.get('std'),
                content['flags'],
                json.loads(content['reasons'].tobytes()),
            )


def _digest(content):
    return hashlib.blake2b(content, digest_size=16).hexdigest()
