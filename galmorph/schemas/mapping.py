# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From the answers of one decision tree to those of another."""

import numpy as np

from galmorph.exceptions import SchemaError

__all__ = ['map_answers']


def map_answers(path, source, target):
    """
    Derive the answers of one tree from those of another.

    ``target.mappings[source.name]`` says how: each column is a sum of
    products of columns of ``source``, where an exclamation mark stands for
    one minus the column. That is a definition, not a fit. For CANDELS [1]_,
    whose images are not at hand to train on, from Galaxy Zoo CEERS: a galaxy
    with a major disturbance is *irregular*, any other one *spheroid* as far
    as it is smooth and *disk* as far as it has features; a *point source* is
    a star, and other artefacts are *unclassifiable*. Merging without a
    disturbance does not make a galaxy irregular.

    Parameters
    ----------
    path : array-like, shape (..., source.n_answers)
        Path probabilities.
    source, target : `~galmorph.schemas.DecisionTree`
        The tree of ``path``, and the one that is wanted.

    Returns
    -------
    mapped : `~numpy.ndarray`, shape (..., target.n_answers)
        Path probabilities of ``target``.

    Raises
    ------
    `~galmorph.exceptions.SchemaError`
        If ``target`` does not say how it follows from ``source``.

    References
    ----------
    .. [1] Kartaltepe et al. 2015, ApJS 221, 11.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.schemas import map_answers
    >>> ceers, candels = load_schema('gz_ceers'), load_schema('candels5')
    >>> path = np.zeros(39)
    >>> path[[0, 1, 30, 33]] = 0.2, 0.8, 0.25, 0.75
    >>> map_answers(path, ceers, candels).round(2).tolist()
    [0.6, 0.15, 0.25, 0.0, 0.0]
    """
    if source.name not in target.mappings:
        msg = (
            f'{target.name!r} does not follow from {source.name!r}, but from '
            f'{sorted(target.mappings)}'
        )
        raise SchemaError(msg)
    path = np.asarray(path)
    if path.shape[-1:] != (source.n_answers,):
        msg = (
            f'path must have {source.n_answers} values on its last axis, one an '
            f'answer of {source.name!r}; its shape is {path.shape}'
        )
        raise ValueError(msg)
    terms, index = target.mappings[source.name], {}
    for i, column in enumerate(source.columns):
        index[column] = path[..., i]
        index[f'!{column}'] = 1 - path[..., i]
    try:
        columns = [
            sum(
                np.prod([index[factor] for factor in product], axis=0)
                for product in terms[column]
            )
            for column in target.columns
        ]
    except KeyError as error:
        msg = f'the mapping of {target.name!r} lacks or misnames {error}'
        raise SchemaError(msg) from error
    return np.stack(columns, axis=-1)
