# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which of the galaxies an evaluation takes, by the record of the training."""

import sys
from pathlib import Path

import numpy as np

from galmorph.cli.outputs import RequestError

__all__ = []


def choose_rows(arguments, galaxies, cards):
    """The rows to take, what to call them, and whose split that is."""
    split, everything = arguments.split, np.ones(len(galaxies.table), bool)
    if split == 'all':
        return everything, split, 'all galaxies, those of the training as well'
    splits, origin = _splits_of(arguments, galaxies, cards)
    if splits is None and split is None:
        return everything, None, origin
    if splits is None:
        msg = (
            f"--split {split!r} needs a column 'split', of {galaxies.table.colnames}, "
            f'or --splits; the split is {origin}'
        )
        raise RequestError(msg)
    split = 'test' if split is None else split
    if split not in splits:
        msg = (
            f'there is no split {split!r}, only {np.unique(splits).tolist()}, by '
            f'{origin}; name one of them with --split, or all'
        )
        raise RequestError(msg)
    return splits == split, split, origin


def _splits_of(arguments, galaxies, cards):
    """The split of each galaxy, None without any, and whose it is."""
    own, origin = None, 'none; nothing tells whether these trained the weights'
    if 'split' in galaxies.table.colnames:
        own = np.asarray(galaxies.table['split']).astype(str)
        origin = "the column 'split'"
    if galaxies.is_drawn:
        origin = 'drawn by the reader of the folder'
    splits, records = _recorded(arguments, galaxies, cards)
    names = ' and '.join(map(str, records))
    is_new = splits == ''
    if is_new.all():
        return own, f'{origin}; {names} has none of the galaxies' if names else origin
    if not is_new.any():
        return splits, names
    if own is None or galaxies.is_drawn:
        own, origin = 'new', "'new'"
    rest = f'{origin} for {is_new.sum()} galaxies that are not in it'
    return np.where(is_new, own, splits), f'{names}, and {rest}'


def _recorded(arguments, galaxies, cards):
    """What is recorded of each galaxy, and where."""
    from galmorph.exceptions import LabelError
    from galmorph.training.data.seen import record_of, recorded_splits

    if arguments.splits and not Path(arguments.splits).exists():
        msg = f'there is no file {arguments.splits!r} for --splits'
        raise RequestError(msg)
    records, ids = [arguments.splits], galaxies.ids
    if not arguments.splits:
        places = dict.fromkeys(record_of(c.source) for c in cards if c.source)
        records = [place for place in places if place.is_dir()]
        # Those of other tables may be the numbers of their rows.
        ids = galaxies.ids if galaxies.is_drawn else None
    splits = np.full(len(galaxies.table), '', 'U10')
    for record in records:
        try:
            found = recorded_splits(record, galaxies.names, ids)
        except LabelError as error:
            raise RequestError(str(error)) from error
        differ = np.flatnonzero((splits != '') & (found != '') & (splits != found))
        if len(differ):
            row = differ[0]
            msg = (
                f'the weights had {len(differ)} of the galaxies in different splits: '
                f'{galaxies.names[row]!r} in {splits[row]!r}, and by {str(record)!r} '
                f'in {found[row]!r}; name the record that counts with --splits'
            )
            raise RequestError(msg)
        splits = np.where(found == '', splits, found)
    if arguments.splits and len(splits) and not (splits != '').any():
        msg = (
            f'--splits {arguments.splits!r} has none of the {len(splits)} galaxies, '
            f'neither by image, such as {galaxies.names[0]!r}, nor by id, such as '
            f'{str(galaxies.ids[0])!r}; --id names the column'
        )
        raise RequestError(msg)
    return splits, records


def warn_of_training(weights, names):
    """Say how many of the images the weights were trained on."""
    from galmorph.training.data.seen import trained_on

    n_seen = 0 if weights is None else int(trained_on(weights, names).sum())
    if n_seen:
        print(
            f'galmorph: warning: {weights} were trained on {n_seen} of these '
            f'{len(names)} galaxies; the scores flatter them',
            file=sys.stderr,
        )
