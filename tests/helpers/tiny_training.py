"""A training of MMEngine alone, of a few parameters and milliseconds, for tests of hooks."""

from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.model import BaseModel
from mmengine.registry import DATASETS, METRICS, MODELS
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from paco_seg.comparison.process import forget_runs
from paco_seg.engine.checkpoint import set_safe_loading
from paco_seg.engine.safeguards import guard_test, guard_training

CLASSES = ('sky', 'road', 'tree')


@MODELS.register_module()
class TinyModel(BaseModel):
    """A linear head; from the iteration ``diverges_at`` on, its loss is NaN."""

    def __init__(self, diverges_at: int = -1, num_classes: int = 3, init_cfg: Any = None) -> None:
        super().__init__(init_cfg=init_cfg)
        self.head = nn.Linear(2, num_classes)
        self.head.num_classes = num_classes
        self.diverges_at, self.calls = diverges_at, 0

    def forward(self, inputs, labels, mode='tensor'):
        scores = self.head(inputs)
        if mode != 'loss':
            return [scores]
        self.calls += 1
        loss = nn.functional.cross_entropy(scores, labels)
        return dict(loss_ce=loss * float('nan') if 0 < self.diverges_at <= self.calls else loss)


@DATASETS.register_module()
class TinyDataset(Dataset):
    """Eight points; a stock MM dataset's ``metainfo``."""

    def __init__(self, classes=CLASSES) -> None:
        self.metainfo = dict(classes=tuple(classes))

    def __len__(self):
        return 8

    def __getitem__(self, index):
        point = torch.rand(2, generator=torch.Generator().manual_seed(index))
        return dict(inputs=point, labels=index % 3)


@METRICS.register_module()
class TinyAccuracy(BaseMetric):
    """Better, and worse, with every validation."""

    calls = 0

    def process(self, data_batch, data_samples):
        self.results.append(0)

    def compute_metrics(self, results):
        type(self).calls += 1
        return dict(acc=float(self.calls), error=float(self.calls))


def tiny_config(work_dir: Path, **changes: Any) -> Config:
    """Six iterations on the CPU, a checkpoint after every second; ``changes`` by dotted keys."""
    loader = dict(
        batch_size=2,
        num_workers=0,
        sampler=dict(type='DefaultSampler', shuffle=False),
        collate_fn=dict(type='default_collate'),
        dataset=dict(type='TinyDataset'),
    )
    cfg = Config(
        dict(
            model=dict(type='TinyModel'),
            train_dataloader=loader,
            val_dataloader=loader,
            test_dataloader=loader,
            train_cfg=dict(by_epoch=False, max_iters=6, val_interval=2),
            val_cfg=dict(),
            test_cfg=dict(),
            val_evaluator=dict(type='TinyAccuracy'),
            test_evaluator=dict(type='TinyAccuracy'),
            optim_wrapper=dict(
                type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1, momentum=0.9)
            ),
            param_scheduler=[dict(type='PolyLR', power=0.9, begin=0, end=12, by_epoch=False)],
            default_hooks=dict(checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=2)),
            randomness=dict(seed=1),
            work_dir=str(work_dir),
        )
    )
    cfg.merge_from_dict({key.replace('__', '.'): value for key, value in changes.items()})
    return cfg


def train(work_dir: Path, **changes: Any) -> Runner:
    """Train :func:`tiny_config` as ``paco-seg train`` does, safeguards included."""
    forget_runs()
    set_safe_loading()
    cfg = tiny_config(work_dir, **changes)
    guard_training(cfg)
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def evaluate(work_dir: Path, checkpoint: Path, **changes: Any) -> dict:
    """Test a checkpoint as ``paco-seg test`` does, safeguards included."""
    forget_runs()
    set_safe_loading()
    cfg = tiny_config(work_dir, load_from=str(checkpoint), **changes)
    guard_test(cfg)
    return Runner.from_cfg(cfg).test()
