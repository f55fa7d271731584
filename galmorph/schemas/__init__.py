# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Decision trees: the questions that volunteers, and the networks, answer."""

from galmorph.schemas.tree import (
    Answer,
    DecisionTree,
    Question,
    list_schemas,
    load_schema,
)

__all__ = ['Answer', 'DecisionTree', 'Question', 'list_schemas', 'load_schema']
