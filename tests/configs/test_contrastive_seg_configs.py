"""The recipes of ContrastiveSeg against the released settings."""

import pytest
from helpers.resolved_configs import load_config

pytestmark = pytest.mark.contrastive_seg
FOLDER = 'contrastive_seg'
NAME = 'fcn_hr48_4xb2-40k_cityscapes-512x1024.py'


def test_the_released_settings():
    cfg = load_config(f'{FOLDER}/contrastive-seg-{NAME}')
    head = cfg.model.decode_head
    assert head.base_type == 'FCNHead'
    assert len(head.loss_decode.class_weight) == head.num_classes == 19
    branch = head.training_branches.contrastive_seg.to_dict()
    assert branch == dict(
        type='ContrastiveSegBranch', temperature=0.1, base_temperature=0.07, max_samples=1024,
        max_views=100, min_pixels=101, start_iter=5000, loss_weight=0.1,
    )  # fmt: skip
    assert cfg.train_cfg.max_iters == 40000
    assert cfg.train_dataloader.batch_size * 4 == cfg.auto_scale_lr.base_batch_size == 8
    optimizer = cfg.optim_wrapper.optimizer
    assert (optimizer.type, optimizer.lr, optimizer.weight_decay) == ('SGD', 0.01, 0.0005)
    (resize,) = [s for s in cfg.train_pipeline if s.type == 'RandomResize']
    assert list(resize.ratio_range) == [0.5, 2.0]
    assert list(cfg.crop_size) == [512, 1024]


def test_the_memory_is_of_the_released_size():
    cfg = load_config(f'{FOLDER}/contrastive-seg-memory-{NAME}')
    branch = cfg.model.decode_head.training_branches.contrastive_seg
    assert (branch.memory_size, branch.memory_pixels, branch.min_pixels) == (5000, 10, 1)
