import json
import os

import pytest
from run_state import assert_same_run

from paco_seg.engine.checkpoint import set_safe_loading


@pytest.fixture(autouse=True)
def _safe_loading(monkeypatch):
    for name in ('TORCH_FORCE_WEIGHTS_ONLY_LOAD', 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'):
        monkeypatch.setenv(name, '0')
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
    assert words[words.index('a.py') - 1].endswith('tools/train.py')
    result = run_script('slurm_test.sh', 'gpu', 'job', 'a.py', 'a.pth', *arguments, PATH=path)
    assert result.stdout.splitlines()[-6:] == ['a.py', 'a.pth', '--launcher', 'slurm', *arguments]
