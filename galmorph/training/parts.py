# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The parts of a training recipe: tasks, data, optimiser, schedule."""

import dataclasses
import math

from astropy import units as u

from galmorph.exceptions import RecipeError
from galmorph.training._records import Record, need_one_of, need_positive, refuse

__all__ = [
    'Choice',
    'DataSource',
    'Optimiser',
    'Schedule',
    'Task',
    'Teacher',
    'TestTime',
]

_OPTIMISERS = ('adam', 'adamw', 'sgd')
_SCHEDULES = ('constant', 'cosine', 'steps')
SELECTIONS = ('values', 'bounds', 'known', 'complete', 'all')
_SAMPLINGS = ('uniform', 'balanced', 'weighted')
# What of a data source excludes what else.
_EXCLUSIVE = (('image', 'mosaic'), ('split', 'separation'))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice(Record):
    """
    Something that has a name and options: a network, a loss, a head.

    Parameters
    ----------
    name : str
        The name.
    options : dict
        What it takes. In YAML the name alone stands for both.

    Examples
    --------
    >>> from galmorph.training.parts import Choice
    >>> Choice.from_dict('mse')
    Choice(name='mse', options={})
    """

    _text_field = 'name'

    name: str
    options: dict = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource(Record):
    """
    Where the images and labels of a task are.

    Parameters
    ----------
    layout : str
        A data set of `galmorph.training.data.layouts.list_layouts`: 'gz2' for the
        folder of the Galaxy Challenge, or for one with ``gz2/``; 'candels';
        or 'table' for tables of one's own.
    folder : str or None
        The folder, absolute or within that of ``--data``.
    table, labels : str or None
        For 'table': files that `astropy.table.Table.read` reads. Without
        ``labels`` the labels are columns of ``table``.
    image, id, split : str or None
        For 'table': columns with the path of the image or its pixels, with the
        identifier that joins the two tables and that splits are drawn from, and
        with 'train', 'valid' or 'test'.
    mosaic : str, list, dict or None
        For 'table', instead of images: files, patterns or folders of a mosaic as
        `~galmorph.images.TiledMosaic` takes them, ``'tiles/*.fits'``, from which
        galaxies are cut at the columns ``ra`` and ``dec``, or a column of
        coordinates. What the network sees of each is read, no more.
    size : str or None
        For 'table': the column of the radii by which pixels are scaled, without
        a unit in arcseconds, or one for all, '3 arcsec'. Where it is unknown it
        is measured.
    separation : str or None
        For 'table': galaxies closer on the sky than this, '5 arcsec', are in
        the same split, by `~galmorph.training.data.splits.split_by_position`.
    kind : str or None
        What the labels are, as in `galmorph.training.data.labels.read_labels`;
        by default what the layout has, and of a table classes where a column
        is called as a schema of one question.
    columns : dict
        For 'table': the columns of the labels, by the columns of the schema.
    select : {'values', 'bounds', 'known', 'complete', 'all'}
        Galaxies of which a label is known, only a bound, either, all labels,
        or nothing need be.
    fractions : tuple of float or None
        The parts of 'train', 'valid' and, if there are three, 'test', where
        the data has no splits; by default 0.8, 0.1 and 0.1, for 'candels' 0.8
        and 0.2, for the Galaxy Challenge the split of Dieleman et al.
    split_seed : int
        Another number draws other parts. The seed of the recipe does not, so
        that the members of an ensemble are validated on the same galaxies.
    limit : int or None
        Take the first so many galaxies only.

    Examples
    --------
    >>> from galmorph.training.parts import DataSource
    >>> DataSource.from_dict('efigi').layout
    'efigi'
    """

    _text_field = 'layout'

    layout: str = 'table'
    folder: str | None = None
    table: str | None = None
    labels: str | None = None
    image: str | None = None
    id: str | None = None
    split: str | None = None
    mosaic: dict | list | str | None = None
    size: str | None = None
    separation: str | None = None
    kind: str | None = None
    columns: dict = dataclasses.field(default_factory=dict)
    select: str = 'values'
    fractions: tuple[float, ...] | None = None
    split_seed: int = 0
    limit: int | None = None

    def check(self, where):
        """Check the values."""
        need_one_of(self.select, SELECTIONS, f"'select' of {where}")
        parts = self.fractions or (1, 0)
        is_whole = math.isclose(sum(parts), 1, abs_tol=1e-6) and min(parts) >= 0
        if len(parts) not in (2, 3) or not is_whole:
            refuse('fractions', parts, where, 'are two or three parts of 1')
        need_positive(self, ('limit',), where)
        for name in ('mosaic', 'size', 'separation'):
            if self.layout != 'table' and getattr(self, name) is not None:
                rule = f"goes with the layout 'table', and that is {self.layout!r}"
                refuse(name, getattr(self, name), where, rule)
        for name, other in _EXCLUSIVE:
            if getattr(self, name) is not None and getattr(self, other) is not None:
                msg = f'{where} has both {name!r} and {other!r}; give one of them'
                raise RecipeError(msg)
        if self.separation is not None:
            _check_angle(self.separation, where)


def _check_angle(text, where):
    try:
        angle = u.Quantity(text)
        is_angle = angle.unit.is_equivalent(u.deg) and angle > 0
    except (TypeError, ValueError):
        is_angle = False
    if not is_angle:
        refuse('separation', text, where, "must be an angle such as '5 arcsec'")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Teacher(Record):
    """
    Who labels images that have no labels.

    Parameters
    ----------
    weights : str or None
        Weights or the path of a card, of the schema of the task.
    table : str or None
        Soft labels: a table with ``id`` and the columns of the schema, as
        `~galmorph.MorphologyClassifier.predict_table` gives them. It is looked
        for within the folder of ``--data``, then in the current one. Images
        that it does not have are left out.
    n_transforms : int
        Over how many rotations and mirror images the weights average.

    Examples
    --------
    >>> from galmorph.training.parts import Teacher
    >>> Teacher.from_dict('dieleman.gz2')
    Teacher(weights='dieleman.gz2', table=None, n_transforms=8)
    """

    _text_field = 'weights'

    weights: str | None = None
    table: str | None = None
    n_transforms: int = 8

    def check(self, where):
        """Check that there is one teacher."""
        if (self.weights is None) == (self.table is None):
            msg = f"{where} needs either 'weights' or 'table'"
            raise RecipeError(msg)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Task(Record):
    """
    One set of questions, and the galaxies that teach them.

    Several tasks share the trunk of one network.

    Parameters
    ----------
    schema : str
        The questions, as in `~galmorph.schemas.load_schema`.
    data : `DataSource`
        Images and labels.
    loss : `Choice`
        As in `~galmorph.training.losses.create_loss`. One of views without labels
        takes all galaxies of the data, whatever it selects.
    head : `Choice` or None
        As in `~galmorph.networks.heads.list_heads`; by default that of the
        network.
    head_of : str or None
        The task whose head this one trains too, instead of one of its own:
        other labels for the same questions.
    images_of : str or None
        The task on whose images this one learns too, instead of on draws of its
        own: what is known of a galaxy by several labels is then learnt from
        one view of it, which is rendered and passed through the trunk once.
        Both must have the same pixels and augmentation.
    share : float
        The part of a batch, relative to that of other tasks; of no use to a
        task on the images of another. Galaxies that are shown twice have two
        places.
    weight : float
        Factor of the loss.
    sampling : {'uniform', 'balanced', 'weighted'}
        How galaxies are drawn.
    pixels : dict
        What differs from the pixels of the recipe.
    augmentation : str, dict or None
        By default that of the recipe.
    teacher : `Teacher` or None
        Who gives the labels, instead of the data.
    optional : bool
        Leave the task out where there are no galaxies for it.
    supported_questions : list or None
        The questions that a card declares supported; by default those of which
        a training galaxy has a label.

    Examples
    --------
    >>> from galmorph.training.parts import Task
    >>> task = Task.from_dict({'schema': 'gz2', 'data': 'gz2', 'loss': 'mse'})
    >>> task.data.layout, task.loss.name, task.share
    ('gz2', 'mse', 1.0)
    """

    schema: str
    data: DataSource
    loss: Choice
    head: Choice | None = None
    head_of: str | None = None
    images_of: str | None = None
    share: float = 1.0
    weight: float = 1.0
    sampling: str = 'uniform'
    pixels: dict = dataclasses.field(default_factory=dict)
    augmentation: str | dict | None = None
    teacher: Teacher | None = None
    optional: bool = False
    supported_questions: list | None = None

    @property
    def needs_labels(self):
        """Whether its loss compares with labels, and not views with each other."""
        # Recipes are read without torch.
        from galmorph.training.losses import count_views

        return count_views(self.loss.name) == 1

    def check(self, where):
        """Check the values."""
        need_one_of(self.sampling, _SAMPLINGS, f"'sampling' of {where}")
        need_positive(self, ('share',), where)
        if self.weight < 0:
            refuse('weight', self.weight, where, 'must not be negative')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimiser(Record):
    """
    How weights follow the gradient.

    Parameters
    ----------
    name : {'adam', 'adamw', 'sgd'}
        The method.
    lr : float
        The learning rate.
    head_lr : float or None
        That of the output layers, where it differs.
    momentum : float
        Of 'sgd'.
    nesterov : bool
        Of 'sgd'.
    betas : tuple of float
        Of 'adam' and 'adamw'.
    weight_decay : float
        Of weights with two or more axes; biases and norms do not decay.
    clip : float or None
        The largest norm of a gradient.

    Examples
    --------
    >>> from galmorph.training.parts import Optimiser
    >>> Optimiser.from_dict({'name': 'sgd', 'lr': 0.1}).nesterov
    True
    """

    name: str = 'adamw'
    lr: float = 1e-3
    head_lr: float | None = None
    momentum: float = 0.9
    nesterov: bool = True
    betas: tuple[float, ...] = (0.9, 0.999)
    weight_decay: float = 0.0
    clip: float | None = None

    def check(self, where):
        """Check the values."""
        need_one_of(self.name, _OPTIMISERS, f"'name' of {where}")
        need_positive(self, ('lr', 'head_lr', 'clip'), where)
        if self.weight_decay < 0:
            refuse('weight_decay', self.weight_decay, where, 'must not be negative')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Schedule(Record):
    """
    How the learning rate changes.

    Parameters
    ----------
    name : {'constant', 'cosine', 'steps'}
        The course after the warm-up.
    warmup : int
        Updates over which the rate rises from 0.
    at : tuple of float
        Of 'steps': when the rate falls, in parts of the whole training.
    factor : float
        Of 'steps': the factor by which it falls.
    floor : float
        Of 'cosine': where it ends, as a part of the rate.

    Examples
    --------
    >>> from galmorph.training.parts import Schedule
    >>> schedule = Schedule(name='steps', at=(0.5,))
    >>> schedule.factor_at(49, 100), schedule.factor_at(50, 100)
    (1.0, 0.1)
    """

    _text_field = 'name'

    name: str = 'cosine'
    warmup: int = 0
    at: tuple[float, ...] = ()
    factor: float = 0.1
    floor: float = 0.0

    def check(self, where):
        """Check the values."""
        need_one_of(self.name, _SCHEDULES, f"'name' of {where}")
        if not all(0 < part < 1 for part in self.at):
            refuse('at', self.at, where, 'holds parts of the training, within 0 and 1')

    def factor_at(self, step, n_steps):
        """
        Return the factor of the learning rate.

        Parameters
        ----------
        step : int
            The update, from 0.
        n_steps : int
            Updates of the whole training.

        Returns
        -------
        factor : float
            The factor.
        """
        rise = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        part = min(step / n_steps, 1.0)
        if self.name == 'steps':
            return rise * self.factor ** sum(part >= at for at in self.at)
        if self.name == 'cosine':
            return rise * (
                self.floor + (1 - self.floor) * (1 + math.cos(math.pi * part)) / 2
            )
        return rise


@dataclasses.dataclass(frozen=True, kw_only=True)
class TestTime(Record):
    """
    Over what the answers of a trained network are averaged.

    Parameters
    ----------
    n_transforms : int
        Rotations and mirror images, as `~galmorph.MorphologyClassifier`
        takes them.
    zooms : tuple of float
        Sizes at which each galaxy is shown; their number divides
        ``n_transforms``.

    Examples
    --------
    >>> from galmorph.training.parts import TestTime
    >>> TestTime().n_transforms
    1
    """

    # No test, says this to pytest.
    __test__ = False

    n_transforms: int = 1
    zooms: tuple[float, ...] = (1.0,)

    def check(self, where):
        """Check the values, and that the zooms share the transforms."""
        need_positive(self, ('n_transforms',), where)
        n_zooms = len(self.zooms)
        if not n_zooms or not all(0 < zoom < math.inf for zoom in self.zooms):
            refuse('zooms', list(self.zooms), where, 'holds positive numbers')
        if self.n_transforms % n_zooms:
            msg = (
                f"'n_transforms' of {where} is {self.n_transforms}, which cannot be "
                f"shared among the {n_zooms} 'zooms' {list(self.zooms)}; give a "
                f'multiple of {n_zooms}, or other zooms'
            )
            raise RecipeError(msg)
