# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The stretch of a picture, found from the fluxes that it was made of."""

import dataclasses

import numpy as np
from scipy.optimize import least_squares

from galmorph.images import GalaxyImage
from galmorph.preprocessing.colour import red_to_blue
from galmorph.preprocessing.stretch import LuptonStretch

__all__ = ['StretchFit', 'fit_stretch']

# Means of the blocks of JPEG are compared, which survive compression while
# noise and small structure do not; and their colour, which runs over into the
# next block, for less than their luminance (ITU-R BT.601).
_BLOCK = 8
_LUMINANCE = np.array([0.299, 0.587, 0.114])
_COLOUR_WEIGHT = 0.1

# Display values of pixels that may be saturated, or near black, where JPEG
# brightens what it would make negative.
_WHITE, _BLACK = 250, 6

# More blocks make a fit slower, not better.
_MAX_BLOCKS = 1000

_MIN_BLOCKS = 10

# Relative errors of scales and nonlinearity beyond which they are unknown.
_MAX_ERROR = 0.2

# What a stretch may leave of the contrast of the pictures.
_MAX_RESIDUAL = 0.3

# Where the search for the nonlinearity begins.
_STARTS = np.geomspace(0.2, 30, 16)


@dataclasses.dataclass(frozen=True)
class StretchFit:
    """
    A stretch, and how well it reproduces the pictures.

    Parameters
    ----------
    stretch : `~galmorph.preprocessing.stretch.LuptonStretch`
        The stretch.
    scales : tuple of float
        ``scales`` of idlutils' ``nw_scale_rgb``: red, green, blue.
    nonlinearity : float
        ``nonlinearity`` of ``nw_arcsinh``.
    offset : float
        What is added to the scaled bands.
    errors : dict
        The standard errors of these, by name, from the residuals.
    residual : float
        The root mean square of the residuals of the luminance, in display
        values of 0 to 255, of the means of blocks of 8 x 8 pixels.
    n_blocks : int
        How many blocks were compared.
    is_flipped : tuple of bool
        For each pair, whether the first row of the picture is the last one of
        the image, as it is where a picture was made of a FITS file.

    Examples
    --------
    >>> from galmorph.preprocessing.stretch import get_stretch
    >>> from galmorph.preprocessing.stretch_fitting import StretchFit
    >>> fit = StretchFit(
    ...     get_stretch('sdss'), (4.9, 5.7, 7.8), 3.0, 0.0,
    ...     {'scales': (0.01, 0.01, 0.01), 'nonlinearity': 0.004, 'offset': 0.0},
    ...     residual=0.1, n_blocks=200, is_flipped=(False,))
    >>> print(fit)
    scales        4.9 +- 0.01, 5.7 +- 0.01, 7.8 +- 0.01
    nonlinearity  3 +- 0.004
    offset        0 +- 0
    residual      0.1 of 255, in 200 blocks of 8 x 8 pixels
    """

    stretch: LuptonStretch
    scales: tuple[float, float, float]
    nonlinearity: float
    offset: float
    errors: dict
    residual: float
    n_blocks: int
    is_flipped: tuple[bool, ...]

    def __str__(self):
        scales = ', '.join(
            f'{scale:.4g} +- {error:.2g}'
            for scale, error in zip(self.scales, self.errors['scales'], strict=True)
        )
        nonlinearity, offset = self.errors['nonlinearity'], self.errors['offset']
        return (
            f'scales        {scales}\n'
            f'nonlinearity  {self.nonlinearity:.4g} +- {nonlinearity:.2g}\n'
            f'offset        {self.offset:.4g} +- {offset:.2g}\n'
            f'residual      {self.residual:.2g} of 255, in {self.n_blocks} '
            f'blocks of {_BLOCK} x {_BLOCK} pixels'
        )


def fit_stretch(images, pictures, *, offset=None):
    """
    Find the stretch of pictures from the images that they were made of.

    The stretch is that of Lupton et al. (2004, PASP 116, 133). Pixels that are
    masked, not finite or saturated are left out, and so is what is black.

    Parameters
    ----------
    images : `~galmorph.GalaxyImage` or `~numpy.ndarray`, or list of these
        Fluxes, the sky subtracted, shape (3, ny, nx), in the order red, green,
        blue. Bands of an image whose wavelengths are known may have any order.
    pictures : `~galmorph.GalaxyImage` or `~numpy.ndarray`, or list of these
        The picture of each, on the same pixels: shape (ny, nx, 3) or
        (3, ny, nx), uint8; or floats in [0, 1]. It may stand upside down.
    offset : float, optional
        What is added to the scaled bands, if that is known; by default it is
        fitted, and 0 where that does nearly as well.

    Returns
    -------
    fit : `StretchFit`
        The stretch, in ``fit.stretch``, and how good it is. A common factor of
        scales, offset and linear range cannot be seen in a picture: the scales
        are those of idlutils, by which a faint flux is multiplied.

    Raises
    ------
    ValueError
        If shapes differ, or the pictures do not tell the stretch: constant,
        black or saturated ones, or such as are all faint.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> from galmorph.preprocessing.stretch import get_stretch
    >>> from galmorph.preprocessing.stretch_fitting import fit_stretch
    >>> y, x = np.mgrid[:96, :96] - 48
    >>> light = np.exp(-np.hypot(x, y) / 12)
    >>> image = np.stack([0.5 * light, 0.3 * light**1.1, 0.1 * light**1.2])
    >>> picture = (255 * get_stretch('sdss')(torch.from_numpy(image))).byte().numpy()
    >>> fit = fit_stretch(image, picture)
    >>> np.round(fit.scales, 1).tolist(), round(fit.nonlinearity, 1)
    ([4.9, 5.7, 7.8], 3.0)
    """
    pairs = _pairs(images, pictures)
    with np.errstate(over='ignore', invalid='ignore', divide='ignore'):
        start = _start(pairs, offset or 0.0)
        if offset is None:
            plain = _solve(pairs, [*start, -0.25], 0.0)
            *logarithms, rounding = plain.x
            found = _solve(pairs, [*logarithms, 0.0, rounding], None)
            n_free = 6
            if plain.cost <= 1.1 * found.cost:
                found, offset, n_free = plain, 0.0, 5
        else:
            found, n_free = _solve(pairs, [*start, -0.25], offset), 5
        return _report(pairs, found, offset, n_free)


@dataclasses.dataclass
class _Pair:
    """The blocks of an image, (3, n_block, pixels), and means of its picture."""

    fluxes: np.ndarray
    is_used: np.ndarray
    means: np.ndarray
    is_flipped: bool


def _pairs(images, pictures):
    if not isinstance(images, (list, tuple)):
        images, pictures = [images], [pictures]
    if len(images) != len(pictures) or not images:
        msg = f'{len(images)} images do not go with {len(pictures)} pictures'
        raise ValueError(msg)
    pairs = []
    for number, (image, picture) in enumerate(zip(images, pictures, strict=True)):
        fluxes, is_good = _as_fluxes(image)
        shown = _as_picture(picture)
        if fluxes.shape != shown.shape:
            msg = (
                f'pair {number}: the image has the shape {fluxes.shape}, and its '
                f'picture {shown.shape}'
            )
            raise ValueError(msg)
        pairs.append(_make_pair(fluxes, is_good, shown))
    if sum(len(pair.is_used) for pair in pairs) < _MIN_BLOCKS:
        msg = (
            'there is too little to see: nearly all of the pictures is black, '
            'saturated or masked'
        )
        raise ValueError(msg)
    for channel, name in enumerate(('red', 'green', 'blue')):
        seen = np.concatenate([p.fluxes[channel][p.is_used] for p in pairs])
        if np.ptp(seen) == 0:
            msg = f'the {name} band is constant where the pictures show something'
            raise ValueError(msg)
    return [_thin(pair, _MAX_BLOCKS // len(pairs)) for pair in pairs]


def _as_fluxes(image):
    mask = None
    if isinstance(image, GalaxyImage):
        if image.is_picture:
            msg = 'images must be fluxes, and the pictures are given second'
            raise ValueError(msg)
        order = red_to_blue(image.bands)
        order = slice(None) if order is None else order
        mask = None if image.mask is None else image.mask[order]
        image = image.data[order]
    elif isinstance(image, np.ma.MaskedArray):
        mask, image = np.ma.getmaskarray(image), image.data
    fluxes = np.array(getattr(image, 'value', image), float)
    if fluxes.ndim != 3 or len(fluxes) != 3:
        msg = f'an image must have the shape (3, ny, nx), not {fluxes.shape}'
        raise ValueError(msg)
    is_good = np.isfinite(fluxes).all(0)
    if mask is not None:
        is_good &= ~mask.any(0)
    return np.where(is_good, fluxes, 0), is_good


def _as_picture(picture):
    if isinstance(picture, GalaxyImage):
        picture = picture.data
    picture = np.asarray(picture)
    if picture.ndim == 3 and picture.shape[-1] == 3 and picture.shape[0] != 3:
        picture = np.moveaxis(picture, -1, 0)
    if picture.ndim != 3 or len(picture) != 3:
        msg = f'a picture must have the shape (ny, nx, 3), not {picture.shape}'
        raise ValueError(msg)
    return picture.astype(float) * (1 if picture.dtype == np.uint8 else 255)


def _make_pair(fluxes, is_good, shown):
    # A picture of a FITS image has north up, the first row of which is below.
    light = np.arcsinh(fluxes.sum(0) / (np.std(fluxes) + 1e-300))
    upright, flipped = (
        _correlation(values[good], shown.sum(0)[good])
        for values, good in ((light, is_good), (light[::-1], is_good[::-1]))
    )
    is_flipped = flipped > upright + 1e-6
    if is_flipped:
        fluxes, is_good = fluxes[:, ::-1], is_good[::-1]
    shown, fluxes = _blocks(shown), _blocks(fluxes)
    is_good = _blocks(is_good[np.newaxis])[0]
    # A saturated pixel colours its block.
    is_seen = (shown.max((0, 2)) < _WHITE) & (shown.min((0, 2)) > _BLACK)
    keep = is_seen & (is_good.sum(-1) > _BLOCK)
    return _Pair(
        fluxes[:, keep],
        is_good[keep],
        _means(shown[:, keep], is_good[keep]),
        bool(is_flipped),
    )


def _means(planes, is_used):
    return np.where(is_used, planes, 0).sum(-1) / is_used.sum(-1)


def _thin(pair, n_blocks):
    """Part of the blocks, of all brightnesses."""
    order = np.argsort(pair.means.sum(0), kind='stable')
    n_kept = min(len(order), max(n_blocks, 1))
    keep = order[np.linspace(0, len(order) - 1, n_kept).astype(int)]
    return _Pair(
        pair.fluxes[:, keep], pair.is_used[keep], pair.means[:, keep], pair.is_flipped
    )


def _correlation(a, b):
    if a.size < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return 0.0
    return np.corrcoef(a, b)[0, 1]


def _blocks(planes):
    """Planes (n, ny, nx) as blocks (n, n_block, pixels), padded with 0."""
    n, ny, nx = planes.shape
    padded = np.pad(planes, ((0, 0), (0, -ny % _BLOCK), (0, -nx % _BLOCK)))
    split = padded.reshape(
        n, padded.shape[1] // _BLOCK, _BLOCK, padded.shape[2] // _BLOCK, _BLOCK
    )
    return split.swapaxes(2, 3).reshape(n, -1, _BLOCK * _BLOCK)


def _start(pairs, offset):
    """Logarithms of scales and nonlinearity, from the inverse of the stretch."""
    best = np.inf, None
    for nonlinearity in _STARTS:
        parts = [[], [], []]
        for pair in pairs:
            shown = pair.means / 255
            radius = np.sinh(nonlinearity * shown.sum(0)) / nonlinearity
            linear = shown * radius / shown.sum(0) - offset
            mean = _means(pair.fluxes, pair.is_used)
            for part, x, y in zip(parts, mean, linear, strict=True):
                part.append([x, y])
        ratios = []
        for part in parts:
            x, y = np.concatenate(part, axis=1)
            good = x > 0
            ratios.append(np.median(y[good] / x[good]) if good.any() else np.nan)
        if not (np.isfinite(ratios).all() and min(ratios) > 0):
            continue
        start = np.log([*ratios, nonlinearity])
        cost = np.abs(_residuals([*start, -0.25], pairs, offset)).sum()
        if cost < best[0]:
            best = cost, start
    if best[1] is None:
        msg = 'the pictures are not brighter where the images are'
        raise ValueError(msg)
    return best[1]


def _residuals(parameters, pairs, offset):
    """Display values of the model less those of the pictures, block by block."""
    *logarithms, rounding = parameters
    if offset is None:
        *logarithms, offset = logarithms
    *scales, nonlinearity = np.exp(logarithms)
    found = []
    for pair in pairs:
        colours = pair.fluxes * np.reshape(scales, (3, 1, 1)) + offset
        radius = colours.sum(0)
        ratio = np.arcsinh(nonlinearity * radius) / (nonlinearity * radius)
        colours *= np.where(radius > 0, ratio, 0)
        # Values are rounded or cut off, and there is nothing below black.
        shown = np.clip(255 * colours + rounding, 0, None)
        difference = _means(shown, pair.is_used) - pair.means
        luminance = _LUMINANCE @ difference
        colour = _COLOUR_WEIGHT * (difference[[0, 2]] - luminance)
        found += [luminance, *colour]
    return np.nan_to_num(np.concatenate(found), nan=1e3, posinf=1e3)


def _solve(pairs, start, offset):
    low = np.full(len(start), -np.inf)
    high = np.full(len(start), np.inf)
    # The nonlinearity, and how values were rounded.
    low[3], high[3] = np.log(1e-3), np.log(1e3)
    low[-1], high[-1] = -0.75, 0.25
    return least_squares(
        _residuals,
        start,
        loss='soft_l1',
        f_scale=0.5,
        x_scale='jac',
        ftol=1e-6,
        xtol=1e-6,
        max_nfev=100,
        bounds=(low, high),
        args=(pairs, offset),
    )


def _residual(parameters, pairs, offset):
    residuals = _residuals(parameters, pairs, offset)
    luminance = []
    for pair in pairs:
        n_block = len(pair.is_used)
        luminance.append(residuals[:n_block])
        residuals = residuals[3 * n_block :]
    return float(np.sqrt(np.mean(np.concatenate(luminance) ** 2)))


def _report(pairs, found, offset, n_free):
    *logarithms, _ = found.x
    variance = 2 * found.cost / max(found.fun.size - n_free, 1)
    covariance = np.linalg.pinv(found.jac.T @ found.jac) * variance
    errors = np.sqrt(np.diag(covariance))
    # A picture that is linear in the fluxes has no nonlinearity.
    errors[:4][found.active_mask[:4] != 0] = np.inf
    if not errors[:4].max() < _MAX_ERROR:
        names = ('red scale', 'green scale', 'blue scale', 'nonlinearity')
        worst = names[int(np.argmax(errors[:4]))]
        msg = (
            f'the pictures do not tell the {worst}: they need bright and faint '
            'pixels, in all three colours'
        )
        raise ValueError(msg)
    residual = _residual(found.x, pairs, offset)
    shown = np.concatenate([_LUMINANCE @ pair.means for pair in pairs])
    if residual > _MAX_RESIDUAL * shown.std():
        msg = (
            f'no stretch leads from the images to the pictures: the best one is off '
            f'by {residual:.2g} of 255; are the bands in the order red, green, blue?'
        )
        raise ValueError(msg)
    error = 0.0
    if offset is None:
        *logarithms, offset = logarithms
        error = float(errors[4])
    *scales, nonlinearity = np.exp(logarithms).tolist()
    return StretchFit(
        LuptonStretch.from_idlutils(scales, nonlinearity, offset=float(offset)),
        tuple(scales),
        nonlinearity,
        float(offset),
        {
            'scales': tuple((errors[:3] * scales).tolist()),
            'nonlinearity': float(errors[3] * nonlinearity),
            'offset': error,
        },
        residual=residual,
        n_blocks=sum(len(pair.is_used) for pair in pairs),
        is_flipped=tuple(pair.is_flipped for pair in pairs),
    )
