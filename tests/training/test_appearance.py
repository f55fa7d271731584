# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of colour and degradation, against colorsys and scipy."""

import colorsys

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from galmorph.training.appearance import (
    adjust_colour,
    adjust_contrast,
    degrade,
    difference_psf,
)

FWHM = 2 * np.sqrt(2 * np.log(2))


def make_images(n=3, n_channel=3, size=16, seed=1):
    return torch.rand(
        n, n_channel, size, size, generator=torch.Generator().manual_seed(seed)
    )


class TestColour:
    def test_agrees_with_colorsys(self):
        images = make_images()
        images[0, :, 0] = torch.tensor([[0.0, 0.5, 1.0]]).T  # pure colours and
        images[1, :, :2] = 0.3  # grey ones
        saturation, hue = torch.tensor([0.5, 1.0, 1.8]), torch.tensor([0.1, -0.4, 0.5])
        found = adjust_colour(images, saturation=saturation, hue=hue)
        for image, turned, factor, turn in zip(
            images, found, saturation.tolist(), hue.tolist(), strict=True
        ):
            for pixel, wanted in zip(
                turned.flatten(1).T.numpy(), image.flatten(1).T.tolist(), strict=True
            ):
                h, s, v = colorsys.rgb_to_hsv(*wanted)
                wanted = colorsys.hsv_to_rgb((h + turn) % 1, min(s * factor, 1), v)
                np.testing.assert_allclose(pixel, wanted, atol=2e-6)

    def test_nothing_changes_nothing(self):
        images = make_images()
        torch.testing.assert_close(adjust_colour(images), images)

    def test_views_take_the_number_of_their_galaxy(self):
        images = make_images(6).reshape(3, 2, 3, 16, 16)
        hue = torch.tensor([0.1, 0.2, 0.3])
        found = adjust_colour(images, hue=hue)
        for view in range(2):
            torch.testing.assert_close(
                found[:, view], adjust_colour(images[:, view], hue=hue)
            )

    def test_brightness_stays(self):
        images = make_images()
        turned = adjust_colour(images, hue=torch.tensor([0.3, 0.1, 0.4]))
        torch.testing.assert_close(turned.amax(1), images.amax(1))
        torch.testing.assert_close(turned.amin(1), images.amin(1))


class TestContrast:
    def test_mean_stays_and_spread_is_multiplied(self):
        images, factors = make_images(), torch.tensor([0.2, 1.0, 1.8])
        found = adjust_contrast(images, factors)
        torch.testing.assert_close(found.mean((2, 3)), images.mean((2, 3)))
        torch.testing.assert_close(
            found.std((2, 3)), images.std((2, 3)) * factors[:, None]
        )


class TestDegrade:
    def test_agrees_with_scipy(self):
        images = make_images(2, 2, 40)
        fwhm = torch.tensor([4.0, 6.0])
        found = degrade(images, psf=fwhm)
        for row, sigma in enumerate((fwhm / FWHM).tolist()):
            # Ours is integrated over pixels, of the variance 1/12.
            width = np.hypot(sigma, 12**-0.5)
            wanted = gaussian_filter(
                images[row].numpy(), (0, width, width), mode='nearest', truncate=6
            )
            np.testing.assert_allclose(found[row], wanted, atol=2e-4)

    @pytest.mark.parametrize('fwhm', [1.5, 2.0, 5.0])
    def test_width_and_flux_of_a_star(self, fwhm):
        star = torch.zeros(1, 1, 61, 61, dtype=torch.float64)
        star[..., 30, 30] = 1
        blurred = degrade(star, psf=fwhm)[0, 0].numpy()
        offset = np.arange(61) - 30
        assert blurred.sum() == pytest.approx(1, abs=1e-6)
        # A pixel has the variance 1/12.
        variance = (blurred.sum(0) * offset**2).sum()
        assert variance == pytest.approx((fwhm / FWHM) ** 2 + 1 / 12, rel=2e-3)

    def test_each_image_has_its_own(self):
        images = make_images(3, 3, 20).reshape(3, 1, 3, 20, 20)
        found = degrade(
            images, psf=torch.tensor([0.0, 2.0, 4.0]), dimming=torch.tensor([1, 0.5, 2])
        )
        torch.testing.assert_close(found[0], images[0], atol=1e-6, rtol=0)
        torch.testing.assert_close(
            found[1], degrade(images[1:2], psf=2, dimming=0.5)[0]
        )
        torch.testing.assert_close(found[2], degrade(images[2:], psf=4, dimming=2)[0])

    def test_no_blur_is_exact(self):
        images = make_images()
        assert torch.equal(degrade(images, psf=0.0), images)

    def test_noise(self):
        images = torch.zeros(2, 1, 200, 200)
        found = degrade(
            images,
            noise=torch.tensor([0.1, 0.3]),
            generator=torch.Generator().manual_seed(1),
        )
        np.testing.assert_allclose(found.std((1, 2, 3)), [0.1, 0.3], rtol=0.02)
        again = degrade(images, noise=torch.tensor([0.1, 0.3]),
                        generator=torch.Generator().manual_seed(1))  # fmt: skip
        assert torch.equal(found, again)

    def test_sky_goes_on_beyond_the_edge(self):
        torch.testing.assert_close(
            degrade(torch.ones(1, 1, 9, 9), psf=5.0), torch.ones(1, 1, 9, 9)
        )


class TestDifferencePsf:
    def test_widths_add_in_quadrature(self):
        # F200W of JWST made to look like F160W of HST, in arcsec.
        kernel = difference_psf(0.066, 0.18)
        assert np.hypot(kernel, 0.066) == pytest.approx(0.18)

    def test_nothing_is_sharpened(self):
        np.testing.assert_allclose(difference_psf([3.0, 1.0], [2.0, 2.0]), [0, 3**0.5])
