# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which device runs a network, and in which arithmetic."""

import torch

__all__ = ['choose_device', 'choose_dtype']

_DTYPES = {
    'float32': torch.float32,
    'bf16': torch.bfloat16,
    'fp16': torch.float16,
}


def choose_device(device='auto'):
    """
    Choose the device that runs the networks.

    Parameters
    ----------
    device : str or `torch.device`, optional
        'auto' takes a CUDA device where there is one, then Apple's 'mps',
        then the CPU. Or any device that torch knows, such as 'cuda:1'.

    Returns
    -------
    device : `torch.device`
        The device.

    Raises
    ------
    ValueError
        If the name is not one of a device, or the device is not there.

    Examples
    --------
    >>> from galmorph.inference.devices import choose_device
    >>> choose_device('cpu')
    device(type='cpu')
    """
    available = {
        'cuda': torch.cuda.is_available(),
        'mps': torch.backends.mps.is_available(),
        'cpu': True,
    }
    if device == 'auto':
        device = next(name for name, there in available.items() if there)
    try:
        device = torch.device(device)
    except (RuntimeError, TypeError) as error:
        msg = f"device {device!r} is not known; take 'auto', 'cpu', 'cuda' or 'mps'"
        raise ValueError(msg) from error
    there = available.get(device.type, False)
    if device.type == 'cuda' and there and device.index is not None:
        there = device.index < torch.cuda.device_count()
    if not there:
        msg = f"device '{device}' is not available here; take 'auto' or 'cpu'"
        raise ValueError(msg)
    return device


def choose_dtype(precision, device):
    """
    Choose the arithmetic of the networks.

    Parameters
    ----------
    precision : str
        'float32', 'bf16' or 'fp16'.
    device : `torch.device`
        The device.

    Returns
    -------
    dtype : `torch.dtype`
        The type of weights and features.

    Raises
    ------
    ValueError
        If the precision is not known, or not to be had on the device.

    Examples
    --------
    >>> import torch
    >>> from galmorph.inference.devices import choose_dtype
    >>> choose_dtype('bf16', torch.device('cpu'))
    torch.bfloat16
    """
    if precision not in _DTYPES:
        msg = f'precision must be one of {list(_DTYPES)}, not {precision!r}'
        raise ValueError(msg)
    if precision == 'fp16' and device.type == 'cpu':
        msg = "precision 'fp16' needs a GPU; take 'float32' or 'bf16' on a CPU"
        raise ValueError(msg)
    return _DTYPES[precision]
