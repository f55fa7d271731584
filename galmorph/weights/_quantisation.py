# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Weights as 8-bit codes and scales. Works on tensors, without torch itself."""

_MAX_CODE = 127

# Fractions of the largest weight of a channel that may become the largest
# code: clipping a few outliers can cost less than a coarser step.
_CLIP_FRACTIONS = (1.0, 0.97, 0.94, 0.9, 0.85, 0.8, 0.7)

# Below this a step would be a denormal number, or nought to divide by; what
# is so small is stored as zeros.
_SMALLEST_STEP = 1e-37


def quantise(tensor, group_size=None):
    """
    Return 8-bit codes and scales of a tensor of two or more axes.

    The scales have shape (n_out,), or (n_out, n_group) for a matrix whose
    rows are cut into groups; the last group may be shorter than the others.
    """
    n_out = tensor.shape[0]
    rows = tensor.reshape(n_out, -1)
    if group_size is None or tensor.ndim != 2:
        codes, scale = _quantise_rows(rows)
        return codes.reshape(tensor.shape), scale
    n_in = rows.shape[1]
    n_group = -(-n_in // group_size)
    # Zeros after the end change neither the maximum of a group nor its error.
    padded = rows.new_zeros(n_out, n_group * group_size)
    padded[:, :n_in] = rows
    codes, scale = _quantise_rows(padded.reshape(-1, group_size))
    return codes.reshape(n_out, -1)[:, :n_in], scale.reshape(n_out, n_group)


def dequantise(codes, scale, group_size=None):
    """Return the weights, in single precision, that codes and scales mean."""
    tensor = codes.float()
    if scale.ndim == 1:
        return tensor.mul_(scale.reshape(-1, *[1] * (tensor.ndim - 1)))
    n_full = tensor.shape[1] // group_size
    n_whole = n_full * group_size
    if n_full:
        whole = tensor[:, :n_whole].unflatten(1, (n_full, group_size))
        whole.mul_(scale[:, :n_full, None])
    tensor[:, n_whole:].mul_(scale[:, -1:])
    return tensor


def _quantise_rows(rows):
    """Return the codes and scales of least squared error, row by row."""
    largest = rows.abs().amax(dim=1)
    best_codes = rows.new_zeros(rows.shape).char()
    best_scale = largest.new_ones(largest.shape)
    best_error = largest.new_full(largest.shape, float('inf'))
    for fraction in _CLIP_FRACTIONS:
        step = largest * (fraction / _MAX_CODE)
        step[step < _SMALLEST_STEP] = 1
        codes = (rows / step[:, None]).round_().clamp_(-_MAX_CODE, _MAX_CODE)
        # For given codes, least squares knows the best scale.
        norm = codes.square().sum(dim=1)
        scale = (codes * rows).sum(dim=1) / norm.clamp(min=1)
        error = (codes * scale[:, None]).sub_(rows).square_().sum(dim=1)
        better = error < best_error
        best_codes[better] = codes[better].char()
        best_scale[better] = scale[better]
        best_error[better] = error[better]
    return best_codes, best_scale
