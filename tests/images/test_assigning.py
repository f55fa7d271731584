# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Half widths, frames, and the choice of a tile against a slow one."""

import numpy as np
import pytest
from astropy import units as u

from galmorph.images.assigning import HalfWidth, assign, frame_bounds
from galmorph.images.positions import Positions
from galmorph.images.tileset import TileSet
from tests.helpers.fits import make_wcs
from tests.helpers.tiles import make_sky, write

SHAPE = (60, 80)


class TestHalfWidth:
    def test_angles_and_pixels(self):
        scale = 0.4 / 3600
        np.testing.assert_allclose(HalfWidth(12, 2).in_pixels(scale), 12)
        np.testing.assert_allclose(HalfWidth([12, 3], 2).in_pixels(scale), [12, 3])
        np.testing.assert_allclose(HalfWidth(12 * u.pix, 1).in_pixels(scale), [12])
        angles = HalfWidth([12, 20] * u.arcsec, 2)
        np.testing.assert_allclose(angles.in_pixels(scale), [30, 50])
        np.testing.assert_allclose(angles.in_pixels(scale, np.array([1])), [50])
        # no angle is a frame of a pixel or two
        np.testing.assert_allclose(HalfWidth(1 * u.mas, 1).in_pixels(scale), [8])

    @pytest.mark.parametrize('value', [0, -2, np.nan, [1, 2], np.ones((2, 2))])
    def test_faulty(self, value):
        with pytest.raises(ValueError, match='half_width must be positive'):
            HalfWidth(value, 3)

    def test_other_unit(self):
        with pytest.raises(u.UnitTypeError, match='not in nJy'):
            HalfWidth(3 * u.nJy, 3)


class TestFrames:
    def test_hold_what_was_asked_for(self):
        rng = np.random.default_rng(1)
        centre, half = rng.uniform(-50, 50, 99), rng.uniform(4, 30, 99)
        start, stop = frame_bounds(centre, half)
        assert (start <= centre - half).all()
        assert (start > centre - half - 1).all()
        assert (stop - 1 >= centre + half).all()
        assert (stop - 1 < centre + half + 1).all()

    def test_no_limit(self):
        start, stop = frame_bounds(np.array([3.0]), np.array([1e300]))
        assert start < -1e9
        assert stop > 1e9


class TestAssign:
    @pytest.fixture
    def tiles(self, tmp_path):
        rng = np.random.default_rng(4)
        for number in range(9):
            wcs = make_wcs(SHAPE, rotation=40 * number, scale=0.2 + 0.05 * number)
            wcs.wcs.crval += rng.uniform(-0.006, 0.006, 2)
            write(tmp_path / f'{number}.fits', make_sky(shape=SHAPE), wcs)
        return TileSet(tmp_path)

    @pytest.mark.parametrize('half', [9, 30.5, 5 * u.arcsec])
    def test_as_one_after_the_other(self, tiles, half):
        rng = np.random.default_rng(7)
        x, y = rng.uniform(-60, 140, (2, 200))
        coords = make_wcs(SHAPE).pixel_to_world(x, y)
        found, x, y = assign(tiles, Positions(coords), HalfWidth(half, 200))
        assert len(np.unique(found)) > 6
        for row, coord in enumerate(coords):
            scores = []
            for number, field in enumerate(tiles.fields):
                place = np.ravel(field.wcs.world_to_pixel(coord))
                sides = np.array(field.shape[::-1])
                if (place < -0.5).any() or (place > sides - 0.5).any():
                    continue
                reach = HalfWidth(half, 1).in_pixels(field.scale)[0]
                low = np.maximum(place - reach, -0.5)
                high = np.minimum(place + reach, sides - 0.5)
                part = np.prod((high - low) / (2 * reach)).round(3)
                margin = min(place.min(), (sides - 1 - place).min()).round(2)
                scores.append((-part, -margin * field.scale, number, *place))
            best = min(scores, default=(0, 0, -1, np.nan, np.nan))
            assert found[row] == best[2]
            np.testing.assert_allclose((x[row], y[row]), best[3:], atol=1e-6)

    def test_those_tried_and_not_usable(self, tiles):
        coords = make_wcs(SHAPE).pixel_to_world([40, 41], [30, 29])
        positions, half = Positions(coords), HalfWidth(9, 2)
        first, _, _ = assign(tiles, positions, half)
        tried = {int(first[0]): [0]}
        second, _, _ = assign(tiles, positions, half, tried=tried)
        assert second[0] != first[0]
        assert second[1] == first[1]
        bad = tiles.fields[first[1]]
        third, _, _ = assign(
            tiles, positions, half, usable=lambda field: field is not bad
        )
        assert third[1] != first[1]
        fourth, _, _ = assign(
            tiles, positions, half, usable=lambda field: field is bad,
            among=np.array([False, True]),
        )  # fmt: skip
        assert fourth.tolist() == [-1, first[1]]
