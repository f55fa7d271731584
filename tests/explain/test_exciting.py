# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the search for galaxies that excite a feature map."""

import numpy as np
import pytest
from astropy.table import Table

from galmorph.explain import find_exciting
from galmorph.explain.exciting import _telling
from tests.helpers.explained import Blobs

PLACES = [(250, 180), (160, 240), (220, 250), (180, 160), (212, 212)]
BRIGHTNESS = [0.4, 0.9, 0.5, 1.0, 0.7]


@pytest.fixture
def looker(explained):
    return explained(Blobs())


@pytest.fixture
def pictures(spots):
    return spots(*PLACES, brightness=BRIGHTNESS)


class TestFindExciting:
    def test_finds_the_brightest_spots_in_order(self, looker, pictures):
        found = find_exciting(looker, pictures, 'conv', maps=[0], n_galaxies=3)
        assert found.rows.tolist() == [[3, 1, 4]]
        assert (np.diff(found.peaks[0]) < 0).all()
        assert found.stamps.shape == (1, 3, 128, 128, 3)
        assert not found.is_dense

    @pytest.mark.parametrize('layer', ['conv', 'conv#2'])
    def test_regions_hold_what_the_map_saw(self, looker, pictures, layer):
        found = find_exciting(looker, pictures, layer, maps=[0], n_galaxies=4)
        for row, corners in zip(found.rows[0], found.regions[0], strict=True):
            # The field, 198 frame pixels wide, is shown with 128.
            spot = (np.array(PLACES[row]) - 211.5) / 198 * 128 + 63.5
            assert np.hypot(*(corners.mean(0) - spot)) < 4
            # Three pixels of six frame pixels each.
            sides = np.hypot(*np.diff(corners, axis=0, append=corners[:1]).T)
            np.testing.assert_allclose(sides, 18 / 198 * 128)

    def test_chooses_maps_that_tell_galaxies_apart(self, looker, pictures):
        found = find_exciting(looker, pictures, 'conv', maps=1, n_galaxies=2)
        assert found.maps.tolist() == [0]

    def test_chosen_maps_differ_from_one_another(self):
        first, second = np.random.default_rng(1).normal(size=(2, 50))
        responses = np.stack([3 * first, 2.9 * first, second, 0 * first], 1)
        assert _telling(responses, 2) == [0, 2]
        assert _telling(responses, 4) == [0, 1, 2, 3]

    def test_dense_layers_see_all(self, looker, pictures):
        found = find_exciting(looker, pictures, 'output', maps=3, n_galaxies=2)
        assert found.is_dense
        assert found.rows.shape == (3, 2)

    def test_passes_over_what_cannot_be_used(self, looker, pictures):
        images = [pictures[0], 'missing.fits', pictures[3]]
        found = find_exciting(looker, images, 'conv', maps=[0], n_galaxies=2)
        assert found.rows.tolist() == [[2, 0]]
        with pytest.raises(ValueError, match='n_galaxies=3 is more than the 2 of 3'):
            find_exciting(looker, images, 'conv', maps=[0], n_galaxies=3)

    def test_takes_tables(self, looker, pictures):
        table = Table({'name': list('abcde'), 'picture': np.stack(pictures)})
        found = find_exciting(
            looker, table, 'conv', maps=[0], n_galaxies=3, image='picture'
        )
        assert table['name'][found.rows[0]].tolist() == ['d', 'b', 'e']

    def test_map_that_nothing_excites_has_no_region(self, looker, pictures):
        found = find_exciting(looker, pictures, 'rectify', maps=[1], n_galaxies=2)
        assert (found.peaks == 0).all()
        assert np.isnan(found.regions).all()

    def test_wrong_arguments(self, looker, pictures):
        with pytest.raises(ValueError, match="no layer 'x'; it has conv, rectify"):
            find_exciting(looker, pictures, 'x')
        with pytest.raises(ValueError, match='maps must be from 0 to 1 in the layer'):
            find_exciting(looker, pictures, 'conv', maps=[2])
