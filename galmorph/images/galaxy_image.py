# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The image of a galaxy: planes of pixels, a WCS, and where the target is."""

import math

import astropy.units as u
import numpy as np
from astropy.nddata import NDData
from astropy.wcs.utils import proj_plane_pixel_area

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.celestial import celestial_wcs, shift_wcs
from galmorph.images.headers import split_bands

__all__ = ['MIN_SIDE', 'GalaxyImage']

#: The smallest side of an image, in pixels.
MIN_SIDE = 8


class GalaxyImage(NDData):
    """
    The image of a galaxy.

    Parameters
    ----------
    data : `~numpy.ndarray`, shape (n_band, ny, nx) or (ny, nx)
        The pixels; a masked array or a `~astropy.units.Quantity` gives mask
        or unit too. uint8, float32 and float64 are kept, without a copy where
        the byte order is that of the machine; other types become float32
        (extended precision: float64).
    bands : tuple of str or str, optional
        The names of the bands. By default ``('R', 'G', 'B')`` or ``('L',)``
        for a picture, else ``'unknown'`` for each.
    unit : `~astropy.units.UnitBase` or str, optional
        The unit of the pixels.
    wcs : `~astropy.wcs.WCS`, optional
        The WCS; its celestial axes are taken.
    mask : `~numpy.ndarray` of bool, shape (n_band, ny, nx) or (ny, nx), optional
        True for pixels that are not to be used.
    meta : dict, optional
        Further information. ``'headers'`` is a list of the FITS headers, one
        a band, and ``'source'`` the name of the file, where they are known.
    position : tuple of float, optional
        (x, y) of the target in pixels, 0-based, the centre of the first pixel
        being (0, 0). By default the centre of the image.
    size : `~astropy.units.Quantity`, optional
        The radius of the target, an angle or a number of pixels, of the kind
        that the weights take: ``size`` of their
        `~galmorph.preprocessing.recipe.Recipe`, mostly petroR90. A value that
        is not finite and positive counts as unknown.
    is_picture : bool, optional
        Whether the pixels are display values already, 0 to 255 (uint8) or 0
        to 1 (float), as in a JPEG.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        Where the shape or the type of an argument is not as said, a side has
        fewer than 8 pixels, or the target is outside the image.
    `~astropy.units.UnitTypeError`
        Where ``size`` is neither an angle nor in pixels.

    Notes
    -----
    Rows run as the WCS says. Without one, row 0 is the top (north) of a
    picture, and the bottom (south) of any other image, as in FITS.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.images import GalaxyImage
    >>> GalaxyImage(np.zeros((3, 64, 80)), bands='gri', unit='nmgy')
    <GalaxyImage 64 x 80 pixels, bands g r i, nmgy>
    """

    def __init__(
        self,
        data,
        *,
        bands=None,
        unit=None,
        wcs=None,
        mask=None,
        meta=None,
        position=None,
        size=None,
        is_picture=False,
    ):
        if unit is None:
            unit = getattr(data, 'unit', None)
        if mask is None:
            mask = np.ma.getmask(data)
        data = _as_planes(data)
        n_band, ny, nx = data.shape
        super().__init__(data, mask=_as_mask(mask, data.shape), meta=meta, unit=unit)
        self.is_picture = bool(is_picture)
        self.bands = _as_bands(bands, n_band, is_picture=self.is_picture)
        self._wcs = None if wcs is None else celestial_wcs(wcs)
        self._origin = (0, 0)
        self._shifted = None
        self._pixel_scale = None
        self.position = _as_position(position, ny, nx)
        self.size = _as_size(size)

    @property
    def wcs(self):
        """The celestial `~astropy.wcs.WCS` of these pixels, or None."""
        if self._wcs is None or self._origin == (0, 0):
            return self._wcs
        if self._shifted is None:
            self._shifted = shift_wcs(self._wcs, *self._origin)
        return self._shifted

    @property
    def parent_wcs(self):
        """The WCS of the image that this one was cut from: no copy is made."""
        return self._wcs

    @property
    def origin(self):
        """(x, y) of the first pixel of this image in ``parent_wcs``, int."""
        return self._origin

    @property
    def has_wcs(self):
        """Whether there is a celestial WCS."""
        return self._wcs is not None

    @property
    def n_band(self):
        """The number of bands."""
        return self.data.shape[0]

    @property
    def shape2d(self):
        """(ny, nx), the number of rows and of columns."""
        return self.data.shape[1:]

    @property
    def pixel_scale(self):
        """
        The side of a pixel at the reference point of the WCS.

        A `~astropy.units.Quantity` in arcsec per pixel, the geometric mean
        of both axes; None without a WCS.
        """
        if self._wcs is None:
            return None
        if self._pixel_scale is None:
            degrees = math.sqrt(proj_plane_pixel_area(self._wcs))
            self._pixel_scale = 3600 * degrees * u.arcsec / u.pix
        return self._pixel_scale

    def at(self, position, size=None):
        """
        Look at another target of the same image.

        Parameters
        ----------
        position : tuple of float
            (x, y) of the target in pixels, 0-based.
        size : `~astropy.units.Quantity`, optional
            The radius of that target, of the kind that the weights take. By
            default it is unknown.

        Returns
        -------
        image : `GalaxyImage`
            A view: no pixel is copied.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph.images import GalaxyImage
        >>> GalaxyImage(np.zeros((64, 80))).at((10.5, 20)).position
        (10.5, 20.0)
        """
        position = _as_position(position, *self.shape2d)
        return self._replaced(position=position, size=_as_size(size))

    def section(self, x_start, x_stop, y_start, y_stop, *, position, size=None):
        """
        Cut a part out of the image, as a view.

        Parameters
        ----------
        x_start, x_stop, y_start, y_stop : int
            The first column and row, and those behind the last ones, inside
            the image. They are not checked: `Mosaic` calls this for each of
            very many targets.
        position : tuple of float
            (x, y) of the target in pixels of *this* image.
        size : `~astropy.units.Quantity`, optional
            The radius of the target, of the kind that the weights take.

        Returns
        -------
        image : `GalaxyImage`
            The part. Its WCS is made when asked for.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph.images import GalaxyImage
        >>> image = GalaxyImage(np.zeros((64, 80)))
        >>> image.section(10, 30, 20, 50, position=(20, 35))
        <GalaxyImage 30 x 20 pixels, bands unknown>
        """
        box = (slice(None), slice(y_start, y_stop), slice(x_start, x_stop))
        x, y = self._origin
        return self._replaced(
            _data=self._data[box],
            _mask=None if self._mask is None else self._mask[box],
            _origin=(x + x_start, y + y_start),
            _shifted=None,
            position=(position[0] - x_start, position[1] - y_start),
            size=size,
        )

    def with_pixels(self, data, origin, position, size=None):
        """
        Make an image of other pixels of the same sky.

        Parameters
        ----------
        data : `~numpy.ndarray`, shape (n_band, ny, nx)
            The pixels, float32. They are not checked: a mosaic of tiles calls
            this for each of very many targets.
        origin : tuple of int
            (x, y) of the first pixel in ``parent_wcs``, also outside it.
        position : tuple of float
            (x, y) of the target in pixels of ``parent_wcs``.
        size : `~astropy.units.Quantity`, optional
            The radius of the target, of the kind that the weights take.

        Returns
        -------
        image : `GalaxyImage`
            The image, with bands, unit, WCS and meta of this one.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph.images import GalaxyImage
        >>> image = GalaxyImage(np.zeros((64, 80)), bands='r')
        >>> image.with_pixels(np.ones((1, 20, 30)), (-5, 0), (10, 10)).position
        (15.0, 10.0)
        """
        return self._replaced(
            _data=data,
            _mask=None,
            _origin=origin,
            _shifted=None,
            position=(float(position[0] - origin[0]), float(position[1] - origin[1])),
            size=size,
        )

    def _replaced(self, **changes):
        # Past the checks of __init__, which the values here have passed. The
        # scale is worked out once for all parts of an image.
        _ = self.pixel_scale
        new = object.__new__(type(self))
        new.__dict__.update(self.__dict__)
        new.__dict__.update(changes)
        return new

    def __str__(self):
        return repr(self)

    def __repr__(self):
        ny, nx = self.shape2d
        parts = [f'{ny} x {nx} pixels', 'bands ' + ' '.join(self.bands)]
        if self.unit is not None:
            parts.append(str(self.unit))
        if self.has_wcs:
            parts.append(f'{self.pixel_scale:.4g}')
        return f'<GalaxyImage {", ".join(parts)}>'


def _as_planes(data):
    data = np.asarray(data)
    if data.ndim == 2:
        data = data[np.newaxis]
    if data.ndim != 3 or 0 in data.shape:
        msg = f'data must have the shape (n_band, ny, nx) or (ny, nx), not {data.shape}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    if min(data.shape[1:]) < MIN_SIDE:
        msg = (
            f'data of the shape {data.shape} is too small: each side must have '
            f'{MIN_SIDE} pixels or more, and the bands come first'
        )
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    kind, itemsize = data.dtype.kind, data.dtype.itemsize
    if kind not in 'biuf':
        msg = f'data must be real numbers, not {data.dtype}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    if kind == 'f':
        wanted = {2: np.float32, 4: np.float32}.get(itemsize, np.float64)
    else:
        wanted = np.uint8 if data.dtype == np.uint8 else np.float32
    return data.astype(wanted, copy=False)


def _as_mask(mask, shape):
    if mask is None or mask is np.ma.nomask:
        return None
    mask = np.asarray(mask, bool)
    if mask.shape == shape:
        return mask
    if mask.shape not in (shape[1:], ()):
        msg = f'mask has the shape {mask.shape}, but data has {shape}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    return np.broadcast_to(mask, shape)


def _as_bands(bands, n_band, *, is_picture):
    if bands is None:
        known = {1: ('L',), 3: ('R', 'G', 'B')} if is_picture else {}
        return known.get(n_band, ('unknown',) * n_band)
    bands = split_bands(bands, n_band)
    if len(bands) != n_band or not all(isinstance(band, str) for band in bands):
        names = 'one name' if n_band == 1 else f'{n_band} names'
        msg = f'bands must be {names}, one for each plane of data, not {bands!r}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    return tuple(str(band) for band in bands)


def _as_position(position, ny, nx):
    if position is None:
        return (nx - 1) / 2, (ny - 1) / 2
    x, y = (float(value) for value in position)
    if not (math.isfinite(x) and math.isfinite(y)):
        msg = f'position ({x}, {y}) is not finite'
        raise ImageError(msg, flag=MorphologyFlag.BAD_COORDINATES)
    if not (-0.5 <= x <= nx - 0.5 and -0.5 <= y <= ny - 0.5):
        msg = f'position ({x:g}, {y:g}) lies outside the image of {ny} x {nx} pixels'
        raise ImageError(msg, flag=MorphologyFlag.OUTSIDE_IMAGE)
    return x, y


def _as_size(size):
    if size is None:
        return None
    unit = getattr(size, 'unit', None)
    if unit is None or not (unit.is_equivalent(u.deg) or unit == u.pix):
        msg = f'size must be an angle or a number of pixels (Quantity), not {size!r}'
        raise u.UnitTypeError(msg)
    size = u.Quantity(size)
    if size.ndim:
        msg = f'size must be one value, not an array of shape {size.shape}'
        raise ImageError(msg, flag=MorphologyFlag.INVALID_IMAGE)
    return size if np.isfinite(size.value) and size.value > 0 else None
