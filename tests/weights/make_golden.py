# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Write what weights answer for made galaxies, to notice when that changes.

    python -m tests.weights.make_golden NAME...

It writes ``tests/data/golden_NAME.ecsv``, which names the sha256 of the weights
that it is of. It is to be run, and its difference looked at, for new weights.
"""

import sys
from pathlib import Path

import numpy as np
from astropy.table import Table
from astropy.visualization import make_lupton_rgb

from galmorph import MorphologyClassifier
from tests.helpers.fits import make_wcs
from tests.helpers.galaxies import add_noise, sersic_image

__all__ = ['classify_galaxies', 'golden_path', 'make_galaxies']

# (Sersic index, axis ratio, angle) of each galaxy.
_SHAPES = ((4, 1, 0), (4, 0.6, 30), (1, 1, 0), (1, 0.5, 100), (1, 0.15, 60))


def golden_path(name):
    """Return the file of the answers of some weights."""
    return Path(__file__).parents[1] / 'data' / f'golden_{name}.ecsv'


def make_galaxies():
    """Return pictures, and three bands with a WCS and a size, of galaxies."""
    pictures, images = [], []
    for seed, (n, axis_ratio, angle) in enumerate(_SHAPES):
        light = sersic_image(
            (212, 212), r_eff=9, n=n, flux=400, axis_ratio=axis_ratio, angle=angle
        )
        bands = [add_noise(f * light, 0.01, seed=seed) for f in (0.4, 0.8, 1)]
        # North is up in the last row of FITS, in the first of a picture.
        picture = make_lupton_rgb(*(band[::-1] for band in bands[::-1]), stretch=0.5)
        pictures.append(picture)
        wcs = make_wcs((212, 212), scale=0.396)
        images.append((np.stack(bands), wcs))
    return pictures, images


def classify_galaxies(classifier):
    """Return the answers for the made galaxies, a table."""
    pictures, images = make_galaxies()
    path = [
        classifier.classify(pictures).values.data,
        classifier.classify(images, bands='gri', unit='nmgy').values.data,
    ]
    columns = np.concatenate(path).T.astype(np.float32).round(6)
    table = Table(list(columns), names=classifier.schema.columns)
    kinds = ['picture'] * len(pictures) + ['bands'] * len(images)
    table.add_column(kinds, name='kind', index=0)
    table.meta = {'weights': classifier.card.name, 'sha256': classifier.card.sha256}
    return table


def main(names):
    for name in names:
        path = golden_path(name)
        path.parent.mkdir(exist_ok=True)
        table = classify_galaxies(MorphologyClassifier(name, 'cpu'))
        table.write(path, overwrite=True)
        sys.stdout.write(f'{path}\n')


if __name__ == '__main__':
    main(sys.argv[1:])
