import os

import pytest
import torch
from helpers.tiny_training import tiny_config, train
from mmengine.fileio import LocalBackend
from mmengine.runner import Runner

from paco_seg import files
from paco_seg.comparison.process import forget_runs
from paco_seg.engine.checkpoint import load_from_local
from paco_seg.engine.hooks import DurableCheckpointHook
from paco_seg.engine.resume import newest_checkpoint
from paco_seg.engine.safeguards import guard_training

KEEP_ONE = dict(default_hooks__checkpoint__max_keep_ckpts=1)
SAVE_BEST = dict(default_hooks__checkpoint__save_best='acc')


class KilledError(BaseException):
    """Not an Exception: nothing catches it, as nothing catches a kill."""


def names(folder):
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def test_what_is_left_at_the_end_is_what_mmengine_leaves(tmp_path):
    runner = train(tmp_path, **KEEP_ONE, **SAVE_BEST)
    assert any(isinstance(hook, DurableCheckpointHook) for hook in runner.hooks)
    kept = [name for name in names(tmp_path) if name.endswith('.pth')]
    assert kept == ['best_acc_iter_6.pth', 'iter_6.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'iter_6.pth')
    info = load_from_local(str(tmp_path / 'iter_6.pth'))['message_hub']['runtime_info']
    assert info['best_ckpt'] == str(tmp_path / 'best_acc_iter_6.pth')
    assert info['keep_ckpt_ids'] == [6]


def kill_at(monkeypatch, function, owner, number):
    """Let the call ``number`` of ``owner.function`` do half of its work and be the last."""
    original = getattr(owner, function)
    calls = []

    def killed(*args, **kwargs):
        calls.append(1)
        if len(calls) < number:
            return original(*args, **kwargs)
        if function == 'save':  # half a checkpoint
            original(*args, **kwargs)
            args[1].truncate(200)
        raise KilledError

    monkeypatch.setattr(owner, function, killed)


# In the second round: two checkpoints of training and one best were written by then.
@pytest.mark.parametrize('number', [4, 5, 6])
@pytest.mark.parametrize(('owner', 'function'), [(torch, 'save'), (os, 'replace'), (os, 'fsync')])
def test_a_kill_at_any_step_leaves_something_to_resume_from(
    tmp_path, monkeypatch, owner, function, number
):
    with monkeypatch.context() as patch:
        kill_at(patch, function, owner, number)
        with pytest.raises(KilledError):
            train(tmp_path, **KEEP_ONE, **SAVE_BEST)
    last = newest_checkpoint(tmp_path)
    content = load_from_local(last)
    assert 'optimizer' in content
    assert content['meta']['iter'] in (2, 4)
    train(tmp_path, resume=True, load_from=last, **KEEP_ONE, **SAVE_BEST)
    assert load_from_local(str(tmp_path / 'iter_6.pth'))['meta']['iter'] == 6
    assert not list(tmp_path.glob('.*.part*'))


def test_what_a_kill_left_unfinished_goes_with_the_next_start(tmp_path):
    train(tmp_path, train_cfg__max_iters=2)
    dead, alive = 99_999_999, os.getppid()
    unfinished = (f'.iter_4.{dead}.part.pth', f'.last_checkpoint.{dead}.part')
    others = ['.mine.part.txt', f'.iter_9.{alive}.part.pth']  # another training writes there
    for name in (*unfinished, *others):
        (tmp_path / name).write_text('half')
    train(tmp_path, resume=True, load_from=str(tmp_path / 'iter_2.pth'))
    assert sorted(name for name in names(tmp_path) if '.part' in name) == sorted(others)


@pytest.mark.parametrize('by_epoch', [False, True])
def test_a_misspelt_best_value_loses_no_step(tmp_path, by_epoch):
    def run(name, **changes):
        cfg = tiny_config(tmp_path, default_hooks__checkpoint__interval=100, **changes)
        cfg.default_hooks.checkpoint.update(save_best=name, by_epoch=by_epoch)
        if by_epoch:
            cfg.train_cfg = dict(by_epoch=True, max_epochs=2)
        forget_runs()
        guard_training(cfg)
        Runner.from_cfg(cfg).train()

    message = r'save_best: expected one of .*\(acc.*\), got .acc_typo.\. .* --resume: \S+\.pth has'
    with pytest.raises(ValueError, match=message):
        run('acc_typo')
    last = newest_checkpoint(tmp_path)
    assert load_from_local(last)['meta']['iter'] == (4 if by_epoch else 2)
    run('acc', resume=True, load_from=last)
    assert list(tmp_path.glob('best_acc_*.pth'))


@pytest.mark.parametrize('number', [1, 2, 3])
def test_a_kill_while_the_old_is_removed_leaves_the_new(tmp_path, monkeypatch, number):
    with monkeypatch.context() as patch:
        kill_at(patch, 'remove', LocalBackend, number)
        with pytest.raises(KilledError):
            train(tmp_path, **KEEP_ONE, **SAVE_BEST)
    last = newest_checkpoint(tmp_path)
    assert (tmp_path / 'last_checkpoint').read_text() == last
    assert load_from_local(last)['meta']['iter'] == (4 if number < 3 else 6)


def kept(folder):
    return [name for name in names(folder) if name.startswith('iter_')]


def killed_before_removal(folder, monkeypatch):
    with monkeypatch.context() as patch:
        kill_at(patch, 'remove', LocalBackend, 1)
        with pytest.raises(KilledError):
            train(folder, **KEEP_ONE)
    assert kept(folder) == ['iter_2.pth', 'iter_4.pth']
    return str(folder / 'iter_4.pth')


def test_what_a_kill_did_not_remove_goes_with_the_resumed_training(tmp_path, monkeypatch):
    last = killed_before_removal(tmp_path, monkeypatch)
    train(tmp_path, resume=True, load_from=last, train_cfg__max_iters=4, **KEEP_ONE)
    assert kept(tmp_path) == ['iter_4.pth']


def test_only_what_the_training_itself_wrote_is_removed(tmp_path, monkeypatch):
    last = killed_before_removal(tmp_path / 'a', monkeypatch)
    other = tmp_path / 'b'
    other.mkdir()
    (other / 'iter_2.pth').write_text('of another training')
    train(other, resume=True, load_from=last, **KEEP_ONE)
    assert kept(other) == ['iter_2.pth', 'iter_6.pth']
    # Who keeps more than before keeps this one too.
    train(tmp_path / 'a', resume=True, load_from=last)
    assert kept(tmp_path / 'a') == ['iter_2.pth', 'iter_4.pth', 'iter_6.pth']


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path, monkeypatch):
    def full(descriptor):
        raise OSError(28, 'No space left on device')

    train(tmp_path, train_cfg__max_iters=2, **KEEP_ONE)
    before = (tmp_path / 'iter_2.pth').read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(files.os, 'fsync', full)
        with pytest.raises(OSError, match='No space left'):
            train(tmp_path, resume=True, load_from=str(tmp_path / 'iter_2.pth'), **KEEP_ONE)
    assert (tmp_path / 'iter_2.pth').read_bytes() == before
    assert newest_checkpoint(tmp_path) == str(tmp_path / 'iter_2.pth')


def test_weights_that_are_not_finite_are_not_written(tmp_path):
    with pytest.raises(ValueError, match=r'got infinite or NaN values in head\.weight at'):
        train(tmp_path, model__diverges_at=3, **KEEP_ONE, **SAVE_BEST)
    assert newest_checkpoint(tmp_path) == str(tmp_path / 'iter_2.pth')
    assert 'best_acc_iter_2.pth' in names(tmp_path)


def test_two_best_checkpoints(tmp_path):
    best = dict(
        default_hooks__checkpoint__save_best=['acc', 'error'],
        default_hooks__checkpoint__rule=['greater', 'less'],
    )
    train(tmp_path, **best)
    assert [name for name in names(tmp_path) if name.startswith('best_')] == [
        'best_acc_iter_6.pth',
        'best_error_iter_2.pth',
    ]
