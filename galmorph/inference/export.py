# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Networks with their weights as files for other programs: ONNX, torch.export."""

import contextlib
import importlib.util
import io
import json
import logging
import warnings

import torch
from torch import nn

from galmorph.files import write_atomically
from galmorph.inference.engine import load_network
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.weights import load_card

__all__ = ['export_onnx', 'export_program']

__doctest_requires__ = {'export_onnx': ['onnx', 'onnxruntime', 'onnxscript']}

# The entry of the metadata, and the file in a program, that hold the card.
_METADATA_KEY = 'galmorph'
_METADATA_FILE = 'galmorph.json'
_LARGEST_BATCH = 1 << 16


def export_onnx(weights, path):
    """
    Write a network with its weights as an ONNX file.

    The model takes ``views``, shape (n, n_view, n_channel, size, size) in
    float32 with any n: images prepared as the recipe of the weights says,
    after its mean and standard deviation. It gives ``answers``, shape
    (n, n_answers), and, where the head knows one, their ``spread``. The entry
    'galmorph' of its metadata is JSON with the recipe, the columns of the
    answers and the name, version and licence of the weights.

    Parameters
    ----------
    weights : str or path-like or `~galmorph.weights.WeightsCard`
        As `~galmorph.load_card` takes them.
    path : path-like
        The file; one that is there is replaced.

    Returns
    -------
    difference : float
        The largest difference between the answers of the file, computed by
        onnxruntime, and those of the network, on random images.

    Raises
    ------
    ImportError
        If onnx, onnxscript or onnxruntime is not installed.
    `~galmorph.exceptions.WeightsError`
        If the weights are unknown or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.inference.export import export_onnx
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_onnx('dieleman.gz2', f'{folder}/dieleman.onnx') < 1e-4
    True
    """
    missing = [
        name
        for name in ('onnx', 'onnxscript', 'onnxruntime')
        if importlib.util.find_spec(name) is None
    ]
    if missing:
        msg = (
            f'writing ONNX needs {" and ".join(missing)}; install with '
            "pip install 'astro-galmorph[export]'"
        )
        raise ImportError(msg)
    network, program, metadata = _trace(weights)
    with _silence():
        model = torch.onnx.export(
            program,
            input_names=['views'],
            output_names=network.output_names,
            dynamo=True,
            verbose=False,
            # It leaves out terms like 1e-12, which keep 0 / 0 at 0.
            optimize=False,
        )
    model.model.metadata_props[_METADATA_KEY] = json.dumps(metadata)
    content = model.model_proto.SerializeToString()
    difference = _difference(network, _onnx_runner(content), metadata['shape'])
    write_atomically(path, content)
    return difference


def export_program(weights, path):
    """
    Write a network with its weights as a program of `torch.export`.

    ``torch.export.load(path).module()`` runs without galmorph. What it takes
    and gives is as in `export_onnx`, several tensors as a tuple. The metadata
    are the extra file 'galmorph.json'.

    Parameters
    ----------
    weights : str or path-like or `~galmorph.weights.WeightsCard`
        As `~galmorph.load_card` takes them.
    path : path-like
        The file, usually '.pt2'; one that is there is replaced.

    Returns
    -------
    difference : float
        The largest difference between the answers of the file and those of
        the network, on random images.

    Raises
    ------
    `~galmorph.exceptions.WeightsError`
        If the weights are unknown or damaged.

    Examples
    --------
    >>> import tempfile
    >>> from galmorph.inference.export import export_program
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     export_program('dieleman.gz2', f'{folder}/dieleman.pt2') < 1e-4
    True
    """
    network, program, metadata = _trace(weights)
    file = io.BytesIO()
    with _silence():
        extra = {_METADATA_FILE: json.dumps(metadata)}
        torch.export.save(program, file, extra_files=extra)
        file.seek(0)
        run = torch.export.load(file).module()
        difference = _difference(network, run, metadata['shape'])
    write_atomically(path, file.getvalue())
    return difference


class _Exported(nn.Module):
    """The network, and the spread of its head where that has one."""

    def __init__(self, network):
        super().__init__()
        self.network = network
        parts = (getattr(network, name, None) for name in ('raw', 'head'))
        self.has_spread = all(parts) and hasattr(network.head, 'spread')

    @property
    def output_names(self):
        return ['answers', 'spread'] if self.has_spread else ['answers']

    def forward(self, views):
        if not self.has_spread:
            return self.network(views)
        raw = self.network.raw(views)
        return self.network.head(raw), self.network.head.spread(raw)


def _trace(weights):
    """The network of weights, as it is and as a program, and its metadata."""
    from galmorph import __version__

    card = load_card(weights)
    schema = load_schema(card.schema)
    recipe = Recipe.from_dict(card.recipe)
    network = _Exported(load_network(card, schema)).eval()
    size = recipe.output_size
    shape = [len(recipe.views), len(recipe.bands), size, size]
    metadata = {
        'name': card.name,
        'version': card.version,
        'licence': card.licence,
        'sha256': card.sha256,
        'galmorph': __version__,
        'network': card.network,
        'schema': card.schema,
        'columns': list(schema.columns),
        'supported_questions': card.supported_questions,
        'recipe': recipe.to_dict(),
        'shape': shape,
    }
    number = torch.export.Dim('n', min=1, max=_LARGEST_BATCH)
    with _silence(), torch.no_grad():
        program = torch.export.export(
            # Two of them: of one torch would make a constant.
            network,
            (_draw(2, shape),),
            dynamic_shapes=({0: number},),
        )
    return network, program, metadata


def _draw(number, shape):
    generator = torch.Generator().manual_seed(number)
    return torch.rand(number, *shape, generator=generator)


def _difference(network, run, shape):
    """The largest difference of all outputs, for one galaxy and for several."""
    largest = 0.0
    with torch.inference_mode():
        for number in (1, 3):
            views = _draw(number, shape)
            pairs = zip(_as_tuple(run(views)), _as_tuple(network(views)), strict=True)
            for found, expected in pairs:
                difference = (found - expected).abs().nan_to_num(nan=torch.inf)
                largest = max(largest, difference.max().item())
    return largest


def _as_tuple(outputs):
    return (outputs,) if isinstance(outputs, torch.Tensor) else tuple(outputs)


def _onnx_runner(content):
    import onnxruntime

    session = onnxruntime.InferenceSession(content, providers=['CPUExecutionProvider'])

    def run(views):
        outputs = session.run(None, {'views': views.numpy()})
        return [torch.from_numpy(output) for output in outputs]

    return run


@contextlib.contextmanager
def _silence():
    """Keep to itself what torch says of its own code while it exports."""
    torch_logger = logging.getLogger('torch')
    level = torch_logger.level
    torch_logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            yield
    finally:
        torch_logger.setLevel(level)
