# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Several networks that answer as one."""

import dataclasses

import numpy as np

__all__ = ['EnsembleEngine']


@dataclasses.dataclass(frozen=True)
class _Prepared:
    """An image, prepared for each member."""

    parts: tuple

    @property
    def flags(self):
        """What is amiss for any member."""
        flags = self.parts[0].flags
        for part in self.parts[1:]:
            flags |= part.flags
        return flags

    @property
    def filled(self):
        """The part of the pixels that had to be filled, at most."""
        return max(part.filled for part in self.parts)


class EnsembleEngine:
    """
    Several networks that answer as one: each sees the image as it wants it.

    Parameters
    ----------
    members : sequence of `~galmorph.inference.engine.Engine`
        Engines of networks with the same answers.

    Examples
    --------
    >>> import numpy as np
    >>> from galmorph import GalaxyImage, Recipe, create_network, load_schema
    >>> from galmorph.inference.engine import Engine
    >>> from galmorph.inference.ensemble import EnsembleEngine
    >>> structure = load_schema('gz2').structure
    >>> members = [Engine(create_network('compact', structure=structure),
    ...                   Recipe(views=(0.0,), output_size=size), device='cpu')
    ...            for size in (48, 64)]
    >>> ensemble = EnsembleEngine(members)
    >>> pixels = np.random.default_rng(1).random((3, 100, 100))
    >>> image = ensemble.prepare(GalaxyImage(pixels, is_picture=True), np.eye(3)[None])
    >>> ensemble.run([image]).shape
    (1, 2, 37)
    """

    def __init__(self, members):
        self.members = tuple(members)

    @property
    def network(self):
        """An ensemble has none."""
        msg = 'an ensemble has no one network; look at those of its members, by name'
        raise AttributeError(msg)

    @property
    def device(self):
        """The device of the networks."""
        return self.members[0].device

    @property
    def batch_size(self):
        """Pictures that go through a network at a time."""
        return min(member.batch_size for member in self.members)

    @property
    def has_spread(self):
        """Whether each network knows how sure it is of its answers."""
        return all(member.has_spread for member in self.members)

    def prepare(self, image, transforms):
        """
        Prepare an image for each member.

        Parameters
        ----------
        image : `~galmorph.images.GalaxyImage`
            The image.
        transforms : `~numpy.ndarray`, shape (n_transform, 3, 3)
            Affines of the frame.

        Returns
        -------
        prepared : object
            What `run` takes, with ``flags`` and ``filled``.
        """
        return _Prepared(
            tuple(member.prepare(image, transforms) for member in self.members)
        )

    def run(self, images):
        """
        Classify prepared images.

        Parameters
        ----------
        images : sequence
            As `prepare` made them.

        Returns
        -------
        answers : `~numpy.ndarray`, shape (n, n_member * n_transform, n_answers)
            Those of the first member first.
        """
        return self.run_with_spread(images)[0]

    def run_with_spread(self, images):
        """
        Classify prepared images, and tell how sure the networks are.

        Parameters
        ----------
        images : sequence
            As `prepare` made them.

        Returns
        -------
        answers, spread : `~numpy.ndarray`
            As `run`, and standard deviations of that shape or `None`.
        lost : `~numpy.ndarray` of bool, shape (n,)
            The images for which memory ran out for any of them.
        """
        found = [
            member.run_with_spread([image.parts[number] for image in images])
            for number, member in enumerate(self.members)
        ]
        answers, spreads, lost = zip(*found, strict=True)
        spread = np.concatenate(spreads, axis=1) if self.has_spread else None
        return np.concatenate(answers, axis=1), spread, np.any(lost, axis=0)
