# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of trainings on several devices: processes of one machine."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from galmorph import load_card
from galmorph.training import fit, read_log
from galmorph.weights import load_weights
from tests.helpers.recipes import make_recipe
from tests.helpers.training import write_gz2

# Neither norms of a batch nor anything random: the mean over the batch is that
# of its halves.
PLAIN = {
    'network': {
        'name': 'dieleman',
        'options': {
            'filters': [[6, 4], [5, 4], [3, 4], [3, 4]],
            'dense': [16, 16],
            'dropout': 0,
        },
    },
    'pixels': {},
    'augmentation': 'none',
    'optimiser': {'name': 'sgd', 'lr': 0.1},
    'ema': None,
    'keep': 'last',
    'precision_stored': 'float32',
}


def train_on_two(recipe, data, output, *options):
    """Train in two processes, as on two GPUs; return the process."""
    path = output.with_suffix('.yaml')
    # In the order of the tasks, with which the weights are drawn.
    path.write_text(recipe.to_yaml(), 'utf-8')
    command = [sys.executable, '-m', 'galmorph', 'train', str(path)]
    command += ['--data', str(data), '--output', str(output), '--quiet']
    command += ['--device', 'cpu', '--devices', '2', *options]
    root = str(Path(__file__).parents[2])
    return subprocess.run(
        command,
        env={**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': root},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )


needs_processes = pytest.mark.skipif(
    not torch.distributed.is_available(), reason='this torch knows one process only'
)


@needs_processes
def test_two_devices_train_what_one_does(kaggle, tmp_path):
    recipe = make_recipe(**PLAIN)
    process = train_on_two(recipe, kaggle, tmp_path / 'two')
    assert process.returncode == 0, process.stderr
    one = fit(recipe, data=kaggle, output=tmp_path / 'one', accelerator='cpu')
    log = read_log(tmp_path / 'two')
    for name in ('valid/loss', 'valid/gz2/rmse'):
        assert log[name].tolist() == pytest.approx(one.log[name].tolist(), rel=1e-4)
    card = load_card(tmp_path / 'two' / 'small.yaml')
    assert card.metrics['n_galaxy'] == 3
    state = load_weights(tmp_path / 'two' / card.file)
    for name, tensor in load_weights(one.card.with_name(card.file)).items():
        torch.testing.assert_close(state[name], tensor, rtol=1e-4, atol=1e-5)


@needs_processes
def test_tasks_of_odd_numbers_are_validated_as_on_one_device(tmp_path):
    # Nine galaxies have votes, five on one device and four on the other.
    write_gz2(tmp_path / 'data' / 'gz2', 85)
    task = {'head': 'softmax', 'data': 'gz2'}
    tasks = {
        'votes': {**task, 'schema': 'gz2', 'loss': 'mse'},
        'classes': {**task, 'schema': 'zhu5', 'loss': 'cross_entropy'},
    }
    network = {'name': 'candels', 'options': {'n_units': 8, 'dropout': 0}}
    recipe = make_recipe(
        **PLAIN
        | {
            'tasks': tasks,
            'network': network,
            'pixels': {'step': 9.0, 'output_size': 45, 'views': [0]},
            # The mean of two batches is not that of all their labels.
            'optimiser': {'name': 'sgd', 'lr': 1e-7},
            'steps': 2,
        }
    )
    data = tmp_path / 'data'
    process = train_on_two(recipe, data, tmp_path / 'two', '--no-evaluation')
    assert process.returncode == 0, process.stderr
    one = fit(
        recipe, data=data, output=tmp_path / 'one', accelerator='cpu', evaluate=False
    )
    two = read_log(tmp_path / 'two')
    assert sorted(two.colnames) == sorted(one.log.colnames)
    # The loss of votes, some unknown, is a mean over batches: it depends on them.
    names = {name for name in two.colnames if name.startswith('valid/')}
    names -= {'valid/loss', 'valid/votes/loss'}
    assert {'valid/classes/accuracy', 'valid/votes/rmse'} < names
    for name in names:
        values = [np.ma.filled(log[name], np.nan).tolist() for log in (one.log, two)]
        assert values[1] == pytest.approx(values[0], rel=1e-4, nan_ok=True), name


@needs_processes
def test_images_without_labels_train_on_two(kaggle, tmp_path):
    data = {'layout': 'gz2', 'fractions': [0.5, 0.5]}
    tasks = {'gz2': {'schema': 'gz2', 'data': data, 'loss': 'vicreg'}}
    recipe = make_recipe(tasks=tasks, batch_size=8, steps=2)
    process = train_on_two(recipe, kaggle, tmp_path / 'two')
    assert process.returncode == 0, process.stderr
    log = read_log(tmp_path / 'two')
    assert np.isfinite(log['valid/loss']).all()
