"""The command line: ``paco-seg COMMAND ...``, also as ``python -m paco_seg COMMAND ...``.

A command is a module of this folder. The first line of its docstring is its help, its function
``add_arguments(parser)`` declares its arguments and ``run(args)`` does the work and raises what
goes wrong. A module is imported when its command is asked for: ``paco-seg --help`` loads neither
PyTorch nor MM.
"""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import import_module

from paco_seg.version import __version__

# Command -> its module, and the first line of the module's docstring (a test compares them).
COMMANDS = {
    'train': ('paco_seg.cli.train', 'Train a segmentor or a classifier; the config decides which.'),
    'test': ('paco_seg.cli.test', 'Test checkpoints of a segmentor or a classifier.'),
    'predict': (
        'paco_seg.cli.predict',
        'Predict images with a trained model: label maps, confidences, pictures, a gallery.',
    ),
    'compare': (
        'paco_seg.cli.compare',
        'Train systems on a config and its data, and say which one helps.',
    ),
    'swap': ('paco_seg.cli.swap', 'Give an existing config another training loss.'),
    'statistics': ('paco_seg.cli.statistics', 'Count how often each class occurs in a data set.'),
    'check-data': ('paco_seg.cli.check_data', 'Check the files of a data set.'),
    'prepare': (
        'paco_seg.cli.prepare',
        "Write a benchmark's images and label maps as its config reads them.",
    ),
    'convert': ('paco_seg.cli.convert', "Convert a checkpoint of the authors' code."),
    'export': (
        'paco_seg.cli.export',
        'Export a trained model to ONNX or torch.export, and check that its outputs agree.',
    ),
    'publish': ('paco_seg.cli.publish', 'Make a small, self-contained model of a checkpoint.'),
    'demo-data': ('paco_seg.cli.demo_data', 'Write the demo data sets, offline.'),
    'plot': (
        'paco_seg.cli.plot',
        'Compare the per-class results of runs in one picture, or look into a trained model.',
    ),
}


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Parse a command line.

    Args:
        argv: words after the name of the program.

    Returns:
        The arguments; ``args.run`` is the function of the command, ``args.traceback`` is not for
        it.

    Raises:
        SystemExit: help was asked for, or the command line is wrong (status 2).
    """
    parser = argparse.ArgumentParser(
        prog='paco-seg',
        description='Parametric contrastive learning for MMSegmentation and MMPretrain.',
        epilog='`paco-seg COMMAND --help` shows the arguments of a command.',
    )
    parser.add_argument('--version', action='version', version=f'paco_seg {__version__}')
    commands = parser.add_subparsers(metavar='COMMAND', dest='command', required=True)
    for name, (module_name, summary) in COMMANDS.items():
        asked_for = list(argv[:1]) == [name]
        module = _import_command(module_name) if asked_for else None
        command = commands.add_parser(
            name,
            help=summary,
            description=module.__doc__ if module else summary,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if module:
            module.add_arguments(command)
            command.add_argument(
                '--traceback', action='store_true', help='show where an error comes from'
            )
            command.set_defaults(run=module.run)
    return parser.parse_args(argv)


def _import_command(name: str):
    from paco_seg import compat

    compat.setup()  # ahead of the MM imports: one clear error where a package is missing
    return import_module(name)


def run(argv: Sequence[str]) -> None:
    """Run a command; what goes wrong is raised."""
    args = parse(argv)
    del args.traceback
    args.run(args)


def main(argv: Sequence[str] | None = None) -> None:
    """Run a command as a program: what goes wrong ends it with one or two lines.

    Args:
        argv: words after the name of the program, from ``sys.argv`` by default.

    Raises:
        SystemExit: with status 2 for a failure that its lines explain, 1 for one that needs the
            traceback, 130 after Ctrl-C.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == 'strict':
        # As for the standard error: the name of a file may have letters that it cannot print.
        sys.stdout.reconfigure(errors='backslashreplace')
    try:
        args = parse(sys.argv[1:] if argv is None else argv)
    except ImportError as error:
        print(f'paco-seg: {error}', file=sys.stderr)
        sys.exit(2)
    program = f'paco-seg {args.command}'
    show_traceback = vars(args).pop('traceback')
    if argv is None and args.command == 'compare':
        from paco_seg.comparison.process import allow_forks

        allow_forks()  # a program that has just started
    try:
        args.run(args)
    except KeyboardInterrupt as interrupt:
        print(f'{program}: {interrupt or "interrupted"}', file=sys.stderr)
        sys.exit(130)
    except Exception as error:
        from paco_seg.engine.stages import report

        sys.exit(report(error, program=program, show_traceback=show_traceback))
