# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Many cutouts of one mosaic."""

import astropy.units as u
import numpy as np
from astropy.wcs.utils import wcs_to_celestial_frame

from galmorph.exceptions import ImageError
from galmorph.flags import MorphologyFlag
from galmorph.images.assigning import HalfWidth
from galmorph.images.content import has_data, unobserved
from galmorph.images.galaxy_image import MIN_SIDE
from galmorph.images.positions import is_on_sky, world_to_pixel
from galmorph.images.reading import read_image

__all__ = ['Mosaic', 'as_sizes']


class Mosaic:
    """
    An image from which many galaxies are cut.

    All targets go through the WCS in one call, and a cutout is a view of the
    pixels of the mosaic: no pixel and no header is copied. Zeros where nothing
    was observed, as those around a drizzled mosaic, are masked.

    Parameters
    ----------
    image : object
        One image as in `~galmorph.images.read_image`.
    hdu, bands, unit : optional
        As in `~galmorph.images.read_image`.

    Raises
    ------
    `~galmorph.exceptions.ImageError`
        Where the image cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from astropy.coordinates import SkyCoord
    >>> from astropy.wcs import WCS
    >>> from galmorph.images import Mosaic
    >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 150.5,
    ...            'CRPIX2': 100.5, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
    >>> mosaic = Mosaic((np.ones((200, 300), 'float32'), wcs))
    >>> galaxy, outside = mosaic.cutouts(SkyCoord([0, 9], [0, 9], unit='deg'), 20)
    >>> galaxy
    <GalaxyImage 42 x 42 pixels, bands unknown, 0.36 arcsec / pix>
    >>> outside.flag
    <MorphologyFlag.OUTSIDE_IMAGE: 16>
    """

    def __init__(self, image, *, hdu=None, bands=None, unit=None):
        self.image = read_image(image, hdu=hdu, bands=bands, unit=unit)
        self._frame = None

    def __repr__(self):
        return f'<Mosaic of {self.image!r}>'

    def locate(self, coords):
        """
        Find the pixels of positions on the sky.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            The positions, in any frame.

        Returns
        -------
        x, y : `~numpy.ndarray`
            Pixels, 0-based, with the shape of ``coords``; NaN where a
            coordinate is not finite or masked, or the projection does not
            reach. A position outside the image has pixels all the same.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            With the flag ``NO_WCS``, where the mosaic has no WCS.

        Examples
        --------
        >>> import numpy as np
        >>> from astropy.coordinates import SkyCoord
        >>> from astropy.wcs import WCS
        >>> from galmorph.images import Mosaic
        >>> wcs = WCS({'CTYPE1': 'RA---TAN', 'CTYPE2': 'DEC--TAN', 'CRPIX1': 21,
        ...            'CRPIX2': 11, 'CDELT1': -1e-4, 'CDELT2': 1e-4})
        >>> mosaic = Mosaic((np.zeros((60, 80)), wcs))
        >>> x, y = mosaic.locate(SkyCoord([0, np.nan], [0, 0], unit='deg'))
        >>> print(x.round(6), y.round(6))
        [20. nan] [10. nan]
        """
        wcs = self.image.wcs
        if wcs is None:
            msg = (
                'the mosaic has no celestial WCS: give it as (image, WCS), or cut '
                'by pixels with cutouts_at'
            )
            raise ImageError(msg, flag=MorphologyFlag.NO_WCS)
        if self._frame is None:
            self._frame = wcs_to_celestial_frame(wcs)
        good = np.atleast_1d(is_on_sky(coords))
        pixels = np.full((2, *good.shape), np.nan)
        if good.any():
            flat = coords.reshape(1) if coords.isscalar else coords
            inside = getattr(flat[good], 'unmasked', flat[good])
            there = inside.transform_to(self._frame).spherical
            pixels[:, good] = world_to_pixel(wcs, there.lon.deg, there.lat.deg)
        pixels = pixels.reshape(2, *coords.shape)
        return pixels[0], pixels[1]

    def cutout_bytes(self, half_width, length):  # noqa: ARG002
        """
        Tell the memory that cutouts take: none, since they are views.

        Parameters
        ----------
        half_width : `~astropy.units.Quantity`, float or `~numpy.ndarray`
            As in `cutouts`.
        length : int
            The number of targets.

        Returns
        -------
        n_bytes : `~numpy.ndarray`, shape (n,)
            Zeros.

        Examples
        --------
        See `Mosaic`.
        """
        return np.zeros(length)

    def cutouts(self, coords, half_width, sizes=None):
        """
        Cut galaxies out by their positions on the sky.

        Parameters
        ----------
        coords : `~astropy.coordinates.SkyCoord`
            The targets.
        half_width : `~astropy.units.Quantity`, float or `~numpy.ndarray`
            What is needed on each side of a target, an angle or a number of
            pixels, for all or for each.
        sizes : `~astropy.units.Quantity`, optional
            As in `cutouts_at`.

        Returns
        -------
        images : list of `GalaxyImage` or `~galmorph.exceptions.ImageError`
            As from `cutouts_at`; the error of a coordinate that is not
            finite has the flag ``BAD_COORDINATES``.

        Raises
        ------
        `~galmorph.exceptions.ImageError`
            With the flag ``NO_WCS``, where the mosaic has no WCS.

        Examples
        --------
        See `Mosaic`.
        """
        x, y = self.locate(coords)
        scale = self.image.pixel_scale.to_value(u.deg / u.pix)
        half = HalfWidth(half_width, x.size).in_pixels(scale)
        images = self.cutouts_at(x, y, half, sizes)
        for index in np.flatnonzero(np.atleast_1d(is_on_sky(coords) & np.isnan(x))):
            msg = 'the target is out of reach of the projection of the mosaic'
            images[index] = ImageError(msg, flag=MorphologyFlag.OUTSIDE_IMAGE)
        return images

    def cutouts_at(self, x, y, half_width, sizes=None):
        """
        Cut galaxies out by their pixels.

        Parameters
        ----------
        x, y : float or `~numpy.ndarray`
            The targets, 0-based.
        half_width : float or `~numpy.ndarray`
            The pixels needed on each side of a target, for all or for each.
        sizes : `~astropy.units.Quantity`, optional
            The radius of each target that the weights scale by, an angle or a
            number of pixels; NaN and masked values count as unknown.

        Returns
        -------
        images : list of `GalaxyImage` or `~galmorph.exceptions.ImageError`
            One for each target: a view of the mosaic, smaller where the
            mosaic ends, with the target at its exact ``position``; or the
            error that says why there is none, with the flag
            ``BAD_COORDINATES``, ``OUTSIDE_IMAGE``, or ``NO_COVERAGE`` where a
            band has NaN or zeros at the target, unless it is a picture.

        Raises
        ------
        ValueError
            If ``half_width`` is not positive, or lengths differ.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph.images import Mosaic
        >>> mosaic = Mosaic(np.ones((200, 300), 'float32'))
        >>> image, = mosaic.cutouts_at(100.25, 190.0, half_width=20)
        >>> image.shape2d, image.position
        ((30, 42), (20.25, 20.0))
        """
        x, y, half = np.broadcast_arrays(
            *(np.atleast_1d(np.asarray(value, float)) for value in (x, y, half_width))
        )
        if x.ndim != 1 or not np.all(half > 0):
            msg = 'x and y must be one-dimensional, and half_width positive'
            raise ValueError(msg)
        sizes = as_sizes(sizes, x.size)
        ny, nx = self.image.shape2d
        columns = _bounds(x, half, nx)
        rows = _bounds(y, half, ny)
        inside = (x >= -0.5) & (x <= nx - 0.5) & (y >= -0.5) & (y <= ny - 0.5)
        targets = zip(
            x.tolist(), y.tolist(), inside.tolist(), *columns, *rows, sizes, strict=True
        )
        images = []
        for x_target, y_target, is_inside, left, right, bottom, top, size in targets:
            if is_inside:
                position = (x_target, y_target)
                image = self._observed(
                    self.image.section(
                        left, right, bottom, top, position=position, size=size
                    )
                )
            else:
                image = self._outside(x_target, y_target)
            images.append(image)
        return images

    def _observed(self, image):
        """A cutout with a mask where nothing was observed, or an error."""
        if image.is_picture:
            return image
        if not has_data(image.data, *image.position):
            x, y = np.add(image.position, image.origin) - self.image.origin
            msg = f'the mosaic has no data at x={x:.1f}, y={y:.1f}'
            return ImageError(msg, flag=MorphologyFlag.NO_COVERAGE)
        missing = unobserved(image.data, image.mask)
        if missing is not None:
            image.mask = missing if image.mask is None else image.mask | missing
        return image

    def _outside(self, x, y):
        if not (np.isfinite(x) and np.isfinite(y)):
            msg = 'the coordinates of the target are not finite'
            return ImageError(msg, flag=MorphologyFlag.BAD_COORDINATES)
        ny, nx = self.image.shape2d
        msg = f'the target at x={x:.1f}, y={y:.1f} is outside the {ny} x {nx} pixels'
        return ImageError(msg, flag=MorphologyFlag.OUTSIDE_IMAGE)


def _bounds(center, half, length):
    # NaN and far targets are reported as outside, whatever stands here.
    center = np.clip(np.nan_to_num(center), -1, length)
    start = np.clip(np.floor(center - half), 0, length - MIN_SIDE)
    stop = np.clip(np.ceil(center + half) + 1, MIN_SIDE, length)
    return start.astype(int).tolist(), stop.astype(int).tolist()


def as_sizes(sizes, length):
    """
    Turn the sizes of targets into a list.

    Parameters
    ----------
    sizes : `~astropy.units.Quantity` or None
        Angles or numbers of pixels, one for all or one for each.
    length : int
        The number of targets.

    Returns
    -------
    sizes : list of `~astropy.units.Quantity` or None
        None where a size is masked, not finite or not positive.

    Raises
    ------
    `~astropy.units.UnitTypeError`
        If they are neither angles nor in pixels.

    Examples
    --------
    >>> from astropy import units as u
    >>> from galmorph.images.mosaic import as_sizes
    >>> as_sizes([3, -1] * u.arcsec, 2)
    [<Quantity 3. arcsec>, None]
    """
    if sizes is None:
        return [None] * length
    unit = sizes.unit
    if not (unit.is_equivalent(u.deg) or unit == u.pix):
        msg = f'sizes must be angles or numbers of pixels, not in {unit}'
        raise u.UnitTypeError(msg)
    mask = getattr(sizes, 'mask', False)
    values = np.asarray(getattr(sizes, 'unmasked', sizes).value, float)
    values = np.broadcast_to(np.where(mask, np.nan, values), length)
    return [value * unit if value > 0 and value < np.inf else None for value in values]
