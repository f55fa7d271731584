# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Who may import whom.

The table below is the layout of the package. A module that needs more than its
room allows belongs in another room, or the table is changed on purpose.
"""

import ast
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / 'galmorph'
EVERYTHING = ('*',)


@dataclass(frozen=True)
class Room:
    """
    What the modules of one room may import.

    ``galmorph`` names rooms or single modules of the package, ``outside``
    other packages, and ``in_functions`` other packages that only functions may
    import. The standard library is free. ``modules`` adds to ``outside`` for
    single modules, ``modules_in_functions`` to ``in_functions``, and
    ``modules_within`` to ``galmorph``.
    """

    galmorph: tuple = ()
    outside: tuple = ()
    in_functions: tuple = ()
    modules: tuple = ()
    modules_in_functions: tuple = ()
    modules_within: tuple = ()

    def allows(self, module, target, *, in_function):
        """Tell whether ``module`` of this room may import ``target``."""
        if target.startswith('galmorph.'):
            name = target.removeprefix('galmorph.')
            allowed = self.galmorph + dict(self.modules_within).get(module, ())
        else:
            name = target
            allowed = self.outside + dict(self.modules).get(module, ())
            if in_function:
                allowed += self.in_functions
                allowed += dict(self.modules_in_functions).get(module, ())
        return any(
            entry in ('*', name) or name.startswith(f'{entry}.') for entry in allowed
        )


GROUND = ('config', 'exceptions', 'files', 'flags')

ROOMS = {
    'exceptions': Room(outside=('astropy',)),
    'config': Room(outside=('astropy',)),
    'files': Room(),
    'flags': Room(outside=('astropy', 'numpy')),
    'schemas': Room(galmorph=('exceptions',), outside=('numpy',)),
    'images': Room(
        galmorph=GROUND,
        outside=('astropy', 'numpy'),
        # pictures and URLs only; others never load them
        in_functions=('PIL', 'fsspec'),
    ),
    'tables': Room(
        galmorph=('exceptions', 'files'),
        outside=('astropy', 'numpy'),
        in_functions=('pyarrow',),
    ),
    'sources': Room(
        galmorph=(*GROUND, 'images'),
        outside=('astropy', 'astroquery', 'numpy'),
        in_functions=('requests', 'tqdm'),
        # the bands of a field of the SDSS are brought to one grid
        modules=(('sources.sdss', ('scipy',)),),
    ),
    'preprocessing': Room(
        galmorph=('exceptions', 'flags', 'images'),
        outside=('astropy', 'numpy', 'photutils', 'reproject', 'scipy'),
        modules=(
            ('preprocessing.render', ('torch',)),
            ('preprocessing.stretch', ('torch',)),
        ),
    ),
    'networks': Room(outside=('torch',)),
    'weights': Room(
        galmorph=(
            'config',
            'exceptions',
            'files',
            'networks',
            'preprocessing.recipe',
            'schemas',
        ),
        outside=('astropy', 'safetensors', 'yaml'),
        modules_in_functions=(('weights.storage', ('numpy', 'torch')),),
    ),
    # a training ends with the measurement of what it wrote, by the classifier
    'training': Room(
        galmorph=(
            *GROUND,
            'classifier',
            'images',
            'inference',
            'networks',
            'preprocessing',
            'schemas',
            'weights',
        ),
        outside=('astropy', 'lightning', 'numpy', 'torch', 'torchmetrics', 'yaml'),
        in_functions=('tqdm',),
    ),
    'inference': Room(
        galmorph=(
            *GROUND,
            'images',
            'networks',
            'predictions',
            'preprocessing',
            'schemas',
            'sources',
            'tables',
            'weights',
        ),
        outside=('astropy', 'numpy', 'torch', 'tqdm'),
        in_functions=('dask', 'lsdb'),
        modules_in_functions=(
            ('inference.distributed', ('distributed', 'pandas', 'pyarrow')),
            # the check of an exported network
            ('inference.export', ('onnxruntime',)),
        ),
        # each worker has a classifier of its own
        modules_within=(('inference.distributed', ('classifier',)),),
    ),
    'predictions': Room(
        galmorph=('exceptions', 'flags', 'images', 'schemas', 'tables'),
        outside=('astropy', 'numpy'),
        in_functions=('matplotlib',),
    ),
    'plotting': Room(
        galmorph=('exceptions', 'flags', 'images', 'schemas'),
        outside=('astropy', 'numpy'),
        in_functions=('matplotlib',),
    ),
    'report': Room(
        galmorph=('exceptions', 'flags', 'images', 'schemas'),
        outside=('astropy', 'numpy'),
        in_functions=('matplotlib',),
    ),
    'explain': Room(
        galmorph=(
            *GROUND,
            'images',
            'inference',
            'networks',
            'preprocessing',
            'schemas',
            'weights',
        ),
        outside=('astropy', 'numpy', 'torch'),
        in_functions=('matplotlib', 'tqdm'),
    ),
    'classifier': Room(galmorph=EVERYTHING, outside=('astropy', 'numpy')),
    # `galmorph info` asks torch for its devices
    'cli': Room(
        galmorph=EVERYTHING,
        outside=('astropy', 'numpy'),
        in_functions=('torch',),
        modules=(('cli.evaluate', ('yaml',)),),
        modules_in_functions=(
            ('cli.evaluate', ('matplotlib',)),
            ('cli.fetch', ('PIL', 'tqdm')),
        ),
    ),
    '__main__': Room(galmorph=('cli',)),
    # the deep field, its galaxies and the sheet of the command `galmorph demo`
    'demo': Room(
        galmorph=EVERYTHING,
        outside=('astropy', 'numpy'),
        in_functions=('matplotlib', 'photutils', 'scipy', 'skimage'),
    ),
}


def module_name(path):
    """Return 'images.reading' for galmorph/images/reading.py."""
    parts = path.relative_to(PACKAGE).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def is_module(name):
    base = PACKAGE.joinpath(*name.split('.')[1:])
    return base.is_dir() or base.with_suffix('.py').is_file()


def public_names():
    """Return the home of each name that `from galmorph import name` offers."""
    tree = ast.parse((PACKAGE / '__init__.py').read_text(encoding='utf-8'))
    for node in tree.body:
        if isinstance(node, ast.Assign) and node.targets[0].id == '_HOMES':
            return ast.literal_eval(node.value)
    msg = 'galmorph/__init__.py has no _HOMES'
    raise AssertionError(msg)


def targets_of(node, module, *, is_package):
    """Yield the modules that one import statement loads."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
        return
    base = node.module or ''
    if node.level:
        parts = ['galmorph', *module.split('.')]
        parts = parts[: len(parts) - node.level + is_package]
        base = '.'.join([*parts, base] if base else parts)
    for alias in node.names:
        full = f'{base}.{alias.name}'
        if base == 'galmorph' and not is_module(full):
            # version and citation are the package's own; the rest is lazy
            full = public_names().get(alias.name, 'galmorph')
        yield full if is_module(full) or not base.startswith('galmorph') else base


def imports_of(source, module, *, is_package):
    """Yield (target, line, whether a function does it) for each import."""

    def walk(node, *, in_function):
        for child in ast.iter_child_nodes(node):
            if isinstance(child, (ast.Import, ast.ImportFrom)):
                for target in targets_of(child, module, is_package=is_package):
                    yield target, child.lineno, in_function
            else:
                inner = in_function or isinstance(
                    child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
                )
                yield from walk(child, in_function=inner)

    yield from walk(ast.parse(source), in_function=False)


def violations(source, module, *, is_package=False):
    """Return a line for each import that the room of ``module`` forbids."""
    name = module.split('.', maxsplit=1)[0]
    room = ROOMS[name]
    found = []
    for target, line, in_function in imports_of(source, module, is_package=is_package):
        own = target == f'galmorph.{name}' or target.startswith(f'galmorph.{name}.')
        free = target.split('.')[0] in sys.stdlib_module_names or target == 'galmorph'
        if own or free or room.allows(module, target, in_function=in_function):
            continue
        place = 'in a function' if in_function else 'at the top'
        found.append(f'galmorph.{module}, line {line}, imports {target} {place}')
    return found


MODULES = sorted(
    path
    for path in PACKAGE.rglob('*.py')
    if path not in (PACKAGE / '__init__.py', PACKAGE / '_version.py')
)


@pytest.mark.parametrize('path', MODULES, ids=module_name)
def test_module_keeps_to_its_room(path):
    module = module_name(path)
    assert module.split('.')[0] in ROOMS, f'give {module} a row in ROOMS'
    source = path.read_text(encoding='utf-8')
    assert not violations(source, module, is_package=path.name == '__init__.py')


def test_package_itself_imports_nothing_heavy():
    source = (PACKAGE / '__init__.py').read_text(encoding='utf-8')
    targets = {target for target, _, _ in imports_of(source, '', is_package=True)}
    assert targets <= {'importlib', 'galmorph', 'galmorph._version'}


def test_public_names_point_to_modules():
    assert all(is_module(home) for home in public_names().values())


class TestViolations:
    @pytest.mark.parametrize(
        ('module', 'source'),
        [
            ('networks.resnet', 'import numpy'),
            ('networks.resnet', 'from galmorph.schemas import load_schema'),
            ('networks.resnet', 'from ..schemas import load_schema'),
            ('networks.resnet', 'from galmorph import load_schema'),
            ('networks.resnet', 'from galmorph import schemas'),
            ('images.reading', 'from PIL import Image'),
            ('preprocessing.photometry', 'import torch.nn.functional as F'),
            ('weights.card', 'from galmorph.preprocessing import Recipe'),
            ('weights.card', 'def f():\n    import torch'),
            ('weights.storage', 'import torch'),
            ('inference.distributed', 'import dask.array'),
            ('predictions', 'class A:\n    import matplotlib.pyplot'),
            ('predictions', 'if True:\n    import torch'),
            ('schemas', 'from .. import weights'),
        ],
    )
    def test_finds_what_is_forbidden(self, module, source):
        assert len(violations(source, module, is_package=module == 'schemas')) == 1

    @pytest.mark.parametrize(
        ('module', 'source'),
        [
            ('networks.resnet', 'import torch.nn.functional as F\nimport math'),
            ('networks.resnet', 'from galmorph.networks.layers import maxout'),
            ('networks.resnet', 'from .layers import maxout'),
            ('images.reading', 'def read():\n    from PIL import Image'),
            ('preprocessing.render', 'import torch'),
            ('weights.card', 'from galmorph.preprocessing.recipe import Recipe'),
            ('weights.card', 'from galmorph.preprocessing import recipe'),
            ('weights.card', 'from galmorph import __bibtex__'),
            ('weights.storage', 'def load():\n    import torch'),
            ('inference.distributed', 'def f():\n    import dask.array'),
            ('classifier', 'from galmorph.inference import engine'),
        ],
    )
    def test_passes_what_is_allowed(self, module, source):
        assert violations(source, module) == []
