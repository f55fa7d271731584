# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Layers before a trunk: what is done to the pixels of each image alone."""

import math

import torch
from torch import nn

__all__ = ['ColourSpace', 'Standardise', 'colour_channels', 'create_inputs']

# Rec. 601 luma, which Pillow takes too for pictures without colour.
_LUMA = (0.299, 0.587, 0.114)
_COLOURS = ('rgb', 'hsv', 'grey')
_STANDARDISE = (None, 'image')


class Standardise(nn.Module):
    """
    Bring each image to mean 0 and standard deviation 1.

    Over the pixels and channels of an image jointly, as Zhu et al. (2019,
    Ap&SS 364, 55) whiten theirs: ``(x - mean) / max(std, 1 / sqrt(n))`` with
    the n numbers of the image. The floor keeps flat images flat. Brightness
    and contrast of the whole image no longer matter after it.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.inputs import Standardise
    >>> images = Standardise()(torch.rand(2, 3, 8, 8))
    >>> torch.allclose(images.mean((1, 2, 3)), torch.zeros(2), atol=1e-6)
    True
    """

    def forward(self, images):
        """
        Standardise.

        Parameters
        ----------
        images : `torch.Tensor`, shape (n, n_channel, ny, nx)
            Images.

        Returns
        -------
        images : `torch.Tensor`, shape (n, n_channel, ny, nx)
            New ones.
        """
        axes = (1, 2, 3)
        centred = images - images.mean(axes, keepdim=True)
        variance = centred.square().mean(axes, keepdim=True)
        # Before the root, whose slope at 0 is infinite.
        return centred / variance.clamp(min=1 / math.prod(images.shape[1:])).sqrt()


class ColourSpace(nn.Module):
    """
    Show colours in another way.

    Parameters
    ----------
    name : str
        'hsv' for hue, saturation and value, all in [0, 1]; 'grey' for the
        Rec. 601 luma, one channel. 'hsv' needs colours in [0, 1], so a
        recipe with mean 0 and std 1.

    Raises
    ------
    ValueError
        If the name is another.

    Examples
    --------
    >>> import torch
    >>> from galmorph.networks.inputs import ColourSpace
    >>> orange = torch.tensor([1.0, 0.5, 0.0]).reshape(1, 3, 1, 1)
    >>> [round(x, 3) for x in ColourSpace('hsv')(orange).flatten().tolist()]
    [0.083, 1.0, 1.0]
    """

    def __init__(self, name):
        super().__init__()
        if name not in _COLOURS[1:]:
            msg = f"the colour space must be 'hsv' or 'grey', not {name!r}"
            raise ValueError(msg)
        self.name = name

    def extra_repr(self):
        """
        Name the colour space.

        Returns
        -------
        name : str
            For the representation.
        """
        return repr(self.name)

    def forward(self, images):
        """
        Convert.

        Parameters
        ----------
        images : `torch.Tensor`, shape (n, 3, ny, nx)
            Red, green and blue.

        Returns
        -------
        images : `torch.Tensor`, shape (n, 3 or 1, ny, nx)
            New ones.
        """
        if self.name == 'hsv':
            return _hsv(images)
        weights = images.new_tensor(_LUMA)[:, None, None]
        return (images * weights).sum(1, keepdim=True)


def colour_channels(colour, n_channels=3):
    """
    Tell how many channels a trunk gets.

    Parameters
    ----------
    colour : str
        'rgb' for channels as they come, 'hsv' or 'grey'.
    n_channels : int, optional
        Channels of the views.

    Returns
    -------
    n_channels : int
        Channels of the trunk.

    Raises
    ------
    ValueError
        If the colour space is unknown, or views have not the three channels
        that it takes.

    Examples
    --------
    >>> from galmorph.networks.inputs import colour_channels
    >>> colour_channels('rgb'), colour_channels('grey')
    (3, 1)
    """
    if colour not in _COLOURS:
        msg = f'colour must be one of {_COLOURS}, not {colour!r}'
        raise ValueError(msg)
    if colour == 'rgb':
        return n_channels
    if n_channels != 3:
        msg = (
            f'colour={colour!r} needs n_channels=3, not {n_channels!r}; '
            "images of other channels keep colour='rgb'"
        )
        raise ValueError(msg)
    return 1 if colour == 'grey' else 3


def create_inputs(*, standardise=None, colour='rgb'):
    """
    Make the layers before a trunk.

    Parameters
    ----------
    standardise : str, optional
        'image' for `Standardise`, after the colours.
    colour : str, optional
        'rgb' leaves the channels alone; 'hsv' and 'grey' as in
        `ColourSpace`.

    Returns
    -------
    inputs : `torch.nn.Sequential`
        Layers without parameters, none where all is left as it is.

    Raises
    ------
    ValueError
        If an option is unknown.

    Examples
    --------
    >>> from galmorph.networks.inputs import create_inputs
    >>> [type(layer).__name__ for layer in create_inputs(
    ...     standardise='image', colour='grey')]
    ['ColourSpace', 'Standardise']
    """
    if standardise not in _STANDARDISE:
        msg = f"standardise must be None or 'image', not {standardise!r}"
        raise ValueError(msg)
    if colour not in _COLOURS:
        msg = f'colour must be one of {_COLOURS}, not {colour!r}'
        raise ValueError(msg)
    layers = [] if colour == 'rgb' else [ColourSpace(colour)]
    if standardise == 'image':
        layers.append(Standardise())
    return nn.Sequential(*layers)


def _hsv(images):
    red, green, blue = images.unbind(1)
    value, saturation = images.amax(1), images.amax(1) - images.amin(1)
    # Grey pixels have neither hue nor saturation, and no division by 0.
    spread = torch.where(saturation > 0, saturation, 1)
    hue = torch.where(
        red == value,
        (green - blue) / spread,
        torch.where(
            green == value, 2 + (blue - red) / spread, 4 + (red - green) / spread
        ),
    )
    hue = torch.where(saturation > 0, hue / 6 % 1, 0)
    saturation = saturation / torch.where(value > 0, value, 1)
    return torch.stack([hue, saturation, value], 1)
