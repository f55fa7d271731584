# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Train ``dieleman.gz2`` on Galaxy Zoo 2.

    python scripts/train_dieleman_gz2.py DATA --run runs/dieleman_gz2
    python scripts/publish.py runs/dieleman_gz2 DATA scripts/cards/dieleman_2015.yaml

DATA holds ``gz2/`` (frames, 424 or 212 px wide, and ``labels.csv``: vote
fractions in Kaggle's columns, blank where unknown, and the class of Zhu et
al. 2019) and ``gz2_stripe82/`` (fixed scale, conditional vote fractions).
A run that is interrupted continues from its last checkpoint.

Three kinds of label share one likelihood, of width `SIGMA`:

* vote fractions: the squared error of the answers that are known;
* a class of Zhu et al.: it says only that certain path probabilities exceed
  the thresholds that it was cut with, so the loss is that of a censored
  measurement, -2 SIGMA² log Φ((p - threshold) / SIGMA);
* unknown answers: nothing.

Departures from Dieleman et al. (2015), forced by 1/17 of their labels and a
CPU: Adam with a cosine schedule for Nesterov SGD, batches of 44 to 48 for 16, He
initialisation, an average of the weights, and the classes as extra labels.
Augmentation is theirs.
"""

import argparse
import copy
import csv
import json
import math
import time
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from galmorph.networks import create_network
from galmorph.preprocessing import geometry
from galmorph.preprocessing.recipe import Recipe
from galmorph.preprocessing.render import resample
from galmorph.schemas import load_schema
from galmorph.training import load_recipe, save_network

SIGMA = 0.1
# Galaxies in a batch, by what is known of them, from a step on. The few whose
# 37 answers are (nearly) all known take a larger part in the second half.
BATCH = {
    0: {'votes': 30, 'classes': 18},
    1500: {'complete': 13, 'votes': 17, 'classes': 14},
    2500: {'complete': 14, 'votes': 20, 'classes': 10},
}
# The learning rate falls as a cosine over so many steps, from a step on; and
# so much of the inputs of the dense layers is dropped. The first cycle was
# ended early: with half dropped the network fitted even its training set badly.
CYCLES = {0: {'length': 3000, 'dropout': 0.5}, 2500: {'length': 1600, 'dropout': 0.25}}
WARMUP = 100
UNCONSTRAINED = 40
AVERAGE = 0.998
# Zhu et al. (2019), table 1, on Kaggle's columns; the first cut of each class
# follows from the second.
BOUNDS = {
    '0': {'Class7.1': 0.5},
    '1': {'Class7.2': 0.5},
    '2': {'Class7.3': 0.5},
    '3': {'Class2.1': 0.602},
    '4': {'Class2.2': 0.715, 'Class4.1': 0.619},
}
# The colour component of Dieleman et al., section 5.4.
COLOUR = np.array([-0.0148366, -0.01253134, -0.01040762])

# The questions whose answers are known for every galaxy with votes.
SEVENTEEN = ('smooth_or_features', 'edgeon', 'odd', 'rounded', 'odd_feature')

TREE = load_schema('gz2')
RECIPE = Recipe()


def read_gz2(folder):
    """Rows of the Galaxy Zoo 2 table, with known fractions and bounds."""
    with (folder / 'labels.csv').open(newline='') as file:
        for row in csv.DictReader(file):
            values = [row[column] for column in TREE.source_columns]
            target = np.array([float(v) if v else np.nan for v in values], np.float32)
            bound = np.full(len(target), np.nan, np.float32)
            if not np.isfinite(target).any():
                for column, threshold in BOUNDS.get(row['zhu5'], {}).items():
                    bound[TREE.source_columns.index(column)] = threshold
            yield folder / row['file'], row['split'], target, bound


def read_stripe82(folder):
    """Rows of the Stripe 82 table; a question without votes is unknown."""
    with (folder / 'labels.csv').open(newline='') as file:
        reader = csv.DictReader(file)
        columns = [name for name in reader.fieldnames if name.endswith('_fraction')]
        for row in reader:
            conditional = np.array([float(row[column]) for column in columns])
            target = TREE.to_path(conditional).astype(np.float32)
            relevance = TREE.relevance(target)
            for question, asked in zip(TREE.questions, relevance, strict=True):
                if asked > 0 and conditional[question.slice].sum() < 0.5:
                    target[question.slice] = np.nan
            bound = np.full(len(target), np.nan, np.float32)
            yield folder / row['file'], row['split'], target, bound


def half_light_radius(picture, aperture):
    """Radius that holds half the light, above the border, of an aperture."""
    light = picture.astype(np.float32).sum(-1)
    border = np.concatenate([light[:4].ravel(), light[-4:].ravel()])
    y, x = np.indices(light.shape) - (light.shape[0] - 1) / 2
    radius = np.hypot(x, y).ravel()
    order = np.argsort(radius)
    order = order[radius[order] < aperture]
    growth = np.cumsum((light - np.median(border)).ravel()[order])
    return radius[order][np.searchsorted(growth, growth[-1] / 2)]


def load(data, split):
    """All labelled galaxies of a split, as one dictionary of arrays."""
    rows = [row for row in read_gz2(data / 'gz2') if row[1] == split]
    labelled = [r for r in rows if np.isfinite(r[2]).any() or np.isfinite(r[3]).any()]
    pictures = [np.asarray(Image.open(row[0]).convert('RGB')) for row in labelled]
    # Pixels of the picture per frame pixel.
    scales = [picture.shape[0] / RECIPE.frame_size for picture in pictures]
    # The size of a galaxy at a fixed scale is inferred from its half-light
    # radius in the stretched picture, calibrated on frames, whose size is known.
    petro_r90 = 0.25 / RECIPE.frame_scale / RECIPE.frame_size
    ratio = np.median(
        [
            picture.shape[0]
            * 4
            * petro_r90
            / half_light_radius(picture, picture.shape[0] / 2)
            for picture in pictures[:300]
        ]
    )
    stripe = [row for row in read_stripe82(data / 'gz2_stripe82') if row[1] == split]
    for row in stripe:
        picture = np.asarray(Image.open(row[0]).convert('RGB'))
        size = 10.0
        for _ in range(5):
            aperture = min(size * RECIPE.frame_size * RECIPE.frame_scale / 2, 99)
            size = ratio * half_light_radius(picture, aperture)
        labelled.append(row)
        pictures.append(picture)
        scales.append(RECIPE.frame_scale * np.clip(size, 5, 50))
    return {
        'pictures': pictures,
        'scales': np.array(scales),
        'targets': np.stack([row[2] for row in labelled]),
        'bounds': np.stack([row[3] for row in labelled]),
        'stripe': np.arange(len(labelled)) >= len(labelled) - len(stripe),
    }


def draw_affines(n, rng):
    """Random affines in the frame, with the ranges of Dieleman et al."""
    zoom = np.exp(rng.uniform(-np.log(1.3), np.log(1.3), n))
    return (
        geometry.translation(*rng.uniform(-4, 4, (2, n)))
        @ geometry.rotation(rng.uniform(0, 360, n))
        @ geometry.flip(rng.random(n) < 0.5)
        @ geometry.scaling(zoom)
    )


def render(data, indices, affines):
    """The network's input for some galaxies."""
    views = torch.empty(len(indices), len(RECIPE.views), 3, 69, 69)
    shapes = [data['pictures'][i].shape[0] for i in indices]
    for side in set(shapes):
        rows = [k for k, shape in enumerate(shapes) if shape == side]
        pictures = np.stack([data['pictures'][indices[k]] for k in rows])
        images = torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(255)
        to_source = geometry.translation(*[(side - 1) / 2] * 2) @ geometry.scaling(
            data['scales'][indices[rows]]
        )
        full = (to_source @ affines[rows])[:, None] @ RECIPE.output_to_frame
        views[rows] = resample(images, torch.from_numpy(full), RECIPE.output_size)
    return views


def loss_of(path, target, bound):
    """Mean over galaxies of the loss described above, per answer."""
    known = torch.isfinite(target)
    error = torch.where(known, path - target.nan_to_num(), 0).square()
    bounded = torch.isfinite(bound)
    score = torch.where(bounded, (path - bound.nan_to_num()) / SIGMA, 10)
    censored = -2 * SIGMA**2 * torch.special.log_ndtr(score)
    return (error.sum() + torch.where(bounded, censored, 0).sum()) / target.numel()


def initialise(network):
    """He initialisation, which Adam leaves faster than the original."""
    for module in [*network.convs, *network.dense]:
        fan_in = module.weight[0].numel()
        torch.nn.init.normal_(module.weight, std=(2 / fan_in) ** 0.5)
        torch.nn.init.constant_(module.bias, 0.01)


def predict(network, data, indices):
    """Predictions without augmentation, shape (n, 37)."""
    network.eval()
    path = []
    with torch.inference_mode():
        for batch in np.array_split(indices, max(1, len(indices) // 64)):
            affines = np.broadcast_to(np.eye(3), (len(batch), 3, 3))
            path.append(network(render(data, batch, affines)))
    network.train()
    return torch.cat(path).numpy()


def seventeen_answers(schema):
    """Indices of the answers that are known for every galaxy with votes."""
    answers = np.arange(schema.n_answers)
    return np.concatenate([answers[schema.question(q).slice] for q in SEVENTEEN])


def rmse(path, target):
    """Pooled error over the known answers."""
    known = np.isfinite(target)
    return float(np.sqrt(np.mean((path - target)[known] ** 2)))


def scores(path, target):
    """The pooled errors of the 17 answers, and of all 37 where they are known."""
    columns = seventeen_answers(TREE)
    is_complete = np.isfinite(target).all(1)
    return {
        'rmse17': rmse(path[:, columns], target[:, columns]),
        'rmse37': rmse(path[is_complete], target[is_complete]),
    }


def train(data_folder, run, steps, learning_rate, seed):
    """Train, or continue to train."""
    run.mkdir(parents=True, exist_ok=True)
    data, valid = load(data_folder, 'train'), load(data_folder, 'valid')
    pools = {
        'complete': np.flatnonzero(np.isfinite(data['targets']).sum(1) > 30),
        'votes': np.flatnonzero(np.isfinite(data['targets']).any(1)),
        'classes': np.flatnonzero(np.isfinite(data['bounds']).any(1)),
    }
    check = np.flatnonzero(np.isfinite(valid['targets']).any(1) & ~valid['stripe'])
    print({name: len(pool) for name, pool in pools.items()}, len(check), flush=True)
    torch.manual_seed(seed)
    network = create_network('dieleman', structure=TREE.structure)
    initialise(network)
    network = network.to(memory_format=torch.channels_last)
    average = copy.deepcopy(network).requires_grad_(requires_grad=False)
    optimizer = torch.optim.Adam(
        network.parameters(), lr=learning_rate, betas=(0.9, 0.99), fused=True
    )
    start, checkpoint = 0, run / 'checkpoint.pt'
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state['network'])
        average.load_state_dict(state['average'])
        optimizer.load_state_dict(state['optimizer'])
        start = state['step']
        print('continues after step', start, flush=True)
    losses, clock = [], time.perf_counter()
    for step in range(start, steps):
        # Draws depend on the step alone, so a resumed run repeats them.
        rng = np.random.default_rng([seed, step])
        torch.manual_seed(seed * 1_000_003 + step)
        parts = BATCH[max(first for first in BATCH if first <= step)]
        begin = max(first for first in CYCLES if first <= step)
        network.dropout.p = CYCLES[begin]['dropout']
        rows = np.concatenate(
            [rng.choice(pools[name], n, replace=False) for name, n in parts.items()]
        )
        views = render(data, rows, draw_affines(len(rows), rng))
        shift = rng.normal(0, 0.5, (len(rows), 1)) * COLOUR
        views += torch.from_numpy(shift.astype(np.float32))[:, None, :, None, None]
        raw = network.raw(views.clamp_(0, 1))
        path = raw.clamp(0, 1) if step < UNCONSTRAINED else network.head(raw)
        loss = loss_of(
            path,
            torch.from_numpy(data['targets'][rows]),
            torch.from_numpy(data['bounds'][rows]),
        )
        phase = 0.5 * (1 + math.cos(math.pi * (step - begin) / CYCLES[begin]['length']))
        for group in optimizer.param_groups:
            group['lr'] = learning_rate * min(1, (step + 1) / WARMUP) * phase
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            weight = 1 - min(AVERAGE, step / (step + 20))
            torch._foreach_lerp_(
                list(average.parameters()), list(network.parameters()), weight
            )
        losses.append(loss.item())
        if (step + 1) % 25 == 0:
            rate = 25 * len(rows) / (time.perf_counter() - clock)
            clock = time.perf_counter()
            print(
                step + 1,
                f'loss {np.mean(losses[-25:]):.5f}',
                f'{rate:.1f} galaxies/s',
                flush=True,
            )
        if (step + 1) % 250 == 0 or step + 1 == steps:
            result = scores(predict(average, valid, check), valid['targets'][check])
            result |= {'step': step + 1, 'loss': float(np.mean(losses[-250:]))}
            print(result, flush=True)
            with (run / 'log.jsonl').open('a') as file:
                file.write(json.dumps(result) + '\n')
            state = {
                'network': network.state_dict(),
                'average': average.state_dict(),
                'optimizer': optimizer.state_dict(),
                'step': step + 1,
            }
            torch.save(state, checkpoint.with_suffix('.tmp'))
            checkpoint.with_suffix('.tmp').replace(checkpoint)
            clock = time.perf_counter()
    write_card(run, average, steps)


def write_card(run, network, steps):
    """Write the weights with a card, and what tasks they answer, into the run."""
    recipe = load_recipe('dieleman_2015').override({'name': 'dieleman.gz2'})
    (run / 'recipe.yaml').write_text(yaml.safe_dump(recipe.to_dict()), 'utf-8')
    save_network(
        network,
        run,
        recipe.name,
        architecture={'name': 'dieleman', 'options': {}},
        schema='gz2',
        recipe=RECIPE,
        precision='float32',
        training={
            'steps': steps,
            'batch': '30 to 34 galaxies with votes, 18 to 10 with a class',
            'optimiser': 'Adam, 3e-4, two cosine cycles; averaged weights',
            'script': 'scripts/train_dieleman_gz2.py',
        },
    )


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('data', type=Path)
    parser.add_argument('--run', type=Path, default=Path('runs/dieleman_gz2'))
    parser.add_argument('--steps', type=int, default=4100)
    parser.add_argument('--learning-rate', type=float, default=3e-4)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    train(options.data, options.run, options.steps, options.learning_rate, options.seed)


if __name__ == '__main__':
    main()
