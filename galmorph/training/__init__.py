# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Training, evaluating and publishing of weights; needs ``astro-galmorph[train]``."""

import importlib
import sys
import types

# As in galmorph itself: lightning is loaded by what needs it.
_HOMES = {
    'Augmentation': 'galmorph.training.augmentation',
    'ClassificationReport': 'galmorph.training.evaluation.classification',
    'Evaluation': 'galmorph.training.evaluation.evaluating',
    'GalaxyDataset': 'galmorph.training.data.datasets',
    'GalaxyZooDataModule': 'galmorph.training.data.datamodule',
    'Labels': 'galmorph.training.data.labels',
    'MorphologyModule': 'galmorph.training.module',
    'PixelCache': 'galmorph.training.data.cache',
    'TaskData': 'galmorph.training.data.tasks',
    'TrainingRecipe': 'galmorph.training.recipe',
    'TrainingResult': 'galmorph.training.fit',
    'TrainingTable': 'galmorph.training.data.layouts',
    'build_cache': 'galmorph.training.data.cache',
    'create_loss': 'galmorph.training.losses',
    'create_metrics': 'galmorph.training.evaluation.metrics',
    'evaluate': 'galmorph.training.evaluation.evaluating',
    'finetune': 'galmorph.training.finetuning',
    'finetuning_recipe': 'galmorph.training.finetuning',
    'fit': 'galmorph.training.fit',
    'kaggle_baselines': 'galmorph.training.evaluation.baselines',
    'list_losses': 'galmorph.training.losses',
    'list_recipes': 'galmorph.training.recipe',
    'load_recipe': 'galmorph.training.recipe',
    'read_labels': 'galmorph.training.data.labels',
    'read_layout': 'galmorph.training.data.layouts',
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
