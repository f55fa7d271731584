# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of CANDELS and HAP against a server that answers as MAST does."""

import contextlib
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import FK5, SkyCoord
from astropy.stats import sigma_clipped_stats
from astropy.wcs import WCS
from astropy.wcs.utils import skycoord_to_pixel
from astroquery import cache_conf

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import CANDELS, HAP, create_source
from tests.helpers import mast
from tests.helpers.loopback import Reply

needs_recorded = pytest.mark.skipif(
    mast.recorded_folder() is None, reason='astroquery came without its tests'
)

# 0.1 deg south of the middle of the mosaics.
HERE = SkyCoord(189.228621, 62.2, unit='deg')
GALAXY = (HERE.ra.deg, HERE.dec.deg, 300.0, 0.5)

COARSE = mast.Mosaic(
    'candels_gn_60mas', 0.06, ('F606W', 'F814W', 'F125W', 'F160W'), galaxies=[GALAXY]
)
FINE = mast.Mosaic(
    'candels_gn_30mas', 0.03, ('F606W', 'F814W', 'F850LP'), pedestal=0.048
)
OTHER = mast.Mosaic('goods_north', 0.03, ('F435W', 'F606W', 'F775W', 'F850LP'))


@pytest.fixture
def make(loopback, tmp_path):
    def make(kind=CANDELS, **options):
        options = {'backoff': 0.01, 'timeout': 2, 'cache': tmp_path / 'cache'} | options
        return kind(server=loopback.url, **options)

    return make


@pytest.fixture
def source(loopback, make):
    mast.ZcutArchive(FINE, OTHER, COARSE).serve(loopback)
    return make()


def fetch(source, coord=HERE, **options):
    return source.fetch(coord.reshape(1), **{'size': 6 * u.arcsec, **options})[0]


def paths(loopback):
    return [request.path.rpartition('/')[2] for request in loopback.requests]


def is_cutout(request):
    return request.path.endswith('astrocut')


@needs_recorded
class TestRecordedCutout:
    @pytest.fixture
    def hdus(self):
        return mast.recorded_cutouts()

    @pytest.fixture
    def image(self, loopback, make):
        mast.recorded_zcut(loopback)
        coord = SkyCoord(*mast.RECORDED, unit='deg')
        return fetch(make(), coord, size=3 * u.arcsec, bands='F814W')

    def test_pixels_are_in_nanojansky_by_the_zero_point(self, image, hdus):
        header = hdus[1].header
        zero_point = (
            -2.5 * np.log10(header['PHOTFLAM'])
            - 21.10
            - 5 * np.log10(header['PHOTPLAM'])
            + 18.6921
        )
        assert zero_point == pytest.approx(25.947, abs=5e-4)
        scale = 10 ** (-0.4 * (zero_point - 31.4))
        assert scale == pytest.approx(151.82, abs=0.02)
        assert image.unit == u.nJy
        (level,) = image.meta['background']
        back = (image.data[0] + level) / scale
        np.testing.assert_allclose(back, hdus[1].data, rtol=1e-4, atol=1e-5)

    def test_scale_and_centre_are_known(self, image, hdus):
        assert image.shape2d == (100, 100)
        assert image.pixel_scale.value == pytest.approx(0.03, abs=1e-7)
        # Where the cutout service counts from, in the frame of the mosaic.
        wcs = WCS(hdus[1].header)
        assert wcs.wcs.radesys == 'FK5'
        ra, dec = wcs.wcs_pix2world(49.5, 49.5, 0)
        assert (ra, dec) == pytest.approx((189.49206507, 62.20614717), abs=1e-8)

    def test_positions_are_icrs(self, image, hdus):
        coord = SkyCoord(*mast.RECORDED, unit='deg')
        expected = skycoord_to_pixel(coord.transform_to(FK5()), WCS(hdus[1].header))
        np.testing.assert_allclose(image.position, expected, atol=0.001)
        # As plain numbers, which a user reads off the WCS, too.
        found = image.wcs.wcs_world2pix(coord.ra.deg, coord.dec.deg, 0)
        np.testing.assert_allclose(found, expected, atol=0.001)
        assert image.wcs.wcs.radesys == 'ICRS'
        # Taken for ICRS, the mosaic would be off by most of a pixel.
        wrong = WCS(hdus[1].header).wcs_world2pix(coord.ra.deg, coord.dec.deg, 0)
        assert np.hypot(*np.subtract(wrong, expected)) > 0.3

    def test_wcs_agrees_in_every_corner(self, image, hdus):
        x, y = np.array([0, 99, 0, 99]), np.array([0, 0, 99, 99])
        sky = WCS(hdus[1].header).pixel_to_world(x, y).icrs
        found = image.wcs.wcs_world2pix(sky.ra.deg, sky.dec.deg, 0)
        np.testing.assert_allclose(found, [x, y], atol=1e-4)

    def test_pedestal_is_removed(self, image, hdus):
        data = hdus[1].data
        assert np.median(hdus[0].data) == pytest.approx(0.048, abs=0.001)
        border = np.ones(data.shape, bool)
        border[10:-10, 10:-10] = False
        _, level, noise = sigma_clipped_stats(data[border])
        assert image.meta['background'][0] == pytest.approx(151.82 * level, rel=0.03)
        left = sigma_clipped_stats(image.data[0][border])[1]
        assert abs(left) < 0.1 * 151.82 * noise

    def test_all_its_bands_come_from_one_request(self, image, make, loopback):
        source = make()
        coord = SkyCoord(*mast.RECORDED, unit='deg')
        bands = ('F850LP', 'F606W')
        image = fetch(source, coord, size=3 * u.arcsec, bands=bands)
        assert image.bands == bands
        assert source.archive.n_requests == 0
        # The surveys, and the cutout: the finest survey was the first one asked.
        assert paths(loopback) == ['survey', 'astrocut']

    def test_a_band_that_is_nowhere_is_missing(self, image, make):
        coord = SkyCoord(*mast.RECORDED, unit='deg')
        found = fetch(make(), coord, size=3 * u.arcsec)
        assert found.flag == MorphologyFlag.BANDS_MISSING
        assert "not ['F160W']" in str(found)


class TestSurveys:
    def test_finest_one_with_the_bands_is_taken(self, source):
        assert fetch(source, bands='F814W').meta['source'] == 'candels_gn_30mas'
        assert fetch(source, bands='F160W').meta['source'] == 'candels_gn_60mas'
        assert fetch(source, bands='F435W').meta['source'] == 'goods_north'

    def test_colour_is_of_one_survey_and_grid(self, source):
        image = fetch(source, bands=('F160W', 'F125W', 'F814W'))
        assert image.bands == ('F160W', 'F125W', 'F814W')
        assert image.meta['source'] == 'candels_gn_60mas'
        assert image.pixel_scale.value == pytest.approx(0.06, abs=1e-6)

    def test_bands_that_no_survey_has_together_are_missing(self, source):
        image = fetch(source, bands=('F435W', 'F160W'))
        assert image.flag == MorphologyFlag.BANDS_MISSING

    def test_survey_without_a_band_is_asked_once(self, source, loopback):
        coords = SkyCoord(HERE.ra + [0, 5, 10] * u.arcsec, [HERE.dec] * 3)
        # One after the other: what is asked at the same time cannot know.
        images = [source.fetch(one, size=6 * u.arcsec)[0] for one in coords]
        assert [image.bands for image in images] == [('F160W',)] * 3
        # One patch of the sky; 30 mas once, 60 mas for each.
        assert sorted(paths(loopback)) == ['astrocut'] * 4 + ['survey']
        asked = [request.form.get('survey') for request in loopback.requests[1:]]
        assert asked.count('candels_gn_30mas') == 1

    def test_survey_known_to_lack_a_band_may_have_it_elsewhere(self, loopback, make):
        # F160W in 30 mas, but only in the north.
        fine = mast.Mosaic(
            'candels_gn_30mas', 0.03, ('F814W', 'F160W'), only={'F160W': 62.21}
        )
        near = mast.Mosaic('candels_gn_60mas', 0.06, ('F160W',), only={'F160W': 62.19})
        mast.ZcutArchive(fine, near).serve(loopback)
        source = make()
        assert fetch(source).meta['source'] == 'candels_gn_60mas'
        north = SkyCoord(HERE.ra, HERE.dec + 0.02 * u.deg)
        assert fetch(source, north).meta['source'] == 'candels_gn_60mas'
        south = SkyCoord(HERE.ra, HERE.dec - 0.02 * u.deg)
        assert fetch(source, south).flag == MorphologyFlag.BANDS_MISSING
        again = make()
        for coord in (north, HERE, south):
            fetch(again, coord)
        assert again.archive.n_requests == 0

    def test_repeated_bands_count_once_and_the_fuller_one(self, loopback, make):
        empty = mast.Mosaic('a', 0.04, ('F814W',), reach=0.038)
        full = mast.Mosaic('b', 0.04, ('F814W',), pedestal=1.0)
        mast.HapcutArchive(empty, full).serve(loopback)
        image = fetch(make(HAP), bands='F814W')
        assert image.mask is None


class TestPixels:
    def test_galaxy_has_its_flux_and_place(self, source):
        image = fetch(source, size=12 * u.arcsec)
        x, y = image.position
        rows, columns = np.indices(image.shape2d)
        near = np.hypot(columns - x, rows - y) < 4 / 0.06
        flux = image.data[0][near].sum()
        sensitivity, wavelength = mast.PHOTOMETRY['F160W']
        expected = 300 * 10 ** (
            -0.4
            * (
                -2.5 * np.log10(sensitivity)
                - 21.10
                - 5 * np.log10(wavelength)
                + 18.6921
                - 31.4
            )
        )
        assert flux == pytest.approx(expected, rel=0.02)
        light = np.clip(image.data[0], 0, None) * near
        assert (light * columns).sum() / light.sum() == pytest.approx(x, abs=0.05)
        assert (light * rows).sum() / light.sum() == pytest.approx(y, abs=0.05)

    def test_pixels_without_data_are_masked(self, loopback, make):
        mosaic = mast.Mosaic('candels_gn_60mas', 0.06, ('F160W',), reach=0.0389)
        mast.ZcutArchive(mosaic).serve(loopback)
        image = fetch(make())
        assert 0.05 < image.mask.mean() < 0.9
        assert not image.mask[0][tuple(round(v) for v in image.position[::-1])]
        assert abs(np.median(image.data[~image.mask])) < 0.2

    def test_size_follows_the_radius(self, source):
        image = fetch(source, size=None, radius=0.5 * u.arcsec)
        side = 1.1 * 8.48 * np.sqrt(2) * 0.5
        assert image.shape2d[0] == pytest.approx(side / 0.06, abs=1)
        assert image.size == 0.5 * u.arcsec
        image = fetch(source, size=None)
        assert image.shape2d[0] == pytest.approx(12 / 0.06, abs=1)

    def test_galaxy_in_icrs_mosaics_stays_in_place(self, loopback, make):
        mosaic = mast.Mosaic('a', 0.04, ('F814W',), galaxies=[GALAXY], frame='ICRS')
        mast.HapcutArchive(mosaic).serve(loopback)
        image = fetch(make(HAP), bands='F814W')
        x, y = image.position
        peak = np.unravel_index(image.data[0].argmax(), image.shape2d)
        assert np.hypot(peak[1] - x, peak[0] - y) < 1

    def test_pixels_without_a_zero_point_have_no_unit(self, loopback, make):
        def answer(request):
            form = request.form
            hdus = list(COARSE.cutout(float(form['ra']), float(form['dec']), 99, 99))
            del hdus[-1].header['PHOTFLAM']
            return Reply(mast.zipped({'a.fits': hdus}))

        mast.ZcutArchive(COARSE).serve(loopback)
        loopback.route('/zcut/api/v0.1/astrocut', answer)
        assert fetch(make()).unit is None
        assert fetch(make(), bands='F814W').unit == u.nJy


class TestNothingThere:
    def test_no_survey(self, source, make):
        away = SkyCoord(10, 20, unit='deg')
        image = fetch(source, away)
        assert image.flag == MorphologyFlag.NO_COVERAGE
        again = make()
        assert fetch(again, away).flag == MorphologyFlag.NO_COVERAGE
        assert again.archive.n_requests == 0

    def test_blank_cutout(self, loopback, make):
        blank = mast.Mosaic('candels_gn_60mas', 0.06, ('F160W',), reach=0.038)
        mast.ZcutArchive(blank).serve(loopback)

        def answer(request):
            form = request.form
            hdus = list(COARSE.cutout(float(form['ra']), float(form['dec']), 99, 99))
            for hdu in hdus:
                hdu.data[:] = 0
            return Reply(mast.zipped({'a.fits': hdus}))

        loopback.route('/zcut/api/v0.1/astrocut', answer)
        source = make()
        assert fetch(source).flag == MorphologyFlag.NO_COVERAGE
        assert source.archive.n_requests == 2
        again = make()
        assert fetch(again).flag == MorphologyFlag.NO_COVERAGE
        assert again.archive.n_requests == 0

    def test_survey_that_answers_but_has_nothing(self, loopback, make):
        mast.ZcutArchive(COARSE).serve(loopback)
        loopback.route('/zcut/api/v0.1/astrocut', lambda _: mast.nothing())
        image = fetch(make())
        assert image.flag == MorphologyFlag.NO_COVERAGE
        assert 'candels_gn_60mas at 189.228621 +62.200000' in str(image)

    def test_bands_missing_is_kept(self, source, make):
        assert fetch(source, bands='F140W').flag == MorphologyFlag.BANDS_MISSING
        again = make()
        assert fetch(again, bands='F140W').flag == MorphologyFlag.BANDS_MISSING
        assert again.archive.n_requests == 0


class TestFailures:
    @pytest.mark.parametrize(
        'reply',
        [
            Reply(status=500),
            Reply(status=503),
            Reply(status=404),
            Reply(fault='reset'),
            Reply(b'PK' + bytes(100), fault='truncate'),
            Reply(b'<html>Maintenance</html>', type='text/html'),
        ],
        ids=['500', '503', '404', 'reset', 'truncated', 'html'],
    )
    def test_is_flagged_and_not_kept(self, source, loopback, reply):
        loopback.fail(reply, times=99, where=is_cutout)
        image = fetch(source)
        assert image.flag == MorphologyFlag.ARCHIVE_ERROR
        assert 'get_column_list' not in str(image)
        loopback.heal()
        assert fetch(source).bands == ('F160W',)

    @pytest.mark.parametrize('status', [500, 404])
    def test_message_tells_the_status(self, source, loopback, status):
        loopback.fail(Reply(status=status), times=99)
        assert str(status) in str(fetch(source))

    def test_damaged_zip(self, source, loopback):
        whole = mast.zipped({'a.fits': list(FINE.cutout(189.2, 62.2, 99, 99))})
        for content in (whole[:-5000], whole[:3000] + b'?' * 9 + whole[3009:]):
            loopback.heal()
            loopback.fail(Reply(content), times=99, where=is_cutout)
            assert fetch(source).flag == MorphologyFlag.UNREADABLE_IMAGE
        loopback.heal()
        assert fetch(source).bands == ('F160W',)

    @pytest.mark.parametrize(
        'reply',
        [Reply(status=503), Reply(status=429), Reply(fault='reset'), Reply(b'PK')],
        ids=['503', '429', 'reset', 'damaged'],
    )
    def test_once_is_tried_again(self, source, loopback, reply):
        loopback.fail(reply, times=1)
        image = fetch(source)
        assert image.bands == ('F160W',)

    def test_stalled_server(self, loopback, make):
        mast.ZcutArchive(COARSE).serve(loopback)
        source = make(timeout=0.3, n_retries=1)
        loopback.fail(Reply(fault='stall'), times=99, where=is_cutout)
        assert fetch(source).flag == MorphologyFlag.ARCHIVE_ERROR
        loopback.heal()
        assert fetch(source).bands == ('F160W',)

    def test_one_survey_that_fails_is_not_replaced(self, source, loopback):
        loopback.fail(
            Reply(status=500),
            times=99,
            where=lambda request: request.form.get('survey') == 'candels_gn_60mas',
        )
        bands = ('F606W', 'F160W')
        assert fetch(source, bands=bands).flag == MorphologyFlag.ARCHIVE_ERROR
        # What does not need it is there.
        assert fetch(source, bands='F606W').meta['source'] == 'candels_gn_30mas'

    def test_server_that_dies_halfway(self, source, loopback, make):
        coords = SkyCoord(HERE.ra + np.arange(12) * 4 * u.arcsec, [HERE.dec] * 12)
        images = []
        for count, (_, image) in enumerate(source.stream(source.targets(coords))):
            if count == 3:
                loopback.close()
            with contextlib.suppress(ImageError):
                images.append(image())
        assert 3 <= len(images) <= 12
        offline = make(offline=True).fetch(coords)
        missing = [image for image in offline if isinstance(image, ImageError)]
        assert len(missing) == 12 - len(images)
        assert {image.flag for image in missing} <= {MorphologyFlag.NOT_CACHED}


class TestManyTargets:
    def test_second_run_makes_no_request(self, source, make):
        rng = np.random.default_rng(3)
        coords = SkyCoord(
            HERE.ra + rng.uniform(-40, 40, 16) * u.arcsec,
            HERE.dec + rng.uniform(-40, 40, 16) * u.arcsec,
        )
        options = {'size': 1 * u.arcsec, 'radius': 0.2 * u.arcsec}
        first = source.fetch(coords, **options)
        assert all(image.bands == ('F160W',) for image in first)
        again = make()
        second = again.fetch(coords, **options)
        assert again.archive.n_requests == 0
        for one, other in zip(first, second, strict=True):
            np.testing.assert_array_equal(one.data, other.data)
            assert one.position == other.position

    def test_connections_are_limited(self, loopback, make):
        mast.ZcutArchive(COARSE).serve(loopback)
        coords = SkyCoord(HERE.ra + np.arange(12) * 4 * u.arcsec, [HERE.dec] * 12)
        images = make(n_connections=3).fetch(coords, size=1 * u.arcsec)
        assert not any(isinstance(image, ImageError) for image in images)
        assert loopback.most_at_once <= 3
        # Threads of astroquery leave it off, if they may.
        assert cache_conf.cache_active

    def test_offline_says_what_is_missing(self, source, make):
        offline = make(offline=True)
        image = fetch(offline)
        assert image.flag == MorphologyFlag.NOT_CACHED
        fetch(source)
        assert fetch(make(offline=True)).bands == ('F160W',)

    def test_damaged_file_of_the_cache_is_got_anew(self, source, make):
        first = fetch(source)
        for entry in source.archive.cache.entries('candels'):
            if entry.path.suffix == '.fits':
                entry.path.write_bytes(b'?' * entry.size)
        assert fetch(make(offline=True)).flag == MorphologyFlag.NOT_CACHED
        again = make()
        np.testing.assert_array_equal(fetch(again).data, first.data)
        assert again.archive.n_requests > 0
        assert fetch(make(offline=True)).bands == ('F160W',)

    def test_users_hear_no_warning(self, source):
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            fetch(source, SkyCoord(10, 20, unit='deg'))
            fetch(source)


class TestHAP:
    def test_bands_of_the_finest_grid(self, loopback, make):
        fine = mast.Mosaic('skycell-p2381x05y09', 0.04, ('F606W', 'F814W'))
        coarse = mast.Mosaic('skycell-coarse', 0.12, ('F125W', 'F160W', 'F814W'))
        mast.HapcutArchive(coarse, fine).serve(loopback)
        source = make(HAP)
        image = fetch(source, bands=('F160W', 'F125W', 'F814W'))
        assert image.pixel_scale.value == pytest.approx(0.12, abs=1e-5)
        image = fetch(source, bands='F814W')
        assert image.pixel_scale.value == pytest.approx(0.04, abs=1e-5)
        assert image.unit == u.nJy
        assert source.archive.n_requests == 1
        assert paths(loopback) == ['astrocut']
        assert fetch(source, bands=('F606W', 'F160W')).flag == (
            MorphologyFlag.BANDS_MISSING
        )

    def test_nothing_there(self, loopback, make):
        loopback.route('/hapcut', lambda _: mast.nothing())
        source = make(HAP)
        assert fetch(source).flag == MorphologyFlag.NO_COVERAGE
        assert fetch(source).flag == MorphologyFlag.NO_COVERAGE
        assert source.archive.n_requests == 1

    def test_covers_everything(self):
        assert HAP().covers(SkyCoord([1, 2], [3, 4], unit='deg')).all()


class TestCovers:
    # Centres of the fields as observers name them, and places far from them.
    @pytest.mark.parametrize(
        ('position', 'expected'),
        [
            ('03:32:30 -27:48:20', True),
            ('12:36:55 +62:14:15', True),
            ('10:00:28 +02:12:21', True),
            ('02:17:37.5 -05:12:00', True),
            ('14:19:18 +52:49:26', True),
            ('14:17:00 +52:30:00', True),
            ('12:36:55 +60:14:15', False),
            ('00:42:44 +41:16:09', False),
        ],
    )
    def test_knows_the_fields(self, position, expected):
        coord = SkyCoord([position], unit=('hourangle', 'deg'))
        assert CANDELS().covers(coord).tolist() == [expected]
        assert CANDELS().covers(coord.galactic).tolist() == [expected]
        assert CANDELS(anywhere=True).covers(coord).tolist() == [True]


class TestDescription:
    @pytest.mark.parametrize('kind', [CANDELS, HAP])
    def test_says_what_to_acknowledge(self, kind):
        source = kind()
        assert 'NAS5-26555' in source.attribution
        assert source.survey == 'HST'
        assert set(source.default_bands) <= set(source.bands)

    def test_candels_papers_are_cited(self):
        assert '10.1088/0067-0049/197/2/35' in CANDELS.bibtex
        assert '10.1088/0067-0049/197/2/36' in CANDELS.bibtex

    def test_unknown_band(self):
        with pytest.raises(ValueError, match=r"must be among .*'F160W'"):
            CANDELS().fetch(HERE, bands='H')

    def test_created_by_name(self):
        assert isinstance(create_source('candels'), CANDELS)
        assert isinstance(create_source('hst', server='http://127.0.0.1:1'), HAP)


@pytest.mark.remote_data
class TestRemote:
    def test_galaxy_in_goods_north(self, tmp_path):
        source = CANDELS(cache=tmp_path / 'cache')
        coord = SkyCoord(*mast.RECORDED, unit='deg')
        image = fetch(source, coord, bands=('F160W', 'F125W', 'F814W'))
        assert image.unit == u.nJy
        assert image.pixel_scale.value == pytest.approx(0.06, rel=0.01)
        away = fetch(source, SkyCoord(10, -80, unit='deg'))
        assert away.flag == MorphologyFlag.NO_COVERAGE

    def test_galaxy_in_the_advanced_products(self, tmp_path):
        coord = SkyCoord(*mast.RECORDED, unit='deg')
        image = fetch(HAP(cache=tmp_path / 'cache'), coord, bands='F814W')
        assert image.bands == ('F814W',)
