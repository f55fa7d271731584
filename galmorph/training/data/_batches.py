# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Batches as functions of the number of their step."""

import numpy as np
from torch.utils.data import DataLoader, Dataset

__all__ = []


class Draws:
    """Which rows a step shows: a function of its number."""

    def __init__(self, rows, n, key, probabilities=None, n_shown=1):
        self.rows, self.n, self.key = rows, n, key
        self.probabilities = probabilities
        self.n_shown = n_shown
        self._order = None, None

    def rng(self, step, rank=0):
        """Make the generator of a step."""
        return np.random.default_rng([*self.key, 1, step, rank])

    def at(self, step):
        """Choose the rows of a step."""
        if self.probabilities is not None:
            rng = np.random.default_rng([*self.key, 2, step])
            return rng.choice(self.rows, self.n, p=self.probabilities)
        # One shuffled pass after the other.
        places = np.arange(step * self.n, (step + 1) * self.n)
        cycles, places = np.divmod(places, len(self.rows))
        chosen = np.empty(self.n, np.int64)
        for cycle in np.unique(cycles):
            here = cycles == cycle
            chosen[here] = self._shuffled(int(cycle))[places[here]]
        return chosen

    def _shuffled(self, cycle):
        if self._order[0] != cycle:
            rng = np.random.default_rng([*self.key, 0, cycle])
            self._order = cycle, rng.permutation(self.rows)
        return self._order[1]


class Steps(Dataset):
    """Training batches by the number of the step."""

    def __init__(self, datasets, draws, rank, images_of):
        self.datasets, self.draws, self.rank = datasets, draws, rank
        self.images_of = images_of

    def __getitem__(self, step):
        rank, world = self.rank
        batch = {}
        for name, draws in self.draws.items():
            rng = draws.rng(step, rank)
            # Drawn whatever is done with it.
            seed = int(rng.integers(2**62))
            rows = draws.at(step)[rank::world].repeat(draws.n_shown)
            part = self.datasets[name].batch(rows, rng)
            batch[name] = {**part, 'seed': seed}
        for name, other in self.images_of.items():
            shown = batch[other]
            rows = shown['index'].numpy()
            batch[name] = self.datasets[name].label_batch(
                rows, shown.get('is_mirrored')
            )
        return batch


class StepLoader:
    """Training batches from a step on, which is kept in checkpoints."""

    def __init__(self, steps, length, options):
        self.steps, self.length, self.options = steps, length, options
        self.step = 0

    def __len__(self):
        return self.length

    def __iter__(self):
        numbers = range(self.step, self.step + self.length)
        for batch in DataLoader(self.steps, sampler=numbers, **self.options):
            self.step += 1
            yield batch

    def state_dict(self):
        """Tell how many steps have been shown."""
        return {'step': self.step}

    def load_state_dict(self, state):
        """Go on after so many steps."""
        self.step = state['step']


class Batches(Dataset):
    """Batches of galaxies, the same each time; augmented if shown several times."""

    def __init__(self, datasets, parts):
        self.datasets, self.parts = datasets, parts

    def __len__(self):
        return len(self.parts)

    def __getitem__(self, number):
        name, rows, n_shown = self.parts[number]
        if n_shown == 1:
            return {name: self.datasets[name].batch(rows)}
        rng = np.random.default_rng(number)
        part = self.datasets[name].batch(rows.repeat(n_shown), rng)
        return {name: {**part, 'seed': number}}
