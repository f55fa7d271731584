# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure cutouts from tiles on this machine, beside what one would write by hand.

    python benchmarks/bench_mosaic.py [--cutouts 5000] [--side 64] [--pixels 4096]

A tile is written as float32, as scaled int16 and compressed with RICE, and read once,
so that it is in the page cache. Printed for each: cutouts a second of
`TiledMosaic.cutouts` on one core, for many targets and for a few; for the first one
also those of `Cutout2D` by `SkyCoord` and of `reproject_interp` (bilinear, of the same
pixels, in the same run), and the ratio; how many targets a second are assigned to a
hundred tiles; and how long the headers of these take. Times are of the processor.
"""

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault('OMP_NUM_THREADS', '1')

import numpy as np
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from reproject import reproject_interp

from galmorph.images import TiledMosaic
from galmorph.images.celestial import shift_wcs

SCALE = 0.2 / 3600


def make_wcs(n_pixels):
    """A WCS with the reference point in the middle."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crval = 150, 2
    wcs.wcs.crpix = (n_pixels + 1) / 2, (n_pixels + 1) / 2
    wcs.wcs.cdelt = -SCALE, SCALE
    wcs.wcs.radesys = 'ICRS'
    return wcs


def best(function, repeats=3):
    """The shortest of several times of the processor."""
    times = []
    for _ in range(repeats):
        start = time.process_time()
        function()
        times.append(time.process_time() - start)
    return min(times)


def write_tiles(folder, sky, wcs):
    """One sky as a tile of each kind."""
    header = wcs.to_header()
    fits.writeto(folder / 'float32.fits', sky, header)
    hdu = fits.PrimaryHDU((100 * sky).astype('int16'), header)
    hdu.header['BSCALE'] = 0.01
    hdu.writeto(folder / 'int16.fits')
    hdu = fits.CompImageHDU(sky, header, compression_type='RICE_1')
    fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(folder / 'rice.fits.fz')


def bench_cutouts(folder, wcs, options):
    """Cutouts from a tile of each kind; the rate of the plain one."""
    rng = np.random.default_rng(2)
    margin, n_pixels = options.side, options.pixels
    half = options.side / 2 - 1.01
    rates = {}
    for name in ('float32.fits', 'int16.fits', 'rice.fits.fz'):
        for n_targets in (options.cutouts, 50):
            x, y = rng.uniform(margin, n_pixels - margin, (2, n_targets))
            coords = wcs.pixel_to_world(x, y)
            mosaic = TiledMosaic(folder / name)
            images = mosaic.cutouts(coords, half)
            assert min(image.shape2d[0] for image in images) >= options.side - 2
            duration = best(lambda m=mosaic, c=coords: m.cutouts(c, half))
            rates[name, n_targets] = n_targets / duration
            print(f'{name:14} {n_targets:6} cutouts: {n_targets / duration:8.0f} / s')
    return rates['float32.fits', options.cutouts]


def bench_by_hand(sky, wcs, options, rate):
    """What one would write without galmorph, pixels in memory."""
    rng = np.random.default_rng(2)
    margin, side = options.side, options.side
    n_targets = 200
    x, y = rng.uniform(margin, options.pixels - margin, (2, n_targets))
    coords = wcs.pixel_to_world(x, y)

    def cut():
        for coord in coords:
            Cutout2D(sky, coord, side, wcs=wcs, copy=True)

    def resample():
        for coord in coords[:20]:
            there = make_wcs(side)
            there.wcs.crval = coord.ra.deg, coord.dec.deg
            reproject_interp((sky, wcs), there, (side, side), order='bilinear')

    for name, function, n in (
        ('Cutout2D', cut, n_targets),
        ('reproject_interp', resample, 20),
    ):
        other = n / best(function)
        print(f'{name:21} cutouts: {other:8.0f} / s, TiledMosaic {rate / other:.0f} x')


def bench_assign(folder, n_targets=200_000, n_side=10, side=256):
    """Headers of many tiles, and targets assigned to them."""
    folder.mkdir()
    wcs = make_wcs(n_side * side)
    pixels = np.ones((side + 20, side + 20), 'float32')
    for i in range(n_side):
        for j in range(n_side):
            header = shift_wcs(wcs, i * side - 10, j * side - 10).to_header()
            fits.writeto(folder / f'{i}-{j}.fits', pixels, header)
    mosaic = TiledMosaic(folder)
    start = time.process_time()
    n_tiles = mosaic.n_tiles
    print(f'headers: {1e3 * (time.process_time() - start) / n_tiles:.1f} ms a tile')
    x, y = np.random.default_rng(3).uniform(0, n_side * side, (2, n_targets))
    coords = wcs.pixel_to_world(x, y)
    duration = best(lambda: mosaic.assign(coords, 32))
    print(f'assigned to {n_tiles} tiles: {n_targets / duration:.0f} targets / s')


def main():
    """Print all."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n\n', maxsplit=1)[0])
    parser.add_argument('--cutouts', type=int, default=5000)
    parser.add_argument('--side', type=int, default=64)
    parser.add_argument('--pixels', type=int, default=4096)
    options = parser.parse_args()
    rng = np.random.default_rng(1)
    sky = rng.normal(10, 1, (options.pixels, options.pixels)).astype('float32')
    wcs = make_wcs(options.pixels)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        write_tiles(folder, sky, wcs)
        rate = bench_cutouts(folder, wcs, options)
        bench_by_hand(sky, wcs, options, rate)
        bench_assign(folder / 'many')


if __name__ == '__main__':
    main()
