# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tiles and fields that the headers of files tell of."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS

from galmorph.images.celestial import shift_wcs
from galmorph.images.positions import unit_vectors
from galmorph.images.tiles import Field, group_tiles, read_tiles
from tests.helpers.fits import make_wcs
from tests.helpers.tiles import make_sky, write

SHAPE = (40, 50)


def hdus(path, *images):
    """Write images as extensions: name, WCS, keywords."""
    primary = fits.PrimaryHDU(header=fits.Header({'TELESCOP': 'HST', 'BUNIT': 'nJy'}))
    extensions = []
    for name, wcs, keywords in images:
        header = fits.Header() if wcs is None else wcs.to_header()
        header.update(keywords)
        extensions.append(fits.ImageHDU(make_sky(shape=SHAPE), header, name=name))
    fits.HDUList([primary, *extensions]).writeto(path)
    return path


class TestReadTiles:
    def test_place_of_the_pixels(self, tmp_path):
        path = write(tmp_path / 'a.fits', make_sky(shape=(2, *SHAPE)), make_wcs(SHAPE))
        first, second = read_tiles(path)
        content = path.read_bytes()
        for tile, plane in ((first, 0), (second, 1)):
            found = np.frombuffer(content, '>f4', 2000, tile.offset)
            expected = make_sky(shape=(2, *SHAPE))[plane].ravel()
            np.testing.assert_array_equal(found, expected)
        assert (first.band, second.band) == ('unknown', 'unknown 2')

    def test_extensions_inherit_and_maps_are_left_out(self, tmp_path):
        wcs = make_wcs(SHAPE)
        path = hdus(
            tmp_path / 'a.fits',
            ('TEXT', None, {}),
            ('SCI', wcs, {'FILTER': 'g'}),
            ('ERR', wcs, {}),
            ('SCI2', wcs, {'FILTER': 'r'}),
            ('SCI3', wcs, {'FILTER': 'r'}),
        )
        tiles = read_tiles(path)
        assert [(tile.band, tile.hdu) for tile in tiles] == [('g', 2), ('r', 4)]
        assert tiles[0].unit == 'nJy'
        assert tiles[0].header['TELESCOP'] == 'HST'
        assert [tile.hdu for tile in read_tiles(path, hdu='ERR')] == [3]
        assert [tile.hdu for tile in read_tiles(path, hdu=[2, 3], bands='ge')] == [2, 3]
        with pytest.raises(KeyError):
            read_tiles(path, hdu='NO')

    def test_no_tile(self, tmp_path):
        assert read_tiles(hdus(tmp_path / 'a.fits', ('SCI', None, {}))) == []
        tiny = write(tmp_path / 'b.fits', make_sky(shape=(7, 50)), make_wcs((7, 50)))
        assert read_tiles(tiny) == []

    def test_band_in_the_name(self, tmp_path):
        for name, band in (
            ('calexp-r-4.fits', 'r'),
            ('hlsp_f160w_drz.fits', 'F160W'),
            ('deep.fits', 'unknown'),
        ):
            path = write(tmp_path / name, make_sky(shape=SHAPE), make_wcs(SHAPE))
            assert [tile.band for tile in read_tiles(path)] == [band]


class TestField:
    def test_circle_holds_all_pixels(self, tmp_path):
        wcs = make_wcs(SHAPE, rotation=30, scale=500)
        (tile,) = read_tiles(write(tmp_path / 'a.fits', make_sky(shape=SHAPE), wcs))
        field = Field(tile)
        y, x = np.mgrid[-0.5:39.6:1, -0.5:49.6:1]
        sky = wcs.pixel_to_world(x.ravel(), y.ravel())
        vectors = unit_vectors(sky.ra.deg, sky.dec.deg)
        distances = np.linalg.norm(vectors - field.centre, axis=1)
        assert distances.max() <= field.radius <= 1.01 * distances.max()
        assert field.scale == pytest.approx(500 / 3600)

    def test_whole_sky(self, tmp_path):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---AIT', 'DEC--AIT'
        wcs.wcs.crpix = 25.5, 20.5
        wcs.wcs.cdelt = -8, 8
        (tile,) = read_tiles(write(tmp_path / 'a.fits', make_sky(shape=SHAPE), wcs))
        assert Field(tile).radius == 2


class TestGroup:
    def test_bands_of_one_grid_in_the_order_of_the_files(self, tmp_path):
        wcs = make_wcs(SHAPE)
        near, far = make_wcs(SHAPE), shift_wcs(wcs, 5, 0)
        near.wcs.crpix += 0.3
        tiles = []
        for name, grid in (
            ('r', far), ('g', near), ('r', wcs), ('g', far), ('r', wcs), ('i', wcs)
        ):  # fmt: skip
            path = tmp_path / f'{len(tiles)}.fits'
            write(path, make_sky(shape=SHAPE), grid, FILTER=name)
            tiles += read_tiles(path)
        fields = group_tiles(tiles)
        found = [
            [(band, tile.path.stem) for band, tile in field.tiles.items()]
            for field in fields
        ]
        assert found[0] == [('r', '0'), ('g', '3')]
        every = [pair for pairs in found for pair in pairs]
        assert sorted(every) == sorted((tile.band, tile.path.stem) for tile in tiles)
        assert len(fields) == 3
        assert ('g', '1') in found[1]
        assert str(fields[0]) == '0.fits, 3.fits'
        assert fields[0].paths == (tiles[0].path, tiles[3].path)

    def test_none(self):
        assert group_tiles([]) == []
