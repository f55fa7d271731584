# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Sections of files of every kind against what astropy reads of the whole."""

import bz2
import gzip

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from galmorph.images import sections
from galmorph.images.sections import SectionReader, plan_blocks
from galmorph.images.tiles import read_tiles
from tests.helpers.fits import make_wcs
from tests.helpers.tiles import make_sky

SHAPE = (130, 170)
BOXES = np.array(
    [[0, 30, 0, 40], [140, 170, 90, 130], [5, 45, 10, 50], [0, 170, 60, 61]]
)


def check(path, boxes=BOXES, **options):
    """Compare sections of all planes of a file with its data."""
    with fits.open(path, memmap=False) as hdulist:
        data = [hdu.data if hdu.is_image else None for hdu in hdulist]
    tiles = read_tiles(path, **options)
    assert tiles
    reader = SectionReader()
    for tile in tiles:
        found = reader.read(tile, boxes)
        for part, (left, right, bottom, top) in zip(found, boxes, strict=True):
            expected = data[tile.hdu][(*tile.plane, slice(bottom, top))][:, left:right]
            assert part.dtype == np.dtype('float32')
            assert part.flags.writeable
            np.testing.assert_array_equal(part, expected.astype('float32'))
    return tiles


def write(path, pixels, kind=fits.PrimaryHDU, **options):
    header = make_wcs(SHAPE).to_header()
    hdu = kind(pixels, header, **options)
    primary = [] if kind is fits.PrimaryHDU else [fits.PrimaryHDU()]
    fits.HDUList([*primary, hdu]).writeto(path)
    return path


class TestPlain:
    @pytest.mark.parametrize(
        'dtype', ['u1', 'i2', 'i4', 'i8', 'f4', 'f8', 'u2', 'u4', 'i1']
    )
    def test_types(self, tmp_path, dtype):
        pixels = (make_sky(shape=SHAPE) * 8).astype(dtype)
        check(write(tmp_path / 'a.fits', pixels))
        check(write(tmp_path / 'b.fits', pixels, fits.ImageHDU))

    @pytest.mark.parametrize('dtype', ['i2', 'i4', 'f4'])
    @pytest.mark.parametrize('scale', [(0.37, 0), (1, 12.5), (-0.02, 3.3)])
    def test_scaled(self, tmp_path, dtype, scale):
        path = write(tmp_path / 'a.fits', (make_sky(shape=SHAPE) * 99).astype(dtype))
        with fits.open(path, 'update', do_not_scale_image_data=True) as hdulist:
            hdulist[0].header['BSCALE'], hdulist[0].header['BZERO'] = scale
        check(path)

    def test_blank(self, tmp_path):
        pixels = make_sky(shape=SHAPE).astype('i2')
        path = write(tmp_path / 'a.fits', pixels)
        with fits.open(path, 'update', do_not_scale_image_data=True) as hdulist:
            hdulist[0].header['BLANK'] = 10
            hdulist[0].header['BSCALE'] = 0.5
        (tile,) = check(path)
        (found,) = SectionReader().read(tile, np.array([[0, 170, 0, 130]]))
        np.testing.assert_array_equal(np.isnan(found), pixels == 10)

    def test_cube(self, tmp_path):
        cube = make_sky(shape=(2, 3, *SHAPE))
        assert len(check(write(tmp_path / 'a.fits', cube))) == 6

    def test_double_beyond_the_range(self, tmp_path):
        path = write(tmp_path / 'a.fits', np.full(SHAPE, -1e300))
        (tile,) = read_tiles(path)
        assert np.isneginf(SectionReader().read(tile, BOXES)[0]).all()

    def test_without_one_call_for_a_row(self, tmp_path, monkeypatch):
        monkeypatch.delattr(sections.os, 'preadv', raising=False)
        check(write(tmp_path / 'a.fits', make_sky(shape=SHAPE)))

    def test_wide_rows_are_read_in_part(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sections, '_ROW_COST', 10)
        check(write(tmp_path / 'a.fits', make_sky(shape=SHAPE)))

    def test_a_little_at_a_time(self, tmp_path, monkeypatch):
        monkeypatch.setattr(sections, 'MAX_BYTES', 5000)
        check(write(tmp_path / 'a.fits', make_sky(shape=SHAPE)))

    def test_end_of_file(self, tmp_path):
        path = write(tmp_path / 'a.fits', make_sky(shape=SHAPE))
        (tile,) = read_tiles(path)
        path.write_bytes(path.read_bytes()[:50_000])
        with pytest.raises(OSError, match='the file ends before its pixels'):
            SectionReader().read(tile, BOXES[1:2])


class TestCompressed:
    @pytest.mark.parametrize('method', ['RICE_1', 'GZIP_1', 'GZIP_2', 'HCOMPRESS_1'])
    @pytest.mark.parametrize('tile_shape', [None, (32, 48)])
    @pytest.mark.parametrize('dtype', ['f4', 'i2'])
    def test_methods(self, tmp_path, method, tile_shape, dtype):
        if method == 'HCOMPRESS_1':
            # wants tiles with four rows at least
            tile_shape = (26, 170) if tile_shape is None else (26, 34)
        pixels = (make_sky(shape=SHAPE) * 20).astype(dtype)
        path = tmp_path / 'a.fits.fz'
        options = {'compression_type': method, 'tile_shape': tile_shape}
        write(path, pixels, fits.CompImageHDU, **options)
        check(path)

    def test_scaled_and_with_holes(self, tmp_path):
        pixels = make_sky(shape=SHAPE)
        pixels[20:40, 10:60] = np.nan
        check(write(tmp_path / 'a.fits.fz', pixels, fits.CompImageHDU))
        unsigned = make_sky(shape=SHAPE).astype('u2') + np.uint16(40_000)
        check(write(tmp_path / 'b.fits.fz', unsigned, fits.CompImageHDU))

    @pytest.mark.parametrize('pack', [('.gz', gzip.compress), ('.bz2', bz2.compress)])
    def test_packed_as_a_whole(self, tmp_path, pack):
        path = write(tmp_path / 'a.fits', make_sky(shape=SHAPE).astype('i2'))
        packed = tmp_path / f'a.fits{pack[0]}'
        packed.write_bytes(pack[1](path.read_bytes()))
        (tile,) = check(packed)
        # the last ones stay in memory
        reader = SectionReader()
        reader.read(tile, BOXES)
        packed.unlink()
        assert len(reader.read(tile, BOXES)) == 4


class TestPlan:
    @settings(deadline=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 900), st.integers(1, 80), st.integers(0, 900),
                st.integers(1, 80),
            ),
            max_size=30,
        ),
        st.integers(1000, 100_000),
    )  # fmt: skip
    def test_each_box_once_in_a_block_that_holds_it(self, corners, max_pixels):
        boxes = np.array(
            [[x, x + nx, y, y + ny] for x, nx, y, ny in corners], int
        ).reshape(-1, 4)

        def cost(b):
            return (b[:, 1] - b[:, 0] + 100) * (b[:, 3] - b[:, 2])

        blocks = plan_blocks(boxes, cost=cost, max_pixels=max_pixels)
        which = [index for _, some in blocks for index in some.tolist()]
        assert sorted(which) == list(range(len(boxes)))
        for box, some in blocks:
            assert (boxes[some][:, [0, 2]] >= box[[0, 2]]).all()
            assert (boxes[some][:, [1, 3]] <= box[[1, 3]]).all()
            area = (box[1] - box[0]) * (box[3] - box[2])
            assert len(some) == 1 or area <= max_pixels
        total = sum(cost(box[np.newaxis])[0] for box, _ in blocks)
        assert total <= cost(boxes).sum()
