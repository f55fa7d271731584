# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure fetching against an archive on this machine, and count what is lost.

    python benchmarks/bench_sources.py [--targets 500] [--connections 16]

``galmorph predict --survey sdss`` annotates a catalogue of galaxies, each in a field
of its own, three frames a galaxy. The archive waits before each answer, and for 5 % of
the targets each it goes wrong in one of these ways: no match, two matches, a
missing band, no frame at all (404), an error that lasts (500), and, for the first
request only, 503, a truncated file, a stalled answer, a reset connection, a page of
HTML in place of the file.

Printed: what became of the targets of each kind; how the time compares with the
plain sum of the waits; the requests of a second run with the archive well again,
which asks for what failed only, and of a third one, which must make none.
"""

import argparse
import collections
import os
import tempfile
import time
from pathlib import Path

import numpy as np
from astropy.table import QTable

from galmorph import decode_flags
from galmorph.cli import main as galmorph
from tests.helpers.loopback import Loopback, Reply
from tests.helpers.sdss import SDSSArchive

KINDS = (
    'no match',
    'two matches',
    'missing band',
    '404',
    '500',
    '503 once',
    'truncated once',
    'stalled once',
    'reset once',
    'HTML once',
)
REASONS = (
    'NO_MATCH',
    'AMBIGUOUS_MATCH',
    'BANDS_MISSING',
    'NO_COVERAGE',
    'ARCHIVE_ERROR',
    'UNREADABLE_IMAGE',
)
SIDE = 160


def build(n_targets, seed=1):
    """An archive, the catalogue, and what goes wrong with each target."""
    rng = np.random.default_rng(seed)
    kinds = np.full(n_targets, 'well', 'U20')
    n_each = max(1, n_targets // 20)
    kinds[: n_each * len(KINDS)] = np.repeat(KINDS, n_each)
    rng.shuffle(kinds)
    archive, coords = SDSSArchive((SIDE, SIDE), noise=0.01), []
    for number, kind in enumerate(kinds):
        # Degrees apart, so that no search finds two of them.
        ra, dec = 0.7 * (number % 400) + 5, 3.0 * (number // 400)
        field = archive.add_field(
            ra, dec, run=1000 + number, rotation=rng.uniform(0, 90)
        )
        centre = (SIDE - 1) / 2
        row = archive.add_galaxy(
            field, centre, centre, r_eff=1 + 0.1 * (number % 7), flux=100
        )
        coords.append((row['ra'], row['dec']))
        if kind == 'no match':
            archive.rows.pop()
        if kind == 'two matches':
            archive.add_row(field, row['ra'], row['dec'] + 1e-4)
    ra, dec = np.transpose(coords)
    return archive, QTable({'ra': ra, 'dec': dec, 'kind': kinds}), kinds


def spoil(server, kinds, stall):
    """Let frames go wrong, by the number of their run."""
    page = Reply(b'<html>busy</html>', type='text/html')
    once = {
        '503 once': Reply(status=503),
        'truncated once': Reply(b'BZh9' + bytes(3000), fault='truncate'),
        'stalled once': Reply(fault='stall', delay=stall),
        'reset once': Reply(fault='reset'),
        'HTML once': page,
    }
    always = {'404': Reply(status=404), '500': Reply(status=500)}

    def is_of(kind, band=''):
        runs = {f'{1000 + n:06d}' for n in np.flatnonzero(kinds == kind)}

        def where(request):
            name = request.path.rpartition('/')[2].split('-')
            is_frame = len(name) == 5 and name[2] in runs
            return is_frame and name[1].startswith(band)

        return where

    for kind, reply in once.items():
        server.fail(reply, times=1, where=is_of(kind))
    for kind, reply in always.items():
        server.fail(reply, times=10**9, where=is_of(kind))
    server.fail(Reply(status=404), times=10**9, where=is_of('missing band', 'g'))


def annotate(catalogue, output, options):
    """Run the command, and return seconds and the table."""
    start = time.perf_counter()
    status = galmorph(
        [
            *('predict', str(catalogue), '--survey', 'sdss', '--output', str(output)),
            *('--overwrite', '--quiet', '--connections', str(options.connections)),
            *('--timeout', '2', '--weights', options.weights),
        ]
    )
    assert status == 0
    return time.perf_counter() - start, QTable.read(output)


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('--targets', type=int, default=500)
    parser.add_argument('--connections', type=int, default=16)
    parser.add_argument('--wait', type=float, default=0.3, help='seconds an answer')
    parser.add_argument('--weights', default='dieleman.gz2')
    options = parser.parse_args()
    archive, table, kinds = build(options.targets)
    for field in archive.fields:
        for band in 'gri':
            archive.frame(field, band)
    server = Loopback(options.wait)
    with tempfile.TemporaryDirectory() as folder, archive.serve(server):
        os.environ['XDG_CACHE_HOME'] = folder
        Path(folder, 'galmorph').mkdir()
        catalogue, output = Path(folder, 'in.ecsv'), Path(folder, 'out.ecsv')
        table.write(catalogue)
        spoil(server, kinds, 5)
        seconds, found = annotate(catalogue, output, options)
        n_requests = len(server.requests)
        print(f'{"":16} {"n":>4} {"answered":>9}  flags')
        for kind in ('well', *KINDS):
            rows = found[kinds == kind]
            flags = collections.Counter(
                name
                for names in decode_flags(rows['morphology_flags'])
                for name in names
                if name in REASONS
            )
            n_answered = int((~rows['morphology_class'].mask).sum())
            print(f'{kind:16} {len(rows):4} {n_answered:9}  {dict(flags)}')
        waits = options.wait * n_requests
        print(
            f'{len(found)} of {len(table)} rows in {seconds:.1f} s, '
            f'{len(found) / seconds:.1f} targets/s, {n_requests} requests, at most '
            f'{server.most_at_once} at once; the sum of the waits is {waits:.0f} s, '
            f'{waits / seconds:.1f} times as long'
        )
        server.heal()
        for name in ('second', 'third'):
            before = len(server.requests)
            seconds, found = annotate(catalogue, output, options)
            n_answered = int((~found['morphology_class'].mask).sum())
            print(
                f'{name} run: {len(server.requests) - before} requests, '
                f'{seconds:.1f} s, {n_answered} of {len(found)} answered'
            )
    server.close()


if __name__ == '__main__':
    main()
