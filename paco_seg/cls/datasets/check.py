"""Checks of classification data: every image and label, and the set as a whole."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.dataset import BaseDataset, ClassBalancedDataset, RepeatDataset
from mmengine.registry import DefaultScope
from mmpretrain.models.heads import MultiLabelClsHead
from mmpretrain.registry import DATASETS, MODELS, TRANSFORMS

from paco_seg.cls.datasets.image_list_dataset import BYTE_ORDER_MARK, ImageListError, read_lines
from paco_seg.engine.cli import LOADERS
from paco_seg.engine.data_config import check_scope, datasets_of, sample_positions
from paco_seg.engine.image_files import check_complete, is_file, read_header
from paco_seg.engine.loading_steps import LoadingSteps
from paco_seg.engine.model_changes import type_name
from paco_seg.engine.parallel import map_in_parallel
from paco_seg.engine.preflight import (
    check_data_folders,
    dataset_class,
    downloads,
    iter_datasets,
    iter_metrics,
)
from paco_seg.engine.problems import Problem, ProblemGroups, warn_or_refuse
from paco_seg.engine.staged_runner import EMPTY
from paco_seg.engine.stages import first_line

SCOPE = 'mmpretrain'


class ImageSet:
    """Images and labels of one MMPretrain dataset, without augmentation.

    Args:
        config: config of a dataset (no wrapper).
        key: its config key, for errors.

    Attributes:
        classes: class names in the order of the labels, empty if there are none.
        infos: one dict per image, as ``load_data_list`` returns it.

    Raises:
        ValueError: the dataset is not registered or cannot be read, or has no images.
    """

    def __init__(self, config: dict, key: str = 'dataset') -> None:
        self.key = key
        self.steps = LoadingSteps(
            config.get('pipeline') or (), TRANSFORMS, SCOPE, f'{key}.pipeline'
        )
        check_list_file(config, key)
        self.dataset: BaseDataset = build_dataset(
            dict(copy.deepcopy(config), pipeline=[], serialize_data=False), key
        )
        self.classes = tuple(self.dataset.metainfo.get('classes') or ())
        self.infos = [self.dataset.get_data_info(i) for i in range(len(self.dataset))]
        if not self.infos:
            raise _without_images(key)

    def inspect(self, info: dict, *, thorough: bool = True) -> list[Problem]:
        """Check one image and its label.

        Args:
            info: as in ``infos``.
            thorough: decode the image to its end.
        """
        path = info.get('img_path')
        problems = list(self._label_problems(info))
        if path is None:  # an image in memory
            return problems
        prefix = getattr(self.dataset, 'img_prefix', '')
        if getattr(self.dataset, 'ann_file', '') and prefix and not _inside(path, prefix):
            problems.append(
                Problem(
                    path,
                    'expected an image below data_prefix',
                    f', {prefix!r}, got one elsewhere',
                    f'Correct the paths in {self.dataset.ann_file}',
                    certain=False,
                )
            )
        if not is_file(path) and not os.path.isdir(path):
            remedy = 'Check data_root, data_prefix and ann_file'
            return [*problems, Problem(path, 'missing image', remedy=remedy)]
        try:
            header = check_complete(path) if thorough else read_header(path)
            if thorough or header is None:
                self.steps.until(info, 'img', 'LoadImageFromFile')
        except Exception as error:  # decoders raise anything
            detail = f' ({first_line(error)})'
            problems.append(Problem(path, 'unreadable image', detail, 'Replace or remove it'))
        return problems

    def set_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the set as a whole; reads no image."""
        folders = list(getattr(self.dataset, 'folder_to_idx', None) or ())
        names = list(self.classes)
        if folders and names != folders and sorted(names) == sorted(folders):
            yield Problem(
                f'{self.key}.metainfo.classes',
                'expected the order of the folders, which are numbered by name',
                f', {folders}, got {names}',
                'Sort the names, or use a list file',
            )
        present = {label for info in self.infos for label in _labels(info)}
        absent = [name for label, name in enumerate(names) if label not in present]
        if absent and present and self.key.startswith('train'):
            yield Problem(
                self.key,
                f'expected images of all {len(names)} classes',
                f', got none of {absent[:10]}{" and others" if len(absent) > 10 else ""}',
                'Add images, or drop the classes',
                certain=False,
            )

    def label_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the labels of all images; reads no image."""
        for info in self.infos:
            yield from self._label_problems(info)

    def _label_problems(self, info: dict) -> Iterator[Problem]:
        if not self.classes:
            return
        wrong = [label for label in _labels(info) if not 0 <= label < len(self.classes)]
        if wrong:
            yield Problem(
                info.get('img_path', self.key),
                f'expected a label in [0, {len(self.classes)})',
                f', got {", ".join(map(str, wrong))}',
                'Correct the list, or metainfo.classes and num_classes',
                tuple(wrong),
            )


def build_dataset(config: dict, key: str) -> Any:
    """Build a dataset or wrapper; what goes wrong names its config key.

    Raises:
        ValueError: it is not registered, or its list or folder is not what it expects.
    """
    with DefaultScope.overwrite_default_scope(SCOPE):
        kind = config.get('type')
        if isinstance(kind, str) and DATASETS.get(kind) is None:
            raise ValueError(
                f'{key}.type: expected a registered classification dataset, got {kind!r}. Check '
                'the name and custom_imports'
            )
        try:
            return DATASETS.build(config)
        except ImageListError:
            raise
        except (AssertionError, RuntimeError, ValueError, OSError, KeyError) as error:
            if EMPTY in str(error):
                raise _without_images(key) from error
            raise ValueError(
                f'{key}: expected a data set as its settings say, got: {first_line(error)}. Check '
                'data_root, data_prefix, ann_file and metainfo.classes'
            ) from error


def _without_images(key: str) -> ValueError:
    return ValueError(
        f'{key}: expected images, got none. Check data_root, data_prefix and ann_file'
    )


def check_list_file(config: dict, key: str) -> None:
    """Refuse a list of ``CustomDataset`` that is empty, or whose lines are no ``path label``.

    Raises:
        ImageListError: names key, file and lines.
    """
    if config.get('type') not in ('CustomDataset', 'ImageNet', 'ImageNet21k'):
        return
    path = config.get('ann_file')
    if not path or config.get('with_label') is False or '://' in path:
        return
    path = os.path.join(os.path.expanduser(config.get('data_root') or ''), path)
    if not os.path.isfile(path):
        return
    key = f'{key}.ann_file'
    lines = read_lines(path, key)
    if not lines:
        raise ImageListError(
            f'{key}: expected lines "path label", got none: {path} is empty. Write the list, or '
            'name another file',
            [],
        )
    if lines[0].startswith(BYTE_ORDER_MARK):
        # It would be the invisible beginning of the first path.
        raise ImageListError(
            f'{key}: expected a list without a byte order mark, got one at the start of {path}. '
            'Save it as UTF-8 without BOM, or set the type to ImageListDataset, which takes it off',
            [],
        )
    wrong = []
    for number, line in enumerate(lines, start=1):
        image, _, label = line.strip().rpartition(' ')
        if not image or not label.isascii() or not label.isdigit():
            wrong.append(f'{path}:{number}: {line.rstrip()!r} is not "path label"')
    if wrong:
        raise ImageListError(
            f'{key}: expected lines "path label", got {len(wrong)} others. Correct the list:',
            wrong,
        )


def image_sets_of(cfg: Config, loader: str) -> Iterator[ImageSet]:
    """Yield the datasets of a loader, inside wrappers too.

    Args:
        cfg: a complete classification config.
        loader: e.g. ``'train_dataloader'``.

    Raises:
        FileNotFoundError: a folder or list of the dataset does not exist.
        ValueError: the config is not one of classification or has no such loader; see also
            :class:`ImageSet`.
    """
    for key, config in datasets_of(cfg, loader, SCOPE):
        yield ImageSet(config, key)


def check_files(
    cfg: Config, loaders: Sequence[str], jobs: int, groups: ProblemGroups
) -> list[ImageSet]:
    """Check all images of some loaders, then each set as a whole and against the others.

    Args:
        cfg: a complete classification config.
        loaders: names of dataloaders; the usual three may be absent.
        jobs: number of processes.
        groups: takes the problems.

    Returns:
        The datasets, those of the same files once.

    Raises:
        ValueError: no loader has a dataset; see also :func:`image_sets_of`.
    """
    sets: list[ImageSet] = []
    for loader in loaders:
        if cfg.get(loader) or loader not in LOADERS:
            for images in image_sets_of(cfg, loader):
                if not any(_same(images, known) for known in sets):
                    sets.append(images)
    if not sets:
        raise ValueError(
            f'--loaders: expected a loader with a data set, got {", ".join(loaders) or "none"}. '
            'Inherit a dataset config'
        )
    tasks = [(number, i) for number, images in enumerate(sets) for i in range(len(images.infos))]
    for problems in map_in_parallel(_inspect, sets, tasks, jobs, chunksize=32):
        groups.add(problems)
    for images in sets:
        groups.add(images.set_problems())
    groups.add(_class_problems(sets))
    groups.add(_multi_label_problems(sets, cfg))
    return sets


def check_images(
    cfg: Config, loaders: Iterable[str] = ('train_dataloader', 'val_dataloader'), files: int = 32
) -> None:
    """Look at all labels and a sample of the images before the first training step.

    Datasets that download themselves are passed over. What a sound data set may look like as well
    is a warning; ``data_check=False`` in the config skips all of it.

    Args:
        cfg: a complete classification config.
        loaders: names of dataloaders; those that the config lacks are passed over.
        files: images to look at, per dataset.

    Raises:
        FileNotFoundError: a folder of the data does not exist.
        ValueError: something is wrong with the data; names files, keys and remedies.
    """
    if not cfg.get('data_check', True):
        return
    sets: list[ImageSet] = []
    for loader in loaders:
        if not cfg.get(loader):
            continue
        check_data_folders(cfg, (loader,))
        for key, config in iter_datasets(cfg[loader].dataset, f'{loader}.dataset'):
            if _can_be_listed(config, cfg):
                sets.append(ImageSet(config, key))
    problems: list[Problem] = []
    for images in sets:
        for position in sample_positions(len(images.infos), files):
            found = images.inspect(images.infos[position], thorough=False)
            problems += (p for p in found if not p.values)
        problems += images.set_problems()
    problems += [*_class_problems(sets), *_multi_label_problems(sets, cfg), *topk_problems(cfg)]
    # Of all labels: as they come, for a list of millions may be all wrong.
    wrong_labels = (problem for images in sets for problem in images.label_problems())
    warn_or_refuse(
        chain(wrong_labels, problems),
        'Look at all images with check-data CONFIG; data_check=False trains without this check',
    )


def class_statistics(cfg: Config, loader: str) -> tuple[tuple[str, ...], np.ndarray, int]:
    """Count the images of each class that a loader's dataset holds.

    A subset such as ``LongTailDataset`` counts as it is; repeated images count once. An image
    with several labels counts for each.

    Args:
        cfg: a complete classification config.
        loader: e.g. ``'train_dataloader'``.

    Returns:
        C class names, (C,) int64 counts, and the number of images.

    Raises:
        FileNotFoundError: a folder or list of the dataset does not exist.
        ValueError: there are no class names, no images, or labels that are no class.
    """
    check_scope(cfg, SCOPE)
    if not cfg.get(loader):
        raise ValueError(f'{loader}: expected a dataloader, got none. Inherit a dataset config')
    check_data_folders(cfg, (loader,))
    key = f'{loader}.dataset'
    config = copy.deepcopy(cfg[loader].dataset)
    for inner_key, inner in iter_datasets(config, key):
        check_list_file(inner, inner_key)
        inner['pipeline'] = []
    dataset = build_dataset(config, key)
    classes = tuple(dataset.metainfo.get('classes') or ())
    if not classes:
        raise ValueError(
            f'{key}.metainfo.classes: expected class names, got none. Set '
            'metainfo=dict(classes=(...))'
        )
    counts = np.zeros(len(classes), dtype=np.int64)
    number = 0
    for labels in _label_lists(dataset, key):
        number += 1
        for label in set(labels):
            if not 0 <= label < len(classes):
                raise ValueError(
                    f'{key}: expected labels in [0, {len(classes)}), got {label}. Find all such '
                    'images with `python -m paco_seg check-data CONFIG`'
                )
            counts[label] += 1
    if not number:
        raise _without_images(key)
    return classes, counts, number


def topk_problems(cfg: Config) -> Iterator[Problem]:
    """Yield evaluators that ask for more of the best classes than the head has."""
    head = (cfg.get('model') or {}).get('head') or {}
    number = head.get('num_classes')
    for name, evaluator in _evaluators(cfg):
        # The k of retrieval are ranks of images.
        if 'topk' in evaluator and not type_name(evaluator).startswith('Retrieval'):
            yield from _topk_problem(f'{name}.topk', evaluator['topk'], number)
    if 'topk' in head:
        yield from _topk_problem(
            'model.head.topk', head['topk'], number if head.get('cal_acc') else None
        )


def _evaluators(cfg: Config) -> Iterator[tuple[str, dict]]:
    """List the metrics of a config, with the key of each."""
    for name in ('val_evaluator', 'test_evaluator'):
        for metric in iter_metrics(cfg.get(name)):
            yield name, metric


def _topk_problem(key: str, topk: Any, number: Any) -> Iterator[Problem]:
    values = topk if isinstance(topk, (list, tuple)) else (topk,)
    largest = number if isinstance(number, int) else None
    if not all(
        isinstance(k, int) and not isinstance(k, bool) and 1 <= k <= (largest or k) for k in values
    ):
        up_to = f'up to {largest}, the number of classes' if largest else 'from 1'
        yield Problem(key, f'expected whole numbers {up_to}', f', got {topk!r}', 'Set topk=(1,)')


def _inspect(sets: Sequence[ImageSet], task: tuple[int, int]) -> list[Problem]:
    number, index = task
    return sets[number].inspect(sets[number].infos[index])


def _class_problems(sets: Sequence[ImageSet]) -> Iterator[Problem]:
    """Sets whose labels mean other classes than those of the first."""
    for images in sets[1:]:
        first, own = sets[0].classes, images.classes
        if own == first or not own or not first:
            continue
        listed = [s for s in (sets[0], images) if not hasattr(s.dataset, 'folder_to_idx')]
        missing = [name for name in first if name not in own]
        extra = [name for name in own if name not in first]
        yield Problem(
            images.key,
            f'expected the classes of {sets[0].key}, in the same order',
            f', got {len(own)} for {len(first)}; missing {missing[:10]}, others {extra[:10]}',
            _remedy_for_classes(listed),
            certain=len(listed) < 2,
        )


def _remedy_for_classes(listed: Sequence[ImageSet]) -> str:
    """Say how two sets get the same classes, given those whose labels are no folders.

    ``CustomDataset`` without a list refuses names of another number than there are folders.
    """
    if not listed:
        return (
            'Give both the same class folders, empty ones for what is missing, and names in '
            'metainfo.classes both or none; or use lists (ann_file) with one metainfo.classes'
        )
    if len(listed) == 1:
        return (
            f'Set {listed[0].key}.metainfo.classes to the names of the folders, sorted, with '
            'labels in that order'
        )
    return 'Set metainfo.classes of both to the same names'


def _multi_label_problems(sets: Sequence[ImageSet], cfg: Config) -> Iterator[Problem]:
    head = (cfg.get('model') or {}).get('head') or {}
    kind = head.get('type')
    if isinstance(kind, str):
        with DefaultScope.overwrite_default_scope(SCOPE):
            kind = MODELS.get(kind)
    # The labels of a query are the images of the gallery that show the same.
    is_retrieval = type_name(cfg.get('model') or {}).endswith('Retriever')
    if not isinstance(kind, type) or is_retrieval:
        return
    if issubclass(kind, MultiLabelClsHead):
        for name, evaluator in _evaluators(cfg):
            if type_name(evaluator) == 'LongTailAccuracy':
                yield Problem(
                    f'{name}.type',
                    f'expected a metric of several labels, since model.head is {kind.__name__}',
                    ", got 'LongTailAccuracy', which is one of a single label",
                    'Take MultiLabelMetric or AveragePrecision',
                )
        return
    for images in sets:
        for info in images.infos:
            if np.ndim(info.get('gt_label', 0)) > 0:
                yield Problem(
                    images.key,
                    f'expected one label per image, since model.head is {kind.__name__}',
                    f', got {list(_labels(info))} for {info.get("img_path", "an image")}',
                    'Use a multi-label head such as MultiLabelLinearClsHead, or single labels',
                )
                break


def _label_lists(dataset: Any, key: str) -> Iterator[Sequence[int]]:
    if isinstance(dataset, (RepeatDataset, ClassBalancedDataset)):
        yield from _label_lists(dataset.dataset, f'{key}.dataset')
    elif hasattr(dataset, 'datasets'):
        for number, part in enumerate(dataset.datasets):
            yield from _label_lists(part, f'{key}.datasets[{number}]')
    elif hasattr(dataset, 'get_cat_ids'):
        for index in range(len(dataset)):
            try:
                yield dataset.get_cat_ids(index)
            except KeyError:
                raise ValueError(
                    f'{key}: expected labelled images, got an image without gt_label. Count a '
                    'labelled data set'
                ) from None
    else:
        raise ValueError(
            f'{key}.type: expected a dataset with get_cat_ids(idx), got '
            f'{type(dataset).__name__}. Use a classification dataset'
        )


def _can_be_listed(config: dict, cfg: Config) -> bool:
    """Whether the dataset is a list of files that is there, cheap to read."""
    if config.get('backend_args') or downloads(config, cfg.get('default_scope')):
        return False
    kind = dataset_class(config, SCOPE)
    return kind is None or (isinstance(kind, type) and issubclass(kind, BaseDataset))


def _labels(info: dict) -> Sequence[int]:
    label = info.get('gt_label')
    if label is None:
        return ()
    return [int(value) for value in np.atleast_1d(np.asarray(label))]


def _same(one: ImageSet, other: ImageSet) -> bool:
    if len(one.infos) != len(other.infos) or 'img_path' not in one.infos[0]:
        return False
    return one.infos == other.infos


def _inside(path: str, folder: str) -> bool:
    if '://' in path:
        return True
    path, folder = os.path.abspath(path), os.path.abspath(folder)
    return os.path.commonpath([path, folder]) == folder
