# Licensed under a 3-clause BSD style license - see LICENSE.rst
import bz2
import gzip
import warnings

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import check_content, read_image, read_images
from galmorph.images.fits import image_from_hdu, image_from_hdulist, read_fits
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.fits import DEC, RA, make_hdu, make_pixels, make_wcs


def write(path, hdu=None):
    hdu = (
        make_hdu(wcs=make_wcs(), FILTER='r', BUNIT='nanomaggy') if hdu is None else hdu
    )
    hdu.writeto(path)
    return str(path)


def packed(path, pack):
    path.write_bytes(pack.compress(path.read_bytes()))
    return str(path)


class TestReadFITS:
    def test_plain(self, tmp_path):
        path = write(tmp_path / 'a.fits')
        image = read_fits(path)
        np.testing.assert_array_equal(image.data[0], make_pixels())
        assert image.data.dtype.isnative
        assert image.bands == ('r',)
        assert image.unit == u.nmgy
        assert image.wcs.wcs.crval.tolist() == [RA, DEC]
        assert image.meta['source'] == path
        assert image.meta['headers'][0]['BUNIT'] == 'nanomaggy'
        assert not image.is_picture

    @pytest.mark.parametrize(('suffix', 'pack'), [('gz', gzip), ('bz2', bz2)])
    def test_compressed(self, tmp_path, suffix, pack):
        path = tmp_path / f'a.fits.{suffix}'
        if suffix == 'gz':
            write(path)
        else:
            write(tmp_path / 'a.fits')
            path.write_bytes(pack.compress((tmp_path / 'a.fits').read_bytes()))
        np.testing.assert_array_equal(read_image(path).data[0], make_pixels())

    def test_fpack(self, tmp_path):
        hdu = make_hdu(kind=fits.CompImageHDU, wcs=make_wcs(), FILTER='g')
        path = write(tmp_path / 'a.fits.fz', fits.HDUList([fits.PrimaryHDU(), hdu]))
        image = read_image(path)
        assert np.abs(image.data[0] - make_pixels()).max() < 1
        assert image.bands == ('g',)
        assert image.has_wcs

    @pytest.mark.parametrize(
        'name', ['galaxie spirale é.fits', '銀河.fits', 'star★.fit']
    )
    def test_unicode_path(self, tmp_path, name):
        assert read_image(write(tmp_path / name)).n_band == 1

    def test_name_without_suffix(self, tmp_path):
        assert read_image(write(tmp_path / 'cutout')).bands == ('r',)

    @pytest.mark.parametrize('dtype', ['u1', 'i2', 'u2', 'i4', 'i8', 'f4', 'f8'])
    def test_types(self, tmp_path, dtype):
        pixels = make_pixels(dtype=dtype)
        image = read_fits(write(tmp_path / 'a.fits', fits.PrimaryHDU(pixels)))
        np.testing.assert_array_equal(image.data[0], pixels)
        assert image.data.flags.writeable
        (tmp_path / 'a.fits').unlink()
        assert image.data.sum() > 0

    def test_blank_integers_are_nan(self, tmp_path):
        hdu = fits.PrimaryHDU(make_pixels(dtype='i2'))
        hdu.data[3, 4] = -9
        hdu.header['BLANK'] = -9
        image = read_fits(write(tmp_path / 'a.fits', hdu))
        assert np.argwhere(np.isnan(image.data)).tolist() == [[0, 3, 4]]

    def test_missing(self, tmp_path):
        with pytest.raises(ImageError, match=r'none.fits: there is no such') as info:
            read_fits(str(tmp_path / 'none.fits'))
        assert info.value.flag == MorphologyFlag.UNREADABLE_IMAGE

    @pytest.mark.parametrize('suffix', ['fits', 'fits.gz', 'fits.bz2', 'fits.fz'])
    @pytest.mark.parametrize('fraction', [0, 0.01, 0.3, 0.7])
    def test_truncated(self, tmp_path, suffix, fraction):
        path = tmp_path / f'a.{suffix}'
        kind = fits.CompImageHDU if suffix.endswith('fz') else fits.ImageHDU
        hdu = make_hdu(make_pixels((90, 90)), kind=kind)
        write(tmp_path / 'whole.fits', fits.HDUList([fits.PrimaryHDU(), hdu]))
        whole = (tmp_path / 'whole.fits').read_bytes()
        pack = {'gz': gzip.compress, 'bz2': bz2.compress}.get(suffix[5:], bytes)
        content = pack(whole)
        path.write_bytes(content[: int(fraction * len(content))])
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', AstropyUserWarning)
            (error,) = read_images(path)
        assert str(path) in str(error)
        assert error.flag == MorphologyFlag.UNREADABLE_IMAGE

    def test_truncated_after_the_first_band(self, tmp_path):
        path = tmp_path / 'a.fits.gz'
        write(path, bands_list('g', 'r', 'i'))
        path.write_bytes(path.read_bytes()[:-20_000])
        (error,) = read_images(path)
        assert error.flag == MorphologyFlag.UNREADABLE_IMAGE

    def test_gzip_of_unpadded_file(self, tmp_path):
        path = tmp_path / 'a.fits.gz'
        write(tmp_path / 'a.fits')
        content = (tmp_path / 'a.fits').read_bytes()
        path.write_bytes(gzip.compress(content + b'\0' * 100))
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', AstropyUserWarning)
            assert read_image(path).n_band == 1

    def test_web_page_instead_of_fits(self, tmp_path):
        (tmp_path / 'a.fits').write_text('<html>503</html>' * 500)
        with pytest.raises(ImageError, match='cannot be read as FITS') as info:
            read_fits(str(tmp_path / 'a.fits'))
        assert info.value.flag == MorphologyFlag.UNREADABLE_IMAGE

    def test_file_is_closed(self, tmp_path):
        path = write(tmp_path / 'a.fits')
        with warnings.catch_warnings():
            warnings.simplefilter('error', ResourceWarning)
            for _ in range(3):
                read_fits(path)


def bands_list(*names, primary=None, **kwargs):
    hdus = [
        make_hdu(make_pixels(seed=seed), make_wcs(), fits.ImageHDU, EXTNAME=name)
        for seed, name in enumerate(names)
    ]
    for hdu in hdus:
        hdu.header.update(kwargs)
    return fits.HDUList([fits.PrimaryHDU(header=primary), *hdus])


class TestHDUList:
    def test_extension_inherits(self):
        primary = fits.Header({'FILTER': 'F606W', 'BUNIT': 'DN/S', 'PHOTFLAM': 1e-20})
        hdulist = bands_list('SCI', primary=primary, BUNIT='ELECTRONS/S')
        image = image_from_hdulist(hdulist)
        assert image.bands == ('F606W',)
        assert image.unit == u.electron / u.s
        assert image.meta['headers'][0]['PHOTFLAM'] == 1e-20
        assert 'PHOTFLAM' not in hdulist[1].header

    def test_error_and_weight_are_not_bands(self):
        primary = fits.Header({'FILTER': 'F606W'})
        for names in (('SCI', 'ERR', 'DQ'), ('SCI', 'WHT', 'CTX'), ('', '', '')):
            assert image_from_hdulist(bands_list(*names, primary=primary)).n_band == 1

    def test_extensions_named_as_bands(self):
        image = image_from_hdulist(bands_list('g', 'r', 'i', 'WHT'))
        assert image.bands == ('g', 'r', 'i')
        np.testing.assert_array_equal(image.data[2], make_pixels(seed=2))
        assert len(image.meta['headers']) == 3

    def test_mast_cutouts(self):
        hdulist = bands_list('CUTOUT', 'CUTOUT')
        for hdu, band in zip(hdulist[1:], ('f606w', 'f814w'), strict=True):
            hdu.header['ORIG_FLE'] = f'hlsp_candels_hst_acs_gn_{band}_v1.0_drz.fits'
        assert image_from_hdulist(hdulist).bands == ('F606W', 'F814W')

    def test_one_band_twice(self):
        assert image_from_hdulist(bands_list('A', 'B', FILTER='r')).n_band == 1

    def test_bands_on_different_grids(self):
        hdulist = bands_list('g', 'r')
        hdulist[2].header['CRPIX1'] += 5
        with pytest.raises(ImageError, match='off that of the others by 5 pixels'):
            image_from_hdulist(hdulist)

    @pytest.mark.parametrize(
        ('hdu', 'seeds'),
        [(1, [0]), ('WHT', [1]), (('SCI', 1), [0]), ([1, 'WHT'], [0, 1]), ([2], [1])],
    )
    def test_chosen(self, hdu, seeds):
        image = image_from_hdulist(bands_list('SCI', 'WHT'), hdu=hdu)
        expected = [make_pixels(seed=seed) for seed in seeds]
        np.testing.assert_array_equal(image.data, expected)

    def test_names_given(self):
        hdulist = bands_list('SCI', 'WHT')
        assert image_from_hdulist(hdulist, hdu=[1, 2], bands='gr').bands == ('g', 'r')
        with pytest.raises(ImageError, match='3 bands, but there are 2 HDUs'):
            image_from_hdulist(hdulist, hdu=[1, 2], bands='grz')

    @pytest.mark.parametrize('hdu', [7, 'SCI2', ['SCI', 9]])
    def test_no_such_hdu(self, hdu):
        with pytest.raises(ImageError, match='is not among the HDUs') as info:
            image_from_hdulist(bands_list('SCI'), hdu=hdu)
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE

    @pytest.mark.parametrize(
        'hdus',
        [
            [fits.PrimaryHDU()],
            [fits.PrimaryHDU(np.zeros(30))],
            [fits.PrimaryHDU(), fits.BinTableHDU.from_columns([])],
        ],
    )
    def test_no_image(self, hdus):
        with pytest.raises(ImageError, match='no image with two axes') as info:
            image_from_hdulist(fits.HDUList(hdus))
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE


class TestHDU:
    def test_cube(self):
        hdu = make_hdu(make_pixels((3, 40, 50)), make_wcs(), BANDS='grz')
        image = image_from_hdu(hdu)
        assert image.bands == ('g', 'r', 'z')
        assert image.meta['headers'] == [hdu.header] * 3
        assert image.wcs.naxis == 2

    def test_degenerate_axes(self):
        hdu = make_hdu(make_pixels((1, 1, 40, 50)), make_wcs())
        assert image_from_hdu(hdu).data.shape == (1, 40, 50)

    @pytest.mark.parametrize('is_last', [True, False])
    def test_rgb_without_wcs_is_turned_upright(self, is_last):
        pixels = make_pixels((3, 40, 50), dtype='uint8')
        array = np.moveaxis(pixels, 0, -1) if is_last else pixels
        image = image_from_hdu(fits.PrimaryHDU(array))
        assert image.is_picture
        np.testing.assert_array_equal(image.data, pixels[:, ::-1])

    def test_rgb_with_wcs_stays(self):
        pixels = make_pixels((3, 40, 50), dtype='uint8')
        image = image_from_hdu(make_hdu(pixels, make_wcs()))
        assert image.is_picture
        np.testing.assert_array_equal(image.data, pixels)

    def test_table(self):
        with pytest.raises(ImageError, match='holds no image'):
            image_from_hdu(fits.BinTableHDU.from_columns([]))

    def test_spectrum(self):
        hdu = make_hdu(CTYPE1='WAVE', CTYPE2='LINEAR')
        with pytest.raises(ImageError, match='no two celestial axes') as info:
            image_from_hdu(hdu)
        assert info.value.flag == MorphologyFlag.NO_WCS

    def test_input_is_not_modified(self):
        hdu = make_hdu(make_pixels(dtype='>f4'), make_wcs())
        before = hdu.header.copy()
        image_from_hdu(hdu, bands='g', unit='nJy')
        assert hdu.header == before
        np.testing.assert_array_equal(hdu.data, make_pixels())


@needs_shared_data
class TestRealFiles:
    @pytest.mark.parametrize('folder', ['fits', 'candels_goodss'])
    def test_all_can_be_read(self, folder):
        paths = sorted((SHARED_DATA / folder).rglob('*.fits.*'))
        assert paths
        for path in paths:
            image = read_image(path)
            check_content(image)
            if image.has_wcs:
                assert 0.05 < image.pixel_scale.value < 1.2

    def test_decals_cube(self):
        image = read_image(SHARED_DATA / 'fits' / 'decals_grz_a.fits.gz')
        assert image.bands == ('g', 'r', 'z')
        assert image.data.shape == (3, 509, 509)
        assert image.pixel_scale.value == pytest.approx(0.262, abs=1e-6)

    def test_bands_in_three_files(self):
        folder = SHARED_DATA / 'fits' / 'sdss_ngc6976'
        image = read_image(
            {band: folder / f'reprojected_sdss_{band}.fits.bz2' for band in 'gri'}
        )
        assert image.bands == ('g', 'r', 'i')
        assert image.unit == u.nmgy

    def test_candels_bands_lie_on_one_grid(self):
        # their headers carry SIP terms that CTYPE does not ask for: with these
        # the bands lie 200 pixels apart
        stem = str(SHARED_DATA / 'candels_goodss' / 'fits' / 'GDS_deep2_10673_')
        image = read_image({band: f'{stem}{band}.fits.gz' for band in 'hjvz'})
        assert image.n_band == 4
        assert image.pixel_scale.value == pytest.approx(0.06, abs=1e-5)
