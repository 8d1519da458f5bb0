"""Instance-balanced and class-balanced images in one batch, for the two branches of Hybrid."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import Compose
from mmpretrain.registry import DATASETS, TRANSFORMS

from paco_seg.cls.datasets.class_labels import class_labels


@DATASETS.register_module()
class DualSamplingDataset:
    """Adds to every sample another one, of a class that is drawn uniformly (arXiv 2103.14267).

    Sample idx keeps its views and is joined by a random image of a random class, so that an
    ordinary sampler gives both batches of Hybrid-SC and Hybrid-PSC: ``inputs`` gets the class-
    balanced image as last view, the data sample its class as ``balanced_label``. The draw uses
    NumPy's global generator, as the transforms of MM do.

    Like :class:`mmengine.dataset.ClassBalancedDataset` it is a wrapper, not a ``BaseDataset``.

    Args:
        dataset: an MMPretrain dataset, a wrapper such as :class:`LongTailDataset`, or its config;
            its pipeline gives the views of the contrast.
        balanced_pipeline: transforms of the class-balanced image, from loading to ``PackInputs``.
        lazy_init: do not read the annotations yet.

    Examples:
        >>> train_dataloader = dict(dataset=dict(type='DualSamplingDataset',
        ...     dataset=dict(type='LongTailDataset', dataset=...), balanced_pipeline=[...]))
    """

    def __init__(
        self, dataset: Any, balanced_pipeline: Sequence[dict], lazy_init: bool = False
    ) -> None:
        self.dataset = DATASETS.build(dataset) if isinstance(dataset, dict) else dataset
        self.balanced_pipeline = Compose([TRANSFORMS.build(step) for step in balanced_pipeline])
        self._fully_initialized = False
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Copy of the meta information of the wrapped dataset."""
        return copy.deepcopy(self.dataset.metainfo)

    def full_init(self) -> None:
        """Read the annotations, and list the images of each class."""
        if self._fully_initialized:
            return
        self.dataset.full_init()
        self._labels = labels = class_labels(self.dataset)
        # A class without images is never drawn.
        self._members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        self._fully_initialized = True

    def get_gt_labels(self) -> np.ndarray:
        """Return the labels of the instance-balanced images, (N,) int64."""
        self.full_init()
        return self._labels.copy()

    def get_cat_ids(self, idx: int) -> list[int]:
        """Return the class of the instance-balanced image idx, as a list of one."""
        self.full_init()
        return [int(self._labels[idx])]

    def get_data_info(self, idx: int) -> dict:
        """Return the annotation of the instance-balanced image idx."""
        return self.dataset.get_data_info(idx)

    def draw(self) -> int:
        """Draw the index of a random image of a random class."""
        self.full_init()
        # The generator that loader workers seed, and that a resumed run restores.
        members = self._members[np.random.randint(len(self._members))]  # noqa: NPY002
        return int(members[np.random.randint(len(members))])  # noqa: NPY002

    def __getitem__(self, idx: int) -> dict:
        """Return the views of image idx and the class-balanced image.

        Raises:
            RuntimeError: the pipeline cannot deliver the class-balanced image.
        """
        packed = self.dataset[idx]
        other = self.draw()
        balanced = self.balanced_pipeline(self.dataset.get_data_info(other))
        if balanced is None:
            raise RuntimeError(
                f'balanced_pipeline: expected a sample, got None for index {other}. Check the '
                'image file and the transforms'
            )
        views = packed['inputs']
        views = [views] if isinstance(views, torch.Tensor) else list(views)
        sample = packed['data_samples'].new()
        label = balanced['data_samples'].gt_label
        sample.set_field(label, 'balanced_label', dtype=torch.Tensor)
        return dict(inputs=[*views, balanced['inputs']], data_samples=sample)

    def __len__(self) -> int:
        """Count the instance-balanced images."""
        return len(self.dataset)

    def __repr__(self) -> str:
        return (
            f'{type(self).__name__}(balanced_pipeline={self.balanced_pipeline})\n{self.dataset!r}'
        )
