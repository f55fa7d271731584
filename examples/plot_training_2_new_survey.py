# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Fine-tune to a new survey
=========================

The bundled weights know colour pictures of the SDSS. Here is a survey that they have
never seen: FITS images in one band, with a few hundred galaxies that volunteers looked
at. Half a minute of further training brings the weights over. The survey is drawn, so
that this runs anywhere; needs ``astro-galmorph[train]``.
"""

# %%
# The survey
# ----------
#
# Spheroids and disks, face-on and edge-on, with arms of any contrast, in counts, on
# 0.2 arcsec pixels.

import tempfile
from pathlib import Path

import numpy as np
from astropy.io import fits
from astropy.table import Table
from astropy.wcs import WCS
from scipy.ndimage import gaussian_filter

from galmorph import MorphologyClassifier, decode_flags, load_schema
from galmorph.inference.stamps import render_stamps
from galmorph.plotting import plot_contact_sheet, plot_predicted_against_true
from galmorph.training import finetune, read_labels
from galmorph.training.evaluation import evaluate

SIDE = 160


def draw_galaxy(disk, thin, arms, rng):
    """Draw counts, shape (SIDE, SIDE), of a galaxy with arms of some contrast."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2 + rng.normal(0, 0.5, (2, 1, 1))
    angle, winding = rng.uniform(0, np.pi), rng.choice([-1, 1]) * rng.uniform(4, 7)
    along = x * np.cos(angle) + y * np.sin(angle)
    across = (y * np.cos(angle) - x * np.sin(angle)) / thin
    radius = np.hypot(along, across) / rng.uniform(5, 7)
    light = 5 * np.exp(-2.7 * np.sqrt(radius))
    if disk:
        phase = 2 * np.arctan2(across, along) - winding * np.log(radius + 0.3)
        pattern = (1 - arms) + 3 * arms * np.exp(2 * (np.cos(phase) - 1))
        bulge = np.exp(-np.hypot(along, across * thin) / 2)
        light = 1.2 * np.exp(-radius) * pattern + bulge
    noise = rng.normal(0, 0.02, light.shape)
    return (1000 * (gaussian_filter(light, 1) + noise)).astype(np.float32)


def header_of(index):
    """A WCS: 0.2 arcsec pixels, north up and east left."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype, wcs.wcs.cdelt = ('RA---TAN', 'DEC--TAN'), (-0.2 / 3600, 0.2 / 3600)
    wcs.wcs.crpix, wcs.wcs.crval = ((SIDE + 1) / 2,) * 2, (150 + 0.02 * index, 2)
    header = wcs.to_header()
    header['TELESCOP'], header['FILTER'] = 'Drawn', 'F814W'
    return header


# %%
# The questions are those of Galaxy Zoo 2. Thirty volunteers answer each of them,
# as their fractions would have it; only those who see features are asked for more. What
# comes out are *numbers of votes*, as in the export of a Zooniverse project. Questions
# that nobody put to them are left out.

rng = np.random.default_rng(2)
n = 420
disk = rng.random(n) < 0.65
thin = np.where(disk, rng.uniform(0.12, 1, n), rng.uniform(0.5, 1, n))
arms = np.where(disk, rng.random(n), 0)
edge_on = disk / (1 + np.exp((thin - 0.3) / 0.03))
features = np.where(disk, 0.15 + 0.8 * np.maximum(arms, edge_on), 0.08)
spiral = 0.05 + 0.9 * arms

votes = Table({'id': [f'D{i:03d}' for i in range(n)]})
n_features = rng.binomial(30, features)
n_edge_on = rng.binomial(n_features, edge_on)
n_spiral = rng.binomial(n_features - n_edge_on, spiral)
votes['smooth_or_features_smooth'] = 30 - n_features
votes['smooth_or_features_features_or_disk'] = n_features
votes['smooth_or_features_star_or_artifact'] = 0
votes['edgeon_yes'] = n_edge_on
votes['edgeon_no'] = n_features - n_edge_on
votes['spiral_spiral'] = n_spiral
votes['spiral_no_spiral'] = n_features - n_edge_on - n_spiral

folder = Path(tempfile.mkdtemp())
table = votes['id',]
table['image'] = [str(folder / f'{name}.fits') for name in table['id']]
table['split'] = np.repeat(['train', 'valid', 'test'], (240, 60, 120))
for i, path in enumerate(table['image']):
    image = draw_galaxy(disk[i], thin[i], arms[i], rng)
    fits.writeto(path, image, header_of(i))
table.write(folder / 'galaxies.csv')
votes.write(folder / 'votes.csv')
votes[:3]

# %%
# Before
# ------
#
# The weights take the images as they are: the WCS gives scale and orientation, the
# size of each galaxy is measured, and counts in one band are scaled to the surface
# brightness of SDSS galaxies. Flags tell of it.

classifier = MorphologyClassifier('dieleman.gz2')
test = table[table['split'] == 'test']
before = classifier.classify_table(test)
print(decode_flags(before.flags[0]))

# %%
# What the network sees, and its most probable class:

stamps = render_stamps(list(test['image'][:20]), classifier.recipe)
figure = plot_contact_sheet(
    stamps, before.to_table('best')[:20], title='Before: the answers of dieleman.gz2'
)

# %%
# The volunteers say how far off it is. ``floor`` in the result is the error that
# thirty votes have themselves; nothing can do better.

labels = read_labels(votes, load_schema('gz2'), kind='counts')
labels = labels[table['split'] == 'test']
error_before = evaluate(before, None, labels)
error_before.to_dict()['questions']

# %%
# Fine-tuning
# -----------
#
# `~galmorph.training.finetune` writes a recipe from the card of the weights and runs
# it: the same network and pixels, a low learning rate, an average of the weights.
# ``head_only`` leaves all but the last layer alone, which is what 240 galaxies can
# teach, and quick.

result = finetune(
    'dieleman.gz2',
    folder / 'galaxies.csv',
    folder / 'votes.csv',
    id='id',
    split='split',
    kind='counts',
    head_only=True,
    name='dieleman.drawn',
    changes={'epochs': 6, 'validate_every': 16, 'card.instrument': 'Drawn'},
    output=folder / 'run',
)
result.log['step', 'train/loss', 'valid/loss']

# %%
# After
# -----

tuned = MorphologyClassifier(result.card)
after = tuned.classify_table(test)
error_after = evaluate(after, None, labels)
for name in ('smooth_or_features', 'edgeon', 'spiral'):
    print(
        f'{name:20}', error_before.questions[name], '->', error_after.questions[name],
        f'floor {error_after.extra[name]["floor"]:.3f}',
    )  # fmt: skip

# %%
# Fractions against those of the volunteers, before and after, for all test
# galaxies:

columns = ['smooth_or_features_smooth', 'edgeon_yes', 'spiral_spiral']
places = [load_schema('gz2').columns.index(name) for name in columns]
for title, predictions in (('before', before), ('after', after)):
    plot_predicted_against_true(
        predictions.probabilities.data[:, places], labels.targets[:, places],
        columns, limits=(0, 1), title=title,
    )  # fmt: skip

# %%
# What to keep in mind
# --------------------
#
# * The other questions were not taught. Their output units were left as they were, but
#   their inputs are those of another survey: mask them by
#   ``changes={'tasks.gz2.supported_questions': ['smooth_or_features', ...]}``.
# * With more galaxies, leave ``head_only`` out. All layers then learn, which takes
#   several times as long a galaxy.
# * If the questions are others, name their ``schema``; the output layer then begins
#   anew.
#
# .. code-block:: sh
#
#    galmorph finetune dieleman.gz2 galaxies.csv votes.csv --id id --split split \
#        --kind counts --head-only --set epochs=6 --output run
