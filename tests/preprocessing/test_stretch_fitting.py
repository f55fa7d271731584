# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the stretch found from pairs made with known values."""

import io

import numpy as np
import pytest
from astropy import units as u
from astropy.visualization import make_lupton_rgb
from PIL import Image

from galmorph import GalaxyImage, Recipe
from galmorph.preprocessing import stretch as stretch_module
from galmorph.preprocessing.stretch import (
    AsinhStretch,
    LuptonStretch,
    get_stretch,
    list_stretches,
    register_stretch,
)
from galmorph.preprocessing.stretch_fitting import fit_stretch

IDLUTILS = {
    'sdss': ((4.9, 5.7, 7.8), 3.0),
    'dimage': ((4.0, 5.0, 6.0), 3.0),
    'dr8': ((5.0, 6.5, 9.0), 2.25),
}


def field(seed=0, n=200, scale=1.0):
    """Galaxies of many colours and brightnesses on a noisy sky."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:n, :n]
    image = rng.normal(0, 0.02, (3, n, n)) * np.reshape([1.2, 1, 0.8], (3, 1, 1))
    for _ in range(12):
        x0, y0 = rng.uniform(0, n, 2)
        light = np.hypot(x - x0, (y - y0) / rng.uniform(0.3, 1))
        light = 10 ** rng.uniform(-1.3, 0.5) * np.exp(-light / rng.uniform(2, 12))
        colour = np.array([1.3, 1, 0.5]) * rng.uniform(0.6, 1.5, 3)
        image += colour[:, None, None] * light
    return scale * image


def by_idlutils(image, scales, nonlinearity):
    """nw_scale_rgb, nw_arcsinh and nw_cut_to_box; shape (ny, nx, 3), bytes."""
    colours = image * np.reshape(scales, (3, 1, 1))
    radius = colours.sum(0)
    factor = np.arcsinh(radius * nonlinearity) / nonlinearity / radius
    colours = np.maximum(colours * np.where(radius > 0, factor, 0), 0)
    colours /= np.maximum(colours.max(0), 1)
    return (255 * colours.transpose(1, 2, 0)).astype(np.uint8)


def by_the_viewer(image):
    """sdss_rgb of the viewer of the Legacy Surveys, which clips each channel."""
    colours = image * np.reshape([1.0, 1.5, 2.5], (3, 1, 1))
    colours = np.maximum(colours + 0.02, 0)
    intensity = colours.mean(0)
    curve = np.arcsinh(20 * intensity) / np.sqrt(20)
    colours *= curve / np.where(intensity > 0, intensity, 1)
    return (255 * np.clip(colours, 0, 1)).transpose(1, 2, 0).astype(np.uint8)


def by_jpeg(picture, quality):
    file = io.BytesIO()
    Image.fromarray(picture).save(file, 'JPEG', quality=quality)
    return np.asarray(Image.open(file))


def assert_is(fit, scales, nonlinearity, *, rtol=0.01):
    np.testing.assert_allclose(fit.scales, scales, rtol=rtol)
    assert fit.nonlinearity == pytest.approx(nonlinearity, rel=rtol)
    found = fit.stretch.to_idlutils()
    np.testing.assert_allclose(found[0], fit.scales)
    np.testing.assert_allclose(found[1:], (fit.nonlinearity, fit.offset), atol=1e-12)


class TestKnownValues:
    @pytest.mark.parametrize('name', IDLUTILS)
    @pytest.mark.parametrize('quality', [None, 95, 90])
    def test_of_sdss(self, name, quality):
        images = [field(seed) for seed in range(3)]
        pictures = [by_idlutils(image, *IDLUTILS[name]) for image in images]
        if quality is not None:
            pictures = [by_jpeg(picture, quality) for picture in pictures]
        fit = fit_stretch(images, pictures)
        assert_is(fit, *IDLUTILS[name])
        assert fit.offset == 0
        assert fit.residual < (0.05 if quality is None else 0.3)
        assert fit.errors['nonlinearity'] < 0.01
        assert fit.n_blocks > 100

    @pytest.mark.parametrize('quality', [None, 95, 90])
    def test_of_the_legacy_surveys(self, quality):
        image = field(scale=0.3)
        picture = by_the_viewer(image)
        if quality is not None:
            picture = by_jpeg(picture, quality)
        fit = fit_stretch(image, picture)
        scales, nonlinearity, offset = get_stretch('legacy').to_idlutils()
        assert_is(fit, scales, nonlinearity)
        assert fit.offset == pytest.approx(offset, rel=0.05)
        known = fit_stretch(image, picture, offset=offset)
        assert_is(known, scales, nonlinearity)
        assert known.offset == offset

    def test_of_hubble_by_astropy(self):
        hst, image = get_stretch('hst'), field(scale=5)
        picture = make_lupton_rgb(
            *(image * np.reshape(hst.scales, (3, 1, 1))), minimum=0,
            Q=hst.softening, stretch=hst.stretch,
        )  # fmt: skip
        fit = fit_stretch(image, picture)
        assert_is(fit, *hst.to_idlutils()[:2])

    def test_single_small_pair(self):
        image = field(3, n=100)
        fit = fit_stretch(image, by_idlutils(image, (4.9, 5.7, 7.8), 3))
        assert_is(fit, (4.9, 5.7, 7.8), 3)


class TestInputs:
    scales = (4.9, 5.7, 7.8)

    @pytest.fixture
    def pair(self):
        image = field()
        return image, by_idlutils(image, self.scales, 3)

    @pytest.mark.parametrize('is_flipped', [False, True])
    def test_upside_down(self, pair, is_flipped):
        image, picture = pair
        fit = fit_stretch(image, picture[::-1] if is_flipped else picture)
        assert fit.is_flipped == (is_flipped,)
        assert_is(fit, self.scales, 3)

    def test_pictures_of_all_kinds(self, pair):
        image, picture = pair
        planes = picture.transpose(2, 0, 1)
        for same in (planes, planes / 255, GalaxyImage(planes, is_picture=True)):
            assert_is(fit_stretch(image, same), self.scales, 3)

    def test_bands_in_any_order(self, pair):
        image, picture = pair
        galaxy = GalaxyImage(image[[2, 0, 1]], bands='gir', unit='nmgy')
        assert_is(fit_stretch([galaxy], [picture]), self.scales, 3)
        unknown = GalaxyImage(image, bands=('a', 'b', 'c'))
        assert_is(fit_stretch(unknown, picture), self.scales, 3)
        assert_is(fit_stretch(image * u.nJy, picture), self.scales, 3)

    def test_what_is_masked_or_not_finite_is_left_out(self, pair):
        image, picture = pair
        image, mask = image.copy(), np.zeros((200, 200), bool)
        image[1, 40:60, :] = np.nan
        image[:, 100:130, 20:90] = 9.9
        mask[100:130, 20:90] = True
        galaxy = GalaxyImage(image, bands='irg', mask=mask)
        assert_is(fit_stretch(galaxy, picture), self.scales, 3)
        masked = np.ma.masked_array(image, np.broadcast_to(mask, image.shape))
        assert_is(fit_stretch(masked, picture), self.scales, 3)

    def test_report_is_readable(self, pair):
        text = str(fit_stretch(*pair))
        assert text.startswith('scales        4.')
        assert 'of 255, in ' in text


class TestErrors:
    def test_shapes(self):
        image, picture = field(n=64), np.zeros((64, 64, 3), np.uint8)
        cases = [
            (image, picture[:50], r'pair 0: .* \(3, 64, 64\), and .* \(3, 50, 64\)'),
            (image[:2], picture, r'an image must have the shape \(3, ny, nx\)'),
            (image[0], picture, 'an image must have the shape'),
            (image, picture[..., 0], 'a picture must have the shape'),
            ([image], [picture, picture], '1 images do not go with 2 pictures'),
            ([], [], '0 images do not go with 0 pictures'),
            (GalaxyImage(picture.transpose(2, 0, 1), is_picture=True), picture,
             'images must be fluxes'),
        ]  # fmt: skip
        for images, pictures, message in cases:
            with pytest.raises(ValueError, match=message):
                fit_stretch(images, pictures)

    @pytest.mark.parametrize('value', [0, 255])
    def test_black_or_saturated(self, value):
        picture = np.full((200, 200, 3), value, np.uint8)
        with pytest.raises(ValueError, match='too little to see'):
            fit_stretch(field(), picture)

    def test_all_masked(self):
        image = np.full((3, 200, 200), np.nan)
        with pytest.raises(ValueError, match='too little to see'):
            fit_stretch(image, np.full((200, 200, 3), 90, np.uint8))

    def test_constant(self):
        picture = by_idlutils(field(), (4.9, 5.7, 7.8), 3)
        image = field()
        image[2] = 0.1
        with pytest.raises(ValueError, match='the blue band is constant'):
            fit_stretch(image, picture)
        with pytest.raises(ValueError, match=r'constant|not brighter'):
            fit_stretch(np.full((3, 200, 200), 0.1), picture)

    def test_faint_only(self):
        y, x = np.mgrid[:200, :200]
        image = 0.01 + np.stack([x, y, x + y]) * 2e-6
        picture = by_idlutils(image, (5, 6, 7), 0.5)
        with pytest.raises(ValueError, match='do not tell the'):
            fit_stretch(image, picture)

    def test_that_have_nothing_in_common(self):
        noise = np.random.default_rng(0).integers(20, 230, (200, 200, 3), np.uint8)
        with pytest.raises(
            ValueError, match=r'do not tell|no stretch leads|not brighter'
        ):
            fit_stretch(field(), noise)


class TestRegister:
    @pytest.fixture(autouse=True)
    def _empty(self, monkeypatch):
        monkeypatch.setattr(stretch_module, '_registered', {})

    def test_is_offered_to_recipes(self):
        stretch = LuptonStretch((1, 2, 3), 1, 2)
        with pytest.raises(ValueError, match="there is no stretch 'mine'"):
            Recipe(stretch='mine')
        register_stretch('mine', stretch)
        assert get_stretch(Recipe(stretch='mine').stretch) is stretch
        assert 'mine' in list_stretches()
        register_stretch('mine', AsinhStretch(0.2))
        assert get_stretch('mine') == AsinhStretch(0.2)

    def test_refuses(self):
        with pytest.raises(ValueError, match="'sdss' is a stretch of the package"):
            register_stretch('sdss', LuptonStretch((1, 2, 3), 1, 2))
        with pytest.raises(TypeError, match='must be a LuptonStretch or an Asinh'):
            register_stretch('mine', lambda fluxes: fluxes)


@pytest.mark.parametrize('scales', [(4.9, 5.7, 7.8), (1, 1, 1)])
@pytest.mark.parametrize('nonlinearity', [0.1, 3, 12])
def test_idlutils_forth_and_back(scales, nonlinearity):
    stretch = LuptonStretch.from_idlutils(scales, nonlinearity, offset=0.1)
    found = stretch.to_idlutils()
    np.testing.assert_allclose(found[0], scales)
    np.testing.assert_allclose(found[1:], (nonlinearity, 0.1))
