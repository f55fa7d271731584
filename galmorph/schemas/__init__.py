# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Schemas: the questions that volunteers answer, and what experts measure."""

from galmorph.schemas.attributes import Attribute, AttributeSchema
from galmorph.schemas.mapping import map_answers
from galmorph.schemas.registry import list_schemas, load_schema
from galmorph.schemas.tree import Answer, DecisionTree, Question
from galmorph.schemas.zhu import zhu5_classes

__all__ = [
    'Answer',
    'Attribute',
    'AttributeSchema',
    'DecisionTree',
    'Question',
    'list_schemas',
    'load_schema',
    'map_answers',
    'zhu5_classes',
]
