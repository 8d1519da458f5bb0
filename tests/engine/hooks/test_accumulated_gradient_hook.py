import pytest
import torch
from helpers.run_state import assert_same_run
from helpers.tiny_training import train

from paco_seg.engine.checkpoint import load_from_local

# Checkpoints at 2, 4 and 6, updates at 3 and 6: those at 2 and 4 lie inside.
THREE = dict(optim_wrapper__accumulative_counts=3)


@pytest.mark.parametrize('iteration', [2, 4])
def test_resume_inside_an_accumulation_is_exact(tmp_path, iteration):
    train(tmp_path / 'a', **THREE)
    start = tmp_path / f'a/iter_{iteration}.pth'
    train(tmp_path / 'b', resume=True, load_from=str(start), **THREE)
    assert_same_run(tmp_path / 'a/iter_6.pth', tmp_path / 'b/iter_6.pth')
    # It does matter: without the gradients the weights differ.
    content = torch.load(start, weights_only=False)
    assert content.pop('accumulated_gradients').keys() == {'head.weight', 'head.bias'}
    torch.save(content, start)
    train(tmp_path / 'c', resume=True, load_from=str(start), **THREE)
    one, other = (load_from_local(str(tmp_path / name / 'iter_6.pth')) for name in 'ac')
    assert not torch.equal(one['state_dict']['head.weight'], other['state_dict']['head.weight'])


def test_checkpoints_between_accumulations_hold_no_gradients(tmp_path):
    train(tmp_path, optim_wrapper__accumulative_counts=2)
    assert 'accumulated_gradients' not in load_from_local(str(tmp_path / 'iter_4.pth'))


def test_several_processes_and_older_checkpoints_get_one_line(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.engine.hooks.accumulated_gradient_hook.print_log',
        lambda line, *_: lines.append(line),
    )
    train(tmp_path / 'a', **THREE)
    start = tmp_path / 'a/iter_4.pth'
    content = torch.load(start, weights_only=False)
    del content['accumulated_gradients']
    torch.save(content, start)
    train(tmp_path / 'b', resume=True, load_from=str(start), **THREE)
    (line,) = lines
    assert 'iteration 4 lies inside an accumulation of 3 gradients' in line


def test_gradients_of_another_model_are_refused(tmp_path):
    train(tmp_path / 'a', **THREE)
    start = tmp_path / 'a/iter_4.pth'
    content = torch.load(start, weights_only=False)
    content['accumulated_gradients'] = {'other': torch.ones(1)}
    torch.save(content, start)
    with pytest.raises(ValueError, match=r"accumulated_gradients: expected .* got 'other'"):
        train(tmp_path / 'b', resume=True, load_from=str(start), **THREE)
