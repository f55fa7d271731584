# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure what a second worker process of Dask brings.

    python benchmarks/bench_distributed.py [--galaxies 2000] [--weights compact.gz2]

``galmorph.inference.distributed.annotate`` goes through a generated sky in worker
processes of one thread each. One worker and two take turns, after a first round that
loads the network and reads the headers, so that a busy machine slows both alike.
Printed are galaxies per second and their ratio; and, to tell the machine from the
program, the same for a plain product of matrices in the same workers: that ratio is
what there is to be had.
"""

import argparse
import contextlib
import os
import statistics
import tempfile
import time
from pathlib import Path

import dask
import dask.dataframe as dd
import numpy as np
from astropy.table import Table
from distributed import Client, LocalCluster
from generated_sky import make_sky

from galmorph.inference.distributed import annotate


def multiply(seed):
    """Spend time on products of matrices."""
    matrix = np.random.default_rng(seed).random((1024, 1024), np.float32)
    for _ in range(20):
        np.matmul(matrix, matrix)


def timed(function):
    """Seconds that a call takes."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def start_workers(stack, n_workers, folder):
    """Start workers of one thread each, and return their client."""
    cluster = stack.enter_context(
        LocalCluster(
            n_workers=n_workers,
            threads_per_worker=1,
            host='127.0.0.1',
            # no page, and no fixed port for it either
            dashboard_address=None,
            scheduler_kwargs={'dashboard_address': '127.0.0.1:0'},
            local_directory=folder,
            death_timeout=300,
        )
    )
    return stack.enter_context(Client(cluster, set_as_default=False))


def main():
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--galaxies', type=int, default=2000)
    parser.add_argument('--partitions', type=int, default=8)
    parser.add_argument('--weights', default='compact.gz2')
    parser.add_argument('--workers', type=int, default=2)
    parser.add_argument('--rounds', type=int, default=3)
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        stack.enter_context(dask.config.set({'distributed.comm.timeouts.connect': 300}))
        sky = make_sky(folder, options.galaxies, tile_side=1000, bands='gri')
        table = Table.read(sky.sources)
        # Partitions of neighbours, as a catalogue by HEALPix pixels has them.
        table.sort(['tile', 'ra'])
        frame = table['ra', 'dec', 'petroR90'].to_pandas()
        catalogue = dd.from_pandas(frame, npartitions=options.partitions, sort=False)
        annotated = annotate(
            catalogue,
            options.weights,
            mosaic=Path(folder, 'tiles'),
            size='petroR90',
            columns='best',
            device='cpu',
        )
        numbers = 1, options.workers
        clients = {n: start_workers(stack, n, folder) for n in numbers}
        rates = {(what, n): [] for what in ('annotate', 'product') for n in numbers}
        seeds = range(8)  # a task of the same arguments is not done again
        for index in range(options.rounds + 1):
            for n, client in clients.items():
                seconds = timed(lambda c=client: c.compute(annotated).result())
                product = timed(lambda c=client, s=seeds: c.gather(c.map(multiply, s)))
                seeds = range(seeds.stop, seeds.stop + 8)
                if index:  # the first round warms up
                    rates['annotate', n].append(options.galaxies / seconds)
                    rates['product', n].append(8 / product)
    print(
        f'{options.weights}, {options.galaxies} galaxies in {options.partitions} '
        f'partitions, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}'
    )
    for (what, n), values in rates.items():
        unit = 'galaxies/s' if what == 'annotate' else 'tasks/s'
        print(
            f'{what:9} {n} worker{"s"[: n > 1]:1} {statistics.median(values):9.2f}  '
            f'[{min(values):.2f}, {max(values):.2f}]  {unit}'
        )
    for what in ('annotate', 'product'):
        pairs = zip(rates[what, numbers[1]], rates[what, 1], strict=True)
        ratios = [many / one for many, one in pairs]
        print(
            f'{what:9} {numbers[1]} / 1     {statistics.median(ratios):9.2f}  '
            f'[{min(ratios):.2f}, {max(ratios):.2f}]'
        )


if __name__ == '__main__':
    main()
