# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The directive ``tree-table``: the answers of a decision tree, from the code."""

from docutils import nodes
from docutils.parsers.rst import Directive

from galmorph.schemas import load_schema

HEADER = ('Column', 'Answer', 'In the catalogue', 'On Kaggle')
WIDTHS = (44, 24, 18, 14)


class TreeTable(Directive):
    """A table a question; the name of the tree as argument."""

    required_arguments = 1

    def run(self):
        """Return the questions as paragraphs, each with its table."""
        schema = load_schema(self.arguments[0])
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
    group = nodes.tgroup(cols=len(HEADER))
    group += [nodes.colspec(colwidth=width) for width in WIDTHS]
    head, body = nodes.thead(), nodes.tbody()
    head += row_of([nodes.Text(text) for text in HEADER])
    columns = schema.columns[question.slice]
    for column, answer in zip(columns, question.answers, strict=True):
        texts = [nodes.Text(text) for text in (answer.label, answer.id, answer.column)]
        body += row_of([nodes.literal('', column), *texts])
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
