# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Colour: from fluxes in three bands to the picture that volunteers saw."""

import dataclasses
import math

__all__ = [
    'AsinhStretch',
    'LuptonStretch',
    'get_stretch',
    'list_stretches',
    'register_stretch',
]


@dataclasses.dataclass(frozen=True)
class LuptonStretch:
    """
    The colour-preserving asinh stretch of Lupton et al. (2004, PASP 116, 133).

    It gives the numbers of `astropy.visualization.make_lupton_rgb`, on
    batches and on the device of the network.

    Parameters
    ----------
    scales : tuple of float
        Factors of the bands, in the order red, green, blue.
    stretch, softening : float
        The linear range, and Q.
    offset : float, optional
        What is added to the scaled bands.

    Examples
    --------
    >>> import torch
    >>> from galmorph.preprocessing.stretch import get_stretch
    >>> get_stretch('sdss')(torch.full((1, 3, 1, 1), 0.05)).flatten()
    tensor([0.1544, 0.1796, 0.2458])
    """

    scales: tuple[float, float, float]
    stretch: float
    softening: float
    offset: float = 0.0

    # Fluxes mean the same in all images.
    limits = None

    @classmethod
    def from_idlutils(cls, scales, nonlinearity, *, offset=0.0):
        """
        Translate the parameters of the SDSS code.

        Parameters
        ----------
        scales : tuple of float
            ``scales`` of idlutils' ``nw_scale_rgb``.
        nonlinearity : float
            ``nonlinearity`` of ``nw_arcsinh``, which acts on the sum of the
            three bands where Lupton's stretch takes the mean.
        offset : float, optional
            What is added to the scaled bands.

        Returns
        -------
        stretch : `LuptonStretch`
            The same stretch.
        """
        softening = 10 * math.sinh(0.3 * nonlinearity)
        return cls(tuple(scales), softening / (3 * nonlinearity), softening, offset)

    def to_idlutils(self):
        """
        Give the parameters of the SDSS code.

        A common factor of scales, stretch and offset changes no picture. Here
        it is the one by which a faint flux is multiplied by its scale, so that
        two stretches make the same pictures if these numbers agree.

        Returns
        -------
        scales : tuple of float
            ``scales`` of idlutils' ``nw_scale_rgb``.
        nonlinearity : float
            ``nonlinearity`` of ``nw_arcsinh``.
        offset : float
            What is added to the scaled bands.

        Examples
        --------
        >>> from galmorph.preprocessing.stretch import get_stretch
        >>> scales, nonlinearity, offset = get_stretch('legacy').to_idlutils()
        >>> [round(scale, 2) for scale in scales], round(nonlinearity, 2)
        ([4.47, 6.71, 11.18], 1.49)
        """
        nonlinearity = math.asinh(0.1 * self.softening) / 0.3
        factor = self.softening / self.stretch / (3 * nonlinearity)
        scales = tuple(factor * scale for scale in self.scales)
        return scales, nonlinearity, factor * self.offset

    def __call__(self, fluxes):
        """
        Stretch fluxes.

        Parameters
        ----------
        fluxes : `torch.Tensor`, shape (..., 3, ny, nx) or (..., 1, ny, nx)
            Fluxes of the bands that are shown red, green and blue, with the
            sky subtracted, in the unit of the scales. A single band is shown
            grey, as bright as a source with that flux in all three.

        Returns
        -------
        picture : `torch.Tensor`, of the shape of ``fluxes``
            Colours in [0, 1].
        """
        import torch

        scales = fluxes.new_tensor(self.scales)[:, None, None]
        if fluxes.shape[-3] == 1:
            scales = scales.mean(0, keepdim=True)
        scaled = fluxes * scales + self.offset
        intensity = scaled.mean(-3, keepdim=True)
        slope = 0.1 / math.asinh(0.1 * self.softening)
        stretched = torch.asinh(intensity * (self.softening / self.stretch)) * slope
        ratio = torch.where(intensity > 0, stretched / intensity, 0)
        picture = (scaled * ratio).clamp(min=0)
        # A saturated pixel keeps its colour.
        return picture / picture.amax(-3, keepdim=True).clamp(min=1)


@dataclasses.dataclass(frozen=True)
class AsinhStretch:
    """
    An asinh stretch between limits that each image sets for itself.

    With the limits (0, 100), the darkest and the brightest pixel of the frame,
    it gives the numbers of ``astropy.visualization.simple_norm(frame,
    'asinh', asinh_a=softening)``.

    Parameters
    ----------
    softening : float
        Where linear turns into logarithmic, as part of the range.
    limits : (float, float), optional
        Percentiles of the frame that become black and white. A band by
        itself each.

    Examples
    --------
    >>> import torch
    >>> from galmorph.preprocessing.stretch import AsinhStretch
    >>> AsinhStretch(0.1)(torch.tensor([-1.0, 0.0, 0.1, 1.0, 2.0]))
    tensor([0.0000, 0.0000, 0.2940, 1.0000, 1.0000])
    """

    softening: float
    limits: tuple[float, float] = (0.0, 100.0)

    def __call__(self, fluxes):
        """
        Stretch fluxes.

        Parameters
        ----------
        fluxes : `torch.Tensor`
            Fluxes that go from 0 to 1 between the limits.

        Returns
        -------
        picture : `torch.Tensor`, of the shape of ``fluxes``
            Grey values in [0, 1].
        """
        import torch

        scaled = torch.asinh(fluxes.clamp(0, 1) / self.softening)
        return scaled / math.asinh(1 / self.softening)


_PRESETS = {
    # idlutils nw_rgb_make: SDSS i, r, g in nanomaggies per 0.396 arcsec pixel.
    'sdss': LuptonStretch.from_idlutils((4.9, 5.7, 7.8), 3.0),
    # The colour mosaics of data release 8 and later, recalled in the community.
    'sdss-dr8': LuptonStretch.from_idlutils((5.0, 6.5, 9.0), 2.25),
    # sdss_rgb of the Legacy Surveys viewer: i, r, g (or z, r, g), nanomaggies
    # per 0.262 arcsec pixel.
    'legacy': LuptonStretch(
        (1.0, 1.5, 2.5),
        stretch=10 * math.sinh(0.1 * math.sqrt(20)) / 20,
        softening=10 * math.sinh(0.1 * math.sqrt(20)),
        offset=0.02,
    ),
    # Hubble deep fields: F160W, F125W, F814W (or F606W) in nJy per 0.06 arcsec
    # pixel; the sky noise of CANDELS comes out at a few per cent grey.
    'hst': LuptonStretch((1.0, 1.2, 2.0), stretch=1.0, softening=10.0),
    # The stamps of Galaxy Zoo CEERS, whose making is not published: what they
    # show is that of astropy's default. With it undone the half-light radius is
    # that by which they were cut, and the saturated area grows as that of the
    # peak does, so no percentile was cut off.
    'asinh-image': AsinhStretch(0.1),
}


_registered = {}


def list_stretches():
    """
    List the named stretches.

    Returns
    -------
    names : list of str
        What `get_stretch` takes.

    Examples
    --------
    >>> from galmorph.preprocessing.stretch import list_stretches
    >>> [name for name in list_stretches() if name.startswith('sdss')]
    ['sdss', 'sdss-dr8']
    """
    return sorted({*_PRESETS, *_registered})


def register_stretch(name, stretch):
    """
    Make a stretch of one's own available by name, in this process.

    Recipes name their stretch, so that this is the way to let a classifier
    show fluxes as some pictures do.

    Parameters
    ----------
    name : str
        The name. One that was registered before is replaced.
    stretch : `LuptonStretch` or `AsinhStretch`
        The stretch, such as that of
        `~galmorph.preprocessing.stretch_fitting.fit_stretch`.

    Raises
    ------
    ValueError
        If it is the name of a stretch of the package.
    TypeError
        If it is no such stretch.

    Examples
    --------
    >>> from galmorph import Recipe
    >>> from galmorph.preprocessing.stretch import LuptonStretch, register_stretch
    >>> register_stretch('mine', LuptonStretch((4, 5, 6), stretch=1.1, softening=9))
    >>> Recipe(stretch='mine').stretch
    'mine'
    """
    if name in _PRESETS:
        msg = f'{name!r} is a stretch of the package; take another name'
        raise ValueError(msg)
    if not isinstance(stretch, (LuptonStretch, AsinhStretch)):
        msg = f'stretch must be a LuptonStretch or an AsinhStretch, not {stretch!r}'
        raise TypeError(msg)
    _registered[name] = stretch


def get_stretch(name):
    """
    Look a named stretch up.

    Parameters
    ----------
    name : str
        One of `list_stretches`.

    Returns
    -------
    stretch : `LuptonStretch` or `AsinhStretch`
        The stretch. One whose ``limits`` are not `None` takes each image by
        itself.

    Raises
    ------
    ValueError
        If there is no stretch of that name.

    Examples
    --------
    >>> from galmorph.preprocessing.stretch import get_stretch
    >>> get_stretch('sdss').scales
    (4.9, 5.7, 7.8)
    """
    if name not in _PRESETS and name not in _registered:
        msg = f'there is no stretch {name!r}; choose from {list_stretches()}'
        raise ValueError(msg)
    return _PRESETS[name] if name in _PRESETS else _registered[name]
