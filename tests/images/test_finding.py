# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which files a path, a pattern, a folder or a URL means, and their states."""

import builtins
import os

import pytest

from galmorph.exceptions import ChangedFileError
from galmorph.images.finding import (
    check_unchanged,
    find_files,
    identify,
    is_remote,
    remote_file,
)

NAMES = ('a_sci.fits', 'b.fit', 'c.fits.fz', 'd.fts.gz', 'a_wht.fits', 'x-mask.fits')


@pytest.fixture
def folder(tmp_path):
    (tmp_path / 'deep').mkdir()
    for name in NAMES:
        (tmp_path / 'deep' / name).write_bytes(b'')
    (tmp_path / '.hidden.fits').write_bytes(b'')
    (tmp_path / 'notes.txt').write_bytes(b'')
    return tmp_path


def names(images):
    return [path.name for path, _ in find_files(images)]


class TestFindFiles:
    def test_folder_without_maps(self, folder):
        assert names(folder) == sorted(NAMES[:4])
        assert names(str(folder)) == sorted(NAMES[:4])

    def test_patterns_take_what_they_match(self, folder):
        assert names(f'{folder}/deep/*.fits') == [
            'a_sci.fits',
            'a_wht.fits',
            'x-mask.fits',
        ]
        assert len(names(f'{folder}/**/*.f*')) == len(NAMES)
        assert names(f'{folder}/deep/?.fit') == ['b.fit']
        assert names(f'{folder}/*') == ['notes.txt']

    def test_list_gives_each_once_in_its_order(self, folder):
        deep = folder / 'deep'
        given = [deep / 'b.fit', f'{deep}/*.fit', deep / 'a_sci.fits']
        assert names(given) == ['b.fit', 'a_sci.fits']

    def test_name_with_brackets(self, folder):
        (folder / 'a[1].fits').write_bytes(b'')
        assert names(folder / 'a[1].fits') == ['a[1].fits']

    def test_bands(self, folder):
        deep = folder / 'deep'
        found = find_files({'g': deep / 'b.fit', 'r': [deep / 'a_sci.fits']})
        assert [(path.name, band) for path, band in found] == [
            ('b.fit', 'g'),
            ('a_sci.fits', 'r'),
        ]

    def test_home(self, folder, monkeypatch):
        monkeypatch.setenv('HOME', str(folder))
        monkeypatch.setenv('USERPROFILE', str(folder))
        assert names('~/deep/b.fit') == ['b.fit']

    @pytest.mark.parametrize('name', ['no.fits', '*.fits', 'empty'])
    def test_nothing(self, tmp_path, name):
        (tmp_path / 'empty').mkdir()
        with pytest.raises(FileNotFoundError, match='there is no'):
            find_files(tmp_path / name)


class TestRemote:
    def test_told_apart(self, folder):
        assert is_remote('https://a.org/b.fits')
        assert not is_remote(folder)

    def test_files(self):
        fsspec = pytest.importorskip('fsspec')
        system = fsspec.filesystem('memory')
        for name in NAMES:
            system.pipe_file(f'/found/{name}', b'abc')
        every = [f'memory:///found/{name}' for name in sorted(NAMES)]
        assert [path for path, _ in find_files('memory://found/*')] == every
        folder = [path.rsplit('/')[-1] for path, _ in find_files('memory://found')]
        assert folder == sorted(NAMES[:4])
        assert find_files('memory://gone/a.fits') == [('memory://gone/a.fits', None)]
        assert identify('memory://gone/a.fits') is None
        state = identify(every[0])
        assert state[0] == 3
        check_unchanged(every[0], state)
        system.rm(every[0])
        with pytest.raises(ChangedFileError, match='is no longer there'):
            check_unchanged(every[0], state)

    def test_without_fsspec(self, monkeypatch):
        real = builtins.__import__

        def lacking(name, *args, **kwargs):
            if name.startswith('fsspec'):
                raise ImportError(name)
            return real(name, *args, **kwargs)

        monkeypatch.setattr(builtins, '__import__', lacking)
        with pytest.raises(ImportError, match='fsspec, which is not installed'):
            remote_file('s3://bucket/a.fits')


class TestUnchanged:
    def test_states(self, tmp_path):
        path = tmp_path / 'a.fits'
        assert identify(path) is None
        check_unchanged(path, None)
        path.write_bytes(b'abc')
        state = identify(path)
        check_unchanged(path, state)
        with pytest.raises(ChangedFileError, match='has changed'):
            check_unchanged(path, None)
        os.utime(path, ns=(0, state[1] + 1))
        with pytest.raises(OSError, match='has changed'):
            check_unchanged(path, state)
        os.utime(path, ns=(0, state[1]))
        check_unchanged(path, state)
        path.write_bytes(b'abcd')
        os.utime(path, ns=(0, state[1]))
        with pytest.raises(ChangedFileError, match='has changed'):
            check_unchanged(path, state)
