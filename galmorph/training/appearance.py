# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Colour, contrast and degradation of batches of images, on any device."""

import math

import torch
from torch.nn import functional

from galmorph.networks.inputs import ColourSpace

__all__ = ['adjust_colour', 'adjust_contrast', 'degrade', 'difference_psf']

# Of a Gaussian: full width at half maximum over standard deviation.
_FWHM = 2 * math.sqrt(2 * math.log(2))


def adjust_colour(images, *, saturation=None, hue=None):
    """
    Change saturation and hue, each image by its own amount.

    Parameters
    ----------
    images : `torch.Tensor`, shape (n, ..., 3, ny, nx)
        Red, green and blue, not negative.
    saturation : `torch.Tensor`, shape (n,), optional
        Factors of the saturation, which ends at 1.
    hue : `torch.Tensor`, shape (n,), optional
        Parts of the circle by which hues turn.

    Returns
    -------
    images : `torch.Tensor`, shape (n, ..., 3, ny, nx)
        New ones.

    Examples
    --------
    >>> import torch
    >>> from galmorph.training.appearance import adjust_colour
    >>> red = torch.tensor([1.0, 0.0, 0.0]).reshape(1, 3, 1, 1)
    >>> adjust_colour(red, hue=torch.tensor([1 / 3])).flatten().round(decimals=4)
    tensor([0., 1., 0.])
    """
    flat = images.flatten(0, -4) if images.ndim > 4 else images
    repeats = len(flat) // len(images) if len(images) else 1
    h, s, v = ColourSpace('hsv')(flat).unbind(1)
    if saturation is not None:
        s = (s * saturation.repeat_interleave(repeats)[:, None, None]).clamp(0, 1)
    if hue is not None:
        h = h + hue.repeat_interleave(repeats)[:, None, None]
    channels = []
    for start in (5, 3, 1):
        k = (start + 6 * h) % 6
        channels.append(v - v * s * torch.minimum(k, 4 - k).clamp(0, 1))
    return torch.stack(channels, 1).reshape(images.shape)


def adjust_contrast(images, factors):
    """
    Multiply the difference of each channel from its mean.

    Parameters
    ----------
    images : `torch.Tensor`, shape (n, ..., n_channel, ny, nx)
        Images.
    factors : `torch.Tensor`, shape (n,)
        The factors.

    Returns
    -------
    images : `torch.Tensor`, shape (n, ..., n_channel, ny, nx)
        New ones.

    Examples
    --------
    >>> import torch
    >>> from galmorph.training.appearance import adjust_contrast
    >>> image = torch.tensor([0.0, 1.0]).reshape(1, 1, 1, 2)
    >>> adjust_contrast(image, torch.tensor([0.5])).flatten()
    tensor([0.2500, 0.7500])
    """
    mean = images.mean((-2, -1), keepdim=True)
    return mean + (images - mean) * _each(factors, images)


def degrade(images, *, psf=None, noise=None, dimming=None, generator=None):
    """
    Make galaxies look as from farther away, or through another telescope.

    Each image is dimmed, convolved with a Gaussian, and given noise. It also
    has fewer pixels across: that is a matter of its affine, or ``zoom`` of the
    augmentation. A source at redshift z₂ that is shown as at z₁ is dimmed in
    surface brightness by ((1 + z₂) / (1 + z₁))⁴.

    Parameters
    ----------
    images : `torch.Tensor`, shape (n, ..., n_channel, ny, nx)
        Fluxes, or approximately display values.
    psf : float or `torch.Tensor`, shape (n,), optional
        FWHM of the Gaussians in pixels; see `difference_psf`.
    noise : float or `torch.Tensor`, shape (n,), optional
        Standard deviation of the noise in the unit of the images.
    dimming : float or `torch.Tensor`, shape (n,), optional
        Factors of the brightness.
    generator : `torch.Generator`, optional
        Where the noise comes from, on any device.

    Returns
    -------
    images : `torch.Tensor`, shape (n, ..., n_channel, ny, nx)
        New ones.

    Examples
    --------
    >>> import torch
    >>> from galmorph.training.appearance import degrade
    >>> star = torch.zeros(1, 1, 21, 21)
    >>> star[..., 10, 10] = 1
    >>> blurred = degrade(star, psf=4.0)
    >>> print(f'{blurred.sum():.3f} {blurred[0, 0, 10, 12] / blurred.max():.3f}')
    1.000 0.510
    """
    n = len(images)
    if dimming is not None:
        images = images * _each(_as_tensor(dimming, n, images), images)
    if psf is not None:
        images = _blur(images, _as_tensor(psf, n, images) / _FWHM)
    if noise is not None:
        device = images.device if generator is None else generator.device
        normal = torch.randn(
            images.shape, generator=generator, device=device, dtype=images.dtype
        )
        width = _each(_as_tensor(noise, n, images), images)
        images = images + width * normal.to(images.device)
    return images


def difference_psf(have, want):
    """
    Find the Gaussian that turns one point spread function into another.

    Parameters
    ----------
    have, want : float or array-like
        FWHM of both, in one unit; ``want`` as it appears in the images: of
        a galaxy moved away by a factor, ``have`` shrinks by that factor.

    Returns
    -------
    fwhm : float or `torch.Tensor`
        FWHM of the difference; 0 where the wanted one is the sharper.

    Examples
    --------
    >>> from galmorph.training.appearance import difference_psf
    >>> difference_psf(0.3, 0.5)
    0.4
    """
    have, want = (torch.as_tensor(f, dtype=torch.float64) for f in (have, want))
    fwhm = (want**2 - have**2).clamp(min=0).sqrt()
    return fwhm if fwhm.ndim else round(fwhm.item(), 12)


def _blur(images, sigma):
    """Convolve with Gaussians, one after the other along both axes."""
    reach = math.ceil(4 * sigma.max().item()) if len(sigma) else 0
    if not reach:
        return images
    offset = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    # Integrated over pixels, so that a narrow Gaussian is right too.
    edge = (math.sqrt(0.5) / sigma.clamp(min=1e-3))[:, None]
    kernel = torch.erf((offset + 0.5) * edge) - torch.erf((offset - 0.5) * edge)
    kernel = kernel / kernel.sum(1, keepdim=True)
    ny, nx = images.shape[-2:]
    flat = images.reshape(1, -1, ny, nx)
    n_plane = flat.shape[1]
    kernel = kernel.repeat_interleave(n_plane // len(sigma), 0)[:, None]
    for axis, weight in ((2, kernel[..., None]), (3, kernel[:, :, None])):
        padding = [0, 0, reach, reach] if axis == 2 else [reach, reach, 0, 0]
        # The sky goes on beyond the edge.
        padded = functional.pad(flat, padding, mode='replicate')
        flat = functional.conv2d(padded, weight, groups=n_plane)
    return flat.reshape(images.shape)


def _as_tensor(value, n, images):
    value = torch.as_tensor(value, dtype=images.dtype, device=images.device)
    return value.expand(n)


def _each(values, images):
    """One value an image, shaped to multiply it."""
    return values.reshape(-1, *[1] * (images.ndim - 1))
