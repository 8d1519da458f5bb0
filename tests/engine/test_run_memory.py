"""Tensors that checkpoints of a training keep and state dicts do not."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub

from paco_seg.engine.run_memory import RunMemory


@pytest.fixture
def hub():
    """A run of its own."""
    return MessageHub.get_instance(f'run-memory-{torch.rand(()).item()}')


def fill(value):
    """A part of a model that starts: restores what was kept, or keeps its own."""
    memory, tensor = RunMemory('counts'), torch.full((2,), float(value))
    memory.restore(tensor)
    memory.keep(tensor)
    return memory, tensor


def test_parts_of_one_name_are_told_apart_by_their_order(hub):
    fill(1), fill(2)
    other = MessageHub.get_instance(f'{hub.instance_name}-resumed')
    other.load_state_dict(copy.deepcopy(hub.state_dict()))
    assert fill(0)[1].tolist() == [1, 1]
    assert fill(0)[1].tolist() == [2, 2]
    assert fill(3)[1].tolist() == [3, 3]  # one more than there were


def test_what_is_kept_follows_the_tensor_and_is_restored_once(hub):
    memory, tensor = fill(1)
    tensor += 4
    assert hub.state_dict()['runtime_info']['counts.1'].tolist() == [5, 5]
    hub.update_info('counts.1', torch.zeros(2))
    memory.restore(tensor)
    assert tensor.tolist() == [5, 5]


def test_another_shape_is_not_taken(hub):
    hub.update_info('counts.1', torch.zeros(7))
    assert fill(1)[1].tolist() == [1, 1]
