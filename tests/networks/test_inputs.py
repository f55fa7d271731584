# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the layers before a trunk."""

import colorsys

import numpy as np
import pytest
import torch
from matplotlib.colors import rgb_to_hsv
from PIL import Image

from galmorph.networks.inputs import (
    ColourSpace,
    Standardise,
    colour_channels,
    create_inputs,
)


@pytest.fixture
def images():
    return torch.rand(4, 3, 9, 7, generator=torch.Generator().manual_seed(1))


class TestStandardise:
    def test_by_definition(self, images):
        found = Standardise()(images).numpy()
        for image, expected in zip(images.numpy(), found, strict=True):
            floor = 1 / np.sqrt(image.size)
            white = (image - image.mean()) / max(image.std(), floor)
            np.testing.assert_allclose(expected, white, atol=1e-5)

    def test_flat_images_stay_flat(self):
        flat = torch.full((2, 3, 8, 8), 0.3, requires_grad=True)
        found = Standardise()(flat)
        found.square().sum().backward()
        assert found.abs().max() < 1e-4
        assert torch.isfinite(flat.grad).all()

    def test_brightness_and_contrast_do_not_matter(self, images):
        found = Standardise()(0.4 * images + 0.2)
        torch.testing.assert_close(found, Standardise()(images), rtol=1e-4, atol=1e-5)

    def test_each_image_by_itself(self, images):
        alone = Standardise()(images[1:2])
        torch.testing.assert_close(alone, Standardise()(images)[1:2])


class TestColourSpace:
    def test_hsv_as_matplotlib(self, images):
        found = ColourSpace('hsv')(images).numpy()
        expected = np.moveaxis(rgb_to_hsv(np.moveaxis(images.numpy(), 1, -1)), -1, 1)
        np.testing.assert_allclose(found, expected, atol=1e-6)

    def test_hsv_of_all_corners_and_edges_as_colorsys(self):
        levels = [0.0, 0.25, 0.5, 1.0]
        colours = [(r, g, b) for r in levels for g in levels for b in levels]
        pixels = torch.tensor(colours, dtype=torch.float64)[:, :, None, None]
        found = ColourSpace('hsv')(pixels)[:, :, 0, 0].numpy()
        expected = [colorsys.rgb_to_hsv(*colour) for colour in colours]
        np.testing.assert_allclose(found, expected, atol=1e-12)

    def test_hsv_has_finite_gradients_even_where_grey_or_black(self):
        pixels = torch.tensor([[0.0, 0, 0], [0.5, 0.5, 0.5], [0.2, 0.4, 0.4]])
        pixels = pixels[:, :, None, None].requires_grad_()
        ColourSpace('hsv')(pixels).sum().backward()
        assert torch.isfinite(pixels.grad).all()

    def test_grey_as_pillow(self):
        pixels = np.random.default_rng(0).integers(0, 256, (6, 5, 3), np.uint8)
        found = ColourSpace('grey')(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 1)
        expected = np.asarray(Image.fromarray(pixels).convert('L'), float)
        assert found.shape == (1, 1, 6, 5)
        np.testing.assert_allclose(found[0, 0], expected, atol=0.51)

    def test_unknown(self):
        with pytest.raises(ValueError, match="'hsv' or 'grey', not 'lab'"):
            ColourSpace('lab')

    def test_says_its_name(self):
        assert repr(ColourSpace('hsv')) == "ColourSpace('hsv')"


class TestInputs:
    def test_colours_come_first(self, images):
        found = create_inputs(standardise='image', colour='grey')(images)
        expected = Standardise()(ColourSpace('grey')(images))
        assert torch.equal(found, expected)

    def test_nothing_by_default(self, images):
        assert create_inputs()(images) is images

    def test_have_no_weights(self):
        assert not create_inputs(standardise='image', colour='hsv').state_dict()

    @pytest.mark.parametrize(
        ('options', 'message'),
        [
            ({'standardise': 'batch'}, "None or 'image', not 'batch'"),
            ({'colour': 'lab'}, r"colour must be one of .*, not 'lab'"),
        ],
    )
    def test_unknown(self, options, message):
        with pytest.raises(ValueError, match=message):
            create_inputs(**options)

    def test_channels(self):
        assert colour_channels('rgb', 5) == 5
        assert colour_channels('hsv') == 3
        assert colour_channels('grey') == 1
        with pytest.raises(
            ValueError, match=r"colour='grey' needs n_channels=3, not 1"
        ):
            colour_channels('grey', 1)
        with pytest.raises(ValueError, match="not 'lab'"):
            colour_channels('lab')
