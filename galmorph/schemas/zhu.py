# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The rule by which Zhu et al. (2019) cut five classes from Galaxy Zoo 2."""

import numpy as np

from galmorph.schemas.registry import load_schema

__all__ = ['zhu5_classes']

# Table 1 of the paper; the first threshold of the spirals is that of section 2,
# because the printed one, on "smooth", no galaxy could pass. A class needs all
# of its answers.
_RULES = (
    {'Class1.1': 0.469, 'Class7.1': 0.5},
    {'Class1.1': 0.469, 'Class7.2': 0.5},
    {'Class1.1': 0.469, 'Class7.3': 0.5},
    {'Class1.2': 0.430, 'Class2.1': 0.602},
    {'Class1.2': 0.430, 'Class2.2': 0.715, 'Class4.1': 0.619},
)


def zhu5_classes(path, convention='kaggle-cumulative'):
    """
    Cut the five classes of Zhu et al. (2019) from Galaxy Zoo 2 fractions.

    A galaxy belongs to a class if all fractions on the way to it reach the
    thresholds of table 1 of the paper [1]_. Two slips of it are mended: spirals
    are cut on "features or disk" where the table prints "smooth", and
    the thresholds apply to the columns as Kaggle gives them, which
    reproduces the list of galaxies of the authors' institution, although they
    were made for the conditional fractions of Willett et al. [2]_.

    Parameters
    ----------
    path : array-like, shape (..., 37)
        Path probabilities ("cumulative"), such as the vote fractions of the
        Kaggle Galaxy Challenge, in the order of ``load_schema('gz2')``. A NaN
        passes no threshold.
    convention : {'kaggle-cumulative', 'gz2-conditional'}, optional
        Whether the thresholds apply to path probabilities, or to conditional
        ones, which are calculated from ``path``. With the latter a galaxy may
        pass as smooth and as a disk: then the larger of the first two answers
        decides.

    Returns
    -------
    classes : `~numpy.ndarray` of int, shape (...)
        Index among the answers of ``load_schema('zhu5')``: 0 completely
        round, 1 in between, 2 cigar-shaped, 3 edge-on, 4 spiral; -1 for none.

    Raises
    ------
    ValueError
        If there is no such convention, or ``path`` has not 37 columns.

    References
    ----------
    .. [1] Zhu et al. 2019, Ap&SS 364, 55.
    .. [2] Willett et al. 2013, MNRAS 435, 2835, table 3.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.schemas import zhu5_classes
    >>> path = np.zeros((2, 37))
    >>> path[0, [0, 15]] = 0.9, 0.6
    >>> zhu5_classes(path).tolist()
    [0, -1]
    """
    tree = load_schema('gz2')
    path = np.asarray(path, float)
    if convention == 'gz2-conditional':
        values = tree.to_conditional(path)
    elif convention == 'kaggle-cumulative':
        values = path
    else:
        msg = (
            "convention must be 'kaggle-cumulative' or 'gz2-conditional', not "
            f'{convention!r}'
        )
        raise ValueError(msg)
    if path.shape[-1:] != (tree.n_answers,):
        msg = f'path must have {tree.n_answers} columns; its shape is {path.shape}'
        raise ValueError(msg)
    index = {column: i for i, column in enumerate(tree.source_columns)}
    passed = np.stack(
        [
            np.all([values[..., index[c]] >= low for c, low in rule.items()], axis=0)
            for rule in _RULES
        ],
        axis=-1,
    )
    # Where both branches pass, the fuller one is tried first.
    is_smooth = path[..., 0] >= path[..., 1]
    both = passed[..., :3].any(-1) & passed[..., 3:].any(-1)
    passed[..., :3] &= (is_smooth | ~both)[..., None]
    passed[..., 3:] &= (~is_smooth | ~both)[..., None]
    return np.where(passed.any(-1), passed.argmax(-1), -1)
