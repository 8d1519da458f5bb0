"""Every system of classification: on stock configs that nobody tuned to, and in short trainings."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.plain_config import plain
from mmengine.config import Config

from paco_seg import compat
from paco_seg.cls.systems import SYSTEMS
from paco_seg.engine.model_changes import build_without_memory, read_config
from paco_seg.engine.systems import SystemInputs

compat.setup()
# A CNN; a transformer with another linear head, that pools itself; a CNN with mixed images and
# average weights; a pipeline without a loading step.
STOCK = [
    'mmpretrain::resnet/resnet50_8xb32_in1k.py',
    'mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py',
    'mmpretrain::convnext/convnext-tiny_32xb128_in1k.py',
    'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
]
ALL = [*SYSTEMS, *SYSTEMS.combinations()]
# Those of one kind of backbone; how they refuse another is in test_stock_classifier.py.
TRANSFORMERS = ('lift',)
TRAINED = [name for name in ALL if SYSTEMS.resolve(name).trains and name not in TRANSFORMERS]
TESTED = [name for name in ALL if not SYSTEMS.resolve(name).trains]
PARTS = ('model', 'data_preprocessor', 'train_dataloader', 'custom_imports', 'custom_hooks')
# Those that take images of two classes: a training of one label per image is not theirs.
MIXED = {
    *('ce', 'class-weighted-ce', 'focal', 'class-aware-sampling', 'focal+class-aware-sampling'),
    *('log-prior-test', 'tau-norm', 'crt', 'lws'),
}
COUNTS = [9, 5, 2, 1]  # told to what needs them
BY_ITERATIONS = """
train_cfg = dict(by_epoch=False, max_iters=2, val_interval=2)
train_dataloader['sampler'] = dict(type='InfiniteSampler', shuffle=True)
param_scheduler = []
default_hooks = dict(
    logger=dict(interval=1, log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=2))
"""
BY_EPOCHS = """
train_cfg['max_epochs'] = 2
train_dataloader['dataset']['indices'] = [0, 3, 6, 9]
default_hooks = dict(logger=dict(interval=1))
"""
# A vision transformer: another linear head, and features that are pooled.
TRANSFORMER = """
model['backbone'] = dict(
    type='VisionTransformer', img_size=16, patch_size=8, out_type='cls_token',
    arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16))
model['neck'] = None
model['head']['type'] = 'VisionTransformerClsHead'
"""
# Of each kind one that depends on what an epoch is.
EPOCHS = ('class-aware-sampling', 'ldam-drw', 'hybrid-psc', 'proco')


def inputs_for(counts: list[int], folder: Path, weights: object = 'ce.pth') -> SystemInputs:
    """Class frequencies in a file, and the weights of a source."""
    path = folder / 'frequency.json'
    path.write_text(json.dumps(counts))
    return SystemInputs(frequency_file=str(path), weights=str(weights))


@pytest.mark.parametrize('stock', STOCK)
def test_every_system_is_written_and_built(stock, tmp_path):
    cfg = read_config(stock)
    before = cfg.to_dict()
    num_classes = cfg.model.head.num_classes
    inputs = inputs_for(list(range(num_classes, 0, -1)), tmp_path)
    for name in ALL:
        if name in TRANSFORMERS and 'deit' not in stock:
            continue
        system = SYSTEMS.resolve(name)
        (tmp_path / 'new.py').write_text(system.render(stock, cfg, None, inputs))
        written, applied = Config.fromfile(tmp_path / 'new.py'), system.apply(cfg, None, inputs)
        for key in PARTS:
            assert plain(written.get(key)) == plain(applied.get(key)), (name, key)
        assert (written.model.get('train_cfg') == before['model'].get('train_cfg')) == (
            name in MIXED or 'train_cfg' not in before['model']
        )
        model = build_without_memory(written)
        assert model.head.num_classes == num_classes, name
    assert cfg.to_dict() == before


@pytest.mark.parametrize('name', ALL)
def test_nothing_but_the_system_changes(name, tmp_path):
    cfg = read_config(STOCK[name in TRANSFORMERS])
    system = SYSTEMS.resolve(name)
    changed = system.apply(cfg, None, inputs_for([1] * 1000, tmp_path))
    theirs = {*PARTS, 'load_from'}
    assert all(changed[key] == cfg[key] for key in cfg if key not in theirs)
    assert changed.model.backbone == cfg.model.backbone
    assert [hook.type for hook in changed.get('custom_hooks') or []] == list(system.hooks)
    needs, loader = system.needs, changed.train_dataloader
    assert needs.class_balanced_sampler == (loader.sampler != cfg.train_dataloader.sampler)
    views = [step for step in _pipeline(loader.dataset) if step['type'] == 'MultiView']
    assert (needs.views > 1) == bool(views)
    assert all(len(step['transforms']) == needs.views for step in views)


def _pipeline(dataset):
    return dataset['pipeline'] if 'pipeline' in dataset else _pipeline(dataset['dataset'])


@pytest.fixture(scope='module')
def trained_ce(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the checkpoint of ``ce`` on the tiny data lies, once a test has trained it."""
    return tmp_path_factory.mktemp('trained') / 'ce.pth'


@pytest.fixture
def write(tiny_cls, tmp_path) -> Callable[..., Path]:
    """``write(name, weights, extra)`` -> file with the config of a system on the tiny data."""

    def config(name: str, weights: object = 'ce.pth', extra: str = BY_ITERATIONS) -> Path:
        base = tiny_cls(extra)
        inputs = inputs_for(COUNTS, tmp_path, weights)
        path = tmp_path / f'{name}.py'
        text = SYSTEMS.resolve(name).render(base.name, read_config(base), None, inputs)
        path.write_text(text)
        return path

    return config


@pytest.fixture
def train(write, run_tool, tmp_path) -> Callable[..., tuple[list[dict], dict, Path]]:
    """``train(name, weights, extra)`` -> lines of the log, final weights and their file."""

    number = itertools.count()

    def run(name: str, *arguments: object) -> tuple[list[dict], dict, Path]:
        folder = tmp_path / f'{next(number)} {name}'
        run_tool('train', write(name, *arguments), '--work-dir', folder)
        (log,) = folder.glob('*/vis_data/scalars.json')
        path = Path((folder / 'last_checkpoint').read_text())
        rows = [json.loads(line) for line in log.read_text().splitlines()]
        return rows, torch.load(path, weights_only=False)['state_dict'], path

    return run


@pytest.fixture
def ce(train, trained_ce) -> Path:
    """Weights of ``ce``."""
    if not trained_ce.exists():
        train('ce')[-1].rename(trained_ce)
    return trained_ce


def check_what_is_fixed(name: str, after: dict, source: Path) -> None:
    """Backbone and statistics are those of the source; what the second stage learns has moved."""
    before = torch.load(source, weights_only=False)['state_dict']
    fixed = ('backbone.', 'head.') if name == 'lws' else ('backbone.',)
    if name == 'lift':  # a head of its own
        before = {key: value for key, value in before.items() if key.startswith(fixed)}
        assert after['adapters.0.up.weight'].any()
    for key, value in before.items():
        ours = after[key.replace('layers.head', 'fc')] if name == 'lws' else after[key]
        assert torch.equal(value, ours) == key.startswith(fixed), key
    if name == 'lws':
        assert not torch.equal(after['head.scales'], torch.ones(4))


@pytest.mark.parametrize('name', TRAINED)
def test_every_system_trains_two_iterations_and_is_evaluated(name, train, ce):
    by_epoch = name in EPOCHS
    rows, after, _ = train(name, ce, BY_EPOCHS if by_epoch else BY_ITERATIONS)
    assert sum('loss' in row for row in rows) == 2
    assert sum('accuracy/top1' in row for row in rows) == (2 if by_epoch else 1)
    if SYSTEMS.resolve(name).source:
        check_what_is_fixed(name, after, ce)


def stock_model(stock):
    """Settings that put a stock model on the tiny images of four classes."""
    model = read_config(stock).model.to_dict()
    model['head']['num_classes'] = 4
    # At the rate of the tiny network a real one diverges on maps of one pixel.
    return f"{BY_ITERATIONS}model = {model!r}\noptim_wrapper['optimizer']['lr'] = 1e-3\n"


@pytest.mark.parametrize(
    'stock',
    [
        'mmpretrain::resnet/resnet18_8xb16_cifar10.py',
        'mmpretrain::mobilenet_v2/mobilenet-v2_8xb32_in1k.py',
        'mmpretrain::deit/deit-tiny_4xb256_in1k.py',
    ],
)
def test_stock_models_train_two_iterations_with_every_system(stock, train):
    """With random weights, on the tiny images of four classes."""
    extra = stock_model(stock)
    *_, source = train('ce', 'none', extra)
    for name in TRAINED:
        rows, _, weights = train(name, source, extra)
        weights.unlink()  # twenty-five of up to 90 MB
        assert sum('loss' in row for row in rows) == 2, name
        assert sum('accuracy/top1' in row for row in rows) == 1, name


@pytest.mark.parametrize(
    'stock',
    [
        'mmpretrain::deit/deit-tiny_4xb256_in1k.py',
        'mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py',
        'mmpretrain::deit/deit-small_4xb256_in1k.py',
    ],
)
def test_stock_transformers_train_two_iterations_with_lift(stock, train):
    """From weights of cross entropy on the same images, for it refuses random ones."""
    extra = stock_model(stock)
    *_, source = train('ce', 'none', extra)
    rows, after, _ = train('lift', source, extra)
    assert sum('loss' in row for row in rows) == 2
    assert sum('accuracy/top1' in row for row in rows) == 1
    check_what_is_fixed('lift', after, source)


def accuracy(path: Path, weights: Path, run_tool: Callable[..., None], folder: Path) -> float:
    """Return the accuracy of a config with given weights."""
    run_tool('test', path, weights, '--work-dir', folder)
    (log,) = folder.glob('*/*.json')
    return json.loads(log.read_text())['accuracy/top1']


@pytest.mark.parametrize('name', TESTED)
def test_every_system_without_training_tests_the_weights_of_its_source(
    name, write, run_tool, ce, tmp_path
):
    assert 0 <= accuracy(write(name), ce, run_tool, tmp_path / 'run') <= 100


def test_systems_on_a_vision_transformer(write, train, run_tool, tmp_path):
    extra = BY_ITERATIONS + TRANSFORMER
    *_, source = train('ce', 'none', extra)
    for name in ('crt', 'lws', 'reslt', 'gpaco', 'paco', 'hybrid-sc', 'lift'):
        rows, after, _ = train(name, source, extra)
        assert sum('loss' in row for row in rows) == 2, name
        assert sum('accuracy/top1' in row for row in rows) == 1, name
        if SYSTEMS[name].source or name == 'lift':
            check_what_is_fixed(name, after, source)
    # The log prior of equal counts changes no prediction: the classifier is that of the source.
    ours = accuracy(write('log-prior-test', 'none', extra), source, run_tool, tmp_path / 'ours')
    assert ours == accuracy(write('ce', 'none', extra), source, run_tool, tmp_path / 'theirs')
