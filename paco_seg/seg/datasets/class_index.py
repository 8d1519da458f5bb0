"""Which images of a training set hold how many pixels of each class; kept in a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dataset import ConcatDataset

from paco_seg.engine.parallel import map_in_parallel
from paco_seg.engine.preflight import iter_datasets
from paco_seg.engine.stages import first_line
from paco_seg.files import write_json
from paco_seg.seg.datasets.label_counts import CHUNK, contents, names_of
from paco_seg.seg.datasets.label_maps import LabelMaps

Row = dict[int, int]  # class -> pixels in one image, of the classes that it holds


@dataclass(frozen=True)
class ClassIndex:
    """Images of each class.

    Args:
        positions: per class, (n,) int64 positions of the images that hold it, ascending.
        pixels: per class, (n,) int64 pixels of the class in these images.
    """

    positions: tuple[np.ndarray, ...]
    pixels: tuple[np.ndarray, ...]

    @classmethod
    def of_rows(cls, rows: Sequence[tuple[int, Row]], num_classes: int) -> ClassIndex:
        """Sort (position of an image, its classes) by class."""
        found: list[list[tuple[int, int]]] = [[] for _ in range(num_classes)]
        for position, row in rows:
            for label, pixels in row.items():
                found[label].append((position, pixels))
        arrays = [np.array(pairs, dtype=np.int64).reshape(-1, 2) for pairs in found]
        return cls(tuple(a[:, 0] for a in arrays), tuple(a[:, 1] for a in arrays))


# Wrappers with the image of their data set at the same index, RepeatDataset in its first round.
SAME_IMAGES = ('RepeatDataset', 'MultiImageMixDataset', 'TailMemoryDataset')


def class_index(config: dict, dataset: Any, file: Path | None, jobs: int) -> ClassIndex:
    """Read the index of a data set from a file, or count it into one.

    Args:
        config: config of the data set, wrappers included.
        dataset: the same, built.
        file: where the index is kept; read if it is about the same label maps. None = nowhere.
        jobs: number of processes that count.

    Raises:
        ValueError: a label map cannot be read, or the data set is wrapped in something that draws
            images itself.
    """
    leaves = [LabelMaps(part, key) for key, part in iter_datasets(config, 'dataset')]
    offsets = _offsets(dataset)
    if [len(maps.infos) for maps in leaves] != [size for _, size in offsets]:
        raise ValueError(
            'train_dataloader.dataset: expected a data set, or several in ConcatDataset or '
            f'RepeatDataset, got {type(dataset).__name__}, which draws images itself. Take its '
            'inner data set'
        )
    tasks = [
        (number, start, min(start + CHUNK, len(maps.infos)))
        for number, maps in enumerate(leaves)
        for start in range(0, len(maps.infos), CHUNK)
    ]
    ignored = [maps.ignore_index for maps in leaves]
    data = f'{names_of(leaves)} {ignored} {contents(leaves, tasks).hexdigest()}'
    rows = _read(file, data)
    if rows is None:
        rows = [row for part in map_in_parallel(_count, leaves, tasks, jobs) for row in part]
        if file is not None:
            file.parent.mkdir(parents=True, exist_ok=True)
            write_json(file, dict(data=data, images=rows), indent=None)
    positions = [offset + i for offset, size in offsets for i in range(size)]
    return ClassIndex.of_rows(list(zip(positions, rows, strict=True)), len(leaves[0].classes))


def _offsets(dataset: Any, start: int = 0) -> list[tuple[int, int]]:
    """List (first index in the whole, number of images) of the data sets inside wrappers."""
    if isinstance(dataset, ConcatDataset):
        found = []
        for part in dataset.datasets:
            found += _offsets(part, start)
            start += len(part)
        return found
    inner = getattr(dataset, 'dataset', None)
    if inner is None:
        return [(start, len(dataset))]
    if not any(cls.__name__ in SAME_IMAGES for cls in type(dataset).__mro__):
        return []
    return _offsets(inner, start)


def _count(leaves: Sequence[LabelMaps], task: tuple[int, int, int]) -> list[Row]:
    number, start, stop = task
    maps = leaves[number]
    rows = []
    for info in maps.infos[start:stop]:
        try:
            labels = np.asarray(maps.labels(info)).astype(np.int64)
        except Exception as error:  # decoders raise anything
            path = info.get('seg_map_path') or info['img_path']
            raise ValueError(
                f'{path}: expected a label map that can be read, got {first_line(error)}. Find all '
                'such files with `paco-seg check-data CONFIG`'
            ) from error
        valid = (labels >= 0) & (labels < len(maps.classes)) & (labels != maps.ignore_index)
        counts = np.bincount(labels[valid].ravel(), minlength=len(maps.classes))
        rows.append({int(label): int(counts[label]) for label in np.flatnonzero(counts)})
    return rows


def _read(file: Path | None, data: str) -> list[Row] | None:
    """Return the rows of a file about the same label maps; None if there is none."""
    if file is None or not file.is_file():
        return None
    try:
        content = json.loads(file.read_text(encoding='utf-8'))
        if content['data'] != data:
            return None
        return [{int(label): int(n) for label, n in row.items()} for row in content['images']]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(
            f'index_file ({file}): expected what RareClassDataset wrote, got {first_line(error)}. '
            'Remove the file: it is written again'
        ) from None
