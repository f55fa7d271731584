# Licensed under a 3-clause BSD style license - see LICENSE.rst
import dataclasses
import io

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from PIL import Image

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.inference.catalog import read_target
from galmorph.inference.fetching import iterate_source
from galmorph.preprocessing.recipe import Recipe
from galmorph.sources import SDSS, AutoSource, SDSSPictures
from galmorph.sources._sdss_catalogue import FIELDS, choose_match
from tests.helpers.loopback import Reply
from tests.helpers.sdss import SDSSArchive

RA, DEC = 184.85, 5.79


def is_search(request):
    return request.method == 'POST'


def n_searches(server):
    return sum(is_search(request) for request in server.requests)


def shifted(coord, arcsec):
    return coord.directional_offset_by(30 * u.deg, arcsec * u.arcsec)


@pytest.fixture
def archive():
    """A field with three galaxies far from one another, drawn when asked for."""
    archive = SDSSArchive((300, 400))
    field = archive.add_field(RA, DEC)
    for x, y in ((120, 100), (200, 200), (300, 120)):
        archive.add_galaxy(field, x, y)
    return archive


@pytest.fixture
def server(archive, loopback):
    with archive.serve(loopback):
        yield loopback


@pytest.fixture
def make_source(tmp_path):
    def make(kind=SDSS, **options):
        options = {'n_retries': 2, 'backoff': 0.01, 'timeout': 10, **options}
        return kind(cache=tmp_path / 'cache', **options)

    return make


def plan(source, coords, **options):
    return source.plan(source.targets(coords, **options))


def error_of(source, coords, **options):
    (error,) = plan(source, coords, **options)
    assert isinstance(error, ImageError), error
    return error


class TestMatch:
    rows = [  # noqa: RUF012
        {'objid': '1', 'mode': 1, 'type': 3},
        {'objid': '2', 'mode': 1, 'type': 3},
        {'objid': '3', 'mode': 1, 'type': 6},
        {'objid': '4', 'mode': 2, 'type': 3},
    ]

    @pytest.mark.parametrize(
        ('distances', 'objid'),
        [
            ((0.1, 9, 9, 9), '1'),
            ((9, 4.9, 0.1, 0.2), '2'),
            ((0.1, 0.71, 9, 9), '1'),
            ((4.0, 1.7, 9, 9), '2'),
            # Neither a star nor another detection makes it ambiguous.
            ((2.0, 9, 2.1, 2.1), '1'),
        ],
    )
    def test_nearest_galaxy(self, distances, objid):
        found = choose_match(self.rows, distances, 5)
        assert found['objid'] == objid
        assert found['distance'] == min(distances[:2])

    @pytest.mark.parametrize(
        'distances', [(0.1, 0.69, 9, 9), (2, 4.4, 9, 9), (3, 3, 0.1, 9)]
    )
    def test_ambiguous(self, distances):
        with pytest.raises(ImageError, match=r'galaxies 1 at .* and 2 at') as info:
            choose_match(self.rows, distances, 5)
        assert info.value.flag == MorphologyFlag.AMBIGUOUS_MATCH

    def test_same_object_twice_is_one(self):
        assert choose_match([self.rows[0]] * 2, [1.0, 1.0], 5)['objid'] == '1'

    @pytest.mark.parametrize(
        ('distances', 'text'),
        [
            ((6, 6, 6, 6), 'within 5 arcsec$'),
            ((6, 6, 1, 6), 'only stars'),
            ((6, 6, 6, 1), 'within 5 arcsec$'),
        ],
    )
    def test_none(self, distances, text):
        with pytest.raises(ImageError, match=text) as info:
            choose_match(self.rows, distances, 5)
        assert info.value.flag == MorphologyFlag.NO_MATCH


class TestPlan:
    @pytest.mark.parametrize('kind', [SDSS, SDSSPictures])
    def test_one_request_for_all(self, archive, server, make_source, kind):
        coords = shifted(archive.coords(), 0.3)
        planned = plan(make_source(kind), coords)
        for target, row in zip(planned, archive.rows, strict=True):
            found = target.meta['catalogue']
            assert found['objid'] == str(row['objid'])
            assert set(found) == {*FIELDS, 'distance'}
            assert found['distance'] == pytest.approx(0.3, abs=1e-3)
            assert target.radius == found['petroR90_r'] * u.arcsec
            assert found['petroR90_r'] == pytest.approx(row['petroR90_r'])
        assert n_searches(server) == 1

    def test_size_of_the_user_stays(self, archive, server, make_source):
        planned = plan(make_source(), archive.coords()[:1], radius=3 * u.arcsec)
        assert planned[0].radius == 3 * u.arcsec

    def test_second_run_asks_nothing(self, archive, server, make_source):
        coords = archive.coords()
        nowhere = SkyCoord([10.0], [20.0], unit='deg')
        both = SkyCoord([*coords.ra, *nowhere.ra], [*coords.dec, *nowhere.dec])
        first = plan(make_source(), both)
        n_request = len(server.requests)
        second = plan(make_source(), both)
        offline = plan(make_source(offline=True), both)
        assert len(server.requests) == n_request
        assert first[:3] == second[:3] == offline[:3]
        for planned in (first, second, offline):
            assert planned[3].flag == MorphologyFlag.NO_MATCH
            assert 'SDSS DR17 at (10.000000, 20.000000)' in str(planned[3])

    def test_asks_only_for_what_is_unknown(self, archive, server, make_source):
        plan(make_source(), archive.coords()[:2])
        plan(make_source(), archive.coords())
        uploads = [r.body.decode() for r in server.requests if is_search(r)]
        places = [f'{coord.ra.deg} {coord.dec.deg}' for coord in archive.coords()]
        assert [[p in upload for p in places] for upload in uploads] == [
            [True, True, False],
            [False, False, True],
        ]

    def test_radius_and_release_matter(self, archive, server, make_source):
        coord = shifted(archive.coords()[:1], 4)
        assert plan(make_source(), coord)[0].ra == coord.ra.deg[0]
        near = error_of(make_source(match_radius=0.05 * u.arcmin), coord)
        assert near.flag == MorphologyFlag.NO_MATCH
        assert 'within 3 arcsec' in str(near)
        # There is no such release on this server.
        other = error_of(make_source(data_release=16), coord)
        assert other.flag == MorphologyFlag.ARCHIVE_ERROR

    def test_the_same_position_twice(self, archive, server, make_source):
        coords = archive.coords()[[0, 1, 0]]
        planned = plan(make_source(), coords)
        assert planned[0] == planned[2]
        upload = next(r.body.decode() for r in server.requests if is_search(r))
        assert upload.count(f'{coords[0].ra.deg}') == 1

    def test_unmeasured_size(self, archive, server, make_source):
        archive.add_row(archive.fields[0], RA, DEC + 0.1, petroR90_r=-9999.0)
        (target,) = plan(make_source(), archive.coords()[3:])
        assert target.radius is None
        assert target.meta['catalogue']['petroR90_r'] == -9999

    def test_null(self, archive, server, make_source):
        archive.add_row(archive.fields[0], RA, DEC + 0.1, petroR90_r='null')
        (target,) = plan(make_source(), archive.coords()[3:])
        assert target.radius is None

    def test_ambiguous_is_kept(self, archive, server, make_source):
        (coord,) = archive.coords()[:1]
        near = shifted(coord, 3)
        archive.add_row(archive.fields[0], near.ra.deg, near.dec.deg)
        for _ in range(2):
            error = error_of(make_source(), shifted(coord, 1.4).reshape(1))
            assert error.flag == MorphologyFlag.AMBIGUOUS_MATCH
        assert n_searches(server) == 1

    @pytest.mark.parametrize('text', ['#Table1\n', 'No objects have been found'])
    def test_other_words_for_nothing(self, server, make_source, text):
        server.fail(Reply(text.encode()), where=is_search)
        error = error_of(make_source(), SkyCoord([RA], [DEC], unit='deg'))
        assert error.flag == MorphologyFlag.NO_MATCH


class TestSizeForWeights:
    @pytest.fixture(autouse=True)
    def _black_pictures(self, server):
        file = io.BytesIO()
        Image.new('RGB', (64, 64)).save(file, 'JPEG')
        reply = Reply(file.getvalue(), type='image/jpeg')
        server.route('/dr17/SkyServerWS', lambda _: reply)

    @staticmethod
    def sizes(source, archive, recipe, radius=None):
        targets = source.targets(archive.coords(), radius=radius)
        rows = []
        found = [
            read_target(image).size
            for image in iterate_source(source, targets, recipe, rows)
        ]
        return [found[rows.index(row)] for row in range(len(rows))]

    @pytest.mark.parametrize(
        ('kind', 'column'),
        [('petroR90_r', 'petroR90_r'), ('half_light_radius', 'petroR50_r')],
    )
    def test_is_of_their_kind(self, archive, server, make_source, kind, column):
        source = make_source(SDSSPictures)
        found = self.sizes(source, archive, Recipe(size=kind))
        expected = [row[column] * u.arcsec for row in archive.rows]
        assert found == expected
        auto = AutoSource([source])
        assert self.sizes(auto, archive, Recipe(size=kind)) == expected

    def test_that_of_the_user_is_not_replaced(self, archive, server, make_source):
        recipe = Recipe(size='half_light_radius')
        radius = [5, np.nan, 3] * u.arcsec
        found = self.sizes(make_source(SDSSPictures), archive, recipe, radius)
        assert found == [
            5 * u.arcsec,
            archive.rows[1]['petroR50_r'] * u.arcsec,
            3 * u.arcsec,
        ]

    def test_unmeasured_one_is_not_that_of_another_kind(
        self, archive, server, make_source
    ):
        archive.rows[0]['petroR50_r'] = -9999.0
        recipe = Recipe(size='half_light_radius')
        found = self.sizes(make_source(SDSSPictures), archive, recipe)
        assert [size is None for size in found] == [True, False, False]


class TestFailure:
    replies = {  # noqa: RUF012
        'server error': Reply(b'{"error_message": "SQL"}', status=500),
        'refusal': Reply(status=403),
        'no such page': Reply(status=404),
        'busy': Reply(status=503),
        'page': Reply(b'<html><body>Down for today</body></html>', type='text/html'),
        'error': Reply(b'{"error_message": "Timeout expired"}'),
        'nothing': Reply(b''),
        'other table': Reply(b'#Table1\nobjid,ra\n1,2\n'),
        'half a table': Reply(f'#Table1\n{",".join(FIELDS)}\n1,2'.encode()),
        'reset': Reply(fault='reset'),
        'truncated': Reply(b'#Table1\n' * 100, fault='truncate'),
        'stalled': Reply(fault='stall'),
    }

    @pytest.mark.parametrize('kind', replies)
    def test_is_not_kept(self, archive, server, make_source, kind):
        server.fail(self.replies[kind], times=99, where=is_search)
        source = make_source(n_retries=1, timeout=0.5)
        error = error_of(source, archive.coords()[:1])
        assert error.flag == MorphologyFlag.ARCHIVE_ERROR
        server.heal()
        (target,) = plan(make_source(), archive.coords()[:1])
        assert target.meta['catalogue']['objid'] == str(archive.rows[0]['objid'])

    @pytest.mark.parametrize('kind', sorted({*replies} - {'refusal', 'stalled'}))
    def test_passes(self, archive, server, make_source, kind):
        server.fail(self.replies[kind], times=1, where=is_search)
        (target,) = plan(make_source(), archive.coords()[:1])
        assert target.meta['catalogue']['objid'] == str(archive.rows[0]['objid'])

    def test_says_what_came(self, archive, server, make_source):
        server.fail(self.replies['page'], times=99, where=is_search)
        text = str(error_of(make_source(), archive.coords()[:1]))
        assert 'no table: <html><body>Down for today' in text

    def test_missing_columns_of_the_tables_do_no_harm(
        self, archive, server, make_source
    ):
        page = self.replies['page']
        server.fail(page, times=99, where=lambda request: request.method == 'GET')
        source = make_source()
        stream = source.stream(source.targets(archive.coords()[:1]))
        # The plan is made before the first image is asked for.
        next(stream)
        stream.close()
        assert n_searches(server) == 1

    def test_offline(self, make_source):
        coords = SkyCoord([RA], [DEC], unit='deg')
        error = error_of(make_source(offline=True), coords)
        assert error.flag == MorphologyFlag.NOT_CACHED
        assert '184.850000 +5.790000 is not in the cache' in str(error)

    def test_damaged_on_the_disk(self, archive, server, make_source):
        source = make_source()
        plan(source, archive.coords()[:1])
        (path,) = (entry.path for entry in source.archive.cache.entries('sdss'))
        path.write_bytes(b'{' * path.stat().st_size)
        (target,) = plan(make_source(), archive.coords()[:1])
        assert target.meta['catalogue']['objid'] == str(archive.rows[0]['objid'])
        assert n_searches(server) == 2


class TestSource:
    @pytest.mark.parametrize('radius', [0, 181, np.nan])
    def test_match_radius(self, make_source, radius):
        with pytest.raises(ValueError, match='match_radius must be'):
            make_source(match_radius=radius * u.arcsec)

    def test_covers(self, make_source):
        coords = SkyCoord([0, 0, 0], [-60, -10, 60], unit='deg')
        assert make_source().covers(coords).tolist() == [False, True, True]

    @pytest.mark.parametrize('kind', [SDSS, SDSSPictures])
    def test_says_whom_to_thank(self, kind):
        assert 'https://www.sdss.org/collaboration/citing-sdss/' in kind.attribution
        assert '10.1086/301513' in kind.bibtex
        assert '10.3847/1538-4365/ac4414' in kind.bibtex
        assert kind.bibtex.count('{') == kind.bibtex.count('}')

    def test_target_keeps_what_it_knew(self, archive, server, make_source):
        source = make_source()
        targets = source.targets(archive.coords()[:1])
        targets = [dataclasses.replace(target, meta={'a': 1}) for target in targets]
        (target,) = source.plan(targets)
        assert target.meta['a'] == 1
        assert targets[0].meta == {'a': 1}
