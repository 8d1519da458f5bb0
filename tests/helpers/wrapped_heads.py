"""Short trainings of decode heads in the model wrappers of several processes."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial

import torch
import torch.distributed as dist
from helpers import head_zoo
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from torch import Tensor, nn
from torch.distributed.fsdp import FullyShardedDataParallel, ShardingStrategy
from torch.nn.parallel import DistributedDataParallel

from paco_seg.engine.launch import DATA_PARALLEL

BN = dict(type='BN')
# As _base_/strategies/fsdp.py.
SHARDED = dict(use_orig_params=True, sharding_strategy=ShardingStrategy.SHARD_GRAD_OP)
SMALL = dict(reduced_channels=8, hidden_channels=8)
# Heads of which each passes its feature on in another way.
HEADS = ('DepthwiseSeparableASPPHead', 'OCRHead', 'PIDHead', 'SegmenterMaskTransformerHead')
# The step in which rank 0 sees no valid pixel; the first one decides what a static graph is.
IGNORED = (0, 1)


def gpaco(**settings: object) -> dict:
    """GPaCo on 40 pixels of 8 channels."""
    return dict(
        type='GPaCoDecodeHead',
        projector=dict(out_channels=8, norm_cfg=BN),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=40, **settings),
    )


def branch(**settings: object) -> dict:
    """One training branch with a small region module."""
    return dict(type='BranchDecodeHead', training_branches=dict(region=dict(**SMALL, **settings)))


SYSTEMS = {
    'scope image': gpaco(),
    'scope world': gpaco(scope='world'),
    'queue': gpaco(queue_size=64, queue_pixels_per_class=2),
    'hard pixels, warm-up': gpaco(pixel_selection='hard', warmup_iters=2),
    'weight from gradients, regions': gpaco(
        scope='world',
        loss_weight='auto',
        region_keys=True,
        pixel_selection='class_balanced',
        importance_weights=True,
    ),
    'contrast with a memory': dict(
        type='BranchDecodeHead',
        training_branches=dict(
            contrast=dict(
                type='ContrastiveSegBranch',
                norm_cfg=BN,
                out_channels=8,
                memory_size=8,
                memory_samples=4,
            )
        ),
    ),
    'square AUC': dict(
        type='BranchDecodeHead',
        loss_decode=[dict(type='CrossEntropyLoss'), dict(type='SquareAUCLoss')],
    ),
    'region': branch(type='RegionRebalanceBranch', grouping='image', learnable=True),
}
CASES = {
    **{('FCNHead', title, step): config for title, config in SYSTEMS.items() for step in IGNORED},
    **{(name, 'scope image', 0): gpaco() for name in HEADS},
}


class _Losses(nn.Module):
    """``forward`` of a decode head's ``loss``: what DDP wraps."""

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.head = head

    def forward(self, *arguments: object) -> Tensor:
        losses = self.head.loss(*arguments)
        return sum(
            part.sum()
            for name, value in losses.items()
            if 'loss' in name
            for part in (value if isinstance(value, list) else [value])
        )


def train_on_rank() -> dict[tuple, list[tuple]]:
    """Losses and final state of every case: DDP in PyTorch's settings and in ours, FSDP."""
    wrappers = (
        partial(DistributedDataParallel, broadcast_buffers=False),
        partial(DistributedDataParallel, **DATA_PARALLEL),
        partial(FullyShardedDataParallel, device_id=torch.device('cpu'), **SHARDED),
    )
    with DefaultScope.overwrite_default_scope('mmseg'):
        return {
            case: [_train(*case, config, wrapper) for wrapper in wrappers]
            for case, config in CASES.items()
        }


def _train(name: str, title: str, ignored: int, config: dict, wrapper: Callable) -> tuple:
    torch.manual_seed(0)
    head = dict(copy.deepcopy(head_zoo.ZOO[name][0]), base_type=name, **copy.deepcopy(config))
    model = wrapper(_Losses(MODELS.build(head).train()))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for step in range(3):
        torch.manual_seed(2 * step + dist.get_rank())
        arguments = head_zoo.loss_arguments(name, seed=2 * step + dist.get_rank())
        if step == ignored and dist.get_rank() == 0:
            for sample in arguments[-2]:
                sample.gt_sem_seg.data.fill_(255)
        loss = model(*arguments)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.detach())
    state = {key.removeprefix('module.'): value for key, value in model.state_dict().items()}
    return losses, {key: value.clone() for key, value in state.items()}
