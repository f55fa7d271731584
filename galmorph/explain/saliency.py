# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Saliency: which part of a galaxy an answer rests on."""

import dataclasses

import numpy as np
import torch

from galmorph.explain._views import (
    answer_index,
    answers_of,
    frame_positions,
    read,
    stamp_of,
    view_to_stamp,
    views_of,
)
from galmorph.preprocessing.render import resample

__all__ = ['SaliencyMap', 'gradient_saliency', 'occlusion_saliency']


@dataclasses.dataclass(frozen=True)
class SaliencyMap:
    """
    How much each place of a galaxy matters to an answer.

    Attributes
    ----------
    values : `~numpy.ndarray`, shape (n, n)
        The map over the field that the network sees, north up and the top
        row first.
    stamp : `~numpy.ndarray`, shape (n_pixels, n_pixels, 3)
        The galaxy, over the same field.
    answer : str
        The column of the answer.
    probability : float
        The answer of the network.
    method : str
        'gradient' or 'occlusion'.
    width : float
        Side of the field in units of the size of the galaxy.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph.explain import SaliencyMap
    >>> stamp = np.zeros((64, 64, 3))
    >>> SaliencyMap(np.eye(4), stamp, 'edgeon_yes', 0.9, 'occlusion', 4.1).answer
    'edgeon_yes'
    """

    values: np.ndarray
    stamp: np.ndarray
    answer: str
    probability: float
    method: str
    width: float


def gradient_saliency(
    classifier, image, answer, *, size=None, n_samples=16, noise=0.05, n_pixels=128,
    seed=0,
):  # fmt: skip
    """
    Map by how much an answer changes with the light of each place.

    The gradient of the answer with respect to the pixels of all views
    (Simonyan et al. 2013, arXiv:1312.6034), each turned back to north, added,
    and its absolute value summed over colours. To quieten it, gradients are
    averaged over copies with noise (Smilkov et al. 2017, arXiv:1706.03825).

    Parameters
    ----------
    classifier : `~galmorph.MorphologyClassifier`
        The classifier.
    image : image
        As `~galmorph.images.read_image` takes it.
    answer : str
        One of ``classifier.schema.columns``.
    size : `~astropy.units.Quantity`, optional
        The size of the galaxy, as in `~galmorph.MorphologyClassifier.predict`.
    n_samples : int, optional
        Noisy copies. With 1 the gradient is that of the galaxy itself.
    noise : float, optional
        Standard deviation of the noise, where the brightest and darkest pixel
        differ by 1.
    n_pixels : int, optional
        Side of the map and of the stamp.
    seed : int, optional
        Of the noise.

    Returns
    -------
    saliency : `SaliencyMap`
        With values of change of the answer per change of the light in a pixel
        of the network's input.

    Raises
    ------
    ValueError
        If there is no such answer, or ``n_samples`` is not positive.
    `~galmorph.exceptions.ImageError`
        If the image cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.explain import gradient_saliency
    >>> y, x = np.mgrid[:128, :128] - 63.5
    >>> disk = np.exp(-np.hypot(x, 2 * y) / 12)[..., None] * [1, 0.8, 0.6]
    >>> saliency = gradient_saliency(
    ...     MorphologyClassifier(device='cpu'), disk, 'edgeon_yes', n_samples=2)
    >>> bool(saliency.values[64, 64] > saliency.values[4, 4])
    True
    """
    if n_samples < 1:
        msg = f'n_samples must be at least 1, not {n_samples!r}'
        raise ValueError(msg)
    engine, index = classifier.engine, answer_index(classifier.schema, answer)
    image = read(image, size)
    views = views_of(engine, image)
    with torch.no_grad():
        probability = float(answers_of(engine, views)[0, index])
    gradient = torch.zeros_like(views)
    generator = torch.Generator().manual_seed(seed)
    scale = noise * float(views.max() - views.min()) if n_samples > 1 else 0.0
    for _ in range(n_samples):
        copy = views.clone()
        if scale:
            copy += scale * torch.randn(views.shape, generator=generator).to(copy)
        copy.requires_grad_()
        value = answers_of(engine, copy)[0, index]
        gradient += torch.autograd.grad(value, copy)[0] / n_samples
    values = _turn_back(gradient[0], engine.recipe, n_pixels).abs().sum(0)
    return _saliency(
        values.cpu().numpy(), engine.recipe, image, n_pixels,
        answer=answer, probability=probability, method='gradient',
    )  # fmt: skip


def occlusion_saliency(
    classifier, image, answer, *, size=None, radius=0.25, n_steps=16, n_pixels=128
):
    """
    Map by how much an answer falls when a place is covered with sky.

    A disk with the median colour of the edge of the field goes over the
    galaxy (Zeiler & Fergus 2014, arXiv:1311.2901), in all views at the same
    place of the sky. Where the answer falls, the light there speaks for it;
    where it rises, against it.

    Parameters
    ----------
    classifier, image, answer, size : optional
        As in `gradient_saliency`.
    radius : float, optional
        Of the disk, in units of the size of the galaxy, its 90 % Petrosian
        radius.
    n_steps : int, optional
        Places of the disk along each side of the field.
    n_pixels : int, optional
        Side of the stamp.

    Returns
    -------
    saliency : `SaliencyMap`
        With the fall of the answer, shape (n_steps, n_steps).

    Raises
    ------
    ValueError
        If there is no such answer, or ``radius`` or ``n_steps`` is not
        positive.
    `~galmorph.exceptions.ImageError`
        If the image cannot be used.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.explain import occlusion_saliency
    >>> y, x = np.mgrid[:128, :128] - 63.5
    >>> disk = np.exp(-np.hypot(x, 2 * y) / 12)[..., None] * [1, 0.8, 0.6]
    >>> saliency = occlusion_saliency(
    ...     MorphologyClassifier(device='cpu'), disk, 'edgeon_yes', n_steps=5)
    >>> saliency.values.shape, bool(abs(saliency.values[0, 0]) < 0.02)
    ((5, 5), True)
    """
    for name, value in (('radius', radius), ('n_steps', n_steps)):
        if not value > 0:
            msg = f'{name} must be positive, not {value!r}'
            raise ValueError(msg)
    engine, index = classifier.engine, answer_index(classifier.schema, answer)
    recipe, image = engine.recipe, read(image, size)
    views = views_of(engine, image)
    edge = torch.ones(views.shape[-2:], dtype=torch.bool)
    edge[1:-1, 1:-1] = False
    sky = views[0, 0][:, edge].median(1).values[:, None, None]
    x, y = (torch.from_numpy(axis).to(views) for axis in frame_positions(recipe))
    field = recipe.step * recipe.output_size
    steps = ((torch.arange(n_steps) + 0.5) / n_steps - 0.5) * field
    reach = radius / recipe.frame_scale
    falls = []
    with torch.inference_mode():
        whole = answers_of(engine, views)[0, index]
        for places in torch.cartesian_prod(steps, steps).split(engine.batch_size):
            down, right = places.to(views)[:, :, None, None, None].unbind(1)
            distance = torch.hypot(x - right, y - down)
            # The rim of the disk falls off over a pixel of the view.
            disk = ((reach - distance) / recipe.step + 0.5).clamp(0, 1)[:, :, None]
            covered = views * (1 - disk) + sky * disk
            falls.append(whole - answers_of(engine, covered)[:, index])
    values = torch.cat(falls).reshape(n_steps, n_steps).cpu().numpy()
    return _saliency(
        values, recipe, image, n_pixels,
        answer=answer, probability=float(whole), method='occlusion',
    )  # fmt: skip


def _turn_back(gradient, recipe, n_pixels):
    """Views, shape (n_view, n_channel, side, side), added on the grid of a stamp."""
    to_views = [
        np.linalg.inv(view_to_stamp(recipe, view, n_pixels))
        for view in range(len(gradient))
    ]
    affines = torch.from_numpy(np.stack(to_views))[:, None]
    return resample(gradient, affines, n_pixels)[:, 0].sum(0)


def _saliency(values, recipe, image, n_pixels, **facts):
    width = recipe.step * recipe.output_size * recipe.frame_scale
    return SaliencyMap(values, stamp_of(image, recipe, n_pixels), width=width, **facts)
