# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the registry, and of every bundled card."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from astropy.utils.data import conf, import_file_to_cache, is_url_in_cache

from galmorph.exceptions import WeightsError
from galmorph.weights import (
    WeightsCard,
    list_weights,
    load_card,
    load_weights,
    register_weights,
    registry,
    weights_path,
)

URL = 'https://galmorph.invalid/tiny.test.safetensors'


@pytest.fixture
def remote(content, folder, tmp_path):
    """Return a card with a URL, and its weights file far from the card."""
    far = tmp_path / 'far.safetensors'
    shutil.move(folder / content['file'], far)
    content['url'] = URL
    WeightsCard.from_dict(content).to_file(folder / 'remote.yaml')
    return WeightsCard.from_file(folder / 'remote.yaml'), far


class TestRegister:
    def test_name_is_listed_and_loaded(self, card_path, state_dict):
        before = list_weights()
        card = register_weights(card_path)
        assert list_weights() == sorted([*before, 'tiny.test'])
        assert load_card('tiny.test') == card
        path = weights_path('tiny.test')
        assert path == card_path.with_name('tiny.test.safetensors')
        assert load_weights(path, card.sha256).keys() == state_dict.keys()

    def test_relative_path_survives_a_change_of_folder(
        self, card_path, tmp_path, monkeypatch
    ):
        monkeypatch.chdir(card_path.parent)
        register_weights(card_path.name)
        monkeypatch.chdir(tmp_path)
        assert weights_path('tiny.test').is_file()

    def test_taken_name(self, card_path, tmp_path):
        register_weights(card_path)
        other = shutil.copy(card_path, tmp_path / 'other.yaml')
        with pytest.raises(WeightsError, match=r"'tiny\.test' exist already"):
            register_weights(other)
        assert load_card('tiny.test').source == card_path.resolve()
        register_weights(other, overwrite=True)
        assert load_card('tiny.test').source == Path(other).resolve()

    def test_same_file_twice(self, card_path):
        register_weights(card_path)
        register_weights(card_path)
        assert list_weights().count('tiny.test') == 1

    def test_bundled_name_is_taken(self, card_path, tmp_path, monkeypatch):
        cards = tmp_path / 'cards'
        cards.mkdir()
        shutil.copy(card_path, cards)
        monkeypatch.setattr(registry, '_CARDS', cards)
        assert list_weights() == ['tiny.test']
        with pytest.raises(WeightsError, match='pass overwrite=True'):
            register_weights(card_path)
        register_weights(card_path, overwrite=True)
        assert load_card('tiny.test').source == card_path.resolve()


class TestLoadCard:
    def test_path(self, card_path):
        assert load_card(card_path).name == 'tiny.test'
        assert load_card(str(card_path)).name == 'tiny.test'

    def test_unknown_name(self, card_path):
        register_weights(card_path)
        with pytest.raises(
            WeightsError, match=r"weights 'tiny\.tset'; did you mean 'tiny\.test'"
        ):
            load_card('tiny.tset')

    def test_missing_file(self):
        with pytest.raises(WeightsError, match=r"'lost.yml': no such file"):
            load_card('lost.yml')


class TestWeightsPath:
    def test_bundled_file(self, content, folder, tmp_path, monkeypatch):
        cards, data = tmp_path / 'cards', tmp_path / 'data'
        cards.mkdir()
        data.mkdir()
        shutil.move(folder / content['file'], data)
        WeightsCard.from_dict(content).to_file(cards / 'tiny.test.yaml')
        monkeypatch.setattr(registry, '_CARDS', cards)
        monkeypatch.setattr(registry, '_DATA', data)
        assert weights_path('tiny.test') == data / content['file']

    def test_cache_is_used_without_a_network(self, remote):
        card, far = remote
        import_file_to_cache(URL, str(far), pkgname='galmorph')
        assert weights_path(card).read_bytes() == far.read_bytes()

    def test_file_beside_the_card_comes_before_the_cache(self, remote, folder):
        card, far = remote
        import_file_to_cache(URL, str(far), pkgname='galmorph')
        shutil.copy(far, folder / card.file)
        assert weights_path(card) == folder / card.file

    def test_url_is_fetched_once(self, remote, content):
        _, far = remote
        content['url'] = far.as_uri()
        card = WeightsCard.from_dict(content)
        with conf.set_temp('allow_internet', True):
            first = weights_path(card)
        assert first != far
        far.unlink()
        assert weights_path(card) == first

    def test_no_network(self, remote, folder):
        card, _ = remote
        with pytest.raises(WeightsError, match='cannot be downloaded') as caught:
            weights_path(card)
        for part in (URL, str(folder / card.file), 'import_file_to_cache'):
            assert part in str(caught.value)

    def test_wrong_download_leaves_the_cache(self, remote, tmp_path):
        card, _ = remote
        wrong = tmp_path / 'login.html'
        wrong.write_bytes(b'<html>please log in</html>')
        import_file_to_cache(URL, str(wrong), pkgname='galmorph')
        with pytest.raises(WeightsError, match=r'truncated.*removed from the cache'):
            weights_path(card)
        assert not is_url_in_cache(URL, pkgname='galmorph')

    def test_damaged_file_beside_the_card_is_refused(self, content, card_path):
        file = card_path.with_name(content['file'])
        file.write_bytes(file.read_bytes()[:100])
        with pytest.raises(WeightsError, match=f'truncated, 100 of {content["size"]}'):
            weights_path(card_path)

    def test_no_file_and_no_url(self, content, folder):
        (folder / content['file']).unlink()
        card = WeightsCard.from_dict(content, source=folder / 'tiny.test.yaml')
        with pytest.raises(WeightsError, match='no url; put it beside the card'):
            weights_path(card)
        with pytest.raises(WeightsError, match='no url'):
            weights_path(WeightsCard.from_dict(content))


def test_cards_are_read_without_torch(card_path):
    code = (
        'import sys\n'
        'from galmorph.weights import load_card, weights_path\n'
        'card = load_card(sys.argv[1])\n'
        'weights_path(card)\n'
        'card.summary()\n'
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, '-c', code, card_path], check=True)


class TestBundled:
    @pytest.mark.parametrize('name', list_weights())
    def test_card(self, name, tmp_path):
        card = load_card(name)
        assert card.name == name
        assert card.source.stem == name
        card.to_file(tmp_path / 'copy.yaml')
        assert WeightsCard.from_file(tmp_path / 'copy.yaml') == card
        assert card.supported_questions
        assert card.limits
        assert card.metrics['n_galaxy'] > 0
        if 'questions' not in card.metrics:
            assert card.metrics['accuracy']['n'] > 0
            return
        for question in card.supported_questions:
            assert question in card.metrics['questions']
        assert name in card.summary()
        citation = card.citation()
        assert card.paper['bibtex'] in citation
        assert citation.count('@') == 1 + card.paper['bibtex'].count('@')

    @pytest.mark.parametrize('name', list_weights())
    def test_recipe_is_understood(self, name):
        from galmorph.preprocessing.recipe import Recipe

        card = load_card(name)
        assert Recipe.from_dict(card.recipe).to_dict() == card.recipe

    @pytest.mark.parametrize('name', list_weights())
    def test_file(self, name):
        card = load_card(name)
        path = weights_path(card)
        assert path.parent == registry._DATA
        weights = load_weights(path, card.sha256)
        assert all(tensor.isfinite().all() for tensor in weights.values())

    def test_files_fit_into_the_wheel(self):
        assert sum(load_card(name).size for name in list_weights()) < 100e6

    def test_every_file_has_a_card(self):
        files = {load_card(name).file for name in list_weights()}
        assert {path.name for path in registry._DATA.glob('*.safetensors')} == files
