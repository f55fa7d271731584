# Licensed under a 3-clause BSD style license - see LICENSE.rst
import dataclasses
import threading
import time

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits
from astropy.table import Column, MaskedColumn, QTable, Table
from astropy.utils.masked import Masked

from galmorph.exceptions import ChangedFileError, ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, Mosaic, TiledMosaic
from galmorph.inference import catalog
from galmorph.inference.transforms import frame_transforms
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.recipe import Recipe
from tests.helpers.fits import make_wcs
from tests.helpers.galaxies import add_noise, sersic_image
from tests.helpers.tiles import SHAPE, divide

NAN = np.nan

#: Recipes whose network sees the whole frame, of 4 radii R90 and 12 R50.
EFIGI = Recipe(frame_size=88, frame_scale=0.0445, step=1.1, output_size=80, views=(0,))
CEERS = Recipe(
    frame_size=212, frame_scale=0.08, size='half_light_radius', step=1.875,
    output_size=80, views=(0,),
)  # fmt: skip


def values_of(column):
    return Table({'size': column})


class TestSizesOf:
    @pytest.mark.parametrize(
        ('column', 'wanted'),
        [
            ([5.0, -9999, 0, NAN, np.inf], [5, NAN, NAN, NAN, NAN] * u.arcsec),
            (Column([5, 6]), [5, 6] * u.arcsec),
            (Column([5.0, 6.0], unit='pix'), [5, 6] * u.pix),
            (Column([5.0, 6.0], unit='arcmin'), [300, 360] * u.arcsec),
            (MaskedColumn([5.0, 6.0], mask=[True, False]), [NAN, 6] * u.arcsec),
            (MaskedColumn([5, 6], mask=[True, False]), [NAN, 6] * u.arcsec),
            (Column([5, 6], dtype=object), [5, 6] * u.arcsec),
        ],
    )
    def test_column(self, column, wanted):
        sizes = catalog.sizes_of(values_of(column), 'size')
        np.testing.assert_allclose(sizes.to_value(wanted.unit), wanted.value)

    @pytest.mark.parametrize(
        'column',
        [[5.0, 6.0] * u.pix, Masked([5.0, 6.0] * u.pix, mask=[False, False])],
    )
    def test_quantity_column(self, column):
        sizes = catalog.sizes_of(QTable({'size': column}), 'size')
        np.testing.assert_array_equal(sizes.value, [5, 6])
        assert sizes.unit == u.pix

    def test_masked_quantity(self):
        column = Masked([5.0, 6.0] * u.arcsec, mask=[True, False])
        sizes = catalog.sizes_of([1, 2], column)
        np.testing.assert_array_equal(sizes.value, [NAN, 6])
        assert type(sizes) is u.Quantity

    @pytest.mark.parametrize(
        'size', [5 * u.arcsec, u.Quantity(5, u.arcsec), np.full(3, 5) * u.arcsec]
    )
    def test_one_for_all_or_one_for_each(self, size):
        sizes = catalog.sizes_of(['a', 'b', 'c'], size)
        np.testing.assert_array_equal(sizes.to_value(u.arcsec), [5, 5, 5])

    def test_list_of_quantities(self):
        sizes = catalog.sizes_of(['a', 'b'], [5 * u.arcsec, 1 * u.arcmin])
        np.testing.assert_allclose(sizes.to_value(u.arcsec), [5, 60])

    def test_nothing(self):
        assert catalog.sizes_of(['a'], None) is None

    def test_no_rows(self):
        assert len(catalog.sizes_of([], 5 * u.pix)) == 0
        assert len(catalog.sizes_of(values_of(Column([], dtype=float)), 'size')) == 0

    def test_input_stays(self):
        size = [-5.0, 6.0] * u.arcsec
        catalog.sizes_of(['a', 'b'], size)
        assert size[0] == -5 * u.arcsec

    @pytest.mark.parametrize(
        ('size', 'match'),
        [
            ('radius', r"size='radius' is no column of the table; it has \['size'\]"),
            ([5, 6] * u.kpc, "size must be an angle .* not in 'kpc'"),
            (5.0, r'size must be an angle .* not 5\.0'),
            (np.array([5.0, 6.0]), 'size must be an angle .* not array'),
            ([5.0, 6.0], "not in ''"),
            ([5, 6, 7] * u.pix, 'size has 3 values, for 2 rows'),
            ([[5], [6]] * u.pix, 'size has 2 values, for 2 rows'),
            (Column(['big', 'small']), 'size must hold numbers, not <U5'),
            (Column(['5', '6']), 'size must hold numbers, not <U1'),
        ],
    )
    def test_refuses(self, size, match):
        with pytest.raises(ValueError, match=match):
            catalog.sizes_of(values_of([1.0, 2.0]), size)

    def test_names_need_a_table(self):
        with pytest.raises(ValueError, match='where there is no table'):
            catalog.sizes_of(['a.fits'], 'petroR90_r')


class TestCoordinatesOf:
    @pytest.mark.parametrize(
        'names',
        [
            ('ra', 'dec'),
            ('RA', 'DEC'),
            ('RAJ2000', 'DEJ2000'),
            ('RA_ICRS', 'DE_ICRS'),
            ('_RAJ2000', '_DEJ2000'),
            ('ALPHA_J2000', 'DELTA_J2000'),
        ],
    )
    def test_names(self, names):
        table = Table([[10.0], [20.0], [3]], names=(*names, 'id'))
        coords = catalog.coordinates_of(table)
        assert (coords.ra.deg, coords.dec.deg) == ([10], [20])

    def test_units(self):
        table = Table({'ra': [1.0] * u.hourangle, 'dec': [0.5] * u.rad})
        for kind in (Table, QTable):
            coords = catalog.coordinates_of(kind(table))
            np.testing.assert_allclose(coords.ra.deg, 15)
            np.testing.assert_allclose(coords.dec.rad, 0.5)

    def test_values_that_are_no_position_are_nan(self):
        ra = MaskedColumn([1.0, 2, 3, 4, NAN, 6], mask=[0, 1, 0, 0, 0, 0])
        table = Table({'ra': ra, 'dec': [1.0, 2, 91, -91, 5, np.inf]})
        coords = catalog.coordinates_of(table)
        assert np.isfinite(coords.ra.deg).tolist() == [True] + [False] * 5

    def test_integers(self):
        coords = catalog.coordinates_of(Table({'ra': [1, 2], 'dec': [3, 4]}))
        np.testing.assert_array_equal(coords.dec.deg, [3, 4])

    def test_masked_quantities(self):
        angles = Masked([1.0, 2.0] * u.deg, mask=[False, True])
        coords = catalog.coordinates_of(QTable({'ra': angles, 'dec': angles}))
        np.testing.assert_array_equal(coords.ra.deg, [1, NAN])

    def test_skycoord_of_any_frame_and_name(self):
        where = SkyCoord([1, 2], [3, 4], unit='deg', frame='galactic')
        table = Table({'where': where, 'ra': [0.0, 0.0], 'dec': [0.0, 0.0]})
        assert catalog.coordinates_of(table).frame.name == 'galactic'

    @pytest.mark.parametrize(
        ('columns', 'match'),
        [
            ({'id': [1]}, r"needs a SkyCoord column.*it has \['id'\]"),
            ({'ra': [1.0], 'de': [1.0]}, 'has no positions'),
            ({'ra': ['10:00:00'], 'dec': ['1:00:00']}, "'ra' must hold angles"),
            ({'ra': [1.0], 'dec': [1.0] * u.m}, "'dec' must hold angles.* in m;"),
        ],
    )
    def test_refuses(self, columns, match):
        with pytest.raises(ValueError, match=match):
            catalog.coordinates_of(Table(columns))


class TestImageColumn:
    @pytest.mark.parametrize(
        ('names', 'wanted'),
        [
            (['id', 'path'], 'path'),
            (['path', 'image'], 'image'),
            (['id', 'FileName'], 'FileName'),
            (['File', 'PATH'], 'PATH'),
        ],
    )
    def test_default(self, names, wanted):
        assert catalog.image_column(Table([['a'], ['b']], names=names)) == wanted

    def test_named(self):
        assert catalog.image_column(Table({'a': [1], 'path': [2]}), 'a') == 'a'
        with pytest.raises(ValueError, match=r"image='b' is no column"):
            catalog.image_column(Table({'a': [1], 'path': [2]}), 'b')

    def test_none(self):
        with pytest.raises(ValueError, match=r"among \['a'\]; name it with image="):
            catalog.image_column(Table({'a': [1]}))


class TestIterateTable:
    def test_masked_rows_have_no_image(self):
        paths = MaskedColumn(['a.fits', 'b.fits'], mask=[False, True])
        sizes = [1, 2] * u.pix
        rows = list(catalog.iterate_table(Table({'path': paths}), sizes=sizes))
        assert rows == [('a.fits', 1 * u.pix), (None, 2 * u.pix)]

    def test_rows_masked_in_part_keep_their_mask(self):
        data = np.zeros((3, 8, 8))
        mask = np.zeros(data.shape, bool)
        mask[1], mask[2, 0] = True, True
        table = Table({'image': MaskedColumn(data, mask=mask)})
        first, second, third = (row for row, _ in catalog.iterate_table(table))
        assert second is None
        assert third.mask.sum() == 8
        assert first.mask.sum() == 0

    def test_objects(self):
        column = np.empty(3, object)
        column[:] = [GalaxyImage(np.eye(8)), None, 'a.fits']
        rows = list(catalog.iterate_table(Table({'image': column})))
        assert [row for row, _ in rows] == list(column)

    def test_quantity_arrays_keep_their_unit(self):
        table = QTable({'image': np.zeros((2, 8, 8)) * u.nJy})
        (row, _), _ = catalog.iterate_table(table)
        assert row.unit == u.nJy

    def test_empty(self):
        table = Table({'path': np.empty(0, 'U1')})
        assert list(catalog.iterate_table(table)) == []

    def test_faults_are_found_at_once(self):
        with pytest.raises(ValueError, match='no column of images'):
            catalog.iterate_table(Table({'a': [1]}))


class TestReadRow:
    def test_given_size_wins(self):
        image = GalaxyImage(np.eye(20), size=3 * u.pix, position=(4, 5))
        read = catalog.read_row((image, 7 * u.pix))
        assert (read.size, read.position) == (7 * u.pix, (4, 5))

    @pytest.mark.parametrize('size', [None, NAN * u.arcsec])
    def test_own_size_is_kept(self, size):
        image = GalaxyImage(np.eye(20), size=3 * u.pix)
        assert catalog.read_row((image, size)).size == 3 * u.pix

    def test_options(self):
        read = catalog.read_row((np.eye(20), None), bands='r', unit='nJy')
        assert (read.bands, read.unit) == (('r',), u.nJy)

    def test_objects_that_share_a_file_are_read_in_turn(self, monkeypatch):
        inside, most = [], []

        def read_image(obj):
            inside.append(obj)
            most.append(len(inside))
            time.sleep(0.005)
            inside.remove(obj)
            return GalaxyImage(np.eye(8))

        monkeypatch.setattr(catalog, 'read_image', read_image)

        def read(objects):
            most.clear()
            threads = [
                threading.Thread(target=catalog.read_row, args=((obj, None),))
                for obj in objects
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            return max(most)

        assert read([fits.ImageHDU() for _ in range(8)]) == 1
        assert read([{'r': fits.ImageHDU()} for _ in range(8)]) == 1
        assert read([{'r': f'{i}.fits'} for i in range(8)]) > 1
        assert read([f'{i}.fits' for i in range(8)]) > 1

    def test_hdus_of_one_compressed_file(self, tmp_path):
        path = tmp_path / 'many.fits.gz'
        planes = [np.full((60, 60), i, '>f4') for i in range(40)]
        hdus = [fits.PrimaryHDU(), *map(fits.ImageHDU, planes)]
        fits.HDUList(hdus).writeto(path)
        found = {}
        with fits.open(path, lazy_load_hdus=False) as opened:

            def read(start):
                for i in range(start, 40, 4):
                    found[i] = catalog.read_row((opened[i + 1], None)).data

            threads = [threading.Thread(target=read, args=(i,)) for i in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        assert all((found[i] == i).all() for i in range(40))


class TestIterateMosaic:
    shape = (400, 500)

    def make(self, r_eff=5.0, x=250.0, y=200.0):
        light = sersic_image(self.shape, r_eff=r_eff, position=(x, y), flux=1e5)
        wcs = make_wcs(self.shape, scale=0.4)
        return Mosaic((add_noise(light, 0.3), wcs)), wcs.pixel_to_world([x], [y])

    def rows(self, mosaic, coords, **kwargs):
        rows = catalog.iterate_mosaic(mosaic, coords, Recipe(), **kwargs)
        return [
            row if isinstance(row, ImageError) else catalog.read_target(row)
            for row in rows
        ]

    @pytest.mark.parametrize('size', [6 * u.arcsec, 15 * u.pix])
    def test_known_size_gives_its_frame(self, size):
        mosaic, coords = self.make()
        (image,) = self.rows(mosaic, coords, sizes=np.atleast_1d(size))
        # 8.48 petroR90 wide, and the pixels that this cuts in part
        assert 127 <= min(image.shape2d) <= max(image.shape2d) <= 131
        assert image.size == size
        found = np.ravel(image.wcs.world_to_pixel(coords))
        np.testing.assert_allclose(found, image.position, atol=1e-6)

    @pytest.mark.parametrize(
        'recipe', [EFIGI, CEERS, dataclasses.replace(CEERS, step=1)]
    )
    def test_known_size_holds_what_is_seen(self, recipe):
        light = sersic_image((700, 700), r_eff=9.0, flux=1e5)
        wcs = make_wcs((700, 700), rotation=45)
        mosaic = Mosaic((add_noise(light, 0.3), wcs))
        coords = wcs.pixel_to_world([349.5], [349.5])
        size = [18 / recipe.radius90] * u.pix
        (row,) = catalog.iterate_mosaic(mosaic, coords, recipe, sizes=size)
        transforms = frame_transforms(48, zooms=(1 / 1.2, 1, 1.2))
        cut, whole = (
            prepare(image, recipe, transforms)
            for image in (row, mosaic.image.at((349.5, 349.5), size[0]))
        )
        assert whole.flags == cut.flags
        assert not cut.flags & MorphologyFlag.EDGE
        np.testing.assert_allclose(cut.affines, whole.affines)
        ny, nx = cut.pixels.shape[1:]
        # The level of the sky differs by its error.
        np.testing.assert_allclose(cut.pixels, whole.pixels[:, :ny, :nx], atol=1e-4)
        # sky on the border, for its level
        assert min(row.shape2d) >= 2 * 3 * 18

    @pytest.mark.parametrize(('r_eff', 'side'), [(3.0, 97), (12.0, 385)])
    def test_unknown_size_grows_until_it_fits(self, r_eff, side):
        mosaic, coords = self.make(r_eff)
        for sizes in (None, [NAN] * u.arcsec):
            (image,) = self.rows(mosaic, coords, sizes=sizes)
            assert abs(max(image.shape2d) - side) <= 2
            assert image.size is None

    def test_growing_is_left_to_the_reader(self):
        mosaic, coords = self.make()
        (row,) = catalog.iterate_mosaic(mosaic, coords, Recipe())
        assert callable(row)

    def test_faulty_targets(self):
        mosaic, coords = self.make()
        far = coords.spherical_offsets_by(1 * u.deg, 0 * u.deg)
        nan = SkyCoord([NAN], [NAN], unit='deg')
        for bad, flag in (
            (far, MorphologyFlag.OUTSIDE_IMAGE),
            (nan, MorphologyFlag.BAD_COORDINATES),
        ):
            (error,) = self.rows(mosaic, bad)
            assert error.flag == flag

    def test_chunks_make_no_difference(self):
        mosaic, _ = self.make()
        x, y = [50, 150, 250, 350.5], [50, 80, 200, 9]
        coords = mosaic.image.wcs.pixel_to_world(x, y)
        whole = self.rows(mosaic, coords, sizes=[3, NAN, 4, 5] * u.arcsec)
        parts = self.rows(mosaic, coords, sizes=[3, NAN, 4, 5] * u.arcsec, chunk_size=2)
        for one, other in zip(whole, parts, strict=True):
            np.testing.assert_array_equal(one.data, other.data)
            assert one.position == other.position

    def test_no_target(self):
        mosaic, coords = self.make()
        assert self.rows(mosaic, coords[:0]) == []

    def test_mosaic_without_wcs(self):
        with pytest.raises(ImageError, match='no celestial WCS') as info:
            catalog.iterate_mosaic(np.eye(50), SkyCoord([1], [1], unit='deg'), Recipe())
        assert info.value.flag == MorphologyFlag.NO_WCS


class TestIterateTiles:
    """Tiles on disk against the image that they were cut from."""

    @pytest.fixture
    def both(self, tmp_path):
        sky = add_noise(
            sersic_image(SHAPE, r_eff=4.0, position=(200, 150), flux=1e5), 0.3
        ).astype('float32')
        wcs = make_wcs(SHAPE, rotation=10)
        tiles = TiledMosaic(divide(tmp_path / 'tiles', sky, wcs))
        coords = wcs.pixel_to_world([200, 30, 205, 390, 120], [150, 40, 148, 290, 155])
        return tiles, Mosaic((sky, wcs)), coords

    def rows(self, mosaic, coords, **kwargs):
        rows = catalog.iterate_mosaic(mosaic, coords, Recipe(), **kwargs)
        return [catalog.read_target(row) for row in rows]

    @pytest.mark.parametrize(
        'sizes',
        [None, [3, NAN, 4, 5, 9] * u.arcsec, [8, 9, 20, NAN, 1] * u.pix,
         Masked([3, 3, 4, 5, 9] * u.arcsec, mask=[1, 0, 0, 0, 1])],
    )  # fmt: skip
    def test_as_one_image(self, both, sizes, monkeypatch):
        tiles, mosaic, coords = both
        expected = self.rows(mosaic, coords, sizes=sizes)
        for max_bytes in (catalog._MAX_BYTES, 20_000):
            # a few at a time, the largest one by one
            monkeypatch.setattr(catalog, '_MAX_BYTES', max_bytes)
            found = self.rows(tiles, coords, sizes=sizes)
            for one, other in zip(found, expected, strict=True):
                np.testing.assert_array_equal(one.data, other.data)
                np.testing.assert_allclose(one.position, other.position, atol=1e-6)
                assert one.size == other.size

    def test_paths_and_patterns(self, both):
        tiles, _, coords = both
        folder = tiles.files[0][0].parent
        for images in (folder, f'{folder}/*.fits', [path for path, _ in tiles.files]):
            assert len(self.rows(images, coords, sizes=[2] * 5 * u.arcsec)) == 5

    def test_file_that_changes_ends_the_work(self, both):
        tiles, _, coords = both
        rows = catalog.iterate_mosaic(tiles, coords, Recipe(), chunk_size=1)
        next(rows)
        for path, _ in tiles.files:
            path.unlink()
        with pytest.raises(ChangedFileError, match='is no longer there'):
            list(rows)
