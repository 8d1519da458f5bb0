"""The label maps of a dataset config, loaded exactly as training loads them."""

from __future__ import annotations

import copy
import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform, LoadImageFromFile
from mmcv.transforms import LoadAnnotations as BaseLoadAnnotations
from mmengine.config import Config
from mmengine.dataset import BaseDataset
from mmengine.registry import DefaultScope
from mmengine.utils import ProgressBar
from mmseg.registry import DATASETS, TRANSFORMS

from paco_seg.engine.preflight import check_data_folders, iter_datasets


class LabelMaps:
    """Images and label maps of one MMSegmentation dataset, without augmentation.

    Args:
        config: config of a dataset (no wrapper).
        key: its config key, for errors.

    Attributes:
        classes: C class names, in the order of the label values.
        ignore_index: label value that is not a class.
        infos: one dict per image, as ``load_data_list`` returns it.

    Raises:
        ValueError: the dataset has no classes, or its pipeline loads no label maps.
    """

    def __init__(self, config: dict, key: str = 'dataset') -> None:
        self.key = key
        with DefaultScope.overwrite_default_scope('mmseg'):
            steps = [TRANSFORMS.build(step) for step in config.get('pipeline') or ()]
            self.dataset: BaseDataset = DATASETS.build(
                dict(copy.deepcopy(config), pipeline=[], serialize_data=False)
            )
        self._load_labels = self._step(steps, BaseLoadAnnotations, 'LoadAnnotations')
        self._load_image = self._step(steps, LoadImageFromFile, 'LoadImageFromFile')
        self.classes = tuple(self.dataset.metainfo.get('classes') or ())
        if not self.classes:
            raise ValueError(
                f'{key}.metainfo.classes: expected class names, got none. Set '
                'metainfo=dict(classes=(...)), or use a dataset class that has them.'
            )
        self.ignore_index: int = self.dataset.ignore_index
        self.infos = [self.dataset.get_data_info(i) for i in range(len(self.dataset))]
        for info in self.infos:
            info.pop('sample_idx', None)

    def _step(self, steps: list[BaseTransform], kind: type, name: str) -> BaseTransform:
        for step in steps:
            if isinstance(step, kind):
                return step
        raise ValueError(f'{self.key}.pipeline: expected a {name} step, got none. Add it.')

    def labels(self, info: dict) -> np.ndarray:
        """(H, W) label map after ``reduce_zero_label`` and the map of custom classes."""
        return self._load_labels(copy.deepcopy(info))['gt_seg_map']

    def image_size(self, info: dict) -> tuple[int, int]:
        """(H, W) of the image as the pipeline loads it."""
        return self._load_image(copy.deepcopy(info))['img'].shape[:2]


def label_maps_of(cfg: Config, loader: str) -> Iterator[LabelMaps]:
    """The datasets of a loader, inside wrappers too.

    Args:
        cfg: a complete segmentation config.
        loader: e.g. ``'train_dataloader'``.

    Raises:
        FileNotFoundError: a folder or list of the dataset does not exist.
        ValueError: the config has no such loader; see also :class:`LabelMaps`.
    """
    if not cfg.get(loader):
        raise ValueError(f'{loader}: expected a dataloader, got none. Inherit a dataset config.')
    check_data_folders(cfg, (loader,))
    for key, config in iter_datasets(cfg[loader].dataset, f'{loader}.dataset'):
        yield LabelMaps(config, key)


def map_in_parallel(
    function: Callable[[Sequence[LabelMaps], Any], Any],
    datasets: Sequence[LabelMaps],
    tasks: Sequence[Any],
    jobs: int,
    chunksize: int = 1,
) -> Iterator[Any]:
    """Yields ``function(datasets, task)`` for each task, in order, with a progress bar.

    Args:
        function: a module-level function.
        datasets: handed to each process once, not with every task.
        tasks: small descriptions of what to look at.
        jobs: number of processes.
        chunksize: tasks per hand-over.
    """
    progress = ProgressBar(len(tasks), file=sys.stderr)
    with multiprocessing.Pool(jobs, _share, (function, datasets)) as pool:
        for result in pool.imap(_call, tasks, chunksize):
            yield result
            progress.update()
    sys.stderr.write('\n')


_shared: tuple[Callable, Sequence[LabelMaps]]


def _share(function: Callable, datasets: Sequence[LabelMaps]) -> None:
    global _shared
    _shared = function, datasets


def _call(task: Any) -> Any:
    function, datasets = _shared
    return function(datasets, task)
