# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Spoil a catalogue and a mosaic in every way at once, and count what is lost.

    PYTHONPATH=. python benchmarks/bench_faults.py [--n 10000]

One hundredth of the rows has no coordinates, one hundredth lies outside all tiles; one
tile each is missing, a dangling link, cut short, of another shape in one band, and in
galactic coordinates; the catalogue comes in two files, of which one has radians. The
answers to all other rows must be those of a run over the sound mosaic. The network is
a stand-in.
"""

import argparse
import collections
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import QTable
from generated_sky import make_sky
from stand_in import make_stand_in

from galmorph import MorphologyClassifier, decode_flags
from tests.helpers.faults import spoil


def main():
    """Run over the sound and over the spoilt sky, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--n', type=int, default=10_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        sky = make_sky(folder / 'sky', arguments.n, tile_side=300, bands='gri')
        classifier = MorphologyClassifier(make_stand_in(folder), device='cpu')
        options = {'mosaic': f'{folder}/sky/tiles/*.fits', 'size': 'petroR90'}
        sound = QTable.read(
            classifier.predict_table(
                sky.sources, output=folder / 'sound.parquet', **options
            )
        )
        spoilt = spoil(sky, folder)
        start = time.perf_counter()
        path = classifier.predict_table(
            spoilt.tables, output=folder / 'spoilt.parquet', **options
        )
        seconds = time.perf_counter() - start
        found = QTable.read(path)
    answer = 'smooth_or_features_smooth'
    flags = np.asarray(found['morphology_flags'])
    print(f'{len(found)} of {arguments.n} rows in {seconds:.0f} s')
    for kind, (rows, flag) in spoilt.expected.items():
        right = (flags & int(flag) != 0) & found[answer].mask
        names = collections.Counter(decode_flags(flags[rows] & int(flag)))
        told = {' '.join(name): count for name, count in names.items()}
        print(f'{kind:10} {rows.sum():6} rows, {right[rows].sum():6} flagged: {told}')
    values = [table[answer].filled(-1) for table in (found, sound)]
    difference = np.abs(values[0] - values[1])
    # Where files cannot be read nobody knows what lies in the gaps.
    others = spoilt.same & (found['n_tiles'] > 0)
    same = others & (flags == sound['morphology_flags'])
    print(
        f'all others: {others.sum()} rows, {same.sum()} with the same flags, '
        f'answers within {difference[others].max():.1e}, their deviation being '
        f'{values[1][others].std():.1e}\n'
        f'galactic:   {spoilt.turned.sum()} rows, answers within '
        f'{np.percentile(difference[spoilt.turned], 95):.1e} (95 %)'
    )


if __name__ == '__main__':
    main()
