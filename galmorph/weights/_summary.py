# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""A weights card as plain text to read in a terminal."""

import textwrap

from galmorph.weights import _checks

_WIDTH = 88
_NOT_SCORES = ('split', 'n_galaxy', 'questions')


def summarise(card):
    """Return a card as lines of text, see `WeightsCard.summary`."""
    paper = card.paper
    reference = ', '.join(
        str(paper[key])
        for key in ('authors', 'year', 'title', 'journal', 'bibcode')
        if paper.get(key)
    )
    doi = f'https://doi.org/{paper["doi"]}' if paper.get('doi') else ''
    nouns = f'{_checks.schema_noun(card)}s'
    parts = [
        f'{card.name} {card.version}: {card.title}',
        _paragraph(card.description),
        _pairs(
            {
                'network': card.network['name'],
                'options': _inline(card.network.get('options', {})),
                'schema': card.schema,
                'instrument': card.instrument,
                'file': f'{card.file} ({card.size / 1e6:.1f} MB)',
                'sha256': card.sha256,
                'url': card.url,
                'licence': card.licence,
                'paper': reference,
                'doi': doi,
            }
        ),
        _section('Pixels', _pairs(card.recipe)),
        _section('Training', _pairs(card.training)),
        _metrics(card.metrics),
        _section(f'Supported {nouns}', _items(card.supported_questions)),
        _section(f'Unsupported {nouns}', _items(card.unsupported_questions)),
        _section('Limits', _items(card.limits)),
    ]
    return '\n\n'.join(part for part in parts if part)


def _metrics(metrics):
    scores = {
        key: score
        for key, score in metrics.items()
        if key not in _NOT_SCORES and isinstance(score, dict) and 'value' in score
    }
    rows = [(key, score, 'value') for key, score in scores.items()]
    for question, score in metrics.get('questions', {}).items():
        central = 'rmse' if 'rmse' in score else 'value'
        label = f'{question} (rmse)' if central == 'rmse' else question
        rows.append((label, score, central))
    width = max((len(label) for label, *_ in rows), default=0)
    lines = [
        f'{label:{width}}  {score[central]:8.4f}  '
        f'[{score["low"]:.4f}, {score["high"]:.4f}]  n = {score["n"]:,}'
        for label, score, central in rows
    ]
    others = {
        key: value
        for key, value in metrics.items()
        if key not in _NOT_SCORES and key not in scores
    }
    title = 'Metrics'
    if 'split' in metrics:
        title += f' on {metrics["split"]}'
    if 'n_galaxy' in metrics:
        title += f', {metrics["n_galaxy"]:,} galaxies'
    body = '\n'.join([*lines, *filter(None, [_pairs(others)])])
    return _section(title, body)


def _section(title, body):
    return f'{title}\n{textwrap.indent(body, "  ")}' if body else ''


def _pairs(mapping):
    """Align the keys and values of a mapping; long values wrap."""
    rows = {key: _inline(value) for key, value in mapping.items()}
    rows = {key: value for key, value in rows.items() if value}
    width = max(map(len, rows), default=0) + 2
    return '\n'.join(
        _paragraph(value, first=f'{key:{width}}', rest=' ' * width)
        for key, value in rows.items()
    )


def _items(items):
    return '\n'.join(_paragraph(item, first='- ', rest='  ') for item in items)


def _inline(value):
    """Write a value of a card in one line."""
    if isinstance(value, dict):
        return ', '.join(f'{key}: {_inline(item)}' for key, item in value.items())
    if isinstance(value, list):
        return '[' + ', '.join(map(_inline, value)) + ']' if value else ''
    if isinstance(value, bool):
        return 'yes' if value else 'no'
    return '' if value is None else str(value)


def _paragraph(text, first='', rest=''):
    # Two columns are left for the indent of a section.
    return textwrap.fill(
        ' '.join(text.split()),
        _WIDTH - 2,
        initial_indent=first,
        subsequent_indent=rest,
        break_long_words=False,
        break_on_hyphens=False,
    )
