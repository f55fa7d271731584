# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""How weights want their pixels: one frozen record, part of their card."""

import dataclasses
import functools
import hashlib
import json
import math

import numpy as np
from astropy import units as u

from galmorph.preprocessing import geometry
from galmorph.preprocessing.stretch import get_stretch

__all__ = ['Recipe']

# Sizes of a galaxy that a frame may be scaled by: the attribute of a measured
# `GalaxySize`, and the 90 % Petrosian radius of an exponential disk in units
# of it.
_SIZES = {'petroR90_r': ('petro_r90', 1.0), 'half_light_radius': ('petro_r50', 2.3)}

_WORDS = {
    str: 'a string',
    int: 'a whole number',
    float: 'a finite number',
    bool: 'true or false',
    tuple[str, ...]: 'a sequence of strings',
    tuple[float, ...]: 'a sequence of finite numbers',
}


@dataclasses.dataclass(frozen=True)
class Recipe:
    """
    The pixels that a network was trained on.

    The *frame* is the square picture around a galaxy that the training set
    shows. Its scale follows the size of the galaxy. The network sees the
    middle of it, resampled once, from one or several angles.

    Parameters
    ----------
    bands : tuple of str
        The bands shown as red, green and blue; or one band.
    unit : str
        Unit of the fluxes before the stretch.
    stretch : str
        A name of `~galmorph.preprocessing.stretch.list_stretches`.
    survey : str
        Whose images these are: those of others are flagged.
    pixel_area : float
        The area, in square arcseconds, to whose flux ``stretch`` refers.
    surface_brightness : tuple of float
        Mean flux of each band, in ``unit`` per ``pixel_area``, of a typical
        galaxy of the training set within 0.4 of its size. Images whose unit
        or bands are not those above are scaled to it, band by band.
    frame_size : int
        Side of the frame in its own pixels.
    frame_scale : float
        Size of a frame pixel in units of the size of the galaxy.
    size : str
        The size that this is: ``petroR90_r`` for the Petrosian radius that
        holds 90 % of the light, ``half_light_radius`` for that of the circle
        with half of it, which for an ellipse is the geometric mean of its
        half axes.
    step : float
        Frame pixels per pixel of the network's input, at the middle of the
        frame.
    output_size : int
        Side of the network's input in pixels.
    views : tuple of float
        Angles, in degrees, from which the network sees the galaxy; 0 has
        north up and east left.
    antialias : float
        Width of the box that a pixel of the input averages over, as a
        fraction of that pixel; 0 samples points.
    mean, std : tuple of float
        Subtracted from, and divided into, colours in [0, 1].
    recentre : bool
        Whether a picture that has neither a WCS nor a size in pixels, and is
        taken to be framed otherwise, is measured: the galaxy comes to the
        middle, scaled by its size as far as a factor of 1.5.

    Raises
    ------
    ValueError
        If a value has no meaning.

    Examples
    --------
    >>> from galmorph import Recipe
    >>> recipe = Recipe()
    >>> recipe.frame_size, recipe.output_size, recipe.views
    (424, 69, (0.0, 45.0))
    >>> Recipe.from_dict(recipe.to_dict()) == recipe
    True
    """

    bands: tuple[str, ...] = ('i', 'r', 'g')
    unit: str = 'nanomaggy'
    stretch: str = 'sdss'
    survey: str = 'SDSS'
    # The SDSS camera: 0.396127 arcsec pixels.
    pixel_area: float = 0.396127**2
    # The median picture of the training set is (0.57, 0.47, 0.36) there.
    surface_brightness: tuple[float, ...] = (0.945, 0.67, 0.375)
    frame_size: int = 424
    frame_scale: float = 0.02
    size: str = 'petroR90_r'
    step: float = 3.0
    output_size: int = 69
    views: tuple[float, ...] = (0.0, 45.0)
    antialias: float = 1 / 3
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)
    recentre: bool = False

    def __post_init__(self):
        self._normalise()
        positive = (
            'pixel_area',
            'frame_size',
            'frame_scale',
            'step',
            'output_size',
        )
        for name in positive:
            if not getattr(self, name) > 0:
                msg = f'{name} must be positive, not {getattr(self, name)!r}'
                raise ValueError(msg)
        if self.size not in _SIZES:
            msg = f'size must be one of {sorted(_SIZES)}, not {self.size!r}'
            raise ValueError(msg)
        if not 0 <= self.antialias < math.inf:
            msg = f'antialias must not be negative, but is {self.antialias!r}'
            raise ValueError(msg)
        if len(self.bands) not in (1, 3) or not self.views:
            msg = (
                'a recipe needs one or three bands and at least one view, not '
                f'{self.bands} and {self.views}'
            )
            raise ValueError(msg)
        for name in ('mean', 'std', 'surface_brightness'):
            values = getattr(self, name)
            if len(values) != len(self.bands):
                msg = f'{name} must have one value a band: {self.bands}'
                raise ValueError(msg)
            if not all(v > 0 or name == 'mean' for v in values):
                msg = f'{name} must be positive, not {values}'
                raise ValueError(msg)
        get_stretch(self.stretch)
        try:
            u.Unit(self.unit)
        except (ValueError, TypeError) as error:
            msg = f'unit must be one that astropy reads, not {self.unit!r}'
            raise ValueError(msg) from error

    def _normalise(self):
        # Recipes that are equal have one hash, whether 3 was written or 3.0.
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            try:
                value = _as_type(value, field.type)
            except (TypeError, ValueError) as error:
                msg = f'{field.name} must be {_WORDS[field.type]}, not {value!r}'
                raise ValueError(msg) from error
            object.__setattr__(self, field.name, value)

    @functools.cached_property
    def output_to_frame(self):
        """
        The grids of the views, shape (n_view, 3, 3).

        Each matrix leads from pixels of the network's input to frame pixels
        about the galaxy.
        """
        grid = geometry.scaling(self.step) @ geometry.centre_of(self.output_size)
        return geometry.rotation(np.array(self.views)) @ grid

    @property
    def radius90(self):
        """The 90 % Petrosian radius of a disk in units of ``size``."""
        return _SIZES[self.size][1]

    def radius_of(self, measured):
        """
        Choose the radius that the frame is scaled by.

        Parameters
        ----------
        measured : `~galmorph.preprocessing.sizes.GalaxySize`
            The radii of a galaxy, in pixels.

        Returns
        -------
        radius : float
            That of the kind of ``size``, in pixels.
        """
        return getattr(measured, _SIZES[self.size][0])

    @property
    def hash(self):
        """The first 16 hexadecimal digits of the SHA-256 of the record."""
        text = json.dumps(self.to_dict(), sort_keys=True, separators=(',', ':'))
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self):
        """
        Write the record in types that JSON and YAML know.

        Returns
        -------
        record : dict
            What `from_dict` takes.
        """
        record = {
            name: list(value) if isinstance(value, tuple) else value
            for name, value in dataclasses.asdict(self).items()
        }
        # Cards and hashes of recipes that do not ask for it do without.
        if not self.recentre:
            del record['recentre']
        return record

    @classmethod
    def from_dict(cls, record):
        """
        Read a record.

        Parameters
        ----------
        record : dict
            As `to_dict` gives it; what is left out takes its default.

        Returns
        -------
        recipe : `Recipe`
            The recipe.

        Raises
        ------
        ValueError
            If the record has a key that no recipe has.
        """
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(record) - known)
        if unknown:
            msg = f'a recipe has no {unknown}; it has {sorted(known)}'
            raise ValueError(msg)
        return cls(**record)


def _as_type(value, kind):
    """The value in plain Python types, those that JSON and YAML know."""
    if kind in (tuple[str, ...], tuple[float, ...]):
        values = (value,) if isinstance(value, str) else value
        return tuple(_as_type(v, kind.__args__[0]) for v in values)
    if any((kind is k) != isinstance(value, k) for k in (str, bool)):
        raise TypeError
    plain = kind(value)
    if plain != value or plain in (math.inf, -math.inf):
        raise ValueError
    return plain
