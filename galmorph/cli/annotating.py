# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""``galmorph predict`` from file to file, for catalogues of any length."""

import contextlib
import time

from galmorph.cli.inputs import choose_size
from galmorph.cli.outputs import RequestError, summarise_counts, tell_replaced
from galmorph.tables import find_writer

__all__ = ['annotate', 'is_streamed']


def is_streamed(arguments):
    """
    Tell whether rows go from file to file, and not through memory.

    Parameters
    ----------
    arguments : `argparse.Namespace`
        Those of ``galmorph predict``.

    Returns
    -------
    is_streamed : bool
        True where it is asked for, by ``--resume`` or ``--processes``; and where
        positions are given and the output can be written in pieces.

    Examples
    --------
    >>> import argparse
    >>> from galmorph.cli.annotating import is_streamed
    >>> arguments = argparse.Namespace(
    ...     resume=False, processes=1, mosaic=None, survey='sdss', output='a.ecsv')
    >>> is_streamed(arguments)
    False
    """
    if arguments.resume or arguments.processes != 1:
        return True
    if arguments.mosaic is None and arguments.survey is None:
        return False
    try:
        find_writer(arguments.output)
    except ValueError:
        return False
    return True


def annotate(arguments, classifier, source, *, names, columns, **options):
    """
    Annotate catalogues, and tell what came out.

    Parameters
    ----------
    arguments : `argparse.Namespace`
        Those of ``galmorph predict``.
    classifier : `~galmorph.MorphologyClassifier`
        The classifier.
    source : `~galmorph.sources.ImageSource` or None
        The survey.
    names : list of str
        The columns that will be added.
    columns, **options
        As `~galmorph.MorphologyClassifier.predict_table` takes them.

    Returns
    -------
    status : int
        1 if no galaxy could be classified, else 0.

    Raises
    ------
    `~galmorph.cli.outputs.RequestError`
        If the request cannot be met.

    Examples
    --------
    >>> from galmorph.cli import main
    >>> main(['predict', 'lost.fits', '--survey', 'sdss', '--output', 'a.fits'])
    2
    """
    from galmorph.exceptions import ChangedFileError
    from galmorph.tables import open_tables

    start = time.monotonic()
    with _as_request(ChangedFileError):
        size = arguments.size
        if size is not None or arguments.overwrite:
            with open_tables(arguments.inputs, format=arguments.format) as stream:
                if size is not None:
                    size = choose_size(size, stream.colnames)
                if arguments.overwrite:
                    tell_replaced(names, stream.colnames)
        summary = classifier.annotate_file(
            arguments.inputs,
            arguments.output,
            resume=arguments.resume,
            overwrite=arguments.overwrite,
            n_processes=arguments.processes,
            format=arguments.format,
            progress_bar=not arguments.quiet,
            image=arguments.image,
            mosaic=arguments.mosaic,
            survey=source,
            size=size,
            columns=columns,
            **options,
        )
    if summary.was_done:
        if not arguments.quiet:
            print(f'{summary.path} had been finished by this command before')
        return 0
    if not arguments.quiet:
        names = ' + '.join(card.name for card in classifier.cards)
        used = f'{names}, {time.monotonic() - start:.1f} s'
        print(
            f'predicted {summary.n_predicted:,} of {summary.n_rows:,} galaxies ({used})'
        )
        if summary.flags:
            print(f'flagged, by reason:\n{summarise_counts(summary.flags)}')
        print(f'wrote {summary.path}')
    return 0 if summary.n_predicted or not summary.n_rows else 1


@contextlib.contextmanager
def _as_request(changed):
    """Tell what is wrong with a request from what goes wrong on the way."""
    try:
        yield
    except changed:
        raise
    except (ValueError, FileExistsError, FileNotFoundError, IsADirectoryError) as error:
        raise RequestError(str(error)) from error
