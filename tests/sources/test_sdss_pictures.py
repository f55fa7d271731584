# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy import units as u

from galmorph.classifier import MorphologyClassifier
from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import SDSS, SDSSPictures
from tests.helpers.loopback import Reply
from tests.helpers.sdss import SDSSArchive

RA, DEC = 184.85, 5.79
FLUXES = {'u': 30.0, 'g': 100.0, 'r': 200.0, 'i': 250.0, 'z': 300.0}


def is_picture(request):
    return request.path.endswith('/getjpeg')


def queries(server):
    return [request.query for request in server.requests if is_picture(request)]


@pytest.fixture(scope='module')
def drawn():
    archive = SDSSArchive((420, 440))
    field = archive.add_field(RA, DEC, rotation=31)
    archive.add_galaxy(
        field, 220.4, 211.7, flux=FLUXES, r_eff=3.5, axis_ratio=0.5, angle=10
    )
    for band in 'gri':
        archive.frame(field, band)
    return archive


@pytest.fixture
def archive(drawn):
    return drawn.copy()


@pytest.fixture
def server(archive, loopback):
    with archive.serve(loopback):
        yield loopback


@pytest.fixture
def make_source(tmp_path):
    def make(kind=SDSSPictures, **options):
        options = {'n_retries': 2, 'backoff': 0.01, 'timeout': 20, **options}
        return kind(cache=tmp_path / 'cache', **options)

    return make


def fetch(source, coords, **options):
    (image,) = source.fetch(coords, **options)
    if isinstance(image, ImageError):
        raise image
    return image


class TestPicture:
    def test_is_what_galaxy_zoo_saw(self, archive, server, make_source):
        image = fetch(make_source(), archive.coords())
        radius = archive.rows[0]['petroR90_r']
        (query,) = queries(server)
        assert float(query['scale']) == pytest.approx(0.02 * radius, abs=1e-6)
        assert (query['width'], query['height']) == ('424', '424')
        assert image.is_picture
        assert image.bands == ('R', 'G', 'B')
        assert image.data.shape == (3, 424, 424)
        assert image.data.dtype == np.uint8
        assert image.size == radius * u.arcsec
        assert image.pixel_scale.value == pytest.approx(0.02 * radius, rel=1e-4)
        assert image.meta['catalogue']['objid'] == str(archive.rows[0]['objid'])

    def test_user_agent(self, archive, server, make_source):
        fetch(make_source(), archive.coords())
        (request,) = filter(is_picture, server.requests)
        assert request.headers['User-Agent'].startswith('galmorph/')

    def test_wcs(self, archive, server, make_source):
        coord = archive.coords()[0]
        image = fetch(make_source(), archive.coords())
        x, y = image.position
        scale = image.pixel_scale.value * u.arcsec
        assert image.wcs.pixel_to_world(x, y).separation(coord) < 1e-3 * u.arcsec
        for pixel, angle in (((x, y - 50), 0), ((x - 50, y), 90)):
            sky = image.wcs.pixel_to_world(*pixel)
            there = coord.directional_offset_by(angle * u.deg, 50 * scale)
            assert sky.separation(there) < 1e-2 * u.arcsec

    def test_other_galaxies_are_where_the_wcs_says(self, archive, server, make_source):
        field = archive.fields[0]
        archive.add_galaxy(field, 250, 225, flux=FLUXES, r_eff=0.8)
        image = fetch(make_source(), archive.coords()[:1])
        x, y = image.wcs.world_to_pixel(archive.coords()[1])
        x, y = round(float(x)), round(float(y))
        there = image.data[:, y - 4 : y + 5, x - 4 : x + 5].astype(float)
        mirrored = image.data[:, 423 - y - 4 : 423 - y + 5, x - 4 : x + 5]
        assert there.mean() > mirrored.mean() + 50

    @pytest.mark.parametrize(
        ('options', 'scale', 'n_pixel'),
        [
            ({'radius': 5 * u.arcsec}, 0.1, 424),
            ({'radius': 5 * u.arcsec, 'size': 20 * u.arcsec}, 0.1, 200),
            ({'radius': 5 * u.arcsec, 'size': 1 * u.arcsec}, 0.1, 64),
            ({'radius': 5 * u.arcsec, 'size': 409.6 * u.arcsec}, 0.2, 2048),
            ({'radius': 0.1 * u.arcsec}, 0.015, 424),
        ],
    )
    def test_geometry(  # noqa: PLR0917
        self, archive, server, make_source, options, scale, n_pixel
    ):
        server.route('/dr17/SkyServerWS', lambda _: Reply(status=404))
        make_source(n_retries=0).fetch(archive.coords(), **options)
        (query,) = queries(server)
        assert float(query['scale']) == pytest.approx(scale, abs=1e-6)
        assert query['width'] == query['height'] == str(n_pixel)

    def test_unmeasured(self, archive, server, make_source):
        archive.rows[0]['petroR90_r'] = -9999.0
        image = fetch(make_source(), archive.coords(), size=42.4 * u.arcsec)
        assert image.size is None
        assert image.pixel_scale.value == pytest.approx(0.1, rel=1e-4)

    def test_channels(self, archive, server, make_source):
        whole = fetch(make_source(), archive.coords())
        image = fetch(make_source(), archive.coords(), bands='BR')
        assert image.bands == ('B', 'R')
        np.testing.assert_array_equal(image.data, whole.data[[2, 0]])

    def test_second_run_asks_nothing(self, archive, server, make_source):
        first = fetch(make_source(), archive.coords())
        n_request = len(server.requests)
        for options in ({}, {'offline': True}):
            image = fetch(make_source(**options), archive.coords())
            np.testing.assert_array_equal(image.data, first.data)
        assert len(server.requests) == n_request


class TestFailure:
    passing = {  # noqa: RUF012
        '404': Reply(status=404),
        '500': Reply(status=500),
        '503': Reply(status=503),
        'reset': Reply(fault='reset'),
        'stalled': Reply(fault='stall'),
        'cut connection': Reply(b'\xff\xd8' * 5000, fault='truncate'),
        'page': Reply(b'<html>Maintenance</html>', type='text/html'),
        'nothing': Reply(b''),
    }

    @pytest.mark.parametrize('kind', passing)
    def test_lasting_and_passing(self, archive, server, make_source, kind):
        server.fail(self.passing[kind], times=2, where=is_picture)
        source = make_source(timeout=0.5, n_retries=1)
        (error,) = source.fetch(archive.coords())
        assert error.flag == MorphologyFlag.ARCHIVE_ERROR
        assert fetch(make_source(), archive.coords()).is_picture
        assert len(queries(server)) == 3

    def test_page_is_told(self, archive, server, make_source):
        server.fail(self.passing['page'], times=99, where=is_picture)
        (error,) = make_source().fetch(archive.coords())
        assert 'came in place of the picture: <html>Maintenance' in str(error)

    def test_cut_short(self, archive, server, make_source):
        row = archive.rows[0]
        whole = archive.picture(row['ra'], row['dec'], 0.1, 424, 424)
        server.fail(Reply(whole[: len(whole) // 2]), times=3, where=is_picture)
        (error,) = make_source().fetch(archive.coords())
        assert error.flag == MorphologyFlag.UNREADABLE_IMAGE
        assert fetch(make_source(), archive.coords()).is_picture

    def test_what_no_decoder_reads(self, archive, server, make_source):
        content = b'\xff\xd8 no picture \xff\xd9'
        server.fail(Reply(content), times=1, where=is_picture)
        (error,) = make_source().fetch(archive.coords())
        assert error.flag == MorphologyFlag.UNREADABLE_IMAGE
        assert fetch(make_source(), archive.coords()).is_picture

    def test_no_match(self, archive, server, make_source):
        coords = archive.coords()[:1].directional_offset_by(0 * u.deg, 1 * u.arcmin)
        (error,) = make_source().fetch(coords)
        assert error.flag == MorphologyFlag.NO_MATCH
        assert not queries(server)


@pytest.mark.parametrize(
    'profile',
    [
        {'r_eff': 3.5, 'n': 1.0, 'axis_ratio': 0.5, 'angle': 10},
        {'r_eff': 3.0, 'n': 2.0, 'axis_ratio': 0.9},
    ],
)
def test_frames_and_picture_get_the_same_answer(loopback, make_source, profile):
    """
    The picture is made of the frames, with the stretch that the weights know.

    Without noise: how it is interpolated changes answers by up to 0.07.
    """
    archive = SDSSArchive((360, 380))
    field = archive.add_field(RA, DEC, rotation=31)
    archive.add_galaxy(field, 190.4, 171.7, flux=FLUXES, **profile)
    with archive.serve(loopback):
        picture = fetch(make_source(), archive.coords())
        frames = fetch(make_source(SDSS), archive.coords())
    classifier = MorphologyClassifier('dieleman.gz2', 'cpu')
    answers = classifier.predict([picture, frames])
    columns = [np.ma.asarray(answers[name]) for name in classifier.schema.columns]
    first, second = np.ma.stack(columns, axis=1)
    assert (first - second).count() > 15
    assert np.ma.abs(first - second).max() < 0.02
    assert not answers['morphology_flags'].any()
