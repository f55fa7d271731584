# Licensed under a 3-clause BSD style license - see LICENSE.rst
import astropy.units as u
import pytest

from galmorph.images.headers import band_names, parse_unit, unit_from_header


class TestParseUnit:
    @pytest.mark.parametrize(
        ('text', 'unit'),
        [
            ('nanomaggies', u.nmgy),
            ('nanomaggy', u.nmgy),
            ('nmgy', u.nmgy),
            ('ELECTRONS/S', u.electron / u.s),
            ('electron / s', u.electron / u.s),
            ('Electrons/sec', u.electron / u.s),
            ('e-/s', u.electron / u.s),
            ('COUNTS/S', u.ct / u.s),
            ('counts', u.ct),
            ('cps', u.ct / u.s),
            ('DN/S', u.DN / u.s),
            ('ADU', u.adu),
            ('MJy/sr', u.MJy / u.sr),
            ('MJY/SR', u.MJy / u.sr),
            ('JY', u.Jy),
            ('10.0*nanoJansky', 10 * u.nJy),
            ("'uJy'", u.uJy),
            ('erg/s/cm2/Angstrom', u.erg / u.s / u.cm**2 / u.AA),
            ('K', u.K),
        ],
    )
    def test_spellings(self, text, unit):
        assert parse_unit(text) == unit

    @pytest.mark.parametrize('text', ['', ' ', 'unknown', 'None', 'x/y', '1'])
    def test_unknown(self, text):
        assert parse_unit(text) is None

    def test_header(self):
        assert unit_from_header({'BUNIT': 'nJy'}) == u.nJy
        assert unit_from_header({'BUNIT': 5}) is None
        assert unit_from_header({}) is None


class TestBandNames:
    @pytest.mark.parametrize(
        ('header', 'name'),
        [
            ({'FILTER': 'r'}, 'r'),
            ({'FILTER': ' f160w '}, 'F160W'),
            ({'FILTER': 'r DECam SDSS c0002 6415.0 1480.0'}, 'r'),
            ({'FILTER1': 'CLEAR1L', 'FILTER2': 'F814W'}, 'F814W'),
            ({'FILTER1': 'F606W', 'FILTER2': 'CLEAR2L'}, 'F606W'),
            ({'FILTER': 'CLEAR', 'BAND': 'i'}, 'i'),
            ({'ORIG_FLE': 'hlsp_candels_hst_acs_gn_f814w_v1.0_drz.fits'}, 'F814W'),
            ({'ORIG_FLE': 'survey_f850lp.fits', 'EXTNAME': 'CUTOUT'}, 'F850LP'),
            ({'EXTNAME': 'F160W'}, 'F160W'),
            ({'EXTNAME': 'g'}, 'g'),
        ],
    )
    def test_one_band(self, header, name):
        assert band_names(header) == (name,)

    @pytest.mark.parametrize(
        'header', [{}, {'EXTNAME': 'SCI'}, {'EXTNAME': 'ERR'}, {'FILTER': 'CLEAR'}]
    )
    def test_unknown(self, header):
        assert band_names(header) is None

    @pytest.mark.parametrize(
        'header',
        [
            {'BANDS': 'grz'},
            {'BANDS': 'g,r,z'},
            {'BANDS': 'g r z'},
            {'BAND0': 'g', 'BAND1': 'r', 'BAND2': 'z'},
            {'BAND1': 'g', 'BAND2': 'r', 'BAND3': 'z'},
        ],
    )
    def test_cube(self, header):
        assert band_names(header, 3) == ('g', 'r', 'z')

    def test_filter_does_not_name_a_cube(self):
        assert band_names({'FILTER': 'g', 'BANDS': 'gr'}, 3) is None
