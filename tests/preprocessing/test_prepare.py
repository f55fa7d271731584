# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the way from any image to what the one resample needs."""

import dataclasses
import functools

import numpy as np
import pytest
import torch
from astropy import units as u
from astropy.io import fits
from astropy.visualization import make_lupton_rgb, simple_norm
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag as F
from galmorph.images import GalaxyImage, read_image
from galmorph.inference.engine import Engine
from galmorph.preprocessing import render as render_module
from galmorph.preprocessing.prepare import measure_image, prepare
from galmorph.preprocessing.recipe import Recipe
from tests.helpers.fits import make_hdu, make_wcs
from tests.helpers.galaxies import sersic_image, star_image

RECIPE = Recipe()
GREY = Recipe(bands='r', mean=(0,), std=(1,), surface_brightness=(0.67,))
SDSS = 0.396127


class Ones(torch.nn.Module):
    """A network that is not asked for anything."""

    def forward(self, views):
        return views.new_ones(len(views), 37)


def show(image, recipe=RECIPE, transforms=None):
    """The views of one image, (n_transform, n_view, n_channel, ny, nx)."""
    engine = Engine(Ones(), recipe, device='cpu')
    return engine.render([prepare(image, recipe, transforms)])[0].numpy()


def field(wcs, shape, *, flux=400.0):
    """
    A disk at the centre, with a blob north and a fainter one east of it.

    The offsets on the sky are 8 arcsec north and 6 arcsec east.
    """
    ny, nx = shape
    centre = (nx - 1) / 2, (ny - 1) / 2
    affine = np.linalg.inv(wcs.pixel_scale_matrix * 3600)
    pixels = sersic_image(
        shape, r_eff=3 * np.sqrt(abs(np.linalg.det(affine))), flux=flux
    )
    scale = np.sqrt(abs(np.linalg.det(affine)))
    y, x = np.mgrid[:ny, :nx]
    sigma = 2 * scale / 2.3548
    for east, north, share in ((0, 8, 0.3), (6, 0, 0.15)):
        blob_x, blob_y = centre + affine @ (east, north)
        squared = (x - blob_x) ** 2 + (y - blob_y) ** 2
        gauss = np.exp(-squared / (2 * sigma**2)) / (2 * np.pi * sigma**2)
        pixels += share * flux * gauss
    return pixels


def sdss_wcs(shape, **options):
    return make_wcs(shape, scale=SDSS, **options)


def sdss_image(shape=(151, 161), *, size=10 * u.arcsec, dtype=np.float32, **options):
    wcs = sdss_wcs(shape, **options)
    pixels = field(wcs, shape) * np.reshape([1, 2, 3], (3, 1, 1))
    return GalaxyImage(
        pixels.astype(dtype), bands='gri', unit=u.nmgy, wcs=wcs, size=size
    )


@functools.cache
def reference():
    return show(sdss_image())


def blobs(view):
    """Offsets (right, down) of the blobs from the middle, in output pixels."""
    plane = view.mean(0)
    y, x = np.mgrid[:69, :69] - 34
    found = []
    plane = np.where(np.hypot(x, y) < 8, 0, plane)
    for _ in range(2):
        j, i = np.unravel_index(plane.argmax(), plane.shape)
        found.append((i - 34, j - 34))
        plane = np.where(np.hypot(x - i + 34, y - j + 34) < 6, 0, plane)
    return found


def stamp(n_pixels, dtype=np.uint8):
    """A picture of one galaxy, framed as the recipe asks."""
    unit = n_pixels / 424
    galaxy = sersic_image(
        (n_pixels, n_pixels), r_eff=25 * unit, axis_ratio=0.5, angle=30,
        flux=unit**2, psf_sigma=3 * unit,
    )  # fmt: skip
    picture = np.arcsinh(galaxy / galaxy.max() * 10)
    picture = picture / picture.max() * np.reshape([0.9, 0.7, 0.5], (3, 1, 1))
    picture = (255 * picture).round() if dtype == np.uint8 else picture
    return GalaxyImage(picture.astype(dtype), is_picture=True)


class TestOrientation:
    # One output pixel is 3 x 0.02 x 10 arcsec: 8 arcsec north are 13.3 pixels
    # up, 6 arcsec east 10 pixels left.
    expected = ((0, -8 / 0.6), (-6 / 0.6, 0))

    @pytest.mark.parametrize('flipped', [False, True])
    @pytest.mark.parametrize('rotation', [0, 82, 180, 270])
    def test_fits_is_north_up_east_left(self, tmp_path, rotation, flipped):
        shape = (151, 161)
        wcs = sdss_wcs(shape, rotation=rotation, flipped=flipped)
        hdu = make_hdu(
            field(wcs, shape).astype('f4'), wcs, FILTER='r', BUNIT='nanomaggy'
        )
        hdu.writeto(tmp_path / 'field.fits')
        image = read_image(tmp_path / 'field.fits')
        image = image.at(image.position, 10 * u.arcsec)
        views = show(image)[0]
        np.testing.assert_allclose(blobs(views[0]), self.expected, atol=1)

    def test_jpeg_of_a_survey_is_north_up_east_left(self, tmp_path):
        # 424 pixels of 0.02 petroR90; the top row of a JPEG is the north.
        wcs = make_wcs((424, 424), scale=0.2)
        pixels = np.arcsinh(20 * field(wcs, (424, 424)))[::-1]
        picture = np.repeat((255 * pixels / pixels.max()).astype('u1')[..., None], 3, 2)
        Image.fromarray(picture).save(tmp_path / 'stamp.jpg', quality=98)
        views = show(read_image(tmp_path / 'stamp.jpg'))[0]
        np.testing.assert_allclose(blobs(views[0]), self.expected, atol=1)

    def test_without_a_wcs_row_0_of_fits_is_the_south(self):
        image = sdss_image()
        image = GalaxyImage(image.data, bands='gri', size=10 / SDSS * u.pix)
        prepared = prepare(image, RECIPE)
        assert prepared.flags == F.ORIENTATION_ASSUMED | F.FLUX_SCALED
        np.testing.assert_allclose(blobs(show(image)[0, 0]), self.expected, atol=1)

    def test_a_picture_with_a_wcs_follows_it(self):
        wcs = make_wcs((424, 424), scale=0.2, rotation=130, flipped=True)
        pixels = np.arcsinh(20 * field(wcs, (424, 424)))
        image = GalaxyImage(
            np.repeat(pixels[None] / pixels.max(), 3, 0), wcs=wcs, is_picture=True,
            size=10 * u.arcsec,
        )  # fmt: skip
        assert prepare(image, RECIPE).flags == 0
        np.testing.assert_allclose(blobs(show(image)[0, 0]), self.expected, atol=1)

    def test_the_second_view_is_turned_by_45_degrees(self):
        turned = np.array(blobs(reference()[0, 1])) @ [1, 1j]
        plain = np.array(blobs(reference()[0, 0])) @ [1, 1j]
        angles = np.degrees(np.angle(turned / plain))
        np.testing.assert_allclose(angles, -45, atol=5)

    def test_transforms_act_on_the_frame(self):
        transforms = np.stack([np.eye(3), np.diag([-1.0, 1, 1])])
        views = show(sdss_image(), transforms=transforms)
        assert views.shape == (2, 2, 3, 69, 69)
        np.testing.assert_allclose(views[1, 0], views[0, 0, :, :, ::-1], atol=1e-4)

    @settings(max_examples=15)
    @given(
        rotation=st.floats(0, 360),
        flipped=st.booleans(),
        dtype=st.sampled_from(['<f4', '>f4', '<f8', '>f8']),
        missing=st.integers(0, 20),
        seed=st.integers(0, 99),
        is_masked=st.booleans(),
    )
    def test_how_an_image_is_stored_does_not_matter(
        self, *, rotation, flipped, dtype, missing, seed, is_masked
    ):
        image = sdss_image(rotation=rotation, flipped=flipped, dtype=np.dtype(dtype))
        data, mask = image.data.copy(), None
        rng = np.random.default_rng(seed)
        y, x = rng.integers(0, 150, (2, missing))
        # Filled from its neighbours, the core would not be what it was.
        far = np.hypot(x - 80, y - 75) > 6
        if is_masked:
            mask = np.zeros(data.shape, bool)
            mask[:, y[far], x[far]] = True
            data[mask] = 1e6
        else:
            data[:, y[far], x[far]] = rng.choice([np.nan, np.inf, -np.inf])
        image = GalaxyImage(
            data.astype(dtype), bands='gri', unit=u.nmgy, wcs=image.wcs, mask=mask,
            size=image.size,
        )  # fmt: skip
        prepared = prepare(image, RECIPE)
        assert prepared.flags in (0, F.NONFINITE_PIXELS)
        views = show(image)
        assert np.isfinite(views).all()
        difference = np.abs(views - reference())
        assert difference.mean() < 0.005
        assert np.percentile(difference, 99) < 0.06


class TestGeometry:
    def test_the_grid_of_dieleman(self):
        prepared = prepare(stamp(424), dataclasses.replace(RECIPE, antialias=0))
        affine = prepared.affines[0, 0]
        start = 424 - prepared.pixels.shape[-1]
        # The pixels that are kept begin where the other edge is as far away.
        first = affine @ (0, 0, 1)
        last = affine @ (68, 68, 1)
        assert (last - first).tolist() == [204, 204, 0]
        assert start > 0
        full = stamp(424).data / np.float32(255)
        corners = [
            full[:, 109 + j : 315 : 3, 109 + i : 315 : 3]
            for j in (0, 1)
            for i in (0, 1)
        ]
        found = show(stamp(424), dataclasses.replace(RECIPE, antialias=0))
        np.testing.assert_allclose(found[0, 0], np.mean(corners, 0), atol=1e-4)

    def test_stamps_of_any_size_look_alike(self):
        views = {n: show(stamp(n)) for n in (848, 424, 299, 212)}
        for n_pixels in (848, 299, 212):
            assert np.abs(views[n_pixels] - views[424]).max() < 0.02

    def test_a_band_order_does_not_matter(self):
        image = sdss_image()
        again = GalaxyImage(
            image.data[[2, 0, 1]], bands=('i', 'g', 'r'), unit=u.nmgy, wcs=image.wcs,
            size=image.size,
        )  # fmt: skip
        np.testing.assert_array_equal(show(again), reference())

    @pytest.mark.parametrize('position', [(60.25, 70.5), (100, 90)])
    def test_a_section_shows_what_the_image_shows(self, position):
        image = sdss_image((181, 191), rotation=25).at(position, 6 * u.arcsec)
        section = image.section(20, 150, 15, 155, position=position, size=image.size)
        first, second = show(image), show(section)
        # The sky is measured on another border.
        np.testing.assert_allclose(first, second, atol=0.01)

    def test_pixels_that_are_not_square(self):
        wcs = sdss_wcs((151, 161))
        image = sdss_image()
        # Every second column: pixels twice as wide.
        data = image.data[:, :, 0:160:2] + image.data[:, :, 1:160:2]
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
        wcs.wcs.crval = image.wcs.wcs.crval
        wcs.wcs.crpix = (81 + 0.5) / 2, 76
        wcs.wcs.cdelt = -2 * SDSS / 3600, SDSS / 3600
        wide = GalaxyImage(
            data,
            bands='gri',
            unit=u.nmgy,
            wcs=wcs,
            size=image.size,
            position=(39.75, 75),
        )
        np.testing.assert_allclose(
            blobs(show(wide)[0, 0]), TestOrientation.expected, atol=1
        )
        difference = np.abs(show(wide) - reference())
        assert difference.mean() < 0.01

    def test_the_scale_is_that_at_the_target(self):
        # A plate carrée far from its equator: pixels half as wide on the sky.
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---CAR', 'DEC--CAR'
        wcs.wcs.crval = 0, 0
        wcs.wcs.cdelt = -1 / 3600, 1 / 3600
        wcs.wcs.crpix = 50.5, 50.5 - 60 * 3600
        data = np.random.default_rng(1).random((1, 100, 100))
        for size in (10 * u.arcsec, 10 * np.sqrt(2) * u.pix):
            image = GalaxyImage(data, bands='r', wcs=wcs, size=size)
            affine = prepare(image, RECIPE).affines[0, 0]
            np.testing.assert_allclose(np.abs(affine[0, 0]), 2 * 0.6, rtol=1e-3)
            np.testing.assert_allclose(np.abs(affine[1, 1]), 0.6, rtol=1e-3)

    @pytest.mark.parametrize('recipe', [
        dataclasses.replace(RECIPE, antialias=1),
        dataclasses.replace(RECIPE, antialias=2, output_size=12, step=17),
        dataclasses.replace(RECIPE, output_size=128, step=1.6, views=(20,)),
        dataclasses.replace(RECIPE, output_size=1, step=40, antialias=1),
    ])  # fmt: skip
    @pytest.mark.parametrize('size', [2.5, 12])
    def test_what_is_cut_out_is_all_that_is_seen(self, recipe, size, monkeypatch):
        pixels = np.random.default_rng(3).normal(0, 1, (3, 401, 383)) + 2
        image = GalaxyImage(
            pixels, bands='gri', unit=u.nmgy, wcs=sdss_wcs((401, 383), rotation=30),
            size=size * u.arcsec, position=(180, 210),
        )  # fmt: skip
        cut = prepare(image, recipe)
        if size < 5:
            assert cut.pixels.shape[1:] != (401, 383)
        monkeypatch.setattr('galmorph.preprocessing._field._SIDE_STEP', 10_000)
        step_views = show(image, recipe)
        monkeypatch.undo()
        np.testing.assert_allclose(show(image, recipe), step_views, atol=1e-3)

    def test_nothing_is_resampled_twice(self, monkeypatch):
        calls = []

        def counted(pixels, affines, *args, **options):
            calls.append((len(pixels), affines.shape[1]))
            return engine_resample(pixels, affines, *args, **options)

        engine_resample = render_module.resample
        monkeypatch.setattr(render_module, 'resample', counted)
        engine = Engine(Ones(), RECIPE, device='cpu')
        turns = np.stack([np.eye(3), np.diag([-1.0, 1, 1])])
        images = [stamp(n) for n in (424, 212, 424, 424)]
        engine.render([prepare(image, RECIPE, turns) for image in images])
        # One call for each group of images of one shape: all their views at once.
        assert sorted(calls) == [(1, 4), (3, 4)]


class TestFlux:
    def test_the_picture_is_that_of_the_known_profile(self):
        # Nanomaggies in pixels of half the side: a quarter of the flux in each.
        shape, scale = (301, 301), SDSS / 2
        profile = sersic_image(shape, r_eff=30, n=1, flux=4000, psf_sigma=2)
        data = np.array([0.5, 0.8, 1.0])[:, None, None] * profile
        image = GalaxyImage(
            data, bands='gri', unit=u.nmgy, wcs=make_wcs(shape, scale=scale),
            size=25 * scale / 0.6 * u.arcsec,
        )  # fmt: skip
        prepared = prepare(image, RECIPE)
        assert prepared.flags == 0
        # One output pixel is 2.5 source pixels; read at every second of them.
        g, r, i = 4 * data
        expected = make_lupton_rgb(
            4.9 * i, 5.7 * r, 7.8 * g, minimum=0, Q=10.26517, stretch=1.140574,
            output_dtype=float,
        )  # fmt: skip
        found = show(image)[0, 0].transpose(1, 2, 0)
        np.testing.assert_allclose(
            found[::2, ::2], expected[150 - 85 : 151 + 85 : 5, 65:236:5], atol=0.01
        )

    def test_an_unknown_unit_is_scaled(self):
        image = sdss_image()
        image = GalaxyImage(
            1e4 * image.data, bands='gri', wcs=image.wcs, size=image.size
        )
        assert prepare(image, RECIPE).flags == F.FLUX_SCALED
        assert 0.1 < show(image)[0, 0].max() <= 1

    def test_one_band_for_one_band(self):
        image = sdss_image()
        image = GalaxyImage(
            image.data[1], bands='r', unit=u.nmgy, wcs=image.wcs, size=image.size
        )
        prepared = prepare(image, GREY)
        assert prepared.pixels.shape[0] == 1
        assert prepared.flags == 0
        views = show(image, GREY)
        assert views.shape == (1, 2, 1, 69, 69)
        assert 0 <= views.min() < views.max() <= 1


class TestFlags:
    @pytest.mark.parametrize('n_pixels', [424, 299, 60])
    def test_a_framed_picture(self, n_pixels):
        assert prepare(stamp(n_pixels), RECIPE).flags == F.FRAME_ASSUMED

    def test_a_tiny_picture(self):
        assert prepare(stamp(30), RECIPE).flags == F.FRAME_ASSUMED | F.UNRESOLVED

    def test_an_angle_says_nothing_of_a_framed_picture(self):
        image = stamp(424).at((211.5, 211.5), 7 * u.arcsec)
        assert prepare(image, RECIPE).flags == F.FRAME_ASSUMED
        image = stamp(424).at((211.5, 211.5), 50 * u.pix)
        assert prepare(image, RECIPE).flags == F.ORIENTATION_ASSUMED

    def test_padding_is_an_edge(self):
        pixels, size = field(make_wcs((200, 200), scale=SDSS), (200, 200)), 10 * u.pix
        whole = GalaxyImage(pixels, bands='r').at((60, 100), size)
        cut = GalaxyImage(pixels[:, 40:], bands='r').at((20, 100), size)
        padded = np.where(np.arange(200) < 40, np.nan, pixels)
        padded = GalaxyImage(padded, bands='r').at((60, 100), size)
        assert not prepare(whole, GREY).flags & F.EDGE
        assert prepare(cut, GREY).flags & F.EDGE
        flags = prepare(padded, GREY).flags
        assert flags & F.EDGE
        assert flags & F.NONFINITE_PIXELS

    @pytest.mark.parametrize('r_eff', [4, 25, 60])
    def test_a_recentred_picture(self, r_eff):
        galaxy = sersic_image((424, 424), r_eff=r_eff, flux=1e4, position=(226, 195))
        picture = np.repeat(galaxy[None] / galaxy.max(), 3, 0) ** 0.5
        image = GalaxyImage(picture, is_picture=True)
        prepared = prepare(image, dataclasses.replace(RECIPE, recentre=True))
        assert prepared.flags & F.SIZE_MEASURED
        assert not prepared.flags & F.FRAME_ASSUMED
        x, y, _ = prepared.affines[0, 0] @ (34, 34, 1)
        peak = np.unravel_index(prepared.pixels[0].argmax(), prepared.pixels.shape[1:])
        np.testing.assert_allclose((y, x), peak, atol=1)
        plain = prepare(image, RECIPE).affines[0, 0]
        change = np.linalg.det(prepared.affines[0, 0]) / np.linalg.det(plain)
        radius = measure_image(image).petro_r90
        expected = np.clip(radius * 8.48 / 424, 1 / 1.5, 1.5)
        assert np.sqrt(change) == pytest.approx(expected)

    def test_noise_is_framed_roughly(self):
        rng = np.random.default_rng(1)
        image = GalaxyImage(rng.random((3, 60, 60)), is_picture=True)
        prepared = prepare(image, dataclasses.replace(RECIPE, recentre=True))
        plain = prepare(image, RECIPE).affines
        change = np.linalg.det(prepared.affines) / np.linalg.det(plain)
        assert 1 / 1.5 <= np.sqrt(change).min() <= np.sqrt(change).max() <= 1.5

    def test_a_known_size_is_not_measured_again(self):
        recipe = dataclasses.replace(RECIPE, recentre=True)
        image = stamp(424).at((211.5, 211.5), 50 * u.pix)
        np.testing.assert_array_equal(
            prepare(image, recipe).affines, prepare(image, RECIPE).affines
        )

    def test_a_grey_picture(self):
        image = GalaxyImage(stamp(424).data[0], is_picture=True)
        assert prepare(image, RECIPE).flags == F.FRAME_ASSUMED | F.SINGLE_BAND
        assert show(image).shape == (1, 2, 3, 69, 69)

    @pytest.mark.parametrize('dtype', [np.float32, np.float64])
    def test_a_picture_in_floats(self, dtype):
        image = stamp(424, dtype)
        assert prepare(image, RECIPE).pixels.dtype == np.float32
        np.testing.assert_allclose(show(image), show(stamp(424)), atol=0.005)

    def test_a_masked_picture_in_bytes(self):
        image = stamp(424)
        mask = np.zeros((424, 424), bool)
        mask[250:253, 250:253] = True
        data = image.data.copy()
        data[:, mask] = 255
        image = GalaxyImage(data, mask=mask, is_picture=True)
        prepared = prepare(image, RECIPE)
        assert prepared.flags == F.FRAME_ASSUMED | F.NONFINITE_PIXELS
        assert prepared.pixels.dtype == np.uint8
        np.testing.assert_allclose(show(image), show(stamp(424)), atol=0.02)

    def test_a_known_size(self):
        assert prepare(sdss_image(), RECIPE).flags == 0

    def test_a_measured_size(self):
        image = sdss_image(size=None)
        prepared = prepare(image, RECIPE)
        assert prepared.flags & F.SIZE_MEASURED
        assert not prepared.flags & F.SIZE_UNKNOWN
        scale = abs(np.linalg.det(prepared.affines[0, 0])) ** 0.5
        assert scale == pytest.approx(0.06 * measure_image(image).petro_r90)

    def test_a_measured_galaxy_is_centred(self):
        galaxy = sersic_image((121, 121), r_eff=6, flux=1e3, position=(64, 57))
        prepared = prepare(GalaxyImage(galaxy, bands='r'), RECIPE)
        x, y, _ = prepared.affines[0, 0] @ (34, 34, 1)
        peak = np.unravel_index(prepared.pixels[0].argmax(), prepared.pixels.shape[1:])
        np.testing.assert_allclose((y, x), peak, atol=0.1)

    def test_the_size_on_a_picture_with_a_wcs_is_uncertain(self):
        image = stamp(424)
        image = GalaxyImage(image.data, wcs=make_wcs((424, 424)), is_picture=True)
        flags = prepare(image, RECIPE).flags
        assert flags & F.SIZE_MEASURED
        assert flags & F.SIZE_UNCERTAIN
        assert not flags & F.FRAME_ASSUMED

    def test_a_star(self):
        star = star_image((81, 81), fwhm=3, flux=1e4)
        star += np.random.default_rng(2).normal(0, 1, star.shape)
        assert prepare(GalaxyImage(star, bands='r'), RECIPE).flags & F.POINT_SOURCE

    def test_nothing_at_the_position(self):
        sky = np.random.default_rng(2).normal(0, 1, (3, 81, 91))
        image = GalaxyImage(sky, bands='gri', wcs=make_wcs((81, 91)))
        prepared = prepare(image.at((45, 40)), RECIPE)
        if prepared.flags & F.NO_SOURCE:
            assert prepared.flags & F.SIZE_UNKNOWN
            assert not prepared.flags & F.SIZE_MEASURED
        else:
            assert prepared.flags & F.SIZE_UNCERTAIN
        assert np.isfinite(show(image)).all()

    @pytest.mark.parametrize(
        ('position', 'size', 'is_edge'),
        [
            ((80, 75), 10, False),
            ((20, 75), 10, True),
            ((0, 0), 3, True),
            ((80, 75), 40, True),
        ],
    )
    def test_the_edge(self, position, size, is_edge):
        image = sdss_image().at(position, size * u.arcsec)
        assert bool(prepare(image, RECIPE).flags & F.EDGE) == is_edge
        views = show(image)
        assert np.isfinite(views).all()

    def test_missing_pixels(self):
        image = sdss_image()
        data = image.data.copy()
        data[1, 70:73, 90:92] = np.nan
        data[0, 80, 80] = np.inf
        spoilt = GalaxyImage(
            data, bands='gri', unit=u.nmgy, wcs=image.wcs, size=image.size
        )
        prepared = prepare(spoilt, RECIPE)
        assert prepared.flags == F.NONFINITE_PIXELS
        assert np.isfinite(prepared.pixels).all()
        assert np.abs(show(spoilt) - reference()).mean() < 0.005

    def test_missing_pixels_outside_the_field_do_not_matter(self):
        image = sdss_image((251, 251))
        data = image.data.copy()
        data[:, :, :20] = np.nan
        image = GalaxyImage(
            data, bands='gri', unit=u.nmgy, wcs=image.wcs, size=image.size
        )
        assert prepare(image, RECIPE).flags == 0

    def test_too_small_to_see_structure(self):
        assert prepare(sdss_image(size=1 * u.arcsec), RECIPE).flags == F.UNRESOLVED

    def test_bands_of_another_instrument(self):
        image = sdss_image()
        image = GalaxyImage(
            image.data, bands='grz', unit=u.nmgy, wcs=image.wcs, size=image.size
        )
        assert prepare(image, RECIPE).flags == F.OTHER_INSTRUMENT | F.FLUX_SCALED

    def test_a_band_that_is_not_shown_may_be_blank(self):
        image = sdss_image()
        data = np.concatenate([np.full_like(image.data[:1], np.nan), image.data])
        headers = [fits.Header({'FILTER': band}) for band in 'ugri']
        for size in (image.size, None):
            more = GalaxyImage(
                data, bands='ugri', unit=u.nmgy, wcs=image.wcs, size=size,
                meta={'headers': headers}, mask=np.isnan(data),
            )  # fmt: skip
            prepared = prepare(more, RECIPE)
            assert prepared.flags & ~F.SIZE_MEASURED == 0 or size is None
            if size is not None:
                np.testing.assert_allclose(show(more), reference(), atol=1e-6)


class TestRefusals:
    @pytest.mark.parametrize(
        ('data', 'message'),
        [
            (np.full((3, 40, 40), np.nan), 'the image has no finite pixel'),
            (np.full((3, 40, 40), -np.inf), 'the image has no finite pixel'),
            (np.full((3, 40, 40), 7.0), 'the same value in every pixel'),
            (np.zeros((3, 40, 40), np.uint8), 'the same value in every pixel'),
        ],
    )
    def test_nothing_to_see(self, data, message):
        image = GalaxyImage(data, bands='gri')
        with pytest.raises(ImageError, match=message) as caught:
            prepare(image, RECIPE)
        assert caught.value.flag == F.INVALID_IMAGE

    def test_a_blank_band_that_is_needed(self):
        data = sdss_image().data.copy()
        data[1] = np.nan
        with pytest.raises(ImageError, match=r"band 'r' .* no finite") as caught:
            prepare(GalaxyImage(data, bands='gri'), RECIPE)
        assert caught.value.flag == F.BANDS_MISSING

    def test_everything_masked(self):
        with pytest.raises(ImageError, match='no finite pixel'):
            prepare(GalaxyImage(np.eye(40), mask=np.ones((40, 40), bool)), RECIPE)

    def test_a_hole_where_the_galaxy_is(self):
        image = sdss_image((251, 251), size=3 * u.arcsec)
        data = image.data.copy()
        data[:, 75:176, 75:176] = np.nan
        image = GalaxyImage(
            data, bands='gri', unit=u.nmgy, wcs=image.wcs, size=image.size
        )
        with pytest.raises(ImageError, match='no finite, unmasked pixel') as caught:
            prepare(image, RECIPE)
        assert caught.value.flag == F.INVALID_IMAGE

    @pytest.mark.parametrize('size', [9999 * u.arcsec, 400 * u.pix, 1e300 * u.deg])
    def test_size_larger_than_the_image(self, size):
        with pytest.raises(ImageError, match='larger than the image of 161 x 151') as e:
            prepare(sdss_image(size=size), RECIPE)
        assert e.value.flag == F.INVALID_IMAGE
        assert str(size) in str(e.value)

    def test_size_as_large_as_the_image(self):
        assert prepare(sdss_image(size=150 * u.pix), RECIPE).flags & F.EDGE

    def test_an_angle_without_a_wcs(self):
        image = GalaxyImage(sdss_image().data, bands='gri', size=5 * u.arcsec)
        message = r'the size 5.0 arcsec is an angle, .* give a WCS, or the size in pix'
        with pytest.raises(ImageError, match=message) as caught:
            prepare(image, RECIPE)
        assert caught.value.flag == F.NO_WCS

    def test_a_target_that_the_wcs_does_not_know(self):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = 'RA---AIT', 'DEC--AIT'
        wcs.wcs.cdelt = -10, 10
        wcs.wcs.crpix = 50, 50
        image = GalaxyImage(
            np.random.default_rng(1).random((90, 90)), bands='r', wcs=wcs,
            size=5 * u.pix, position=(2, 2),
        )  # fmt: skip
        with pytest.raises(
            ImageError, match='no sky position for the target'
        ) as caught:
            prepare(image, RECIPE)
        assert caught.value.flag == F.NO_WCS

    def test_a_line_of_pixels(self):
        with pytest.raises(ImageError, match='too small'):
            prepare(GalaxyImage(np.arange(40.0)[None]), RECIPE)

    def test_a_wrong_unit(self):
        image = GalaxyImage(sdss_image().data, bands='gri', unit=u.K, size=9 * u.pix)
        with pytest.raises(ImageError, match="'K'"):
            prepare(image, RECIPE)


class TestInput:
    @pytest.mark.parametrize('size', [10 * u.arcsec, None])
    def test_read_only_and_not_modified(self, size):
        image = sdss_image(size=size)
        image.data[0, 5, 5] = np.nan
        image.data.flags.writeable = False
        before = image.data.copy()
        prepared = prepare(image, RECIPE)
        prepared.pixels[:] = 0
        np.testing.assert_array_equal(image.data, before)
        assert image.size == size

    @pytest.mark.parametrize('dtype', ['u1', '>i2', '<i4', '>f8', 'f2'])
    def test_any_number_type(self, dtype):
        image = sdss_image()
        data = np.clip(100 * image.data / image.data.max(), 0, 100).astype(dtype)
        prepared = prepare(GalaxyImage(data, bands='gri', size=25 * u.pix), RECIPE)
        assert prepared.pixels.dtype == np.float32
        assert np.isfinite(prepared.pixels).all()


class TestSpaceTelescope:
    """The recipe of the stamps of Galaxy Zoo CEERS, 17 half-light radii wide."""

    RECIPE = dataclasses.replace(
        GREY, bands=('F200W',), stretch='asinh-image', survey='JWST',
        size='half_light_radius', frame_size=424, frame_scale=0.04, step=8.0,
        output_size=53, views=(0.0,), antialias=1.0,
    )  # fmt: skip

    def image(self, **options):
        pixels = sersic_image((201, 201), r_eff=10, flux=1e3)
        pixels += np.random.default_rng(4).normal(0, 0.02, pixels.shape)
        return GalaxyImage(pixels, bands='F200W', **options)

    def test_the_frame_follows_the_half_light_radius(self):
        known = prepare(self.image(size=10 * u.pix), self.RECIPE)
        scale = abs(np.linalg.det(known.affines[0, 0])) ** 0.5
        assert scale == pytest.approx(8 * 0.04 * 10)
        measured = prepare(self.image(), self.RECIPE)
        scale = abs(np.linalg.det(measured.affines[0, 0])) ** 0.5
        assert scale == pytest.approx(8 * 0.04 * 10, rel=0.06)
        assert measured.flags & F.SIZE_MEASURED

    def test_looks_as_the_whole_frame_by_astropy(self):
        image = self.image(size=10 * u.pix)
        (picture,) = show(image, self.RECIPE)[0, 0]
        assert picture.shape == (53, 53)
        # 16.96 half-light radii across; a pixel of the view has 3.2 of the image.
        frame = image.data[0, 15:186, 15:186]
        wanted = np.asarray(simple_norm(frame, 'asinh', asinh_a=0.1)(frame))
        sky = np.median(wanted[:20])
        assert np.median(picture[:6]) == pytest.approx(sky, abs=0.01)
        assert picture.max() == picture[26, 26] > 0.75
        assert picture.min() > 0

    @pytest.mark.parametrize('position', [(100, 100), (20, 180)])
    def test_outside_of_the_image_is_sky(self, position):
        data = sersic_image((201, 201), r_eff=20, flux=4e3, position=position)
        data += np.random.default_rng(4).normal(7, 0.02, data.shape)
        image = GalaxyImage(
            data, bands='F200W', size=20 * u.pix, position=position
        )  # fmt: skip
        prepared = prepare(image, self.RECIPE)
        assert prepared.flags & F.EDGE
        (picture,) = show(image, self.RECIPE)[0, 0]
        sky = np.median(picture[:8])
        assert sky > 0.01
        for corner in np.s_[:5, :5], np.s_[-5:, :5], np.s_[:5, -5:], np.s_[-5:, -5:]:
            assert picture[corner].mean() == pytest.approx(sky, abs=0.02)
        assert np.unravel_index(picture.argmax(), picture.shape) == (26, 26)

    def test_is_unresolved_when_its_disk_is(self):
        flags = prepare(self.image(size=1.7 * u.pix), self.RECIPE).flags
        assert flags & F.UNRESOLVED
        flags = prepare(self.image(size=1.8 * u.pix), self.RECIPE).flags
        assert not flags & F.UNRESOLVED

    def test_one_of_several_bands_is_chosen_by_name(self):
        red = self.image().data
        other = np.random.default_rng(1).normal(size=(1, 201, 201))
        both = GalaxyImage(
            np.concatenate([other, red]), bands=['F115W', 'F200W'], size=10 * u.pix
        )
        one = GalaxyImage(red, bands=['F200W'], size=10 * u.pix)
        np.testing.assert_array_equal(show(both, self.RECIPE), show(one, self.RECIPE))
        assert not prepare(both, self.RECIPE).flags & F.OTHER_INSTRUMENT

    @pytest.mark.parametrize('n_band', [1, 3])
    def test_pictures_stay_as_they_are(self, n_band):
        grey = np.random.default_rng(1).integers(0, 255, (1, 53, 53)).astype(np.uint8)
        recipe = dataclasses.replace(self.RECIPE, antialias=0)
        picture = GalaxyImage(grey.repeat(n_band, 0), is_picture=True)
        found = show(picture, recipe)[0, 0, 0]
        np.testing.assert_allclose(found, grey[0] / 255, atol=1e-5)
