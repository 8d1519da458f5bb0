"""Give an existing config another training loss.

    paco-seg swap CONFIG [-o OUT] [--alpha 0.02] ...
    paco-seg swap --check-all mmseg

CONFIG is a file, or a packaged config such as mmseg::pspnet/pspnet_r50-d8_4xb2-80k_....py. The
model of the new config is built (without memory, weights or downloads) before it is written.
``ceco`` and ``region_rebalance`` take their prior from class frequencies: those of
``--frequency-file``, or of the file that ``paco-seg statistics`` writes for CONFIG, beside OUT or
in the current folder; without a file the training set is counted. ``gpaco`` uses such a file for
``alpha='auto'`` where there is one.
``--check-all`` does this with every stock config of a package and lists those that do not work.
"""

import argparse
import math
import os
import sys
import tempfile
import warnings
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config, DictAction

from paco_seg.cli.statistics import default_name, write_statistics
from paco_seg.engine.cli import PLUGINS, scope_of
from paco_seg.engine.model_changes import (
    build_without_memory,
    read_config,
    render_config,
)
from paco_seg.engine.parallel import check_jobs, map_in_parallel
from paco_seg.engine.stages import EXPECTED, failing_part, reason, stage
from paco_seg.files import check_output, write_text

# MMEngine puts the folder of the config file in its place.
HERE = '{{ fileDirname }}'


class Outcome(NamedTuple):
    """What became of one stock config: 'swapped', 'refused' or 'not buildable', and why."""

    name: str
    state: str
    reason: str = ''


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', nargs='?', help='config file, or package::config')
    parser.add_argument('-o', '--out', help='file to write; default: print the new config')
    parser.add_argument('--method', default='gpaco', help='training system, default: gpaco')
    parser.add_argument(
        '--heads',
        choices=['main', 'all'],
        default='main',
        help='main: the head that predicts; all: auxiliary heads and cascades too',
    )
    parser.add_argument('--alpha', help="weight of a sample positive, or 'auto'")
    parser.add_argument('--temperature', type=float, help='temperature of the similarities')
    parser.add_argument(
        '--loss-options',
        nargs='+',
        action=DictAction,
        default={},
        help='further settings of the loss, as key=value, such as loss_weight=0.2 or '
        'warmup_iters=1000 for training from scratch',
    )
    parser.add_argument(
        '--frequency-file',
        help='class frequencies for segmentation, counted into this file if it does not exist; '
        'default: CONFIG-NAME_class-frequency.json beside OUT or in the current folder',
    )
    parser.add_argument('--check-all', choices=list(PLUGINS), help='try every stock config')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='for --check-all')
    parser.set_defaults(usage_error=parser.error)


def swap_options(args: argparse.Namespace) -> dict[str, Any]:
    """Keyword arguments of ``loss_changes`` from the command line."""
    options = dict(args.loss_options, method=args.method, heads=args.heads)
    if args.alpha is not None:
        options['alpha'] = args.alpha if args.alpha == 'auto' else finite('--alpha', args.alpha)
    if args.temperature is not None:
        options['temperature'] = finite('--temperature', args.temperature)
    return options


def finite(key: str, text: str | float) -> float:
    """Return a number of the command line; a written config cannot name inf or nan."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f'{key}: expected a finite number, got {text!r}. Give another value')
    return value


def scope_module(cfg: Config, source: str) -> Any:
    """The module that knows the losses of this config's package."""
    return import_module(f'{PLUGINS[scope_of(cfg, source)]}.loss_swap')


def frequency_file(config: str, folder: Path, given: str | None, *, required: bool) -> Path | None:
    """Find the class frequencies of a config's training set, or count them.

    Args:
        config: the config to change.
        folder: where the new config is going to be.
        given: value of ``--frequency-file``.
        required: whether the method is about them; else they are only used where they are.

    Returns:
        The file; None if there is none and none is required.

    Raises:
        ValueError: there is no file, and the training set cannot be counted.
    """
    name = default_name(config)
    places = [Path(given)] if given else [folder / name, Path(name)]
    for place in places:
        if place.is_file():
            return place
    if not (given or required):
        return None
    check_output(places[0], inputs=[config], suffixes=('.json',), key='--frequency-file')
    print(f'{places[0]}: does not exist; counting the training set of {config}', file=sys.stderr)
    try:
        write_statistics(config, places[0], jobs=check_jobs(None))
    except EXPECTED as error:
        raise ValueError(
            f'--frequency-file: expected the class frequencies of the training set, got none at '
            f'{places[0]}, and it cannot be counted here: {reason(error)}. Where the data are, run '
            f'`paco-seg statistics {config} -o {places[0].name}`, then give that file'
        ) from error
    return places[0]


def reference(path: Path, folder: Path, *, written: bool) -> str:
    """Return how a config in ``folder`` names a file: beside it they can be moved together."""
    beside = path.resolve().parent == folder.resolve()
    if not written or (path.is_absolute() and not beside):
        return path.as_posix()
    return f'{HERE}/{Path(os.path.relpath(path, folder)).as_posix()}'


def swap(source: str, base: str, folder: str | Path, options: dict[str, Any]) -> tuple[str, list]:
    """Text of the new config and its changes, after its model has been built.

    Args:
        source: the config to change.
        base: how the new config refers to it, from ``folder``.
        folder: where the new config is going to be.
        options: keyword arguments of ``loss_changes``.
    """
    cfg = read_config(source)
    scope = scope_module(cfg, source)
    changes = scope.loss_changes(cfg, **options)
    text = render_config(base, cfg, changes, scope.IMPORTS, scope.HOOKS)
    # What is built is what was written: parsed again, from the folder it will be used in.
    with tempfile.TemporaryDirectory(dir=folder, prefix='.swap_loss_') as trial:
        path = Path(trial) / 'config.py'
        base_there = base if '::' in base or Path(base).is_absolute() else f'../{base}'
        trial_text = render_config(base_there, cfg, changes, scope.IMPORTS, scope.HOOKS)
        path.write_text(
            trial_text.replace(HERE, Path(folder).resolve().as_posix()), encoding='utf-8'
        )
        built = Config.fromfile(path)
        with stage(lambda error: f'while building {failing_part(error, built.model, "model")}'):
            build_without_memory(built)
    return text, changes


def one_line(error: BaseException) -> str:
    """The first line of an error's message, or its type."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return f'{type(error).__name__}: {lines[0].strip()}' if lines else type(error).__name__


def try_stock_config(path: str, folder: Path, options: dict[str, Any]) -> Outcome:
    """Swaps one stock config; tells a refusal from a model that cannot be built either way."""
    warnings.simplefilter('ignore')
    name = str(Path(path).relative_to(folder))
    try:
        with tempfile.TemporaryDirectory() as scratch:
            swap(path, path, scratch, options)
        return Outcome(name, 'swapped')
    except Exception as error:  # any package may raise anything: the list is the purpose
        swap_error = error
    try:
        build_without_memory(read_config(path))
    except Exception as error:
        return Outcome(name, 'not buildable', f'stock model: {one_line(error)}')
    return Outcome(name, 'refused', one_line(swap_error))


def _try_shared(shared: tuple[Path, dict[str, Any]], path: str) -> Outcome:
    return try_stock_config(path, *shared)


def check_all(scope: str, jobs: int, options: dict[str, Any]) -> None:
    """Tries every stock config of a package and prints the count and the exceptions."""
    import_module(PLUGINS[scope])
    # Whether the model builds does not depend on the counts of data that are not there.
    methods = import_module(f'{PLUGINS[scope]}.loss_swap').FREQUENCY_METHODS
    if options.get('method') in methods:
        options = {'frequency_file': None, **options}
    folder = Path(str(import_module(scope).__file__)).parent / '.mim' / 'configs'
    paths = [str(path) for path in folder.rglob('*.py') if '_base_' not in path.parts]
    outcomes = list(
        map_in_parallel(_try_shared, (folder, options), sorted(paths), jobs, chunksize=8)
    )
    counts = {state: 0 for state in ('swapped', 'refused', 'not buildable')}
    print()
    for outcome in outcomes:
        counts[outcome.state] += 1
        if outcome.reason:
            print(f'{outcome.state}: {outcome.name}: {outcome.reason}')
    print(
        f'{counts["swapped"]} of {len(outcomes)} stock configs of {scope} swapped and built; '
        f'{counts["refused"]} refused; {counts["not buildable"]} whose stock model does not build '
        'here'
    )


def with_frequencies(
    args: argparse.Namespace, folder: Path, options: dict[str, Any]
) -> dict[str, Any]:
    """Return the options with ``frequency_file``, where the method takes one and there is one.

    Raises:
        ValueError: two files are given, the method takes none, or it needs one that cannot be
            had.
    """
    given = args.frequency_file
    if 'frequency_file' in options:
        if given:
            raise ValueError(
                f'--frequency-file: expected one file, got {given!r} and --loss-options '
                f'frequency_file={options["frequency_file"]!r}. Leave one out'
            )
        return options
    cfg = read_config(args.config)
    scope = scope_module(cfg, args.config)
    if not scope.TAKES_FREQUENCIES:
        if given:
            raise ValueError(
                f'--frequency-file: expected none for a classification config, got {given!r}. '
                "class_prior='auto' and alpha='auto' count the training set themselves"
            )
        return options
    with stage(f'while looking for the class frequencies of {args.config}'):
        required = options['method'] in scope.FREQUENCY_METHODS
        # A head that cannot carry the method is refused before its data are counted.
        scope.loss_changes(cfg, **options, frequency_file=None)
        found = frequency_file(args.config, folder, given, required=required)
    if found is None:
        return options
    return {**options, 'frequency_file': reference(found, folder, written=bool(args.out))}


def run(args: argparse.Namespace) -> None:
    """Swaps one config, or tries all."""
    if (args.config is None) == (args.check_all is None):
        args.usage_error('expected either CONFIG or --check-all')
    options = swap_options(args)
    if args.check_all:
        check_all(args.check_all, args.jobs, options)
        return
    if args.out:
        inputs = [] if '::' in args.config else [args.config]
        check_output(args.out, inputs=inputs, suffixes=('.py',))
    folder = Path(args.out).resolve().parent if args.out else Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    options = with_frequencies(args, folder, options)
    base = args.config
    if '::' not in base:
        base = Path(os.path.relpath(base, folder)).as_posix()
    with stage(f'while swapping the loss of {args.config}'):
        text, changes = swap(args.config, base, folder, options)
    if args.out:
        write_text(args.out, text)
        print(f'{args.out}: inherits {base}; the model builds. Changed:')
    else:
        print(text)
        print('The model builds. Changed:')
    for change in changes:
        settings = ', '.join(f'{key}={value!r}' for key, value in change.settings.items())
        print(f'  {change.key}: {settings}')
    cfg = read_config(args.config)
    for line in scope_module(cfg, args.config).advice(cfg, **options):
        print(line)
