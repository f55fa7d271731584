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

import numpy as np
from astropy.table import Table
from PIL import Image
from stand_in import make_stand_in

from galmorph import MorphologyClassifier


def run(n_rows, folder):
    """Classify a table and print the peak memory in MB."""
    pixels = np.random.default_rng(1).integers(0, 255, (424, 424, 3), np.uint8)
    Image.fromarray(pixels).save(folder / 'galaxy.jpg')
    table = Table({'path': [str(folder / 'galaxy.jpg')] * n_rows})
    classifier = MorphologyClassifier(make_stand_in(folder), device='cpu')
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
