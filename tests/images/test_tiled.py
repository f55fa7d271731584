# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Mosaics of tiles against one big image that was never divided."""

import itertools
import os
import pickle

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.nddata import Cutout2D
from astropy.wcs.utils import proj_plane_pixel_scales

from galmorph.exceptions import ChangedFileError, ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import Mosaic, TiledMosaic, open_mosaic
from galmorph.images.celestial import shift_wcs
from tests.helpers.fits import make_wcs
from tests.helpers.tiles import CUTS, SHAPE, divide, make_sky, positions, write

FLAGS = MorphologyFlag


def flags(images):
    return [getattr(image, 'flag', 0) for image in images]


def assert_same(found, expected):
    for image, other in zip(found, expected, strict=True):
        assert image.shape2d == other.shape2d
        np.testing.assert_array_equal(image.data, other.data)
        np.testing.assert_allclose(image.position, other.position, atol=1e-6)


class TestUndivided:
    @pytest.mark.parametrize('rotation', [0, 30, 200])
    @pytest.mark.parametrize('half', [5.3, 12 * u.arcsec, 55.7])
    def test_same_cutouts(self, tmp_path, rotation, half):
        sky, wcs = make_sky(), make_wcs(SHAPE, rotation=rotation)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', sky, wcs))
        assert tiled.n_tiles == 4
        coords = positions(wcs)
        whole = Mosaic((sky, wcs)).cutouts(coords, half)
        images = tiled.cutouts(coords, half)
        assert_same(images, whole)
        for image, coord in zip(images[:5], coords[:5], strict=True):
            x, y = image.wcs.world_to_pixel(coord)
            np.testing.assert_allclose(image.position, (x, y), atol=1e-6)
            assert image.data.dtype == np.dtype('float32')

    def test_as_cutout2d(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE, rotation=40, flipped=True)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', sky, wcs))
        coords = positions(wcs, 10)
        for image, coord in zip(tiled.cutouts(coords, 9), coords, strict=True):
            expected = Cutout2D(sky, coord, 11, wcs=wcs, mode='partial')
            x, y = (round(value) for value in image.position)
            near = np.pad(image.data[0], 6, constant_values=np.nan)
            near = near[y + 1 : y + 12, x + 1 : x + 12]
            inside = np.isfinite(expected.data) & np.isfinite(near)
            assert inside.sum() > 30
            np.testing.assert_array_equal(near[inside], expected.data[inside])

    def test_many_tiles_across_a_frame(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        edges = np.arange(0, 401, 20)
        cuts = [list(itertools.pairwise(e)) for e in (edges, edges[:16])]
        tiled = TiledMosaic(divide(tmp_path / 'tiles', sky, wcs, cuts=cuts))
        assert tiled.n_tiles == 300
        coords = positions(wcs, 20)
        assert_same(tiled.cutouts(coords, 35), Mosaic((sky, wcs)).cutouts(coords, 35))

    def test_widths_and_sizes_for_each(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', sky, wcs))
        coords = positions(wcs, 4)
        half, sizes = [10, 11.5, 30, 80], [3, np.nan, 4, -1] * u.arcsec
        found = tiled.cutouts(coords, half, sizes)
        expected = Mosaic((sky, wcs)).cutouts(coords, half, sizes)
        assert_same(found, expected)
        assert [image.size for image in found] == [image.size for image in expected]
        angle = np.array(half) * 0.4 * u.arcsec
        assert_same(tiled.cutouts(coords, angle), expected)

    @pytest.mark.parametrize('half', [0, -1, np.nan, [1, 2], 3 * u.nJy])
    def test_half_width_must_make_sense(self, tmp_path, half):
        wcs = make_wcs(SHAPE)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', make_sky(), wcs))
        with pytest.raises((ValueError, u.UnitTypeError), match='half_width'):
            tiled.cutouts(positions(wcs, 3), half)

    @pytest.mark.parametrize('frame', ['galactic', 'fk5', 'icrs'])
    def test_coordinates_of_any_frame(self, tmp_path, frame):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', sky, wcs))
        coords = positions(wcs, 5)
        images = tiled.cutouts(coords.transform_to(frame), 12)
        assert_same(images, tiled.cutouts(coords, 12))


class TestZeros:
    def test_without_data_are_missing(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE, rotation=20)
        sky[:, :100] = 0
        write(tmp_path / 'a.fits', sky, wcs)
        coords = wcs.pixel_to_world([120.0, 300], [150.0, 100])
        near, far = TiledMosaic(tmp_path).cutouts(coords, 40)
        assert np.isnan(near.data).sum() == (near.data.shape[1]) * 20
        masked, other = Mosaic((sky, wcs)).cutouts(coords, 40)
        np.testing.assert_array_equal(np.isnan(near.data), masked.mask)
        np.testing.assert_array_equal(far.data, other.data)

    @pytest.mark.parametrize('value', [0, np.nan])
    @pytest.mark.parametrize('x', [180.0, 200.0])
    def test_neighbour_with_data_replaces_them(self, tmp_path, value, x):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        (left, right), _ = CUTS
        for name, (start, stop), border in (
            ('a', left, slice(-12, None)),
            ('b', right, slice(0, 3)),
        ):
            part = sky[:, start:stop].copy()
            part[:, border] = value
            write(tmp_path / f'{name}.fits', part, shift_wcs(wcs, start, 0))
        coords = wcs.pixel_to_world([x], [150.0])
        found = TiledMosaic(tmp_path).cutouts(coords, 25)
        assert_same(found, Mosaic((sky, wcs)).cutouts(coords, 25))

    def test_of_a_neighbour_are_missing(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        sky[:, 220:] = 0
        tiles = TiledMosaic(divide(tmp_path / 'tiles', sky, wcs))
        (image,) = tiles.cutouts(wcs.pixel_to_world([195.0], [80.0]), 50)
        (x, y), (ny, nx) = image.origin, image.shape2d
        expected = np.where(sky == 0, np.nan, sky)[y : y + ny, x : x + nx]
        assert x + nx > 240
        np.testing.assert_array_equal(image.data[0], expected)


class TestAssign:
    def test_largest_part_then_margin_then_first(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        divide(tmp_path / 'tiles', sky, wcs, cuts=(((0, 210), (190, 400)), ((0, 300),)))
        tiled = TiledMosaic([*sorted((tmp_path / 'tiles').iterdir())])
        x = np.array([100, 192, 198, 201, 208, 300, 199.5])
        coords = wcs.pixel_to_world(x, np.full(7, 150))
        assert tiled.assign(coords, 30).tolist() == [0, 0, 0, 1, 1, 1, 0]
        assert tiled.assign(coords, 30).dtype == np.int32
        # all of a small frame is in both: the one with more around it
        assert tiled.assign(coords, 4).tolist() == [0, 0, 0, 1, 1, 1, 0]

    def test_nowhere(self, tmp_path):
        wcs = make_wcs(SHAPE)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', make_sky(), wcs))
        coords = SkyCoord([10, np.nan, 330, 150.1], [10, 2, -2.2, 2.2], unit='deg')
        assert tiled.assign(coords, 9)[:3].tolist() == [-1, -1, -1]
        images = tiled.cutouts(coords, 9)
        assert flags(images)[:3] == [
            FLAGS.OUTSIDE_IMAGE,
            FLAGS.BAD_COORDINATES,
            FLAGS.OUTSIDE_IMAGE,
        ]
        assert images[3].shape2d == (20, 20)

    def test_no_targets(self, tmp_path):
        tiled = TiledMosaic(divide(tmp_path / 'tiles', make_sky(), make_wcs(SHAPE)))
        empty = SkyCoord([], [], unit='deg')
        assert tiled.cutouts(empty, 9) == []
        assert tiled.assign(empty, 9).shape == (0,)

    def test_many_positions_one_by_one(self, tmp_path):
        wcs = make_wcs(SHAPE, rotation=15)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', make_sky(), wcs))
        coords = positions(wcs, 40)
        together = tiled.assign(coords, 20)
        assert together.tolist() == [int(tiled.assign(c, 20)[0]) for c in coords]

    def test_sky_across_the_zero_of_ra_and_a_pole(self, tmp_path):
        for dec in (0, 89.99):
            sky, wcs = make_sky(), make_wcs(SHAPE)
            wcs.wcs.crval = 0.001, dec
            wcs.wcs.set()
            folder = divide(tmp_path / f'{dec}', sky, wcs)
            coords = positions(wcs)
            assert_same(
                TiledMosaic(folder).cutouts(coords, 14),
                Mosaic((sky, wcs)).cutouts(coords, 14),
            )


class TestFiles:
    def test_changed_and_vanished(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        folder = divide(tmp_path / 'tiles', sky, wcs)
        tiled = TiledMosaic(folder)
        coords = wcs.pixel_to_world([50, 350], [50, 250])
        tiled.check()
        assert tiled.fingerprint() == TiledMosaic(folder).fingerprint()
        path = folder / 'tile-0-0.fits'
        number = int(tiled.assign(coords, 9)[0])
        os.utime(path, (1, 1))
        assert tiled.fingerprint() != TiledMosaic(folder).fingerprint()
        with pytest.raises(ChangedFileError, match=r'tile-0-0.fits has changed'):
            tiled.cutouts(coords, 9)
        assert tiled.cutouts(coords[1:], 9)[0].shape2d == (20, 20)
        path.unlink()
        with pytest.raises(ChangedFileError, match=r'tile-0-0.fits is no longer there'):
            tiled.check(number)
        with pytest.raises(OSError, match=r'tile-0-0.fits is no longer there'):
            tiled.cutouts(coords, 9)

    def test_pickle(self, tmp_path):
        wcs = make_wcs(SHAPE)
        tiled = TiledMosaic(divide(tmp_path / 'tiles', make_sky(), wcs))
        coords = positions(wcs, 5)
        images = tiled.cutouts(coords, 9)
        again = pickle.loads(pickle.dumps(tiled))
        assert_same(again.cutouts(coords, 9), images)
        assert again.fingerprint() == tiled.fingerprint()

    def test_nothing_there(self, tmp_path):
        with pytest.raises(FileNotFoundError, match='there is no such file'):
            TiledMosaic(tmp_path / '*.fits')
        with pytest.raises(FileNotFoundError, match='empty list'):
            TiledMosaic([])


class TestOpen:
    def test_files_and_images(self, tmp_path):
        sky, wcs = make_sky(), make_wcs(SHAPE)
        folder = divide(tmp_path / 'tiles', sky, wcs)
        paths = sorted(folder.iterdir())
        for images in (folder, f'{folder}/*.fits', paths, {'r': paths}, paths[0]):
            mosaic = open_mosaic(images)
            assert isinstance(mosaic, TiledMosaic)
            assert mosaic.bands == (
                ('r',) if isinstance(images, dict) else ('unknown',)
            )
        assert open_mosaic(mosaic) is mosaic
        for images in ((sky, wcs), {'r': (sky, wcs)}, Mosaic((sky, wcs))):
            assert isinstance(open_mosaic(images), Mosaic)

    def test_cannot_be_used(self, tmp_path):
        with pytest.raises(ImageError, match='there is no such file') as info:
            open_mosaic(tmp_path / 'no.fits')
        assert info.value.flag == FLAGS.UNREADABLE_IMAGE
        fits.writeto(tmp_path / 'a.fits', make_sky())
        with pytest.raises(ImageError, match='no celestial WCS') as info:
            open_mosaic(tmp_path / 'a.fits')
        assert info.value.flag == FLAGS.NO_WCS
        (tmp_path / 'a.fits').write_bytes(b'SIMPLE')
        with pytest.raises(ImageError, match='none of the 1 files') as info:
            open_mosaic(tmp_path / 'a.fits')
        assert info.value.flag == FLAGS.UNREADABLE_IMAGE
        with pytest.raises(ImageError, match='no celestial WCS') as info:
            open_mosaic(make_sky())
        assert info.value.flag == FLAGS.NO_WCS

    def test_picture_of_bytes_stays_one(self, tmp_path):
        pixels = make_sky(shape=(3, *SHAPE)).astype('uint8')
        path = write(tmp_path / 'a.fits', pixels, make_wcs(SHAPE))
        assert open_mosaic(path).image.is_picture

    def test_scale_of_the_helper(self):
        scales = proj_plane_pixel_scales(make_wcs(SHAPE)) * 3600
        np.testing.assert_allclose(scales, 0.4)
