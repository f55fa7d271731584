# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
A deep field, from pixels to a catalogue
========================================

Galaxies are found in a picture of the Hubble eXtreme Deep Field, cut out,
sized and classified. The picture is installed with scikit-image, so this
runs without a network.

The weights were trained on SDSS pictures. A Hubble picture is outside of what they
know: take the answers for what they are, and see how galmorph says so.
"""

# %%
# The field
# ---------
#
# `~galmorph.demo.load_deep_field` gives the picture as a
# `~galmorph.images.GalaxyImage` whose ``meta`` says that it is from Hubble.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u

from galmorph import MorphologyClassifier, MorphologyFlag, decode_flags
from galmorph.demo import find_galaxies, load_deep_field
from galmorph.images import Mosaic
from galmorph.inference.stamps import render_stamps
from galmorph.plotting import plot_answers, plot_contact_sheet
from galmorph.preprocessing.prepare import measure_image

field = load_deep_field()
field

# %%
# Galaxies are found with `photutils.segmentation`; any catalogue with pixel
# or sky positions would do.

galaxies = find_galaxies(field, n_galaxies=40)
galaxies['x'].info.format = galaxies['y'].info.format = '.1f'
galaxies[:5]

# %%

figure, ax = plt.subplots(figsize=(8, 7), layout='constrained')
ax.imshow(np.moveaxis(field.data, 0, -1))
radius = 1.5 * np.sqrt(galaxies['area'].value / np.pi)
x, y = galaxies['x'].value, galaxies['y'].value
for centre, r in zip(zip(x, y, strict=True), radius, strict=True):
    ax.add_patch(plt.Circle(centre, r, fill=False, ec='#ffd166'))
ax.set_axis_off()

# %%
# Sizes
# -----
#
# The network wants each galaxy in a frame that is as wide as 8.48 of its Petrosian
# radii R90. A cutout without a size is measured by itself, but a *picture* without a
# WCS is taken to be framed already. So the sizes are measured here, on generous
# cutouts, and go along with the galaxies.

mosaic = Mosaic(field)
generous = mosaic.cutouts_at(x, y, 3 * radius + 32)
sizes = [measure_image(cutout) for cutout in generous]
galaxies['petro_r90'] = [size.petro_r90 for size in sizes] * u.pix
galaxies['size_flags'] = [int(size.flags) for size in sizes]
galaxies = galaxies[np.isfinite(galaxies['petro_r90'])]

# %%
# A cutout is a view of the field, with its target at a fraction of a pixel.

images = mosaic.cutouts_at(
    galaxies['x'].value,
    galaxies['y'].value,
    half_width=4.5 * galaxies['petro_r90'].value,
    sizes=galaxies['petro_r90'],
)
images[0]

# %%
# Answers
# -------
#
# `~galmorph.MorphologyClassifier.classify` gives them as arrays, and ``annotate``
# adds them to the catalogue, which is not changed itself. The flags of the sizes
# join those of the answers in between: the classifier took the sizes as given.

classifier = MorphologyClassifier()
predictions = classifier.classify(images)
predictions.flags |= galaxies['size_flags'].astype(np.int32)
table = predictions.annotate(galaxies)
table['petro_r90'].info.format = '.1f'
table['morphology_probability'].info.format = '.2f'
table['id', 'petro_r90', 'morphology_class', 'morphology_probability'][:8]

# %%
# The contact sheet shows what the network saw. Each galaxy fills its stamp as
# much as any other, whatever its size in the field.

stamps = render_stamps(images, classifier.recipe)
figure = plot_contact_sheet(
    stamps, table, names=table['id'], title='Hubble eXtreme Deep Field'
)

# %%
# One galaxy in full, the face-on spiral at the left of the field. Bars are
# fractions of all volunteers, so that those of a question add up to the bar of the
# answer that leads to it.

distance = np.hypot(table['x'].value - 123, table['y'].value - 401)
spiral = int(np.argmin(distance))
figure = plot_answers(table[spiral], stamp=stamps[spiral])

# %%
# How far to trust this
# ---------------------
#
# Every row says that its picture is not from the survey of the training set:

is_other = (table['morphology_flags'] & MorphologyFlag.OTHER_INSTRUMENT) != 0
print(f'{is_other.sum()} of {len(table)} rows are flagged OTHER_INSTRUMENT')
print(decode_flags(table['morphology_flags'][0]))

# %%
# Galaxies that their flags do not speak against otherwise are the better part:

doubtful = (
    MorphologyFlag.EDGE
    | MorphologyFlag.LOW_SIGNAL
    | MorphologyFlag.UNRESOLVED
    | MorphologyFlag.POINT_SOURCE
)
good = table[(table['morphology_flags'] & doubtful) == 0]
print(len(good), 'galaxies are left')

# %%
# To count galaxies, add fractions up. That has no favourites among the classes,
# where counting ``morphology_class`` has.

for name in ('smooth_or_features_smooth', 'edgeon_yes', 'spiral_spiral'):
    print(f'{name:27s} {np.nansum(good[name].filled(np.nan)):5.1f}')

# %%
# The table goes to a file with its descriptions, units, masks and provenance:
# ``table.write('deep_field.ecsv')``. What it came from is in its ``meta``.

{key: table.meta[key] for key in ('GM_WGHTS', 'GM_RECIP', 'GM_PREC')}
