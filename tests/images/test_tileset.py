# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Files that are damaged, missing, of other bands, grids and frames, and holes."""

import multiprocessing
import os

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.io import fits

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import TiledMosaic, open_mosaic
from galmorph.images.celestial import shift_wcs
from galmorph.images.tileset import describe
from tests.helpers.fits import make_wcs
from tests.helpers.tiles import SHAPE, divide, make_sky, positions, write

FLAGS = MorphologyFlag
#: The middles of the four tiles.
MIDDLES = [100, 100, 300, 300], [75, 225, 75, 225]


@pytest.fixture
def folder(tmp_path):
    return divide(tmp_path / 'tiles', make_sky(), make_wcs(SHAPE), FILTER='r')


@pytest.fixture
def coords():
    return make_wcs(SHAPE).pixel_to_world(*MIDDLES)


def flags(images):
    return [getattr(image, 'flag', 0) for image in images]


def cut(folder, coords, half=12.3, **options):
    return TiledMosaic(folder, **options).cutouts(coords, half)


def truncate(path, n_bytes):
    path.write_bytes(path.read_bytes()[:n_bytes])


class TestDamaged:
    @pytest.mark.parametrize('n_bytes', [10_000, 60_000])
    def test_cut_off(self, folder, coords, n_bytes):
        truncate(folder / 'tile-0-1.fits', n_bytes)
        mosaic = TiledMosaic(folder)
        images = mosaic.cutouts(coords, 12.3)
        assert flags(images) == [0, FLAGS.UNREADABLE_IMAGE, 0, 0]
        assert f'tile-0-1.fits cannot be read: it is cut off at {n_bytes}' in str(
            images[1]
        )
        assert list(mosaic.damaged) == [folder / 'tile-0-1.fits']

    def test_neighbour_helps_where_it_overlaps(self, folder):
        truncate(folder / 'tile-0-0.fits', 10_000)
        # in the part that is shared, nearer to the first; and over its edge
        coords = make_wcs(SHAPE).pixel_to_world([195.0, 214.0], [75, 75])
        sky = make_sky()
        mosaic = TiledMosaic(folder)
        assert mosaic.assign(coords, 12.6).tolist() == [2, 2]
        first, second = mosaic.cutouts(coords, 12.6)
        assert first.origin == (0, 62)
        assert first.parent_wcs is mosaic.tiles[2].wcs
        np.testing.assert_array_equal(first.data[0], sky[62:89, 190:209])
        np.testing.assert_array_equal(second.data[0], sky[62:89, 201:228])

    def test_missing_block_at_the_end_is_no_damage(self, folder, coords):
        path = folder / 'tile-0-0.fits'
        with fits.open(path) as hdulist:
            info = hdulist[0].fileinfo()
            truncate(path, info['datLoc'] + hdulist[0].size)
        assert flags(cut(folder, coords)) == [0, 0, 0, 0]

    @pytest.mark.parametrize('content', [b'', b'SIMPLE', b'PK\x03\x04' + bytes(9999)])
    def test_no_header(self, folder, coords, content):
        (folder / 'tile-0-1.fits').write_bytes(content)
        mosaic = TiledMosaic(folder)
        images = mosaic.cutouts(coords, 12.3)
        assert flags(images) == [0, FLAGS.UNREADABLE_IMAGE, 0, 0]
        assert '1 of them cannot be read, ' in str(images[1])
        assert 'tile-0-1.fits' in str(images[1])
        # that cannot be far away
        (far,) = mosaic.cutouts(SkyCoord([10], [60], unit='deg'), 9)
        assert far.flag == FLAGS.OUTSIDE_IMAGE

    def test_link_to_nowhere(self, folder, coords):
        (folder / 'tile-1-1.fits').unlink()
        (folder / 'tile-1-1.fits').symlink_to(folder / 'gone.fits')
        mosaic = TiledMosaic(f'{folder}/*.fits')
        images = mosaic.cutouts(coords, 12.3)
        assert flags(images) == [0, 0, 0, FLAGS.UNREADABLE_IMAGE]
        assert 'tile-1-1.fits: there is no such file' in str(images[3])
        assert mosaic.fingerprint()[3][1:] == [None, None]
        mosaic.check()

    @pytest.mark.filterwarnings('ignore:.*fork:DeprecationWarning')
    @pytest.mark.skipif(not hasattr(os, 'fork'), reason='users are a thing of Unix')
    def test_not_permitted(self, folder, coords):
        path = folder / 'tile-0-0.fits'
        path.chmod(0)
        is_root = os.getuid() == 0
        for parent in (folder, *folder.parents):
            # those that pytest made for this user alone
            if is_root and 'pytest' in str(parent):
                parent.chmod(0o755)

        def work(queue):
            if is_root:
                # root may read what nobody else may
                os.setgid(65534)
                os.setuid(65534)
            images = cut(folder, coords)
            queue.put([(int(getattr(i, 'flag', 0)), str(i)) for i in images])

        context = multiprocessing.get_context('fork')
        queue = context.SimpleQueue()
        process = context.Process(target=work, args=(queue,))
        process.start()
        process.join(60)
        found = queue.get() if process.exitcode == 0 else pytest.fail('no answer')
        assert [flag for flag, _ in found] == [FLAGS.UNREADABLE_IMAGE, 0, 0, 0]
        assert 'tile-0-0.fits: Permission denied' in found[0][1]

    def test_compressed(self, tmp_path):
        wcs = make_wcs(SHAPE)
        folder = divide(
            tmp_path / 'tiles',
            make_sky(),
            wcs,
            kind=fits.CompImageHDU,
            suffix='.fits.fz',
        )
        coords = wcs.pixel_to_world(*MIDDLES)
        whole = cut(folder, coords)
        path = folder / 'tile-0-0.fits.fz'
        truncate(path, path.stat().st_size // 2)
        content = bytearray((folder / 'tile-1-1.fits.fz').read_bytes())
        content[12_000:] = b'\xa5' * (len(content) - 12_000)
        (folder / 'tile-1-1.fits.fz').write_bytes(content)
        images = cut(folder, coords)
        assert images[0].flag == FLAGS.UNREADABLE_IMAGE
        assert 'tile-0-0.fits.fz cannot be read: it is cut off' in str(images[0])
        np.testing.assert_array_equal(images[1].data, whole[1].data)
        np.testing.assert_array_equal(images[2].data, whole[2].data)

    @pytest.mark.parametrize('suffix', ['.gz', '.bz2'])
    def test_packed(self, folder, coords, suffix):
        (folder / 'tile-0-0.fits').unlink()
        (folder / f'tile-0-0.fits{suffix}').write_bytes(b'\x1f\x8b\x08' + bytes(200))
        assert flags(cut(folder, coords)) == [FLAGS.UNREADABLE_IMAGE, 0, 0, 0]

    def test_that_is_found_out_while_reading(self, folder, coords, monkeypatch):
        mosaic = TiledMosaic(folder)
        _ = mosaic.tiles
        read = mosaic._reader._sections.read

        def fail(tile, boxes):
            if tile.path.name == 'tile-1-0.fits':
                raise OSError(5, 'Input/output error')
            return read(tile, boxes)

        monkeypatch.setattr(mosaic._reader._sections, 'read', fail)
        images = mosaic.cutouts(coords, 12.3)
        assert flags(images) == [0, 0, FLAGS.UNREADABLE_IMAGE, 0]
        assert 'tile-1-0.fits cannot be read: Input/output error' in str(images[2])

    def test_other_files_are_left_out(self, folder, coords):
        fits.writeto(folder / 'notes.fits', np.ones((20, 20)))
        mosaic = TiledMosaic(folder)
        assert flags(mosaic.cutouts(coords, 12.3)) == [0, 0, 0, 0]
        assert 'no image with a celestial WCS' in mosaic.damaged[folder / 'notes.fits']
        wcs = make_wcs(SHAPE)
        (image,) = mosaic.cutouts(wcs.pixel_to_world([-50], [50]), 9)
        assert image.flag == FLAGS.OUTSIDE_IMAGE

    def test_describe(self):
        assert describe(FileNotFoundError('x')) == 'there is no such file'
        assert describe(ValueError('a\n  b')) == 'a b'
        assert describe(ValueError()) == 'ValueError'


class TestHoles:
    @pytest.mark.parametrize('value', [0, np.nan])
    def test_next_tile(self, tmp_path, value):
        wcs = make_wcs(SHAPE)
        hollow = make_sky(1)
        hollow[100:200, 150:250] = value
        write(tmp_path / 'a.fits', hollow, wcs)
        write(tmp_path / 'b.fits', make_sky(2), shift_wcs(wcs, 30, 0))
        coords = wcs.pixel_to_world([200, 100], [150, 150])
        first, second = cut(tmp_path, coords)
        assert first.meta['source'].endswith('b.fits')
        assert second.meta['source'].endswith('a.fits')
        (tmp_path / 'b.fits').unlink()
        first, second = cut(tmp_path, coords)
        assert first.flag == FLAGS.NO_COVERAGE
        assert 'a.fits has no data at x=200.0, y=150.0' in str(first)
        assert min(second.shape2d) >= 26

    def test_one_band_without_data(self, tmp_path):
        wcs = make_wcs(SHAPE)
        write(tmp_path / 'a-g.fits', make_sky(1), wcs)
        write(tmp_path / 'a-r.fits', np.zeros(SHAPE, 'f4'), wcs)
        assert cut(tmp_path, wcs.pixel_to_world([200], [150]))[0].flag == (
            FLAGS.NO_COVERAGE
        )

    def test_targets_on_the_last_pixels(self, tmp_path):
        wcs = make_wcs(SHAPE)
        write(tmp_path / 'a.fits', make_sky(1), wcs)
        x = np.array([-0.49, 399.49, 200, 399.49])
        y = np.array([150, 150, 299.49, 299.49])
        images = cut(tmp_path, wcs.pixel_to_world(x, y), half=4)
        assert flags(images) == [0, 0, 0, 0]
        assert min(min(image.shape2d) for image in images) == 8


class TestBands:
    def bands(self, folder, wcs=None, **shapes):
        wcs = make_wcs(SHAPE) if wcs is None else wcs
        for number, (band, shape) in enumerate(shapes.items()):
            sky = make_sky(number)[: shape[0], : shape[1]]
            write(folder / f'{band}-{number}.fits', sky, wcs, FILTER=band, BUNIT='nJy')
        return wcs.pixel_to_world([200], [140])

    def test_all_or_chosen(self, tmp_path):
        coords = self.bands(tmp_path, g=SHAPE, r=SHAPE, z=SHAPE)
        assert TiledMosaic(tmp_path).bands == ('g', 'r', 'z')
        (image,) = cut(tmp_path, coords)
        assert image.bands == ('g', 'r', 'z')
        (image,) = cut(tmp_path, coords, bands='zg')
        assert image.bands == ('z', 'g')
        part = slice(*(round(image.position[1]) + np.array([-5, 6])))
        np.testing.assert_array_equal(
            image.data[:, part, round(image.position[0])],
            [make_sky(2)[135:146, 200], make_sky(0)[135:146, 200]],
        )
        assert len(image.meta['headers']) == 2

    def test_band_that_no_file_has(self, tmp_path):
        coords = self.bands(tmp_path, g=SHAPE, r=SHAPE)
        by_name = {'g': tmp_path / 'g-0.fits', 'r': tmp_path / 'r-1.fits'}
        for images in (tmp_path, by_name):
            (image,) = cut(images, coords, bands=('g', 'i'))
            assert image.flag == FLAGS.BANDS_MISSING
            assert "not ['i']" in str(image)
            with pytest.raises(ImageError, match=r"\['i'\] are not among") as info:
                open_mosaic(images, bands=('g', 'i'))
            assert info.value.flag == FLAGS.BANDS_MISSING

    def test_names_of_planes_come_before_those_of_headers(self, tmp_path):
        wcs = make_wcs(SHAPE)
        write(tmp_path / 'a.fits', make_sky(), wcs, FILTER='HSC-R')
        (image,) = cut(tmp_path, wcs.pixel_to_world([200], [140]), bands='r')
        assert image.bands == ('r',)

    def test_one_letter_names_of_single_planes_are_several_bands(self, tmp_path):
        coords = self.bands(tmp_path, g=SHAPE)
        (image,) = cut(tmp_path, coords, bands='gr')
        assert image.flag == FLAGS.BANDS_MISSING
        assert "['g'], not ['r']" in str(image)

    def test_names_of_files_where_the_headers_are_copies(self, tmp_path, caplog):
        wcs = make_wcs(SHAPE)
        for number, band in enumerate('gri'):
            write(tmp_path / f'ngc_{band}.fits', make_sky(number), wcs, FILTER='g')
        coords = wcs.pixel_to_world([200], [140])
        (image,) = cut(tmp_path, coords, bands='gri')
        x, y = np.round(image.position).astype(int)
        assert image.bands == ('g', 'r', 'i')
        np.testing.assert_array_equal(
            image.data[:, y, x], [make_sky(n)[140, 200] for n in range(3)]
        )
        assert 'the headers of 2 files' in caplog.text
        assert "ngc_i.fits 'g'" in caplog.text

    def test_headers_are_right_where_they_differ_from_names(self, tmp_path, caplog):
        wcs, far = make_wcs(SHAPE), make_wcs(SHAPE)
        far.wcs.crval = 151, 2.2
        write(tmp_path / 'field_u.fits', make_sky(), wcs, FILTER='g')
        write(tmp_path / 'field_z.fits', make_sky(), far, FILTER='g')
        write(tmp_path / 'again-1.fits', make_sky(), wcs, FILTER='g')
        assert TiledMosaic(tmp_path).bands == ('g',)
        assert not caplog.text

    def test_band_on_another_grid_is_said_to_be_there(self, tmp_path):
        wcs = make_wcs(SHAPE)
        coords = self.bands(tmp_path, wcs, g=SHAPE)
        binned = make_wcs((SHAPE[0] // 2, SHAPE[1] // 2), scale=0.8)
        write(tmp_path / 'half_r.fits', make_sky()[::2, ::2], binned, FILTER='r')
        (image,) = cut(tmp_path, coords)
        assert image.flag == FLAGS.BANDS_MISSING
        assert 'half_r.fits has on another grid; reproject' in str(image)

    def test_wrong_shape_costs_only_its_rows(self, tmp_path):
        coords = self.bands(tmp_path, g=SHAPE, r=(299, 400))
        east = make_wcs(SHAPE)
        east.wcs.crval = 151, 2.2
        (tmp_path / 'east').mkdir()
        more = self.bands(tmp_path / 'east', east, g=SHAPE, r=SHAPE)
        images = cut(tmp_path, SkyCoord([*coords, *more]))
        assert flags(images) == [FLAGS.BANDS_MISSING, 0]
        assert "g-0.fits has the bands ['g'], not ['r']" in str(images[0])
        images = cut(tmp_path, SkyCoord([*coords, *more]), bands='g')
        assert flags(images) == [0, 0]

    def test_missing_file_of_a_band(self, tmp_path):
        coords = self.bands(tmp_path, g=SHAPE, r=SHAPE)
        truncate(tmp_path / 'r-1.fits', 20_000)
        (image,) = cut(tmp_path, coords)
        assert image.flag == FLAGS.UNREADABLE_IMAGE
        assert 'r-1.fits' in str(image)
        assert cut(tmp_path, coords, bands='g')[0].bands == ('g',)

    def test_units_become_those_of_the_first(self, tmp_path):
        wcs = make_wcs(SHAPE)
        write(tmp_path / 'g.fits', make_sky(), wcs, FILTER='g', BUNIT='nJy')
        write(tmp_path / 'r.fits', make_sky(), wcs, FILTER='r', BUNIT='uJy')
        coords = wcs.pixel_to_world([200], [140])
        (image,) = cut(tmp_path, coords)
        assert image.unit == u.nJy
        np.testing.assert_allclose(image.data[1], 1000 * image.data[0], rtol=1e-6)
        (image,) = cut(tmp_path, coords, unit='nmgy')
        assert image.unit == u.nmgy
        np.testing.assert_array_equal(image.data[1], image.data[0])
        write(tmp_path / 'i.fits', make_sky(), wcs, FILTER='i', BUNIT='K')
        (image,) = cut(tmp_path, coords)
        assert image.flag == FLAGS.INVALID_IMAGE
        assert "'r' is in uJy, but 'g' in nJy" not in str(image)
        assert 'i.fits: band' in str(image) or 'K' in str(image)

    def test_several_hdus_and_a_cube(self, tmp_path):
        wcs = make_wcs(SHAPE)
        header = wcs.to_header()
        hdus = [
            fits.ImageHDU(make_sky(k), header, name=name)
            for k, name in enumerate(['SCI', 'ERR', 'WHT'])
        ]
        fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(tmp_path / 'a-r.fits')
        coords = wcs.pixel_to_world([200], [140])
        (image,) = cut(tmp_path, coords)
        assert image.bands == ('r',)
        x, y = (round(value) for value in image.position)
        assert image.data[0, y, x] == make_sky(0)[140, 200]
        (image,) = cut(tmp_path, coords, hdu=['SCI', 'WHT'], bands=('r', 'weight'))
        assert image.bands == ('r', 'weight')
        np.testing.assert_array_equal(
            image.data[:, y, x], [make_sky(k)[140, 200] for k in (0, 2)]
        )
        cube = make_sky(shape=(3, *SHAPE))
        write(tmp_path / 'cube.fits', cube, wcs)
        (image,) = cut(tmp_path / 'cube.fits', coords)
        assert image.bands == ('unknown',) * 3
        (image,) = cut(tmp_path / 'cube.fits', coords, bands='grz')
        assert image.bands == ('g', 'r', 'z')
        np.testing.assert_array_equal(image.data[:, y, x], cube[:, 140, 200])

    def test_chips_of_a_camera(self, tmp_path):
        wcs, sky = make_wcs(SHAPE), make_sky()
        hdus = [fits.PrimaryHDU(header=fits.Header({'FILTER': 'i'}))]
        for left in (0, 200):
            header = shift_wcs(wcs, left, 0).to_header()
            part = sky[:, left : left + 200]
            hdus += [fits.ImageHDU(part, header, name='SCI')]
            hdus += [fits.ImageHDU(0 * part, header, name='ERR')]
        fits.HDUList(hdus).writeto(tmp_path / 'a.fits')
        mosaic = TiledMosaic(tmp_path)
        assert mosaic.n_tiles == 2
        assert mosaic.bands == ('i',)
        (image,) = mosaic.cutouts(wcs.pixel_to_world([195], [140]), 12.6)
        np.testing.assert_array_equal(image.data[0], sky[127:154, 182:209])


class TestFrames:
    @pytest.mark.parametrize('frame', ['GLON', 'FK4', 'FK5', 'swapped'])
    def test_of_the_tile(self, tmp_path, frame):
        wcs, middle = make_wcs(SHAPE, rotation=33), SkyCoord(150.1, 2.2, unit='deg')
        if frame == 'GLON':
            wcs.wcs.ctype = 'GLON-TAN', 'GLAT-TAN'
            wcs.wcs.crval = middle.galactic.l.deg, middle.galactic.b.deg
            wcs.wcs.radesys = ''
        elif frame == 'swapped':
            wcs.wcs.ctype = 'DEC--TAN', 'RA---TAN'
            wcs.wcs.crval = wcs.wcs.crval[::-1]
        else:
            wcs.wcs.radesys = frame
            wcs.wcs.equinox = 1950.0 if frame == 'FK4' else 2000.0
        wcs.wcs.set()
        sky = make_sky()
        write(tmp_path / 'a.fits', sky, wcs)
        x, y = np.array([30, 200, 377]), np.array([40, 150, 255])
        coords = wcs.pixel_to_world(x, y).icrs
        images = cut(tmp_path, coords, half=9)
        for column, row, coord, image in zip(x, y, coords, images, strict=True):
            here = [round(value) for value in image.position]
            assert image.data[0, here[1], here[0]] == sky[row, column]
            np.testing.assert_allclose(
                image.wcs.world_to_pixel(coord), image.position, atol=2e-3
            )

    def test_distorted(self, tmp_path):
        wcs, sky = make_wcs(SHAPE, sip=True), make_sky()
        write(tmp_path / 'a.fits', sky, wcs)
        x, y = np.array([30, 200, 377]), np.array([40, 150, 255])
        coords = wcs.pixel_to_world(x, y)
        for column, row, image in zip(x, y, cut(tmp_path, coords), strict=True):
            here = [round(value) for value in image.position]
            assert image.data[0, here[1], here[0]] == sky[row, column]


class TestRemote:
    @pytest.fixture
    def url(self, folder):
        fsspec = pytest.importorskip('fsspec')
        system = fsspec.filesystem('memory')
        for path in folder.iterdir():
            system.pipe_file(f'/tiles/{path.name}', path.read_bytes())
        yield 'memory://tiles'
        system.store.clear()

    def test_same_cutouts(self, url, folder):
        coords = positions(make_wcs(SHAPE), 20)
        expected = cut(folder, coords)
        for images in (
            f'{url}/*.fits',
            url,
            [f'{url}/{p.name}' for p in folder.iterdir()],
        ):
            mosaic = TiledMosaic(images)
            assert mosaic.n_tiles == 4
            for one, other in zip(mosaic.cutouts(coords, 12.3), expected, strict=True):
                np.testing.assert_array_equal(one.data, other.data)
                np.testing.assert_allclose(one.position, other.position, atol=1e-9)
        assert one.meta['source'].startswith('memory://')

    def test_compressed(self, url, tmp_path):
        import fsspec

        wcs = make_wcs(SHAPE)
        path = write(tmp_path / 'a.fits.fz', make_sky(), wcs, kind=fits.CompImageHDU)
        fsspec.filesystem('memory').pipe_file('/fz/a.fits.fz', path.read_bytes())
        coords = wcs.pixel_to_world([100, 300], [75, 225])
        found = cut('memory://fz/a.fits.fz', coords)
        for one, other in zip(found, cut(path, coords), strict=True):
            np.testing.assert_array_equal(one.data, other.data)

    def test_changed_cut_off_and_missing(self, url, coords):
        import fsspec

        system = fsspec.filesystem('memory')
        mosaic = TiledMosaic(f'{url}/*.fits')
        assert mosaic.fingerprint() == TiledMosaic(f'{url}/*.fits').fingerprint()
        assert flags(mosaic.cutouts(coords, 12.3)) == [0, 0, 0, 0]
        content = system.cat_file('/tiles/tile-0-1.fits')
        system.pipe_file('/tiles/tile-0-1.fits', content[:50_000])
        with pytest.raises(OSError, match=r'tile-0-1.fits has changed'):
            mosaic.cutouts(coords, 12.3)
        again = cut(f'{url}/*.fits', coords)
        assert flags(again) == [0, FLAGS.UNREADABLE_IMAGE, 0, 0]
        with pytest.raises(FileNotFoundError, match='there is no such file'):
            TiledMosaic(f'{url}/no*.fits')

    def test_error_is_an_image_error_of_the_row(self, url, coords):
        mosaic = TiledMosaic([f'{url}/tile-0-0.fits', f'{url}/gone.fits'])
        images = mosaic.cutouts(coords[:2], 12.3)
        assert isinstance(images[1], ImageError)
        assert 'gone.fits: there is no such file' in str(images[1])
