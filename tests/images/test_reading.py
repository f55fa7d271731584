# Licensed under a 3-clause BSD style license - see LICENSE.rst
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import CCDData, Cutout2D, NDData
from astropy.table import Table
from astropy.wcs import WCS
from PIL import Image

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage, is_single_image, read_image, read_images
from tests.helpers.fits import make_hdu, make_pixels, make_wcs

WCS_2D = make_wcs()


@pytest.mark.parametrize(
    'obj',
    [
        make_pixels(),
        make_pixels()[np.newaxis],
        make_pixels(dtype='>f8'),
        np.ma.array(make_pixels()),
        make_pixels() * u.nJy,
        (make_pixels(), WCS_2D),
        (make_pixels() * u.nJy, WCS_2D),
        (make_hdu(), WCS_2D),
        make_hdu(wcs=WCS_2D),
        make_hdu(kind=fits.ImageHDU),
        fits.HDUList([make_hdu()]),
        NDData(make_pixels()),
        CCDData(make_pixels(), unit='nJy', wcs=WCS_2D),
        Cutout2D(make_pixels(), (24.5, 19.5), (40, 50)),
        GalaxyImage(make_pixels()),
        {'r': make_pixels()},
    ],
    ids=lambda obj: type(obj).__name__,
)
def test_every_kind_gives_the_same_pixels(obj):
    assert is_single_image(obj)
    image = read_image(obj)
    np.testing.assert_allclose(image.data, [make_pixels()], rtol=1e-6)
    (listed,) = read_images(obj)
    np.testing.assert_array_equal(listed.data, image.data)


class TestObjects:
    def test_cutout(self):
        data = make_pixels((80, 90)) * u.nmgy
        cutout = Cutout2D(data, (40.3, 30.8), 21, wcs=make_wcs((80, 90)))
        image = read_image(cutout)
        assert image.unit == u.nmgy
        assert image.position == pytest.approx((10.3, 9.8))
        sky = make_wcs((80, 90)).pixel_to_world(40.3, 30.8)
        assert image.wcs.pixel_to_world(*image.position).separation(sky) < 1e-9 * u.deg

    def test_cutout_beyond_the_edge(self):
        data, wcs = make_pixels(), make_wcs()
        cutout = Cutout2D(data, (1.3, 2), 21, wcs, mode='partial', fill_value=np.nan)
        image = read_image(cutout)
        assert np.isnan(image.data).any()
        assert image.position == pytest.approx((10.3, 10))
        sky = wcs.pixel_to_world(1.3, 2)
        assert image.wcs.pixel_to_world(*image.position).separation(sky) < 1e-9 * u.deg

    def test_trimmed_cutout(self):
        image = read_image(Cutout2D(make_pixels(), (1.3, 2), 21, mode='trim'))
        assert image.position == pytest.approx((1.3, 2))

    def test_ccddata(self):
        ccd = CCDData(
            make_pixels(),
            unit='electron/s',
            wcs=make_wcs(),
            mask=make_pixels() > 50,
            meta=fits.Header({'FILTER': 'F160W', 'PHOTFLAM': 2e-20}),
        )
        image = read_image(ccd)
        assert image.unit == u.electron / u.s
        assert image.bands == ('F160W',)
        assert image.meta['headers'][0]['PHOTFLAM'] == 2e-20
        np.testing.assert_array_equal(image.mask[0], ccd.mask)
        part = read_image(ccd[10:30, 12:40])
        assert part.wcs.wcs.crpix.tolist() == [13.5, 10.5]

    def test_unit_in_meta(self):
        assert read_image(NDData(make_pixels(), meta={'BUNIT': 'nJy'})).unit == u.nJy

    def test_wcs_of_the_tuple_wins(self):
        image = read_image((make_hdu(wcs=make_wcs(), FILTER='g'), make_wcs(scale=2)))
        assert image.pixel_scale.value == pytest.approx(2)
        assert image.bands == ('g',)

    def test_wcs_without_sky(self):
        with pytest.raises(ImageError, match='no celestial axes') as info:
            read_image((make_pixels(), WCS(naxis=2)))
        assert info.value.flag == MorphologyFlag.NO_WCS

    def test_pillow(self):
        image = read_image(Image.new('RGB', (60, 40)))
        assert image.data.shape == (3, 40, 60)
        assert image.is_picture

    def test_galaxy_image_is_itself(self):
        image = GalaxyImage(make_pixels(), size=2 * u.arcsec, position=(3, 4))
        assert read_image(image) is image
        named = read_image(image, bands='g', unit='nmgy')
        assert (named.bands, named.unit) == (('g',), u.nmgy)
        assert (named.size, named.position) == (2 * u.arcsec, (3, 4))
        assert image.unit is None

    def test_unit_given(self):
        assert read_image(make_hdu(BUNIT='adu'), unit='nJy').unit == u.nJy
        ccd = CCDData(make_pixels(), unit='adu')
        assert read_image(ccd, unit='nmgy').unit == u.nmgy


class TestDict:
    def test_bands(self):
        image = read_image({'g': make_pixels(seed=1), 'r': make_hdu(wcs=make_wcs())})
        assert image.bands == ('g', 'r')
        assert image.has_wcs

    def test_choice_and_order(self):
        planes = {band: make_pixels(seed=seed) for seed, band in enumerate('gri')}
        image = read_image(planes, bands='ig')
        assert image.bands == ('i', 'g')
        np.testing.assert_array_equal(image.data[0], planes['i'])
        assert read_image({'F160W': make_pixels()}, bands='F160W').bands == ('F160W',)
        assert read_image({'B': planes['g'], 'V': planes['r']}, bands='VB').bands == (
            ('V', 'B')
        )

    def test_missing_band(self):
        with pytest.raises(ImageError, match=r"bands \['z'\] are not among") as info:
            read_image({'g': make_pixels()}, bands='gz')
        assert info.value.flag == MorphologyFlag.BANDS_MISSING

    def test_empty(self):
        with pytest.raises(ImageError, match='are not among those given'):
            read_image({})

    def test_broken_band_is_named(self):
        with pytest.raises(ImageError, match=r"band 'r': none.fits") as info:
            read_image({'g': make_pixels(), 'r': 'none.fits'})
        assert info.value.flag == MorphologyFlag.UNREADABLE_IMAGE


class TestPaths:
    @pytest.mark.parametrize('kind', [str, Path, np.str_, bytes])
    def test_kinds(self, tmp_path, kind):
        path = tmp_path / 'a.png'
        Image.new('RGB', (60, 40)).save(path)
        path = str(path).encode() if kind is bytes else kind(path)
        assert read_image(path).shape2d == (40, 60)

    def test_upper_case_suffix(self, tmp_path):
        make_hdu().writeto(tmp_path / 'A.FITS')
        assert read_image(tmp_path / 'A.FITS').n_band == 1

    def test_suffix_says_nothing(self, tmp_path):
        Image.new('RGB', (60, 40)).save(tmp_path / 'a', format='PNG')
        assert read_image(tmp_path / 'a').is_picture

    @pytest.mark.parametrize('name', ['none', 'none.dat', '.', 'none.fits/a.jpg'])
    def test_missing(self, tmp_path, name):
        with pytest.raises(ImageError) as info:
            read_image(tmp_path / name)
        assert info.value.flag == MorphologyFlag.UNREADABLE_IMAGE


@pytest.mark.parametrize('obj', [None, np.ma.masked, '', '  ', float('nan'), b''])
def test_missing_image(obj):
    with pytest.raises(ImageError, match='there is no image') as info:
        read_image(obj)
    assert info.value.flag == MorphologyFlag.MISSING_IMAGE


@pytest.mark.parametrize('obj', [5, 3.5, object(), {1, 2}, [make_pixels()]])
def test_not_an_image(obj):
    with pytest.raises(ImageError, match='is not an image; read_image takes') as info:
        read_image(obj)
    assert info.value.flag == MorphologyFlag.INVALID_IMAGE


class TestReadImages:
    def test_bad_among_good(self, tmp_path):
        paths = []
        for number in range(33):
            path = tmp_path / f'{number}.jpg'
            pixels = np.random.default_rng(number).integers(
                0, 256, (40, 50, 3), 'uint8'
            )
            Image.fromarray(pixels).save(path)
            paths.append(str(path))
        broken = tmp_path / '7.jpg'
        broken.write_bytes(broken.read_bytes()[:900])
        images = read_images(paths)
        bad = [n for n, image in enumerate(images) if isinstance(image, ImageError)]
        assert bad == [7]
        assert images[7].flag == MorphologyFlag.UNREADABLE_IMAGE
        assert all(image.is_picture for image in images if image is not images[7])

    def test_mixed_list(self, tmp_path):
        make_hdu().writeto(tmp_path / 'a.fits')
        images = read_images(
            [
                None,
                tmp_path / 'a.fits',
                np.zeros((1, 1)),
                (make_pixels(), make_wcs()),
                5,
            ]
        )
        assert [getattr(image, 'flag', None) for image in images] == [
            MorphologyFlag.MISSING_IMAGE,
            None,
            MorphologyFlag.INVALID_IMAGE,
            None,
            MorphologyFlag.INVALID_IMAGE,
        ]

    @pytest.mark.parametrize('shape', [(4, 3, 40, 50), (4, 40, 50, 3)])
    def test_stack(self, shape):
        stack = np.random.default_rng(1).integers(0, 256, shape, 'uint8')
        images = read_images(stack)
        assert len(images) == 4
        assert all(image.data.shape == (3, 40, 50) for image in images)
        assert np.shares_memory(images[2].data, stack)

    def test_tuple_of_images(self):
        assert len(read_images((make_pixels(), make_pixels()))) == 2
        assert len(read_images((make_pixels(), make_wcs()))) == 1

    def test_column_of_paths(self, tmp_path):
        make_hdu().writeto(tmp_path / 'a.fits')
        table = Table({'path': [str(tmp_path / 'a.fits'), 'x', '']}, masked=True)
        table['path'].mask[1] = True
        images = read_images(table['path'])
        assert isinstance(images[0], GalaxyImage)
        assert images[1].flag == images[2].flag == MorphologyFlag.MISSING_IMAGE

    def test_column_of_objects(self):
        column = np.empty(2, object)
        column[:] = [GalaxyImage(make_pixels()), None]
        assert not is_single_image(column)
        assert len(read_images(column)) == 2

    def test_nothing(self):
        assert read_images([]) == []
        assert read_images(np.zeros((0, 3, 40, 50))) == []
