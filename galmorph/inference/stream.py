# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The stream: rows are read, prepared and classified side by side, in order."""

import collections
import concurrent.futures
import contextlib
import logging
import warnings

import numpy as np

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag

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
    progress_bar : bool, optional
        Whether to show a bar with rate and remaining time.

    Returns
    -------
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
    if n_workers < 1:
        msg = f'n_workers must be at least 1, not {n_workers!r}'
        raise ValueError(msg)
    n_transform = len(transforms)
    values = np.full((n_rows, schema.n_answers), np.nan, np.float32)
    n_member = len(getattr(engine, 'members', [engine]))
    has_std = n_transform * n_member > 1 or engine.has_spread
    std = np.full_like(values, np.nan) if has_std else None
    flags = np.zeros(n_rows, np.int32)
    reasons = [''] * n_rows

    def prepare_row(row):
        try:
            if isinstance(row, ImageError):
                return row
            image = row if reader is None else reader(row)
            return engine.prepare(image, transforms)
        except ImageError as error:
            return error
        except Exception as error:
            # Whatever one image does, the others are to be classified. That
            # goes for MemoryError: a corrupt header may ask for terabytes.
            logger.debug('a row failed', exc_info=True)
            message = f'{type(error).__name__}: {error}'
            return ImageError(message, flag=MorphologyFlag.INVALID_IMAGE)

    def finish(batch):
        indices = [index for index, _ in batch]
        answers, spread = engine.run_with_spread([image for _, image in batch])
        values[indices], deviation = _average(answers, spread, schema, transforms)
        if std is not None:
            std[indices] = deviation
        bar.update(len(batch))

    window = 3 * engine.batch_size
    batch = []
    with contextlib.ExitStack() as stack:
        bar = stack.enter_context(_progress(n_rows, shown=progress_bar))
        stack.enter_context(warnings.catch_warnings())
        # The filters are those of all threads: where one of them restores its
        # own, it ends those that another has set. So these are set for all.
        warnings.filterwarnings('ignore', module=r'photutils\.')
        prepared = _in_order(rows, prepare_row, n_workers, window)
        stack.callback(prepared.close)
        for index, image in enumerate(prepared):
            flags[index] = image.flag if isinstance(image, ImageError) else image.flags
            if isinstance(image, ImageError):
                reasons[index] = str(image) or type(image).__name__
                bar.update()
            else:
                batch.append((index, image))
                if image.filled:
                    reasons[index] = f'{image.filled:.2%} of the pixels were filled'
            if len(batch) >= engine.batch_size:
                finish(batch)
                batch = []
        if batch:
            finish(batch)
    return values, std, flags, reasons


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
    """Map in threads, a limited number of rows ahead of the one that is asked."""
    pool = concurrent.futures.ThreadPoolExecutor(n_workers)
    pending = collections.deque()
    try:
        for row in rows:
            pending.append(pool.submit(function, row))
            if len(pending) >= window:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        # After an error nobody waits for the images ahead of it.
        pool.shutdown(cancel_futures=True)


def _progress(n_rows, *, shown):
    from tqdm.auto import tqdm

    return tqdm(total=n_rows, unit=' galaxies', disable=not shown)
