# Licensed under a 3-clause BSD style license - see LICENSE.rst
"""The command ``galmorph``."""

import argparse
import functools
import os
import re
import sys
import time

import galmorph
from galmorph.cli.annotating import annotate, is_streamed
from galmorph.cli.evaluate import add_evaluate
from galmorph.cli.fetch import add_cache, add_fetch, add_source_options, create_source
from galmorph.cli.inputs import add_mosaic_option
from galmorph.cli.train import add_finetune, add_train
from galmorph.exceptions import GalmorphError

__all__ = ['main']

_DESCRIPTION = 'Galaxy morphology from images, in tables.'

_PREDICT = """
Classify galaxies. IMAGES are files, patterns or folders of FITS files and
pictures, and give a table with their paths. A CATALOGUE is one table that
astropy reads, and gives the same rows, annotated: it has a column of image
paths, in the current folder or in its own, or positions, with --mosaic or
--survey.

A row that cannot be used is masked and flagged, and costs no other one.

Positions that are annotated into a .parquet or .fits file go there in pieces:
memory does not grow with the catalogue, which may be several files or a
pattern of them. A run that was stopped goes on by the same command with
--resume.
"""

_PREDICT_EXAMPLES = """
examples:
  galmorph predict stamps/ --output annotated.ecsv
  galmorph predict 'cutouts/*_h.fits.gz' --size '1.2 arcsec' --output annotated.fits
  galmorph predict catalogue.ecsv --image path --size petroR90_r \\
      --columns best --output annotated.ecsv
  galmorph predict catalogue.fits --mosaic mosaic.fits --output annotated.fits
  galmorph predict catalogue.fits --survey sdss --output annotated.fits
  galmorph predict sources.parquet --mosaic 'tiles/*.fits' --size petroR90 \\
      --output morphology.parquet --resume --processes 4

exit status:
  0  done        1  the work failed, or no galaxy could be classified
  2  the request cannot be met, found out before the work
"""


def main(argv=None):
    """
    Run the command ``galmorph``.

    Parameters
    ----------
    argv : list of str, optional
        The arguments, by default those of the process.

    Returns
    -------
    status : int
        0 if all went well, 1 if the work failed, 2 if the request cannot be
        met.

    Examples
    --------
    >>> from galmorph.cli import main
    >>> main(['weights', 'list'])  # doctest: +ELLIPSIS
      compact.efigi ...
    """
    arguments = _parser().parse_args(argv)
    try:
        if arguments.preload:
            from galmorph.cli.preloading import Preloaded

            arguments.preload = Preloaded(arguments.preload)
        return arguments.run(arguments) or 0
    except KeyboardInterrupt:
        print('galmorph: interrupted', file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `galmorph ... | head`: nobody reads on.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (GalmorphError, ValueError, OSError, ImportError) as error:
        if arguments.traceback:
            raise
        from galmorph.cli.outputs import RequestError

        text = ' '.join(str(error).split()) or type(error).__name__
        # Arguments are options here.
        text = re.sub(
            r'\b(image|mosaic|overwrite|resume)=(True\b)?(?=[ ,;.)]|$)', r'--\1', text
        )
        print(f'galmorph: error: {text}', file=sys.stderr)
        return 2 if isinstance(error, RequestError) else 1


def _parser():
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        '--traceback', action='store_true', help='show where an error came from'
    )
    common.add_argument(
        '--preload',
        metavar='MODULE',
        action='append',
        help="import a module or 'FILE.py' that registers networks, stretches or "
        'sources of your own; repeatable',
    )
    running = argparse.ArgumentParser(add_help=False)
    running.add_argument(
        '--weights',
        metavar='NAME',
        help='name of weights or path of a card; the mean of several, with commas',
    )
    running.add_argument(
        '--device', metavar='DEVICE', help="'auto' (default), 'cpu', 'cuda' or 'mps'"
    )
    running.add_argument('--precision', choices=('float32', 'bf16', 'fp16'))
    running.add_argument('--batch-size', type=int, metavar='N')
    running.add_argument(
        '--quiet', action='store_true', help='no progress bar and no summary'
    )

    parser = argparse.ArgumentParser(
        prog='galmorph',
        description=_DESCRIPTION,
        epilog='example:\n  galmorph demo',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        '--version', action='version', version=f'galmorph {galmorph.__version__}'
    )
    commands = parser.add_subparsers(metavar='COMMAND', required=True)

    demo = _command(
        commands,
        'demo',
        'classify the galaxies of a Hubble deep field',
        'example:\n  galmorph demo --output galmorph_demo',
        parents=[common, running],
        run=_demo,
    )
    demo.add_argument(
        '--output',
        metavar='FOLDER',
        default='galmorph_demo',
        help='default: %(default)s',
    )
    _add_predict(commands, [common, running])
    command = functools.partial(_command, commands)
    add_fetch(command, [common])
    add_cache(command, [common])
    add_evaluate(command, [common])
    add_train(command, [common])
    add_finetune(command, [common])

    weights = commands.add_parser(
        'weights',
        help='list weights, and show their cards',
        description='List weights, and show their cards.',
        epilog='example:\n  galmorph weights show dieleman.gz2',
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    weights = weights.add_subparsers(metavar='COMMAND', required=True)
    _command(
        weights,
        'list',
        'list the weights; the default is marked',
        'example:\n  galmorph weights list',
        parents=[common],
        run=_weights_list,
    )
    show = _command(
        weights,
        'show',
        'show a card: network, pixels, training, metrics, limits',
        'example:\n  galmorph weights show dieleman.gz2',
        parents=[common],
        run=_weights_show,
    )
    show.add_argument('name', metavar='NAME', help='name, or the path of a card')
    _command(
        commands,
        'info',
        'show versions, devices, folders and the default weights',
        'example:\n  galmorph info',
        parents=[common],
        run=_info,
    )
    return parser


def _command(commands, name, text, epilog, *, parents, run, description=None):
    parser = commands.add_parser(
        name,
        help=text,
        description=description or f'{text[0].upper()}{text[1:]}.',
        epilog=epilog,
        parents=parents,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(run=run)
    return parser


def _add_predict(commands, parents):
    parser = _command(
        commands,
        'predict',
        'classify images, or annotate a catalogue',
        _PREDICT_EXAMPLES,
        parents=parents,
        run=_predict,
        description=_PREDICT,
    )
    parser.add_argument('inputs', nargs='+', metavar='IMAGES_OR_CATALOGUE')
    parser.add_argument(
        '--output',
        required=True,
        metavar='FILE',
        help='.ecsv, .fits, .vot, .parquet, ...',
    )
    parser.add_argument(
        '--overwrite',
        action='store_true',
        help='replace the file, and columns of the same names, which are listed',
    )
    options = (
        ('--columns', 'COLUMNS', "'all' (default), 'best' or questions, with commas"),
        ('--size', 'SIZE', "radius that the weights scale by: a column, or '3 arcsec'"),
        ('--hdu', 'HDU', 'number or name of the HDU, with commas for bands'),
        ('--bands', 'BANDS', "names of the bands, with commas: 'g,r,i'"),
        ('--unit', 'UNIT', "unit of the pixels, 'nmgy'"),
        ('--image', 'COLUMN', "column of image paths (default: 'image', 'path', ...)"),
        ('--survey', 'NAME', "fetch images: 'sdss', 'candels', 'auto', 'hips:ID'"),
        ('--format', 'FORMAT', 'read the input as a catalogue in this astropy format'),
    )  # fmt: skip
    for name, metavar, text in options:
        parser.add_argument(name, metavar=metavar, help=text)
    parser.set_defaults(columns='all')
    add_mosaic_option(parser)
    parser.add_argument(
        '--resume',
        action='store_true',
        help='go on with a run of the same command that was stopped',
    )
    parser.add_argument(
        '--processes',
        type=int,
        default=1,
        metavar='N',
        help='processes that share the rows, each with a GPU of its own (default: 1)',
    )
    add_source_options(parser)
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


def _classifier(arguments, **options):
    from galmorph import MorphologyClassifier
    from galmorph.cli.inputs import parse_weights

    return MorphologyClassifier(
        parse_weights(arguments.weights),
        arguments.device,
        precision=arguments.precision,
        batch_size=arguments.batch_size,
        **options,
    )


def _demo(arguments):
    from galmorph.cli.outputs import check_folder, summarise_flags

    check_folder(arguments.output, create=True)
    classifier = _classifier(arguments)
    instrument = classifier.card.instrument
    say = (lambda _: None) if arguments.quiet else print
    from galmorph.demo import run_demo

    demo = run_demo(
        arguments.output,
        classifier=classifier,
        progress_bar=not arguments.quiet,
        report=say,
    )
    shown = demo.table['id', 'x', 'y', 'petro_r90', 'morphology_class',
                       'morphology_probability', 'morphology_flags'][:8]  # fmt: skip
    for name in ('x', 'y', 'petro_r90'):
        shown[name].info.format = '.1f'
    shown['morphology_probability'].info.format = '.2f'
    say('\n' + '\n'.join(shown.pformat(max_width=-1)))
    say(f'... {len(demo.table)} galaxies; how many have which flag:')
    say(summarise_flags(demo.table['morphology_flags']))
    say(
        f'\nNote: the weights {classifier.card.name} were trained on {instrument} '
        'images, and see a Hubble\npicture here. Every row is flagged '
        'OTHER_INSTRUMENT: take these answers as a\ndemonstration, not as '
        'measurements.\n'
    )
    for path in demo.files:
        say(f'wrote {path}')


def _predict(arguments):
    from galmorph.cli import inputs, outputs

    if is_streamed(arguments):
        return _predict_files(arguments)
    output = outputs.Output(arguments.output, overwrite=arguments.overwrite)
    table, rows = inputs.collect(
        arguments.inputs,
        format=arguments.format,
        image=arguments.image,
        mosaic=arguments.mosaic,
        survey=arguments.survey,
    )
    size = inputs.parse_size(arguments.size, table)
    classifier, source, columns, options = _parse(arguments)
    # Whatever can be known to fail does so now: weights, device, columns, file.
    empty = classifier.classify([])
    with outputs.as_request():
        answers = empty.annotate(table[:0], columns, overwrite=output.overwrite)
    if output.overwrite:
        outputs.tell_replaced(empty.to_table(columns).colnames, table.colnames)
    output.try_out(table, answers)
    start = time.monotonic()
    progress = {'progress_bar': not arguments.quiet}
    if source is not None:
        predictions = classifier.classify_table(
            table, survey=source, size=size, bands=options['bands'], **progress
        )
    elif rows is None:
        predictions = classifier.classify_table(
            table, mosaic=arguments.mosaic, size=size, **options, **progress
        )
    else:
        predictions = classifier.classify(rows, size=size, **options, **progress)
    annotated = predictions.annotate(table, columns, overwrite=output.overwrite)
    output.write(annotated)
    if not arguments.quiet:
        names = ' + '.join(card.name for card in classifier.cards)
        used = f'{names}, {time.monotonic() - start:.1f} s'
        print(outputs.summarise(predictions, rows, used))
        print(
            f'wrote {output.path}: {len(table)} rows, {len(annotated.colnames)} columns'
        )
    return 0 if predictions.is_predicted.any() or not len(table) else 1


def _predict_files(arguments):
    from galmorph.cli import outputs

    classifier, source, columns, options = _parse(arguments)
    # Weights that are not there are found out first.
    empty = classifier.classify([])
    with outputs.as_request():
        names = empty.to_table(columns).colnames
    return annotate(
        arguments, classifier, source, names=names, columns=columns, **options
    )


def _parse(arguments):
    """The classifier, the survey, the columns, and how to read images."""
    from galmorph.cli import inputs, outputs

    columns = inputs.parse_names(arguments.columns)
    if columns in (['all'], ['best']):
        columns = columns[0]
    options = {
        'hdu': inputs.parse_hdu(arguments.hdu),
        'bands': inputs.parse_names(arguments.bands),
        'unit': arguments.unit,
    }
    with outputs.as_request():
        zooms = inputs.parse_zooms(arguments.zooms, arguments.transforms)
    classifier = _classifier(arguments, n_transforms=arguments.transforms, zooms=zooms)
    # Processes of the classifier need the same networks.
    classifier.preloaded = arguments.preload
    source = None
    if arguments.survey is not None:
        source = create_source(arguments, recipe=classifier.recipe)
        _check_survey(source, options)
    return classifier, source, columns, options


def _check_survey(source, options):
    from astropy.coordinates import SkyCoord

    from galmorph.cli.outputs import RequestError, as_request

    for name in ('hdu', 'unit'):
        if options[name] is not None:
            msg = f'--{name} is for images of your own, not for those of a survey'
            raise RequestError(msg)
    # 'gri' are three.
    if options['bands'] is not None and len(options['bands']) == 1:
        options['bands'] = options['bands'][0]
    with as_request():
        source.targets(SkyCoord([], [], unit='deg'), bands=options['bands'])


def _weights_list(_):
    from galmorph import conf, list_weights, load_card

    names = list_weights()
    width = max(map(len, names), default=0)
    for name in names:
        card = load_card(name)
        mark = '*' if name == conf.default_weights else ' '
        print(
            f'{mark} {name:{width}}  {card.size / 1e6:5.1f} MB  {card.schema}  '
            f'{card.instrument}  {card.title}'
        )


def _weights_show(arguments):
    from galmorph import load_card

    print(load_card(arguments.name).summary())


def _info(_):
    from galmorph.cli.outputs import describe_installation

    print(describe_installation())
