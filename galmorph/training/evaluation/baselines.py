# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The baselines of Kaggle's Galaxy Challenge, which any network should beat."""

import numpy as np

from galmorph.images import read_image

__all__ = ['CentralPixelBaseline', 'central_colours', 'kaggle_baselines']

# 10 of the 424 pixels of a Galaxy Zoo 2 frame.
_PATCH = 10 / 424


class CentralPixelBaseline:
    """
    The mean labels of the galaxies whose centre has the same colour.

    Colours are cut into cubes. A cube that no training galaxy lies in gets
    the labels of the nearest one that has some.

    Parameters
    ----------
    n_level : int, optional
        In how many steps to cut red, green and blue.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.evaluation.baselines import CentralPixelBaseline
    >>> baseline = CentralPixelBaseline(n_level=2)
    >>> baseline.fit([[0.9, 0.6, 0.6], [0.2, 0.3, 0.4]], [[1.0, 0.0], [0.2, 0.8]])
    >>> baseline.predict([[0.7, 0.7, 0.7]]).tolist()
    [[1.0, 0.0]]
    """

    def __init__(self, n_level=12):
        self.n_level = n_level

    def fit(self, colours, values):
        """
        Learn mean labels.

        Parameters
        ----------
        colours : array-like, shape (n, 3)
            As `central_colours` gives them.
        values : array-like, shape (n, n_answers)
            The labels; NaN where unknown.
        """
        colours, values = np.asarray(colours, float), np.asarray(values, float)
        overall = _mean(values)
        cubes, inverse = np.unique(self._cube(colours), axis=0, return_inverse=True)
        inverse = inverse.ravel()
        self._cubes = cubes
        self._values = np.stack(
            [_mean(values[inverse == i], overall) for i in range(len(cubes))]
        )

    def predict(self, colours):
        """
        Give the labels of other galaxies.

        Parameters
        ----------
        colours : array-like, shape (n, 3)
            As `central_colours` gives them.

        Returns
        -------
        answers : `~numpy.ndarray`, shape (n, n_answers)
            The means.
        """
        cubes = self._cube(np.asarray(colours, float))
        distance = ((cubes[:, None] - self._cubes) ** 2).sum(-1)
        return self._values[distance.argmin(1)]

    def _cube(self, colours):
        return np.clip((colours * self.n_level).astype(int), 0, self.n_level - 1)


def central_colours(images):
    """
    Measure the mean colour at the centre of pictures.

    Parameters
    ----------
    images : iterable
        Pictures of three colours, of any kind that
        `~galmorph.images.read_image` takes. The patch is 10/424 of the width,
        10 pixels of a Galaxy Zoo 2 frame.

    Returns
    -------
    colours : `~numpy.ndarray`, shape (n, 3)
        Red, green and blue, from 0 to 1.

    Raises
    ------
    ValueError
        If an image is no picture of three colours.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.evaluation.baselines import central_colours
    >>> picture = np.full((424, 424, 3), 51, np.uint8)
    >>> central_colours([picture]).round(2).tolist()
    [[0.2, 0.2, 0.2]]
    """
    colours = []
    for row, source in enumerate(images):
        data = read_image(source).data
        if data.shape[0] != 3:
            msg = f'image {row} has {data.shape[0]} bands, and the baseline needs RGB'
            raise ValueError(msg)
        half = max(_PATCH * data.shape[2] / 2, 0.5)
        y, x = (slice(round(n / 2 - half), round(n / 2 + half))
                for n in data.shape[1:])  # fmt: skip
        scale = 255 if data.dtype == np.uint8 else 1
        colours.append(data[:, y, x].mean((1, 2)) / scale)
    return np.array(colours).reshape(-1, 3)


def kaggle_baselines(values, n_galaxy, *, images=None, test_images=None):
    """
    Predict as the benchmarks of the Galaxy Challenge did.

    Parameters
    ----------
    values : array-like, shape (n, n_answers)
        Labels to learn from; NaN where unknown.
    n_galaxy : int
        How many galaxies to predict.
    images, test_images : sequence, optional
        Pictures of the galaxies to learn from, and of those to predict.
        Without them the central pixel is left out.

    Returns
    -------
    answers : dict of str to `~numpy.ndarray`, shape (n_galaxy, n_answers)
        'zeros', 'ones', 'mean', the mean labels, and 'central pixel', see
        `CentralPixelBaseline`.

    Raises
    ------
    ValueError
        If there is another number of images than of galaxies.

    Examples
    --------
    >>> from galmorph.training.evaluation.baselines import kaggle_baselines
    >>> answers = kaggle_baselines([[0.5, 0.5], [1.0, 0.0]], 3)
    >>> {name: array[0].tolist() for name, array in answers.items()}
    {'zeros': [0.0, 0.0], 'ones': [1.0, 1.0], 'mean': [0.75, 0.25]}
    """
    values = np.asarray(values, float)
    shape = (n_galaxy, values.shape[1])
    answers = {
        'zeros': np.zeros(shape),
        'ones': np.ones(shape),
        'mean': np.tile(_mean(values), (n_galaxy, 1)),
    }
    if images is None or test_images is None:
        return answers
    for name, pictures, n in (('images', images, len(values)),
                              ('test_images', test_images, n_galaxy)):  # fmt: skip
        if len(pictures) != n:
            msg = f'{name} has {len(pictures)} pictures of {n} galaxies'
            raise ValueError(msg)
    baseline = CentralPixelBaseline()
    baseline.fit(central_colours(images), values)
    return answers | {'central pixel': baseline.predict(central_colours(test_images))}


def _mean(values, default=0.0):
    """Mean of the known labels; ``default`` where none is known."""
    known = np.isfinite(values)
    count = known.sum(0)
    total = np.where(known, values, 0).sum(0)
    return np.where(count > 0, total / np.maximum(count, 1), default)
