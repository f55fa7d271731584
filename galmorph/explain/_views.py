# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""What all explanations share: the views of a galaxy, its answers, its stamp."""

import dataclasses

import numpy as np
import torch

from galmorph.inference import catalog
from galmorph.inference.stamps import render_stamps
from galmorph.preprocessing import geometry
from galmorph.preprocessing.prepare import prepare

__all__ = [
    'answer_index',
    'answers_of',
    'frame_positions',
    'read',
    'stamp_of',
    'view_to_stamp',
    'views_of',
]


def read(image, size=None):
    """Read one image, with the size of its galaxy if that is given."""
    sizes = catalog.sizes_of([image], size)
    return catalog.read_row((image, None if sizes is None else sizes[0]))


def views_of(engine, image):
    """What the network sees of a galaxy, shape (1, n_view, n_channel, side, side)."""
    with torch.no_grad():
        return engine.render([prepare(image, engine.recipe)])[:, 0]


def answers_of(engine, views):
    """All answers, shape (n, n_answers), as the engine computes them."""
    network, views = engine.network, views.to(engine.dtype)
    if hasattr(network, 'raw') and hasattr(network, 'head'):
        return network.head(network.raw(views).float())
    return network(views).float()


def answer_index(schema, answer):
    """The place of an answer among all answers of a schema."""
    if answer not in schema.columns:
        msg = (
            f'answer={answer!r} is none of {schema.name!r}; choose from '
            f'{", ".join(schema.columns)}'
        )
        raise ValueError(msg)
    return schema.columns.index(answer)


def stamp_of(image, recipe, n_pixels):
    """The field of the network with north up, shape (n_pixels, n_pixels, 3)."""
    return render_stamps([image], recipe, n_pixels=n_pixels)[0]


def view_to_stamp(recipe, view, n_pixels):
    """The matrix from the pixels of a view to those of the stamp."""
    step = recipe.step * recipe.output_size / n_pixels
    fine = dataclasses.replace(recipe, output_size=n_pixels, step=step, views=(0.0,))
    return np.linalg.inv(fine.output_to_frame[0]) @ recipe.output_to_frame[view]


def frame_positions(recipe):
    """Where the pixels of the views lie in the frame, x and y, (n_view, side, side)."""
    pixels = np.arange(recipe.output_size)
    x, y = np.meshgrid(pixels, pixels)
    return geometry.apply_affine(recipe.output_to_frame[:, None, None], x, y)
