# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Small data sets in the formats of the published ones."""

import csv

import numpy as np
from PIL import Image

from galmorph.schemas import load_schema
from tests.helpers.tiny import draw_stamps

__all__ = [
    'make_path_fractions',
    'make_votes',
    'write_ceers',
    'write_efigi',
    'write_gz2',
    'write_kaggle',
    'write_stripe82',
]


def make_path_fractions(n, seed=0):
    """Draw path probabilities of Galaxy Zoo 2 that keep to the tree."""
    tree = load_schema('gz2')
    conditional = np.random.default_rng(seed).random((n, tree.n_answers)) + 0.05
    for question in tree.questions:
        part = conditional[:, question.slice]
        part /= part.sum(1, keepdims=True)
    return tree.to_path(conditional)


def make_votes(schema, n, seed=1, most=30):
    """Draw numbers of votes: all who gave an answer answer what it leads to."""
    rng = np.random.default_rng(seed)
    votes = np.zeros((n, schema.n_answers), int)
    for question in schema.questions:
        asked = rng.integers(1, most, n)
        if question.parent is not None:
            asked = votes[:, question.parent]
        share = rng.dirichlet(np.ones(question.stop - question.start), n)
        votes[:, question.slice] = rng.multinomial(asked, share)
    return votes


def write_images(folder, names, size):
    folder.mkdir(parents=True)
    for name, stamp in zip(names, draw_stamps(len(names), size), strict=True):
        Image.fromarray(stamp).save(folder / name)


def write_rows(path, header, rows):
    with path.open('w', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)


def write_kaggle(folder, n=20, size=48):
    """Write the Galaxy Challenge as Kaggle gives it."""
    ids = np.random.default_rng(1).choice(900_000, n, replace=False) + 100_008
    write_images(folder / 'images_training_rev1', [f'{i}.jpg' for i in ids], size)
    header = ['GalaxyID', *load_schema('gz2').source_columns]
    rows = [[i, *path] for i, path in zip(ids, make_path_fractions(n), strict=True)]
    write_rows(folder / 'training_solutions_rev1.csv', header, rows)
    return ids


def write_gz2(folder, n=20, size=48):
    """Write Galaxy Zoo 2: all votes, some votes, a class alone, and nothing."""
    names = [f'{row}.png' for row in range(n)]
    write_images(folder / 'stamps', names, size)
    tree = load_schema('gz2')
    rows = []
    for row, path in enumerate(make_path_fractions(n)):
        values, kind = [f'{value:.9f}' for value in path], row % 4
        if kind == 1:
            for name in ('bar', 'spiral', 'bulge_prominence', 'bulge_shape',
                         'arms_winding', 'arms_number'):  # fmt: skip
                part = tree.question(name).slice
                values[part] = [''] * (part.stop - part.start)
        elif kind > 1:
            values = [''] * tree.n_answers
        zhu5 = row // 4 % 5 if kind == 2 else ''
        split = 'unlabelled' if kind == 3 else ('train', 'valid')[row % 5 == 0]
        rows.append([100 + row, f'stamps/{names[row]}', split, *values, zhu5])
    header = ['GalaxyID', 'file', 'split', *tree.source_columns, 'zhu5']
    write_rows(folder / 'labels.csv', header, rows)


def write_stripe82(folder, n=4):
    """Write Stripe 82: a fixed scale, conditional fractions of three digits."""
    ids = [8647474693043978273 + row for row in range(n)]
    write_images(folder / 'images', [f'{i}.jpg' for i in ids], 80)
    tree = load_schema('gz2')
    conditional = tree.to_conditional(make_path_fractions(n))
    columns = [f'{answer.id.replace(" ", "_")}_fraction' for answer in tree.answers]
    # The first galaxy is smooth: nobody was asked of bars.
    conditional[0, :3] = 1, 0, 0
    conditional[0, tree.question('bar').slice] = 0
    # The second is asked of its roundness, and nobody answered.
    conditional[1, tree.question('rounded').slice] = 0
    rows = [
        ['train', f'images/{i}.jpg', i, *(f'{value:.3f}' for value in values)]
        for i, values in zip(ids, conditional, strict=True)
    ]
    write_rows(folder / 'labels.csv', ['split', 'file', 'objid', *columns], rows)
    return ids


def write_ceers(folder, n=4):
    """Write Galaxy Zoo CEERS: grey stamps, numbers of votes."""
    names = [f'F200W_{row}.webp' for row in range(n)]
    folder = folder / 'images'
    folder.mkdir(parents=True)
    for name, stamp in zip(names, draw_stamps(n, 40), strict=True):
        Image.fromarray(stamp[..., 0]).save(folder / name, lossless=True)
    votes = make_votes(load_schema('gz_ceers'), n)
    columns = [f't{i}_question__answer_{i}' for i in range(39)]
    rows = [
        [f'images/{name}', 'train', *counts]
        for name, counts in zip(names, votes, strict=True)
    ]
    write_rows(folder.parent / 'votes.csv', ['file', 'split', *columns], rows)
    return votes


def write_efigi(folder, n=4):
    """Write EFIGI: attributes with intervals; the last one is undefined."""
    names = [f'PGC{row:07}' for row in range(n)]
    write_images(folder / 'images', [f'{name}.jpg' for name in names], 88)
    header = ['file', 'split', 'PGC_name']
    for name in load_schema('efigi').source_columns:
        header += [name, f'{name}_inf', f'{name}_sup']
    rows = [
        [f'images/{name}.jpg', 'train', name, -1, -2, 0, *[0.25, 0, 0.5] * 15,
         -1, -1, -1]
        for name in names
    ]  # fmt: skip
    write_rows(folder / 'attributes.csv', header, rows)
