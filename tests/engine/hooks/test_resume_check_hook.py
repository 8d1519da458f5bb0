from pathlib import Path

import pytest
import torch
from helpers.run_state import assert_same_run
from helpers.tiny_training import tiny_config, train
from mmengine.runner import Runner

from paco_seg.comparison.process import forget_runs
from paco_seg.engine.checkpoint import load_from_local
from paco_seg.engine.hooks.resume_check_hook import keep_own_paths
from paco_seg.engine.safeguards import guard_training

SAVE_BEST = dict(default_hooks__checkpoint__save_best='acc')


@pytest.fixture
def first(tmp_path):
    """A training that was stopped after four of six iterations."""
    train(tmp_path / 'first', train_cfg__max_iters=4, **SAVE_BEST)
    return tmp_path / 'first'


def resume(work_dir, checkpoint, **changes):
    return train(work_dir, resume=True, load_from=str(checkpoint), **changes)


def changed(path, change):
    """The checkpoint after ``change(content)``, beside it."""
    content = torch.load(path, weights_only=False)
    change(content)
    torch.save(content, path.with_name('changed.pth'))
    return path.with_name('changed.pth')


def test_an_honest_resume_is_exact(tmp_path, first):
    resume(tmp_path / 'b', first / 'iter_4.pth', **SAVE_BEST)
    train(tmp_path / 'c', **SAVE_BEST)
    assert_same_run(tmp_path / 'c/iter_6.pth', tmp_path / 'b/iter_6.pth')


def test_an_early_stop_starts_anew_and_says_so(tmp_path, first, capsys):
    hooks = [dict(type='EarlyStoppingHook', monitor='acc', patience=9)]
    resume(tmp_path / 'b', first / 'iter_4.pth', custom_hooks=hooks)
    assert 'EarlyStoppingHook keeps nothing in a checkpoint' in ''.join(capsys.readouterr())


def test_resume_runs_no_python_of_the_checkpoint(tmp_path, first):
    trace = tmp_path / 'trace'
    config = f'import os\nos.system("touch {trace}")\ngpu_ids = [0]\n'
    path = changed(first / 'iter_4.pth', lambda content: content['meta'].update(config=config))
    resume(tmp_path / 'b', path)
    assert (tmp_path / 'b/iter_6.pth').exists()
    assert not trace.exists()


@pytest.mark.parametrize('kind', ['file', 'folder'])
def test_resume_removes_nothing_that_the_checkpoint_names(tmp_path, first, kind):
    precious = tmp_path / 'precious'
    if kind == 'file':
        precious.write_text('mine')
    else:
        precious.mkdir()

    def name_it(content):
        info = content['message_hub']['runtime_info']
        info['best_ckpt'] = info['best_ckpt_acc'] = str(precious)
        info['keep_ckpt_ids'] = ['../../precious', 1.5, -1, 2, True]
        info['best_score'] = 0.0

    path = changed(first / 'iter_4.pth', name_it)
    resume(tmp_path / 'b', path, default_hooks__checkpoint__max_keep_ckpts=1, **SAVE_BEST)
    assert precious.exists()
    assert (tmp_path / 'b/best_acc_iter_6.pth').exists()


def test_a_copied_work_directory_leaves_the_original_alone(tmp_path, first):
    import shutil

    shutil.copytree(first, tmp_path / 'copy')
    (best,) = first.glob('best_*')
    resume(tmp_path / 'copy', tmp_path / 'copy/iter_4.pth', **SAVE_BEST)
    assert best.exists()
    assert [path.name for path in (tmp_path / 'copy').glob('best_*')] == ['best_acc_iter_6.pth']


def test_paths_become_those_of_the_own_folder(tmp_path):
    for name in ('best_a.pth', 'iter_4.pth', 'config.py'):
        (tmp_path / name).touch()
    info = dict(
        best_ckpt='/elsewhere/best_a.pth',
        best_ckpt_x='best_b.pth',
        best_ckpt_y=f'{tmp_path}/config.py',
        best_ckpt_z=['best_a.pth'],
        best_ckpt_w=f'{tmp_path}/iter_4.pth',
        last_ckpt='../iter_4.pth',
        best_score=0.5,
        best_score_x='high',
        keep_ckpt_ids=[2, '../x', 4],
        other=1,
    )
    keep_own_paths(info, tmp_path)
    assert info == dict(
        best_ckpt=str(tmp_path / 'best_a.pth'),
        last_ckpt=str(tmp_path / 'iter_4.pth'),
        best_score=0.5,
        keep_ckpt_ids=[2, 4],
        other=1,
    )
    info = dict(keep_ckpt_ids='../x', superfluous_ckpt_ids=['../x', 3, -1, True])
    keep_own_paths(dict(info), tmp_path)
    info['last_ckpt'] = 'iter_4.pth'
    keep_own_paths(info, tmp_path)
    del info['last_ckpt']
    assert info == dict(keep_ckpt_ids=[], superfluous_ckpt_ids=[3])


def test_what_another_folder_keeps_is_no_business_of_this_one(tmp_path):
    info = dict(keep_ckpt_ids=[2, 4], superfluous_ckpt_ids=[3], last_ckpt='/there/iter_4.pth')
    info |= dict(best_ckpt='/there/best_acc_iter_4.pth', best_score=99.0, best_score_acc=9.0)
    keep_own_paths(info, tmp_path)
    assert info == {}


def test_the_best_score_stays_in_its_folder(tmp_path):
    """A later best checkpoint has taken the place of the one that an earlier checkpoint names."""
    (tmp_path / 'iter_4.pth').touch()
    info = dict(last_ckpt=str(tmp_path / 'iter_4.pth'), best_score=50.0, keep_ckpt_ids=[4])
    kept = dict(info)
    info['best_ckpt'] = str(tmp_path / 'best_acc_iter_4.pth')
    keep_own_paths(info, tmp_path, 'acc')
    assert info == kept
    remote = dict(last_ckpt='s3://b/run/iter_8.pth', keep_ckpt_ids=[6, 8], best_score=70.0)
    keep_own_paths(remote, Path('s3://b/run'), 'acc')
    assert remote == dict(keep_ckpt_ids=[6, 8], best_score=70.0)


@pytest.mark.parametrize(
    ('metric', 'name', 'stays'),
    [
        ('acc', 'best_acc_iter_4.pth', True),
        ('acc', 'best_acc_epoch_4.pth', True),
        ('acc', 'best_acc_model[04].pth', True),
        ('acc/mean', 'best_acc_iter_4.pth', False),
        ('acc', 'best_acc_tail_iter_4.pth', False),
        (None, 'best_acc_iter_4.pth', True),
    ],
)
def test_the_best_by_another_metric_is_no_rival(tmp_path, metric, name, stays):
    best = tmp_path / name
    best.touch()
    (tmp_path / 'iter_4.pth').touch()
    last = dict(last_ckpt=str(tmp_path / 'iter_4.pth'))
    info = dict(last, best_ckpt=str(best), best_score=26.0)
    keep_own_paths(info, tmp_path, metric, 'model[{:02d}].pth')
    assert info == (dict(last, best_ckpt=str(best), best_score=26.0) if stays else last)
    assert best.is_file()


def test_settings_that_stay_those_of_the_checkpoint_are_told(tmp_path, first, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.engine.hooks.resume_check_hook.print_log', lambda line, *_: lines.append(line)
    )
    lr = tiny_config(tmp_path).optim_wrapper.optimizer.lr
    resume(tmp_path / 'b', first / 'iter_4.pth', optim_wrapper__optimizer__lr=lr / 10)
    (line,) = lines
    assert f'optim_wrapper.optimizer.lr was {lr}, now it is {lr / 10}: a resumed training' in line
    constant = dict(type='ConstantLR', factor=1.0)
    for schedulers in ([constant], [constant] * 3, None):
        with pytest.raises(
            ValueError, match=r'param_scheduler: expected PolyLR as in .* got [Cn]o'
        ):
            resume(tmp_path / 'c', first / 'iter_4.pth', param_scheduler=schedulers)


def test_averaged_weights_are_not_trained_on(tmp_path):
    average = dict(custom_hooks=[dict(type='EMAHook')])
    train(tmp_path / 'a', train_cfg__max_iters=4, **average)
    resume(tmp_path / 'b', tmp_path / 'a/iter_4.pth', **average)
    with pytest.raises(ValueError, match=r'iter_4\.pth: custom_hooks: expected EMAHook'):
        resume(tmp_path / 'c', tmp_path / 'a/iter_4.pth')
    train(tmp_path / 'd', load_from=str(tmp_path / 'a/iter_4.pth'))


def test_another_number_of_processes_is_told(tmp_path, first, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.engine.hooks.resume_check_hook.print_log', lambda line, *_: lines.append(line)
    )

    def by_two(content):
        content['message_hub']['runtime_info']['num_processes'] = 2

    resume(tmp_path / 'b', changed(first / 'iter_4.pth', by_two))
    (line,) = lines
    assert 'was written by 2 processes, now there are 1' in line


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda content: content.pop('optimizer'), r'got weights without optimizer\. Resume from'),
        (lambda content: content.pop('message_hub'), 'got weights without message_hub'),
        (
            lambda content: content['message_hub'].update(runtime_info=[]),
            r'message_hub\.runtime_info: expected a dict, got list',
        ),
        (
            lambda content: content['meta'].update(iter='4'),
            r"meta\.iter: expected an integer >= 0, got '4'",
        ),
        (lambda content: content['meta'].pop('epoch'), r'meta\.epoch: expected .* got None'),
        (
            lambda content: content['optimizer'].update(param_groups=3),
            r'optimizer\.param_groups: expected a list of dicts',
        ),
    ],
)
def test_what_is_no_state_of_a_training_is_named(tmp_path, first, change, message):
    path = changed(first / 'iter_4.pth', change)
    with pytest.raises(ValueError, match=rf'changed\.pth: .*{message}'):
        resume(tmp_path / 'b', path)


@pytest.mark.parametrize(
    ('optimizer', 'message'),
    [
        (dict(type='AdamW', lr=0.1), 'expected the state of AdamW, got SGD'),
        (dict(type='Adam', lr=0.1), 'expected the state of Adam, got SGD'),
    ],
)
def test_another_optimizer_is_named(tmp_path, first, optimizer, message):
    changes = dict(optim_wrapper__optimizer=dict(optimizer, _delete_=True))
    with pytest.raises(ValueError, match=rf'iter_4\.pth: optimizer: {message}\. Use the optimizer'):
        resume(tmp_path / 'b', first / 'iter_4.pth', **changes)
    # The checkpoint of another tool may hold no config.
    path = changed(first / 'iter_4.pth', lambda content: content['meta'].pop('cfg'))
    with pytest.raises(ValueError, match=r'optimizer: expected 2 parameters with .*betas.* got 2 '):
        resume(tmp_path / 'b', path, **changes)


def test_other_parameter_groups_are_named(tmp_path, first):
    groups = dict(optim_wrapper__paramwise_cfg=dict(bias_lr_mult=2.0))
    with pytest.raises(ValueError, match='optimizer: expected 2 parameter groups, got 1'):
        resume(tmp_path / 'b', first / 'iter_4.pth', **groups)


def test_another_batch_size_is_one_line(tmp_path, first, monkeypatch):
    lines = []
    monkeypatch.setattr(
        'paco_seg.engine.hooks.resume_check_hook.print_log', lambda line, *_: lines.append(line)
    )
    resume(tmp_path / 'b', first / 'iter_4.pth')
    assert not lines
    resume(tmp_path / 'c', first / 'iter_4.pth', train_dataloader__batch_size=4)
    (line,) = lines
    assert 'train_dataloader.batch_size was 2, now it is 4' in line


@pytest.mark.parametrize(('stop', 'inside'), [(3, True), (4, False)])
def test_a_checkpoint_inside_an_epoch_gets_a_warning(tmp_path, monkeypatch, stop, inside):
    lines = []
    monkeypatch.setattr(
        'paco_seg.engine.hooks.resume_check_hook.print_log', lambda line, *_: lines.append(line)
    )

    def train_two_epochs(work_dir, **changes):  # of four iterations
        cfg = tiny_config(work_dir, default_hooks__checkpoint__interval=1, **changes)
        cfg.train_cfg = dict(by_epoch=True, max_epochs=2)
        forget_runs()
        guard_training(cfg)
        Runner.from_cfg(cfg).train()

    train_two_epochs(tmp_path / 'a')
    assert not lines
    train_two_epochs(tmp_path / 'b', resume=True, load_from=str(tmp_path / f'a/iter_{stop}.pth'))
    assert [line.split(': ')[1][:49] for line in lines] == [
        'expected the end of an epoch, got 3 of the 4 iter'
    ] * inside


def test_a_training_from_other_weights_is_not_concerned(tmp_path, first):
    path = changed(first / 'iter_4.pth', lambda content: content.pop('optimizer'))
    train(tmp_path / 'b', load_from=str(path))
    assert load_from_local(str(tmp_path / 'b/iter_6.pth'))['meta']['iter'] == 6
