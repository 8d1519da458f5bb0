import pytest
from helpers.run_state import assert_same_run


@pytest.mark.parametrize('workers', [0, 2])
def test_resume_of_an_iteration_based_run_is_exact(tiny_seg, run_tool, tmp_path, workers):
    config = tiny_seg(f'train_dataloader["num_workers"] = {workers}\n')
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/iter_3.pth'
    )
    assert_same_run(tmp_path / 'work/iter_6.pth', tmp_path / 'b/iter_6.pth')


def test_workers_do_not_change_the_run(tiny_seg, run_tool, tmp_path):
    config = tiny_seg()
    for workers in (0, 2):
        option = f'train_dataloader.num_workers={workers}'
        run_tool('train', config, '--work-dir', tmp_path / f'{workers}', '--cfg-options', option)
    assert_same_run(tmp_path / '0/iter_6.pth', tmp_path / '2/iter_6.pth')


def test_a_finite_sampler_is_fast_forwarded_over_its_restart(tiny_seg, run_tool, tmp_path):
    """Seven images in batches of two, the last image dropped: the fourth batch is a restart."""
    config = tiny_seg(
        'train_dataloader["sampler"] = dict(type="DefaultSampler", shuffle=True)\n'
        'train_dataloader["drop_last"] = True\n'
        'default_hooks["checkpoint"]["interval"] = 4\n'
    )
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/iter_4.pth'
    )
    assert_same_run(tmp_path / 'work/iter_6.pth', tmp_path / 'b/iter_6.pth')


@pytest.mark.parametrize('workers', [0, 2])
def test_resume_of_an_epoch_based_run_is_exact(tiny_cls, run_tool, tmp_path, workers):
    config = tiny_cls(f'train_dataloader["num_workers"] = {workers}\n')
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/epoch_1.pth'
    )
    assert_same_run(tmp_path / 'work/epoch_2.pth', tmp_path / 'b/epoch_2.pth')


def test_a_seed_drawn_by_the_first_run_is_taken_over(tiny_seg, run_tool, tmp_path, on_cpu):
    config = tiny_seg('randomness = dict(seed=None)\n')
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/iter_3.pth'
    )
    assert_same_run(tmp_path / 'work/iter_6.pth', tmp_path / 'b/iter_6.pth')


def test_without_the_hook_the_resumed_run_differs(tiny_seg, run_tool, tmp_path, monkeypatch):
    """Guards the tests above: the tiny run does draw random numbers that a resume would change."""
    from paco_seg.engine.hooks import RNGStateHook

    monkeypatch.setattr(RNGStateHook, 'before_train', lambda self, runner: None)
    monkeypatch.setattr(RNGStateHook, 'before_train_iter', lambda self, *args, **kwargs: None)
    config = tiny_seg()
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/iter_3.pth'
    )
    with pytest.raises(AssertionError):
        assert_same_run(tmp_path / 'work/iter_6.pth', tmp_path / 'b/iter_6.pth')


def test_resume_of_ceco_and_region_rebalance_is_exact(tiny_seg, run_tool, tmp_path, on_cpu):
    """Simplex, frozen layers with running statistics, dropout of the region classifier."""
    branch = "dict(type='{}', norm_cfg=norm_cfg, reduced_channels=8, hidden_channels=8{})"
    config = tiny_seg(
        "custom_imports = dict(imports=['paco_seg.seg'], allow_failed_imports=False)\n"
        "model['decode_head'].update(type='BranchDecodeHead', base_type='FCNHead',\n"
        f'    training_branches=dict(ceco={branch.format("CeCoBranch", "")},\n'
        f'        rebalance={branch.format("RegionRebalanceBranch", ", learnable=True")}))\n'
    )
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/iter_3.pth'
    )
    assert_same_run(tmp_path / 'work/iter_6.pth', tmp_path / 'b/iter_6.pth')


CLASSIFICATION = """
custom_imports = dict(imports=['paco_seg.cls'], allow_failed_imports=False)
model['train_cfg'] = None
custom_hooks = [dict(type='ClassCountHook'), dict(type='TrainingProgressHook')]
"""
LDAM_DRW = """
model['head'] = dict(
    type='LDAMClsHead', in_channels=8, num_classes=4,
    loss=dict(class_counts=[40, 20, 10, 5], drw_start_epoch=1))
"""
CRT = """
model['type'] = 'FrozenFeatureClassifier'
train_dataloader['sampler'] = dict(type='ClassAwareSampler')
"""


@pytest.mark.parametrize('system', [LDAM_DRW, CRT], ids=['ldam_drw', 'crt'])
def test_resume_of_a_system_with_two_phases_is_exact(tiny_cls, run_tool, tmp_path, system):
    """LDAM where the re-weighting starts, cRT in the second epoch of its sampler."""
    config = tiny_cls(CLASSIFICATION + system)
    run_tool('train', config)
    run_tool(
        'train', config, '--work-dir', tmp_path / 'b', '--resume', tmp_path / 'work/epoch_1.pth'
    )
    assert_same_run(tmp_path / 'work/epoch_2.pth', tmp_path / 'b/epoch_2.pth')
