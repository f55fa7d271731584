# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the survey that an image says it is from."""

import numpy as np
import pytest
from astropy.io import fits

from galmorph import GalaxyImage, MorphologyFlag, Recipe, read_image
from galmorph.preprocessing.prepare import measure_image, prepare
from galmorph.preprocessing.survey import is_from_survey
from tests.helpers.fits import make_hdu, make_wcs


def make_image(**keywords):
    return GalaxyImage(np.eye(20), meta={'headers': [fits.Header(keywords)]})


@pytest.mark.parametrize(
    ('keywords', 'expected'),
    [
        ({}, None),
        ({'TELESCOP': ''}, None),
        ({'ORIGIN': 'KPNO-IRAF'}, None),
        ({'ORIGIN': 'SDSS'}, True),
        ({'TELESCOP': '2.5m', 'ORIGIN': 'SDSS'}, True),
        ({'TELESCOP': 'Sloan Digital Sky Survey'}, True),
        ({'TELESCOP': 'HST', 'INSTRUME': 'WFC3'}, False),
        ({'SURVEY': 'DECaLS'}, False),
        ({'SURVEY': 'SDSS g'}, True),
    ],
)
def test_headers(keywords, expected):
    assert is_from_survey(make_image(**keywords), 'SDSS') is expected


def test_meta_counts_before_headers():
    image = make_image(TELESCOP='HST')
    image.meta['survey'] = 'sdss'
    assert is_from_survey(image, 'SDSS') is True


def test_image_without_headers_says_nothing():
    assert is_from_survey(GalaxyImage(np.eye(20)), 'SDSS') is None


@pytest.mark.parametrize(('survey', 'flagged'), [('HST', True), ('SDSS', False)])
def test_prepare_flags_pictures_of_another_survey(survey, flagged):
    pixels = np.random.default_rng(1).random((3, 64, 64))
    image = GalaxyImage(pixels, is_picture=True, meta={'survey': survey})
    flags = prepare(image, Recipe()).flags
    assert bool(flags & MorphologyFlag.OTHER_INSTRUMENT) is flagged


def test_prepare_flags_bands_of_another_telescope():
    hdu = make_hdu(wcs=make_wcs(), FILTER='r', BUNIT='nanomaggy', TELESCOP='CTIO')
    assert prepare(read_image(hdu), Recipe()).flags & MorphologyFlag.OTHER_INSTRUMENT


def test_measured_size_of_a_picture_is_corrected_for_its_stretch():
    y, x = np.mgrid[:201, :201] - 100
    disk = np.exp(-np.hypot(x, y) / 9)
    flux = measure_image(GalaxyImage(disk))
    picture = measure_image(GalaxyImage(np.stack([disk] * 3), is_picture=True))
    assert picture.petro_r90 == pytest.approx(flux.petro_r90 / 1.8, rel=1e-6)
    assert flux.flags == MorphologyFlag.SIZE_MEASURED
    assert picture.flags & MorphologyFlag.SIZE_UNCERTAIN


def test_nothing_measured_on_an_image_without_source():
    image = GalaxyImage(np.random.default_rng(0).normal(size=(64, 64)))
    found = measure_image(image.at((5, 5)))
    if not found.petro_r90 > 0:
        assert not found.flags & MorphologyFlag.SIZE_MEASURED
        assert found.flags & MorphologyFlag.NO_SOURCE
