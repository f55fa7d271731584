# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the cards of weights."""

import copy
import dataclasses
import datetime as dt
import pickle

import numpy as np
import pytest
import yaml

import galmorph
from galmorph.exceptions import WeightsError
from galmorph.schemas import load_schema
from galmorph.weights import WeightsCard, load_card


@pytest.fixture
def card(card_path):
    return WeightsCard.from_file(card_path)


@pytest.fixture
def write(content, folder):
    """Return a function that writes a changed card."""

    def write(**changes):
        for key, value in changes.items():
            if value is ...:
                del content[key]
            else:
                content[key] = value
        path = folder / 'changed.yaml'
        path.write_text(yaml.safe_dump(content), encoding='utf-8')
        return path

    return write


class TestRoundTrip:
    def test_file(self, card, content, folder):
        assert card.to_dict() == content
        card.to_file(folder / 'again.yaml')
        again = WeightsCard.from_file(folder / 'again.yaml')
        assert again == card
        assert again.source == folder / 'again.yaml'
        first = (folder / 'tiny.test.yaml').read_bytes()
        assert (folder / 'again.yaml').read_bytes() == first

    def test_text_of_several_lines_is_a_block(self, card_path):
        text = card_path.read_text(encoding='utf-8')
        assert '  bibtex: |\n    @article{Dieleman2015,\n' in text

    def test_unicode(self, content, folder):
        content['title'] = 'Galaxien für später ☄'
        path = folder / 'größe.yaml'
        WeightsCard.from_dict(content).to_file(path)
        assert WeightsCard.from_file(path).title == content['title']
        assert content['title'] in path.read_text(encoding='utf-8')

    def test_values_of_numpy_and_tuples_become_plain(self, content, folder):
        content['size'] = np.int64(content['size'])
        content['recipe'] = {'shape': (2, 69), 'q': np.float32(0.5), 'a': np.ones(2)}
        content['training'] = {'date': dt.date(2026, 11, 1), 'amp': True, 'x': None}
        path = folder / 'plain.yaml'
        card = WeightsCard.from_dict(content)
        card.to_file(path)
        assert card.recipe == {'shape': [2, 69], 'q': 0.5, 'a': [1.0, 1.0]}
        assert card.training == {'date': '2026-11-01', 'amp': True, 'x': None}
        assert WeightsCard.from_file(path) == card

    def test_input_is_copied(self, content):
        before = copy.deepcopy(content)
        card = WeightsCard.from_dict(content)
        card.to_dict()['recipe'].clear()
        content['recipe'].clear()
        assert card.recipe == before['recipe']

    def test_card_is_frozen_hashable_and_picklable(self, card):
        with pytest.raises(dataclasses.FrozenInstanceError, match='name'):
            card.name = 'other'
        assert pickle.loads(pickle.dumps(card)) == card
        assert len({card, dataclasses.replace(card)}) == 1

    def test_options_may_be_left_out(self, write):
        path = write(network={'name': 'dieleman'})
        assert WeightsCard.from_file(path).network['options'] == {}

    def test_paper_and_metrics_may_be_empty(self, write):
        card = WeightsCard.from_file(write(paper={}, metrics={}))
        assert card.citation().count('@') == 1
        assert 'Metrics' not in card.summary()


class TestRefused:
    @pytest.mark.parametrize(
        ('changes', 'message'),
        [
            ({'sha256': ...}, "missing 'sha256'"),
            ({'schema': ..., 'recipe': ...}, "missing 'schema', 'recipe'"),
            ({'lisence': 'MIT'}, "unknown key 'lisence'; did you mean 'licence'"),
            ({'xyzzy': 1}, "unknown key 'xyzzy'; known are 'description', 'file'"),
            ({'version': 1.0}, r"'version' must be text \(in quotes.*, not 1.0"),
            ({'size': '12'}, "'size' must be a whole number, not '12'"),
            ({'size': True}, "'size' must be a whole number, not True"),
            ({'size': 0}, "'size' must be positive"),
            ({'recipe': []}, r"'recipe' must be a mapping, not \[\]"),
            ({'limits': 'none'}, "'limits' must be a list of text, not 'none'"),
            ({'limits': [1]}, r"'limits' must be a list of text, not \[1\]"),
            ({'sha256': 'abc'}, "'sha256' must be 64 hexadecimal digits"),
            ({'name': 'a b'}, "'name' takes letters.*'a b'"),
            ({'file': '../x.safetensors'}, "'file' must be a name without a folder"),
            ({'file': 'x.pth'}, "ends in .safetensors, not 'x.pth'"),
            ({'network': {'options': {}}}, "missing 'name' in 'network'"),
            (
                {'network': {'name': 'dieleman', 'option': {}}},
                "unknown key 'option' in 'network'; did you mean 'options'",
            ),
            ({'paper': {'year': 2015}}, "missing 'bibtex' in 'paper'"),
            (
                {'paper': {'bibtex': '', 'journl': 'A&A'}},
                "unknown key 'journl' in 'paper'; did you mean 'journal'",
            ),
            (
                {'network': {'name': 'dielman', 'options': {}}},
                "unknown network 'dielman'; did you mean 'dieleman'",
            ),
            ({'schema': 'gz3'}, "unknown schema 'gz3'; did you mean 'gz2'"),
            (
                {'supported_questions': ['edge_on']},
                "'edge_on', which is no question .* 'gz2'; did you mean 'edgeon'",
            ),
            (
                {
                    'metrics': {
                        'rmse17': {'value': 0.1, 'low': 0.2, 'high': 0.3, 'n': 4}
                    }
                },
                "'rmse17' in 'metrics': 0.1 lies outside its interval",
            ),
            (
                {'metrics': {'rmse17': {'value': 0.1, 'low': 0.1, 'high': 0.3}}},
                "'rmse17' in 'metrics' needs a number as 'n'",
            ),
            (
                {'metrics': {'questions': {'odd_feature': {'rmse': 0.1}}}},
                "'odd_feature' in 'metrics' needs a number as 'low'",
            ),
            ({'metrics': {'questions': {'odd': 1}}}, "'odd' in 'metrics' must be"),
            ({'metrics': {'questions': [1]}}, "'questions' in 'metrics' must be"),
            (
                {
                    'metrics': {
                        'questions': {'wing': {'rmse': 0, 'low': 0, 'high': 0, 'n': 1}}
                    }
                },
                "'metrics' names 'wing'",
            ),
        ],
    )
    def test_values(self, write, changes, message):
        path = write(**changes)
        with pytest.raises(WeightsError, match=message) as caught:
            WeightsCard.from_file(path)
        assert str(path) in str(caught.value)

    @pytest.mark.parametrize(
        ('text', 'message'),
        [
            ('', 'no mapping of keys but None'),
            ('- a\n', 'no mapping of keys but'),
            ('a: [1\n', r'cannot be read as YAML.*line'),
            ('a: !!python/object:os.system {}\n', 'cannot be read as YAML'),
        ],
    )
    def test_files(self, folder, text, message):
        path = folder / 'broken.yaml'
        path.write_text(text, encoding='utf-8')
        with pytest.raises(WeightsError, match=f'(?s){message}'):
            WeightsCard.from_file(path)

    def test_binary_file(self, folder):
        path = folder / 'binary.yaml'
        path.write_bytes(b'\xff\xfe\x00')
        with pytest.raises(WeightsError, match='cannot be read as YAML'):
            WeightsCard.from_file(path)

    def test_value_without_a_form_in_yaml(self, content):
        content['training'] = {'function': print}
        with pytest.raises(WeightsError, match="'training' holds <built-in"):
            WeightsCard.from_dict(content)


class TestText:
    def test_citation(self, card):
        citation = card.citation()
        assert citation.startswith(galmorph.__bibtex__)
        assert citation.endswith('@article{Dieleman2015,\n  year = {2015}\n}\n')

    def test_unsupported_questions_follow_the_schema(self, card):
        names = [question.name for question in load_schema('gz2').questions]
        assert card.unsupported_questions == [
            name for name in names if name not in ('smooth_or_features', 'edgeon')
        ]

    def test_summary(self, card):
        summary = card.summary()
        for part in (
            'tiny.test 1.0: A small network for tests\n',
            'Random numbers. They know no galaxies.',
            f'sha256      {card.sha256}\n',
            'licence     CC-BY-4.0\n',
            'doi         https://doi.org/10.1093/mnras/stv632',
            'Dieleman, Willett & Dambre, 2015, Rotation-invariant networks, MNRAS',
            'Metrics on test, 2,200 galaxies\n',
            '  rmse17                       0.0990  [0.0950, 0.1030]  n = 2,200\n',
            '  smooth_or_features (rmse)    0.1200  [0.1100, 0.1300]  n = 1,900\n',
            'Supported questions\n  - smooth_or_features\n  - edgeon\n',
            'Unsupported questions\n  - ',
            'Limits\n  - no galaxy smaller than the seeing',
        ):
            assert part in summary
        assert 'url' not in summary

    def test_summary_wraps_long_text(self, content):
        content['limits'] = ['word ' * 60]
        content['training'] = {'data': 'many words ' * 20}
        summary = WeightsCard.from_dict(content).summary()
        assert max(map(len, summary.splitlines())) <= 88
        assert '\n    word' in summary

    def test_load_card_passes_a_card_through(self, card):
        assert load_card(card) is card
