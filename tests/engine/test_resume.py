import os
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config

from paco_seg.engine import resume
from paco_seg.engine.resume import newest_checkpoint, use_resume, way_back


def write(folder, *numbers, last=None, kind='iter'):
    folder.mkdir(exist_ok=True)
    for number in numbers:
        content = {'state_dict': {'a': torch.ones(300)}, 'meta': {'iter': number, 'seed': 7}}
        torch.save(content, folder / f'{kind}_{number}.pth')
    if last is not None:
        (folder / 'last_checkpoint').write_text(str(last))


def newest(folder):
    found = newest_checkpoint(folder)
    return None if found is None else os.path.basename(found)


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == 'flipped byte':
        content[len(content) // 2] ^= 1
    path.write_bytes(
        {'flipped byte': content, 'truncated': content[: len(content) // 2], 'empty': b''}[how]
    )


def test_the_named_one(tmp_path):
    assert newest(tmp_path) is None
    assert newest(tmp_path / 'absent') is None
    write(tmp_path, 3, 6, 9, last=tmp_path / 'iter_6.pth')
    assert newest(tmp_path) == 'iter_6.pth'


@pytest.mark.parametrize('how', ['flipped byte', 'truncated', 'empty'])
def test_a_damaged_last_checkpoint_is_replaced_by_the_one_before(tmp_path, how):
    write(tmp_path, 3, 12, 9, last=tmp_path / 'iter_12.pth')
    torch.save({}, tmp_path / 'best_mIoU_iter_10.pth')
    damage(tmp_path / 'iter_12.pth', how)
    assert newest(tmp_path) == 'iter_9.pth'
    damage(tmp_path / 'iter_9.pth', how)
    assert newest(tmp_path) == 'iter_3.pth'
    damage(tmp_path / 'iter_3.pth', how)
    with pytest.raises(ValueError, match=r'last_checkpoint: expected .*iter_12.*iter_9.*iter_3'):
        newest_checkpoint(tmp_path)


def test_the_warning_names_the_damaged_and_the_used_file(tmp_path, monkeypatch):
    lines = []
    monkeypatch.setattr(resume, 'print_log', lambda line, *_: lines.append(line))
    write(tmp_path, 3, 6, last=tmp_path / 'iter_6.pth')
    damage(tmp_path / 'iter_6.pth', 'truncated')
    newest_checkpoint(tmp_path)
    assert f'{tmp_path / "iter_6.pth"}: expected a PyTorch checkpoint' in lines[0]
    assert f'which cannot be used: {tmp_path / "iter_3.pth"} instead' in lines[1]


def test_a_moved_folder(tmp_path):
    write(tmp_path / 'old', 3, 6, last=tmp_path / 'old/iter_6.pth')
    (tmp_path / 'old').rename(tmp_path / 'new')
    assert newest_checkpoint(tmp_path / 'new') == str(tmp_path / 'new/iter_6.pth')


def test_a_copied_folder_continues_from_its_own_files(tmp_path):
    write(tmp_path / 'old', 3, last=tmp_path / 'old/iter_3.pth')
    write(tmp_path / 'new', 3, last=tmp_path / 'old/iter_3.pth')
    assert newest_checkpoint(tmp_path / 'new') == str(tmp_path / 'new/iter_3.pth')


def test_checkpoints_in_another_folder(tmp_path):
    """CheckpointHook.out_dir: last_checkpoint lies in the work directory all the same."""
    write(tmp_path / 'out', 3, 6)
    write(tmp_path / 'work', last=tmp_path / 'out/iter_6.pth')
    assert newest_checkpoint(tmp_path / 'work') == str(tmp_path / 'out/iter_6.pth')
    damage(tmp_path / 'out/iter_6.pth', 'empty')
    assert newest_checkpoint(tmp_path / 'work') == str(tmp_path / 'out/iter_3.pth')


@pytest.mark.parametrize('last', ['', 'iter_9.pth', '\0\0\0', '/nowhere/iter_8.pth'])
def test_an_empty_or_stale_note_falls_back_to_the_files(tmp_path, last):
    write(tmp_path, 3, 6, last=last)
    assert newest(tmp_path) == 'iter_6.pth'


def test_a_note_without_any_checkpoint_is_named(tmp_path):
    write(tmp_path, last='/nowhere/iter_8.pth')
    with pytest.raises(ValueError, match=r"last_checkpoint: .*got '/nowhere/iter_8\.pth' and no"):
        newest_checkpoint(tmp_path)


def test_a_first_checkpoint_without_a_note_counts(tmp_path):
    """A kill between the first checkpoint and the note."""
    write(tmp_path, 2, 1, kind='epoch')
    (tmp_path / '.epoch_3.77.part.pth').write_bytes(b'half')
    assert newest(tmp_path) == 'epoch_2.pth'


def test_resume_takes_over_a_drawn_seed(tmp_path):
    write(tmp_path, 3, last=tmp_path / 'iter_3.pth')
    cfg = Config(dict(work_dir=str(tmp_path), randomness=dict(deterministic=True)))
    use_resume(cfg, 'auto')
    assert (cfg.resume, cfg.load_from) == (True, str(tmp_path / 'iter_3.pth'))
    assert cfg.randomness == dict(deterministic=True, seed=7)
    cfg = Config(dict(work_dir=str(tmp_path), randomness=dict(seed=3)))
    use_resume(cfg, str(tmp_path / 'iter_3.pth'))
    assert cfg.randomness.seed == 3
    cfg = Config(dict(work_dir=str(tmp_path / 'none')))
    use_resume(cfg, 'auto')
    assert cfg.resume is False


def test_a_seed_that_is_none(tmp_path):
    torch.save({'meta': {'seed': 'x'}}, tmp_path / 'a.pth')
    with pytest.raises(ValueError, match=r"a\.pth: meta\.seed: expected an integer >= 0, got 'x'"):
        use_resume(Config(dict(work_dir=str(tmp_path))), str(tmp_path / 'a.pth'))


def test_a_published_file_is_no_checkpoint_to_resume(tmp_path):
    """Its hash may look like a larger number of iterations."""
    write(tmp_path, 3, 6)
    (tmp_path / 'iter_6.pth').rename(tmp_path / 'iter_3-e5432409.pth')
    assert newest(tmp_path) == 'iter_3.pth'


def ended_early(work_dir, cfg=None, written=None):
    hooks = [SimpleNamespace(), SimpleNamespace(written=written)]
    return way_back(SimpleNamespace(work_dir=work_dir, cfg=cfg or {}, hooks=hooks))


def test_the_way_back_is_to_a_checkpoint_of_this_training(tmp_path):
    write(tmp_path, 3, last=tmp_path / 'iter_3.pth')
    assert ended_early(tmp_path, written='iter_3.pth') == 'continue with --resume'
    message = ended_early(tmp_path)
    assert message.startswith('no checkpoint was written yet, start again; last_checkpoint in')
    assert 'is of an earlier training' in message
    assert ended_early(tmp_path / 'new') == 'no checkpoint was written yet, start again'
    # Resumed from a checkpoint that may not be the one that --resume alone would take.
    resumed = Config(dict(resume=True, load_from='other/iter_3.pth'))
    assert ended_early(tmp_path, resumed) == 'continue with --resume other/iter_3.pth'
