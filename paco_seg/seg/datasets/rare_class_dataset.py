"""Images drawn by the rarity of their classes, cropped so that the class stays."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.dist import barrier, is_main_process
from mmseg.registry import DATASETS

from paco_seg.core.checks import check_count, check_range
from paco_seg.core.compared.rare_classes import draw_probabilities
from paco_seg.engine.parallel import check_jobs
from paco_seg.seg.datasets.class_index import ClassIndex, class_index

KEY = 'train_dataloader.dataset'


@DATASETS.register_module()
class RareClassDataset:
    """Rare class sampling of DAFormer (arXiv 2111.14887, section 3.3) around any data set.

    Each item draws a class by its rarity, then an image that holds it, and runs the pipeline of
    the data set again until enough of the class is left, whatever crops it. The index that the
    sampler asks for only seeds the draw, beside the generator of the process, which is the same on
    every rank and, where workers do not persist, in every epoch. An epoch is as long as before. ::

        dataset=dict(type='RareClassDataset', temperature=0.01, dataset=dict(...))

    Args:
        dataset: config of the data set; ConcatDataset and RepeatDataset are walked into.
        temperature: of the softmax over classes, > 0; see
            :func:`paco_seg.core.compared.rare_classes.draw_probabilities`.
        min_pixels: an image is drawn for a class of which it holds so many pixels. For a class
            that no image holds so much of, all images with the class are.
        min_crop_ratio: share of ``min_pixels`` (or of what the image has, if that is less) that a
            crop keeps, in [0, 1]; with 0 the first crop is taken as it is.
        tries: how often the pipeline runs at most; then the crop with most of the class is taken.
        index_file: JSON file of the classes of each image, written at the first start and read
            while the label maps are the same; None = count at every start.

    Raises:
        TypeError: a setting is of another kind.
        ValueError: a setting is out of range, or the label maps cannot be counted.
    """

    def __init__(
        self,
        *,
        dataset: dict,
        temperature: float = 0.01,
        min_pixels: int = 3000,
        min_crop_ratio: float = 0.5,
        tries: int = 10,
        index_file: str | None = None,
        lazy_init: bool = False,
    ) -> None:
        check_range(f'{KEY}.temperature', temperature, low=0.0, low_open=True)
        check_count(f'{KEY}.min_pixels', min_pixels, low=1)
        check_range(f'{KEY}.min_crop_ratio', min_crop_ratio, low=0.0, high=1.0)
        check_count(f'{KEY}.tries', tries, low=1)
        if index_file is not None and not isinstance(index_file, (str, Path)):
            raise TypeError(f'{KEY}.index_file: expected the path of a file, got {index_file!r}')
        self._config = copy.deepcopy(dataset)
        self.dataset = DATASETS.build(dataset)
        self.temperature = temperature
        self.min_pixels = min_pixels
        self.min_crop_ratio = min_crop_ratio
        self.tries = tries
        self.index_file = None if index_file is None else Path(index_file)
        self._index: ClassIndex | None = None
        if not lazy_init:
            self.full_init()

    @property
    def metainfo(self) -> dict:
        """Classes and palette."""
        return self.dataset.metainfo

    def full_init(self) -> None:
        """Find the classes of each image; the first process writes the file, the others read it."""
        if self._index is not None:
            return
        self.dataset.full_init()
        jobs = check_jobs(None)
        if self.index_file is not None and not is_main_process():
            barrier()
            self._index = self._found(jobs=1)
        else:
            try:
                self._index = self._found(jobs)
            finally:  # the others, which wait for the file, meet the same error
                if self.index_file is not None:
                    barrier()
        pixels = [int(counts.sum()) for counts in self._index.pixels]
        self.probabilities = draw_probabilities(pixels, self.temperature)
        self._choices = [
            chosen
            if (chosen := np.flatnonzero(counts >= self.min_pixels)).size
            else np.arange(len(counts))
            for counts in self._index.pixels
        ]

    def _found(self, jobs: int) -> ClassIndex:
        return class_index(self._config, self.dataset, self.index_file, jobs)

    def __len__(self) -> int:
        return len(self.dataset)

    def get_data_info(self, index: int) -> dict:
        """Return what the data set knows about its image of that index."""
        return self.dataset.get_data_info(index)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Draw a class, an image and a crop; the index is part of the seed alone."""
        assert self._index is not None  # the runner calls full_init
        # NumPy's global generator is seeded by MMEngine in every worker, as transforms use it.
        rng = np.random.default_rng([np.random.randint(2**31), int(index)])  # noqa: NPY002
        label = int(rng.choice(len(self.probabilities), p=self.probabilities))
        choice = int(rng.choice(self._choices[label]))
        image = int(self._index.positions[label][choice])
        there = int(self._index.pixels[label][choice])
        wanted = max(1.0, self.min_crop_ratio * min(self.min_pixels, there))
        best: dict[str, Any] = {}
        most = -1
        for _ in range(self.tries if self.min_crop_ratio > 0 else 1):
            sample = self.dataset[image]
            kept = int((sample['data_samples'].gt_sem_seg.data == label).sum())
            if kept > most:
                best, most = sample, kept
            if kept >= wanted:
                break
        return best
