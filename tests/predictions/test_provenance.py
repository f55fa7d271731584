# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the metadata that say what predictions came from."""

import json

import pytest
from astropy.io import fits
from hypothesis import given
from hypothesis import strategies as st

from galmorph.predictions.provenance import make_meta, merge_provenance, to_printable
from tests.helpers.predictions import PROVENANCE


class TestMakeMeta:
    def test_flat_entries(self):
        meta = make_meta(PROVENANCE, schema='gz2')
        assert json.loads(meta.pop('GM_PROV')) == {**PROVENANCE, 'schema': 'gz2'}
        assert meta == {
            'GM_VERS': '1.0',
            'GM_WGHTS': 'dieleman.gz2',
            'GM_SHA': PROVENANCE['sha256'],
            'GM_RECIP': '0123abcd',
            'GM_DEVIC': 'cpu',
            'GM_PREC': 'float32',
            'GM_DATE': '2026-11-21T10:00:00',
            'GM_SCHEM': 'gz2',
        }

    def test_unknown_entries_are_left_out(self):
        assert list(make_meta({'weights': None})) == ['GM_PROV']

    @given(st.text())
    def test_any_name_fits_a_header(self, name):
        header = fits.Header()
        header.update(make_meta({'weights': name}))
        assert json.loads(header['GM_PROV']) == {'weights': name}

    def test_what_json_does_not_know(self):
        with pytest.raises(TypeError, match='not JSON serializable'):
            make_meta({'weights': object()})


class TestMergeProvenance:
    def test_same_runs(self):
        assert merge_provenance([PROVENANCE, PROVENANCE]) == PROVENANCE

    def test_differences_are_joined_in_order(self):
        parts = [{'date': 'b', 'n': 1}, {'date': 'a', 'n': 1}, {'date': 'b', 'x': 2}]
        assert merge_provenance(parts) == {'date': 'b, a', 'n': 1, 'x': 2}

    @pytest.mark.parametrize('key', ['weights', 'sha256', 'recipe'])
    def test_weights_are_never_mixed(self, key):
        with pytest.raises(ValueError, match=f'parts differ in {key}'):
            merge_provenance([{key: 'a'}, {key: 'b'}])
        with pytest.raises(ValueError, match=f'parts differ in {key}'):
            merge_provenance([{key: 'a'}, {}])


class TestToPrintable:
    def test_one_line(self):
        assert to_printable('  two\n\tlines ') == 'two lines'

    def test_other_characters_are_escaped(self):
        assert to_printable('Größe\x00') == r'Gr\xf6\xdfe\x00'

    @given(st.text())
    def test_is_always_printable_ascii(self, text):
        assert all(' ' <= character <= '~' for character in to_printable(text))
