# Licensed under a 3-clause BSD style license - see LICENSE.rst
import pytest
import torch

from galmorph.inference.devices import choose_device, choose_dtype


@pytest.fixture
def machine(monkeypatch):
    """Pretend that there are so many CUDA devices, and Apple's or not."""

    def pretend(*, n_cuda=0, mps=False):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda: n_cuda > 0)
        monkeypatch.setattr(torch.cuda, 'device_count', lambda: n_cuda)
        monkeypatch.setattr(torch.backends.mps, 'is_available', lambda: mps)

    return pretend


class TestChooseDevice:
    @pytest.mark.parametrize(
        ('there', 'chosen'),
        [
            ({}, 'cpu'),
            ({'mps': True}, 'mps'),
            ({'n_cuda': 1}, 'cuda'),
            ({'n_cuda': 1, 'mps': True}, 'cuda'),
        ],
    )
    def test_auto_takes_the_best(self, machine, there, chosen):
        machine(**there)
        assert choose_device() == choose_device('auto') == torch.device(chosen)

    @pytest.mark.parametrize(
        'device', ['cpu', 'cuda', 'cuda:1', 'mps', torch.device('cpu')]
    )
    def test_takes_what_is_there(self, machine, device):
        machine(n_cuda=2, mps=True)
        assert choose_device(device) == torch.device(device)

    @pytest.mark.parametrize('device', ['cuda', 'cuda:0', 'mps', 'meta', 'xpu'])
    def test_absent_device(self, machine, device):
        machine()
        with pytest.raises(ValueError, match=f"'{device}' is not available here"):
            choose_device(device)

    def test_absent_card(self, machine):
        machine(n_cuda=2)
        with pytest.raises(ValueError, match="'cuda:2' is not available here"):
            choose_device('cuda:2')

    @pytest.mark.parametrize('device', ['gpu', 'cuda:x', '', None, 1.5])
    def test_unknown_name(self, machine, device):
        machine()
        with pytest.raises(ValueError, match="is not known; take 'auto', 'cpu'"):
            choose_device(device)


class TestChooseDtype:
    @pytest.mark.parametrize(
        ('precision', 'device', 'dtype'),
        [
            ('float32', 'cpu', torch.float32),
            ('bf16', 'cpu', torch.bfloat16),
            ('fp16', 'cuda', torch.float16),
            ('fp16', 'mps', torch.float16),
        ],
    )
    def test_types(self, precision, device, dtype):
        assert choose_dtype(precision, torch.device(device)) is dtype

    def test_half_precision_needs_a_gpu(self):
        with pytest.raises(ValueError, match='needs a GPU'):
            choose_dtype('fp16', torch.device('cpu'))

    @pytest.mark.parametrize('precision', ['float16', 'fp32', None])
    def test_unknown_name(self, precision):
        with pytest.raises(ValueError, match=f'not {precision!r}'):
            choose_dtype(precision, torch.device('cpu'))
