# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The demonstration: galaxies of a Hubble deep field, found and classified."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
from astropy import units as u
from astropy.table import QTable

from galmorph.classifier import MorphologyClassifier
from galmorph.images import GalaxyImage, Mosaic, read_image
from galmorph.plotting import plot_contact_sheet
from galmorph.preprocessing.prepare import measure_image

__all__ = ['Demo', 'find_galaxies', 'load_deep_field', 'run_demo']

# So many sigma above the sky a pixel belongs to a galaxy.
_THRESHOLD = 3.0
_MIN_AREA = 25

# Stars burn out the picture in a round core of so many white pixels.
_WHITE = 245
_CORE_PIXELS = 6
_CORE_ELLIPTICITY = 0.2


@dataclasses.dataclass(frozen=True)
class Demo:
    """
    What the demonstration made.

    Attributes
    ----------
    table : `~astropy.table.QTable`
        The annotated catalogue.
    stamps : `~numpy.ndarray`, shape (n, ny, nx, 3)
        What the network saw.
    files : list of `~pathlib.Path`
        What was written.

    Examples
    --------
    >>> from galmorph.demo import Demo
    >>> Demo(table=None, stamps=None, files=[]).files
    []
    """

    table: QTable
    stamps: np.ndarray
    files: list


def load_deep_field():
    """
    Load the Hubble eXtreme Deep Field picture of scikit-image.

    Returns
    -------
    image : `~galmorph.GalaxyImage`
        The picture, which says that it is from HST. It is installed with
        scikit-image: no network is needed.

    Examples
    --------
    >>> from galmorph.demo import load_deep_field
    >>> load_deep_field()
    <GalaxyImage 872 x 1000 pixels, bands R G B>
    """
    from skimage import data

    picture = read_image(data.hubble_deep_field())
    return GalaxyImage(
        picture.data,
        bands=picture.bands,
        is_picture=True,
        meta={'survey': 'HST', 'source': 'skimage.data.hubble_deep_field()'},
    )


def find_galaxies(image, n_galaxies=80):
    """
    Find the most extended bright galaxies of a picture.

    Sources are detected on the mean of the colours and deblended by
    `photutils.segmentation`; stars, and what touches the border, are left out.

    Parameters
    ----------
    image : `~galmorph.GalaxyImage`
        A picture of a deep field.
    n_galaxies : int, optional
        How many to keep, those that cover the most pixels.

    Returns
    -------
    galaxies : `~astropy.table.QTable`
        ``id`` from 1, ``x``, ``y`` and ``area``, the largest first.

    Examples
    --------
    >>> from galmorph.demo import find_galaxies, load_deep_field
    >>> field = load_deep_field().section(0, 300, 200, 500, position=(150, 350))
    >>> find_galaxies(field, 3).colnames
    ['id', 'x', 'y', 'area']
    """
    from astropy.stats import sigma_clipped_stats
    from photutils.segmentation import SourceCatalog, SourceFinder
    from photutils.utils.exceptions import NoDetectionsWarning
    from scipy.ndimage import gaussian_filter

    light = image.data.mean(0, dtype=float)
    light -= sigma_clipped_stats(light)[1]
    smooth = gaussian_filter(light, 1.5)
    level = _THRESHOLD * sigma_clipped_stats(smooth)[2]
    finder = SourceFinder(_MIN_AREA, contrast=0.02, n_levels=16, progress_bar=False)
    with warnings.catch_warnings():
        warnings.simplefilter('ignore', NoDetectionsWarning)
        segments = finder(smooth, level)
    galaxies = QTable({name: np.empty(0) for name in ('id', 'x', 'y', 'area')})
    if segments is not None:
        segments.remove_border_labels(2)
        _remove_stars(segments, image, SourceCatalog(light, segments))
    if segments is not None and segments.n_labels:
        found = SourceCatalog(light, segments)
        order = np.argsort(-found.area.value, kind='stable')[:n_galaxies]
        galaxies = QTable(
            {
                'id': np.arange(1, len(order) + 1),
                'x': found.x_centroid[order] * u.pix,
                'y': found.y_centroid[order] * u.pix,
                'area': found.area.value[order] * u.pix**2,
            }
        )
    galaxies['id'].info.description = 'Number, the most extended first'
    galaxies['x'].info.description = 'Column of the centre, from 0'
    galaxies['y'].info.description = 'Row of the centre, from 0 at the top'
    galaxies['area'].info.description = 'Pixels above the detection threshold'
    return galaxies


def _remove_stars(segments, image, sources):
    labels = segments.data[(image.data >= _WHITE).all(0)]
    n_white = np.bincount(labels, minlength=segments.max_label + 1)[sources.labels]
    is_round = sources.ellipticity.value < _CORE_ELLIPTICITY
    segments.remove_labels(sources.labels[(n_white >= _CORE_PIXELS) & is_round])


def run_demo(
    folder=None, *, classifier=None, n_galaxies=80, progress_bar=False, report=None
):
    """
    Find, cut out, size and classify the galaxies of a Hubble deep field.

    Parameters
    ----------
    folder : path-like, optional
        Where to write ``galaxies.ecsv``, ``galaxies.fits`` and
        ``contact_sheet.png``, replacing them. By default nothing is written.
    classifier : `~galmorph.MorphologyClassifier`, optional
        The classifier; that of the default weights if not given.
    n_galaxies : int, optional
        How many galaxies, at most.
    progress_bar : bool, optional
        Whether to show progress.
    report : callable, optional
        Told, in a line of text, what is done next.

    Returns
    -------
    demo : `Demo`
        The annotated catalogue, the stamps and the files written.

    Examples
    --------
    >>> from galmorph import MorphologyClassifier
    >>> from galmorph.demo import run_demo
    >>> demo = run_demo(classifier=MorphologyClassifier(device='cpu'), n_galaxies=2)
    >>> len(demo.table), demo.files
    (2, [])
    """
    from galmorph.inference.stamps import render_stamps

    report = report or (lambda _: None)
    classifier = MorphologyClassifier() if classifier is None else classifier
    image = load_deep_field()
    report('Looking for galaxies in the Hubble eXtreme Deep Field ...')
    galaxies = find_galaxies(image, n_galaxies)
    report(f'Sizing the {len(galaxies)} most extended of them ...')
    galaxies, images, flags = measure_galaxies(image, galaxies, classifier.recipe)
    report(f'Classifying them with {classifier.card.name} ...')
    predictions = classifier.classify(images, progress_bar=progress_bar)
    # The sizes came with the images, but not from a catalogue.
    predictions.flags |= flags
    table = predictions.annotate(galaxies)
    stamps = render_stamps(images, classifier.recipe)
    files = [] if folder is None else _write(Path(folder), table, stamps, classifier)
    return Demo(table, stamps, files)


def measure_galaxies(image, galaxies, recipe):
    """Add sizes to a catalogue; give cutouts of the frame and flags, too."""
    mosaic = Mosaic(image)
    x, y = galaxies['x'].value, galaxies['y'].value
    reach = np.maximum(32, 5 * np.sqrt(galaxies['area'].value / np.pi))
    found = [measure_image(cutout) for cutout in mosaic.cutouts_at(x, y, reach)]
    radius = np.array([size.petro_r90 for size in found])
    # Without a size: the radius of a disk of as many pixels.
    fallback = np.sqrt(galaxies['area'].value / np.pi) / 1.8 / recipe.radius90
    framed = np.array([recipe.radius_of(size) for size in found])
    shown = np.where(framed > 0, framed, fallback)
    images = mosaic.cutouts_at(
        x, y, 0.5 * recipe.frame_scale * recipe.frame_size * shown, shown * u.pix
    )
    galaxies = galaxies.copy()
    galaxies['petro_r90'] = radius * u.pix
    galaxies[
        'petro_r90'
    ].info.description = (
        'Petrosian radius with 90 % of the light, corrected for the stretch'
    )
    galaxies['axis_ratio'] = [size.axis_ratio for size in found]
    galaxies['axis_ratio'].info.description = 'Minor over major axis'
    flags = np.array([int(size.flags) for size in found], np.int32)
    return galaxies, images, flags


def _write(folder, table, stamps, classifier):
    from matplotlib.figure import Figure

    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / name for name in ('galaxies.ecsv', 'galaxies.fits')]
    for path in paths:
        table.write(path, overwrite=True)
    width = classifier.recipe.step * classifier.recipe.output_size
    figure = plot_contact_sheet(
        stamps,
        table,
        names=table['id'],
        title='Galaxies of the Hubble eXtreme Deep Field',
        caption=(
            f'Answers of {classifier.card.name}, trained on '
            f'{classifier.card.instrument} images: here it sees a Hubble picture, '
            'which it was not made for. Each stamp is what the network sees, '
            f'{width * classifier.recipe.frame_scale:.1f} Petrosian radii wide.'
        ),
        figure=Figure(),
    )
    paths.append(folder / 'contact_sheet.png')
    figure.savefig(paths[-1], facecolor=figure.get_facecolor(), dpi=150)
    return paths
