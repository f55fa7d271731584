# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure whether memory stays flat in the number of rows.

    python benchmarks/bench_memory.py [--rows 1000 50000]

Runs ``predict_table`` over tables of different lengths, each in a process of
its own, and prints the peak resident memory of each. The rows name one JPEG
of 424 px. The network is a stand-in, so that 50,000 rows take a minute:
what is measured is all that lies around it.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

STAND_IN = 'bench-memory'


def run(n_rows, folder):
    """Classify a table and print the peak memory in MB."""
    import numpy as np
    import torch
    from astropy.table import Table
    from PIL import Image

    from galmorph import MorphologyClassifier, Recipe, load_schema
    from galmorph.networks import register_network
    from galmorph.weights import WeightsCard, save_weights

    class StandIn(torch.nn.Module):
        def __init__(self, structure):
            super().__init__()
            self.scale = torch.nn.Parameter(torch.full((structure[-1][1],), 0.01))

        def forward(self, views):
            return views.mean((1, 2, 3, 4), keepdim=True).flatten(1) * self.scale

    register_network(STAND_IN, StandIn)
    network = StandIn(load_schema('gz2').structure)
    path = folder / 'weights.safetensors'
    sha256 = save_weights(network.state_dict(), path, precision='float32')
    card = WeightsCard(
        name=STAND_IN,
        title='Stand-in',
        description='Stand-in',
        version='1',
        licence='BSD-3-Clause',
        instrument='SDSS',
        network={'name': STAND_IN},
        schema='gz2',
        recipe=Recipe().to_dict(),
        file=path.name,
        size=path.stat().st_size,
        sha256=sha256,
        training={},
        metrics={},
        supported_questions=['smooth_or_features'],
        limits=[],
        paper={},
    )
    card.to_file(folder / 'card.yaml')
    pixels = np.random.default_rng(1).integers(0, 255, (424, 424, 3), np.uint8)
    Image.fromarray(pixels).save(folder / 'galaxy.jpg')
    table = Table({'path': [str(folder / 'galaxy.jpg')] * n_rows})
    classifier = MorphologyClassifier(folder / 'card.yaml', device='cpu')
    annotated = classifier.predict_table(table, columns='best')
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f'{len(annotated):8d} rows {peak:9.1f} MB')


def main():
    """Start a process for each length."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--rows', type=int, nargs='+', default=[1000, 50000])
    parser.add_argument('--here', action='store_true', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        with tempfile.TemporaryDirectory() as folder:
            run(options.rows[0], Path(folder))
        return
    for n_rows in options.rows:
        command = [sys.executable, __file__, '--here', '--rows', str(n_rows)]
        subprocess.run(command, check=True)


if __name__ == '__main__':
    main()
