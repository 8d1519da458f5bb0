"""Every system of classification: on stock configs that nobody tuned to, and in short trainings."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mmengine.config import Config

from paco_seg import compat
from paco_seg.cls.systems import SYSTEMS
from paco_seg.engine.model_changes import build_without_memory, read_config
from paco_seg.engine.systems import SystemInputs

compat.setup()
# A CNN, a transformer with another linear head, a transformer-like CNN with an unusual pipeline,
# a pipeline without a loading step.
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
BY_ITERATIONS = """
train_cfg = dict(by_epoch=False, max_iters=2, val_interval=2)
train_dataloader['sampler'] = dict(type='InfiniteSampler', shuffle=True)
param_scheduler = []
default_hooks = dict(
    logger=dict(interval=1, log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=2))
"""
BY_EPOCHS = "\ntrain_cfg['max_epochs'] = 1\n"


def without_scope(value):
    """``_scope_`` marks what a base in another package said; it means the same here."""
    if isinstance(value, dict):
        return {k: without_scope(v) for k, v in value.items() if k != '_scope_'}
    return [without_scope(item) for item in value] if isinstance(value, (list, tuple)) else value


def inputs_for(num_classes: int, folder: Path, weights: object = 'ce.pth') -> SystemInputs:
    """Class frequencies in a file, and the weights of a source."""
    path = folder / 'frequency.json'
    path.write_text(json.dumps(list(range(num_classes + 2, 2, -1))))
    return SystemInputs(frequency_file=str(path), weights=str(weights))


@pytest.mark.parametrize('stock', STOCK)
def test_every_system_is_written_and_built(stock, tmp_path):
    cfg = read_config(stock)
    before = cfg.to_dict()
    inputs = inputs_for(cfg.model.head.num_classes, tmp_path)
    for name in ALL:
        system = SYSTEMS.resolve(name)
        (tmp_path / 'new.py').write_text(system.render(stock, cfg, None, inputs))
        written, applied = Config.fromfile(tmp_path / 'new.py'), system.apply(cfg, None, inputs)
        for key in PARTS:
            assert without_scope(written.get(key)) == without_scope(applied.get(key)), (name, key)
        model = build_without_memory(written)
        assert model.head.num_classes == cfg.model.head.num_classes, name
        # A config without mixed images where the system has no use for them.
        assert written.model.type == 'ImageClassifier' or written.model.get('train_cfg') is None
    assert cfg.to_dict() == before


@pytest.fixture(scope='module')
def weights() -> dict[str, str]:
    """Checkpoint of ``ce``, once it is there."""
    return {}


def run(name, config, folder, run_tool, inputs):
    """Write the config of a system and train it, to the end of the config's schedule."""
    cfg = read_config(config)
    path = folder / f'{name}.py'
    path.write_text(SYSTEMS.resolve(name).render(config.name, cfg, None, inputs))
    run_tool('train', path, '--work-dir', folder / name)
    log = next((folder / name).glob('*/vis_data/scalars.json')).read_text()
    rows = [json.loads(line) for line in log.splitlines()]
    return path, rows


@pytest.mark.parametrize('name', TRAINED)
def test_every_system_trains_and_is_evaluated(name, tiny_cls, run_tool, tmp_path):
    config = tiny_cls(BY_ITERATIONS)
    if SYSTEMS.resolve(name).source:
        run('ce', config, tmp_path, run_tool, SystemInputs())
    inputs = inputs_for(4, tmp_path, tmp_path / 'ce' / 'iter_2.pth')
    _, rows = run(name, config, tmp_path, run_tool, inputs)
    assert any('accuracy/top1' in row for row in rows)
    assert sum('loss' in row for row in rows) == 2
