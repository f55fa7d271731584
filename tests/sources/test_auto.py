# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the first survey that covers a position."""

import dataclasses

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from galmorph import GalaxyImage
from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import AutoSource, ImageSource, create_source, register_source


class Deep(ImageSource):
    """Images for ra below 10; what goes wrong there is told by the dec."""

    name = 'deep'
    bands = ('F814W', 'F160W')
    default_bands = ('F160W',)
    attribution = 'thank Hubble'
    bibtex = '@deep'
    value = 1

    def __init__(self, **options):
        super().__init__(**options)
        self.planned = []

    def covers(self, coords):
        return coords.ra.deg < 10

    def plan(self, targets):
        assert targets
        self.planned += [target.ra for target in targets]
        return [self.plan_one(target) for target in targets]

    def plan_one(self, target):
        if target.dec == 1:
            return ImageError('none here', flag=MorphologyFlag.NO_MATCH)
        if target.dec == 2:
            return ImageError('down', flag=MorphologyFlag.ARCHIVE_ERROR)
        radius = 7 * u.arcsec if target.radius is None else target.radius
        return dataclasses.replace(target, radius=radius, meta={'by': self.name})

    def fetch_one(self, target):
        assert target.meta['by'] == self.name
        if target.dec == 3:
            msg = 'no pixels'
            raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
        if target.dec == 4:
            msg = 'broken'
            raise ImageError(msg, flag=MorphologyFlag.ARCHIVE_ERROR)
        pixels = np.full((len(target.bands), 16, 16), self.value)
        return GalaxyImage(pixels, bands=target.bands)


class Wide(Deep):
    """Images everywhere with ra below 300."""

    name = 'wide'
    bands = ('u', 'g', 'r', 'i', 'z')
    default_bands = ('g', 'r', 'i')
    attribution = 'thank Sloan'
    bibtex = '@wide'
    value = 2

    def covers(self, coords):
        return coords.ra.deg < 300

    def plan_one(self, target):
        return dataclasses.replace(target, meta={'by': self.name})

    def fetch_one(self, target):
        return Deep.fetch_one(self, dataclasses.replace(target, dec=0))


@pytest.fixture
def auto():
    return AutoSource([Deep(), Wide()])


def fetch(source, ra, dec, **options):
    images = source.fetch(SkyCoord(ra, dec, unit='deg'), **options)
    return [
        image.flag if isinstance(image, ImageError) else image.data[0, 0, 0]
        for image in images
    ]


def test_takes_the_first_that_covers(auto):
    ra = [1, 20, 350, np.nan]
    found = fetch(auto, ra, [0] * 4)
    flags = MorphologyFlag.NO_COVERAGE, MorphologyFlag.BAD_COORDINATES
    assert found == [1, 2, *flags]
    deep, wide = auto.surveys
    assert deep.planned == [1]
    assert wide.planned == [20]


def test_says_who_does_not_cover(auto):
    (error,) = auto.fetch(SkyCoord([350], [0], unit='deg'))
    assert str(error) == "none of ['deep', 'wide'] covers it"


def test_looks_elsewhere_for_what_is_not_there_only(auto):
    # No match and no pixels: elsewhere. Down: another survey gives other answers.
    down = MorphologyFlag.ARCHIVE_ERROR
    assert fetch(auto, [1] * 5, [0, 1, 2, 3, 4]) == [1, 2, down, 2, down]


def test_keeps_the_reason_where_there_is_no_other():
    auto = AutoSource([Wide(), Deep()])
    auto.surveys.pop(0)
    no_match, no_pixels = MorphologyFlag.NO_MATCH, MorphologyFlag.NO_COVERAGE
    assert fetch(auto, [1, 1], [1, 3]) == [no_match, no_pixels]


def test_second_survey_that_is_down_is_told():
    class Down(Wide):
        def plan(self, targets):
            raise OSError

    auto = AutoSource([Deep(), Down()])
    down = MorphologyFlag.ARCHIVE_ERROR
    # Those of the first survey are not lost with the second one.
    assert fetch(auto, [1, 2, 3, 20], [0, 1, 3, 0]) == [1, down, down, down]


def test_what_one_survey_knows_is_not_told_to_the_other(auto):
    seen = []
    fetch_one = auto.surveys[1].fetch_one
    auto.surveys[1].fetch_one = lambda target: seen.append(target) or fetch_one(target)
    fetch(auto, [1], [3])
    assert seen[0].radius is None
    assert seen[0].bands == ('g', 'r', 'i')


def test_sizes_reach_the_survey(auto):
    coords = SkyCoord([1, 20], [3, 0], unit='deg')
    images = auto.fetch(coords, radius=[2, 3] * u.arcsec)
    assert [image.size.to_value('arcsec') for image in images] == [2, 3]


@pytest.mark.parametrize(
    ('bands', 'found'),
    [
        (None, [('F160W',), ('g', 'r', 'i')]),
        ('gri', [('g', 'r', 'i')] * 2),
        ('g,r', [('g', 'r')] * 2),
        ('F814W', [('F814W',), None]),
        (['F814W', 'r'], [('F814W',), ('r',)]),
    ],
)
def test_bands_are_those_that_a_survey_has(auto, bands, found):
    images = auto.fetch(SkyCoord([1, 20], [0, 0], unit='deg'), bands=bands)
    assert [getattr(image, 'bands', None) for image in images] == found
    if found[1] is None:
        assert images[1].flag == MorphologyFlag.BANDS_MISSING
        assert str(images[1]) == "'wide' has none of the bands ['F814W']"


def test_bands_that_no_survey_has(auto):
    with pytest.raises(ValueError, match=r"no survey has the bands \['F814'\]; they"):
        auto.targets(SkyCoord([1], [0], unit='deg'), bands='F814')


def test_a_survey_that_takes_any_band():
    class Any(Wide):
        bands = default_bands = ()

    auto = AutoSource([Any()])
    (image,) = auto.fetch(SkyCoord([1], [0], unit='deg'), bands='F999W')
    assert image.bands == ('F999W',)


def test_targets_of_one_survey_follow_one_another(auto):
    rng = np.random.default_rng(0)
    coords = SkyCoord(rng.uniform(0, 20, 40), np.zeros(40), unit='deg')
    rows = [row for row, _ in auto.stream(auto.targets(coords))]
    assert np.all(np.diff(coords.ra.deg[rows] > 10) >= 0)


def test_surveys_by_name_share_settings_and_cache(tmp_path):
    register_source('deep')(Deep)
    register_source('wide')(Wide)
    auto = create_source(
        'auto', surveys=['deep', 'wide'], offline=True, cache=tmp_path, n_connections=2
    )
    assert auto.archive.name == 'auto'
    assert [type(source) for source in auto.surveys] == [Deep, Wide]
    for source in auto.surveys:
        assert source.archive.offline
        assert source.archive.n_connections == 2
        assert source.archive.cache is auto.archive.cache


def test_acknowledges_all(auto):
    assert auto.attribution == 'thank Hubble\nthank Sloan'
    assert auto.bibtex == '@deep\n@wide'
