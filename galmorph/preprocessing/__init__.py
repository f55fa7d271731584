# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""From the pixels of an image to the batch that a network sees."""
