# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Recipes that train in seconds, and data for all recipes of the package."""

import csv

import numpy as np
from astropy.io import fits

from galmorph.networks import create_network
from galmorph.schemas import load_schema
from galmorph.training.building import pixels_of
from galmorph.training.publish import save_network
from galmorph.training.recipe import TrainingRecipe
from tests.helpers.fits import make_hdu
from tests.helpers.training import (
    make_path_fractions,
    write_ceers,
    write_efigi,
    write_gz2,
    write_kaggle,
)

__all__ = [
    'make_recipe',
    'write_candels',
    'write_clear_kaggle',
    'write_collections',
    'write_weights',
]


def make_recipe(**changes):
    """Make a recipe that trains a tiny network."""
    return TrainingRecipe.from_dict(
        {
            'name': 'small',
            'steps': 6,
            'validate_every': 2,
            'batch_size': 4,
            'ema': 0.9,
            'network': {
                'name': 'compact',
                'options': {'stem': 4, 'widths': [8], 'depths': [1]},
            },
            'tasks': {'gz2': {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}},
            'pixels': {'step': 13.0, 'output_size': 32, 'views': [0]},
            'augmentation': 'dieleman',
            **changes,
        }
    )


def write_clear_kaggle(folder, n=20, size=48):
    """Write the Galaxy Challenge with a member of each class of Zhu in turn."""
    ids = sorted(write_kaggle(folder, n, size))
    tree = load_schema('gz2')
    conditional = tree.to_conditional(make_path_fractions(n))
    clear = ((0, 15), (0, 16), (0, 17), (1, 3), (1, 4, 7))
    for row in range(n):
        for answer in clear[row % 5]:
            question = next(q for q in tree.questions if q.start <= answer < q.stop)
            others = len(question.answers) - 1
            conditional[row, question.slice] = 0.02
            conditional[row, answer] = 1 - 0.02 * others
    rows = zip(ids, tree.to_path(conditional), strict=True)
    with (folder / 'training_solutions_rev1.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['GalaxyID', *tree.source_columns])
        writer.writerows([galaxy, *path] for galaxy, path in rows)


def write_candels(folder, n=6):
    """Write CANDELS stamps in F160W, and their fractions."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(1)
    header = ['ID', *load_schema('candels5').source_columns]
    with (folder / 'labels.csv').open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for row in range(n):
            writer.writerow([f'G{row}', *rng.dirichlet(np.ones(5)).round(6)])
            y, x = np.mgrid[:84, :84] - 41.5
            light = 100 * np.exp(-np.hypot(x, y) / (3 + row)) + rng.normal(
                0, 1, x.shape
            )
            hdu = make_hdu(light.astype('f4'), kind=fits.PrimaryHDU)
            hdu.writeto(folder / f'G{row}_h.fits')


def write_collections(folder, n=20):
    """Write gz2, efigi, gz_ceers and candels_goodss side by side."""
    write_gz2(folder / 'gz2', n)
    write_efigi(folder / 'efigi')
    write_ceers(folder / 'gz_ceers')
    write_candels(folder / 'candels_goodss')
    return folder


def write_weights(folder):
    """Write weights of that recipe, as they are before any training."""
    recipe = make_recipe()
    structure = load_schema('gz2').structure
    network = create_network('compact', structure=structure, **recipe.network.options)
    return save_network(
        network,
        folder,
        'untrained',
        architecture=recipe.network.to_dict(),
        schema='gz2',
        recipe=pixels_of(recipe, 'gz2'),
    )
