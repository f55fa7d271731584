# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure weights on the Galaxy Zoo 2 galaxies of a split.

    python scripts/evaluate_gz2.py DATA [--weights NAME] [--split test]

DATA holds ``gz2/labels.csv`` (columns ``file`` and ``split``, and vote fractions
in Kaggle's columns, blank where unknown) and the pictures that it names. The
pictures go through `MorphologyClassifier.classify_table`, as a user's would.
The error is Kaggle's: one root mean square over galaxies and answers. Its
interval holds 95 % of 2,000 bootstrap samples of the galaxies.
"""

import argparse
from pathlib import Path

import numpy as np
import yaml
from astropy.table import Table

from galmorph import MorphologyClassifier

# The questions whose answers are known for every galaxy with votes.
SEVENTEEN = ('smooth_or_features', 'edgeon', 'odd', 'rounded', 'odd_feature')


def seventeen_answers(schema):
    """Indices of the answers that are known for every galaxy with votes."""
    answers = np.arange(schema.n_answers)
    return np.concatenate([answers[schema.question(q).slice] for q in SEVENTEEN])


def read_labels(data, schema, split):
    """Pictures and known path probabilities of a split."""
    table = Table.read(data / 'gz2' / 'labels.csv')
    table = table[table['split'] == split]
    columns = [
        np.ma.filled(table[c].astype(float), np.nan) for c in schema.source_columns
    ]
    target = np.stack(columns, 1)
    has_votes = np.isfinite(target).any(1)
    table['path'] = [str(data / 'gz2' / name) for name in table['file']]
    return table['path',][has_votes], target[has_votes]


def pooled(errors):
    """Root mean square of known errors, with a bootstrap interval."""
    known = np.isfinite(errors)
    rows = known.any(1)
    squares = np.where(known, errors, 0)[rows] ** 2
    sums, counts = squares.sum(1), known[rows].sum(1)
    draws = np.random.default_rng(0).integers(0, len(sums), (2000, len(sums)))
    samples = np.sqrt(sums[draws].sum(1) / counts[draws].sum(1))
    low, high = np.percentile(samples, [2.5, 97.5])
    value = np.sqrt(sums.sum() / counts.sum())
    numbers = {'value': value, 'low': low, 'high': high}
    return {k: round(float(v), 4) for k, v in numbers.items()} | {'n': len(sums)}


def measure(classifier, data, split):
    """The metrics of a model card."""
    schema = classifier.schema
    table, target = read_labels(data, schema, split)
    # Unsupported questions too: what a table masks counts here.
    path = classifier.classify_table(table).probabilities.data
    errors = path - target
    is_complete = np.isfinite(target).all(1)
    columns = seventeen_answers(schema)
    questions = {}
    for question in schema.questions:
        result = pooled(errors[:, question.slice])
        questions[question.name] = {'rmse': result.pop('value'), **result}
    return {
        'split': split,
        'n_galaxy': len(table),
        'rmse17': pooled(errors[:, columns]),
        'rmse37': pooled(errors[is_complete]),
        'questions': questions,
    }


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('data', type=Path)
    parser.add_argument('--weights')
    parser.add_argument('--split', default='test')
    parser.add_argument('--transforms', type=int, default=1)
    options = parser.parse_args()
    classifier = MorphologyClassifier(options.weights, n_transforms=options.transforms)
    metrics = measure(classifier, options.data, options.split)
    print(yaml.safe_dump(metrics, sort_keys=False))


if __name__ == '__main__':
    main()
