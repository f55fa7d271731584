# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The engine: prepared images in, answers out, a batch at a time."""

import copy
import logging

import numpy as np
import torch

from galmorph.exceptions import WeightsError
from galmorph.inference.devices import choose_device, choose_dtype
from galmorph.networks import create_network
from galmorph.preprocessing.prepare import prepare
from galmorph.preprocessing.render import render, stack_images
from galmorph.weights import load_weights, weights_path

__all__ = ['Engine', 'load_network']

logger = logging.getLogger(__name__)


class Engine:
    """
    A network on a device, fed with prepared images.

    The answers do not depend on the batch that a galaxy is in: images of one
    shape are resampled together, each by its own matrix, and the network has
    no part that looks across a batch. If memory runs out the batch is halved
    and the work goes on. An image that is too large on its own gets no answer,
    and the batch is as long as before.

    Parameters
    ----------
    network : `torch.nn.Module`
        Takes views, shape (n, n_view, n_channel, size, size), and gives path
        probabilities or values of attributes, shape (n, n_answers). Where it
        has ``raw`` and ``head``, the head is computed in float32 whatever the
        precision, and one with ``spread`` gives standard deviations too. It
        is moved and cast in place.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        What the network saw.
    device : str or `torch.device`, optional
        As in `~galmorph.inference.devices.choose_device`.
    precision : str, optional
        'float32', 'bf16' or 'fp16'.
    batch_size : int, optional
        Pictures that go through the network at a time: galaxies, or, where
        each of them is seen through several transforms, those.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe, create_network, load_schema
    >>> from galmorph.inference.engine import Engine
    >>> from galmorph.preprocessing.prepare import prepare
    >>> network = create_network('dieleman', structure=load_schema('gz2').structure)
    >>> engine = Engine(network, Recipe(), device='cpu')
    >>> pixels = np.random.default_rng(1).random((3, 100, 100))
    >>> image = prepare(GalaxyImage(pixels, is_picture=True), engine.recipe)
    >>> engine.run([image, image]).shape
    (2, 1, 37)
    """

    def __init__(
        self, network, recipe, *, device='auto', precision='float32', batch_size=64
    ):
        self.recipe = recipe
        self.device = choose_device(device)
        self.dtype = choose_dtype(precision, self.device)
        self.precision = precision
        self.batch_size = int(batch_size)
        if self.batch_size < 1:
            msg = f'batch_size must be at least 1, not {batch_size!r}'
            raise ValueError(msg)
        self._has_head = hasattr(network, 'raw') and hasattr(network, 'head')
        # The scales of attributes, which two digits would not do, stay as they are.
        head = copy.deepcopy(network.head) if self._has_head else None
        self.network = network.eval().to(
            self.device, self.dtype, memory_format=torch.channels_last
        )
        if self._has_head:
            self.network.head = head.eval().to(self.device)

    @property
    def has_spread(self):
        """Whether the network knows how sure it is of each answer."""
        return self._has_head and hasattr(self.network.head, 'spread')

    def prepare(self, image, transforms=None):
        """
        Prepare an image as the network wants it.

        Parameters
        ----------
        image : `~galmorph.images.GalaxyImage`
            The image.
        transforms : `~numpy.ndarray`, shape (n_transform, 3, 3), optional
            Affines of the frame.

        Returns
        -------
        prepared : `~galmorph.preprocessing.prepare.PreparedImage`
            What `run` takes.
        """
        return prepare(image, self.recipe, transforms)

    def run(self, images):
        """
        Classify prepared images.

        Parameters
        ----------
        images : sequence of `~galmorph.preprocessing.prepare.PreparedImage`
            Images of any shapes, all with the same number of transforms.

        Returns
        -------
        answers : `~numpy.ndarray`, shape (n, n_transform, n_answers)
            Path probabilities or values of attributes, float32. NaN where the
            network gave no finite answer.
        """
        return self.run_with_spread(images)[0]

    def run_with_spread(self, images):
        """
        Classify prepared images, and tell how sure the network is.

        Parameters
        ----------
        images : sequence of `~galmorph.preprocessing.prepare.PreparedImage`
            As in `run`.

        Returns
        -------
        answers : `~numpy.ndarray`, shape (n, n_transform, n_answers)
            As in `run`.
        spread : `~numpy.ndarray` or None
            Standard deviations, of the same shape; `None` where the network
            does not know them.
        lost : `~numpy.ndarray` of bool, shape (n,)
            The images for which memory ran out; their answers are NaN.

        Raises
        ------
        RuntimeError
            If memory does not even do for the network, whatever the image.
        """
        lost = np.zeros(len(images), bool)
        parts, start, whole = [], 0, self.batch_size
        while start < len(images):
            n_transform = images[start].affines.shape[0]
            step = max(1, self.batch_size // n_transform)
            found = self._try_batch(images[start : start + step])
            if found is not None:
                parts.append(found)
                start += step
            elif self.batch_size > 1:
                self.batch_size //= 2
                logger.warning(
                    'memory ran out; the batch size is %d now', self.batch_size
                )
            else:
                parts.append(self._no_answer(n_transform))
                lost[start] = True
                start += 1
                self.batch_size = whole
                logger.warning(
                    'memory ran out for one image, which gets no answer; the batch '
                    'size is %d again',
                    whole,
                )
        if not parts:
            empty = np.empty((0, 1, 0), np.float32)
            return empty, empty if self.has_spread else None, lost
        answers, spreads = zip(*parts, strict=True)
        spread = np.concatenate(spreads) if self.has_spread else None
        return np.concatenate(answers), spread, lost

    def _try_batch(self, images):
        """What the network says, or None where memory runs out."""
        try:
            return self._run_batch(images)
        except (RuntimeError, MemoryError) as error:
            if not _is_out_of_memory(error):
                raise
        # The error, which holds on to the memory, is gone here.
        return None

    def _no_answer(self, n_transform):
        """NaN, once it is clear that a small image would have got an answer."""
        size = self.recipe.output_size
        shape = 1, len(self.recipe.views), len(self.recipe.bands), size, size
        with torch.inference_mode():
            blank = torch.zeros(shape, dtype=self.dtype, device=self.device)
            answers, _ = self._predict(blank)
        answers = np.full((1, n_transform, answers.shape[-1]), np.nan, np.float32)
        return answers, answers if self.has_spread else None

    def _run_batch(self, images):
        with torch.inference_mode():
            views = self.render(images)
            n_transform = views.shape[1]
            # One galaxy may have more transforms than a batch has places.
            parts = views.flatten(0, 1).to(self.dtype).split(self.batch_size)
            parts = [self._predict(part) for part in parts]
            answers, spread = (
                None if values[0] is None else torch.cat(values).float().cpu().numpy()
                for values in zip(*parts, strict=True)
            )
        shape = (len(images), n_transform, -1)
        return answers.reshape(shape), (
            None if spread is None else spread.reshape(shape)
        )

    def _predict(self, views):
        if not self._has_head:
            return self.network(views), None
        raw, head = self.network.raw(views).float(), self.network.head
        return head(raw), head.spread(raw) if self.has_spread else None

    def render(self, images):
        """
        Render prepared images into the input of the network.

        Parameters
        ----------
        images : sequence of `~galmorph.preprocessing.prepare.PreparedImage`
            As in `run`.

        Returns
        -------
        views : `torch.Tensor`
            Shape (n, n_transform, n_view, n_channel, size, size), float32, on
            the device.
        """
        batch = stack_images(images, self.recipe).to(self.device)
        return render(batch, self.recipe)


def load_network(card, schema):
    """
    Build the network of a card, and load its weights.

    Parameters
    ----------
    card : `~galmorph.weights.WeightsCard`
        The card.
    schema : `~galmorph.schemas.DecisionTree` or \
`~galmorph.schemas.AttributeSchema`
        What the network answers.

    Returns
    -------
    network : `torch.nn.Module`
        The network, on the CPU.

    Raises
    ------
    `~galmorph.exceptions.WeightsError`
        If the file is missing or damaged, or the card does not describe the
        network that it is of.

    Examples
    --------
    >>> from galmorph import load_card, load_schema
    >>> from galmorph.inference.engine import load_network
    >>> network = load_network(load_card('dieleman.gz2'), load_schema('gz2'))
    >>> type(network).__name__
    'Dieleman'
    """
    name, options = card.network['name'], card.network.get('options', {})
    state = load_weights(weights_path(card), card.sha256)
    try:
        # The random numbers of the user go on as if this were not.
        with torch.random.fork_rng(devices=[]):
            network = create_network(name, structure=schema.structure, **options)
        # Copied into place, which keeps the memory layout of the network.
        network.load_state_dict(state)
    except (RuntimeError, TypeError, ValueError) as error:
        msg = (
            f'the weights {card.name!r} do not fit the network {name!r} of their '
            f'card: {error}'
        )
        raise WeightsError(msg) from error
    return network


def _is_out_of_memory(error):
    # The allocator of a CPU, and the libraries of a GPU, raise RuntimeError.
    text = str(error).lower()
    return isinstance(error, (torch.cuda.OutOfMemoryError, MemoryError)) or any(
        words in text
        for words in (
            'out of memory',
            "can't allocate memory",
            'not enough memory',
            'alloc_failed',
        )
    )
