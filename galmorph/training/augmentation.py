# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Augmentation: random affines of the frame, and what is done to the pixels."""

import dataclasses
import math

import numpy as np
import torch

from galmorph.preprocessing import geometry
from galmorph.training.appearance import (
    adjust_colour,
    adjust_contrast,
    degrade,
)

__all__ = ['Augmentation', 'list_augmentations']

# The colour component of Dieleman et al. (2015), section 5.4.
_COLOUR_PCA = (-0.0148366, -0.01253134, -0.01040762)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """
    How training shows a galaxy otherwise than it is.

    The geometry is one affine of the frame, multiplied into those of the
    recipe, so that pixels are still resampled once. Colours, brightness and
    degradation act on the resampled views. Each galaxy has one draw, the same
    for all its views.

    Fluxes are degraded before the stretch, by `degrade`. Of a picture only the
    display values are left, and `adjust` degrades these, which is an
    approximation: the blur is of compressed light.

    Parameters
    ----------
    rotation : float
        Angles are uniform from 0 to so many degrees.
    rotation_step : float
        Only multiples of so many degrees, where positive.
    n_rotations : int
        Only so many angles for each galaxy, always the same, where positive.
    flip, flip_vertical : bool
        Mirror half of the galaxies left to right; top to bottom.
    zoom : tuple of float
        Range of the scale of the frame, uniform in its logarithm; above 1
        galaxies become smaller.
    crop : tuple of float
        Range of the scale of the frame, uniform, on top of ``zoom``.
    shift : float
        Shifts along x and along y are uniform up to so many frame pixels.
    crop_shift : float
        The same for the frame as scaled and turned.
    crop_step : float
        Only multiples of so many frame pixels of ``crop_shift``, where
        positive.
    shear : float
        Shears are uniform up to so many degrees.
    pca : float
        Standard deviation of what of ``pca_vector`` is added to all colours.
    pca_vector : tuple of float
        A colour.
    gain, channel_gain : float
        Standard deviations of the logarithm of a factor for all channels, and
        for each.
    brightness : float
        What is added is uniform up to so much.
    contrast : tuple of float
        Range of a factor of the difference from the mean of each channel.
    saturation : tuple of float
        Range of a factor of the saturation.
    hue : float
        The hue turns, uniformly, by up to so much of the circle, at most 0.5.
    clip : bool
        Cut the result to [0, 1].
    degraded : float
        The part of the galaxies that are dimmed, blurred and noised.
    dimming : tuple of float
        Range of a factor of their brightness. Images that are scaled to one
        brightness have their noise divided by it instead.
    psf : tuple of float
        Range of the FWHM, in pixels of the network's input, of the Gaussian
        that they are convolved with.
    noise : tuple of float
        Range of the standard deviation of the noise that is added to each
        pixel of the network's input: as a fraction of the surface brightness
        of a typical galaxy, which a recipe has for each band; where the
        stretch takes each image by itself, of the range from its black to its
        white; and in display values for pictures.

    Raises
    ------
    ValueError
        If a value has no meaning.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.training.augmentation import Augmentation
    >>> augmentation = Augmentation.preset('dieleman')
    >>> augmentation.shift, augmentation.flip
    (4.0, True)
    >>> augmentation.draw_affines(10, np.random.default_rng(1)).shape
    (10, 3, 3)
    >>> Augmentation.from_dict(augmentation.to_dict()) == augmentation
    True
    """

    rotation: float = 0.0
    rotation_step: float = 0.0
    n_rotations: int = 0
    flip: bool = False
    flip_vertical: bool = False
    zoom: tuple[float, float] = (1.0, 1.0)
    crop: tuple[float, float] = (1.0, 1.0)
    shift: float = 0.0
    crop_shift: float = 0.0
    crop_step: float = 0.0
    shear: float = 0.0
    pca: float = 0.0
    pca_vector: tuple[float, float, float] = _COLOUR_PCA
    gain: float = 0.0
    channel_gain: float = 0.0
    brightness: float = 0.0
    contrast: tuple[float, float] = (1.0, 1.0)
    saturation: tuple[float, float] = (1.0, 1.0)
    hue: float = 0.0
    clip: bool = True
    degraded: float = 0.0
    dimming: tuple[float, float] = (1.0, 1.0)
    psf: tuple[float, float] = (0.0, 0.0)
    noise: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self):
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(field.default, tuple):
                value = _as_tuple(field, value)
            elif isinstance(field.default, bool):
                value = _as_bool(field.name, value)
            else:
                value = _as_number(field.name, value, type(field.default))
            object.__setattr__(self, field.name, value)
        for name in ('zoom', 'crop', 'dimming'):
            if getattr(self, name)[0] <= 0:
                msg = f'{name} must be positive, not {getattr(self, name)}'
                raise ValueError(msg)
        for name, most in (('hue', 0.5), ('degraded', 1), ('shear', 80)):
            if getattr(self, name) > most:
                msg = f'{name} must be at most {most}, not {getattr(self, name)}'
                raise ValueError(msg)

    @classmethod
    def preset(cls, name, **changes):
        """
        Look a published augmentation up.

        Parameters
        ----------
        name : str
            One of `list_augmentations`.
        **changes
            Fields that differ.

        Returns
        -------
        augmentation : `Augmentation`
            The augmentation.
        """
        if name not in _PRESETS:
            msg = f'there is no augmentation {name!r}; there are {list(_PRESETS)}'
            raise ValueError(msg)
        return cls.from_dict({**_PRESETS[name], **changes})

    @classmethod
    def from_dict(cls, record):
        """
        Read a record.

        Parameters
        ----------
        record : dict
            As `to_dict` gives it; what is left out takes its default. The key
            ``preset`` names what the defaults are.

        Returns
        -------
        augmentation : `Augmentation`
            The augmentation.
        """
        record = dict(record)
        if 'preset' in record:
            return cls.preset(record.pop('preset'), **record)
        known = [field.name for field in dataclasses.fields(cls)]
        unknown = sorted(set(record) - set(known))
        if unknown:
            msg = f'an augmentation has no {unknown}; it has {known}'
            raise ValueError(msg)
        return cls(**record)

    def to_dict(self):
        """
        Write the fields that are not the defaults.

        Returns
        -------
        record : dict
            In types that JSON and YAML know; what `from_dict` takes.
        """
        changed = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if value != field.default:
                changed[field.name] = list(value) if isinstance(value, tuple) else value
        return changed

    def draw_affines(self, n, rng, *, indices=None):
        """
        Draw affines of the frame.

        Parameters
        ----------
        n : int
            The number of galaxies.
        rng : `numpy.random.Generator`
            Where random numbers come from.
        indices : `~numpy.ndarray` of int, shape (n,), optional
            Which galaxies they are; ``n_rotations`` asks for it.

        Returns
        -------
        affines : `~numpy.ndarray`, shape (n, 3, 3)
            From the frame as it is shown to the frame.
        """
        # The same draws in the same order whatever the ranges are, so that
        # a change of one range leaves the others' numbers alone.
        uniform = rng.random((12, n))
        shift = self.shift * (2 * uniform[0:2] - 1)
        scale = _between(uniform[2], np.log(self.zoom), np.exp)
        scale = scale * _between(uniform[3], self.crop)
        crop_shift = self._draw_crop_shift(uniform[4:6])
        shear = np.tan(np.deg2rad(self.shear * (2 * uniform[6] - 1)))
        affines = (
            geometry.translation(*shift)
            @ geometry.rotation(self._draw_angles(uniform[7], indices))
            @ geometry.flip(self.flip & (uniform[8] < 0.5))
            @ geometry.scaling(
                1.0, np.where(self.flip_vertical & (uniform[9] < 0.5), -1.0, 1.0)
            )
            @ geometry.scaling(scale)
            @ geometry.translation(*crop_shift)
        )
        if self.shear:
            sheared = np.tile(np.eye(3), (n, 1, 1))
            sheared[:, 0, 1] = shear
            affines = affines @ sheared
        return affines

    def _draw_angles(self, uniform, indices):
        if self.n_rotations:
            if indices is None:
                msg = 'n_rotations needs the indices of the galaxies'
                raise ValueError(msg)
            choice = np.floor(uniform * self.n_rotations)
            key = np.asarray(indices) * self.n_rotations + choice
            # The same in every epoch, and as good as random.
            uniform = np.abs(np.sin(key * 12.9898 + 1) * 43758.5453) % 1
        angles = self.rotation * uniform
        if self.rotation_step:
            angles = np.floor(angles / self.rotation_step) * self.rotation_step
        return angles

    def _draw_crop_shift(self, uniform):
        if not self.crop_step:
            return self.crop_shift * (2 * uniform - 1)
        n_steps = round(self.crop_shift / self.crop_step)
        return self.crop_step * (np.floor(uniform * (2 * n_steps + 1)) - n_steps)

    def reach(self):
        """
        Give affines that bound what any draw can show.

        Returns
        -------
        affines : `~numpy.ndarray`, shape (n, 3, 3)
            What `~galmorph.preprocessing.prepare.prepare` takes as ``reach``.
        """
        scale = self.zoom[1] * self.crop[1]
        scale *= 1 + math.tan(math.radians(self.shear))
        shift = self.shift + scale * self.crop_shift * math.sqrt(2)
        corners = [
            geometry.translation(x, y) @ geometry.rotation(angle)
            for x in (-shift, shift)
            for y in (-shift, shift)
            for angle in ((0, 45) if self.rotation else (0,))
        ]
        return np.array(corners) @ geometry.scaling(scale)

    @property
    def changes_pixels(self):
        """Whether `adjust` does anything."""
        plain = Augmentation()
        names = ('pca', 'gain', 'channel_gain', 'brightness', 'contrast')
        names += ('saturation', 'hue', 'degraded')
        return any(getattr(self, name) != getattr(plain, name) for name in names)

    def degrade(self, fluxes, generator, *, unit=1.0, is_scaled=None, limits=None):
        """
        Degrade a part of the galaxies, in linear light.

        Parameters
        ----------
        fluxes : `torch.Tensor`, shape (n, n_view, n_channel, ny, nx)
            What a stretch takes.
        generator : `torch.Generator`
            Where random numbers come from, on any device.
        unit : sequence of float, shape (n_channel,), or float, optional
            The flux of which ``noise`` is a fraction.
        is_scaled : `torch.Tensor` of bool, shape (n,), optional
            Which galaxies are shown at one brightness, whatever theirs is, so
            that dimming raises their noise instead; none by default.
        limits : (float, float), optional
            Percentiles between which the stretch shows each image by itself.
            Those of the degraded views are brought to where they were.

        Returns
        -------
        fluxes : `torch.Tensor`, shape (n, n_view, n_channel, ny, nx)
            New ones; bit by bit the same of galaxies that are not degraded.

        Examples
        --------
        >>> import torch
        >>> from galmorph.training.augmentation import Augmentation
        >>> augmentation = Augmentation(degraded=1, dimming=(0.25, 0.25))
        >>> fluxes = torch.ones(1, 1, 1, 1, 2)
        >>> augmentation.degrade(fluxes, torch.Generator()).flatten()
        tensor([0.2500, 0.2500])
        """
        if not self.degraded:
            return fluxes
        numbers = torch.rand(4, len(fluxes), generator=generator,
                             device=generator.device)  # fmt: skip
        uniform = numbers.to(fluxes)
        chosen = uniform[0] < self.degraded
        if not chosen.any():
            return fluxes
        uniform, plain = uniform[:, chosen], fluxes[chosen]
        dimming = _between(uniform[1], self.dimming)
        noise = _between(uniform[3], self.noise)
        if is_scaled is not None:
            is_scaled = is_scaled.to(fluxes.device)[chosen]
            noise = torch.where(is_scaled, noise / dimming, noise)
            dimming = torch.where(is_scaled, 1, dimming)
        unit = torch.as_tensor(unit).to(fluxes).reshape(-1, 1, 1)
        degraded = unit * degrade(
            plain / unit,
            dimming=dimming,
            psf=_between(uniform[2], self.psf),
            noise=noise,
            generator=generator,
        )
        if limits is not None:
            degraded = _keep_limits(degraded, plain, limits)
        fluxes = fluxes.clone()
        fluxes[chosen] = degraded
        return fluxes

    def adjust(self, views, generator, *, is_picture=None):
        """
        Change colours and brightness of views, and degrade pictures.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_view, n_channel, ny, nx)
            Display values in [0, 1]. A single channel has no colour.
        generator : `torch.Generator`
            Where random numbers come from, on any device.
        is_picture : `~numpy.ndarray` of bool, shape (n,), optional
            Which views were display values from the beginning; all by
            default. The others are left to `degrade`.

        Returns
        -------
        views : `torch.Tensor`, shape (n, n_view, n_channel, ny, nx)
            New ones.
        """
        if not self.changes_pixels:
            return views
        n, n_channel = views.shape[0], views.shape[-3]
        numbers = torch.rand(9, n, generator=generator, device=generator.device)
        normal = torch.randn(2 + n_channel, n, generator=generator,
                             device=generator.device)  # fmt: skip
        uniform, normal = numbers.to(views), normal.to(views)
        shape = (n, 1, -1, 1, 1)
        if self.pca and n_channel == len(self.pca_vector):
            vector = views.new_tensor(self.pca_vector)
            views = views + (self.pca * normal[0, :, None] * vector).reshape(shape)
        if self.gain or self.channel_gain:
            logarithm = self.gain * normal[1] + self.channel_gain * normal[2:]
            views = views * logarithm.T.exp().reshape(shape)
        if n_channel == 3 and (self.saturation != (1, 1) or self.hue):
            # Hue has no meaning where a channel is negative.
            views = adjust_colour(
                views.clamp(min=0),
                saturation=_between(uniform[0], self.saturation),
                hue=self.hue * (2 * uniform[1] - 1),
            )
        if self.contrast != (1, 1):
            views = adjust_contrast(views, _between(uniform[2], self.contrast))
        if self.brightness:
            views = views + (self.brightness * (2 * uniform[3] - 1)).reshape(shape)
        if self.degraded and (is_picture is None or any(is_picture)):
            views = self._degrade_pictures(views, uniform[4:8], generator, is_picture)
        return views.clamp(0, 1) if self.clip else views

    def _degrade_pictures(self, views, uniform, generator, is_picture):
        chosen = uniform[0] < self.degraded
        if is_picture is not None:
            chosen &= torch.as_tensor(is_picture).to(chosen.device)
        return degrade(
            views,
            dimming=torch.where(chosen, _between(uniform[1], self.dimming), 1),
            psf=torch.where(chosen, _between(uniform[2], self.psf), 0),
            noise=torch.where(chosen, _between(uniform[3], self.noise), 0),
            generator=generator,
        )


def list_augmentations():
    """
    List the published augmentations.

    Returns
    -------
    names : list of str
        What `Augmentation.preset` takes.

    Examples
    --------
    >>> from galmorph.training.augmentation import list_augmentations
    >>> 'dieleman' in list_augmentations()
    True
    """
    return list(_PRESETS)


_AFFINE = {'rotation': 360, 'flip': True, 'shift': 4, 'zoom': (1 / 1.3, 1.3)}

_PRESETS = {
    'none': {},
    'dihedral': {'rotation': 360, 'rotation_step': 90, 'flip': True},
    # Dieleman et al. (2015), section 5.4.
    'dieleman': {**_AFFINE, 'pca': 0.5},
    # Zhu et al. (2019), section 3: crops of 170 to 240 frame pixels, of which
    # 64 of 80 pixels are taken at a random place. The recipe has steps of
    # 220 / 80 frame pixels. Brightness has no effect on whitened images.
    'zhu': {
        'rotation': 360,
        'rotation_step': 90,
        'flip': True,
        'crop': (170 / 220, 240 / 220),
        'crop_shift': 8 * 220 / 80,
        'crop_step': 220 / 80,
        'brightness': 63 / 255,
        'contrast': (0.2, 1.8),
        'saturation': (0.8, 1.2),
        'hue': 0.05,
        'clip': False,
    },
    # Ignat et al. (2016): as Dieleman et al., without colour.
    'ucsc': _AFFINE,
    # Their training set held every galaxy in three random rotations.
    'ucsc3': {'rotation': 360, 'n_rotations': 3},
    # Castillo et al. (2018): four rotations, and both mirrors, of which eight
    # of the sixteen are repetitions.
    'uppsala16': {
        'rotation': 360,
        'rotation_step': 90,
        'flip': True,
        'flip_vertical': True,
    },
}


def _between(uniform, ends, function=None):
    low, high = ends
    values = low + (high - low) * uniform
    return values if function is None else function(values)


def _keep_limits(degraded, plain, limits):
    """
    Bring percentiles of degraded views to where they are in the plain ones.

    The frame that sets the limits may be larger than the views, and its pixels
    finer: what of it lies beyond them is taken to change as they do.
    """
    ends = torch.tensor(limits, dtype=plain.dtype, device=plain.device) / 100

    def percentiles(views):
        values = views.transpose(1, 2).flatten(2)
        return torch.quantile(values, ends, dim=-1)[:, :, None, :, None, None]

    (low, high), (low_now, high_now) = percentiles(plain), percentiles(degraded)
    extent = high_now - low_now
    scale = torch.where(extent > 0, (high - low) / extent, 1)
    return low + (degraded - low_now) * scale


def _as_tuple(field, value):
    length = len(field.default)
    try:
        numbers = tuple(float(number) for number in value)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != length or not all(map(math.isfinite, numbers)):
        msg = f'{field.name} must be {length} numbers, not {value!r}'
        raise ValueError(msg)
    if length == 2 and not 0 <= numbers[0] <= numbers[1]:
        msg = f'{field.name} must be a range such as {field.default}, not {value!r}'
        raise ValueError(msg)
    return numbers


def _as_bool(name, value):
    if not isinstance(value, (bool, np.bool_)):
        msg = f'{name} must be true or false, not {value!r}'
        raise ValueError(msg)  # noqa: TRY004
    return bool(value)


def _as_number(name, value, kind):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value < math.inf or kind(value) != value:
        msg = f'{name} must be a number from 0, not {value!r}'
        raise ValueError(msg)
    return kind(value)
