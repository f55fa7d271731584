# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the colour stretches against astropy and the surveys' definitions."""

import math

import numpy as np
import pytest
import torch
from astropy.visualization import make_lupton_rgb, simple_norm
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galmorph.preprocessing.stretch import (
    AsinhStretch,
    LuptonStretch,
    get_stretch,
    list_stretches,
)


def random_fluxes(seed=0):
    """Sky noise, galaxies and saturated cores in three bands."""
    rng = np.random.default_rng(seed)
    fluxes = rng.normal(0, 0.02, (3, 60, 60))
    fluxes += rng.gamma(0.3, 1, (3, 60, 60)) * rng.choice([0, 0.1, 10], (60, 60))
    return fluxes


def by_astropy(stretch, fluxes):
    bands = [
        s * f + stretch.offset for s, f in zip(stretch.scales, fluxes, strict=True)
    ]
    # astropy divides 0 by 0 where there is no light.
    with np.errstate(invalid='ignore'):
        picture = make_lupton_rgb(
            *bands, minimum=0, Q=stretch.softening, stretch=stretch.stretch,
            output_dtype=np.float64,
        )  # fmt: skip
    return picture.transpose(2, 0, 1)


def by_idlutils(fluxes, scales, nonlinearity):
    """nw_scale_rgb, nw_arcsinh and nw_cut_to_box, as their manuals say."""
    colours = fluxes * np.reshape(scales, (3, 1, 1))
    radius = colours.sum(0)
    with np.errstate(invalid='ignore', divide='ignore'):
        factor = np.arcsinh(radius * nonlinearity) / nonlinearity / radius
    colours = colours * np.where(radius > 0, factor, 0)
    colours = np.maximum(colours, 0)
    return colours / np.maximum(colours.max(0), 1)


LUPTON = [n for n in list_stretches() if isinstance(get_stretch(n), LuptonStretch)]


@pytest.mark.parametrize('name', LUPTON)
@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_presets_are_lupton_stretches(name, dtype):
    stretch, fluxes = get_stretch(name), random_fluxes()
    found = stretch(torch.from_numpy(fluxes).to(dtype)[None])[0]
    assert found.dtype == dtype
    assert found.min() >= 0
    assert found.max() <= 1
    np.testing.assert_allclose(
        found, by_astropy(stretch, fluxes), rtol=0, atol=1e-6 if dtype == torch.float32
        else 1e-12,
    )  # fmt: skip


@given(arrays(float, (3, 2, 2), elements=st.floats(-1e4, 1e4)))
def test_any_flux(fluxes):
    stretch = get_stretch('sdss')
    found = stretch(torch.from_numpy(fluxes)).numpy()
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, by_astropy(stretch, fluxes), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ('scales', 'nonlinearity'),
    [((4.9, 5.7, 7.8), 3.0), ((5.0, 6.5, 9.0), 2.25), ((4.0, 5.0, 6.0), 3.0)],
)
def test_the_identity_with_the_code_of_sdss(scales, nonlinearity):
    fluxes = random_fluxes(1)
    stretch = LuptonStretch.from_idlutils(scales, nonlinearity)
    found = stretch(torch.from_numpy(fluxes)).numpy()
    np.testing.assert_allclose(
        found, by_idlutils(fluxes, scales, nonlinearity), rtol=0, atol=1e-12
    )


def test_the_numbers_of_the_sdss_presets():
    sdss, dr8 = get_stretch('sdss'), get_stretch('sdss-dr8')
    assert sdss.scales == (4.9, 5.7, 7.8)
    assert sdss.softening == pytest.approx(10.2652, abs=1e-4)
    assert sdss.stretch == pytest.approx(1.14057, abs=1e-5)
    assert dr8.scales == (5.0, 6.5, 9.0)
    assert dr8.softening == pytest.approx(7.27438, abs=1e-5)
    assert dr8.stretch == pytest.approx(1.07769, abs=1e-5)


def test_the_formula_of_the_legacy_surveys():
    # sdss_rgb of the sky viewer: scales 2.5, 1.5, 1.0 for g, r, i; m = 0.02.
    fluxes = np.random.default_rng(2).uniform(0.001, 0.15, (3, 40, 40))
    scales, m, softening = np.reshape([1.0, 1.5, 2.5], (3, 1, 1)), 0.02, 20
    intensity = (scales * fluxes + m).mean(0)
    curve = np.arcsinh(softening * intensity) / math.sqrt(softening)
    expected = (scales * fluxes + m) * curve / intensity
    keep = expected.max(0) < 1
    assert keep.mean() > 0.5
    found = get_stretch('legacy')(torch.from_numpy(fluxes)).numpy()
    np.testing.assert_allclose(found[:, keep], expected[:, keep], atol=1e-12)


def test_leading_axes_do_not_mix():
    fluxes = torch.rand(4, 2, 3, 5, 5)
    stretch = get_stretch('sdss')
    found = stretch(fluxes)
    assert found.shape == fluxes.shape
    assert torch.equal(found[1, 1], stretch(fluxes[1, 1]))


def test_bands_are_red_green_blue():
    for channel in range(3):
        fluxes = torch.zeros(3, 1, 1)
        fluxes[channel] = 0.1
        assert get_stretch('sdss')(fluxes).flatten().argmax() == channel


def test_one_band_is_grey():
    fluxes = torch.rand(2, 1, 4, 4, dtype=torch.float64)
    found = get_stretch('sdss')(fluxes)
    assert found.shape == fluxes.shape
    scaled = fluxes.numpy() * (4.9 + 5.7 + 7.8) / 3
    expected = by_idlutils(np.repeat(scaled[0], 3, 0), (1, 1, 1), 3.0)
    np.testing.assert_allclose(found[0, 0], expected[0], atol=1e-12)


def test_zero_and_tiny_fluxes_are_black():
    for value in (0.0, -1.0, 1e-45):
        found = get_stretch('sdss')(torch.full((3, 1, 1), value))
        assert (found.abs() < 1e-6).all()


def test_the_input_is_not_modified():
    fluxes = torch.rand(3, 4, 4)
    before = fluxes.clone()
    get_stretch('hst')(fluxes)
    assert torch.equal(fluxes, before)


def test_an_unknown_name():
    with pytest.raises(ValueError, match=r"no stretch 'log'; choose from \['asinh"):
        get_stretch('log')


class TestAsinhStretch:
    def test_is_that_of_astropy(self):
        fluxes = np.random.default_rng(2).gamma(0.3, 1, (40, 40))
        wanted = simple_norm(fluxes, 'asinh', asinh_a=0.1)(fluxes)
        low, high = fluxes.min(), fluxes.max()
        found = get_stretch('asinh-image')(
            torch.from_numpy((fluxes - low) / (high - low))
        )
        np.testing.assert_allclose(found, wanted, atol=1e-12)

    def test_is_cut_at_its_limits(self):
        found = AsinhStretch(0.02)(torch.tensor([-5.0, 0.0, 1.0, 7.0]))
        assert found.tolist() == [0, 0, 1, 1]

    def test_only_such_a_stretch_has_limits(self):
        with_limits = {n for n in list_stretches() if get_stretch(n).limits is not None}
        assert with_limits == {'asinh-image'}
