# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of requests: kept, shared, limited, repeated, or not made at all."""

import concurrent.futures
import json
import threading
import time
import types
import urllib.error

import numpy as np
import pytest
import requests

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import archive as archive_module
from galmorph.sources.archive import Archive, end_with
from galmorph.sources.cache import ImageCache
from tests.helpers.loopback import Reply

BUSY = Reply(status=503)
FAILURES = {
    'error 500': Reply(status=500),
    'busy': BUSY,
    'too many': Reply(status=429),
    'reset': Reply(fault='reset'),
    'half': Reply(bytes(10000), fault='truncate'),
    'stalled': Reply(fault='stall'),
}


@pytest.fixture
def make(tmp_path):
    def make(**options):
        options = {'cache': tmp_path / 'cache', 'backoff': 0.01, **options}
        return Archive('test', **options)

    return make


def replace_sleep(monkeypatch, function):
    # Not that of the module time, which the server uses as well.
    fake = types.SimpleNamespace(sleep=function)
    monkeypatch.setattr(archive_module, 'time', fake)


@pytest.fixture
def pauses(monkeypatch):
    """How long the archive would have waited."""
    found = []
    replace_sleep(monkeypatch, found.append)
    return found


@pytest.fixture
def get(loopback):
    loopback.route('/', lambda request: b'pixels of ' + request.path.encode())

    def get(path, timeout=0.5):
        def download():
            reply = requests.get(loopback.url + path, timeout=timeout)
            reply.raise_for_status()
            return reply.content

        return download

    return get


def raises(error):
    def ask(*arguments):
        raise error

    return ask


def flag_of(function):
    with pytest.raises(ImageError) as caught:
        function()
    return caught.value.flag


class TestOnce:
    def test_second_request_is_none(self, make, get, loopback):
        for _ in range(2):
            archive = make()
            path = archive.file('a', get('/a'), suffix='.fits')
            assert path.read_bytes() == b'pixels of /a'
        assert archive.n_requests == 0
        assert len(loopback.requests) == 1

    def test_values(self, make):
        archive, row = make(), {'objid': 2**60, 'r': 1.5, 'name': 'größe', 'no': None}
        assert archive.value('a', lambda: row) == row
        assert archive.value('a', lambda: 1 / 0) == row
        assert archive.n_requests == 1

    def test_value_damaged_on_the_disk_is_asked_for_again(self, make):
        archive = make()
        archive.value('a', lambda: [1, 2])
        archive.cache.get('test', 'a').path.write_bytes(b'[1, 2')
        assert archive.value('a', lambda: [3]) == [3]
        archive.cache.get('test', 'a').path.write_bytes(b'{}}')
        assert archive.value('a', lambda: [4]) == [4]

    def test_nothing_is_kept_too(self, make, get, loopback):
        loopback.fail(Reply(status=404), times=99)
        for archive in (make(), make(), make(offline=True)):
            with pytest.raises(
                ImageError, match=r"'test' has no a \(HTTP 404\)"
            ) as got:
                archive.file('a', get('/a'))
            assert got.value.flag == MorphologyFlag.NO_COVERAGE
        assert len(loopback.requests) == 1

    def test_reasons_of_the_source_are_kept(self, make):
        ask = raises(ImageError('two of them', flag=MorphologyFlag.AMBIGUOUS_MATCH))
        archive = make()
        for _ in range(2):
            with pytest.raises(ImageError, match='two of them') as got:
                archive.value('a', ask)
            assert got.value.flag == MorphologyFlag.AMBIGUOUS_MATCH
        assert archive.n_requests == 1

    def test_one_answer_for_several(self, make):
        archive = make()
        archive.keep('a', {'r90': 2.5})
        archive.keep('b', ImageError('no match', flag=MorphologyFlag.NO_MATCH))
        assert json.loads(archive.recall('a').read_bytes()) == {'r90': 2.5}
        assert archive.value('a', lambda: 1 / 0) == {'r90': 2.5}
        assert flag_of(lambda: archive.recall('b')) == MorphologyFlag.NO_MATCH
        assert archive.recall('c') is None
        assert archive.n_requests == 0

    def test_cache_may_be_shared(self, tmp_path):
        cache = ImageCache(tmp_path)
        assert Archive('a', cache=cache).cache is cache
        Archive('a', cache=cache).file('k', lambda: b'a')
        # The same key of another source is another request.
        assert Archive('b', cache=cache).file('k', lambda: b'b').read_bytes() == b'b'


class TestOffline:
    def test_answers_from_the_cache(self, make, get, loopback):
        path = make().file('a', get('/a'))
        assert make(offline=True).file('a', get('/a')) == path
        assert len(loopback.requests) == 1

    def test_says_what_is_missing(self, make, get, loopback):
        archive = make(offline=True)
        with pytest.raises(ImageError, match="frame 1 is not in the cache, and 'test'"):
            archive.file('frame 1', get('/a'))
        flag = MorphologyFlag.NOT_CACHED
        assert flag_of(lambda: archive.request(get('/a'), 'a')) == flag
        assert archive.n_requests == len(loopback.requests) == 0
        # That is no answer of the archive.
        assert make().file('frame 1', get('/a')).exists()


class TestFailures:
    @pytest.mark.parametrize('name', FAILURES)
    def test_once_and_then_good(self, make, get, loopback, name):
        loopback.fail(FAILURES[name], times=1)
        archive = make()
        assert archive.file('a', get('/a')).read_bytes() == b'pixels of /a'
        assert archive.n_requests == len(loopback.requests) == 2

    @pytest.mark.parametrize('name', FAILURES)
    def test_for_ever_are_not_kept(self, make, get, loopback, name):
        loopback.fail(FAILURES[name], times=99)
        archive = make(n_retries=1)
        with pytest.raises(ImageError, match="'test' gave no a in 2 tries: ") as got:
            archive.file('a', get('/a'))
        assert got.value.flag == MorphologyFlag.ARCHIVE_ERROR
        assert archive.n_requests == 2
        assert archive.cache.entries() == []
        loopback.heal()
        assert archive.file('a', get('/a')).exists()

    def test_reset_is_one(self, make, get, loopback):
        loopback.fail(FAILURES['reset'], times=99)
        with pytest.raises(ImageError, match='ConnectionError'):
            make(n_retries=0).file('a', get('/a', 60))

    def test_closed_server(self, make, get, loopback):
        download = get('/a')
        loopback.close()
        flag = flag_of(lambda: make(n_retries=0).file('a', download))
        assert flag == MorphologyFlag.ARCHIVE_ERROR

    @pytest.mark.parametrize('status', [400, 401, 403, 414])
    def test_refusal_of_the_archive_says_nothing_about_the_sky(
        self, make, get, loopback, status
    ):
        loopback.fail(Reply(status=status), times=99)
        archive = make()
        message = rf"'test' refuses a \(HTTP {status}\)"
        with pytest.raises(ImageError, match=message) as got:
            archive.file('a', get('/a'))
        assert got.value.flag == MorphologyFlag.ARCHIVE_ERROR
        assert archive.n_requests == 1
        loopback.heal()
        assert archive.file('a', get('/a')).exists()

    def test_status_in_the_cause_of_an_error(self, make):
        not_found = urllib.error.HTTPError('http://x', 404, 'Not Found', {}, None)
        wrapped = RuntimeError('it failed')
        wrapped.__cause__ = not_found
        for number, error in enumerate((not_found, wrapped)):
            archive = make()
            key = str(number)
            flag = flag_of(lambda a=archive, k=key, e=error: a.file(k, raises(e)))
            assert flag == MorphologyFlag.NO_COVERAGE
            assert archive.n_requests == 1

    def test_text_is_short_and_of_one_line(self, make):
        ask = raises(RuntimeError('<html>\n' + 'bad ' * 1000))
        with pytest.raises(ImageError) as got:
            make(n_retries=0).request(ask, 'it')
        text = str(got.value)
        assert text.startswith("'test' gave no it in 1 tries: RuntimeError: <html> bad")
        assert len(text) < 300
        assert '\n' not in text

    def test_damaged(self, make, get, loopback):
        def check(content):
            if not content.startswith(b'pixels'):
                raise error

        error = OSError('no SIMPLE card')
        loopback.fail(Reply(b'<html>busy</html>'), times=99)
        archive = make(n_retries=2)
        message = "'test' sent a damaged a: no SIMPLE card"
        with pytest.raises(ImageError, match=message) as got:
            archive.file('a', get('/a'), check=check)
        assert got.value.flag == MorphologyFlag.UNREADABLE_IMAGE
        assert archive.n_requests == 3
        assert archive.cache.entries() == []
        loopback.heal()
        assert archive.file('a', get('/a'), check=check).exists()

    def test_checks_may_give_reasons(self, make, get):
        check = raises(ImageError('two bands', flag=MorphologyFlag.BANDS_MISSING))
        archive = make()
        for _ in range(2):
            flag = flag_of(lambda: archive.file('a', get('/a'), check=check))
            assert flag == MorphologyFlag.BANDS_MISSING
        assert archive.n_requests == 1


class TestPauses:
    def test_double_and_differ(self, make, get, loopback, pauses):
        loopback.fail(BUSY, times=99)
        for _ in range(3):
            flag_of(lambda: make(backoff=8, n_retries=4).file('a', get('/a')))
        runs = [pauses[start : start + 4] for start in (0, 4, 8)]
        for run in runs:
            for pause, middle in zip(run, (8, 16, 32, 64), strict=True):
                assert 0.5 * middle <= pause <= 1.5 * middle
        assert len(set(pauses)) == 12

    def test_are_as_long_as_the_archive_asks(self, make, get, loopback, pauses):
        for asked in ('7', '1e9', 'Wed, 21 Oct 2026', '-3'):
            loopback.fail(Reply(status=503, headers={'Retry-After': asked}), times=1)
        make(backoff=0, n_retries=4).file('a', get('/a'))
        assert pauses == [7, 60, 0, 0]

    def test_occupy_no_connection(self, make, get, loopback, monkeypatch):
        archive = make(n_connections=1)
        loopback.fail(BUSY, times=1, where=lambda request: request.path == '/a')
        seen = []

        def sleep(seconds):
            seen.append(archive.file('b', get('/b')).read_bytes())

        replace_sleep(monkeypatch, sleep)
        assert archive.file('a', get('/a')).exists()
        assert seen == [b'pixels of /b']

    def test_are_the_last_once_the_work_ends(self, make, get, loopback, monkeypatch):
        stop = threading.Event()
        replace_sleep(monkeypatch, lambda _: stop.set())
        loopback.fail(BUSY, times=99)
        archive = make(n_retries=50)
        with concurrent.futures.ThreadPoolExecutor(
            1, initializer=end_with, initargs=(stop,)
        ) as pool:
            error = pool.submit(archive.file, 'a', get('/a')).exception()
        assert error.flag == MorphologyFlag.ARCHIVE_ERROR
        assert archive.n_requests == 1
        # Other threads go on.
        stop.clear()
        loopback.heal()
        assert archive.file('a', get('/a')).exists()


class TestTogether:
    def test_the_same_file_is_asked_for_once(self, make, get, loopback):
        loopback.route('/', lambda request: Reply(b'pixels', delay=0.1))
        archive = make(n_connections=8)
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            paths = list(pool.map(lambda _: archive.file('a', get('/a')), range(60)))
        assert len(set(paths)) == 1
        assert len(loopback.requests) == archive.n_requests == 1

    def test_all_who_wait_get_the_reason(self, make, get, loopback):
        loopback.fail(Reply(status=404, delay=0.2), times=99)
        archive = make()
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            runs = [pool.submit(archive.file, 'a', get('/a')) for _ in range(8)]
            flags = {run.exception().flag for run in runs}
        assert flags == {MorphologyFlag.NO_COVERAGE}
        assert len(loopback.requests) == 1

    @pytest.mark.parametrize('n_connections', [1, 3])
    def test_no_more_than_the_archive_bears(self, make, get, loopback, n_connections):
        loopback.route('/', lambda request: Reply(b'pixels', delay=0.02))
        archive = make(n_connections=n_connections)
        with concurrent.futures.ThreadPoolExecutor(12) as pool:
            keys = [str(n) for n in range(24)]
            list(pool.map(lambda key: archive.file(key, get(f'/{key}', 10)), keys))
        assert len(loopback.requests) == 24
        assert loopback.most_at_once == n_connections

    def test_opened_files_are_read_once_and_few_are_kept(self, make, tmp_path):
        archive, read = make(), []

        def slowly(path):
            read.append(path.name)
            time.sleep(0.05)
            return object()

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            path = tmp_path / 'a'
            found = list(pool.map(lambda _: archive.opened(path, slowly), range(16)))
        assert len(set(map(id, found))) == 1
        assert read == ['a']
        for name in 'bcab':
            archive.opened(tmp_path / name, slowly, keep=2)
        # b was the oldest when a third one came.
        assert read == ['a', 'b', 'c', 'a', 'b']

    def test_file_that_cannot_be_read_is_tried_again(self, make, tmp_path):
        archive, path = make(), tmp_path / 'a'
        with pytest.raises(FileNotFoundError):
            archive.opened(path, lambda p: p.read_bytes())
        path.write_bytes(b'now')
        assert archive.opened(path, lambda p: p.read_bytes()) == b'now'


@pytest.mark.parametrize(
    ('name', 'value'),
    [('n_connections', 0), ('n_retries', -1), ('backoff', -1), ('backoff', np.nan)],
)
def test_settings_without_a_meaning(make, name, value):
    with pytest.raises(ValueError, match=name):
        make(**{name: value})
