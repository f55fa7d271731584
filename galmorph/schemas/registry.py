# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The schemas that come with the package, one JSON file each."""

import functools
import json
from pathlib import Path

from galmorph.exceptions import SchemaError
from galmorph.schemas.attributes import AttributeSchema
from galmorph.schemas.tree import DecisionTree

__all__ = ['list_schemas', 'load_schema']

_FOLDER = Path(__file__).parent


def list_schemas():
    """
    List the decision trees and attribute lists that come with the package.

    Returns
    -------
    names : list of str
        The names that `load_schema` knows.

    Examples
    --------
    >>> from galmorph.schemas import list_schemas
    >>> 'gz2' in list_schemas()
    True
    """
    return sorted(path.stem for path in _FOLDER.glob('*.json'))


@functools.cache
def load_schema(name):
    """
    Load a decision tree or a list of attributes that comes with the package.

    Parameters
    ----------
    name : str
        One of `list_schemas`; or a tree with one of its questions that is asked
        of every galaxy, which then stands by itself: 'gz2/smooth_or_features'.

    Returns
    -------
    schema : `DecisionTree` or `AttributeSchema`
        The questions and answers; or, for 'efigi', the attributes. Its
        ``kind`` is 'tree' or 'attributes'.

    Raises
    ------
    `~galmorph.exceptions.SchemaError`
        If there is no schema of that name, or no such question.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> load_schema('gz2').title
    'Galaxy Zoo 2'
    >>> load_schema('efigi').kind
    'attributes'
    >>> load_schema('gz2/smooth_or_features')
    <DecisionTree 'gz2/smooth_or_features': 1 questions, 3 answers>
    """
    name, _, question = name.partition('/')
    path = _FOLDER / f'{name}.json'
    if name not in list_schemas():
        msg = f'there is no schema {name!r}; choose from {list_schemas()}'
        raise SchemaError(msg)
    description = json.loads(path.read_text(encoding='utf-8'))
    kinds = {'tree': DecisionTree, 'attributes': AttributeSchema}
    schema = kinds[description.get('kind', 'tree')].from_dict(description)
    if not question:
        return schema
    if schema.kind != 'tree':
        msg = f'{name!r} has attributes, not questions such as {question!r}'
        raise SchemaError(msg)
    return schema.only(question)
