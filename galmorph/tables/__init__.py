# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Tables in and out in pieces.

Catalogues need not fit into memory: `open_tables` reads any rows of Parquet,
FITS, ECSV, CSV and VOTable files, `TableWriter` writes Parquet and FITS chunk
by chunk. Both go through astropy, so that units, masks, descriptions and mixin
columns are what `~astropy.table.QTable` makes of them.
"""

from galmorph.tables.reading import TableStream, open_tables
from galmorph.tables.writing import TableWriter, check_writable, find_writer

__all__ = [
    'TableStream',
    'TableWriter',
    'check_writable',
    'find_writer',
    'open_tables',
]
