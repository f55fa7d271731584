# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`ImageSource`: where images of given positions come from."""

import abc
import collections
import concurrent.futures
import contextlib
import dataclasses
import logging
import re
import threading
import warnings

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources.archive import Archive, end_with

__all__ = ['ImageSource', 'Target']

logger = logging.getLogger(__name__)

# Targets that a catalogue is asked for at a time.
_CHUNK = 256


@dataclasses.dataclass(frozen=True)
class Target:
    """
    A galaxy to get an image of.

    Parameters
    ----------
    ra, dec : float
        ICRS, in degrees.
    size : `~astropy.units.Quantity` or None
        The side of the image that is wanted, an angle.
    radius : `~astropy.units.Quantity` or None
        The radius of the galaxy, an angle, where it is known.
    bands : tuple of str
        The bands that are wanted.
    meta : dict
        What a catalogue knows of it.
    reach : float
        How many radii around the galaxy have to be on its image; 0 where what
        sources choose will do.

    Examples
    --------
    >>> from galmorph.sources import Target
    >>> Target(10.68458, 41.26917).coord.dec.deg
    np.float64(41.26917)
    """

    ra: float
    dec: float
    size: u.Quantity | None = None
    radius: u.Quantity | None = None
    bands: tuple = ()
    meta: dict = dataclasses.field(default_factory=dict)
    reach: float = 0.0

    @property
    def coord(self):
        """The position as a `~astropy.coordinates.SkyCoord`."""
        return SkyCoord(self.ra, self.dec, unit=u.deg)


class ImageSource(abc.ABC):
    """
    Where images of given positions come from: an archive, or a folder.

    A source of one's own defines `fetch_one`, and is made known by its name
    with `~galmorph.sources.register_source`. What it asks of its archive goes
    through ``self.archive``, which keeps, limits and repeats requests.

    Parameters
    ----------
    cache : `~galmorph.sources.cache.ImageCache` or path-like, optional
        The cache, or its folder, by default that of the settings.
    n_connections : int, optional
        Requests at a time; by default what the archive bears.
    n_retries : int, optional
        How often to try again after a failure.
    backoff : float, optional
        Seconds before the second try, twice as many before each further one.
    timeout : float, optional
        Seconds to wait for an answer.
    offline : bool, optional
        Make no request: what the cache does not have is missing.

    Attributes
    ----------
    name : str
        The name under which it is registered.
    title, url : str
        What and where it is.
    survey : str
        The name of the survey or telescope, as in
        `~galmorph.preprocessing.recipe.Recipe`.
    bands, default_bands : tuple of str
        All bands, and those that `fetch` takes where none are asked for.
    default_size : `~astropy.units.Quantity`
        The side of an image where neither that nor a radius is known.
    attribution : str
        How users acknowledge the data.
    bibtex : str
        What they cite.
    archive : `~galmorph.sources.archive.Archive`
        The way to the archive.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astropy.coordinates import SkyCoord
    >>> from galmorph import GalaxyImage
    >>> from galmorph.sources import ImageSource
    >>> class Dark(ImageSource):
    ...     bands = default_bands = ('r',)
    ...     def fetch_one(self, target):
    ...         return GalaxyImage(np.zeros((32, 32)), bands=target.bands)
    >>> Dark().fetch(SkyCoord([1, 2], [3, np.nan], unit='deg'), size=5 * u.arcsec)
    [<GalaxyImage 32 x 32 pixels, bands r>, ImageError('the coordinates (2, nan) ...')]
    """

    name = None
    title = ''
    url = ''
    survey = ''
    bands = ()
    default_bands = ()
    default_size = 30 * u.arcsec
    attribution = ''
    bibtex = ''
    n_connections = 4
    # Whether `fetch_one` makes all its requests through ``archive``, which then
    # limits them; else it is called by as many threads as there are connections.
    asks_by_archive = False

    def __init__(
        self,
        *,
        cache=None,
        n_connections=None,
        n_retries=3,
        backoff=1.0,
        timeout=60.0,
        offline=False,
    ):
        self.timeout = float(timeout)
        self.archive = Archive(
            self.name or type(self).__name__.lower(),
            cache=cache,
            n_connections=self.n_connections
            if n_connections is None
            else n_connections,
            n_retries=n_retries,
            backoff=backoff,
            offline=offline,
        )

    def __repr__(self):
        return f'<{type(self).__name__}: {self.title or self.archive.name}>'

    @abc.abstractmethod
    def fetch_one(self, target):
        """
        Get the image of one target. Called in several threads.

        Parameters
        ----------
        target : `Target`
            The target, as `plan` returned it.

        Returns
        -------
        image : `~galmorph.GalaxyImage`
            The image, its ``position`` that of the target, its ``size`` the
            radius of the galaxy where a catalogue knows it.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            With the reason, if there is none.
        """

    def plan(self, targets):
        """
        Look targets up together, before any image is asked for.

        Parameters
        ----------
        targets : list of `Target`
            Up to some hundred targets with good coordinates.

        Returns
        -------
        planned : list of `Target` or `~galmorph.exceptions.ImageError`
            The same targets, with what a catalogue knows of them, or why there
            will be no image. By default they are as they were.
        """
        return list(targets)

    def group(self, target):  # noqa: ARG002
        """
        Tell which targets share a file, so that they follow one another.

        Parameters
        ----------
        target : `Target`
            As `plan` returned it.

        Returns
        -------
        key : object
            Anything that can be sorted, the same for those that share a file.
        """
        return 0

    def covers(self, coords):
        """
        Tell where there may be an image, without asking the archive.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`, shape (n,)
            Positions.

        Returns
        -------
        is_covered : `~numpy.ndarray` of bool, shape (n,)
            False where there is certainly none.
        """
        return np.ones(len(coords), bool)

    def targets(self, coords, *, size=None, radius=None, bands=None, reach=0.0):
        """
        Make the targets of `stream`.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`, shape (n,) or ()
            Positions in any frame.
        size : `~astropy.units.Quantity`, optional
            The side of the images, an angle, one for all or one for each; NaN
            where it is unknown.
        radius : `~astropy.units.Quantity`, optional
            The radii of the galaxies, angles, likewise.
        bands : str or sequence of str, optional
            The bands, ``'gri'`` for ``('g', 'r', 'i')``.
        reach : float, optional
            How many radii around a galaxy of a known radius have to be on its
            image, at least.

        Returns
        -------
        targets : list of `Target` or `~galmorph.exceptions.ImageError`
            One a position; an error where it is no position.

        Raises
        ------
        ValueError
            If the source has no such band, or a size is no angle.
        """
        bands = self._bands(bands)
        coords = coords.icrs.reshape(-1)
        ra, dec = _filled(coords.ra.deg), _filled(coords.dec.deg)
        size = _angles(size, len(ra), 'size')
        radius = _angles(radius, len(ra), 'radius')
        good = np.isfinite(ra) & np.isfinite(dec)
        return [
            Target(
                float(ra[row]),
                float(dec[row]),
                size[row],
                radius[row],
                bands,
                reach=reach,
            )
            if good[row]
            else ImageError(
                f'the coordinates ({ra[row]:g}, {dec[row]:g}) are not on the sky',
                flag=MorphologyFlag.BAD_COORDINATES,
            )
            for row in range(len(ra))
        ]

    def fetch(self, coords, *, size=None, radius=None, bands=None, progress_bar=False):
        """
        Get images.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            Positions in any frame.
        size, radius, bands : optional
            As in `targets`. The size is by default what the radius asks for, or
            what the source knows of the galaxy.
        progress_bar : bool, optional
            Whether to show progress.

        Returns
        -------
        images : list of `~galmorph.GalaxyImage` or \
`~galmorph.exceptions.ImageError`
            One a position: the image, or the reason why there is none.

        Raises
        ------
        ValueError
            As in `targets`.
        """
        targets = self.targets(coords, size=size, radius=radius, bands=bands)
        images = [None] * len(targets)
        with _progress(len(targets), shown=progress_bar) as bar:
            for index, image in self.stream(targets):
                images[index] = _outcome(image)
                bar.update()
        return images

    def stream(self, targets, *, window=None):
        """
        Get images one after the other, some of them ahead, in flat memory.

        Parameters
        ----------
        targets : list of `Target` or `~galmorph.exceptions.ImageError`
            As `targets` makes them.
        window : int, optional
            How many images to have ahead of the one that is taken; by default
            16 a connection, so that one that is asked for again and again does
            not hold up the others.

        Yields
        ------
        index : int
            The row of the target. Targets that share a file follow one another.
        image : callable or `~galmorph.exceptions.ImageError`
            What returns the `~galmorph.GalaxyImage`, or raises the reason why
            there is none.
        """
        n = self.archive.n_connections
        window = 16 * n if window is None else window
        # A run that ends early waits for what was asked, but asks no more.
        stop = threading.Event()
        options = {
            'thread_name_prefix': 'galmorph',
            'initializer': end_with,
            'initargs': (stop,),
        }
        # Where the archive limits the requests, threads that wait for another try
        # or unpack an image leave their place to others.
        n_threads = 2 * n if self.asks_by_archive else n
        pool = concurrent.futures.ThreadPoolExecutor(n_threads, **options)
        planner = concurrent.futures.ThreadPoolExecutor(1, **options)
        ahead, running = collections.deque(), collections.deque()
        order = _along_the_sky(targets)
        chunks = (
            order[start : start + _CHUNK] for start in range(0, len(order), _CHUNK)
        )

        def plan_next():
            rows = next(chunks, None)
            return None if rows is None else planner.submit(self._plan, rows, targets)

        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            # For all threads: astroquery warns of each target without a match.
            warnings.filterwarnings('ignore', module=r'astroquery\.')
            stack.callback(pool.shutdown, cancel_futures=True)
            stack.callback(planner.shutdown, cancel_futures=True)
            stack.callback(stop.set)
            planned = plan_next()
            while planned is not None:
                rows = planned.result()
                # The next query of the catalogue goes on beside the downloads.
                planned = plan_next()
                for row, target in rows:
                    if isinstance(target, Target):
                        running.append(pool.submit(self._fetch_one, target))
                        target = running[-1].result
                    ahead.append((row, target))
                    if len(ahead) > window:
                        yield ahead.popleft()
                    while running and running[0].done():
                        running.popleft()
            while ahead:
                yield ahead.popleft()
            # Who takes them all before the first has come shall have them.
            concurrent.futures.wait(running)

    def _bands(self, bands):
        if bands is None:
            return tuple(self.default_bands)
        given = bands
        if isinstance(bands, str):
            bands = re.split(r'[\s,]+', bands.strip(' ,'))
            # 'gri' is three bands; 'F160W' is one.
            if bands[0] not in self.bands and set(bands[0]) <= set(self.bands):
                bands = [*bands[0], *bands[1:]]
        bands = tuple(bands)
        unknown = [band for band in bands if self.bands and band not in self.bands]
        if unknown or not bands or not all(bands):
            known = f'among {list(self.bands)}' if self.bands else 'names'
            msg = f'bands must be {known}, not {given!r}'
            raise ValueError(msg)
        return tuple(dict.fromkeys(bands))

    def _plan(self, rows, targets):
        """Rows of a chunk with their targets, those of one file together."""
        good = [row for row in rows if isinstance(targets[row], Target)]
        planned = self.plan_safely([targets[row] for row in good])
        pairs = list(zip(good, planned, strict=True))
        errors = [(row, targets[row]) for row in rows if row not in set(good)]
        errors += [pair for pair in pairs if not isinstance(pair[1], Target)]
        images = [pair for pair in pairs if isinstance(pair[1], Target)]
        try:
            images.sort(key=lambda pair: self.group(pair[1]))
        except Exception:
            # It costs time to read a file twice, and no row.
            logger.debug('%s: no groups', self.archive.name, exc_info=True)
        return errors + images

    def plan_safely(self, targets):
        """
        Call `plan`, and turn what goes wrong into reasons.

        Parameters
        ----------
        targets : list of `Target`
            As in `plan`.

        Returns
        -------
        planned : list of `Target` or `~galmorph.exceptions.ImageError`
            As `plan` returns them; one reason for all where it fails.
        """
        if not targets:
            return []
        try:
            planned = self.plan(targets)
            return [found for _, found in zip(targets, planned, strict=True)]
        except ImageError as error:
            return [error] * len(targets)
        except Exception as error:
            logger.debug('%s: no plan', self.archive.name, exc_info=True)
            return [_as_error(error)] * len(targets)

    def _fetch_one(self, target):
        try:
            image = self.fetch_one(target)
            # What the user knows of a galaxy comes before what a catalogue does.
            known = target.radius
            return image if known is None else image.at(image.position, known)
        except ImageError:
            raise
        except Exception as error:
            logger.debug('%s: no image', self.archive.name, exc_info=True)
            raise _as_error(error) from error


def _as_error(error):
    text = ' '.join(str(error).split())[:200]
    message = f'{type(error).__name__}: {text}'.rstrip(': ')
    return ImageError(message, flag=MorphologyFlag.ARCHIVE_ERROR)


def _outcome(image):
    try:
        return image() if callable(image) else image
    except ImageError as error:
        return error


def _along_the_sky(targets):
    """Rows in an order in which neighbours on the sky follow one another."""
    dec = np.array([getattr(target, 'dec', np.nan) for target in targets], float)
    ra = np.array([getattr(target, 'ra', np.nan) for target in targets], float)
    # Strips as wide as a field of the SDSS.
    return np.lexsort((ra, np.floor(dec / 0.2))).tolist()


def _angles(values, n, name):
    """One angle a target, `None` where it is not known."""
    if values is None:
        return [None] * n
    if isinstance(values, (list, tuple)) and hasattr(next(iter(values), 0), 'unit'):
        values = u.Quantity(values)
    unit = getattr(values, 'unit', None)
    if unit is None or not unit.is_equivalent(u.deg):
        msg = f'{name} must be an angle (Quantity), not {values!r}'
        raise ValueError(msg)
    # Of a Quantity, a masked one, or a column with a unit.
    values = _filled(getattr(values, 'value', values)) * unit.to(u.arcsec)
    if values.shape not in ((), (n,)):
        msg = f'{name} has the shape {values.shape}, for {n} positions'
        raise ValueError(msg)
    values = np.broadcast_to(values, n)
    return [v * u.arcsec if np.isfinite(v) and v > 0 else None for v in values]


def _filled(values):
    """Numbers, NaN where they are masked."""
    plain = getattr(values, 'unmasked', getattr(values, 'data', values))
    plain = np.array(plain, float)
    plain[np.broadcast_to(getattr(values, 'mask', False), plain.shape)] = np.nan
    return plain


def _progress(n_rows, *, shown):
    from tqdm.auto import tqdm

    return tqdm(total=n_rows, unit=' images', disable=not shown)
