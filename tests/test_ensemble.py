# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of several weights that answer as one."""

import numpy as np
import pytest
from astropy.table import Table

from galmorph import MorphologyClassifier
from galmorph.exceptions import WeightsError
from galmorph.preprocessing.recipe import Recipe
from tests.helpers.tiny import QUESTIONS, draw_stamps, make_tiny_card

STAMPS = draw_stamps(5)


@pytest.fixture(scope='module')
def cards(tiny_network, tmp_path_factory):
    """Weights that see the galaxies differently, and support other questions."""
    other = Recipe(step=2.0, mean=(0.2, 0.2, 0.2))
    folders = [tmp_path_factory.mktemp(name) for name in 'ab']
    return [
        make_tiny_card(folders[0]),
        make_tiny_card(
            folders[1],
            recipe=other.to_dict(),
            supported_questions=QUESTIONS[1:],
            paper={'bibtex': '@article{Other2026}'},
        ),
    ]


def test_answers_are_the_mean_of_the_members(cards):
    alone = [
        MorphologyClassifier(card, 'cpu').classify(list(STAMPS)).probabilities.data
        for card in cards
    ]
    together = MorphologyClassifier(cards, 'cpu').classify(list(STAMPS))
    assert np.abs(alone[0] - alone[1]).max() > 1e-3
    np.testing.assert_allclose(
        together.probabilities.data, np.mean(alone, 0), atol=1e-5
    )
    np.testing.assert_allclose(together.std.data, np.std(alone, 0), atol=1e-5)


def test_transforms_of_each_member_count_alike(cards):
    options = {'n_transforms': 4}
    alone = [
        MorphologyClassifier(card, 'cpu', **options)
        .classify(list(STAMPS))
        .probabilities.data
        for card in cards
    ]
    together = MorphologyClassifier(cards, 'cpu', **options).classify(list(STAMPS))
    np.testing.assert_allclose(
        together.probabilities.data, np.mean(alone, 0), atol=1e-5
    )


def test_table_says_what_answered(cards, tmp_path):
    classifier = MorphologyClassifier(cards, 'cpu')
    table = classifier.predict_table(Table({'image': list(STAMPS)}))
    assert table.meta['GM_WGHTS'] == 'tiny.gz2 + tiny.gz2'
    # What one of them does not support is masked.
    columns = classifier.schema.columns
    first, second = (classifier.schema.question(name) for name in QUESTIONS[:2])
    assert all(table[name].mask.all() for name in columns[first.slice])
    assert not any(table[name].mask.any() for name in columns[second.slice])
    citation = classifier.citation()
    assert '@article{Tiny2026' in citation
    assert '@article{Other2026}' in citation
    table.remove_column('image')
    table.write(tmp_path / 'out.fits')


def test_bad_image_costs_its_own_row(cards):
    found = MorphologyClassifier(cards, 'cpu').predict([STAMPS[0], 'lost.fits'])
    assert found['morphology_reason'].mask.tolist() == [True, False]


def test_weights_of_other_questions(cards, tiny_network, tmp_path):
    other = make_tiny_card(tmp_path, schema='zhu5')
    with pytest.raises(WeightsError, match=r"answer 'gz2' and 'tiny.zhu5' 'zhu5'"):
        MorphologyClassifier([cards[0], other], 'cpu').predict(STAMPS[0])
    with pytest.raises(WeightsError, match='at least one'):
        MorphologyClassifier([], 'cpu').predict(STAMPS[0])
