import json
import os
from pathlib import Path

import pytest
import torch
from helpers.run_state import assert_same_run

from paco_seg.engine.checkpoint import set_safe_loading
from tests.conftest import write_cls_dataset


@pytest.fixture(autouse=True)
def _safe_loading():
    set_safe_loading()


def test_two_cpu_processes_train_resume_exactly_and_test(tiny_seg, run_script, tmp_path):
    """SyncBN, dropout and augmentation; one loader worker per process."""
    config = tiny_seg('train_dataloader["num_workers"] = 1\n')
    first = run_script('dist_train.sh', config, 2)
    assert 'No accelerator: 2 CPU processes, gloo' in first.stdout + first.stderr
    assert 'SyncBN needs a GPU' in first.stdout + first.stderr

    straight = tmp_path / 'work/iter_6.pth'
    resume = ['--resume', tmp_path / 'work/iter_3.pth']
    run_script('dist_train.sh', config, 2, '--work-dir', tmp_path / 'b', *resume)
    assert_same_run(straight, tmp_path / 'b/iter_6.pth')

    run_script('dist_test.sh', config, straight, 2, '--out', tmp_path / 'out.json')
    out = json.loads((tmp_path / 'out.json').read_text())
    assert out['num_samples'] == 2
    assert len(out['per_class']['IoU']) == 4


CONFIG = (
    Path(__file__).parents[2]
    / 'configs/gpaco/gpaco_resnet152-in1k-pre_4xb32-amp-coslr-30e_places-lt.py'
)
# Of the recipe, Places-LT with mixed precision and a partly frozen network, only sizes change.
GPACO_CONFIG = """
_base_ = {base!r}
custom_imports = dict(imports=['paco_seg.cls', 'dump_queue'], allow_failed_imports=False)
custom_hooks = [*_base_.custom_hooks, dict(type='DumpQueueHook', folder={folder!r})]
model = dict(
    backbone=dict(depth=50, base_channels=4, stem_channels=4, init_cfg=None),
    head=dict(in_channels=128, num_classes=4, queue_size=12))
data_preprocessor = dict(num_classes=4)
train_pipeline = _base_.train_pipeline
for view in train_pipeline[1]['transforms']:
    view[0]['scale'] = 32
dataset = dict(data_root={root!r}, data_prefix='', ann_file='list.txt', num_classes=4)
train_dataloader = dict(
    batch_size=4, num_workers=0, persistent_workers=False,
    dataset=dict(pipeline=train_pipeline, **dataset))
val_dataloader = test_dataloader = dict(num_workers=0, persistent_workers=False, dataset=dataset)
val_evaluator = test_evaluator = dict(train_counts=dict(ann_file={ann_file!r}, num_classes=4))
train_cfg = dict(max_epochs=1, val_interval=9)
"""
DUMP_QUEUE = """
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class DumpQueueHook(Hook):
    def __init__(self, folder):
        self.folder = folder

    def after_train_iter(self, runner, **kwargs):  # ahead of hooks that average buffers
        torch.save(runner.model.module.head.queue.state_dict(), f'{self.folder}/{get_rank()}.pth')
"""


def test_gpaco_queue_is_the_same_on_two_cpu_processes(run_script, tmp_path):
    """Two steps of 2 x 4 images through a queue of 12: it is full and has wrapped around."""
    root = tmp_path / 'data'
    write_cls_dataset(root, train=4)
    images = sorted(root.glob('train/*/*.png'))
    classes = sorted({path.parent.name for path in images})
    ann_file = root / 'list.txt'
    ann_file.write_text(
        ''.join(f'{p.relative_to(root)} {classes.index(p.parent.name)}\n' for p in images)
    )
    settings = dict(base=CONFIG, folder=tmp_path, root=root, ann_file=ann_file)
    config = tmp_path / 'config.py'
    config.write_text(GPACO_CONFIG.format(**{key: str(path) for key, path in settings.items()}))
    (tmp_path / 'dump_queue.py').write_text(DUMP_QUEUE)
    result = run_script(
        'dist_train.sh', config, 2, '--work-dir', tmp_path / 'work', PYTHONPATH=str(tmp_path)
    )
    assert 'OptimWrapper (float32) instead of AmpOptimWrapper' in result.stdout + result.stderr

    first, second = (torch.load(tmp_path / f'{rank}.pth', weights_only=True) for rank in (0, 1))
    assert set(first) == {'keys', 'labels', 'position'}
    for name, value in first.items():
        assert torch.equal(value, second[name]), name
    assert first['position'] == 16 - 12
    # every slot is filled, and with different embeddings of unit length
    assert (first['labels'] >= 0).all()
    assert torch.allclose(first['keys'].norm(dim=1), torch.ones(12), atol=1e-4)
    assert len(first['keys'].unique(dim=0)) == 12


@pytest.mark.parametrize('script', ['dist_train', 'dist_test', 'slurm_train', 'slurm_test'])
def test_usage_without_arguments(run_script, script):
    result = run_script(f'{script}.sh', check=False)
    assert result.returncode == 2
    assert f'tools/{script}.sh ' in result.stderr


def test_slurm_scripts_pass_everything_on(run_script, tmp_path):
    srun = tmp_path / 'srun'
    srun.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    srun.chmod(0o755)
    path = f'{tmp_path}{os.pathsep}{os.environ["PATH"]}'
    arguments = ['--work-dir', 'with blank']
    result = run_script(
        'slurm_train.sh', 'gpu', 'job', 'a.py', *arguments, PATH=path, GPUS='8', SRUN_ARGS='-t 1'
    )
    words = result.stdout.splitlines()
    assert {'--job-name=job', '--ntasks=8', '--gres=gpu:4', '-t', '1'} <= set(words)
    assert words[-5:] == ['a.py', '--launcher', 'slurm', *arguments]
    assert words[words.index('a.py') - 3 :][:3] == ['-m', 'paco_seg', 'train']
    result = run_script('slurm_test.sh', 'gpu', 'job', 'a.py', 'a.pth', *arguments, PATH=path)
    assert result.stdout.splitlines()[-6:] == ['a.py', 'a.pth', '--launcher', 'slurm', *arguments]
