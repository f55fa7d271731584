# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from PIL import Image

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.pictures import picture_from_pillow, read_picture
from tests.helpers.fits import make_pixels


def rgb(seed=0):
    pixels = make_pixels((3, 40, 50), seed=seed).clip(0, 255).astype('uint8')
    return np.moveaxis(pixels, 0, -1)


class TestReadPicture:
    @pytest.mark.parametrize('suffix', ['png', 'jpg', 'jpeg', 'webp', 'tif'])
    def test_formats(self, tmp_path, suffix):
        path = str(tmp_path / f'a.{suffix}')
        Image.fromarray(rgb()).save(path)
        image = read_picture(path)
        with Image.open(path) as decoded:
            expected = np.moveaxis(np.asarray(decoded), -1, 0)
        np.testing.assert_array_equal(image.data, expected)
        assert image.data.dtype == np.uint8
        assert image.bands == ('R', 'G', 'B')
        assert image.is_picture
        assert image.meta['source'] == path

    @pytest.mark.parametrize(
        ('mode', 'bands'),
        [
            ('L', ('L',)),
            ('1', ('L',)),
            ('LA', ('L',)),
            ('P', ('R', 'G', 'B')),
            ('RGBA', ('R', 'G', 'B')),
        ],
    )
    def test_modes(self, tmp_path, mode, bands):
        path = str(tmp_path / 'a.png')
        Image.fromarray(rgb()).convert(mode).save(path)
        assert read_picture(path).bands == bands

    def test_sixteen_bits(self, tmp_path):
        path = str(tmp_path / 'a.png')
        Image.fromarray(np.full((40, 50), 65535, np.uint16)).save(path)
        image = read_picture(path)
        assert image.bands == ('L',)
        assert image.data.max() == 1

    @pytest.mark.parametrize(('low', 'high'), [(0, 200_000), (-300, 300), (-3, 200)])
    def test_more_than_sixteen_bits(self, tmp_path, low, high):
        path = str(tmp_path / 'a.tif')
        pixels = np.linspace(low, high, 2000).astype(np.int32).reshape(40, 50)
        Image.fromarray(pixels).save(path)
        text = rf'a\.tif: .* from 0 to 65535, not {low} to {high}; scale them'
        with pytest.raises(ImageError, match=text) as info:
            read_picture(path)
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE

    @pytest.mark.parametrize('high', [255, 256, 65535])
    def test_integer_tiff(self, tmp_path, high):
        path = str(tmp_path / 'a.tif')
        pixels = np.linspace(0, high, 2000).astype(np.int32).reshape(40, 50)
        Image.fromarray(pixels).save(path)
        data = read_picture(path).data[0]
        scale = 1 if high == 255 else 65535
        np.testing.assert_allclose(data, pixels / scale, rtol=1e-6)

    def test_float_tiff_out_of_range(self, tmp_path):
        path = str(tmp_path / 'a.tif')
        Image.fromarray(np.full((40, 50), 300, np.float32)).save(path)
        with pytest.raises(ImageError, match=r'a\.tif: an RGB picture must have'):
            read_picture(path)

    def test_missing(self):
        with pytest.raises(ImageError, match='there is no such file') as info:
            read_picture('none.jpg')
        assert info.value.flag == MorphologyFlag.UNREADABLE_IMAGE

    @pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp'])
    @pytest.mark.parametrize('fraction', [0, 0.1, 0.6])
    def test_truncated(self, tmp_path, suffix, fraction):
        path = tmp_path / f'a.{suffix}'
        Image.fromarray(rgb()).save(path)
        content = path.read_bytes()
        path.write_bytes(content[: int(fraction * len(content))])
        with pytest.raises(ImageError, match='cannot be read as a picture') as info:
            read_picture(str(path))
        assert info.value.flag == MorphologyFlag.UNREADABLE_IMAGE

    def test_too_small(self, tmp_path):
        path = str(tmp_path / 'a.png')
        Image.new('RGB', (1, 1)).save(path)
        with pytest.raises(ImageError, match=r'a\.png: .*too small') as info:
            read_picture(path)
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE


class TestPillow:
    def test_open_image(self):
        image = picture_from_pillow(Image.fromarray(rgb()))
        np.testing.assert_array_equal(image.data, np.moveaxis(rgb(), -1, 0))

    def test_more_than_sixteen_bits(self):
        picture = Image.fromarray(np.full((40, 50), 70_000, np.int32))
        with pytest.raises(ImageError, match='from 0 to 65535') as info:
            picture_from_pillow(picture)
        assert info.value.flag == MorphologyFlag.INVALID_IMAGE

    def test_broken(self, tmp_path):
        path = tmp_path / 'a.png'
        Image.fromarray(rgb()).save(path)
        path.write_bytes(path.read_bytes()[:300])
        with (
            Image.open(path) as picture,
            pytest.raises(ImageError, match='cannot be decoded'),
        ):
            picture_from_pillow(picture)
