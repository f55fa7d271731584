# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The rows of a table as images from an archive, fetched ahead of the network."""

import dataclasses
import functools

from astropy import units as u

from galmorph.preprocessing.prepare import measure_image
from galmorph.sources._sdss_catalogue import with_radius

__all__ = ['iterate_source', 'survey_order', 'wanted_bands']

# How often a galaxy may turn out to need a larger image, and by how much.
_MAX_TRIES = 2
_MAX_GROWTH = 4.0


def iterate_source(source, targets, recipe, rows):
    """
    Go through the images of a source, as they come.

    A galaxy whose size is not given has that of the catalogue of the source, of
    the kind that the recipe wants. Where it is not known, and turns out to need
    more than the image holds, a larger one is fetched.

    Parameters
    ----------
    source : `~galmorph.sources.ImageSource`
        Where images come from.
    targets : list of `~galmorph.sources.Target` or \
`~galmorph.exceptions.ImageError`
        What to get, as ``source.targets`` makes them.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    rows : list
        The index of each target is appended as its image is given: the order
        is that of the source, in which targets that share a file follow one
        another.

    Returns
    -------
    images : iterator
        An argument of `~galmorph.inference.catalog.read_target` for each, or
        the `~galmorph.exceptions.ImageError` that stands for it.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from galmorph import GalaxyImage, Recipe
    >>> from galmorph.inference.catalog import read_target
    >>> from galmorph.inference.fetching import iterate_source
    >>> from galmorph.sources import ImageSource
    >>> class Dark(ImageSource):
    ...     def fetch_one(self, target):
    ...         return GalaxyImage(np.zeros((32, 32)), bands='r')
    >>> source, rows = Dark(), []
    >>> targets = source.targets(SkyCoord([1, 2], [3, 4], unit='deg'))
    >>> for image in iterate_source(source, targets, Recipe(), rows):
    ...     print(read_target(image))
    <GalaxyImage 32 x 32 pixels, bands r>
    <GalaxyImage 32 x 32 pixels, bands r>
    >>> rows
    [0, 1]
    """
    for row, image in source.stream(targets):
        rows.append(row)
        if callable(image):
            image = functools.partial(_framed, source, targets[row], image, recipe)
        yield image


def _framed(source, target, fetch, recipe):
    image = fetch()
    if target.radius is not None:
        return image
    image = with_radius(image, recipe.size)
    if target.size is not None:
        return image
    for _ in range(_MAX_TRIES):
        if image.size is not None or not image.has_wcs:
            return image
        radius = recipe.radius_of(measure_image(image))
        side = recipe.frame_scale * recipe.frame_size * radius
        have = min(image.shape2d)
        if not side > have:
            return image
        # One that fills its image measures too small.
        growth = min(max(1.5 * side / have, 2.0), _MAX_GROWTH)
        size = growth * have * u.pix * image.pixel_scale
        target = dataclasses.replace(target, size=size)
        (planned,) = source.plan_safely([target])
        if isinstance(planned, Exception):
            return image
        image = with_radius(source.fetch_one(planned), recipe.size)
    return image


def wanted_bands(source, recipe):
    """
    Choose the bands that weights want, if a source has them.

    Parameters
    ----------
    source : `~galmorph.sources.ImageSource`
        The source.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.

    Returns
    -------
    bands : tuple of str or None
        The bands of the recipe, or `None` for those that the source gives by
        itself.

    Examples
    --------
    >>> from galmorph import Recipe
    >>> from galmorph.inference.fetching import wanted_bands
    >>> from galmorph.sources import create_source
    >>> wanted_bands(create_source('sdss'), Recipe())
    ('i', 'r', 'g')
    """
    return recipe.bands if set(recipe.bands) <= set(source.bands) else None


def survey_order(recipe):
    """
    Tell in which order to look for images that weights can use.

    Parameters
    ----------
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.

    Returns
    -------
    surveys : tuple of str
        Names of sources: those of the survey of the weights first.

    Examples
    --------
    >>> from galmorph import Recipe
    >>> from galmorph.inference.fetching import survey_order
    >>> survey_order(Recipe())
    ('sdss', 'candels')
    """
    return ('sdss', 'candels') if recipe.survey == 'SDSS' else ('candels', 'sdss')
