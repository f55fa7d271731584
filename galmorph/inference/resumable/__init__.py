# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Catalogues of any length, file to file, that go on where they were stopped."""

from galmorph.inference.resumable.run import RunSummary, annotate_file

__all__ = ['RunSummary', 'annotate_file']
