# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the inventories that let the documentation build without a network."""

import builtins
import pathlib
import zlib

import pytest

from tests.helpers.modules import load_file


@pytest.fixture(scope='module')
def make_inventories():
    return load_file('docs/make_inventories.py')


class TestNamesOf:
    def test_functions_classes_and_members(self, make_inventories):
        names = set(make_inventories.names_of(pathlib, 'pathlib.'))
        assert ('py:module', 'pathlib') in names
        assert ('py:class', 'pathlib.Path') in names
        assert ('py:method', 'pathlib.Path.open') in names
        assert ('py:attribute', 'pathlib.Path.suffix') in names

    def test_builtins_have_no_prefix(self, make_inventories):
        names = set(make_inventories.names_of(builtins, ''))
        assert {('py:function', 'len'), ('py:exception', 'ValueError')} <= names

    def test_names_a_missing_member_nowhere(self, make_inventories):
        names = {name for _, name in make_inventories.names_of(pathlib, 'pathlib.')}
        assert 'pathlib.Path.nothing' not in names


class TestWriteInventory:
    def test_format(self, make_inventories, tmp_path):
        path = tmp_path / 'a.inv'
        make_inventories.write_inventory(path, 'a', [('py:class', 'a.B')] * 2)
        *header, body = path.read_bytes().split(b'\n', maxsplit=4)
        assert header[0] == b'# Sphinx inventory version 2'
        assert header[1] == b'# Project: a'
        assert zlib.decompress(body) == b'a.B py:class 1 index.html#$ -\n'
