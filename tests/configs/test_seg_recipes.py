"""Every segmentation config against the one table of its hyper-parameters."""

import functools
import json
import re
from pathlib import Path

import pytest
import torch
import yaml
from helpers.plain_config import plain
from helpers.segmentation_recipes import CONFIGS, RECIPES, load_config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import PARAM_SCHEDULERS

from paco_seg.seg.heads import GPaCoBranch

SEG_FOLDERS = ('gpaco', 'baselines')
SEG_DATASETS = ('ade20k', 'coco-stuff', 'pascal-context', 'cityscapes')
every_recipe = pytest.mark.parametrize('recipe', RECIPES, ids=lambda r: r['id'])


def has(config, expected):
    """The part of ``config`` that ``expected`` speaks of."""
    return {key: plain(config.get(key)) for key in expected}, expected


def transform(pipeline, name):
    (found,) = [step for step in pipeline if step['type'] == name]
    return plain(found)


def test_every_config_has_a_recipe():
    on_disk = {
        f'{folder}/{path.name}'
        for folder in SEG_FOLDERS
        for path in (CONFIGS / folder).glob('*.py')
        if any(word in path.stem.split('_')[-1] for word in SEG_DATASETS)
    }
    assert on_disk == {recipe['config'] for recipe in RECIPES}
    assert len(RECIPES) == len({recipe['id'] for recipe in RECIPES})


@every_recipe
def test_name_tells_the_contents(recipe):
    cfg = load_config(recipe['config'])
    algorithm, _, schedule, dataset = Path(recipe['config']).stem.split('_')
    gpus, batch, length = re.fullmatch(r'(\d+)xb(\d+)-(?:[a-z]+-)?(\d+)k', schedule).groups()
    dataset, height, width = re.fullmatch(r'(.+)-(\d+)x(\d+)', dataset).groups()
    assert int(batch) == cfg.train_dataloader.batch_size
    assert int(gpus) * int(batch) == cfg.auto_scale_lr.base_batch_size
    assert int(length) * 1000 == cfg.train_cfg.max_iters
    assert ('-amp-' in schedule) == (cfg.optim_wrapper.type == 'AmpOptimWrapper')
    crop = transform(cfg.train_dataloader.dataset.pipeline, 'RandomCrop')['crop_size']
    assert [int(height), int(width)] == crop
    classes = {
        'ade20k': 'ADE20KDataset',
        'coco-stuff10k': 'COCOStuffDataset',
        'pascal-context-59': 'PascalContextDataset59',
        'cityscapes': 'CityscapesDataset',
    }
    assert cfg.train_dataloader.dataset.type == classes[dataset]
    assert dataset == recipe['benchmark']
    assert ('gpaco' in algorithm) == (cfg.model.decode_head.type == 'GPaCoDecodeHead')


@every_recipe
def test_model(recipe):
    model = load_config(recipe['config']).model
    head = model.decode_head
    gpaco = recipe['alpha'] is not None
    assert (head.base_type if gpaco else head.type) == recipe['head']
    assert head.num_classes == recipe['num_classes']
    assert head.channels == recipe['channels']
    assert head.dropout_ratio == recipe['dropout']
    assert head.align_corners == recipe['align_corners']
    assert head.norm_cfg.type == recipe['norm']
    found, wanted = has(head, recipe.get('head_options', {}))
    assert found == wanted
    found, wanted = has(model.backbone, recipe['backbone'])
    assert found == wanted
    init = model.get('pretrained') or model.backbone.init_cfg.checkpoint
    assert recipe['init'] in init

    losses = head.loss_decode if isinstance(head.loss_decode, list) else [head.loss_decode]
    weights = {loss.type: loss.loss_weight for loss in losses}
    lovasz = recipe['lovasz_weight']
    expected = {'CrossEntropyLoss': recipe['ce_weight']}
    assert weights == expected | ({'LovaszLoss': lovasz} if lovasz else {})
    if lovasz:
        options = dict(loss_type='multi_class', classes='present', per_image=False)
        assert has(losses[1], options)[0] == options
    if gpaco:
        branch = GPaCoBranch(in_channels=4, num_classes=3, loss_contrast=head.loss_contrast)
        loss = branch.loss_contrast
        assert head.loss_contrast.type == 'PixelGPaCoLoss'
        found = (
            head.loss_contrast.alpha,
            loss.settings.temperature,
            branch.sampler.num_pixels,
            loss.scope,
            loss.settings.contrast_ignored,
        )
        wanted = (recipe['alpha'], recipe['temperature'], recipe['num_pixels'], 'image', True)
        assert found == wanted
        assert loss.loss_weight == 1.0
        assert head.projector.num_layers == recipe['projector_layers']
        assert head.projector.out_channels == recipe['projector_channels']

    auxiliary = model.get('auxiliary_head')
    if recipe['auxiliary'] is None:
        assert auxiliary is None
    else:
        wanted = dict(recipe['auxiliary'])
        assert auxiliary.loss_decode.loss_weight == wanted.pop('loss_weight')
        assert auxiliary.num_classes == recipe['num_classes']
        assert has(auxiliary, wanted)[0] == wanted
    found, wanted = has(model.test_cfg, recipe['test'])
    assert found == wanted


@every_recipe
def test_data(recipe):
    cfg = load_config(recipe['config'])
    wanted = {key: recipe[key] for key in ('mean', 'std', 'bgr_to_rgb', 'pad_val', 'seg_pad_val')}
    wanted['size'] = recipe['crop']
    assert has(cfg.model.data_preprocessor, wanted)[0] == wanted
    assert cfg.env_cfg.cudnn_benchmark == recipe['cudnn_benchmark']

    train = cfg.train_dataloader.dataset.pipeline
    resize = transform(train, 'RandomResize')
    assert resize['scale'] == recipe['resize']
    assert resize['ratio_range'] == recipe['resize_ratio']
    assert resize['keep_ratio'] is True
    crop = transform(train, 'RandomCrop')
    assert crop['crop_size'] == recipe['crop']
    assert crop['cat_max_ratio'] == recipe['cat_max_ratio']
    assert transform(train, 'RandomFlip')['prob'] == recipe['flip_prob']
    assert transform(train, 'PhotoMetricDistortion') == {'type': 'PhotoMetricDistortion'}
    reduce = transform(train, 'LoadAnnotations').get('reduce_zero_label', False)
    assert reduce == recipe['reduce_zero_label']
    for loader in (cfg.val_dataloader, cfg.test_dataloader):
        assert transform(loader.dataset.pipeline, 'Resize')['scale'] == recipe['resize']
        assert loader.batch_size == 1
        if 'val_images' in recipe:
            assert loader.dataset.data_prefix.img_path == recipe['val_images']


@every_recipe
def test_multi_scale_test(recipe):
    cfg = load_config(recipe['config'])
    assert cfg.tta_model.type == 'SegTTAModel'  # averages softmax probabilities
    resizes, flips, *_ = transform(cfg.tta_pipeline, 'TestTimeAug')['transforms']
    ratios = recipe['tta_ratios']
    if recipe['tta_scale'] is None:
        assert [step['scale_factor'] for step in resizes] == ratios
    else:
        width, height = recipe['tta_scale']
        assert [step['scale'] for step in resizes] == [
            [int(width * ratio), int(height * ratio)] for ratio in ratios
        ]
    assert all(step['keep_ratio'] for step in resizes)
    assert [step['prob'] for step in flips] == [0.0, 1.0]


def parameter_groups(cfg):
    """The optimizer's groups as MMEngine builds them, by telling parameter names."""
    model = torch.nn.Module()
    for name in ('conv', 'norm', 'pos_block', 'head'):
        model.add_module(name, torch.nn.Linear(2, 2, bias=False))
    model.absolute_pos_embed = torch.nn.Parameter(torch.zeros(1))
    model.relative_position_bias_table = torch.nn.Parameter(torch.zeros(1))
    wrapper = cfg.optim_wrapper.to_dict() | {'type': 'OptimWrapper'}
    wrapper.pop('loss_scale', None)
    if 'constructor' in wrapper:  # layer decay reads the layers of a real backbone
        wrapper = {key: wrapper[key] for key in ('type', 'optimizer')}
    optimizer = build_optim_wrapper(model, wrapper).optimizer
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = {names[id(group['params'][0])]: group for group in optimizer.param_groups}
    if len(groups) == 1:
        groups = {name: optimizer.param_groups[0] for name in names.values()}
    return groups


@every_recipe
def test_optimizer(recipe):
    cfg = load_config(recipe['config'])
    assert cfg.optim_wrapper.type == recipe['optim_wrapper']
    found, wanted = has(cfg.optim_wrapper.optimizer, recipe['optimizer'])
    assert found == wanted
    assert not cfg.optim_wrapper.get('clip_grad')
    assert not cfg.optim_wrapper.optimizer.get('nesterov')
    groups = parameter_groups(cfg)
    assert groups['conv.weight']['lr'] == pytest.approx(recipe['lr'])
    assert groups['conv.weight']['weight_decay'] == pytest.approx(recipe['weight_decay'])
    free = {name.split('.')[0] for name, group in groups.items() if group['weight_decay'] == 0}
    assert free == set(recipe['no_decay'])
    if 'layer_decay' in recipe:
        assert plain(cfg.optim_wrapper.paramwise_cfg) == recipe['layer_decay']
    assert cfg.train_cfg.type == 'IterBasedTrainLoop'
    assert cfg.train_cfg.max_iters == recipe['iters']
    assert cfg.train_cfg.val_interval == recipe['val_interval']
    assert cfg.default_hooks.checkpoint.interval == recipe['val_interval']
    assert cfg.train_dataloader.batch_size == recipe['batch']
    assert cfg.auto_scale_lr.base_batch_size == recipe['gpus'] * recipe['batch']


@functools.cache
def learning_rates(schedulers, lr, iters):
    """lr of every iteration, by the schedulers MMEngine runs."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=lr)
    built = [
        PARAM_SCHEDULERS.build(dict(scheduler, optimizer=optimizer))
        for scheduler in json.loads(schedulers)
    ]
    rates = []
    optimizer.step()  # the schedulers warn when it never ran
    for _ in range(iters):
        rates.append(optimizer.param_groups[0]['lr'])
        for scheduler in built:
            scheduler.step()
    return rates


def published_rate(i, lr, iters, schedule):
    """lr of iteration ``i`` (from 0): polynomial decay times linear warm-up."""
    warmup = schedule['warmup']
    begin = warmup if schedule['restart'] else 0
    progress = max(i - begin, 0) / (iters - begin)
    floor = schedule['eta_min']
    rate = (lr - floor) * (1 - progress) ** schedule['power'] + floor
    if i < warmup:
        rate *= 1 - (1 - i / warmup) * (1 - schedule['warmup_ratio'])
    return rate


@every_recipe
def test_schedule(recipe):
    cfg = load_config(recipe['config'])
    lr, iters = recipe['lr'], recipe['iters']
    rates = learning_rates(json.dumps(plain(cfg.param_scheduler)), lr, iters)
    # MMEngine divides by one step less: 1 / 1500 of the warm-up and of the decay at most.
    points = [0, 1, 400, 1000, 1499, 1500, 2000, iters // 4, iters // 2, iters - 2000, iters - 1]
    for i in points:
        assert rates[i] == pytest.approx(
            published_rate(i, lr, iters, recipe['schedule']), abs=lr / 1400
        )


def test_the_stock_swin_schedule_would_be_noticed():
    """The difference that the Swin configs correct is above the tolerance of the test."""
    recipe = next(recipe for recipe in RECIPES if recipe['id'] == 'S1')
    lr, iters, schedule = recipe['lr'], recipe['iters'], recipe['schedule']
    stock = published_rate(2000, lr, iters, schedule | {'restart': True})
    assert abs(stock - published_rate(2000, lr, iters, schedule)) > lr / 200


def test_readme_and_metafile_list_every_gpaco_config():
    """Figures there are the authors', and are called so."""
    folder = CONFIGS / 'gpaco'
    readme = (folder / 'README.md').read_text(encoding='utf-8').splitlines()
    models = yaml.safe_load((folder / 'metafile.yml').read_text(encoding='utf-8'))['Models']
    entries = {model['Config']: model for model in models}
    for recipe in RECIPES:
        if not recipe['config'].startswith('gpaco/'):
            continue
        entry = entries[f'configs/{recipe["config"]}']
        assert entry['Name'] == Path(recipe['config']).stem
        assert entry['Metadata']['Batch Size'] == recipe['gpus'] * recipe['batch']
        assert entry['Metadata']['Iterations'] == recipe['iters']
        (row,) = [line for line in readme if f'({Path(recipe["config"]).name})' in line]
        cells = [cell.strip() for cell in row.split('|')]
        assert cells[6] == f'{recipe["gpus"]}x{recipe["batch"]}'
        assert float(cells[7]) == recipe['alpha']
        figures = recipe['paper_miou']
        if figures is None:
            assert 'Results' not in entry
            assert cells[8:10] == ['-', '-']
        else:
            metrics = entry['Results'][0]['Metrics']
            expected = [figures['single_scale'], figures['multi_scale']]
            assert list(metrics) == ['mIoU (paper)', 'mIoU (ms+flip, paper)']
            assert list(metrics.values()) == expected
            assert [float(cell) for cell in cells[8:10]] == expected
