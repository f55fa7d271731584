# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Frozen records that are read from mappings, every key and value checked."""

import dataclasses
import functools
import re
import types
import typing

import yaml

from galmorph.exceptions import RecipeError
from galmorph.weights._checks import did_you_mean

_WORDS = {
    str: 'text',
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    dict: 'a mapping',
    list: 'a list',
}


class Loader(yaml.SafeLoader):
    """Reads 1e-3 as a number, which YAML 1.1 does not."""


Loader.add_implicit_resolver(
    'tag:yaml.org,2002:float',
    re.compile(r'[-+]?([0-9][0-9_]*)(\.[0-9_]*)?[eE][-+]?[0-9]+$'),
    list('-+0123456789'),
)


def parse_yaml(text, label):
    """Parse YAML; a mistake in it names the file or the argument."""
    try:
        # A SafeLoader, as far as objects go.
        return yaml.load(text, Loader=Loader)  # noqa: S506
    except yaml.YAMLError as error:
        msg = f'{label} cannot be read as YAML: {error}'
        raise RecipeError(msg) from error


class Record:
    """
    Base of the frozen dataclasses of a recipe.

    The annotation of a field is its check: ``str``, ``int``, ``float``,
    ``bool``, ``dict``, ``list``, another record, ``dict[str, Record]``,
    ``tuple[float, ...]``, each with or without ``| None``.
    """

    # The field that a bare text stands for, if one does.
    _text_field = None

    @classmethod
    def from_dict(cls, content, where='the recipe'):
        """Make the record from a mapping; ``where`` begins the messages."""
        if cls._text_field and isinstance(content, str):
            content = {cls._text_field: content}
        if not isinstance(content, dict):
            msg = f'{where} must be a mapping, not {content!r:.60}'
            raise RecipeError(msg)
        kinds = cls._kinds()
        for key in content:
            if key not in kinds:
                msg = f'{where} has no key {key!r}{did_you_mean(key, kinds)}'
                raise RecipeError(msg)
        missing = [
            field.name
            for field in dataclasses.fields(cls)
            if field.default is dataclasses.MISSING
            and field.default_factory is dataclasses.MISSING
            and field.name not in content
        ]
        if missing:
            msg = f'{where} lacks the key {missing[0]!r}'
            raise RecipeError(msg)
        values = {
            key: _convert(value, kinds[key], f'{key!r} of {where}')
            for key, value in content.items()
        }
        record = cls(**values)
        record.check(where)
        return record

    def to_dict(self):
        """Write what is not left at its default, in types that YAML knows."""
        result = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            default = field.default
            if field.default_factory is not dataclasses.MISSING:
                default = field.default_factory()
            if value != default:
                result[field.name] = _plain(value)
        return result

    def check(self, where):
        """Check what the kinds of the fields do not tell."""

    @classmethod
    @functools.cache
    def _kinds(cls):
        return typing.get_type_hints(cls)


def _convert(value, kind, where):
    """Check a value, and give it its kind."""
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        options = [k for k in typing.get_args(kind) if k is not type(None)]
        if value is None and len(options) < len(typing.get_args(kind)):
            return None
        for option in options[:-1]:
            if isinstance(value, option):
                return value
        return _convert(value, options[-1], where)
    origin, inner = typing.get_origin(kind), typing.get_args(kind)
    if origin is tuple:
        values = value if isinstance(value, list | tuple) else [value]
        return tuple(_convert(item, inner[0], where) for item in values)
    if origin is dict:
        _need(value, dict, where)
        return {
            str(name): _convert(item, inner[1], f'{name!r} in {where}')
            for name, item in value.items()
        }
    if issubclass(kind, Record):
        if isinstance(value, kind):
            return value
        return kind.from_dict(value, where)
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, float) and value.is_integer():
        return int(value)
    _need(value, kind, where)
    return value


def _need(value, kind, where):
    is_flag = isinstance(value, bool) and kind is not bool
    if is_flag or not isinstance(value, kind):
        msg = f'{where} must be {_WORDS[kind]}, not {value!r:.60}'
        raise RecipeError(msg)


def _plain(value):
    if isinstance(value, Record):
        short = value.to_dict()
        if value._text_field and set(short) == {value._text_field}:  # noqa: SLF001
            return short[value._text_field]  # noqa: SLF001
        return short
    if isinstance(value, dict):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    return value


def need_one_of(value, known, where):
    if value not in known:
        msg = f'{where} must be one of {list(known)}, not {value!r}'
        raise RecipeError(msg)


def need_positive(record, names, where):
    for name in names:
        value = getattr(record, name)
        if value is not None and not value > 0:
            refuse(name, value, where, 'must be positive')


def refuse(name, value, where, rule):
    msg = f'{name!r} of {where} {rule}, not {value!r}'
    raise RecipeError(msg)
