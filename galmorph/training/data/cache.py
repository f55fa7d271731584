# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A cache of decoded pixels, so that no epoch waits for JPEG decoders."""

import concurrent.futures
import functools
import hashlib
import json
import math
import os
import warnings
from pathlib import Path

import numpy as np

from galmorph.exceptions import GalmorphError, GalmorphWarning, ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images import read_image
from galmorph.preprocessing import geometry
from galmorph.preprocessing.prepare import PreparedImage, prepare
from galmorph.training.data._targets import MosaicTarget

__all__ = ['PixelCache', 'build_cache', 'load_image', 'reduce_image']

# Counts up when files are written differently.
_FORMAT = 1

# Every image begins at a multiple of so many bytes.
_ALIGNMENT = 64

# Pixels of the cache that stay for each pixel of the network's input, along
# an axis: as many as the default recipe has of a 424 px picture averaged once.
_MIN_SAMPLING = 1.5


class PixelCache:
    """
    Prepared images in a memory-mapped file.

    Parameters
    ----------
    path : str or path
        The file that `build_cache` wrote.

    Raises
    ------
    `~galmorph.exceptions.GalmorphError`
        If there is no such cache, or it is damaged.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from galmorph import Recipe
    >>> from galmorph.training.data.cache import PixelCache, build_cache
    >>> images = np.random.default_rng(1).integers(0, 255, (5, 64, 64, 3), 'uint8')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     cache = build_cache(images, Recipe(), f'{folder}/galaxies')
    ...     len(cache), cache[3].pixels.shape, PixelCache(cache.path).n_bytes
    (5, (3, 57, 57), 48915)
    """

    def __init__(self, path):
        self.path = Path(path)
        try:
            with np.load(_sidecar(self.path), allow_pickle=False) as file:
                self._index = {name: file[name] for name in file.files}
            header = json.loads(str(self._index.pop('header')))
            is_whole = self.path.stat().st_size == header['n_bytes']
        except (OSError, ValueError, KeyError) as error:
            msg = f'{self.path}: there is no cache that can be read ({error})'
            raise GalmorphError(msg) from error
        if header['format'] != _FORMAT or not is_whole:
            msg = f'{self.path}: the cache is damaged or of another version; delete it'
            raise GalmorphError(msg)
        self.hash = header['hash']
        self.n_bytes = header['n_bytes']
        self.errors = {int(row): text for row, text in header['errors'].items()}
        self._map = None

    def __len__(self):
        return len(self._index['offset'])

    def __repr__(self):
        return (
            f'<PixelCache {str(self.path)!r}: {len(self)} images, '
            f'{self.n_bytes / 1e6:.1f} MB>'
        )

    def __getstate__(self):
        # A process that loads images maps the file for itself.
        return {**self.__dict__, '_map': None}

    @property
    def is_good(self):
        """Whether each image could be read, shape (n,)."""
        return self._index['offset'] >= 0

    @property
    def flags(self):
        """The flags of each image, shape (n,), int32."""
        return self._index['flags']

    def __getitem__(self, row):
        index = {name: array[row] for name, array in self._index.items()}
        offset = int(index['offset'])
        if offset < 0:
            flag = MorphologyFlag(int(index['flags']))
            raise ImageError(self.errors[int(row) % len(self)], flag=flag)
        if self._map is None:
            # Read-only memory makes torch warn; copy-on-write does not.
            self._map = np.memmap(self.path, np.uint8, 'c')
        shape = tuple(index['shape'].tolist())
        dtype = np.dtype(np.uint8 if index['is_byte'] else np.float32)
        size = dtype.itemsize * math.prod(shape)
        pixels = self._map[offset : offset + size].view(dtype).reshape(shape)
        return PreparedImage(
            pixels.view(np.ndarray),
            index['affines'],
            bool(index['is_picture']),
            MorphologyFlag(int(index['flags'])),
            float(index['filled']),
        )


def build_cache(
    images, recipe, path, *, sizes=None, reach=None, reduction='auto', key=None,
    n_workers=2, progress_bar=False,
):  # fmt: skip
    """
    Read and prepare images, once.

    A cache that is there already, of the same images and recipe, is taken as
    it is. Images are the same if they are files of the same name, length and
    date, or arrays of the same content, or a `functools.partial` of these; of
    other objects ``key`` must tell.

    Parameters
    ----------
    images : sequence
        What `~galmorph.images.read_image` takes, or functions that return it.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the network sees.
    path : str or path
        The file of the pixels; beside it stands an index, ``.npz``.
    sizes : `~astropy.units.Quantity`, shape (n,), optional
        The size of each galaxy; NaN where it is not known.
    reach : `~numpy.ndarray`, shape (n, 3, 3), optional
        Affines of the frame for which the pixels must do, as
        `~galmorph.training.augmentation.Augmentation.reach` gives them.
    reduction : int or 'auto', optional
        Side of the box of pixels that are averaged into one. 'auto' is the
        largest that leaves 1.5 pixels to a pixel of the network's input, or
        is no wider than the box over which the recipe averages.
    key : str, optional
        What the cache is of, where the images do not tell it.
    n_workers : int, optional
        Threads that read.
    progress_bar : bool, optional
        Whether to show a bar.

    Returns
    -------
    cache : `PixelCache`
        The cache. Of an image that cannot be used it has the reason in
        ``errors``, and a warning names the rows.

    Raises
    ------
    `~galmorph.exceptions.GalmorphError`
        If no image can be used.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from galmorph import Recipe
    >>> from galmorph.training.data.cache import build_cache
    >>> images = np.random.default_rng(1).integers(0, 255, (5, 64, 64, 3), 'uint8')
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     build_cache(images, Recipe(), f'{folder}/galaxies').is_good.tolist()
    [True, True, True, True, True]
    """
    path = Path(path)
    digest = digest_images(images, recipe, sizes, (reach, reduction), key)
    if digest is not None:
        try:
            cache = PixelCache(path)
        except GalmorphError:
            pass
        else:
            if cache.hash == digest and len(cache) == len(images):
                if cache.errors:
                    _warn(cache.errors, f'; delete {path} to try them again')
                return cache
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')

    def read(row):
        try:
            size = None if sizes is None else sizes[row]
            image = load_image(images[row], recipe, size=size, reach=reach)
            return reduce_image(image, recipe, reduction)
        except ImageError as error:
            return error
        except Exception as error:
            # Whatever one file does, the others are to be cached.
            text = f'{type(error).__name__}: {error}'
            return ImageError(text, flag=MorphologyFlag.INVALID_IMAGE)

    try:
        with temporary.open('wb') as file:
            index, errors = _write(file, _map_in_order(read, len(images), n_workers),
                                   len(images), progress_bar=progress_bar)  # fmt: skip
            n_bytes = file.tell()
        if len(errors) == len(images):
            reason = next(iter(errors.values()), 'there are none')
            msg = f'no image can be used: {reason}'
            raise GalmorphError(msg)
        header = {
            'format': _FORMAT, 'hash': digest, 'n_bytes': n_bytes, 'errors': errors
        }  # fmt: skip
        # The index goes last: a cache without its index is none.
        _sidecar(path).unlink(missing_ok=True)
        temporary.replace(path)
        with temporary.open('wb') as file:
            np.savez(file, header=json.dumps(header), **index)
        temporary.replace(_sidecar(path))
    finally:
        temporary.unlink(missing_ok=True)
    if errors:
        _warn(errors)
    return PixelCache(path)


def load_image(obj, recipe, *, size=None, reach=None):
    """
    Read an image, and prepare it.

    Parameters
    ----------
    obj : object
        What `~galmorph.images.read_image` takes, or a function that returns
        it.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the network sees.
    size : `~astropy.units.Quantity`, optional
        The size of the galaxy.
    reach : `~numpy.ndarray`, shape (n, 3, 3), optional
        As in `~galmorph.preprocessing.prepare.prepare`.

    Returns
    -------
    image : `~galmorph.preprocessing.prepare.PreparedImage`
        The image, seen as the recipe says.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        If it cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import Recipe
    >>> from galmorph.training.data.cache import load_image
    >>> pixels = np.random.default_rng(1).integers(0, 255, (64, 64, 3), 'uint8')
    >>> load_image(pixels, Recipe()).affines.shape
    (1, 2, 3, 3)
    """
    if isinstance(obj, MosaicTarget):
        image = obj.cut(recipe, size=size, reach=reach)
    else:
        image = read_image(obj() if callable(obj) else obj)
    if size is not None and np.isfinite(size):
        image = image.at(image.position, size)
    return prepare(image, recipe, reach=reach)


def reduce_image(image, recipe, reduction='auto'):
    """
    Average boxes of pixels, where a network sees coarser ones.

    Parameters
    ----------
    image : `~galmorph.preprocessing.prepare.PreparedImage`
        The image.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the network sees.
    reduction : int or 'auto', optional
        Side of the box, as in `build_cache`.

    Returns
    -------
    image : `~galmorph.preprocessing.prepare.PreparedImage`
        The image with fewer pixels, and affines to them.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import Recipe
    >>> from galmorph.training.data.cache import load_image, reduce_image
    >>> pixels = np.random.default_rng(1).integers(0, 255, (424, 424, 3), 'uint8')
    >>> image = load_image(pixels, Recipe())
    >>> reduce_image(image, Recipe()).pixels.shape
    (3, 160, 160)
    """
    if reduction == 'auto':
        # Pixels of the image across one of the network's input.
        scale = math.sqrt(abs(np.linalg.det(image.affines[0, 0, :2, :2])))
        reduction = math.floor(max(scale / _MIN_SAMPLING, recipe.antialias * scale)
                               + 1e-6)  # fmt: skip
    ny, nx = image.pixels.shape[1:]
    k = min(max(int(reduction), 1), ny, nx)
    if k == 1:
        return image
    pixels = _average(image.pixels[:, : ny // k * k, : nx // k * k], k)
    middle = (k - 1) / 2
    to_boxes = geometry.scaling(1 / k) @ geometry.translation(-middle, -middle)
    return PreparedImage(
        pixels, to_boxes @ image.affines, image.is_picture, image.flags, image.filled
    )


def _average(pixels, k):
    """Average boxes of k × k pixels; bytes stay bytes."""
    is_byte = pixels.dtype == np.uint8
    # Plane by plane, which is faster than a mean over two axes.
    total = sum(
        pixels[:, y::k, x::k].astype(np.uint32 if is_byte else pixels.dtype)
        for y in range(k)
        for x in range(k)
    )
    if is_byte:
        return np.rint(total / np.float32(k * k)).astype(np.uint8)
    return (total / (k * k)).astype(np.float32)


def _write(file, prepared, n, *, progress_bar):
    """Write pixels one after the other; return the index and the errors."""
    from tqdm.auto import tqdm

    index = {
        'offset': np.full(n, -1, np.int64),
        'shape': np.zeros((n, 3), np.int32),
        'is_byte': np.zeros(n, bool),
        'is_picture': np.zeros(n, bool),
        'flags': np.zeros(n, np.int32),
        'filled': np.zeros(n, np.float32),
    }
    affines, errors = [None] * n, {}
    rows = tqdm(prepared, total=n, unit=' images', disable=not progress_bar)
    for row, image in enumerate(rows):
        if isinstance(image, ImageError):
            errors[row] = str(image) or type(image).__name__
            index['flags'][row] = image.flag
            continue
        file.write(b'\0' * (-file.tell() % _ALIGNMENT))
        index['offset'][row] = file.tell()
        index['shape'][row] = image.pixels.shape
        index['is_byte'][row] = image.pixels.dtype == np.uint8
        index['is_picture'][row] = image.is_picture
        index['flags'][row] = image.flags
        index['filled'][row] = image.filled
        affines[row] = image.affines
        pixels = image.pixels
        if pixels.dtype != np.uint8:
            pixels = pixels.astype(np.float32, copy=False)
        file.write(np.ascontiguousarray(pixels).tobytes())
    good = next((a for a in affines if a is not None), np.zeros((1, 1, 3, 3)))
    index['affines'] = np.array(
        [np.full_like(good, np.nan) if a is None else a for a in affines]
    )
    return index, errors


def _map_in_order(function, n, n_workers):
    """Map in threads, a limited number of rows ahead."""
    chunk = 32 * max(n_workers, 1)
    with concurrent.futures.ThreadPoolExecutor(max(n_workers, 1)) as pool:
        for start in range(0, n, chunk):
            yield from pool.map(function, range(start, min(start + chunk, n)))


def digest_images(images, recipe, sizes, settings, key=None):
    """A hash of all that the pixels depend on; None where it cannot be told."""
    sha = hashlib.sha256(f'{_FORMAT} {recipe.hash} {len(images)} {key}'.encode())
    for array in (sizes, *settings):
        value = getattr(array, 'value', array)
        sha.update(str(getattr(array, 'unit', '')).encode())
        is_array = isinstance(value, np.ndarray)
        sha.update(value.tobytes() if is_array else str(value).encode())
    if key is not None:
        return sha.hexdigest()
    if isinstance(images, np.ndarray) and images.dtype.kind in 'buif':
        sha.update(np.ascontiguousarray(images))
        return sha.hexdigest()
    return sha.hexdigest() if all(_add(sha, image) for image in images) else None


def _add(sha, image):
    """Add an image to a hash; tell whether that can be done."""
    if isinstance(image, (str, os.PathLike)):
        sha.update(_file_state(image).encode())
    elif isinstance(image, np.ndarray) and image.dtype.kind in 'buif':
        sha.update(f'{image.shape} {image.dtype}'.encode())
        sha.update(np.ascontiguousarray(image))
    elif isinstance(image, MosaicTarget):
        sha.update(f'{image.ra} {image.dec} {image.state}'.encode())
    elif isinstance(image, functools.partial) and not image.keywords:
        name = getattr(image.func, '__qualname__', None)
        sha.update(f'{name}'.encode())
        return name is not None and all(_add(sha, part) for part in image.args)
    else:
        return False
    return True


def _file_state(path):
    try:
        state = Path(path).stat()
    except OSError:
        return f'{path} missing'
    return f'{path} {state.st_size} {state.st_mtime_ns}'


def _sidecar(path):
    return path.with_name(f'{path.name}.npz')


def _warn(errors, way_out=''):
    shown = '; '.join(f'row {row}: {errors[row]}' for row in list(errors)[:5])
    more = f' and {len(errors) - 5} more' if len(errors) > 5 else ''
    plural = 'images' if len(errors) > 1 else 'image'
    msg = f'{len(errors)} {plural} cannot be used: {shown}{more}{way_out}'
    warnings.warn(msg, GalmorphWarning, stacklevel=3)
