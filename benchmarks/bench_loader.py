# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Measure whether training waits for its images.

    python benchmarks/bench_loader.py [--device cpu] [--images FOLDER]

Prints galaxies per second, and each as a multiple of the network's rate, from
one run in which the parts take turns, so that a busy machine slows all alike:

* ``decode``: reading and preparing the files anew, as without a cache;
* ``load``: batches of the data module out of the cache, augmented affines and
  all, before they are rendered;
* ``load + render``: the same, rendered on the device, colours changed;
* ``network``: a training step of the network, forwards and backwards;
* ``network, bf16``: the same in mixed precision.

Without FOLDER the images are made: JPEGs of 424 px. Also printed: how long the
cache takes to build, and its size.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from galmorph import Recipe, create_network, load_schema
from galmorph.inference.devices import choose_device
from galmorph.training import (
    Augmentation,
    GalaxyZooDataModule,
    Labels,
    TaskData,
    build_cache,
)
from galmorph.training.data.cache import load_image


def make_pictures(folder, n):
    """Draw noisy disks and write them as JPEGs."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:424, :424] - 211.5
    paths = []
    for index in range(n):
        disk = 200 * np.exp(-np.hypot(x, y / rng.uniform(0.3, 1)) / rng.uniform(20, 40))
        pixels = disk[..., None] * rng.uniform(0.6, 1, 3) + rng.normal(
            15, 6, (424, 424, 3)
        )
        paths.append(str(folder / f'{index}.jpg'))
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(paths[-1])
    return paths


def timed(function, device):
    """Seconds that a call takes."""
    if device.type == 'cuda':
        torch.cuda.synchronize()
    start = time.perf_counter()
    function()
    if device.type == 'cuda':
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(paths, cache, recipe, options):
    """Rates of all parts, one list a part."""
    device = choose_device(options.device)
    schema = load_schema('gz2')
    labels = Labels('fractions', np.full((len(paths), schema.n_answers), 0.5))
    task = TaskData(cache, labels, recipe, Augmentation.preset(options.augmentation))
    data = GalaxyZooDataModule(
        {'gz2': task}, batch_size=options.batch_size, n_workers=options.workers,
        steps_per_epoch=10**9,
    )  # fmt: skip
    batches = iter(data.train_dataloader())
    network = create_network(options.network, structure=schema.structure)
    network = network.to(device, memory_format=torch.channels_last).train()

    def rendered():
        batch = data.transfer_batch_to_device(next(batches), device, 0)
        return data.on_after_batch_transfer(batch, 0)['gz2']['views']

    def step(views, *, is_mixed):
        with torch.autocast(device.type, torch.bfloat16, enabled=is_mixed):
            raw = network.raw(views)
        raw.float().square().mean().backward()
        network.zero_grad()

    views, n = rendered(), options.batch_size
    parts = {
        'decode': lambda: [load_image(path, recipe) for path in paths[:n]],
        'load': lambda: next(batches),
        'load + render': rendered,
        'network': lambda: step(views, is_mixed=False),
        'network, bf16': lambda: step(views, is_mixed=True),
    }
    rates = {name: [] for name in parts}
    for index in range(options.rounds + 1):
        for name, part in parts.items():
            rate = n / timed(part, device)
            if index:  # the first round warms up
                rates[name].append(rate)
    print(
        f'{options.network}, {device}, {torch.get_num_threads()} threads, '
        f'{options.workers} processes, batches of {n}, input of '
        f'{recipe.output_size} px, {len(recipe.views)} views'
    )
    return rates


def main():
    """Parse the command line and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('--device', default='auto')
    parser.add_argument('--images', type=Path)
    parser.add_argument('--number', type=int, default=512, help='of images')
    parser.add_argument('--network', default='dieleman')
    parser.add_argument('--augmentation', default='dieleman')
    parser.add_argument('--views', type=float, nargs='+', default=[0, 45])
    parser.add_argument('--batch-size', type=int, default=64)
    parser.add_argument('--workers', type=int, default=0)
    parser.add_argument('--rounds', type=int, default=7)
    options = parser.parse_args()
    recipe = Recipe(views=options.views)
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        if options.images is None:
            paths = make_pictures(folder, options.number)
        else:
            paths = sorted(map(str, options.images.iterdir()))[: options.number]
        reach = Augmentation.preset(options.augmentation).reach()
        start = time.perf_counter()
        cache = build_cache(paths, recipe, folder / 'cache', reach=reach)
        seconds = time.perf_counter() - start
        print(
            f'cache of {len(paths)} images: {len(paths) / seconds:.0f} images/s, '
            f'{cache.n_bytes / len(paths) / 1e3:.0f} kB an image'
        )
        rates = measure(paths, cache, recipe, options)
    network = statistics.median(rates['network'])
    for name, values in rates.items():
        middle = statistics.median(values)
        print(
            f'{name:14} {middle:9.1f} galaxies/s  [{min(values):.1f}, '
            f'{max(values):.1f}]  {middle / network:8.2f} x network'
        )


if __name__ == '__main__':
    main()
