from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from paco_seg.core import KeyQueue, ShapeError, parametric_contrastive_loss


def numbered(start, count, channels=2):
    """Keys whose entries are their own running number, labelled with it."""
    numbers = torch.arange(start, start + count)
    return numbers.float().unsqueeze(1).expand(-1, channels), numbers


class TestKeyQueue:
    def test_starts_empty(self):
        queue = KeyQueue(3, 2)
        assert len(queue) == 3
        assert queue.labels.tolist() == [-1, -1, -1]
        assert not queue.keys.any()

    @settings(max_examples=60, derandomize=True, database=None, deadline=None)
    @given(size=st.integers(1, 7), batches=st.lists(st.integers(0, 17), max_size=8))
    def test_is_a_ring_buffer_written_one_key_at_a_time(self, size, batches):
        queue, slots, position, number = KeyQueue(size, 2), [-1] * size, 0, 0
        for count in batches:
            queue.enqueue(*numbered(number, count))
            for value in range(number, number + count):
                slots[position] = value
                position = (position + 1) % size
            number += count
            assert queue.labels.tolist() == slots
            assert queue.keys[:, 1].tolist() == [max(slot, 0) for slot in slots]
            assert int(queue.position) == position

    @settings(max_examples=60, derandomize=True, database=None, deadline=None)
    @given(
        size=st.integers(1, 7),
        batches=st.lists(st.lists(st.booleans(), max_size=17), max_size=6),
    )
    def test_writes_the_chosen_ones_alone(self, size, batches):
        queue, wanted, number = KeyQueue(size, 2), KeyQueue(size, 2), 0
        for batch in batches:
            chosen = torch.tensor(batch, dtype=torch.bool)
            keys, labels = numbered(number, len(batch))
            queue.enqueue(keys, labels, chosen)
            wanted.enqueue(keys[chosen], labels[chosen])
            number += len(batch)
            for name, buffer in queue.named_buffers():
                assert torch.equal(buffer, wanted.get_buffer(name))

    def test_counts_the_chosen_ones_that_are_not_finite(self):
        queue = KeyQueue(4, 2)
        keys, labels = numbered(0, 3)
        keys = keys.clone()  # its columns share their memory
        keys[1:] = float('nan')
        queue.enqueue(keys, labels, torch.tensor([True, True, False]))
        assert queue.labels.tolist() == [0, -1, -1, -1]
        assert (int(queue.position), int(queue.dropped)) == (2, 1)
        with pytest.raises(ShapeError, match=r'chosen: expected shape \(3\), got \(2,\)'):
            queue.enqueue(keys, labels, torch.ones(2, dtype=torch.bool))

    def test_resumes_from_a_state_dict(self):
        queue, resumed = KeyQueue(5, 2), KeyQueue(5, 2)
        queue.enqueue(*numbered(0, 3))
        resumed.load_state_dict(queue.state_dict())
        for other in (queue, resumed, copy.deepcopy(resumed)):
            other.enqueue(*numbered(3, 4))
            assert other.labels.tolist() == [5, 6, 2, 3, 4]

    def test_deepcopy_is_independent(self):
        queue = KeyQueue(5, 2)
        twin = copy.deepcopy(queue)
        queue.enqueue(*numbered(0, 3))
        assert twin.labels.tolist() == [-1] * 5

    def test_contents_survive_later_writes(self):
        queue = KeyQueue(4, 2)
        queue.enqueue(*numbered(0, 4))
        keys, labels = queue.contents()
        queue.enqueue(*numbered(10, 4))
        assert labels.tolist() == [0, 1, 2, 3]
        assert keys[:, 0].tolist() == [0, 1, 2, 3]

    def test_stores_float32_without_gradient(self):
        queue = KeyQueue(4, 2)
        keys = torch.ones(2, 2, dtype=torch.bfloat16, requires_grad=True)
        queue.enqueue(keys, torch.tensor([1, 2], dtype=torch.int32))
        assert queue.keys.dtype == torch.float32
        assert queue.labels.dtype == torch.int64
        assert not queue.keys.requires_grad

    @pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
    def test_keys_that_are_not_finite_leave_an_empty_slot_and_are_counted(self, value):
        queue = KeyQueue(4, 2)
        keys, labels = numbered(0, 3)
        keys[1, 1] = value
        queue.enqueue(keys, labels)
        assert queue.labels.tolist() == [0, -1, 2, -1]
        assert queue.keys.tolist() == [[0, 0], [0, 0], [2, 2], [0, 0]]
        assert (int(queue.position), int(queue.dropped)) == (3, 1)
        queue.enqueue(torch.full((5, 2), value), torch.zeros(5, dtype=torch.long))
        assert queue.labels.tolist() == [-1] * 4
        assert int(queue.dropped) == 6
        assert set(queue.state_dict()) == {'keys', 'labels', 'position'}

    def test_empty_slots_do_not_enter_the_loss(self):
        rows = torch.nn.functional.normalize(torch.arange(1.0, 9).view(4, 2), dim=1)
        arguments = dict(
            embeddings=rows,
            labels=torch.tensor([0, 1, 0, 2]),
            center_logits=torch.zeros(4, 3),
            alpha=0.1,
            temperature=0.2,
        )
        keys, key_labels = KeyQueue(6, 2).contents()
        loss = parametric_contrastive_loss(**arguments, keys=keys, key_labels=key_labels)
        torch.testing.assert_close(loss, parametric_contrastive_loss(**arguments))

    @pytest.mark.parametrize(
        ('size', 'channels', 'message'),
        [(0, 2, 'queue_size: expected >= 1, got 0'), (3, 0, 'channels: expected >= 1, got 0')],
    )
    def test_refuses_sizes(self, size, channels, message):
        with pytest.raises(ValueError, match=message):
            KeyQueue(size, channels)

    @pytest.mark.parametrize('size', [True, 2.0, '2', None])
    def test_refuses_what_is_no_integer(self, size):
        with pytest.raises(TypeError, match='queue_size: expected an integer, got'):
            KeyQueue(size, 2)
        with pytest.raises(TypeError, match='channels: expected an integer, got'):
            KeyQueue(2, size)

    @pytest.mark.parametrize('size', [10**15, 10**30])
    def test_refuses_what_no_memory_holds(self, size):
        with pytest.raises(ValueError, match=rf'queue_size: .* memory, got {size} of 128 channels'):
            KeyQueue(size, 128)

    def test_refuses_other_shapes_and_types(self):
        queue = KeyQueue(4, 2)
        with pytest.raises(ShapeError, match=r'keys: expected shape \(n, 2\), got \(1, 3\)'):
            queue.enqueue(torch.ones(1, 3), torch.zeros(1, dtype=torch.long))
        with pytest.raises(ShapeError, match=r'labels: expected shape \(1\), got \(2,\)'):
            queue.enqueue(torch.ones(1, 2), torch.zeros(2, dtype=torch.long))
        with pytest.raises(TypeError, match='labels: expected integer'):
            queue.enqueue(torch.ones(1, 2), torch.zeros(1))
        assert queue.labels.tolist() == [-1] * 4
