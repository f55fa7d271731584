# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of coordinates in, morphologies out, with sources made by the test."""

import time
import warnings

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

from galmorph import decode_flags
from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import GalaxyImage
from galmorph.inference.catalog import read_target
from galmorph.inference.feeds import SurveyFeed
from galmorph.inference.fetching import survey_order, wanted_bands
from galmorph.preprocessing.recipe import Recipe
from galmorph.sources import ImageSource, register_source, registry
from galmorph.sources._framing import wanted_side
from tests.helpers.fits import make_wcs
from tests.helpers.galaxies import sersic_image

SCALE = 0.4 * u.arcsec


class Painted(ImageSource):
    """A survey that has seen one galaxy at each position: larger with ra."""

    name = 'painted'
    title = 'painted galaxies'
    bands = ('g', 'r', 'i')
    default_bands = ('r',)
    default_size = 20 * u.arcsec
    attribution = 'Painted by the test.'
    bibtex = '@misc{painted}'
    n_connections = 3

    def __init__(self, *, knows_size=True, **options):
        super().__init__(**options)
        self.knows_size = knows_size
        self.asked = []

    def group(self, target):
        return -target.ra

    def fetch_one(self, target):
        self.asked.append(target)
        if target.dec > 80:
            msg = 'the survey ends at 80 degrees'
            raise ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
        if target.dec < -80:
            msg = 'broken'
            raise OSError(msg)
        radius = target.ra * u.arcsec
        side = target.size
        if side is None:
            side = 8.5 * radius if self.knows_size else self.default_size
        n = int(np.ceil((side / SCALE).value))
        r_eff = (radius / SCALE).value / 2.5
        light = sersic_image((n, n), r_eff=r_eff, flux=100 * r_eff**2)
        wcs = make_wcs((n, n), scale=SCALE.value)
        wcs.wcs.crval = target.ra, target.dec
        return GalaxyImage(
            np.stack([light] * len(target.bands)),
            bands=target.bands,
            unit='nmgy',
            wcs=wcs,
            size=radius if self.knows_size else None,
        )


@pytest.fixture
def source(tmp_path):
    return Painted(cache=tmp_path / 'cache')


COORDS = SkyCoord([3, 12, 5, 7, 4, 6], [10, 20, 85, np.nan, -85, 30], unit='deg')


class TestTable:
    def test_rows_stay_in_order(self, classifier, source):
        table = QTable({'name': list('abcdef'), 'where': COORDS.galactic})
        annotated = classifier.predict_table(table, survey=source)
        assert annotated.colnames[:2] == ['name', 'where']
        assert annotated['name'].tolist() == list('abcdef')
        flags = decode_flags(annotated['morphology_flags'])
        assert [f[0] if f else '' for f in flags[2:5]] == [
            'NO_COVERAGE',
            'BAD_COORDINATES',
            'ARCHIVE_ERROR',
        ]
        assert annotated['morphology_reason'][2] == 'the survey ends at 80 degrees'
        assert 'OSError: broken' in annotated['morphology_reason'][4]
        good = ~annotated['morphology_class'].mask
        assert good.tolist() == [True, True, False, False, False, True]
        # Each answer is that of its own galaxy.
        for row in np.flatnonzero(good):
            alone = classifier.predict_table(table[row : row + 1], survey=source)
            assert alone['smooth_or_features_smooth'][0] == pytest.approx(
                annotated['smooth_or_features_smooth'][row], abs=1e-5
            )
        # The input is as it was.
        assert table.colnames == ['name', 'where']

    def test_what_the_survey_asks_users_to_say(self, classifier, source, tmp_path):
        table = Table({'ra': [3.0], 'dec': [10.0]})
        assert 'painted' not in classifier.citation()
        annotated = classifier.predict_table(table, survey=source)
        assert annotated.meta['GM_SURVY'] == 'painted'
        assert annotated.meta['GM_ATTRI'] == 'Painted by the test.'
        assert '@misc{painted}' in classifier.citation()
        annotated.write(tmp_path / 'out.fits')
        assert Table.read(tmp_path / 'out.fits').meta['GM_SURVY'] == 'painted'

    def test_sizes_of_the_table_come_first(self, classifier, source):
        table = Table({'ra': [3.0, 3.0], 'dec': [10.0, 10.0], 'r90': [6.0, np.nan]})
        annotated = classifier.predict_table(table, survey=source, size='r90')
        assert source.asked[0].radius == 6 * u.arcsec
        assert source.asked[1].radius is None
        smooth = annotated['smooth_or_features_smooth']
        assert abs(smooth[0] - smooth[1]) > 1e-4

    def test_asks_for_all_that_the_weights_see(self, source):
        recipe = Recipe(
            frame_size=212, frame_scale=0.08, size='half_light_radius', step=1.875,
            output_size=80,
        )  # fmt: skip
        table = Table({'ra': [3.0], 'dec': [10.0], 'r50': [2.0]})
        rows, _ = SurveyFeed(table, recipe, source, size='r50').rows(table)
        assert [read_target(row).size for row in rows] == [2 * u.arcsec]
        # 12 radii, turned by 45 degrees
        side = wanted_side(source.asked[0], 1 * u.arcmin)
        assert 12 * 2**0.5 * 2 * u.arcsec < side < 50 * u.arcsec

    def test_bands(self, classifier, source):
        table = Table({'ra': [3.0], 'dec': [10.0]})
        classifier.predict_table(table, survey=source)
        # Those of the weights, in their order.
        assert source.asked[0].bands == ('i', 'r', 'g')
        classifier.predict_table(table, survey=source, band='g')
        assert source.asked[1].bands == ('g',)
        with pytest.raises(ValueError, match=r"bands must be among .* not 'z'"):
            classifier.predict_table(table, survey=source, bands='z')
        with pytest.raises(ValueError, match='give band= or bands='):
            classifier.predict_table(table, survey=source, bands='g', band='g')

    def test_galaxy_that_fills_its_image_is_fetched_again(self, classifier, tmp_path):
        small = Painted(knows_size=False, cache=tmp_path / 'cache')
        table = Table({'ra': [12.0, 1.8], 'dec': [20.0, 10.0]})
        found = classifier.predict_table(table, survey=small)
        sides = [t.size.to_value(u.arcsec) for t in small.asked if t.size is not None]
        assert sides
        assert max(sides) > 8.48 * 12 * 0.8
        assert not any(
            'EDGE' in names for names in decode_flags(found['morphology_flags'])
        )
        # The small one was large enough.
        assert sum(t.ra == 1.8 for t in small.asked) == 1

    def test_mistakes(self, classifier, source):
        table = Table({'ra': [3.0], 'dec': [10.0], 'path': ['a.fits']})
        with pytest.raises(ValueError, match='give image= or survey=, not both'):
            classifier.predict_table(table, image='path', survey=source)
        with pytest.raises(ValueError, match=r"survey must be one of .* not 'sds'"):
            classifier.predict_table(table, survey='sds')
        with pytest.raises(ValueError, match='no positions'):
            classifier.predict_table(table['path',], survey=source)
        with pytest.raises(ValueError, match='radius must be an angle'):
            classifier.predict_table(table, survey=source, size=[5] * u.pix)

    def test_images_that_come_late(self, classifier, source):
        # All rows are asked for before the first image has come.
        fetch_one = source.fetch_one
        source.fetch_one = lambda target: time.sleep(0.05) or fetch_one(target)
        table = Table({'ra': np.linspace(3, 5, 20), 'dec': np.full(20, 10.0)})
        annotated = classifier.predict_table(table, survey=source)
        assert not annotated['morphology_class'].mask.any()

    def test_empty_table(self, classifier, source):
        table = Table({'ra': np.zeros(0), 'dec': np.zeros(0)})
        assert len(classifier.predict_table(table, survey=source)) == 0


class TestCoordinates:
    def test_one_or_many(self, classifier, source):
        found = classifier.predict_coordinates(COORDS, source, columns='best')
        assert found.colnames[0] == 'coord'
        assert found['coord'].separation(COORDS)[:2].max() < 1e-9 * u.deg
        assert found['morphology_class'].mask.sum() == 3
        one = classifier.predict_coordinates(COORDS[0], source, size=3 * u.arcsec)
        assert len(one) == 1
        with pytest.raises(TypeError, match='coords must be a SkyCoord, not tuple'):
            classifier.predict_coordinates((3, 10), source)

    def test_by_name(self, classifier, monkeypatch):
        monkeypatch.setattr(registry, '_registered', {})
        register_source('painted')(Painted)
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            found = classifier.predict_coordinates(COORDS[:1], 'painted')
        assert found.meta['GM_SURVY'] == 'painted'


class TestChoices:
    def test_bands_of_the_weights_if_there_are_any(self, source):
        assert wanted_bands(source, Recipe()) == ('i', 'r', 'g')
        jwst = Recipe(
            bands=['F200W'], surface_brightness=[1.0], mean=[0.0], std=[1.0], unit='nJy'
        )
        assert wanted_bands(source, jwst) is None

    def test_surveys_of_the_weights_first(self):
        assert survey_order(Recipe())[0] == 'sdss'
        assert survey_order(Recipe(survey='JWST'))[0] == 'candels'
