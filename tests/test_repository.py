# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the files around the package: what they promise has to hold."""

import ast
import configparser
import re
import tomllib
from pathlib import Path

import pytest
import yaml

import galmorph

ROOT = Path(__file__).parents[1]
SUFFIXES = {'.cff', '.cfg', '.ini', '.md', '.py', '.rst', '.toml', '.txt', '.yaml'}
SKIPPED = {'_build', '_intersphinx', 'api', 'build', 'dist', 'runs', 'tutorials'}


def text_files():
    for path in sorted(ROOT.rglob('*')):
        parts = path.relative_to(ROOT).parts
        folders = {part for part in parts[:-1] if part != '.ci'}
        if any(part.startswith('.') or part.endswith('-info') for part in folders):
            continue
        if not folders & SKIPPED and path.suffix in SUFFIXES and path.is_file():
            yield path


@pytest.fixture(scope='module')
def metadata():
    parser = configparser.ConfigParser()
    parser.read(ROOT / 'setup.cfg', encoding='utf-8')
    return parser


def requirements(text):
    return [line for line in text.splitlines() if line and not line.startswith('#')]


def files_with(pattern):
    expression = re.compile(pattern)
    return [path for path in text_files() if expression.search(path.read_text('utf-8'))]


class TestText:
    def test_never_installs_the_package_of_a_stranger(self):
        # the name without the prefix belongs to another project on PyPI
        assert files_with(r'pip install[^\n&;|]*[ \'"]galmorph(?![-\w/.])') == []

    def test_names_no_absolute_home(self):
        assert files_with(r'(?<![\w.:/}])/(home|mnt|root|work|Users)/\w') == []

    def test_has_no_unfinished_business(self):
        assert files_with('TO' + 'DO|FIX' + 'ME|X' + 'XX') == []

    @pytest.mark.parametrize('name', ['CITATION.cff', 'LICENSE.rst', 'README.md'])
    def test_says_who_made_it(self, name):
        assert 'galmorph' in (ROOT / name).read_text('utf-8')


class TestMetadata:
    def test_package_data_patterns_have_a_package(self, metadata):
        for package, patterns in metadata['options.package_data'].items():
            folder = ROOT.joinpath(*package.split('.'))
            assert folder.is_dir()
            for pattern in patterns.split(','):
                assert list(folder.glob(pattern.strip())), f'{package}: {pattern}'

    def test_oldest_versions_are_the_declared_floors(self, metadata):
        lines = requirements(metadata['options']['install_requires'])
        floors = dict(line.split('>=') for line in lines)
        oldest = (ROOT / 'constraints-oldest.txt').read_text('utf-8')
        pins = dict(re.findall(r'^([\w-]+)==([\d.]+\d)', oldest, re.MULTILINE))
        # the builds of old torch releases are several gigabytes, see the file
        floors.pop('torch')
        assert {name: pins[name] for name in floors} == floors

    def test_style_checker_is_the_same_everywhere(self):
        hooks = yaml.safe_load((ROOT / '.pre-commit-config.yaml').read_text('utf-8'))
        versions = {hook['repo']: hook['rev'] for hook in hooks['repos']}
        version = versions['https://github.com/astral-sh/ruff-pre-commit']
        assert f'ruff=={version.removeprefix("v")}' in (ROOT / 'tox.ini').read_text(
            'utf-8'
        )

    def test_citation_file(self):
        citation = yaml.safe_load((ROOT / 'CITATION.cff').read_text('utf-8'))
        assert citation['license'] == 'BSD-3-Clause'
        assert (
            citation['title'].replace('galmorph', '{galmorph}') in galmorph.__bibtex__
        )

    def test_changelog_fragments_have_a_known_type(self):
        settings = tomllib.loads((ROOT / 'pyproject.toml').read_text('utf-8'))
        types = {kind['directory'] for kind in settings['tool']['towncrier']['type']}
        for path in (ROOT / 'changelog').glob('*.*.rst'):
            assert path.name.split('.')[-2] in types


def readme_examples():
    text = (ROOT / 'README.md').read_text('utf-8')
    return re.findall(r'^```python\n(.*?)^```', text, re.DOTALL | re.MULTILINE)


class TestReadme:
    def test_has_examples(self):
        assert readme_examples()

    def test_examples_run_in_order(self, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        names = {}
        for number, source in enumerate(readme_examples()):
            code = compile(ast.parse(source), f'README.md, example {number}', 'exec')
            exec(code, names)
