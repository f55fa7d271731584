# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the weights files."""

import hashlib
import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from safetensors.torch import load_file, save_file

from galmorph import files
from galmorph.exceptions import WeightsError
from galmorph.weights import load_weights, save_weights, storage, verify_weights
from galmorph.weights._quantisation import dequantise, quantise


def rms(tensor):
    return float(tensor.square().mean().sqrt())


@pytest.fixture
def path(tmp_path):
    return tmp_path / 'some.safetensors'


class TestRoundTrip:
    def test_float32_is_exact(self, state_dict, path):
        save_weights(state_dict, path, precision='float32')
        loaded = load_weights(path)
        assert loaded.keys() == state_dict.keys()
        for name, tensor in state_dict.items():
            assert torch.equal(loaded[name], tensor)

    @pytest.mark.parametrize(
        ('precision', 'tolerance'), [('float16', 5e-4), ('int8', 1e-2)]
    )
    def test_reduced_precision_is_near(self, state_dict, path, precision, tolerance):
        save_weights(state_dict, path, precision=precision)
        loaded = load_weights(path)
        assert loaded.keys() == state_dict.keys()
        for name, tensor in state_dict.items():
            assert loaded[name].shape == tensor.shape
            if tensor.is_floating_point():
                assert loaded[name].dtype == torch.float32
                assert rms(loaded[name] - tensor) <= tolerance * rms(tensor)

    def test_integers_and_vectors_are_kept(self, state_dict, path):
        save_weights(state_dict, path)
        loaded = load_weights(path)
        assert loaded['count'].dtype == torch.int64
        assert loaded['count'] == 7
        assert torch.equal(loaded['dense.bias'], state_dict['dense.bias'])

    def test_int8_file_holds_a_byte_a_weight(self, state_dict, path):
        save_weights(state_dict, path)
        stored = load_file(path)
        assert stored['conv.weight'].dtype == torch.int8
        assert stored['conv.weight.scale'].shape == (4,)
        assert stored['conv.weight'].abs().max() <= 127
        assert stored['conv.bias'].dtype == torch.float16
        assert stored['dense.bias'].dtype == torch.float32

    def test_precision_by_name(self, state_dict, path):
        rules = {'conv*': 'float16', 'dense.*': 'float32', '*': 'int8'}
        save_weights({**state_dict, 'a': torch.eye(2)}, path, precision=rules)
        stored = load_file(path)
        assert stored['conv.weight'].dtype == torch.float16
        assert stored['dense.weight'].dtype == torch.float32
        assert stored['a'].dtype == torch.int8

    def test_bias_beyond_half_precision_stays_single(self, path):
        bias = {'bias': torch.full((2, 2, 2), 1e6)}
        save_weights(bias, path)
        assert torch.equal(load_weights(path)['bias'], bias['bias'])

    def test_transposed_and_gradient_tensors(self, path):
        weight = torch.randn(5, 3, requires_grad=True).T
        save_weights({'weight': weight}, path, precision='float32')
        assert torch.equal(load_weights(path)['weight'], weight.detach())

    def test_plain_safetensors_file(self, path):
        save_file({'weight': torch.ones(2, 2, dtype=torch.float64)}, path)
        assert load_weights(path)['weight'].dtype == torch.float32

    def test_empty_tensor(self, path):
        save_weights({'weight': torch.zeros(0, 4)}, path)
        assert load_weights(path)['weight'].shape == (0, 4)


class TestQuantisation:
    @given(
        arrays(
            np.float32,
            array_shapes(min_dims=2, max_dims=4, max_side=6),
            elements=st.floats(-1e3, 1e3, width=32),
        )
    )
    def test_error_is_at_most_that_of_the_plain_scale(self, values):
        tensor = torch.from_numpy(values)
        codes, scale = quantise(tensor)
        error = (dequantise(codes, scale) - tensor).double().flatten(1)
        rows = values.reshape(len(values), -1).astype(float)
        step = np.abs(rows).max(axis=1, keepdims=True) / 127
        step[step == 0] = 1
        plain = np.round(rows / step) * step - rows
        limit = (plain**2).sum(axis=1) * (1 + 1e-4) + 1e-10 * (rows**2).sum(axis=1)
        limit += 1e-30
        assert (error.square().sum(dim=1).numpy() <= limit).all()

    def test_outlier_is_clipped_where_it_pays(self):
        row = torch.cat([torch.linspace(-1, 1, 100_000), torch.tensor([1.35])])
        codes, scale = quantise(row[None])
        assert codes[0, -1] == 127
        assert scale[0] < 1.1 / 127

    def test_rows_of_zeros_and_of_tiny_numbers(self):
        tensor = torch.tensor([[0.0, 0.0], [1e-42, -1e-43], [1.0, 2.0]])
        restored = dequantise(*quantise(tensor))
        assert torch.allclose(restored, tensor, atol=0.01)
        assert torch.isfinite(restored).all()

    @pytest.mark.parametrize('group_size', [1, 7, 8, 16, 40, 64])
    def test_groups_of_inputs(self, path, group_size):
        generator = torch.Generator().manual_seed(0)
        scales = torch.logspace(-3, 0, 40)
        tensor = torch.randn(6, 40, generator=generator) * scales
        save_weights({'weight': tensor}, path, group_size=group_size)
        assert load_file(path)['weight.scale'].shape == (6, -(-40 // group_size))
        grouped = load_weights(path)['weight']
        whole = dequantise(*quantise(tensor))
        assert rms(grouped - tensor) <= rms(whole - tensor) * 1.001
        if group_size == 8:
            first = slice(0, 8)
            assert rms((grouped - tensor)[:, first]) < 0.1 * rms(
                (whole - tensor)[:, first]
            )

    def test_groups_leave_convolutions_alone(self, state_dict, path):
        save_weights(state_dict, path, group_size=8)
        assert load_file(path)['conv.weight.scale'].shape == (4,)


class TestFile:
    def test_hash_is_that_of_the_file(self, state_dict, path):
        sha256 = save_weights(state_dict, path)
        assert sha256 == hashlib.sha256(path.read_bytes()).hexdigest()

    def test_same_weights_same_bytes_in_any_process(self, path):
        weights = {'b.weight': torch.arange(12.0).reshape(3, 4), 'a': torch.ones(2)}
        notes = {'z': 1, 'a': [2], 'm': 'x', 'k': None}
        sha256 = save_weights(weights, path, metadata=notes)
        code = (
            'import sys, torch\n'
            'from galmorph.weights import save_weights\n'
            "weights = {'b.weight': torch.arange(12.).reshape(3, 4),"
            " 'a': torch.ones(2)}\n"
            "notes = {'k': None, 'm': 'x', 'a': [2], 'z': 1}\n"
            'print(save_weights(weights, sys.argv[1], metadata=notes))\n'
        )
        output = subprocess.run(
            [sys.executable, '-c', code, path],
            env={**os.environ, 'PYTHONHASHSEED': '1'},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        assert output.strip() == sha256

    def test_metadata_is_in_the_header(self, path):
        save_weights({'a': torch.ones(2)}, path, metadata={'epoch': 3})
        raw = path.read_bytes()
        length = int.from_bytes(raw[:8], 'little')
        notes = json.loads(raw[8 : 8 + length])['__metadata__']['galmorph']
        assert json.loads(notes)['metadata'] == {'epoch': 3}

    def test_failed_write_leaves_the_old_file_and_no_other(self, path, monkeypatch):
        sha256 = save_weights({'a': torch.ones(2)}, path)

        def fail(descriptor):
            msg = 'no space left'
            raise OSError(msg)

        monkeypatch.setattr(files.os, 'fsync', fail)
        with pytest.raises(OSError, match='no space left'):
            save_weights({'a': torch.zeros(2)}, path)
        verify_weights(path, sha256)
        assert list(path.parent.glob('*some*')) == [path]

    def test_other_users_may_read_the_file(self, path):
        other = path.with_name('other')
        other.touch()
        save_weights({'a': torch.ones(2)}, path)
        assert path.stat().st_mode == other.stat().st_mode


class TestRefused:
    def test_wrong_hash(self, state_dict, path):
        save_weights(state_dict, path)
        with pytest.raises(WeightsError, match=r'sha256 .* instead of 0000'):
            load_weights(path, '0' * 64)

    def test_changed_byte(self, state_dict, path):
        sha256 = save_weights(state_dict, path)
        raw = bytearray(path.read_bytes())
        raw[-1] ^= 1
        path.write_bytes(raw)
        with pytest.raises(WeightsError, match='not the one its card names'):
            load_weights(path, sha256)

    @pytest.mark.parametrize('hashed', [True, False])
    def test_truncated(self, state_dict, path, hashed):
        sha256 = save_weights(state_dict, path)
        raw = path.read_bytes()
        path.write_bytes(raw[:-100])
        expected = f'truncated, {len(raw) - 100} of {len(raw)} bytes'
        with pytest.raises(WeightsError, match=expected):
            load_weights(path, sha256 if hashed else None)

    @pytest.mark.parametrize(
        'raw',
        [b'', b'short', b'PK\x03\x04' * 50, bytes(100), b'\x02' + bytes(7) + b'[]'],
    )
    def test_other_files(self, path, raw):
        path.write_bytes(raw)
        with pytest.raises(WeightsError, match='cannot be read as weights'):
            load_weights(path)

    def test_too_long(self, state_dict, path):
        save_weights(state_dict, path)
        with path.open('ab') as file:
            file.write(b'more')
        with pytest.raises(WeightsError, match='too long'):
            load_weights(path)

    def test_missing(self, path):
        with pytest.raises(WeightsError, match='No such file'):
            load_weights(path)
        with pytest.raises(WeightsError, match='No such file'):
            verify_weights(path, '0' * 64)

    def test_newer_layout(self, path):
        save_file({'a': torch.ones(1)}, path, {'galmorph': '{"layout": 2}'})
        with pytest.raises(WeightsError, match=r'layout 2.*update galmorph'):
            load_weights(path)

    def test_lost_scales(self, path):
        notes = '{"layout": 1, "quantised": ["a"], "group_size": null}'
        save_file({'a': torch.ones(1)}, path, {'galmorph': notes})
        with pytest.raises(WeightsError, match="lacks 'a' or its scales"):
            load_weights(path)

    @pytest.mark.parametrize('value', [float('nan'), float('inf')])
    def test_weights_that_are_not_finite(self, path, value):
        with pytest.raises(WeightsError, match="'a' hold values that are not finite"):
            save_weights({'a': torch.full((2, 2), value)}, path)

    def test_weights_beyond_half_precision(self, path):
        with pytest.raises(WeightsError, match='beyond the range of half'):
            save_weights({'a': torch.full((2, 2), 1e5)}, path, precision='float16')

    @pytest.mark.parametrize('names', [('a', 'a.scale'), ('a.scale', 'a')])
    def test_name_of_a_scale(self, path, names):
        with pytest.raises(
            WeightsError, match=r"'a.scale' have the name of the scales"
        ):
            save_weights(dict.fromkeys(names, torch.ones(2, 2)), path)

    def test_bad_settings(self, path):
        with pytest.raises(ValueError, match=r"precision must be one of .*'int4'"):
            save_weights({}, path, precision='int4')
        with pytest.raises(ValueError, match=r"precision must be one of .*'int4'"):
            save_weights({}, path, precision={'*': 'int4'})
        with pytest.raises(ValueError, match="no entry for 'a'"):
            save_weights({'a': torch.ones(1)}, path, precision={'b': 'int8'})
        with pytest.raises(ValueError, match='group_size must be a positive'):
            save_weights({}, path, group_size=0)


class TestVerify:
    def test_hash_is_remembered_until_the_file_changes(
        self, state_dict, path, monkeypatch
    ):
        calls = []
        digest = hashlib.file_digest

        def count(*args):
            calls.append(args)
            return digest(*args)

        monkeypatch.setattr(storage.hashlib, 'file_digest', count)
        sha256 = save_weights(state_dict, path)
        verify_weights(path, sha256)
        load_weights(path, sha256)
        assert len(calls) == 1
        status = path.stat()
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 10**9))
        verify_weights(path, sha256)
        assert len(calls) == 2

    def test_refused_file_is_not_remembered(self, state_dict, path):
        save_weights(state_dict, path)
        for _ in range(2):
            with pytest.raises(WeightsError, match='instead of'):
                verify_weights(path, '0' * 64)

    def test_size_of_the_card_shows_truncation(self, path):
        path.write_bytes(b'few')
        with pytest.raises(WeightsError, match='3 of 1000 bytes'):
            verify_weights(path, '0' * 64, size=1000)
