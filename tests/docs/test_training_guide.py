# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the guide to training tells a newcomer to type has to work."""

import re
import shlex
import textwrap
from pathlib import Path

import numpy as np
import pytest
from astropy.table import Table
from PIL import Image

from galmorph.cli import main
from tests.helpers.tiny import draw_stamps

pytest.importorskip('lightning')

GUIDE = Path(__file__).parents[2] / 'docs' / 'user_guide' / 'training.rst'
CLASSES = ['completely_round', 'in_between', 'cigar_shaped', 'edge_on', 'spiral']
FEW = ['--set', 'batch_size=4', '--set', 'validate_every=2', '--quiet']


def blocks(language):
    """The code blocks of the guide in a language, in order."""
    pattern = rf'^\.\. code-block:: {language}\n\n((?:   .*\n|\n)+)'
    found = re.findall(pattern, GUIDE.read_text('utf-8'), re.MULTILINE)
    return [textwrap.dedent(block) for block in found]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Make the two tables that the guide begins with, and their stamps."""
    folder = tmp_path_factory.mktemp('galaxies')
    (folder / 'stamps').mkdir()
    ids = [f'J{i:04d}' for i in range(20)]
    for name, stamp in zip(ids, draw_stamps(len(ids), 32), strict=True):
        Image.fromarray(stamp).save(folder / 'stamps' / f'{name}.png')
    table = Table({'id': ids, 'image': [f'stamps/{name}.png' for name in ids]})
    table['split'] = np.repeat(['train', 'valid', 'test'], (10, 5, 5))
    table.write(folder / 'galaxies.csv')
    labels = Table({'id': ids[::-1], 'zhu5': CLASSES * 4})
    labels.write(folder / 'labels.csv')
    return folder


@pytest.fixture(scope='module')
def commands(folder):
    """The first three commands, line by line, for that folder."""
    (text,) = (block for block in blocks('sh') if '--check' in block)
    lines = text.replace('\\\n', ' ').replace('FOLDER', str(folder)).splitlines()
    return [shlex.split(line)[1:] for line in lines if line.startswith('galmorph')]


def test_ten_minutes(folder, commands, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (recipe,) = (block for block in blocks('yaml') if block.startswith('name:'))
    Path('mine.yaml').write_text(recipe, 'utf-8')
    check, train, evaluate = commands
    assert main(check) == 0
    assert 'classes of 20 galaxies' in capsys.readouterr().out
    assert main([*train, '--set', 'steps=2', *FEW]) == 0
    assert main(evaluate) == 0
    output = capsys.readouterr().out
    assert 'accuracy' in output
    (text,) = (block for block in blocks('sh') if '--split test' in block)
    text = text.replace('\\\n', ' ').replace('FOLDER', str(folder))
    assert main(shlex.split(text)[1:]) == 0
    assert "on 5 galaxies of 'test'" in capsys.readouterr().out
    assert sorted(path.suffix for path in Path('figures').iterdir())


def test_finetuning(folder, tmp_path, monkeypatch):
    from galmorph.cli import train as module
    from galmorph.training.recipe import TrainingRecipe

    votes = Table.read(folder / 'labels.csv')['id',]
    for name, count in (
        ('smooth', 12),
        ('features_or_disk', 20),
        ('star_or_artifact', 0),
    ):
        votes[f'smooth_or_features_{name}'] = count
    monkeypatch.chdir(folder)
    votes.write('votes.csv', overwrite=True)
    (text,) = (block for block in blocks('sh') if 'finetune' in block)
    command = shlex.split(text.replace('\\\n', ' '))[1:]
    asked = []
    monkeypatch.setattr(module, '_run', lambda recipe, _: asked.append(recipe))
    assert main(command) == 0
    assert isinstance(asked[0], TrainingRecipe)
    assert asked[0].tasks['gz2'].data.kind == 'counts'


def test_other_yaml_is_part_of_a_recipe():
    from galmorph.training import load_recipe

    for block in blocks('yaml'):
        if block.startswith('augmentation:'):
            import yaml

            recipe = load_recipe('dieleman_2015').override(yaml.safe_load(block))
            assert recipe.augmentation['preset'] == 'dieleman'
