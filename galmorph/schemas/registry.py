# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The decision trees that come with the package, one JSON file each."""

import functools
import json
from pathlib import Path

from galmorph.exceptions import SchemaError
from galmorph.schemas.tree import DecisionTree

__all__ = ['list_schemas', 'load_schema']

_FOLDER = Path(__file__).parent


def list_schemas():
    """
    List the decision trees that come with the package.

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
    Load a decision tree that comes with the package.

    Parameters
    ----------
    name : str
        One of `list_schemas`.

    Returns
    -------
    tree : `DecisionTree`
        The tree.

    Raises
    ------
    `~galmorph.exceptions.SchemaError`
        If there is no tree of that name.

    Examples
    --------
    >>> from galmorph import load_schema
    >>> load_schema('gz2').title
    'Galaxy Zoo 2'
    """
    path = _FOLDER / f'{name}.json'
    if name not in list_schemas():
        msg = f'there is no decision tree {name!r}; choose from {list_schemas()}'
        raise SchemaError(msg)
    return DecisionTree.from_dict(json.loads(path.read_text(encoding='utf-8')))
