# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of splits: whole, stable, and without leaks."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.exceptions import GalmorphWarning
from galmorph.training.data.splits import (
    dieleman_split,
    split_by_class,
    split_by_id,
    split_by_position,
)


class TestById:
    def test_parts_are_as_asked_for(self):
        split = split_by_id(range(20_000), (0.7, 0.2, 0.1))
        for name, part in zip(('train', 'valid', 'test'), (0.7, 0.2, 0.1), strict=True):
            assert abs((split == name).mean() - part) < 4 * np.sqrt(part / 20_000)

    def test_other_rows_do_not_matter(self):
        ids = [f'{i}' for i in range(100)]
        few = dict(zip(ids[::3], split_by_id(ids[::3]), strict=True))
        all_of_them = dict(zip(ids[::-1], split_by_id(ids[::-1]), strict=True))
        assert few.items() <= all_of_them.items()

    def test_numbers_and_strings_are_one(self):
        ids = np.arange(50)
        assert (split_by_id(ids) == split_by_id(ids.astype(str))).all()

    def test_seed(self):
        first, second = split_by_id(range(500)), split_by_id(range(500), seed=1)
        assert (first != second).any()

    def test_names(self):
        split = split_by_id(range(100), {'fit': 0.5, 'check': 0.5})
        assert set(split) == {'fit', 'check'}

    @pytest.mark.parametrize('fractions', [(0.8, 0.1), (1.2, -0.2), {'a': 0.5}])
    def test_fractions_must_be_a_whole(self, fractions):
        with pytest.raises(ValueError, match='sum to 1'):
            split_by_id(range(3), fractions)


class TestByPosition:
    @settings(max_examples=30)
    @given(seed=st.integers(0, 1000))
    def test_no_close_pair_is_divided(self, seed):
        rng = np.random.default_rng(seed)
        coords = SkyCoord(
            rng.uniform(0, 0.3, 300), rng.uniform(-0.15, 0.15, 300), unit='deg'
        )
        split = split_by_position(coords, (0.5, 0.5), separation=30 * u.arcsec)
        distances = coords[:, None].separation(coords[None]).arcsec
        is_close = distances < 30
        assert (split[:, None] == split[None])[is_close].all()
        assert len(set(split)) == 2

    def test_chains_stay_together(self):
        coords = SkyCoord(np.arange(200) * 0.9 / 3600, np.zeros(200), unit='deg')
        with pytest.warns(GalmorphWarning, match='200 of 200 galaxies are friends'):
            split = split_by_position(coords, separation=1 * u.arcsec)
        assert len(set(split)) == 1

    def test_across_the_meridian_of_zero(self):
        for ra in np.arange(20):
            coords = SkyCoord([ra, ra + 1e-5, 359.99999, 1e-6], [80, 80, 0, 0],
                              unit='deg')  # fmt: skip
            split = split_by_position(coords, (0.5, 0.5), separation=1 * u.arcsec)
            assert split[0] == split[1]
            assert split[2] == split[3]

    def test_rows_that_are_added_change_nothing(self):
        rng = np.random.default_rng(1)
        coords = SkyCoord(
            rng.uniform(0, 50, 400), rng.uniform(-20, 20, 400), unit='deg'
        )
        many = split_by_position(coords, separation=1 * u.arcsec)
        few = split_by_position(coords[100:], separation=1 * u.arcsec)
        assert (many[100:] == few).all()

    def test_positions_must_be_known(self):
        coords = SkyCoord([1, np.nan], [0, 0], unit='deg')
        with pytest.raises(ValueError, match=r'rows \[1\] are not finite'):
            split_by_position(coords, separation=1 * u.arcsec)

    def test_empty(self):
        coords = SkyCoord([], [], unit='deg')
        assert len(split_by_position(coords, separation=1 * u.arcsec)) == 0


class TestByClass:
    def test_every_class_has_its_part(self):
        # Zhu et al. (2019), table 2: 90 % of each class.
        counts = {'round': 8434, 'in between': 8069, 'cigar': 578, 'edge-on': 3903}
        classes = np.repeat(list(counts), list(counts.values()))
        split = split_by_class(range(len(classes)), classes, (0.9, 0.1))
        for name, count in counts.items():
            n_valid = (split[classes == name] == 'valid').sum()
            assert abs(n_valid - count / 10) <= 1


class TestDieleman:
    def test_is_theirs(self):
        # 61,578 galaxies: the first 55,421 by number train, 6,157 validate.
        ids = np.random.default_rng(1).permutation(np.arange(100_000, 161_578))
        split = dieleman_split(ids)
        assert (split == 'train').sum() == 55_421
        assert (split == 'valid').sum() == 6157
        assert ids[split == 'train'].max() < ids[split == 'valid'].min()
