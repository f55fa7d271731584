# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of modules of the user's own, which commands import first."""

import pickle
import sys

import pytest
from astropy.table import Table

from galmorph.cli import main
from galmorph.cli.preloading import Preloaded
from galmorph.networks import list_networks, registry
from tests.helpers.recipes import make_recipe, write_clear_kaggle

FLAT = """
import torch

from galmorph.networks import register_network


class Flat(torch.nn.Module):
    def __init__(self, structure):
        super().__init__()
        self.layer = torch.nn.Linear(3, structure[-1][1])

    def forward(self, views):
        return self.layer(views.mean((1, 3, 4))).sigmoid()


register_network('flat', Flat)
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The file of a user who has a network."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(registry, '_registered', {})
    monkeypatch.setattr(sys, 'path', list(sys.path))
    path = tmp_path / 'mine.py'
    path.write_text(FLAT)
    before = set(sys.modules)
    yield path
    for name in set(sys.modules) - before:
        if name.startswith((str(tmp_path), 'mine', 'layers_of_mine')):
            del sys.modules[name]


def forget(path):
    """Be another process."""
    registry._registered.clear()
    del sys.modules[str(path)]


def test_network_of_the_user_trains_and_predicts(mine, tmp_path):
    write_clear_kaggle(tmp_path / 'challenge', 20)
    (tmp_path / 'small.yaml').write_text(make_recipe(network='flat', steps=2).to_yaml())
    train = ['train', 'small.yaml', '--data', 'challenge', '--output', 'run']
    train += ['--device', 'cpu', '--quiet', '--no-evaluation']
    assert main(train) == 2
    assert main([*train, '--preload', 'mine.py']) == 0
    forget(mine)
    predict = ['predict', 'challenge/images_training_rev1', '--output', 'out.ecsv']
    predict += ['--weights', 'run/small.yaml', '--device', 'cpu', '--quiet']
    assert main(predict) == 1
    assert main([*predict, '--preload', 'mine.py']) == 0
    assert len(Table.read('out.ecsv')) == 20


def test_another_process_imports_it_again(mine):
    sent = pickle.dumps(Preloaded(['mine.py']))
    forget(mine)
    assert 'flat' not in list_networks()
    pickle.loads(sent)
    assert 'flat' in list_networks()


def test_a_module_and_what_lies_beside_a_file(mine, tmp_path, monkeypatch):
    folder = tmp_path / 'package'
    folder.mkdir()
    (folder / 'layers_of_mine.py').write_text('WIDTH = 3\n')
    (folder / 'second.py').write_text('from layers_of_mine import WIDTH\n')
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = ['--preload', 'mine', '--preload', 'package/second.py']
    assert main(['weights', 'list', *arguments]) == 0
    assert 'flat' in list_networks()


@pytest.mark.parametrize(
    ('name', 'message'),
    [
        ('lost.py', "--preload: there is no file 'lost.py'"),
        ('lost_module', "No module named 'lost_module'; a file is given as"),
        ('wrong.py', "--preload 'wrong.py': NameError: name 'wrnog' is not"),
    ],
)
def test_tells_what_is_wrong(mine, tmp_path, capsys, name, message):
    (tmp_path / 'wrong.py').write_text('wrnog\n')
    assert main(['weights', 'list', '--preload', name]) == 2
    out, err = capsys.readouterr()
    assert out == ''
    assert message in err
