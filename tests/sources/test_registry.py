# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the sources by name."""

import subprocess
import sys

import pytest

import galmorph.sources
from galmorph.sources import (
    ImageSource,
    create_source,
    list_sources,
    register_source,
)


class Mine(ImageSource):
    def __init__(self, path='', **options):
        super().__init__(**options)
        self.path = path

    def fetch_one(self, target):
        raise NotImplementedError


class Needy(Mine):
    def __init__(self, survey, **options):
        super().__init__(survey, **options)


class Plain(ImageSource):
    def fetch_one(self, target):
        raise NotImplementedError


def test_the_bundled_ones_are_listed():
    bundled = ['auto', 'candels', 'hips', 'hst', 'local', 'sdss', 'sdss-jpeg']
    assert list_sources() == bundled
    register_source('a-survey')(Plain)
    assert list_sources() == ['a-survey', *bundled]


def test_their_classes_are_offered_without_loading_them():
    code = (
        'import sys, galmorph.sources as s\n'
        's.list_sources(); s.AutoSource; s.ImageCache\n'
        'sys.exit("astroquery" in sys.modules)'
    )
    assert subprocess.run([sys.executable, '-c', code], check=False).returncode == 0
    with pytest.raises(AttributeError, match='no attribute'):
        galmorph.sources.Nothing  # noqa: B018


def test_created_by_name_with_options():
    register_source('mine')(Plain)
    source = create_source('mine', offline=True, n_connections=2, timeout=3)
    assert type(source) is Plain
    assert source.archive.name == source.name == 'mine'
    assert source.archive.offline
    assert source.archive.n_connections == 2
    assert source.timeout == 3


def test_a_source_is_returned_as_it_is():
    source = Plain()
    assert create_source(source) is source


def test_what_stands_behind_a_colon():
    register_source('mine')(Mine)
    assert create_source('mine:CDS/P/a:b').path == 'CDS/P/a:b'
    assert create_source('mine').path == ''
    register_source('needy')(Needy)
    assert create_source('needy:x').path == 'x'
    assert create_source('needy', survey='y').path == 'y'
    with pytest.raises(ValueError, match="'needy' needs its survey, as in 'needy:SUR"):
        create_source('needy')
    register_source('plain')(Plain)
    with pytest.raises(ValueError, match="'plain' takes nothing behind a colon"):
        create_source('plain:x')


@pytest.mark.parametrize('name', ['hipss:x', 'SDSS', '', ':x'])
def test_unknown_names(name):
    with pytest.raises(ValueError, match=r"survey must be one of \['auto'"):
        create_source(name)


def test_a_near_name_is_offered():
    with pytest.raises(ValueError, match="did you mean 'candels'"):
        create_source('candles')


@pytest.mark.parametrize('name', ['a:b', 'a/b', '..', '', 'a b'])
def test_names_that_could_not_be_asked_for(name):
    with pytest.raises(ValueError, match='a source is named by letters'):
        register_source(name)


@pytest.mark.parametrize('kind', [int, Plain(), lambda: None])
def test_only_sources_are_registered(kind):
    with pytest.raises(TypeError, match='decorates subclasses of ImageSource'):
        register_source('x')(kind)


def test_one_that_is_taken_is_replaced():
    register_source('sdss')(Plain)
    assert type(create_source('sdss')) is Plain
    assert list_sources().count('sdss') == 1
