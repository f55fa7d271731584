# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The directive ``flag-table``: the bits of ``morphology_flags``, from the code."""

from docutils import nodes
from docutils.parsers.rst import Directive

from galmorph.flags import FATAL, describe_flags


class FlagTable(Directive):
    """A table of value, name and meaning; ``fatal`` or ``other`` as argument."""

    required_arguments = 1

    def run(self):
        """Return the table as a node."""
        wanted = self.arguments[0] == 'fatal'
        rows = [
            (str(value), name, meaning)
            for name, (value, meaning) in describe_flags().items()
            if bool(value & FATAL) == wanted
        ]
        group = nodes.tgroup(cols=3)
        group += [nodes.colspec(colwidth=width) for width in (10, 25, 65)]
        head, body = nodes.thead(), nodes.tbody()
        head += self._row(('Value', 'Name', 'Meaning'))
        for row in rows:
            body += self._row(row)
        group += [head, body]
        table = nodes.table()
        table += group
        return [table]

    @staticmethod
    def _row(texts):
        row = nodes.row()
        for text in texts:
            row += nodes.entry('', nodes.paragraph('', '', nodes.Text(text)))
        return row


def setup(app):
    """Register the directive."""
    app.add_directive('flag-table', FlagTable)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
