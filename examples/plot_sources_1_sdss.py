# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Annotate an SDSS catalogue
==========================

A table of positions is all there is. Images come from the Sloan Digital Sky Survey,
sizes from its photometric catalogue, and the answers go back into the table.

These pages are built without a network: a server on the same machine stands in
for the SDSS, and shows galaxies of the Hubble deep field at these positions. The
code is the same with the survey itself.
"""

# %%
# The catalogue
# -------------
#
# Eight galaxies of Stripe 82, whose positions come with the votes of Willett et al.
# (2013), and one position far in the south, which the survey has not seen.

import matplotlib.pyplot as plt
import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable

from galmorph import MorphologyClassifier, decode_flags
from galmorph.inference.stamps import render_stamps
from galmorph.plotting import plot_contact_sheet
from galmorph.sources import SDSS

ra = [50.20082, 49.782154, 58.139587, 44.270424, 54.564163, 48.575134, 44.726116,
      43.23171, 10.0]  # fmt: skip
dec = [0.860505, 0.9559751, 0.5588522, 1.0317079, 1.0017838, 0.9982663, 0.9596564,
       1.0294613, -60.0]  # fmt: skip
table = QTable({'name': [f'S{n}' for n in range(1, 10)], 'ra': ra, 'dec': dec})
table['ra'].unit = table['dec'].unit = u.deg

# %%
# One call
# --------
#
# ``survey='sdss'`` finds each galaxy in the catalogue of the SDSS, which tells its
# Petrosian radius and the frames that it is in, gets the frames of i, r and g, brings
# them to one grid, and classifies what it cut out.

classifier = MorphologyClassifier()
annotated = classifier.predict_table(table, survey='sdss')
annotated['morphology_probability'].info.format = '.2f'
annotated['name', 'morphology_class', 'morphology_probability', 'morphology_reason']

# %%
# Rows stay where they were. The last one has no answer, and says why:

print(decode_flags(annotated['morphology_flags'][-1]))
print(annotated['morphology_reason'][-1])

# %%
# The images
# ----------
#
# A source can be asked by itself. What it brings is a
# `~galmorph.GalaxyImage` in nanomaggies, with its WCS and the row of the catalogue,
# or the reason why there is none. Nothing is fetched twice: these images come from
# the cache on disk.

coords = SkyCoord(table['ra'], table['dec'])
source = SDSS()
images = source.fetch(coords, bands='gri')
print(f'{source.archive.n_requests} requests')
images[0]

# %%

images[0].meta['catalogue']['petroR90_r'], images[0].size, images[-1]

# %%
# The field as the telescope saw it: the scan of the survey runs along great circles,
# so that north is not up.

figure, ax = plt.subplots(
    figsize=(5.2, 4.6), subplot_kw={'projection': images[0].wcs}, layout='constrained'
)
plane = images[0].data[1]
ax.imshow(np.arcsinh(plane / 0.02), cmap='gray', origin='lower')
ax.coords.grid(color='#ffd166', alpha=0.5)
ax.coords[0].set_axislabel('Right ascension')
ax.coords[1].set_axislabel('Declination')
ax.set_title('r, nanomaggies, asinh stretch')

# %%
# What the network saw: north up, each galaxy in a frame of 8.48 of its Petrosian
# radii, in the colours of the SDSS.

found = [image for image in images if not isinstance(image, Exception)]
answered = annotated[~annotated['morphology_class'].mask]
stamps = render_stamps(found, classifier.recipe)
figure = plot_contact_sheet(
    stamps, answered, names=answered['name'], title='Frames of the SDSS'
)

# %%
# How to say where they came from
# -------------------------------
#
# The acknowledgement that the survey asks for is in the table, and what to cite in
# ``classifier.citation()``.

print(annotated.meta['GM_SURVY'], '|', annotated.meta['GM_ATTRI'][:75], '...')
print([line for line in classifier.citation().splitlines() if line.startswith('@')])

# %%
# On the command line the same is
# ``galmorph predict catalogue.ecsv --survey sdss --output annotated.ecsv``.
