# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The reasons why an answer is missing or should not be trusted, as bits."""

import enum

import numpy as np

__all__ = ['FATAL', 'MorphologyFlag', 'decode_flags', 'describe_flags']


class MorphologyFlag(enum.IntFlag):
    """
    The bits of the column ``morphology_flags``.

    A row that has one of those in ``FATAL`` has no prediction: the first eight,
    and what a search for an image may end with. The others say what an answer
    rests on, or why to trust it less.

    Examples
    --------
    >>> from galmorph import MorphologyFlag
    >>> int(MorphologyFlag.EDGE | MorphologyFlag.LOW_SIGNAL)
    262656
    """

    MISSING_IMAGE = 1 << 0
    UNREADABLE_IMAGE = 1 << 1
    INVALID_IMAGE = 1 << 2
    BAD_COORDINATES = 1 << 3
    OUTSIDE_IMAGE = 1 << 4
    NO_WCS = 1 << 5
    BANDS_MISSING = 1 << 6
    NOT_PREDICTED = 1 << 7

    NONFINITE_PIXELS = 1 << 8
    EDGE = 1 << 9
    SIZE_MEASURED = 1 << 10
    SIZE_UNCERTAIN = 1 << 11
    SIZE_UNKNOWN = 1 << 12
    FRAME_ASSUMED = 1 << 13
    ORIENTATION_ASSUMED = 1 << 14
    SINGLE_BAND = 1 << 15
    FLUX_SCALED = 1 << 16
    OTHER_INSTRUMENT = 1 << 17
    LOW_SIGNAL = 1 << 18
    POINT_SOURCE = 1 << 19
    UNRESOLVED = 1 << 20
    NO_SOURCE = 1 << 21

    NO_COVERAGE = 1 << 22
    NO_MATCH = 1 << 23
    AMBIGUOUS_MATCH = 1 << 24
    ARCHIVE_ERROR = 1 << 25
    NOT_CACHED = 1 << 26


FATAL = (
    MorphologyFlag(0xFF)
    | MorphologyFlag.NO_COVERAGE
    | MorphologyFlag.NO_MATCH
    | MorphologyFlag.AMBIGUOUS_MATCH
    | MorphologyFlag.ARCHIVE_ERROR
    | MorphologyFlag.NOT_CACHED
)

_DESCRIPTIONS = {
    'MISSING_IMAGE': 'no image was given for this row',
    'UNREADABLE_IMAGE': 'the image file is missing, truncated or corrupt',
    'INVALID_IMAGE': 'the image is empty, constant, blank or of a wrong shape',
    'BAD_COORDINATES': 'the coordinates are not finite or not on the sky',
    'OUTSIDE_IMAGE': 'the target lies outside the image',
    'NO_WCS': 'the image has no celestial WCS, and the call needs one',
    'BANDS_MISSING': 'the image lacks bands that the weights need',
    'NOT_PREDICTED': 'the network gave no finite answer',
    'NONFINITE_PIXELS': 'NaN, infinite or masked pixels were filled',
    'EDGE': 'part of the field that the weights see lies outside the image',
    'SIZE_MEASURED': 'the Petrosian radius was measured on this image',
    'SIZE_UNCERTAIN': 'the measured Petrosian radius is not reliable',
    'SIZE_UNKNOWN': 'no size was given or measurable; the frame was taken',
    'FRAME_ASSUMED': 'the picture was taken to be framed as the weights ask',
    'ORIENTATION_ASSUMED': 'north up and east left were assumed',
    'SINGLE_BAND': 'one band was shown to weights that expect colour',
    'FLUX_SCALED': 'brightness was scaled to a typical galaxy of the training set',
    'OTHER_INSTRUMENT': 'the image is not from the survey of the training set',
    'LOW_SIGNAL': 'low signal to noise',
    'POINT_SOURCE': 'the target looks like a star',
    'UNRESOLVED': 'the galaxy spans too few pixels',
    'NO_SOURCE': 'no source was found at the target position',
    'NO_COVERAGE': 'the survey has no image of this position',
    'NO_MATCH': 'the catalogue of the survey has no galaxy at this position',
    'AMBIGUOUS_MATCH': 'the catalogue has several galaxies at this position',
    'ARCHIVE_ERROR': 'the archive did not answer, or not as it should',
    'NOT_CACHED': 'no image is in the cache, and the archive was not asked',
}


def describe_flags():
    """
    Say what each bit means.

    Returns
    -------
    descriptions : dict of str to (int, str)
        For each flag name, its value and its meaning.

    Examples
    --------
    >>> from galmorph.flags import describe_flags
    >>> describe_flags()['EDGE']
    (512, 'part of the field that the weights see lies outside the image')
    """
    return {flag.name: (int(flag), _DESCRIPTIONS[flag.name]) for flag in MorphologyFlag}


def decode_flags(flags):
    """
    Turn flag values into the names of their reasons.

    Parameters
    ----------
    flags : int or array-like of int
        One value, or a column such as ``table['morphology_flags']``. Masked
        entries give an empty tuple.

    Returns
    -------
    names : tuple of str or list of tuple of str
        The names, lowest bit first: one tuple for one value, else a list.

    Raises
    ------
    ValueError
        If a value is negative or has a bit that no flag has.

    Examples
    --------
    >>> from galmorph.flags import decode_flags
    >>> decode_flags(514)
    ('UNREADABLE_IMAGE', 'EDGE')
    """
    values = np.ma.asanyarray(flags)
    if values.size == np.ma.count_masked(values):
        values = np.ma.zeros(values.shape, int)
    values = np.ma.filled(values, 0)
    if values.dtype.kind not in 'iu':
        msg = f'flags must be integers, not {values.dtype}'
        raise ValueError(msg)
    known = sum(MorphologyFlag)
    # 64 bits, because the complement of known does not fit the short types
    bad = values[(values < 0) | (values.astype(np.int64) & ~known != 0)]
    if bad.size:
        msg = f'flags has the value {bad.flat[0]}, which has a bit that no flag has'
        raise ValueError(msg)
    distinct, inverse = np.unique(values, return_inverse=True)
    names = [
        tuple(flag.name for flag in MorphologyFlag if value & flag)
        for value in distinct.tolist()
    ]
    found = [names[i] for i in inverse.ravel().tolist()]
    return found[0] if values.ndim == 0 else found
