# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
The archives that the tutorials ask, on this machine.

The pages are built without a network. Servers of the same protocols stand in for
SkyServer, the SDSS archive and MAST. Where a tutorial asks for a galaxy they show
one of the Hubble deep field that is installed with scikit-image, in the formats and
units of the archive. With ``GALMORPH_DOCS_ARCHIVES=remote`` in the environment the
tutorials ask the archives themselves.
"""

import contextlib
import functools
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from scipy.ndimage import map_coordinates

# The servers are those of the tests.
sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.helpers.loopback import Loopback
from tests.helpers.mast import Mosaic, ZcutArchive
from tests.helpers.sdss import SCALE, SDSSArchive

# Of the tutorials; other positions have no galaxy.
SDSS_TARGETS = (
    (50.20082, 0.860505), (49.782154, 0.9559751), (58.139587, 0.5588522),
    (44.270424, 1.0317079), (54.564163, 1.0017838), (48.575134, 0.9982663),
    (44.726116, 0.9596564), (43.23171, 1.0294613),
)  # fmt: skip
CANDELS_TARGETS = (
    (53.14703, -27.77005), (53.13737, -27.76269), (53.04661, -27.77220),
    (53.10799, -27.73375), (53.06568, -27.72039), (53.09497, -27.75784),
)  # fmt: skip
# The brightest of the deep field are its foreground; these are the next.
_FIRST = 2
_SIDE = 401


@functools.cache
def galaxies():
    """Stamps of the deep field, shape (3, n, n), red first, and their R90 in pixels."""
    from galmorph.demo import find_galaxies, load_deep_field
    from galmorph.images import Mosaic as Cutter
    from galmorph.preprocessing.prepare import measure_image

    field = load_deep_field()
    found = find_galaxies(field, 14)[_FIRST:]
    half = 2.5 * np.sqrt(found['area'].value / np.pi) + 10
    stamps = Cutter(field).cutouts_at(found['x'].value, found['y'].value, half)
    result = []
    for stamp in stamps:
        radius = measure_image(stamp).petro_r90
        if not np.isfinite(radius):
            continue
        # About linear in flux, as the picture is not.
        light = (stamp.data[:, ::-1] / 255.0) ** 1.5
        border = np.concatenate(
            [light[:, :3].reshape(3, -1), light[:, -3:].reshape(3, -1)], 1
        )
        result.append((light - np.median(border, 1)[:, None, None], float(radius)))
    return result


def paint(shape, x, y, stamp, scale=1.0):
    """Put a stamp at a pixel, ``scale`` pixels of it to one of the image."""
    rows, columns = np.indices(shape)
    n_y, n_x = stamp.shape
    there = (rows - y) * scale + (n_y - 1) / 2, (columns - x) * scale + (n_x - 1) / 2
    near = [(t > 0) & (t < n - 1) for t, n in zip(there, (n_y, n_x), strict=True)]
    near = near[0] & near[1]
    image = np.zeros(shape)
    image[near] = map_coordinates(stamp, [t[near] for t in there], order=1)
    # Flux goes with the area of a pixel.
    return image * scale**2


class PaintedSDSS(SDSSArchive):
    """The SDSS, with galaxies of the deep field."""

    def _draw(self, field, band):
        rng = np.random.default_rng([field.run, ord(band)])
        pixels = rng.normal(0, 0.01, self.shape)
        ra, dec, number = field.galaxies[0]
        stamp, radius = galaxies()[number % len(galaxies())]
        x, y = (float(v) for v in field.wcs[band].world_to_pixel_values(ra, dec))
        # As bright, and of the colours, of galaxies of Galaxy Zoo 2; 5 arcsec large.
        level = {'i': 0.95, 'r': 0.67, 'g': 0.38}.get(band, 0.2)
        plane = 1.5 * level * stamp['irg'.index(band) if band in 'irg' else 1]
        return (pixels + paint(self.shape, x, y, plane, radius / 12)).astype('f4')


class PaintedMosaic(Mosaic):
    """A mosaic of CANDELS, with galaxies of the deep field."""

    def cutout(self, ra, dec, width, height):
        """Return the bands around a position."""
        wcs = self.wcs()
        x, y = wcs.wcs_world2pix(ra, dec, 0)
        left, bottom = round(float(x) - width / 2), round(float(y) - height / 2)
        wcs.wcs.crpix = wcs.wcs.crpix - (left, bottom)
        for channel, band in enumerate(self.bands):
            rng = np.random.default_rng([left, bottom, channel])
            pixels = rng.normal(self.pedestal, self.noise, (height, width))
            for number, (there_ra, there_dec) in enumerate(CANDELS_TARGETS):
                place = SkyCoord(there_ra, there_dec, unit='deg').fk5
                where = self.wcs().wcs_world2pix(place.ra.deg, place.dec.deg, 0)
                where = np.array(where, float) - (left, bottom)
                if np.hypot(*(where - (width / 2, height / 2))) < width:
                    stamp, radius = galaxies()[number % len(galaxies())]
                    plane = 0.15 * stamp[channel]
                    pixels += paint(pixels.shape, *where, plane, radius / 14)
            yield self._hdu(band, pixels.astype('>f4'), wcs)


def start():
    """Start the servers, and let astroquery ask them."""
    from astroquery.mast import conf

    stack = contextlib.ExitStack()
    server = Loopback()
    stack.callback(server.close)
    sdss = PaintedSDSS((_SIDE, _SIDE))
    for number, (ra, dec) in enumerate(SDSS_TARGETS):
        field = sdss.add_field(ra, dec, run=2000 + number, rotation=75.0 + number)
        field.galaxies.append((ra, dec, number))
        radius = 12 * SCALE
        sdss.add_row(field, ra, dec, petroR90_r=radius, petroR50_r=radius / 2.3)
    stack.enter_context(sdss.serve(server))
    mosaic = PaintedMosaic(
        'candels_gs_60mas', 0.06, ('F160W', 'F125W', 'F814W'), (53.13, -27.75),
        pedestal=0.01,
    )  # fmt: skip
    ZcutArchive(mosaic).serve(server)
    stack.enter_context(conf.set_temp('server', server.url))
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    from galmorph import conf as settings

    stack.enter_context(settings.set_temp('source_cache', folder))
    return stack


def setup(app):
    """Start with the build, end with it."""
    if os.environ.get('GALMORPH_DOCS_ARCHIVES') != 'remote':
        stack = start()
        app.connect('build-finished', lambda *_: stack.close())
    return {'parallel_read_safe': False, 'parallel_write_safe': True}
