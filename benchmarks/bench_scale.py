# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Annotate a catalogue over a mosaic of tiles: how fast, and in how much memory.

    python benchmarks/bench_scale.py SKY rates [--rows 1000] [--weights NAME]
    python benchmarks/bench_scale.py SKY stages [--rows 1000] [--weights NAME]
    python benchmarks/bench_scale.py SKY memory [--rows 10000 1000000]
        [--images 50000] [--plot FILE]
    python benchmarks/bench_scale.py SKY processes [--rows 4000] [--weights NAME]

``SKY`` is a folder of benchmarks/generated_sky.py.

``rates`` compares, in rounds in which the parts take turns, the rate of the network
alone, of ``predict_table`` from file to file, and of a plain loop that cuts each
galaxy with ``Cutout2D``, resamples it with ``reproject_interp`` and classifies it.
``stages`` tells the milliseconds of one core that each step takes of a galaxy.
``memory`` runs over catalogues of several lengths, each in a process of its own, and
plots the resident memory; so that a million take minutes, only so many of the rows
as ``--images`` says lie on a tile. ``processes`` compares one process with two. Except
with ``--weights`` the network is a stand-in: what lies around it is measured.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.table import QTable
from astropy.wcs import WCS
from reproject import reproject_interp
from stand_in import make_stand_in

from galmorph import MorphologyClassifier
from galmorph.images import open_mosaic
from galmorph.inference.catalog import (
    coordinates_of,
    iterate_mosaic,
    read_target,
    sizes_of,
)
from galmorph.tables import TableWriter, open_tables

_RUN = """
import sys
from galmorph import MorphologyClassifier
card, table, sky, output = sys.argv[1:]
MorphologyClassifier(card, device='cpu').predict_table(
    table, mosaic=f'{sky}/tiles', size='petroR90', output=output)
"""


def take_rows(sky, n_rows, path, outside=0.0):
    """
    Write a catalogue of the first rows that lie on a tile, again and again.

    A part of them is moved to where there is no tile.
    """
    rng = np.random.default_rng(1)
    with (
        open_tables(sky / 'sources.parquet') as stream,
        TableWriter(path, stream.template) as writer,
    ):
        while n_rows:
            for _, table in stream.iterate(16384):
                table = table[table['tile'] >= 0][:n_rows]
                table['dec'][rng.random(len(table)) < outside] = -60 * u.deg
                writer.write(table)
                n_rows -= len(table)
    return path


def run_network(classifier, sources):
    """Classify as many galaxies that are ready as there are sources."""
    recipe, engine = classifier.recipe, classifier.engine
    views = torch.rand(
        engine.batch_size, len(recipe.views), 3, recipe.output_size, recipe.output_size
    )
    done = 0
    with torch.inference_mode():
        while done < len(sources):
            engine.network(views)
            done += len(views)
    return done


def run_loop(classifier, sources, tiles):
    """Do what one would do without the package around its network."""
    recipe = classifier.recipe
    for row in sources:
        data, wcs = tiles[row['tile']]
        scale = recipe.frame_scale * row['petroR90'].to_value(u.deg)
        centre = SkyCoord(row['ra'], row['dec'])
        side = np.ceil(1.5 * recipe.frame_size * scale / (0.396 / 3600)) + 4
        cutout = Cutout2D(data, centre, side, wcs=wcs, mode='partial')
        target = WCS(naxis=2)
        target.wcs.ctype = 'RA---TAN', 'DEC--TAN'
        target.wcs.crval = centre.ra.deg, centre.dec.deg
        step = scale * recipe.frame_size / recipe.output_size
        target.wcs.cdelt = -step, step
        target.wcs.crpix = [(recipe.output_size + 1) / 2] * 2
        shape = (recipe.output_size, recipe.output_size)
        stamp, _ = reproject_interp((cutout.data, cutout.wcs), target, shape)
        classifier.predict(
            (stamp.astype(np.float32), target), bands='r', unit='nmgy',
            size=row['petroR90'],
        )  # fmt: skip
    return len(sources)


def compare_rates(arguments, folder, classifier):
    """Print the rates of the network, of the whole and of a plain loop."""
    table = take_rows(arguments.sky, arguments.rows[0], folder / 'in.parquet')
    sources = QTable.read(table)
    few = sources[: max(20, len(sources) // 20)]
    tiles = {}
    for tile in np.unique(few['tile']):
        with fits.open(arguments.sky / 'tiles' / f'tile-{tile:04d}-r.fits') as hdulist:
            tiles[tile] = np.array(hdulist[0].data), WCS(hdulist[0].header)
    options = {'mosaic': arguments.sky / 'tiles', 'size': 'petroR90'}
    parts = {
        'network alone': lambda: run_network(classifier, sources),
        'file to file': lambda: (
            classifier.annotate_file(
                table, folder / 'out.parquet', overwrite=True, **options
            ).n_rows
        ),
        'plain loop': lambda: run_loop(classifier, few, tiles),
    }
    rates = {name: [] for name in parts}
    for _ in range(arguments.rounds):
        for name, part in parts.items():
            start = time.perf_counter()
            done = part()
            rates[name].append(done / (time.perf_counter() - start))
    whole = statistics.median(rates['file to file'])
    for name, values in rates.items():
        middle = statistics.median(values)
        print(
            f'{name:14} {middle:8.1f} galaxies/s [{min(values):.1f}, {max(values):.1f}]'
            f'   file to file is {whole / middle:.2f} times as fast'
        )


def measure_stages(arguments, folder, classifier):
    """Print the processor time of each step, of one thread."""
    torch.set_num_threads(1)
    sources = QTable.read(
        take_rows(arguments.sky, arguments.rows[0], folder / 'in.parquet')
    )
    mosaic, engine = open_mosaic(arguments.sky / 'tiles'), classifier.engine
    # As a run does it: tile by tile.
    order = np.lexsort((sources['dec'], sources['tile']))
    sources = sources[order]
    coords, sizes = coordinates_of(sources), sizes_of(sources, 'petroR90')

    def cut():
        rows = iterate_mosaic(mosaic, coords, classifier.recipe, sizes=sizes)
        return [read_target(row) for row in rows]

    def render(prepared):
        step = engine.batch_size
        return [
            engine.render(prepared[start : start + step])
            for start in range(0, len(prepared), step)
        ]

    def run(views):
        with torch.inference_mode():
            return [engine.network(some.flatten(0, 1)) for some in views]

    identity = np.eye(3)[np.newaxis]
    steps = {
        'cut': lambda _: cut(),
        'prepare': lambda images: [engine.prepare(i, identity) for i in images],
        'render': render,
        'network': run,
    }
    times = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        made = None
        for name, step in steps.items():
            start = time.process_time()
            made = step(made)
            times[name].append(1000 * (time.process_time() - start) / len(sources))
    middle = {name: statistics.median(values) for name, values in times.items()}
    for name, values in times.items():
        print(f'{name:8} {middle[name]:6.2f} ms [{min(values):.2f}, {max(values):.2f}]')
    print(f'together {sum(middle.values()):6.2f} ms')


def watch_memory(arguments, folder, card):
    """Print and plot the resident memory of runs of several lengths."""
    curves = {}
    for n_rows in arguments.rows:
        table = folder / f'{n_rows}.parquet'
        take_rows(arguments.sky, n_rows, table, 1 - arguments.images / n_rows)
        output = folder / f'{n_rows}-out.parquet'
        process = subprocess.Popen(
            [sys.executable, '-c', _RUN, card, table, arguments.sky, output]
        )
        start, curve = time.monotonic(), []
        while process.poll() is None:
            pages = Path(f'/proc/{process.pid}/statm').read_text().split()[1:3]
            if len(pages) == 2:
                curve.append((time.monotonic() - start, int(pages[0]) * 4096 / 1e6))
            time.sleep(0.2)
        assert process.returncode == 0
        curves[n_rows] = np.array(curve)
        seconds, peak = curve[-1][0], max(memory for _, memory in curve)
        print(f'{n_rows:9,} rows {seconds:8.1f} s {peak:8.1f} MB at most', flush=True)
    if arguments.plot:
        plot_memory(curves, arguments.plot)


def plot_memory(curves, path):
    """Plot resident memory against the part of the run that is done."""
    import matplotlib as mpl

    mpl.use('agg')
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.2), layout='constrained')
    for n_rows, curve in curves.items():
        axes.plot(
            100 * curve[:, 0] / curve[-1, 0], curve[:, 1], label=f'{n_rows:,} rows'
        )
    axes.set(
        xlabel='part of the run (%)', ylabel='resident memory (MB)', ylim=(0, None)
    )
    axes.legend(frameon=False)
    figure.savefig(path, dpi=120)


def compare_processes(arguments, folder, classifier):
    """Print the rates of one process and of two."""
    table = take_rows(arguments.sky, arguments.rows[0], folder / 'in.parquet')
    options = {'mosaic': arguments.sky / 'tiles', 'size': 'petroR90'}
    # What two processes gain is what they take off a longer run: each has to
    # import and to load the network once.
    short = take_rows(arguments.sky, 2048, folder / 'short.parquet')
    rates = {1: [], 2: []}
    for _ in range(arguments.rounds):
        for n_processes, values in rates.items():
            seconds = []
            for path in (short, table):
                start = time.perf_counter()
                classifier.predict_table(
                    path, output=folder / 'out.parquet', overwrite=True,
                    n_processes=n_processes, **options,
                )  # fmt: skip
                seconds.append(time.perf_counter() - start)
            values.append((arguments.rows[0] - 2048) / (seconds[1] - seconds[0]))
    for n_processes, values in rates.items():
        print(
            f'{n_processes} process(es): {statistics.median(values):8.1f} rows/s '
            f'[{min(values):.1f}, {max(values):.1f}]'
        )
    print(f'ratio: {statistics.median(rates[2]) / statistics.median(rates[1]):.2f}')


def main():
    """Measure what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('sky', type=Path)
    parser.add_argument('what', choices=('rates', 'stages', 'memory', 'processes'))
    parser.add_argument('--rows', type=int, nargs='+')
    parser.add_argument('--weights', help='of the package, in place of a stand-in')
    parser.add_argument('--rounds', type=int, default=3)
    parser.add_argument(
        '--images', type=int, default=50_000, help='rows that lie on a tile, at most'
    )
    parser.add_argument('--plot', type=Path)
    arguments = parser.parse_args()
    default = {
        'rates': [1000],
        'stages': [1000],
        'memory': [10_000, 1_000_000],
        'processes': [10_000],
    }
    arguments.rows = arguments.rows or default[arguments.what]
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        card = arguments.weights or make_stand_in(folder)
        if arguments.what == 'memory':
            watch_memory(arguments, folder, card)
            return
        classifier = MorphologyClassifier(card, device='cpu')
        print(f'{classifier.card.name}, {torch.get_num_threads()} threads')
        function = {
            'rates': compare_rates,
            'stages': measure_stages,
            'processes': compare_processes,
        }
        function[arguments.what](arguments, folder, classifier)


if __name__ == '__main__':
    main()
