# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The chunks of a run, worked on here or shared by several processes."""

import collections
import concurrent.futures
import multiprocessing
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

import numpy as np
import torch

from galmorph.exceptions import GalmorphError
from galmorph.flags import FATAL

__all__ = ['Work', 'run_here', 'run_in_processes']

# Chunks that a process gets at a time: it reads one while it classifies another.
_SPAN = 4

# The job and the store of a worker process.
_worker = {}


class Work(NamedTuple):
    """
    The chunks that are still to do.

    Parameters
    ----------
    job : `~galmorph.inference.resumable.job.Job`
        What is done with the rows.
    plan : `~galmorph.inference.resumable.plan.RowPlan` or \
`~galmorph.inference.resumable.plan.TilePlan`
        Which rows the chunks have.
    store : `~galmorph.inference.resumable.chunks.ChunkStore`
        Where they go, and which are there.
    progress : `~galmorph.inference.stream.Progress`
        What counts the rows.

    Examples
    --------
    >>> import tempfile
    >>> from astropy.table import Table
    >>> from galmorph.inference.resumable.chunks import ChunkStore
    >>> from galmorph.inference.resumable.plan import RowPlan
    >>> from galmorph.inference.resumable.working import Work
    >>> from galmorph.inference.stream import Answers, Progress
    >>> from galmorph.tables import open_tables
    >>> plan = RowPlan(open_tables(Table({'path': list('abcde')})), ['path'], 2)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     store = ChunkStore(folder)
    ...     store.save(1, Answers.empty(2, 37))
    ...     Work(None, plan, store, Progress(5)).pending
    [0, 2]
    """

    job: object
    plan: object
    store: object
    progress: object

    @property
    def pending(self):
        """The numbers of the chunks."""
        done = self.store.done
        return [number for number in range(self.plan.n_chunks) if number not in done]


def run_here(work):
    """
    Work on chunks in this process.

    Each is kept while the network works on the next.

    Parameters
    ----------
    work : `Work`
        The chunks.

    Examples
    --------
    What a classifier does with ``output``:

    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.table import QTable
    >>> from galmorph import MorphologyClassifier
    >>> stamps = np.random.default_rng(1).integers(0, 255, (2, 64, 64, 3), np.uint8)
    >>> classifier = MorphologyClassifier(device='cpu')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = classifier.predict_table(
    ...         QTable({'image': stamps}), output=f'{folder}/annotated.fits')
    ...     len(QTable.read(path))
    2
    """
    pending = work.pending
    inputs = map(work.plan.inputs, pending)
    saving = None
    with concurrent.futures.ThreadPoolExecutor(1) as writer:
        answers_of_all = work.job.run(inputs, work.progress)
        for number, answers in zip(pending, answers_of_all, strict=True):
            if saving is not None:
                saving.result()
            saving = writer.submit(work.store.save, number, answers)
        if saving is not None:
            saving.result()


def run_in_processes(work, n_processes):
    """
    Work on chunks in several processes.

    Each loads the network once, on the GPU of its number where there are some,
    and writes its chunks itself.

    Parameters
    ----------
    work : `Work`
        The chunks.
    n_processes : int
        How many.

    Raises
    ------
    `~galmorph.exceptions.GalmorphError`
        If a process was killed. Its finished chunks are kept.

    Examples
    --------
    What a classifier does with ``output`` and ``n_processes``, in a script:

    >>> def annotate():
    ...     classifier.predict_table(
    ...         'in.parquet', mosaic='tiles', output='out.parquet', n_processes=2)
    >>> if __name__ == '__main__':
    ...     annotate()  # doctest: +SKIP
    """
    context = multiprocessing.get_context('spawn')
    ranks = context.SimpleQueue()
    n_threads = max(1, torch.get_num_threads() // n_processes)
    for rank in range(n_processes):
        ranks.put((rank, n_threads))
    pending = work.pending
    spans = [pending[start : start + _SPAN] for start in range(0, len(pending), _SPAN)]
    pool = concurrent.futures.ProcessPoolExecutor(
        n_processes,
        mp_context=context,
        initializer=_start,
        initargs=(work.job, work.plan.template, work.store, ranks),
    )
    running = collections.deque()

    def finish():
        for number, n_rows, n_failed in running.popleft().result():
            work.progress.update(n_rows, n_failed=n_failed)
            work.store.add(number)

    try:
        for span in spans:
            # What a process needs is read as it is needed, not all at once.
            while len(running) >= 2 * n_processes:
                finish()
            running.append(pool.submit(_run, span, list(map(work.plan.inputs, span))))
        while running:
            finish()
    except BrokenProcessPool as error:
        msg = (
            'a process of the run was killed, perhaps because memory ran out; finished '
            'chunks are kept: call again with resume=True, and with fewer n_processes'
        )
        raise GalmorphError(msg) from error
    finally:
        pool.shutdown(cancel_futures=True)


def _start(job, template, store, ranks):
    """Make ready what a process needs for all of its chunks."""
    rank, n_threads = ranks.get()
    torch.set_num_threads(n_threads)
    n_gpu = torch.cuda.device_count()
    if n_gpu and job.classifier.device in ('auto', 'cuda'):
        job.classifier.device = f'cuda:{rank % n_gpu}'
    job.open(template)
    _worker.update(job=job, store=store)


def _run(numbers, inputs):
    """Classify some chunks, and keep each."""
    done = []
    answers_of_all = _worker['job'].run(inputs)
    for number, answers in zip(numbers, answers_of_all, strict=True):
        _worker['store'].save(number, answers)
        n_failed = int(np.count_nonzero(answers.flags & int(FATAL)))
        done.append((number, len(answers.flags), n_failed))
    return done
