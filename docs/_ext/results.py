# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The directive ``results``: what bundled weights reach, from their cards."""

import re

from docutils import nodes
from docutils.parsers.rst import Directive
from docutils.statemachine import StringList

from galmorph.weights import list_weights, load_card

HEADER = ('Weights', 'Score', 'Transforms', 'Value', 'Galaxies', 'Aim', 'Reached')
WIDTHS = (18, 20, 10, 22, 9, 14, 12)
# What to show of each schema: names in the metrics of a card. Those of the
# attributes that no score is aimed at are on the card.
SCORES = {
    'gz2': ('rmse17', 'rmse37'),
    'zhu5': ('accuracy', 'macro_f1'),
    'gz_ceers': tuple(
        f'{name}_rmse'
        for name in ('smooth_or_featured', 'how_rounded', 'edgeon', 'spiral')
    ),
    'efigi': (
        't_type_rmse',
        't_type_bias',
        *(
            f'{name}_r2'
            for name in ('arm_strength', 'bar_length', 'bulge_to_total', 'inclination')
        ),
    ),
}
# Set before the trainings; by the name of weights, else of the schema.
AIMS = {
    'dieleman.gz2': {'rmse17': 0.092, 'rmse37': 0.085},
    'gz2': {'rmse17': 0.087, 'rmse37': 0.080},
    'zhu5': {'accuracy': 0.96, 'macro_f1': 0.91},
    'efigi': {'t_type_rmse': 1.5, 't_type_bias': 0.1},
}
# Of errors whose binomial floor is known.
FLOORS = 1.25
_HIGHER = ('accuracy', 'macro_f1')


class Results(Directive):
    """A table of scores, and the commands that give them; a schema as argument."""

    required_arguments = 1

    def run(self):
        """Return what the text says, as nodes."""
        cards = [load_card(name) for name in list_weights()]
        text = results_of([c for c in cards if c.schema == self.arguments[0]])
        content = nodes.container()
        self.state.nested_parse(StringList(text.splitlines(), ''), 0, content)
        return content.children


def results_of(cards):
    """Return the table of cards of one schema, and the commands, as rst."""
    rows, commands = [], []
    for card in cards:
        found = rows_of(card)
        rows += found
        numbers = dict.fromkeys(n_transforms for _, _, n_transforms, *_ in found)
        commands += [command_of(card, number) for number in numbers]
    lines = ['.. list-table::', '   :header-rows: 1', f'   :widths: {_words(WIDTHS)}']
    for cells in (HEADER, *rows):
        lines.append('')
        lines += [
            f'   {"* -" if number == 0 else "  -"} {cell}'.rstrip()
            for number, cell in enumerate(cells)
        ]
    lines += ['', '.. code-block:: sh', '', *(f'   {line}' for line in commands), '']
    return '\n'.join(lines)


def rows_of(card):
    """Return a row for each score that a card has, of one view and of several."""
    rows = []
    for name in SCORES[card.schema]:
        for number, score in scores_of(card.metrics, name):
            aim, is_reached = compare(card, name, score)
            value = next(score[key] for key in ('value', 'rmse') if key in score)
            rows.append(
                (f':doc:`{card.name} </model_cards/{card.name}>`', f'``{name}``',
                 str(number), f'{value:.4f} [{score["low"]:.4f}, {score["high"]:.4f}]',
                 str(score['n']), aim, is_reached)
            )  # fmt: skip
    return rows


def scores_of(metrics, name):
    """Return pairs of the number of transforms and the score."""
    found = [(1, metrics[name])] if name in metrics else []
    question = name.removesuffix('_rmse')
    if question != name and question in metrics.get('questions', {}):
        found = [(1, metrics['questions'][question])]
    pattern = re.compile(rf'{re.escape(name)}_(\d+)_transforms')
    several = [(match, key) for key in metrics if (match := pattern.fullmatch(key))]
    return found + [(int(match[1]), metrics[key]) for match, key in several]


def compare(card, name, score):
    """Return the aim of a score, and whether it was reached, in words."""
    value = next(score[key] for key in ('value', 'rmse') if key in score)
    aims = AIMS.get(card.name, AIMS.get(card.schema, {}))
    question = card.metrics.get('questions', {}).get(name.removesuffix('_rmse'), {})
    ends = [value, score['low'], score['high']]
    if 'floor' in question:
        aim, text = FLOORS * question['floor'], f'≤ {FLOORS * question["floor"]:.3f}'
    elif name not in aims:
        return '', ''
    elif name in _HIGHER:
        aim, text = -aims[name], f'≥ {aims[name]:g}'
        ends = [-end for end in ends]
    elif name.endswith('_bias'):
        aim, text = aims[name], f'within ± {aims[name]:g}'
        least = 0 if score['low'] < 0 < score['high'] else min(map(abs, ends))
        ends = [abs(value), least]
    else:
        aim, text = aims[name], f'≤ {aims[name]:g}'
    if ends[0] <= aim:
        return text, 'yes'
    return text, 'no, but within the interval' if min(ends) <= aim else 'no'


def command_of(card, n_transforms):
    """Return the command that measures weights again."""
    command = f'galmorph evaluate {card.name} DATA --split {card.metrics["split"]}'
    return command + ('' if n_transforms == '1' else f' --transforms {n_transforms}')


def _words(numbers):
    return ' '.join(map(str, numbers))


def setup(app):
    """Register the directive."""
    app.add_directive('results', Results)
    return {'parallel_read_safe': True, 'parallel_write_safe': True}
