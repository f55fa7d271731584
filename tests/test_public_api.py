# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the names that galmorph offers, and of what they say of themselves."""

import importlib
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

import galmorph

PACKAGE = Path(galmorph.__file__).parent
# A room that is installed with an extra, and the package that tells it is there
OPTIONAL = {'galmorph.training': 'lightning'}


def public_modules():
    for path in sorted(PACKAGE.rglob('*.py')):
        parts = path.relative_to(PACKAGE.parent).with_suffix('').parts
        parts = parts[:-1] if parts[-1] == '__init__' else parts
        if not any(part.startswith('_') for part in parts):
            yield '.'.join(parts)


def load(name):
    for room, requirement in OPTIONAL.items():
        if name == room or name.startswith(f'{room}.'):
            pytest.importorskip(requirement)
    return importlib.import_module(name)


def names_of(module):
    # a package may have nothing of its own to offer
    is_package = hasattr(module, '__path__')
    return vars(module).get('__all__', ()) if is_package else module.__all__


def run_python(code):
    return subprocess.run(
        [sys.executable, '-c', code], capture_output=True, text=True, check=True
    ).stdout.strip()


class TestLazyImport:
    HEAVY = ('torch', 'astroquery', 'photutils', 'reproject', 'matplotlib')

    def test_import_loads_nothing_heavy(self):
        code = (
            'import sys, galmorph\n'
            f'print([name for name in {self.HEAVY} if name in sys.modules])'
        )
        assert run_python(code) == '[]'

    def test_looking_at_the_names_loads_nothing_heavy(self):
        code = (
            'import sys, galmorph\n'
            'dir(galmorph), galmorph.__version__, galmorph.__citation__\n'
            f'print([name for name in {self.HEAVY} if name in sys.modules])'
        )
        assert run_python(code) == '[]'

    def test_names_resolve_once(self):
        code = (
            'import galmorph\n'
            'first = galmorph.decode_flags\n'
            "print(first is galmorph.decode_flags, 'decode_flags' in vars(galmorph))"
        )
        assert run_python(code) == 'True True'

    def test_unknown_name(self):
        with pytest.raises(AttributeError, match="no attribute 'spiral'"):
            _ = galmorph.spiral


class TestPackage:
    @pytest.mark.parametrize('name', galmorph.__all__)
    def test_every_public_name_resolves(self, name):
        assert getattr(galmorph, name) is not None

    def test_dir_lists_every_public_name(self):
        assert set(galmorph.__all__) <= set(dir(galmorph))

    def test_lazy_names_are_public(self):
        assert set(galmorph._HOMES) <= set(galmorph.__all__)

    def test_version(self):
        assert re.match(r'\d+(\.\d+)*', galmorph.__version__)

    def test_citation_is_bibtex_of_this_version(self):
        assert galmorph.__citation__ is galmorph.__bibtex__
        assert galmorph.__bibtex__.startswith('@software{galmorph,')
        assert galmorph.__bibtex__.count('{') == galmorph.__bibtex__.count('}')
        assert f'{{{galmorph.__version__}}}' in galmorph.__bibtex__


@pytest.mark.parametrize('name', list(public_modules()))
class TestModules:
    def test_names_its_public_objects(self, name):
        module = load(name)
        assert module.__doc__
        assert all(hasattr(module, public) for public in names_of(module))

    def test_every_public_object_has_a_running_example(self, name):
        module = load(name)
        without = []
        for public in names_of(module):
            value = getattr(module, public)
            if not (inspect.isfunction(value) or inspect.isclass(value)):
                continue
            if inspect.isclass(value) and issubclass(value, BaseException):
                # raised, not called
                continue
            text = inspect.getdoc(value) or ''
            if not re.search(r'^Examples\n-+\n.*>>> ', text, re.DOTALL | re.MULTILINE):
                without.append(f'{name}.{public}')
        assert without == []
