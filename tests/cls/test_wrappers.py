"""Every classifier in the model wrappers of several processes."""

from __future__ import annotations

import json

import pytest
import torch
from helpers.classifier_zoo import SYSTEMS
from helpers.run_state import assert_same_run

from paco_seg.engine.checkpoint import set_safe_loading

CASES = [
    *((title, 'DDP with a static graph') for title in SYSTEMS),
    *((title, 'FSDP') for title in SYSTEMS if title != 'LIFT'),
]


@pytest.mark.parametrize(('title', 'wrapper'), CASES)
def test_a_wrapper_changes_nothing(two_ranks, title, wrapper):
    """Losses and weights of two processes, against those of DDP in PyTorch's settings."""
    for results in two_ranks:
        losses, weights = results[title, 'DDP']
        other_losses, other_weights = results[title, wrapper]
        assert losses == other_losses
        assert len({float(loss) for loss in losses}) == len(losses)
        assert weights.keys() == other_weights.keys()
        assert all(torch.equal(weights[key], other_weights[key]) for key in weights)


def checkpoint(path):
    return torch.load(path, weights_only=False)


def test_a_sharded_training_equals_that_of_ddp(two_ranks, trainings):
    """From the command to the checkpoint: PaCo's queue, momentum encoder and class counts too."""
    one, other = (
        checkpoint(trainings / name / 'epoch_2.pth')['state_dict'] for name in ('ddp', 'fsdp')
    )
    assert one.keys() == other.keys()
    assert all(torch.equal(one[key], other[key]) for key in one)
    assert int(other['momentum_encoder.updates']) == 4
    assert (other['head.queue.labels'] >= 0).all()
    assert (trainings / 'fsdp/last_checkpoint').read_text().endswith('epoch_2.pth')


def test_a_sharded_training_resumes_exactly(two_ranks, trainings):
    set_safe_loading()
    assert_same_run(trainings / 'fsdp/epoch_2.pth', trainings / 'resumed/epoch_2.pth')


def test_its_checkpoint_is_tested_by_one_process(two_ranks, trainings, run_tool, tmp_path):
    out = tmp_path / 'out.json'
    run_tool('test', trainings / 'fsdp.py', trainings / 'fsdp/epoch_2.pth', '--out', out)
    assert json.loads(out.read_text())['num_samples'] == 8
