# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tables that should be the same."""

import numpy as np
from astropy.coordinates import SkyCoord


def assert_same_table(found, wanted, *, is_fits=False):
    """Compare columns, masks, units, descriptions, coordinates and meta."""
    assert found.colnames == wanted.colnames
    assert len(found) == len(wanted)
    for name in wanted.colnames:
        column, like = found[name], wanted[name]
        assert column.info.description == like.info.description, name
        if isinstance(like, SkyCoord):
            assert column.frame.name == like.frame.name
            assert (column.separation(like).arcsec < 1e-6).all()
            continue
        assert column.unit == like.unit, name
        mask = _mask(like)
        np.testing.assert_array_equal(_mask(column), mask, err_msg=name)
        pairs = [np.asarray(getattr(c, 'value', c))[~mask] for c in (column, like)]
        if pairs[1].dtype.kind == 'f':
            np.testing.assert_allclose(*pairs, atol=1e-6, err_msg=name)
        else:
            # FITS has bytes
            assert pairs[0].astype('U').tolist() == pairs[1].astype('U').tolist(), name
    for key in wanted.meta:
        if key not in {'GM_DATE', 'GM_PROV'} and not (is_fits and len(key) > 8):
            assert found.meta[key] == wanted.meta[key]


def _mask(column):
    mask = np.asarray(getattr(column, 'mask', False))
    return np.broadcast_to(mask, column.shape)
