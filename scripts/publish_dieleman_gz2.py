# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Turn a finished training run into the bundled weights ``dieleman.gz2``.

    python scripts/publish_dieleman_gz2.py DATA --run runs/dieleman_gz2

Writes the weights in reduced precision and their card into the package, then
measures them, as stored, on ``valid`` (what decides) and on ``test`` (what the
card reports). It stops if the reduced precision changes a probability of the
validation galaxies by more than 0.001.
"""

import argparse
import dataclasses
import importlib
from pathlib import Path

import numpy as np
import torch
import yaml
from train_dieleman_gz2 import RECIPE, TREE, load

from galmorph import MorphologyClassifier
from galmorph.training.data.layouts import read_layout
from galmorph.training.evaluation import evaluate
from galmorph.weights import WeightsCard, save_weights

ROOT = Path(importlib.import_module('galmorph').__file__).parent / 'weights'
# A question is supported if enough training galaxies were asked it, with a path
# probability above one half, and if its error on ``valid`` is at most this part
# of that of the mean training vector.
MIN_GALAXIES = 300
MAX_ERROR = 0.8
PRECISION = {'convs.*': 'float16', 'output.*': 'float16', '*': 'int8'}
GROUP_SIZE = 64

LIMITS = [
    (
        'Trained on SDSS gri colour composites of galaxies with r < 17 and a 90 % '
        'Petrosian radius above 3 arcsec, framed 8.48 Petrosian radii wide. Other '
        'surveys, depths, redshifts and bands are outside what it knows; such '
        'rows are flagged OTHER_INSTRUMENT or FLUX_SCALED.'
    ),
    (
        'The answers reproduce raw votes of volunteers, not debiased ones: faint, '
        'small and distant galaxies look smoother than they are.'
    ),
    (
        'Rare answers (rings, lenses, arcs, dust lanes) were seen in a few dozen '
        'galaxies; their probabilities are low and badly known.'
    ),
    'Stars, artefacts and blends were rare in the training set.',
]

BIBTEX = """@article{2015MNRAS.450.1441D,
  author  = {{Dieleman}, Sander and {Willett}, Kyle W. and {Dambre}, Joni},
  title   = {Rotation-invariant convolutional neural networks for galaxy
             morphology prediction},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = 450,
  pages   = {1441--1459},
  year    = 2015,
  doi     = {10.1093/mnras/stv632}
}
@article{2013MNRAS.435.2835W,
  author  = {{Willett}, Kyle W. and others},
  title   = {Galaxy Zoo 2: detailed morphological classifications for 304 122
             galaxies from the Sloan Digital Sky Survey},
  journal = {Monthly Notices of the Royal Astronomical Society},
  volume  = 435,
  pages   = {2835--2860},
  year    = 2013,
  doi     = {10.1093/mnras/stt1458}
}"""


def count_training(data_folder):
    """Labelled training galaxies: with votes, with a class, by question asked."""
    data = load(data_folder, 'train')
    target = data['targets']
    votes = np.isfinite(target).any(1)
    asked = {}
    for question in TREE.questions:
        known = np.isfinite(target[:, question.start])
        if question.parent is not None:
            known &= np.nan_to_num(target[:, question.parent]) > 0.5
        asked[question.name] = int(known.sum())
    return int(votes.sum()), int((~votes).sum()), asked


def read_split(data_folder, split):
    """Pictures and labels of a split, where there are votes."""
    data = read_layout('gz2', data_folder)
    labels = data.labels['gz2']
    has_votes = np.isfinite(labels.values).any(1)
    rows = has_votes & (np.asarray(data.table['split']) == split)
    return data.table[rows], labels[rows]


def measure(classifier, data_folder, split):
    """The metrics of a model card."""
    table, labels = read_split(data_folder, split)
    return evaluate(classifier, table, labels, split=split).to_dict()


def largest_change(stored, exact, data_folder):
    """Largest difference that the storage makes to any probability."""
    table, _ = read_split(data_folder, 'valid')
    classifier = MorphologyClassifier(stored)
    before = classifier.classify_table(table).probabilities.data
    classifier.engine.network.load_state_dict(exact)
    after = classifier.classify_table(table).probabilities.data
    return float(np.abs(before - after).max())


def choose_questions(asked, valid, data_folder):
    """The questions that can be answered, by the rule above."""
    mean = np.nanmean(read_split(data_folder, 'train')[1].values, 0)
    labels = read_split(data_folder, 'valid')[1]
    mean = evaluate(np.tile(mean, (len(labels), 1)), None, labels, schema=TREE)
    supported = []
    for question in TREE.questions:
        baseline = mean.questions[question.name].value
        ratio = valid['questions'][question.name]['rmse'] / baseline
        n_asked = asked[question.name]
        print(f'{question.name:20} asked {n_asked:5d}, error / mean {ratio:.2f}')
        if n_asked >= MIN_GALAXIES and ratio <= MAX_ERROR:
            supported.append(question.name)
    return supported


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('data', type=Path)
    parser.add_argument('--run', type=Path, default=Path('runs/dieleman_gz2'))
    parser.add_argument('--no-test', action='store_true', help='leave test untouched')
    options = parser.parse_args()
    checkpoint = torch.load(options.run / 'checkpoint.pt', weights_only=True)
    exact = checkpoint['average']
    n_votes, n_classes, asked = count_training(options.data)
    path = ROOT / 'data' / 'dieleman.gz2.safetensors'
    sha256 = save_weights(exact, path, precision=PRECISION, group_size=GROUP_SIZE)
    card = WeightsCard(
        name='dieleman.gz2',
        title='Rotation-invariant network of Dieleman et al. for Galaxy Zoo 2',
        description=(
            'The network that won the Galaxy Challenge, trained from scratch on '
            'the part of its data that is at hand: vote fractions of 17 of the 37 '
            'answers for most galaxies, of all 37 for some, and for the others '
            'the class of Zhu et al. (2019), which bounds the fractions that it '
            'was cut from.'
        ),
        version='1',
        licence='BSD-3-Clause',
        instrument='SDSS',
        network={'name': 'dieleman', 'options': {}},
        schema='gz2',
        recipe=RECIPE.to_dict(),
        file=path.name,
        size=path.stat().st_size,
        sha256=sha256,
        training={
            'data': 'Galaxy Zoo 2 (Kaggle Galaxy Challenge frames, SDSS DR7 gri) and '
            'Galaxy Zoo 2 Stripe 82 coadds; images: SDSS, public',
            'n_votes': n_votes,
            'n_classes': n_classes,
            'n_asked': asked,
            'steps': checkpoint['step'],
            'batch': '30 to 34 galaxies with votes, 18 to 10 with a class',
            'optimiser': 'Adam, 3e-4, two cosine cycles; averaged weights',
            'script': 'scripts/train_dieleman_gz2.py',
        },
        metrics={},
        supported_questions=list(asked),
        limits=LIMITS,
        paper={
            'authors': 'Dieleman, Willett & Dambre',
            'title': 'Rotation-invariant convolutional neural networks for galaxy '
            'morphology prediction',
            'journal': 'MNRAS 450, 1441',
            'year': 2015,
            'doi': '10.1093/mnras/stv632',
            'bibcode': '2015MNRAS.450.1441D',
            'bibtex': BIBTEX,
        },
    )
    target = ROOT / 'cards' / 'dieleman.gz2.yaml'
    card.to_file(target)
    change = largest_change(target, exact, options.data)
    print(f'stored in {path.stat().st_size / 1e6:.1f} MB; largest change {change:.2e}')
    if change > 1e-3:
        msg = 'the storage changes a probability by more than 0.001'
        raise SystemExit(msg)
    valid = measure(MorphologyClassifier(target), options.data, 'valid')
    print(yaml.safe_dump(valid, sort_keys=False))
    supported = choose_questions(asked, valid, options.data)
    card = dataclasses.replace(card, metrics=valid, supported_questions=supported)
    card.to_file(target)
    if not options.no_test:
        metrics = measure(MorphologyClassifier(target), options.data, 'test')
        turned = MorphologyClassifier(target, n_transforms=8)
        turned = measure(turned, options.data, 'test')
        for name in ('rmse17', 'rmse37'):
            metrics[f'{name}_8_transforms'] = turned[name]
        dataclasses.replace(card, metrics=metrics).to_file(target)
        print(yaml.safe_dump(metrics, sort_keys=False))


if __name__ == '__main__':
    main()
