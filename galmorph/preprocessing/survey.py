# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Which survey an image is from, as far as it says so."""

__all__ = ['is_from_survey']

# What the headers of a survey call it, where that is not its name.
_ALIASES = {'sdss': ('sloan', '2.5m')}

# ORIGIN often names the software that wrote the file, so it may confirm a
# survey but not deny it.
_KEYWORDS = ('SURVEY', 'TELESCOP', 'INSTRUME')


def is_from_survey(image, survey):
    """
    Tell whether an image is from a survey.

    Parameters
    ----------
    image : `~galmorph.images.GalaxyImage`
        The image. What ``meta['survey']`` says counts first, then the
        keywords ``SURVEY``, ``TELESCOP``, ``INSTRUME`` and ``ORIGIN`` of
        ``meta['headers']``.
    survey : str
        The survey, such as 'SDSS'.

    Returns
    -------
    is_from_survey : bool or None
        None where the image does not say.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage
    >>> from galmorph.preprocessing.survey import is_from_survey
    >>> image = GalaxyImage(np.eye(20), meta={'survey': 'HST'})
    >>> is_from_survey(image, 'SDSS'), is_from_survey(image, 'HST')
    (False, True)
    """
    names = (survey.lower(), *_ALIASES.get(survey.lower(), ()))
    said = image.meta.get('survey')
    if said:
        return any(name in str(said).lower() for name in names)
    headers = image.meta.get('headers') or ()
    values = _values(headers, _KEYWORDS)
    if any(name in value for value in values + _values(headers, ('ORIGIN',))
           for name in names):  # fmt: skip
        return True
    return False if values else None


def _values(headers, keywords):
    """The values of keywords, in lower case, that are not empty."""
    values = [
        str(header.get(keyword, '')).strip().lower()
        for header in headers
        if header is not None
        for keyword in keywords
    ]
    return [value for value in values if value]
