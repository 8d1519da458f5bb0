"""The commands on a GPU, from a training to an exported model; ``make gpu`` runs them."""

import json
from pathlib import Path

import pytest
import torch

from paco_seg.engine.checkpoint import load_from_local, set_safe_loading
from paco_seg.seg import swap_loss

pytestmark = pytest.mark.gpu

FSDP = Path(__file__).parents[2] / 'configs/_base_/strategies/fsdp.py'
DTYPES = ['float16', 'bfloat16']


@pytest.fixture(autouse=True)
def _safe_loading():
    set_safe_loading()


def losses(checkpoint):
    """The losses that a training logged up to a checkpoint, which are numbers."""
    scalars = load_from_local(str(checkpoint))['message_hub']['log_scalars']
    logged = {name: scalar.data[0] for name, scalar in scalars.items() if 'loss' in name}
    assert all(torch.tensor(values).isfinite().all() for values in logged.values()), logged
    return logged


@pytest.fixture
def gpaco_seg(tiny_seg, tmp_path):
    """Config of the tiny segmentor with GPaCo."""
    swap_loss(tiny_seg()).dump(tmp_path / 'gpaco.py')
    return tmp_path / 'gpaco.py'


@pytest.mark.parametrize('dtype', DTYPES)
def test_a_segmentor_trains_in_mixed_precision_resumes_and_is_tested(
    gpaco_seg, run_tool, tmp_path, capsys, dtype
):
    options = ('--amp', '--cfg-options', f'optim_wrapper.dtype={dtype}')
    run_tool('train', gpaco_seg, *options)
    assert 'memory: ' in capsys.readouterr().out  # MMEngine logs it on a GPU alone
    assert any('loss_gpaco' in name for name in losses(tmp_path / 'work/iter_6.pth'))
    resume = ('--resume', tmp_path / 'work/iter_3.pth', '--work-dir', tmp_path / 'resumed')
    run_tool('train', gpaco_seg, *resume, *options)
    losses(tmp_path / 'resumed/iter_6.pth')
    checkpoint, out = tmp_path / 'resumed/iter_6.pth', tmp_path / 'out.json'
    run_tool('test', gpaco_seg, checkpoint, '--out', out)
    assert json.loads(out.read_text())['num_samples'] == 2


@pytest.mark.parametrize('dtype', DTYPES)
@pytest.mark.parametrize('system', ['gpaco', 'paco', 'supcon-joint', 'hybrid-psc', 'bcl', 'proco'])
def test_a_classifier_trains_in_mixed_precision(tiny_cls, run_tool, tmp_path, system, dtype):
    config = tmp_path / 'system.py'
    run_tool('swap', tiny_cls(), '--system', system, '-o', config)
    run_tool('train', config, '--amp', '--cfg-options', f'optim_wrapper.dtype={dtype}')
    assert losses(tmp_path / 'work/epoch_2.pth')


@pytest.mark.parametrize('strategy', ['ddp', 'fsdp'])
def test_one_process_with_nccl(tiny_cls, run_tool, run_script, tmp_path, strategy):
    config = tmp_path / 'paco.py'
    run_tool('swap', tiny_cls(), '--system', 'paco', '-o', config)
    if strategy == 'fsdp':
        config.write_text(config.read_text() + FSDP.read_text())
    said = run_script('dist_train.sh', config, 1, CUDA_VISIBLE_DEVICES='0')
    assert 'No accelerator' not in said.stdout + said.stderr
    assert losses(tmp_path / 'work/epoch_2.pth')
    run_script(
        *('dist_train.sh', config, 1, '--work-dir', tmp_path / 'resumed'),
        *('--resume', tmp_path / 'work/epoch_1.pth'),
        CUDA_VISIBLE_DEVICES='0',
    )
    assert losses(tmp_path / 'resumed/epoch_2.pth')
    run_tool('test', config, tmp_path / 'work/epoch_2.pth', '--out', tmp_path / 'out.json')


@pytest.mark.parametrize('scope', ['image', 'batch', 'world'])
def test_sets_of_pixels_with_nccl(gpaco_seg, run_script, tmp_path, scope):
    options = [
        f'model.decode_head.loss_contrast.scope={scope}',
        'model.decode_head.loss_contrast.queue_size=64',
    ]
    run_script(
        *('dist_train.sh', gpaco_seg, 1, '--cfg-options', *options[: 1 if scope == 'image' else 2]),
        CUDA_VISIBLE_DEVICES='0',
    )
    assert losses(tmp_path / 'work/iter_6.pth')


def test_a_comparison_with_a_gpu_for_each_training(tiny_seg, run_tool, tmp_path):
    out = tmp_path / 'out'
    run_tool(
        *('compare', tiny_seg(), '--systems', 'gpaco', 'log-prior-test', '--seeds', '2'),
        *('--iters', '2', '--search', 'none', '--groups', 'rank', '--gpus', '1', '--out', out),
    )
    results = json.loads((out / 'results.json').read_text())
    assert [system['name'] for system in results['systems']] == ['ce', 'gpaco', 'log-prior-test']
    assert (out / 'report.html').exists()


def test_what_was_trained_on_a_gpu_predicts_and_is_exported(gpaco_seg, run_tool, tmp_path, capsys):
    run_tool('train', gpaco_seg, '--cfg-options', 'train_cfg.max_iters=3')
    checkpoint, images = tmp_path / 'work/iter_3.pth', tmp_path / 'data/images/val'
    for device in ('cuda', 'cpu'):
        out = tmp_path / device
        run_tool('predict', gpaco_seg, checkpoint, images, '--out', out, '--device', device)
        assert len(list(out.rglob('*.png'))) >= 2
    run_tool('export', gpaco_seg, checkpoint, '-o', tmp_path / 'model.pt2')
    assert 'scores agree' in capsys.readouterr().out
    run_tool('publish', checkpoint, '--config', gpaco_seg, '-o', tmp_path / 'small.pth')
    run_tool('test', gpaco_seg, tmp_path / 'small.pth')


def test_a_resumed_classifier_is_the_one_that_was_not_stopped(tiny_cls, run_tool, tmp_path):
    """With deterministic operations; every state of ours lies on the GPU."""
    from helpers.run_state import assert_same_run

    config = tmp_path / 'paco.py'
    run_tool('swap', tiny_cls(), '--system', 'paco', '-o', config)
    options = ('--cfg-options', 'randomness.deterministic=True')
    run_tool('train', config, *options)
    resume = ('--resume', tmp_path / 'work/epoch_1.pth', '--work-dir', tmp_path / 'resumed')
    run_tool('train', config, *resume, *options)
    assert_same_run(tmp_path / 'work/epoch_2.pth', tmp_path / 'resumed/epoch_2.pth')
