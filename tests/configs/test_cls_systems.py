"""Configs of ResLT, Hybrid, SupCon, LDAM-DRW, cRT and the like: numbers and short trainings."""

import copy
import json
import math
import re
from pathlib import Path

import pytest
import torch
from helpers.resolved_configs import CONFIGS
from helpers.resolved_configs import load_config as load
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope
from mmengine.runner import Runner
from mmpretrain.registry import MODELS

import paco_seg.cls  # noqa: F401
from tests.configs.test_cls_training import data, project, smaller  # noqa: F401
from tests.conftest import forget_runs

FOLDERS = ('bcl', 'decoupled', 'hybrid', 'ldam', 'proco', 'reslt', 'supcon')
ALL = sorted(
    path.relative_to(CONFIGS).as_posix()
    for folder in FOLDERS
    for path in (CONFIGS / folder).glob('*.py')
)
every_config = pytest.mark.parametrize('name', ALL, ids=lambda name: Path(name).stem)
# Those of BCL and ProCo that differ in data or length alone train as the one that they differ from.
TRAINED = [
    name
    for name in ALL
    if not re.search(
        r'/(bcl|proco)_.*(-ir10|-ir50|_cifar10-lt-ir100|_inat18|-400e_.*|-180e_.*)\.py$', f'/{name}'
    )
]

CLASSES = {'cifar10': 10, 'cifar100': 100, 'imagenet': 1000, 'inat18': 8142, 'places': 365}
RESLT_GROUPS = {
    'cifar10': (8, 6),
    'cifar100': (65, 30),
    'imagenet': (825, 220),
    'inat18': (6600, 0),
}
RESLT_ALPHA = {
    'cifar10-lt-ir100': 0.998,
    'cifar10-lt-ir50': 0.998,
    'cifar10-lt-ir10': 0.96,
    'cifar100-lt-ir100': 0.995,
    'cifar100-lt-ir50': 0.99,
    'cifar100-lt-ir10': 0.72,
    'imagenet-lt': 0.99,
    'inat18': 0.85,
}
RESLT_GAMMA = {'resnet32': None, 'resnet10': 0.3, 'resnet50': 0.3}
CIFAR, IMAGENET, INAT, PLACES = ('cifar10', 'cifar100'), ('imagenet',), ('inat18',), ('places',)
DECOUPLED = ('ce', 'tau-norm', 'crt', 'lws')
# The release steps the cosine before an epoch: half the rate one epoch early, 0 in the last.
FIVE = {0: 0.904508, 1: 0.654508, 4: 0}
TEN = {0: 0.975528, 4: 0.5, 9: 0}
NINETY = {0: 0.999695, 44: 0.5, 89: 0}
# (algorithms, data): learning rate, weight decay, {epoch: factor on the rate}
RECIPES = [
    (('reslt',), CIFAR, 0.1, 5e-4, {0: 7 / 15, 4: 1, 159: 1, 160: 0.1, 180: 0.01}),
    (('reslt',), IMAGENET, None, 5e-4, {0: 0.2, 4: 1, 5: 0.9999, 92: 0.5, 179: 8e-5}),
    (('reslt',), INAT, 0.1, 1e-4, {0: 1, 100: 0.5, 199: 6.2e-5}),
    (('hybrid-sc', 'hybrid-psc'), CIFAR, 0.5, 1e-4, {0: 1, 119: 1, 120: 0.1, 160: 0.01}),
    (('hybrid-sc', 'hybrid-psc'), INAT, 0.05, 1e-4, {0: 1, 59: 1, 60: 0.1, 80: 0.01}),
    (('supcon-pretrain',), CIFAR, 0.5, 1e-4, None),  # see the test of its schedule
    (('supcon-linear',), CIFAR, 5.0, 0.0, {0: 1, 60: 0.2, 75: 0.04, 90: 0.008}),
    (('supcon-joint',), CIFAR, 0.05, 5e-4, {0: 0.1, 10: 1, 321: 0.1, 361: 0.01}),
    (('bcl',), CIFAR, 0.1, 2e-4, {0: 0.2, 4: 1, 160: 0.01, 180: 1e-4}),
    (('bcl',), IMAGENET, 0.1, 5e-4, {0: 0.999702, 44: 0.508631, 89: 2.98e-4}),
    (('bcl',), INAT, 0.2, 1e-4, {0: 0.999758, 49: 0.507776, 99: 2.42e-4}),
    (('ldam-drw', 'ce', 'tau-norm'), CIFAR, 0.1, 2e-4, {0: 0.2, 4: 1, 160: 0.01, 180: 1e-4}),
    (('crt',), CIFAR, 0.1, 2e-4, TEN),
    (('lws',), CIFAR, 0.1, 2e-4, FIVE),
    (('ce', 'tau-norm'), IMAGENET, 0.2, 5e-4, NINETY),
    (('ce', 'tau-norm'), INAT, 0.2, 1e-4, NINETY),
    (('crt',), IMAGENET, 0.2, 5e-4, TEN),
    (('crt',), INAT, 0.2, 1e-4, {0: 0.99726, 14: 0.5, 29: 0}),
    (('lws',), IMAGENET, 0.2, 5e-4, FIVE),
    (('lws',), INAT, 0.2, 1e-4, FIVE),
    (('crt',), PLACES, 0.1, 5e-4, TEN),
]
# epochs: the same
PROCO = {
    200: (0.3, 2e-4, {0: 0.2, 4: 1, 159: 1, 160: 0.1, 180: 0.01}),
    400: (0.3, 2e-4, {0: 0.1, 9: 1, 359: 1, 360: 0.1, 380: 0.01}),
    90: (0.1, 5e-4, {0: 0.999702, 44: 0.508631, 89: 2.98e-4}),
    180: (0.1, 5e-4, {0: 0.999925, 89: 0.504339, 179: 7.53e-5}),
}


@pytest.fixture(autouse=True)
def fresh_runs():
    forget_runs()
    yield
    forget_runs()


def parts(name):
    """Algorithm, backbone, schedule and data set of a config, by its name."""
    return Path(name).stem.split('_')


def rates_of(config):
    """Learning rate of every epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.optim_wrapper.optimizer.lr)
    schedulers = [
        PARAM_SCHEDULERS.build(dict(settings), default_args=dict(optimizer=optimizer))
        for settings in config.param_scheduler
    ]
    rates = []
    for _ in range(config.train_cfg.max_epochs):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in schedulers:
            scheduler.step()
    return rates


@every_config
def test_numbers(name):
    config = load(name)
    algorithm, backbone, schedule, dataset = parts(name)
    family = dataset.split('-')[0]
    head, loader = config.model.head, config.train_dataloader
    assert head.get('num_classes', CLASSES[family]) == CLASSES[family]
    assert config.data_preprocessor.num_classes == CLASSES[family]
    gpus, batch, epochs = map(int, re.fullmatch(r'(\d+)xb(\d+)-.*?(\d+)e', schedule).groups())
    assert loader.batch_size == batch
    assert config.auto_scale_lr.base_batch_size == gpus * batch
    assert config.train_cfg.max_epochs == epochs
    assert config.optim_wrapper.type == (
        'AmpOptimWrapper' if '-amp-' in schedule else 'OptimWrapper'
    )
    wrapped = loader.dataset
    if algorithm.startswith('hybrid'):
        assert wrapped.type == 'DualSamplingDataset'
        wrapped = wrapped.dataset
    ratio = re.search(r'-ir(\d+)$', dataset)
    if ratio:
        assert wrapped.imbalance_factor == 1 / int(ratio[1])
    class_aware = algorithm in ('crt', 'lws')
    assert loader.sampler.type == ('ClassAwareSampler' if class_aware else 'DefaultSampler')

    if algorithm == 'proco':
        rate, decay, factors = PROCO[epochs]
        if family in INAT:
            rate, decay = 0.2, 1e-4
    else:
        ((rate, decay, factors),) = (
            numbers for names, sets, *numbers in RECIPES if algorithm in names and family in sets
        )
    if rate is None:  # half the batch, half the rate
        rate = 0.1 * gpus * batch / 256
    optimizer = config.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.momentum) == ('SGD', rate, 0.9)
    assert optimizer.weight_decay == decay
    nesterov = algorithm == 'reslt' and family in CIFAR
    assert optimizer.get('nesterov', False) == nesterov
    if factors is not None:
        rates = rates_of(config)
        for epoch, factor in factors.items():
            assert rates[epoch] == pytest.approx(rate * factor, rel=0.01, abs=1e-9), epoch
    keeps_the_rest = algorithm in ('ldam-drw', 'supcon-pretrain')
    keeps_the_rest |= algorithm == 'bcl' and family not in CIFAR
    keeps_the_rest |= algorithm in DECOUPLED and family in CIFAR  # stage one is LDAM's baseline
    assert loader.drop_last != keeps_the_rest
    if class_aware:
        assert 'samples_per_epoch' not in loader.sampler

    if algorithm == 'reslt':
        assert tuple(head.loss.groups) == RESLT_GROUPS[family]
        assert head.loss.alpha == RESLT_ALPHA[dataset]
        assert head.get('test_gamma') == RESLT_GAMMA.get(backbone, 0.7)
        assert head.branch == ('norm' if family in CIFAR else 'conv')
        assert head.get('pool_first', False) == (backbone == 'resnet10')
        assert not head.get('test_pool_first', False)
    elif algorithm.startswith('hybrid'):
        contrast = {'sc': 'SupConLoss', 'psc': 'PrototypeContrastLoss'}[algorithm.split('-')[1]]
        assert head.loss_contrast.type == contrast
        ten = family == 'cifar10' and algorithm == 'hybrid-psc'
        assert head.loss_contrast.temperature == (1.0 if ten else 0.1)
        assert head.curriculum == ('parabolic' if family in CIFAR else 'linear')
        assert config.data_preprocessor.num_views == (3 if algorithm == 'hybrid-sc' else 2)
    elif algorithm in ('bcl', 'proco'):
        check_three_views(algorithm, config, family)
    elif algorithm == 'ldam-drw':
        loss = head.loss
        numbers = (loss.max_margin, loss.scale, loss.drw_start_epoch, loss.drw_beta)
        assert numbers == (0.5, 30.0, 160, 0.9999)
    elif algorithm == 'supcon-pretrain':
        assert (head.loss.temperature, head.loss.base_temperature) == (0.1, 0.07)
        assert (head.projector.num_layers, head.projector.out_channels) == (2, 128)
    if algorithm in ('supcon-pretrain', 'supcon-linear') and family == 'cifar100':
        mean, std = (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)  # of the released code
    elif family in CIFAR:
        mean, std = (0.4914, 0.4822, 0.446502), (0.2023, 0.199400, 0.201)
    else:
        mean = std = None
    if mean is not None:
        for found, expected in (
            (config.data_preprocessor.mean, mean),
            (config.data_preprocessor.std, std),
        ):
            assert [value / 255 for value in found] == pytest.approx(expected, rel=1e-4)
    assert head.type == HEADS.get(algorithm, 'LinearClsHead')


def check_three_views(algorithm, config, family):
    head = config.model.head
    cifar = family in CIFAR
    assert config.data_preprocessor.num_views == 3
    assert config.model.joint_pass
    assert head.loss.type == 'BalancedSoftmaxLoss'
    assert head.loss_contrast.temperature == (0.1 if cifar else 0.07)
    assert head.get('scale') == (None if cifar and algorithm == 'proco' else 30.0)
    projector = head.projector
    assert (projector.num_layers, projector.norm) == (2, 'BN1d')
    assert projector.get('hidden_channels') == (512 if cifar else None)
    assert projector.out_channels == (128 if cifar else 1024)
    weights = (head.loss.get('loss_weight', 1.0), head.loss_contrast.loss_weight)
    bcl = (2.0, 0.6) if cifar else (1.0, 0.35)
    assert weights == (bcl if algorithm == 'bcl' else (1.0, 1.0))
    dataset = config.train_dataloader.dataset
    pipeline = (dataset.dataset if cifar else dataset).pipeline
    (views,) = (step for step in pipeline if step.type == 'MultiView')
    assert views.num_views == [1, 2]
    classify, contrast = ([step.type for step in steps] for steps in views.transforms)
    strong = 'AutoAugment' if cifar else 'RandAugment'
    assert (strong in classify) == (not cifar or algorithm == 'proco')
    assert strong not in contrast
    assert ('GaussianBlur' in contrast) == (cifar and algorithm == 'bcl')


HEADS = {
    'bcl': 'BCLClsHead',
    'proco': 'ProCoClsHead',
    'reslt': 'ResLTClsHead',
    'hybrid-sc': 'HybridClsHead',
    'hybrid-psc': 'HybridClsHead',
    'ldam-drw': 'LDAMClsHead',
    'supcon-pretrain': 'SupConPretrainHead',
    'supcon-joint': 'MultiTaskSupConClsHead',
    'tau-norm': 'TauNormClsHead',
    'lws': 'LWSClsHead',
}


def released_supcon_rate(epoch, step, steps):
    """The rate of the released code; epochs count from 1, steps of an epoch from 0."""
    low = 0.5 * 0.1**3

    def cosine(at):
        return low + (0.5 - low) * (1 + math.cos(math.pi * at / 1000)) / 2

    if epoch > 10:
        return cosine(epoch)
    share = (step + (epoch - 1) * steps) / (10 * steps)
    return 0.01 + share * (cosine(10) - 0.01)


def test_supcon_schedule_rises_by_iteration_and_follows_the_release():
    config = load('supcon/supcon-pretrain_resnet50_1xb1024-coslr-1000e_cifar100.py')
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=config.optim_wrapper.optimizer.lr)
    steps = 49  # of 50 000 images, the last batch included
    warmup, cosine = (copy.deepcopy(dict(part)) for part in config.param_scheduler)
    assert warmup.pop('convert_to_iter_based')
    kind = PARAM_SCHEDULERS.get(warmup.pop('type'))
    warmup = kind.build_iter_from_epoch(optimizer, epoch_length=steps, **warmup)
    cosine = PARAM_SCHEDULERS.build(cosine, default_args=dict(optimizer=optimizer))
    for epoch in range(1, 1001):
        for step in range(steps if epoch < 12 else 1):  # after that it changes by epoch
            rate = optimizer.param_groups[0]['lr']
            # MMEngine's warm-up is one of 490 iterations ahead at its end
            assert rate == pytest.approx(released_supcon_rate(epoch, step, steps), rel=0.0021)
            optimizer.step()
            warmup.step()
        cosine.step()
    assert rate == pytest.approx(0.5e-3, rel=1e-9)


def shrink(name):
    """The same config on a CPU: one epoch of two batches, tiny images."""
    config = copy.deepcopy(load(name))
    for key in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = config[key]
        if loader is not None:
            loader.dataset = smaller(loader.dataset.to_dict())
            loader.update(batch_size=4, num_workers=0, persistent_workers=False)
    config.train_dataloader.num_batch_per_epoch = 2
    if config.train_dataloader.sampler.type == 'ClassAwareSampler':
        config.train_dataloader.sampler.samples_per_epoch = 8
    config.train_cfg.max_epochs = 1
    config.default_hooks.logger.interval = 1
    config.default_hooks.checkpoint.interval = 1
    backbone = config.model.backbone
    if backbone.type != 'CIFARResNet':  # a quarter of the width
        backbone.update(base_channels=16, stem_channels=16)
        backbone.depth = min(backbone.depth, 50)
        config.model.head.in_channels //= 4
    if config.optim_wrapper.type == 'AmpOptimWrapper':  # it needs a GPU
        config.optim_wrapper.type = 'OptimWrapper'
        config.optim_wrapper.pop('loss_scale')
    if config.model.head.type == 'LDAMClsHead':
        config.model.head.loss.drw_start_epoch = 0
    config.log_level = 'ERROR'
    config.work_dir = f'work_dirs/{Path(name).stem}'
    return config


def logged(config):
    files = list(Path(config.work_dir).rglob('scalars.json'))
    return [json.loads(line) for file in files for line in file.read_text().splitlines()]


@pytest.mark.parametrize('name', TRAINED, ids=lambda name: Path(name).stem)
def test_reslt_hybrid_supcon_ldam_crt_train_and_evaluate(name, project):  # noqa: F811
    torch.manual_seed(0)
    config = shrink(name)
    config.model.backbone.init_cfg = None  # stage one is not here
    config.load_from = None
    runner = Runner.from_cfg(config)
    runner.model.init_weights()
    before = {k: v.clone() for k, v in runner.model.named_parameters()}
    runner.train()
    rows = logged(config)
    steps = [row for row in rows if 'loss' in row]
    assert len(steps) == 2
    if config.model.head.type == 'HybridClsHead':
        assert all({'loss_contrast', 'loss_ce'} <= set(row) for row in steps)
        assert [row['curriculum_weight'] for row in steps] == [1.0, 1.0]  # epoch 0
    assert all(torch.isfinite(torch.tensor(list(row.values()))).all() for row in rows)
    moved = {k for k, v in runner.model.named_parameters() if not torch.equal(v, before[k])}
    trained = {k for k, v in runner.model.named_parameters() if v.requires_grad}
    assert moved <= trained
    assert any(key.startswith('head.') for key in moved)
    frozen = config.model.type == 'FrozenFeatureClassifier'
    assert frozen == (not any(key.startswith('backbone.') for key in moved))
    if config.val_dataloader is not None:
        (row,) = (row for row in rows if 'loss' not in row)
        accuracy = row.get('long-tail/top1', row.get('accuracy/top1'))
        assert 0 <= accuracy <= 100


def stage_one(name):
    """Config of stage one, and where the config of stage two looks for its checkpoint."""
    config = load(name)
    init = config.model.backbone.get('init_cfg') or {}
    path = Path(init.get('checkpoint') or config.load_from)
    (found,) = [other for other in ALL + BASELINES if Path(other).stem == path.parent.name]
    return found, path


BASELINES = [f'baselines/{path.name}' for path in (CONFIGS / 'baselines').glob('*.py')]
STAGE_TWO = [name for name in ALL if parts(name)[0] in ('crt', 'lws', 'supcon-linear')]


@pytest.mark.parametrize('name', STAGE_TWO, ids=lambda name: Path(name).stem)
def test_crt_and_supcon_stage_two_names_the_last_checkpoint_of_stage_one(name):
    first, path = stage_one(name)
    one, two = load(first), load(name)
    assert path.as_posix() == f'work_dirs/{Path(first).stem}/epoch_{one.train_cfg.max_epochs}.pth'
    assert one.train_cfg.max_epochs % one.default_hooks.checkpoint.interval == 0
    assert parts(first)[1] == parts(name)[1]
    keys = ('type', 'depth', 'groups', 'width_per_group')
    backbones = [{key: config.model.backbone.get(key) for key in keys} for config in (one, two)]
    assert backbones[0] == backbones[1]


@pytest.mark.parametrize(
    'name',
    [
        'decoupled/crt_resnet32_1xb128-coslr-10e_cifar10-lt-ir10.py',
        'decoupled/lws_resnet32_1xb128-coslr-5e_cifar10-lt-ir10.py',
        'supcon/supcon-linear_resnet50_1xb512-step-100e_cifar10-lt-ir10.py',
    ],
)
def test_crt_and_supcon_stage_two_continues_from_stage_one(name, project):  # noqa: F811
    first, path = stage_one(name)
    config = shrink(first)
    Runner.from_cfg(config).train()
    (project / config.work_dir / 'epoch_1.pth').rename(path)
    old = torch.load(path, weights_only=False, map_location='cpu')['state_dict']
    forget_runs()
    runner = Runner.from_cfg(shrink(name))
    runner.train()
    new = runner.model.cpu().state_dict()
    backbone = [key for key in new if key.startswith('backbone.')]
    assert len(backbone) > 50
    assert all(torch.equal(new[key], old[key]) for key in backbone)  # BatchNorm's too
    if 'lws' in name:
        assert torch.equal(new['head.fc.weight'], old['head.fc.weight'])
        assert not torch.equal(new['head.scales'], torch.ones(10))
    elif 'crt' in name:
        assert not torch.equal(new['head.fc.weight'], old['head.fc.weight'])


def initial_head(name):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        head = MODELS.build(copy.deepcopy(load(name).model.head))
        head.init_weights()
    return head


def test_initialisation_of_reslt():
    head = initial_head('reslt/reslt_resnet32_1xb128-step-200e_cifar100-lt-ir100.py')
    assert head.fc.weight.std().item() == pytest.approx((3 * 64) ** -0.5, rel=0.03)  # PyTorch's
    head = initial_head('reslt/reslt_resnet10_4xb64-coslr-180e_imagenet-lt.py')
    assert head.conv.weight.std().item() == pytest.approx((2 / (3 * 512)) ** 0.5, rel=0.01)
    assert head.fc.weight.std().item() == pytest.approx((3 * 512) ** -0.5, rel=0.03)


def test_class_vectors_of_ldam_start_with_length_one():
    head = initial_head('ldam/ldam-drw_resnet32_1xb128-step-200e_cifar100-lt-ir100.py')
    torch.testing.assert_close(head.fc.weight.norm(dim=1), torch.ones(100))
    assert head.fc.weight.mean().abs() < 0.01


def test_texts_do_not_claim_what_the_release_has():
    """ResLT's warm-up, and crop and flip of SupCon's second stage, are the authors'."""
    for name in ('reslt/README.md', 'supcon/README.md', '_base_/schedules/reslt_coslr-180e.py'):
        text = ' '.join((CONFIGS / name).read_text(encoding='utf-8').replace('#', ' ').split())
        assert 'warm-up is ours' not in text
        assert 'stage two (crop' not in text
        assert 'length only' not in text
