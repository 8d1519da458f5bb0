"""Which data train, which choose the settings and which are reported.

The third split of a config chooses where there is one. Where there is none, a part of the training
set is set aside (:mod:`.split`), and written as a list of files, or of positions for data sets that
read no lists.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, DefaultScope

from paco_seg.comparison.split import SHARE, choose_held_out
from paco_seg.comparison.training_sets import (
    SELECTING,
    TRAIN,
    Samples,
    plain,
    positions_of,
    training_sets,
    wrappers,
)
from paco_seg.core.frequency import ClassFrequency
from paco_seg.engine.model_changes import ModelChange, replace_part
from paco_seg.engine.parallel import map_in_parallel
from paco_seg.engine.preflight import iter_datasets, kind_of
from paco_seg.files import write_json, write_text

VAL, TEST = 'val_dataloader', 'test_dataloader'
COUNTS, LABELS = 'label_counts.json', 'labels.json'
# Settings of a data set that say what its label maps hold.
_SAYS_WHAT_IS_COUNTED = ('type', 'metainfo', 'reduce_zero_label', 'ignore_index', 'pipeline')
# Of a sample: where it lies, and its label.
_SAMPLE = ('img_path', 'seg_map_path', 'gt_label', 'sample_idx')
# Settings of a data set that do not say which samples it holds.
_NOT_THE_DATA = ('pipeline', 'metainfo', 'test_mode', 'serialize_data', 'lazy_init', 'max_refetch')


@dataclass(frozen=True)
class DataParts:
    """The three parts of the data of a comparison.

    Args:
        classes: C class names.
        frequency: of what is trained on.
        changes: of the loaders of the config.
        search: what chooses the settings, in words.
        reported: what the results are about, in words.
        fingerprint: hash of which samples train and which choose, and of what changed of them and
            of those that are evaluated.
        ignore_index: label that is evaluated nowhere.
        set_aside: number of training samples that were set aside.
        search_samples: number of samples that choose.
        test_samples: number of samples that are reported.
        test_batch: of them in a batch.
        palette: C colours of the data set, RGB from 0 to 255; None if it has none.
    """

    classes: tuple[str, ...]
    frequency: ClassFrequency
    changes: list[ModelChange]
    search: str
    reported: str
    fingerprint: str
    ignore_index: int = 255
    set_aside: int = 0
    search_samples: int = 0
    test_samples: int = 0
    test_batch: int = 1
    palette: list[list[int]] | None = None

    @property
    def mean_test_batch(self) -> float:
        """Samples in a batch of the reported data, the last one included."""
        return self.test_samples / max(1, math.ceil(self.test_samples / self.test_batch))


def divide_data(
    cfg: Config,
    scope: str,
    folder: Path,
    *,
    share: float = SHARE,
    seed: int = 0,
    jobs: int = 1,
) -> DataParts:
    """Find or make the part of the data that chooses, and count what is left to train on.

    Args:
        cfg: the config, its modules imported.
        scope: ``'mmseg'`` or ``'mmpretrain'``.
        folder: for the lists, and the counts, which are reused while the files are unchanged.
        share: of the training samples to set aside, if the config has no third split.
        seed: of this choice.
        jobs: processes that count.

    Raises:
        FileNotFoundError: a folder or list of the data does not exist.
        ValueError: a loader is missing, or its samples or labels cannot be read.
    """
    for loader in (TRAIN, VAL):
        if not (cfg.get(loader) or {}).get('dataset'):
            raise ValueError(
                f'{loader}: expected a loader with a dataset, got none. Inherit a dataset config: '
                'a comparison trains, and measures on data that did not train'
            )
    classes, ignore_index, sets = _training_sets(cfg, scope)
    _count(sets, classes, cfg, scope, folder, jobs)
    infos = [info for samples in sets for info in samples.infos]
    evaluated = _evaluated(cfg, scope, infos)
    reported = TEST if TEST in evaluated else VAL
    changes: list[ModelChange] = []
    held_out: list[int] = []
    search = f'the data of {VAL}'
    flat = [counts for samples in sets for counts in samples.counts]
    times = [samples.times for samples in sets for _ in samples.infos]
    if reported == VAL:
        held_out = _leave_some(sets, _held_out(infos, flat, share=share, seed=seed))
        changes = _set_aside(cfg, sets, held_out, folder, classes)
        search = _in_words(flat, held_out, classes, seed)
    kept = sorted(set(range(len(flat))) - set(held_out))
    names = [_name(info) for info in infos]
    told = [[names[index] for index in part] for part in (kept, held_out)]
    return DataParts(
        classes=classes,
        frequency=_frequency([(flat[index], times[index]) for index in kept], classes, scope),
        changes=changes,
        search=search,
        reported=f'the data of {reported}',
        fingerprint=_fingerprint(told, flat, evaluated, folder),
        ignore_index=ignore_index,
        set_aside=len(held_out),
        search_samples=len(held_out) or len(evaluated[VAL]),
        test_samples=len(evaluated[reported]),
        test_batch=int(cfg[reported].get('batch_size', 1)),
        palette=_palette(sets[0].dataset, len(classes)),
    )


def _evaluated(
    cfg: Config, scope: str, trained: Sequence[Mapping[str, Any]]
) -> dict[str, list[dict[str, Any]]]:
    """Return the samples of the validation, and those of a test that is one of its own.

    Raises:
        ValueError: one of them reads images that are trained on.
    """
    found = {VAL: _samples_of(cfg, VAL, scope)}
    if _data_of(cfg, TEST) not in ([], _data_of(cfg, VAL)) and _is_labelled(cfg, scope):
        test = _samples_of(cfg, TEST, scope)
        both = len(_files(test) & _files(found[VAL]))
        if both:
            print(f'{TEST}: {both} of its images are those of {VAL}; that is reported', flush=True)
        else:
            found[TEST] = test
    files = _files(trained)
    for loader in reversed(found):  # what is reported first
        both = len(_files(found[loader]) & files)
        if both or _data_of(cfg, loader) == _data_of(cfg, TRAIN):
            raise ValueError(
                f'{loader}.dataset: expected other data than those of {TRAIN}, got '
                f'{both or "all"} of its images there. Set data_prefix or ann_file of one of them'
            )
    return found


def _fingerprint(
    told: Sequence[Sequence[str]],
    counts: Sequence[Mapping[int, int]],
    evaluated: Mapping[str, Sequence[Mapping[str, Any]]],
    folder: Path,
) -> str:
    """Return the hash of the samples of both parts, and of what has changed since the first time.

    The labels of the first time, and the samples that are evaluated, are kept in the folder. As
    long as they are what they were, the hash is that of the names alone.

    Args:
        told: names of the samples of each part.
        counts: labels of all samples.
        evaluated: samples of each loader that evaluates.
        folder: of the lists.
    """
    samples = _hash(told)
    now = {samples: _hash([sorted(row.items()) for row in counts])}
    now |= {f'{samples} {loader}': _state(infos) for loader, infos in evaluated.items()}
    path = folder / LABELS
    try:
        known = dict(json.loads(path.read_text(encoding='utf-8')))
    except (OSError, ValueError, TypeError):
        known = {}
    if not known.keys() >= now.keys():
        write_json(path, {**now, **known})
    changed = [value for key, value in now.items() if known.get(key, value) != value]
    return _hash([samples, *changed]) if changed else samples


def _state(infos: Sequence[Mapping[str, Any]]) -> str:
    """Return the hash of samples: names, labels and the bytes of label maps, sizes of images."""
    digest = hashlib.sha256()
    for info in infos:
        digest.update(os.fsencode(f'{_name(info)} {info.get("gt_label")}\n'))
        try:
            if info.get('img_path'):
                digest.update(str(os.stat(info['img_path']).st_size).encode())
            if info.get('seg_map_path'):
                digest.update(Path(info['seg_map_path']).read_bytes())
        except OSError:  # remote
            continue
    return digest.hexdigest()


def _hash(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def _samples_of(cfg: Config, loader: str, scope: str) -> list[dict[str, Any]]:
    """Return what is known of the samples of a loader: files and labels."""
    with DefaultScope.overwrite_default_scope(scope):
        dataset = DATASETS.build(copy.deepcopy(cfg[loader].dataset))
    if not hasattr(dataset, 'get_data_info'):  # a data set of the user's that is not MMEngine's
        return [{} for _ in range(len(dataset))]
    infos = (dataset.get_data_info(index) for index in range(len(dataset)))
    return [{key: info[key] for key in _SAMPLE if key in info} for info in infos]


def _files(infos: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the image files of samples."""
    return {file for info in infos if (file := _file(info)) is not None}


def _file(info: Mapping[str, Any]) -> str | None:
    """Return the image file of a sample; None where it lies in memory."""
    return os.path.abspath(info['img_path']) if info.get('img_path') else None


def _held_out(
    infos: Sequence[Mapping[str, Any]],
    counts: Sequence[Mapping[int, int]],
    *,
    share: float,
    seed: int,
) -> list[int]:
    """Choose training samples to set aside; an image that is there twice goes with its copy."""
    copies: dict[Any, list[int]] = {}
    for index, info in enumerate(infos):
        copies.setdefault(_file(info) or index, []).append(index)
    images = list(copies.values())
    classes_of = [sorted({label for index in image for label in counts[index]}) for image in images]
    chosen = choose_held_out(classes_of, share=share, seed=seed)
    return sorted(index for number in chosen for index in images[number])


def _leave_some(sets: Sequence[Samples], held_out: Sequence[int]) -> list[int]:
    """Return what is set aside but for the first sample of a set that would be left empty.

    MMEngine builds no empty data set.
    """
    kept, position = set(held_out), 0
    for samples in sets:
        own = range(position, position + len(samples.infos))
        position = own.stop
        if kept.issuperset(own) and len(kept) > 1:
            kept.discard(own.start)
    return sorted(kept)


def _palette(dataset: Any, number: int) -> list[list[int]] | None:
    palette = dataset.metainfo.get('palette')
    return [list(map(int, c)) for c in palette] if palette and len(palette) == number else None


def _training_sets(cfg: Config, scope: str) -> tuple[tuple[str, ...], int, list[Samples]]:
    found, sets = training_sets(cfg, scope)
    classes = found[0].classes
    return classes, _ignored(found[0], len(classes), cfg) if scope == 'mmseg' else 255, sets


def _ignored(maps: Any, num_classes: int, cfg: Config) -> int:
    """Return the label that is evaluated nowhere: a class that a head ignores, if there is one."""
    from paco_seg.seg.datasets.check import LabelCheck

    inside = [label for label in LabelCheck.of(maps, cfg).ignored if 0 <= label < num_classes]
    return inside[0] if inside else int(maps.ignore_index)


def _count(
    sets: Sequence[Samples],
    classes: Sequence[str],
    cfg: Config,
    scope: str,
    folder: Path,
    jobs: int,
) -> None:
    """Fill in the counts of every sample; those of label maps from the file of the last time."""
    if scope != 'mmseg':
        for samples in sets:
            for info in samples.infos:
                label = info.get('gt_label')
                labels = list(np.atleast_1d(label).tolist()) if label is not None else []
                if len(labels) != 1 or not 0 <= labels[0] < len(classes):
                    raise ValueError(
                        f'{samples.key}: expected one label in [0, {len(classes)}) per image, got '
                        f'{label!r} for {_name(info)}. Find all such images with '
                        '`paco-seg check-data CONFIG`'
                    )
                samples.counts.append({int(labels[0]): 1})
        return
    files = _files_of(sets)
    path = folder / COUNTS
    try:
        kept = json.loads(path.read_text(encoding='utf-8'))
        rows = kept['counts'] if kept['files'] == files else None
    except (OSError, ValueError, KeyError, TypeError):
        rows = None
    if rows is None:
        rows = _count_label_maps(cfg, jobs)
        write_json(path, dict(files=files, counts=rows), indent=None)
    position = 0
    for samples in sets:
        part = rows[position : position + len(samples.infos)]
        samples.counts = [{int(label): number for label, number in row} for row in part]
        position += len(samples.infos)


def _count_label_maps(cfg: Config, jobs: int) -> list[list[tuple[int, int]]]:
    """Return the classes of every label map with their pixels."""
    from paco_seg.seg.datasets.check import LabelCheck
    from paco_seg.seg.datasets.label_counts import count_chunk
    from paco_seg.seg.datasets.label_maps import label_maps_of

    checks = [LabelCheck.of(maps, cfg) for maps in label_maps_of(cfg, TRAIN)]
    tasks = [(n, i, i + 1) for n, check in enumerate(checks) for i in range(len(check.maps.infos))]
    print(f'Counting the classes in {len(tasks)} label maps ...', flush=True)
    rows = []
    for counts, _ in map_in_parallel(count_chunk, checks, tasks, jobs, chunksize=16):
        pixels = counts[1]
        rows.append([(int(label), int(pixels[label])) for label in np.flatnonzero(pixels)])
    return rows


def _files_of(sets: Sequence[Samples]) -> str:
    """Return what changes when a count does: how maps are read; names, sizes and times of them."""
    digest = hashlib.sha256()
    for samples in sets:
        digest.update(repr([samples.config.get(key) for key in _SAYS_WHAT_IS_COUNTED]).encode())
        for info in samples.infos:
            name = str(info.get('seg_map_path') or info['img_path'])
            try:
                state = os.stat(name)
                told = f' {state.st_size} {state.st_mtime_ns}\n'
            except OSError:  # remote
                told = '\n'
            digest.update(os.fsencode(name) + told.encode())
    return digest.hexdigest()


def _frequency(
    counts: Sequence[tuple[Mapping[int, int], int]], classes: tuple[str, ...], scope: str
) -> ClassFrequency:
    """Count what one pass delivers.

    Args:
        counts: class -> pixels of each sample, and how often it is delivered.
        classes: names.
        scope: of the task.
    """
    images, pixels = np.zeros((2, len(classes)), dtype=np.int64)
    for row, times in counts:
        for label, number in row.items():
            images[label] += times
            pixels[label] += times * number
    of_pixels = tuple(pixels.tolist()) if scope == 'mmseg' else None
    number = sum(times for _, times in counts)
    return ClassFrequency(classes, tuple(images.tolist()), of_pixels, number)


def _data_of(cfg: Config, loader: str) -> list[dict]:
    """Return what says which samples a loader reads; nothing without a loader."""
    dataset = (cfg.get(loader) or {}).get('dataset')
    found = [
        {key: value for key, value in plain(leaf).items() if key not in _NOT_THE_DATA}
        for _, leaf in iter_datasets(dataset, loader)
    ]
    # Which part of its data set a wrapper reads.
    for _, wrapper in wrappers(dataset, loader):
        if kind_of(wrapper) in SELECTING:
            found.append({key: value for key, value in plain(wrapper).items() if key != 'dataset'})
    return found


def _is_labelled(cfg: Config, scope: str) -> bool:
    """Return whether the data of the test loader have labels; those of a challenge have none."""
    try:
        if scope == 'mmseg':
            from paco_seg.seg.datasets.label_maps import label_maps_of

            for maps in label_maps_of(cfg, TEST):
                maps.labels(maps.infos[0])
        else:
            from paco_seg.cls.datasets.check import image_sets_of

            return all(
                images.infos[0].get('gt_label') is not None for images in image_sets_of(cfg, TEST)
            )
    except Exception as error:  # data sets raise anything; without labels there is nothing to read
        print(f'{TEST}: no labels can be read ({error}); {VAL} is reported', flush=True)
        return False
    return True


def _set_aside(
    cfg: Config,
    sets: Sequence[Samples],
    held_out: Sequence[int],
    folder: Path,
    classes: Sequence[str],
) -> list[ModelChange]:
    """Write the lists of both parts; return the changes that make the loaders read them."""
    chosen = set(held_out)
    changes, parts = [], []
    position = 0
    for number, samples in enumerate(sets):
        indices = range(len(samples.infos))
        inside = [index for index in indices if position + index in chosen]
        outside = [index for index in indices if position + index not in chosen]
        position += len(samples.infos)
        stem = '' if len(sets) == 1 else f'_{number}'
        kept = _part(samples, outside, folder / f'train{stem}.txt', classes)
        changes.append(samples.change(kept, _path(samples.key)))
        if inside:
            part = _part(samples, inside, folder / f'search{stem}.txt', classes)
            metainfo = {**(samples.config.get('metainfo') or {}), **(part.get('metainfo') or {})}
            parts.append({**samples.config, **part, 'pipeline': _pipeline(cfg)})
            if metainfo:
                parts[-1]['metainfo'] = metainfo
    loader = {key: value for key, value in plain(cfg[VAL]).items() if key != 'dataset'}
    dataset = parts[0] if len(parts) == 1 else dict(type='ConcatDataset', datasets=parts)
    return [
        *changes,
        replace_part(cfg, VAL, dict(loader, dataset=dataset)),
        # The validation data are what is reported now.
        replace_part(cfg, TEST, plain(cfg[VAL])),
    ]


def _pipeline(cfg: Config) -> list:
    _, leaf = next(iter(iter_datasets(cfg[VAL].dataset, VAL)))
    return plain(leaf).get('pipeline') or []


def _part(
    samples: Samples, indices: Sequence[int], path: Path, classes: Sequence[str]
) -> dict[str, Any]:
    """Write the list of some samples; return the settings of the data set that reads it."""
    lines = _lines(samples, indices)
    if lines is not None:
        write_text(path, '\n'.join(lines) + '\n')
        settings: dict[str, Any] = dict(ann_file=str(path.resolve()))
        if not hasattr(samples.dataset, 'img_suffix') and 'classes' not in samples.config:
            # The folders name them no longer.
            settings['metainfo'] = dict(classes=list(classes))
        return settings
    write_text(path, '\n'.join(_name(samples.infos[index]) for index in indices) + '\n')
    own = positions_of(samples.config)
    return dict(indices=[own[index] if own else index for index in indices])


def _lines(samples: Samples, indices: Sequence[int]) -> list[str] | None:
    """Return the lines of a list file; None for a data set that reads no such list."""
    dataset = samples.dataset
    of = {cls.__name__ for cls in type(dataset).__mro__ if 'load_data_list' in vars(cls)}
    first = next(cls.__name__ for cls in type(dataset).__mro__ if 'load_data_list' in vars(cls))
    infos = [samples.infos[index] for index in indices]
    if samples.config.get('indices') is not None or samples.config.get('filter_cfg'):
        return None
    if (samples.config.get('backend_args') or {}).get('backend', 'local') != 'local':
        return None  # the list would be looked for in the same storage
    if 'BaseSegDataset' in of and first == 'BaseSegDataset':
        folder, suffix = dataset.data_prefix.get('img_path') or '', dataset.img_suffix
        names = [os.path.relpath(info['img_path'], folder or '.') for info in infos]
        if any(not name.endswith(suffix) or name != name.strip() for name in names):
            return None
        return [name[: len(name) - len(suffix)] for name in names]
    if first == 'CustomDataset' and dataset.with_label:
        folder = dataset.img_prefix or '.'
        names = [os.path.relpath(info['img_path'], folder) for info in infos]
        return [f'{n} {int(i["gt_label"])}' for n, i in zip(names, infos, strict=True)]
    return None


def _in_words(
    counts: Sequence[Mapping[int, int]], held_out: Sequence[int], classes: Sequence[str], seed: int
) -> str:
    inside = {label for index in held_out for label in counts[index]}
    missing = [name for label, name in enumerate(classes) if label not in inside]
    text = (
        f'{len(held_out)} of the {len(counts)} training samples, set aside because the config has '
        f'no third split (rare classes first, seed {seed}; nothing trains on them)'
    )
    if missing:
        text += f'. Not in it, for want of samples: {", ".join(missing)}'
    return text


def _name(info: Mapping[str, Any]) -> str:
    return str(info.get('img_path') or info.get('sample_idx'))


def _path(key: str) -> tuple[str | int, ...]:
    """Return ``('dataset', 'datasets', 0)`` of ``train_dataloader.dataset.datasets[0]``."""
    steps = re.findall(r'[^.\[\]]+', key)[1:]
    return tuple(int(step) if step.isdigit() else step for step in steps)
