# Licensed under a 3-clause BSD style license - see LICENSE.rst
import numpy as np
import pytest
from astropy.io import fits
from astropy.nddata import NDData
from astropy.wcs import WCS, DistortionLookupTable, Sip
from hypothesis import given
from hypothesis import strategies as st

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.celestial import (
    celestial_wcs,
    grid_offset,
    icrs_wcs,
    shift_wcs,
    wcs_from_header,
)
from tests.helpers.fits import make_pixels, make_wcs


class TestCelestialWCS:
    def test_plane_is_itself(self):
        wcs = make_wcs()
        assert celestial_wcs(wcs) is wcs

    @pytest.mark.parametrize('axes', [(1, 2, 0), (0, 1, 2), (2, 0, 1)])
    def test_cube(self, axes):
        cube = WCS(naxis=3)
        ctype = np.array(['RA---TAN', 'DEC--TAN', 'WAVE'])[list(axes)]
        cube.wcs.ctype = ctype.tolist()
        assert sorted(celestial_wcs(cube).wcs.ctype) == ['DEC--TAN', 'RA---TAN']

    def test_high_level_wrapper(self):
        nddata = NDData(make_pixels(), wcs=make_wcs().low_level_wcs)
        assert celestial_wcs(nddata.wcs).naxis == 2

    @pytest.mark.parametrize('ctype', [['', ''], ['WAVE', 'LINEAR'], ['X', 'Y']])
    def test_no_sky(self, ctype):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ctype
        with pytest.raises(ImageError, match='no celestial axes') as info:
            celestial_wcs(wcs)
        assert info.value.flag == MorphologyFlag.NO_WCS

    def test_singular(self):
        wcs = WCS(naxis=2)
        wcs.wcs.ctype = ['RA---TAN', 'DEC--TAN']
        wcs.wcs.cd = np.zeros((2, 2))
        with pytest.raises(ImageError, match=r'wcs cannot be used: .*singular'):
            celestial_wcs(wcs)

    def test_other_object(self):
        with pytest.raises(ImageError, match=r'must be an astropy.wcs.WCS, not str'):
            celestial_wcs('north up')


class TestHeader:
    @given(rotation=st.floats(-180, 180), flipped=st.booleans())
    def test_same_sky_as_astropy(self, rotation, flipped):
        header = make_wcs(rotation=rotation, flipped=flipped).to_header()
        wcs = wcs_from_header(header)
        expected = WCS(header)
        x, y = np.mgrid[:50:7, :40:7]
        np.testing.assert_allclose(
            wcs.pixel_to_world_values(x, y), expected.pixel_to_world_values(x, y)
        )

    def test_cube_with_history(self):
        header = make_wcs().to_header()
        header['WCSAXES'] = 3
        header['CTYPE3'] = ''
        header['DATE-OBS'] = '2010-09-09'
        for line in range(100):
            header['HISTORY'] = f'step {line}'
        assert wcs_from_header(header).naxis == 2

    def test_deprecated_keyword_gives_no_warning(self):
        header = make_wcs().to_header()
        del header['RADESYS']
        header['RADECSYS'] = 'FK5'
        assert wcs_from_header(header).wcs.radesys == 'FK5'

    def test_sip_counts_where_declared(self):
        header = make_wcs(sip=True).to_header(relax=True)
        assert wcs_from_header(header).sip is not None
        header['CTYPE1'], header['CTYPE2'] = 'RA---TAN', 'DEC--TAN'
        assert wcs_from_header(header).sip is None

    @pytest.mark.parametrize(
        'header',
        [{}, {'NAXIS': 2}, {'CTYPE1': 'LINEAR', 'CTYPE2': 'LINEAR'}, {'CTYPE1': ''}],
    )
    def test_nothing_said(self, header):
        assert wcs_from_header(fits.Header(header)) is None

    @pytest.mark.parametrize(
        'ctype', [('WAVE', 'LINEAR'), ('WAVE', 'DEC--TAN'), ('FREQ', 'STOKES')]
    )
    def test_not_the_sky(self, ctype):
        header = fits.Header({'CTYPE1': ctype[0], 'CTYPE2': ctype[1]})
        with pytest.raises(ImageError, match='WCS of the header') as info:
            wcs_from_header(header)
        assert info.value.flag == MorphologyFlag.NO_WCS

    def test_broken(self):
        header = make_wcs().to_header()
        header['PC1_1'] = header['PC2_2'] = 0.0
        header['PC1_2'] = header['PC2_1'] = 0.0
        with pytest.raises(ImageError, match='cannot be used') as info:
            wcs_from_header(header)
        assert info.value.flag == MorphologyFlag.NO_WCS

    def test_lookup_tables(self):
        wcs = make_wcs()
        table = np.full((5, 5), 0.25, np.float32)
        wcs.cpdis1 = DistortionLookupTable(table, (1, 1), (1, 1), (12, 12))
        wcs.cpdis2 = DistortionLookupTable(-table, (1, 1), (1, 1), (12, 12))
        hdulist = wcs.to_fits()
        hdulist[0].data = make_pixels()
        read = wcs_from_header(hdulist[0].header, hdulist)
        np.testing.assert_allclose(
            read.all_pix2world(9, 8, 0), wcs.all_pix2world(9, 8, 0), rtol=1e-12
        )


class TestShift:
    @pytest.mark.parametrize('sip', [False, True])
    def test_same_sky(self, sip):
        wcs = make_wcs(rotation=20, sip=sip)
        moved = shift_wcs(wcs, 7, -3)
        np.testing.assert_allclose(
            moved.all_pix2world(10, 20, 0), wcs.all_pix2world(17, 17, 0), rtol=1e-13
        )
        assert wcs.wcs.crpix[0] == 25.5

    def test_lookup_table_moves_along(self):
        wcs = make_wcs()
        table = np.arange(25, dtype=np.float32).reshape(5, 5) / 20
        wcs.cpdis1 = DistortionLookupTable(table, (1, 1), (1, 1), (12, 12))
        moved = shift_wcs(wcs, 7, 5)
        np.testing.assert_allclose(
            moved.all_pix2world(10, 12, 0), wcs.all_pix2world(17, 17, 0), rtol=1e-13
        )


class TestGridOffset:
    def test_same(self):
        assert grid_offset(make_wcs(), make_wcs(), (40, 50)) == 0

    def test_shifted(self):
        wcs = make_wcs()
        offset = grid_offset(wcs, shift_wcs(wcs, 3, 4), (40, 50))
        assert offset == pytest.approx(5)

    def test_rotated_about_the_centre(self):
        offset = grid_offset(make_wcs(), make_wcs(rotation=1), (40, 50))
        expected = 2 * np.hypot(24.5, 19.5) * np.sin(np.radians(0.5))
        assert offset == pytest.approx(expected, rel=1e-5)

    def test_other_side_of_the_sky(self):
        far = make_wcs()
        far.wcs.crval = [330.1, -2.2]
        assert grid_offset(make_wcs(), far, (40, 50)) == np.inf


def make_fk5(ra, dec, kind='TAN', **values):
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = f'RA---{kind}', f'DEC--{kind}'
    wcs.wcs.crval = ra, dec
    wcs.wcs.crpix = 500.5, -2000
    wcs.wcs.cd = np.array([[-0.8, 0.6], [0.6, 0.8]]) * 0.03 / 3600
    wcs.wcs.radesys = 'FK5'
    wcs.wcs.equinox = 2000.0
    for name, value in values.items():
        setattr(wcs.wcs, name, value)
    wcs.wcs.set()
    return wcs


class TestICRS:
    @pytest.mark.parametrize('kind', ['TAN', 'SIN', 'ARC', 'STG', 'ZEA'])
    @pytest.mark.parametrize(
        'position', [(189.2, 62.2), (53.1, -27.8), (0.001, 0.0), (359.99999, 89.0)]
    )
    @pytest.mark.parametrize('equinox', [2000.0, 1975.0])
    def test_says_the_same(self, position, kind, equinox):
        wcs = make_fk5(*position, kind, equinox=equinox)
        new = icrs_wcs(wcs)
        assert new.wcs.radesys == 'ICRS'
        x, y = np.array([0, 900, 450, 0]), np.array([0, 0, 300, 900])
        sky = wcs.pixel_to_world(x, y).icrs
        # Plain numbers, as those of ICRS.
        found = new.wcs_world2pix(sky.ra.deg, sky.dec.deg, 0)
        np.testing.assert_allclose(found, [x, y], atol=1e-3)

    @pytest.mark.parametrize(
        'values',
        [
            {'radesys': 'ICRS'},
            {'radesys': 'FK4', 'equinox': 1950.0},
            {'lonpole': 170.0},
            {'ctype': ['RA---CAR', 'DEC--CAR']},
            {'ctype': ['GLON-TAN', 'GLAT-TAN']},
        ],
    )
    def test_others_stay_as_they_are(self, values):
        wcs = make_fk5(30, 20, **values)
        assert icrs_wcs(wcs) is wcs

    def test_distortions_stay(self):
        wcs = make_fk5(30, 20)
        wcs.sip = Sip(np.zeros((3, 3)), np.ones((3, 3)), None, None, wcs.wcs.crpix)
        assert icrs_wcs(wcs) is wcs
