# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The directive ``command-help``: the help of a command, as it prints it."""

import contextlib
import io
import os
from unittest import mock

from docutils import nodes
from docutils.parsers.rst import Directive

from galmorph.cli import main


class CommandHelp(Directive):
    """A block of text; the words after ``galmorph`` as argument, if any."""

    optional_arguments = 1
    final_argument_whitespace = True

    def run(self):
        """Return the help as a node."""
        text = help_of(self.arguments[0].split() if self.arguments else [])
        return [nodes.literal_block(text, text, language='none')]


def help_of(words):
    """Return what ``galmorph <words> --help`` prints, 80 characters wide."""
    printed = io.StringIO()
    with (
        mock.patch.dict(os.environ, COLUMNS='80'),
        contextlib.redirect_stdout(printed),
        contextlib.suppress(SystemExit),
    ):
        main([*words, '--help'])
    return printed.getvalue().strip()


def setup(app):
    """Register the directive."""
    app.add_directive('command-help', CommandHelp)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
