# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Worker processes of Dask on this machine, that know the tiny network."""

import contextlib
import os
from pathlib import Path
from unittest import mock

__all__ = ['DEPRECATIONS', 'start_cluster']

#: What the packages that the catalogues are made with say to pandas 3: filters for
#: `pytest.mark.filterwarnings`.
DEPRECATIONS = (
    'ignore:The inplace keyword in .* is deprecated:DeprecationWarning',
    "ignore:The 'mode.chained_assignment' option is deprecated:DeprecationWarning",
)

# Behind the paths, so that the installed galmorph is found and not the checkout. Dask
# runs it twice.
_PRELOAD = f"""
import sys
sys.path.append({str(Path(__file__).parents[2])!r})
from galmorph.networks import register_network
from tests.helpers.tiny import TinyNetwork
register_network('tiny', TinyNetwork, overwrite=True)
"""


@contextlib.contextmanager
def start_cluster(folder, n_workers=2, *, preload=_PRELOAD):
    """Start workers with a thread each, and give their client."""
    import dask
    from distributed import Client, LocalCluster

    patience = {
        'distributed.comm.timeouts.connect': '300s',
        'distributed.comm.timeouts.tcp': '300s',
    }
    with (
        # Dask leaves OMP_NUM_THREADS and others behind, for its workers.
        mock.patch.dict(os.environ),
        dask.config.set(patience),
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            processes=True,
            host='127.0.0.1',
            # no page, and no fixed port for it either
            dashboard_address=None,
            scheduler_kwargs={'dashboard_address': '127.0.0.1:0'},
            death_timeout=300,
            local_directory=str(folder),
            preload=[preload],
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client
