# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What comes in: the image of a galaxy, the one parser, and mosaics."""

from galmorph.images.content import check_content
from galmorph.images.galaxy_image import GalaxyImage
from galmorph.images.headers import parse_unit
from galmorph.images.mosaic import Mosaic
from galmorph.images.opening import open_mosaic
from galmorph.images.reading import is_single_image, read_image, read_images
from galmorph.images.tiled import TiledMosaic

__all__ = [
    'GalaxyImage',
    'Mosaic',
    'TiledMosaic',
    'check_content',
    'is_single_image',
    'open_mosaic',
    'parse_unit',
    'read_image',
    'read_images',
]
