# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Whatever comes in: what is refused, what is flagged, what makes no difference."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.nddata import CCDData
from astropy.table import Table
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage
from tests.helpers.fits import make_wcs
from tests.helpers.galaxies import add_noise, sersic_image, star_image
from tests.helpers.tiny import draw_stamps

# Where this is an error astropy leaves the file open.
pytestmark = pytest.mark.filterwarnings('ignore:File may have been truncated')

GOOD = list(draw_stamps(32))
SHAPE = (96, 96)
FLUX = add_noise(sersic_image(SHAPE, r_eff=4, flux=3000), 0.5, level=20).astype('f4')
CUBE = np.stack([FLUX, 2 * FLUX, 3 * FLUX])
SPECTRAL = WCS({'CTYPE1': 'WAVE', 'CTYPE2': 'LINEAR', 'NAXIS': 2})

FATAL_CASES = {}
FLAGGED_CASES = {}
SAME_CASES = {}


def fatal(flag, match):
    def register(make):
        FATAL_CASES[make.__name__] = (make, MorphologyFlag[flag], match)
        return make

    return register


def flagged(*flags):
    def register(make):
        FLAGGED_CASES[make.__name__] = (make, [MorphologyFlag[flag] for flag in flags])
        return make

    return register


def same(make):
    SAME_CASES[make.__name__] = make
    return make


def spoilt(value, where=np.s_[40:44, 40:44]):
    data = FLUX.copy()
    data[where] = value
    return data


# Images that cannot be used.


@fatal('MISSING_IMAGE', 'there is no image')
def none(folder):
    return None


@fatal('MISSING_IMAGE', 'there is no image')
def masked(folder):
    return np.ma.masked


@fatal('MISSING_IMAGE', 'there is no image')
def empty_string(folder):
    return ' '


@fatal('MISSING_IMAGE', 'there is no image')
def not_a_number(folder):
    return float('nan')


@fatal('INVALID_IMAGE', 'no finite pixel')
def all_nan(folder):
    return np.full(SHAPE, np.nan)


@fatal('INVALID_IMAGE', 'no finite pixel')
def all_infinite(folder):
    return np.full((3, *SHAPE), -np.inf)


@fatal('INVALID_IMAGE', 'no finite pixel')
def all_masked(folder):
    return np.ma.masked_all(SHAPE)


@fatal('INVALID_IMAGE', 'the same value in every pixel')
def constant(folder):
    return np.full(SHAPE, 7.0)


@fatal('INVALID_IMAGE', 'the same value in every pixel')
def black_picture(folder):
    return np.zeros((*SHAPE, 3), np.uint8)


@fatal('BANDS_MISSING', "band 'unknown' of the image has")
def blank_band(folder):
    return np.stack([FLUX, FLUX * np.nan, FLUX])


@fatal('INVALID_IMAGE', r'must have the shape .* not \(0, 0\)')
def empty(folder):
    return np.zeros((0, 0))


@fatal('INVALID_IMAGE', r'\(1, 1, 1\) is too small')
def one_pixel(folder):
    return np.ones((1, 1))


@fatal('INVALID_IMAGE', 'too small')
def one_pixel_wide(folder):
    return FLUX[:, :1]


@fatal('INVALID_IMAGE', r'must have the shape .* not \(96,\)')
def one_dimension(folder):
    return FLUX[0]


@fatal('INVALID_IMAGE', 'must have the shape')
def five_dimensions(folder):
    return np.zeros((2, 2, 3, *SHAPE))


@fatal('INVALID_IMAGE', 'no axis of at most 8 bands')
def too_many_bands(folder):
    return np.zeros((40, *SHAPE))


@fatal('INVALID_IMAGE', 'real numbers, not of complex')
def complex_numbers(folder):
    return FLUX.astype(complex)


@fatal('INVALID_IMAGE', 'real numbers')
def dates(folder):
    return np.zeros(SHAPE, 'datetime64[s]')


@fatal('INVALID_IMAGE', 'type object is not an image')
def strange_object(folder):
    return object()


@fatal('INVALID_IMAGE', 'type int is not an image')
def number(folder):
    return 5


@fatal('INVALID_IMAGE', 'K')
def wrong_unit(folder):
    return GalaxyImage(CUBE, bands='gri', unit=u.K, wcs=make_wcs(SHAPE))


@fatal('NO_WCS', 'celestial')
def wcs_without_celestial_axes(folder):
    return FLUX, SPECTRAL


@fatal('NO_WCS', 'is an angle, and the image has no WCS')
def angle_without_wcs(folder):
    return GalaxyImage(FLUX, size=3 * u.arcsec)


@fatal('UNREADABLE_IMAGE', 'there is no such file')
def missing_fits(folder):
    return folder / 'no_such.fits'


@fatal('UNREADABLE_IMAGE', 'there is no such file')
def missing_jpeg(folder):
    return str(folder / 'no_such_größe.jpg')


@fatal('UNREADABLE_IMAGE', 'no_such')
def missing_bytes_path(folder):
    return bytes(folder / 'no_such.fits')


@fatal('UNREADABLE_IMAGE', 'cannot be opened')
def path_of_a_folder(folder):
    return str(folder)


@fatal('UNREADABLE_IMAGE', 'truncated.fits')
def truncated_fits(folder):
    path = folder / 'truncated.fits'
    fits.writeto(path, FLUX, overwrite=True)
    path.write_bytes(path.read_bytes()[:-9000])
    return path


@fatal('UNREADABLE_IMAGE', 'truncated.fits.gz')
def truncated_gzip(folder):
    path = folder / 'truncated.fits.gz'
    fits.writeto(path, FLUX, overwrite=True)
    path.write_bytes(path.read_bytes()[:-5000])
    return path


@fatal('UNREADABLE_IMAGE', 'text.fits')
def text_as_fits(folder):
    path = folder / 'text.fits'
    path.write_text('SIMPLY no FITS', encoding='utf-8')
    return path


@fatal('UNREADABLE_IMAGE', 'corrupt.jpg')
def corrupt_jpeg(folder):
    path = folder / 'corrupt.jpg'
    Image.fromarray(GOOD[0]).save(path)
    content = bytearray(path.read_bytes())
    content[:20] = bytes(20)
    path.write_bytes(content)
    return path


@fatal('UNREADABLE_IMAGE', 'truncated.jpg')
def truncated_jpeg(folder):
    path = folder / 'truncated.jpg'
    Image.fromarray(GOOD[0]).save(path)
    path.write_bytes(path.read_bytes()[:-400])
    return path


@fatal('UNREADABLE_IMAGE', 'empty.png')
def empty_file(folder):
    path = folder / 'empty.png'
    path.touch()
    return path


@fatal('UNREADABLE_IMAGE', "band 'g': .*no_such.fits")
def missing_band(folder):
    return {'r': FLUX, 'g': folder / 'no_such.fits'}


@fatal('INVALID_IMAGE', "band 'g' has .* pixels")
def bands_of_different_shape(folder):
    return {'r': FLUX, 'g': FLUX[:90]}


@fatal('INVALID_IMAGE', 'RGB picture must have values from 0 to 255')
def floats_beyond_one(folder):
    return 1000 * FLUX[..., None] * [1.0, 1.0, 1.0]


# Images that are used, with a flag.


@flagged('NONFINITE_PIXELS')
def some_nan(folder):
    return spoilt(np.nan)


@flagged('NONFINITE_PIXELS')
def some_infinite(folder):
    return spoilt(np.inf)


@flagged('NONFINITE_PIXELS')
def some_masked(folder):
    return np.ma.masked_equal(spoilt(-1), -1)


@flagged('NONFINITE_PIXELS')
def picture_masked_in_part(folder):
    mask = np.zeros(GOOD[0].shape, bool)
    mask[20:24, 20:24] = True
    return np.ma.array(GOOD[0], mask=mask)


@flagged('POINT_SOURCE')
def star(folder):
    return add_noise(star_image(SHAPE, fwhm=3, flux=3000), 0.1)


@flagged('NO_SOURCE', 'SIZE_UNKNOWN')
def empty_sky_at_the_target(folder):
    light = sersic_image(SHAPE, r_eff=4, flux=3000, position=(15, 15))
    return add_noise(light, 0.01)


@flagged('EDGE')
def target_at_the_edge(folder):
    return GalaxyImage(FLUX, position=(1, 50), size=6 * u.pix)


@flagged('UNRESOLVED')
def tiny_galaxy(folder):
    return GalaxyImage(FLUX, size=2 * u.pix)


@flagged('ORIENTATION_ASSUMED', 'SIZE_MEASURED', 'SINGLE_BAND', 'FLUX_SCALED')
def one_band_without_wcs(folder):
    return FLUX


@flagged('FRAME_ASSUMED')
def framed_picture(folder):
    return GOOD[0]


# Images that are as good as the plain one.


@same
def doubles(folder):
    return FLUX.astype(float)


@same
def big_endian(folder):
    return FLUX.astype('>f4')


@same
def byte_swapped(folder):
    return FLUX.astype(FLUX.dtype.newbyteorder())


@same
def read_only(folder):
    data = FLUX.copy()
    data.flags.writeable = False
    return data


@same
def strided(folder):
    return np.repeat(np.repeat(FLUX, 2, 0), 2, 1)[::2, ::2]


@same
def fortran_order(folder):
    return np.asfortranarray(FLUX)


@same
def masked_nowhere(folder):
    return np.ma.array(FLUX, mask=False)


@same
def band_first(folder):
    return FLUX[None]


@same
def extra_axes(folder):
    return FLUX[None, None]


@same
def ccd(folder):
    return CCDData(FLUX, unit='adu')


@same
def hdu_without_wcs(folder):
    return fits.ImageHDU(FLUX)


@same
def in_extension_1(folder):
    path = folder / 'extension.fits'
    hdus = [fits.PrimaryHDU(), fits.ImageHDU(FLUX)]
    fits.HDUList(hdus).writeto(path, overwrite=True)
    return path


@same
def gzipped(folder):
    path = folder / 'galaxy.fits.gz'
    fits.writeto(path, FLUX, overwrite=True)
    return path


@same
def unicode_path(folder):
    path = folder / 'galaxie ñ 銀河.fits'
    fits.writeto(path, FLUX, overwrite=True)
    return str(path)


def answers(table):
    return np.stack(
        [
            np.ma.asarray(table[name]).filled(np.nan)
            for name in table.colnames
            if table[name].dtype.kind == 'f'
        ],
        1,
    )


@pytest.mark.parametrize('name', FATAL_CASES)
class TestFatal:
    def test_alone_it_is_an_error(self, name, classifier, tmp_path):
        make, flag, match = FATAL_CASES[name]
        with pytest.raises(ImageError, match=match) as info:
            classifier.predict(make(tmp_path))
        assert info.value.flag == flag
        assert isinstance(info.value.flag, MorphologyFlag)

    def test_among_others_it_costs_its_own_row(self, name, classifier, tmp_path):
        make, flag, _ = FATAL_CASES[name]
        wanted = classifier.predict(GOOD)
        table = classifier.predict([*GOOD[:9], make(tmp_path), *GOOD[9:]])
        row, others = table[9], np.delete(np.arange(33), 9)
        assert row['morphology_flags'] == flag
        assert row['morphology_reason']
        assert np.isnan(answers(table)[9]).all()
        assert np.ma.is_masked(row['morphology_class'])
        np.testing.assert_array_equal(answers(table)[others], answers(wanted))
        np.testing.assert_array_equal(
            table['morphology_class'][others], wanted['morphology_class']
        )

    def test_in_a_table_it_costs_its_own_row(self, name, classifier, tmp_path):
        make, flag, _ = FATAL_CASES[name]
        column = np.empty(3, object)
        column[0], column[2] = GOOD[:2]
        column[1] = make(tmp_path)
        annotated = classifier.predict_table(Table({'image': column}))
        assert annotated['morphology_class'].mask.tolist() == [False, True, False]
        assert annotated['morphology_flags'][1] == flag


@pytest.mark.parametrize('name', FLAGGED_CASES)
def test_flagged(name, classifier, tmp_path):
    make, flags = FLAGGED_CASES[name]
    table = classifier.predict(make(tmp_path))
    found = MorphologyFlag(int(table['morphology_flags'][0]))
    assert [flag for flag in flags if flag not in found] == []
    assert not table['morphology_class'].mask[0]
    path = classifier.classify(make(tmp_path)).probabilities.data
    assert abs(path[:, :3].sum(1) - 1) < 1e-5
    reason = table['morphology_reason'][0]
    if MorphologyFlag.NONFINITE_PIXELS in found:
        assert 'of the pixels were filled' in reason
    else:
        assert np.ma.is_masked(reason)


@pytest.mark.parametrize('name', SAME_CASES)
def test_same(name, classifier, tmp_path):
    table = classifier.predict(SAME_CASES[name](tmp_path))
    wanted = classifier.predict(FLUX)
    np.testing.assert_allclose(answers(table), answers(wanted), atol=1e-5)
    assert table['morphology_flags'][0] == wanted['morphology_flags'][0]


class TestFilledPixels:
    def test_a_few_change_little(self, classifier):
        whole = GalaxyImage(FLUX, size=12 * u.pix)
        holes = GalaxyImage(spoilt(np.nan, np.s_[30:32, 60:62]), size=12 * u.pix)
        table = classifier.predict([whole, holes])
        first, second = answers(table)
        np.testing.assert_allclose(second, first, atol=0.02)

    def test_picture_stays_as_bright(self, classifier):
        masked_picture = np.ma.array(GOOD[0], mask=False)
        masked_picture[:2, :2] = np.ma.masked
        first, second = answers(classifier.predict([GOOD[0], masked_picture]))
        np.testing.assert_allclose(second, first, atol=0.02)


class TestAxes:
    def test_bands_first_or_last(self, classifier):
        last = np.moveaxis(CUBE, 0, -1)
        first, second = answers(
            classifier.predict([CUBE, last], bands=('g', 'r', 'i'), unit='nmgy')
        )
        np.testing.assert_allclose(second, first, atol=1e-5)

    @pytest.mark.parametrize('shape', [(4, 3, 96, 96), (4, 96, 96, 3)])
    def test_four_axes_are_a_list(self, classifier, shape):
        assert len(classifier.predict(np.random.default_rng(0).random(shape))) == 4

    def test_integers(self, classifier):
        counts = np.rint(FLUX)
        wanted = answers(classifier.predict(counts))
        for dtype in ('i2', '>i4', 'u2', 'i8'):
            found = answers(classifier.predict(counts.astype(dtype)))
            np.testing.assert_allclose(found, wanted, atol=1e-5)

    @pytest.mark.parametrize('mode', ['L', 'RGBA', 'P', 'CMYK'])
    def test_modes_of_pictures(self, classifier, mode):
        picture = Image.fromarray(GOOD[0]).convert(mode)
        path = classifier.classify(picture).probabilities.data
        wanted = classifier.classify(GOOD[0]).probabilities.data
        assert abs(path - wanted).max() < (1e-5 if mode == 'RGBA' else 0.5)


class TestAnyImage:
    @settings(max_examples=30)
    @given(
        dtype=st.sampled_from(['f4', '>f4', 'f8', '>f8', 'i2', '>i4', 'u1', 'f2']),
        shape=st.tuples(st.integers(8, 40), st.integers(8, 40)),
        n_band=st.sampled_from([None, 1, 2, 3, 5]),
        bad=st.sampled_from([None, np.nan, np.inf, -np.inf]),
        share=st.floats(0, 0.5),
        flip=st.sampled_from([None, False, True]),
        seed=st.integers(0, 99),
    )
    def test_gives_an_answer(  # noqa: PLR0917
        self, tiny_classifier, dtype, shape, n_band, bad, share, flip, seed
    ):
        rng = np.random.default_rng(seed)
        full = shape if n_band is None else (n_band, *shape)
        data = rng.integers(0, 100, full).astype(dtype)
        if bad is not None and data.dtype.kind == 'f':
            data[rng.random(full) < share] = bad
        wcs = None if flip is None else make_wcs(shape, flipped=flip)
        data.flags.writeable = False
        table = tiny_classifier.predict([(data, wcs) if wcs else data])
        assert not table['morphology_class'].mask[0]
        assert np.isfinite(answers(table)[0, 0])


@pytest.fixture(scope='module')
def tiny_classifier(tiny_card):
    from galmorph.classifier import MorphologyClassifier

    return MorphologyClassifier(tiny_card, 'cpu', n_workers=1)


def test_parity_of_the_wcs_makes_no_difference(classifier):
    shape = (97, 97)
    light = sersic_image(shape, r_eff=6, flux=9000, axis_ratio=0.3, angle=30)
    image = (light, make_wcs(shape))
    mirrored = (light[:, ::-1], make_wcs(shape, flipped=True))
    first, second = answers(classifier.predict([image, mirrored], size=14 * u.pix))
    np.testing.assert_allclose(second, first, atol=1e-3)
