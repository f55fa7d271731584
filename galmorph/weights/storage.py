# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Weights on disk: safetensors files with 8-bit, half or single precision.

The header of a file holds one metadata entry, ``galmorph``, a JSON text with
the version of this layout, the names of the tensors that are stored as 8-bit
integers, and the group size. One entry, since safetensors keeps several in
no fixed order, and equal weights shall be equal bytes.
"""

import fnmatch
import hashlib
import json
from pathlib import Path

from galmorph.exceptions import WeightsError
from galmorph.files import write_atomically
from galmorph.weights._quantisation import dequantise, quantise

__all__ = ['load_weights', 'save_weights', 'verify_weights']

_LAYOUT = 1
_METADATA_KEY = 'galmorph'
_PRECISIONS = ('int8', 'float16', 'float32')

# Largest error, relative to the largest bias, at which a bias with one value
# a position (not a channel) is stored in half precision.
_BIAS_TOLERANCE = 1e-3

# Files that this process has hashed: (path, inode, mtime, size, sha256).
_verified = set()


def save_weights(state_dict, path, *, precision='int8', group_size=None, metadata=None):
    """
    Write the weights of a network to a safetensors file.

    The file appears complete or not at all, and the same weights give the
    same bytes.

    Parameters
    ----------
    state_dict : dict of str to `torch.Tensor`
        The weights, as `torch.nn.Module.state_dict` returns them. Integer
        tensors are kept as they are, and so are, in single precision,
        tensors with fewer than two axes.
    path : path-like
        The file. Its folder must exist; a file that is there is replaced.
    precision : {'int8', 'float16', 'float32'} or dict
        How weights with two or more axes are stored, or a dict of that by
        name, where names may have wildcards and the first that fits holds:
        ``{'convs.*': 'float16', '*': 'int8'}``. ``'int8'`` takes a
        byte a weight and one scale an output channel (the first axis), with
        codes from -127 to 127; the scale is the one of several that leaves
        the least squared error. Biases with two or more axes are stored in
        half precision, unless that would cost more than 0.1 %.
    group_size : int, optional
        For ``'int8'``, the number of neighbouring inputs of a matrix (n_out,
        n_in) that share a scale. The smaller it is, the more exact, at four
        bytes a group. By default a row has one scale.
    metadata : dict, optional
        Notes to keep in the header, of any kind that JSON can write.

    Returns
    -------
    str
        The sha256 of the file, in hexadecimal.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If a weight is not finite, too large for half precision, or has the
        name of another's scale.
    ValueError
        If ``precision`` or ``group_size`` is out of range, or if a name fits
        none of those in ``precision``.

    See Also
    --------
    load_weights : the way back.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from galmorph.weights import load_weights, save_weights
    >>> weights = {'dense.weight': torch.tensor([[0.5, -1.0], [0.0, 0.25]])}
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'small.safetensors'
    ...     sha256 = save_weights(weights, path)
    ...     error = load_weights(path, sha256)['dense.weight'] - weights['dense.weight']
    >>> bool(error.abs().max() < 0.005)
    True
    """
    from safetensors.torch import save

    rules = precision if isinstance(precision, dict) else {'*': precision}
    for choice in rules.values():
        if choice not in _PRECISIONS:
            msg = f'precision must be one of {_PRECISIONS}, not {choice!r}'
            raise ValueError(msg)
    if group_size is not None and group_size < 1:
        msg = f'group_size must be a positive number or None, not {group_size!r}'
        raise ValueError(msg)

    tensors = {}
    quantised = []
    for name, tensor in state_dict.items():
        choice = _choose(name, rules)
        for key, stored in _encode(name, tensor, choice, group_size).items():
            if key in tensors or (key != name and key in state_dict):
                msg = (
                    f'the weights {key!r} have the name of the scales of '
                    f'{name!r}; rename them'
                )
                raise WeightsError(msg)
            tensors[key] = stored.contiguous()
            if key != name:
                quantised.append(name)
    header = {
        'layout': _LAYOUT,
        'precision': precision,
        'group_size': group_size,
        'quantised': quantised,
        'metadata': metadata or {},
    }
    content = save(tensors, {_METADATA_KEY: json.dumps(header, sort_keys=True)})
    write_atomically(path, content)
    return hashlib.sha256(content).hexdigest()


def load_weights(path, sha256=None):
    """
    Read weights from a file that `save_weights` wrote.

    Parameters
    ----------
    path : path-like
        The safetensors file.
    sha256 : str, optional
        The hash that the file must have; it is checked before anything of
        the file is used, once a process for an unchanged file. Without it,
        only the structure of the file is checked.

    Returns
    -------
    dict of str to `torch.Tensor`
        The weights on the CPU, floating-point ones in single precision.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If the file is missing, truncated, not a safetensors file, of a
        newer layout, or if its hash is another one.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from galmorph.weights import load_weights, save_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'small.safetensors'
    ...     sha256 = save_weights({'bias': torch.ones(3)}, path)
    ...     load_weights(path, sha256)
    {'bias': tensor([1., 1., 1.])}
    """
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = Path(path)
    if sha256 is not None:
        verify_weights(path, sha256)
    content = _read(path)
    try:
        tensors = load(content)
        header = _parse_header(content)
    except (SafetensorError, ValueError) as error:
        msg = f'{str(path)!r} cannot be read as weights: {_diagnose(path, error)}'
        raise WeightsError(msg) from error
    del content
    if header.get('layout', _LAYOUT) > _LAYOUT:
        msg = (
            f'{str(path)!r} has layout {header["layout"]}, this version of '
            f'galmorph reads layouts up to {_LAYOUT}; update galmorph'
        )
        raise WeightsError(msg)
    for name in header.get('quantised', ()):
        if name not in tensors or f'{name}.scale' not in tensors:
            msg = f'{str(path)!r} lacks {name!r} or its scales; fetch the file again'
            raise WeightsError(msg)
        scale = tensors.pop(f'{name}.scale')
        tensors[name] = dequantise(tensors[name], scale, header['group_size'])
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }


def verify_weights(path, sha256, *, size=None):
    """
    Check the hash of a weights file.

    A file that passed, and is unchanged since, is not read again in the same
    process.

    Parameters
    ----------
    path : path-like
        The file.
    sha256 : str
        The hash it must have, in hexadecimal.
    size : int, optional
        The length it must have, in bytes.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If the file is missing or differs; the message says whether it was
        cut short.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> import torch
    >>> from galmorph.weights import save_weights, verify_weights
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder) / 'small.safetensors'
    ...     sha256 = save_weights({'bias': torch.ones(3)}, path)
    ...     verify_weights(path, sha256)
    """
    path = Path(path)
    try:
        status = path.stat()
        key = (
            str(path.resolve()),
            status.st_ino,
            status.st_mtime_ns,
            status.st_size,
            sha256,
        )
        if key in _verified:
            return
        with path.open('rb') as file:
            found = hashlib.file_digest(file, 'sha256').hexdigest()
    except OSError as error:
        msg = f'the weights file {str(path)!r} cannot be read: {error.strerror}'
        raise WeightsError(msg) from error
    if found != sha256.lower():
        detail = _diagnose(path, None, size)
        msg = (
            f'the weights file {str(path)!r} is not the one its card names: '
            f'sha256 {found} instead of {sha256}{detail and "; " + detail}. '
            f'Fetch the file again'
        )
        raise WeightsError(msg)
    _verified.add(key)


def _choose(name, rules):
    for pattern, choice in rules.items():
        if fnmatch.fnmatchcase(name, pattern):
            return choice
    msg = f"precision has no entry for {name!r}; add one for '*', all others"
    raise ValueError(msg)


def _encode(name, tensor, precision, group_size):
    """Return the tensors that stand for one tensor in the file."""
    tensor = tensor.detach().cpu()
    if not tensor.is_floating_point():
        return {name: tensor}
    tensor = tensor.float()
    if not tensor.isfinite().all():
        msg = f'the weights {name!r} hold values that are not finite'
        raise WeightsError(msg)
    if tensor.ndim < 2 or tensor.numel() == 0 or precision == 'float32':
        return {name: tensor}
    if name.endswith('bias'):
        half = tensor.half()
        exact = (half.float() - tensor).abs().max() <= (
            _BIAS_TOLERANCE * tensor.abs().max()
        )
        return {name: half if exact else tensor}
    if precision == 'float16':
        half = tensor.half()
        if not half.isfinite().all():
            msg = (
                f'the weights {name!r} reach {tensor.abs().max():g}, beyond the '
                f"range of half precision; use precision='float32'"
            )
            raise WeightsError(msg)
        return {name: half}
    codes, scale = quantise(tensor, group_size)
    return {name: codes, f'{name}.scale': scale}


def _read(path):
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f'the weights file {str(path)!r} cannot be read: {error.strerror}'
        raise WeightsError(msg) from error


def _parse_header(content):
    """Return what the ``galmorph`` metadata entry says, or an empty dict."""
    length = int.from_bytes(content[:8], 'little')
    entry = json.loads(content[8 : 8 + length]).get('__metadata__', {})
    return json.loads(entry.get(_METADATA_KEY, '{}'))


def _diagnose(path, error, size=None):
    """Say what is wrong with a file: too short, or what the reader said."""
    found = path.stat().st_size
    if size is None:
        size = _declared_size(path)
    if size is not None and found < size:
        return f'the file is truncated, {found} of {size} bytes are there'
    if size is not None and found > size:
        return f'the file is too long, {found} bytes instead of {size}'
    return '' if error is None else f'it is not a safetensors file ({error})'


def _declared_size(path):
    """Return the length that the header of a safetensors file implies."""
    try:
        with path.open('rb') as file:
            length = int.from_bytes(file.read(8), 'little')
            if length > path.stat().st_size:
                return None
            header = json.loads(file.read(length))
        ends = [
            entry['data_offsets'][1]
            for name, entry in header.items()
            if name != '__metadata__'
        ]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None
    return 8 + length + max(ends, default=0)
