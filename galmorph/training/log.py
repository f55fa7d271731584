# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a training logged."""

import math
from pathlib import Path

import numpy as np
from astropy.table import QTable, vstack

__all__ = ['read_log', 'scores_at']


def read_log(folder):
    """
    Read the scores that a training logged.

    Parameters
    ----------
    folder : path-like
        The output folder of `~galmorph.training.fit.fit`.

    Returns
    -------
    log : `~astropy.table.QTable`
        A row a validation, with the columns ``epoch``, ``step``,
        ``train/loss``, ``valid/loss`` and the scores of each task.

    Raises
    ------
    FileNotFoundError
        If there is no log.

    Examples
    --------
    >>> from galmorph.training.log import read_log
    >>> read_log('lost')
    Traceback (most recent call last):
        ...
    FileNotFoundError: 'lost' holds no log of a training
    """
    rows = {}
    versions = Path(folder, 'log').glob('version_*/metrics.csv')
    # Where a training went on, what it repeats is the same.
    for path in sorted(versions, key=lambda path: int(path.parent.name[8:])):
        for row in QTable.read(path, format='ascii.csv').filled(np.nan):
            known = {
                name: value
                for name, value in zip(row.colnames, row.values(), strict=True)
                if not (isinstance(value, float) and math.isnan(value))
            }
            rows.setdefault(int(row['epoch']), {}).update(known)
    if not rows:
        msg = f'{str(folder)!r} holds no log of a training'
        raise FileNotFoundError(msg)
    table = vstack([QTable([rows[epoch]]) for epoch in sorted(rows)])
    first = ['epoch', 'step']
    return table[first + sorted(set(table.colnames) - set(first))]


def scores_at(folder, epoch):
    r"""
    Look the scores of a validation up.

    Parameters
    ----------
    folder : path-like
        The output folder of `~galmorph.training.fit.fit`.
    epoch : int
        After which epoch, from 0.

    Returns
    -------
    scores : dict of str to float
        Those that are finite; empty if there was no validation.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from galmorph.training.log import scores_at
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, 'log', 'version_0', 'metrics.csv')
    ...     path.parent.mkdir(parents=True)
    ...     _ = path.write_text('epoch,step,valid/loss\n0,9,0.5\n1,19,0.25\n')
    ...     scores_at(folder, 1)
    {'valid/loss': 0.25}
    """
    log = read_log(folder)
    row = log[log['epoch'] == epoch][0]
    return {
        name: float(row[name])
        for name in log.colnames
        if name.startswith('valid/') and np.isfinite(row[name])
    }
