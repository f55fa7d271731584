# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The directive ``tree-table``: answers of a tree, or attributes, from the code."""

from docutils import nodes
from docutils.parsers.rst import Directive

from galmorph.schemas import load_schema

ANSWERS = ('Column', 'Answer', 'In the catalogue')
ATTRIBUTES = ('Column', 'Attribute', 'Scale', 'What it says')
WIDTHS = (44, 24, 18, 14)


class TreeTable(Directive):
    """A table a question, or one of attributes; the name of the schema as argument."""

    required_arguments = 1

    def run(self):
        """Return the questions as paragraphs, each with its table."""
        schema = load_schema(self.arguments[0])
        if schema.kind == 'attributes':
            return [attribute_table(schema)]
        content = []
        for question in schema.questions:
            asked = 'of every galaxy'
            if question.parent is not None:
                asked = f'after {schema.columns[question.parent]}'
            line = nodes.paragraph()
            line += nodes.strong('', f'{question.task} {question.name}')
            line += nodes.Text(f', asked {asked}: ')
            line += nodes.emphasis('', question.text)
            content += [line, table_of(schema, question)]
        return content


def table_of(schema, question):
    """Return the table of the answers of a question."""
    columns = schema.columns[question.slice]
    rows = [
        (column, answer.label, answer.id, answer.column)
        for column, answer in zip(columns, question.answers, strict=True)
    ]
    source = 'On Kaggle' if schema.source == 'Kaggle' else 'Its column'
    return make_table((*ANSWERS, source), rows)


def attribute_table(schema):
    """Return the table of attributes."""
    rows = [
        (attribute.name, attribute.label, f'{attribute.low:g} to {attribute.high:g}',
         attribute.text)
        for attribute in schema.attributes
    ]  # fmt: skip
    return make_table(ATTRIBUTES, rows)


def make_table(header, rows):
    """Return a table whose first column is code."""
    group = nodes.tgroup(cols=len(header))
    group += [nodes.colspec(colwidth=width) for width in WIDTHS]
    head, body = nodes.thead(), nodes.tbody()
    head += row_of([nodes.Text(text) for text in header])
    for column, *texts in rows:
        cells = [nodes.Text(text) for text in texts]
        body += row_of([nodes.literal('', column), *cells])
    group += [head, body]
    table = nodes.table()
    table += group
    return table


def row_of(cells):
    """Return a row of a table."""
    row = nodes.row()
    for cell in cells:
        row += nodes.entry('', nodes.paragraph('', '', cell))
    return row


def setup(app):
    """Register the directive."""
    app.add_directive('tree-table', TreeTable)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
