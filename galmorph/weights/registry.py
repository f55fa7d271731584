# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The weights that can be asked for by name, and where their files are."""

from pathlib import Path

from astropy.utils.data import clear_download_cache, download_file

from galmorph.exceptions import WeightsError
from galmorph.weights._checks import did_you_mean
from galmorph.weights.card import WeightsCard
from galmorph.weights.storage import verify_weights

__all__ = ['list_weights', 'load_card', 'register_weights', 'weights_path']

_CARDS = Path(__file__).parent / 'cards'
_DATA = Path(__file__).parent / 'data'
_PKGNAME = 'galmorph'

# Files of the cards that `register_weights` added, by name.
_registered = {}


def list_weights():
    """
    List the weights that can be asked for by name.

    Returns
    -------
    list of str
        The names of the bundled weights and of those that were registered.

    Examples
    --------
    >>> from galmorph import list_weights
    >>> 'dieleman.gz2' in list_weights()
    True
    """
    return sorted(_card_paths())


def load_card(weights):
    """
    Read the card of weights.

    Parameters
    ----------
    weights : str or path-like or `WeightsCard`
        A name of `list_weights`, or the YAML file of a card. A card comes
        back as it is.

    Returns
    -------
    `WeightsCard`
        The card, checked.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If there are no such weights, or if the card is not right.

    Examples
    --------
    >>> from galmorph import load_card
    >>> load_card('dieleman.gz2').schema
    'gz2'
    >>> load_card('dielman.gz2')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.WeightsError: unknown weights 'dielman.gz2'; did you mean ...
    """
    if isinstance(weights, WeightsCard):
        return weights
    paths = _card_paths()
    if weights in paths:
        return WeightsCard.from_file(paths[weights])
    path = Path(weights)
    if path.suffix in ('.yaml', '.yml') or path.is_file():
        return WeightsCard.from_file(path)
    msg = f'unknown weights {str(weights)!r}{did_you_mean(weights, paths)}'
    raise WeightsError(msg)


def register_weights(card_path, *, overwrite=False):
    """
    Make weights of one's own available by name, in this process.

    Parameters
    ----------
    card_path : path-like
        The YAML file of the card. The weights file stands beside it, or the
        card has a URL.
    overwrite : bool, optional
        Take the place of other weights of that name.

    Returns
    -------
    `WeightsCard`
        The card, checked.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If the card is not right, or if its name is taken.

    Examples
    --------
    >>> from galmorph import register_weights
    >>> register_weights('mine.yaml')
    Traceback (most recent call last):
        ...
    galmorph.exceptions.WeightsError: weights card 'mine.yaml': no such file
    """
    path = Path(card_path).resolve()
    card = WeightsCard.from_file(card_path)
    taken = _card_paths().get(card.name, path)
    if taken != path and not overwrite:
        msg = (
            f'weights {card.name!r} exist already ({taken}); change the name in '
            f'{str(card_path)!r}, or pass overwrite=True'
        )
        raise WeightsError(msg)
    _registered[card.name] = path
    return card


def weights_path(weights):
    """
    Find the file of weights, and check its hash.

    A file that is bundled, or stands beside its card, comes first, then
    astropy's download cache, then the URL of the card. What is downloaded
    stays in the cache.

    Parameters
    ----------
    weights : str or path-like or `WeightsCard`
        As for `load_card`.

    Returns
    -------
    `~pathlib.Path`
        The file, whose size and hash are those of the card.

    Raises
    ------
    galmorph.exceptions.WeightsError
        If the file is nowhere, cannot be downloaded, or is not the one that
        the card describes.

    Examples
    --------
    >>> from galmorph.weights import weights_path
    >>> weights_path('dieleman.gz2').name
    'dieleman.gz2.safetensors'
    """
    card = load_card(weights)
    place = _local_path(card)
    if place is not None and place.exists():
        verify_weights(place, card.sha256, size=card.size)
        return place
    if card.url is None:
        where = f' at {str(place)!r}' if place is not None else ''
        msg = (
            f'the file {card.file!r} of the weights {card.name!r} is not there'
            f'{where}, and the card has no url; put it beside the card'
        )
        raise WeightsError(msg)
    path = _download(card, place)
    try:
        verify_weights(path, card.sha256, size=card.size)
    except WeightsError as error:
        clear_download_cache(card.url, pkgname=_PKGNAME, on_missing='ignore')
        msg = f'{error}; it came from {card.url} and was removed from the cache'
        raise WeightsError(msg) from error
    return path


def _card_paths():
    """Return the files of all known cards by name, the user's before ours."""
    bundled = {path.stem: path for path in _CARDS.glob('*.yaml')}
    return {**bundled, **_registered}


def _local_path(card):
    """Return where the weights file of a card is, if it is on the disk."""
    if card.source is None:
        return None
    folder = card.source.resolve().parent
    return (_DATA if folder == _CARDS else folder) / card.file


def _download(card, place):
    """Return the file from the download cache or from the URL."""
    try:
        return Path(download_file(card.url, cache=True, pkgname=_PKGNAME))
    except (OSError, ValueError) as error:
        beside = f'put it at {str(place)!r}, or ' if place is not None else ''
        msg = (
            f'the weights {card.name!r} are not on this machine and cannot be '
            f'downloaded from {card.url} ({error}). Fetch that file where there '
            f'is a network and {beside}seed the cache with '
            f'astropy.utils.data.import_file_to_cache({card.url!r}, FILE, '
            f'pkgname={_PKGNAME!r})'
        )
        raise WeightsError(msg) from error
