"""Sampler of cRT and LWS: every class is drawn equally often."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from mmengine.dist import get_dist_info, sync_random_seed
from mmpretrain.registry import DATA_SAMPLERS
from torch.utils.data import Sampler

from paco_seg.cls.datasets.class_labels import class_labels
from paco_seg.core.checks import check_count
from paco_seg.core.compared.tau_norm import class_aware_indices

KEY = 'train_dataloader.sampler'


@DATA_SAMPLERS.register_module()
class ClassAwareSampler(Sampler):
    """Visits classes in shuffled cycles and draws some samples of each (arXiv 1910.09217).

    Do not combine it with a loss that has the class prior: sampling removes the prior already.

    Args:
        dataset: a dataset with labels.
        samples_per_visit: samples drawn at each visit of a class.
        samples_per_epoch: of all processes together; None = as many as the dataset has. The
            released sampler is longer (largest class count times the number of classes), but the
            released training ends an epoch after that many samples.
        seed: identical in all processes; None = agreed on between them.

    Raises:
        TypeError: the dataset has no labels to read, or a setting is no integer.
        ValueError: a setting is out of range.
    """

    def __init__(
        self,
        dataset: Any,
        samples_per_visit: int = 4,
        samples_per_epoch: int | None = None,
        seed: int | None = None,
    ) -> None:
        check_count(f'{KEY}.samples_per_visit', samples_per_visit, low=1)
        if samples_per_epoch is not None:
            check_count(f'{KEY}.samples_per_epoch', samples_per_epoch, low=1)
        if seed is not None:
            check_count(f'{KEY}.seed', seed)
        self.labels = torch.from_numpy(class_labels(dataset))
        if samples_per_epoch is None:
            samples_per_epoch = len(self.labels)
        self.rank, self.world_size = get_dist_info()
        # rounded up, so that every process draws the same number
        self.num_samples = -(-samples_per_epoch // self.world_size)
        self.samples_per_visit = samples_per_visit
        self.seed = sync_random_seed() if seed is None else seed
        self.epoch = 0

    def __iter__(self) -> Iterator[int]:
        """Yield the indices of this process in the current epoch."""
        indices = class_aware_indices(
            self.labels,
            generator=torch.Generator().manual_seed(self.seed + self.epoch),
            samples_per_visit=self.samples_per_visit,
            length=self.num_samples * self.world_size,
        )
        return iter(indices[self.rank :: self.world_size].tolist())

    def __len__(self) -> int:
        """Count the samples of this process in an epoch."""
        return self.num_samples

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch that the next iteration walks through."""
        self.epoch = epoch
