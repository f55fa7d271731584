# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the demonstration."""

import numpy as np
import pytest
from astropy.table import QTable
from PIL import Image

from galmorph import MorphologyClassifier, MorphologyFlag
from galmorph.demo import find_galaxies, load_deep_field, run_demo


@pytest.fixture(scope='module')
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp('demo') / 'galaxies of größe'
    said = []
    result = run_demo(
        folder,
        classifier=MorphologyClassifier(device='cpu'),
        n_galaxies=24,
        report=said.append,
    )
    return result, said


@pytest.fixture(scope='module')
def galaxies():
    return find_galaxies(load_deep_field(), 80)


class TestFindGalaxies:
    def test_finds_the_great_spiral_and_the_giant_elliptical(self, galaxies):
        x, y = galaxies['x'].value, galaxies['y'].value
        assert np.hypot(x - 123, y - 401).min() < 3
        assert np.hypot(x - 726, y - 474).min() < 3

    def test_leaves_out_the_stars_with_spikes(self, galaxies):
        x, y = galaxies['x'].value, galaxies['y'].value
        for star in ((754, 578), (254, 166)):
            assert np.hypot(x - star[0], y - star[1]).min() > 5

    def test_orders_by_extent(self, galaxies):
        assert len(galaxies) == 80
        assert (np.diff(galaxies['area'].value) <= 0).all()
        assert galaxies['id'].tolist() == list(range(1, 81))

    def test_nothing_in_empty_sky(self):
        field = load_deep_field()
        noise = np.random.default_rng(0).integers(8, 18, (3, 100, 100), np.uint8)
        assert len(find_galaxies(type(field)(noise, is_picture=True))) == 0


class TestRunDemo:
    def test_every_row_is_flagged_as_of_another_instrument(self, demo):
        flags = demo[0].table['morphology_flags']
        wanted = (
            MorphologyFlag.OTHER_INSTRUMENT
            | MorphologyFlag.SIZE_MEASURED
            | MorphologyFlag.SIZE_UNCERTAIN
        )
        assert ((flags & int(wanted)) == int(wanted)).all()
        assert not (flags & int(MorphologyFlag.FRAME_ASSUMED)).any()

    def test_every_galaxy_has_an_answer_and_a_stamp(self, demo):
        result, _ = demo
        assert not np.ma.getmaskarray(result.table['morphology_class']).any()
        assert np.isfinite(result.stamps).all()
        # The galaxy is in the middle of its stamp.
        light = result.stamps.mean(-1)
        middle = light[:, 48:80, 48:80].mean((1, 2))
        assert (middle > light.mean((1, 2))).mean() > 0.9

    @pytest.mark.parametrize('name', ['galaxies.ecsv', 'galaxies.fits'])
    def test_catalogue_is_that_of_the_table(self, demo, name):
        result, _ = demo
        path = next(path for path in result.files if path.name == name)
        table = QTable.read(path)
        assert table.colnames == result.table.colnames
        assert str(table['x'].unit) == 'pix'
        np.testing.assert_allclose(
            np.asarray(table['morphology_probability']),
            np.asarray(result.table['morphology_probability']),
        )

    def test_contact_sheet_is_a_picture(self, demo):
        path = demo[0].files[-1]
        assert path.name == 'contact_sheet.png'
        with Image.open(path) as picture:
            assert min(picture.size) > 600

    def test_says_what_it_does(self, demo):
        said = ' '.join(demo[1])
        assert 'Hubble' in said
        assert 'compact.gz2' in said
