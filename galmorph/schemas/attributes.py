# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Attributes: numbers that experts give to a galaxy, instead of answers."""

import dataclasses

import numpy as np

from galmorph.exceptions import SchemaError

__all__ = ['Attribute', 'AttributeSchema']


@dataclasses.dataclass(frozen=True)
class Attribute:
    """
    One number that describes a galaxy.

    Parameters
    ----------
    name : str
        Its name in snake case, that of a column.
    label : str
        Its name for people.
    column : str
        The name in the catalogue that defines it, for EFIGI "Bar_Length".
    low, high : float
        The ends of its scale.
    text : str
        What it says.
    is_chiral : bool, optional
        Whether a mirror turns the scale around: the sense in which spiral
        arms wind.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> stage = load_schema('efigi').attributes[0]
    >>> stage.name, stage.label, (stage.low, stage.high)
    ('t_type', 'Hubble stage T', (-6.0, 11.0))
    """

    name: str
    label: str
    column: str
    low: float
    high: float
    text: str
    is_chiral: bool = False


class AttributeSchema:
    """
    A list of attributes, each with a scale of its own.

    It stands where a `DecisionTree` does for weights that measure instead of
    answering. The values are no probabilities and do not depend on each
    other.

    Parameters
    ----------
    name : str
        Short name, "efigi".
    title : str
        Full name.
    attributes : sequence of `Attribute`
        The attributes, in the order of the arrays.
    reference : str, optional
        The paper that defines them.
    source : str, optional
        Whose columns the ``column`` of an attribute names.
    stages : dict, optional
        ``attribute``, the name of the one that is a stage along a sequence of
        types, and ``names``, a dict from whole numbers to the type.

    Raises
    ------
    `~galmorph.exceptions.SchemaError`
        If the attributes contradict each other.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> schema = load_schema('efigi')
    >>> schema
    <AttributeSchema 'efigi': 17 attributes>
    >>> schema.columns[:3]
    ('t_type', 'bulge_to_total', 'arm_strength')
    """

    kind = 'attributes'
    """Tells this from a decision tree, whose ``kind`` is "tree"."""

    def __init__(self, name, title, attributes, *, reference='', source='', stages=()):
        self.name = name
        self.title = title
        self.attributes = tuple(attributes)
        self.reference = reference
        self.source = source
        self.stages = dict(stages)
        self._check()

    def __repr__(self):
        return f'<AttributeSchema {self.name!r}: {self.n_answers} attributes>'

    def _check(self):
        for values, what in (
            (self.columns, 'attribute names'),
            (self.source_columns, 'source columns'),
        ):
            if len(set(values)) != self.n_answers or not values:
                msg = f'the {what} of {self.name!r} are not unique, or there are none'
                raise SchemaError(msg)
        for attribute in self.attributes:
            if not attribute.low < attribute.high:
                msg = (
                    f'the scale of {attribute.name!r} must have low < high, not '
                    f'{attribute.low} and {attribute.high}'
                )
                raise SchemaError(msg)
        if self.stages:
            self.index(self.stages['attribute'])
            self._stage_names = {int(k): v for k, v in self.stages['names'].items()}

    @property
    def n_answers(self):
        """The number of attributes."""
        return len(self.attributes)

    @property
    def names(self):
        """What may be asked for by name: the attributes."""
        return tuple(attribute.name for attribute in self.attributes)

    @property
    def columns(self):
        """The names of the attributes in a table."""
        return self.names

    @property
    def source_columns(self):
        """The names of the attributes in the catalogue that defines them."""
        return tuple(attribute.column for attribute in self.attributes)

    @property
    def counts(self):
        """How many columns each of `names` has: one."""
        return (1,) * self.n_answers

    @property
    def structure(self):
        """One ``(start, stop, parent)`` an attribute, as a network wants it."""
        return tuple((i, i + 1, -1) for i in range(self.n_answers))

    @property
    def low(self):
        """The lower ends of the scales, shape (n_answers,)."""
        return np.array([attribute.low for attribute in self.attributes])

    @property
    def high(self):
        """The upper ends of the scales, shape (n_answers,)."""
        return np.array([attribute.high for attribute in self.attributes])

    def index(self, name):
        """
        Find an attribute by its name.

        Parameters
        ----------
        name : str
            The name of the attribute.

        Returns
        -------
        index : int
            Its place in the arrays.

        Raises
        ------
        `~galmorph.exceptions.SchemaError`
            If there is no such attribute.

        Examples
        --------
        >>> from galmorph import load_schema
        >>> load_schema('efigi').index('bar_length')
        5
        """
        if name not in self.names:
            msg = f'{self.name!r} has no attribute {name!r}; it has {self.names}'
            raise SchemaError(msg)
        return self.names.index(name)

    def mirrored(self, values):
        """
        Give the attributes of the mirror image.

        Parameters
        ----------
        values : array-like, shape (..., n_answers)
            Values of the attributes.

        Returns
        -------
        mirrored : `~numpy.ndarray`, shape (..., n_answers)
            The same, but for the attributes that a mirror turns around.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph import load_schema
        >>> schema = load_schema('efigi')
        >>> mirrored = schema.mirrored(np.full(17, 0.25))
        >>> print(mirrored[schema.index('arm_rotation')], mirrored[0])
        0.75 0.25
        """
        values = np.array(values, dtype=np.result_type(values, np.float32))
        chiral = np.array([attribute.is_chiral for attribute in self.attributes])
        ends = (self.low + self.high)[chiral].astype(values.dtype)
        values[..., chiral] = ends - values[..., chiral]
        return values

    def stage_names(self, values):
        """
        Name the stage of galaxies along the sequence of types.

        Parameters
        ----------
        values : array-like, shape (n_galaxy, n_answers)
            Values of the attributes.

        Returns
        -------
        names : `~numpy.ndarray` of str, shape (n_galaxy,)
            The type of the nearest stage; '' where it is unknown, or where
            there is no sequence.

        Examples
        --------
        >>> import numpy as np
        >>> from galmorph import load_schema
        >>> values = np.zeros((2, 17))
        >>> values[:, 0] = 3.2, np.nan
        >>> print(load_schema('efigi').stage_names(values))
        ['Sb' '']
        """
        values = np.asarray(values, float)
        if not self.stages:
            return np.full(len(values), '', 'U1')
        stage = values[:, self.index(self.stages['attribute'])]
        numbers = np.array(sorted(self._stage_names))
        names = np.array([self._stage_names[number] for number in numbers])
        nearest = np.abs(numbers - np.nan_to_num(stage)[:, None]).argmin(1)
        return np.where(np.isfinite(stage), names[nearest], '')

    def to_dict(self):
        """
        Describe the attributes in types that JSON knows.

        Returns
        -------
        description : dict
            What `from_dict` takes.

        Examples
        --------
        >>> from galmorph import load_schema
        >>> load_schema('efigi').to_dict()['kind']
        'attributes'
        """
        return {
            'name': self.name,
            'kind': self.kind,
            'title': self.title,
            'reference': self.reference,
            'source': self.source,
            'attributes': [dataclasses.asdict(a) for a in self.attributes],
            'stages': dict(self.stages),
        }

    @classmethod
    def from_dict(cls, description):
        """
        Build a list of attributes from its description.

        Parameters
        ----------
        description : dict
            As `to_dict` gives it.

        Returns
        -------
        schema : `AttributeSchema`
            The attributes.

        Raises
        ------
        `~galmorph.exceptions.SchemaError`
            If the description lacks a key or contradicts itself.

        Examples
        --------
        >>> from galmorph import load_schema
        >>> from galmorph.schemas import AttributeSchema
        >>> AttributeSchema.from_dict(load_schema('efigi').to_dict()).n_answers
        17
        """
        try:
            return cls(
                description['name'],
                description['title'],
                [Attribute(**entry) for entry in description['attributes']],
                reference=description.get('reference', ''),
                source=description.get('source', ''),
                stages=description.get('stages', ()),
            )
        except (KeyError, TypeError, ValueError) as error:
            if isinstance(error, SchemaError):
                raise
            msg = f'the description of attributes is not valid: {error}'
            raise SchemaError(msg) from error
