# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Train on your own galaxies
==========================

From a folder of pictures and a table of labels to weights that
`~galmorph.MorphologyClassifier` takes. The galaxies here are drawn, so that this runs
anywhere in a minute; with real ones, only the two tables are others. Needs
``astro-galmorph[train]``.
"""

# %%
# Galaxies and labels
# -------------------
#
# Round, elongated and cigar-shaped spheroids, edge-on disks, and spirals: the five
# classes of Zhu et al. (2019), which are the schema ``zhu5``. A frame is as wide as
# 8.5 Petrosian radii of its galaxy, as those of Galaxy Zoo 2 are.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from PIL import Image
from scipy.ndimage import gaussian_filter

from galmorph import MorphologyClassifier, load_schema
from galmorph.exceptions import LabelError
from galmorph.explain import occlusion_saliency, plot_saliency
from galmorph.inference.stamps import render_stamps
from galmorph.plotting import (
    plot_confusion_matrix,
    plot_contact_sheet,
    plot_learning_curves,
)
from galmorph.training import TrainingRecipe, fit, read_labels
from galmorph.training.data.splits import split_by_position
from galmorph.training.evaluation import evaluate

AXIS_RATIOS = {
    'completely_round': (0.85, 1.0),
    'in_between': (0.55, 0.8),
    'cigar_shaped': (0.3, 0.42),
    'edge_on': (0.1, 0.2),
    'spiral': (0.6, 1.0),
}
BLUE, RED = np.array([0.75, 0.85, 1.0]), np.array([1.0, 0.75, 0.5])


def draw_galaxy(kind, rng, side=106):
    """Draw a galaxy as 8-bit colours, shape (side, side, 3)."""
    thin, angle = rng.uniform(*AXIS_RATIOS[kind]), rng.uniform(0, np.pi)
    y, x = np.mgrid[:side, :side] - (side - 1) / 2 + rng.normal(0, 0.5, (2, 1, 1))
    along = x * np.cos(angle) + y * np.sin(angle)
    across = (y * np.cos(angle) - x * np.sin(angle)) / thin
    radius = np.hypot(along, across) / (0.05 * side * rng.uniform(0.9, 1.15))
    bulge = RED * np.exp(-np.hypot(along, across * thin) / 0.018 / side)[..., None]
    disk = BLUE * np.exp(-radius)[..., None]
    if kind == 'spiral':
        winding = rng.choice([-1, 1]) * rng.uniform(4, 7)
        phase = 2 * np.arctan2(across, along) - winding * np.log(radius + 0.3)
        arms = np.exp(2 * (np.cos(phase) - 1)) * np.minimum(1, radius / 0.8)
        light = disk * (0.4 + 2 * arms[..., None]) + 1.2 * bulge
    elif kind == 'edge_on':
        light = disk + rng.uniform(0.3, 1) * bulge
    else:
        light = RED * 3 * np.exp(-2.7 * np.sqrt(radius))[..., None]
    light = gaussian_filter(light, (1.5, 1.5, 0)) + rng.normal(0, 0.02, light.shape)
    stretched = np.arcsinh(10 * np.maximum(light, 0)) / 3.2
    return (255 * np.minimum(stretched, 1)).astype(np.uint8)


# %%
# They go to PNG files. One table lists the galaxies, the other what is known of
# them: the name of a class, or nothing, for labels need not be complete. ``id`` joins
# the two.

rng = np.random.default_rng(1)
folder = Path(tempfile.mkdtemp())
(folder / 'stamps').mkdir()
kinds = rng.choice(list(AXIS_RATIOS), 900, p=(0.2, 0.2, 0.15, 0.2, 0.25))
table = Table({'id': [f'G{i:04d}' for i in range(len(kinds))]})
table['image'] = [f'stamps/{name}.png' for name in table['id']]
table['ra'], table['dec'] = rng.uniform((150, 2), (151, 3), (len(kinds), 2)).T
for path, kind in zip(table['image'], kinds, strict=True):
    Image.fromarray(draw_galaxy(kind, rng)).save(folder / path)

figure, axes = plt.subplots(5, 8, figsize=(8, 5.2), layout='constrained')
for row, kind in zip(axes, AXIS_RATIOS, strict=True):
    row[0].set_title(kind.replace('_', ' '), fontsize=9, loc='left')
    for ax, path in zip(row, table['image'][kinds == kind], strict=False):
        ax.imshow(Image.open(folder / path))
        ax.set_axis_off()

# %%
# A tenth of the labels is missing.

labels = table['id',]
labels['zhu5'] = np.where(rng.random(len(kinds)) < 0.1, '', kinds)
labels[:4]

# %%
# Some of the galaxies are kept from the training: ``valid`` chooses the best weights,
# and ``test`` measures them once, at the end. The split is by position: galaxies
# closer than the separation, such as two catalogue entries of one galaxy, stay
# together.

coords = SkyCoord(table['ra'], table['dec'], unit='deg')
table['split'] = split_by_position(coords, (0.7, 0.15, 0.15), separation=20 * u.arcsec)
table.write(folder / 'galaxies.csv')
labels.write(folder / 'labels.csv')
{str(name): int((table['split'] == name).sum()) for name in np.unique(table['split'])}

# %%
# The recipe
# ----------
#
# A recipe says all that a training is: where the data are, what the network sees,
# how it learns, for how long. It is a YAML file for ``galmorph train``, or a mapping.
# What is left out has a default.

recipe = TrainingRecipe.from_dict(
    {
        'name': 'mine.zhu5',
        'title': 'Five classes of galaxies that were drawn',
        'tasks': {
            'zhu5': {
                'schema': 'zhu5',
                'data': {
                    'layout': 'table',
                    'table': 'galaxies.csv',
                    'labels': 'labels.csv',
                    'id': 'id',
                    'split': 'split',
                    'kind': 'classes',
                },
                'loss': 'cross_entropy',
                'sampling': 'balanced',
            }
        },
        'network': {
            'name': 'compact',
            'options': {'stem': 16, 'widths': [16, 32, 64], 'depths': [1, 1, 1]},
        },
        # The middle half of the frame in 48 pixels, seen once.
        'pixels': {'step': 4.4, 'output_size': 48, 'views': [0], 'antialias': 1.0},
        'augmentation': 'dieleman',
        'optimiser': {'name': 'adamw', 'lr': 3e-3, 'weight_decay': 0.02},
        'schedule': {'name': 'cosine', 'warmup': 20},
        'batch_size': 32,
        'epochs': 16,
        'ema': 0.98,
        'monitor': 'valid/zhu5/accuracy',
        'mode': 'max',
        'card': {'licence': 'CC0-1.0', 'instrument': 'none: they were drawn'},
    }
)
print(recipe.to_yaml())

# %%
# Wrong labels are found before the first step, all of them at once:

wrong = labels.copy()
wrong['zhu5'][5], wrong['zhu5'][17] = 'elliptical', 'Spiral'
try:
    read_labels(wrong, load_schema('zhu5'), kind='classes')
except LabelError as error:
    print(error)

# %%
# Training
# --------
#
# Pictures are decoded once, into a cache; each galaxy is turned, mirrored, scaled and
# shifted anew each time it is shown. If this is interrupted, the same call goes on, and
# ends with the same weights.

result = fit(recipe, data=folder, output=folder / 'run')
result

# %%
# The curves tell when to stop: as long as the validation gets better, more epochs
# are worth their time.

figure = plot_learning_curves(result.log, quantities=['loss', 'zhu5/accuracy'])

# %%
# How good are they?
# ------------------
#
# The card is all that a classifier needs. `~galmorph.training.evaluation.evaluate`
# compares it with labels, with 95 % intervals from bootstrap samples of the galaxies.

classifier = MorphologyClassifier(result.card)
known = read_labels(labels, classifier.schema, kind='classes')
is_test = table['split'] == 'test'
test = table[is_test]
test['image'] = [str(folder / path) for path in test['image']]
evaluation = evaluate(classifier, test, known[is_test], split='test')
evaluation.to_table()

# %%

figure = plot_confusion_matrix(evaluation.report)

# %%
# Those that went wrong are worth a look: labels are as often to blame as weights.

predictions = classifier.classify_table(test)
answers = predictions.annotate(test)
true = kinds[is_test]
most_probable = np.array(list(AXIS_RATIOS))[predictions.probabilities.argmax(1)]
doubtful = np.flatnonzero(most_probable != true)[:10]
stamps = render_stamps(list(test['image'][doubtful]), classifier.recipe)
names = [kind.replace('_', ' ') for kind in true[doubtful]]
if len(doubtful):
    plot_contact_sheet(
        stamps, answers[doubtful], names=names, title='Drawn as, and taken for'
    )

# %%
# And what an answer rests on, here for a galaxy of three kinds. Red is light without
# which the galaxy would be less of its kind.

maps = []
for kind in ('spiral', 'cigar_shaped', 'in_between'):
    path = test['image'][np.flatnonzero(true == kind)[0]]
    maps.append(occlusion_saliency(classifier, path, f'morphology_{kind}'))
figure = plot_saliency(maps)

# %%
# Using and sharing them
# ----------------------
#
# The weights and their card are two files, which go together anywhere:
# ``MorphologyClassifier('mine.zhu5.yaml')`` classifies with them, and
# `~galmorph.register_weights` gives them a name. The card holds what a reader of a
# paper wants to know, and ``fit`` has filled in what it could.

print(sorted(path.name for path in result.folder.glob('mine.zhu5.*')))
print(classifier.card.training)

# %%
# On the command line all of this is
#
# .. code-block:: sh
#
#    galmorph train mine.yaml --data galaxies --check
#    galmorph train mine.yaml --data galaxies --output run
#    galmorph evaluate run/mine.zhu5.yaml galaxies/galaxies.csv \
#        --labels galaxies/labels.csv --id id --kind classes
#    galmorph predict pictures/*.png --weights run/mine.zhu5.yaml
