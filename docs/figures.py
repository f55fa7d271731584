# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The figures of the user guide, each drawn by the code that it explains."""

import functools

import matplotlib.pyplot as plt
import numpy as np
import torch
from astropy import units as u
from astropy.table import Table
from astropy.wcs import WCS
from matplotlib.patches import FancyBboxPatch, Polygon

from galmorph import GalaxyImage, Recipe, load_schema

INK, GREY, ACCENT = '#222222', '#8a8a8a', '#d1495b'
COLUMN_WIDTH, LINE = 3.1, 0.3
REACH = np.array([-62, 62])


def spiral_galaxy(x, y, radius=8.0):
    """
    Fluxes in i, r, g of a made-up spiral, in nanomaggies per SDSS pixel.

    The place of a point is ``x`` arcseconds west and ``y`` south.
    """
    distance = np.hypot(x, 1.35 * y)
    angle = np.arctan2(1.35 * y, x)
    disk = np.exp(-distance / (0.33 * radius))
    phase = 2 * angle - 5 * np.log(distance / radius + 0.15)
    arms = disk * np.exp(2.2 * (np.cos(phase) - 1)) * np.minimum(1, distance / 3)
    bulge = np.exp(-((distance / 1.3) ** 1.2))
    knot = np.exp(-(((x - 5.5) ** 2 + (y + 4.5) ** 2) / 0.8))
    parts = np.stack([bulge, 0.35 * disk, arms, 0.6 * knot])
    colours = np.array(
        [[2.6, 0.9, 0.75, 0.3], [1.6, 0.65, 0.75, 0.35], [0.6, 0.4, 0.7, 0.5]]
    )
    return 2 * np.tensordot(colours, parts, 1)


def fits_galaxy(side=161, scale=0.4, angle=35.0, *, flipped=True, noise=0.02):
    """The spiral as it comes in FITS: rotated, and maybe with east to the right."""
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = 'RA---TAN', 'DEC--TAN'
    wcs.wcs.crpix = (side + 1) / 2, (side + 1) / 2
    wcs.wcs.crval = 150.0, 2.0
    turn = np.deg2rad(angle)
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    parity = np.diag([1 if flipped else -1, 1])
    wcs.wcs.cd = matrix @ parity * scale / 3600
    y, x = np.indices((side, side)) - (side - 1) / 2
    east, north = np.tensordot(matrix @ parity * scale, np.stack([x, y]), 1)
    data = spiral_galaxy(-east, -north) * (scale / 0.396) ** 2
    data += np.random.default_rng(1).normal(0, noise, data.shape)
    return GalaxyImage(
        data.astype(np.float32),
        bands='irg',
        unit='nmgy',
        wcs=wcs,
        meta={'survey': 'SDSS'},
    )


def rendered(image, recipe, size=None):
    """What the network sees of an image: (n_view, size, size, 3), and the grids."""
    from galmorph.inference.engine import Engine
    from galmorph.preprocessing.prepare import prepare

    prepared = prepare(
        image if size is None else image.at(image.position, size), recipe
    )
    engine = Engine(torch.nn.Identity(), recipe, device='cpu')
    views = engine.render([prepared])[0, 0]
    return views.permute(0, 2, 3, 1).clamp(0, 1).numpy(), prepared


def bare(axes):
    """Take ticks and frames off."""
    for ax in np.ravel(axes):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)


def geometry():
    """One FITS image, the two grids laid over it, and the views that result."""
    from galmorph.preprocessing.geometry import apply_affine
    from galmorph.preprocessing.stretch import get_stretch

    image = fits_galaxy()
    recipe = Recipe()
    views, prepared = rendered(image, recipe, 17 * u.pix)
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.7), layout='constrained')
    shown = get_stretch('sdss')(torch.from_numpy(prepared.pixels)[None])[0]
    axes[0].imshow(shown.permute(1, 2, 0).clamp(0, 1).numpy(), origin='lower')
    side = recipe.output_size
    for affine, colour in zip(prepared.affines[0], ('#ffd166', '#4cc9f0'), strict=True):
        corners = np.array([[0, 0], [side - 1, 0], [side - 1, side - 1], [0, side - 1]])
        x, y = apply_affine(affine, *corners.T)
        axes[0].add_patch(Polygon(np.stack([x, y], -1), fill=False, ec=colour, lw=1.8))
        steps = np.arange(0, side, 4)
        x, y = apply_affine(affine, *np.meshgrid(steps, steps))
        axes[0].plot(x.ravel(), y.ravel(), '.', ms=1.2, color=colour)
    centre = apply_affine(prepared.affines[0, 0], (side - 1) / 2, (side - 1) / 2)
    axes[0].set(xlim=centre[0] + REACH, ylim=centre[1] + REACH)
    axes[0].set_title('the pixels of the file, and two grids', fontsize=10)
    for ax, view, text in zip(axes[1:], views, ('0°', '45°'), strict=True):
        ax.imshow(view)
        ax.set_title(f'view from {text}: {side} × {side} pixels', fontsize=10)
    _compass(axes[1], side)
    bare(axes)
    return figure


def _compass(ax, side):
    x, y, length = side - 6, side - 6, 12
    style = {'arrowstyle': '-', 'color': 'w', 'lw': 1.3}
    for dx, dy, text in ((0, -length, 'N'), (-length, 0, 'E')):
        ax.annotate('', (x + dx, y + dy), (x, y), arrowprops=style)
        ax.text(x + 1.3 * dx, y + 1.3 * dy, text, color='w', ha='center', va='center')


def antialias():
    """A fine pattern shrunk four times, by points and by boxes."""
    from galmorph.preprocessing.geometry import centre_of, scaling, translation
    from galmorph.preprocessing.render import oversampling, resample

    side, size, factor = 256, 64, 4
    y, x = np.indices((side, side)) - (side - 1) / 2
    pattern = 0.5 + 0.5 * np.cos((x**2 + y**2) / 95) * np.exp(-np.hypot(x, y) / 140)
    affine = (
        translation((side - 1) / 2, (side - 1) / 2) @ scaling(factor) @ centre_of(size)
    )
    figure, axes = plt.subplots(1, 3, figsize=(10, 3.6), layout='constrained')
    axes[0].imshow(pattern, cmap='gray', vmin=0, vmax=1)
    axes[0].set_title('256 × 256 pixels', fontsize=10)
    for ax, box in zip(axes[1:], (0.0, 1.0), strict=True):
        small = resample(
            torch.from_numpy(pattern)[None, None],
            torch.from_numpy(affine)[None, None],
            size,
            antialias=box,
            n_points=oversampling(affine, box),
        )
        ax.imshow(small[0, 0, 0], cmap='gray', vmin=0, vmax=1)
        ax.set_title(f'64 × 64, antialias={box:g}', fontsize=10)
    bare(axes)
    return figure


def stretches():
    """The same galaxy in every stretch."""
    from galmorph.preprocessing.stretch import get_stretch, list_stretches

    y, x = (np.indices((140, 140)) - 69.5) * 0.25
    fluxes = spiral_galaxy(x, y)
    fluxes += np.random.default_rng(2).normal(0, 0.012, fluxes.shape)
    # Each preset expects its own unit and pixel area.
    units = {'legacy': (0.262 / 0.396) ** 2, 'hst': 6.0}
    # Those that take each image by itself have no unit.
    names = [name for name in list_stretches() if get_stretch(name).limits is None]
    figure, axes = plt.subplots(1, len(names), figsize=(10, 2.8), layout='constrained')
    for ax, name in zip(axes, names, strict=True):
        scaled = torch.from_numpy(fluxes * units.get(name, 1.0))
        ax.imshow(get_stretch(name)(scaled).permute(1, 2, 0).numpy())
        ax.set_title(name, fontsize=10)
    bare(axes)
    return figure


def parts():
    """The sixteen parts that the network of Dieleman et al. convolves."""
    from skimage import data

    from galmorph.networks.dieleman import extract_parts

    stamp = data.hubble_deep_field()[330:470, 54:194]
    recipe = Recipe()
    image = GalaxyImage(np.moveaxis(stamp, -1, 0), is_picture=True)
    views, _ = rendered(image, recipe, 22 * u.pix)
    cut = extract_parts(torch.from_numpy(views).permute(0, 3, 1, 2)[None])[0]
    figure = plt.figure(figsize=(10, 5.3), layout='constrained')
    left, right = figure.subfigures(1, 2, width_ratios=(1, 2.05))
    axes = left.subplots(2, 1)
    for ax, view, text in zip(axes, views, ('view at 0°', 'view at 45°'), strict=True):
        ax.imshow(view)
        ax.add_patch(
            plt.Rectangle((-0.5, -0.5), 45, 45, fill=False, ec='#ffd166', lw=2)
        )
        ax.plot(34, 34, '+', color='w', ms=9)
        ax.set_title(text, fontsize=10)
    bare(axes)
    axes = right.subplots(4, 4)
    rows = ('0°', '0°, mirrored', '45°', '45°, mirrored')
    for k, ax in enumerate(axes.flat):
        ax.imshow(cut[k].permute(1, 2, 0).numpy())
        ax.plot(34, 34, '+', color='w', ms=6)
        if k < 4:
            ax.set_title(f'turned {90 * k}°', fontsize=9)
        if k % 4 == 0:
            ax.set_ylabel(rows[k // 4], fontsize=9)
    bare(axes)
    return figure


def petrosian():
    """The ratio whose fall to 0.2 defines the Petrosian radius."""
    from galmorph.preprocessing.profiles import APERTURE, ETA, RadialProfile
    from galmorph.preprocessing.sizes import measure_galaxy

    y, x = np.mgrid[:401, :401] - 200
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout='constrained')
    for n, b, colour in ((1, 1.678, '#2a6f97'), (4, 7.669, ACCENT)):
        light = np.exp(-b * (np.hypot(np.hypot(x, y), 0.3) / 20) ** (1 / n))
        profile = RadialProfile(light, np.ones(light.shape, bool), 200, 200)
        radius = np.linspace(2, 120, 300)
        eta = profile.surface(radius) / (profile.within(radius) / np.pi / radius**2)
        left.plot(radius, eta, color=colour, label=f'Sérsic n = {n}')
        found = measure_galaxy(light, background=0, noise=0)
        left.plot(found.petro_radius, ETA, 'o', color=colour)
        total = profile.within(APERTURE * found.petro_radius)
        right.plot(radius, profile.within(radius) / total, color=colour)
        for part, value in ((0.5, found.petro_r50), (0.9, found.petro_r90)):
            right.plot([value, value], [0, part], ':', color=colour)
            right.plot(value, part, 'o', color=colour)
        right.axvline(APERTURE * found.petro_radius, color=colour, lw=0.8)
    left.axhline(ETA, color=GREY, lw=0.8)
    left.text(118, ETA + 0.02, 'η = 0.2', ha='right', color=GREY)
    left.set(xlabel='radius (pixels)', ylabel='η', ylim=(0, 1), xlim=(0, 120))
    left.legend(frameon=False)
    right.set(xlabel='radius (pixels)', ylabel='part of the Petrosian flux')
    right.set(ylim=(0, 1.05), xlim=(0, 120))
    for ax in (left, right):
        ax.spines[['top', 'right']].set_visible(False)
    return figure


def tree():
    """The questions and answers of Galaxy Zoo 2, by what depends on what."""
    schema = load_schema('gz2')
    depth, column = {}, {}
    for question in schema.questions:
        parent = question.parent
        above = None if parent is None else _question_of(schema, parent).name
        depth[question.name] = 0 if above is None else depth[above] + 1
        column.setdefault(depth[question.name], []).append(question)
    # Children are ordered as their parent answers, so that no lines cross.
    for questions in column.values():
        questions.sort(key=lambda q: -1 if q.parent is None else q.parent)
    heights = {
        level: sum(len(q.answers) + 2.2 for q in questions)
        for level, questions in column.items()
    }
    tallest = max(heights.values())
    figure, ax = plt.subplots(
        figsize=(11, 0.155 * tallest * 1.35), layout='constrained'
    )
    port, place = {}, {}
    for level, questions in sorted(column.items()):
        y = -(tallest - heights[level]) / 2 * LINE
        for question in questions:
            place[question.name] = (level * (COLUMN_WIDTH + 0.75), y)
            y -= (len(question.answers) + 2.2) * LINE
    for question in schema.questions:
        x, y = place[question.name]
        height = (len(question.answers) + 1.3) * LINE
        box = FancyBboxPatch(
            (x, y - height), COLUMN_WIDTH, height,
            boxstyle='round,pad=0.02,rounding_size=0.06', fc='#f4f6f8', ec=GREY,
        )  # fmt: skip
        ax.add_patch(box)
        title = f'{question.task}  {question.name}'
        ax.text(
            x + 0.1, y - 0.62 * LINE, title, va='center', weight='bold', fontsize=8.5
        )
        for k, answer in enumerate(question.answers):
            line = y - (k + 1.65) * LINE
            ax.text(x + 0.2, line, answer.label, va='center', fontsize=8, color=INK)
            ax.text(
                x + COLUMN_WIDTH - 0.08, line, answer.column,
                va='center', ha='right', fontsize=6.5, color=GREY,
            )  # fmt: skip
            port[question.start + k] = (x + COLUMN_WIDTH + 0.02, line)
        if question.parent is not None:
            start, end = port[question.parent], (x - 0.02, y - 0.62 * LINE)
            arrow = {'arrowstyle': '-|>', 'color': ACCENT, 'shrinkA': 0, 'shrinkB': 0}
            ax.annotate('', end, start, arrowprops=arrow)
    width = (max(column) + 1) * (COLUMN_WIDTH + 0.75) - 0.75
    ax.set(xlim=(-0.1, width + 0.1), ylim=(-tallest * LINE, 0.15))
    ax.axis('off')
    return figure


def _question_of(schema, index):
    return next(q for q in schema.questions if q.start <= index < q.stop)


@functools.cache
def _deep_field():
    """A classifier, and galaxies of the deep field, cut out and sized."""
    from galmorph import MorphologyClassifier
    from galmorph.demo import find_galaxies, load_deep_field, measure_galaxies

    classifier = MorphologyClassifier('dieleman.gz2', 'cpu')
    field = load_deep_field()
    galaxies = find_galaxies(field, 60)
    galaxies, images, _ = measure_galaxies(field, galaxies, classifier.recipe)
    distance = np.hypot(galaxies['x'].value - 123, galaxies['y'].value - 401)
    return classifier, images, images[int(np.argmin(distance))]


def saliency():
    """What two answers about a spiral rest on."""
    from galmorph.explain import gradient_saliency, occlusion_saliency, plot_saliency

    classifier, _, spiral = _deep_field()
    answers = 'spiral_spiral', 'smooth_or_features_smooth'
    maps = [gradient_saliency(classifier, spiral, answer) for answer in answers]
    maps += [occlusion_saliency(classifier, spiral, a, n_steps=14) for a in answers]
    return plot_saliency(maps)


def exciting_units():
    """Galaxies that excite units of the last hidden layer."""
    from galmorph.explain import find_exciting, list_layers, plot_exciting

    classifier, images, _ = _deep_field()
    layers = list_layers(classifier)
    layer = layers['layer'][layers['kind'] == 'Maxout'][-1]
    return plot_exciting(find_exciting(classifier, images, layer, maps=6))


def exciting_maps():
    """Galaxies that excite maps of the second convolution, and where."""
    from galmorph.explain import find_exciting, plot_exciting

    classifier, images, _ = _deep_field()
    return plot_exciting(find_exciting(classifier, images, 'convs.1', maps=4))


def layer_maps():
    """Feature maps of a part of a spiral."""
    from galmorph.explain import feature_maps, plot_feature_maps

    classifier, _, spiral = _deep_field()
    return plot_feature_maps(feature_maps(classifier, spiral))


def filters():
    """The first filters."""
    from galmorph.explain import first_filters, plot_filters

    return plot_filters(first_filters(_deep_field()[0]))


def confusion():
    """The confusion matrix that Zhu et al. (2019) published."""
    from galmorph.plotting import plot_confusion_matrix
    from galmorph.training.evaluation.classification import ClassificationReport

    matrix = [
        [815, 21, 0, 0, 10],
        [29, 762, 0, 0, 17],
        [0, 4, 34, 18, 2],
        [0, 3, 12, 368, 5],
        [4, 7, 1, 5, 763],
    ]
    names = 'completely round', 'in between', 'cigar-shaped', 'edge-on', 'spiral'
    return plot_confusion_matrix(ClassificationReport.from_confusion(matrix, names))


def honesty():
    """Honest probabilities, and the same made bolder."""
    from galmorph.plotting import plot_reliability
    from galmorph.training.evaluation.curves import reliability

    rng = np.random.default_rng(1)
    honest = rng.beta(0.6, 0.9, 4000)
    observed = rng.binomial(30, honest) / 30
    odds = (honest / (1 - honest)) ** 2
    tables = {
        name: reliability(given[:, None], observed[:, None])
        for name, given in (('honest', honest), ('bold', odds / (1 + odds)))
    }
    return plot_reliability(tables)


def errors():
    """The errors of a card, above the binomial floor."""
    from galmorph import load_card
    from galmorph.plotting import plot_errors

    metrics = load_card('compact.gz_ceers').metrics
    # Of the mean votes of the test galaxies, as Evaluation.baselines gives them.
    mean = (0.221, 0.175, 0.288, 0.308, 0.252, 0.172, 0.296, 0.232, 0.186, 0.198,
            0.154, 0.300, 0.180)  # fmt: skip
    names = ('rmse', *metrics['questions'])
    return plot_errors(metrics, baselines={'mean': dict(zip(names, mean, strict=True))})


def learning():
    """The course of the training of the compact networks."""
    return _learning(
        'compact', 'loss', 'gz2/rmse', 'zhu5/accuracy', 'efigi/rmse/t_type'
    )


def learning_of_resnet26():
    """The course of the training of resnet26.zhu5."""
    return _learning('resnet26_zhu5', 'loss', 'zhu5/accuracy')


def _learning(name, *quantities):
    from galmorph.plotting import plot_learning_curves

    # The directive runs this file in its own folder.
    log = Table.read(f'learning_curves/{name}.csv')
    return plot_learning_curves(log, quantities=quantities)
