# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""Images with labels: what the readers of data sets give, and how they find it."""

import dataclasses
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import Table

from galmorph.exceptions import LabelError
from galmorph.preprocessing.recipe import Recipe
from galmorph.schemas import load_schema
from galmorph.training.data.labels import check_images

__all__ = []


@dataclasses.dataclass(frozen=True, eq=False)
class TrainingTable:
    """
    Images with labels, as the readers of this module give them.

    Parameters
    ----------
    table : `~astropy.table.Table`
        A row a galaxy: ``image``, the path; ``id``; ``split``, 'train',
        'valid', 'test' or 'unlabelled'; and where images have no common
        frame ``size``, the 90 % radius in pixels.
    labels : dict of str to `~galmorph.training.data.labels.Labels`
        The labels by schema.
    recipe : `~galmorph.preprocessing.recipe.Recipe`
        Pixels that suit the images.
    fractions : tuple of float, optional
        The parts in which the split was drawn; `None` where it is that of the
        data set.

    Examples
    --------
    >>> from astropy.table import Table
    >>> from galmorph import Recipe
    >>> from galmorph.training.data.layouts import TrainingTable
    >>> TrainingTable(Table({'image': ['a.jpg'], 'split': ['train']}), {}, Recipe())
    <TrainingTable: 1 galaxies (1 train), no labels>
    """

    table: Table
    labels: dict
    recipe: Recipe
    fractions: tuple[float, ...] | None = None

    def __len__(self):
        return len(self.table)

    def __repr__(self):
        names, counts = np.unique(self.table['split'], return_counts=True)
        splits = ', '.join(f'{n} {s}' for s, n in zip(names, counts, strict=True))
        labels = ', '.join(self.labels) or 'no labels'
        return f'<TrainingTable: {len(self)} galaxies ({splits}), {labels}>'

    def labels_of(self, schema):
        """
        Give the labels of a schema.

        Parameters
        ----------
        schema : str
            As `~galmorph.schemas.load_schema` takes it: a key of ``labels``, or
            one of its questions.

        Returns
        -------
        labels : `~galmorph.training.data.labels.Labels` or None
            What is known; `None` if the data set has no such labels.
        """
        whole, _, question = schema.partition('/')
        labels = self.labels.get(whole)
        if labels is None or not question:
            return labels
        labels = labels.of_answers(load_schema(whole).question(question).slice)
        return dataclasses.replace(labels, structure=load_schema(schema).structure)

    @property
    def sizes(self):
        """The size of each galaxy, a Quantity; None where they are framed."""
        if 'size' not in self.table.colnames:
            return None
        return u.Quantity(self.table['size'], u.pix)


def find_file(folder, name, below=None, other=None):
    """Find the table of a data set in its folder, or in one within it."""
    folder = Path(folder)
    candidates = [folder / name]
    if other is not None:
        candidates.append(folder / other)
    if below is not None:
        candidates.append(folder / below / name)
    for file in candidates:
        if file.is_file():
            return file
    tried = ' nor '.join(str(file.relative_to(folder)) for file in candidates)
    msg = f'{folder} has neither {tried}'
    raise LabelError((), msg if len(candidates) > 1 else f'{folder} has no {tried}')


def read_csv(file):
    """Read a table; blanks are masked."""
    # The fast reader keeps the digits of long identifiers: they are int64.
    return Table.read(file, format='ascii.csv')


def make_rows(table, folder, ids):
    """Make the table of a data set, whose images are there."""
    images = [str(folder / name) for name in table['file']]
    check_images(images)
    split = np.array(table['split']).astype(str)
    return Table({'id': ids, 'image': images, 'split': split})
