# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Looking over the shoulder of a network while it runs."""

import torch
from torch import nn

from galmorph.explain._views import answers_of

__all__ = ['Watch', 'check_layers', 'run_empty']


class Watch:
    """
    Record what the layers of a network give while it runs on one galaxy.

    Layers are those with an output of two or four axes; dropout, which does
    nothing then, is left out. One that runs several times has an entry for
    each: 'maxout', 'maxout#2'.

    Parameters
    ----------
    network : `torch.nn.Module`
        The network.
    layers : sequence of str, optional
        Whose outputs to keep; none by default.

    Attributes
    ----------
    kinds, shapes : dict
        Class, and shape of the output, of every layer that ran, in order.
    outputs : dict of str to `torch.Tensor`
        Those asked for.
    first_input, first_weight : `torch.Tensor`
        What went into the first convolution, and its filters.
    """

    def __init__(self, network, layers=()):
        self.kinds, self.shapes, self.outputs = {}, {}, {}
        self.first_input = self.first_weight = None
        self._network, self._layers = network, set(layers)
        self._runs, self._hooks = {}, []

    def __enter__(self):
        for name, module in self._network.named_modules():
            if name and not _does_nothing(module):
                hook = module.register_forward_hook(self._recorder(name))
                self._hooks.append(hook)
        return self

    def __exit__(self, *_):
        for hook in self._hooks:
            hook.remove()

    def _recorder(self, name):
        def record(module, inputs, output):
            weight = getattr(module, 'weight', None)
            if self.first_weight is None and getattr(weight, 'ndim', 0) == 4:
                self.first_weight = weight.detach()
                self.first_input = inputs[0].detach().clone()
            if not torch.is_tensor(output) or output.ndim not in (2, 4):
                return
            run = self._runs[name] = self._runs.get(name, 0) + 1
            key = name if run == 1 else f'{name}#{run}'
            self.kinds[key] = type(module).__name__
            self.shapes[key] = output.shape
            if key in self._layers:
                # The next layer may work in place.
                self.outputs[key] = output.clone()

        return record


def check_layers(layers, known):
    """Raise an error that names the layers of a network, if it lacks one."""
    unknown = [layer for layer in layers if layer not in known]
    if unknown:
        msg = f'the network has no layer {unknown[0]!r}; it has {", ".join(known)}'
        raise ValueError(msg)


def run_empty(engine):
    """Watch the network of an engine at work on a black galaxy."""
    recipe = engine.recipe
    side = recipe.output_size
    shape = (1, len(recipe.views), len(recipe.bands), side, side)
    with torch.no_grad(), Watch(engine.network) as watch:
        answers_of(engine, torch.zeros(shape, device=engine.device))
    return watch


def _does_nothing(module):
    is_empty = isinstance(module, nn.Sequential) and not len(module)
    return is_empty or isinstance(
        module, nn.Identity | nn.Dropout | nn.Dropout2d | nn.AlphaDropout
    )
