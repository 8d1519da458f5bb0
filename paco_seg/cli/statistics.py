"""Count how often each class occurs in a data set.

    paco-seg statistics CONFIG [-o FILE.json] [--plot FILE.png]

Label maps are read as training reads them (``reduce_zero_label``, custom classes). The result is
the file that ``LongTailIoUMetric`` and class priors read. An interrupted count goes on where it
stopped: its state is beside the result, in ``FILE.json.part``.
"""

import argparse
import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import DictAction

from paco_seg.engine.model_changes import read_config
from paco_seg.seg.class_frequency import (
    GROUP_THRESHOLDS,
    ClassFrequency,
    save_class_frequency,
)
from paco_seg.seg.datasets.label_maps import (
    LabelMaps,
    label_maps_of,
    map_in_parallel,
)

# Images per task and per update of the state file: enough to hide both, few enough to lose
# little and to show progress.
CHUNK = 32


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument('-o', '--out', help='default: CONFIG-NAME_class-frequency.json')
    parser.add_argument('--plot', help='picture of the counts, e.g. frequency.png')
    parser.add_argument('--loader', default='train_dataloader', help='which split to count')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as in paco-seg train')


def count_chunk(datasets: Sequence[LabelMaps], task: tuple[int, int, int]) -> np.ndarray:
    """(2, C) int64 counts of images and pixels.

    Args:
        datasets: what is counted.
        task: number of the dataset, first image, and the image after the last.
    """
    number, start, stop = task
    maps = datasets[number]
    counts = np.zeros((2, len(maps.classes)), dtype=np.int64)
    for info in maps.infos[start:stop]:
        labels = maps.labels(info)
        found = np.bincount(labels[labels != maps.ignore_index].ravel(), minlength=counts.shape[1])
        if len(found) > counts.shape[1]:
            raise ValueError(
                f'{info["seg_map_path"]}: expected labels in [0, {counts.shape[1]}) or '
                f'{maps.ignore_index}, got {len(found) - 1}. Find all such files with '
                '`paco-seg check-data CONFIG`.'
            )
        counts += np.stack([found > 0, found])
    return counts


def fingerprint(datasets: Sequence[LabelMaps]) -> str:
    """Tells whether a state file is about the same files and classes."""
    content = [
        [maps.classes, [(info['seg_map_path'], info['reduce_zero_label']) for info in maps.infos]]
        for maps in datasets
    ]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def count(datasets: Sequence[LabelMaps], state_file: Path, jobs: int) -> ClassFrequency:
    """Counts all datasets together; goes on from ``state_file`` if it is about the same files.

    Raises:
        ValueError: the datasets have other classes than the first, or a label is no class.
    """
    classes = datasets[0].classes
    for maps in datasets[1:]:
        if maps.classes != classes:
            raise ValueError(
                f'{maps.key}: expected the classes of {datasets[0].key}, got others. Count the '
                'datasets one by one.'
            )
    state: dict[str, Any] = dict(
        files=fingerprint(datasets), done=0, counts=[[0] * len(classes)] * 2
    )
    if state_file.is_file():
        earlier = json.loads(state_file.read_text())
        if earlier['files'] == state['files']:
            state = earlier
            print(f'{state_file}: going on after {CHUNK * state["done"]} images')
    counts = np.asarray(state['counts'], dtype=np.int64)
    tasks = [
        (number, start, min(start + CHUNK, len(maps.infos)))
        for number, maps in enumerate(datasets)
        for start in range(0, len(maps.infos), CHUNK)
    ]
    remaining = tasks[state['done'] :]
    for chunk in map_in_parallel(count_chunk, datasets, remaining, jobs):
        counts += chunk
        state.update(done=state['done'] + 1, counts=counts.tolist())
        write_state(state, state_file)
    num_images = sum(len(maps.infos) for maps in datasets)
    images, pixels = map(tuple, counts.tolist())
    return ClassFrequency(classes, images, pixels, num_images)


def write_state(state: dict, path: Path) -> None:
    """Replaces the state file; an interruption leaves the old or the new one."""
    unfinished = path.with_name(f'{path.name}.new')
    unfinished.write_text(json.dumps(state))
    unfinished.replace(path)


def plot(frequency: ClassFrequency, path: str) -> None:
    """Draws the counts by falling number of images, coloured by group."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot as plt

    figure, panels = plt.subplots(1, 2, figsize=(12, 4), layout='constrained')
    for panel, by in zip(panels, GROUP_THRESHOLDS, strict=True):
        counts = frequency.counts(by)
        first = 0
        for color, (group, members) in zip(
            ('tab:blue', 'tab:orange', 'tab:red'), frequency.groups(by).items(), strict=True
        ):
            places = range(first, first + len(members))
            panel.bar(places, counts[members], 1.0, color=color, label=f'{group} ({len(members)})')
            first += len(members)
        panel.set(yscale='log', xlabel='class, by falling count', ylabel=f'training {by}')
        panel.legend()
    figure.savefig(path)
    plt.close(figure)


def report(frequency: ClassFrequency) -> None:
    """Prints the groups, their thresholds and classes that never occur."""
    for by, (head, tail) in GROUP_THRESHOLDS.items():
        sizes = {name: len(members) for name, members in frequency.groups(by).items()}
        print(
            f'by {by}: head (>= {head:.1%}) {sizes["head"]}, common {sizes["common"]}, '
            f'tail (< {tail:.1%}) {sizes["tail"]} classes'
        )
    absent = [
        name
        for name, images in zip(frequency.classes, frequency.images, strict=True)
        if images == 0
    ]
    if absent:
        print(f'in no image: {", ".join(absent)}')


def run(args: argparse.Namespace) -> None:
    """Counts, writes, and removes the state."""
    cfg = read_config(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    out = Path(args.out or f'{Path(args.config).stem}_class-frequency.json')
    out.parent.mkdir(parents=True, exist_ok=True)
    state_file = out.with_name(f'{out.name}.part')
    frequency = count(list(label_maps_of(cfg, args.loader)), state_file, args.jobs)
    save_class_frequency(frequency, out)
    state_file.unlink(missing_ok=True)
    print(f'{out}: {frequency.num_images} images, {len(frequency.classes)} classes')
    report(frequency)
    if args.plot:
        plot(frequency, args.plot)
        print(args.plot)
