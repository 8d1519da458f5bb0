import pytest
import torch
from mmseg.registry import MODELS
from references.dice import dice

import paco_seg.seg  # noqa: F401


def build(**settings):
    return MODELS.build(dict(type='SoftmaxDiceLoss', **settings))


def test_dice_loss_of_maps_equals_the_reference():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 2, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 2), generator=generator)
    labels[0, 0] = 255
    rows = logits.permute(0, 2, 3, 1).reshape(-1, 3).tolist()
    wanted = dice(rows, labels.flatten().tolist(), ignore_index=255)
    found = build(loss_weight=3.0)(logits, labels, weight=None, ignore_index=255)
    assert found.item() == pytest.approx(3 * wanted, rel=1e-5)
    assert build()(logits, torch.full_like(labels, 255), ignore_index=255).item() == 0


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(loss_weight=-1.0), r'SoftmaxDiceLoss\.loss_weight: expected'),
        (dict(loss_name='dice'), r'SoftmaxDiceLoss\.loss_name: expected'),
    ],
)
def test_dice_loss_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
    with pytest.raises(ValueError, match='sampler: expected none beside SoftmaxDiceLoss'):
        build()(torch.zeros(1, 2, 3), torch.zeros(1, 3).long(), weight=torch.ones(1, 3))
