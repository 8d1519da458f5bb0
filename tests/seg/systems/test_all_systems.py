"""Every system, and every combination, on configs that nobody tuned it to."""

import copy
import json
from pathlib import Path

import mmseg
import pytest
import torch
from mmengine.config import Config
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import build_optim_wrapper
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from paco_seg.cli.stock_configs import pretended_frequency, try_stock_config
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.engine.model_changes import read_config
from paco_seg.engine.systems import SystemInputs
from paco_seg.seg.systems import SYSTEMS

STOCK = Path(mmseg.__file__).parent / '.mim/configs'
NAMES = [*SYSTEMS, *SYSTEMS.combinations()]
STARTED = [
    pytest.param(name, marks=pytest.mark.contrastive_seg) if name == 'contrastive-seg' else name
    for name in [*(name for name in SYSTEMS if SYSTEMS[name].trains), 'gpaco+log-prior']
]
FREQUENCY = ClassFrequency(('sky', 'road', 'tree', 'car'), (7, 7, 6, 5), (400, 300, 200, 100), 7)


def test_the_systems_that_users_expect_are_there():
    wanted = {
        'ce', 'class-weighted-ce', 'focal', 'ohem', 'dice', 'rare-class-sampling', 'log-prior',
        'log-prior-test', 'gpaco', 'region-rebalance', 'region-rebalance-learnable',
        'region-bias', 'ceco', 'seesaw', 'contrastive-seg',
        'aucseg', 'gpaco+log-prior', 'gpaco+region-rebalance',
    }  # fmt: skip
    assert wanted <= set(NAMES)


@pytest.mark.parametrize(
    'name',
    [
        'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',  # a transformer
        'pspnet/pspnet_r50-d8_4xb4-40k_voc12aug-512x512.py',  # a CNN; ConcatDataset
        'ocrnet/ocrnet_hr18_4xb2-160k_cityscapes-512x1024.py',  # a cascade
    ],
)
def test_stock_configs_are_swapped_and_build(name):
    outcomes = try_stock_config(str(STOCK / name), STOCK, NAMES, {})
    found = dict(zip(NAMES, outcomes, strict=True))
    assert {n: o for n, o in found.items() if o.state != 'swapped'} == {}


@pytest.mark.parametrize(
    'name',
    [
        'segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
        'fcn/fcn_r18-d8_4xb2-80k_cityscapes-512x1024.py',
        'ocrnet/ocrnet_hr18s_4xb2-40k_cityscapes-512x1024.py',
    ],
)
def test_stock_models_take_two_steps_and_predict_with_every_system(name, tmp_path):
    """With random weights and images of 64 x 64; optimizer and the rest as in the stock config."""
    cfg = read_config(str(STOCK / name))
    save_class_frequency(pretended_frequency(cfg), tmp_path / 'frequency.json')
    inputs = SystemInputs(frequency_file=str(tmp_path / 'frequency.json'), weights='ce.pth')
    num_classes = pretended_frequency(cfg).num_classes
    for system in (*SYSTEMS.values(), SYSTEMS.resolve('gpaco+log-prior')):
        changed = system.apply(cfg, {}, inputs)
        changed.model.update(pretrained=None)
        changed.model.backbone.update(init_cfg=None)
        changed.model.data_preprocessor.update(size=(64, 64))
        with DefaultScope.overwrite_default_scope('mmseg'):
            model = revert_sync_batchnorm(MODELS.build(changed.model))
            optimizer = build_optim_wrapper(model, changed.optim_wrapper)
            batch = random_batch(num_classes)
            losses = [
                model.train_step(copy.copy(batch), optimizer) for _ in range(2 * system.trains)
            ]
            assert all(value.isfinite() for log in losses for value in log.values()), system.name
            (sample, _) = model.eval().test_step(copy.copy(batch))
        assert sample.pred_sem_seg.shape == (64, 64), system.name


def random_batch(num_classes):
    """Two images of blocks and a few ignored pixels, as a loader gives them."""
    rng = torch.Generator().manual_seed(0)
    samples = []
    for _ in range(2):
        labels = torch.randint(0, num_classes, (1, 8, 8), generator=rng)
        labels = labels.repeat_interleave(8, dim=1).repeat_interleave(8, dim=2)
        labels[:, :4] = 255
        sample = SegDataSample(gt_sem_seg=PixelData(data=labels))
        sample.set_metainfo(dict(img_shape=(64, 64), ori_shape=(64, 64)))
        samples.append(sample)
    images = torch.randint(0, 256, (2, 3, 64, 64), generator=rng, dtype=torch.uint8)
    return dict(inputs=list(images), data_samples=samples)


@pytest.mark.parametrize('name', STARTED)
def test_two_iterations_and_an_evaluation(name, tmp_path, tiny_seg, run_tool, capsys):
    config, out = tiny_seg(), tmp_path / 'new.py'
    save_class_frequency(FREQUENCY, tmp_path / 'config_class-frequency.json')  # saves counting
    run_tool('swap', config, '--system', name, '-o', out)
    assert f'{out}: inherits config.py; the model builds.' in capsys.readouterr().out
    run_tool('train', out, '--cfg-options', 'train_cfg.max_iters=2', 'train_cfg.val_interval=2')
    (scalars,) = (tmp_path / 'work').rglob('scalars.json')
    rows = [json.loads(line) for line in scalars.read_text().splitlines()]
    assert any('mIoU' in row for row in rows)


def test_what_does_not_train_tests_the_weights_of_its_source(tmp_path, tiny_seg, run_tool, capsys):
    config, out = tiny_seg(), tmp_path / 'new.py'
    run_tool('train', config, '--cfg-options', 'train_cfg.max_iters=1')
    run_tool('swap', config, '--system', 'log-prior-test', '--set', 'tau=0.5', '-o', out)
    assert "test this config with weights of 'ce'" in capsys.readouterr().out
    assert Config.fromfile(out).model.decode_head.tau == 0.5
    (weights,) = (tmp_path / 'work').glob('iter_1.pth')
    run_tool('test', out, weights)
    assert 'mIoU' in capsys.readouterr().out
