# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Tests of the directives and references that the documentation adds to Sphinx."""

import types
from pathlib import Path

import pytest

import galmorph
from galmorph import load_schema
from tests.helpers.modules import load_file

DOCS = Path(__file__).parents[2] / 'docs'


def load(name):
    pytest.importorskip('docutils')
    return load_file(f'docs/_ext/{name}.py')


class TestTreeTable:
    def test_has_every_answer_with_its_column(self):
        module, schema = load('tree_table'), load_schema('gz2')
        tables = [module.table_of(schema, q).astext() for q in schema.questions]
        text = '\n'.join(tables)
        for column, answer in zip(schema.columns, schema.answers, strict=True):
            assert column in text
            assert answer.column in text

    def test_one_row_an_answer(self):
        module, schema = load('tree_table'), load_schema('gz2')
        table = module.table_of(schema, schema.question('odd_feature'))
        rows = [node for node in table.findall() if node.tagname == 'row']
        assert len(rows) == 1 + 7

    @pytest.mark.parametrize(
        ('name', 'source'), [('gz2', 'On Kaggle'), ('gz_ceers', 'Its column')]
    )
    def test_says_whose_columns(self, name, source):
        module, schema = load('tree_table'), load_schema(name)
        assert source in module.table_of(schema, schema.questions[0]).astext()

    def test_attributes(self):
        module, schema = load('tree_table'), load_schema('efigi')
        text = module.attribute_table(schema).astext()
        assert '-6 to 11' in text
        for attribute in schema.attributes:
            assert attribute.name in text
            assert attribute.text in text


class TestCommandHelp:
    @pytest.mark.parametrize('words', [[], ['predict'], ['weights', 'show']])
    def test_is_that_of_the_command(self, words):
        text = load('command_help').help_of(words)
        assert text.startswith(' '.join(['usage: galmorph', *words]))
        assert max(map(len, text.splitlines())) <= 88


class TestMathml:
    @pytest.mark.parametrize('renderer', ['visit_inline', 'visit_block'])
    def test_needs_no_script(self, renderer):
        module = load('mathml')
        translator = types.SimpleNamespace(body=[])
        node = types.SimpleNamespace(astext=lambda: r'\frac{1}{\ln n} \sum_k p_k')
        with pytest.raises(module.nodes.SkipNode):
            getattr(module, renderer)(translator, node)
        (written,) = translator.body
        assert '<mfrac>' in written
        assert 'script' not in written


class TestShortNames:
    def resolve(self, target, domain='py'):
        found = []
        python = types.SimpleNamespace(
            resolve_xref=lambda *args: found.append(args[4]) or 'reference'
        )
        env = types.SimpleNamespace(domains={'py': python})
        app = types.SimpleNamespace(builder=None)
        node = {'reftarget': target, 'refdomain': domain, 'refdoc': '', 'reftype': ''}
        load('short_names').resolve(app, env, node, None)
        return found

    @pytest.mark.parametrize(
        ('target', 'expected'),
        [
            ('galmorph.GalaxyImage', 'galmorph.images.GalaxyImage'),
            (
                'galmorph.MorphologyClassifier.predict',
                'galmorph.classifier.MorphologyClassifier.predict',
            ),
        ],
    )
    def test_leads_to_the_home_of_a_name(self, target, expected):
        assert self.resolve(target) == [expected]

    @pytest.mark.parametrize('target', ['galmorph.Unknown', 'astropy.table', 'x'])
    def test_leaves_others_alone(self, target):
        assert self.resolve(target) == []
        assert self.resolve('galmorph.GalaxyImage', domain='std') == []

    @pytest.mark.parametrize('name', sorted(galmorph._HOMES))
    def test_homes_have_a_section_in_the_reference(self, name):
        reference = (DOCS / 'reference.rst').read_text('utf-8')
        assert f'automodapi:: {galmorph._HOMES[name]}\n' in reference


class TestPages:
    def test_every_figure_is_shown(self):
        source = (DOCS / 'figures.py').read_text('utf-8')
        pages = ''.join(
            path.read_text('utf-8') for path in (DOCS / 'user_guide').glob('*.rst')
        )
        drawn = [
            part.partition('(')[0]
            for part in source.split('\ndef ')[1:]
            if '    return figure' in part
        ]
        assert len(drawn) >= 6
        assert [name for name in drawn if f'figures.py {name}\n' not in pages] == []

    def test_every_public_module_is_in_the_reference(self):
        reference = (DOCS / 'reference.rst').read_text('utf-8')
        sections = set(reference.split())
        root = Path(galmorph.__file__).parent
        missing = []
        for path in sorted(root.rglob('*.py')):
            parts = path.relative_to(root).with_suffix('').parts
            if any(part.startswith('_') and part != '__init__' for part in parts):
                continue
            names = [part for part in parts if part != '__init__']
            homes = {
                '.'.join(['galmorph', *names[:k]]) for k in range(1, len(names) + 1)
            }
            is_empty = '__all__' not in path.read_text('utf-8')
            if names and not is_empty and not homes & sections:
                missing.append('.'.join(names))
        assert missing == []
