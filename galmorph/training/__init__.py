# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training, evaluating and publishing of weights; needs ``astro-galmorph[train]``."""

import importlib
import sys
import types

# As in galmorph itself: lightning is loaded by what needs it.
_HOMES = {
    'Augmentation': 'galmorph.training.augmentation',
    'ClassificationReport': 'galmorph.training.classification',
    'Evaluation': 'galmorph.training.evaluation',
    'GalaxyDataset': 'galmorph.training.datasets',
    'GalaxyZooDataModule': 'galmorph.training.datamodule',
    'Labels': 'galmorph.training.labels',
    'MorphologyModule': 'galmorph.training.module',
    'PixelCache': 'galmorph.training.cache',
    'TaskData': 'galmorph.training.tasks',
    'TrainingRecipe': 'galmorph.training.recipe',
    'TrainingResult': 'galmorph.training.fit',
    'TrainingTable': 'galmorph.training.layouts',
    'build_cache': 'galmorph.training.cache',
    'create_loss': 'galmorph.training.losses',
    'create_metrics': 'galmorph.training.metrics',
    'evaluate': 'galmorph.training.evaluation',
    'finetune': 'galmorph.training.finetuning',
    'finetuning_recipe': 'galmorph.training.finetuning',
    'fit': 'galmorph.training.fit',
    'kaggle_baselines': 'galmorph.training.baselines',
    'list_losses': 'galmorph.training.losses',
    'list_recipes': 'galmorph.training.recipe',
    'load_recipe': 'galmorph.training.recipe',
    'read_labels': 'galmorph.training.labels',
    'read_layout': 'galmorph.training.layouts',
    'read_log': 'galmorph.training.log',
    'save_network': 'galmorph.training.publish',
    'save_trained': 'galmorph.training.publish',
}

__all__ = [
    'Augmentation',
    'ClassificationReport',
    'Evaluation',
    'GalaxyDataset',
    'GalaxyZooDataModule',
    'Labels',
    'MorphologyModule',
    'PixelCache',
    'TaskData',
    'TrainingRecipe',
    'TrainingResult',
    'TrainingTable',
    'build_cache',
    'create_loss',
    'create_metrics',
    'evaluate',
    'finetune',
    'finetuning_recipe',
    'fit',
    'kaggle_baselines',
    'list_losses',
    'list_recipes',
    'load_recipe',
    'read_labels',
    'read_layout',
    'read_log',
    'save_network',
    'save_trained',
]


def __getattr__(name):
    if name in _HOMES:
        value = getattr(importlib.import_module(_HOMES[name]), name)
        globals()[name] = value
        return value
    msg = f'module {__name__!r} has no attribute {name!r}'
    raise AttributeError(msg)


def __dir__():
    return sorted(set(globals()) | set(__all__))


class _Package(types.ModuleType):
    """Keeps the module `fit`, once it is imported, from hiding the function."""

    def __setattr__(self, name, value):
        if not (name in _HOMES and isinstance(value, types.ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
