# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What a weights card must be: its keys, their values, the names it uses."""

import datetime as dt
import difflib
import re
from pathlib import Path

from galmorph.exceptions import SchemaError, WeightsError

_KINDS = {
    str: 'text (in quotes, if it looks like a number)',
    int: 'a whole number',
    dict: 'a mapping',
    list: 'a list of text',
}
KEYS = {
    'name': str,
    'title': str,
    'description': str,
    'version': str,
    'licence': str,
    'instrument': str,
    'network': dict,
    'schema': str,
    'recipe': dict,
    'file': str,
    'size': int,
    'sha256': str,
    'url': str,
    'training': dict,
    'metrics': dict,
    'supported_questions': list,
    'limits': list,
    'paper': dict,
}
_OPTIONAL = {'url'}
_PAPER_KEYS = {'authors', 'title', 'journal', 'year', 'doi', 'bibcode', 'bibtex'}


def check_keys(content, source):
    """Check that a dict has the keys of a card, and no other."""
    label = source or 'without a file'
    if not isinstance(content, dict):
        _refuse(label, f'holds no mapping of keys but {content!r:.60}')
    for key in content:
        if key not in KEYS:
            _refuse(label, f'unknown key {key!r}{did_you_mean(key, KEYS)}')
    missing = [key for key in KEYS if key not in content and key not in _OPTIONAL]
    if missing:
        _refuse(label, f'missing {_quoted(missing)}')


def check_values(card):
    """Check the values of a card, as far as that needs no other module."""
    label = _label(card)
    for key, kind in KEYS.items():
        value = getattr(card, key)
        if value is None and key in _OPTIONAL:
            continue
        if not isinstance(value, kind) or isinstance(value, bool):
            _refuse(label, f'{key!r} must be {_KINDS[kind]}, not {value!r:.60}')
        if kind is list and not all(isinstance(item, str) for item in value):
            _refuse(label, f'{key!r} must be {_KINDS[kind]}, not {value!r:.60}')
    _check_file(label, card)
    _check_mapping(label, 'network', card.network, {'name', 'options'}, 'name')
    if card.paper:
        _check_mapping(label, 'paper', card.paper, _PAPER_KEYS, 'bibtex')
    _check_metrics(label, card.metrics)


def check_names(card):
    """Check that the network, the schema and the questions exist."""
    from galmorph.networks.registry import list_networks
    from galmorph.schemas import list_schemas

    label = _label(card)
    for kind, name, known in (
        ('network', card.network['name'], list_networks()),
        ('schema', card.schema.partition('/')[0], list_schemas()),
    ):
        if name not in known:
            _refuse(label, f'unknown {kind} {name!r}{did_you_mean(name, known)}')
    try:
        questions, noun = question_names(card), schema_noun(card)
    except SchemaError as error:
        _refuse(label, f"'schema': {error}")
    for key, names in (
        ('supported_questions', card.supported_questions),
        ('metrics', card.metrics.get('questions', ())),
    ):
        for name in names:
            if name not in questions:
                _refuse(
                    label,
                    f'{key!r} names {name!r}, which is no {noun} of the schema '
                    f'{card.schema!r}{did_you_mean(name, questions)}',
                )


def question_names(card):
    """Return the names of the questions, or attributes, of the schema of a card."""
    from galmorph.schemas import load_schema

    return list(load_schema(card.schema).names)


def schema_noun(card):
    """Return what the names of the schema of a card are: 'question', 'attribute'."""
    from galmorph.schemas import load_schema

    return 'question' if load_schema(card.schema).kind == 'tree' else 'attribute'


def plain(card, key):
    """Copy a value of a card as YAML has it: dicts, lists, text, numbers."""
    return _plain(getattr(card, key), key, _label(card))


def did_you_mean(word, known):
    """Return the end of a message: the known word that is nearest, or all."""
    known = sorted(known)
    near = difflib.get_close_matches(str(word), known, n=1)
    if near:
        return f'; did you mean {near[0]!r}?'
    return f'; known are {_quoted(known)}' if known else ''


def _plain(value, key, label):
    if isinstance(value, dict):
        return {str(name): _plain(item, key, label) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, key, label) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, dt.date | Path):
        return str(value)
    for kind in (str, int, float):
        # Subclasses too, such as the scalars of numpy.
        if isinstance(value, kind):
            return kind(value)
    if hasattr(value, 'tolist'):
        return _plain(value.tolist(), key, label)
    return _refuse(label, f'{key!r} holds {value!r:.60}, which YAML cannot keep')


def _check_file(label, card):
    if not re.fullmatch(r'\w[\w.+-]*', card.name):
        _refuse(label, f"'name' takes letters, digits and ._+- only, not {card.name!r}")
    if not re.fullmatch(r'\w[\w.+-]*\.safetensors', card.file):
        _refuse(
            label,
            f"'file' must be a name without a folder that ends in .safetensors, "
            f'not {card.file!r}',
        )
    if not re.fullmatch(r'[0-9a-f]{64}', card.sha256):
        _refuse(
            label,
            f"'sha256' must be 64 hexadecimal digits in lower case, not "
            f'{card.sha256!r}',
        )
    if card.size <= 0:
        _refuse(label, f"'size' must be positive, not {card.size}")


def _check_mapping(label, name, content, known, needed):
    for key in content:
        if key not in known:
            _refuse(label, f'unknown key {key!r} in {name!r}{did_you_mean(key, known)}')
    if needed not in content:
        _refuse(label, f'missing {needed!r} in {name!r}')


def _check_metrics(label, metrics):
    for key, score in metrics.items():
        if key != 'questions' and isinstance(score, dict) and 'value' in score:
            _check_score(label, score, 'value', key)
    questions = metrics.get('questions', {})
    if not isinstance(questions, dict):
        _refuse(label, f"'questions' in 'metrics' must be a mapping, not {questions!r}")
    for question, score in questions.items():
        if not isinstance(score, dict):
            _refuse(
                label, f"{question!r} in 'metrics' must be a mapping, not {score!r}"
            )
        central = 'rmse' if 'rmse' in score else 'value'
        _check_score(label, score, central, question)


def _check_score(label, score, central, key):
    for part in (central, 'low', 'high', 'n'):
        if not isinstance(score.get(part), int | float):
            _refuse(label, f"{key!r} in 'metrics' needs a number as {part!r}")
    if not score['low'] <= score[central] <= score['high']:
        _refuse(
            label,
            f"{key!r} in 'metrics': {score[central]} lies outside its interval "
            f'[{score["low"]}, {score["high"]}]',
        )


def _label(card):
    return card.source if card.source is not None else card.name


def _quoted(words):
    return ', '.join(map(repr, words))


def _refuse(label, reason):
    msg = f'weights card {str(label)!r}: {reason}'
    raise WeightsError(msg)
