"""Every decode head of the zoo on a pretended GPU; run by ``test_devices.py``.

``REAL_DEVICE=1`` takes the GPU there is.
"""

from __future__ import annotations

import copy

import mmseg.models  # noqa: F401
import pytest
import torch
import torch.multiprocessing
from helpers import head_zoo, pretended_ranks, synchronisations
from helpers.device import NAME, REAL, on_device, to_device
from helpers.point_sampling import without_ops
from helpers.synchronisations import PRECISIONS, Losses, train
from mmengine.registry import DefaultScope
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

import paco_seg.seg  # noqa: F401
from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from tests.conftest import free_port

HEADS = sorted(set(head_zoo.ZOO) - set(head_zoo.NEEDS_OPS))
BN = dict(type='BN')
PIXELS = dict(type='PixelGPaCoLoss', num_pixels=40, impl='auto' if REAL else 'streaming')
CE = dict(type='CrossEntropyLoss', loss_name='loss_ce')
REGION = dict(reduced_channels=8, hidden_channels=8)


@pytest.fixture(autouse=True)
def _stack(monkeypatch):
    """The default scope, and sampling of points without compiled ops."""
    without_ops(monkeypatch)
    with DefaultScope.overwrite_default_scope('mmseg'):
        yield


@pytest.fixture(scope='module')
def frequency_file(tmp_path_factory):
    path = tmp_path_factory.mktemp('frequency') / 'frequency.json'
    frequency = ClassFrequency(tuple('abcde'), (5, 4, 3, 2, 2), (500, 400, 300, 200, 100), 6)
    save_class_frequency(frequency, path)
    return str(path)


def arguments_on_device(name):
    """Arguments of ``loss()`` on the device, data samples included."""

    def move(value):
        if isinstance(value, SegDataSample):
            return SegDataSample(
                gt_sem_seg=PixelData(data=to_device(value.gt_sem_seg.data)),
                gt_edge_map=PixelData(data=to_device(value.gt_edge_map.data)),
            )
        if isinstance(value, (list, tuple)):
            return type(value)(move(part) for part in value)
        return to_device(value) if isinstance(value, torch.Tensor) else value

    return [move(value) for value in head_zoo.loss_arguments(name)]


def step(name, precision='float32', steps=2, **config):
    """What a training step of a head does; the head is stock without ``config``."""
    torch.manual_seed(0)
    arguments = copy.deepcopy(head_zoo.ZOO[name][0])
    if 'type' in config:
        head = dict(arguments, base_type=name, **copy.deepcopy(config))
    elif config:  # other losses of the stock head
        head = dict(arguments, type=name, **copy.deepcopy(config))
    else:
        head = dict(arguments, type=name)
    model = MODELS.build(head).train()
    with on_device() as trace:
        to_device(model)
        losses = Losses(trace, model, *arguments_on_device(name))
        return train(losses, precision, steps)


def gpaco(**loss):
    return dict(
        type='GPaCoDecodeHead',
        projector=dict(out_channels=8, norm_cfg=BN),
        loss_contrast=PIXELS | loss,
    )


@pytest.mark.parametrize('precision', PRECISIONS)
@pytest.mark.parametrize('name', HEADS)
def test_every_head_runs_there_without_a_wait_of_ours(name, precision):
    """A stock head may wait for itself; GPaCo adds nothing to it, and mixes no devices."""
    counts = step(name, precision, steps=1, **gpaco())
    assert counts['where'] == {}
    assert isinstance(counts['all'], int)


def systems(frequency_file):
    """Name in the documentation -> head config, each on FCN."""
    file = dict(frequency_file=frequency_file)

    def branch(**settings):
        return dict(
            type='BranchDecodeHead', training_branches=dict(region=dict(**REGION, **settings))
        )

    def contrast(**settings):
        own = dict(type='ContrastiveSegBranch', norm_cfg=BN, out_channels=8, **settings)
        return dict(type='BranchDecodeHead', training_branches=dict(contrast=own))

    return {
        'cross entropy': {},
        'GPaCo, scope image': gpaco(),
        'GPaCo, scope batch': gpaco(scope='batch'),
        'GPaCo, alpha auto': gpaco(alpha='auto', **file),
        'GPaCo, class-balanced pixels': gpaco(pixel_selection='class_balanced'),
        'GPaCo, hard pixels': gpaco(pixel_selection='hard'),
        'GPaCo, all pixels': gpaco(num_pixels=-1),
        'GPaCo, pixel queue': gpaco(queue_size=64, queue_pixels_per_class=2),
        'GPaCo, scope world on one process': gpaco(scope='world'),
        'Region Rebalance': branch(type='RegionRebalanceBranch', **file),
        'Region Rebalance, grouping image': branch(
            type='RegionRebalanceBranch', grouping='image', learnable=True
        ),
        'ContrastiveSeg': contrast(),
        'ContrastiveSeg, memory': contrast(memory_size=8, memory_samples=4),
        'ContrastiveSeg, memory and semi-hard mining': contrast(
            memory_size=8, mining='semi-hard', num_negatives=4, num_positives=2
        ),
        'Seesaw': dict(loss_decode=dict(type='PixelSeesawLoss')),
        'AUCSeg': dict(loss_decode=[CE, dict(type='SquareAUCLoss')]),
        'CeCo': branch(type='CeCoBranch', learnable=True, **file),
        'Region bias': dict(type='RegionBiasDecodeHead', region_bias=file),
    }


def test_counts_of_every_system(frequency_file):
    counts = {}
    for title, config in systems(frequency_file).items():
        found = step('FCNHead', **config)
        print(title, found)
        counts[title] = found['own']
    gpaco_counts = [count for title, count in counts.items() if title.startswith('GPaCo')]
    assert gpaco_counts == [0] * len(gpaco_counts)
    synchronisations.check('segmentation', counts)


@pytest.mark.skipif(REAL, reason='a pretended GPU per rank')
def test_ranks_that_share_pixels_wait_once(tmp_path):
    """For the numbers of rows of the others, without which nothing can be received."""
    torch.multiprocessing.spawn(pretended_ranks.run, (free_port(), str(tmp_path)), nprocs=2)
    for rank in range(2):
        assert torch.load(tmp_path / f'{rank}.pt') == {'image': 0, 'world': 1, 'queue': 1}


def test_parameters_stay_on_the_device():
    model = MODELS.build(dict(base_type='FCNHead', **head_zoo.ZOO['FCNHead'][0], **gpaco()))
    with on_device():
        to_device(model)
        assert all(p.device.type == NAME for p in model.parameters())
