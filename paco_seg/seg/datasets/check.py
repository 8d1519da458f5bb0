"""Checks of segmentation data: each raw file against what is loaded, and the set as a whole."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmseg.models.decode_heads import STDCHead
from mmseg.registry import MODELS

from paco_seg.engine.cli import LOADERS
from paco_seg.engine.data_config import sample_positions
from paco_seg.engine.image_files import (
    BYTE_MODES,
    TRANSPOSED,
    ImageHeader,
    check_complete,
    is_file,
    read_header,
    read_raw,
)
from paco_seg.engine.parallel import map_in_parallel
from paco_seg.engine.preflight import iter_metrics
from paco_seg.engine.problems import Problem, ProblemGroups, warn_or_refuse
from paco_seg.engine.stages import first_line
from paco_seg.seg.datasets.label_maps import (
    LabelMaps,
    NoLabelMapsError,
    UnlabelledError,
    heads_of,
    label_maps_of,
)

# Formats that change label values when they store them.
LOSSY = ('JPEG', 'MPO')
# First names of classes that reduce_zero_label would ignore.
BACKGROUND = {
    'background', '_background_', 'bg', 'void', 'ignore', 'ignored', 'unlabeled', 'unlabelled',
    'other', 'others',
}  # fmt: skip
# Most images that are looked at before training, however suspicious the first ones are.
_MOST = 1000


@dataclass
class Findings:
    """What one label map tells, small enough to hand between processes.

    Args:
        problems: what is wrong with the file.
        labels: distinct classes in the map.
        ignored: distinct labels that are ignored.
        wrong: distinct labels that are neither, where nothing else is wrong with the map.
        itemsize: bytes per label as loaded; 0 if the map could not be loaded.
    """

    problems: list[Problem] = field(default_factory=list)
    labels: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()
    wrong: tuple[int, ...] = ()
    itemsize: int = 0


@dataclass
class LabelCheck:
    """How the label maps of one dataset are judged.

    Args:
        maps: the dataset.
        ignored: labels that are no class and harm nothing: those of the dataset and of the heads.
        keys: where to set another ``ignore_index``.
    """

    maps: LabelMaps
    ignored: tuple[int, ...]
    keys: str

    @classmethod
    def of(cls, maps: LabelMaps, cfg: Config) -> LabelCheck:
        """The check of one dataset of a config."""
        heads = _class_heads(maps, cfg)
        # None is MMSegmentation's word for a binary head that masks what it is told to.
        of_heads = {head.get('ignore_index', 255) for _, head in heads} - {None}
        ignored = {maps.ignore_index, *of_heads}
        own = maps.ignore_index
        says_nothing = own == 255 or 0 <= own < len(maps.classes)
        if of_heads and says_nothing and maps.key.startswith('train'):
            # The dataset's own value decides nothing in training. Its default says nothing, and a
            # class that the heads do not ignore is trained.
            ignored = of_heads
        keys = [key for key, _ in heads] or ['model.decode_head']
        return cls(
            maps,
            tuple(sorted(ignored)),
            f'{", ".join(keys)}, {maps.key} and val_evaluator',
        )

    def inspect_labels(self, info: dict) -> tuple[np.ndarray | None, Findings]:
        """Load one label map and compare it with its file.

        Returns:
            The loaded labels as integers, None if there are none; and what was found.
        """
        path = info.get('seg_map_path') or info['img_path']
        found = Findings()
        header = read_header(path, self.maps.backend_args)
        labels = self.maps.labels(info)
        if header is not None and 'seg_map_path' in info:
            found.problems += _raw_problems(path, header, labels, self.maps, info)
        if labels.dtype.kind == 'f':
            whole = labels.astype(np.int64)
            if not np.array_equal(whole, labels):
                found.problems.append(
                    Problem(
                        path,
                        'expected whole labels',
                        f', got values such as {labels[whole != labels][0]}',
                        'Write integers',
                    )
                )
                return None, found
            labels = whole
        if labels.dtype.kind == 'b':
            labels = labels.astype(np.uint8)
        found.itemsize = labels.dtype.itemsize
        values = distinct(labels)
        number = len(self.maps.classes)
        ignored = np.isin(values, self.ignored)
        wrong = values[((values < 0) | (values >= number)) & ~ignored]
        if len(wrong) and not found.problems:
            found.problems.append(self._no_class(path, wrong))
            found.wrong = tuple(wrong.tolist())
        found.labels = tuple(values[(values >= 0) & (values < number) & ~ignored].tolist())
        found.ignored = tuple(values[ignored].tolist())
        return labels, found

    def inspect_pair(self, info: dict, *, thorough: bool = True) -> Findings:
        """Check an image and its label map.

        Args:
            info: as in ``LabelMaps.infos``.
            thorough: decode both files to their end; otherwise the header tells an image's size.
        """
        image, label_map = info['img_path'], info.get('seg_map_path')
        args = self.maps.backend_args
        problems = []
        size: tuple[int, ...] | None = None
        if not is_file(image, args):
            of = f' of {label_map}' if label_map else ''
            problems.append(Problem(image, 'missing image', of, 'Check img_suffix'))
        else:
            try:
                header = check_complete(image, args) if thorough else read_header(image, args)
                size = self._image_size(info, header, thorough)
            except Exception as error:  # decoders raise anything
                problems.append(_unreadable(image, 'image', error))
                header = None
        if label_map and not is_file(label_map, args):
            problems.append(
                Problem(label_map, 'missing label map', f' of {image}', 'Check seg_map_suffix')
            )
            return Findings(problems)
        try:
            if label_map and thorough:
                check_complete(label_map, args)
            labels, found = self.inspect_labels(info)
        except Exception as error:
            problems.append(_unreadable(label_map or image, 'label map', error))
            return Findings(problems)
        if labels is not None and size is not None:
            where = label_map or image
            if labels.ndim == len(size):
                problems += self._size_problems(where, labels, size, header, info)
            elif labels.ndim != 2 and not found.problems:
                problems.append(_channels(where, labels))
        found.problems = problems + found.problems
        return found

    def _image_size(
        self, info: dict, header: ImageHeader | None, thorough: bool
    ) -> tuple[int, ...]:
        loader = self.maps.stock_image_loader
        if thorough or header is None or loader is None:
            return self.maps.image_size(info)
        turns = loader.color_type in ('color', 'grayscale')
        return header.shown_size if turns else header.size

    def _size_problems(
        self,
        where: str,
        labels: np.ndarray,
        size: tuple[int, ...],
        header: ImageHeader | None,
        info: dict,
    ) -> Iterator[Problem]:
        remedy = (
            'Store the images as they are shown (e.g. ImageOps.exif_transpose of Pillow), or load '
            "them with color_type='color_ignore_orientation'"
        )
        turned = header if header is not None and header.orientation != 1 else None
        if labels.shape != size:
            if turned and labels.shape == turned.size and turned.shown_size == size:
                yield Problem(
                    where,
                    'expected labels turned as its image',
                    f' by EXIF orientation {turned.orientation}, got them as stored',
                    remedy,
                )
                return
            yield Problem(
                where,
                'expected the size of its image',
                f', {_size(size)}, got {_size(labels.shape)}',
                'Resize the label map by nearest neighbour',
            )
        elif turned and _hidden(turned) and self._is_turned(info):
            yield Problem(
                info['img_path'],
                'expected an image without EXIF orientation, which label maps do not follow',
                f', got {turned.orientation}, and the size does not tell whether they agree',
                remedy,
                certain=False,
            )

    def _is_turned(self, info: dict) -> bool:
        """Whether the loaded image follows the orientation, by its pixels."""
        loaded, _ = self.maps.image(info)
        plain = _grey(loaded)
        path, args = info['img_path'], self.maps.backend_args
        stored = _grey(read_raw(path, args))
        shown = _grey(read_raw(path, args, turned=True))
        if not plain.shape == stored.shape == shown.shape:
            return True
        return _likeness(plain, shown) >= _likeness(plain, stored)

    @property
    def remedy(self) -> str:
        """What to do about labels that are no class, as far as one label map tells.

        :meth:`SetSummary.remedy` knows the others.
        """
        return (
            f'{{value}} is no class: a void label? Set ignore_index={{value}} in {self.keys} (and '
            'model.data_preprocessor.seg_pad_val), or correct metainfo.classes'
        )

    def _no_class(self, path: str, wrong: np.ndarray) -> Problem:
        maps = self.maps
        allowed = ' or '.join(str(value) for value in self.ignored)
        return Problem(
            path,
            f'expected labels in [0, {len(maps.classes)}) or {allowed} as loaded '
            f'(reduce_zero_label={maps.reduce_zero_label})',
            f', got {wrong.tolist()}',
            self.remedy,
            tuple(wrong.tolist()),
        )


class SetSummary:
    """Counts over the label maps of one dataset, fed file by file.

    Attributes:
        images: (C,) int64 number of label maps that hold the class.
        read: number of label maps that could be loaded.
    """

    def __init__(self, check: LabelCheck) -> None:
        self.check = check
        self.images = np.zeros(len(check.maps.classes), dtype=np.int64)
        self.read = 0
        self.itemsize = 8
        self.ignored: set[int] = set()
        self.wrong: set[int] = set()

    def add(self, found: Findings) -> None:
        """Count one label map in."""
        if not found.itemsize:
            return
        self.read += 1
        self.images[list(found.labels)] += 1
        self.itemsize = min(self.itemsize, found.itemsize)
        self.ignored.update(found.ignored)
        self.wrong.update(found.wrong)

    def remedy(self) -> str:
        """What to do about labels that are no class, by all label maps that were read."""
        check, number = self.check, len(self.check.maps.classes)
        remedy = check.remedy
        if len(self.wrong) + len(self.ignored) > 1:
            # Whichever of them is set as ignore_index, the others are no class.
            ignored = self.ignored or set(check.ignored)
            kept = check.maps.ignore_index if check.maps.ignore_index in ignored else min(ignored)
            remedy = (
                f'{{value}} is no class: a void label? Write void as {kept} everywhere, since one '
                'label alone is ignored, or correct metainfo.classes'
            )
        if self.wrong == {number} and self._without_zero():
            remedy = (
                f'No label map that was read holds 0: labels from 1 to {number}? Set '
                f'reduce_zero_label=True in every dataset. If they start at 0, {remedy}'
            )
        return remedy

    def _without_zero(self) -> bool:
        """Whether the labels of the files may start at 1."""
        shifted = self.check.maps.reduce_zero_label
        return bool(self.read and not shifted and not self.images[0] and 0 not in self.ignored)

    def advised(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems of files, with the remedy that all label maps that were read suggest."""
        remedy = self.remedy()
        if remedy == self.check.remedy:
            return list(problems)
        # Those of labels have values.
        return [replace(p, remedy=remedy) if p.values else p for p in problems]

    def absent(self) -> list[str]:
        """Names of the classes that occur in no label map."""
        names = self.check.maps.classes
        return [name for name, n in zip(names, self.images, strict=True) if not n]

    def suspicions(self) -> Iterator[Problem]:
        """Yield what further label maps may refute: too few classes, or labels that start at 1."""
        maps = self.check.maps
        names = maps.classes
        if not self.read:
            return
        # The last class, of labels from 1 on, is the label that was taken for void.
        last_is_ignored = self._without_zero() and len(names) in self.ignored
        from_one = (
            f'If labels go from 1 to {len(names)}, set reduce_zero_label=True in every dataset and '
            f'ignore_index=255 in {self.check.keys}'
        )
        if len(names) > 1 and (self.images > 0).sum() < 2:
            ignored = ', '.join(map(str, sorted(self.ignored))) or 'none'
            present = [name for name, n in zip(names, self.images, strict=True) if n]
            remedy = 'Look at the values in the files, ignore_index and reduce_zero_label'
            if self.ignored:
                largest = max(self.ignored)
                remedy = (
                    f'If {largest} stands for a class in the files (masks of 0 and {largest}), '
                    f'write its label, such as 1, instead; {largest} is ignored'
                )
            if last_is_ignored:
                remedy = f'{from_one}. {remedy}'
            yield Problem(
                maps.key,
                f'expected at least two of the {len(names)} classes in the label maps',
                f', got {" and ".join(map(repr, present)) or "none"} beside ignored pixels '
                f'({ignored}) in {self.read} label maps',
                remedy,
            )
        elif last_is_ignored:
            yield Problem(
                maps.key,
                f'expected class 0, {names[0]!r}, in the label maps',
                f', got no pixel of it in {self.read} label maps, while {len(names)}, the number '
                'of classes, is ignored',
                f'{from_one}. If {len(names)} is void and {names[0]!r} is absent, all is well',
                certain=False,
            )
        elif maps.reduce_zero_label and names[0].lower() in BACKGROUND and not self.images[-1]:
            yield Problem(
                maps.key,
                'expected names without the background, since reduce_zero_label=True ignores '
                'label 0 and shifts the others',
                f', got {names[0]!r} as class 0 and no pixel of the last class {names[-1]!r}',
                f'Drop {names[0]!r} from metainfo.classes and lower num_classes, or set '
                'reduce_zero_label=False',
            )

    def problems(self, cfg: Config) -> Iterator[Problem]:
        """Yield what is wrong with the set as a whole."""
        maps, number = self.check.maps, len(self.check.maps.classes)
        yield from self.suspicions()
        if self.read and 256**self.itemsize < number:
            yield Problem(
                f'{maps.key}.pipeline',
                f'expected a step that loads labels up to {number - 1}',
                f', got {8 * self.itemsize} bits per label',
                _WIDER,
            )
        keys = [key for key, value in _ignored_labels(maps, cfg) if value == 255]
        if number > 255 and keys:
            yield Problem(
                ', '.join(f'{key}.ignore_index' for key in keys),
                f'expected a value that is none of the {number} classes',
                f', got 255, which is {maps.classes[255]!r}',
                'Set ignore_index=65535 there and in LoadLabelMap',
            )
        if not maps.key.startswith('train'):
            for key, value in _evaluators(maps, cfg):
                for label in sorted(self.ignored - {value}):
                    if label >= number:
                        both = value in self.ignored  # a metric ignores one label alone
                        yield Problem(
                            f'{key}.ignore_index',
                            'expected the label that the label maps hold for void',
                            f', {label}, got {value}, with which void counts as mistakes',
                            f'Write void as {value} everywhere'
                            if both
                            else f'Set ignore_index={label} in {key}',
                            certain=not both,
                        )
            return
        if number == 1:  # and one logit, of which MMSegmentation makes the labels 0 and 1
            yield Problem(
                f'{maps.key}.metainfo.classes',
                'expected at least two classes',
                f', got {maps.classes[0]!r} alone',
                'Name the background as a class too, and label it: where it is ignored there is '
                'nothing to tell the class from',
            )
        yield from self._other_classes(cfg)
        yield from self._padding(cfg)
        if 0 <= maps.ignore_index < number and maps.ignore_index not in self.check.ignored:
            label = maps.ignore_index
            yield Problem(
                f'{maps.key}.ignore_index',
                'expected a label that the heads ignore too, which decide it in training',
                f', got {label}, {maps.classes[label]!r}, on which they train',
                f'Set ignore_index={label} in {self.check.keys}, or leave it out here',
                certain=False,
            )
        for key, head in _class_heads(maps, cfg):
            accepted = head.get('ignore_index', 255)
            for value in sorted(self.ignored - {accepted}):
                if value >= number:
                    both = accepted in self.ignored
                    yield Problem(
                        f'{key}.ignore_index',
                        'expected the label that the label maps hold for void',
                        f', {value}, got {accepted}',
                        f'Write void as {accepted} everywhere, since one label alone is ignored'
                        if both
                        else f'Set ignore_index={value} in {self.check.keys}',
                    )

    def _other_classes(self, cfg: Config) -> Iterator[Problem]:
        """Yield heads of other classes than the data, in the words of NumClassCheckHook."""
        maps, number = self.check.maps, len(self.check.maps.classes)
        heads = heads_of(cfg)
        main = [key for key, _ in heads if key.startswith('model.decode_head')][-1:]
        for key, head in heads:
            stated = head.get('num_classes')
            # One logit tells two classes apart; a class that every head ignores needs no output.
            if not isinstance(stated, int) or (stated, number) == (1, 2):
                continue
            if key not in main and not _has_classes(head):
                continue
            accepted = head.get('ignore_index', 255)
            beyond = [label for label in range(stated, number) if label != accepted]
            if beyond or stated > number:
                yield Problem(
                    f'{key}.num_classes',
                    f'expected {number} (the classes of {type(maps.dataset).__name__})',
                    f', got {stated}',
                    f'Set it to {number}, or correct {maps.key}.metainfo',
                    certain=bool(self.images[beyond].any()),
                )

    def _padding(self, cfg: Config) -> Iterator[Problem]:
        """Yield a label of padded places that is neither a class nor ignored."""
        preprocessor = (cfg.get('model') or {}).get('data_preprocessor') or {}
        pad = preprocessor.get('seg_pad_val', 255)
        if not (preprocessor.get('size') or preprocessor.get('size_divisor')):
            return
        for key, head in _class_heads(self.check.maps, cfg):
            accepted = head.get('ignore_index', 255)
            if accepted is not None and pad != accepted:
                yield Problem(
                    'model.data_preprocessor.seg_pad_val',
                    f'expected the label that {key} ignores',
                    f', {accepted}, got {pad}',
                    f'Set seg_pad_val={accepted}: smaller crops are padded with it',
                    certain=False,
                )
                return


# What to do about label maps of more than eight bits.
_WIDER = (
    "Load with dict(type='LoadLabelMap', ignore_index=65535) in place of LoadAnnotations, which "
    'keeps 8 bits, or write labels below 255'
)


def check_files(
    datasets: Sequence[LabelMaps], cfg: Config, jobs: int, groups: ProblemGroups
) -> list[SetSummary]:
    """Check all files of some datasets, then each set as a whole.

    Args:
        datasets: what is checked.
        cfg: the config that they are of; its heads and evaluators tell what is ignored.
        jobs: number of processes.
        groups: takes the problems.

    Returns:
        One summary per dataset.
    """
    checks = [LabelCheck.of(maps, cfg) for maps in datasets]
    summaries = [SetSummary(check) for check in checks]
    tasks = [(number, i) for number, maps in enumerate(datasets) for i in range(len(maps.infos))]
    results = map_in_parallel(_inspect, checks, tasks, jobs, chunksize=8)
    for (number, _), found in zip(tasks, results, strict=True):
        groups.add(found.problems)
        summaries[number].add(found)
    used = {
        Path(info['seg_map_path'])
        for maps in datasets
        for info in maps.infos
        if 'seg_map_path' in info
    }
    for maps, summary in zip(datasets, summaries, strict=True):
        groups.change_remedy(summary.check.remedy, summary.remedy())
        groups.add(unused_label_maps(maps, used))
        groups.add(summary.problems(cfg))
    return summaries


def _inspect(checks: Sequence[LabelCheck], task: tuple[int, int]) -> Findings:
    number, index = task
    return checks[number].inspect_pair(checks[number].maps.infos[index])


def check_label_maps(
    cfg: Config, loaders: Iterable[str] = ('train_dataloader', 'val_dataloader'), files: int = 32
) -> None:
    """Look at a sample of the data before the first training step.

    The sample is spread evenly over each set. Where it looks as if classes were missing, further
    files are read until one shows otherwise, ``_MOST`` at most. What a sound data set may look
    like as well is a warning; ``data_check=False`` in the config skips all of it.

    Args:
        cfg: a complete segmentation config.
        loaders: names of dataloaders; those that the config lacks are passed over.
        files: images to look at, per dataset.

    Raises:
        FileNotFoundError: a folder of the data does not exist.
        ValueError: something is wrong with the data; names files, keys and remedies.
    """
    if not cfg.get('data_check', True):
        return
    for loader in loaders:
        if not cfg.get(loader):
            continue
        try:
            datasets = list(label_maps_of(cfg, loader))
        except NoLabelMapsError as error:
            metrics = iter_metrics(cfg.get('val_evaluator'))
            counts = loader == 'val_dataloader' and any(
                'IoU' in str(m.get('type')) for m in metrics
            )
            if counts and isinstance(error, UnlabelledError):
                raise  # or else the first validation would end the training
            continue  # the user's own kind of data set
        for maps in datasets:
            problems, number = _sampled(LabelCheck.of(maps, cfg), cfg, files)
            warn_or_refuse(
                problems,
                f'{maps.key}: looked at {number} of {len(maps.infos)} images. Look at all with '
                'check-data CONFIG; data_check=False trains without this check',
            )


def _sampled(check: LabelCheck, cfg: Config, files: int) -> tuple[list[Problem], int]:
    infos = check.maps.infos
    first = sample_positions(len(infos), files)
    summary, problems = SetSummary(check), []
    for position in first:
        found = check.inspect_pair(infos[position], thorough=False)
        problems += found.problems
        summary.add(found)
    number = len(first)
    if not problems and any(True for _ in summary.suspicions()):
        for position in sorted(set(sample_positions(len(infos), _MOST)) - set(first)):
            summary.add(check.inspect_pair(infos[position], thorough=False))
            number += 1
            if not any(True for _ in summary.suspicions()):
                break
    return [*summary.advised(problems), *summary.problems(cfg)], number


def unused_label_maps(maps: LabelMaps, used: Collection[Path]) -> Iterator[Problem]:
    """Yield label maps without an image, where folders (not lists) define the dataset.

    Args:
        maps: the dataset.
        used: label maps of all datasets that are looked at: several may share a folder.
    """
    dataset = maps.dataset
    prefix = getattr(dataset, 'data_prefix', None) or {}
    suffix = getattr(dataset, 'seg_map_suffix', None)
    chosen = getattr(dataset, '_indices', None) is not None or getattr(dataset, 'filter_cfg', None)
    if getattr(dataset, 'ann_file', '') or chosen or not suffix or not prefix.get('seg_map_path'):
        return
    folder = Path(prefix['seg_map_path'])
    if not folder.is_dir():
        return
    for path in sorted(folder.rglob(f'*{suffix}')):
        if path not in used:
            yield Problem(
                str(path), 'label map without an image', f' in {prefix["img_path"]}', 'Remove it'
            )


def distinct(labels: np.ndarray) -> np.ndarray:
    """Return the sorted distinct values of an array of integers."""
    if labels.dtype.kind == 'u' and labels.dtype.itemsize <= 2:  # many times faster than sorting
        return np.flatnonzero(np.bincount(labels.ravel()))
    return np.unique(labels)


def _raw_problems(
    path: str, header: ImageHeader, labels: np.ndarray, maps: LabelMaps, info: dict
) -> Iterator[Problem]:
    if header.format in LOSSY:
        yield Problem(
            path,
            'expected a lossless format',
            f', got {header.format}, which changes label values',
            'Write the label maps anew as PNG; do not convert the JPEG files',
        )
    if labels.ndim != 2:
        if labels.ndim == 3 and labels.shape[-1] <= 4:
            yield _channels(path, labels)
        return
    if header.mode in BYTE_MODES or labels.dtype.itemsize > 1:
        return
    raw = read_raw(path, maps.backend_args)
    if raw.shape != labels.shape or raw.dtype.kind not in 'iuf':
        return
    with np.errstate(invalid='ignore'):  # NaN
        lost = (raw.astype(np.uint8) != raw) & (labels == _in_eight_bits(raw, maps, info))
    # The 65535 of 16-bit sets becomes the 255 of others: what is meant, by luck or on purpose.
    lost &= (raw != 65535) | (labels != maps.ignore_index)
    if not lost.any():
        return
    values = np.unique(raw[lost])[:3]
    where = [np.flatnonzero(lost & ~(raw != value))[:1] for value in values]
    pairs = ', '.join(
        f'{value} which loads as {labels.flat[place[0]]}'
        for value, place in zip(values.tolist(), where, strict=True)
        if len(place)
    )
    yield Problem(
        path,
        'expected whole labels in [0, 255], since they are loaded in 8 bits',
        f', got {pairs or "values that are no numbers"}',
        _WIDER,
    )


def _in_eight_bits(raw: np.ndarray, maps: LabelMaps, info: dict) -> np.ndarray:
    """What MMSegmentation's step makes of stored values."""
    labels = raw.astype(np.uint8)
    if maps.reduce_zero_label:
        labels = np.where((labels == 0) | (labels == 255), np.uint8(255), labels - np.uint8(1))
    mapped = labels.copy()
    for old, new in (info.get('label_map') or {}).items():
        mapped[labels == old] = new
    return mapped


def _channels(where: str, labels: np.ndarray) -> Problem:
    equal = labels.ndim == 3 and bool((labels == labels[..., :1]).all())
    return Problem(
        where,
        'expected one channel of labels',
        f', got {labels.shape}',
        'The channels are equal: write one of them'
        if equal
        else "Write label numbers, not colours (a palette file: imdecode_backend='pillow')",
    )


def _unreadable(path: str, kind: str, error: Exception) -> Problem:
    return Problem(path, f'unreadable {kind}', f' ({first_line(error)})', 'Replace or remove it')


def _size(shape: Sequence[int]) -> str:
    return 'x'.join(str(side) for side in reversed(shape))


def _hidden(header: ImageHeader) -> bool:
    """Whether turning the image leaves its size as it is."""
    height, width = header.size
    return header.orientation not in TRANSPOSED or height == width


def _grey(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image, dtype=np.float64)
    return image[..., :3].mean(axis=-1) if image.ndim == 3 else image


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = np.sqrt((one**2).sum() * (other**2).sum())
    return float((one * other).sum() / scale) if scale else 1.0


def _class_heads(maps: LabelMaps, cfg: Config) -> list[tuple[str, dict]]:
    """Heads with one output per class; not those of boundaries and the like."""
    number = len(maps.classes)
    return [(key, head) for key, head in heads_of(cfg) if head.get('num_classes') == number]


def _has_classes(head: dict) -> bool:
    """Whether a head beside the main one has an output per class, for all that its config tells.

    STDC's boundaries have not, nor has a single logit. Of heads from elsewhere only the model that
    is built tells: NumClassCheckHook looks at it.
    """
    kind = head.get('type')
    with DefaultScope.overwrite_default_scope('mmseg'):
        cls = MODELS.get(kind) if isinstance(kind, str) else kind
    known = getattr(cls, '__module__', '').split('.')[0] in ('mmseg', 'paco_seg')
    edges = isinstance(cls, type) and issubclass(cls, STDCHead)
    return known and not edges and 1 not in (head['num_classes'], head.get('out_channels'))


def _ignored_labels(maps: LabelMaps, cfg: Config) -> Iterator[tuple[str, int]]:
    """Config keys of the parts that have an ``ignore_index``, and its value."""
    yield maps.key, maps.ignore_index
    for key, head in _class_heads(maps, cfg):
        if (value := head.get('ignore_index', 255)) is not None:
            yield key, value
    yield from _evaluators(maps, cfg)


def _evaluators(maps: LabelMaps, cfg: Config) -> Iterator[tuple[str, int]]:
    """Config keys of the metrics that are IoUs, and the label that each of them ignores."""
    loader = maps.key.split('_', 1)[0]
    name = f'{loader}_evaluator'
    for metric in iter_metrics(cfg.get(name)):
        if 'IoU' in str(metric.get('type')):
            yield name, metric.get('ignore_index', 255)


def datasets_of(cfg: Config, loaders: Sequence[str], key: str = '--loaders') -> list[LabelMaps]:
    """Return the datasets of some loaders, those of the same files once.

    Args:
        cfg: a complete segmentation config.
        loaders: names of dataloaders; the usual three may be absent.
        key: argument to name in errors.

    Raises:
        ValueError: none of them has a dataset; see also :func:`label_maps_of`.
    """
    datasets: list[LabelMaps] = []
    for loader in loaders:
        if cfg.get(loader) or loader not in LOADERS:
            try:
                found = list(label_maps_of(cfg, loader))
            except NoLabelMapsError as error:
                if loader != 'test_dataloader' or len(loaders) == 1:
                    raise
                # The test images of a benchmark come without labels.
                warnings.warn(f'{loader} is left out: {error}', stacklevel=2)
                continue
            for maps in found:
                # val and test are mostly the same files
                if all(maps.infos != known.infos for known in datasets):
                    datasets.append(maps)
    if not datasets:
        raise ValueError(
            f'{key}: expected a loader with a data set, got {", ".join(loaders) or "none"}. '
            'Inherit a dataset config'
        )
    return datasets
