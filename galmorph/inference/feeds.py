# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Where the images of a table come from: a column, a mosaic or a survey."""

import functools

import numpy as np
from astropy import units as u

from galmorph.config import conf
from galmorph.images import open_mosaic
from galmorph.inference import catalog, fetching
from galmorph.preprocessing import _field

__all__ = ['ColumnFeed', 'MosaicFeed', 'SurveyFeed', 'make_feed', 'make_reader']


def make_feed(
    template,
    recipe,
    *,
    image=None,
    mosaic=None,
    survey=None,
    size=None,
    hdu=None,
    bands=None,
    band=None,
    unit=None,
    folder=None,
):
    """
    Find out where the images of a table come from.

    Parameters
    ----------
    template : `~astropy.table.Table`
        The table, or one like it without rows.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    image, mosaic, survey, size, hdu, bands, band, unit : optional
        As in `~galmorph.MorphologyClassifier.predict_table`.
    folder : path-like, optional
        That of the table, where images are looked for that are not in the
        current folder.

    Returns
    -------
    feed : `ColumnFeed`, `MosaicFeed` or `SurveyFeed`
        What gives the images of such tables.

    Raises
    ------
    ValueError
        If arguments contradict each other, or the table lacks a column.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph import Recipe
    >>> from galmorph.inference.feeds import make_feed
    >>> make_feed(Table({'id': [1], 'path': ['a.fits']}), Recipe()).names
    ['path']
    """
    given = {'image': image, 'mosaic': mosaic, 'survey': survey}
    given = [f'{name}=' for name, value in given.items() if value is not None]
    if len(given) > 1:
        msg = f'give {" or ".join(given)}, not both'
        raise ValueError(msg)
    if band is not None:
        if bands is not None:
            msg = 'give band= or bands=, not both'
            raise ValueError(msg)
        bands = (band,)
    if survey is not None:
        return SurveyFeed(template, recipe, survey, size=size, bands=bands)
    options = {'size': size, 'hdu': hdu, 'bands': bands, 'unit': unit}
    if mosaic is not None:
        return MosaicFeed(template, recipe, mosaic, **options)
    return ColumnFeed(template, image, folder=folder, **options)


def make_reader(hdu, bands, unit, folder=None):
    """
    Make a function from a row to an image; a bad unit is found out at once.

    Parameters
    ----------
    hdu, bands, unit : optional
        As in `~galmorph.images.read_image`.
    folder : path-like, optional
        As in `~galmorph.inference.catalog.read_row`.

    Returns
    -------
    reader : callable
        `~galmorph.inference.catalog.read_row` with these options.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.inference.feeds import make_reader
    >>> make_reader(None, ('r',), 'nmgy')((np.eye(20), None))
    <GalaxyImage 20 x 20 pixels, bands r, nmgy>
    """
    if unit is not None:
        unit = u.Unit(unit)
    return functools.partial(
        catalog.read_row, folder=folder, hdu=hdu, bands=bands, unit=unit
    )


class ColumnFeed:
    """
    Images that a column names or holds.

    Parameters
    ----------
    template : `~astropy.table.Table`
        The table, or one like it without rows.
    image : str, optional
        The column.
    size, hdu, bands, unit : optional
        As in `~galmorph.MorphologyClassifier.predict_table`.
    folder : path-like, optional
        As in `make_feed`.

    Attributes
    ----------
    names : list of str
        The columns that it needs.
    reader : callable
        From a row to a `~galmorph.images.GalaxyImage`.
    provenance : dict
        What it tells about where images come from.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import Table
    >>> from galmorph.inference.feeds import ColumnFeed
    >>> table = Table({'image': np.ones((2, 30, 30))})
    >>> feed = ColumnFeed(table)
    >>> rows, order = feed.rows(table)
    >>> [feed.reader(row).shape2d for row in rows]
    [(30, 30), (30, 30)]
    """

    def __init__(
        self,
        template,
        image=None,
        *,
        size=None,
        hdu=None,
        bands=None,
        unit=None,
        folder=None,
    ):
        self.image = catalog.image_column(template, image)
        if unit is None:
            unit = getattr(template[self.image], 'unit', None)
        self.size = size
        self.names = _names([self.image], size)
        self.reader = make_reader(hdu, bands, unit, folder)
        self.provenance = {}

    def rows(self, table):
        """
        Go through the images of a table.

        Parameters
        ----------
        table : `~astropy.table.Table`
            With the columns ``names``.

        Returns
        -------
        rows : iterator
            Arguments of ``reader``.
        order : list or None
            To which the index of each row is appended as it comes; `None`
            where they come in order.
        """
        sizes = catalog.sizes_of(table, self.size)
        return catalog.iterate_table(table, image=self.image, sizes=sizes), None


class MosaicFeed:
    """
    Images that are cut out of a mosaic.

    Parameters
    ----------
    template : `~astropy.table.Table`
        The table, or one like it without rows.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    mosaic, size, hdu, bands, unit : optional
        As in `~galmorph.MorphologyClassifier.predict_table`.

    Attributes
    ----------
    mosaic : `~galmorph.images.TiledMosaic` or `~galmorph.images.Mosaic`
        The mosaic.
    names, reader, provenance
        As of `ColumnFeed`.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy import units as u
    >>> from astropy.table import Table
    >>> from astropy.wcs import WCS
    >>> from galmorph import Recipe
    >>> from galmorph.inference.feeds import MosaicFeed
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 100,
    ...            'CRPIX2': 100, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> table = Table({'ra': [0.0], 'dec': [0.0]})
    >>> feed = MosaicFeed(
    ...     table, Recipe(), (np.ones((200, 200)), wcs), size=[1] * u.arcsec)
    >>> rows, order = feed.rows(table)
    >>> [feed.reader(row).shape2d for row in rows]
    [(25, 25)]
    """

    reader = staticmethod(catalog.read_target)

    def __init__(
        self, template, recipe, mosaic, *, size=None, hdu=None, bands=None, unit=None
    ):
        self.recipe, self.size = recipe, size
        self.names = _names(catalog.coordinate_columns(template), size)
        self.mosaic = open_mosaic(mosaic, hdu=hdu, bands=bands, unit=unit)
        self.provenance = {}

    def rows(self, table):
        """
        Cut the images of a table.

        Parameters
        ----------
        table : `~astropy.table.Table`
            With the columns ``names``.

        Returns
        -------
        rows, order
            As of `ColumnFeed.rows`.
        """
        rows = catalog.iterate_mosaic(
            self.mosaic,
            catalog.coordinates_of(table),
            self.recipe,
            sizes=catalog.sizes_of(table, self.size),
            chunk_size=conf.chunk_size,
        )
        return rows, None

    def assign(self, table):
        """
        Find the tiles that targets are cut from.

        Parameters
        ----------
        table : `~astropy.table.Table`
            With the columns ``names``.

        Returns
        -------
        tile : `~numpy.ndarray` of int32, shape (n,)
            As `~galmorph.images.TiledMosaic.assign` gives them.
        """
        coords = catalog.coordinates_of(table)
        sizes = catalog.sizes_of(table, self.size)
        half, has_size = catalog.half_widths(sizes, self.recipe, len(table))
        tile = np.full(len(table), -1, np.int32)
        for which, reached in (
            (has_size, half[has_size]),
            (~has_size, catalog.START_HALF_WIDTH),
        ):
            if which.any():
                tile[which] = self.mosaic.assign(coords[which], reached)
        return tile


class SurveyFeed:
    """
    Images that are fetched from a survey.

    Parameters
    ----------
    template : `~astropy.table.Table`
        The table, or one like it without rows.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the weights saw.
    survey, size, bands : optional
        As in `~galmorph.MorphologyClassifier.predict_table`.

    Attributes
    ----------
    source : `~galmorph.sources.ImageSource`
        The survey.
    names, reader, provenance
        As of `ColumnFeed`.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph import Recipe
    >>> from galmorph.inference.feeds import SurveyFeed
    >>> table = Table({'RA': [211.03], 'DEC': [55.24]})
    >>> SurveyFeed(table, Recipe(), 'sdss').names
    ['RA', 'DEC']
    """

    reader = staticmethod(catalog.read_target)

    def __init__(self, template, recipe, survey, *, size=None, bands=None):
        from galmorph.sources import AutoSource, create_source

        self.names = _names(catalog.coordinate_columns(template), size)
        self.recipe, self.size = recipe, size
        if isinstance(survey, str) and survey == 'auto':
            self.source = AutoSource(fetching.survey_order(recipe))
        else:
            self.source = create_source(survey)
        self.bands = bands
        if bands is None:
            self.bands = fetching.wanted_bands(self.source, recipe)

    @property
    def provenance(self):
        """Which survey it was, and to whom thanks are due."""
        return {
            'survey': self.source.archive.name,
            'attribution': self.source.attribution,
        }

    def rows(self, table):
        """
        Fetch the images of a table.

        Parameters
        ----------
        table : `~astropy.table.Table`
            With the columns ``names``.

        Returns
        -------
        rows, order
            As of `ColumnFeed.rows`: targets that share a file follow one
            another.
        """
        coords = catalog.coordinates_of(table)
        sizes = catalog.sizes_of(table, self.size)
        # The radius of a catalogue is one that 90 % of the light is in.
        reach = 0.0 if sizes is None else _field.reach(self.recipe)
        targets = self.source.targets(
            coords, radius=sizes, bands=self.bands, reach=reach
        )
        order = []
        rows = fetching.iterate_source(self.source, targets, self.recipe, order)
        return rows, order


def _names(names, size):
    return [*names, size] if isinstance(size, str) else list(names)
