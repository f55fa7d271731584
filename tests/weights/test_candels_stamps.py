# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From Hubble's F160W to the classes of CANDELS, by the weights of JWST."""

import numpy as np
import pytest
from astropy.table import Table

from galmorph import MorphologyClassifier, decode_flags
from tests.helpers.data import SHARED_DATA, needs_shared_data

FOLDER = SHARED_DATA / 'candels_goodss'
# Of 12; with these weights it is 11.
MIN_RIGHT = 10


@needs_shared_data
def test_stamps_of_goods_south():
    labels = Table.read(FOLDER / 'labels.csv')
    rows = {str(name): row for row, name in enumerate(labels['ID'])}
    paths = sorted((FOLDER / 'fits').glob('*_h.fits*'))
    assert len(paths) == 12
    classifier = MorphologyClassifier('compact.gz_ceers', 'cpu')
    found = classifier.classify(paths, bands='F160W')
    assert found.is_predicted.all()
    assert all('OTHER_INSTRUMENT' in names for names in decode_flags(found.flags))
    with pytest.raises(ValueError, match='strict=False'):
        found.map_to('candels5')
    mapped = found.map_to('candels5', strict=False)
    answers = mapped.probabilities.data
    np.testing.assert_allclose(answers.sum(1), 1, atol=1e-5)
    names = [path.name.split('_h.fits')[0] for path in paths]
    votes = labels[[rows[name] for name in names]]
    votes = np.array([list(row)[1:] for row in votes], float)
    # Nearly all are spheroids, and that is what most of them are taken for.
    assert (answers.argmax(1) == votes.argmax(1)).sum() >= MIN_RIGHT
    # As the guide states it.
    rmse = np.sqrt(np.mean((answers - votes) ** 2))
    assert rmse == pytest.approx(0.25, abs=0.01)
