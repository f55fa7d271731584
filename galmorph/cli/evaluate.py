# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``galmorph evaluate``."""

import sys
from pathlib import Path

import numpy as np
import yaml
from astropy.table import QTable

from galmorph.cli import inputs
from galmorph.cli.outputs import RequestError, as_request, check_folder

__all__ = ['add_evaluate', 'draw_figures']

_EVALUATE = """
Compare the answers of weights with labels: errors, accuracy, F1, ROC,
calibration, with 95 % intervals from bootstrap samples of the galaxies.

TABLE is a catalogue with a column of image paths, or with positions on a --mosaic,
and columns of labels as the schema of WEIGHTS names them; or a folder that holds a
published data set. Several WEIGHTS, with commas, answer by their mean.
"""

_EVALUATE_EXAMPLES = """
examples:
  galmorph evaluate dieleman.gz2 galaxies.csv
  galmorph evaluate dieleman.gz2 galaxies.csv --labels votes.csv --id name \\
      --kind counts --figures figures
  galmorph evaluate dieleman.gz2 galaxy_challenge/ --split valid --transforms 8 \\
      --output metrics.yaml
  galmorph evaluate first.yaml,second.yaml galaxies.csv
  galmorph evaluate mine.yaml sources.fits --mosaic 'tiles/*.fits' --size r50

exit status:
  0  done        1  the work failed
  2  the request cannot be met, found out before the work
"""

# The data set that a folder is taken to hold, by the schema of the weights.
_LAYOUTS = {
    'gz2': 'gz2',
    'zhu5': 'gz2',
    'gz_ceers': 'ceers',
    'efigi': 'efigi',
    'candels5': 'candels',
}
_MIN_POINTS = 20


def add_evaluate(command, parents):
    """
    Add the command ``evaluate``.

    Parameters
    ----------
    command : callable
        From a name, help, examples and keywords to a parser.
    parents : list of `argparse.ArgumentParser`
        Options that all commands have.

    Examples
    --------
    >>> from galmorph.cli import main
    >>> main(['evaluate', 'dieleman.gz2', 'lost.csv'])
    2
    """
    parser = command(
        'evaluate',
        'compare the answers of weights with labels',
        _EVALUATE_EXAMPLES,
        parents=parents,
        run=_evaluate,
        description=_EVALUATE,
    )
    parser.add_argument(
        'weights',
        metavar='WEIGHTS',
        help='name, path of a card, or several with commas',
    )
    parser.add_argument('table', metavar='TABLE_OR_FOLDER')
    options = (
        ('--labels', 'FILE', 'table with the labels, if they are not in TABLE'),
        ('--id', 'COLUMN', 'column that joins TABLE and labels (default: the order)'),
        ('--kind', 'KIND', 'fractions, conditional, counts, classes or attributes'),
        ('--columns', 'COLUMNS', 'columns of the labels, with commas'),
        ('--layout', 'NAME', 'data set in the folder (default: that of the schema)'),
        ('--split', 'NAME', "rows to take of a column 'split' (default: test), or all"),
        ('--image', 'COLUMN', "column of image paths (default: 'image', 'path', ...)"),
        ('--mosaic', 'FILES', "cut galaxies from a mosaic, 'tiles/*.fits', at ra, dec"),
        ('--size', 'SIZE', "radius that the weights scale by: a column, or '3 arcsec'"),
        ('--device', 'DEVICE', "'auto' (default), 'cpu', 'cuda' or 'mps'"),
        ('--figures', 'FOLDER', 'draw figures, as PDF and PNG'),
        ('--output', 'FILE', 'write the scores as YAML, as a card has them'),
    )
    for name, metavar, text in options:
        parser.add_argument(name, metavar=metavar, help=text)
    parser.add_argument(
        '--transforms',
        type=int,
        default=1,
        metavar='N',
        help='average over N rotations, mirror images and zooms',
    )
    parser.add_argument(
        '--zooms',
        default='1',
        metavar='ZOOMS',
        help="sizes to show each galaxy at, with commas: '0.83,1,1.2' (default: 1)",
    )
    parser.add_argument(
        '--quiet', action='store_true', help='no progress bar and no scores'
    )


def _evaluate(arguments):
    from galmorph import MorphologyClassifier
    from galmorph.training.evaluation import evaluate
    from galmorph.training.parts import TestTime

    if arguments.figures:
        check_folder(arguments.figures, create=True)
    if arguments.output:
        check_folder(Path(arguments.output).parent)
    with as_request():
        zooms = inputs.parse_zooms(arguments.zooms, arguments.transforms)
        classifier = MorphologyClassifier(
            inputs.parse_weights(arguments.weights),
            arguments.device,
            n_transforms=arguments.transforms,
            zooms=zooms,
        )
        schema = classifier.schema
    read = _read_folder if Path(arguments.table).is_dir() else _read_table
    table, labels, options = read(arguments, schema)
    rows, split = _rows_of(arguments, table)
    table, labels = table[rows], labels[rows]
    if not labels.is_known.any():
        msg = f'none of the {len(table)} galaxies of {arguments.table!r} has labels'
        raise RequestError(msg)
    if options.get('size') is not None:
        options['size'] = options['size'][rows]
    images = _names_of(table, options)
    for card in classifier.cards:
        _warn_of_training_galaxies(card.source, images)
    evaluation = evaluate(
        classifier,
        table,
        labels,
        split=split,
        progress_bar=not arguments.quiet,
        **options,
    )
    test = TestTime(n_transforms=arguments.transforms, zooms=zooms)
    metrics = evaluation.to_dict() | test.to_dict()
    files = []
    if arguments.output:
        files.append(Path(arguments.output))
        text = yaml.safe_dump(metrics, sort_keys=False, allow_unicode=True)
        files[0].write_text(text, encoding='utf-8')
    if arguments.figures:
        files += draw_figures(evaluation, arguments.figures)
    if not arguments.quiet:
        _report(evaluation, classifier)
        for path in files:
            print(f'wrote {path}')


def _names_of(table, options):
    """Images as the record of a training names them."""
    from galmorph.inference.catalog import coordinates_of
    from galmorph.training.data._targets import name_targets

    if 'mosaic' in options:
        return name_targets(options['mosaic'], coordinates_of(table))
    column = options.get('image', 'image')
    return table[column] if column in table.colnames else []


def _warn_of_training_galaxies(weights, images):
    from galmorph.training.data.seen import trained_on

    n_seen = 0 if weights is None else int(trained_on(weights, images).sum())
    if n_seen:
        print(
            f'galmorph: warning: {weights} were trained on {n_seen} of these '
            f'{len(images)} galaxies; the scores flatter them',
            file=sys.stderr,
        )


def _read_folder(arguments, schema):
    from galmorph.exceptions import LabelError
    from galmorph.training.data._own import read_candels
    from galmorph.training.data.layouts import list_layouts, read_layout

    if arguments.mosaic:
        msg = f'--mosaic needs a table, and {arguments.table!r} is a folder'
        raise RequestError(msg)
    # One question of a tree is 'tree/question'.
    layout = arguments.layout or _LAYOUTS.get(schema.name.partition('/')[0])
    known = [*list_layouts(), 'candels']
    if layout not in known:
        msg = (
            f'no data set is known that has labels of {schema.name!r}; give a table, '
            f'or one of {known} as --layout'
        )
        raise RequestError(msg)
    folder = Path(arguments.table)
    try:
        data = (
            read_candels(folder) if layout == 'candels' else read_layout(layout, folder)
        )
    except LabelError as error:
        raise RequestError(str(error)) from error
    labels = data.labels_of(schema.name)
    if labels is None:
        msg = (
            f'the data set {layout!r} has labels of {sorted(data.labels)}, and '
            f'{arguments.weights!r} answers {schema.name!r}'
        )
        raise RequestError(msg)
    return data.table, labels, {'size': data.sizes}


def _read_table(arguments, schema):
    from galmorph.exceptions import LabelError
    from galmorph.inference.catalog import image_column
    from galmorph.training.data.labels import read_labels

    table, images = inputs.collect(
        [arguments.table], image=arguments.image, mosaic=arguments.mosaic
    )
    known = table
    if arguments.labels:
        known = _joined(table, inputs.read_catalogue(arguments.labels), arguments.id)
    kind = arguments.kind or _kind_of(schema, known)
    columns = inputs.parse_names(arguments.columns)
    limits = {}
    if kind == 'classes' and columns:
        columns = columns[0]
    if kind == 'attributes' and any(n.endswith('_inf') for n in known.colnames):
        limits = {'low': '_inf', 'high': '_sup'}
    try:
        labels = read_labels(known, schema, kind=kind, columns=columns, **limits)
    except (LabelError, ValueError) as error:
        raise RequestError(str(error)) from error
    size = inputs.parse_size(arguments.size, table)
    if arguments.mosaic:
        return table, labels, {'mosaic': arguments.mosaic, 'size': size}
    column = image_column(table, arguments.image)
    # Paths, as they are found from here, or images of any shape.
    cells = np.empty(len(table), object)
    for row, image in enumerate(images):
        cells[row] = image
    return (
        QTable({**{n: table[n] for n in table.colnames}, column: cells}),
        labels,
        {'image': column, 'size': size},
    )


def _kind_of(schema, table):
    if schema.kind == 'attributes':
        return 'attributes'
    is_class = len(schema.questions) == 1 and schema.name in table.colnames
    return 'classes' if is_class else 'fractions'


def _joined(table, known, name):
    """The rows of the labels, in the order of the table."""
    if name is None:
        if len(known) != len(table):
            msg = (
                f'TABLE has {len(table)} rows and the labels have {len(known)}; name '
                'the column that joins them with --id'
            )
            raise RequestError(msg)
        return known
    for one, what in ((table, 'TABLE'), (known, '--labels')):
        if name not in one.colnames:
            msg = f'--id {name!r} is no column of {what}; it has {one.colnames}'
            raise RequestError(msg)
    place = {str(key): row for row, key in enumerate(known[name])}
    rows = [place.get(str(key), -1) for key in table[name]]
    if -1 in rows:
        missing = str(table[name][rows.index(-1)])
        msg = (
            f'{rows.count(-1)} rows of TABLE have no labels, {name} = {missing!r} the '
            'first of them'
        )
        raise RequestError(msg)
    return known[rows]


def _rows_of(arguments, table):
    """The rows to take, and what to call them."""
    split = arguments.split
    if 'split' not in table.colnames:
        if split not in (None, 'all'):
            msg = f"--split {split!r} needs a column 'split', of {table.colnames}"
            raise RequestError(msg)
        return np.ones(len(table), bool), None
    split = 'test' if split is None else split
    if split == 'all':
        return np.ones(len(table), bool), split
    splits = np.asarray(table['split']).astype(str)
    if split not in splits:
        msg = f'there is no split {split!r}, only {np.unique(splits).tolist()}'
        raise RequestError(msg)
    return splits == split, split


def _report(evaluation, classifier):
    split = f' of {evaluation.split!r}' if evaluation.split else ''
    failed = f', {evaluation.n_failed} not predicted' if evaluation.n_failed else ''
    names = ' + '.join(card.name for card in classifier.cards)
    print(
        f'{names} on {len(evaluation.answers)} galaxies{split}, with '
        f'{evaluation.kind}{failed}; intervals hold 95 %\n'
    )
    print('\n'.join(evaluation.to_table().pformat(max_lines=-1, max_width=-1)))
    if evaluation.report is not None:
        print(f'\n{evaluation.report}')


def draw_figures(evaluation, folder):
    """
    Draw all figures that an evaluation gives.

    Parameters
    ----------
    evaluation : `~galmorph.training.evaluation.Evaluation`
        The scores.
    folder : path-like
        Where to write them, as PDF and PNG.

    Returns
    -------
    files : list of `~pathlib.Path`
        The PDF files.

    Examples
    --------
    >>> import tempfile
    >>> import numpy as np
    >>> from galmorph import load_schema
    >>> from galmorph.cli.evaluate import draw_figures
    >>> from galmorph.training.evaluation import evaluate
    >>> from galmorph.training.data.labels import Labels
    >>> classes = np.eye(5)[[0, 1, 2, 3, 4]]
    >>> evaluation = evaluate(
    ...     classes, None, Labels('classes', classes), schema=load_schema('zhu5'),
    ...     n_draws=10)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     [path.name for path in draw_figures(evaluation, folder)]
    ['confusion_matrix.pdf', 'roc.pdf', 'reliability.pdf']
    """
    from matplotlib.figure import Figure

    from galmorph import plotting

    figures = {}
    if evaluation.report is not None:
        figures['confusion_matrix'] = plotting.plot_confusion_matrix(
            evaluation.report, figure=Figure()
        )
        curves = evaluation.roc()
        if curves:
            figures['roc'] = plotting.plot_roc(curves, figure=Figure())
    if evaluation.questions:
        figures['errors'] = plotting.plot_errors(evaluation, figure=Figure())
    if evaluation.kind != 'attributes':
        figures['reliability'] = plotting.plot_reliability(
            evaluation.reliability(), figure=Figure()
        )
    if evaluation.kind != 'classes':
        chosen = _quantities(evaluation)
        if chosen:
            columns, names, limits = zip(*chosen, strict=True)
            figures['predicted_against_true'] = plotting.plot_predicted_against_true(
                evaluation.answers[:, columns],
                evaluation.labels[:, columns],
                names,
                limits=limits,
                figure=Figure(),
            )
    for name, figure in figures.items():
        for suffix in ('pdf', 'png'):
            figure.savefig(Path(folder) / f'{name}.{suffix}', dpi=200)
    return [Path(folder) / f'{name}.pdf' for name in figures]


def _quantities(evaluation):
    """Columns, names and limits of attributes, or of the first answers."""
    schema = evaluation.schema
    if evaluation.kind == 'attributes':
        found = [
            (i, a.label, _with_margin(a.low, a.high))
            for i, a in enumerate(schema.attributes)
        ]
    else:
        found = [
            (
                q.start,
                f'{q.name.replace("_", " ")}:\n{q.answers[0].label}',
                _with_margin(0, 1),
            )
            for q in schema.questions
        ]
    known = np.isfinite(evaluation.labels).sum(0)
    return [entry for entry in found if known[entry[0]] >= _MIN_POINTS]


def _with_margin(low, high):
    # The ends of a scale hold many galaxies.
    margin = 0.05 * (high - low)
    return low - margin, high + margin
