# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of what all sources share: targets, order, threads, reasons."""

import collections
import dataclasses
import threading
import time
import warnings

import numpy as np
import pytest
import requests
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from galmorph import GalaxyImage
from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import ImageSource
from tests.helpers.loopback import Reply


class Sky(ImageSource):
    """A source whose pixels tell where they are; some answers are amiss."""

    bands = ('u', 'g', 'r', 'i', 'z', 'F160W')
    default_bands = ('g', 'r', 'i')

    def __init__(self, **options):
        super().__init__(**{'n_connections': 4, 'backoff': 0, **options})
        self.fetched = []
        self.now = self.most = 0
        self.lock = threading.Lock()

    def fetch_one(self, target):
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
            self.fetched.append(target.ra)
        time.sleep(0.002)
        with self.lock:
            self.now -= 1
        return self.image(target)

    def image(self, target):
        pixels = np.full((len(target.bands), 16, 16), target.ra)
        return GalaxyImage(pixels, bands=target.bands)


class Broken(Sky):
    """A source that fails, at ra 0 with a reason, at 1 without, else not."""

    def image(self, target):
        if target.ra == 0:
            msg = 'nothing here'
            raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
        if target.ra == 1:
            raise ZeroDivisionError
        return super().image(target)


def positions(n, seed=0):
    rng = np.random.default_rng(seed)
    return SkyCoord(rng.uniform(0, 360, n), rng.uniform(-90, 90, n), unit='deg')


class TestTargets:
    def test_have_positions_of_any_frame(self):
        coords = SkyCoord([10, 200], [-5, 80], unit='deg')
        for same in (coords, coords.galactic, coords.fk5, coords.reshape(2, 1)):
            targets = Sky().targets(same)
            np.testing.assert_allclose([t.ra for t in targets], [10, 200], atol=1e-4)
            np.testing.assert_allclose([t.dec for t in targets], [-5, 80], atol=1e-4)
        assert targets[0].coord.separation(coords[0]) < 1 * u.arcsec

    def test_of_one_position_and_of_none(self):
        (target,) = Sky().targets(SkyCoord(10, 20, unit='deg'))
        assert (target.ra, target.dec) == (10, 20)
        assert (target.size, target.radius, target.meta) == (None, None, {})
        assert Sky().targets(SkyCoord([], [], unit='deg')) == []

    def test_bad_coordinates_are_reasons(self):
        good, *others = Sky().targets(
            SkyCoord([1, 2, np.nan], [3, np.nan, 4], unit='deg')
        )
        assert good.ra == 1
        assert {error.flag for error in others} == {MorphologyFlag.BAD_COORDINATES}
        assert 'the coordinates (2, nan) are not on the sky' in str(others[0])

    def test_masked_coordinates_are_bad(self):
        ra = Masked([1.0, 2.0], mask=[False, True]) * u.deg
        good, bad = Sky().targets(SkyCoord(ra, [3, 4] * u.deg))
        assert (good.ra, good.dec) == (1, 3)
        assert bad.flag == MorphologyFlag.BAD_COORDINATES

    def test_one_size_for_all(self):
        for size in (0.5 * u.arcmin, [0.5] * u.arcmin):
            (target,) = Sky().targets(positions(1), size=size)
            assert target.size == 30 * u.arcsec
        targets = Sky().targets(positions(3), radius=2 * u.arcsec)
        assert [t.radius.to_value('arcsec') for t in targets] == [2, 2, 2]

    def test_a_size_for_each(self):
        values = [1, np.nan, -1, 0, np.inf]
        mask = [False, False, False, False, True]
        table = QTable({'q': values * u.arcmin})
        sizes = (
            values * u.arcmin,
            table['q'],
            Column(values, unit='arcmin'),
            MaskedColumn([1, 2, np.nan, 0, 3], mask=[0, 1, 1, 0, 1], unit='arcmin'),
            Masked([1, -1, np.nan, 0, 5], mask=mask) * u.arcmin,
            [1 * u.arcmin, -9999 * u.arcsec, np.nan * u.deg, 0 * u.deg, -1 * u.deg],
        )
        for size in sizes:
            targets = Sky().targets(positions(5), size=size, radius=size)
            assert targets[0].size == targets[0].radius == 60 * u.arcsec
            assert [t.size for t in targets[1:]] == [None] * 4

    @pytest.mark.parametrize(
        ('size', 'message'),
        [
            (3, r'size must be an angle \(Quantity\), not 3'),
            ([1, 2], r'size must be an angle \(Quantity\), not \[1, 2\]'),
            (3 * u.pix, 'size must be an angle'),
            (Table({'r': [1.0, 2.0]})['r'], 'size must be an angle'),
            ([1, 2, 3] * u.arcsec, r'size has the shape \(3,\), for 2 positions'),
        ],
    )
    def test_sizes_that_are_none(self, size, message):
        with pytest.raises(ValueError, match=message):
            Sky().targets(positions(2), size=size)

    @pytest.mark.parametrize(
        ('bands', 'found'),
        [
            (None, 'gri'),
            ('r', 'r'),
            ('irg', 'irg'),
            ('F160W', ['F160W']),
            ('g, r,i', 'gri'),
            ('g F160W', ['g', 'F160W']),
            (['z', 'u'], 'zu'),
            (np.array(['g', 'r']), 'gr'),
            ('gg', 'g'),
        ],
    )
    def test_bands(self, bands, found):
        assert Sky().targets(positions(1), bands=bands)[0].bands == tuple(found)

    @pytest.mark.parametrize('bands', ['', [], 'grx', 'F125W', ['gri'], 'g;r'])
    def test_bands_that_are_not_there(self, bands):
        with pytest.raises(ValueError, match=r"bands must be among \['u', 'g'.*, not "):
            Sky().targets(positions(1), bands=bands)

    def test_any_band_where_the_source_names_none(self):
        class Any(Sky):
            bands = default_bands = ()

        assert Any().targets(positions(1))[0].bands == ()
        assert Any().targets(positions(1), bands='gri')[0].bands == ('gri',)
        assert Any().targets(positions(1), bands='g,r')[0].bands == ('g', 'r')
        with pytest.raises(ValueError, match="bands must be names, not ''"):
            Any().targets(positions(1), bands='')


class TestFetch:
    def test_gives_a_row_a_position(self):
        coords = positions(200)
        source = Sky(n_connections=16)
        images = source.fetch(coords, bands='r')
        assert [image.data[0, 0, 0] for image in images] == coords.ra.deg.tolist()
        assert sorted(source.fetched) == sorted(coords.ra.deg)
        assert 2 <= source.most <= 16

    def test_errors_cost_their_rows(self):
        ra = [0, 1, 2, np.nan]
        images = Broken().fetch(SkyCoord(ra, [0] * 4, unit='deg'))
        assert [getattr(image, 'flag', None) for image in images] == [
            MorphologyFlag.NO_COVERAGE,
            MorphologyFlag.ARCHIVE_ERROR,
            None,
            MorphologyFlag.BAD_COORDINATES,
        ]
        assert str(images[0]) == 'nothing here'
        assert str(images[1]) == 'ZeroDivisionError'

    def test_radius_of_the_user_goes_before_that_of_a_catalogue(self):
        class Known(Sky):
            def image(self, target):
                image = super().image(target)
                return image.at(image.position, 9 * u.arcsec)

        radius = [3, np.nan] * u.arcsec
        images = Known().fetch(SkyCoord([1, 2], [0, 0], unit='deg'), radius=radius)
        assert [image.size.to_value('arcsec') for image in images] == [3, 9]

    def test_shows_progress(self, capsys):
        Sky().fetch(positions(3), progress_bar=True)
        err = capsys.readouterr().err
        assert '3/3' in err
        assert 'images/s' in err
        Sky().fetch(positions(3))
        assert capsys.readouterr().err == ''


class TestPlan:
    def test_is_asked_for_all_together(self):
        calls = []

        class Planned(Sky):
            def plan(self, targets):
                calls.append(len(targets))
                return [
                    dataclasses.replace(t, meta={'field': int(t.ra) % 3})
                    for t in targets
                ]

            def image(self, target):
                return GalaxyImage(np.full((16, 16), target.meta['field']))

        coords = positions(600)
        images = Planned(n_connections=8).fetch(coords)
        assert calls == [256, 256, 88]
        fields = [image.data[0, 0, 0] for image in images]
        np.testing.assert_array_equal(fields, coords.ra.deg.astype(int) % 3)

    def test_may_give_reasons(self):
        class Picky(Sky):
            def plan(self, targets):
                error = ImageError('two', flag=MorphologyFlag.AMBIGUOUS_MATCH)
                return [error if t.ra > 5 else t for t in targets]

        images = Picky().fetch(SkyCoord([9, 1, 7, 2], [0] * 4, unit='deg'))
        assert [isinstance(image, ImageError) for image in images] == [1, 0, 1, 0]

    @pytest.mark.parametrize('kind', ['reason', 'error', 'short', 'long', 'none'])
    def test_that_fails_costs_its_targets(self, kind):
        class Failing(Sky):
            n_plans = 0

            def plan(self, targets):
                self.n_plans += 1
                if self.n_plans > 1:
                    return targets
                if kind == 'reason':
                    msg = 'no catalogue'
                    raise ImageError(msg, flag=MorphologyFlag.ARCHIVE_ERROR)
                if kind == 'error':
                    raise KeyError(kind)
                answers = {'short': targets[1:], 'long': [*targets, 1], 'none': None}
                return answers[kind]

        images = Failing(n_connections=8).fetch(positions(300))
        failed = [image for image in images if isinstance(image, ImageError)]
        assert len(failed) == 256
        assert {error.flag for error in failed} == {MorphologyFlag.ARCHIVE_ERROR}
        assert str(failed[0])

    def test_of_nothing_is_not_asked_for(self):
        class Never(Sky):
            def plan(self, targets):
                raise AssertionError

        (error,) = Never().fetch(SkyCoord([np.nan], [0], unit='deg'))
        assert error.flag == MorphologyFlag.BAD_COORDINATES
        assert Never().fetch(SkyCoord([], [], unit='deg')) == []

    def test_groups_follow_one_another(self):
        class Grouped(Sky):
            def group(self, target):
                return int(target.ra) % 5

        source = Grouped(n_connections=1)
        source.fetch(positions(100))
        groups = [int(ra) % 5 for ra in source.fetched]
        assert groups == sorted(groups)

    @pytest.mark.parametrize('keys', [[1, 'a'], [None, None], [{}, {}]])
    def test_groups_that_cannot_be_sorted_cost_nothing(self, keys):
        class Odd(Sky):
            def group(self, target):
                return keys[int(target.ra) % 2]

        images = Odd().fetch(SkyCoord([0, 1, 2], [0, 0, 0], unit='deg'))
        assert [image.data[0, 0, 0] for image in images] == [0, 1, 2]


class TestStream:
    def test_neighbours_follow_one_another(self):
        ra = [10.1, 50, 10.2, 50.1, 10.15]
        dec = [0.05, 0.05, 0.1, 0.12, 9]
        source = Sky()
        rows = [row for row, _ in source.stream(source.targets(
            SkyCoord(ra, dec, unit='deg')))]  # fmt: skip
        assert rows == [0, 2, 1, 3, 4]

    @pytest.mark.parametrize('window', [0, 3, None])
    def test_never_runs_ahead_of_its_window(self, window):
        source = Sky(n_connections=2)
        most, n_taken = 0, 0
        for _, image in source.stream(source.targets(positions(60)), window=window):
            image()
            n_taken += 1
            time.sleep(0.002)
            most = max(most, len(source.fetched) - n_taken)
        assert most <= (32 if window is None else window)
        assert n_taken == 60

    def test_holds_no_image_that_was_taken(self):
        alive = collections.Counter()

        class Counted(GalaxyImage):
            def __init__(self, *arguments, **options):
                super().__init__(*arguments, **options)
                alive['now'] += 1
                alive['most'] = max(alive['most'], alive['now'])

            def __del__(self):
                alive['now'] -= 1

        class Source(Sky):
            def image(self, target):
                return Counted(np.zeros((16, 16)))

        source = Source(n_connections=2)
        for _, image in source.stream(source.targets(positions(100)), window=4):
            image()
        # The window, the one that is taken, and one that was before.
        assert alive['most'] <= 7

    def test_closed_early_ends_its_threads(self):
        before = threading.active_count()
        source = Sky(n_connections=8)
        stream = source.stream(source.targets(positions(500)))
        next(stream)[1]()
        stream.close()
        assert threading.active_count() == before
        assert len(source.fetched) < 100

    def test_closed_early_makes_no_further_try(self, tmp_path, loopback):
        loopback.fail(Reply(status=503), times=1000)

        class Busy(Sky):
            def image(self, target):
                def download():
                    reply = requests.get(loopback.url, timeout=5)
                    reply.raise_for_status()
                    return reply.content

                self.archive.file(str(target.ra), download)

        source = Busy(cache=tmp_path, n_connections=2, n_retries=10**6)
        stream = source.stream(source.targets(positions(50)), window=2)
        next(stream)
        while source.archive.n_requests < 10:
            time.sleep(0.01)
        stream.close()
        n_requests = source.archive.n_requests
        time.sleep(0.05)
        assert source.archive.n_requests == n_requests

    def test_is_done_while_the_next_plan_is_made(self):
        planned = threading.Event()

        class Slow(Sky):
            n_plans = 0

            def plan(self, targets):
                self.n_plans += 1
                if self.n_plans == 2:
                    assert planned.wait(10)
                return targets

        source = Slow()
        stream = source.stream(source.targets(positions(300)), window=2)
        next(stream)[1]()
        planned.set()
        assert len(list(stream)) == 299

    def test_silences_the_warnings_of_astroquery_only(self):
        class Noisy(Sky):
            def image(self, target):
                module = 'astroquery.sdss.core' if target.ra == 0 else 'mine'
                warnings.warn_explicit('no results', UserWarning, 'x.py', 1, module)
                return super().image(target)

        quiet, loud = Noisy().fetch(SkyCoord([0, 1], [0, 0], unit='deg'))
        assert isinstance(quiet, GalaxyImage)
        # An error in the tests, which costs one row.
        assert str(loud) == 'UserWarning: no results'


class TestArchive:
    """A source that asks the loopback server, as users would write one."""

    @pytest.fixture
    def make(self, tmp_path, loopback):
        class Pictures(ImageSource):
            name = 'pictures'
            bands = default_bands = ('r',)
            n_connections = 8

            def fetch_one(self, target):
                def download():
                    reply = requests.get(
                        f'{loopback.url}/{target.ra:.3f}', timeout=self.timeout
                    )
                    reply.raise_for_status()
                    return reply.content

                path = self.archive.file(f'{target.ra:.3f}', download, check=check)
                return GalaxyImage(np.full((8, 8), float(path.read_bytes())))

        def make(**options):
            options = {'backoff': 0.001, 'timeout': 10, **options}
            return Pictures(cache=tmp_path / 'cache', **options)

        def check(content):
            float(content)

        loopback.route('/', lambda request: request.path[1:].encode())
        return make

    def test_200_targets_at_a_time_with_faults(self, make, loopback):
        ra = np.arange(200.0)
        coords = SkyCoord(ra, np.zeros(200), unit='deg')

        def nth(rest):
            return lambda request: float(request.path[1:]) % 20 == rest

        loopback.fail(Reply(status=503), times=1, where=nth(1))
        loopback.fail(Reply(fault='reset'), times=2, where=nth(2))
        loopback.fail(Reply(b'<html>'), times=1, where=nth(3))
        loopback.fail(Reply(bytes(999), fault='truncate'), times=1, where=nth(4))
        loopback.fail(Reply(status=404), times=99, where=nth(5))
        loopback.fail(Reply(status=500), times=99, where=nth(6))
        source = make(n_connections=32)
        images = source.fetch(coords)
        flags = np.array([int(getattr(image, 'flag', 0)) for image in images])
        expected = np.zeros(200, int)
        expected[5::20] = MorphologyFlag.NO_COVERAGE
        expected[6::20] = MorphologyFlag.ARCHIVE_ERROR
        np.testing.assert_array_equal(flags, expected)
        for row in np.flatnonzero(flags == 0):
            assert images[row].data[0, 0, 0] == row
        assert loopback.most_at_once <= 32
        # Again: only the ten that failed are asked for.
        loopback.heal()
        before = len(loopback.requests)
        again = make()
        images = again.fetch(coords)
        assert sum(isinstance(image, GalaxyImage) for image in images) == 190
        assert len(loopback.requests) - before == again.archive.n_requests == 10
        # And then nothing at all.
        for source in (make(), make(offline=True)):
            flags = [getattr(image, 'flag', 0) for image in source.fetch(coords)]
            assert flags.count(MorphologyFlag.NO_COVERAGE) == 10
            assert source.archive.n_requests == 0

    def test_offline_says_what_is_missing(self, make, loopback):
        make().fetch(SkyCoord([1], [0], unit='deg'))
        have, missing = make(offline=True).fetch(SkyCoord([1, 2], [0, 0], unit='deg'))
        assert have.data[0, 0, 0] == 1
        assert missing.flag == MorphologyFlag.NOT_CACHED
        assert '2.000 is not in the cache' in str(missing)

    def test_server_that_dies_halfway(self, make, loopback):
        coords = SkyCoord(np.arange(40.0), np.zeros(40), unit='deg')
        source = make(n_connections=2, n_retries=1)
        flags = set()
        for n, (_, image) in enumerate(source.stream(source.targets(coords))):
            if n == 10:
                loopback.close()
            try:
                image()
            except ImageError as error:
                flags.add(error.flag)
        assert flags == {MorphologyFlag.ARCHIVE_ERROR}
        kept = {entry.key for entry in make().archive.cache.entries()}
        assert 10 <= len(kept) < 40
        images = make(offline=True).fetch(coords)
        assert sum(isinstance(image, GalaxyImage) for image in images) == len(kept)
