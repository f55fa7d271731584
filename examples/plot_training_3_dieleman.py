# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Reproduce Dieleman et al. 2015
==============================

The winning entry of Kaggle's Galaxy Challenge as an experiment that runs: its data,
its sixteen views of a galaxy, its augmentation, its loss and score. Whoever has the
pictures of the challenge repeats it with one command. Here the challenge is drawn, with
500 galaxies instead of 61,578, and the training takes a minute instead of days. Needs
``astro-galmorph[train]``.
"""

# %%
# The Galaxy Challenge, drawn
# ---------------------------
#
# The challenge gives JPEGs of 424 × 424 pixels, ``images_training_rev1/<id>.jpg``, and
# ``training_solutions_rev1.csv``, with a row a galaxy and 37 columns ``Class1.1`` to
# ``Class11.6``. Each is the fraction of volunteers who came to an answer along the
# decision tree.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from astropy.table import Table
from PIL import Image
from scipy.ndimage import gaussian_filter

from galmorph import MorphologyClassifier, Recipe, load_schema, read_image
from galmorph.explain import find_exciting, list_layers, plot_exciting
from galmorph.inference.engine import Engine
from galmorph.networks.dieleman import extract_parts
from galmorph.plotting import plot_learning_curves, plot_predicted_against_true
from galmorph.preprocessing.prepare import prepare
from galmorph.training import Augmentation, fit, load_recipe, read_layout
from galmorph.training.evaluation import evaluate
from galmorph.training.evaluation.baselines import kaggle_baselines

SIDE = 212
BLUE, RED = np.array([0.75, 0.85, 1.0]), np.array([1.0, 0.75, 0.5])
schema = load_schema('gz2')
rng = np.random.default_rng(3)


def draw_galaxy(disk, thin, arms, bulge, winding):
    """Draw a galaxy as 8-bit colours, shape (SIDE, SIDE, 3)."""
    y, x = np.mgrid[:SIDE, :SIDE] - (SIDE - 1) / 2 + rng.normal(0, 1, (2, 1, 1))
    angle, sense = rng.uniform(0, np.pi), rng.choice([-1, 1])
    along = x * np.cos(angle) + y * np.sin(angle)
    across = (y * np.cos(angle) - x * np.sin(angle)) / thin
    radius = np.hypot(along, across) / rng.uniform(9, 12)
    light = RED * 3 * np.exp(-2.7 * np.sqrt(radius))[..., None]
    if disk:
        phase = 2 * np.arctan2(across, along) - sense * winding * np.log(radius + 0.3)
        pattern = (1 - arms) + 3 * arms * np.exp(2 * (np.cos(phase) - 1))
        core = np.exp(-np.hypot(along, across * thin) / 4)
        light = BLUE * (np.exp(-radius) * pattern)[..., None]
        light += 2 * bulge * RED * core[..., None]
    light = gaussian_filter(light, (1.5, 1.5, 0)) + rng.normal(0, 0.02, light.shape)
    stretched = np.arcsinh(10 * np.maximum(light, 0)) / 3.4
    return (255 * np.minimum(stretched, 1)).astype(np.uint8)


# %%
# Forty volunteers vote on each question as the galaxy was drawn: the nearer an answer
# is to the truth, the more often it is given. ``to_path`` of the tree
# multiplies the fractions along the paths, which is what Kaggle's columns hold.


def vote(truth, answers, width):
    """Fractions of forty votes for answers that stand for numbers."""
    nearness = -0.5 * (np.subtract.outer(truth, answers) / width) ** 2
    likely = np.exp(nearness - nearness.max(1, keepdims=True))
    return rng.multinomial(40, likely / likely.sum(1, keepdims=True)) / 40


n = 500
disk = rng.random(n) < 0.6
thin = np.where(disk, rng.uniform(0.12, 1, n), rng.uniform(0.3, 1, n))
arms = np.where(disk, rng.random(n), 0)
bulge = np.where(disk, rng.random(n), 1)
winding = rng.uniform(3, 7, n)
edge_on = disk & (thin < 0.3)

conditional = np.zeros((n, schema.n_answers))
for name, truth, answers, width in (
    ('smooth_or_features', np.where(edge_on, 1, 0.3 * disk + arms), (0, 1, 5), 0.5),
    ('edgeon', np.where(disk, thin, 1), (0.15, 0.5), 0.2),
    ('bar', np.zeros(n), (1, 0), 0.4),
    ('spiral', arms, (0.8, 0), 0.4),
    ('bulge_prominence', bulge, (0, 0.3, 0.7, 1), 0.2),
    ('odd', np.zeros(n), (1, 0), 0.4),
    ('rounded', thin, (1, 0.65, 0.35), 0.2),
    ('odd_feature', np.full(n, 4.0), np.arange(7), 1),
    ('bulge_shape', bulge, (0.9, 0.5, 0), 0.2),
    ('arms_winding', winding, (3, 5, 7), 0.8),
    ('arms_number', np.full(n, 2.0), np.arange(1, 7), 0.6),
):
    conditional[:, schema.question(name).slice] = vote(truth, answers, width)

folder = Path(tempfile.mkdtemp())
images = folder / 'images_training_rev1'
images.mkdir()
solutions = Table(schema.to_path(conditional).round(6), names=schema.source_columns)
solutions.add_column(np.arange(100001, 100001 + n), 0, 'GalaxyID')
solutions.write(folder / 'training_solutions_rev1.csv')
for i, name in enumerate(solutions['GalaxyID']):
    galaxy = draw_galaxy(disk[i], thin[i], arms[i], bulge[i], winding[i])
    Image.fromarray(galaxy).resize((424, 424)).save(images / f'{name}.jpg')

data = read_layout('kaggle', folder)
data.labels['gz2']

# %%

figure, axes = plt.subplots(2, 6, figsize=(9, 3), layout='constrained')
for ax, path in zip(axes.flat, data.table['image'], strict=False):
    ax.imshow(Image.open(path))
    ax.set_axis_off()

# %%
# What the network sees
# ---------------------
#
# Each galaxy is turned, mirrored, shifted, zoomed and recoloured at random, and
# then shown in two views, 45° apart. All of it is one matrix, so that the picture is
# resampled once.

recipe = load_recipe('dieleman_2015')
pixels = Recipe(**recipe.pixels)
augmentation = Augmentation.preset(recipe.augmentation)
draws = augmentation.draw_affines(6, np.random.default_rng(4))
spiral = data.table['image'][int(np.argmax(arms * thin * disk))]
prepared = prepare(read_image(spiral), pixels, draws)
views = Engine(torch.nn.Identity(), pixels, device='cpu').render([prepared])[0]
views = views.clamp(0, 1)

figure, axes = plt.subplots(2, 6, figsize=(9, 3), layout='constrained')
for ax, view in zip(axes.T.flat, views.flatten(0, 1).numpy(), strict=True):
    ax.imshow(np.moveaxis(view, 0, -1))
    ax.set_axis_off()

# %%
# From two views and their mirror images it takes four overlapping corners each, turned
# so that the centre of the galaxy is always at the lower right. One set of filters
# sees all sixteen.

figure, axes = plt.subplots(2, 8, figsize=(9, 2.4), layout='constrained')
for ax, part in zip(axes.flat, extract_parts(views[:1])[0].numpy(), strict=True):
    ax.imshow(np.moveaxis(part, 0, -1))
    ax.set_axis_off()

# %%
# The experiment
# --------------
#
# The recipe of the package is the published one: 1.56 million updates of 16 galaxies,
# stochastic gradient descent whose rate falls twice, mean squared error of all 37
# answers, the mean of 60 transforms in the end.

print(recipe.to_yaml())

# %%
# For a minute on two cores everything gets smaller: one view, so eight parts, larger
# pixels, fewer filters and units, and a two-thousandth of the updates, which need Adam.
# All the rest stays.

small = recipe.override(
    {
        'name': 'dieleman_small',
        'pixels': {'step': 4.6, 'output_size': 45, 'views': [0]},
        'network.options': {
            'n_views': 1,
            'view_size': 45,
            'part_size': 29,
            'filters': [[4, 16], [3, 32], [3, 32], [2, 32]],
            'dense': [256, 256],
            'dropout': 0.2,
        },
        'optimiser': {'name': 'adam', 'lr': 2e-3},
        'schedule': 'cosine',
        'batch_size': 24,
        'unconstrained_steps': 120,
        'steps': 750,
        'validate_every': 75,
        'ema': 0.98,
    }
)
result = fit(small, data=folder, output=folder / 'run', evaluate=False)
figure = plot_learning_curves(result.log, quantities=['loss', 'gz2/rmse'])

# %%
# The score
# ---------
#
# The challenge was scored by the root mean square error over all galaxies and answers.
# Its organisers gave simple answers to compare with: zeros, the mean of the
# training set, the colour of the central pixels.

labels = data.labels['gz2']
is_valid = data.table['split'] == 'valid'
valid = data.table[is_valid]
baselines = kaggle_baselines(labels.values[~is_valid], len(valid))
for name, answers in baselines.items():
    score = evaluate(answers, None, labels[is_valid], schema=schema).scores['rmse37']
    print(f'{name:10} {score.value:.4f}')

# %%
# The network, as it stands, and averaged over ten rotations, three zooms and
# mirror images, as the authors did:

plain = MorphologyClassifier(result.card)
averaged = MorphologyClassifier(result.card, n_transforms=60, zooms=(1 / 1.2, 1, 1.2))
for classifier in (plain, averaged):
    evaluation = evaluate(classifier, valid, labels[is_valid])
    print(f'{classifier.n_transforms} transforms', evaluation.scores['rmse37'])

# %%

columns = ['smooth_or_features_smooth', 'edgeon_yes', 'spiral_spiral']
places = [schema.columns.index(name) for name in columns]
figure = plot_predicted_against_true(
    evaluation.answers[:, places], evaluation.labels[:, places], columns, limits=(0, 1)
)

# %%
# Galaxies that excite units of the last hidden layer most, as in figure 12 of
# the paper:

layers = list_layers(plain)
layer = layers['layer'][layers['kind'] == 'Maxout'][-1]
found = find_exciting(plain, list(valid['image']), layer, maps=4)
figure = plot_exciting(found)

# %%
# With the real data
# ------------------
#
# The folder of the challenge, as it is downloaded, is all that is needed:
#
# .. code-block:: sh
#
#    galmorph train dieleman_2015 --data galaxy_challenge --check
#    galmorph train dieleman_2015 --data galaxy_challenge --output runs/dieleman
#    galmorph train dieleman_2015_ensemble --data galaxy_challenge
#
# The first one reads everything and tells how many galaxies there are. The second
# takes some days on a GPU; it can be interrupted, and goes on where it was.
# Published are 0.0767 for the single network and 0.0747 for the mean of seventeen,
# on Kaggle's public test set.
