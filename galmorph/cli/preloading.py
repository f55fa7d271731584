# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Modules of the user's own, imported before a command looks anything up."""

import importlib
import importlib.util
import sys
from pathlib import Path

from galmorph.cli.outputs import RequestError

__all__ = ['Preloaded']


class Preloaded:
    """
    Modules that were imported, and are again in a process that this is sent to.

    Parameters
    ----------
    names : sequence of str
        Modules, or files that end in ``.py``. What lies beside a file can be
        imported from it.

    Raises
    ------
    `~galmorph.cli.outputs.RequestError`
        If one is not there, or cannot be run.

    Examples
    --------
    >>> from galmorph.cli.preloading import Preloaded
    >>> Preloaded(['mine.py'])
    Traceback (most recent call last):
    ...
    galmorph.cli.outputs.RequestError: --preload: there is no file 'mine.py'
    """

    def __init__(self, names):
        self.names = tuple(names)
        for name in self.names:
            is_file = name.endswith('.py')
            if is_file and not Path(name).is_file():
                msg = f'--preload: there is no file {name!r}'
                raise RequestError(msg)
            try:
                _run_file(Path(name)) if is_file else importlib.import_module(name)
            except Exception as error:
                is_lost = isinstance(error, ImportError) and error.name == name
                hint = f"; a file is given as '{name}.py'" if is_lost else ''
                msg = f'--preload {name!r}: {type(error).__name__}: {error}{hint}'
                raise RequestError(msg) from error

    def __reduce__(self):
        return type(self), (self.names,)


def _run_file(path):
    """Import a file, once, under a name that no other module has."""
    path = path.resolve()
    name = str(path)
    if name in sys.modules:
        return
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
