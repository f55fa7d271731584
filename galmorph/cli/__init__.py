# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command line: its commands, what they are given, and what they write."""

from galmorph.cli.commands import main

__all__ = ['main']
