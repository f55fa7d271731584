# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the folder in which answers of archives are kept."""

import concurrent.futures
import hashlib
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from galmorph import conf
from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources.cache import ImageCache

NOTHING = ImageError('no field here', flag=MorphologyFlag.NO_COVERAGE)

# The second writer stops in the middle of a file, for its killer.
WRITER = """
import pathlib, sys, time
from galmorph.sources.cache import ImageCache

def stop(stage):
    print('here', flush=True)
    time.sleep(600)

cache = ImageCache(sys.argv[1])
cache.put('s', 'whole', b'12345678')
if sys.argv[2] == 'in the file':
    pathlib.Path.replace = lambda *a: stop(a)
else:
    cache._write = lambda *a, **k: stop(a)
cache.put('s', 'half', b'12345678', suffix='.fits')
"""


@pytest.fixture
def cache(tmp_path):
    return ImageCache(tmp_path / 'cache')


def age(cache, key, seconds):
    """Let an answer have been used that long ago."""
    when = time.time() - seconds
    os.utime(cache._note('s', key), (when, when))


def age_all(folder, seconds):
    when = time.time() - seconds
    for path in folder.rglob('*'):
        os.utime(path, (when, when))


class TestFiles:
    def test_come_back_with_all_that_is_known(self, cache):
        put = cache.put('s', 'frame-r.fits?a=1&b=2', b'pixels', suffix='.fits')
        got = cache.get('s', 'frame-r.fits?a=1&b=2')
        assert put == got
        assert got.path.read_bytes() == b'pixels'
        assert got.path.suffix == '.fits'
        assert got.size == 6
        assert got.sha256 == hashlib.sha256(b'pixels').hexdigest()
        assert got.is_file
        assert got.error is None

    def test_unknown_is_none(self, cache):
        cache.put('s', 'a', b'1')
        assert cache.get('s', 'b') is None
        assert cache.get('t', 'a') is None

    def test_keys_that_look_alike_are_different(self, cache):
        keys = ['a b', 'a_b', 'a/b', '../a b', 'ä b', 'x' * 500, 'x' * 501, '']
        for key in keys:
            cache.put('s', key, key.encode())
        for key in keys:
            assert cache.get('s', key).path.read_bytes() == key.encode()
        inside = cache.folder.resolve()
        assert all(e.path.resolve().is_relative_to(inside) for e in cache.entries())

    def test_are_replaced_whole(self, cache):
        first = cache.put('s', 'a', b'first', suffix='.fits')
        second = cache.put('s', 'a', b'the second', suffix='.jpg')
        assert not first.path.exists()
        assert cache.get('s', 'a') == second
        assert len(cache.entries()) == 1

    def test_without_its_note_is_not_there(self, cache):
        path = cache.put('s', 'a', b'pixels').path
        cache._note('s', 'a').unlink()
        assert path.exists()
        assert cache.get('s', 'a') is None
        assert cache.entries() == []

    @pytest.mark.parametrize(
        'text', ['', '{"source": "s"', '[]', 'null', '{}', '{"source": "s", "key": 1}']
    )
    def test_with_a_damaged_note_is_not_there(self, cache, text):
        cache.put('s', 'a', b'pixels')
        cache._note('s', 'a').write_text(text)
        assert cache.get('s', 'a') is None
        assert cache.put('s', 'a', b'pixels').path.read_bytes() == b'pixels'

    def test_note_of_another_key_is_not_trusted(self, cache):
        cache.put('s', 'a', b'pixels')
        note = cache._note('s', 'b')
        note.parent.mkdir(parents=True, exist_ok=True)
        note.write_bytes(cache._note('s', 'a').read_bytes())
        assert cache.get('s', 'b') is None

    def test_shorter_than_its_note_is_not_there(self, cache):
        path = cache.put('s', 'a', b'pixels').path
        path.write_bytes(b'pix')
        assert cache.get('s', 'a') is None
        path.unlink()
        assert cache.get('s', 'a') is None

    def test_in_a_folder_that_is_for_reading_only(self, cache, monkeypatch):
        cache.put('s', 'a', b'pixels')

        def refuse(*arguments):
            raise PermissionError

        monkeypatch.setattr(os, 'utime', refuse)
        assert cache.get('s', 'a').is_file

    def test_forgotten(self, cache):
        path = cache.put('s', 'a', b'pixels').path
        cache.forget('s', 'a')
        cache.forget('s', 'never there')
        assert cache.get('s', 'a') is None
        assert not path.exists()


class TestFolder:
    def test_is_that_of_the_settings(self, tmp_path):
        with conf.set_temp('source_cache', str(tmp_path / 'mine')):
            assert ImageCache().folder == tmp_path / 'mine'
        assert ImageCache(tmp_path / 'other').folder == tmp_path / 'other'
        assert ImageCache('~/images').folder.is_absolute()

    def test_is_that_of_astropy_otherwise(self, tmp_path):
        assert ImageCache().folder.is_relative_to(tmp_path / 'xdg_cache')

    def test_limit_is_that_of_the_settings(self, tmp_path):
        with conf.set_temp('source_cache_limit', 3.5):
            assert ImageCache(tmp_path).limit == 3.5
        assert ImageCache(tmp_path, limit=0).limit == 0

    def test_that_is_not_there_is_empty(self, cache):
        assert cache.entries() == []
        assert cache.verify() == []
        assert cache.clear() == 0
        assert not cache.folder.exists()


class TestRefusals:
    def test_come_back_as_errors(self, cache):
        cache.refuse('s', 'a', NOTHING)
        entry = cache.get('s', 'a')
        assert not entry.is_file
        assert entry.error.flag == MorphologyFlag.NO_COVERAGE
        assert str(entry.error) == 'no field here'

    def test_expire(self, cache):
        cache.refuse('s', 'a', NOTHING)
        age(cache, 'a', 29.9 * 86400)
        assert cache.get('s', 'a') is not None
        age(cache, 'a', 30.1 * 86400)
        assert cache.get('s', 'a') is None

    def test_do_not_live_longer_for_being_asked_for(self, cache):
        cache.refuse('s', 'a', NOTHING)
        age(cache, 'a', 29 * 86400)
        before = cache._note('s', 'a').stat().st_mtime
        cache.get('s', 'a')
        assert cache._note('s', 'a').stat().st_mtime == before

    def test_take_the_place_of_files_and_the_reverse(self, cache):
        path = cache.put('s', 'a', b'pixels').path
        cache.refuse('s', 'a', NOTHING)
        assert not path.exists()
        cache.put('s', 'a', b'pixels')
        assert cache.get('s', 'a').is_file

    def test_deleted_while_looked_at(self, cache, monkeypatch):
        entry = cache.refuse('s', 'a', NOTHING)
        cache.forget('s', 'a')
        monkeypatch.setattr(cache, '_read', lambda note: entry)
        assert cache.get('s', 'a') is None


class TestKilled:
    @pytest.mark.parametrize('stage', ['in the file', 'before the note'])
    def test_writer_leaves_nothing_that_is_trusted(self, cache, stage):
        arguments = [sys.executable, '-c', WRITER, str(cache.folder), stage]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE) as writer:
            writer.stdout.readline()
            writer.send_signal(signal.SIGKILL)
        assert writer.returncode == -signal.SIGKILL
        assert [entry.key for entry in cache.entries()] == ['whole']
        assert cache.get('s', 'half') is None
        left = [p for p in cache.folder.rglob('*half*') if p.is_file()]
        assert len(left) == 1
        # The next one writes over it, or it is swept after an hour.
        cache.clear()
        assert left[0].exists()
        age_all(cache.folder, 4000)
        cache.clear()
        assert not any(path.is_file() for path in cache.folder.rglob('*'))


class TestLimit:
    def fill(self, cache, n=10, size=100):
        for number in range(n):
            cache.put('s', f'{number}', bytes(size))
            age(cache, f'{number}', 10000 - 100 * number)

    def test_deletes_what_was_used_longest_ago(self, tmp_path):
        self.fill(ImageCache(tmp_path))
        cache = ImageCache(tmp_path, limit=1000e-9)
        cache.get('s', '0')
        cache.put('s', 'new', bytes(100))
        # To 90 % of the limit; 0 was used, and 1 and 2 are the oldest.
        left = {entry.key for entry in cache.entries()}
        assert left == {'0', '3', '4', '5', '6', '7', '8', '9', 'new'}

    def test_deletes_no_refusal_and_no_foreign_file(self, tmp_path):
        self.fill(ImageCache(tmp_path))
        cache = ImageCache(tmp_path, limit=500e-9)
        cache.refuse('s', 'no', NOTHING)
        age(cache, 'no', 20000)
        (tmp_path / 'thesis.txt').write_text('mine')
        (tmp_path / 's' / 'notes.note').write_text('mine')
        cache.put('s', 'new', bytes(100))
        assert cache.get('s', 'no') is not None
        assert sum(entry.size for entry in cache.entries()) == 400
        cache.clear()
        assert (tmp_path / 'thesis.txt').exists()

    def test_keeps_what_is_in_use(self, tmp_path):
        cache = ImageCache(tmp_path, limit=0)
        paths = [cache.put('s', f'{n}', bytes(100)).path for n in range(5)]
        assert all(path.exists() for path in paths)

    def test_counts_what_other_processes_write(self, tmp_path):
        cache = ImageCache(tmp_path, limit=1000e-9)
        cache.put('s', 'first', bytes(100))
        self.fill(ImageCache(tmp_path), n=20)
        # 60 bytes are more than 5 % of the limit: the folder is counted again.
        cache.put('s', 'second', bytes(60))
        assert sum(entry.size for entry in cache.entries()) <= 1000

    def test_sweeps_what_was_abandoned(self, tmp_path):
        cache = ImageCache(tmp_path)
        path = cache.put('s', 'a', bytes(100)).path
        cache._note('s', 'a').unlink()
        age_all(tmp_path, 4000)
        ImageCache(tmp_path, limit=10e-9).put('s', 'b', bytes(100))
        assert not path.exists()


class TestKeeping:
    def test_entries_of_a_source(self, cache):
        cache.put('s', 'a', b'12')
        cache.put('t', 'b', b'3')
        cache.refuse('t', 'c', NOTHING)
        assert {(e.source, e.key) for e in cache.entries()} == {
            ('s', 'a'), ('t', 'b'), ('t', 'c'),
        }  # fmt: skip
        assert {entry.key for entry in cache.entries('t')} == {'b', 'c'}
        assert cache.entries('u') == []

    def test_entries_are_not_marked_as_used(self, cache):
        cache.put('s', 'a', b'12')
        age(cache, 'a', 5000)
        cache.entries()
        assert time.time() - cache._note('s', 'a').stat().st_mtime > 4000

    def test_verify_deletes_what_differs(self, cache):
        good = cache.put('s', 'good', b'pixels')
        bad = cache.put('s', 'bad', b'pixels')
        lost = cache.put('s', 'lost', b'pixels')
        cache.refuse('s', 'no', NOTHING)
        bad.path.write_bytes(b'pixelz')
        lost.path.unlink()
        # Of the same length, it was trusted so far.
        assert cache.get('s', 'bad') is not None
        assert {entry.key for entry in cache.verify()} == {'bad', 'lost'}
        assert cache.get('s', 'bad') is None
        assert not bad.path.exists()
        assert cache.get('s', 'good') == good
        assert cache.verify() == []

    def test_clear(self, cache):
        cache.put('s', 'a', b'12')
        cache.put('t', 'b', b'345')
        cache.refuse('t', 'c', NOTHING)
        assert cache.clear('t') == 3
        assert [entry.source for entry in cache.entries()] == ['s']
        assert cache.clear() == 2
        assert not any(path.is_file() for path in cache.folder.rglob('*'))


class TestTogether:
    def test_threads(self, cache):
        def work(number):
            key = str(number % 7)
            cache.put('s', key, key.encode() * 1000)
            found = cache.get('s', key)
            return found.path.read_bytes() == key.encode() * 1000

        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            assert all(pool.map(work, range(200)))
        assert len(cache.entries()) == 7
        assert cache.verify() == []

    def test_processes(self, cache):
        code = (
            'import sys\nfrom galmorph.sources.cache import ImageCache\n'
            'cache = ImageCache(sys.argv[1], limit=float(sys.argv[2]))\n'
            'for number in range(40):\n'
            '    key = str(number % 20)\n'
            '    cache.put("s", key, key.encode() * 500, suffix=".dat")\n'
            '    found = cache.get("s", key)\n'
            '    assert found.path.read_bytes() == key.encode() * 500\n'
        )
        runs = [
            subprocess.Popen([sys.executable, '-c', code, str(cache.folder), '1e-5'])
            for _ in range(2)
        ]
        assert [run.wait() for run in runs] == [0, 0]
        assert {e.key for e in cache.entries()} == {str(n) for n in range(20)}
        assert cache.verify() == []
        assert not list(cache.folder.rglob('*.part'))

    def test_notes_are_plain_json(self, cache):
        cache.put('s', 'a', b'12', suffix='.jpg')
        note = json.loads(cache._note('s', 'a').read_text())
        assert note['source'] == 's'
        assert note['key'] == 'a'
        assert note['size'] == 2
        assert note['file'].endswith('.jpg')
