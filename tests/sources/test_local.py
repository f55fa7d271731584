# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of LocalImages on FITS files written by the tests."""

import bz2
import gzip
import logging

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK5, SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import LocalImages, create_source
from galmorph.sources.auto import AutoSource

SHAPE = (300, 400)
SCALE = 0.25


def make_wcs(ra=150.0, dec=2.0, *, scale=SCALE, rotation=0.0, frame='ICRS', sip=False):
    wcs = WCS(naxis=2)
    suffix = '-SIP' if sip else ''
    wcs.wcs.ctype = f'RA---TAN{suffix}', f'DEC--TAN{suffix}'
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = 200.3, 150.2
    angle = np.deg2rad(rotation)
    turn = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    wcs.wcs.cd = scale / 3600 * np.diag([-1, 1]) @ turn
    wcs.wcs.radesys = frame
    wcs.wcs.equinox = 2000.0
    wcs.wcs.set()
    return wcs


def make_pixels(seed=0, shape=SHAPE):
    return np.random.default_rng(seed).normal(5, 1, shape).astype('float32')


def write(path, pixels=None, wcs=None, **keywords):
    header = (make_wcs() if wcs is None else wcs).to_header(relax=True)
    header.update(keywords)
    pixels = make_pixels() if pixels is None else pixels
    fits.writeto(path, pixels, header)
    return path


def fetch(source, coord=None, **options):
    coord = SkyCoord(150.0, 2.0, unit='deg') if coord is None else coord
    return source.fetch(coord.reshape(1), **{'size': 10 * u.arcsec, **options})[0]


class TestOneMosaic:
    @pytest.mark.parametrize('rotation', [0, 30, 200])
    def test_pixels_and_place_are_those_of_a_cutout(self, tmp_path, rotation):
        wcs = make_wcs(rotation=rotation)
        pixels = make_pixels()
        path = write(tmp_path / 'a.fits', pixels, wcs, BUNIT='nanomaggy', FILTER='r')
        coord = SkyCoord(150.0 + 17 / 3600, 2.0 - 9 / 3600, unit='deg')
        image = fetch(LocalImages(path), coord)
        found = image.wcs.world_to_pixel(coord)
        np.testing.assert_allclose(image.position, found, atol=1e-6)
        expected = Cutout2D(pixels, coord, 31, wcs=wcs)
        x, y = (round(value) for value in image.position)
        near = image.data[0][y - 15 : y + 16, x - 15 : x + 16]
        np.testing.assert_array_equal(near, expected.data)
        assert image.bands == ('r',)
        assert image.unit == u.nmgy
        assert image.meta['source'] == str(path)

    def test_side_is_what_was_asked_for(self, tmp_path):
        source = LocalImages(write(tmp_path / 'a.fits'))
        assert fetch(source, size=10 * u.arcsec).shape2d == (40, 40)
        image = fetch(source, size=None, radius=1 * u.arcsec)
        side = 1.1 * 8.48 * np.sqrt(2) / SCALE
        assert image.shape2d == (np.ceil(side), np.ceil(side))
        assert image.size == 1 * u.arcsec
        assert fetch(source, size=None).shape2d == (120, 120)

    def test_fk5_mosaic(self, tmp_path):
        wcs = make_wcs(189.2, 62.2, scale=0.03, frame='FK5')
        source = LocalImages(write(tmp_path / 'a.fits', wcs=wcs))
        coord = SkyCoord(189.2, 62.2, unit='deg')
        image = fetch(source, coord, size=2 * u.arcsec)
        x, y = skycoord_to_pixel(coord.transform_to(FK5()), wcs)
        value = make_pixels()[round(float(y)), round(float(x))]
        x, y = image.position
        assert image.data[0][round(y), round(x)] == value
        np.testing.assert_allclose(
            image.wcs.world_to_pixel(coord), image.position, atol=1e-4
        )

    def test_edge_and_outside(self, tmp_path):
        source = LocalImages(write(tmp_path / 'a.fits'))
        wcs = make_wcs()
        corner = wcs.pixel_to_world(0, 299)
        image = fetch(source, corner)
        assert image.position == pytest.approx((0, image.shape2d[0] - 1), abs=1e-4)
        assert min(image.shape2d) >= 20
        tiny = fetch(source, corner, size=0.3 * u.arcsec)
        assert tiny.shape2d == (8, 8)
        outside = fetch(source, wcs.pixel_to_world(-2, 150))
        assert outside.flag == MorphologyFlag.NO_COVERAGE
        away = fetch(source, SkyCoord(10, 60, unit='deg'))
        assert away.flag == MorphologyFlag.NO_COVERAGE

    def test_no_data_at_the_target(self, tmp_path):
        for value in (0, np.nan):
            pixels = make_pixels()
            pixels[:, :250] = value
            path = write(tmp_path / f'a{value}.fits', pixels)
            assert fetch(LocalImages(path)).flag == MorphologyFlag.NO_COVERAGE

    def test_sky_across_the_zero_of_ra(self, tmp_path):
        wcs = make_wcs(0.0, -5.0)
        source = LocalImages(write(tmp_path / 'a.fits', wcs=wcs))
        coords = SkyCoord([359.995, 0.005], [-5.0, -5.0], unit='deg')
        images = source.fetch(coords, size=5 * u.arcsec)
        assert not any(isinstance(image, ImageError) for image in images)

    def test_distortions(self, tmp_path):
        wcs = make_wcs(sip=True)
        header = wcs.to_header(relax=True)
        header.update(
            CTYPE1='RA---TAN-SIP', CTYPE2='DEC--TAN-SIP', A_ORDER=2, A_2_0=2e-5,
            B_ORDER=2, B_1_1=1e-5, AP_ORDER=1, BP_ORDER=1,
        )  # fmt: skip
        fits.writeto(tmp_path / 'a.fits', make_pixels(), header)
        whole = WCS(header)
        coord = whole.pixel_to_world(350, 30)
        image = fetch(LocalImages(tmp_path / 'a.fits'), coord)
        x, y = image.position
        assert image.data[0][round(y), round(x)] == make_pixels()[30, 350]


class TestFiles:
    @pytest.mark.parametrize('suffix', ['.fits', '.fits.gz', '.fits.fz', '.fits.bz2'])
    def test_compressed(self, tmp_path, suffix):
        wcs = make_wcs()
        pixels = make_pixels().round().astype('int16')
        path = tmp_path / f'tile-z{suffix}'
        if suffix == '.fits.fz':
            hdu = fits.CompImageHDU(pixels, wcs.to_header(), compression_type='RICE_1')
            fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(path)
        else:
            write(tmp_path / 'plain.fits', pixels)
            content = (tmp_path / 'plain.fits').read_bytes()
            pack = {'.fits.gz': gzip.compress, '.fits.bz2': bz2.compress}
            path.write_bytes(pack.get(suffix, bytes)(content))
        source = LocalImages(path)
        image = fetch(source)
        x, y = image.position
        column, row = 199, 149
        np.testing.assert_array_equal(
            image.data[0][round(y) - 5 : round(y) + 5, round(x) - 5 : round(x) + 5],
            pixels[row - 5 : row + 5, column - 5 : column + 5],
        )
        assert image.bands == ('z',)

    @pytest.mark.parametrize('kind', [fits.ImageHDU, fits.CompImageHDU])
    def test_no_more_is_read_than_needed(self, tmp_path, monkeypatch, kind):
        # Unsigned, so that pixels are scaled.
        pixels = make_pixels().astype('uint16')
        hdu = kind(pixels, make_wcs().to_header())
        fits.HDUList([fits.PrimaryHDU(), hdu]).writeto(tmp_path / 'a.fits')

        def fail(hdu):
            msg = 'all of the file is read'
            raise AssertionError(msg)

        monkeypatch.setattr(kind, 'data', property(fail))
        assert fetch(LocalImages(tmp_path / 'a.fits')).shape2d == (40, 40)

    def test_scaled_integers(self, tmp_path):
        pixels = np.arange(SHAPE[0] * SHAPE[1]).reshape(SHAPE).astype('int16')
        hdu = fits.PrimaryHDU(pixels, make_wcs().to_header())
        hdu.scale('int16', bscale=0.5, bzero=100)
        hdu.writeto(tmp_path / 'a.fits')
        with fits.open(tmp_path / 'a.fits') as hdulist:
            expected = hdulist[0].data[150, 200]
        image = fetch(
            LocalImages(tmp_path / 'a.fits'), make_wcs().pixel_to_world(200, 150)
        )
        x, y = image.position
        assert image.data[0][round(y), round(x)] == expected

    def test_folder_glob_list_and_name(self, tmp_path):
        folder = tmp_path / 'tiles' / 'deep'
        folder.mkdir(parents=True)
        path = write(folder / 'a_f160w_drz.fits')
        write(folder / 'a_f160w_wht.fits')
        (folder / 'notes.txt').write_text('x')
        for images in (
            tmp_path,
            str(tmp_path / '**' / '*_drz.fits'),
            [path],
            {'F160W': path},
        ):
            source = LocalImages(images)
            assert [file for file, _ in source.mosaic.files] == [path]
            assert fetch(source).bands == ('F160W',)
        assert fetch(create_source(f'local:{tmp_path}')).bands == ('F160W',)

    @pytest.mark.parametrize('name', ['no.fits', 'no*.fits', '.'])
    def test_nothing_there(self, tmp_path, name):
        with pytest.raises(FileNotFoundError, match='there is no'):
            LocalImages(tmp_path / name)

    def test_damaged_file_costs_only_itself(self, tmp_path, caplog):
        write(tmp_path / 'good.fits')
        (tmp_path / 'bad.fits').write_bytes(b'SIMPLE')
        source = LocalImages(tmp_path)
        with caplog.at_level(logging.WARNING):
            assert fetch(source).bands == ('unknown',)
        assert 'bad.fits cannot be read' in caplog.text
        away = fetch(source, SkyCoord(10, 60, unit='deg'))
        assert away.flag == MorphologyFlag.NO_COVERAGE
        assert '1 of them cannot be read' in str(away)
        only = LocalImages(tmp_path / 'bad.fits')
        assert fetch(only).flag == MorphologyFlag.UNREADABLE_IMAGE

    def test_file_that_vanishes(self, tmp_path):
        path = write(tmp_path / 'a.fits')
        source = LocalImages(path)
        fetch(source)
        path.unlink()
        assert fetch(source).flag == MorphologyFlag.UNREADABLE_IMAGE

    def test_image_without_wcs_is_said(self, tmp_path, caplog):
        fits.writeto(tmp_path / 'a.fits', make_pixels())
        with caplog.at_level(logging.WARNING):
            image = fetch(LocalImages(tmp_path / 'a.fits'))
        assert image.flag == MorphologyFlag.NO_COVERAGE
        assert 'no image with a celestial WCS' in caplog.text


class TestBands:
    def test_by_header_and_by_name(self, tmp_path):
        write(tmp_path / 'a-1.fits', make_pixels(1), FILTER='g', BUNIT='nmgy')
        write(tmp_path / 'a-2-r.fits', make_pixels(2), BUNIT='nmgy')
        source = LocalImages(tmp_path)
        assert source.bands == ('g', 'r')
        image = fetch(source)
        assert sorted(image.bands) == ['g', 'r']
        image = fetch(source, bands='rg')
        assert image.bands == ('r', 'g')
        assert image.data[0].mean() == pytest.approx(5, abs=0.2)
        column, row = 199, 149
        x, y = (round(v) for v in image.position)
        assert image.data[0, y, x] == make_pixels(2)[row, column]
        assert image.data[1, y, x] == make_pixels(1)[row, column]

    def test_units_are_those_of_the_first_band(self, tmp_path):
        write(tmp_path / 'g.fits', FILTER='g', BUNIT='nJy')
        write(tmp_path / 'r.fits', FILTER='r', BUNIT='uJy')
        image = fetch(LocalImages(tmp_path), bands='gr')
        assert image.unit == u.nJy
        np.testing.assert_allclose(image.data[1], 1000 * image.data[0], rtol=1e-6)

    def test_extensions_with_errors_and_weights(self, tmp_path):
        header = make_wcs().to_header()
        primary = fits.PrimaryHDU(header=fits.Header({'FILTER': 'F814W'}))
        hdus = [
            fits.ImageHDU(make_pixels(k), header, name=name)
            for k, name in enumerate(['SCI', 'ERR', 'WHT'])
        ]
        fits.HDUList([primary, *hdus]).writeto(tmp_path / 'a.fits')
        image = fetch(LocalImages(tmp_path / 'a.fits'))
        assert image.bands == ('F814W',)
        column, row = 199, 149
        x, y = (round(v) for v in image.position)
        assert image.data[0, y, x] == make_pixels(0)[row, column]
        weights = fetch(LocalImages(tmp_path / 'a.fits', hdu='WHT', bands='weight'))
        assert weights.bands == ('weight',)

    def test_cube(self, tmp_path):
        cube = make_pixels(shape=(3, *SHAPE))
        write(tmp_path / 'a.fits', cube, BANDS='grz')
        image = fetch(LocalImages(tmp_path / 'a.fits'), bands=('z', 'g'))
        column, row = 199, 149
        x, y = (round(v) for v in image.position)
        np.testing.assert_array_equal(image.data[:, y, x], cube[[2, 0], row, column])

    def test_missing_band(self, tmp_path):
        write(tmp_path / 'g.fits', FILTER='g')
        write(tmp_path / 'r.fits', FILTER='r', wcs=make_wcs(scale=0.5))
        source = LocalImages(tmp_path)
        image = fetch(source, bands='gr')
        assert image.flag == MorphologyFlag.BANDS_MISSING
        with pytest.raises(ValueError, match='bands must be among'):
            fetch(source, bands='i')


class TestTiles:
    def test_best_covered_one_is_taken(self, tmp_path):
        # The tiles overlap: 100 arcsec wide, 80 arcsec apart.
        west = make_wcs(150 - 80 / 3600)
        write(tmp_path / 'east.fits', make_pixels(1))
        write(tmp_path / 'west.fits', make_pixels(2), wcs=west)
        source = LocalImages(tmp_path)
        assert len(source.mosaic.tiles) == 2
        for offset, name in ((-32, 'east'), (-48, 'west'), (0, 'east'), (-80, 'west')):
            coord = SkyCoord(150 + offset / 3600, 2.0, unit='deg')
            image = fetch(source, coord, size=12 * u.arcsec)
            assert image.meta['source'].endswith(f'{name}.fits')
            assert min(image.shape2d) >= 48

    @pytest.mark.parametrize(
        'ctype', [('RA---TAN', 'DEC--TAN'), ('GLON-TAN', 'GLAT-TAN')]
    )
    @pytest.mark.parametrize('swapped', [False, True])
    def test_any_axes(self, tmp_path, ctype, swapped):
        wcs = make_wcs()
        order = slice(None, None, -1 if swapped else 1)
        wcs.wcs.crval = (150.0, 2.0)[order]
        wcs.wcs.ctype = ctype[order]
        source = LocalImages(write(tmp_path / 'a.fits', wcs=wcs))
        coord = wcs.pixel_to_world(320, 40).icrs
        image = fetch(source, coord)
        x, y = image.position
        assert image.data[0][round(y), round(x)] == make_pixels()[40, 320]
        (field,) = source.mosaic.tiles
        assert field.radius == pytest.approx(
            np.hypot(200.7, 150.7) * SCALE / 206265, rel=0.01
        )

    def test_next_one_where_there_is_no_data(self, tmp_path):
        hollow = make_pixels(1)
        hollow[100:200, 150:250] = np.nan
        write(tmp_path / 'a.fits', hollow)
        write(tmp_path / 'b.fits', make_pixels(2), wcs=make_wcs(150.005))
        image = fetch(LocalImages(tmp_path))
        assert image.meta['source'].endswith('b.fits')

    def test_many_targets_make_no_request(self, tmp_path):
        write(tmp_path / 'a.fits.gz')
        source = LocalImages(tmp_path)
        rng = np.random.default_rng(1)
        coords = SkyCoord(
            150 + rng.uniform(-0.02, 0.02, 200), 2 + rng.uniform(-0.02, 0.02, 200),
            unit='deg',
        )  # fmt: skip
        images = source.fetch(coords, size=3 * u.arcsec)
        x, y = make_wcs().world_to_pixel(coords)
        inside = (x >= -0.5) & (x <= 399.5) & (y >= -0.5) & (y <= 299.5)
        assert [not isinstance(i, ImageError) for i in images] == inside.tolist()
        assert 20 < inside.sum() < 180
        assert source.archive.n_requests == 0
        covered = source.covers(coords)
        assert covered[inside].all()

    def test_as_one_of_several_surveys(self, tmp_path):
        write(tmp_path / 'a.fits', FILTER='r')
        source = LocalImages(tmp_path, survey='Mine')
        images = AutoSource([source]).fetch(
            SkyCoord([150.0, 10.0], [2.0, 60.0], unit='deg'), size=5 * u.arcsec
        )
        assert images[0].meta['survey'] == 'Mine'
        assert images[1].flag == MorphologyFlag.NO_COVERAGE
