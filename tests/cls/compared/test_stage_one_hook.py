import shutil

import pytest
import torch


@pytest.mark.parametrize('system', ['crt', 'lws'])
def test_a_resumed_training_needs_no_file_of_stage_one(tiny_cls, run_tool, tmp_path, system):
    config = tiny_cls()
    run_tool('train', config, '--work-dir', tmp_path / 'ce')
    weights = tmp_path / 'ce/epoch_2.pth'
    second = tmp_path / 'second.py'
    run_tool('swap', config, '--system', system, '--weights', weights, '-o', second)
    whole, halves = tmp_path / 'whole', tmp_path / 'halves'
    run_tool('train', second, '--work-dir', whole)
    halves.mkdir()
    shutil.copy(whole / 'epoch_1.pth', halves)
    weights.unlink()
    # Without a checkpoint there is nothing to go on from.
    message = r'^model\.stage_one: expected' if system == 'crt' else r'got .*epoch_2\.pth'
    with pytest.raises(FileNotFoundError, match=message):
        run_tool('train', second, '--work-dir', tmp_path / 'empty', '--resume')
    run_tool('train', second, '--work-dir', halves, '--resume', halves / 'epoch_1.pth')
    states = [
        torch.load(folder / 'epoch_2.pth', weights_only=False)['state_dict']
        for folder in (whole, halves)
    ]
    assert states[0].keys() == states[1].keys()
    for name, value in states[0].items():
        assert torch.equal(value, states[1][name]), name
