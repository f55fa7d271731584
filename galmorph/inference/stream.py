# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The stream: rows are read, prepared and classified side by side, in order."""

import collections
import concurrent.futures
import logging

import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.preprocessing.prepare import prepare

__all__ = ['classify']

logger = logging.getLogger(__name__)


def classify(
    rows, n_rows, engine, schema, *, transforms, reader=None, n_workers=2,
    progress_bar=False,
):  # fmt: skip
    """
    Classify images, one after the other, in memory that does not grow.

    Reading and preparing go on in threads while the network works on the
    batch before. A row that cannot be used is flagged with its reason.

    Parameters
    ----------
    rows : iterable
        Images, as ``reader`` takes them, or the
        `~galmorph.exceptions.ImageError` that stands for one. They are asked
        for only a few batches ahead.
    n_rows : int
        Their number.
    engine : `~galmorph.inference.engine.Engine`
        The engine.
    schema : `~galmorph.schemas.DecisionTree`
        The tree that the network answers.
    transforms : `~numpy.ndarray`, shape (n_transform, 3, 3)
        Affines of the frame over which answers are averaged.
    reader : callable, optional
        From a row to a `~galmorph.images.GalaxyImage`, which it is by default.
    n_workers : int, optional
        Threads that read and prepare.
    progress_bar : bool, optional
        Whether to show a bar with rate and remaining time.

    Returns
    -------
    path, std : `~numpy.ndarray`, shape (n_rows, n_answers)
        Mean and standard deviation over the transforms; ``std`` is `None`
        for a single one.
    flags : `~numpy.ndarray`, shape (n_rows,)
        Flags.
    reasons : list of str
        What went wrong in each row.

    Examples
    --------
    See `galmorph.MorphologyClassifier`, which calls this.
    """
    n_transform = len(transforms)
    path = np.full((n_rows, schema.n_answers), np.nan, np.float32)
    std = np.full_like(path, np.nan) if n_transform > 1 else None
    flags = np.zeros(n_rows, np.int32)
    reasons = [''] * n_rows

    def prepare_row(row):
        try:
            if isinstance(row, ImageError):
                return row
            image = row if reader is None else reader(row)
            return prepare(image, engine.recipe, transforms)
        except ImageError as error:
            return error
        except MemoryError:
            raise
        except Exception as error:
            # Whatever one image does, the others are to be classified.
            logger.debug('a row failed', exc_info=True)
            message = f'{type(error).__name__}: {error}'
            return ImageError(message, flag=MorphologyFlag.INVALID_IMAGE)

    def finish(batch):
        indices = [index for index, _ in batch]
        answers = engine.run([image for _, image in batch])
        path[indices] = answers.mean(1)
        if std is not None:
            std[indices] = answers.std(1)

    window = 3 * engine.batch_size
    batch = []
    with _progress(n_rows, shown=progress_bar) as bar:
        prepared = _in_order(rows, prepare_row, n_workers, window)
        for index, image in enumerate(prepared):
            flags[index] = image.flag if isinstance(image, ImageError) else image.flags
            if isinstance(image, ImageError):
                reasons[index] = str(image)
            else:
                batch.append((index, image))
            if len(batch) >= engine.batch_size:
                finish(batch)
                batch = []
            bar.update()
        if batch:
            finish(batch)
    return path, std, flags, reasons


def _in_order(rows, function, n_workers, window):
    """Map in threads, a limited number of rows ahead of the one that is asked."""
    with concurrent.futures.ThreadPoolExecutor(n_workers) as pool:
        pending = collections.deque()
        for row in rows:
            pending.append(pool.submit(function, row))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()


def _progress(n_rows, *, shown):
    from tqdm.auto import tqdm

    return tqdm(total=n_rows, unit=' galaxies', disable=not shown)
