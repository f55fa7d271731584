# Licensed under a 3-clause BSD style license - see LICENSE.rst
import bz2
import collections
import re
import threading

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.modeling.models import Sersic2D
from astropy.wcs.utils import pixel_to_pixel

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, read_image
from galmorph.preprocessing.prepare import measure_image
from galmorph.preprocessing.survey import is_from_survey
from galmorph.sources import SDSS, AutoSource, sdss
from tests.helpers.loopback import Loopback, Reply
from tests.helpers.sdss import SCALE, SDSSArchive

RA, DEC = 184.85, 5.79
FLUXES = {'u': 30.0, 'g': 100.0, 'r': 200.0, 'i': 250.0, 'z': 300.0}


def is_frame(request):
    return '/frames/' in request.path


def band_of(request):
    found = re.search(r'frame-(\w)-', request.path)
    return found and found[1]


def frames_asked(server):
    return collections.Counter(r.path for r in server.requests if is_frame(r))


def centroid(plane, position, radius):
    y, x = np.indices(plane.shape)
    near = np.hypot(x - position[0], y - position[1]) < radius
    light = np.where(near, plane, 0)
    return (light * x).sum() / light.sum(), (light * y).sum() / light.sum()


def make_archive(n_field=1, n_galaxy=1, n_bright=1):
    """Fields side by side, a galaxy in the first ones that shines, and dark ones."""
    archive = SDSSArchive((300, 400))
    for number in range(n_field):
        field = archive.add_field(RA + 0.2 * number, DEC, field=100 + number)
        if number < n_bright:
            archive.add_galaxy(field, 200.3, 150.8, flux=FLUXES, r_eff=1.2)
        for index in range(number < n_bright, n_galaxy):
            x, y = 30 + 65 * (index // 10), 30 + 24 * (index % 10)
            sky = field.wcs['r'].pixel_to_world_values(x, y)
            archive.add_row(field, *map(float, sky), petroR90_r=1.5)
    return archive


@pytest.fixture(scope='module')
def drawn():
    """An archive whose frames are ready: the time limits of the tests are short."""
    archive = make_archive()
    for band in 'gri':
        archive.frame(archive.fields[0], band)
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
    def make(**options):
        options = {'n_retries': 2, 'backoff': 0.01, 'timeout': 20, **options}
        return SDSS(cache=tmp_path / 'cache', **options)

    return make


def fetch(source, coords, **options):
    (image,) = source.fetch(coords, **options)
    if isinstance(image, ImageError):
        raise image
    return image


def flag_of(source, coords, **options):
    (error,) = source.fetch(coords, **options)
    assert isinstance(error, ImageError), error
    return error.flag


class TestFullAnswer:
    def test_image(self, archive, server, make_source):
        image = fetch(make_source(), archive.coords())
        row = archive.rows[0]
        assert isinstance(image, GalaxyImage)
        assert image.bands == ('g', 'r', 'i')
        assert image.unit == u.nmgy
        assert not image.is_picture
        assert image.size == row['petroR90_r'] * u.arcsec
        assert image.pixel_scale.value == pytest.approx(SCALE, rel=1e-4)
        assert [header['FILTER'] for header in image.meta['headers']] == ['g', 'r', 'i']
        assert image.meta['source'] == 'frame-r-001739-6-0100.fits.bz2'
        assert image.meta['catalogue']['objid'] == str(row['objid'])
        assert is_from_survey(image, 'SDSS')

    def test_frames_are_asked_for_once_each(self, archive, server, make_source):
        fetch(make_source(), archive.coords())
        assert sorted(map(band_of, filter(is_frame, server.requests))) == list('gir')
        assert set(frames_asked(server).values()) == {1}

    def test_target_is_where_its_coordinates_are(self, archive, server, make_source):
        image = fetch(make_source(), archive.coords())
        sky = image.wcs.pixel_to_world(*image.position)
        assert sky.separation(archive.coords()[0]) < 1e-4 * u.arcsec
        ny, nx = image.shape2d
        assert image.position == pytest.approx(((nx - 1) / 2, (ny - 1) / 2), abs=1)

    def test_pixels_of_r_are_untouched(self, archive, server, make_source):
        image = fetch(make_source(), archive.coords())
        frame = archive.pixels(archive.fields[0], 'r')
        x, y = (
            round(v - w) for v, w in zip((200.3, 150.8), image.position, strict=True)
        )
        ny, nx = image.shape2d
        np.testing.assert_array_equal(image.data[1], frame[y : y + ny, x : x + nx])

    def test_nothing_holds_on_to_the_frame(self, archive, server, make_source):
        image = fetch(make_source(), archive.coords(), bands='r')
        assert image.data.base is None or image.data.base.size < 1.1 * image.data.size

    def test_bytes_are_those_of_the_archive(self, archive, server, make_source):
        source = make_source()
        fetch(source, archive.coords(), bands='r')
        kept = [e.path for e in source.archive.cache.entries('sdss')]
        (path,) = (path for path in kept if path.suffix == '.bz2')
        assert path.read_bytes() == archive.frame(archive.fields[0], 'r')
        assert read_image(path).bands == ('r',)

    def test_agents(self, archive, server, make_source):
        fetch(make_source(), archive.coords(), bands='r')
        agents = [r.headers['User-Agent'] for r in server.requests if is_frame(r)]
        assert agents[0].startswith('galmorph/')

    def test_second_run_asks_nothing(self, archive, server, make_source):
        first = fetch(make_source(), archive.coords())
        n_request = len(server.requests)
        second = fetch(make_source(), archive.coords())
        offline = fetch(make_source(offline=True), archive.coords())
        assert len(server.requests) == n_request
        np.testing.assert_array_equal(first.data, second.data)
        np.testing.assert_array_equal(first.data, offline.data)

    def test_offline_says_what_is_missing(self, archive, server, make_source):
        fetch(make_source(), archive.coords(), bands='r')
        (error,) = make_source(offline=True).fetch(archive.coords(), bands='gr')
        assert error.flag == MorphologyFlag.NOT_CACHED
        assert 'frame-g-001739-6-0100' in str(error)

    def test_auto_source(self, archive, server, tmp_path):
        source = AutoSource(['sdss'], cache=tmp_path / 'cache')
        (image,) = source.fetch(archive.coords())
        assert image.bands == ('g', 'r', 'i')


class TestSize:
    @pytest.mark.parametrize(
        ('options', 'arcsec'),
        [
            ({'size': 30 * u.arcsec}, 30),
            ({'size': 0.5 * u.arcmin, 'radius': 9 * u.arcsec}, 30),
            ({'radius': 4 * u.arcsec}, 8.48 * 2**0.5 * 4),
            ({'radius': 0.5 * u.arcsec}, 20),
        ],
    )
    def test_side(self, archive, server, make_source, options, arcsec):
        image = fetch(make_source(), archive.coords(), bands='r', **options)
        wanted = arcsec / SCALE
        assert wanted - 1 <= min(image.shape2d) <= max(image.shape2d) <= wanted + 1.5

    def test_as_far_as_weights_see(self, archive, server, make_source):
        source, radius = make_source(), 4 * u.arcsec
        targets = source.targets(
            archive.coords()[:1], radius=radius, reach=8, bands='r'
        )
        ((_, image),) = source.stream(targets)
        assert image().shape2d[0] == pytest.approx(2 * 8 * 4 / SCALE, abs=1.5)

    def test_is_that_of_the_catalogue(self, archive, server, make_source):
        archive.rows[0]['petroR90_r'] = 5.0
        image = fetch(make_source(), archive.coords(), bands='r')
        assert image.size == 5 * u.arcsec
        assert image.shape2d[0] == pytest.approx(8.48 * 2**0.5 * 5 / SCALE, abs=1.5)

    def test_unmeasured(self, archive, server, make_source):
        archive.rows[0]['petroR90_r'] = -9999.0
        image = fetch(make_source(), archive.coords(), bands='r')
        assert image.size is None
        assert image.shape2d[0] == pytest.approx(60 / SCALE, abs=1.5)

    def test_huge_one_is_the_frame(self, archive, server, make_source):
        image = fetch(make_source(), archive.coords(), size=1 * u.deg)
        assert image.shape2d[0] > 285
        assert image.shape2d[1] > 385
        assert np.isfinite(image.data).all()


class TestEdge:
    @pytest.mark.parametrize(
        ('x', 'y'), [(8, 150), (391, 150), (200, 8), (200, 291), (5, 294), (394, 5)]
    )
    def test_takes_what_there_is(self, archive, server, make_source, x, y):
        archive.add_galaxy(archive.fields[0], x, y, flux=FLUXES, r_eff=1)
        coords = archive.coords()[1:]
        image = fetch(make_source(), coords, size=20 * u.arcsec)
        assert np.isfinite(image.data).all()
        assert min(image.shape2d) < 40
        sky = image.wcs.pixel_to_world(*image.position)
        assert sky.separation(coords[0]) < 1e-4 * u.arcsec
        for plane in image.data:
            assert np.unravel_index(plane.argmax(), plane.shape) == pytest.approx(
                image.position[::-1], abs=1
            )

    def test_beyond_it(self, archive, server, make_source):
        field = archive.fields[0]
        sky = map(float, field.wcs['r'].pixel_to_world_values(450, 150))
        archive.add_row(field, *sky)
        coords = archive.coords()[1:]
        assert flag_of(make_source(), coords) == MorphologyFlag.OUTSIDE_IMAGE

    def test_far_beyond_it(self, archive, server, make_source):
        archive.add_row(archive.fields[0], RA + 90, DEC)
        coords = archive.coords()[1:]
        assert flag_of(make_source(), coords) == MorphologyFlag.OUTSIDE_IMAGE


class TestBandsOnOneGrid:
    def test_way_between_frames_is_affine(self):
        field = SDSSArchive().add_field(RA, 60.0)
        frames = {
            band: sdss._Frame(np.zeros((1489, 2048)), None, wcs)
            for band, wcs in field.wcs.items()
        }
        x, y = np.random.default_rng(1).uniform(500, 1000, (2, 100))
        for band in 'ugiz':
            matrix, shift = sdss._pixel_map(frames['r'], frames[band], 750, 750)
            there = matrix @ [x, y] + shift[:, None]
            exact = pixel_to_pixel(field.wcs['r'], field.wcs[band], x, y)
            np.testing.assert_allclose(there, exact, atol=1e-5)
            assert np.abs(there - [x, y]).max() > 1

    def test_centre_and_flux(self, archive, server, make_source):
        image = fetch(
            make_source(), archive.coords(), bands='ugriz', size=40 * u.arcsec
        )
        for band, plane in zip(image.bands, image.data, strict=True):
            found = centroid(plane, image.position, 25)
            assert found == pytest.approx(image.position, abs=0.05)
            frame = archive.pixels(archive.fields[0], band)
            assert plane.sum() == pytest.approx(frame.sum(), rel=1e-3)

    def test_resolution_stays(self, archive, server, make_source):
        """g and i in the image are as the telescope would have seen them there."""
        image = fetch(make_source(), archive.coords(), size=30 * u.arcsec)
        g, r, i = (
            plane / FLUXES[b] for plane, b in zip(image.data, 'gri', strict=True)
        )
        np.testing.assert_allclose(g, r, atol=0.005 * r.max())
        np.testing.assert_allclose(i, r, atol=0.005 * r.max())

    def test_without_r_the_first_band_gives_the_grid(
        self, archive, server, make_source
    ):
        image = fetch(make_source(), archive.coords(), bands='ig')
        assert image.bands == ('i', 'g')
        assert image.meta['source'].startswith('frame-i-')
        frame = archive.pixels(archive.fields[0], 'i')
        assert image.data[0].max() == frame.max()

    def test_order_of_bands_is_that_asked_for(self, archive, server, make_source):
        image = fetch(make_source(), archive.coords(), bands='irg')
        peaks = image.data.max((1, 2))
        assert image.bands == ('i', 'r', 'g')
        assert [h['FILTER'] for h in image.meta['headers']] == ['i', 'r', 'g']
        assert peaks[0] > peaks[1] > peaks[2]


class TestKnownGalaxy:
    """A Sersic galaxy in noise, through the whole path."""

    @pytest.mark.parametrize(('n', 'axis_ratio'), [(1.0, 0.6), (2.0, 0.9)])
    def test_centre_size_and_flux(self, loopback, make_source, n, axis_ratio):
        archive = SDSSArchive((300, 320), noise=0.02, seeing=0.4)
        field = archive.add_field(RA, DEC, rotation=31)
        archive.add_galaxy(
            field, 160.4, 151.7, flux=FLUXES, r_eff=3, n=n, axis_ratio=axis_ratio
        )
        with archive.serve(loopback):
            image = fetch(make_source(), archive.coords(), size=80 * u.arcsec)
        found = measure_image(image)
        assert (found.x, found.y) == pytest.approx(image.position, abs=0.1)
        petro_r90 = found.petro_r90 * image.pixel_scale.value
        assert petro_r90 == pytest.approx(archive.rows[0]['petroR90_r'], rel=0.04)
        for band, plane in zip(image.bands, image.data, strict=True):
            assert centroid(plane, image.position, 12) == pytest.approx(
                image.position, abs=0.1
            )
            # Plus three times what the noise makes of so many pixels.
            noise = 3 * 0.02 * plane.size**0.5
            assert plane.sum() == pytest.approx(
                FLUXES[band] * 0.997, rel=0.01, abs=noise
            )

    def test_light_is_that_of_astropy(self, loopback, make_source):
        archive = SDSSArchive((200, 210), seeing=0.0)
        field = archive.add_field(RA, DEC, rotation=31)
        archive.add_galaxy(
            field, 104.4, 99.7, flux=200.0, r_eff=3, axis_ratio=0.6, angle=20
        )
        with archive.serve(loopback):
            image = fetch(make_source(), archive.coords(), bands='rg')
        # The flux of a Sersic profile is 2 pi n q r^2 I e^b b^-2n Gamma(2n).
        r_eff, b = 3 / SCALE, 1.67834699
        intensity = 200 * b**2 / (2 * np.pi * 0.6 * r_eff**2 * np.exp(b))
        model = Sersic2D(intensity, r_eff, 1, *image.position, 0.4, np.radians(20))
        y, x = np.indices(image.shape2d)
        radius = np.hypot(x - image.position[0], y - image.position[1])
        # Nearer to the centre a pixel is not what its centre is.
        ring = (radius > 8) & (radius < 20)
        for plane in image.data:
            np.testing.assert_allclose(plane[ring], model(x, y)[ring], rtol=0.02)


class TestFailure:
    def fail(self, server, reply, *, times=99, bands='gri'):
        server.fail(
            reply, times=times, where=lambda r: is_frame(r) and band_of(r) in bands
        )

    def test_partial_bands(self, archive, server, make_source):
        self.fail(server, Reply(status=404), bands='g')
        (error,) = make_source().fetch(archive.coords())
        assert error.flag == MorphologyFlag.BANDS_MISSING
        assert "frames of ['i', 'r'], not of ['g']" in str(error)
        n_request = len(server.requests)
        server.heal()
        for source in (make_source(), make_source(offline=True)):
            assert flag_of(source, archive.coords()) == MorphologyFlag.BANDS_MISSING
        assert len(server.requests) == n_request
        assert fetch(make_source(), archive.coords(), bands='ri').n_band == 2

    def test_no_frame(self, archive, server, make_source):
        self.fail(server, Reply(status=404))
        assert flag_of(make_source(), archive.coords()) == MorphologyFlag.NO_COVERAGE
        server.heal()
        n_request = len(server.requests)
        assert flag_of(make_source(), archive.coords()) == MorphologyFlag.NO_COVERAGE
        assert len(server.requests) == n_request

    passing = {  # noqa: RUF012
        '500': Reply(b'<html>Oops</html>', status=500, type='text/html'),
        '503': Reply(status=503),
        'reset': Reply(fault='reset'),
        'stalled': Reply(fault='stall'),
        'cut connection': Reply(b'BZh9' * 5000, fault='truncate'),
        'page': Reply(b'<!DOCTYPE html><html>Maintenance</html>', type='text/html'),
    }

    @pytest.mark.parametrize('kind', passing)
    def test_passing(self, archive, server, make_source, kind):
        self.fail(server, self.passing[kind], times=1)
        image = fetch(make_source(timeout=0.5), archive.coords())
        assert set(frames_asked(server).values()) == {2}
        assert image.n_band == 3

    @pytest.mark.parametrize('kind', passing)
    def test_lasting(self, archive, server, make_source, kind):
        self.fail(server, self.passing[kind])
        source = make_source(timeout=0.5, n_retries=1)
        assert flag_of(source, archive.coords()) == MorphologyFlag.ARCHIVE_ERROR
        # The other bands are not asked for in vain.
        assert len(frames_asked(server)) == 1
        server.heal()
        assert fetch(make_source(), archive.coords()).n_band == 3

    def test_page_is_told(self, archive, server, make_source):
        self.fail(server, self.passing['page'])
        (error,) = make_source().fetch(archive.coords())
        assert 'a page came in place of the frame: <!DOCTYPE html>' in str(error)

    def damaged(self, archive):
        whole = archive.frame(archive.fields[0], 'r')
        turned = bytearray(whole)
        turned[len(whole) // 2] ^= 255
        table = fits.HDUList([fits.PrimaryHDU()])
        path = archive_file(table)
        return {
            'truncated': whole[: len(whole) // 2],
            'turned bit': bytes(turned),
            'empty': b'',
            'no image': bz2.compress(path),
            'no fits': bz2.compress(b'some text' * 1000),
        }

    @pytest.mark.parametrize(
        'kind', ['truncated', 'turned bit', 'empty', 'no image', 'no fits']
    )
    def test_damaged(self, archive, server, make_source, kind):
        content = self.damaged(archive)[kind]
        self.fail(server, Reply(content), times=1, bands='g')
        assert fetch(make_source(), archive.coords()).n_band == 3
        self.fail(server, Reply(content), bands='z')
        flag = flag_of(make_source(), archive.coords(), bands='z')
        assert flag == MorphologyFlag.UNREADABLE_IMAGE
        server.heal()
        assert fetch(make_source(), archive.coords(), bands='z').n_band == 1

    def test_damaged_on_the_disk(self, archive, server, make_source):
        source = make_source()
        whole = fetch(source, archive.coords(), bands='r')
        (path,) = (
            entry.path
            for entry in source.archive.cache.entries('sdss')
            if entry.path.suffix == '.bz2'
        )
        path.write_bytes(bytes(path.stat().st_size))
        again = fetch(make_source(), archive.coords(), bands='r')
        np.testing.assert_array_equal(whole.data, again.data)
        assert set(frames_asked(server).values()) == {2}

    def test_other_threads_have_other_columns(self, archive, server, make_source):
        """No failure of one target touches another."""
        field = archive.add_field(RA + 0.5, DEC, field=300)
        archive.add_galaxy(field, 200, 150, flux=FLUXES)
        server.fail(Reply(status=404), times=99, where=lambda r: '-0300' in r.path)
        good, bad = make_source().fetch(archive.coords())
        assert good.n_band == 3
        assert bad.flag == MorphologyFlag.NO_COVERAGE


def archive_file(hdulist):
    import io

    file = io.BytesIO()
    hdulist.writeto(file)
    return file.getvalue()


class TestMany:
    def test_frames_are_shared(self, loopback, make_source):
        archive = make_archive(n_field=4, n_galaxy=50, n_bright=2)
        with archive.serve(loopback):
            source = make_source(n_connections=16)
            images = source.fetch(archive.coords(), size=10 * u.arcsec)
        assert all(isinstance(image, GalaxyImage) for image in images)
        assert frames_asked(loopback) == dict.fromkeys(frames_asked(loopback), 1)
        assert len(frames_asked(loopback)) == 12
        assert sum(r.method == 'POST' for r in loopback.requests) == 1
        assert loopback.most_at_once <= 16
        for image, coord in zip(images, archive.coords(), strict=True):
            sky = image.wcs.pixel_to_world(*image.position)
            assert sky.separation(coord) < 1e-3 * u.arcsec
        # From the frame of the field, and from its own place in it.
        peaks = np.array([image.data[1].max() for image in images])
        assert np.flatnonzero(peaks > 1).tolist() == [0, 50]

    def test_decoded_once(self, loopback, make_source, monkeypatch):
        archive = make_archive(n_field=2, n_galaxy=20, n_bright=0)
        decoded, decode = [], sdss._decode
        monkeypatch.setattr(
            sdss, '_decode', lambda content: decoded.append(1) or decode(content)
        )
        with archive.serve(loopback):
            for options in ({}, {'offline': True}):
                decoded.clear()
                source = make_source(**options)
                source.fetch(archive.coords(), size=10 * u.arcsec)
                assert len(decoded) == 6

    def test_server_killed_halfway(self, loopback, make_source):
        archive = make_archive(n_field=6, n_galaxy=3, n_bright=0)
        n_frame = 0

        def answer(request):
            nonlocal n_frame
            n_frame += 1
            if n_frame == 9:
                threading.Thread(target=loopback.close).start()
            return archive._get_frame(request)

        with archive.serve(loopback):
            loopback.route('/sas', answer)
            source = make_source(n_connections=1, n_retries=1)
            first = source.fetch(archive.coords(), size=10 * u.arcsec)
        good = [isinstance(image, GalaxyImage) for image in first]
        assert 0 < sum(good) < 18
        assert {image.flag for image in first if isinstance(image, ImageError)} == {
            MorphologyFlag.ARCHIVE_ERROR
        }
        before = frames_asked(loopback)
        server = Loopback()
        try:
            with archive.serve(server):
                second = make_source().fetch(archive.coords(), size=10 * u.arcsec)
        finally:
            server.close()
        assert all(isinstance(image, GalaxyImage) for image in second)
        after = frames_asked(server)
        assert len(after) + len(before) <= 19
        assert not any(r.method == 'POST' for r in server.requests)
