# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
What the cutout services of MAST answer, byte for byte, for the loopback server.

`ZcutArchive` and `HapcutArchive` are served by ``archive.serve(loopback)``, or
``recorded_zcut(loopback)`` by the files that astroquery ships for its tests.
"""

import dataclasses
import io
import json
import zipfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS

from tests.helpers.loopback import Reply

#: (ra, dec) of the recorded cutout, ICRS degrees, as it was asked for.
RECORDED = (189.49206, 62.20615)

# PHOTFLAM and PHOTPLAM as in mosaics of CANDELS: erg / s / cm2 / A, A.
PHOTOMETRY = {
    'F435W': (3.1418e-19, 4329.9),
    'F606W': (7.7265435e-20, 5919.4609),
    'F775W': (9.9759e-20, 7693.5),
    'F814W': (6.9922e-20, 8058.8),
    'F850LP': (1.5079e-19, 9036.7),
    'F105W': (3.0386e-20, 10552.0),
    'F125W': (2.2484e-20, 12486.1),
    'F140W': (1.4737e-20, 13922.9),
    'F160W': (1.9276e-20, 15369.2),
}


def recorded_folder():
    """Return the folder of astroquery's recorded answers of MAST, or None."""
    import astroquery.mast

    folder = Path(astroquery.mast.__file__).parent / 'tests' / 'data'
    return folder if (folder / 'zcut_survey.json').is_file() else None


def recorded_zip():
    """Return the recorded zip file of a FITS cutout in GOODS-N."""
    name = 'astrocut_189.49206_62.20615_100x100px_f.zip'
    return (recorded_folder() / name).read_bytes()


def recorded_cutouts():
    """Return the image HDUs in that zip file."""
    with zipfile.ZipFile(io.BytesIO(recorded_zip())) as file:
        content = file.read(file.namelist()[0])
    return fits.open(io.BytesIO(content))[1:]


def recorded_zcut(loopback):
    """Answer all requests with what astroquery has recorded of GOODS-N."""
    surveys = (recorded_folder() / 'zcut_survey.json').read_bytes()
    loopback.route('/zcut/api/v0.1/survey', lambda _: _json(surveys))
    loopback.route('/zcut/api/v0.1/astrocut', _recorded_answer)


def _recorded_answer(request):
    # The recorded survey alone is there.
    if request.form.get('survey') not in (None, 'candels_gn_30mas'):
        return nothing()
    return Reply(recorded_zip(), type='application/zip')


def _json(content):
    if not isinstance(content, bytes):
        content = json.dumps(content).encode()
    return Reply(content, type='application/json')


def nothing():
    """Answer as both services do where no image is."""
    message = 'No available images match your request.'
    return _json({'results': [], 'msg': message, 'status': 'COMPLETED'})


def sersic(distance, *, flux, radius):
    """Return an exponential disk of a half-light radius: flux per area."""
    scale = radius / 1.678
    return flux / (2 * np.pi * scale**2) * np.exp(-distance / scale)


@dataclasses.dataclass
class Mosaic:
    """
    A mosaic of a survey: bands on one grid, with galaxies and a sky level.

    ``galaxies`` are (ra, dec [deg], flux [e/s], half-light radius [arcsec]).
    Pixels further than ``reach`` degrees from the centre hold zeros. Where
    ``only`` has a band, it is seen at Declinations above that value only.
    """

    name: str
    scale: float
    bands: tuple
    center: tuple = (189.228621, 62.238572)
    reach: float = 0.2
    pedestal: float = 0.0
    noise: float = 0.001
    galaxies: list = dataclasses.field(default_factory=list)
    only: dict = dataclasses.field(default_factory=dict)
    frame: str = 'FK5'

    def wcs(self):
        """Return the WCS of the whole mosaic, in its frame."""
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
        wcs.wcs.crval = self.center
        wcs.wcs.crpix = 15000.5, 15000.5
        wcs.wcs.cd = np.diag([-self.scale, self.scale]) / 3600
        wcs.wcs.radesys = self.frame
        wcs.wcs.equinox = 2000.0
        wcs.wcs.set()
        return wcs

    def cutout(self, ra, dec, width, height):
        """Return the bands around a position: HDUs as `astrocut` writes them."""
        from astropy.coordinates import SkyCoord

        wcs = self.wcs()
        # astrocut takes the position for one in the frame of the mosaic.
        x, y = wcs.wcs_world2pix(ra, dec, 0)
        left, bottom = round(float(x) - width / 2), round(float(y) - height / 2)
        columns, rows = np.meshgrid(left + np.arange(width), bottom + np.arange(height))
        wcs.wcs.crpix = wcs.wcs.crpix - (left, bottom)
        radius = 3600 * self.reach / self.scale
        seen = np.hypot(columns - 14999.5, rows - 14999.5) < radius
        light = np.zeros(seen.shape)
        for galaxy_ra, galaxy_dec, flux, size in self.galaxies:
            place = SkyCoord(galaxy_ra, galaxy_dec, unit='deg').transform_to(
                self.frame.lower()
            )
            x, y = self.wcs().wcs_world2pix(place.ra.deg, place.dec.deg, 0)
            distance = np.hypot(columns - x, rows - y)
            light += sersic(distance, flux=flux, radius=size / self.scale)
        for band in self.bands:
            rng = np.random.default_rng([left, bottom, len(band), int(band[1:4])])
            pixels = self.pedestal + light + rng.normal(0, self.noise, seen.shape)
            pixels = np.where(seen & (dec > self.only.get(band, -91)), pixels, 0)
            # Newer versions of astrocut leave out what has no data at all.
            if pixels.any():
                yield self._hdu(band, pixels.astype('>f4'), wcs)

    def _hdu(self, band, pixels, wcs):
        header = wcs.to_header()
        is_infrared = band in ('F098M', 'F105W', 'F125W', 'F140W', 'F160W')
        camera = 'wfc3' if is_infrared else 'acs'
        field = self.name.removeprefix('candels_').replace('_', '-tot-', 1)
        header['TELESCOP'] = 'HST'
        header['INSTRUME'] = camera.upper()
        if is_infrared:
            header['FILTER'] = band
        else:
            header['FILTER1'], header['FILTER2'] = (
                (band, 'CLEAR2L') if band == 'F606W' else ('CLEAR1L', band)
            )
        header['PHOTFLAM'], header['PHOTPLAM'] = PHOTOMETRY[band]
        header['PHOTZPT'] = -21.1
        header['EQUINOX'] = 2000.0
        # The mosaics say no frame: the FITS standard takes this for FK5.
        if self.frame == 'FK5':
            header.remove('RADESYS', ignore_missing=True)
        header['ORIG_FLE'] = (
            f'hlsp_candels_hst_{camera}_{field}_{band.lower()}_v1.0_drz.fits'
        )
        return fits.ImageHDU(pixels, header, name='CUTOUT')


def zipped(files):
    """Return a zip file of HDU lists: a dict of names to lists of HDUs."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, 'w') as archive:
        for name, hdus in files.items():
            primary = fits.PrimaryHDU()
            primary.header['ORIGIN'] = ('STScI/MAST', 'institution')
            primary.header['PROCVER'] = ('0.6', 'software version')
            content = io.BytesIO()
            fits.HDUList([primary, *hdus]).writeto(content, checksum=True)
            archive.writestr(name, content.getvalue())
    return buffer.getvalue()


def _pixels(value, units, scale):
    value = float(value)
    return max(1, round(value if units == 'px' else 3600 * value / scale))


class ZcutArchive:
    """The service Zcut with some mosaics."""

    def __init__(self, *mosaics):
        self.mosaics = mosaics

    def serve(self, loopback):
        """Answer at the address of the server."""
        loopback.route('/zcut/api/v0.1/survey', self.surveys)
        loopback.route('/zcut/api/v0.1/astrocut', self.cutouts)

    def _near(self, form):
        ra, dec = float(form['ra']), float(form['dec'])
        reach = float(form.get('radius', 0))
        for mosaic in self.mosaics:
            center_ra, center_dec = mosaic.center
            x = (ra - center_ra) * np.cos(np.deg2rad(dec))
            if np.hypot(x, dec - center_dec) < mosaic.reach + reach:
                yield mosaic

    def surveys(self, request):
        """Answer with the names of the surveys around a position."""
        return _json({'surveys': [mosaic.name for mosaic in self._near(request.form)]})

    def cutouts(self, request):
        """Answer with a zip file of FITS files, one a survey."""
        form = request.form
        ra, dec = float(form['ra']), float(form['dec'])
        files = {}
        for mosaic in self._near(form):
            if form.get('survey') not in (None, mosaic.name):
                continue
            width = _pixels(form['x'], form['units'], mosaic.scale)
            height = _pixels(form['y'], form['units'], mosaic.scale)
            hdus = list(mosaic.cutout(ra, dec, width, height))
            if hdus:
                side = f'{width:.1f}pix-x-{height:.1f}pix'
                name = f'{mosaic.name}_{ra:.6f}_{dec:.6f}_{side}_astrocut.fits'
                files[name] = hdus
        if not files:
            return nothing()
        return Reply(zipped(files), type='application/zip')


class HapcutArchive:
    """The service Hapcut with some mosaics: one file a band."""

    def __init__(self, *mosaics):
        self.mosaics = mosaics

    def serve(self, loopback):
        """Answer at the address of the server."""
        loopback.route('/hapcut/api/v0.1/astrocut', self.cutouts)

    def cutouts(self, request):
        """Answer with a zip file of FITS files, one a band of a mosaic."""
        form = json.loads(request.body)
        files = {}
        for mosaic in self.mosaics:
            width = _pixels(form['x'], form['units'], mosaic.scale)
            height = _pixels(form['y'], form['units'], mosaic.scale)
            for hdu in mosaic.cutout(form['ra'], form['dec'], width, height):
                band = hdu.header['ORIG_FLE'].split('_')[-3]
                where = f'ra{form["ra"]:.6f}_dec{form["dec"]:.6f}'
                name = f'hst_cutout_{mosaic.name}_{band}-{where}_astrocut.fits'
                files[name] = [hdu]
        if not files:
            return nothing()
        return Reply(zipped(files), type='application/zip')
