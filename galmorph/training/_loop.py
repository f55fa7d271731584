# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Lightning's trainer, as recipes want it."""

import contextlib
import importlib.util
import logging
import warnings

import lightning
import torch
from lightning.pytorch.callbacks import (
    EarlyStopping,
    ModelCheckpoint,
    WeightAveraging,
)
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.loggers import CSVLogger

_PRECISIONS = {'float32': '32-true', 'bf16': 'bf16-mixed', 'fp16': '16-mixed'}


def make_trainer(
    recipe,
    folder,
    n_steps,
    epoch_length,
    *,
    is_validated=True,
    progress_bar=False,
    callbacks=(),
    **options,
):
    """Make the trainer: an epoch is what lies between two validations."""
    common = {
        'dirpath': folder / 'checkpoints',
        'enable_version_counter': False,
        'auto_insert_metric_name': False,
    }
    own = []
    if recipe.ema is not None:
        own.append(WeightAveraging(multi_avg_fn=_Average(recipe.ema)))
    if is_validated:
        best = {'monitor': recipe.monitor, 'mode': recipe.mode}
        own.append(
            _Checkpoint(
                filename='best', save_on_train_epoch_end=False, **best, **common
            )
        )
    if is_validated and recipe.patience is not None:
        # At the validation: a training that goes on begins with the end of the epoch
        # before, when there are no scores.
        own.append(
            _EarlyStopping(
                recipe.monitor,
                mode=recipe.mode,
                patience=recipe.patience,
                check_on_train_epoch_end=False,
            )
        )
    # After the others, whose state it keeps.
    own.append(_Checkpoint(filename='last', save_on_train_epoch_end=True, **common))
    loggers = [CSVLogger(folder, name='log')]
    if importlib.util.find_spec('tensorboard'):
        from lightning.pytorch.loggers import TensorBoardLogger

        loggers.append(TensorBoardLogger(folder, name='tensorboard', version=''))
    return lightning.Trainer(
        **{
            'max_steps': n_steps,
            'max_epochs': -1,
            'limit_train_batches': epoch_length,
            'num_sanity_val_steps': 0,
            'log_every_n_steps': epoch_length,
            'precision': _PRECISIONS[recipe.precision],
            'gradient_clip_val': recipe.optimiser.clip,
            'enable_progress_bar': progress_bar,
            'enable_model_summary': False,
            'use_distributed_sampler': False,
            'logger': loggers,
            'callbacks': [*own, *callbacks],
            **options,
        }
    )


class _Checkpoint(ModelCheckpoint):
    """Lightning's, which knows the best of a training whose folder was moved."""

    def load_state_dict(self, state_dict):
        before = state_dict.get('dirpath') or self.dirpath
        super().load_state_dict(_replaced(state_dict, str(before), str(self.dirpath)))


def _replaced(value, before, now):
    """Paths in another folder."""
    if isinstance(value, dict):
        return {
            _replaced(k, before, now): _replaced(v, before, now)
            for k, v in value.items()
        }
    is_path = isinstance(value, str) and value.startswith(before)
    return now + value[len(before) :] if is_path else value


class _EarlyStopping(EarlyStopping):
    """Lightning's, which ends a training for good: also where it is resumed."""

    def on_train_start(self, trainer, pl_module):
        super().on_train_start(trainer, pl_module)
        if self.stopping_reason is not EarlyStoppingReason.NOT_STOPPED:
            trainer.should_stop = True


class _Average:
    """A running average that forgets its beginning sooner."""

    def __init__(self, decay):
        self.decay = decay

    @torch.no_grad()
    def __call__(self, averages, currents, n_averaged):
        n = int(n_averaged)
        weight = 1 - min(self.decay, n / (n + 20))
        if torch.is_floating_point(averages[0]):
            torch._foreach_lerp_(averages, currents, weight)
            return
        for average, current in zip(averages, currents, strict=True):
            average.copy_(current)


@contextlib.contextmanager
def quiet(*, silent):
    """Keep from the user what Lightning says of settings that are meant."""
    logger = logging.getLogger('lightning.pytorch')
    level = logger.level
    if silent:
        logger.setLevel(logging.WARNING)
    try:
        with warnings.catch_warnings():
            for text in (
                '.*does not have many workers',
                '.*Checkpoint directory .* exists and is not empty',
                '.*The number of training batches',
                r'.*Found .* module\(s\) in eval mode',
                '.*Total length of `list` across ranks is zero',
                r'.*isinstance\(treespec, LeafSpec\)',
                # A device that has no validation galaxies of a task.
                '.*was called before the ``update`` method',
            ):
                warnings.filterwarnings('ignore', message=text)
            yield
    finally:
        logger.setLevel(level)
