# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the size of galaxies in pictures of a fixed scale."""

import numpy as np
import pytest
from astropy.table import Table
from scipy.optimize import brentq

from galmorph.images import read_image
from galmorph.training.data.sizing import infer_size
from tests.helpers.data import SHARED_DATA, needs_shared_data


def exponential(scale, side=201):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return np.exp(-np.hypot(x, y) / scale)[None]


class TestInferSize:
    @pytest.mark.parametrize('scale', [4.0, 7.0])
    def test_half_light_radius_of_a_disk(self, scale):
        # 1 - (1 + x) exp(-x) = 1/2 in units of the scale.
        half = scale * brentq(lambda x: (1 + x) * np.exp(-x) - 0.5, 1, 3)
        assert infer_size(exponential(scale), ratio=1) == pytest.approx(half, rel=0.05)

    def test_sky_and_number_of_channels_do_not_matter(self):
        disk = exponential(6)
        grey = np.repeat(40 + 100 * disk, 3, 0)
        assert infer_size(grey) == pytest.approx(infer_size(disk), rel=1e-3)

    def test_stays_within_bounds(self):
        assert infer_size(exponential(0.5)) == 5
        assert infer_size(exponential(60), ratio=3) == 201 / 4
        assert 5 <= infer_size(np.zeros((3, 60, 60))) <= 15

    @needs_shared_data
    def test_frames_of_known_size(self):
        table = Table.read(SHARED_DATA / 'gz2' / 'labels.csv', format='ascii.csv')
        rows = np.flatnonzero(table['split'] == 'train')[:60]
        ratios = []
        for row in rows:
            picture = read_image(SHARED_DATA / 'gz2' / table['file'][row])
            # The frame is 424 times 0.02 of the 90 % radius.
            true = picture.shape2d[0] / 8.48
            ratios.append(infer_size(picture.data) / true)
        assert abs(np.log(np.median(ratios))) < 0.15
        assert np.std(np.log(ratios)) < 0.4
