# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What is done with the rows of a catalogue, wherever it is done."""

import hashlib

import torch
from astropy import units as u

from galmorph.config import conf
from galmorph.images import TiledMosaic
from galmorph.inference.devices import choose_device
from galmorph.inference.feeds import make_feed
from galmorph.inference.stream import Answers, classify_chunks, gives_std
from galmorph.inference.transforms import frame_transforms
from galmorph.preprocessing.recipe import Recipe

__all__ = ['Job']


class Job:
    """
    A classifier, and where the images of the rows come from.

    It travels to other processes without the network, which loads there.

    Parameters
    ----------
    classifier : `~galmorph.MorphologyClassifier`
        The classifier.
    make_predictions : callable
        Its function from answers to predictions.
    columns, overwrite : optional
        As in `~galmorph.MorphologyClassifier.predict_table`.
    **images
        ``image``, ``mosaic``, ``survey``, ``size``, ``hdu``, ``bands``, ``band``
        and ``unit``, likewise.

    Raises
    ------
    ValueError
        If ``size`` is one for each row: make it a column.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.table import QTable
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.inference.resumable.job import Job
    >>> from galmorph.predictions import make_predictions
    >>> classifier = MorphologyClassifier(device='cpu')
    >>> def predict(*answers, **provenance):
    ...     values, std, flags, reasons = answers
    ...     return make_predictions(
    ...         classifier.schema, values, std=std, flags=flags, reasons=reasons)
    >>> table = QTable({'image': np.random.default_rng(1).random((2, 3, 64, 64))})
    >>> job = Job(classifier, predict, columns='best')
    >>> job.open(table[:0])
    >>> (answers,) = job.run([table])
    >>> len(job.annotate(answers, table, {}))
    2
    """

    def __init__(
        self, classifier, make_predictions, *, columns='all', overwrite=False, **images
    ):
        size = images.get('size')
        if size is not None and not isinstance(size, str) and size.shape:
            msg = 'size must be the name of a column, or one for all rows, with output='
            raise ValueError(msg)
        self.classifier, self._make_predictions = classifier, make_predictions
        self._columns, self._overwrite, self._images = columns, overwrite, images
        self.feed, self._folder = None, None

    def __getstate__(self):
        return {**self.__dict__, 'feed': None}

    def open(self, template, *, folder=None):
        """
        Look at the columns of the table, and where its images come from.

        Parameters
        ----------
        template : `~astropy.table.QTable`
            The table, or one like it without rows.
        folder : `~pathlib.Path`, optional
            That of the table; where it was opened before, as it was then.
        """
        self._folder = folder or self._folder
        self.feed = make_feed(
            template, self.classifier.recipe, folder=self._folder, **self._images
        )

    def check(self, template):
        """
        Find out before the work whether the answers fit into the table.

        Parameters
        ----------
        template : `~astropy.table.QTable`
            The table without rows.

        Raises
        ------
        ValueError
            If it has columns of the same names, or a question is unknown.
        """
        self.annotate(self.no_answers(), template, {})

    def no_answers(self):
        """
        Give the answers for no galaxy.

        Returns
        -------
        answers : `~galmorph.inference.stream.Answers`
            With standard deviations where `run` gives them.
        """
        classifier = self.classifier
        has_std = gives_std(classifier.engine, classifier.n_transforms)
        return Answers.empty(0, classifier.schema.n_answers, has_std=has_std)

    def on_targets(self, template):
        """
        Do the same on the positions of a `~galmorph.inference.resumable.plan.TilePlan`.

        Parameters
        ----------
        template : `~astropy.table.QTable`
            Columns ``ra``, ``dec`` and perhaps ``size``.

        Returns
        -------
        job : `Job`
            One with the same mosaic.
        """
        size = 'size' if 'size' in template.colnames else None
        images = {**self._images, 'size': size}
        job = type(self)(
            self.classifier,
            self._make_predictions,
            columns=self._columns,
            overwrite=self._overwrite,
            **images,
        )
        images['mosaic'] = self.feed.mosaic
        job.feed = make_feed(template, self.classifier.recipe, **images)
        return job

    @property
    def has_tiles(self):
        """Whether the images are cut out of a mosaic of tiles."""
        return isinstance(getattr(self.feed, 'mosaic', None), TiledMosaic)

    def run(self, tables, progress=None):
        """
        Classify the rows of tables, one after the other.

        Parameters
        ----------
        tables : iterable of `~astropy.table.QTable`
            Tables like the one that was opened.
        progress : `~galmorph.inference.stream.Progress`, optional
            What counts the rows.

        Yields
        ------
        answers : `~galmorph.inference.stream.Answers`
            Those of each table.
        """
        orders = []

        def chunks():
            for table in tables:
                rows, order = self.feed.rows(table)
                orders.append(order)
                yield rows, len(table)

        classifier = self.classifier
        found = classify_chunks(
            chunks(),
            classifier.engine,
            classifier.schema,
            transforms=frame_transforms(classifier.n_transforms, classifier.zooms),
            reader=self.feed.reader,
            n_workers=classifier.n_workers,
            progress=progress,
        )
        for answers in found:
            order = orders.pop(0)
            yield answers if order is None else answers.in_rows(order)

    def annotate(self, answers, table, meta):
        """
        Add answers to the rows that they are of.

        Parameters
        ----------
        answers : `~galmorph.inference.stream.Answers`
            The answers.
        table : `~astropy.table.QTable`
            The rows.
        meta : dict
            Entries to add to the meta.

        Returns
        -------
        annotated : `~astropy.table.QTable`
            The rows with their answers. The meta has no date, so that the same
            work gives the same bytes.
        """
        predictions = self._make_predictions(
            *answers,
            device=choose_device(self.classifier.device).type,
            date=None,
            **self.feed.provenance,
        )
        annotated = predictions.annotate(
            table, self._columns, overwrite=self._overwrite
        )
        annotated.meta.update(meta)
        return annotated

    def describe(self):
        """
        Tell all that the answers depend on, but for the table.

        Returns
        -------
        content : dict
            For a `~galmorph.inference.resumable.manifest.Manifest`.
        """
        from galmorph import __version__

        classifier = self.classifier
        given = self._images.items()
        images = {name: _text(value) for name, value in given if value is not None}
        mosaic = getattr(self.feed, 'mosaic', None)
        if mosaic is not None:
            images['mosaic'] = _fingerprint(mosaic)
        source = getattr(self.feed, 'source', None)
        if source is not None:
            images['survey'] = {'source': str(source), **_settings(source)}
        return {
            'version': {'galmorph': __version__, 'torch': torch.__version__},
            'weights': {
                card.name: {
                    'sha256': card.sha256,
                    'recipe': Recipe.from_dict(card.recipe).hash,
                }
                for card in classifier.cards
            },
            'settings': {
                'device': choose_device(classifier.device).type,
                'precision': classifier.precision,
                'batch_size': classifier.batch_size,
                'n_transforms': classifier.n_transforms,
                'zooms': list(classifier.zooms),
                'chunk_size': conf.chunk_size,
                'columns': _text(self._columns),
            },
            'images': images,
        }


def _text(value):
    return value if isinstance(value, (str, int)) else str(value)


def _settings(source):
    """What a source was made with, as far as it is plain and may show in images."""
    plain = (str, int, float, bool, tuple, u.Quantity)
    return {
        name: _text(value)
        for name, value in vars(source).items()
        if name[0] != '_' and name != 'timeout' and isinstance(value, plain)
    }


def _fingerprint(mosaic):
    if isinstance(mosaic, TiledMosaic):
        return {str(path): rest for path, *rest in mosaic.fingerprint()}
    digest = hashlib.blake2b(mosaic.image.data.tobytes(), digest_size=16)
    digest.update(mosaic.image.wcs.to_header_string(relax=True).encode())
    return digest.hexdigest()
