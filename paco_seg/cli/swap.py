"""Give an existing config another training loss.

    paco-seg swap CONFIG --system NAME[+NAME] [-o OUT] [--set key=value ...]
    paco-seg swap --list
    paco-seg swap --check-all mmseg [--system NAME|all] [--with-ops] [-o RESULTS.json]

CONFIG is a file, or a packaged config such as mmseg::pspnet/pspnet_r50-d8_4xb2-80k_....py. The
model of the new config is built (without memory, weights or downloads) before it is written.
``--list`` names the systems. Those that need class frequencies take them from
``--frequency-file``, or from the file that ``paco-seg statistics`` writes for CONFIG, beside OUT or
in the current folder; without such a file, or with one of other data, the training set is counted.
``gpaco`` uses a file for ``alpha='auto'`` where there is one.
``--check-all`` tries systems on every stock config of a package and lists those that do not work.
"""

import argparse
import glob
import math
import os
import sys
import tempfile
from dataclasses import replace
from functools import cache, partial
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config

from paco_seg.cli.statistics import (
    LOADER,
    default_name,
    fingerprint,
    other_data,
    write_statistics,
)
from paco_seg.cli.stock_configs import check_all, pretended_frequency
from paco_seg.compat import pretend_compiled_operations
from paco_seg.core.frequency import load_class_frequency
from paco_seg.engine.cli import PLUGINS, scope_of
from paco_seg.engine.config_options import ConfigOptions
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.model_changes import (
    ModelChange,
    build_without_memory,
    read_config,
)
from paco_seg.engine.parallel import check_jobs
from paco_seg.engine.stages import EXPECTED, failing_part, reason, stage
from paco_seg.engine.systems import MISSING_WEIGHTS, SystemInputs, Systems, TrainingSystem
from paco_seg.engine.variants import FIXED, resolve_variant
from paco_seg.files import check_output, write_text

# MMEngine puts the folder of the config file in its place.
HERE = '{{ fileDirname }}'
TASKS = {'mmseg': 'segmentation', 'mmpretrain': 'classification'}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', nargs='?', help='config file, or package::config')
    parser.add_argument(
        '-o', '--out', help='file to write; default: print. With --check-all: JSON of the counts'
    )
    parser.add_argument(
        '--system',
        '--method',
        default='gpaco',
        help='training system, or two as NAME+NAME; default: gpaco. See --list',
    )
    parser.add_argument('--list', action='store_true', help='list the systems of both tasks')
    parser.add_argument(
        '--heads',
        choices=['main', 'all'],
        default='main',
        help='main: the head that predicts; all: auxiliary heads and cascades too',
    )
    parser.add_argument('--alpha', help="weight of a sample positive, or 'auto'")
    parser.add_argument('--temperature', type=float, help='temperature of the similarities')
    parser.add_argument(
        '--set',
        '--loss-options',
        dest='loss_options',
        metavar='KEY=VALUE',
        nargs='+',
        action=ConfigOptions,
        default={},
        help='settings of the system, as key=value, such as loss_weight=0.1 or '
        'warmup_iters=1000 for training from scratch; of one of two systems as NAME.key=value',
    )
    parser.add_argument(
        '--frequency-file',
        help='class frequencies, counted into this file if it does not exist; '
        'default: CONFIG-NAME_class-frequency.json beside OUT or in the current folder',
    )
    parser.add_argument(
        '--weights',
        help='checkpoint that the system starts from: of ce for crt, a pretrained one for lift',
    )
    parser.add_argument('--check-all', choices=list(PLUGINS), help='try every stock config')
    parser.add_argument('--jobs', type=int, default=check_jobs(None), help='for --check-all')
    parser.add_argument(
        '--with-ops',
        action='store_true',
        help='for --check-all: build models as if mmcv had compiled operations (MMDetection has to '
        'be installed)',
    )
    parser.set_defaults(usage_error=parser.error)


def settings_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return the settings of the system from the command line."""
    settings = dict(args.loss_options)
    if args.alpha is not None:
        settings['alpha'] = args.alpha if args.alpha == 'auto' else finite('--alpha', args.alpha)
    if args.temperature is not None:
        settings['temperature'] = finite('--temperature', args.temperature)
    if args.heads != 'main':
        settings['heads'] = args.heads
    return settings


def finite(key: str, text: str | float) -> float:
    """Return a number of the command line; a written config cannot name inf or nan."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f'{key}: expected a finite number, got {text!r}. Give another value')
    return value


def systems_of(scope: str) -> Systems:
    """Return the systems of a task, by the ``default_scope`` of its configs."""
    return import_module(f'{PLUGINS[scope]}.systems').SYSTEMS


def resolved(systems: Systems, name: str) -> TrainingSystem:
    """Return a system by its name, or by the name that it has in a config (region_rebalance)."""
    base, *settings = name.split(FIXED)
    return resolve_variant(systems, FIXED.join([base.replace('_', '-'), *settings]))


def list_systems() -> None:
    """Print one line per system and task."""
    for scope, task in TASKS.items():
        systems = systems_of(scope)
        width = max(map(len, systems))
        print(f'{task}:')
        for name, system in systems.items():
            print(f'  {name:<{width}}  {system.summary}')
        if systems.combinations():
            print(f'  together: {", ".join(systems.combinations())}')


def frequency_file(config: str, folder: Path, given: str | None, *, required: bool) -> Path | None:
    """Find the class frequencies of a config's training set, or count them.

    Args:
        config: the config to change.
        folder: where the new config is going to be.
        given: value of ``--frequency-file``.
        required: whether the system is about them; else they are only used where they are.

    Returns:
        The file; None if there is none and none is required.

    Raises:
        ValueError: there is no file, and the training set cannot be counted; or the one that is
            given counted other data.
    """
    target = Path(given) if given else folder / default_name(config)
    found, identity = None, cache(partial(identify, config))
    for place in [target] if given else known_files(config, folder):
        if not place.is_file():
            continue
        found = other_data(place, identity, '--frequency-file')
        if found is None:
            return place
        if given:
            raise ValueError(
                f'--frequency-file: expected the class frequencies of what {config} trains on, got '
                f'{given}, which is of other data. Give a name that does not exist, or leave it out'
            )
    if not (given or required or found):
        return None
    if target.is_file() and found is not None:  # a config that names it keeps its counts
        former, target = target, folder / default_name(config, found)
        print(f'{former}: is of other data; counting into {target}', file=sys.stderr)
    else:
        print(f'{target}: does not exist; counting the training set of {config}', file=sys.stderr)
    check_output(target, inputs=[config], suffixes=('.json',), key='--frequency-file')
    try:
        write_statistics(config, target, jobs=check_jobs(None))
    except EXPECTED as error:
        raise ValueError(
            f'--frequency-file: expected the class frequencies of the training set, got none at '
            f'{target}, and it cannot be counted here: {reason(error)}. Where the data are, run '
            f'`paco-seg statistics {config} -o {target.name}`, then give that file'
        ) from error
    return target


def known_files(config: str, folder: Path) -> list[Path]:
    """Return where counts of a config may be: the newest of the folder, then the current one.

    Counts of data that have changed since, or of another config of that name, are beside others.
    """
    name = default_name(config)
    pattern = f'{glob.escape(Path(config).stem)}-{"[0-9a-f]" * 8}_class-frequency.json'
    # Where statistics leaves them, too.
    others = [path for place in dict.fromkeys((folder, Path())) for path in place.glob(pattern)]
    here = [path for path in (folder / name, *others) if path.is_file()]
    return [*sorted(here, key=lambda path: path.stat().st_mtime, reverse=True), Path(name)]


def identify(config: str, former: bool) -> str:
    """Return the fingerprint of what a config trains on, for which all files are listed."""
    cfg, scope = read_data_config(config)
    return fingerprint(cfg, scope, LOADER, former=former)


def reference(path: Path, out: str | None) -> str:
    """Return how a config, written to ``out``, names a file: beside it they can be moved together.

    Printed, without ``out``, it names the file as it was given.
    """
    if out is None:
        return path.as_posix()
    folder = Path(out).resolve().parent
    if path.is_absolute() and path.resolve().parent != folder:
        return path.as_posix()
    # MMEngine writes the folder into the text of the config, between quotes.
    if "'" in f'{folder}{os.path.abspath(out)}':
        return path.resolve().as_posix()
    return f'{HERE}/{Path(os.path.relpath(path, folder)).as_posix()}'


def inputs_of(
    args: argparse.Namespace, cfg: Config, system: TrainingSystem, settings: dict[str, Any]
) -> SystemInputs:
    """Return what a system gets beside config and settings; counts classes if it needs them.

    Args:
        args: the command line.
        cfg: the config to change, parsed.
        system: what it becomes.
        settings: of the system; a ``frequency_file`` among them is taken out.

    Raises:
        ValueError: two files are given, the system takes none, needs one that cannot be had, or
            cannot serve the config.
    """
    given, named = args.frequency_file, settings.get('frequency_file')
    takes_weights = system.trains and (system.source or system.needs.pretrained_transformer)
    if args.weights and not takes_weights:
        own = '; its setting of that name is --set weights=VALUE' * ('weights' in system.settings)
        raise ValueError(
            f'--weights: expected none for {system.name!r}, which starts as the config does, got '
            f'{args.weights!r}. Put load_from into the config{own}'
        )
    inputs = SystemInputs(weights=args.weights)
    if 'frequency_file' in settings and given:
        raise ValueError(
            f'--frequency-file: expected one file, got {given!r} and --set '
            f'frequency_file={named!r}. Leave one out'
        )
    if named is not None:
        return replace(inputs, frequency_file=settings.pop('frequency_file'))
    if 'frequency_file' in settings:
        return inputs
    if not (system.needs.class_frequencies or system.needs.takes_frequencies):
        if given and cfg.default_scope == 'mmpretrain':
            raise ValueError(
                f'--frequency-file: expected none for a classification config, got {given!r}. '
                "class_prior='auto' and alpha='auto' count the training set themselves"
            )
        if given:
            raise ValueError(
                f'--frequency-file: expected none for {system.name!r}, got {given!r}. Leave it out'
            )
        return inputs
    folder = Path(args.out).resolve().parent if args.out else Path.cwd()
    with stage(f'while looking for the class frequencies of {args.config}'):
        # A head that cannot carry the system is refused before its data are counted.
        pretended = pretended_frequency(cfg)
        system.changes(cfg, settings, replace(inputs, frequency_file='x.json', frequency=pretended))
        found = frequency_file(args.config, folder, given, required=system.needs.class_frequencies)
    if found is None:
        return inputs
    name = reference(found, args.out)
    frequency = load_class_frequency(found, '--frequency-file')
    return replace(inputs, frequency_file=name, frequency=frequency)


def swap(
    cfg: Config,
    base: str,
    folder: str | Path,
    system: TrainingSystem,
    settings: dict[str, Any],
    inputs: SystemInputs,
) -> tuple[str, list[ModelChange]]:
    """Return the text of the new config and its changes, after its model has been built.

    Args:
        cfg: the config to change, parsed.
        base: how the new config refers to it, from ``folder``.
        folder: where the new config is going to be.
        system: what it becomes.
        settings: of the system.
        inputs: of the system.
    """
    text = system.render(base, cfg, settings, inputs)
    # What is built is what was written, parsed again; elsewhere, since who only prints may have no
    # right to write in the current folder.
    with tempfile.TemporaryDirectory(prefix='swap_loss_') as trial:
        path = Path(trial) / 'config.py'
        base_there = base if '::' in base else os.path.abspath(os.path.join(folder, base))
        trial_text = system.render(base_there, cfg, settings, inputs)
        path.write_text(
            trial_text.replace(HERE, Path(folder).resolve().as_posix()), encoding='utf-8'
        )
        built = Config.fromfile(path)
        with stage(lambda error: f'while building {failing_part(error, built.model, "model")}'):
            build_without_memory(built)
    return text, system.changes(cfg, settings, inputs)


def run(args: argparse.Namespace) -> None:
    """List the systems, swap one config, or try all."""
    if sum((args.list, args.config is not None, args.check_all is not None)) != 1:
        args.usage_error('expected either CONFIG or --check-all, or --list')
    if args.list:
        list_systems()
        return
    if args.with_ops and not args.check_all:
        args.usage_error('--with-ops: expected --check-all beside it')
    settings = settings_of(args)
    if args.check_all:
        if args.with_ops:
            pretend_compiled_operations()
        systems = systems_of(args.check_all)
        names = [*systems, *systems.combinations()] if args.system == 'all' else [args.system]
        chosen = [resolved(systems, name).name for name in names]
        if args.out:
            check_output(args.out, suffixes=('.json',))
        check_all(args.check_all, chosen, settings, jobs=args.jobs, out=args.out)
        return
    if args.out:
        inputs = [] if '::' in args.config else [args.config]
        check_output(args.out, inputs=inputs, suffixes=('.py',))
    folder = Path(args.out).resolve().parent if args.out else Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    cfg = read_config(args.config)
    scope = scope_of(cfg, args.config)
    system = resolved(systems_of(scope), args.system)
    given = inputs_of(args, cfg, system, settings)
    base = args.config
    if '::' not in base:
        # MMEngine takes `..` out of a path as text: through a link it leads elsewhere.
        linked = args.out and Path(os.path.abspath(args.out)).parent != folder
        base = Path(os.path.abspath(base) if linked else os.path.relpath(base, folder)).as_posix()
    with stage(f'while swapping the loss of {args.config}'):
        text, changes = swap(cfg, base, folder, system, settings, given)
    if args.out:
        write_text(args.out, text)
        print(f'{args.out}: inherits {base}; the model builds. Changed:')
    else:
        print(text)
        print('The model builds. Changed:')
    report(cfg, scope, system, changes, {'frequency_file': given.frequency_file, **settings})
    if system.trains and system.source and not given.weights:
        print(missing_weights(system))


def missing_weights(system: TrainingSystem) -> str:
    """Say which file a system starts from that was given none."""
    return (
        f'{system.source_key}: {MISSING_WEIGHTS.format(system.source)!r} stands for a checkpoint '
        f'of {system.source!r}, trained on the same config and data: put its path there before '
        'training, or give --weights FILE here'
    )


def report(
    cfg: Config,
    scope: str,
    system: TrainingSystem,
    changes: list[ModelChange],
    settings: dict[str, Any],
) -> None:
    """Print what was changed, and what to know before training."""
    for change in changes:
        shown = ', '.join(f'{key}={value!r}' for key, value in change.settings.items())
        print(f'  {change.key}: {shown}')
    if not changes:
        print(f'  nothing: the config is {system.name!r} as it is')
    if not system.trains:
        print(f'{system.name}: test this config with weights of {system.source!r}; do not train it')
    for line in import_module(f'{PLUGINS[scope]}.loss_swap').advice(
        cfg, method=system.name, **settings
    ):
        print(line)
