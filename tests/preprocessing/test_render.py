# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the one resample against its definition and against reproject."""

import numpy as np
import pytest
import torch
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st
from reproject import reproject_exact, reproject_interp
from scipy.ndimage import map_coordinates

from galmorph.images import read_image
from galmorph.preprocessing import geometry
from galmorph.preprocessing.recipe import Recipe
from galmorph.preprocessing.render import oversampling, resample
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.fits import make_hdu, make_wcs
from tests.helpers.galaxies import sersic_image

# Target 0.02 pixels and 0.2 %: what the pixels of an image may shift and lose.
MAX_SHIFT, MAX_LOSS = 0.02, 0.002


def render(image, affine, size, **options):
    """One image through one grid."""
    planes = torch.from_numpy(np.array(image, np.float64))
    planes = planes.reshape(1, -1, *image.shape[-2:])
    affine = torch.from_numpy(np.array(affine, float))[None, None]
    return resample(planes, affine, size, **options)[0, 0].numpy()


def north_up(image, scale, size):
    """Grid of a picture with ``scale`` arcsec pixels, row 0 in the north."""
    sky = geometry.sky_to_pixel(image.wcs, *image.position)
    return sky @ geometry.scaling(scale) @ geometry.centre_of(size)


def north_up_wcs(image, scale, size):
    """The same picture, as a FITS header describes it."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crval = image.wcs.all_pix2world([image.position], 0)[0]
    wcs.wcs.crpix = (size + 1) / 2, (size + 1) / 2
    wcs.wcs.cdelt = -scale / 3600, -scale / 3600
    wcs.wcs.radesys = image.wcs.wcs.radesys
    return wcs


def shift_between(first, second):
    """Offset in pixels of ``second``, to first order in it, least squares."""
    gradient = np.stack([g.ravel() for g in np.gradient(first)], 1)
    return np.linalg.lstsq(gradient, (first - second).ravel(), rcond=None)[0]


def compare(image, scale, size, n_points, reference):
    """Check a rendered image against the one of reproject."""
    affine = north_up(image, scale, size)
    antialias = 1.0 if n_points > 1 else 0.0
    assert max(1, oversampling(affine, antialias)) == n_points
    found = render(image.data, affine, size, antialias=antialias, n_points=n_points)
    target = north_up_wcs(image, scale, size)
    for band, plane in enumerate(image.data):
        expected, footprint = reference(
            (np.asarray(plane, float), image.wcs), target, shape_out=(size, size)
        )
        assert footprint.min() > 0.99
        shift = shift_between(expected, found[band])
        assert np.hypot(*shift) < MAX_SHIFT
        assert found[band].sum() == pytest.approx(expected.sum(), rel=MAX_LOSS)
    return found


class TestOversampling:
    @pytest.mark.parametrize(
        ('scale', 'antialias', 'expected'),
        [
            (3, 0, 1),
            (3, 1 / 3, 1),
            (0.3, 1, 1),
            (1.25, 1, 1),
            (1.3, 1, 2),
            (2, 1, 2),
            (4, 1, 4),
            (6, 1 / 3, 2),
            (60, 1 / 3, 20),
        ],
    )
    def test_one_point_a_source_pixel(self, scale, antialias, expected):
        assert oversampling(geometry.scaling(scale), antialias) == expected

    def test_does_not_depend_on_the_angle(self):
        for angle in range(0, 360, 15):
            affine = geometry.rotation(angle) @ geometry.scaling(4)
            assert oversampling(affine, 1) == 4

    def test_the_longest_side_of_the_largest_grid(self):
        affines = np.stack([geometry.scaling(1, 5), geometry.scaling(3)])
        assert oversampling(affines, 1) == 5


class TestResample:
    @settings(max_examples=25)
    @given(
        st.floats(0, 360), st.floats(0.4, 3), st.floats(-4, 4), st.floats(-4, 4),
        st.booleans(),
    )  # fmt: skip
    def test_is_linear_interpolation(self, angle, zoom, x, y, mirrored):
        image = np.random.default_rng(1).random((41, 37))
        affine = (
            geometry.translation(18 + x, 20 + y)
            @ geometry.rotation(angle)
            @ geometry.flip(mirrored)
            @ geometry.scaling(zoom)
            @ geometry.centre_of(9)
        )
        grid = np.meshgrid(np.arange(9.0), np.arange(9.0))
        source_x, source_y = geometry.apply_affine(affine, *grid)
        expected = map_coordinates(
            image, [source_y, source_x], order=1, mode='grid-constant'
        )
        np.testing.assert_allclose(render(image, affine, 9)[0], expected, atol=1e-10)

    def test_the_grid_of_dieleman(self):
        recipe = Recipe(antialias=0)
        affines = geometry.translation(211.5, 211.5) @ recipe.output_to_frame
        index = np.arange(69)
        x, y = geometry.apply_affine(affines[0], index, index)
        assert (x == 109.5 + 3 * index).all()
        assert (y == 109.5 + 3 * index).all()
        assert x[0] == 109.5
        assert x[-1] == 313.5
        picture = np.random.default_rng(2).random((3, 424, 424))
        found = render(picture, affines[0], 69)
        # Every sample lies between four pixels: a box average of 2 x 2.
        corners = [
            picture[:, 109 + dy : 315 : 3, 109 + dx : 315 : 3]
            for dy in (0, 1)
            for dx in (0, 1)
        ]
        np.testing.assert_allclose(found, np.mean(corners, 0), atol=1e-12)
        tilted_x, tilted_y = geometry.apply_affine(
            affines[1], *np.meshgrid(index, index)
        )
        np.testing.assert_allclose([tilted_x[34, 34], tilted_y[34, 34]], 211.5)
        # One output pixel to the right is 3 pixels along the diagonal.
        step = 3 / np.sqrt(2)
        np.testing.assert_allclose(tilted_x[34, 35] - 211.5, step, rtol=1e-12)
        np.testing.assert_allclose(tilted_y[34, 35] - 211.5, step, rtol=1e-12)

    def test_the_grid_in_single_precision(self):
        ramp = torch.arange(424.0).expand(1, 1, 424, 424)
        affine = geometry.translation(211.5, 211.5) @ Recipe().output_to_frame[:1]
        row = resample(ramp, torch.from_numpy(affine)[None], 69)[0, 0, 0, 0].numpy()
        np.testing.assert_allclose(row, 109.5 + 3 * np.arange(69), atol=2e-4)

    def test_a_turn_of_the_grid_by_45_degrees_swaps_the_views(self):
        picture = np.random.default_rng(3).random((3, 424, 424))
        grids = Recipe().output_to_frame

        def views(transform):
            affines = geometry.translation(211.5, 211.5) @ transform @ grids
            return np.stack([render(picture, a, 69) for a in affines])

        plain, turned = views(np.eye(3)), views(geometry.rotation(45))
        np.testing.assert_allclose(turned[0], plain[1], atol=1e-9)
        # 45 + 45 degrees is the first view, a quarter turn counter-clockwise.
        np.testing.assert_allclose(
            turned[1], np.rot90(plain[0], 1, axes=(1, 2)), atol=1e-9
        )

    @pytest.mark.parametrize('factor', [2, 3, 4])
    def test_the_box_of_a_whole_factor_is_a_block_average(self, factor):
        image = np.random.default_rng(4).random((12 * factor, 12 * factor))
        affine = geometry.translation((factor - 1) / 2, (factor - 1) / 2)
        affine = affine @ geometry.scaling(factor)
        n_points = oversampling(affine, 1)
        found = render(image, affine, 12, antialias=1, n_points=n_points)[0]
        blocks = image.reshape(12, factor, 12, factor).mean((1, 3))
        np.testing.assert_allclose(found, blocks, atol=1e-12)

    def test_beyond_the_edge_is_sky(self):
        found = render(np.ones((10, 10)), geometry.translation(-20, 0), 5)
        assert (found == 0).all()

    def test_batches_views_and_bands(self):
        images = torch.rand(3, 2, 20, 24, dtype=torch.float64)
        affines = np.stack(
            [
                [geometry.translation(i, 1), geometry.rotation(10 * i + 5)]
                for i in range(3)
            ]
        )
        for options in ({}, {'antialias': 1.0, 'n_points': 2}):
            found = resample(images, torch.from_numpy(affines), 7, **options)
            assert found.shape == (3, 2, 2, 7, 7)
            for row in range(3):
                for view in range(2):
                    one = render(images[row].numpy(), affines[row, view], 7, **options)
                    np.testing.assert_allclose(found[row, view], one, atol=1e-12)

    def test_the_input_is_not_modified(self):
        images = torch.rand(1, 1, 9, 9)
        before = images.clone()
        resample(images, torch.eye(3)[None, None], 9)
        assert torch.equal(images, before)


class TestAgainstReproject:
    @pytest.mark.parametrize('flipped', [False, True])
    @pytest.mark.parametrize('rotation', [0, 33, 90, 200])
    def test_turned(self, tmp_path, rotation, flipped):
        shape = (150, 170)
        galaxy = sersic_image(
            shape, r_eff=12, axis_ratio=0.5, angle=70, flux=1e4, position=(78, 83),
            psf_sigma=1,
        )  # fmt: skip
        path = tmp_path / 'galaxy.fits'
        hdu = make_hdu(galaxy, make_wcs(shape, rotation=rotation, flipped=flipped))
        hdu.writeto(path)
        image = read_image(path).at((80.2, 79.6))
        found = compare(image, 0.4, 101, 1, reproject_interp)
        expected, _ = reproject_interp(
            (image.data[0], image.wcs), north_up_wcs(image, 0.4, 101),
            shape_out=(101, 101),
        )  # fmt: skip
        # The linearised WCS bends by less than a thousandth of a pixel.
        np.testing.assert_allclose(found[0], expected, atol=2e-3 * expected.max())

    @pytest.mark.parametrize('flipped', [False, True])
    @pytest.mark.parametrize('rotation', [0, 33])
    def test_shrunk_by_four(self, rotation, flipped):
        shape = (300, 300)
        galaxy = sersic_image(
            shape, r_eff=30, axis_ratio=0.6, angle=20, flux=1e5, position=(147, 155),
            psf_sigma=3,
        )  # fmt: skip
        wcs = make_wcs(shape, rotation=rotation, flipped=flipped)
        image = read_image((galaxy, wcs)).at((150.3, 149.1))
        compare(image, 1.6, 51, 4, reproject_exact)

    def test_flux_is_that_of_the_formula(self):
        galaxy = sersic_image((201, 201), r_eff=8, n=1, flux=1e4, psf_sigma=1)
        wcs = make_wcs((201, 201), rotation=40)
        image = read_image((galaxy, wcs))
        for scale, n_points in ((0.4, 1), (1.6, 4), (0.15, 1)):
            size = round(70 / scale) | 1
            found = render(
                galaxy, north_up(image, scale, size), size, antialias=1.0,
                n_points=n_points,
            )  # fmt: skip
            flux = found.sum() * (scale / 0.4) ** 2
            assert flux == pytest.approx(galaxy.sum(), rel=MAX_LOSS)
            x, y = ((found[0].sum(a) @ np.arange(size)) / found.sum() for a in (0, 1))
            assert np.hypot(x - (size - 1) / 2, y - (size - 1) / 2) < MAX_SHIFT

    @needs_shared_data
    @pytest.mark.parametrize(
        ('pattern', 'position', 'reach'),
        [
            ('fits/sdss_ngc6976/*', None, 80),
            ('fits/decam_field/*', (250, 260), 100),
            ('fits/abell_2744_spiral*', None, 30),
            ('fits/decals_grz_a*', None, 60),
        ],
    )
    @pytest.mark.parametrize('factor', [1, 4])
    def test_real_images(self, pattern, position, reach, factor):
        path = next(p for p in sorted(SHARED_DATA.glob(pattern)) if '.fits' in p.name)
        image = read_image(path)
        image = image.at(position or image.position)
        if not np.isfinite(image.data).all():
            image = read_image((np.nan_to_num(image.data), image.wcs)).at(
                image.position
            )
        sky = geometry.sky_to_pixel(image.wcs, *image.position)
        scale = factor * abs(np.linalg.det(sky)) ** -0.5
        size = 2 * (reach // factor) + 1
        reference = reproject_interp if factor == 1 else reproject_exact
        compare(image, scale, size, factor, reference)


def test_north_is_up_in_what_fits_and_reproject_say():
    # One bright pixel in the north east of a picture without rotation.
    pixels = np.zeros((31, 31))
    pixels[25, 5] = 1
    hdu = make_hdu(pixels, make_wcs((31, 31)))
    assert isinstance(hdu, fits.PrimaryHDU)
    found = render(pixels, north_up(read_image(hdu), 0.4, 31), 31)[0]
    assert np.unravel_index(found.argmax(), found.shape) == (5, 5)
