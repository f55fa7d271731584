# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`AutoSource`: for each position the first survey that covers it."""

import dataclasses

from astropy.coordinates import SkyCoord

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.sources.base import ImageSource
from galmorph.sources.registry import create_source

__all__ = ['AutoSource']

# Reasons to look elsewhere. What failed for a moment would come from another
# survey today, and from this one tomorrow.
_ELSEWHERE = (
    MorphologyFlag.NO_COVERAGE | MorphologyFlag.NO_MATCH | MorphologyFlag.BANDS_MISSING
)


class AutoSource(ImageSource):
    """
    For each position the first survey that covers it.

    Parameters
    ----------
    surveys : sequence of str or `~galmorph.sources.ImageSource`, optional
        The surveys, the one to be taken first in front.
    **options
        As in `~galmorph.sources.ImageSource`, for all surveys that are named.

    Examples
    --------
    >>> from galmorph.sources import AutoSource
    >>> AutoSource(['sdss'], offline=True).surveys
    [<SDSS: Sloan Digital Sky Survey, ...>]
    """

    name = 'auto'
    title = 'the first survey that covers the position'

    def __init__(self, surveys=('candels', 'sdss'), **options):
        super().__init__(**options)
        options['cache'] = self.archive.cache
        self.surveys = [create_source(survey, **options) for survey in surveys]

    @property
    def attribution(self):
        """How users acknowledge the data of all these surveys."""
        return '\n'.join(source.attribution for source in self.surveys)

    @property
    def bibtex(self):
        """What users cite, of all these surveys."""
        return '\n'.join(source.bibtex for source in self.surveys)

    def plan(self, targets):
        """Ask the survey that may cover a target; the next, if it does not."""
        planned = [None] * len(targets)
        left = list(range(len(targets)))
        for number, source in enumerate(self.surveys):
            if not left:
                break
            covered = source.covers(_positions(targets[row] for row in left))
            asked = [row for row, may in zip(left, covered, strict=True) if may]
            found = _plan(source, [targets[row] for row in asked])
            for row, target in zip(asked, found, strict=True):
                if not isinstance(target, ImageError):
                    meta = {**target.meta, 'survey': number, 'asked': targets[row]}
                    target = dataclasses.replace(target, meta=meta)
                planned[row] = target
            left = [row for row in left if _is_open(planned[row])]
        nowhere = ImageError(
            f'none of {[source.archive.name for source in self.surveys]} covers it',
            flag=MorphologyFlag.NO_COVERAGE,
        )
        return [nowhere if target is None else target for target in planned]

    def _bands(self, bands):
        bands = super()._bands(bands)
        if bands and not any(_known(source, bands) for source in self.surveys):
            known = {s.archive.name: list(s.bands) for s in self.surveys}
            msg = f'no survey has the bands {list(bands)}; they have {known}'
            raise ValueError(msg)
        return bands

    def group(self, target):
        """Survey by survey."""
        number = target.meta['survey']
        return number, self.surveys[number].group(target)

    def fetch_one(self, target):
        """Ask one survey after the other."""
        first = target.meta['survey']
        try:
            return self.surveys[first].fetch_one(target)
        except ImageError as error:
            if not _is_open(error):
                raise
            failure = error
        for source in self.surveys[first + 1 :]:
            if not source.covers(_positions([target]))[0]:
                continue
            (planned,) = _plan(source, [target.meta['asked']])
            try:
                if isinstance(planned, ImageError):
                    raise planned
                return source.fetch_one(planned)
            except ImageError as error:
                if not _is_open(error):
                    raise
        raise failure


def _is_open(target):
    """Whether another survey may still have what this one has not."""
    return target is None or bool(
        isinstance(target, ImageError) and target.flag & _ELSEWHERE
    )


def _plan(source, targets):
    """Plan targets in bands that the survey knows."""
    planned = [_for(source, target) for target in targets]
    known = [target for target in planned if not isinstance(target, ImageError)]
    found = iter(source.plan_safely(known))
    return [t if isinstance(t, ImageError) else next(found) for t in planned]


def _for(source, target):
    """The target with those of its bands that the survey knows."""
    bands = _known(source, target.bands) if target.bands else source.default_bands
    if target.bands and not bands:
        msg = f'{source.archive.name!r} has none of the bands {list(target.bands)}'
        return ImageError(msg, flag=MorphologyFlag.BANDS_MISSING)
    return dataclasses.replace(target, bands=tuple(bands))


def _known(source, bands):
    """Of some bands those that a survey has; 'gri' may be one or three."""
    if not source.bands:
        return bands
    letters = [
        band if set(band) <= set(source.bands) and band not in source.bands else [band]
        for band in bands
    ]
    return tuple(b for some in letters for b in some if b in source.bands)


def _positions(targets):
    targets = list(targets)
    return SkyCoord([t.ra for t in targets], [t.dec for t in targets], unit='deg')
