"""Random numbers that are a function of the position in the run, not of its history.

A generator that runs on through a whole training cannot be continued exactly: its state lies in
every rank and in every loader worker, the workers run ahead of the training step, and they die
with the process. Here each consumer is seeded where it starts instead, from ``(run seed, purpose,
rank, position)``. Any position can then be recomputed: nothing has to be saved, and neither the
number of workers nor the moment of the last checkpoint changes a random number.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from mmengine.dataset import InfiniteSampler
from torch.utils.data import DataLoader, Dataset, IterableDataset, Sampler

# Purposes: the step of iteration k and the sample at position k must not share random numbers.
STEP, SAMPLE = 0, 1


def seed_generators(*entropy: int, idle_devices: bool = True) -> None:
    """Seeds the global generators of ``random``, NumPy and PyTorch (CPU and GPU).

    Args:
        entropy: non-negative integers; ``numpy.random.SeedSequence`` mixes them, so that
            neighbouring positions give unrelated streams.
        idle_devices: also seed devices that this process has not used yet. PyTorch notes the
            stack for each kind of them, which takes milliseconds.
    """
    words = np.random.SeedSequence(entropy).generate_state(3, np.uint64)
    random.seed(int(words[0]))
    # MM transforms draw from NumPy's global generator; its seed has 32 bits.
    np.random.seed(int(words[1]) & 0xFFFFFFFF)  # noqa: NPY002
    seed = int(words[2])
    if idle_devices:
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)
        if torch.cuda.is_initialized():
            torch.cuda.manual_seed_all(seed)


class StreamIndex(int):
    """A dataset index that knows its ``position`` in the sample stream of its rank."""

    position: int


def is_endless(loader: Any) -> bool:
    """Tell whether a loader draws without end (``InfiniteSampler``), positions noted or not."""
    sampler = getattr(loader, 'sampler', None)
    return isinstance(getattr(sampler, 'sampler', sampler), InfiniteSampler)


class PositionedSampler(Sampler):
    """Passes on the indices of a sampler, numbered by their position in the whole training.

    Args:
        sampler: the sampler of one rank. A finite one is walked once per epoch and told the epoch
            by ``set_epoch``; an infinite one may offer ``skip``, as MMEngine's does.
    """

    def __init__(self, sampler: Sampler) -> None:
        self.sampler = sampler
        self._start = 0
        # MMEngine asks with hasattr() whether a sampler can be fast-forwarded.
        if hasattr(sampler, 'skip'):
            self.skip = self._skip

    def __iter__(self) -> Iterator[StreamIndex]:
        """Yields the indices from the current epoch or, after ``skip``, from that position."""
        for position, number in enumerate(self.sampler, self._start):
            index = StreamIndex(number)
            index.position = position
            yield index

    def __len__(self) -> int:
        """Samples per epoch of this rank."""
        return len(self.sampler)  # type: ignore[arg-type]

    def set_epoch(self, epoch: int) -> None:
        """Chooses the epoch (or restart) that the next iteration walks through."""
        if hasattr(self.sampler, 'set_epoch'):
            self.sampler.set_epoch(epoch)
        self._start = epoch * len(self)

    def _skip(self, num_samples: int) -> None:
        self.sampler.skip(num_samples)  # type: ignore[attr-defined]
        self._start = num_samples


class SeededFetch:
    """Loads a batch of samples, seeding the generators before each one.

    It becomes ``dataset.__getitems__``, which PyTorch's loader calls with the indices of a batch,
    in the worker process if there is one: the only place that sees every sample just before its
    augmentation.

    Args:
        dataset: a map-style dataset.
        seed: seed of the run.
        rank: rank of this process.
    """

    def __init__(self, dataset: Dataset, seed: int, rank: int) -> None:
        self.dataset, self.seed, self.rank = dataset, seed, rank

    def __call__(self, indices: Sequence[int]) -> list[Any]:
        """Returns the samples at ``indices``, in order."""
        return [self._load(index) for index in indices]

    def _load(self, index: int) -> Any:
        # A batch sampler of its own making may hand out plain indices, without a position.
        if isinstance(index, StreamIndex):
            seed_generators(self.seed, SAMPLE, self.rank, index.position, idle_devices=False)
        return self.dataset[int(index)]


def seed_by_position(loader: DataLoader, seed: int, rank: int) -> bool:
    """Makes every sample of a loader depend on its position in the training alone.

    Call it before the loader is iterated; a second call only updates the seed.

    Args:
        loader: the training loader.
        seed: seed of the run.
        rank: rank of this process.

    Returns:
        Whether that is possible: an iterable dataset has no indices, a loader without automatic
        batching or with a batch sampler of its own making no sampler to number them.
    """
    dataset: Any = loader.dataset
    batches: Any = loader.batch_sampler
    if isinstance(dataset, IterableDataset) or not hasattr(batches, 'sampler'):
        return False
    dataset.__getitems__ = SeededFetch(dataset, seed, rank)
    # MMEngine calls set_epoch and skip on `loader.sampler`, batches are drawn through
    # `loader.batch_sampler.sampler`: both must be the same object. The loader forbids to set the
    # first by assignment since an iterator that exists would not notice; none exists yet.
    inner = batches.sampler
    if not isinstance(inner, PositionedSampler):
        positioned = PositionedSampler(inner)
        batches.sampler = positioned
        if loader.sampler is inner:
            vars(loader)['sampler'] = positioned
    return True
