# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Turn a finished training run into bundled weights.

    python scripts/publish.py runs/compact DATA scripts/cards/compact.yaml --tasks efigi

The YAML file says for each task of the run what the weights are called, and
what no run knows: title, description, limits, papers. Limits, papers and teachers
are names of ``common.yaml`` beside it, or limits in full. ``stored`` has options of
`galmorph.weights.save_weights`; no answer on ``valid`` may change by more than
MAX_CHANGE for them. The weights and cards go into the package. They are measured
as stored, on ``valid``, which decides what questions are supported and whose mean
error is taken off attributes, and on ``test``, which the card reports, once: run it
with ``--no-test`` until all is decided.
"""

import argparse
import copy
import dataclasses
import importlib
from pathlib import Path

import numpy as np
import yaml

from galmorph import MorphologyClassifier, load_card, load_schema
from galmorph.training import load_recipe
from galmorph.training.data.reading import read_tasks
from galmorph.training.evaluation import evaluate
from galmorph.weights import load_weights, save_weights

ROOT = Path(importlib.import_module('galmorph').__file__).parent / 'weights'
# A question is supported if enough training galaxies were asked it, with a path
# probability above one half, and if its error on ``valid`` is at most this part
# of that of the mean training vector; beyond the binomial error, if that is known.
MIN_GALAXIES = 300
MAX_ERROR = 0.8
MAX_CHANGE = 0.001
N_TRANSFORMS = 8
BRIEF = ('rmse17', 'rmse37', 'rmse', 'accuracy', 'macro_f1', 't_type_bias')


def store(trained, name, stored):
    """Write the weights of a card into the package, in another precision."""
    card = load_card(trained)
    path = ROOT / 'data' / f'{name}.safetensors'
    state = load_weights(trained.with_name(card.file))
    sha256 = save_weights(state, path, **stored)
    entries = {'file': path.name, 'size': path.stat().st_size, 'sha256': sha256}
    return dataclasses.replace(card, name=name, **entries)


def check_storage(trained, stored, source):
    """Stop if storing the weights changed what they answer."""
    rows = np.asarray(source.table['split']) == 'valid'
    before, after = (
        MorphologyClassifier(card)
        .classify_table(source.table[rows], size=source[rows].sizes)
        .values.filled(np.nan)
        for card in (trained, stored)
    )
    # A T type has another scale than a probability.
    scale = np.maximum(1, np.nanstd(before, 0))
    change = np.nanmax(np.abs(before - after) / scale)
    print(f'storing the weights changes an answer by {change:.2e} at most')
    if change > MAX_CHANGE:
        msg = f'that is more than {MAX_CHANGE}; store more exactly'
        raise SystemExit(msg)


def measure(card, source, split, n_transforms=1):
    """Compare weights with the labels of a split."""
    rows = np.asarray(source.table['split']) == split
    classifier = MorphologyClassifier(card, n_transforms=n_transforms)
    part = source[rows]
    return evaluate(classifier, part.table, part.labels, split=split, size=part.sizes)


def centre(card, target, source):
    """Take the mean error of each attribute on ``valid`` off, by the head's offset."""
    found = measure(target, source, 'valid')
    errors = np.nanmean(found.answers - found.labels, 0)
    network = copy.deepcopy(card.network)
    head = network['options']['head_options']
    head['offset'] = [
        round(float(offset - error), 4)
        for offset, error in zip(head['offset'], errors, strict=True)
    ]
    print('mean errors taken off:', dict(zip(found.schema.names, errors, strict=True)))
    done = {'calibration': 'the mean errors on valid are taken off'}
    return dataclasses.replace(card, network=network, training=card.training | done)


def metrics_of(card, source, split, supported):
    """The metrics of a card: one view, and in brief the mean of several."""
    metrics = measure(card, source, split).to_dict()
    several = measure(card, source, split, N_TRANSFORMS)
    found = {name: several.scores[name] for name in BRIEF if name in several.scores}
    if 'rmse17' not in found:
        found |= {
            f'{name}_rmse': score
            for name, score in several.questions.items()
            if name in supported and several.kind != 'classes'
        }
    metrics |= {
        f'{name}_{N_TRANSFORMS}_transforms': score.to_dict()
        for name, score in found.items()
    }
    return metrics


def count_asked(schema, labels):
    """How many galaxies were asked each question, or have each attribute."""
    known = np.isfinite(labels.targets)
    if schema.kind == 'attributes':
        return dict(zip(schema.names, known.sum(0).tolist(), strict=True))
    asked = {}
    for question in schema.questions:
        rows = known[:, question.start]
        if question.parent is not None:
            rows &= np.nan_to_num(labels.targets[:, question.parent]) > 0.5
        asked[question.name] = int(rows.sum())
    return asked


def count_training(recipe, sources, schema, task):
    """The same, of all training galaxies whose own labels train the head."""
    asked = dict.fromkeys(schema.names, 0)
    for name, source in sources.items():
        settings = recipe.tasks[name]
        if settings.teacher is None and task in (name, settings.head_of):
            rows = np.asarray(source.table['split']) == 'train'
            for key, count in count_asked(schema, source[rows].labels).items():
                asked[key] += count
    return asked


def choose_questions(schema, source, found, asked):
    """The questions that can be answered, by the rule above."""
    if found.kind == 'classes':
        return list(schema.names)
    split = np.asarray(source.table['split'])
    train, valid = source[split == 'train'], source[split == 'valid']
    mean = np.nanmean(train.labels.targets, 0)
    guess = np.tile(mean, (len(valid), 1))
    baseline = evaluate(guess, None, valid.labels, schema=schema)
    supported = []
    for name, score in found.questions.items():
        # What no answer can explain, because volunteers are few, is left out.
        floor = found.extra.get(name, {}).get('floor', 0)
        excess = max(score.value**2 - floor**2, 0)
        ratio = np.sqrt(excess / (baseline.questions[name].value ** 2 - floor**2))
        is_supported = bool(asked[name] >= MIN_GALAXIES and ratio <= MAX_ERROR)
        mark = '*' if is_supported else ' '
        print(f'{mark} {name:20} asked {asked[name]:5d}, error / mean {ratio:.2f}')
        supported += [name] * is_supported
    return supported


def read_labelled(recipe, data):
    """The galaxies of the tasks that learn from labels of their own."""
    names = [name for name, task in recipe.tasks.items() if task.teacher is None]
    return read_tasks(recipe.only(names), data)


def read_cards(path):
    """What a YAML file says of the cards of a run, by task."""
    cards = yaml.safe_load(path.read_text('utf-8'))
    common = yaml.safe_load(path.with_name('common.yaml').read_text('utf-8'))
    for entries in cards.values():
        limits = entries['limits']
        entries['limits'] = [common['limits'].get(limit, limit) for limit in limits]
        papers = [common['papers'][name] for name in entries['paper']]
        bibtex = '\n'.join(paper['bibtex'] for paper in papers)
        entries['paper'] = {**papers[0], 'bibtex': bibtex}
        # Entries may share one by an anchor.
        entries['training'] = training = dict(entries['training'])
        if 'teacher' in training:
            training['teacher'] = common['teachers'][training['teacher']]
    return cards


def publish(run, data, task, entries, *, test, before=None):
    """Write the weights of one task, and their card."""
    recipe = load_recipe(run / 'recipe.yaml')
    if task not in recipe.tasks:
        msg = f'{run} has no task {task!r}, but {list(recipe.tasks)}; name --tasks'
        raise SystemExit(msg)
    names = [path for path in run.glob('*.yaml') if path.stem.endswith(f'.{task}')]
    trained = names[0] if names else run / f'{recipe.name}.yaml'
    name = entries.pop('name')
    card = store(trained, name, entries.pop('stored', {'precision': 'float16'}))
    target = ROOT / 'cards' / f'{name}.yaml'
    training = {**card.training, **entries.pop('training', {})}
    card = dataclasses.replace(card, training=training, metrics={}, **entries)
    card.to_file(target)
    sources = read_labelled(recipe, data)
    source, schema = sources[task], load_schema(card.schema)
    check_storage(trained, target, source)
    if schema.kind == 'attributes':
        card = centre(card, target, source)
        card.to_file(target)
    if before is not None:
        # What that run learnt from taught these weights, too.
        recipe = load_recipe(before / 'recipe.yaml')
        sources = read_labelled(recipe, data)
    asked = count_training(recipe, sources, schema, task)
    found = measure(target, source, 'valid')
    supported = choose_questions(schema, source, found, asked)
    metrics = metrics_of(target, source, 'test' if test else 'valid', supported)
    print(name, f'{card.size / 1e6:.1f} MB')
    print(yaml.safe_dump(metrics, sort_keys=False))
    if found.kind != 'classes':
        card.training['n_asked'] = asked
    card = dataclasses.replace(card, metrics=metrics, supported_questions=supported)
    card.to_file(target)


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('run', type=Path)
    parser.add_argument('data', type=Path)
    parser.add_argument('cards', type=Path)
    parser.add_argument('--before', type=Path, help='the run before this one')
    parser.add_argument('--no-test', action='store_true', help='leave test untouched')
    parser.add_argument('--tasks', nargs='*', help='only these')
    options = parser.parse_args()
    for task, entries in read_cards(options.cards).items():
        if options.tasks is None or task in options.tasks:
            publish(
                options.run,
                options.data,
                task,
                entries,
                test=not options.no_test,
                before=options.before,
            )


if __name__ == '__main__':
    main()
