"""Count how often each class occurs in a data set.

    paco-seg statistics CONFIG [-o FILE.json] [--plot FILE.png]

Label maps are read as training reads them (``reduce_zero_label``, custom classes); of a
classification config the images per class are counted. The result is the file that
``LongTailIoUMetric`` and class priors read. An interrupted count goes on where it stopped: its
state is beside the result, in ``FILE.json.part``.
"""

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from paco_seg.cli.arguments import PICTURES
from paco_seg.core.frequency import (
    GROUP_THRESHOLDS,
    ClassFrequency,
    counted_data,
    save_class_frequency,
)
from paco_seg.engine.config_options import ConfigOptions
from paco_seg.engine.data_config import read_data_config
from paco_seg.engine.parallel import check_jobs
from paco_seg.engine.stages import EXPECTED
from paco_seg.files import check_output

LOADER = 'train_dataloader'  # whose classes a prior is about


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument('-o', '--out', help='default: CONFIG-NAME_class-frequency.json')
    parser.add_argument('--plot', help='picture of the counts, e.g. frequency.png')
    parser.add_argument('--loader', default='train_dataloader', help='which split to count')
    parser.add_argument('--jobs', type=int, help='processes; default: one per CPU core')
    parser.add_argument(
        '--cfg-options', nargs='+', action=ConfigOptions, help='as in paco-seg train'
    )


def count(
    cfg: Config, scope: str, loader: str, state_file: Path, jobs: int
) -> tuple[ClassFrequency, str]:
    """Count the data set of a loader, by the config's task; return its fingerprint too."""
    if scope == 'mmseg':
        from paco_seg.seg.datasets import label_counts
        from paco_seg.seg.datasets.label_maps import label_maps_of

        datasets = list(label_maps_of(cfg, loader))
        frequency = label_counts.count_labels(datasets, cfg, state_file, jobs)
        return frequency, label_counts.fingerprint(datasets)
    from paco_seg.cls.datasets.check import class_statistics

    classes, images, number = class_statistics(cfg, loader)
    frequency = ClassFrequency(classes, tuple(images.tolist()), None, number)
    return frequency, _hash_of(classes, images.tolist(), number)


def fingerprint(cfg: Config, scope: str, loader: str, *, former: bool = False) -> str:
    """Identify what :func:`count` would count: files and classes, or labels of images.

    Args:
        cfg: the config.
        scope: its task.
        loader: whose data set is counted.
        former: as earlier versions wrote it.
    """
    if scope == 'mmseg':
        from paco_seg.seg.datasets import label_counts
        from paco_seg.seg.datasets.label_maps import label_maps_of

        return label_counts.fingerprint(list(label_maps_of(cfg, loader)), whole_paths=former)
    from paco_seg.cls.datasets.check import class_statistics

    classes, images, number = class_statistics(cfg, loader)
    return _hash_of(classes, images.tolist(), number)


def is_about(counted: str, found: str) -> bool:
    """Tell whether a file about the data ``counted`` is about those of a :func:`fingerprint`.

    A file of earlier versions says the names of label maps alone.
    """
    return counted == found or (' ' not in counted and found.startswith(f'{counted} '))


def other_data(file: Path, identity: Callable[[bool], str], key: str) -> str | None:
    """Return what identifies the data of a config if a file says that it counted others.

    Args:
        file: of counts.
        identity: of the config's data, as files have it now, or (True) had it formerly.
        key: argument to name where the file cannot be read.
    """
    counted = counted_data(file, key)
    if counted is None:
        return None
    try:
        is_known = is_about(counted, identity(False)) or is_about(counted, identity(True))
    except EXPECTED:  # the data are elsewhere: the file is what is known about them
        return None
    return None if is_known else identity(False)


def _hash_of(*counted: Any) -> str:
    return hashlib.sha256(json.dumps(counted).encode()).hexdigest()


def default_name(config: str, data: str | None = None, *, loader: str = LOADER) -> str:
    """Return the name of the file about a config that is given none.

    Args:
        config: its path.
        data: a :func:`fingerprint`, which tells the file from one about other data.
        loader: of the images; a prior is that of the training images, whose file has no further
            word.
    """
    mark = '' if data is None else f'-{hashlib.sha256(data.encode()).hexdigest()[:8]}'
    part = '' if loader == LOADER else f'_{loader.removesuffix("_dataloader")}'
    return f'{Path(config).stem}{mark}{part}_class-frequency.json'


def write_statistics(
    config: str,
    out: Path,
    *,
    loader: str = 'train_dataloader',
    jobs: int,
    options: Mapping[str, Any] | None = None,
) -> ClassFrequency:
    """Count the data set of a loader of a config, write the file and remove the state."""
    state_file = out.with_name(f'{out.name}.part')
    cfg, scope = read_data_config(config, options, to_inherit=False)
    frequency, counted = count(cfg, scope, loader, state_file, jobs)
    save_class_frequency(frequency, out, counted)
    state_file.unlink(missing_ok=True)
    return frequency


def file_of(config: str, cfg: Config, scope: str, loader: str) -> Path:
    """Return the file for the counts of a config that are given no name.

    Counts of other data stay where they are, since a config may name them: those of a config of
    the same name elsewhere, or of what the data were.
    """
    out = Path(default_name(config, loader=loader))
    if not out.is_file():
        return out
    identity = cache(lambda former: fingerprint(cfg, scope, loader, former=former))
    try:
        found = other_data(out, identity, '--out')
    except ValueError:  # damaged: it is counted anew
        return out
    if found is None:
        return out
    other = Path(default_name(config, found, loader=loader))
    print(f'{out}: is of other data; counting into {other}. To replace it: -o {out}')
    return other


def report(frequency: ClassFrequency) -> None:
    """Print the groups, their thresholds and classes that never occur."""
    for by in frequency.kinds:
        head, tail = GROUP_THRESHOLDS[by]
        sizes = {name: len(members) for name, members in frequency.groups(by).items()}
        print(
            f'by {by}: head (>= {head:.1%}) {sizes["head"]}, common {sizes["common"]}, '
            f'tail (< {tail:.1%}) {sizes["tail"]} classes'
        )
    absent = [
        name for name, images in zip(frequency.names, frequency.images, strict=True) if images == 0
    ]
    if absent:
        print(f'in no image: {", ".join(absent)}')


def run(args: argparse.Namespace) -> None:
    """Count, write and report."""
    jobs = check_jobs(args.jobs)
    if args.out:
        out = Path(args.out)
    else:
        cfg, scope = read_data_config(args.config, args.cfg_options, to_inherit=False)
        out = file_of(args.config, cfg, scope, args.loader)
    check_output(out, inputs=[args.config])
    if args.plot:
        check_output(args.plot, inputs=[args.config, out], suffixes=PICTURES, key='--plot')
    frequency = write_statistics(
        args.config, out, loader=args.loader, jobs=jobs, options=args.cfg_options
    )
    print(f'{out}: {frequency.num_images} images, {len(frequency.names)} classes')
    report(frequency)
    if args.plot:
        from paco_seg.comparison.plots import draw_counts

        draw_counts(args.plot, frequency)
        print(args.plot)
