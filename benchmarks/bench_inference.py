# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure how much of the machine inference uses.

    python benchmarks/bench_inference.py [--weights NAME] [--device cpu]

Prints, from one run in which the parts take turns, so that a busy machine
slows all alike:

* the rate of a large matrix product, in GFLOP/s;
* galaxies per second of the network alone, and as a fraction of that rate;
* galaxies per second of ``predict_table`` from arrays in memory, and as a
  fraction of the network alone.

Each figure is the median over the rounds; the range stands beside it.
"""

import argparse
import statistics
import time

import numpy as np
import torch
from astropy.table import Table

from galmorph import MorphologyClassifier


def count_operations(network, views):
    """Floating-point operations of one galaxy: two a multiply-add."""
    total = 0

    def count(module, _, output):
        nonlocal total
        per_output = module.weight[0].numel()
        total += 2 * per_output * output.numel()

    handles = [
        module.register_forward_hook(count)
        for module in network.modules()
        if getattr(module, 'weight', None) is not None and module.weight.ndim > 1
    ]
    with torch.inference_mode():
        network(views)
    for handle in handles:
        handle.remove()
    return total / len(views)


def timed(function, device):
    """Seconds that a call takes."""
    if device.type == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def main():
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--weights', default='compact.gz2')
    parser.add_argument('--device', default='auto')
    parser.add_argument('--precision', default='float32')
    parser.add_argument('--galaxies', type=int, default=512)
    parser.add_argument('--side', type=int, default=424, help='pixels of a stamp')
    parser.add_argument('--rounds', type=int, default=7)
    parser.add_argument('--batch-size', type=int)
    options = parser.parse_args()
    classifier = MorphologyClassifier(
        options.weights,
        options.device,
        precision=options.precision,
        batch_size=options.batch_size,
    )
    engine, recipe = classifier.engine, classifier.recipe
    device, dtype = engine.device, engine.dtype
    rng = np.random.default_rng(1)
    shape = (options.galaxies, options.side, options.side, 3)
    table = Table({'image': rng.integers(0, 255, shape, np.uint8)})
    n_network = min(options.galaxies, 4 * engine.batch_size)
    size = len(recipe.views), 3, recipe.output_size, recipe.output_size
    views = torch.rand(n_network, *size, device=device).to(dtype)
    side = 8192 if device.type == 'cuda' else 2048
    matrix = torch.rand(side, side, device=device).to(dtype)
    operations = count_operations(engine.network, views[:2])

    def network():
        with torch.inference_mode():
            for batch in views.split(engine.batch_size):
                engine.network(batch)

    def product():
        for _ in range(5):
            torch.mm(matrix, matrix)

    def whole():
        classifier.classify_table(table)

    figures = {'product': [], 'network': [], 'table': []}
    for index in range(options.rounds + 1):
        product_rate = 5 * 2 * side**3 / timed(product, device) / 1e9
        network_rate = n_network / timed(network, device)
        table_rate = options.galaxies / timed(whole, device)
        if index:  # the first round warms up
            figures['product'].append(product_rate)
            figures['network'].append(network_rate)
            figures['table'].append(table_rate)
    figures['network / product'] = [
        n * operations / 1e9 / p
        for n, p in zip(figures['network'], figures['product'], strict=True)
    ]
    figures['table / network'] = [
        t / n for t, n in zip(figures['table'], figures['network'], strict=True)
    ]
    print(
        f'{classifier.card.name}, {device}, {options.precision}, '
        f'{torch.get_num_threads()} threads, batches of {engine.batch_size}, '
        f'{operations / 1e9:.3f} GFLOP a galaxy, stamps of {options.side} px'
    )
    for name, values in figures.items():
        unit = {'product': 'GFLOP/s', 'network': 'galaxies/s', 'table': 'galaxies/s'}
        print(
            f'{name:18} {statistics.median(values):10.3f}  '
            f'[{min(values):.3f}, {max(values):.3f}]  {unit.get(name, "")}'
        )


if __name__ == '__main__':
    main()
