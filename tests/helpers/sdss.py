# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The archive of the SDSS on this machine: catalogue, frames and pictures."""

import bz2
import contextlib
import dataclasses
import email
import functools
import io
import json
import math
import re
import threading

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.visualization import make_lupton_rgb
from astropy.wcs import WCS
from PIL import Image
from scipy.ndimage import map_coordinates

from tests.helpers.galaxies import petrosian_sizes, sersic_image
from tests.helpers.loopback import Reply

__all__ = ['SCALE', 'Field', 'SDSSArchive']

#: Arcseconds a pixel.
SCALE = 0.396127

# Pixels, degrees and scale by which the bands of a field differ from r.
_OFFSETS = {
    'u': (-1.8, 2.2, 0.003, 1e-5),
    'g': (2.3, -3.7, 0.006, -2e-5),
    'r': (0.0, 0.0, 0.0, 0.0),
    'i': (-1.6, 2.4, -0.004, 3e-5),
    'z': (3.1, 1.3, -0.008, 2e-5),
}
# Nanomaggies.
_COUNT = 0.00451

_CAMERA_ROWS = {'r': 1, 'i': 2, 'u': 3, 'z': 4, 'g': 5}


@dataclasses.dataclass(frozen=True)
class Field:
    """A field of the survey: its numbers, its WCS by band, its galaxies."""

    run: int
    camcol: int
    field: int
    rerun: int
    wcs: dict
    galaxies: list = dataclasses.field(default_factory=list)


class SDSSArchive:
    """
    Fields with galaxies in them, in the formats of the archive.

    Parameters are the shape of the frames, the noise of a pixel in nanomaggies
    and the sigma of the seeing in arcsec.
    """

    def __init__(self, shape=(1489, 2048), *, noise=0.0, seeing=0.5, seed=0):
        self.shape, self.noise, self.seeing, self.seed = shape, noise, seeing, seed
        self.fields, self.rows = [], []
        self._files = {}
        self._lock = threading.RLock()

    def add_field(
        self, ra, dec, *, run=1739, camcol=6, field=100, rerun=301, rotation=87.0
    ):
        """Add a field around a position; the y axis points ``rotation`` from north."""
        wcs = {}
        for band, (dx, dy, turn, stretch) in _OFFSETS.items():
            wcs[band] = _make_wcs(
                self.shape, (ra, dec), (dx, dy), rotation + turn, 1 + stretch
            )
        made = Field(run, camcol, field, rerun, wcs)
        self.fields.append(made)
        return made

    def add_galaxy(
        self,
        field,
        x,
        y,
        *,
        flux=100.0,
        r_eff=2.0,
        n=1.0,
        axis_ratio=1.0,
        angle=0.0,
        **row,
    ):
        """
        Put a Sersic galaxy at a pixel of the r frame, and into the catalogue.

        Fluxes are in nanomaggies, one or one a band, and ``r_eff`` in arcsec.
        """
        fluxes = flux if isinstance(flux, dict) else dict.fromkeys('ugriz', flux)
        ra, dec = (float(v) for v in field.wcs['r'].pixel_to_world_values(x, y))
        profile = {'r_eff': r_eff, 'n': n, 'axis_ratio': axis_ratio, 'angle': angle}
        field.galaxies.append((ra, dec, fluxes, profile))
        _, r50, r90 = petrosian_sizes(n, r_eff, axis_ratio)
        row = {'petroMag_r': 22.5 - 2.5 * math.log10(fluxes['r']), **row}
        return self.add_row(field, ra, dec, petroR50_r=r50, petroR90_r=r90, **row)

    def add_row(self, field, ra, dec, **row):
        """Put an object into the catalogue."""
        number = len(self.rows) + 1
        objid = (
            (2 << 59) | (field.rerun << 48) | (field.run << 32)
            | (field.camcol << 29) | (field.field << 16) | number
        )  # fmt: skip
        row = {
            'objid': objid,
            'ra': ra,
            'dec': dec,
            'run': field.run,
            'rerun': field.rerun,
            'camcol': field.camcol,
            'field': field.field,
            'mode': 1,
            'type': 3,
            'clean': 1,
            'petroR50_r': 2.0,
            'petroR90_r': 4.0,
            'petroMag_r': 17.0,
            **row,
        }
        self.rows.append(row)
        return row

    def copy(self):
        """Return an archive to be added to, which shares what was drawn."""
        copy = SDSSArchive(
            self.shape, noise=self.noise, seeing=self.seeing, seed=self.seed
        )
        copy.fields = [
            dataclasses.replace(field, galaxies=list(field.galaxies))
            for field in self.fields
        ]
        copy.rows = [dict(row) for row in self.rows]
        copy._files = self._files
        copy._lock = self._lock
        return copy

    def coords(self):
        """Return the positions of the catalogue."""
        ra, dec = ([row[name] for row in self.rows] for name in ('ra', 'dec'))
        return SkyCoord(ra, dec, unit='deg')

    def pixels(self, field, band):
        """Return the pixels of a frame."""
        return self._made('pixels', field, band)

    def frame(self, field, band):
        """Return a frame as the archive has it."""
        return self._made('frame', field, band)

    def picture(self, ra, dec, scale, width, height):
        """Return the JPEG of a place that SkyServer would make of the frames."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
        wcs.wcs.crval = ra, dec
        wcs.wcs.crpix = (width + 1) / 2, (height + 1) / 2
        wcs.wcs.cdelt = -scale / 3600, -scale / 3600
        x, y = np.meshgrid(np.arange(width), np.arange(height))
        sky = wcs.pixel_to_world_values(x, y)
        planes = np.zeros((3, height, width))
        for field in self.fields:
            centre = field.wcs['r'].world_to_pixel_values(ra, dec)
            if not all(0 <= v < n for v, n in zip(centre, self.shape[::-1])):  # noqa: B905
                continue
            for plane, band in zip(planes, 'irg', strict=True):
                there = field.wcs[band].world_to_pixel_values(*sky)
                plane[:] = _interpolated(self.pixels(field, band), *there)
        # idlutils nw_rgb_make with scales 4.9, 5.7, 7.8 and nonlinearity 3.
        softening = 10 * math.sinh(0.9)
        scaled = planes * np.array([4.9, 5.7, 7.8])[:, None, None]
        with np.errstate(invalid='ignore'):
            # astropy's integers are cut off, which is half a grey level too dark.
            rgb = make_lupton_rgb(
                *scaled, minimum=0, Q=softening, stretch=softening / 9,
                output_dtype=float,
            )  # fmt: skip
        rgb = np.rint(255 * rgb).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, 'JPEG', quality=95, subsampling=0)
        return file.getvalue()

    @contextlib.contextmanager
    def serve(self, loopback):
        """Answer on a server, which astroquery takes for that of the SDSS."""
        from astroquery.sdss import conf

        loopback.route('/dr17/en/tools/search/', self._search)
        loopback.route('/dr17/SkyServerWS/ImgCutout/getjpeg', self._getjpeg)
        loopback.route('/sas/dr17/eboss/photoObj/frames/', self._get_frame)
        with (
            conf.set_temp('skyserver_baseurl', loopback.url),
            conf.set_temp('sas_baseurl', f'{loopback.url}/sas'),
        ):
            yield loopback

    def _made(self, what, field, band):
        numbers = field.rerun, field.run, field.camcol, field.field
        key = what, numbers, band, str(field.galaxies)
        with self._lock:
            if key not in self._files:
                make = {'pixels': self._draw, 'frame': self._pack}[what]
                self._files[key] = make(field, band)
            return self._files[key]

    def _draw(self, field, band):
        seed = [self.seed, field.run, field.camcol, field.field, ord(band)]
        pixels = np.zeros(self.shape)
        if self.noise:
            pixels += np.random.default_rng(seed).normal(0, self.noise, self.shape)
        wcs = field.wcs[band]
        for ra, dec, fluxes, profile in field.galaxies:
            x, y = (float(v) for v in wcs.world_to_pixel_values(ra, dec))
            half = int(12 * profile['r_eff'] / SCALE) + 10
            x0, y0 = round(x) - half, round(y) - half
            side = 2 * half + 1
            stamp = _draw_stamp(
                (side, side),
                flux=fluxes[band],
                position=(round(x - x0, 6), round(y - y0, 6)),
                psf_sigma=self.seeing / SCALE,
                **{**profile, 'r_eff': profile['r_eff'] / SCALE},
            )
            rows = slice(max(y0, 0), min(y0 + side, self.shape[0]))
            columns = slice(max(x0, 0), min(x0 + side, self.shape[1]))
            pixels[rows, columns] += stamp[
                rows.start - y0 : rows.stop - y0, columns.start - x0 : columns.stop - x0
            ]
        if self.noise:
            # The camera counts, which is why frames can be packed.
            pixels = _COUNT * np.round(pixels / _COUNT)
        return pixels.astype('float32')

    def _pack(self, field, band):
        file = io.BytesIO()
        _make_hdulist(self.pixels(field, band), field, band).writeto(file)
        return bz2.compress(file.getvalue(), 1)

    def _get_frame(self, request):
        parts = re.fullmatch(
            r'/sas/dr17/eboss/photoObj/frames/(\d+)/(\d+)/(\d)/'
            r'frame-([ugriz])-(\d{6})-(\d)-(\d{4})\.fits\.bz2',
            request.path,
        )
        if parts is None:
            return Reply(status=404)
        rerun, run, camcol, band, *again, number = parts.groups()
        wanted = int(run), int(camcol), int(number), int(rerun)
        assert [int(value) for value in again] == list(wanted[:2])
        for field in self.fields:
            if (field.run, field.camcol, field.field, field.rerun) == wanted:
                return Reply(self.frame(field, band), type='application/x-bzip2')
        return Reply(b'<html>Not Found</html>', status=404, type='text/html')

    def _getjpeg(self, request):
        query = request.query
        picture = self.picture(
            float(query['ra']),
            float(query['dec']),
            float(query['scale']),
            int(query['width']),
            int(query['height']),
        )
        return Reply(picture, type='image/jpeg')

    def _search(self, request):
        if request.method == 'GET':
            return _columns(request.query['cmd'])
        form = _multipart(request)
        assert (form['searchtool'], form['format']) == ('CrossID', 'csv')
        names = re.findall(r'p\.(\w+)', form['uquery'].split('FROM')[0])
        known = {name.lower(): name for name in self.rows[0]} if self.rows else {}
        lines = ['#Table1', ','.join(names)]
        objects = self.coords()
        for line in form['upload'].splitlines()[1:]:
            ra, dec = map(float, line.split())
            distance = SkyCoord(ra, dec, unit='deg').separation(objects).arcmin
            for index in np.flatnonzero(distance <= float(form['radius'])):
                row = self.rows[index]
                # Every row belongs to an upload, and is written for each.
                values = (row[known[name.lower()]] for name in names)
                lines.append(','.join(map(str, values)))
        return Reply('\n'.join([*lines, '']).encode(), type='text/plain')


# Many fields may have the same galaxy in their middle.
_draw_stamp = functools.lru_cache(64)(sersic_image)


def _make_wcs(shape, sky, offset, rotation, stretch):
    ny, nx = shape
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crpix = nx // 2 + 1, ny // 2 + 1
    angle = np.radians(rotation)
    cos, sin = np.cos(angle), np.sin(angle)
    # East is left where north is up.
    turn = np.array([[-cos, sin], [sin, cos]])
    wcs.wcs.cd = stretch * SCALE / 3600 * turn
    wcs.wcs.crval = sky
    wcs.wcs.radesys = 'ICRS'
    wcs.wcs.set()
    # Each frame has its own tangent point, at its centre.
    centre = np.array([[nx // 2 + offset[0], ny // 2 + offset[1]]])
    wcs.wcs.crval = wcs.wcs_pix2world(centre, 0)[0]
    wcs.wcs.set()
    return wcs


def _make_hdulist(pixels, field, band):
    """The four HDUs of a frame, by the data model of DR17."""
    ny, nx = pixels.shape
    header = fits.Header([
        ('TAI', 4522148434.36, '1st row - Number of seconds since Nov 17 1858'),
        ('RA', float(field.wcs['r'].wcs.crval[0]), '1st row - boresight (deg)'),
        ('DEC', float(field.wcs['r'].wcs.crval[1]), '1st row - boresight (deg)'),
        ('SPA', 90.0, '1st row - Camera col position angle wrt north'),
        ('ORIGIN', 'SDSS'),
        ('TELESCOP', '2.5m'),
        ('TIMESYS', 'TAI'),
        ('RUN', field.run, 'Run number'),
        ('FRAME', field.field, 'Frame sequence number within the run'),
        ('CCDLOC', 10 * _CAMERA_ROWS[band] + field.camcol, 'Survey location of CCD'),
        ('FLAVOR', 'science', 'Flavor of this run'),
        ('SYS_SCN', 'mean', 'System of the scan great circle (e.g., mean)'),
        ('EQNX_SCN', 2000.0, 'Equinox of the scan great circle. (years)'),
        ('NODE', 95.0, "RA of the great circle's ascending node (deg)"),
        ('INCL', 0.0, "Great circle's inclination wrt cel. eq. (deg)"),
        ('EXPTIME', '53.907456', 'Exposure time (seconds)'),
        ('SYSTEM', 'FK5', 'System of the TCC coordinates (e.g., mean)'),
        ('CCDMODE', 'DRIFT', "'STARING' or 'DRIFT'"),
        ('CAMROW', _CAMERA_ROWS[band], 'Row in the imaging camera'),
        ('EQUINOX', 2000.0, 'Equinox of the TCC coordinates'),
        ('SOFTBIAS', 0, 'software "bias" added to all DN'),
        ('BUNIT', 'nanomaggy', '1 nanomaggy = 3.631e-6 Jy'),
        ('FILTER', band, 'filter used'),
        ('CAMCOL', field.camcol, 'column in the imaging camera'),
        ('VERSION', 'v5_6_3'),
        ('RADECSYS', 'ICRS', 'International Celestial Ref. System'),
        ('CTYPE1', 'RA---TAN', 'Coordinate type'),
        ('CTYPE2', 'DEC--TAN', 'Coordinate type'),
        ('CUNIT1', 'deg', 'Units'),
        ('CUNIT2', 'deg', 'Units'),
    ])  # fmt: skip
    wcs = field.wcs[band].wcs
    for axis in (1, 2):
        header[f'CRPIX{axis}'] = float(wcs.crpix[axis - 1])
        header[f'CRVAL{axis}'] = float(wcs.crval[axis - 1])
    for row in (1, 2):
        for column in (1, 2):
            header[f'CD{row}_{column}'] = float(wcs.cd[row - 1, column - 1])
    header['HISTORY'] = 'GSSSPUTAST: a made-up frame'
    header['NMGY'] = _COUNT, 'nMgy per count'
    header['NMGYIVAR'] = 0.0
    header['PSKY'] = 'v5_4_3'
    header['RERUN'] = str(field.rerun)
    sky = fits.BinTableHDU.from_columns([
        fits.Column('ALLSKY', '49152E', dim='(256,192)',
                    array=np.full((1, 192, 256), 120, 'f4')),
        fits.Column('XINTERP', f'{nx}E', array=[np.linspace(0, 255, nx)]),
        fits.Column('YINTERP', f'{ny}E', array=[np.linspace(0, 191, ny)]),
    ])  # fmt: skip
    trans = fits.BinTableHDU.from_columns(
        [
            fits.Column('FILTERNAME', '1A', array=list('ugriz')),
            *(
                fits.Column(name, '1D', array=np.zeros(5))
                for name in ('NODE', 'INCL', 'A', 'B', 'C', 'D', 'E', 'F', 'RICUT')
            ),
        ]
    )
    calib = fits.ImageHDU(np.full(nx, _COUNT, 'float32'))
    return fits.HDUList([fits.PrimaryHDU(pixels, header), calib, sky, trans])


def _interpolated(pixels, x, y):
    low = [max(int(v.min()) - 12, 0) for v in (y, x)]
    high = [int(v.max()) + 13 for v in (y, x)]
    section = pixels[low[0] : high[0], low[1] : high[1]].astype(float)
    return map_coordinates(section, [y - low[0], x - low[1]], order=3)


def _columns(sql):
    """What SkyServer says of the columns of a table, in JSON."""
    table = re.search(r"fDocColumns\('(\w+)'\)", sql)
    if table is None:
        return Reply(b'{"error_message": "not understood"}', status=500)
    names = ('objID', 'ra', 'dec') if table[1] == 'PhotoObjAll' else ('specObjID',)
    rows = [{'enum': '', 'name': name, 'type': '', 'length': 8} for name in names]
    content = json.dumps([{'TableName': 'Table1', 'Rows': rows}]).encode()
    return Reply(content, type='application/json')


def _multipart(request):
    kind = f'Content-Type: {request.headers["Content-Type"]}\r\n\r\n'
    message = email.message_from_bytes(kind.encode() + request.body)
    return {
        part.get_param('name', header='content-disposition'): part.get_payload(
            decode=True
        ).decode()
        for part in message.get_payload()
    }
