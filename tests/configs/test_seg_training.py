"""Every segmentation config trains two iterations and evaluates on data of its benchmark.

The data lie in the real folders with the real label values; images, crops and test scales are
tiny. Weights start at random, and transformer stages are cut to one or two blocks: what a config
decides (head, loss, data, optimizer groups, schedule, test mode) does not depend on either.
"""

import copy
import math

import pytest
import torch
from helpers.segmentation_data import WRITERS, write_benchmark
from helpers.segmentation_recipes import RECIPES, load_config
from mmengine.runner import Runner

CROP = (32, 32)
SCALE = (64, 32)
STAGE_DEPTHS = {'depths': [1, 1, 2, 1], 'num_layers': [1, 1, 2, 1]}


@pytest.fixture(scope='module')
def data_roots(tmp_path_factory):
    root = tmp_path_factory.mktemp('benchmarks')
    return {name: write_benchmark(name, root / name, size=(64, 96)) for name in WRITERS}


def steps(pipeline):
    for step in pipeline:
        if isinstance(step, (list, tuple)):
            yield from steps(step)
        else:
            yield step
            yield from steps(step.get('transforms', []))


def shrink(cfg, data_root, work_dir):
    """The same config on a CPU in seconds."""
    cfg = copy.deepcopy(cfg)
    cfg.work_dir = str(work_dir)
    cfg.launcher = 'none'
    cfg.log_level = 'ERROR'
    model = cfg.model
    model.pretrained = None
    model.backbone.init_cfg = None
    model.data_preprocessor.size = CROP
    if model.test_cfg.mode == 'slide':
        model.test_cfg.update(crop_size=CROP, stride=(20, 20))
    if model.backbone.type == 'mmpretrain.ConvNeXt':
        # `arch` is a name or the sizes: those of `base` with fewer blocks.
        model.backbone.arch = dict(
            depths=STAGE_DEPTHS['depths'], channels=list(model.decode_head.in_channels)
        )
    elif model.backbone.type != 'ResNetV1c':
        for key, value in STAGE_DEPTHS.items():
            if key in model.backbone:
                model.backbone[key] = value
    ratio_pipelines = [cfg.tta_pipeline]
    for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg[name]
        loader.update(num_workers=0, persistent_workers=False)
        loader.dataset.data_root = str(data_root)
        ratio_pipelines.append(loader.dataset.pipeline)
    cfg.train_dataloader.batch_size = 2
    for pipeline in ratio_pipelines:
        for step in steps(pipeline):
            if step['type'] == 'RandomCrop':
                step['crop_size'] = CROP
            elif step['type'] in ('RandomResize', 'Resize') and 'scale' in step:
                step['scale'] = SCALE
    # AMP needs a GPU.
    cfg.optim_wrapper.type = 'OptimWrapper'
    cfg.optim_wrapper.pop('loss_scale', None)
    cfg.train_cfg.update(max_iters=2, val_interval=2)
    cfg.default_hooks.logger.interval = 1
    cfg.default_hooks.checkpoint = None
    return cfg


@pytest.mark.parametrize('recipe', RECIPES, ids=lambda r: r['id'])
def test_trains_and_evaluates(recipe, data_roots, tmp_path):
    torch.manual_seed(0)
    cfg = shrink(load_config(recipe['config']), data_roots[recipe['benchmark']], tmp_path)
    runner = Runner.from_cfg(cfg)
    before = runner.model.decode_head.conv_seg.weight.detach().clone()
    runner.train()
    history = runner.message_hub.log_scalars
    losses = {name: buffer.data[0] for name, buffer in history.items() if 'loss' in name}
    assert all(len(losses[name]) == 2 for name in losses)
    assert all(math.isfinite(value) for values in losses.values() for value in values)
    expected = {'train/loss', 'train/decode.loss_ce'}
    expected |= {'train/decode.loss_gpaco'} if recipe['alpha'] is not None else set()
    expected |= {'train/decode.loss_lovasz'} if recipe['lovasz_weight'] else set()
    expected |= {'train/aux.loss_ce'} if recipe['auxiliary'] else set()
    assert set(losses) == expected
    if recipe['alpha'] is not None:
        assert min(losses['train/decode.loss_gpaco']) > 0
    assert not torch.equal(before, runner.model.decode_head.conv_seg.weight)
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100
    if recipe['benchmark'] == 'ade20k':
        assert 'val/mIoU_tail' in history


@pytest.mark.parametrize('name', WRITERS)
def test_multi_scale_evaluation(name, data_roots, tmp_path):
    """`tools/test.py --tta` swaps in these two parts of the config."""
    recipe = [recipe for recipe in RECIPES if recipe['benchmark'] == name][-1]
    cfg = shrink(load_config(recipe['config']), data_roots[name], tmp_path)
    for key in ('train_dataloader', 'train_cfg', 'optim_wrapper', 'param_scheduler'):
        cfg.pop(key)
    for key in ('val_dataloader', 'val_cfg', 'val_evaluator'):
        cfg.pop(key)
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.test_dataloader.dataset.indices = 1
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model
    metrics = Runner.from_cfg(cfg).test()
    assert 0 <= metrics['mIoU'] <= 100
