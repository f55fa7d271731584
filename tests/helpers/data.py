# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the real galaxies for tests are found, outside the repository."""

import os
from pathlib import Path

import pytest

__all__ = ['SHARED_DATA', 'needs_shared_data']


def _find():
    named = os.environ.get('GALMORPH_TEST_DATA')
    beside = Path(__file__).resolve().parents[3] / 'shared' / 'data'
    for folder in (Path(named) if named else None, beside):
        if folder is not None and folder.is_dir():
            return folder
    return None


SHARED_DATA = _find()

needs_shared_data = pytest.mark.skipif(
    SHARED_DATA is None,
    reason='no folder of real galaxies: name it in GALMORPH_TEST_DATA',
)
