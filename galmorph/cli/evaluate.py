# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``galmorph evaluate``."""

import dataclasses
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

Beside weights of one's own stands which galaxies trained, validated and tested, and
that comes before the split of TABLE; 'new' are others, where TABLE has no column
'split'.
"""

_EVALUATE_EXAMPLES = """
examples:
  galmorph evaluate dieleman.gz2 galaxies.csv
  galmorph evaluate dieleman.gz2 galaxies.csv --labels votes.csv --id name \\
      --kind counts --figures figures
  galmorph evaluate dieleman.gz2 galaxy_challenge/ --split valid --transforms 8 \\
      --output metrics.yaml
  galmorph evaluate first.yaml,second.yaml galaxies.csv
  galmorph evaluate runs/zhu_2019/zhu_2019.yaml galaxy_challenge/ --split test
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Galaxies:
    """What is evaluated, and images and galaxies as a training names them."""

    table: object
    labels: object
    options: dict
    names: list
    ids: list
    # Whether the reader made up the column 'split'.
    is_drawn: bool = False


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
        ('--split', 'NAME', "'test' (default), 'valid', 'train', 'new' or 'all'"),
        ('--splits', 'FILE', "split of each galaxy, as 'splits/' beside a card has it"),
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
    galaxies = read(arguments, schema)
    rows, split, origin = _rows_of(arguments, galaxies, classifier.cards)
    table, labels = galaxies.table[rows], galaxies.labels[rows]
    options = galaxies.options
    if not labels.is_known.any():
        msg = f'none of the {len(table)} galaxies of {arguments.table!r} has labels'
        raise RequestError(msg)
    if options.get('size') is not None:
        options['size'] = options['size'][rows]
    names = [galaxies.names[row] for row in np.flatnonzero(rows)]
    for card in classifier.cards:
        _warn_of_training_galaxies(card.source, names)
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
        _report(evaluation, classifier, origin)
        for path in files:
            print(f'wrote {path}')


def _warn_of_training_galaxies(weights, names):
    from galmorph.training.data.seen import trained_on

    n_seen = 0 if weights is None else int(trained_on(weights, names).sum())
    if n_seen:
        print(
            f'galmorph: warning: {weights} were trained on {n_seen} of these '
            f'{len(names)} galaxies; the scores flatter them',
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
    return _Galaxies(
        table=data.table,
        labels=labels,
        options={'size': data.sizes},
        names=list(data.table['image']),
        ids=list(data.table['id']),
        is_drawn=data.fractions is not None,
    )


def _read_table(arguments, schema):
    from galmorph.exceptions import LabelError
    from galmorph.inference.catalog import coordinates_of, image_column
    from galmorph.training.data._targets import name_targets
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
    options = {'size': inputs.parse_size(arguments.size, table)}
    if arguments.mosaic:
        options['mosaic'] = arguments.mosaic
        names = name_targets(arguments.mosaic, coordinates_of(table))
        ids = _ids_of(arguments, table, [name.rpartition('#')[2] for name in names])
    else:
        options['image'] = column = image_column(table, arguments.image)
        is_named = table[column].ndim == 1
        ids = _ids_of(
            arguments, table, table[column] if is_named else range(len(table))
        )
        names = images if is_named else [f'{arguments.table}#{name}' for name in ids]
        # Paths, as they are found from here, or images of any shape.
        cells = np.empty(len(table), object)
        for row, image in enumerate(images):
            cells[row] = image
        table = QTable({**{n: table[n] for n in table.colnames}, column: cells})
    return _Galaxies(table=table, labels=labels, options=options, names=names, ids=ids)


def _ids_of(arguments, table, default):
    """Identifiers as a training of the same table has them."""
    if arguments.id is None:
        return list(default)
    _need_id(arguments.id, table, 'TABLE')
    return list(table[arguments.id])


def _need_id(name, table, what):
    if name not in table.colnames:
        msg = f'--id {name!r} is no column of {what}; it has {table.colnames}'
        raise RequestError(msg)


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
    _need_id(name, table, 'TABLE')
    _need_id(name, known, '--labels')
    places = {}
    for row, key in enumerate(known[name]):
        places.setdefault(str(key), []).append(row)
    for key in map(str, table[name]):
        if len(places.get(key, ())) > 1:
            msg = (
                f'--labels has {name} = {key!r} more than once, in rows '
                f'{", ".join(map(str, places[key]))}; keep one of them'
            )
            raise RequestError(msg)
    rows = [places.get(str(key), [-1])[0] for key in table[name]]
    if -1 in rows:
        missing = str(table[name][rows.index(-1)])
        msg = (
            f'{rows.count(-1)} rows of TABLE have no labels, {name} = {missing!r} the '
            'first of them'
        )
        raise RequestError(msg)
    return known[rows]


def _rows_of(arguments, galaxies, cards):
    """The rows to take, what to call them, and whose split that is."""
    split, everything = arguments.split, np.ones(len(galaxies.table), bool)
    if split == 'all':
        return everything, split, 'none'
    splits, origin = _splits_of(arguments, galaxies, cards)
    if splits is None and split is None:
        return everything, None, origin
    if splits is None:
        msg = (
            f"--split {split!r} needs a column 'split', of {galaxies.table.colnames}, "
            f'or --splits; the split is {origin}'
        )
        raise RequestError(msg)
    split = 'test' if split is None else split
    if split not in splits:
        msg = (
            f'there is no split {split!r}, only {np.unique(splits).tolist()}, by '
            f'{origin}; name one of them with --split, or all'
        )
        raise RequestError(msg)
    return splits == split, split, origin


def _splits_of(arguments, galaxies, cards):
    """The split of each galaxy, None without any, and whose it is."""
    own, origin = None, 'none'
    if 'split' in galaxies.table.colnames:
        own = np.asarray(galaxies.table['split']).astype(str)
        origin = "the column 'split'"
    if galaxies.is_drawn:
        origin = 'drawn by the reader of the folder'
    splits, records = _recorded(arguments, galaxies, cards)
    names = ' and '.join(map(str, records))
    is_new = splits == ''
    if is_new.all():
        return own, f'{origin}; {names} has none of the galaxies' if names else origin
    if not is_new.any():
        return splits, names
    if own is None or galaxies.is_drawn:
        own, origin = 'new', "'new'"
    rest = f'{origin} for {is_new.sum()} galaxies that are not in it'
    return np.where(is_new, own, splits), f'{names}, and {rest}'


def _recorded(arguments, galaxies, cards):
    """What is recorded of each galaxy, and where."""
    from galmorph.exceptions import LabelError
    from galmorph.training.data.seen import record_of, recorded_splits

    if arguments.splits and not Path(arguments.splits).exists():
        msg = f'there is no file {arguments.splits!r} for --splits'
        raise RequestError(msg)
    records, ids = [arguments.splits], galaxies.ids
    if not arguments.splits:
        places = dict.fromkeys(record_of(c.source) for c in cards if c.source)
        records = [place for place in places if place.is_dir()]
        # Those of other tables may be the numbers of their rows.
        ids = galaxies.ids if galaxies.is_drawn else None
    splits = np.full(len(galaxies.table), '', 'U10')
    for record in records:
        try:
            found = recorded_splits(record, galaxies.names, ids)
        except LabelError as error:
            raise RequestError(str(error)) from error
        differ = np.flatnonzero((splits != '') & (found != '') & (splits != found))
        if len(differ):
            row = differ[0]
            msg = (
                f'the weights had {len(differ)} of the galaxies in different splits: '
                f'{galaxies.names[row]!r} in {splits[row]!r}, and by {str(record)!r} '
                f'in {found[row]!r}; name the record that counts with --splits'
            )
            raise RequestError(msg)
        splits = np.where(found == '', splits, found)
    if arguments.splits and len(splits) and not (splits != '').any():
        msg = (
            f'--splits {arguments.splits!r} has none of the {len(splits)} galaxies, '
            f'neither by image, such as {galaxies.names[0]!r}, nor by id, such as '
            f'{str(galaxies.ids[0])!r}; --id names the column'
        )
        raise RequestError(msg)
    return splits, records


def _report(evaluation, classifier, origin):
    split = f' of {evaluation.split!r}' if evaluation.split else ''
    failed = f', {evaluation.n_failed} not predicted' if evaluation.n_failed else ''
    names = ' + '.join(card.name for card in classifier.cards)
    print(
        f'{names} on {len(evaluation.answers)} galaxies{split}, with '
        f'{evaluation.kind}{failed}; intervals hold 95 %\nsplit: {origin}\n'
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
