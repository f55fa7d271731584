# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Inference: batches through a network, and tables through both."""
