# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The errors and the warning class of galmorph."""

import functools

from astropy.utils.exceptions import AstropyUserWarning

__all__ = [
    'ChangedFileError',
    'GalmorphError',
    'GalmorphWarning',
    'ImageError',
    'LabelError',
    'RecipeError',
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


class ChangedFileError(GalmorphError, OSError):
    """A file that is gone, or no longer what it was as the work began."""


class RecipeError(GalmorphError, ValueError):
    """A training recipe with an unknown key, or a value that has no meaning."""


class LabelError(GalmorphError, ValueError):
    """
    Labels that cannot be trained with.

    All that is wrong with a table is reported at once.

    Parameters
    ----------
    rows : sequence of int
        The rows concerned, counted from 0; none where a column is amiss.
    text : str
        What is wrong, with the columns, the offending values and the way out.
    """

    def __init__(self, rows, text):
        super().__init__(text)
        self.rows = tuple(int(row) for row in rows)

    def __reduce__(self):
        return type(self), (self.rows, str(self)), self.__dict__


class SchemaError(GalmorphError, ValueError):
    """A decision tree that contradicts itself, or an unknown question."""


class WeightsError(GalmorphError):
    """Weights or a card that are missing, damaged or of an unknown kind."""


class GalmorphWarning(AstropyUserWarning):
    """Base class of the warnings of galmorph."""
