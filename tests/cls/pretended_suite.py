"""Every classifier on a pretended GPU; run by ``test_devices.py`` in a process of its own.

``REAL_DEVICE=1`` takes the GPU there is.
"""

from __future__ import annotations

import copy

import pytest
import torch
from helpers import synchronisations
from helpers.classifier_zoo import SYSTEMS
from helpers.device import on_device, to_device
from helpers.synchronisations import PRECISIONS, Losses, train
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample


def data_samples(balanced):
    """As MMPretrain's data preprocessor leaves them, which moves ``gt_label`` alone."""
    made = []
    for label in (0, 1, 1, 3):
        sample = DataSample()
        sample.set_field(to_device(torch.tensor([label])), 'gt_label')
        if balanced:
            sample.set_field(torch.tensor([2]), 'balanced_label')
        made.append(sample)
    return made


def step(title, precision='float32'):
    config, views = SYSTEMS[title]
    torch.manual_seed(0)
    model = MODELS.build(copy.deepcopy(config)).train()
    for module in model.modules():
        if hasattr(module, 'set_progress'):
            module.set_progress(3, 10)
    with on_device() as trace:
        to_device(model)
        images = [to_device(torch.randn(4, 3, 32, 32)) for _ in range(views)]
        inputs = images if views > 1 else images[0]
        losses = Losses(trace, model, inputs, data_samples(balanced=views == 3))
        return train(losses, precision)


@pytest.mark.parametrize('precision', list(PRECISIONS)[1:])
@pytest.mark.parametrize('title', SYSTEMS)
def test_every_classifier_runs_there_in_mixed_precision(title, precision):
    counts = step(title, precision)
    if title.startswith(('GPaCo', 'PaCo')):
        assert counts['where'] == {}


def test_counts_of_every_system():
    counts = {}
    for title in SYSTEMS:
        found = step(title)
        print(title, found)
        counts[title] = found['own']
    ours = {title: n for title, n in counts.items() if title.startswith(('GPaCo', 'PaCo'))}
    assert set(ours.values()) == {0}
    synchronisations.check('classification', counts)
