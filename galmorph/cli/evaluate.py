# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``galmorph evaluate``."""

from pathlib import Path

import numpy as np
import yaml

from galmorph.cli import inputs
from galmorph.cli._labelled import read_galaxies
from galmorph.cli._splits import choose_rows, warn_of_training
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
        ('--split', 'NAME', "'test' (default), 'valid', 'train', 'new' or 'all'"),
        ('--splits', 'FILE', "split of each galaxy, as 'splits/' beside a card has it"),
        ('--image', 'COLUMN', "column of image paths (default: 'image', 'path', ...)"),
        ('--size', 'SIZE', "radius that the weights scale by: a column, or '3 arcsec'"),
        ('--device', 'DEVICE', "'auto' (default), 'cpu', 'cuda' or 'mps'"),
        ('--figures', 'FOLDER', 'draw figures, as PDF and PNG'),
        ('--output', 'FILE', 'write the scores as YAML, as a card has them'),
    )
    for name, metavar, text in options:
        parser.add_argument(name, metavar=metavar, help=text)
    inputs.add_mosaic_option(parser)
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
    galaxies = read_galaxies(arguments, schema)
    rows, split, origin = choose_rows(arguments, galaxies, classifier.cards)
    table, labels = galaxies.table[rows], galaxies.labels[rows]
    options = galaxies.options
    if not labels.is_known.any():
        msg = f'none of the {len(table)} galaxies of {arguments.table!r} has labels'
        raise RequestError(msg)
    if options.get('size') is not None:
        options['size'] = options['size'][rows]
    names = [galaxies.names[row] for row in np.flatnonzero(rows)]
    for card in classifier.cards:
        warn_of_training(card.source, names)
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
