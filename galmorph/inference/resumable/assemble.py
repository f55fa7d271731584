# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Finished chunks, put into the rows of the table that they are of."""

import contextlib
import json

import numpy as np
from astropy.table import MaskedColumn, QTable

from galmorph.inference.stream import Answers
from galmorph.tables import TableWriter, check_writable, find_writer
from galmorph.tables.columns import Layout

__all__ = ['assemble', 'check_output']

# Rows that are annotated and written together: a row group of Parquet.
_BLOCK = 8192


def check_output(job, stream, path):
    """
    Find out before the work whether the file can hold the annotated table.

    Parameters
    ----------
    job : `~galmorph.inference.resumable.job.Job`
        What is done with the rows.
    stream : `~galmorph.tables.TableStream`
        The table. All rows are looked at of columns of which not every value
        can be written: strings, objects and masked integers.
    path : path-like
        The file, Parquet or FITS.

    Raises
    ------
    ValueError
        If it cannot; the message names the column.

    Examples
    --------
    It is the first step of:

    >>> import tempfile
    >>> from astropy.table import QTable
    >>> from galmorph import MorphologyClassifier
    >>> classifier = MorphologyClassifier(device='cpu')
    >>> table = QTable({'path': ['NGC1.png', 'α.png']})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     classifier.predict_table(table, output=f'{folder}/annotated.fits')
    Traceback (most recent call last):
    ...
    ValueError: column 'path': FITS has no letters but ASCII, not 'α.png'; ...
    """
    empty = job.no_answers()
    template = job.annotate(empty, stream.template, {})
    check_writable(path, template)
    added = job.annotate(empty, QTable(), {}).colnames
    names = [
        name
        for name in stream.colnames
        if name not in added and _is_delicate(template[[name]])
    ]
    if not names:
        return
    template = template[names]
    if find_writer(path) == 'fits':
        template = _with_widths(template, stream.string_widths(names))
    chunks = (table for _, table in stream.iterate(_BLOCK, names))
    check_writable(path, template, chunks)


def _is_delicate(template):
    """Tell whether it depends on the values whether a column can be written."""
    return any(
        column.dtype.kind in 'OUS'
        or (column.dtype.kind == 'i' and isinstance(column, MaskedColumn))
        for column in Layout(template).columns.values()
    )


def assemble(work, stream, path, *, folder, meta, on_block):
    """
    Write the annotated table.

    The bytes of the file follow from the table and the answers alone, not from
    when and how often the run was stopped.

    Parameters
    ----------
    work : `~galmorph.inference.resumable.working.Work`
        The chunks, all of them done.
    stream : `~galmorph.tables.TableStream`
        The table.
    path : path-like
        The file, Parquet or FITS.
    folder : `~pathlib.Path`
        Where to sort the answers.
    meta : dict
        Entries to add to the meta of the table.
    on_block : callable
        Called with the answers of each block of rows.

    Examples
    --------
    It is the last step of:

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
    job = work.job
    empty = job.no_answers()
    with _Rows(work.plan, work.store, folder, empty) as rows:

        def blocks():
            for start, table in stream.iterate(_BLOCK):
                answers = rows.read(start, len(table))
                yield answers, job.annotate(answers, table, meta)

        template = job.annotate(empty, stream.template, meta)
        if find_writer(path) == 'fits':
            # Text has a fixed width there, which only all rows tell.
            widths = stream.string_widths()
            for _, annotated in blocks():
                _widen(widths, annotated)
            template = _with_widths(template, widths)
        with TableWriter(path, template, n_rows=stream.n_rows) as writer:
            for answers, annotated in blocks():
                writer.write(annotated)
                on_block(answers)


def _widen(widths, table):
    for name in table.colnames:
        column = table[name]
        if getattr(column, 'dtype', None) is not None and column.dtype.kind == 'U':
            width = column.dtype.itemsize // 4
            widths[name] = max(widths.get(name, 1), width)


def _with_widths(template, widths):
    template = template.copy()
    for name, width in widths.items():
        column = template[name]
        if column.dtype.kind in 'OUS':
            letter = 'S' if column.dtype.kind == 'S' else 'U'
            wider = column.astype(f'{letter}{width}')
            wider.info.description = column.info.description
            wider.info.meta = column.info.meta
            template.replace_column(name, wider)
    return template


class _Rows:
    """
    The answers of all rows, in the order of the table.

    Chunks that are sorted by tiles hold rows from all over the table. Their
    answers go through a file of records as long as each other, those of a row
    at its own place, and one of texts.
    """

    def __init__(self, plan, store, folder, empty):
        self._plan, self._store = plan, store
        self._paths = folder / 'answers.bin', folder / 'reasons.bin'
        self._has_std = empty.std is not None
        width = empty.values.shape[1]
        fields = [('values', 'f4', (width,)), ('flags', 'i4'), ('text', 'i8', (2,))]
        if self._has_std:
            fields.append(('std', 'f4', (width,)))
        self._dtype = np.dtype(fields)

    def __enter__(self):
        with contextlib.ExitStack() as stack:
            for path in self._paths:
                stack.callback(path.unlink)
            files = [stack.enter_context(path.open('wb+')) for path in self._paths]
            self._answers, self._texts = files
            self._fill()
            # From here on it is for __exit__ to tidy up.
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *error):
        self._stack.close()

    def _fill(self):
        for number in range(self._plan.n_chunks):
            self._scatter(self._plan.rows(number), self._store.load(number))

    def _scatter(self, rows, answers):
        records = np.zeros(len(rows), self._dtype)
        records['values'], records['flags'] = answers.values, answers.flags
        if self._has_std:
            records['std'] = answers.std
        for record, reason in zip(records, answers.reasons, strict=True):
            if reason:
                content = json.dumps(reason).encode()
                record['text'] = self._texts.tell(), len(content)
                self._texts.write(content)
        order = np.argsort(rows)
        rows, records = rows[order], records[order]
        # Neighbours in the table are written at once.
        breaks = np.flatnonzero(np.diff(rows) != 1) + 1
        for start, stop in zip([0, *breaks], [*breaks, len(rows)], strict=True):
            self._answers.seek(int(rows[start]) * self._dtype.itemsize)
            self._answers.write(records[start:stop].tobytes())

    def read(self, start, count):
        self._answers.seek(start * self._dtype.itemsize)
        content = self._answers.read(count * self._dtype.itemsize)
        records = np.frombuffer(content, self._dtype)
        reasons = [''] * count
        for index in np.flatnonzero(records['text'][:, 1]):
            offset, length = records['text'][index].tolist()
            self._texts.seek(offset)
            reasons[index] = json.loads(self._texts.read(length))
        return Answers(
            np.array(records['values']),
            np.array(records['std']) if self._has_std else None,
            np.array(records['flags']),
            reasons,
        )
