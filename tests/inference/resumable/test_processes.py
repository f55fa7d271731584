# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Runs in processes of their own, which are killed for real."""

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from astropy.table import QTable, vstack

from galmorph import MorphologyClassifier
from galmorph.exceptions import GalmorphError
from tests.helpers.tables import assert_same_table
from tests.helpers.tiny import make_compact_card

pytestmark = pytest.mark.usefixtures('small_chunks')

_SCRIPT = """
import sys
from galmorph import MorphologyClassifier, conf
conf.chunk_size = 4
classifier = MorphologyClassifier(sys.argv[1], device='cpu')
classifier.predict_table(sys.argv[2], output=sys.argv[3], resume=True)
"""


@pytest.fixture
def card(tmp_path):
    return make_compact_card(tmp_path)


def wait_for(condition):
    for _ in range(6000):
        if condition():
            return
        time.sleep(0.01)
    raise AssertionError


def n_chunks(output):
    return len(list(output.parent.glob(f'{output.name}.run/chunks/*.npz')))


def test_two_processes(card, table, tmp_path):
    classifier = MorphologyClassifier(card, device='cpu')
    whole = classifier.predict_table(table, output=tmp_path / 'whole.parquet')
    path = classifier.predict_table(
        table, output=tmp_path / 'out.parquet', n_processes=2
    )
    # How many threads there are may show in the last digit.
    assert_same_table(QTable.read(path), QTable.read(whole))
    assert QTable.read(path).meta == QTable.read(whole).meta


def test_a_process_that_is_killed(card, table, tmp_path):
    classifier = MorphologyClassifier(card, device='cpu')
    path = tmp_path / 'out.parquet'

    def kill():
        wait_for(lambda: n_chunks(path))
        os.kill(multiprocessing.active_children()[0].pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    # All pictures many times, so that the end does not come first.
    many = vstack([table] * 20, metadata_conflicts='silent')
    with pytest.raises(GalmorphError, match='a process of the run was killed'):
        classifier.predict_table(many, output=path, n_processes=2)
    killer.join()
    assert n_chunks(path)
    classifier.predict_table(many, output=path, resume=True)
    assert_same_table(QTable.read(path), classifier.predict_table(many))


@pytest.mark.parametrize('moments', [(0, 3), (1, 6)])
def test_killed_by_the_system(card, table, tmp_path, moments):
    table.write(tmp_path / 'in.parquet')
    whole = tmp_path / 'whole.parquet'
    path = tmp_path / 'out.parquet'
    command = [sys.executable, '-c', _SCRIPT, card, tmp_path / 'in.parquet']
    subprocess.run([*command, whole], check=True)
    for moment in moments:
        process = subprocess.Popen([*command, path])
        wait_for(lambda m=moment, p=process: n_chunks(path) > m or p.poll() is not None)
        process.kill()
        assert process.wait() == -signal.SIGKILL
    subprocess.run([*command, path], check=True)
    assert path.read_bytes() == whole.read_bytes()
    assert len(QTable.read(path)) == len(table)
    assert not list(tmp_path.glob('*.run'))
