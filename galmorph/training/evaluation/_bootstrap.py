# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Scores with the interval that resampled galaxies give."""

import dataclasses
import warnings

import numpy as np

N_DRAWS = 2000
_PERCENTILES = (2.5, 97.5)
# Weights held at a time.
_MAX_SIZE = 4_000_000


@dataclasses.dataclass(frozen=True)
class Score:
    """
    A score and its 95 % interval.

    Parameters
    ----------
    value : float
        The score.
    low, high : float
        The interval, from bootstrap samples of the galaxies.
    n : int
        The number of galaxies.

    Examples
    --------
    >>> from galmorph.training.evaluation import Score
    >>> Score(0.09852, 0.0934, 0.1036, 420)
    Score(0.0985 [0.0934, 0.1036], n=420)
    """

    value: float
    low: float
    high: float
    n: int

    def __repr__(self):
        return f'Score({self.value:.4f} [{self.low:.4f}, {self.high:.4f}], n={self.n})'

    def to_dict(self, name='value'):
        """
        Give the score as a model card has it.

        Parameters
        ----------
        name : str, optional
            What to call the value.

        Returns
        -------
        score : dict
            With ``name``, 'low', 'high' and 'n', rounded to 4 decimals.
        """
        numbers = {name: self.value, 'low': self.low, 'high': self.high}
        return {k: round(float(v), 4) for k, v in numbers.items()} | {'n': self.n}


def bootstrap(statistic, n, *, n_draws=N_DRAWS, seed=0):
    """
    Compute statistics of n galaxies, and where 95 % of the resampled ones lie.

    ``statistic`` takes weights of the galaxies, shape (n_sample, n), and gives
    values of the shape (n_sample, ...). Returned are three arrays: the values of
    all galaxies, and the ends of the interval.
    """
    with np.errstate(invalid='ignore', divide='ignore'):
        value = np.asarray(statistic(np.ones((1, n))))[0]
        generator = np.random.default_rng(seed)
        samples, step = [], max(1, _MAX_SIZE // max(n, 1))
        for start in range(0, n_draws, step):
            size = min(step, n_draws - start)
            drawn = generator.integers(0, n, (size, n))
            drawn += n * np.arange(size)[:, None]
            weights = np.bincount(drawn.ravel(), minlength=size * n)
            samples.append(statistic(weights.reshape(size, n).astype(float)))
    samples = np.concatenate(samples)
    with warnings.catch_warnings():
        # A sample may miss a rare class; so may all galaxies.
        warnings.simplefilter('ignore', RuntimeWarning)
        low, high = np.nanpercentile(samples, _PERCENTILES, axis=0)
    # Resampling adds noise, and so biases an error of calibration upwards.
    return value, np.fmin(low, value), np.fmax(high, value)


def ratio_of_sums(sums, counts):
    """A statistic: weighted sums over weighted counts, given for each galaxy."""

    def statistic(weights):
        return (weights @ sums) / (weights @ counts)

    return statistic
