"""Every classification config against the one table of its hyper-parameters."""

import functools
import math
import re
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
import yaml
from helpers.plain_config import plain
from helpers.resolved_configs import CONFIGS
from helpers.resolved_configs import load_config as load
from mmengine.config import ConfigDict
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS, DefaultScope, init_default_scope
from mmpretrain.registry import MODELS, TRANSFORMS

import paco_seg.cls  # noqa: F401

TABLE = yaml.safe_load(Path(__file__).with_name('recipes_cls.yaml').read_text(encoding='utf-8'))
OTHER_SETS = ('-c', '-r', '-sketch')


@pytest.fixture(autouse=True)
def scope_of_a_run(monkeypatch):
    """MMEngine's own wrappers look up types in the default scope."""
    monkeypatch.setattr(DefaultScope, '_instance_dict', OrderedDict())
    init_default_scope('mmpretrain')


def expand(row):
    return {
        **TABLE['common'],
        **TABLE['algorithms'][row['algorithm']],
        **TABLE['datasets'][row['dataset']],
        **TABLE['backbones'][row['network']],
        **row,
    }


def file_name(recipe):
    """The name that a config has to have, from its contents."""
    length = dict(cos='coslr', mae='coslr', step='step')[recipe['schedule']]
    schedule = f'{recipe["gpus"]}xb{recipe["batch"]}'
    schedule += f'-accum{recipe["accumulate"]}' if recipe['accumulate'] > 1 else ''
    schedule += '-amp' if recipe['amp'] else ''
    folder = recipe['algorithm'].split('-')[0]
    folder = folder if folder in ('paco', 'gpaco') else 'baselines'
    backbone = recipe['network'].removesuffix('-cifar')
    stem = f'{recipe["algorithm"]}_{backbone}_{schedule}-{length}-{recipe["epochs"]}e'
    return f'{folder}/{stem}_{recipe["dataset"]}.py'


ROWS = [expand(row) for row in TABLE['recipes']]
# Balanced Softmax goes with each cross-entropy baseline of a long-tailed row
ROWS += [
    dict(
        row,
        id=row['id'].replace('CE', 'BS'),
        algorithm='balanced-softmax',
        loss='BalancedSoftmaxLoss',
    )
    for row in ROWS
    if row['id'].startswith('CE')
]
BY_ID = {row['id']: row for row in ROWS}
every_recipe = pytest.mark.parametrize('recipe', ROWS, ids=lambda r: r['id'])
contrastive = pytest.mark.parametrize(
    'recipe', [r for r in ROWS if 'projector' in r], ids=lambda r: r['id']
)


def has(config, expected):
    """The part of ``config`` that ``expected`` speaks of."""
    return {key: plain(config.get(key)) for key in expected}


def on_meta_device(config):
    """A model without memory and initialisation; drop path rates need real numbers."""
    linspace = torch.linspace
    with torch.device('meta'), pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, 'linspace', lambda *a, **k: linspace(*a, **{**k, 'device': 'cpu'}))
        return MODELS.build(config)


def test_every_config_has_a_recipe():
    on_disk = {
        f'{folder}/{path.name}'
        for folder in ('paco', 'gpaco', 'baselines')
        for path in (CONFIGS / folder).glob('*.py')
        if path.stem.split('_')[-1].startswith(('cifar', 'in1k', 'imagenet', 'inat', 'places'))
        and path.stem.split('_')[0] in (*TABLE['algorithms'], 'gpaco-ensemble')
    }
    named = {file_name(row) for row in ROWS} | {row['config'] for row in TABLE['ensembles']}
    named |= {
        file_name(row).replace('.py', f'{other}.py')
        for row in ROWS
        if row.get('robustness')
        for other in OTHER_SETS
    }
    assert on_disk == named


def test_all_rows_of_the_papers_are_there():
    ids = {row['id'].split('-')[0] for row in ROWS} | {row['id'] for row in TABLE['ensembles']}
    assert ids >= {
        *(f'P{i}' for i in range(1, 13)),
        *(f'G{i}' for i in range(1, 11)),
        *(f'M{i}' for i in range(1, 7)),
        'E1',
        'E2',
    }
    long_tailed = {
        row['id']
        for row in ROWS
        if row['algorithm'] in ('paco', 'gpaco') and row['dataset'] not in ('in1k', 'cifar100')
    }
    beside = [i for row in TABLE['recipes'] for i in row.get('beside', ())]
    assert sorted(beside) == sorted(long_tailed)


TITLES = {
    'cifar10': 'CIFAR-10-LT',
    'cifar100': 'CIFAR-100',
    'imagenet': 'ImageNet-LT',
    'inat18': 'iNaturalist 2018',
    'in1k': 'ImageNet|MAE fine-tuning',
    'places': 'Places-LT',
}


@pytest.mark.parametrize('recipe', ROWS, ids=lambda r: r['id'])
def test_comment_names_the_data(recipe):
    text = (CONFIGS / file_name(recipe)).read_text()
    assert text.startswith('# ')
    if recipe['algorithm'] != 'balanced-softmax':
        title = TITLES[recipe['dataset'].split('-')[0]]
        assert re.search(title, text.replace('\n# ', ' ').split('\n')[0])


@pytest.mark.parametrize('row', [*ROWS, *TABLE['ensembles']], ids=lambda r: r['id'])
def test_rows_without_script_say_so(row):
    text = (CONFIGS / row.get('config', file_name(row) if 'network' in row else '')).read_text()
    if not row['script'] and row.get('algorithm') not in ('ce', 'balanced-softmax'):
        assert 'authors' in ' '.join(text.split())
        assert 'no script' in ' '.join(text.replace('# ', '').split())


@every_recipe
def test_model(recipe):
    model = load(file_name(recipe)).model
    assert model.type == recipe['classifier']
    assert model.get('momentum') == recipe.get('momentum')
    if recipe['network'] != 'resnet50-cifar':
        backbone = dict(recipe['backbone'])
    else:
        backbone = dict(recipe['backbone'], zero_init_residual=False)
    assert has(model.backbone, backbone) == backbone
    assert plain(model.backbone.get('trainable_convs')) == recipe['trainable_convs']
    checkpoint = (model.backbone.get('init_cfg') or {}).get('checkpoint', '')
    assert (recipe['pretrained'] or '') in checkpoint
    assert bool(recipe['pretrained']) == bool(checkpoint)
    head = model.head
    assert (head.type, head.num_classes, head.in_channels) == (
        recipe['head'],
        recipe['num_classes'],
        recipe['features'],
    )
    augments = (model.get('train_cfg') or {}).get('augments')
    mixed = [dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)]
    assert plain(augments) == (mixed if recipe['views'] == 'stock' else None)


@every_recipe
def test_loss(recipe):
    loss = load(file_name(recipe)).model.head.loss
    if recipe['views'] == 'stock':
        assert plain(loss) == dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original')
        return
    module = MODELS.build(plain(loss))
    assert type(module).__name__ == recipe['loss']
    if recipe['loss'] == 'CrossEntropyLoss':
        return
    prior = module.class_prior
    assert (prior is not None) == (recipe['prior'] == 'auto')
    assert prior is None or prior.is_auto
    if recipe['loss'] == 'BalancedSoftmaxLoss':
        assert module.tau == 1
        return
    keys = ['alpha', 'temperature', 'label_smoothing']
    if recipe['loss'] == 'GPaCoLoss':
        keys += ['beta', 'gamma', 'center_temperature']
        settings = module.settings
        assert settings.base_temperature is None
    else:
        settings = module
        assert module.weighting == 'released'
    assert {key: getattr(settings, key) for key in keys} == {key: recipe[key] for key in keys}


@contrastive
def test_projector_and_queue(recipe):
    config = load(file_name(recipe))
    head = on_meta_device(plain(config.model.head))
    assert tuple(head.queue.keys.shape) == (recipe['queue'], recipe['width'])
    layers, norm, act = recipe['projector']
    act = recipe.get('act', act)
    linear = [m for m in head.projector.modules() if isinstance(m, torch.nn.Linear)]
    features = recipe['features']
    shapes = [(features, features)] * (layers - 1) + [(features, recipe['width'])]
    assert [(m.in_features, m.out_features) for m in linear] == shapes
    assert all(m.bias is not None for m in linear)
    names = [type(m).__name__ for m in head.projector.modules()]
    assert names.count(act) == layers - 1
    assert names.count('BatchNorm1d') == (layers - 1 if norm else 0)
    assert recipe['queue'] >= recipe['gpus'] * recipe['batch']
    views = 1 if recipe['algorithm'] == 'gpaco-single-view' else 2
    assert config.data_preprocessor.type == 'MultiViewClsDataPreprocessor'
    assert config.data_preprocessor.get('num_views', 2) == views == len(recipe['views'])


@every_recipe
def test_optimizer_and_batch(recipe):
    config = load(file_name(recipe))
    wrapper = config.optim_wrapper
    assert has(wrapper.optimizer, recipe['optimizer']) == recipe['optimizer']
    assert wrapper.optimizer.lr == pytest.approx(recipe['lr'])
    assert wrapper.optimizer.weight_decay == pytest.approx(recipe['weight_decay'])
    assert not wrapper.optimizer.get('nesterov', False)
    assert wrapper.get('clip_grad') is None
    assert wrapper.get('accumulative_counts', 1) == recipe['accumulate']
    assert wrapper.type == ('AmpOptimWrapper' if recipe['amp'] else 'OptimWrapper')
    paramwise = wrapper.get('paramwise_cfg') or {}
    assert paramwise.get('layer_decay_rate') == recipe.get('layer_decay')
    assert bool(paramwise) == recipe['no_decay']
    assert config.train_dataloader.batch_size == recipe['batch']
    assert config.train_dataloader.drop_last
    batch = recipe['gpus'] * recipe['batch'] * recipe['accumulate']
    assert config.auto_scale_lr.base_batch_size == batch
    assert not config.auto_scale_lr.enable
    assert not [hook for hook in config.get('custom_hooks', ()) if hook.type == 'EMAHook']


def rate(recipe, epoch):
    """Learning rate of the published scripts; ``epoch`` is a fraction for the ViT recipes."""
    base, warmup, epochs = recipe['lr'], recipe['warmup'], recipe['epochs']
    if recipe['schedule'] == 'step':
        if epoch < warmup:
            return base * (epoch + 1) / warmup
        return base * (1 if epoch <= 320 else 0.1 if epoch <= 360 else 0.01)
    if recipe['schedule'] == 'cos':
        if epoch < warmup:
            return base * (epoch + 1) / warmup
        progress = (epoch - warmup + 1) / (epochs - warmup + 1)
        return base * 0.5 * (1 + math.cos(math.pi * progress))
    if epoch < warmup:
        return base * epoch / warmup
    half_cosine = 0.5 * (1 + math.cos(math.pi * (epoch - warmup) / (epochs - warmup)))
    return recipe['min_lr'] + (base - recipe['min_lr']) * half_cosine


@functools.cache
def rates_of(schedulers, lr, steps, epoch_length):
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=lr)
    built = []
    for settings in yaml.safe_load(schedulers):
        cls = PARAM_SCHEDULERS.get(settings.pop('type'))
        if settings.pop('convert_to_iter_based', False):
            built.append(
                cls.build_iter_from_epoch(optimizer, epoch_length=epoch_length, **settings)
            )
        else:
            built.append(cls(optimizer, **settings))
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        for scheduler in built:
            scheduler.step()
    return rates


@every_recipe
def test_learning_rate_of_every_epoch(recipe):
    config = load(file_name(recipe))
    assert config.train_cfg.by_epoch
    assert config.train_cfg.max_epochs == recipe['epochs']
    schedulers = yaml.safe_dump(plain(config.param_scheduler))
    lr, epochs = config.optim_wrapper.optimizer.lr, recipe['epochs']
    if recipe['schedule'] != 'mae':
        rates = rates_of(schedulers, lr, epochs, None)
        assert rates == pytest.approx([rate(recipe, e) for e in range(epochs)], rel=1e-10)
        return
    # Per iteration; MMEngine's linear warm-up reaches its end one iteration early.
    length = 100
    rates = rates_of(schedulers, lr, epochs * length, length)
    expected = [rate(recipe, i / length) for i in range(epochs * length)]
    assert rates == pytest.approx(expected, rel=1e-9, abs=lr / (recipe['warmup'] * length))
    after = recipe['warmup'] * length
    assert rates[after:] == pytest.approx(expected[after:], rel=1e-6)


def dataset_of(loader):
    dataset = loader.dataset
    return dataset if dataset.type != 'LongTailDataset' else dataset.dataset


@every_recipe
def test_data(recipe):
    config = load(file_name(recipe))
    preprocessor = config.data_preprocessor
    assert preprocessor.num_classes == recipe['num_classes']
    assert plain(preprocessor.mean) == recipe['mean']
    assert plain(preprocessor.std) == recipe['std']
    # pipelines deliver BGR everywhere, CIFAR included
    assert preprocessor.to_rgb
    for loader in (config.train_dataloader, config.val_dataloader, config.test_dataloader):
        dataset = dataset_of(loader)
        assert dataset.type == recipe['source']
        assert dataset.data_root.rstrip('/') == recipe['root']
    train = config.train_dataloader.dataset
    if 'imbalance_factor' in recipe:
        assert train.type == 'LongTailDataset'
        assert train.imbalance_factor == recipe['imbalance_factor']
        assert (train.get('imbalance_type', 'exp'), train.get('seed', 0)) == ('exp', 0)
        for evaluator in (config.val_evaluator, config.test_evaluator):
            assert sum(evaluator.train_counts) == recipe['train_images']
    if 'lists' in recipe:
        loaders = (config.train_dataloader, config.val_dataloader, config.test_dataloader)
        assert [loader.dataset.ann_file for loader in loaders] == recipe['lists']
        assert {loader.dataset.num_classes for loader in loaders} == {recipe['num_classes']}
        assert train.every_class
        for evaluator in (config.val_evaluator, config.test_evaluator):
            assert evaluator.train_counts.ann_file == recipe['lists'][0]
            assert evaluator.train_counts.num_classes == recipe['num_classes']
    long_tailed = 'imbalance_factor' in recipe or 'lists' in recipe
    kind = 'LongTailAccuracy' if long_tailed else 'Accuracy'
    assert config.test_evaluator.type == config.val_evaluator.type == kind
    # a best checkpoint only where it is chosen on another split than the reported one
    assert config.default_hooks.checkpoint.get('save_best') == recipe.get('save_best')


@every_recipe
def test_evaluation_pipeline(recipe):
    for loader in ('val_dataloader', 'test_dataloader'):
        pipeline = plain(load(file_name(recipe))[loader].dataset.pipeline)
        if recipe['schedule'] == 'step':
            steps = ['NumpyToPIL', 'PILToNumpy', 'PackInputs']
            assert [step['type'] for step in pipeline] == steps
            assert pipeline[1]['to_bgr']
            continue
        resize, crop = pipeline[1:3]
        assert (resize['type'], resize['scale'], resize['edge']) == ('ResizeEdge', 256, 'short')
        assert resize['backend'] == 'pillow'
        interpolation = 'bicubic' if recipe['schedule'] == 'mae' else 'bilinear'
        assert resize.get('interpolation', 'bilinear') == interpolation
        assert (crop['type'], crop['crop_size']) == ('CenterCrop', 224)


def attribute(transform, key):
    value = getattr(transform, key)
    return list(value) if isinstance(value, tuple) else value


def check_transform(config, expected):
    transform = TRANSFORMS.build(config)
    expected = dict(expected)
    assert type(transform).__name__ == expected.pop('type')
    inner = expected.pop('inner', None)
    if inner:
        (only,) = config['transforms']
        check_transform(only, inner)
    assert {key: attribute(transform, key) for key in expected} == expected


def check_view(configs, view):
    name, *rand = view
    blocks = [TABLE['transforms'][word] for word in TABLE['blocks'][name]]
    if rand:
        number, magnitude = rand
        levels = dict(num_policies=number, magnitude_level=magnitude)
        blocks.append(dict(TABLE['transforms']['rand-augment'], **levels))
    assert len(configs) == len(blocks)
    for config, expected in zip(configs, blocks, strict=True):
        check_transform(config, expected)


@every_recipe
def test_views(recipe):
    pipeline = plain(dataset_of(load(file_name(recipe)).train_dataloader).pipeline)
    if recipe['views'] == 'stock':
        stock = [
            'LoadImageFromFile',
            'RandomResizedCrop',
            'RandomFlip',
            'RandAugment',
            'RandomErasing',
        ]
        assert [step['type'] for step in pipeline[:-1]] == stock
        assert pipeline[3]['policies'] == 'timm_increasing'
        assert (pipeline[3]['num_policies'], pipeline[3]['magnitude_level']) == (2, 9)
        assert pipeline[4]['erase_prob'] == 0.25
        return
    if recipe['schedule'] == 'step':
        assert pipeline[:2] == [dict(type='NumpyToPIL'), dict(type='PILToNumpy', to_bgr=True)]
        middle = pipeline[2:-1]
    else:
        assert pipeline[0]['type'] == 'LoadImageFromFile'
        middle = pipeline[1:-1]
    assert pipeline[-1] == dict(type='PackInputs')
    if len(recipe['views']) == 1:
        check_view(middle, recipe['views'][0])
        return
    (multi_view,) = middle
    assert (multi_view['type'], multi_view['num_views']) == ('MultiView', [1, 1])
    for configs, view in zip(multi_view['transforms'], recipe['views'], strict=True):
        check_view(configs, view)


def test_operations_of_rand_augment():
    config = plain(load(file_name(BY_ID['G4'])).views.rand_augment)
    ops = TRANSFORMS.build(config).transforms
    names = [f'{type(op).__name__} {getattr(op, "direction", "")}'.strip() for op in ops]
    assert sorted(names) == sorted([*TABLE['rand_augment']] * 2)
    for name, op in zip(names, ops, strict=True):
        assert op.prob == 0.5
        geometric = hasattr(op, 'interpolation')
        assert not geometric or op.pad_val == (104, 116, 124)  # BGR of (124, 116, 104)
        settings = TABLE['rand_augment'][name]
        if settings is None:
            continue
        assert (op.magnitude_level, op.magnitude_std, op.total_level) == (10, 0.5, 10)
        op.magnitude_std = 0
        for level in (0, 2.4, 7.49, 7.5, 9.99, 10):
            op.magnitude_level = level
            value = op.random_magnitude()
            if settings == 'bits':
                assert math.ceil(value) == int(0.4 * level)
                continue
            low, high, signed = settings
            assert value == pytest.approx(low + (high - low) * level / 10)
            assert op.random_negative_prob == (0.5 if signed else 0)
    # each geometric operation once with either interpolation: a random choice between the two
    kinds = {
        (n, op.interpolation)
        for n, op in zip(names, ops, strict=True)
        if hasattr(op, 'interpolation')
    }
    assert len(kinds) == 2 * 5


def test_policies_of_auto_augment():
    (block,) = [
        step
        for step in plain(load(file_name(BY_ID['P1'])).views.c_aa)
        if step['type'] == 'AutoAugment'
    ]
    policies = TRANSFORMS.build(block).transforms
    written = [pair.split(',') for pair in TABLE['auto_augment'].split(';')]
    assert len(policies) == len(written) == 25
    for policy, pair in zip(policies, written, strict=True):
        for op, text in zip(policy.transforms, pair, strict=True):
            check_policy_operation(op, *text.split())


def check_policy_operation(op, name, numbers):
    prob, index = numbers.split('/')
    g = int(index)
    kind = type(op).__name__
    assert op.prob == float(prob)
    if name[-1] in 'XY':
        assert op.direction == dict(X='horizontal', Y='vertical')[name[-1]]
        assert op.pad_val == 128
        assert op.random_negative_prob == 0.5
        full = dict(Shear=0.3, Trans=150 / 331)[name[:-1]]
        assert kind.startswith(name[:-1])
        assert op.magnitude == pytest.approx(full * g / 9)
        assert op.interpolation == dict(Shear='bicubic', Translate='nearest')[kind]
    elif name == 'Rotate':
        # negative is counter-clockwise in mmcv
        assert (kind, op.angle) == ('Rotate', pytest.approx(-30 * g / 9))
        assert (op.random_negative_prob, op.pad_val) == (0, 128)
    elif name in ('Color', 'Contrast', 'Sharp', 'Brightness'):
        assert kind == dict(Color='ColorTransform', Sharp='Sharpness').get(name, name)
        assert op.magnitude == pytest.approx(0.9 * g / 9)
        assert op.random_negative_prob == 0.5
    elif name == 'Posterize':
        assert (kind, op.bits) == (name, [8, 8, 7, 7, 6, 6, 5, 5, 4, 4][g])
    elif name == 'Solarize':
        assert (kind, op.thr) == (name, pytest.approx(256 * (1 - g / 9)))
    else:
        assert kind == name


@pytest.mark.parametrize('row', TABLE['ensembles'], ids=lambda r: r['id'])
def test_ensembles(row):
    config = load(row['config'])
    members = [plain(load(file_name(BY_ID[member])).model) for member in row['members']]
    assert config.model.type == 'EnsembleClassifier'
    assert plain(config.model.members) == members
    single = load(file_name(BY_ID[row['members'][0]]))
    assert config.test_dataloader == single.test_dataloader
    model = on_meta_device(plain({**config.model, 'data_preprocessor': config.data_preprocessor}))
    assert len(model.members) == 2


@pytest.mark.parametrize('recipe', [r for r in ROWS if r.get('robustness')], ids=lambda r: r['id'])
def test_robustness(recipe):
    clean = load(file_name(recipe))
    for other, dataset, metric in (
        ('-c', 'ImageNetC', 'ImageNetCError'),
        ('-r', 'ImageNetR', 'SubsetAccuracy'),
        ('-sketch', 'ImageNet', 'Accuracy'),
    ):
        config = load(file_name(recipe).replace('.py', f'{other}.py'))
        assert config.model == clean.model
        assert config.test_dataloader.dataset.type == dataset
        assert config.test_dataloader.dataset.data_root.startswith('data/imagenet-')
        assert config.test_evaluator.type == metric
        # the same pipeline as on the clean images, but for what it packs
        pipeline, usual = (c.test_dataloader.dataset.pipeline for c in (config, clean))
        assert plain(pipeline[:-1]) == plain(usual[:-1])
    assert config.test_evaluator.prefix == 'imagenet-sketch'


def models():
    """One recipe per distinct model."""
    seen = {}
    for recipe in ROWS:
        seen.setdefault(str(plain(load(file_name(recipe)).model)), recipe)
    return list(seen.values())


@pytest.mark.parametrize('recipe', models(), ids=lambda r: r['id'])
def test_every_model_builds(recipe):
    config = load(file_name(recipe))
    settings = plain({**config.model, 'data_preprocessor': config.data_preprocessor})
    model = on_meta_device(settings)
    assert model.head.fc.weight.shape == (recipe['num_classes'], recipe['features'])
    assert model.head.fc.bias is not None
    frozen = {name for name, p in model.backbone.named_parameters() if not p.requires_grad}
    if recipe['trainable_convs'] is None:
        frozen -= {'pos_embed'}  # MMPretrain has a fixed variant; it is trained here
        assert not frozen
    else:
        assert 'conv1.weight' in frozen
        assert not any('bn' in name or name.startswith('layer4.2') for name in frozen)


def test_initialisation_of_the_classifiers():
    def fc(identifier):
        config = plain(load(file_name(BY_ID[identifier])).model.head)
        head = MODELS.build(dict(config, num_classes=400))
        torch.manual_seed(0)
        head.init_weights()
        return head

    # PyTorch's default is uniform with standard deviation 1 / sqrt(3 D)
    for identifier in ('P4', 'G3', 'CE-imagenet-lt-r50'):
        assert fc(identifier).fc.weight.std().item() == pytest.approx((3 * 2048) ** -0.5, rel=0.02)
    head = fc('CE-cifar100-ir10')
    assert head.fc.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.02)
    # PaCo and GPaCo on CIFAR: Kaiming on the last layer of the projector alone
    for identifier in ('P1', 'G-cifar100-ir10'):
        head = fc(identifier)
        assert head.fc.weight.std().item() == pytest.approx((3 * 64) ** -0.5, rel=0.02)
        first, *_, last = (m for m in head.projector.modules() if isinstance(m, torch.nn.Linear))
        assert last.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.05)
        assert first.weight.std().item() == pytest.approx((3 * 64) ** -0.5, rel=0.05)
        assert last.bias.any()
    for identifier in ('M1', 'M4'):
        head = fc(identifier)
        assert head.fc.weight.std().item() == pytest.approx(2e-5, rel=0.05)
        assert not head.fc.bias.any()
    # only the classifier: the projector keeps PyTorch's default
    last = [m for m in head.projector.modules() if isinstance(m, torch.nn.Linear)][-1]
    assert last.weight.std().item() == pytest.approx((3 * 768) ** -0.5, rel=0.02)


def test_layer_decay_of_mae():
    recipe = BY_ID['M4']
    config = load(file_name(recipe))
    model = on_meta_device(plain({**config.model, 'data_preprocessor': config.data_preprocessor}))
    wrapper = plain(config.optim_wrapper)
    wrapper.update(type='OptimWrapper')  # the half-precision wrapper needs a GPU
    wrapper.pop('loss_scale')
    groups = {
        group['param_name']: group
        for group in build_optim_wrapper(model, ConfigDict(wrapper)).optimizer.param_groups
    }
    names = dict(model.named_parameters())
    for name, group in groups.items():
        if name.startswith('backbone.layers.'):
            layer = int(name.split('.')[2]) + 1
        elif name.startswith(('backbone.ln2', 'head')):
            layer = 13
        else:
            assert name.startswith(('backbone.cls_token', 'backbone.pos_embed', 'backbone.patch'))
            layer = 0
        assert group['lr'] == pytest.approx(recipe['lr'] * 0.65 ** (13 - layer)), name
        decays = names[name].dim() > 1 and 'token' not in name and 'pos_embed' not in name
        assert group['weight_decay'] == pytest.approx(0.05 if decays else 0), name
