# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The sources that can be asked for by name."""

import difflib
import importlib
import inspect
import re

from galmorph.sources.base import ImageSource

__all__ = ['create_source', 'list_sources', 'register_source']

# Modules are imported when their source is asked for: astroquery takes long.
_BUNDLED = {
    'auto': 'galmorph.sources.auto:AutoSource',
    'candels': 'galmorph.sources.candels:CANDELS',
    'hips': 'galmorph.sources.hips:HiPS',
    'hst': 'galmorph.sources.candels:HAP',
    'local': 'galmorph.sources.local:LocalImages',
    'sdss': 'galmorph.sources.sdss:SDSS',
    'sdss-jpeg': 'galmorph.sources.sdss_pictures:SDSSPictures',
}
_registered = {}


def list_sources():
    """
    List the sources that can be asked for by name.

    Returns
    -------
    names : list of str
        The names of `create_source`, bundled and registered.

    Examples
    --------
    >>> from galmorph.sources import list_sources
    >>> 'sdss' in list_sources()
    True
    """
    return sorted({*_BUNDLED, *_registered})


def register_source(name):
    """
    Make a source of one's own available by name, in this process.

    Parameters
    ----------
    name : str
        The name. One that is taken is replaced.

    Returns
    -------
    decorator : callable
        For a subclass of `~galmorph.sources.ImageSource`.

    Raises
    ------
    TypeError
        If what is decorated is no such class.
    ValueError
        If the name could not be that of a folder.

    Examples
    --------
    >>> from galmorph.sources import ImageSource, create_source, register_source
    >>> @register_source('mine')
    ... class Mine(ImageSource):
    ...     def fetch_one(self, target):
    ...         raise NotImplementedError
    >>> create_source('mine')
    <Mine: mine>
    """
    if not re.fullmatch(r'\w[\w.+-]*', name):
        msg = f'a source is named by letters, digits and any of "_.+-", not {name!r}'
        raise ValueError(msg)

    def register(kind):
        if not (isinstance(kind, type) and issubclass(kind, ImageSource)):
            msg = f'register_source decorates subclasses of ImageSource, not {kind!r}'
            raise TypeError(msg)
        kind.name = name
        _registered[name] = kind
        return kind

    return register


def create_source(name, **options):
    """
    Create a source by its name.

    Parameters
    ----------
    name : str or `~galmorph.sources.ImageSource`
        A name of `list_sources`, for 'hips' and 'local' with what they need
        behind a colon: ``'hips:CDS/P/DESI-Legacy-Surveys/DR10/color'``,
        ``'local:mosaic.fits'``. A source comes back as it is.
    **options
        What the source takes.

    Returns
    -------
    source : `~galmorph.sources.ImageSource`
        The source.

    Raises
    ------
    ValueError
        If there is no source of this name, or what it needs is not there.

    Examples
    --------
    >>> from galmorph.sources import create_source
    >>> create_source('sds')
    Traceback (most recent call last):
        ...
    ValueError: survey must be one of ['auto', ...], not 'sds'; did you mean 'sdss'?
    """
    if isinstance(name, ImageSource):
        return name
    kind, _, argument = str(name).partition(':')
    names = list_sources()
    if kind not in names:
        near = difflib.get_close_matches(kind, names, n=1)
        hint = f'; did you mean {near[0]!r}?' if near else ''
        msg = f'survey must be one of {names}, not {name!r}{hint}'
        raise ValueError(msg)
    found = _registered.get(kind)
    if found is None:
        module, _, attribute = _BUNDLED[kind].partition(':')
        found = getattr(importlib.import_module(module), attribute)
    # Only these can be written behind a colon.
    taken = [
        parameter
        for parameter in inspect.signature(found).parameters.values()
        if parameter.kind == parameter.POSITIONAL_OR_KEYWORD
    ]
    if argument and not taken:
        msg = f'{kind!r} takes nothing behind a colon: {name!r}'
        raise ValueError(msg)
    if not argument and taken and taken[0].default is inspect.Parameter.empty:
        what = taken[0].name
        if what not in options:
            msg = f'{kind!r} needs its {what}, as in {f"{kind}:{what.upper()}"!r}'
            raise ValueError(msg)
    return found(argument, **options) if argument else found(**options)
