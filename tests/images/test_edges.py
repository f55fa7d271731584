# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frames completed from neighbours on the same and on other grids."""

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from hypothesis import given
from hypothesis import strategies as st
from reproject import reproject_interp

from galmorph.images import TiledMosaic
from galmorph.images.celestial import shift_wcs
from galmorph.images.edges import interpolate, whole_offset
from galmorph.images.tiles import Field, read_tiles
from tests.helpers.fits import make_wcs
from tests.helpers.tiles import make_sky, write

SHAPE = (120, 160)
#: A frame around the middle of a pixel has 41 pixels.
HALF = 19.6


def smooth(shape=SHAPE, period=30):
    y, x = np.mgrid[: shape[0], : shape[1]]
    return (10 + np.sin(x / period) + np.cos(y / period)).astype('float32')


def field_of(path):
    (tile,) = read_tiles(path)
    return Field(tile)


class TestOffset:
    @pytest.mark.parametrize('options', [{}, {'rotation': 70}, {'sip': True}])
    def test_shifted(self, tmp_path, options):
        wcs = make_wcs(SHAPE, **options)
        one = field_of(write(tmp_path / 'a.fits', make_sky(shape=SHAPE), wcs))
        moved = shift_wcs(wcs, 150, -37)
        other = field_of(write(tmp_path / 'b.fits', make_sky(shape=SHAPE), moved))
        assert whole_offset(one, other) == (-150, 37)
        assert whole_offset(other, one) == (150, -37)

    @pytest.mark.parametrize(
        'options', [{'rotation': 1}, {'scale': 0.41}, {'flipped': True}]
    )
    def test_other_grids(self, tmp_path, options):
        one = field_of(write(tmp_path / 'a.fits', smooth(), make_wcs(SHAPE)))
        wcs = make_wcs(SHAPE, **options)
        other = field_of(write(tmp_path / 'b.fits', smooth(), wcs))
        assert whole_offset(one, other) is None
        wcs = make_wcs(SHAPE)
        wcs.wcs.crpix += 0.3
        assert (
            whole_offset(one, field_of(write(tmp_path / 'c.fits', smooth(), wcs)))
            is None
        )

    def test_far_away(self, tmp_path):
        wcs = make_wcs(SHAPE)
        one = field_of(write(tmp_path / 'a.fits', smooth(), wcs))
        wcs.wcs.crval = 330.1, -2.2
        assert (
            whole_offset(one, field_of(write(tmp_path / 'b.fits', smooth(), wcs)))
            is None
        )


class TestInterpolate:
    @given(
        st.lists(st.floats(0, 29), min_size=1, max_size=9),
        st.tuples(st.floats(-3, 3), st.floats(-3, 3), st.floats(-3, 3)),
    )
    def test_plane_is_exact(self, x, plane):
        rows, columns = np.mgrid[:20, :30]
        x = np.array(x)
        y = (7 * x) % 19
        pixels = plane[0] + plane[1] * columns + plane[2] * rows
        expected = plane[0] + plane[1] * x + plane[2] * y
        found = interpolate(pixels[np.newaxis], x, y)
        np.testing.assert_allclose(found[0], expected, atol=1e-9)

    def test_half_a_pixel_over_the_edge(self):
        pixels = np.arange(12.0).reshape(1, 3, 4)
        found = interpolate(pixels, np.array([-0.5, 3.5]), np.array([0, 2.5]))
        np.testing.assert_array_equal(found, [[0, 11]])

    def test_nan_next_to_it_and_without_weight(self):
        pixels = np.arange(12.0).reshape(1, 3, 4)
        pixels[0, 1, 1] = np.nan
        found = interpolate(pixels, np.array([0.5, 0, 2]), np.array([1.0, 1, 0.5]))
        np.testing.assert_array_equal(found, [[np.nan, 4, 4]])

    def test_one_pixel(self):
        found = interpolate(np.full((2, 1, 1), 3.0), np.zeros(2), np.zeros(2))
        np.testing.assert_array_equal(found, np.full((2, 2), 3.0))


class TestOtherGrids:
    def pair(self, folder, pixels, **options):
        """A tile, and one to the right of it on another grid."""
        wcs = make_wcs(SHAPE)
        write(folder / 'a.fits', smooth(), wcs, BUNIT='nJy')
        other = make_wcs(SHAPE, **options)
        middle = wcs.pixel_to_world(236, 60)
        other.wcs.crval = middle.ra.deg, middle.dec.deg
        other.wcs.set()
        write(folder / 'b.fits', pixels, other, BUNIT='nJy')
        return wcs, other

    @pytest.mark.parametrize(
        'options', [{'rotation': 20}, {'rotation': -160}, {'flipped': True}]
    )
    def test_as_reproject(self, tmp_path, options):
        pixels = make_sky(3, SHAPE)
        wcs, other = self.pair(tmp_path, pixels, **options)
        coord = wcs.pixel_to_world([150.2], [60.7])
        mosaic = TiledMosaic(tmp_path)
        assert mosaic.assign(coord, HALF).tolist() == [0]
        (image,) = mosaic.cutouts(coord, HALF)
        assert image.origin == (130, 41)
        np.testing.assert_array_equal(image.data[0, :, :30], smooth()[41:82, 130:])
        expected, covered = reproject_interp(
            (pixels, other), image.wcs, image.shape2d, order='bilinear'
        )
        inside = np.isfinite(expected[:, 30:]) & np.isfinite(image.data[0, :, 30:])
        assert inside.sum() > 200
        np.testing.assert_allclose(
            image.data[0, :, 30:][inside],
            expected[:, 30:][inside],
            rtol=2e-6,
            atol=2e-5,
        )
        # reproject ends half a pixel earlier
        assert (inside >= (covered[:, 30:] > 0)).all()

    @pytest.mark.parametrize(
        ('unit', 'factor'), [('nJy', 1), ('uJy', 1000), ('MJy/sr', None)]
    )
    def test_flux_per_pixel_and_surface_brightness(self, tmp_path, unit, factor):
        wcs = make_wcs(SHAPE)
        other = make_wcs(SHAPE, scale=0.8)
        middle = wcs.pixel_to_world(317, 60)
        other.wcs.crval = middle.ra.deg, middle.dec.deg
        other.wcs.set()
        base = 'nJy' if factor else unit
        write(tmp_path / 'a.fits', np.full(SHAPE, 2, 'f4'), wcs, BUNIT=base)
        # the same sky in pixels of four times the area
        value = 8 / factor if factor else 2
        write(tmp_path / 'b.fits', np.full(SHAPE, value, 'f4'), other, BUNIT=unit)
        (image,) = TiledMosaic(tmp_path).cutouts(wcs.pixel_to_world([155], [60]), HALF)
        assert image.unit == u.Unit(base)
        assert image.origin[0] + image.shape2d[1] > 170
        np.testing.assert_allclose(image.data, 2, rtol=1e-5)

    def test_galactic_neighbour(self, tmp_path):
        wcs = make_wcs(SHAPE)
        write(tmp_path / 'a.fits', np.full(SHAPE, 3, 'f4'), wcs)
        middle = wcs.pixel_to_world(220, 60).galactic
        other = make_wcs(SHAPE)
        other.wcs.ctype = 'GLON-TAN', 'GLAT-TAN'
        other.wcs.crval = middle.l.deg, middle.b.deg
        other.wcs.radesys = ''
        other.wcs.set()
        pixels = make_sky(3, SHAPE)
        write(tmp_path / 'b.fits', pixels, other)
        mosaic = TiledMosaic(tmp_path)
        coords = SkyCoord(
            [wcs.pixel_to_world(150, 60), other.pixel_to_world(80, 70).icrs]
        )
        assert mosaic.assign(coords, 14.6).tolist() == [0, 1]
        edge, inner = mosaic.cutouts(coords, 14.6)
        np.testing.assert_array_equal(inner.data[0], pixels[55:86, 65:96])
        expected, _ = reproject_interp(
            (pixels, other), edge.wcs, edge.shape2d, order='bilinear'
        )
        part = slice(160 - edge.origin[0] + 2, None)
        inside = np.isfinite(expected[:, part]) & np.isfinite(edge.data[0, :, part])
        assert inside.sum() > 50
        np.testing.assert_allclose(
            edge.data[0, :, part][inside], expected[:, part][inside], rtol=1e-4
        )

    def test_unknown_units_that_cannot_be_converted(self, tmp_path):
        wcs = make_wcs(SHAPE)
        write(tmp_path / 'a.fits', smooth(), wcs, BUNIT='nJy')
        write(tmp_path / 'b.fits', smooth(), shift_wcs(wcs, 160, 0), BUNIT='K')
        (image,) = TiledMosaic(tmp_path).cutouts(wcs.pixel_to_world([155], [60]), HALF)
        # as at the end of the mosaic
        assert image.shape2d == (41, 25)


class TestGaps:
    def test_what_nothing_covers_is_nan_or_cut(self, tmp_path):
        sky, wcs = make_sky(shape=(120, 200)), make_wcs((120, 200))
        write(tmp_path / 'a.fits', sky[:, :100], wcs)
        write(tmp_path / 'b.fits', sky[:50, 104:], shift_wcs(wcs, 104, 0))
        (image,) = TiledMosaic(tmp_path).cutouts(wcs.pixel_to_world([95], [50]), HALF)
        assert image.origin == (75, 30)
        assert image.shape2d == (41, 41)
        expected = sky[30:71, 75:116].copy()
        expected[:, 25:29] = np.nan
        expected[20:, 25:] = np.nan
        np.testing.assert_array_equal(image.data[0], expected)
        (image,) = TiledMosaic(tmp_path).cutouts(wcs.pixel_to_world([95], [80]), HALF)
        assert image.shape2d == (41, 25)

    def test_neighbour_without_the_band(self, tmp_path):
        sky, wcs = make_sky(shape=(120, 200)), make_wcs((120, 200))
        for band in 'gr':
            write(tmp_path / f'a-{band}.fits', sky[:, :100], wcs)
        write(tmp_path / 'b-g.fits', sky[:, 100:], shift_wcs(wcs, 100, 0))
        mosaic = TiledMosaic(tmp_path)
        (image,) = mosaic.cutouts(wcs.pixel_to_world([95], [60]), HALF)
        assert image.data.shape == (2, 41, 25)
        (image,) = mosaic.cutouts(wcs.pixel_to_world([95], [60]), HALF, bands='g')
        assert image.data.shape == (1, 41, 41)

    def test_huge_frame_ends_with_the_mosaic(self, tmp_path):
        sky, wcs = make_sky(shape=(120, 200)), make_wcs((120, 200))
        write(tmp_path / 'a.fits', sky[:, :100], wcs)
        write(tmp_path / 'b.fits', sky[:, 100:], shift_wcs(wcs, 100, 0))
        for half in (1e4, 1e30, 5 * u.deg):
            (image,) = TiledMosaic(tmp_path).cutouts(
                wcs.pixel_to_world([95], [50]), half
            )
            np.testing.assert_array_equal(image.data[0], sky)
