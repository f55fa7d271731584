# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Affine algebra: every step of the geometry is a matrix.

A matrix of shape (3, 3) acts on column vectors (x, y, 1), so the step that
comes first stands on the right of a product. Pixel coordinates are 0-based
with integers at pixel centres, x along the last axis of an array.

*Frame* coordinates have their origin on the galaxy, x to the right (west) and
y down (south), as in a picture with north up and east left.
"""

import numpy as np
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.wcs.utils import wcs_to_celestial_frame

__all__ = [
    'apply_affine',
    'centre_of',
    'flip',
    'rotation',
    'scaling',
    'sky_to_pixel',
    'translation',
]


def translation(x, y):
    """
    Shift by (x, y).

    Parameters
    ----------
    x, y : float or array-like, shape (...)
        The shift.

    Returns
    -------
    affine : `~numpy.ndarray`, shape (..., 3, 3)
        The matrix.

    Examples
    --------
    >>> from galmorph.preprocessing.geometry import apply_affine, translation
    >>> print(apply_affine(translation(2, 3), 1.0, 1.0))
    (3.0, 4.0)
    """
    return _stack(1, 0, x, 0, 1, y)


def scaling(x, y=None):
    """
    Multiply the coordinates.

    Parameters
    ----------
    x, y : float or array-like, shape (...)
        The factors; ``y`` is ``x`` by default.

    Returns
    -------
    affine : `~numpy.ndarray`, shape (..., 3, 3)
        The matrix.

    Examples
    --------
    >>> from galmorph.preprocessing.geometry import apply_affine, scaling
    >>> print(apply_affine(scaling(2), 1.0, 3.0))
    (2.0, 6.0)
    """
    return _stack(x, 0, 0, 0, x if y is None else y, 0)


def rotation(angle):
    """
    Rotate about the origin, from the x axis towards the y axis.

    Parameters
    ----------
    angle : float or array-like, shape (...)
        Degrees. In frame coordinates, whose y axis points down, a positive
        angle turns clockwise.

    Returns
    -------
    affine : `~numpy.ndarray`, shape (..., 3, 3)
        The matrix.

    Examples
    --------
    >>> from galmorph.preprocessing.geometry import apply_affine, rotation
    >>> x, y = apply_affine(rotation(90), 1.0, 0.0)
    >>> print(f'{x:.1f} {y:.1f}')
    0.0 1.0
    """
    radians = np.deg2rad(angle)
    cos, sin = np.cos(radians), np.sin(radians)
    return _stack(cos, -sin, 0, sin, cos, 0)


def flip(mirrored=True):  # noqa: FBT002
    """
    Mirror left to right.

    Parameters
    ----------
    mirrored : bool or array-like of bool, shape (...)
        Where to mirror; the identity elsewhere.

    Returns
    -------
    affine : `~numpy.ndarray`, shape (..., 3, 3)
        The matrix.

    Examples
    --------
    >>> from galmorph.preprocessing.geometry import apply_affine, flip
    >>> print(apply_affine(flip(), 1.0, 3.0))
    (-1.0, 3.0)
    """
    return scaling(np.where(mirrored, -1.0, 1.0), 1.0)


def apply_affine(affine, x, y):
    """
    Transform points.

    Parameters
    ----------
    affine : `~numpy.ndarray`, shape (..., 3, 3)
        Matrices.
    x, y : float or array-like
        Coordinates, broadcast against the leading axes of ``affine``.

    Returns
    -------
    x, y : float or `~numpy.ndarray`
        The transformed coordinates.

    Examples
    --------
    >>> from galmorph.preprocessing.geometry import apply_affine, translation
    >>> print(apply_affine(translation(0, 1), 0.0, 0.0))
    (0.0, 1.0)
    """
    affine = np.asarray(affine)
    new_x = affine[..., 0, 0] * x + affine[..., 0, 1] * y + affine[..., 0, 2]
    new_y = affine[..., 1, 0] * x + affine[..., 1, 1] * y + affine[..., 1, 2]
    return (float(new_x), float(new_y)) if new_x.ndim == 0 else (new_x, new_y)


def centre_of(n_pixels):
    """
    Map the pixels of a square picture to offsets from its centre.

    Parameters
    ----------
    n_pixels : int
        Side of the picture.

    Returns
    -------
    affine : `~numpy.ndarray`, shape (3, 3)
        The matrix that shifts the centre, (n - 1) / 2, to the origin.

    Examples
    --------
    >>> from galmorph.preprocessing.geometry import apply_affine, centre_of
    >>> print(apply_affine(centre_of(69), 34.0, 34.0))
    (0.0, 0.0)
    """
    return translation(-(n_pixels - 1) / 2, -(n_pixels - 1) / 2)


def sky_to_pixel(wcs, x, y):
    """
    Linearise a celestial WCS at given pixels.

    Parameters
    ----------
    wcs : `~astropy.wcs.WCS`
        A celestial WCS, of any frame, projection, rotation and parity, its axes
        in any order.
    x, y : float or array-like, shape (...)
        The pixels about which to linearise.

    Returns
    -------
    affine : `~numpy.ndarray`, shape (..., 3, 3)
        For each pixel the matrix from tangent-plane offsets in arcseconds,
        (west, south) of the pixel in ICRS, to pixel coordinates. NaN where
        the WCS gives no sky position.

    Notes
    -----
    The Jacobian is taken by central differences over one pixel, on unit
    vectors, so the poles and the meridian of zero are nothing special.

    Examples
    --------
    >>> from astropy.wcs import WCS
    >>> from galmorph.preprocessing.geometry import apply_affine, sky_to_pixel
    >>> wcs = WCS(naxis=2)
    >>> wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    >>> wcs.wcs.cdelt = -1 / 3600, 1 / 3600
    >>> wcs.wcs.crval = 180, 0
    >>> wcs.wcs.crpix = 51, 51
    >>> x, y = apply_affine(sky_to_pixel(wcs, 50, 50), 0, 10)
    >>> print(f'10 arcsec south is at x = {x:.2f}, y = {y:.2f}')
    10 arcsec south is at x = 50.00, y = 40.00
    """
    x, y = np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float))
    step = 0.5
    points_x = np.stack([x, x + step, x - step, x, x])
    points_y = np.stack([y, y, y, y + step, y - step])
    vectors = _icrs_vectors(wcs, points_x, points_y)
    centre = vectors[0]
    d_x = (vectors[1] - vectors[2]) / (2 * step)
    d_y = (vectors[3] - vectors[4]) / (2 * step)
    # At a pole east is not defined; any direction serves as long as both
    # columns of the Jacobian share it.
    horizontal = np.hypot(centre[..., 0], centre[..., 1])
    at_pole = horizontal < 1e-12
    safe = np.where(at_pole, 1, horizontal)
    east_x = np.where(at_pole, 0, -centre[..., 1] / safe)
    east_y = np.where(at_pole, 1, centre[..., 0] / safe)
    east = np.stack([east_x, east_y, np.zeros_like(east_x)], -1)
    north = np.cross(centre, east)
    to_arcsec = np.rad2deg(1) * 3600
    # (west, south) per pixel along x and along y.
    jacobian = -to_arcsec * np.stack(
        [
            np.stack([(d_x * east).sum(-1), (d_y * east).sum(-1)], -1),
            np.stack([(d_x * north).sum(-1), (d_y * north).sum(-1)], -1),
        ],
        -2,
    )
    determinant = (
        jacobian[..., 0, 0] * jacobian[..., 1, 1]
        - jacobian[..., 0, 1] * jacobian[..., 1, 0]
    )
    bad = ~np.isfinite(determinant) | (determinant == 0)
    inverse = np.linalg.inv(np.where(bad[..., None, None], np.eye(2), jacobian))
    inverse[bad] = np.nan
    return _stack(
        inverse[..., 0, 0],
        inverse[..., 0, 1],
        x,
        inverse[..., 1, 0],
        inverse[..., 1, 1],
        y,
    )


def _icrs_vectors(wcs, x, y):
    """Unit vectors in ICRS, shape (..., 3), of pixels."""
    shape = x.shape
    world = wcs.all_pix2world(x.ravel(), y.ravel(), 0)
    longitude, latitude = world[wcs.wcs.lng], world[wcs.wcs.lat]
    if not _is_near_icrs(wcs.wcs):
        frame = wcs_to_celestial_frame(wcs)
        sky = SkyCoord(longitude, latitude, unit=u.deg, frame=frame).icrs
        longitude, latitude = sky.ra.deg, sky.dec.deg
    longitude, latitude = np.deg2rad(longitude), np.deg2rad(latitude)
    cos = np.cos(latitude)
    vectors = [cos * np.cos(longitude), cos * np.sin(longitude), np.sin(latitude)]
    return np.stack(vectors, -1).reshape(*shape, 3)


def _is_near_icrs(wcs):
    """
    Tell whether a WCS has its north where ICRS has it.

    FK5 J2000 and ICRS differ by hundredths of an arcsecond: no north of theirs
    differs by anything that a picture could show. Other equinoxes do.
    """
    if not wcs.lngtyp.startswith('RA'):
        return False
    return wcs.radesys == 'ICRS' or (wcs.radesys == 'FK5' and wcs.equinox == 2000)


def _stack(xx, xy, x, yx, yy, y):  # noqa: PLR0917
    """A stack of affine matrices from their six numbers."""
    if not any(np.ndim(number) for number in (xx, xy, x, yx, yy, y)):
        return np.array([[xx, xy, x], [yx, yy, y], [0, 0, 1]], float)
    numbers = np.broadcast_arrays(xx, xy, x, yx, yy, y, 0.0, 0.0, 1.0)
    matrix = np.stack([np.asarray(number, float) for number in numbers], -1)
    return matrix.reshape(*matrix.shape[:-1], 3, 3)
