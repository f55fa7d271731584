# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the pages that the documentation makes from the cards."""

import types

import pytest

from galmorph import list_weights, load_card, load_schema
from tests.helpers.modules import load_file
from tests.helpers.tiny import make_tiny_card


@pytest.fixture(scope='module')
def model_cards():
    return load_file('docs/_ext/model_cards.py')


class TestPage:
    @pytest.mark.parametrize('name', list_weights())
    def test_states_what_the_card_states(self, model_cards, name):
        card = load_card(name)
        page = model_cards.page_of(card)
        assert f'``{card.sha256}``' in page
        assert model_cards.escape(card.licence) in page
        assert page.count('\n* ') >= len(card.limits) > 0
        for entry in load_schema(card.schema).names:
            assert f'``{entry}``' in page

    @pytest.mark.parametrize('name', list_weights())
    def test_states_every_score_with_its_count(self, model_cards, name):
        metrics = load_card(name).metrics
        text = model_cards.accuracy_of(load_card(name))
        tables = [metrics.get(key, {}) for key in ('questions', 'classes')]
        scores = [value for value in metrics.values() if isinstance(value, dict)]
        n_scores = len(scores) - sum(map(bool, tables)) + sum(map(len, tables))
        assert text.count('* - ``') == n_scores
        for row in metrics.get('confusion_matrix', ()):
            assert '\n     - '.join(map(str, row)) in text

    def test_score_row(self, model_cards):
        score = {'rmse': 0.1, 'low': 0.09, 'high': 0.11, 'n': 12}
        row = model_cards.score_row('bar', score)
        assert row == ('``bar``', '0.1000', '0.0900 to 0.1100', '12')

    def test_escapes_the_marks_of_rst(self, model_cards):
        assert model_cards.escape('a_b *c* \\') == r'a\_b \*c\* \\'


class TestWritePages:
    def test_one_page_for_each_card(self, model_cards, tmp_path):
        model_cards.write_pages(types.SimpleNamespace(srcdir=tmp_path))
        names = {path.stem for path in (tmp_path / 'model_cards').glob('*.rst')}
        assert names == {'index', *list_weights()}

    def test_removes_a_page_whose_weights_are_gone(self, model_cards, tmp_path):
        stale = tmp_path / 'model_cards' / 'gone.rst'
        stale.parent.mkdir()
        stale.write_text('old')
        model_cards.write_pages(types.SimpleNamespace(srcdir=tmp_path))
        assert not stale.exists()

    def test_leaves_unchanged_pages_alone(self, model_cards, tmp_path):
        app = types.SimpleNamespace(srcdir=tmp_path)
        model_cards.write_pages(app)
        index = tmp_path / 'model_cards' / 'index.rst'
        before = index.stat().st_mtime_ns
        model_cards.write_pages(app)
        assert index.stat().st_mtime_ns == before


def test_a_page_of_attributes(model_cards, tiny_network, tmp_path):
    path = make_tiny_card(
        tmp_path,
        schema='efigi',
        options={'head': 'interval'},
        supported_questions=['t_type'],
        metrics={
            'questions': {'t_type': {'rmse': 1.4, 'low': 1.3, 'high': 1.5, 'n': 9}}
        },
    )
    page = model_cards.page_of(load_card(path))
    assert 'Attributes\n==========\n' in page
    assert 'The attributes are those of ``efigi``' in page
    assert '``bar_length``' in page
    assert '* - Attribute\n     - Value' in page
    assert 'decision tree' not in page
