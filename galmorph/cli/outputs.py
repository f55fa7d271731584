# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What the command line writes and says."""

import contextlib
import os
import platform
import sys
import tempfile
from pathlib import Path

import numpy as np
from astropy.coordinates import SkyCoord
from astropy.io import registry
from astropy.table import QTable

from galmorph.exceptions import GalmorphError
from galmorph.flags import FATAL, MorphologyFlag, describe_flags

__all__ = [
    'Output',
    'RequestError',
    'as_request',
    'check_folder',
    'describe_installation',
    'summarise',
    'summarise_counts',
    'summarise_flags',
    'tell_replaced',
]

_PACKAGES = (
    'numpy', 'scipy', 'astropy', 'photutils', 'scikit-image', 'torch', 'safetensors',
    'matplotlib', 'pillow',
)  # fmt: skip
_N_REASONS = 5

# Astropy knows these by what they contain, not by their names.
_VOTABLES = dict.fromkeys(('.vot', '.votable', '.xml'), ('votable',))


class RequestError(GalmorphError, ValueError):
    """A request that cannot be met, found out before the work."""


@contextlib.contextmanager
def as_request():
    """
    Turn the errors of a trial into `RequestError`.

    Examples
    --------
    >>> from galmorph.cli.outputs import as_request
    >>> with as_request():
    ...     int('x')
    Traceback (most recent call last):
    ...
    galmorph.cli.outputs.RequestError: invalid literal for int() with base 10: 'x'
    """
    try:
        yield
    except RequestError:
        raise
    except UnicodeEncodeError as error:
        msg = f'this output format cannot hold the text {error.object!r}; take .ecsv'
        raise RequestError(msg) from error
    except Exception as error:
        raise RequestError(str(error)) from error


def check_folder(folder, *, create=False):
    """
    Make sure that files can be written into a folder.

    Parameters
    ----------
    folder : path-like
        The folder.
    create : bool, optional
        Whether to make it if it is not there.

    Raises
    ------
    RequestError
        If it is not there, is no folder or cannot be written to.

    Examples
    --------
    >>> from galmorph.cli.outputs import check_folder
    >>> check_folder('no/such/folder')
    Traceback (most recent call last):
    ...
    galmorph.cli.outputs.RequestError: the output folder 'no/such/folder' is not there
    """
    folder = Path(folder)
    try:
        if create:
            folder.mkdir(parents=True, exist_ok=True)
        if not folder.is_dir():
            msg = f'the output folder {str(folder)!r} is not there'
            raise RequestError(msg)
        # Only a trial tells: permissions, quotas and read-only disks differ.
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        msg = f'cannot write into the output folder {str(folder)!r} ({error.strerror})'
        raise RequestError(msg) from error


class Output:
    """
    A table file that is to be written, checked beforehand.

    Parameters
    ----------
    path : path-like
        The file. Its name tells the format.
    overwrite : bool, optional
        Whether a file that is there may be replaced.

    Raises
    ------
    RequestError
        If the folder cannot be written to, the file exists, or no format
        has such a name.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from astropy.table import QTable
    >>> from galmorph.cli.outputs import Output
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     Output(Path(folder) / 'a.ecsv').write(QTable({'id': [1]}))
    ...     [path.name for path in Path(folder).iterdir()]
    ['a.ecsv']
    """

    def __init__(self, path, *, overwrite=False):
        self.path = Path(path)
        self.overwrite = overwrite
        if self.path.is_dir():
            msg = f'the output {str(path)!r} is a folder; name a file, such as a.ecsv'
            raise RequestError(msg)
        if self.path.exists() and not overwrite:
            msg = f'the output {str(path)!r} exists; give --overwrite to replace it'
            raise RequestError(msg)
        check_folder(self.path.parent)
        formats = _VOTABLES.get(self.path.suffix.lower()) or registry.identify_format(
            'write', QTable, str(self.path), None, [QTable()], {}
        )
        if not formats:
            msg = (
                f'no table format is known by the name of {str(path)!r}; take .ecsv, '
                '.fits, .vot, .csv or .parquet'
            )
            raise RequestError(msg)
        self.format = formats[0]

    def try_out(self, table, answers):
        """
        Write what is known before the work beside the place, and remove it.

        Parameters
        ----------
        table : `~astropy.table.QTable`
            The rows that will be annotated. Their text and objects are tried,
            which not every format can hold.
        answers : `~astropy.table.QTable`
            All columns that will be written, without rows.

        Raises
        ------
        RequestError
            If they cannot be written.
        """
        names = [name for name in table.colnames if _may_fail(table[name])]
        with as_request():
            self._write_beside(answers).unlink()
            if names:
                self._write_beside(table[names]).unlink()

    def write(self, table):
        """
        Write the table, whole or not at all.

        Parameters
        ----------
        table : `~astropy.table.QTable`
            The table.
        """
        os.replace(self._write_beside(table), self.path)  # noqa: PTH105

    def _write_beside(self, table):
        path = self.path.with_name(f'.{os.getpid()}-{self.path.name}')
        if self.format == 'votable':
            table = _with_plain_positions(table)
        try:
            table.write(path, format=self.format, overwrite=True)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path


def _with_plain_positions(table):
    """A table whose coordinates are numbers, which is all that VOTables hold."""
    plain = QTable(table, copy=False)
    for name in table.colnames:
        if isinstance(table[name], SkyCoord):
            coords = table[name].icrs
            taken = {f'{name}_ra', f'{name}_dec'} & set(table.colnames)
            if taken:
                msg = f'{name!r} cannot be written to VOTable beside {sorted(taken)}'
                raise RequestError(msg)
            index = plain.index_column(name)
            plain.remove_column(name)
            for axis, values in (('dec', coords.dec), ('ra', coords.ra)):
                plain.add_column(values, index=index, name=f'{name}_{axis}')
    return plain


def _may_fail(column):
    """Tell whether a format may refuse some values of a column."""
    return getattr(getattr(column, 'dtype', None), 'kind', 'O') in 'OSU'


def tell_replaced(names, known):
    """
    Say which columns of a table ``--overwrite`` replaces.

    Parameters
    ----------
    names : list of str
        The columns that will be added.
    known : list of str
        Those that the table has.

    Examples
    --------
    >>> from galmorph.cli.outputs import tell_replaced
    >>> tell_replaced(['spiral'], ['ra', 'dec'])
    """
    replaced = [name for name in names if name in known]
    if replaced:
        print(
            f'--overwrite replaces {len(replaced)} columns of the table: '
            f'{", ".join(replaced)}',
            file=sys.stderr,
        )


def summarise(predictions, rows, used):
    """
    Tell how many galaxies were predicted, and how many flagged, by reason.

    Parameters
    ----------
    predictions : `~galmorph.MorphologyPredictions`
        The answers.
    rows : list or None
        What to call the rows that failed; their numbers if None.
    used : str
        What was used.

    Returns
    -------
    text : str
        Some lines.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyPredictions, load_schema
    >>> from galmorph.cli.outputs import summarise
    >>> predictions = MorphologyPredictions(
    ...     load_schema('gz2'), np.zeros((1, 37)), flags=[512])
    >>> print(summarise(predictions, None, 'mine'))
    predicted 1 of 1 galaxies (mine)
    flagged, by reason:
           1  EDGE  part of the field that the weights see lies outside the image
    """
    good = predictions.is_predicted
    lines = [f'predicted {np.count_nonzero(good)} of {len(good)} galaxies ({used})']
    failed = np.flatnonzero(~good)
    for row in failed[:_N_REASONS]:
        name = rows[row] if rows is not None else None
        name = name if isinstance(name, str) else f'row {row}'
        reason = ' '.join(predictions.reasons[row].split()) or 'no answer'
        lines.append(f'  {reason if name in reason else f"{name}: {reason}"}')
    if len(failed) > _N_REASONS:
        lines.append(
            f'  ... and {len(failed) - _N_REASONS} more, see morphology_reason'
        )
    flags = summarise_flags(predictions.flags)
    return '\n'.join([*lines, *(['flagged, by reason:', flags] if flags else [])])


def summarise_flags(flags):
    """
    Count the rows that have each flag.

    Parameters
    ----------
    flags : array-like of int
        The flags.

    Returns
    -------
    text : str
        A line for each flag that occurs, the fatal ones first.

    Examples
    --------
    >>> from galmorph.cli.outputs import summarise_flags
    >>> print(summarise_flags([512, 0]))
           1  EDGE  part of the field that the weights see lies outside the image
    """
    flags = np.ma.filled(np.ma.asarray(flags), 0)
    return summarise_counts(
        {flag.name: np.count_nonzero(flags & int(flag)) for flag in MorphologyFlag}
    )


def summarise_counts(counts):
    """
    Tell how many rows have each flag.

    Parameters
    ----------
    counts : dict of str to int
        How many, by the name of the flag.

    Returns
    -------
    text : str
        As `summarise_flags` gives it.

    Examples
    --------
    >>> from galmorph.cli.outputs import summarise_counts
    >>> print(summarise_counts({'EDGE': 1200}))
       1,200  EDGE  part of the field that the weights see lies outside the image
    """
    found = {flag: counts.get(flag.name, 0) for flag in MorphologyFlag}
    found = {flag: count for flag, count in found.items() if count}
    width = max((len(flag.name) for flag in found), default=0)
    meanings = describe_flags()
    return '\n'.join(
        f'{count:8,}  {flag.name:{width}}  {meanings[flag.name][1]}'
        + (' (no answer)' if flag & FATAL else '')
        for flag, count in found.items()
    )


def describe_installation():
    """
    Describe versions, devices, folders and the default weights.

    Returns
    -------
    text : str
        A line for each.

    Examples
    --------
    >>> from galmorph.cli.outputs import describe_installation
    >>> print(describe_installation())  # doctest: +ELLIPSIS
    galmorph          ...
    python            ...
    """
    from importlib import metadata

    import torch
    from astropy.config import get_cache_dir, get_config_dir

    from galmorph import __version__, conf
    from galmorph.inference.devices import choose_device

    lines = {'galmorph': __version__, 'python': platform.python_version()}
    for name in _PACKAGES:
        try:
            lines[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            lines[name] = 'not installed'
    devices = [f'cpu ({torch.get_num_threads()} threads)']
    devices += [
        f'cuda:{i} ({torch.cuda.get_device_name(i)})'
        for i in range(torch.cuda.device_count())
    ]
    devices += ['mps'] if torch.backends.mps.is_available() else []
    settings = Path(get_config_dir('galmorph', ensure_exists=False)) / 'galmorph.cfg'
    lines |= {
        'platform': platform.platform(),
        'devices': ', '.join(devices),
        'device used': _device_used(choose_device, conf.device),
        'default weights': _weights_state(conf.default_weights),
        'settings file': f'{settings}{"" if settings.is_file() else " (not there)"}',
        'cache folder': get_cache_dir('galmorph', ensure_exists=False),
    }
    return '\n'.join(f'{name:17} {value}' for name, value in lines.items())


def _device_used(choose_device, name):
    try:
        return f'{choose_device(name)} (setting: {name})'
    except ValueError as error:
        return f'none: {error}'


def _weights_state(name):
    from galmorph.weights import load_card, weights_path

    try:
        card = load_card(name)
        if card.url is not None and not _is_local(card):
            return f'{name}, to be downloaded at first use ({card.size / 1e6:.1f} MB)'
        path = weights_path(card)
    except GalmorphError as error:
        return f'{name}: {error}'
    return f'{name}, verified ({path}, {card.size / 1e6:.1f} MB)'


def _is_local(card):
    from astropy.utils.data import is_url_in_cache

    if is_url_in_cache(card.url, pkgname='galmorph'):
        return True
    folders = () if card.source is None else (
        card.source.parent, card.source.parent.parent / 'data'
    )  # fmt: skip
    return any((folder / card.file).is_file() for folder in folders)
