# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Weights of every kind of schema, from a card to tables and pictures."""

import numpy as np
import pytest
from astropy import units as u
from astropy.io import fits
from astropy.table import QTable, Table
from matplotlib.figure import Figure
from PIL import Image

from galmorph.classifier import MorphologyClassifier
from galmorph.cli import main
from galmorph.exceptions import WeightsError
from galmorph.flags import MorphologyFlag
from galmorph.inference.stamps import render_stamps
from galmorph.plotting import plot_answers, plot_contact_sheet
from galmorph.predictions import AttributePredictions, MorphologyPredictions
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from tests.helpers.data import SHARED_DATA, needs_shared_data
from tests.helpers.galaxies import sersic_image
from tests.helpers.tiny import draw_stamps, make_tiny_card

STAMPS = draw_stamps(3)
COLOUR = {
    'frame_size': 88, 'frame_scale': 0.0446, 'step': 1.375, 'output_size': 64,
    'views': (0.0,), 'antialias': 1.0,
}  # fmt: skip
GREY = {
    'bands': ('F200W',), 'stretch': 'asinh-image', 'survey': 'JWST', 'mean': (0.0,),
    'std': (1.0,), 'surface_brightness': (1.0,), 'frame_size': 424,
    'frame_scale': 0.04, 'size': 'half_light_radius', 'step': 6.625,
    'output_size': 64, 'views': (0.0,), 'antialias': 1.0,
}  # fmt: skip
KINDS = {
    'zhu5': (COLOUR, {'head': 'softmax', 'n_view': 1}),
    'gz_ceers': (GREY, {'head': 'dirichlet', 'n_view': 1, 'n_channel': 1}),
    'candels5': (
        {**GREY, 'bands': ('F160W',), 'survey': 'HST'},
        {'head': 'softmax', 'n_view': 1, 'n_channel': 1},
    ),
    'efigi': (COLOUR, {'head': 'interval', 'n_view': 1}),
}


@pytest.fixture(scope='module')
def cards(tiny_network, tmp_path_factory):
    folder = tmp_path_factory.mktemp('kinds')
    return {
        schema: make_tiny_card(
            folder,
            schema=schema,
            options=options,
            recipe=Recipe(**recipe).to_dict(),
            instrument=recipe.get('survey', 'SDSS'),
        )
        for schema, (recipe, options) in KINDS.items()
    }


@pytest.fixture(params=list(KINDS))
def kind(request):
    return request.param


def make(cards, kind, **options):
    return MorphologyClassifier(cards[kind], 'cpu', n_workers=1, **options)


def write_fits(path, pixels, **keywords):
    header = fits.Header(keywords)
    fits.PrimaryHDU(np.asarray(pixels, np.float32), header).writeto(path)
    return str(path)


def galaxy(seed=0, **options):
    pixels = sersic_image((121, 121), r_eff=6, flux=500, **options)
    return pixels + np.random.default_rng(seed).normal(0, 0.02, pixels.shape)


class TestTables:
    def test_annotates_a_table(self, cards, kind):
        classifier = make(cards, kind)
        table = Table({'id': [1, 2, 3], 'image': STAMPS})
        annotated = classifier.predict_table(table)
        schema = load_schema(kind)
        assert set(schema.columns) <= set(annotated.colnames)
        has_std = f'{schema.columns[0]}_std' in annotated.colnames
        assert has_std == (kind in ('gz_ceers', 'efigi'))
        assert not annotated['morphology_class'].mask.any()
        has_entropy = any(name.endswith('_entropy') for name in annotated.colnames)
        assert has_entropy == (schema.kind == 'tree')
        assert annotated.meta['GM_SCHEM'] == kind
        # Framed pictures take no stretch, no size, no band.
        assert set(annotated['morphology_flags']) == {MorphologyFlag.FRAME_ASSUMED}

    def test_knows_its_columns_before_the_work(self, cards, kind):
        classifier = make(cards, kind)
        empty, full = classifier.predict([]), classifier.predict(list(STAMPS))
        assert empty.colnames == full.colnames

    @pytest.mark.parametrize('suffix', ['ecsv', 'fits', 'vot'])
    def test_goes_through_files_without_a_warning(self, cards, kind, suffix, tmp_path):
        table = make(cards, kind).predict([*STAMPS, 'lost.fits'])
        path, format_ = tmp_path / f'a.{suffix}', 'votable' if suffix == 'vot' else None
        table.write(path, format=format_)
        again = QTable.read(path, format=format_)
        assert again.colnames == table.colnames
        for name in load_schema(kind).columns:
            np.testing.assert_array_equal(again[name][:3], table[name][:3])
            assert again[name].mask.tolist() == [False, False, False, True]

    def test_transforms_and_zooms(self, cards, kind):
        turned = make(cards, kind, n_transforms=12, zooms=(1 / 1.2, 1, 1.2))
        predictions = turned.classify(list(STAMPS))
        plain = make(cards, kind).classify(list(STAMPS))
        difference = predictions.values - plain.values
        assert 0 < abs(difference).max() < 17
        assert (predictions.std >= 0).all()
        assert predictions.provenance['zooms'] == pytest.approx([1 / 1.2, 1, 1.2])
        if plain.std is not None:
            assert (predictions.std > 0).all()


class TestAttributes:
    def test_are_predicted_with_their_spread(self, cards):
        predictions = make(cards, 'efigi').classify(list(STAMPS))
        assert type(predictions) is AttributePredictions
        assert ((predictions.std > 0) & np.isfinite(predictions.std)).all()
        assert not predictions.morphology_probability.mask.any()

    def test_a_mirror_image_winds_the_other_way(self, cards):
        both = make(cards, 'efigi', n_transforms=2)
        there = both.classify(STAMPS[0]).values[0]
        back = both.classify(STAMPS[0][:, ::-1].copy()).values[0]
        index = load_schema('efigi').index('arm_rotation')
        assert there[index] == pytest.approx(1 - back[index], abs=1e-4)
        assert there[index + 1] == pytest.approx(back[index + 1], abs=1e-4)

    def test_unsupported_ones_are_masked(self, tiny_network, tmp_path):
        recipe, options = KINDS['efigi']
        card = make_tiny_card(
            tmp_path, schema='efigi', options=options,
            recipe=Recipe(**recipe).to_dict(), supported_questions=['t_type'],
        )  # fmt: skip
        table = MorphologyClassifier(card, 'cpu').predict(STAMPS[0])
        assert not table['t_type'].mask.any()
        assert table['bar_length'].mask.all()
        assert table['bar_length_std'].mask.all()

    def test_cards_name_attributes(self, tiny_network, tmp_path):
        recipe, options = KINDS['efigi']
        card = make_tiny_card(
            tmp_path, schema='efigi', options=options,
            recipe=Recipe(**recipe).to_dict(), supported_questions=['bar_lenght'],
        )  # fmt: skip
        message = "no attribute of the schema 'efigi'; did you mean 'bar_length'"
        with pytest.raises(WeightsError, match=message):
            MorphologyClassifier(card).card  # noqa: B018


class TestOneBand:
    @pytest.mark.parametrize('name', ['gz_ceers', 'candels5'])
    def test_grey_and_colour_pictures_agree(self, cards, name, tmp_path):
        grey = STAMPS[0][..., 0]
        Image.fromarray(grey).save(tmp_path / 'grey.png')
        Image.fromarray(np.stack([grey] * 3, -1)).save(tmp_path / 'colour.png')
        files = [tmp_path / 'grey.png', tmp_path / 'colour.png']
        values = make(cards, name).classify(files).values
        np.testing.assert_allclose(values[0], values[1], atol=1e-6)

    def test_the_band_is_chosen_by_its_name(self, cards, tmp_path):
        keywords = {'TELESCOP': 'JWST', 'INSTRUME': 'NIRCAM'}
        paths = {
            band: write_fits(
                tmp_path / f'{band}.fits', galaxy(i), FILTER=band, **keywords
            )
            for i, band in enumerate(['F115W', 'F200W', 'F444W'])
        }
        one, several = make(cards, 'gz_ceers').classify([paths['F200W'], paths])
        assert_array = np.testing.assert_array_equal
        assert_array(one.values, several.values)
        assert not one.flags[0] & MorphologyFlag.OTHER_INSTRUMENT
        assert not several.flags[0] & MorphologyFlag.OTHER_INSTRUMENT
        assert not several.flags[0] & MorphologyFlag.FLUX_SCALED

    def test_the_unit_does_not_matter(self, cards):
        classifier = make(cards, 'gz_ceers')
        rate = galaxy() * u.electron / u.s
        flux = (1e-3 * galaxy() + 0.5) * u.MJy / u.sr
        options = {'bands': ['F200W'], 'size': 6 * u.pix}
        values = classifier.classify([rate, flux], **options).values
        np.testing.assert_allclose(values[0], values[1], atol=1e-4)

    def test_a_mosaic_is_cut_by_the_half_light_radius(self, cards, tmp_path):
        size = 6 * 0.05
        table = Table({'ra': [150.0], 'dec': [2.0], 're': [size]})
        keywords = {
            'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRVAL1': 150.0, 'CRVAL2': 2.0,
            'CRPIX1': 61.0, 'CRPIX2': 61.0, 'CDELT1': -0.05 / 3600,
            'CDELT2': 0.05 / 3600, 'FILTER': 'F200W', 'TELESCOP': 'JWST',
        }  # fmt: skip
        path = write_fits(tmp_path / 'mosaic.fits', galaxy(), **keywords)
        classifier = make(cards, 'gz_ceers')
        given = classifier.classify_table(table, mosaic=path, size='re')
        measured = classifier.classify_table(table, mosaic=path)
        assert given.flags[0] == 0
        assert measured.flags[0] == MorphologyFlag.SIZE_MEASURED
        np.testing.assert_allclose(given.values, measured.values, atol=0.02)

    @needs_shared_data
    def test_hubble_stamps(self, cards):
        folder = SHARED_DATA / 'candels_goodss' / 'fits'
        paths = sorted(folder.glob('*_h.fits.gz'))
        table = QTable({'path': [str(path) for path in paths]})
        classifier = make(cards, 'candels5')
        annotated = classifier.predict_table(table)
        assert len(annotated) == 12
        flags = np.array(annotated['morphology_flags'])
        assert not (flags & MorphologyFlag.OTHER_INSTRUMENT).any()
        assert not (flags & MorphologyFlag.FLUX_SCALED).any()
        total = sum(annotated[name] for name in classifier.schema.columns)
        np.testing.assert_allclose(total, 1, atol=1e-5)
        stamps = render_stamps([str(path) for path in paths], classifier.recipe)
        # As in the stamps of Galaxy Zoo CEERS, black sky and a white pixel.
        assert (np.median(stamps, axis=(1, 2, 3)) < 0.5).all()
        assert (stamps.max((1, 2, 3)) > 0.6).all()

    @needs_shared_data
    def test_answers_of_ceers_become_those_of_candels(self, cards):
        folder = SHARED_DATA / 'candels_goodss' / 'fits'
        paths = [str(path) for path in sorted(folder.glob('*_h.fits.gz'))[:3]]
        predictions = make(cards, 'gz_ceers').classify(paths)
        mapped = predictions.map_to('candels5')
        assert type(mapped) is MorphologyPredictions
        np.testing.assert_allclose(mapped.probabilities.sum(1), 1, atol=1e-5)
        assert (mapped.flags & MorphologyFlag.OTHER_INSTRUMENT).all()


class TestPictures:
    def test_contact_sheet_and_answers(self, cards, kind):
        classifier = make(cards, kind)
        images = [*STAMPS, 'lost.fits']
        table = classifier.predict(images)
        stamps = render_stamps(images, classifier.recipe, n_pixels=32)
        sheet = plot_contact_sheet(stamps, table, figure=Figure())
        texts = [text.get_text() for text in sheet.axes[0].texts]
        assert table['morphology_class'][0] in texts
        figure = plot_answers(table[0], stamp=stamps[0], figure=Figure())
        texts = [text.get_text() for text in figure.axes[0].texts]
        assert any(
            'spiral' in text or 'disk' in text or 'bar' in text for text in texts
        )

    def test_without_a_probability(self, cards):
        table = make(cards, 'efigi').predict(list(STAMPS))
        table['morphology_probability'].mask = True
        sheet = plot_contact_sheet(STAMPS, table, figure=Figure())
        texts = [text.get_text() for text in sheet.axes[0].texts]
        assert table['morphology_class'][0] in texts
        assert '0.00' not in texts
        assert 'nan' not in texts


class TestCommand:
    def test_predicts(self, cards, kind, tmp_path, capsys):
        for i, stamp in enumerate(STAMPS):
            Image.fromarray(stamp).save(tmp_path / f'{i}.png')
        output = tmp_path / 'a.ecsv'
        status = main(
            ['predict', str(tmp_path), '--weights', str(cards[kind]), '--device', 'cpu',
             '--output', str(output), '--transforms', '6', '--zooms', '0.8,1,1.25',
             '--columns', 'all']
        )  # fmt: skip
        assert status == 0
        assert 'predicted 3 of 3 galaxies' in capsys.readouterr().out
        table = QTable.read(output)
        assert f'{load_schema(kind).columns[0]}_std' in table.colnames

    def test_shows_the_card(self, cards, kind, capsys):
        assert main(['weights', 'show', str(cards[kind])]) == 0
        shown = capsys.readouterr().out
        noun = 'attributes' if kind == 'efigi' else 'questions'
        assert f'Supported {noun}\n  - {load_schema(kind).names[0]}' in shown

    @pytest.mark.parametrize('zooms', ['1,two', '1,-2', '0.8,1'])
    def test_zooms_that_do_not_fit(self, cards, zooms, tmp_path, capsys):
        Image.fromarray(STAMPS[0]).save(tmp_path / 'a.png')
        status = main(
            ['predict', str(tmp_path / 'a.png'), '--weights', str(cards['zhu5']),
             '--output', str(tmp_path / 'a.ecsv'), '--zooms', zooms,
             '--transforms', '3']
        )  # fmt: skip
        assert status == 2
        assert 'zooms' in capsys.readouterr().err
