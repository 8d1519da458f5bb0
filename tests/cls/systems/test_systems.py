"""Every system of classification: on stock configs that nobody tuned to, and in short trainings."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
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
TRAINED = [name for name in ALL if SYSTEMS.resolve(name).trains]
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
# Of each kind one that depends on what an epoch is.
EPOCHS = ('class-aware-sampling', 'ldam-drw', 'hybrid-psc')


def without_scope(value):
    """``_scope_`` marks what a base in another package said; it means the same here."""
    if isinstance(value, dict):
        return {k: without_scope(v) for k, v in value.items() if k != '_scope_'}
    return [without_scope(item) for item in value] if isinstance(value, (list, tuple)) else value


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
        system = SYSTEMS.resolve(name)
        (tmp_path / 'new.py').write_text(system.render(stock, cfg, None, inputs))
        written, applied = Config.fromfile(tmp_path / 'new.py'), system.apply(cfg, None, inputs)
        for key in PARTS:
            assert without_scope(written.get(key)) == without_scope(applied.get(key)), (name, key)
        assert (written.model.get('train_cfg') == before['model'].get('train_cfg')) == (
            name in MIXED or 'train_cfg' not in before['model']
        )
        model = build_without_memory(written)
        assert model.head.num_classes == num_classes, name
    assert cfg.to_dict() == before


@pytest.mark.parametrize('name', ALL)
def test_nothing_but_the_system_changes(name, tmp_path):
    cfg = read_config(STOCK[0])
    system = SYSTEMS.resolve(name)
    changed = system.apply(cfg, None, inputs_for([1] * 1000, tmp_path))
    theirs = {*PARTS, 'load_from'}
    assert all(changed[key] == cfg[key] for key in cfg if key not in theirs)
    assert changed.model.backbone == cfg.model.backbone
    assert [hook.type for hook in changed.get('custom_hooks') or []] == list(system.hooks)
    needs, loader = system.needs, changed.train_dataloader
    assert needs.class_balanced_sampler == (loader.sampler != cfg.train_dataloader.sampler)
    views = [step for step in _pipeline(loader.dataset) if step['type'] == 'MultiView']
    assert needs.two_views == bool(views)
    assert all(len(step['transforms']) == 2 for step in views)


def _pipeline(dataset):
    return dataset['pipeline'] if 'pipeline' in dataset else _pipeline(dataset['dataset'])


@pytest.fixture(scope='module')
def trained_ce() -> dict[str, Path]:
    """Checkpoint of ``ce`` on the tiny data, once a test has trained it."""
    return {}


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
def ce(write, run_tool, trained_ce, tmp_path) -> Path:
    """Weights of ``ce``."""
    if 'ce' not in trained_ce:
        run_tool('train', write('ce'), '--work-dir', tmp_path / 'ce')
        trained_ce['ce'] = tmp_path / 'ce' / 'iter_2.pth'
    return trained_ce['ce']


@pytest.mark.parametrize('name', TRAINED)
def test_every_system_trains_two_iterations_and_is_evaluated(name, write, run_tool, ce, tmp_path):
    by_epoch = name in EPOCHS
    path = write(name, ce, BY_EPOCHS if by_epoch else BY_ITERATIONS)
    run_tool('train', path, '--work-dir', tmp_path / 'run')
    (log,) = (tmp_path / 'run').glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    assert sum('loss' in row for row in rows) == 2
    assert sum('accuracy/top1' in row for row in rows) == (2 if by_epoch else 1)
    last = 'epoch_2.pth' if by_epoch else 'iter_2.pth'
    after = torch.load(tmp_path / 'run' / last, weights_only=False)['state_dict']
    before = torch.load(ce, weights_only=False)['state_dict']
    if SYSTEMS.resolve(name).source:
        # Backbone and statistics are those of the source; what is learned has moved.
        kept = ('backbone.', 'head.fc.') if name == 'lws' else ('backbone.',)
        moved = [key for key in before if not torch.equal(before[key], after[key])]
        assert moved == [key for key in before if not key.startswith(kept)]
    if name == 'lws':
        assert not torch.equal(after['head.scales'], torch.ones(4))


@pytest.mark.parametrize('name', TESTED)
def test_every_system_without_training_tests_the_weights_of_its_source(
    name, write, run_tool, ce, tmp_path
):
    path = write(name)
    run_tool('test', path, ce, '--work-dir', tmp_path / 'run', '--out', tmp_path / 'all.pkl')
    (log,) = (tmp_path / 'run').glob('*/*.json')
    assert 'accuracy/top1' in json.loads(log.read_text())
