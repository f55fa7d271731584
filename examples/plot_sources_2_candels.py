# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Morphologies in CANDELS
=======================

Deep fields of the Hubble Space Telescope, by coordinates: which surveys there are,
what their pixels mean, and which answers to believe.

These pages are built without a network: a server on the same machine stands in
for MAST, and shows galaxies of the Hubble deep field at these positions, in the
formats and units of CANDELS. The code is the same with MAST itself.
"""

# %%
# Images
# ------
#
# Six galaxies of GOODS-S, and a position far away. `~galmorph.sources.CANDELS`
# asks MAST which surveys it has around each target, and takes the finest one that has
# all bands.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from galmorph import MorphologyClassifier, decode_flags
from galmorph.sources import CANDELS

coords = SkyCoord(
    [53.14703, 53.13737, 53.04661, 53.10799, 53.06568, 53.09497, 60.0],
    [-27.77005, -27.76269, -27.77220, -27.73375, -27.72039, -27.75784, -27.8],
    unit='deg',
)
source = CANDELS()
images = source.fetch(coords, size=12 * u.arcsec, bands=['F160W', 'F125W', 'F814W'])
images[0], images[-1]

# %%
# Pixels are in nJy, by PHOTFLAM and PHOTPLAM of each header, with the level of the sky
# subtracted; positions are in ICRS, where the mosaics are in FK5.

figure, axes = plt.subplots(1, 6, figsize=(10, 2), layout='constrained')
for ax, image, number in zip(axes, images, range(1, 7), strict=False):
    red, green, blue = (np.arcsinh(np.clip(band, 0, None) / 0.8) for band in image.data)
    colours = np.stack([red, green, blue], -1)
    ax.imshow(np.clip(colours / 3.0, 0, 1), origin='lower')
    ax.set_title(f'C{number}', fontsize=10)
    ax.set_axis_off()

# %%
# Answers in one band
# -------------------
#
# ``band='F160W'`` takes one band, as most of what is known of morphology at z = 2 did.

table = QTable({'name': [f'C{n}' for n in range(1, 8)], 'where': coords})
classifier = MorphologyClassifier()
annotated = classifier.predict_table(table, survey='candels', band='F160W')
annotated['morphology_probability'].info.format = '.2f'
annotated['name', 'morphology_class', 'morphology_probability', 'morphology_reason']

# %%
# What to believe
# ---------------
#
# The default weights know the SDSS: three bands, galaxies nearby. Each row says what
# its answer rests on.

for name, names in zip(
    annotated['name'], decode_flags(annotated['morphology_flags']), strict=True
):
    print(name, *names)

# %%
# In three bands fluxes are scaled, band by band, to a typical galaxy of the training
# set, so that colours keep their contrasts within a galaxy.

colour = classifier.predict_table(
    table, survey='candels', bands=['F160W', 'F125W', 'F814W']
)
for row, other in zip(annotated, colour, strict=True):
    if row['morphology_class'] is not np.ma.masked:
        print(
            f'{row["name"]}  P(smooth) {row["smooth_or_features_smooth"]:.2f} in one '
            f'band, {other["smooth_or_features_smooth"]:.2f} in three'
        )

# %%
# What MAST and CANDELS ask users to say is in the table:

print(annotated.meta['GM_ATTRI'][:160], '...')
