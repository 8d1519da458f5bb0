import pickle
import random

import numpy as np
import pytest
import torch
from mmengine.dataset import DefaultSampler, InfiniteSampler
from torch.utils.data import BatchSampler, DataLoader, Dataset, IterableDataset

from paco_seg.engine.rng import (
    SAMPLE,
    PositionedSampler,
    StreamIndex,
    seed_by_position,
    seed_generators,
)


class Noise(Dataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        assert type(index) is int
        return index, random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002


def draw() -> tuple[float, float, float]:
    return random.random(), np.random.rand(), torch.rand(()).item()  # noqa: NPY002


def test_every_generator_depends_on_every_number():
    seed_generators(1, 2, 3)
    first = draw()
    seed_generators(1, 2, 3)
    assert draw() == first
    for other in ((2, 2, 3), (1, 0, 3), (1, 2, 4)):
        seed_generators(*other)
        assert all(a != b for a, b in zip(draw(), first, strict=True))


def test_a_sample_seeds_the_devices_in_use_alone(monkeypatch):
    """The others cost PyTorch a look at the stack, for every sample."""
    seeded = []
    monkeypatch.setattr('torch.manual_seed', lambda seed: pytest.fail('every device is seeded'))
    monkeypatch.setattr('torch.cuda.manual_seed_all', seeded.append)
    loader = DataLoader(Noise(), batch_size=2)
    assert seed_by_position(loader, seed=1, rank=0)
    monkeypatch.setattr('torch.cuda.is_initialized', lambda: False)
    alone = [sample for batch in loader for sample in batch[3].tolist()]
    assert not seeded
    monkeypatch.setattr('torch.cuda.is_initialized', lambda: True)
    assert [sample for batch in loader for sample in batch[3].tolist()] == alone
    assert len(set(seeded)) == len(loader.dataset)
    monkeypatch.undo()
    seed_generators(1, SAMPLE, 0, 4)
    assert draw()[2] == pytest.approx(alone[4], abs=0)


def test_an_index_travels_to_a_worker():
    index = StreamIndex(3)
    index.position = 8
    copy = pickle.loads(pickle.dumps(index))
    assert (copy, copy.position) == (3, 8)


def test_positions_of_a_finite_sampler_follow_the_epoch():
    sampler = PositionedSampler(DefaultSampler(Noise(), shuffle=False))
    assert [i.position for i in sampler] == [0, 1, 2, 3, 4]
    sampler.set_epoch(2)
    assert [i.position for i in sampler] == [10, 11, 12, 13, 14]
    # MMEngine fast-forwards a sampler only if it finds the method.
    assert not hasattr(sampler, 'skip')


def test_skip_of_an_infinite_sampler():
    def take(sampler: PositionedSampler) -> list[tuple[int, int]]:
        return [(int(i), i.position) for i, _ in zip(sampler, range(10), strict=False)]

    straight = take(PositionedSampler(InfiniteSampler(Noise(), seed=3)))
    resumed = PositionedSampler(InfiniteSampler(Noise(), seed=3))
    resumed.skip(7)
    assert take(resumed)[:3] == straight[7:]


@pytest.mark.parametrize('batch_size', [2, 3])
def test_samples_do_not_depend_on_the_batches(batch_size):
    def samples(batch_size: int, rank: int = 0) -> list:
        loader = DataLoader(Noise(), batch_size=batch_size, collate_fn=list)
        assert seed_by_position(loader, seed=4, rank=rank)
        assert seed_by_position(loader, seed=4, rank=rank)  # a second call changes nothing
        assert loader.sampler is loader.batch_sampler.sampler
        return [sample for batch in loader for sample in batch]

    assert samples(batch_size) == samples(1)
    assert samples(batch_size) != samples(batch_size, rank=1)
    assert len({value for sample in samples(1) for value in sample[1:]}) == 15


def test_loaders_without_indices_are_told_apart():
    class Stream(IterableDataset):
        def __iter__(self):
            yield 1

    assert not seed_by_position(DataLoader(Stream()), 0, 0)
    assert not seed_by_position(DataLoader(Noise(), batch_size=None), 0, 0)


def test_a_batch_sampler_of_its_own_keeps_working():
    """Indices that lost their position are loaded without being seeded."""

    class Plain(BatchSampler):
        def __iter__(self):
            return ([int(i) for i in batch] for batch in super().__iter__())

    inner = DefaultSampler(Noise(), shuffle=False)
    loader = DataLoader(Noise(), batch_sampler=Plain(inner, 2, False), collate_fn=list)
    assert seed_by_position(loader, 0, 0)
    assert [sample[0] for batch in loader for sample in batch] == [0, 1, 2, 3, 4]
