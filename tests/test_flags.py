# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the bits that say why an answer is missing or doubtful."""

import numpy as np
import pytest
from astropy.table import MaskedColumn, QTable
from hypothesis import given
from hypothesis import strategies as st

from galmorph.flags import FATAL, MorphologyFlag, decode_flags, describe_flags

NAMES = [flag.name for flag in MorphologyFlag]


class TestMorphologyFlag:
    def test_each_flag_is_one_bit_in_order(self):
        assert [int(flag) for flag in MorphologyFlag] == [
            1 << i for i in range(len(NAMES))
        ]

    def test_all_flags_fit_a_column_of_32_bits(self):
        assert sum(MorphologyFlag) <= np.iinfo(np.int32).max

    def test_fatal_are_those_without_a_prediction(self):
        assert [flag.name for flag in MorphologyFlag if flag & FATAL] == [
            'MISSING_IMAGE',
            'UNREADABLE_IMAGE',
            'INVALID_IMAGE',
            'BAD_COORDINATES',
            'OUTSIDE_IMAGE',
            'NO_WCS',
            'BANDS_MISSING',
            'NOT_PREDICTED',
            'NO_COVERAGE',
            'NO_MATCH',
            'AMBIGUOUS_MATCH',
            'ARCHIVE_ERROR',
            'NOT_CACHED',
        ]


class TestDescribeFlags:
    def test_describes_every_flag_once(self):
        described = describe_flags()
        assert list(described) == NAMES
        texts = [text for _, text in described.values()]
        assert all(texts)
        assert len(set(texts)) == len(texts)

    def test_gives_values(self):
        assert describe_flags()['NOT_PREDICTED'][0] == MorphologyFlag.NOT_PREDICTED

    def test_texts_can_stand_in_a_fits_table(self):
        assert all(text.isascii() for _, text in describe_flags().values())


class TestDecodeFlags:
    def test_one_value(self):
        assert decode_flags(0) == ()
        assert decode_flags(514) == ('UNREADABLE_IMAGE', 'EDGE')
        assert decode_flags(MorphologyFlag.EDGE) == ('EDGE',)

    @pytest.mark.parametrize(
        'dtype', ['i1', 'u1', '>i2', '<i4', '>i4', 'i8', 'u2', 'u4', 'u8']
    )
    def test_every_kind_of_integer(self, dtype):
        flags = np.array([0, 3, 64], dtype)
        assert decode_flags(flags) == [
            (),
            ('MISSING_IMAGE', 'UNREADABLE_IMAGE'),
            ('BANDS_MISSING',),
        ]

    @pytest.mark.parametrize('flags', [[1, 512], (1, 512), np.array([[1], [512]])])
    def test_sequences_give_a_flat_list(self, flags):
        assert decode_flags(flags) == [('MISSING_IMAGE',), ('EDGE',)]

    @pytest.mark.parametrize('flags', [[], np.array([], int), MaskedColumn([], 'f')])
    def test_nothing_gives_an_empty_list(self, flags):
        assert decode_flags(flags) == []

    def test_column_and_its_cells(self):
        table = QTable({'flags': MaskedColumn([1, 512, 3], mask=[False, False, True])})
        assert decode_flags(table['flags']) == [('MISSING_IMAGE',), ('EDGE',), ()]
        assert decode_flags(table['flags'][1]) == ('EDGE',)
        assert decode_flags(table['flags'][2]) == ()

    def test_column_that_is_masked_throughout(self):
        assert decode_flags(MaskedColumn([1, 1], mask=True)) == [(), ()]

    @given(st.lists(st.sampled_from(list(MorphologyFlag)), unique=True))
    def test_returns_what_was_set(self, flags):
        assert decode_flags(sum(flags)) == tuple(f.name for f in sorted(flags))

    @pytest.mark.parametrize('flags', [1.0, [0.5], 'EDGE', [True], None])
    def test_refuses_what_is_no_integer(self, flags):
        with pytest.raises(ValueError, match='flags must be integers, not'):
            decode_flags(flags)

    @pytest.mark.parametrize(
        'value', [-1, 2 * max(MorphologyFlag), 2**40, np.uint64(2**63), np.int8(-5)]
    )
    def test_refuses_unknown_bits(self, value):
        with pytest.raises(ValueError, match=f'value {value}, which has a bit that no'):
            decode_flags([value])
