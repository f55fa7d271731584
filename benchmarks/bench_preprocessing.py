# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure what one core does before the network.

    python benchmarks/bench_preprocessing.py

Prints galaxies per second of each step and, as a yardstick from the same run,
of ``Cutout2D`` by sky position and of ``reproject_interp``.
"""

import statistics
import time

import numpy as np
import torch
from astropy import units as u
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from reproject import reproject_interp

from galmorph import GalaxyImage, Recipe, read_image
from galmorph.images import Mosaic
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.render import oversampling, resample
from galmorph.preprocessing.sizes import measure_galaxy

N_TARGETS = 200


def make_mosaic():
    """Make a field of exponential disks with noise, and their positions."""
    rng = np.random.default_rng(1)
    pixels = rng.normal(0, 0.02, (3, 2000, 2000)).astype(np.float32)
    x, y = rng.uniform(150, 1850, (2, N_TARGETS))
    rows, columns = np.mgrid[-60:61, -60:61]
    for column, row in zip(x.astype(int), y.astype(int), strict=True):
        disk = np.exp(-np.hypot(rows, columns) / 8)
        pixels[:, row - 60 : row + 61, column - 60 : column + 61] += disk
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crval = 150, 2
    wcs.wcs.crpix = 1000, 1000
    wcs.wcs.cdelt = -0.396 / 3600, 0.396 / 3600
    image = GalaxyImage(pixels, bands='gri', unit=u.nmgy, wcs=wcs)
    return Mosaic(image), wcs.pixel_to_world(x.astype(int), y.astype(int))


def rate(function, count, rounds=5):
    """Count per second: the median over rounds, after one to warm up."""
    seconds = []
    for _ in range(rounds + 1):
        start = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - start)
    return count / statistics.median(seconds[1:])


def main():
    """Print the rates."""
    torch.set_num_threads(1)
    mosaic, coords = make_mosaic()
    recipe = Recipe()
    sizes = np.full(N_TARGETS, 8.0) * u.arcsec
    cutouts = mosaic.cutouts(coords, 90, sizes)
    prepared = [prepare(cutout, recipe) for cutout in cutouts]
    affines = np.stack([image.affines[0] for image in prepared])
    n_points = oversampling(affines, recipe.antialias)
    side = max(max(image.pixels.shape[1:]) for image in prepared)
    batch = torch.zeros(N_TARGETS, 3, side, side)
    stamp = np.zeros((424, 424, 3), np.uint8)
    stamp[100:300, 100:300] = 99
    plane, wcs = mosaic.image.data[0], mosaic.image.wcs
    header = wcs.to_header()
    few = range(20)
    steps = {
        'cut from a mosaic': (lambda: mosaic.cutouts(coords, 90, sizes), N_TARGETS),
        'prepare, size given': (
            lambda: [prepare(cutout, recipe) for cutout in cutouts],
            N_TARGETS,
        ),
        'prepare an RGB stamp': (
            lambda: [prepare(read_image(stamp), recipe) for _ in few],
            len(few),
        ),
        'measure a size': (
            lambda: [measure_galaxy(cutouts[i].data[0]) for i in few],
            len(few),
        ),
        'resample': (
            lambda: resample(
                batch, torch.from_numpy(affines), recipe.output_size,
                antialias=recipe.antialias, n_points=n_points,
            ),
            N_TARGETS,
        ),
        'Cutout2D by position': (
            lambda: [Cutout2D(plane, coords[i], 181, wcs=wcs) for i in few],
            len(few),
        ),
        'reproject_interp': (
            lambda: [
                reproject_interp((plane, wcs), header, shape_out=(69, 69)) for i in few
            ],
            len(few),
        ),
    }  # fmt: skip
    for name, (function, count) in steps.items():
        print(f'{name:22} {rate(function, count):10.0f} galaxies/s')


if __name__ == '__main__':
    main()
