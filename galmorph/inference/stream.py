# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The stream: rows are read, prepared and classified side by side, in order."""

import concurrent.futures
import contextlib
import logging
import queue
import threading
import warnings
from typing import NamedTuple

import numpy as np

from galmorph.exceptions import ChangedFileError, ImageError
from galmorph.flags import MorphologyFlag

__all__ = ['Answers', 'Progress', 'classify', 'classify_chunks', 'gives_std']

logger = logging.getLogger(__name__)


class Answers(NamedTuple):
    """
    What a network answers about some galaxies.

    Parameters
    ----------
    values, std : `~numpy.ndarray`, shape (n_rows, n_answers)
        Mean and standard deviation of the answers: the latter over the
        transforms, with what the network itself is unsure of added in
        quadrature. ``std`` is `None` for a single transform and a network
        that does not know. Attributes that a mirror turns around are turned
        back before.
    flags : `~numpy.ndarray`, shape (n_rows,)
        Flags.
    reasons : list of str
        What went wrong in each row, or was mended.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.inference.stream import Answers
    >>> Answers.empty(2, 37).values.shape
    (2, 37)
    """

    values: np.ndarray
    std: np.ndarray | None
    flags: np.ndarray
    reasons: list

    @classmethod
    def empty(cls, n_rows, n_answers, *, has_std=False):
        """
        Make room for answers.

        Parameters
        ----------
        n_rows, n_answers : int
            How many.
        has_std : bool, optional
            Whether there will be standard deviations.

        Returns
        -------
        answers : `Answers`
            NaN, without flags.
        """
        values = np.full((n_rows, n_answers), np.nan, np.float32)
        std = np.full_like(values, np.nan) if has_std else None
        return cls(values, std, np.zeros(n_rows, np.int32), [''] * n_rows)

    def in_rows(self, order):
        """
        Put answers that came in another order into their rows.

        Parameters
        ----------
        order : sequence of int
            The row of each.

        Returns
        -------
        answers : `Answers`
            Those of the rows.
        """
        rows = np.argsort(order)
        std = None if self.std is None else self.std[rows]
        reasons = [self.reasons[row] for row in rows]
        return type(self)(self.values[rows], std, self.flags[rows], reasons)


class Progress:
    """
    A bar that tells rows, rate, remaining time and rows without an answer.

    Parameters
    ----------
    n_rows : int
        All rows.
    shown : bool, optional
        Whether to show it.
    done : int, optional
        Rows that were done before.

    Examples
    --------
    >>> from galmorph.inference.stream import Progress
    >>> with Progress(10) as progress:
    ...     progress.update(4, n_failed=1)
    """

    def __init__(self, n_rows, *, shown=False, done=0):
        from tqdm.auto import tqdm

        self._bar = tqdm(
            total=n_rows, initial=done, unit=' galaxies', disable=not shown
        )
        self._n_failed = 0

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._bar.close()

    def update(self, n_rows, *, n_failed=0):
        """
        Count rows.

        Parameters
        ----------
        n_rows : int
            Rows that are done.
        n_failed : int, optional
            Those of them without an answer.
        """
        self._n_failed += n_failed
        if self._n_failed:
            self._bar.set_postfix(unanswered=self._n_failed, refresh=False)
        self._bar.update(n_rows)


def classify(rows, n_rows, engine, schema, *, progress_bar=False, **options):
    """
    Classify images, one after the other, in memory that does not grow.

    Parameters
    ----------
    rows : iterable
        Images, as ``reader`` takes them, or the
        `~galmorph.exceptions.ImageError` that stands for one. They are asked
        for only a few batches ahead.
    n_rows : int
        Their number.
    engine, schema, **options
        As in `classify_chunks`.
    progress_bar : bool, optional
        Whether to show a bar with rate and remaining time.

    Returns
    -------
    answers : `Answers`
        A tuple of values, standard deviations, flags and reasons.

    Raises
    ------
    ValueError
        If ``n_workers`` is not positive.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, MorphologyClassifier
    >>> from galmorph.inference.stream import classify
    >>> classifier = MorphologyClassifier(device='cpu')
    >>> pixels = np.random.default_rng(1).random((3, 64, 64))
    >>> images = [GalaxyImage(pixels, is_picture=True)] * 2
    >>> values, std, flags, reasons = classify(
    ...     images, 2, classifier.engine, classifier.schema,
    ...     transforms=np.eye(3)[np.newaxis])
    >>> values.shape, std, flags.tolist(), reasons
    ((2, 37), None, [8192, 8192], ['', ''])
    """
    with Progress(n_rows, shown=progress_bar) as progress:
        (answers,) = classify_chunks(
            [(rows, n_rows)], engine, schema, progress=progress, **options
        )
    return answers


def classify_chunks(
    chunks, engine, schema, *, transforms, reader=None, n_workers=2, progress=None
):
    """
    Classify chunk after chunk of images.

    Reading and preparing go on in threads while the network works on the
    batch before, across the ends of chunks too. A row that cannot be used is
    flagged with its reason. No batch holds rows of two chunks, so that the
    answers of a chunk do not depend on the others, to the last digit.

    Parameters
    ----------
    chunks : iterable of (iterable, int)
        The rows of each chunk, and their number.
    engine : `~galmorph.inference.engine.Engine` or \
`~galmorph.inference.ensemble.EnsembleEngine`
        The engine.
    schema : `~galmorph.schemas.DecisionTree` or \
`~galmorph.schemas.AttributeSchema`
        What the network answers.
    transforms : `~numpy.ndarray`, shape (n_transform, 3, 3)
        Affines of the frame over which answers are averaged.
    reader : callable, optional
        From a row to a `~galmorph.images.GalaxyImage`, which it is by default.
    n_workers : int, optional
        Threads that read and prepare, at least one.
    progress : `Progress`, optional
        What counts the rows.

    Yields
    ------
    answers : `Answers`
        Those of each chunk, in order.

    Raises
    ------
    ValueError
        If ``n_workers`` is not positive.
    `~galmorph.exceptions.ChangedFileError`
        If a file is no longer what it was as the work began.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, MorphologyClassifier
    >>> from galmorph.inference.stream import classify_chunks
    >>> classifier = MorphologyClassifier(device='cpu')
    >>> pixels = np.random.default_rng(1).random((3, 64, 64))
    >>> image = GalaxyImage(pixels, is_picture=True)
    >>> chunks = [([image] * 2, 2), ([image], 1)]
    >>> for answers in classify_chunks(
    ...     chunks, classifier.engine, classifier.schema,
    ...     transforms=np.eye(3)[np.newaxis]
    ... ):
    ...     print(answers.values.shape)
    (2, 37)
    (1, 37)
    """
    if n_workers < 1:
        msg = f'n_workers must be at least 1, not {n_workers!r}'
        raise ValueError(msg)
    work = _Work(engine, schema, transforms, reader, progress or Progress(0))
    return _classify_chunks(chunks, work, n_workers)


def _classify_chunks(chunks, work, n_workers):
    def rows_of_all():
        for rows, n_rows in chunks:
            yield _Start(n_rows)
            yield from rows

    window = 3 * work.engine.batch_size
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quiet_threads())
        prepared = _in_order(rows_of_all(), work.prepare, n_workers, window)
        stack.callback(prepared.close)
        for start in prepared:
            yield work.finish_chunk(prepared, start.n_rows)


def gives_std(engine, n_transforms):
    """
    Tell whether answers come with standard deviations.

    Parameters
    ----------
    engine : `~galmorph.inference.engine.Engine`
        What answers, or an ensemble of them.
    n_transforms : int
        How many transforms each galaxy is shown in.

    Returns
    -------
    gives_std : bool
        Whether there are several answers to a question, of transforms or of
        members, or the networks know how unsure they are.

    Examples
    --------
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.inference.stream import gives_std
    >>> engine = MorphologyClassifier('compact.gz2', 'cpu').engine
    >>> gives_std(engine, 1), gives_std(engine, 8)
    (False, True)
    """
    n_member = len(getattr(engine, 'members', [engine]))
    return n_transforms * n_member > 1 or engine.has_spread


class _Start(NamedTuple):
    """What stands before the rows of a chunk."""

    n_rows: int


class _Work(NamedTuple):
    """What is done with each row, each batch and each chunk."""

    engine: object
    schema: object
    transforms: np.ndarray
    reader: object
    progress: Progress

    def prepare(self, row):
        try:
            if isinstance(row, (ImageError, _Start)):
                return row
            image = row if self.reader is None else self.reader(row)
            return self.engine.prepare(image, self.transforms)
        except ImageError as error:
            return error
        except ChangedFileError:
            raise
        except Exception as error:
            # Whatever one image does, the others are to be classified. That
            # goes for MemoryError: a corrupt header may ask for terabytes.
            logger.debug('a row failed', exc_info=True)
            message = f'{type(error).__name__}: {error}'
            return ImageError(message, flag=MorphologyFlag.INVALID_IMAGE)

    def finish_chunk(self, prepared, n_rows):
        has_std = gives_std(self.engine, len(self.transforms))
        answers = Answers.empty(n_rows, self.schema.n_answers, has_std=has_std)
        batch = []
        for index, image in zip(range(n_rows), prepared, strict=False):
            is_error = isinstance(image, ImageError)
            answers.flags[index] = image.flag if is_error else image.flags
            if is_error:
                answers.reasons[index] = str(image) or type(image).__name__
                self.progress.update(1, n_failed=1)
            else:
                batch.append((index, image))
                if image.filled:
                    text = f'{image.filled:.2%} of the pixels were filled'
                    answers.reasons[index] = text
            if len(batch) >= self.engine.batch_size:
                self.finish_batch(answers, batch)
                batch = []
        if batch:
            self.finish_batch(answers, batch)
        return answers

    def finish_batch(self, answers, batch):
        indices = np.array([index for index, _ in batch])
        images = [image for _, image in batch]
        found, spread, lost = self.engine.run_with_spread(images)
        averages = _average(found, spread, self.schema, self.transforms)
        answers.values[indices], deviation = averages
        if answers.std is not None:
            answers.std[indices] = deviation
        for index in indices[lost]:
            answers.flags[index] |= MorphologyFlag.NOT_PREDICTED
            answers.reasons[index] = (
                'memory ran out for this image alone; give a smaller one, or its '
                'right size'
            )
        self.progress.update(len(batch), n_failed=int(lost.sum()))


@contextlib.contextmanager
def _quiet_threads():
    """
    Let no warning of photutils through.

    The filters are those of all threads: where one of them restores its own, it
    ends those that another has set. So these are set for all.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings('ignore', module=r'photutils\.')
        yield


def _average(answers, spread, schema, transforms):
    """Mean and standard deviation over the transforms."""
    mirrored = np.linalg.det(transforms[:, :2, :2]) < 0
    # An ensemble has answers of each member to each transform.
    mirrored = np.tile(mirrored, answers.shape[1] // max(len(transforms), 1))
    if schema.kind == 'attributes' and mirrored.any():
        answers[:, mirrored] = schema.mirrored(answers[:, mirrored])
    variance = answers.var(1)
    if spread is not None:
        variance = variance + (spread**2).mean(1)
    return answers.mean(1), np.sqrt(variance)


def _in_order(rows, function, n_workers, window):
    """
    Map in threads, a limited number of rows ahead of the one that is asked.

    The rows themselves are made in a thread too: cutting them out of a mosaic
    is work that the network need not wait for.
    """
    pool = concurrent.futures.ThreadPoolExecutor(n_workers)
    pending, free = queue.SimpleQueue(), threading.Semaphore(window)
    stopped = threading.Event()

    def feed():
        try:
            # Closed here, in its own thread: a source ends its downloads then.
            with contextlib.closing(rows):
                while free.acquire() and not stopped.is_set():
                    row = next(rows, pending)
                    if row is pending:
                        break
                    pending.put(pool.submit(function, row))
            pending.put(None)
        except BaseException as error:
            failed = concurrent.futures.Future()
            failed.set_exception(error)
            pending.put(failed)

    feeder = threading.Thread(target=feed, daemon=True)
    feeder.start()
    try:
        while (future := pending.get()) is not None:
            free.release()
            yield future.result()
    finally:
        # After an error nobody waits for the images ahead of it.
        stopped.set()
        free.release()
        feeder.join()
        pool.shutdown(cancel_futures=True)
