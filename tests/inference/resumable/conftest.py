# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import MaskedColumn, QTable
from PIL import Image

from galmorph import conf
from tests.helpers.tiny import draw_stamps


@pytest.fixture
def table(tmp_path):
    """Return a table of 30 pictures, one of which is missing."""
    n = 30
    paths = [tmp_path / f'{index}.png' for index in range(n)]
    for path, stamp in zip(paths, draw_stamps(n - 1), strict=False):
        Image.fromarray(stamp).save(path)
    table = QTable(
        {
            'id': np.arange(n),
            'path': [str(path) for path in paths],
            'distance': np.linspace(10, 90, n) * u.Mpc,
            'note': MaskedColumn(['a', 'bb'] * (n // 2), mask=[False, True] * (n // 2)),
            'coord': SkyCoord(np.arange(n), np.arange(n), unit='deg', frame='fk5'),
        },
        meta={'TELESCOP': 'none'},
    )
    table['id'].info.description = 'a number'
    # Rows that do not lie in the order of anything.
    return table[np.random.default_rng(1).permutation(n)]


@pytest.fixture
def small_chunks():
    """Let chunks have four rows."""
    with conf.set_temp('chunk_size', 4):
        yield 4
