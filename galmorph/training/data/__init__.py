# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a training sees: labels, splits, decoded pixels, batches."""
