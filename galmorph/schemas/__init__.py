# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Decision trees: the questions that volunteers, and the networks, answer."""

from galmorph.schemas.registry import list_schemas, load_schema
from galmorph.schemas.tree import Answer, DecisionTree, Question

__all__ = ['Answer', 'DecisionTree', 'Question', 'list_schemas', 'load_schema']
