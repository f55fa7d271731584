# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`MorphologyClassifier`, the face of the package."""

import datetime as dt
import functools
import itertools
import os

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import QTable, Table

from galmorph.config import conf
from galmorph.exceptions import ImageError, WeightsError
from galmorph.flags import MorphologyFlag
from galmorph.images import is_single_image
from galmorph.inference.catalog import sizes_of
from galmorph.inference.feeds import make_feed, make_reader
from galmorph.predictions import make_predictions
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.tables import open_tables
from galmorph.weights import load_card

__all__ = ['MorphologyClassifier']

# What is made at first use.
_LOADED = ('cards', 'schema', 'recipe', 'engine')


class MorphologyClassifier:
    """
    Classify the morphology of galaxies.

    The weights bring all that they need with them: the network, the
    questions that it answers, and how it wants its pixels. Images are cut,
    turned, scaled and coloured accordingly, whatever they came as.

    Parameters
    ----------
    weights : str, `~pathlib.Path` or list of them, optional
        A name of `~galmorph.list_weights`, or the path of a card. The
        default is ``galmorph.conf.default_weights``. Several weights that
        answer the same questions answer as one, by their mean, each from the
        pixels that it wants; what only some of them support is left out.
    device : str, optional
        'auto', 'cpu', 'cuda', 'cuda:1', 'mps'. 'auto' takes a GPU if there is
        one.
    precision : str, optional
        'float32', 'bf16' or, on a GPU, 'fp16'.
    batch_size : int, optional
        Pictures of galaxies that go through the network at a time. It is
        halved, and stays so, if memory runs out.
    n_transforms : int, optional
        Over how many rotations, mirror images and zooms of each galaxy to
        average. With more than one, and from weights that know how sure they
        are, the answers come with a standard deviation.
    zooms : sequence of float, optional
        Sizes at which each galaxy is shown, 1 as the weights ask; their
        number divides ``n_transforms``. The 60 views of Dieleman et al.
        (2015) are ``n_transforms=60, zooms=(1 / 1.2, 1, 1.2)``.
    n_workers : int, optional
        Threads that read and prepare images.

    Raises
    ------
    `~galmorph.exceptions.WeightsError`
        At first use, if the weights are unknown or damaged.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyClassifier
    >>> classifier = MorphologyClassifier(device='cpu')
    >>> y, x = np.mgrid[:128, :128] - 63.5
    >>> disk = np.exp(-np.hypot(x, 2 * y) / 12)
    >>> table = classifier.predict(disk[..., None] * [1, 0.8, 0.6])
    >>> len(table), 'smooth_or_features_smooth' in table.colnames
    (1, True)
    """

    def __init__(
        self,
        weights=None,
        device=None,
        *,
        precision=None,
        batch_size=None,
        n_transforms=1,
        zooms=(1.0,),
        n_workers=None,
    ):
        self.weights = conf.default_weights if weights is None else weights
        self.device = conf.device if device is None else device
        self.precision = conf.precision if precision is None else precision
        self.batch_size = conf.batch_size if batch_size is None else batch_size
        self.n_transforms = n_transforms
        self.zooms = tuple(zooms)
        self.n_workers = min(4, os.cpu_count() or 1) if n_workers is None else n_workers
        self._surveys = {}

    def __repr__(self):
        return (
            f'MorphologyClassifier({str(self.weights)!r}, {str(self.device)!r}, '
            f'precision={self.precision!r}, batch_size={self.batch_size}, '
            f'n_transforms={self.n_transforms})'
        )

    def __getstate__(self):
        # Other processes load the network themselves.
        return {k: v for k, v in vars(self).items() if k not in _LOADED}

    @functools.cached_property
    def cards(self):
        """The `~galmorph.weights.WeightsCard` of each of the weights."""
        is_one = not isinstance(self.weights, (list, tuple))
        cards = [load_card(w) for w in ([self.weights] if is_one else self.weights)]
        if not cards:
            msg = 'weights must name at least one of galmorph.list_weights(), not []'
            raise WeightsError(msg)
        for card in cards[1:]:
            if card.schema != cards[0].schema:
                msg = (
                    f'the weights {cards[0].name!r} answer {cards[0].schema!r} and '
                    f'{card.name!r} {card.schema!r}; an ensemble has one schema'
                )
                raise WeightsError(msg)
        return cards

    @property
    def card(self):
        """The `~galmorph.weights.WeightsCard` of the (first) weights."""
        return self.cards[0]

    @functools.cached_property
    def schema(self):
        """
        What the weights answer.

        A `~galmorph.schemas.DecisionTree`, or for attributes an
        `~galmorph.schemas.AttributeSchema`.
        """
        return load_schema(self.card.schema)

    @functools.cached_property
    def recipe(self):
        """The `~galmorph.Recipe` of the (first) weights, for preparing images."""
        return _recipe_of(self.card)

    @functools.cached_property
    def engine(self):
        """
        What runs the network, with the weights loaded.

        An `~galmorph.inference.engine.Engine`, or for several weights an
        `~galmorph.inference.ensemble.EnsembleEngine`.
        """
        from galmorph.inference.engine import Engine, load_network
        from galmorph.inference.ensemble import EnsembleEngine

        engines = [
            Engine(
                load_network(card, self.schema),
                _recipe_of(card),
                device=self.device,
                precision=self.precision,
                batch_size=self.batch_size,
            )
            for card in self.cards
        ]
        return engines[0] if len(engines) == 1 else EnsembleEngine(engines)

    def citation(self):
        """
        Give what to cite.

        Returns
        -------
        bibtex : str
            BibTeX entries of galmorph, of the paper behind the weights, and of
            the surveys that this classifier has had images of.

        Examples
        --------
        >>> from galmorph import MorphologyClassifier
        >>> print(MorphologyClassifier().citation())  # doctest: +ELLIPSIS
        @...
        """
        entries = [self.card.citation()]
        entries += [card.paper.get('bibtex', '') for card in self.cards[1:]]
        entries += self._surveys.values()
        return '\n'.join(dict.fromkeys(entry for entry in entries if entry))

    def predict(
        self,
        images,
        *,
        size=None,
        hdu=None,
        bands=None,
        unit=None,
        columns='all',
        progress_bar=False,
    ):
        """
        Classify one galaxy or a list of them.

        Parameters
        ----------
        images : image or list of images
            Each of them a

            * `~astropy.nddata.Cutout2D`, `~astropy.nddata.CCDData`,
              `~astropy.nddata.NDData` or `~galmorph.GalaxyImage`;
            * FITS HDU or HDU list;
            * path of a FITS file (also compressed), JPEG, PNG or WebP;
            * tuple of an array and a `~astropy.wcs.WCS`;
            * array or `~astropy.units.Quantity`: one band, shape (ny, nx);
              bands, shape (n_band, ny, nx); RGB, shape (ny, nx, 3);
            * dict of bands to any of these.

        size : `~astropy.units.Quantity`, optional
            The radius that the ``recipe`` of the weights names, an angle or a
            number of pixels, one for all or one for each: the 90 % Petrosian
            radius, or for some space telescopes the half-light radius. By
            default, and where it is NaN, it is that of the image itself, or
            measured, unless the image is a picture without a WCS, which is
            taken to be framed.
        hdu, bands, unit : optional
            As in `~galmorph.images.read_image`, for all images.
        columns : str or list of str, optional
            'all' answers, the 'best' class only, or names of questions or
            attributes.
        progress_bar : bool, optional
            Whether to show progress.

        Returns
        -------
        table : `~astropy.table.QTable`
            A row each. In a list, an image that cannot be used costs only
            its own row, which is masked and flagged.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            If a single image cannot be used.
        ValueError
            If an argument has no meaning: found out before the work.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph import MorphologyClassifier
        >>> classifier = MorphologyClassifier(device='cpu')
        >>> stamp = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
        >>> table = classifier.predict([stamp, 'missing.fits'], columns='best')
        >>> table['morphology_class'].mask.tolist()
        [False, True]
        """
        self._no_predictions().to_table(columns)
        predictions = self.classify(
            images,
            size=size,
            hdu=hdu,
            bands=bands,
            unit=unit,
            progress_bar=progress_bar,
        )
        return predictions.to_table(columns)

    def classify(
        self, images, *, size=None, hdu=None, bands=None, unit=None, progress_bar=False
    ):
        """
        Classify as `predict` does, into arrays.

        Parameters
        ----------
        images, size, hdu, bands, unit, progress_bar : optional
            As in `predict`.

        Returns
        -------
        predictions : `~galmorph.MorphologyPredictions` or \
`~galmorph.predictions.AttributePredictions`
            The answers.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph import MorphologyClassifier
        >>> stamp = np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8)
        >>> MorphologyClassifier(device='cpu').classify(stamp).probabilities.shape
        (1, 37)
        """
        if isinstance(images, Table):
            msg = 'images must be an image or a list; predict_table takes tables'
            raise TypeError(msg)
        is_single = is_single_image(images)
        rows = [images] if is_single else images
        sizes = sizes_of(rows, size)
        if sizes is None:
            sizes = itertools.repeat(None)
        predictions = self._classify(
            zip(rows, sizes, strict=False),
            len(rows),
            reader=make_reader(hdu, bands, unit),
            progress_bar=progress_bar,
        )
        if is_single and not predictions.is_predicted[0]:
            flag = MorphologyFlag(int(predictions.flags[0]))
            raise ImageError(predictions.reasons[0], flag=flag)
        return predictions

    def predict_table(
        self,
        table,
        *,
        image=None,
        mosaic=None,
        survey=None,
        size=None,
        hdu=None,
        bands=None,
        band=None,
        unit=None,
        columns='all',
        overwrite=False,
        progress_bar=False,
        output=None,
        resume=False,
        n_processes=1,
        format=None,  # noqa: A002
    ):
        """
        Annotate a catalogue.

        Parameters
        ----------
        table : `~astropy.table.Table`, ``pandas.DataFrame``, path-like or list
            With a column of image paths, or of arrays or image objects; or
            with positions, a `~astropy.coordinates.SkyCoord` column or
            columns ``ra`` and ``dec``, if ``mosaic`` or ``survey`` is given.
            It is not modified; what comes back is a table of astropy. Files, a
            list or a pattern of them, are taken as one table, as in
            `~galmorph.tables.open_tables`.
        image : str, optional
            The column of images. By default the first of 'image', 'path',
            'file' and 'filename'.
        mosaic : image, path-like, list or dict, optional
            An image with a WCS, as `predict` takes them, that holds all
            targets; or any set of tiles: a pattern such as ``'tiles/*.fits'``,
            a folder, a list of files, or a dict of these by bands, as
            `~galmorph.images.TiledMosaic` takes them.
        survey : str or `~galmorph.sources.ImageSource`, optional
            Where to fetch images of the positions: a name of
            `~galmorph.sources.list_sources`, among them 'sdss', 'candels' and
            'auto', which takes what covers each position; or a source with
            settings of one's own. What was fetched once is kept on disk.
        size : str or `~astropy.units.Quantity`, optional
            The column with the radius that the ``recipe`` of the weights
            names, for example 'petroR90_r'; in arcseconds where it has no
            unit. Measured where it is not given, masked or not positive.
        hdu, bands, unit : optional
            As in `~galmorph.images.read_image`, for the mosaic or all images.
            By default the unit is that of the column of images, if it has one.
            Of a survey, the bands to fetch, by default those of the weights.
        band : str, optional
            The same as ``bands`` with a single one.
        columns : str or list of str, optional
            'all' answers, the 'best' class only, or names of questions or
            attributes.
        overwrite : bool, optional
            Replace columns of the same names; and the file ``output``, or an
            unfinished run of another call.
        progress_bar : bool, optional
            Whether to show progress.
        output : path-like, optional
            Write the annotated table to this file, Parquet or FITS, instead of
            returning it. Memory does not grow with the table then, and what is
            done is kept: in the folder ``OUTPUT.run``, until the file is
            complete.
        resume : bool, optional
            Go on with a run of the same call that was stopped. The file will be
            the same, to the last byte, as if it had not been. A call that
            differs is refused.
        n_processes : int, optional
            Processes that share the work, with ``output``; each takes a GPU
            where there are several. Scripts that ask for more than one need
            ``if __name__ == '__main__':``.
        format : str, optional
            The format of the files of the table, where their names do not tell.

        Returns
        -------
        annotated : `~astropy.table.QTable` or `~pathlib.Path`
            The same rows in the same order, with new columns; or ``output``.

        Raises
        ------
        ValueError
            If the table lacks a column, or has one of the new ones already.
        `~galmorph.exceptions.ImageError`
            If the mosaic cannot be used. A row that cannot be is flagged.
        FileExistsError
            If ``output`` or an unfinished run is there, and neither ``resume``
            nor ``overwrite`` is given.
        `~galmorph.inference.resumable.manifest.ManifestError`
            If the run to go on with is of another call.
        `~galmorph.exceptions.ChangedFileError`
            If a tile vanished or changed during the work. What is finished is
            kept.

        Examples
        --------
        >>> import numpy as np
        >>> from astropy.table import Table
        >>> from galmorph import MorphologyClassifier
        >>> stamps = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), np.uint8)
        >>> table = Table({'name': ['a', 'b'], 'image': stamps})
        >>> annotated = MorphologyClassifier(device='cpu').predict_table(
        ...     table, columns=['smooth_or_features'])
        >>> annotated.colnames[:3]
        ['name', 'image', 'smooth_or_features_smooth']
        """
        images = {
            'image': image,
            'mosaic': mosaic,
            'survey': survey,
            'size': size,
            'hdu': hdu,
            'bands': bands,
            'band': band,
            'unit': unit,
        }
        if output is not None:
            return self.annotate_file(
                table,
                output,
                resume=resume,
                n_processes=n_processes,
                format=format,
                columns=columns,
                overwrite=overwrite,
                progress_bar=progress_bar,
                **images,
            ).path
        if resume or n_processes != 1:
            msg = 'resume= and n_processes= need output=, the file to write'
            raise ValueError(msg)
        folder = None
        if not isinstance(table, Table):
            with open_tables(table, format=format) as stream:
                table = stream.read(0, stream.n_rows)
                folder = stream.paths[0].parent if stream.paths else None
        predictions = self.classify_table(
            table,
            progress_bar=progress_bar,
            check=lambda empty: empty.annotate(table[:0], columns, overwrite=overwrite),
            folder=folder,
            **images,
        )
        return predictions.annotate(table, columns, overwrite=overwrite)

    def annotate_file(
        self,
        table,
        output,
        *,
        resume=False,
        overwrite=False,
        n_processes=1,
        progress_bar=False,
        format=None,  # noqa: A002
        **options,
    ):
        """
        Annotate a catalogue of any length, as `predict_table` does with ``output``.

        Parameters
        ----------
        table, output, resume, overwrite, n_processes, progress_bar, format
            As in `predict_table`.
        **options
            The other arguments of `predict_table`.

        Returns
        -------
        summary : `~galmorph.inference.resumable.RunSummary`
            How many rows there are, have an answer, and have which flag.

        Examples
        --------
        >>> import tempfile
        >>> import numpy as np
        >>> from astropy.table import Table
        >>> from galmorph import MorphologyClassifier
        >>> stamps = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), np.uint8)
        >>> classifier = MorphologyClassifier(device='cpu')
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     summary = classifier.annotate_file(
        ...         Table({'image': stamps}), f'{folder}/annotated.fits')
        >>> summary.n_rows, summary.n_predicted
        (2, 2)
        """
        from galmorph.inference.resumable import annotate_file
        from galmorph.inference.resumable.job import Job

        job = Job(self, self._predictions, overwrite=overwrite, **options)
        summary = annotate_file(
            job,
            table,
            output,
            resume=resume,
            overwrite=overwrite,
            n_processes=n_processes,
            progress_bar=progress_bar,
            format=format,
        )
        if options.get('survey') is not None:
            self._cite(job.feed)
        return summary

    def classify_table(
        self,
        table,
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
        progress_bar=False,
        check=None,
    ):
        """
        Classify the rows of a catalogue as `predict_table` does, into arrays.

        Parameters
        ----------
        table, image, mosaic, survey, size, hdu, bands, band, unit, \
progress_bar : optional
            As in `predict_table`.
        folder : path-like, optional
            Where images are looked for that are not in the current folder.
        check : callable, optional
            Called with predictions for no galaxy before the work begins, to
            find out early that they could not be used.

        Returns
        -------
        predictions : `~galmorph.MorphologyPredictions` or \
`~galmorph.predictions.AttributePredictions`
            The answers.

        Examples
        --------
        >>> import numpy as np
        >>> from astropy.table import Table
        >>> from galmorph import MorphologyClassifier
        >>> stamps = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), np.uint8)
        >>> classifier = MorphologyClassifier(device='cpu')
        >>> classifier.classify_table(Table({'image': stamps})).flags.tolist()
        [8192, 8192]
        """
        if not isinstance(table, Table):
            msg = f'table must be an astropy Table, not {type(table).__name__}'
            raise TypeError(msg)
        if check is not None:
            check(self._no_predictions())
        feed = make_feed(
            table,
            self.recipe,
            image=image,
            mosaic=mosaic,
            survey=survey,
            size=size,
            hdu=hdu,
            bands=bands,
            band=band,
            unit=unit,
            folder=folder,
        )
        rows, order = feed.rows(table)
        predictions = self._classify(
            rows,
            len(table),
            reader=feed.reader,
            progress_bar=progress_bar,
            **feed.provenance,
        )
        if survey is not None:
            self._cite(feed)
        return predictions if order is None else predictions[np.argsort(order)]

    def predict_coordinates(
        self,
        coords,
        survey='auto',
        *,
        size=None,
        bands=None,
        band=None,
        columns='all',
        progress_bar=False,
    ):
        """
        Fetch images of positions from a survey, and classify them.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            One position or many, in any frame.
        survey, bands, band : optional
            As in `predict_table`.
        size : `~astropy.units.Quantity`, optional
            The radius that the ``recipe`` of the weights names, an angle, one
            for all or one for each; by default that of the catalogue of the
            survey, or measured.
        columns : str or list of str, optional
            'all' answers, the 'best' class only, or names of questions or
            attributes.
        progress_bar : bool, optional
            Whether to show progress.

        Returns
        -------
        table : `~astropy.table.QTable`
            A row a position: the column ``coord``, and the answers. Where there
            is no image the row is masked and flagged with the reason.

        Raises
        ------
        ValueError
            If there is no such survey, or it has no such band.

        Examples
        --------
        >>> from astropy.coordinates import SkyCoord
        >>> from galmorph import MorphologyClassifier
        >>> from galmorph.sources import SDSS
        >>> classifier = MorphologyClassifier(device='cpu')
        >>> table = classifier.predict_coordinates(
        ...     SkyCoord([211.03], [55.24], unit='deg'), SDSS(offline=True))
        >>> print(table['morphology_reason'][0])
        match 1 of DR17 ... is not in the cache, and 'sdss' is not asked offline
        """
        if not isinstance(coords, SkyCoord):
            msg = f'coords must be a SkyCoord, not {type(coords).__name__}'
            raise TypeError(msg)
        table = QTable({'coord': coords.reshape(-1)})
        if isinstance(size, (list, tuple)):
            size = u.Quantity(size)
        return self.predict_table(
            table,
            survey=survey,
            size=size,
            bands=bands,
            band=band,
            columns=columns,
            progress_bar=progress_bar,
        )

    def _classify(self, rows, n_rows, *, reader, progress_bar, **provenance):
        from galmorph.inference.stream import classify
        from galmorph.inference.transforms import frame_transforms

        return self._predictions(
            *classify(
                rows,
                n_rows,
                self.engine,
                self.schema,
                transforms=frame_transforms(self.n_transforms, self.zooms),
                reader=reader,
                n_workers=self.n_workers,
                progress_bar=progress_bar,
            ),
            **provenance,
        )

    def _cite(self, feed):
        self._surveys[feed.source.archive.name] = feed.source.bibtex

    def _no_predictions(self):
        """The answers for no galaxy, which have all columns."""
        from galmorph.inference.stream import Answers, gives_std

        has_std = gives_std(self.engine, self.n_transforms)
        answers = Answers.empty(0, self.schema.n_answers, has_std=has_std)
        return self._predictions(*answers)

    def _predictions(self, values, std, flags, reasons, **provenance):
        from galmorph import __version__

        is_loaded = 'engine' in vars(self)
        known = {
            'version': __version__,
            'weights': ' + '.join(card.name for card in self.cards),
            'sha256': ' + '.join(card.sha256 for card in self.cards),
            'recipe': ' + '.join(_recipe_of(card).hash for card in self.cards),
            'device': str(self.engine.device if is_loaded else self.device),
            'precision': self.precision,
            'n_transforms': self.n_transforms,
            'zooms': list(self.zooms),
            'date': dt.datetime.now(dt.UTC).isoformat(timespec='seconds'),
            **provenance,
        }
        return make_predictions(
            self.schema,
            values,
            flags=flags,
            supported=[
                name
                for name in self.card.supported_questions
                if all(name in card.supported_questions for card in self.cards)
            ],
            reasons=reasons,
            std=std,
            provenance={k: v for k, v in known.items() if v is not None},
        )


def _recipe_of(card):
    try:
        return Recipe.from_dict(card.recipe)
    except (TypeError, ValueError) as error:
        msg = f'the recipe of the weights {card.name!r}: {error}'
        raise WeightsError(msg) from error
