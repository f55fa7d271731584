# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Made-up predictions that keep all constraints of their decision tree."""

import numpy as np

from galmorph.flags import MorphologyFlag
from galmorph.predictions import MorphologyPredictions
from galmorph.schemas import load_schema

PROVENANCE = {
    'version': '1.0',
    'weights': 'dieleman.gz2',
    'sha256': 'c0ffee' * 10 + 'cafe',
    'recipe': '0123abcd',
    'device': 'cpu',
    'precision': 'float32',
    'date': '2026-11-21T10:00:00',
    'transforms': {'n': 8},
}


def draw_paths(n_galaxy, *, seed=1, tree=None):
    """Draw path probabilities, shape (n_galaxy, n_answers)."""
    tree = tree or load_schema('gz2')
    rng = np.random.default_rng(seed)
    conditional = [
        rng.dirichlet(np.ones(len(question.answers)), n_galaxy)
        for question in tree.questions
    ]
    return tree.to_path(np.concatenate(conditional, axis=1))


def make_predictions(n_galaxy=5, *, broken=(1,), unsupported=(), **kwargs):
    """Draw predictions whose ``broken`` rows had an unreadable image."""
    tree = load_schema('gz2')
    path = draw_paths(n_galaxy)
    flags = np.full(n_galaxy, int(MorphologyFlag.SIZE_MEASURED))
    reasons = [''] * n_galaxy
    for row in broken:
        path[row] = np.nan
        flags[row] = MorphologyFlag.UNREADABLE_IMAGE
        reasons[row] = f'image {row} is truncated'
    return MorphologyPredictions(
        tree,
        path,
        flags=flags,
        reasons=reasons,
        supported=[q.name for q in tree.questions if q.name not in unsupported],
        **{'provenance': PROVENANCE, **kwargs},
    )
