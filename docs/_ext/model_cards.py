# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Write a page for each set of bundled weights, from its card."""

from pathlib import Path

import yaml

from galmorph.schemas import load_schema
from galmorph.weights import list_weights, load_card

FOLDER = 'model_cards'

INDEX = """\
***********
Model cards
***********

A page for each set of weights that comes with galmorph, made from the same
file that the classifier reads its behaviour from.

.. toctree::
   :maxdepth: 1

{entries}
"""

PAGE = """\
{heading}

**{title}**

{description}

.. code-block:: python

   from galmorph import MorphologyClassifier

   classifier = MorphologyClassifier('{name}')

.. list-table::
   :stub-columns: 1
   :widths: 25 75

{facts}

Limits
======

{limits}

{noun}
{underline}

{schema}

{questions}

Accuracy
========

{accuracy}

Treatment of the pixels
=======================

.. code-block:: yaml

{recipe}

Training
========

.. code-block:: yaml

{training}

Citation
========

{paper}

.. code-block:: bibtex

{bibtex}
"""


def heading(text):
    """Return the title of a page."""
    line = '*' * len(text)
    return f'{line}\n{text}\n{line}'


def indent(text):
    """Return text as the content of a directive."""
    return '\n'.join(f'   {line}'.rstrip() for line in text.strip().splitlines())


def literal_yaml(content):
    """Return a value as the content of a YAML block."""
    text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=79)
    return indent(text)


def escape(text):
    """Return plain text with the marks of rst made harmless."""
    for mark in '\\*`|_':
        text = text.replace(mark, f'\\{mark}')
    return text


def list_table(rows, *, header=None):
    """Return the rows of a ``list-table``, with the directive if it has a header."""
    lines = []
    for row in ([header] if header else []) + rows:
        for number, cell in enumerate(row):
            lines.append(f'   {"* -" if number == 0 else "  -"} {cell}'.rstrip())
    body = '\n'.join(lines)
    return f'.. list-table::\n   :header-rows: 1\n\n{body}' if header else body


def score_row(name, score):
    """Return the name, value, interval and count of one score."""
    value = next(score[key] for key in ('value', 'rmse') if key in score)
    interval = ''
    if score.get('low') is not None and score.get('high') is not None:
        interval = f'{score["low"]:.4f} to {score["high"]:.4f}'
    return (f'``{name}``', f'{value:.4f}', interval, str(score.get('n', '')))


def class_table(classes, matrix):
    """Return precision, recall and F1 of classes, and what they are taken for."""
    columns = ('precision', 'recall', 'f1')
    names = [escape(name) for name in classes]
    rows = [
        (f'``{name}``', *(f'{scores[key]:.3f}' for key in columns), str(scores['n']))
        for name, scores in classes.items()
    ]
    text = list_table(rows, header=('Class', 'Precision', 'Recall', 'F1', 'Galaxies'))
    if matrix is None:
        return text
    rows = [(name, *map(str, row)) for name, row in zip(names, matrix, strict=True)]
    table = list_table(rows, header=('True class', *names))
    return f'{text}\n\nWhat the galaxies of each class are taken for:\n\n{table}'


def accuracy_of(card):
    """Return the paragraphs and tables of the metrics."""
    metrics = dict(card.metrics)
    questions = metrics.pop('questions', {})
    classes, matrix = metrics.pop('classes', {}), metrics.pop('confusion_matrix', None)
    facts = {
        key: value for key, value in metrics.items() if not isinstance(value, dict)
    }
    scores = {key: value for key, value in metrics.items() if isinstance(value, dict)}
    parts = []
    if facts:
        parts.append('\n'.join(f':{key}: {escape(str(facts[key]))}' for key in facts))
    is_tree = load_schema(card.schema).kind == 'tree'
    noun = 'Question' if is_tree else 'Attribute'
    for label, content in (('Score', scores), (noun, questions)):
        if content:
            rows = [score_row(name, score) for name, score in content.items()]
            columns = (label, 'Value', 'Interval', 'Galaxies')
            parts.append(list_table(rows, header=columns))
    if classes:
        parts.append(class_table(classes, matrix))
    return '\n\n'.join(parts) or 'The card states no metrics.'


def questions_of(card):
    """Return the table of the questions or attributes, and which are answered."""
    schema = load_schema(card.schema)
    is_tree = schema.kind == 'tree'
    rows = [
        (
            f'``{entry.name}``',
            escape(entry.text),
            'yes' if entry.name in card.supported_questions else 'no',
        )
        for entry in (schema.questions if is_tree else schema.attributes)
    ]
    noun = 'Question' if is_tree else 'Attribute'
    return list_table(rows, header=(noun, 'Text', 'Supported'))


def schema_of(card):
    """Return what the schema is, in a sentence."""
    if load_schema(card.schema).kind == 'tree':
        return (
            f'The decision tree is ``{card.schema}``. A question without support has '
            'masked columns.'
        )
    return (
        f'The attributes are those of ``{card.schema}``. One without support has a '
        'masked column.'
    )


def paper_of(card):
    """Return one line on the paper of the weights."""
    paper = card.paper
    named = [str(paper[key]) for key in ('authors', 'year', 'title') if paper.get(key)]
    text = escape(', '.join(named))
    if paper.get('journal'):
        text += f', {escape(str(paper["journal"]))}'
    if paper.get('doi'):
        text += f', `doi:{paper["doi"]} <https://doi.org/{paper["doi"]}>`__'
    return text


def page_of(card):
    """Return the page of one card."""
    options = card.network['options']
    network = f'``{card.network["name"]}``'
    if options:
        settings = ', '.join(f'{key}={value!r}' for key, value in options.items())
        network += f' ({escape(settings)})'
    facts = [
        ('Name', f'``{card.name}``'),
        ('Version', escape(str(card.version))),
        ('Licence', escape(card.licence)),
        ('Trained on images of', escape(card.instrument)),
        ('Network', network),
        ('File', f'``{card.file}``, {card.size / 1e6:.1f} MB'),
        ('SHA-256', f'``{card.sha256}``'),
    ]
    if card.url:
        facts.append(('Address', card.url))
    noun = 'Questions' if load_schema(card.schema).kind == 'tree' else 'Attributes'
    return PAGE.format(
        heading=heading(card.name),
        name=card.name,
        title=escape(card.title),
        description=escape(card.description.strip()),
        facts=list_table(facts),
        limits='\n'.join(f'* {escape(" ".join(text.split()))}' for text in card.limits),
        noun=noun,
        underline='=' * len(noun),
        schema=schema_of(card),
        questions=questions_of(card),
        accuracy=accuracy_of(card),
        recipe=literal_yaml(card.recipe),
        training=literal_yaml(card.training),
        paper=paper_of(card),
        bibtex=indent(card.citation()),
    )


def write(path, text):
    """Write a page if it changed, so that Sphinx reads only what it has to."""
    if not path.exists() or path.read_text(encoding='utf-8') != text:
        path.write_text(text, encoding='utf-8')


def write_pages(app):
    """Write all pages, and remove those whose weights are gone."""
    folder = Path(app.srcdir) / FOLDER
    folder.mkdir(exist_ok=True)
    names = list_weights()
    for name in names:
        write(folder / f'{name}.rst', page_of(load_card(name)))
    write(
        folder / 'index.rst', INDEX.format(entries='\n'.join(f'   {n}' for n in names))
    )
    for path in set(folder.glob('*.rst')) - {folder / f'{n}.rst' for n in names}:
        if path.name != 'index.rst':
            path.unlink()


def setup(app):
    """Write the pages before Sphinx looks for them."""
    app.connect('builder-inited', write_pages, priority=100)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
