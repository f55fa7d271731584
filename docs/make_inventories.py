# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Write an inventory for Sphinx from the names of each installed package.

With these in ``_intersphinx`` the documentation builds without a network and
still notices a reference to a name that does not exist.
"""

import builtins
import importlib
import inspect
import zlib
from pathlib import Path

TARGET = Path(__file__).parent / '_intersphinx'

# The modules whose names the documentation may refer to, as each package
# documents them.
MODULES = {
    'astropy': [
        'astropy.config',
        'astropy.coordinates',
        'astropy.io.fits',
        'astropy.modeling.functional_models',
        'astropy.nddata',
        'astropy.stats',
        'astropy.table',
        'astropy.time',
        'astropy.units',
        'astropy.utils.data',
        'astropy.utils.exceptions',
        'astropy.utils.masked',
        'astropy.visualization',
        'astropy.wcs',
    ],
    'astroquery': ['astroquery.hips2fits', 'astroquery.mast', 'astroquery.sdss'],
    'lightning': ['lightning', 'lightning.pytorch', 'lightning.pytorch.callbacks'],
    'matplotlib': ['matplotlib.axes', 'matplotlib.figure', 'matplotlib.pyplot'],
    'numpy': ['numpy', 'numpy.ma', 'numpy.random', 'numpy.typing'],
    'photutils': [
        'photutils.aperture',
        'photutils.background',
        'photutils.detection',
        'photutils.profiles',
        'photutils.segmentation',
    ],
    'python': [
        'collections',
        'collections.abc',
        'dataclasses',
        'enum',
        'functools',
        'io',
        'logging',
        'os',
        'pathlib',
        'types',
        'typing',
        'warnings',
    ],
    'reproject': ['reproject'],
    'torch': ['torch', 'torch.nn', 'torch.nn.functional', 'torch.utils.data'],
    'torchmetrics': ['torchmetrics'],
}
# Labels and glossary terms that docstrings of base classes refer to.
EXTRA = {'python': [('std:term', name) for name in ('function', 'iterator', 'mapping')]}


def role_of(value):
    """Return the role of one object in the Python domain."""
    if inspect.ismodule(value):
        return 'module'
    if inspect.isclass(value):
        return 'exception' if issubclass(value, BaseException) else 'class'
    return 'function' if callable(value) else 'data'


def members_of(path, value):
    """Yield (role, name) for what a class has."""
    for name in dir(value):
        if not name.startswith('_'):
            member = inspect.getattr_static(value, name)
            called = callable(member) or isinstance(member, (classmethod, staticmethod))
            yield f'py:{"method" if called else "attribute"}', f'{path}.{name}'


def names_of(module, prefix):
    """Yield (role, name) for what a module has."""
    if prefix:
        yield 'py:module', prefix.rstrip('.')
    for name in dir(module):
        value = getattr(module, name, None)
        if name.startswith('_') or inspect.ismodule(value):
            continue
        yield f'py:{role_of(value)}', prefix + name
        if inspect.isclass(value):
            yield from members_of(prefix + name, value)


def write_inventory(path, project, entries):
    """Write version 2 of the format, see `sphinx.util.inventory`."""
    header = (
        '# Sphinx inventory version 2\n'
        f'# Project: {project}\n'
        '# Version: installed\n'
        '# The remainder of this file is compressed using zlib.\n'
    )
    lines = [f'{name} {role} 1 index.html#$ -\n' for role, name in sorted(set(entries))]
    content = zlib.compress(''.join(lines).encode())
    path.write_bytes(header.encode() + content)


def main():
    """Write all inventories."""
    TARGET.mkdir(exist_ok=True)
    for project, modules in MODULES.items():
        entries = list(EXTRA.get(project, ()))
        if project == 'python':
            entries += names_of(builtins, '')
        for name in modules:
            entries += names_of(importlib.import_module(name), f'{name}.')
        write_inventory(TARGET / f'{project}.inv', project, entries)


if __name__ == '__main__':
    main()
