# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a FITS header says about bands and units."""

import functools
import re

import astropy.units as u

__all__ = ['band_names', 'parse_unit', 'split_bands', 'unit_from_header']

# In the order tried. Words of headers that the unit parser does not know.
_UNIT_WORDS = (
    (r"[\[\]'\"]", ''),
    (r'\bnanomagg(y|ies|ys|ie)\b', 'nmgy'),
    (r'\bmagg(y|ies)\b', 'mgy'),
    (r'\bnano-?jansky?s?\b', 'nJy'),
    (r'\bmicro-?janskys?\b', 'uJy'),
    (r'\bjanskys?\b', 'Jy'),
    (r'(?<![a-z])e-?(?=\s*/|\s+s|\s*$)', 'electron'),
    (r'\belectrons?\b', 'electron'),
    (r'\b(counts?|cts)\b', 'ct'),
    (r'\bcps\b', 'ct/s'),
    (r'\bphotons?\b', 'photon'),
    (r'\badus?\b', 'adu'),
    (r'\bdns?\b', 'DN'),
    (r'\bsec(ond)?s?\b', 's'),
    (r'\bangstroms?\b', 'Angstrom'),
    (r'\bsr\b', 'sr'),
)
_UNKNOWN_UNITS = {'', 'none', 'unknown', 'n/a', 'null'}
_HST_BAND = re.compile(r'F\d{3,4}[A-Z]{1,2}\d?', re.IGNORECASE)
_NAMED_FILE = re.compile(r'(?:^|[_-])(f\d{3,4}[a-z]{1,2}\d?)(?=[_.-]|$)', re.IGNORECASE)
_SHORT_BAND = re.compile(r"[ugrizyYJHKUBVRI][s']?")
# 'gri' is three bands; 'F160W' is one, and so is 'UV'.
_SEVERAL_BANDS = re.compile(r'[ugrizyYJHK]{2,}')
_NO_FILTER = re.compile(r'CLEAR.*|N/?A|NONE|NULL|OPEN|EMPTY|', re.IGNORECASE)


@functools.lru_cache(maxsize=256)
def parse_unit(text):
    """
    Read a unit as headers spell it.

    Parameters
    ----------
    text : str
        For example ``'nanomaggies'``, ``'ELECTRONS/S'``, ``'10.0*nanoJansky'``.

    Returns
    -------
    unit : `~astropy.units.UnitBase` or None
        None where the text names no unit.

    Examples
    --------
    >>> from galmorph.images import parse_unit
    >>> parse_unit('ELECTRONS/S')
    Unit("electron / s")
    >>> parse_unit('nanomaggies')
    Unit("nmgy")
    >>> parse_unit('furlongs per candle') is None
    True
    """
    text = text.strip()
    if text.lower() in _UNKNOWN_UNITS:
        return None
    spelled = text
    for pattern, word in _UNIT_WORDS:
        spelled = re.sub(pattern, word, spelled, flags=re.IGNORECASE)
    # No image is in siemens; old headers are in capitals.
    spelled = re.sub(r'([/\s])S\b', r'\1s', spelled)
    spelled = re.sub(r'\b([MUN]?)JY\b', lambda m: _jansky(m.group(1)), spelled)
    head, *divisors = spelled.split('/')
    if len(divisors) > 1 and '(' not in spelled:
        spelled = f'{head}/({" ".join(divisors)})'
    try:
        unit = u.Unit(spelled)
    except (ValueError, TypeError):
        return None
    return None if unit == u.dimensionless_unscaled else unit


def _jansky(prefix):
    return {'M': 'MJy', 'U': 'uJy', 'N': 'nJy', '': 'Jy'}[prefix]


def unit_from_header(header):
    """
    Read the unit of the pixels from ``BUNIT``.

    Parameters
    ----------
    header : `~astropy.io.fits.Header` or dict
        A FITS header.

    Returns
    -------
    unit : `~astropy.units.UnitBase` or None
        None where ``BUNIT`` is missing or not understood.

    Examples
    --------
    >>> from galmorph.images.headers import unit_from_header
    >>> unit_from_header({'BUNIT': 'nanomaggy'})
    Unit("nmgy")
    """
    text = header.get('BUNIT')
    return parse_unit(text) if isinstance(text, str) else None


def band_names(header, n_band=1):
    """
    Read the names of the bands.

    One band is named by ``FILTER``, by whichever of ``FILTER1`` and
    ``FILTER2`` is not clear (HST ACS), by the file name in ``ORIG_FLE`` (MAST
    cutouts), by ``BAND``, or by an ``EXTNAME`` that is the name of a filter.
    The planes of a cube are named by ``BANDS`` or ``BAND0``, ``BAND1``, …
    (Legacy Surveys cutouts).

    Parameters
    ----------
    header : `~astropy.io.fits.Header` or dict
        A FITS header.
    n_band : int, optional
        The number of planes.

    Returns
    -------
    names : tuple of str or None
        None where the header does not say.

    Examples
    --------
    >>> from galmorph.images.headers import band_names
    >>> band_names({'FILTER1': 'CLEAR1L', 'FILTER2': 'F814W'})
    ('F814W',)
    >>> band_names({'BANDS': 'grz'}, n_band=3)
    ('g', 'r', 'z')
    """
    listed = str(header.get('BANDS', '')).strip()
    for names in (re.split(r'[\s,;]+', listed), listed):
        if listed and len(names) == n_band:
            return tuple(names)
    for start in (0, 1):
        names = [
            _clean(header.get(f'BAND{start + plane}', '')) for plane in range(n_band)
        ]
        if n_band > 1 and all(names):
            return tuple(names)
    name = _one_band(header) if n_band == 1 else ''
    return (name,) if name else None


def split_bands(bands, n_band=1):
    """
    Take the names of bands apart.

    Parameters
    ----------
    bands : str or sequence of str
        Names, or a string of one-letter names.
    n_band : int, optional
        The number of planes that they are for.

    Returns
    -------
    names : tuple of str
        Of one plane a string is the name, unless all of its letters are those
        of bands.

    Examples
    --------
    >>> from galmorph.images.headers import split_bands
    >>> split_bands('F160W'), split_bands('gri')
    (('F160W',), ('g', 'r', 'i'))
    """
    is_one = isinstance(bands, str) and n_band == 1
    if is_one and not _SEVERAL_BANDS.fullmatch(bands):
        return (bands,)
    return tuple(bands)


def _one_band(header):
    for keyword in ('FILTER', 'FILTER1', 'FILTER2'):
        name = _clean(header.get(keyword, ''))
        if name:
            return name
    found = _NAMED_FILE.search(str(header.get('ORIG_FLE', '')))
    if found:
        return found.group(1).upper()
    name = _clean(header.get('BAND', ''))
    if name:
        return name
    name = str(header.get('EXTNAME', '')).strip()
    if _HST_BAND.fullmatch(name):
        return name.upper()
    return name if _SHORT_BAND.fullmatch(name) else ''


def _clean(value):
    # 'r DECam SDSS c0002 6415.0 1480.0': the first word is the name
    word = next(iter(str(value).split()), '')
    if _NO_FILTER.fullmatch(word):
        return ''
    return word.upper() if _HST_BAND.fullmatch(word) else word
