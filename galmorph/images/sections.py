# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Pixels of tiles, read in sections: no more of a file than is needed."""

import collections
import contextlib
import io
import math
import mmap
import os
import threading

import numpy as np
from astropy.io import fits

from galmorph.images.finding import is_remote, remote_file

__all__ = ['MAX_BYTES', 'SectionReader', 'plan_blocks']

#: The bytes of pixels that are read at a time, if one cutout is not larger.
MAX_BYTES = 1 << 27

# What it costs to begin another row of a file, and another section of a
# compressed image, in pixels that are read in this time.
_ROW_COST = 1000
_SECTION_COST = 50_000
# Files that are decompressed as a whole stay in memory, this many.
_KEPT_FILES = 3
# Blocks of as many bytes are large.
_LARGE = 1 << 20


def plan_blocks(boxes, *, cost, max_pixels):
    """
    Decide which boxes of pixels are read together.

    Parameters
    ----------
    boxes : `~numpy.ndarray` of int, shape (n, 4)
        x_start, x_stop, y_start, y_stop of each.
    cost : callable
        From boxes to what it costs to read each of them.
    max_pixels : int
        How many pixels may be read together.

    Returns
    -------
    blocks : list of (`~numpy.ndarray`, `~numpy.ndarray`)
        A box, and which of ``boxes`` lie in it: one alone, or several that
        overlap in their rows where this is cheaper.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images.sections import plan_blocks
    >>> boxes = np.array([[0, 9, 0, 9], [2, 11, 4, 13], [0, 9, 500, 509]])
    >>> area = lambda b: (b[:, 1] - b[:, 0]) * (b[:, 3] - b[:, 2])
    >>> for box, which in plan_blocks(boxes, cost=area, max_pixels=1000):
    ...     print(box, which)
    [ 0 11  0 13] [0 1]
    [  0   9 500 509] [2]
    """
    order = np.lexsort((boxes[:, 0], boxes[:, 2]))
    groups, union = [], None
    for index, box in zip(order.tolist(), boxes[order].tolist(), strict=True):
        if union is not None and box[2] < union[3]:
            wider = _union(union, box)
            if (wider[1] - wider[0]) * (wider[3] - wider[2]) <= max_pixels:
                union = wider
                groups[-1][0] = wider
                groups[-1][1].append(index)
                continue
        union = box
        groups.append([box, [index]])
    alone = cost(boxes)
    together = cost(np.array([box for box, _ in groups]).reshape(-1, 4))
    blocks = []
    for (box, which), whole in zip(groups, together.tolist(), strict=True):
        if len(which) == 1 or whole <= alone[which].sum():
            blocks.append((np.array(box), np.array(which)))
        else:
            blocks += [(boxes[index], np.array([index])) for index in which]
    return blocks


def _union(one, other):
    return [
        min(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        max(one[3], other[3]),
    ]


class SectionReader:
    """
    Reads sections of tiles, from several threads if need be.

    Plain files, also those with scaled integers, are read by rows, and
    compressed images by their tiles; of a URL only the bytes of the rows are
    asked for. Files that can only be decompressed as a whole are, and the last
    ones stay in memory. Nothing is mapped: a file that is cut off while it is
    mapped ends the process.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from astropy.io import fits
    >>> from galmorph.images.sections import SectionReader
    >>> from galmorph.images.tiles import read_tiles
    >>> header = fits.Header({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN'})
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     fits.writeto(f'{folder}/a.fits', np.eye(9), header)
    ...     tile, = read_tiles(f'{folder}/a.fits')
    ...     SectionReader().read(tile, np.array([[1, 4, 2, 4]]))
    [array([[0., 1., 0.],
           [0., 0., 1.]], dtype=float32)]
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._kept = collections.OrderedDict()

    def read(self, tile, boxes):
        """
        Read some boxes of pixels.

        Parameters
        ----------
        tile : `~galmorph.images.tiles.Tile`
            The tile.
        boxes : `~numpy.ndarray` of int, shape (n, 4)
            x_start, x_stop, y_start, y_stop of each, inside the tile.

        Returns
        -------
        pixels : list of `~numpy.ndarray`, shape (ny, nx)
            float32; NaN where integers have no value (``BLANK``).

        Raises
        ------
        Exception
            Whatever a damaged file leads to.

        Examples
        --------
        See `SectionReader`.
        """
        found = [None] * len(boxes)
        with contextlib.ExitStack() as stack:
            if tile.is_packed:
                source = _Array(self._whole(tile))
            elif tile.offset is None:
                source = _Compressed(tile, stack)
            else:
                source = _Rows(tile, stack)
            plan = plan_blocks(
                source.spans(boxes),
                cost=source.cost,
                max_pixels=MAX_BYTES // source.itemsize,
            )
            for box, which in plan:
                block, x, y = source.block(box)
                for index in which.tolist():
                    left, right, bottom, top = boxes[index].tolist()
                    part = block[bottom - y : top - y, left - x : right - x]
                    found[index] = source.convert(part)
        return found

    def _whole(self, tile):
        """The data of a file that is decompressed as a whole."""
        key = str(tile.path), tile.hdu
        with self._lock:
            if key not in self._kept:
                options = {'use_fsspec': True} if is_remote(tile.path) else {}
                with fits.open(tile.path, memmap=False, **options) as hdulist:
                    self._kept[key] = hdulist[tile.hdu].data
            self._kept.move_to_end(key)
            while len(self._kept) > _KEPT_FILES:
                self._kept.popitem(last=False)
            return self._kept[key][tile.plane]

    def __getstate__(self):
        return {}

    def __setstate__(self, state):
        self.__init__()


def _area(boxes):
    return (boxes[:, 1] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 2])


def _same(boxes):
    return boxes


def _room(shape, dtype):
    """
    Room for pixels.

    Large blocks come from the system and go back to it. Those of malloc stay with
    the process, and blocks of ever other sizes, tile after tile, add up.
    """
    dtype = np.dtype(dtype)
    n_bytes = dtype.itemsize * math.prod(shape)
    if n_bytes < _LARGE:
        return np.empty(shape, dtype)
    return np.frombuffer(mmap.mmap(-1, n_bytes), dtype).reshape(shape)


def _copied(pixels, dtype):
    room = _room(pixels.shape, dtype)
    room[...] = pixels
    return room


def _native(pixels):
    # A double beyond the range of float32 becomes infinite.
    with np.errstate(over='ignore', invalid='ignore'):
        return _copied(pixels, np.float32)


class _Array:
    """Pixels in memory."""

    itemsize = 4

    def __init__(self, data):
        self.data = data

    def block(self, box):  # noqa: ARG002
        return self.data, 0, 0

    cost = staticmethod(_area)
    spans = staticmethod(_same)
    convert = staticmethod(_native)


class _Compressed:
    """Pixels of a tile-compressed image."""

    itemsize = 4

    def __init__(self, tile, stack):
        options = {'use_fsspec': True} if is_remote(tile.path) else {}
        hdulist = stack.enter_context(
            fits.open(tile.path, memmap=False, lazy_load_hdus=True, **options)
        )
        self.image = hdulist[tile.hdu]
        self.plane = tile.plane
        step = getattr(self.image, 'tile_shape', None) or (1, tile.shape[1])
        self.steps = np.repeat([int(step[-1]), int(step[-2])], 2)

    def cost(self, boxes):
        # Tiles are decompressed as a whole.
        ends = np.array([0, self.steps[0] - 1, 0, self.steps[2] - 1])
        return _area((boxes + ends) // self.steps * self.steps) + _SECTION_COST

    def block(self, box):
        left, right, bottom, top = box.tolist()
        where = (*self.plane, slice(bottom, top), slice(left, right))
        return self.image.section[where], left, bottom

    spans = staticmethod(_same)
    convert = staticmethod(_native)


def _read_into(file, view, place):
    # One call of the system for each row where there are two otherwise.
    if hasattr(os, 'preadv'):
        return os.preadv(file.fileno(), [view], place)
    file.seek(place)
    return file.readinto(view)


class _Rows:
    """Pixels of a plain image: the rows of a file."""

    def __init__(self, tile, stack):
        header = tile.header
        bitpix = header['BITPIX']
        self.path = tile.path
        self.width = tile.shape[1]
        self.offset = tile.offset
        self.itemsize = abs(bitpix) // 8
        kind = 'f' if bitpix < 0 else 'u' if bitpix == 8 else 'i'
        self.dtype = np.dtype(f'>{kind}{self.itemsize}')
        self.scale = float(header.get('BSCALE', 1)), float(header.get('BZERO', 0))
        self.blank = header.get('BLANK') if bitpix > 0 else None
        self.wide = np.float64 if bitpix in (32, 64, -64) else np.float32
        self.file = None
        if not is_remote(tile.path):
            self.file = stack.enter_context(io.FileIO(os.fspath(tile.path)))

    def spans(self, boxes):
        if self.file is not None:
            return boxes
        # A request for some rows gets all of their pixels.
        whole = boxes.copy()
        whole[:, 0], whole[:, 1] = 0, self.width
        return whole

    def cost(self, boxes):
        n_rows = boxes[:, 3] - boxes[:, 2]
        if self.file is None:
            return n_rows * self.width + _SECTION_COST
        return n_rows * np.minimum(boxes[:, 1] - boxes[:, 0] + _ROW_COST, self.width)

    def block(self, box):
        left, right, bottom, top = box.tolist()
        if self.file is None:
            return self._remote(bottom, top), 0, bottom
        if right - left + _ROW_COST >= self.width:
            pixels = _room((top - bottom, self.width), self.dtype)
            self._fill(pixels, bottom * self.width)
            return pixels, 0, bottom
        pixels = _room((top - bottom, right - left), self.dtype)
        for row in range(bottom, top):
            self._fill(pixels[row - bottom], row * self.width + left)
        return pixels, left, bottom

    def _fill(self, pixels, start):
        place = self.offset + start * self.itemsize
        view = memoryview(pixels.view(np.uint8).reshape(-1))
        while view:
            n_read = _read_into(self.file, view, place)
            if not n_read:
                msg = 'the file ends before its pixels'
                raise OSError(msg)
            view = view[n_read:]
            place += n_read

    def _remote(self, bottom, top):
        system, name = remote_file(self.path)
        row = self.width * self.itemsize
        start, stop = self.offset + bottom * row, self.offset + top * row
        content = system.cat_file(name, start=start, end=stop)
        if len(content) != stop - start:
            msg = 'the file ends before its pixels'
            raise OSError(msg)
        return np.frombuffer(content, self.dtype).reshape(top - bottom, self.width)

    def convert(self, raw):
        scale, zero = self.scale
        if self.blank is None and scale == 1 and zero == 0:
            return _native(raw)
        # In the precision of astropy, so that pixels are the same.
        pixels = _copied(raw, self.wide)
        if scale != 1:
            pixels *= scale
        if zero != 0:
            pixels += zero
        if self.blank is not None:
            pixels[raw == self.blank] = np.nan
        return pixels if pixels.dtype == np.float32 else _native(pixels)
