# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the choice of bands and of their brightness."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag as F
from galmorph.images import GalaxyImage
from galmorph.preprocessing.colour import choose_bands, mix_bands
from galmorph.preprocessing.recipe import Recipe
from tests.helpers.fits import make_wcs
from tests.helpers.galaxies import sersic_image

RECIPE = Recipe()
GREY = Recipe(bands='r', mean=(0,), std=(1,), surface_brightness=(0.67,))
SHAPE = (101, 121)


def make_image(bands='gri', level=0.0, *, noise=0.001, **options):
    """A disk, twice as bright in each band as in the one before."""
    disk = sersic_image(SHAPE, r_eff=8, flux=300)
    rng = np.random.default_rng(5)
    planes = [
        2.0**index * disk + rng.normal(level, noise, SHAPE)
        for index in range(len(bands))
    ]
    return GalaxyImage(np.array(planes, np.float32), bands=bands, **options)


def mix(image, recipe=RECIPE):
    return mix_bands(image, image.data, recipe, image.position, 16.0)


class TestChooseBands:
    @pytest.mark.parametrize(
        ('names', 'order'),
        [
            ('gri', [2, 1, 0]),
            ('irg', [0, 1, 2]),
            ('rig', [1, 0, 2]),
            ('ugriz', [3, 2, 1]),
            (('sdss_g', 'SDSS-r', 'SDSS i'), [2, 1, 0]),
            (('G', 'R', 'I'), [2, 1, 0]),
            (('r.MP9601', 'g.MP9401', 'i.MP9702'), [2, 0, 1]),
            (('r_SDSS', 'i_SDSS', 'g_SDSS'), [1, 0, 2]),
            (('HSC-R2', 'HSC-I2', 'HSC-G'), [1, 0, 2]),
            (('i_v2', 'r_v2', 'g_v2'), [0, 1, 2]),
        ],
    )
    def test_those_of_the_recipe_are_permuted(self, names, order):
        weights, flags = choose_bands(names, RECIPE)
        np.testing.assert_array_equal(weights, np.eye(len(names))[order])
        assert not flags

    @pytest.mark.parametrize(
        ('names', 'order'),
        [
            ('grz', [2, 1, 0]),
            ('zrg', [0, 1, 2]),
            (('F606W', 'F814W', 'F160W'), [2, 1, 0]),
            (('F105W', 'F435W', 'F850LP'), [0, 2, 1]),
            (('F115W', 'F200W', 'F444W'), [2, 1, 0]),
            (('F277W', 'F090W', 'F150W'), [0, 2, 1]),
            (('F410M', 'F1500W', 'F770W'), [1, 2, 0]),
            (('F656N', 'F547M', 'F098M'), [2, 0, 1]),
            (('F814W_v2.0', 'F160W_v2.0', 'F606W_v2.0'), [1, 0, 2]),
            (('r.MP9602', 'u.MP9302', 'z.MP9901'), [2, 0, 1]),
            (('a', 'b2', 'c'), [2, 1, 0]),
        ],
    )
    def test_others_run_from_red_to_blue(self, names, order):
        weights, flags = choose_bands(names, RECIPE)
        np.testing.assert_array_equal(weights, np.eye(3)[order])
        assert flags == F.OTHER_INSTRUMENT

    def test_two_bands_make_the_third(self):
        weights, _ = choose_bands(['v', 'h'], RECIPE)
        np.testing.assert_array_equal(weights, [[0, 1], [0.5, 0.5], [1, 0]])

    @pytest.mark.parametrize('n_band', range(1, 8))
    @pytest.mark.parametrize('recipe', [RECIPE, GREY])
    @pytest.mark.parametrize('is_picture', [False, True])
    def test_rows_sum_to_one(self, n_band, recipe, is_picture):
        weights, _ = choose_bands(['x'] * n_band, recipe, is_picture=is_picture)
        assert weights.shape == (len(recipe.bands), n_band)
        np.testing.assert_allclose(weights.sum(1), 1)

    def test_one_band(self):
        assert choose_bands('r', RECIPE)[1] == F.SINGLE_BAND
        assert choose_bands('k', RECIPE)[1] == F.SINGLE_BAND | F.OTHER_INSTRUMENT
        assert choose_bands('r', GREY)[1] == 0
        assert choose_bands('k', GREY)[1] == F.OTHER_INSTRUMENT
        weights, flags = choose_bands('gri', GREY)
        assert weights.tolist() == [[0, 1, 0]]
        assert not flags

    def test_one_band_of_others_is_the_nearest(self):
        recipe = dataclasses.replace(GREY, bands=('F200W',))
        weights, flags = choose_bands(('F606W', 'F160W', 'F125W'), recipe)
        assert weights.tolist() == [[0, 1, 0]]
        assert flags == F.OTHER_INSTRUMENT
        # Without a known wavelength all of them are shown.
        assert choose_bands(('x', 'F160W'), recipe)[0].tolist() == [[0.5, 0.5]]

    def test_pictures(self):
        weights, flags = choose_bands('RGB', RECIPE, is_picture=True)
        np.testing.assert_array_equal(weights, np.eye(3))
        assert not flags
        weights, flags = choose_bands('L', RECIPE, is_picture=True)
        assert (weights == 1).all()
        assert flags == F.SINGLE_BAND
        weights, flags = choose_bands('RGB', GREY, is_picture=True)
        np.testing.assert_allclose(weights, 1 / 3)
        assert not flags

    @pytest.mark.parametrize(
        ('names', 'order', 'is_other'),
        [
            ('BGR', [2, 1, 0], False),
            ('gbr', [2, 0, 1], False),
            ('gri', [2, 1, 0], False),
            (('SDSS r', 'SDSS i', 'SDSS g'), [1, 0, 2], False),
            (('F606W', 'F435W', 'F814W'), [2, 0, 1], True),
            (('first', 'second', 'third'), [0, 1, 2], True),
        ],
    )
    def test_planes_of_a_picture_are_shown_by_their_names(self, names, order, is_other):
        weights, flags = choose_bands(names, RECIPE, is_picture=True)
        np.testing.assert_array_equal(weights, np.eye(3)[order])
        assert flags == (F.OTHER_INSTRUMENT if is_other else 0)

    def test_one_band_of_a_picture(self):
        weights, flags = choose_bands('gri', GREY, is_picture=True)
        assert weights.tolist() == [[0, 1, 0]]
        assert not flags
        weights, flags = choose_bands(('F606W', 'F160W'), GREY, is_picture=True)
        assert weights.tolist() == [[1, 0]]
        assert flags == F.OTHER_INSTRUMENT
        assert not choose_bands('G', GREY, is_picture=True)[1]
        _, flags = choose_bands(['F160W'], GREY, is_picture=True)
        assert flags == F.OTHER_INSTRUMENT


class TestPictures:
    @pytest.mark.parametrize('dtype', [np.uint8, np.float32, np.float64])
    @pytest.mark.parametrize('recipe', [RECIPE, GREY])
    @pytest.mark.parametrize('n_band', [1, 3])
    def test_stay_in_their_range(self, dtype, recipe, n_band):
        values = np.random.default_rng(1).integers(0, 256, (n_band, 30, 30))
        data = (values if dtype == np.uint8 else values / 255).astype(dtype)
        image = GalaxyImage(data, is_picture=True)
        channels, flags = mix(image, recipe)
        assert channels.shape == (len(recipe.bands), 30, 30)
        assert channels.dtype in (np.uint8, np.float32)
        found = channels / 255 if channels.dtype == np.uint8 else channels
        expected = values / 255
        if n_band != len(recipe.bands):
            expected = np.broadcast_to(expected.mean(0), channels.shape)
        np.testing.assert_allclose(found, expected, atol=1e-6)
        assert not flags & F.FLUX_SCALED

    @pytest.mark.parametrize('bands', [('B', 'G', 'R'), ('g', 'r', 'i')])
    def test_order_of_the_planes_does_not_matter(self, bands):
        data = np.random.default_rng(1).integers(0, 256, (3, 30, 30), np.uint8)
        image = GalaxyImage(data, bands=bands, is_picture=True)
        turned = GalaxyImage(data[::-1], bands=bands[::-1], is_picture=True)
        channels, _ = mix(image)
        np.testing.assert_array_equal(channels, data[::-1])
        np.testing.assert_array_equal(mix(turned)[0], channels)

    def test_bytes_are_not_copied_into_floats(self):
        image = GalaxyImage(
            np.arange(300, dtype=np.uint8).reshape(3, 10, 10), is_picture=True
        )
        assert mix(image)[0].dtype == np.uint8


class TestFluxes:
    def test_calibrated_bands_keep_their_flux(self):
        wcs = make_wcs(SHAPE, scale=0.396127)
        channels, flags = mix(make_image(unit=u.nmgy, wcs=wcs, noise=0))
        disk = sersic_image(SHAPE, r_eff=8, flux=300)
        assert not flags
        sky = np.array([c[0, 0] for c in channels])
        for channel, factor in zip(channels, (4, 2, 1), strict=True):
            np.testing.assert_allclose(
                channel, factor * disk, atol=factor * (abs(sky).max() + 1e-3)
            )

    @pytest.mark.parametrize('scale', [0.2, 0.396127, 1.19])
    @pytest.mark.parametrize('unit', [u.nmgy, u.nJy, u.MJy / u.sr])
    def test_surface_brightness_does_not_depend_on_pixels_or_unit(self, scale, unit):
        wcs = make_wcs(SHAPE, scale=scale)
        # One nanomaggy in an SDSS pixel.
        area = (scale / 0.396127) ** 2
        pixel = {
            u.nmgy: area,
            u.nJy: 3631 * area,
            u.MJy / u.sr: (3631 * u.nJy / (0.396127 * u.arcsec) ** 2).to_value(
                u.MJy / u.sr
            ),
        }[unit]
        image = make_image(noise=0)
        image = GalaxyImage(image.data * pixel, bands='gri', unit=unit, wcs=wcs)
        reference = make_image(
            unit=u.nmgy, wcs=make_wcs(SHAPE, scale=0.396127), noise=0
        )
        channels, flags = mix(image)
        assert not flags
        np.testing.assert_allclose(channels, mix(reference)[0], rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize('level', [0, 50, -3])
    def test_the_sky_is_subtracted(self, level):
        wcs = make_wcs(SHAPE, scale=0.396127)
        found, _ = mix(make_image(level=level, unit=u.nmgy, wcs=wcs))
        expected, _ = mix(make_image(unit=u.nmgy, wcs=wcs))
        np.testing.assert_allclose(found, expected, atol=1e-3)

    @pytest.mark.parametrize(
        'options',
        [
            {'unit': u.nmgy},
            {'wcs': make_wcs(SHAPE)},
            {'unit': u.adu, 'wcs': make_wcs(SHAPE)},
            {'unit': u.nmgy, 'wcs': make_wcs(SHAPE), 'bands': 'grz'},
            {'unit': u.nmgy, 'wcs': make_wcs(SHAPE), 'bands': 'r'},
        ],
        ids=['no-wcs', 'no-unit', 'counts', 'other-bands', 'one-band'],
    )
    @pytest.mark.parametrize('factor', [1, 1e-20, 1e6])
    def test_others_are_scaled_to_a_typical_galaxy(self, options, factor):
        image = make_image(**options)
        image = GalaxyImage(
            image.data.astype(float) * factor, bands=image.bands, unit=image.unit,
            wcs=image.wcs,
        )  # fmt: skip
        channels, flags = mix(image)
        assert flags & F.FLUX_SCALED
        y, x = np.ogrid[: SHAPE[0], : SHAPE[1]]
        core = np.hypot(x - 60, y - 50) <= 0.4 * 16
        np.testing.assert_allclose(
            channels[:, core].mean(1), RECIPE.surface_brightness, rtol=1e-4
        )

    def test_a_galaxy_in_the_noise_stays_there(self):
        noise = np.random.default_rng(1).normal(0, 1, (3, *SHAPE))
        channels, _ = mix(GalaxyImage(noise - 0.05, bands='gri'))
        assert np.isfinite(channels).all()
        assert 0.1 < channels.std() < 10

    def test_an_empty_part_is_black(self):
        image = make_image(noise=0)
        channels, _ = mix_bands(image, np.zeros((3, 32, 32)), RECIPE, (16, 16), 5.0)
        assert np.isfinite(channels).all()

    @pytest.mark.parametrize('bands', ['gri', 'grz', 'r'])
    def test_a_unit_that_is_not_of_flux(self, bands):
        with pytest.raises(ImageError, match="unit 'K' of band"):
            mix(make_image(bands, unit=u.K, wcs=make_wcs(SHAPE)))

    def test_the_unit_of_the_recipe(self):
        recipe = dataclasses.replace(RECIPE, unit='nJy')
        image = make_image(unit=u.nmgy, wcs=make_wcs(SHAPE))
        np.testing.assert_allclose(
            mix(image, recipe)[0], 3631 * mix(image)[0], rtol=1e-5
        )

    def test_the_input_is_not_modified(self):
        image = make_image(unit=u.nmgy, wcs=make_wcs(SHAPE))
        image.data.flags.writeable = False
        before = image.data.copy()
        mix(image)
        np.testing.assert_array_equal(image.data, before)


class TestLimitsOfTheImage:
    RECIPE = dataclasses.replace(GREY, stretch='asinh-image')

    def test_flux_goes_from_0_to_1_whatever_its_unit(self):
        image = make_image('r', level=3.0)
        channels, flags = mix(image, self.RECIPE)
        assert not flags
        assert (channels.min(), channels.max()) == (0, 1)
        wanted = (image.data - image.data.min()) / np.ptp(image.data)
        np.testing.assert_allclose(channels, wanted, atol=1e-6)
        other = GalaxyImage(
            700 * image.data - 20, bands='r', unit=u.electron / u.s,
        )  # fmt: skip
        np.testing.assert_allclose(mix(other, self.RECIPE)[0], channels, atol=1e-5)

    def test_limits_are_those_of_the_frame(self):
        image = make_image('r')
        image.data[0, 2, 3] = 1e4
        frame = np.s_[20:80, 30:90]
        channels, _ = mix_bands(
            image, image.data, self.RECIPE, image.position, 16.0, frame=frame
        )
        shown = image.data[0][frame]
        wanted = (image.data[0] - shown.min()) / np.ptp(shown)
        np.testing.assert_allclose(channels[0], wanted, rtol=1e-4, atol=1e-5)

    def test_missing_pixels_set_no_limits(self):
        image = make_image('r')
        image.data[0, 50, 60] = np.nan
        mask = np.zeros((1, *SHAPE), bool)
        mask[0, 3, 3] = True
        data = image.data.copy()
        data[0, 3, 3] = -1e5
        masked = GalaxyImage(data, bands='r', mask=mask)
        filled = np.nan_to_num(image.data)
        channels, _ = mix_bands(masked, filled, self.RECIPE, (60, 50), 16.0)
        expected, _ = mix_bands(image, filled, self.RECIPE, (60, 50), 16.0)
        assert abs(channels - expected).max() < 0.01

    def test_a_frame_without_pixels_leaves_the_limits_to_the_field(self):
        image = make_image('r')
        frame = np.s_[0:0, 0:0]
        channels, _ = mix_bands(
            image, image.data, self.RECIPE, (60, 50), 16.0, frame=frame
        )
        assert (channels.min(), channels.max()) == (0, 1)
