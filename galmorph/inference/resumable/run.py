# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A run from table to file: planned, worked through, and put together."""

import contextlib
import dataclasses
import errno
import shutil
from pathlib import Path

import numpy as np

from galmorph.config import conf
from galmorph.exceptions import ChangedFileError
from galmorph.files import hold_lock
from galmorph.flags import FATAL, MorphologyFlag
from galmorph.inference.resumable.assemble import assemble, check_output
from galmorph.inference.resumable.chunks import ChunkStore
from galmorph.inference.resumable.manifest import Manifest, ManifestError
from galmorph.inference.resumable.plan import RowPlan, TilePlan
from galmorph.inference.resumable.working import Work, run_here, run_in_processes
from galmorph.inference.stream import Progress
from galmorph.tables import find_writer, open_tables

__all__ = ['RunSummary', 'annotate_file']

#: The entry of the meta of a finished table that tells of which run it is.
RUN_KEY = 'GM_RUN'


@dataclasses.dataclass
class RunSummary:
    """
    What came out of a run.

    Parameters
    ----------
    path : `~pathlib.Path`
        The file.
    n_rows, n_predicted : int
        Galaxies, and those with an answer.
    flags : dict of str to int
        How many rows have each flag.
    was_done : bool
        Whether the file had been finished before.

    Examples
    --------
    >>> from galmorph.inference.resumable import RunSummary
    >>> RunSummary('a.parquet', n_rows=3, n_predicted=2, flags={'EDGE': 1}).n_predicted
    2
    """

    path: Path
    n_rows: int = 0
    n_predicted: int = 0
    flags: dict = dataclasses.field(default_factory=dict)
    was_done: bool = False

    def count(self, answers):
        """
        Count answers.

        Parameters
        ----------
        answers : `~galmorph.inference.stream.Answers`
            Those of some rows.
        """
        self.n_rows += len(answers.flags)
        self.n_predicted += int(np.count_nonzero(answers.flags & int(FATAL) == 0))
        for flag in MorphologyFlag:
            if count := int(np.count_nonzero(answers.flags & int(flag))):
                self.flags[flag.name] = self.flags.get(flag.name, 0) + count


def annotate_file(
    job, tables, output, *, resume=False, overwrite=False, n_processes=1,
    progress_bar=False, format=None,  # noqa: A002
):  # fmt: skip
    """
    Annotate tables of any length, from file to file.

    Rows are worked on in chunks, and each finished chunk is kept on disk, in
    the folder ``OUTPUT.run`` beside the output, until the whole is put
    together. Killed at whatever moment, the same call goes on behind the last
    finished chunk, and gives the same file to the last byte.

    Parameters
    ----------
    job : `~galmorph.inference.resumable.job.Job`
        What is done with the rows.
    tables : path-like, list of them, or `~astropy.table.Table`
        As in `~galmorph.tables.open_tables`.
    output : path-like
        The file to write: Parquet or FITS.
    resume : bool, optional
        Go on with an unfinished run of the same call; a finished one is left
        as it is.
    overwrite : bool, optional
        Replace the file, or an unfinished run, of another call.
    n_processes : int, optional
        Processes that share the chunks.
    progress_bar : bool, optional
        Whether to show progress.
    format : str, optional
        The format of the tables, where their names do not tell it.

    Returns
    -------
    summary : `RunSummary`
        What came out.

    Raises
    ------
    FileExistsError
        If there is such a file or an unfinished run, and neither ``resume`` nor
        ``overwrite`` is given.
    `~galmorph.inference.resumable.manifest.ManifestError`
        If the unfinished run is of another call; the message tells what
        differs.
    `~galmorph.exceptions.ChangedFileError`
        If an image vanished or changed meanwhile.
    OSError
        If the disk is full. Finished chunks are kept in all these cases.
    ValueError
        If a file of this format cannot hold the table: before the first image.

    Examples
    --------
    A classifier makes the job:

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
    if n_processes < 1:
        msg = f'n_processes must be at least 1, not {n_processes!r}'
        raise ValueError(msg)
    output = Path(output)
    folder = output.with_name(f'{output.name}.run')
    _check_output(output, folder, resume=resume, overwrite=overwrite)
    with _kept(folder), contextlib.ExitStack() as stack:
        is_new = not folder.exists()
        folder.mkdir(exist_ok=True)
        stack.enter_context(hold_lock(folder / 'lock', f'a run that writes {output}'))
        is_anew = overwrite and not resume
        if is_anew or not (folder / 'manifest.json').exists():
            # What a run left that was killed while it tidied up is of no use.
            _clear(folder)
        try:
            stream = stack.enter_context(
                open_tables(tables, format=format, scratch=folder)
            )
            job.open(stream.template, folder=_folder_of(stream))
            job.check(stream.template)
            manifest = Manifest({**job.describe(), 'table': _describe(stream)})
            is_done = _is_done(output, manifest, resume=resume, overwrite=overwrite)
            is_begun = (folder / 'manifest.json').exists()
            if is_begun:
                manifest.check(folder / 'manifest.json')
            if not is_done:
                check_output(job, stream, output)
            if not is_begun:
                manifest.save(folder / 'manifest.json')
        except BaseException:
            if is_new:
                stack.close()
                shutil.rmtree(folder)
            raise
        summary = RunSummary(output, was_done=is_done)
        if not is_done:
            work = _plan(job, stream, folder, shown=progress_bar)
            with work.progress:
                if n_processes == 1:
                    run_here(work)
                else:
                    run_in_processes(work, n_processes)
            with _not_in_vain(output, folder):
                assemble(
                    work,
                    stream,
                    output,
                    folder=folder,
                    meta={RUN_KEY: manifest.digest},
                    on_block=summary.count,
                )
        stack.close()
        shutil.rmtree(folder)
    return summary


def _check_output(output, folder, *, resume, overwrite):
    if output.is_dir():
        msg = f'the output {str(output)!r} is a folder; name a file, such as a.parquet'
        raise IsADirectoryError(msg)
    find_writer(output)
    if not output.parent.is_dir():
        msg = f'the folder {str(output.parent)!r} of the output is not there'
        raise FileNotFoundError(msg)
    if resume or overwrite:
        return
    if output.exists():
        msg = f'the output {str(output)!r} exists; overwrite=True replaces it'
        raise FileExistsError(msg)
    if (folder / 'manifest.json').exists():
        msg = (
            f'there is an unfinished run in {str(folder)!r}: go on with it by '
            'resume=True, or start anew with overwrite=True'
        )
        raise FileExistsError(msg)


def _is_done(output, manifest, *, resume, overwrite):
    """Tell whether the output is there, and what this call would give."""
    if not resume or not output.exists():
        return False
    with open_tables(output) as written:
        if written.template.meta.get(RUN_KEY) == manifest.digest:
            return True
    if not overwrite:
        msg = (
            f'the output {str(output)!r} exists, and is of another call or was changed '
            'since; name another file, or replace it with overwrite=True'
        )
        raise ManifestError(msg)
    return False


def _clear(folder):
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name != 'lock':
            path.unlink()


def _folder_of(stream):
    return stream.paths[0].parent if stream.paths else None


def _describe(stream):
    return {'rows': stream.n_rows, 'columns': stream.colnames,
            'content': stream.fingerprint()}  # fmt: skip


def _plan(job, stream, folder, *, shown):
    """Find out what is still to do."""
    if job.has_tiles:
        plan = TilePlan(stream, job.feed, conf.chunk_size, folder)
        job = job.on_targets(plan.template)
    else:
        plan = RowPlan(stream, job.feed.names, conf.chunk_size)
    store = ChunkStore(folder / 'chunks')
    done = sum(len(plan.rows(number)) for number in store.done)
    return Work(job, plan, store, Progress(plan.n_rows, shown=shown, done=done))


@contextlib.contextmanager
def _kept(folder):
    """Tell what is kept of a run that cannot go on."""
    try:
        yield
    except ChangedFileError as error:
        msg = f'{error}. {_how_many(folder)}'
        raise ChangedFileError(msg) from error
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        msg = f'the disk of {str(folder)!r} is full. {_how_many(folder)}'
        raise OSError(error.errno, msg) from error


@contextlib.contextmanager
def _not_in_vain(output, folder):
    """Tell how the answers get into a file of the other format."""
    try:
        yield
    except ValueError as error:
        suffix = '.fits' if find_writer(output) == 'parquet' else '.parquet'
        other = output.with_suffix(suffix)
        msg = (
            f'{error}. All answers are kept in {str(folder)!r}: to write {suffix}, '
            f'rename it to {other.name + ".run"!r} and call again with '
            f'output={str(other)!r} and resume=True'
        )
        raise ValueError(msg) from error


def _how_many(folder):
    n_chunks = len(list(folder.glob('chunks/*.npz')))
    return (
        f'{n_chunks} chunks of {conf.chunk_size} rows are finished and kept in '
        f'{str(folder)!r}; mend it and call again with resume=True'
    )
