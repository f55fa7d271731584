# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the settings."""

import os
import subprocess
import sys

import pytest

from galmorph import conf


class TestConf:
    def test_defaults(self):
        assert conf.default_weights == 'compact.gz2'
        assert conf.device == 'auto'
        assert conf.precision == 'float32'
        assert conf.batch_size == 64
        assert conf.chunk_size == 1024

    def test_every_setting_is_described(self):
        assert all(item.description for item in conf.values())

    def test_holds_for_a_block(self):
        with conf.set_temp('precision', 'bf16'):
            assert conf.precision == 'bf16'
        assert conf.precision == 'float32'

    @pytest.mark.parametrize(
        ('name', 'value'),
        [
            ('batch_size', 0),
            ('batch_size', 'many'),
            ('chunk_size', -1),
            ('precision', 'float8'),
        ],
    )
    def test_refuses_values_that_cannot_work(self, name, value):
        with pytest.raises(TypeError, match=f'item {name} not valid'):
            setattr(conf, name, value)

    def test_is_read_from_the_file_of_the_user(self, tmp_path):
        folder = tmp_path / 'astropy'
        folder.mkdir()
        (folder / 'galmorph.cfg').write_text('device = cpu\nbatch_size = 8\n')
        code = 'from galmorph import conf; print(conf.device, conf.batch_size)'
        result = subprocess.run(
            [sys.executable, '-c', code],
            env={**os.environ, 'XDG_CONFIG_HOME': str(tmp_path)},
            capture_output=True,
            text=True,
            check=True,
        )
        assert result.stdout.split() == ['cpu', '8']
