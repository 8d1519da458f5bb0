"""Rings of keys by class, against lists."""

import pytest
import torch
from references.pixel_contrast import Rings

from paco_seg.core.class_queues import ClassQueues

pytestmark = pytest.mark.contrastive_seg


def contents(queues):
    """Keys of each class, oldest first."""
    found = []
    for label, (filled, position) in enumerate(
        zip(queues.filled.tolist(), queues.positions.tolist(), strict=True)
    ):
        ring = queues.keys[label * queues.size : (label + 1) * queues.size].tolist()
        found.append((ring[position:] + ring[:position])[-filled:] if filled else [])
    return found


def test_contrastive_seg_queues_equal_lists_over_many_batches():
    generator = torch.Generator().manual_seed(0)
    queues, rings = ClassQueues(3, 5, 2), Rings(3, 5)
    for count in (0, 1, 4, 7, 40, 3):  # 40: more of each class than there are slots
        keys = torch.randn(count, 2, generator=generator)
        labels = torch.randint(-1, 4, (count,), generator=generator)  # outside on both sides
        if count == 7:
            keys[2] = torch.inf
        chosen = torch.rand(count, generator=generator) < 0.7
        queues.enqueue(keys, labels, chosen)
        rings.enqueue(keys[chosen].tolist(), labels[chosen].tolist())
        assert contents(queues) == rings.keys
    assert (queues.keys[-1] == 0).all()


def test_contrastive_seg_draws_are_written_keys_of_their_class_each_once():
    queues = ClassQueues(3, 8, 1)
    keys = torch.arange(30.0).unsqueeze(1)
    queues.enqueue(keys, torch.tensor([0] * 20 + [2] * 3 + [255] * 7))
    drawn, labels = queues.draw(5)
    assert labels.tolist() == [0] * 5 + [-1] * 5 + [2] * 3 + [-1] * 2
    first, last = drawn[:5, 0].tolist(), drawn[10:13, 0].tolist()
    assert len(set(first)) == 5
    assert set(first) <= set(range(12, 20))
    assert sorted(last) == [20, 21, 22]
    drawn, labels = queues.draw(100)
    assert len(labels) == 24
    drawn.zero_()  # a copy
    assert contents(queues)[2] == [[20.0], [21.0], [22.0]]


def test_contrastive_seg_queues_take_the_keys_of_all_ranks_in_rank_order(monkeypatch):
    keys, labels = torch.arange(18.0).view(9, 2), torch.tensor([0, 1, 2, 0, -1, 0, 0, 1, 2])
    alone = ClassQueues(3, 4, 2)
    alone.enqueue(keys, labels)
    ranks = [slice(0, 5), slice(5, 9)]
    joined = {2: keys, 1: labels}  # by the number of dimensions
    monkeypatch.setattr('paco_seg.core.distributed.world_size', lambda: 2)
    monkeypatch.setattr('paco_seg.core.distributed.row_counts', lambda rows: [5, 4])
    monkeypatch.setattr(
        'paco_seg.core.distributed.gather_rows',
        lambda rows, counts: [joined[rows.dim()][part] for part in ranks],
    )
    for part in ranks:
        queues = ClassQueues(3, 4, 2)
        queues.enqueue(keys[part], labels[part])
        assert contents(queues) == contents(alone)


def test_contrastive_seg_queues_resume():
    queues, other = ClassQueues(2, 3, 2), ClassQueues(2, 3, 2)
    queues.enqueue(torch.randn(4, 2), torch.tensor([0, 1, 1, 0]))
    other.load_state_dict(queues.state_dict())
    for each in (queues, other):
        each.enqueue(torch.ones(3, 2), torch.tensor([1, 1, 0]))
    assert contents(queues) == contents(other)


def test_sizes_that_make_no_sense():
    with pytest.raises(ValueError, match='memory_size: expected'):
        ClassQueues(2, 0, 2)
    with pytest.raises(ValueError, match=r'memory_size: .*GiB.*Make it smaller'):
        ClassQueues(1000, 10**12, 256)
