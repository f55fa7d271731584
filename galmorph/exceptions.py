# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The errors and the warning class of galmorph."""

import functools

from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    'GalmorphError',
    'GalmorphWarning',
    'ImageError',
    'SchemaError',
    'WeightsError',
]


class GalmorphError(Exception):
    """Base class of every error that galmorph raises on purpose."""


class ImageError(GalmorphError, ValueError):
    """
    An image that cannot be used.

    Where a single image is asked for, the error reaches the caller. In a
    list or a table it costs only its own row: the row is masked and takes
    ``flag`` and the message.

    Parameters
    ----------
    message : str
        What is wrong, with the offending value and the way out.
    flag : `~galmorph.flags.MorphologyFlag`
        The reason, as the bit that the row of this image gets.
    """

    def __init__(self, message, *, flag):
        super().__init__(message)
        self.flag = flag

    def __reduce__(self):
        # errors reach the main process pickled when a worker raises them
        return functools.partial(type(self), flag=self.flag), self.args, self.__dict__


class SchemaError(GalmorphError, ValueError):
    """A decision tree that contradicts itself, or an unknown question."""


class WeightsError(GalmorphError):
    """Weights or a card that are missing, damaged or of an unknown kind."""


class GalmorphWarning(AstropyUserWarning):
    """Base class of the warnings of galmorph."""
