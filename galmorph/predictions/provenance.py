# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What predictions came from, as metadata that every table format can store."""

import json

__all__ = ['make_meta', 'merge_provenance', 'to_printable']

# FITS keywords have at most eight characters.
_META_KEYS = {
    'version': 'GM_VERS',
    'weights': 'GM_WGHTS',
    'sha256': 'GM_SHA',
    'recipe': 'GM_RECIP',
    'device': 'GM_DEVIC',
    'precision': 'GM_PREC',
    'date': 'GM_DATE',
    'schema': 'GM_SCHEM',
    'survey': 'GM_SURVY',
    'attribution': 'GM_ATTRI',
}

_ONE_RUN = ('weights', 'sha256', 'recipe')


def make_meta(provenance, **more):
    """
    Turn provenance into table metadata that every format can store.

    Parameters
    ----------
    provenance : dict
        What the predictions came from, in types that JSON knows.
    **more
        Further entries.

    Returns
    -------
    meta : dict of str
        Flat entries for FITS keywords, ``GM_VERS``, ``GM_WGHTS``,
        ``GM_SHA``, ``GM_RECIP``, ``GM_DEVIC``, ``GM_PREC``, ``GM_DATE``,
        ``GM_SCHEM``, ``GM_SURVY`` and ``GM_ATTRI``, as far as known, and
        ``GM_PROV``, the whole as JSON. All are ASCII: FITS headers drop nested
        entries and refuse other letters.

    Raises
    ------
    TypeError
        If JSON does not know a type.

    Examples
    --------
    >>> from galmorph.predictions import make_meta
    >>> make_meta({'version': '1.0', 'tta': 8})
    {'GM_VERS': '1.0', 'GM_PROV': '{"version": "1.0", "tta": 8}'}
    """
    entries = {**provenance, **more}
    meta = {
        key: to_printable(str(entries[name]))
        for name, key in _META_KEYS.items()
        if entries.get(name) is not None
    }
    return {**meta, 'GM_PROV': json.dumps(entries)}


def merge_provenance(parts):
    """
    Merge the provenance of several runs of the same weights.

    Parameters
    ----------
    parts : sequence of dict
        The provenance of each.

    Returns
    -------
    provenance : dict
        All entries; where they differ (two devices, two days), the values
        joined by commas.

    Raises
    ------
    ValueError
        If ``weights``, ``sha256`` or ``recipe`` differ.

    Examples
    --------
    >>> from galmorph.predictions import merge_provenance
    >>> merge_provenance([{'device': 'cpu'}, {'device': 'cuda:0'}])
    {'device': 'cpu, cuda:0'}
    """
    merged = {}
    for key in dict.fromkeys(key for part in parts for key in part):
        if key in _ONE_RUN:
            values = [part.get(key) for part in parts]
        else:
            values = [part[key] for part in parts if key in part]
        distinct = [v for i, v in enumerate(values) if v not in values[:i]]
        if len(distinct) > 1 and key in _ONE_RUN:
            msg = f'parts differ in {key}, {distinct}, so they need a table each'
            raise ValueError(msg)
        merged[key] = (
            distinct[0] if len(distinct) == 1 else ', '.join(map(str, distinct))
        )
    return merged


def to_printable(text):
    r"""
    Make text one line of ASCII, which is all that FITS can store.

    Parameters
    ----------
    text : str
        Any text.

    Returns
    -------
    text : str
        The text with single spaces, and other characters as escapes.

    Examples
    --------
    >>> from galmorph.predictions.provenance import to_printable
    >>> print(to_printable('no file\n Größe.fits'))
    no file Gr\xf6\xdfe.fits
    """
    text = ' '.join(text.split())
    if text.isascii() and text.isprintable():
        return text
    return ''.join(
        c if ' ' <= c <= '~' else c.encode('unicode_escape').decode() for c in text
    )
