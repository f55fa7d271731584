# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of HiPS against a server that answers as hips2fits does."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import HiPS, create_source
from tests.helpers.hips2fits import Hips2Fits, error
from tests.helpers.loopback import Reply

COLOUR = 'CDS/P/DESI-Legacy-Surveys/DR10/color'
RED = 'CDS/P/SDSS9/r'
HERE = SkyCoord(150.1, 2.2, unit='deg')
# The target, and a red neighbour 6 arcsec north and 4 arcsec east of it.
GALAXIES = [
    (150.1, 2.2, 40.0, 1.5, (0.5, 0.5, 0.5)),
    (
        150.1 + 4 / 3600 / np.cos(np.deg2rad(2.2)),
        2.2 + 6 / 3600,
        10.0,
        0.6,
        (1.0, 0.2, 0.1),
    ),
]


@pytest.fixture
def make(loopback, tmp_path):
    sky = Hips2Fits(GALAXIES, hips=(COLOUR, RED), center=(150.1, 2.2), reach=0.05)
    server = sky.serve(loopback)

    def make(identifier=RED, **options):
        options = {'backoff': 0.01, 'timeout': 2, 'cache': tmp_path / 'cache'} | options
        return HiPS(identifier, server=server, **options)

    return make


def fetch(source, coord=HERE, **options):
    return source.fetch(coord.reshape(1), **{'size': 30 * u.arcsec, **options})[0]


class TestPixels:
    def test_fits(self, make):
        source = make(pixel_scale=0.2 * u.arcsec)
        image = fetch(source)
        assert image.shape2d == (150, 150)
        assert image.bands == ('r',)
        assert image.unit is None
        assert not image.is_picture
        assert image.pixel_scale.value == pytest.approx(0.2, rel=1e-6)
        assert image.position == pytest.approx((74.5, 74.5), abs=1e-3)
        rows, columns = np.indices(image.shape2d)
        near = np.hypot(columns - 74.5, rows - 74.5) < 12
        light = (image.data[0] - 0.02) * near
        assert (light * columns).sum() / light.sum() == pytest.approx(74.5, abs=0.05)
        assert (light * rows).sum() / light.sum() == pytest.approx(74.5, abs=0.05)

    def test_picture_stands_as_the_fits_file_does(self, make):
        picture = fetch(make(COLOUR, pixel_scale=0.2 * u.arcsec))
        image = fetch(make(pixel_scale=0.2 * u.arcsec))
        assert picture.is_picture
        assert picture.bands == ('R', 'G', 'B')
        assert picture.data.dtype == np.uint8
        green = np.clip(255 * image.data[0], 0, 255)
        np.testing.assert_allclose(picture.data[1], green, atol=25)
        # The red neighbour is where its position says: above, and to the left.
        x, y = picture.wcs.wcs_world2pix(*GALAXIES[1][:2], 0)
        assert x < 74.5 < y
        redness = picture.data[0].astype(float) - picture.data[1]
        peak = np.unravel_index(redness.argmax(), redness.shape)
        assert np.hypot(peak[1] - x, peak[0] - y) < 2.5

    def test_colour_as_fits_is_the_same_picture(self, make):
        options = {'pixel_scale': 0.2 * u.arcsec}
        picture = fetch(make(COLOUR, **options))
        cube = fetch(make(COLOUR, format='fits', **options))
        assert cube.is_picture
        # JPEG has half the pixels for colours.
        difference = cube.data.astype(int) - picture.data
        assert np.abs(difference).max() < 30
        assert np.abs(difference).mean() < 2

    @pytest.mark.parametrize(
        ('options', 'scale', 'n_pixels'),
        [
            ({'size': 84.8 * u.arcsec}, 0.2, 424),
            ({'size': 4 * u.arcsec}, 0.05, 80),
            ({'size': 20 * u.arcmin}, 2.0, 600),
            ({'size': None}, 60 / 424, 424),
            # As Galaxy Zoo 2 saw it, 0.02 radii a pixel, with room to turn.
            ({'size': None, 'radius': 10 * u.arcsec}, 0.2, 660),
        ],
    )
    def test_pixels_are_as_fine_as_a_network_needs(
        self, make, options, scale, n_pixels
    ):
        image = fetch(make(), **options)
        assert image.pixel_scale.value == pytest.approx(scale, rel=1e-3)
        assert image.shape2d[0] == pytest.approx(n_pixels, abs=1)
        assert image.size == options.get('radius')

    def test_unit_and_band_can_be_told(self, make):
        image = fetch(make(bands='g', unit='nmgy'))
        assert image.bands == ('g',)
        assert image.unit == u.nmgy
        assert image.meta['survey'] == RED


class TestNothingThere:
    @pytest.mark.parametrize('identifier', [RED, COLOUR])
    def test_outside_the_survey(self, make, identifier):
        away = SkyCoord(160, 2.2, unit='deg')
        source = make(identifier)
        image = fetch(source, away)
        assert image.flag == MorphologyFlag.NO_COVERAGE
        assert identifier in str(image)
        again = make(identifier)
        assert fetch(again, away).flag == MorphologyFlag.NO_COVERAGE
        assert again.archive.n_requests == 0

    def test_partly_outside(self, make):
        # 1 arcsec inside, and 1 arcsec outside, of the edge.
        for offset, is_inside in ((-1, True), (1, False)):
            edge = SkyCoord(HERE.ra, HERE.dec + (180 + offset) * u.arcsec)
            image = fetch(make(), edge)
            assert isinstance(image, ImageError) is not is_inside
        assert image.flag == MorphologyFlag.NO_COVERAGE

    def test_unknown_hips(self, make):
        source = make('CDS/P/NOPE')
        image = fetch(source)
        assert image.flag == MorphologyFlag.NO_COVERAGE
        assert 'HiPS CDS/P/NOPE does not exist' in str(image)
        assert source.archive.n_requests == 1


class TestFailures:
    @pytest.mark.parametrize(
        ('reply', 'flag'),
        [
            (Reply(status=500), MorphologyFlag.ARCHIVE_ERROR),
            (error(503, 'Overloaded', 'Try later'), MorphologyFlag.ARCHIVE_ERROR),
            (Reply(fault='reset'), MorphologyFlag.ARCHIVE_ERROR),
            (Reply(bytes(9999), fault='truncate'), MorphologyFlag.ARCHIVE_ERROR),
            (Reply(b'<html>'), MorphologyFlag.UNREADABLE_IMAGE),
            (Reply(b'SIMPLE  ='), MorphologyFlag.UNREADABLE_IMAGE),
            (Reply(b'\xff\xd8\xff\xe0'), MorphologyFlag.UNREADABLE_IMAGE),
        ],
        ids=['500', '503', 'reset', 'truncated', 'html', 'short fits', 'short jpg'],
    )
    @pytest.mark.parametrize('identifier', [RED, COLOUR])
    def test_is_flagged_and_not_kept(self, make, loopback, identifier, reply, flag):
        loopback.fail(reply, times=99)
        source = make(identifier)
        assert fetch(source).flag == flag
        assert source.archive.n_requests == 4
        loopback.heal()
        assert not isinstance(fetch(source), ImageError)

    @pytest.mark.parametrize(
        'reply', [Reply(status=503), Reply(status=429), Reply(b'SIMPLE')]
    )
    def test_once_is_tried_again(self, make, loopback, reply):
        loopback.fail(reply)
        assert not isinstance(fetch(make()), ImageError)

    def test_stalled_server(self, make, loopback):
        loopback.fail(Reply(fault='stall'), times=99)
        source = make(timeout=0.3, n_retries=1)
        assert fetch(source).flag == MorphologyFlag.ARCHIVE_ERROR


class TestManyTargets:
    def test_second_run_makes_no_request(self, make, loopback):
        coords = SkyCoord(HERE.ra + np.arange(30) * 20 * u.arcsec, [HERE.dec] * 30)
        first = make().fetch(coords, size=10 * u.arcsec)
        found = [image for image in first if not isinstance(image, ImageError)]
        assert 5 < len(found) < 20
        assert loopback.most_at_once <= 4
        again = make()
        second = again.fetch(coords, size=10 * u.arcsec)
        assert again.archive.n_requests == 0
        for one, other in zip(first, second, strict=True):
            if isinstance(one, ImageError):
                assert (one.flag, str(one)) == (other.flag, str(other))
            else:
                np.testing.assert_array_equal(one.data, other.data)

    def test_offline(self, make):
        assert fetch(make(offline=True)).flag == MorphologyFlag.NOT_CACHED
        fetch(make())
        assert fetch(make(offline=True)).bands == ('r',)

    @pytest.mark.parametrize('identifier', [RED, COLOUR])
    def test_damaged_file_of_the_cache_is_got_anew(self, make, identifier):
        first = fetch(make(identifier))
        (entry,) = make(identifier).archive.cache.entries('hips')
        entry.path.write_bytes(b'?' * entry.size)
        again = make(identifier)
        np.testing.assert_array_equal(fetch(again).data, first.data)
        assert again.archive.n_requests == 1

    def test_agent_is_named(self, make, loopback):
        fetch(make())
        assert loopback.requests[0].headers['User-Agent'].startswith('galmorph/')


class TestArguments:
    def test_created_by_name(self):
        source = create_source(f'hips:{COLOUR}')
        assert source.identifier == COLOUR
        assert repr(source) == f'<HiPS: {COLOUR}>'

    @pytest.mark.parametrize(
        ('identifier', 'bands'),
        [
            ('CDS/P/SDSS9/g', ('g',)),
            ('CDS/P/HST/GOODS/F814W', ('F814W',)),
            ('CDS/P/DSS2/NIR', ('unknown',)),
            ('CDS/P/SDSS9/color', ('R', 'G', 'B')),
        ],
    )
    def test_bands_follow_from_the_identifier(self, identifier, bands):
        assert HiPS(identifier).bands == bands

    @pytest.mark.parametrize(
        ('identifier', 'options', 'message'),
        [
            ('', {}, 'identifier'),
            (RED, {'format': 'png'}, 'format'),
            (RED, {'pixel_scale': 0 * u.arcsec}, 'pixel_scale'),
        ],
    )
    def test_refused(self, identifier, options, message):
        with pytest.raises(ValueError, match=message):
            HiPS(identifier, **options)

    def test_says_what_to_acknowledge(self):
        source = HiPS(RED)
        assert RED in source.attribution
        assert 'hips2fits' in source.attribution
        assert '10.1051/0004-6361/201526075' in source.bibtex
        assert '2020ASPC..527..121B' in source.bibtex


@pytest.mark.remote_data
class TestRemote:
    @pytest.mark.parametrize(
        ('identifier', 'n_band'), [('CDS/P/SDSS9/color', 3), ('CDS/P/DSS2/red', 1)]
    )
    def test_galaxy(self, tmp_path, identifier, n_band):
        source = HiPS(identifier, cache=tmp_path / 'cache')
        image = fetch(source, SkyCoord(184.7397, 47.3037, unit='deg'))
        assert image.n_band == n_band
        assert image.is_picture is (n_band == 3)

    def test_unknown_hips(self, tmp_path):
        image = fetch(HiPS('CDS/P/no-such-survey', cache=tmp_path / 'cache'))
        assert image.flag == MorphologyFlag.NO_COVERAGE
