"""Check the files of a data set.

    paco-seg check-data CONFIG

Reads every image and label map of the train, val and test loaders as training does, names every
bad file and exits with status 1 if there is one: pairs with a missing half, files that cannot be
read, label values that are no class, and label maps of another size than their image.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from mmengine.config import DictAction
from PIL import Image, UnidentifiedImageError

from paco_seg.engine.cli import LOADERS
from paco_seg.engine.model_changes import read_config
from paco_seg.seg.datasets.label_maps import (
    LabelMaps,
    label_maps_of,
    map_in_parallel,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the command line."""
    parser.add_argument('config', help='config file, or package::config')
    parser.add_argument('--loaders', nargs='+', default=list(LOADERS), help='default: all three')
    parser.add_argument('--jobs', type=int, default=os.cpu_count(), help='processes')
    parser.add_argument('--cfg-options', nargs='+', action=DictAction, help='as in paco-seg train')


def check_pair(datasets: Sequence[LabelMaps], task: tuple[int, int]) -> list[str]:
    """Problems of one image and its label map, each ``file: what is wrong``."""
    number, index = task
    maps = datasets[number]
    info = maps.infos[index]
    image, label_map = Path(info['img_path']), Path(info['seg_map_path'])
    problems = []
    size = labels = None
    if not image.is_file():
        problems.append(f'{image}: missing image of {label_map}')
    else:
        try:
            check_complete(image)
            size = maps.image_size(info)
        except Exception as error:  # decoders raise anything
            problems.append(f'{image}: unreadable image ({reason(error)})')
    if not label_map.is_file():
        problems.append(f'{label_map}: missing label map of {image}')
    else:
        try:
            check_complete(label_map)
            labels = maps.labels(info)
        except Exception as error:
            problems.append(f'{label_map}: unreadable label map ({reason(error)})')
    if labels is None:
        return problems
    if labels.ndim != 2:
        return [*problems, f'{label_map}: expected one channel of labels, got {labels.shape}']
    if size is not None and labels.shape != size:
        problems.append(
            f'{label_map}: expected the size of its image, {size[1]}x{size[0]}, got '
            f'{labels.shape[1]}x{labels.shape[0]}'
        )
    values = np.unique(labels)
    wrong = values[(values >= len(maps.classes)) & (values != maps.ignore_index)]
    if len(wrong):
        problems.append(
            f'{label_map}: expected labels in [0, {len(maps.classes)}) or {maps.ignore_index} as '
            f'loaded (reduce_zero_label={maps.dataset.reduce_zero_label}), got {wrong.tolist()}'
        )
    return problems


def check_complete(path: Path) -> None:
    """Raises if a file ends early; OpenCV would fill the rest with grey."""
    try:
        with Image.open(path) as image:
            image.load()
    except UnidentifiedImageError:
        pass  # a format of another decoder: the pipeline's own loading decides


def reason(error: Exception) -> str:
    """One line about an error."""
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def unused_label_maps(maps: LabelMaps) -> Iterator[str]:
    """Label maps without an image, where folders (not lists) define the dataset."""
    dataset = maps.dataset
    folder = Path(dataset.data_prefix.get('seg_map_path') or '')
    if dataset.ann_file or not folder.is_dir():
        return
    used = {Path(info['seg_map_path']) for info in maps.infos}
    for path in sorted(folder.rglob(f'*{dataset.seg_map_suffix}')):
        if path not in used:
            yield f'{path}: label map without an image in {dataset.data_prefix["img_path"]}'


def check(datasets: Sequence[LabelMaps], jobs: int) -> list[str]:
    """All problems of some datasets, in their order."""
    problems = []
    tasks = [(number, i) for number, maps in enumerate(datasets) for i in range(len(maps.infos))]
    for found in map_in_parallel(check_pair, datasets, tasks, jobs, chunksize=8):
        problems.extend(found)
    for maps in datasets:
        problems.extend(unused_label_maps(maps))
        if not maps.infos:
            problems.append(f'{maps.key}: expected images, found none')
    return problems


def run(args: argparse.Namespace) -> None:
    """Checks all loaders, prints every problem."""
    cfg = read_config(args.config)
    if args.cfg_options:
        cfg.merge_from_dict(args.cfg_options)
    datasets: list[LabelMaps] = []
    for loader in args.loaders:
        if cfg.get(loader) or loader not in LOADERS:
            for maps in label_maps_of(cfg, loader):
                # val and test are mostly the same files
                if all(maps.infos != known.infos for known in datasets):
                    datasets.append(maps)
    problems = check(datasets, args.jobs)
    for problem in problems:
        print(problem)
    images = sum(len(maps.infos) for maps in datasets)
    print(f'{images} images checked, {len(problems)} problems')
    sys.exit(1 if problems else 0)
