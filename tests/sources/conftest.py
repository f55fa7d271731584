# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the tests of the sources share: a server, and a cache of their own."""

import pytest

from galmorph.sources import registry
from tests.helpers.loopback import Loopback


@pytest.fixture(autouse=True)
def _isolated(tmp_path, monkeypatch):
    """Keep caches, ours and astroquery's, and the names of sources in the test."""
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'xdg_cache'))
    (tmp_path / 'xdg_cache').mkdir()
    monkeypatch.setattr(registry, '_registered', {})


@pytest.fixture
def loopback():
    """Return a server that ends with the test."""
    server = Loopback()
    yield server
    server.close()
