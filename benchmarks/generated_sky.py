# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Draw a sky of Sersic galaxies whose sizes are known from their formula.

    python benchmarks/generated_sky.py FOLDER [--n 1000000] [--bands r]

Writes ``FOLDER/tiles/tile-0000-r.fits``, … and ``FOLDER/sources.parquet``. The tiles
are in nanomaggies, with the pixels, the seeing and the noise of the SDSS. Each is a
TAN projection of its own that is turned a little: some overlap, and between some lie
gaps. A million galaxies in one band take 1.5 GB as int16.
"""

import argparse
import concurrent.futures
import dataclasses
import os
import time
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable
from astropy.wcs import WCS
from scipy.interpolate import CubicSpline
from scipy.ndimage import gaussian_filter
from scipy.special import gamma, gammaincinv

__all__ = ['Sky', 'make_sky']

PIXEL = 0.396 * u.arcsec
SEEING = 1.2 * u.arcsec

#: The noise of a pixel in nanomaggies.
NOISE = {'g': 0.02, 'r': 0.025, 'i': 0.035}

#: Where a galaxy ends, in half-light radii along its major axis.
REACH = 8.0

# petroR90 in half-light radii of the major axis, from
# tests.helpers.galaxies.petrosian_sizes: a row a Sersic index, a column an axis ratio.
_INDICES = (0.7, 1.0, 1.5, 2.0, 3.0, 4.0)
_RATIOS = (0.2, 0.35, 0.5, 0.65, 0.8, 1.0)
_R90 = (
    (1.49142, 1.53319, 1.60387, 1.70438, 1.82832, 2.01881),
    (1.57385, 1.65186, 1.76485, 1.90139, 2.05369, 2.27347),
    (1.62173, 1.76379, 1.93282, 2.11283, 2.29849, 2.55132),
    (1.61067, 1.79699, 1.99710, 2.19930, 2.40109, 2.66875),
    (1.50135, 1.72185, 1.93846, 2.14839, 2.35253, 2.61766),
    (1.33893, 1.55578, 1.76111, 1.95686, 2.14532, 2.38812),
)

# (pixels from the centre, points along a pixel): the middle of a galaxy is steep.
_FINER = ((5, 3), (1, 15))

# Pixels of the stamps that are drawn together: they stay in the cache.
_AT_ONCE = 1 << 17


@dataclasses.dataclass(frozen=True)
class Sky:
    """
    The files of a sky.

    Parameters
    ----------
    sources : `~pathlib.Path`
        The table, ``sources.parquet``. A row a galaxy, in random order: ``id``;
        ``ra`` and ``dec``; the Sersic index ``n``, the half-light radius along the
        major axis ``r_e``, the axis ratio ``q``, the position angle ``pa`` from
        north to east; the total magnitude ``mag`` in r and the colours ``g_r`` and
        ``r_i``; ``petroR90`` from the formula, in circular apertures; ``n_tiles``,
        the number of tiles that it is on, 0 in a gap; ``tile``, the one on which it
        is furthest from the edge, -1 if there is none. Sizes and magnitudes are
        those before the seeing.
    tiles : dict of str to list of `~pathlib.Path`
        The files of each band, by the number of the tile.
    """

    sources: Path
    tiles: dict


def make_sky(
    folder,
    n=1_000_000,
    *,
    seed=1,
    tile_side=4000,
    spacing=27.0,
    bands=('r',),
    dtype='int16',
    centre=(185.0, 15.0),
    rotation=37.0,
    seeing=SEEING,
    noise=1.0,
    n_threads=None,
):
    """
    Draw galaxies on tiles, and write these and a table of the truth.

    Parameters
    ----------
    folder : path-like
        Where to; it is made.
    n : int, optional
        The number of galaxies.
    seed : int, optional
        Everything follows from it, whatever the number of threads.
    tile_side : int, optional
        The side of a tile in pixels of 0.396 arcsec.
    spacing : float, optional
        The mean distance of neighbours in pixels.
    bands : sequence of str, optional
        Of 'g', 'r' and 'i'; a file each.
    dtype : {'int16', 'float32'}, optional
        Of the pixels; integers have a BSCALE.
    centre : tuple of float, optional
        Right ascension and declination in degrees.
    rotation : float, optional
        By how many degrees the sky is turned; each tile by up to 1.5 more or less.
    seeing : `~astropy.units.Quantity`, optional
        The full width at half maximum of the Gaussian PSF; 0 for none.
    noise : float, optional
        In units of the noise of the SDSS.
    n_threads : int, optional
        How many tiles are drawn side by side; as many as there are cores.

    Returns
    -------
    sky : `Sky`
        The files.
    """
    folder = Path(folder)
    (folder / 'tiles').mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    x, y, centres = _lay_out(rng, n, tile_side, spacing)
    plane = _make_wcs(centre, (0.5, 0.5), rotation)
    ra, dec = plane.wcs_pix2world(x, y, 0)
    sources = _draw_parameters(rng, ra, dec)
    tiles = _place_tiles(rng, plane, centres, tile_side)
    sigma = seeing.to_value(u.arcsec) / PIXEL.to_value(u.arcsec) / 2.354820
    n_tiles = np.zeros(n, np.int16)
    best = np.full(n, -1, np.int32)
    margin = np.zeros(n)

    def draw(number):
        near = np.abs(np.stack([x, y]) - centres[number][:, None]).max(0)
        rows = np.flatnonzero(near < 0.75 * tile_side + 100)
        some, wcs = sources[rows], tiles[number]
        fluxes = {band: _flux(some, band).astype(np.float32) for band in bands}
        planes = {band: np.zeros((tile_side, tile_side), np.float32) for band in bands}
        inside, stamps = _draw_galaxies(some, wcs, tile_side)
        for galaxies, corners, unit in stamps:
            for band in bands:
                _add(planes[band], corners, unit, fluxes[band][galaxies])
        for band in bands:
            pixels = planes.pop(band)
            if sigma:
                pixels = gaussian_filter(pixels, sigma, truncate=5)
            own = np.random.default_rng([seed, number, 'gri'.index(band)])
            grain = own.standard_normal(pixels.shape, np.float32)
            pixels += grain * np.float32(noise * NOISE[band])
            _write(pixels, wcs, band, dtype, paths[band][number])
        return rows, inside

    paths = {
        band: [
            folder / 'tiles' / f'tile-{k:04d}-{band}.fits' for k in range(len(tiles))
        ]
        for band in bands
    }
    with concurrent.futures.ThreadPoolExecutor(n_threads or os.cpu_count()) as pool:
        for number, (rows, inside) in enumerate(pool.map(draw, range(len(tiles)))):
            is_on = inside > 0
            n_tiles[rows[is_on]] += 1
            is_best = inside > margin[rows]
            best[rows[is_best]] = number
            margin[rows] = np.maximum(margin[rows], inside)
    sources['n_tiles'], sources['tile'] = n_tiles, best
    sources = sources[rng.permutation(n)]
    sources.write(folder / 'sources.parquet', overwrite=True)
    return Sky(folder / 'sources.parquet', paths)


def _lay_out(rng, n, tile_side, spacing):
    """Draw the galaxies (x, y) and the middles of tiles on a plane of pixels."""
    n_tile = max(1, round(n * spacing**2 / tile_side**2))
    n_column = int(np.ceil(np.sqrt(n_tile)))
    n_row = int(np.ceil(n_tile / n_column))
    # Two tiles of three reach over the next one, the third leaves a gap.
    distances = np.where(np.arange(max(n_column, n_row) - 1) % 3 == 1, 1.02, 0.96)
    middles = np.concatenate([[0], np.cumsum(distances)]) * tile_side
    ends = 0.48 * tile_side * np.array([-1, 1]) + middles[[0, -1]]
    edges = np.concatenate([ends[:1], (middles[:-1] + middles[1:]) / 2, ends[1:]])
    pitch = np.diff(edges)
    cells = [(k % n_column, k // n_column) for k in range(n_tile)]
    areas = np.array([pitch[i] * pitch[j] for i, j in cells])
    counts = np.floor(n * areas / areas.sum()).astype(int)
    counts[: n - counts.sum()] += 1
    x, y = [], []
    for (i, j), count in zip(cells, counts, strict=True):
        # One at most in each square of a grid, anywhere in its inner part.
        side = int(np.ceil(np.sqrt(count)))
        square = rng.permutation(side**2)[:count]
        for k, values, place in ((i, x, square % side), (j, y, square // side)):
            offset = 0.5 + rng.uniform(-0.4, 0.4, count)
            values.append(edges[k] + pitch[k] * (place + offset) / side)
    centres = np.array([(middles[i], middles[j]) for i, j in cells])
    shift = centres.mean(0)
    return np.concatenate(x) - shift[0], np.concatenate(y) - shift[1], centres - shift


def _draw_parameters(rng, ra, dec):
    n_galaxy = len(ra)
    index = rng.choice(_INDICES, n_galaxy, p=(0.1, 0.35, 0.15, 0.1, 0.1, 0.2))
    ratio = rng.uniform(0.25, 1, n_galaxy)
    # Counts rise by 10^0.3 a magnitude.
    low, high = 15.0, 18.5
    steps = rng.uniform(10 ** (0.3 * low), 10 ** (0.3 * high), n_galaxy)
    magnitude = np.log10(steps) / 0.3
    radius = 1.2 * 10 ** (0.1 * (17.5 - magnitude) + rng.normal(0, 0.15, n_galaxy))
    radius = np.clip(radius, 0.6, 4)
    r90 = np.empty(n_galaxy)
    for value, row in zip(_INDICES, _R90, strict=True):
        is_one = index == value
        r90[is_one] = radius[is_one] * CubicSpline(_RATIOS, row)(ratio[is_one])
    g_r = 0.35 + 0.14 * (index - 0.7) + rng.normal(0, 0.06, n_galaxy)
    return QTable(
        {
            'id': np.arange(n_galaxy),
            'ra': ra * u.deg,
            'dec': dec * u.deg,
            'n': index,
            'r_e': radius * u.arcsec,
            'q': ratio,
            'pa': rng.uniform(0, 180, n_galaxy) * u.deg,
            'mag': magnitude * u.mag,
            'g_r': g_r * u.mag,
            'r_i': 0.5 * g_r * u.mag,
            'petroR90': r90 * u.arcsec,
        }
    )


def _place_tiles(rng, plane, centres, tile_side):
    """Make the WCS of tiles that lie around points of the plane."""
    ra, dec = plane.wcs_pix2world(*centres.T, 0)
    above_ra, above_dec = plane.wcs_pix2world(centres[:, 0], centres[:, 1] + 1, 0)
    # Where the y axis of the plane points, from north to west as in _make_wcs.
    angle = np.arctan2((ra - above_ra) * np.cos(np.radians(dec)), above_dec - dec)
    turn = np.degrees(angle) + rng.uniform(-1.5, 1.5, len(centres))
    middle = (tile_side + 1) / 2
    return [
        _make_wcs((a, d), (middle, middle), t)
        for a, d, t in zip(ra, dec, turn, strict=True)
    ]


def _make_wcs(centre, pixel, rotation):
    """TAN; the y axis points from north to west by the rotation, in degrees."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
    wcs.wcs.crval = centre
    wcs.wcs.crpix = pixel
    cos, sin = np.cos(np.radians(rotation)), np.sin(np.radians(rotation))
    scale = PIXEL.to_value(u.deg)
    wcs.wcs.cd = scale * np.array([[-cos, -sin], [-sin, cos]])
    wcs.wcs.radesys = 'ICRS'
    wcs.wcs.set()
    return wcs


def _draw_galaxies(sources, wcs, side):
    """
    Draw the galaxies of a tile, each of the flux 1.

    Returns how far each is from the edge, and an iterator of the galaxies that are
    drawn together, the corners of their stamps, and the stamps.
    """
    ra, dec = (sources[name].to_value(u.deg) for name in ('ra', 'dec'))
    x, y = wcs.wcs_world2pix(ra, dec, 0)
    pa = sources['pa'].to_value(u.rad)
    step = 1e-4
    ahead = wcs.wcs_world2pix(
        ra + step * np.sin(pa) / np.cos(np.radians(dec)), dec + step * np.cos(pa), 0
    )
    angle = np.arctan2(ahead[1] - y, ahead[0] - x)
    inside = np.minimum(np.minimum(x, y), side - 1 - np.maximum(x, y)) + 0.5
    radius = (sources['r_e'] / PIXEL).to_value(u.one)
    half = np.ceil(REACH * radius).astype(int) + 1
    order = np.argsort(half, kind='stable')
    order = order[(inside > -half)[order]]

    def stamps(order):
        while len(order):
            # The last stamp of a batch is its largest.
            sizes = (2 * half[order] + 1) ** 2 * np.arange(1, len(order) + 1)
            batch = order[: max(1, np.searchsorted(sizes, _AT_ONCE))]
            order = order[len(batch) :]
            size = half[batch[-1]]
            corner = np.stack([np.rint(x[batch]), np.rint(y[batch])], 1).astype(int)
            galaxy = _Galaxies(sources['n'][batch], radius[batch], sources['q'][batch])
            galaxy.place(x[batch] - corner[:, 0], y[batch] - corner[:, 1], angle[batch])
            yield batch, corner - size, galaxy.stamps(size)

    return inside, stamps(order)


class _Galaxies:
    """Sersic galaxies of the flux 1, drawn together; sizes in pixels."""

    def __init__(self, index, radius, ratio):
        b = gammaincinv(2 * index, 0.5)
        area = 2 * np.pi * index * ratio * radius**2 * b ** (-2 * index)
        self.peak = self._of_stamps(1 / (area * gamma(2 * index)))
        self.b, self.power = self._of_stamps(b), self._of_stamps(0.5 / index)
        self.radius, self.ratio = radius, ratio

    @staticmethod
    def _of_stamps(values):
        return values.astype(np.float32)[:, None, None]

    def place(self, x, y, angle):
        """Put them beside the middle of their stamps, turned from +x to +y."""
        self.x, self.y = x, y
        cos, sin = np.cos(angle) / self.radius, np.sin(angle) / self.radius
        narrow = 1 / self.ratio**2
        self.xx = cos**2 + sin**2 * narrow
        self.xy = 2 * cos * sin * (1 - narrow)
        self.yy = sin**2 + cos**2 * narrow

    def stamps(self, half):
        """Return the mean of each pixel, shape (n, 2 half + 1, 2 half + 1)."""
        stamps = self._values(half, 1)
        for reach, n_point in _FINER:
            values = self._values(reach, n_point)
            shape = (len(values), 2 * reach + 1, n_point, 2 * reach + 1, n_point)
            rows = slice(half - reach, half + reach + 1)
            stamps[:, rows, rows] = values.reshape(shape).mean((2, 4))
        return stamps

    def _values(self, reach, n_point):
        points = np.arange((2 * reach + 1) * n_point)
        points = (points + 0.5) / n_point - reach - 0.5
        dx, dy = points - self.x[:, None], points - self.y[:, None]
        values = self._rows(self.xy[:, None] * dy) * self._columns(dx)
        values += self._columns(self.xx[:, None] * dx**2)
        values += self._rows(self.yy[:, None] * dy**2)
        is_far = values > REACH**2
        np.maximum(values, 1e-12, out=values)
        np.log(values, out=values)
        values *= self.power
        np.exp(values, out=values)
        values *= -self.b
        np.exp(values, out=values)
        values *= self.peak
        values[is_far] = 0
        return values

    @staticmethod
    def _rows(values):
        return values.astype(np.float32)[:, :, None]

    @staticmethod
    def _columns(values):
        return values.astype(np.float32)[:, None, :]


def _add(pixels, corners, stamps, fluxes):
    """Add stamps to a tile, as far as they lie on it."""
    side, width = len(pixels), stamps.shape[1]
    stamps = stamps * fluxes[:, None, None]
    for (x, y), stamp in zip(corners.tolist(), stamps, strict=True):
        x0, y0 = max(0, -x), max(0, -y)
        x1, y1 = min(width, side - x), min(width, side - y)
        if x0 < x1 and y0 < y1:
            pixels[y + y0 : y + y1, x + x0 : x + x1] += stamp[y0:y1, x0:x1]


def _flux(sources, band):
    """Give the total flux in nanomaggies."""
    colour = {'g': sources['g_r'], 'r': 0 * u.mag, 'i': -sources['r_i']}[band]
    return 10 ** (0.4 * (22.5 - (sources['mag'] + colour).to_value(u.mag)))


def _write(pixels, wcs, band, dtype, path):
    header = wcs.to_header()
    header['BUNIT'] = 'nanomaggy'
    header['FILTER'] = band
    header['SURVEY'] = 'SDSS', 'generated: no sky looks like this'
    image = fits.PrimaryHDU(pixels, header)
    if dtype == 'int16':
        # A step of a tenth of the noise leaves room for the brightest middle.
        step = NOISE[band] / 10
        np.clip(pixels, -32767 * step, 32767 * step, out=pixels)
        image.scale('int16', bscale=step)
        image.header['BLANK'] = -32768
    image.writeto(path, overwrite=True)


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split('\n')[0])
    parser.add_argument('folder', type=Path)
    parser.add_argument('--n', type=int, default=1_000_000, help='galaxies')
    parser.add_argument('--seed', type=int, default=1)
    parser.add_argument('--tile-side', type=int, default=4000, help='pixels')
    parser.add_argument('--spacing', type=float, default=27.0, help='pixels')
    parser.add_argument('--bands', default='r', help="for example 'gri'")
    parser.add_argument('--dtype', choices=('int16', 'float32'), default='int16')
    parser.add_argument('--threads', type=int)
    options = parser.parse_args()
    start = time.perf_counter()
    sky = make_sky(
        options.folder,
        options.n,
        seed=options.seed,
        tile_side=options.tile_side,
        spacing=options.spacing,
        bands=options.bands,
        dtype=options.dtype,
        n_threads=options.threads,
    )
    seconds = time.perf_counter() - start
    paths = [path for paths in sky.tiles.values() for path in paths]
    size = sum(path.stat().st_size for path in [*paths, sky.sources]) / 1e9
    print(
        f'{options.n} galaxies, {len(paths)} tiles of {options.tile_side} px, '
        f'{size:.2f} GB in {seconds:.0f} s: {sky.sources}'
    )


if __name__ == '__main__':
    main()
