"""Images and pixels per class of segmentation data sets, counted in pieces that can be resumed."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from paco_seg.core.frequency import ClassFrequency
from paco_seg.engine.parallel import map_in_parallel
from paco_seg.engine.problems import Problem, warn_or_refuse
from paco_seg.engine.stages import first_line
from paco_seg.files import write_json
from paco_seg.seg.datasets.check import Findings, LabelCheck, SetSummary
from paco_seg.seg.datasets.label_maps import LabelMaps

# Images per task and per update of the state file: enough to hide both, few enough to lose
# little and to show progress.
CHUNK = 32


def count_labels(
    datasets: Sequence[LabelMaps], cfg: Config, state_file: Path, jobs: int
) -> ClassFrequency:
    """Count what one pass over all datasets delivers: an image that is repeated counts as often.

    Goes on from ``state_file`` if it is about the same files.

    Args:
        datasets: datasets of the same classes.
        cfg: the config that they are of.
        state_file: how far an interrupted count has come; removed by the caller at the end.
        jobs: number of processes.

    Raises:
        ValueError: the datasets have other classes than the first, a label map is not what it is
            loaded as or holds a label that is no class, the set as a whole cannot be right, or
            the state file is damaged.
    """
    classes = datasets[0].classes
    for maps in datasets[1:]:
        if maps.classes != classes:
            raise ValueError(
                f'{maps.key}: expected the classes of {datasets[0].key}, got others. Count the '
                'datasets one by one.'
            )
    checks = [LabelCheck.of(maps, cfg) for maps in datasets]
    # What was counted under other settings is of no use either. Files may change until they are
    # counted, so their sizes are no part of it.
    settings = [(check.maps.ignore_index, check.maps.times, check.ignored) for check in checks]
    files = f'{names_of(datasets)} {settings}'
    tasks = [
        (number, start, min(start + CHUNK, len(maps.infos)))
        for number, maps in enumerate(datasets)
        for start in range(0, len(maps.infos), CHUNK)
    ]
    state = _read_state(state_file, files, len(classes), datasets, tasks) or dict(
        files=files, done=0, counts=[[0] * len(classes)] * 2
    )
    counts = np.asarray(state['counts'], dtype=np.int64)
    digest = contents(datasets, tasks[: state['done']])
    summary = SetSummary(checks[0])
    summary.images += counts[0]
    summary.read = sum(stop - start for _, start, stop in tasks[: state['done']])
    summary.ignored.update(state.get('ignored', ()))
    summary.itemsize = state.get('itemsize', summary.itemsize)
    remaining = tasks[state['done'] :]
    for chunk, findings in map_in_parallel(_read_chunk, checks, remaining, jobs):
        counts += chunk * datasets[tasks[state['done']][0]].times
        for found in findings:
            summary.add(found)
        _refuse(summary.advised(findings[-1].problems))
        contents(datasets, tasks[state['done'] : state['done'] + 1], digest)
        state.update(
            done=state['done'] + 1,
            contents=digest.hexdigest(),
            counts=counts.tolist(),
            ignored=sorted(summary.ignored),
            itemsize=summary.itemsize,
        )
        write_json(state_file, state, indent=None)
    try:
        warn_or_refuse(summary.problems(cfg), 'Look at every file with check-data CONFIG')
    except ValueError:
        state_file.unlink(missing_ok=True)  # the files will be others
        raise
    num_images = sum(maps.times * len(maps.infos) for maps in datasets)
    images, pixels = (tuple(row) for row in counts.tolist())
    return ClassFrequency(classes, images, pixels, num_images)


def count_chunk(
    checks: Sequence[LabelCheck], task: tuple[int, int, int]
) -> tuple[np.ndarray, list[Findings]]:
    """Count some label maps.

    Args:
        checks: the datasets.
        task: number of the dataset, first image, and the image after the last.

    Returns:
        (2, C) int64 counts of images and pixels, and what each label map tells.

    Raises:
        ValueError: a label map is not what it is loaded as, holds a label that is no class, or
            cannot be read.
    """
    counts, findings = _read_chunk(checks, task)
    _refuse(findings[-1].problems)
    return counts, findings


def _refuse(problems: Sequence[Problem]) -> None:
    if problems:
        raise ValueError(
            f'{problems[0]}. Find all such files with `python -m paco_seg check-data CONFIG`'
        )


def _read_chunk(
    checks: Sequence[LabelCheck], task: tuple[int, int, int]
) -> tuple[np.ndarray, list[Findings]]:
    """Count label maps up to the first one that has a problem."""
    number, start, stop = task
    check = checks[number]
    maps = check.maps
    counts = np.zeros((2, len(maps.classes)), dtype=np.int64)
    findings: list[Findings] = []
    for info in maps.infos[start:stop]:
        try:
            labels, found = check.inspect_labels(info)
        except Exception as error:  # decoders raise anything
            path = info.get('seg_map_path') or info['img_path']
            raise ValueError(
                f'{path}: expected a label map that can be read, got {first_line(error)}. Find all '
                'such files with `python -m paco_seg check-data CONFIG`'
            ) from error
        findings.append(found)
        if found.problems or labels is None:
            break
        valid = (labels >= 0) & (labels < len(maps.classes)) & ~np.isin(labels, check.ignored)
        pixels = np.bincount(labels[valid].ravel(), minlength=len(maps.classes))
        counts += np.stack([pixels > 0, pixels])
    return counts, findings


def fingerprint(datasets: Sequence[LabelMaps], *, whole_paths: bool = False) -> str:
    """Return what tells on every machine which files and classes were counted.

    Two hashes: of the names, and of the sizes of the files and how they are read. A label map that
    was painted over has the same name; times of files differ from machine to machine.

    Args:
        datasets: what is counted.
        whole_paths: with ``data_root``, as files of earlier versions have it.
    """
    sizes = hashlib.sha256()
    for maps in datasets:
        sizes.update(json.dumps([maps.ignore_index, maps.times]).encode())
        for info in maps.infos:
            path = info.get('seg_map_path') or info['img_path']
            sizes.update(b'%d\n' % (os.path.getsize(path) if os.path.isfile(path) else -1))
    return f'{names_of(datasets, whole_paths=whole_paths)} {sizes.hexdigest()}'


def names_of(datasets: Sequence[LabelMaps], *, whole_paths: bool = False) -> str:
    """Return a hash of classes and files by name alone; :func:`contents` looks into the files."""
    digest = hashlib.sha256()
    for maps in datasets:
        digest.update(json.dumps([maps.classes, maps.reduce_zero_label]).encode())
        for info in maps.infos:
            name = info.get('seg_map_path') or info['img_path']
            # Names on a disk need not be UTF-8.
            digest.update(os.fsencode(name if whole_paths else _below(maps, name)) + b'\n')
    return digest.hexdigest()


def _below(maps: LabelMaps, path: str) -> str:
    """Return a path without the folder that holds the data set, which differs by machine."""
    root = str(getattr(maps.dataset, 'data_root', None) or '')
    return path[len(root) :].lstrip('/\\') if root and path.startswith(root) else path


def contents(
    datasets: Sequence[LabelMaps], tasks: Sequence[tuple[int, int, int]], digest: Any = None
) -> Any:
    """Return a hash that tells whether files are as they were, on this machine.

    Args:
        datasets: what the tasks number.
        tasks: number of the dataset, first image, and the image after the last, of each.
        digest: hash of the tasks before these, which goes on; None starts one.
    """
    digest = digest or hashlib.sha256()
    for number, start, stop in tasks:
        for info in datasets[number].infos[start:stop]:
            path = info.get('seg_map_path') or info['img_path']
            if os.path.isfile(path):  # of remote storage the names have to do
                state = os.stat(path)
                digest.update(f'{state.st_size} {state.st_mtime_ns}\n'.encode())
    return digest


def _read_state(
    path: Path,
    files: str,
    num_classes: int,
    datasets: Sequence[LabelMaps],
    tasks: Sequence[tuple[int, int, int]],
) -> dict[str, Any] | None:
    if not path.is_file():
        return None
    try:
        state = json.loads(path.read_text(encoding='utf-8'))
        if state['files'] != files:
            return None
        done, shape = int(state['done']), np.asarray(state['counts'], dtype=np.int64).shape
        if done < 0 or shape != (2, num_classes):
            raise ValueError(f'counts of shape {shape}')
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f'{path}: expected the state of an interrupted count, got {first_line(error)}. Remove '
            'the file to count from the start'
        ) from None
    if state.get('contents') != contents(datasets, tasks[:done]).hexdigest():
        print(f'{path}: label maps that were counted have changed; counting from the start')
        return None
    print(f'{path}: going on after {CHUNK * done} images')
    return state
