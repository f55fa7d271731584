# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The archive itself: few requests, for whoever has a network."""

import pytest
from astropy import units as u
from astropy.coordinates import SkyCoord

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources import SDSS, SDSSPictures

pytestmark = pytest.mark.remote_data

# The example of the documentation of astroquery: a galaxy at z = 0.045.
COORDS = SkyCoord(['0h8m05.63s'], ['14d50m23.3s'])
OBJID = '1237652943176138868'


@pytest.mark.parametrize(('kind', 'n_band'), [(SDSS, 1), (SDSSPictures, 3)])
def test_image(tmp_path, kind, n_band):
    source = kind(cache=tmp_path)
    bands = 'r' if kind is SDSS else None
    (image,) = source.fetch(COORDS, bands=bands)
    if isinstance(image, ImageError):
        raise image
    assert image.n_band == n_band
    assert image.meta['catalogue']['objid'] == OBJID
    assert 1 * u.arcsec < image.size < 60 * u.arcsec
    x, y = (round(v) for v in image.position)
    plane = image.data[0].astype(float)
    assert plane[y - 2 : y + 3, x - 2 : x + 3].mean() > 3 * plane.mean()
    n_request = source.archive.n_requests
    source.fetch(COORDS, bands=bands)
    assert source.archive.n_requests == n_request


def test_no_match(tmp_path):
    coords = SkyCoord([266.4], [-29.0], unit='deg')
    (error,) = SDSS(cache=tmp_path, data_release=17).fetch(coords)
    assert error.flag == MorphologyFlag.NO_MATCH
