# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Kill a run over a mosaic at random moments, and compare what comes out in the end.

    python benchmarks/bench_resume.py SKY [--kills 30]

``SKY`` is a folder of benchmarks/generated_sky.py. One run goes through; another is
killed by SIGKILL and called again until it ends. Both tables must be the same to the
last byte, with each source once, in the order of the catalogue. The network is a
stand-in: what is tried is all that lies around it.
"""

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet as pq
from stand_in import make_stand_in

_RUN = """
import sys
from galmorph import MorphologyClassifier
card, sky, output = sys.argv[1:]
MorphologyClassifier(card, device='cpu').predict_table(
    f'{sky}/sources.parquet', mosaic=f'{sky}/tiles', size='petroR90',
    output=output, resume=True)
"""


def main():
    """Run, kill and compare."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('sky', type=Path)
    parser.add_argument('--kills', type=int, default=30)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    rng = random.Random(arguments.seed)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        card = make_stand_in(folder)
        command = [sys.executable, '-c', _RUN, card, arguments.sky]
        start = time.monotonic()
        subprocess.run([*command, folder / 'whole.parquet'], check=True)
        unbroken = time.monotonic() - start
        n_rows = pq.read_metadata(folder / 'whole.parquet').num_rows
        print(f'unbroken: {n_rows} rows in {unbroken:.0f} s', flush=True)
        output = folder / 'killed.parquet'
        start, n_kills, moments = time.monotonic(), 0, []
        while True:
            process = subprocess.Popen([*command, output])
            # From the first import to the last rename: the mean leaves each try
            # about as much work as is to be killed.
            wait = rng.expovariate(1 / (2 * unbroken / arguments.kills))
            try:
                process.wait(wait if n_kills < arguments.kills else None)
                break
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                process.wait()
                n_kills += 1
                moments.append(wait)
        whole = time.monotonic() - start
        assert process.returncode == 0
        is_same = output.read_bytes() == (folder / 'whole.parquet').read_bytes()
        ids = pq.read_table(output, columns=['id'])['id']
        wanted = pq.read_table(arguments.sky / 'sources.parquet', columns=['id'])['id']
        print(
            f'{n_kills} kills, {min(moments):.1f} to {max(moments):.1f} s after the '
            f'start: {whole:.0f} s in all\n'
            f'the same bytes: {is_same}; each row once, in order: {ids == wanted}'
        )


if __name__ == '__main__':
    main()
