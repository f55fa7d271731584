# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""`MorphologyModule`: networks, losses and scores of a recipe, for Lightning."""

import fnmatch
import itertools

import lightning
import torch
from torch import nn

from galmorph.exceptions import RecipeError
from galmorph.networks._tree import TreeHead
from galmorph.networks.heads import ClippedHead, SigmoidHead, SoftmaxTreeHead
from galmorph.networks.layers import constrain_norms
from galmorph.networks.values import RegressionHead
from galmorph.schemas import load_schema
from galmorph.training.building import build_networks, count_channels
from galmorph.training.evaluation.metrics import create_metrics
from galmorph.training.losses import create_loss
from galmorph.training.losses.likelihoods import DirichletLoss
from galmorph.training.recipe import TrainingRecipe, load_recipe

__all__ = ['MorphologyModule']

_CHECK_EVERY = 20


class MorphologyModule(lightning.LightningModule):
    """
    The networks of a recipe, one a task, in training.

    Several tasks share one trunk. What is random in a step, such as dropout,
    depends on the seed and the number of the step alone, so that a training
    that was interrupted goes on as if it had not been.

    Parameters
    ----------
    recipe : `~galmorph.training.recipe.TrainingRecipe`, str or dict
        The recipe, as `~galmorph.training.recipe.load_recipe` takes it, or
        what its ``to_dict`` gave.
    n_steps : int, optional
        Updates of the whole training, by which the learning rate falls; those
        of the recipe by default.
    kinds : dict of str to str, optional
        What the labels of each task are, as in
        `~galmorph.training.data.labels.Labels`; 'attributes' for schemas of
        attributes and 'fractions' else, by default.

    Attributes
    ----------
    networks : `torch.nn.ModuleDict`
        The network of each task that has a head of its own.

    Examples
    --------
    >>> from galmorph.training import MorphologyModule
    >>> from galmorph.training.recipe import TrainingRecipe
    >>> recipe = TrainingRecipe.from_dict({
    ...     'name': 'small', 'steps': 10, 'network': {
    ...         'name': 'compact', 'options': {'widths': [8], 'depths': [1]}},
    ...     'tasks': {'gz2': {'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'}}})
    >>> module = MorphologyModule(recipe)
    >>> sorted(module.networks), module.n_steps
    (['gz2'], 10)
    """

    def __init__(self, recipe, *, n_steps=None, kinds=None):
        super().__init__()
        if isinstance(recipe, dict):
            recipe = TrainingRecipe.from_dict(recipe)
        self.recipe = load_recipe(recipe)
        self.n_steps = self.recipe.steps if n_steps is None else int(n_steps)
        self.save_hyperparameters(
            {
                'recipe': self.recipe.to_dict(),
                'n_steps': self.n_steps,
                'kinds': dict(kinds or {}),
            }
        )
        self.networks = build_networks(self.recipe)
        self.losses, self.scores = nn.ModuleDict(), nn.ModuleDict()
        for name, task in self.recipe.tasks.items():
            schema = load_schema(task.schema)
            kind = getattr(schema, 'kind', 'tree')
            kind = 'attributes' if kind == 'attributes' else 'fractions'
            self.losses[name] = self._create_loss(name, schema)
            kind = (kinds or {}).get(name, kind)
            # Views that are compared with each other have nothing to score by.
            if task.needs_labels:
                self.scores[name] = create_metrics(schema, kind)
        self._check_heads()
        self._n_channels = count_channels(self.recipe)
        self._valid_losses = {}
        self._freeze()
        self._constrained = list(self._constrained_layers())
        self.train()

    def network_of(self, task):
        """
        Find the network that answers a task.

        Parameters
        ----------
        task : str
            Name of the task.

        Returns
        -------
        network : `torch.nn.Module`
            Its own, or that of the task whose head it shares.
        """
        return self.networks[self.recipe.tasks[task].head_of or task]

    def score_names(self):
        """
        List the scores of a validation.

        Returns
        -------
        names : list of str
            What ``monitor`` of a recipe may name.
        """
        names = ['valid/loss']
        for name, task in self.recipe.tasks.items():
            n_answers = load_schema(task.schema).n_answers
            keys = []
            if name in self.scores:
                scores = self.scores[name].clone()
                some = torch.eye(n_answers)
                scores.update(some, some)
                found = scores.compute().items()
                keys = [key for key, value in found if value.ndim == 0]
            names += [f'valid/{name}/{key}' for key in ('loss', *keys)]
        return names

    def forward(self, views, task=None):
        """
        Answer the questions of a task.

        Parameters
        ----------
        views : `torch.Tensor`, shape (n, n_view, n_channel, size, size)
            What the network sees.
        task : str, optional
            The task; the first by default.

        Returns
        -------
        answers : `torch.Tensor`, shape (n, n_answers)
            What the head gives.
        """
        return self.network_of(task or next(iter(self.recipe.tasks)))(views)

    def training_step(self, batch):
        """Compute the loss of a batch: a mapping of tasks to tensors."""
        outputs = self._outputs(batch)
        total = 0.0
        for name, part in batch.items():
            loss = self.losses[name](outputs[name], part)
            total = total + self.recipe.tasks[name].weight * loss
            if len(self.recipe.tasks) > 1:
                self.log(f'train/{name}/loss', loss, on_step=False, on_epoch=True,
                         batch_size=len(part['views']), sync_dist=True)  # fmt: skip
        n_galaxy = sum(
            len(part['views'])
            for name, part in batch.items()
            if self.recipe.tasks[name].images_of is None
        )
        self.log('train/loss', total, on_step=False, on_epoch=True, prog_bar=True,
                 batch_size=n_galaxy, sync_dist=True)  # fmt: skip
        # Not at each step: a GPU would wait for the answer.
        if self.global_step % _CHECK_EVERY == 0:
            self._check_finite(bool(total.isfinite()))
        return total

    def validation_step(self, batch):
        """Score a batch of the validation galaxies."""
        outputs = self._outputs(batch, constrained=True)
        for name, part in batch.items():
            loss = self.losses[name](outputs[name], part)
            weight = loss.new_tensor(len(part['views']))
            self._valid_losses[name] += torch.stack([weight * loss.detach(), weight])
            if name in self.scores:
                counts = part.get('counts')
                target = part['target'] if counts is None else counts
                self.scores[name].update(outputs[name]['answers'], target)

    def on_validation_epoch_start(self):
        """Forget the scores of the validation before."""
        self._check_finite(all(p.isfinite().all() for p in self.parameters()))
        # Sum over galaxies, and their number.
        self._valid_losses = {
            name: torch.zeros(2, device=self.device) for name in self.recipe.tasks
        }
        for scores in self.scores.values():
            scores.reset()

    def on_validation_epoch_end(self):
        """Log the scores of the validation."""
        result = {}
        sums = torch.stack(list(self._valid_losses.values()))
        # Each device has seen a part of the galaxies.
        sums = self.trainer.strategy.reduce(sums, reduce_op='sum')
        for name, (total, count) in zip(self._valid_losses, sums, strict=True):
            if not count:
                continue
            result[f'valid/{name}/loss'] = total / count
            if name not in self.scores:
                continue
            for key, value in self.scores[name].compute().items():
                if value.ndim == 0:
                    result[f'valid/{name}/{key}'] = value.float()
        if result:
            result['valid/loss'] = sum(
                task.weight * result[f'valid/{name}/loss']
                for name, task in self.recipe.tasks.items()
                if f'valid/{name}/loss' in result
            )
        self.log_dict(result | self._progress(), sync_dist=True)

    def on_train_epoch_end(self):
        """Log how far the training is."""
        self.log_dict(self._progress(), sync_dist=True)

    def _check_finite(self, is_finite):
        """End a training that has lost its way before it is kept."""
        if torch.distributed.is_available() and torch.distributed.is_initialized():
            # All devices end, or some would wait for the others.
            is_finite = self.trainer.strategy.reduce_boolean_decision(is_finite)
        if is_finite:
            return
        msg = (
            f'the training has diverged by step {self.global_step}: the loss is not '
            "finite; lower 'optimiser.lr', set 'optimiser.clip', or let "
            "'schedule.warmup' be longer. The last checkpoint is the one before"
        )
        raise RecipeError(msg)

    def _progress(self):
        # Lightning's own count of steps is one more after a restart.
        return {'epoch': float(self.current_epoch), 'step': float(self.global_step)}

    def on_train_batch_start(self, batch, batch_idx):  # noqa: ARG002
        """Seed what is random in the step."""
        seed = self.recipe.seed * 1_000_003 + self.global_step
        torch.manual_seed(seed * 1009 + self.global_rank)

    def train(self, mode=True):  # noqa: FBT002
        """Set the mode; layers whose weights are frozen stay in evaluation."""
        super().train(mode)
        for module in self._frozen:
            module.eval()
        return self

    def configure_optimizers(self):
        """Make the optimiser, and the course of its learning rate."""
        settings, schedule = self.recipe.optimiser, self.recipe.schedule
        groups = list(self._parameter_groups())
        if settings.name == 'sgd':
            # torch refuses Nesterov's correction without a momentum.
            optimiser = torch.optim.SGD(
                groups,
                lr=settings.lr,
                momentum=settings.momentum,
                nesterov=settings.nesterov and settings.momentum > 0,
            )
        else:
            kinds = {'adam': torch.optim.Adam, 'adamw': torch.optim.AdamW}
            optimiser = kinds[settings.name](
                groups, lr=settings.lr, betas=settings.betas
            )
        course = torch.optim.lr_scheduler.LambdaLR(
            optimiser, lambda step: schedule.factor_at(step, self.n_steps)
        )
        return {
            'optimizer': optimiser,
            'lr_scheduler': {'scheduler': course, 'interval': 'step'},
        }

    def optimizer_step(self, *args, **kwargs):
        """Update the weights, and rescale those that are constrained."""
        super().optimizer_step(*args, **kwargs)
        every = self.recipe.norm_constraint.get('every', 1)
        if self._constrained and self.global_step % every == 0:
            constrain_norms(*zip(*self._constrained, strict=True))

    def _create_loss(self, name, schema):
        """Create the loss of a task; one of features has weights for their number."""
        task, network = self.recipe.tasks[name], self.network_of(name)
        choice, options = task.loss, dict(task.loss.options)
        if not task.needs_labels:
            if not _has_features(network):
                msg = (
                    f"the task {name!r}: the 'loss' {choice.name!r} compares features, "
                    f'which the network {type(network).__name__} does not give; take '
                    'one with a trunk'
                )
                raise RecipeError(msg)
            options.setdefault('n_features', network.trunk.n_features)
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(self.recipe.seed)
                return create_loss(choice.name, schema, **options)
        except (TypeError, ValueError) as error:
            msg = f"'loss' of the task {name!r}: {error}"
            raise RecipeError(msg) from error

    def _outputs(self, batch, *, constrained=None):
        """Answers of all tasks; views of one shape go through the trunk once."""
        if constrained is None:
            constrained = self.global_step >= self.recipe.unconstrained_steps
        outputs = {}
        for names in self._groups(batch):
            network = self.network_of(names[0])
            # Tasks on the images of another have the same views: once suffices.
            distinct = {
                id(batch[name]['views']): batch[name]['views'] for name in names
            }
            views = [self._in_colour(part) for part in distinct.values()]
            parts = [None]
            if len(names) == 1 and names[0] in self.scores:
                raws = [network.raw(views[0]) if _has_raw(network) else None]
            else:
                features = network.features(torch.cat(views))
                features = features.split([len(part) for part in views])
                features = dict(zip(distinct, features, strict=True))
                parts = [features[id(batch[name]['views'])] for name in names]
                networks = [self.network_of(name) for name in names]
                raws = [
                    net.output(net.dropout(part))
                    for net, part in zip(networks, parts, strict=True)
                ]
            for name, raw, part in zip(names, raws, parts, strict=True):
                if raw is None:
                    outputs[name] = {'answers': network(views[0])}
                else:
                    head = self.network_of(name).head
                    outputs[name] = _apply_head(head, raw, constrained=constrained)
                if part is not None:
                    outputs[name]['features'] = part
        return outputs

    def _in_colour(self, views):
        """Show one band in all channels that the trunk has for others."""
        if views.shape[2] == 1 and self._n_channels > 1:
            return views.expand(-1, -1, self._n_channels, -1, -1)
        return views

    def _groups(self, batch):
        """Tasks that go through the trunk together, so that its norms see all."""
        if len(self.recipe.tasks) == 1 or not self._is_shared:
            return [[name] for name in batch]
        groups = {}
        for name, part in batch.items():
            shape = part['views'].shape
            groups.setdefault((shape[1], shape[-1]), []).append(name)
        return list(groups.values())

    @property
    def _is_shared(self):
        return all(hasattr(net, 'trunk') for net in self.networks.values())

    def _parameter_groups(self):
        """Groups by decay, and by whether they are of an output layer."""
        settings = self.recipe.optimiser
        head_lr = settings.lr if settings.head_lr is None else settings.head_lr
        groups = {}
        # Losses may have weights of their own. The first part is the task's name.
        named = itertools.chain(
            self.networks.named_parameters(), self.losses.named_parameters()
        )
        for name, parameter in named:
            if not parameter.requires_grad:
                continue
            is_head = bool({'output', 'head'} & set(name.split('.')[1:]))
            decays = parameter.ndim >= 2 and not name.endswith('bias')
            groups.setdefault((is_head, decays), []).append(parameter)
        for (is_head, decays), parameters in sorted(groups.items()):
            yield {
                'params': parameters,
                'lr': head_lr if is_head else settings.lr,
                'weight_decay': settings.weight_decay if decays else 0.0,
            }

    def _constrained_layers(self):
        """Layers with a limit on the norm of their units."""
        for name, limit in self.recipe.norm_constraint.items():
            if name == 'every':
                continue
            for network in self.networks.values():
                try:
                    yield network.get_submodule(name), limit
                except AttributeError as error:
                    msg = f"'norm_constraint' names {name!r}: {error}"
                    raise RecipeError(msg) from error

    def _check_heads(self):
        """Refuse a loss that would train other answers than the head gives."""
        for name, loss in self.losses.items():
            schema = load_schema(self.recipe.tasks[name].schema)
            problem = _mismatch(schema, self.network_of(name), loss)
            if problem is not None:
                msg = f'the task {name!r}: {problem}'
                raise RecipeError(msg)

    def _freeze(self):
        self._frozen = []
        for pattern in self.recipe.freeze:
            found = False
            for network in self.networks.values():
                for name, parameter in network.named_parameters():
                    if fnmatch.fnmatchcase(name, pattern.removeprefix('!')):
                        parameter.requires_grad_(pattern.startswith('!'))
                        found = True
            if not found:
                msg = f"'freeze' names {pattern!r}, and the network has no such weights"
                raise RecipeError(msg)
        for module in self.networks.modules():
            own = list(module.parameters())
            if own and not any(parameter.requires_grad for parameter in own):
                self._frozen.append(module)


def _mismatch(schema, network, loss):
    """Tell what of network, schema and loss does not go together, if anything."""
    head, has_raw = getattr(network, 'head', None), _has_raw(network)
    kind = type(head).__name__
    if hasattr(schema, 'attributes'):
        # The share of the only answer is always 1.
        if isinstance(head, TreeHead) and not isinstance(
            head, SigmoidHead | ClippedHead
        ):
            return (
                f"{schema.name!r} has attributes, for which the 'head' must be "
                f"'regression' or 'interval', not a {kind}"
            )
    elif isinstance(head, RegressionHead):
        return f"{schema.name!r} has questions, which a 'head' of values cannot answer"
    if isinstance(loss, DirichletLoss):
        if has_raw and hasattr(head, 'concentrations'):
            return None
        found = f'not a {kind}' if has_raw else 'and the network has no raw outputs'
        return f"the 'loss' 'dirichlet' needs the 'head' 'dirichlet', {found}"
    takes_raw = getattr(loss, 'source', None) == 'raw'
    if takes_raw and not has_raw:
        return (
            "the 'loss' takes a softmax of raw outputs, which the network "
            f'{type(network).__name__} does not give; give it the option '
            'source: answers'
        )
    if takes_raw and not isinstance(head, SoftmaxTreeHead):
        return (
            "the 'loss' takes a softmax of the raw outputs, which the 'head', a "
            f'{kind}, does not; give it the option source: answers, or take the '
            "'head' 'softmax'"
        )
    return None


def _has_features(network):
    return hasattr(network, 'features') and hasattr(network, 'trunk')


def _has_raw(network):
    return hasattr(network, 'raw') and hasattr(network, 'head')


def _apply_head(head, raw, *, constrained=True):
    raw = raw.float()
    n_answers = getattr(head, 'n_answers', raw.shape[1])
    if not constrained and raw.shape[1] == n_answers:
        return {'raw': raw, 'answers': raw.clamp(0, 1)}
    output = {'raw': raw, 'answers': head(raw)}
    for name in ('spread', 'concentrations'):
        if hasattr(head, name):
            output[name] = getattr(head, name)(raw)
    return output
