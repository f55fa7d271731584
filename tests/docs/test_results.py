# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the page that tells what the bundled weights reach."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from galmorph import list_weights, load_card
from galmorph.cli import main
from tests.helpers.modules import load_file

PAGE = Path(__file__).parents[2] / 'docs' / 'user_guide' / 'results.rst'
SCHEMAS = sorted({load_card(name).schema for name in list_weights()})


@pytest.fixture(scope='module')
def results():
    pytest.importorskip('docutils')
    return load_file('docs/_ext/results.py')


def cards_of(schema):
    cards = [load_card(name) for name in list_weights()]
    return [card for card in cards if card.schema == schema]


def make_card(name='lenet.gz2', schema='gz2', **metrics):
    return SimpleNamespace(
        name=name, schema=schema, metrics={'split': 'test'} | metrics
    )


def score(value, low, high):
    return {'value': value, 'low': low, 'high': high, 'n': 50}


@pytest.mark.parametrize('schema', SCHEMAS)
class TestBundled:
    def test_the_page_has_its_table(self, schema):
        assert f'.. results:: {schema}\n' in PAGE.read_text('utf-8')

    def test_every_weights_has_a_row_and_a_command(self, results, schema):
        text = results.results_of(cards_of(schema))
        for card in cards_of(schema):
            assert f':doc:`{card.name} <' in text
            assert f'   galmorph evaluate {card.name} DATA --split test\n' in text

    def test_its_commands_exist(self, schema, capsys):
        # Without data: the request is understood, and refused for that alone.
        name = cards_of(schema)[0].name
        assert main(['evaluate', name, 'lost.csv', '--split', 'test']) == 2
        assert 'lost.csv' in capsys.readouterr().err


def test_the_page_is_sound(results):
    core = pytest.importorskip('docutils.core')
    from docutils import nodes
    from docutils.parsers.rst import directives, roles

    directives.register_directive('results', results.Results)
    roles.register_generic_role('doc', nodes.emphasis)
    document = core.publish_doctree(
        PAGE.read_text('utf-8'),
        settings_overrides={'report_level': 2, 'halt_level': 2},
    )
    rows = [[cell.astext() for cell in row] for row in document.findall(nodes.row)]
    expected = [
        row[2:] for name in list_weights() for row in results.rows_of(load_card(name))
    ]
    assert len(expected) >= 2 * len(list_weights())
    assert [row for row in expected if list(row) not in [r[2:] for r in rows]] == []


class TestRows:
    def test_one_view_and_several(self, results):
        card = make_card(
            rmse17=score(0.1, 0.09, 0.11), rmse17_8_transforms=score(0.08, 0.07, 0.09)
        )
        one, eight = results.rows_of(card)
        assert one[1:5] == ('``rmse17``', '1', '0.1000 [0.0900, 0.1100]', '50')
        assert eight[2:] == ('8', '0.0800 [0.0700, 0.0900]', '50', '≤ 0.087', 'yes')
        assert results.results_of([card]).endswith(
            '   galmorph evaluate lenet.gz2 DATA --split test\n'
            '   galmorph evaluate lenet.gz2 DATA --split test --transforms 8\n'
        )

    @pytest.mark.parametrize(
        ('name', 'value', 'said'),
        [
            ('rmse17', (0.085, 0.08, 0.09), 'yes'),
            ('rmse17', (0.09, 0.08, 0.1), 'no, but within the interval'),
            ('rmse17', (0.1, 0.09, 0.11), 'no'),
        ],
    )
    def test_an_error_is_to_be_small(self, results, name, value, said):
        card = make_card(**{name: score(*value)})
        assert results.compare(card, name, card.metrics[name]) == ('≤ 0.087', said)

    @pytest.mark.parametrize(
        ('value', 'said'),
        [
            ((0.97, 0.95, 0.98), 'yes'),
            ((0.95, 0.94, 0.965), 'no, but within the interval'),
            ((0.95, 0.94, 0.955), 'no'),
        ],
    )
    def test_an_accuracy_is_to_be_large(self, results, value, said):
        card = make_card('lenet.zhu5', 'zhu5', accuracy=score(*value))
        found = results.compare(card, 'accuracy', card.metrics['accuracy'])
        assert found == ('≥ 0.96', said)

    @pytest.mark.parametrize(
        ('value', 'said'),
        [
            ((-0.05, -0.2, 0.1), 'yes'),
            ((-0.15, -0.3, 0.02), 'no, but within the interval'),
            ((-0.3, -0.4, -0.2), 'no'),
            ((0.15, 0.05, 0.2), 'no, but within the interval'),
        ],
    )
    def test_a_bias_is_to_be_near_zero(self, results, value, said):
        card = make_card('lenet.efigi', 'efigi', t_type_bias=score(*value))
        found = results.compare(card, 't_type_bias', card.metrics['t_type_bias'])
        assert found == ('within ± 0.1', said)

    def test_a_question_is_compared_with_its_floor(self, results):
        edgeon = {'rmse': 0.2, 'low': 0.18, 'high': 0.22, 'n': 9, 'floor': 0.12}
        card = make_card('lenet.gz_ceers', 'gz_ceers', questions={'edgeon': edgeon})
        (row,) = results.rows_of(card)
        assert row[3:] == ('0.2000 [0.1800, 0.2200]', '9', '≤ 0.150', 'no')
