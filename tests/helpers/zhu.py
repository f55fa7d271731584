# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What Zhu et al. (2019) published of their test galaxies."""

__all__ = ['ZHU']

# Their table 5, whose rows are the true classes.
ZHU = [
    [815, 21, 0, 0, 10],
    [29, 762, 0, 0, 17],
    [0, 4, 34, 18, 2],
    [0, 3, 12, 368, 5],
    [4, 7, 1, 5, 763],
]
