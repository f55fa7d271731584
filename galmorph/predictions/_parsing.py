# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The arguments of predictions, checked and brought to one form."""

import numpy as np

from galmorph.exceptions import SchemaError

# What reduced precision may add to a probability; more is a mistake.
_ROUNDING = 1e-3


def parse_supported(schema, supported):
    """Return a bool for each of the names, from names, bools or None (all)."""
    names = list(schema.names)
    what = 'question' if schema.kind == 'tree' else 'attribute'
    if supported is None:
        return np.ones(len(names), bool)
    supported = [supported] if isinstance(supported, str) else list(supported)
    if supported and all(isinstance(value, (bool, np.bool_)) for value in supported):
        check_length(supported, len(names), 'supported', what=what)
        return np.array(supported)
    unknown = [name for name in supported if name not in names]
    if unknown:
        msg = (
            f'supported names {unknown}, which {schema.name!r} does not '
            f'{"ask" if schema.kind == "tree" else "have"}; choose from {names}'
        )
        raise SchemaError(msg)
    return np.array([name in supported for name in names])


def parse_answers(schema, values, name):
    """Return a float32 copy of values that has a column for each answer."""
    values = np.ma.array(values, dtype=np.float32).filled(np.nan)
    n_answers = len(schema.columns)
    if values.shape == (0,):
        values = values.reshape(0, n_answers)
    if values.ndim != 2 or values.shape[1] != n_answers:
        msg = (
            f'{name} must have shape (n_galaxy, {n_answers}), a column for each '
            f'answer of {schema.name!r}; its shape is {values.shape}'
        )
        raise ValueError(msg)
    values = np.array(values)
    values[~np.isfinite(values)] = np.nan
    return values


def check_length(values, expected, name, *, what='galaxy'):
    """Raise unless values are one for each galaxy."""
    if np.shape(values) != (expected,):
        msg = (
            f'{name} must have one value for each {what}, {expected}; its shape is '
            f'{np.shape(values)}'
        )
        raise ValueError(msg)


def check_range(path):
    """Raise unless all known values are probabilities."""
    wrong = np.flatnonzero(((path < -_ROUNDING) | (path > 1 + _ROUNDING)).any(1))
    if wrong.size:
        row = path[wrong[0]]
        msg = (
            f'probabilities must lie between 0 and 1; row {wrong[0]} goes from '
            f'{np.nanmin(row):g} to {np.nanmax(row):g}'
        )
        raise ValueError(msg)


def check_same_run(parts):
    """Raise unless the rows of all predictions fit into one table."""
    first = parts[0]
    for part in parts[1:]:
        for what, same in (
            ('kind', type(part) is type(first)),
            ('answers', part.schema.columns == first.schema.columns),
            ('support', np.array_equal(part.supported, first.supported)),
            ('std', (part.std is None) == (first.std is None)),
        ):
            if not same:
                msg = f'parts differ in {what}, so they need a table each'
                raise ValueError(msg)
