"""Configs of Region Rebalance and CeCo: their numbers, and a short training of each."""

import json
import math
import re
from pathlib import Path

import pytest
import torch
from helpers.segmentation_data import WRITERS, write_benchmark
from helpers.segmentation_recipes import CONFIGS, load_config
from mmengine.runner import Runner

import paco_seg.seg  # noqa: F401
from tests.configs.test_seg_training import shrink

pytestmark = [pytest.mark.region_rebalance, pytest.mark.ceco]

# algorithm -> (head, branch, its numbers). Those of ADE20K are the released ones; weights of
# other benchmarks, of the combination with GPaCo and of region-bias were never published.
RELEASED_RR = dict(label_smoothing=0.5, scale=1.0, loss_weight=1.0)
ALGORITHMS = {
    'region-rebalance': ('BranchDecodeHead', 'RegionRebalanceBranch', RELEASED_RR),
    'region-rebalance-learnable': (
        'BranchDecodeHead',
        'RegionRebalanceBranch',
        RELEASED_RR | dict(learnable=True),
    ),
    'region-rebalance-image': (
        'BranchDecodeHead',
        'RegionRebalanceBranch',
        RELEASED_RR | dict(grouping='image'),
    ),
    'gpaco-region-rebalance': (
        'GPaCoDecodeHead',
        'RegionRebalanceBranch',
        dict(label_smoothing=0.0, loss_weight=1.0),
    ),
    'region-bias': ('RegionBiasDecodeHead', None, {}),
    'ceco': ('BranchDecodeHead', 'CeCoBranch', dict(scale=5.0)),
}
CECO_WEIGHTS = {'swin-tiny': 0.8, 'swin-base': 0.2, 'r50-d8': 0.4, 'r101-d8': 0.4}
LOSSES = {
    'RegionRebalanceBranch': {'loss_region'},
    'CeCoBranch': {'loss_ceco'},
    None: {'loss_biased', 'loss_present', 'loss_predicted_region', 'loss_true_region'},
}
DATASETS = {
    'ade20k': ('ADE20KDataset', 150),
    'cityscapes': ('CityscapesDataset', 19),
    'coco-stuff10k': ('COCOStuffDataset', 171),
    'pascal-context-59': ('PascalContextDataset59', 59),
}
ALL = sorted(
    path.relative_to(CONFIGS).as_posix()
    for folder in ('ceco', 'region_rebalance')
    for path in (CONFIGS / folder).glob('*.py')
)
every_config = pytest.mark.parametrize('config', ALL, ids=lambda config: Path(config).stem)


def parts(config):
    """Algorithm, model, backbone, schedule and benchmark of a config, by its name."""
    algorithm, backbone, schedule, dataset = Path(config).stem.split('_')
    algorithm, model = algorithm.rsplit('-', 1)
    return algorithm, model, backbone, schedule, re.sub(r'-\d+x\d+$', '', dataset)


def branch_of(cfg):
    branches = cfg.model.decode_head.get('training_branches', {})
    assert len(branches) <= 1
    return next(iter(branches.values()), None)


@every_config
def test_name_and_numbers(config):
    cfg = load_config(config)
    algorithm, model, backbone, schedule, benchmark = parts(config)
    head_type, branch_type, numbers = ALGORITHMS[algorithm]
    head = cfg.model.decode_head
    assert head.type == head_type
    assert (
        head.base_type
        == {'upernet': 'UPerHead', 'deeplabv3plus': 'DepthwiseSeparableASPPHead'}[model]
    )
    branch = branch_of(cfg)
    if branch_type is None:
        assert branch is None
        frequency_file = head.region_bias.frequency_file
    else:
        assert branch.type == branch_type
        assert {key: branch[key] for key in numbers} == numbers
        assert branch.norm_cfg.type == 'BN'
        if branch_type == 'CeCoBranch':
            (weight,) = (w for key, w in CECO_WEIGHTS.items() if backbone.startswith(key))
            assert branch.loss_weight == weight
        frequency_file = branch.frequency_file
    assert Path(frequency_file).name == f'{benchmark}.json'
    if algorithm.startswith('gpaco'):
        assert (head.loss_contrast.alpha, head.loss_contrast.temperature) == (0.01, 0.07)

    dataset, classes = DATASETS[benchmark]
    assert cfg.train_dataloader.dataset.type == dataset
    assert head.num_classes == cfg.model.auxiliary_head.num_classes == classes
    gpus, batch, length = map(int, re.fullmatch(r'(\d+)xb(\d+)-(\d+)k', schedule).groups())
    assert cfg.train_dataloader.batch_size == batch
    assert cfg.auto_scale_lr.base_batch_size == gpus * batch
    assert cfg.train_cfg.max_iters == 1000 * length
    if 'swin' in backbone:
        assert batch == (4 if head_type == 'BranchDecodeHead' else 2)
    if 'r101' in backbone:
        assert cfg.model.backbone.depth == 101
        assert cfg.model.pretrained == 'open-mmlab://resnet101_v1c'


@every_config
def test_differs_from_the_gpaco_config_by_the_head_and_the_batch_only(config):
    algorithm = parts(config)[0]
    twin = config.replace(config.split('/')[0], 'gpaco').replace(f'/{algorithm}-', '/gpaco-')
    ours, theirs = load_config(config), load_config(twin.replace('_4xb4-160k_', '_8xb2-160k_'))

    def text(value):  # files of _base_ are named relative to the folder of the config
        return re.sub(r'\w+/\.\./', '', str(value))

    different = {k for k in {*ours, *theirs} if text(ours.get(k)) != text(theirs.get(k))}
    assert different <= {'model', 'train_dataloader'}
    assert ours.train_dataloader.dataset == theirs.train_dataloader.dataset
    changed = {k for k in ours.model if ours.model[k] != theirs.model[k]}
    assert changed == {'decode_head'}
    added = ('type', 'training_branches', 'region_bias', 'projector', 'loss_contrast')
    heads = [
        {k: v for k, v in cfg.model.decode_head.items() if k not in added} for cfg in (ours, theirs)
    ]
    assert heads[0] == heads[1]


@pytest.fixture(scope='module')
def data_roots(tmp_path_factory):
    root = tmp_path_factory.mktemp('benchmarks')
    for name, (_, classes) in DATASETS.items():
        counts = list(range(classes, 0, -1))
        names = [str(index) for index in range(classes)]
        (root / f'{name}.json').write_text(
            json.dumps(dict(classes=names, images=counts, pixels=None, num_images=classes))
        )
    return {name: write_benchmark(name, root / name, size=(64, 96)) for name in WRITERS}


@every_config
def test_trains_and_evaluates(config, data_roots, tmp_path):
    torch.manual_seed(0)
    algorithm, *_, benchmark = parts(config)
    _, branch_type, _ = ALGORITHMS[algorithm]
    cfg = shrink(load_config(config), data_roots[benchmark], tmp_path)
    if cfg.model.backbone.get('depth') == 101:  # half the time; the names test sees it
        cfg.model.backbone.depth = 50
    if benchmark != 'ade20k':  # the frequencies of the others are counted by the user
        branch_of(cfg).frequency_file = str(data_roots[benchmark].with_suffix('.json'))
    runner = Runner.from_cfg(cfg)
    runner.train()
    history = runner.message_hub.log_scalars
    losses = {name: buffer.data[0] for name, buffer in history.items() if 'loss' in name}
    assert all(len(values) == 2 and all(map(math.isfinite, values)) for values in losses.values())
    expected = {f'train/decode.{name}' for name in LOSSES[branch_type] | {'loss_ce'}}
    expected |= {'train/decode.loss_gpaco'} if algorithm.startswith('gpaco') else set()
    assert set(losses) == expected | {'train/loss', 'train/aux.loss_ce'}
    assert all(min(losses[name]) > 0 for name in expected)
    assert 0 <= runner.message_hub.get_scalar('val/mIoU').current() <= 100


def test_missing_frequencies_stop_before_training(data_roots, tmp_path):
    config = next(config for config in ALL if 'cityscapes' in config)
    cfg = shrink(load_config(config), data_roots['cityscapes'], tmp_path)
    branch = branch_of(cfg).type
    with pytest.raises(FileNotFoundError, match=rf'{branch}\.frequency_file: .*paco-seg stat'):
        Runner.from_cfg(cfg)
