from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import COUNTS, samples
from mmpretrain.registry import MODELS
from torch.testing import assert_close

LABELS = torch.tensor([0, 1, 3, 4])


def build(**loss):
    torch.manual_seed(0)
    loss = dict(class_counts=COUNTS, drw_start_epoch=None) | loss
    return MODELS.build(dict(type='LDAMClsHead', num_classes=5, in_channels=6, loss=loss)).double()


def features():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(4, 6, generator=generator, dtype=torch.float64)


def by_hand(head, weights=None):
    counts = torch.tensor(COUNTS, dtype=torch.float64)
    margins = 0.5 * (counts / counts.min()) ** -0.25
    cosines = F.normalize(features()) @ F.normalize(head.fc.weight).T
    shifted = cosines - F.one_hot(LABELS, 5) * margins
    return F.cross_entropy(30 * shifted, LABELS, weight=weights)


def test_ldam_loss_by_hand():
    head = build()
    loss = head.loss((features(),), samples(LABELS))['loss']
    assert_close(loss, by_hand(head), rtol=1e-6, atol=1e-7)  # margins are float32


def test_ldam_predicts_scaled_cosines_without_margin_or_bias():
    head = build(scale=20.0)
    assert head.fc.bias is None
    cosines = F.normalize(features()) @ F.normalize(head.fc.weight).T
    assert_close(head((features(),)), 20 * cosines)
    predicted = head.predict((features(),))
    assert [int(s.pred_label) for s in predicted] == cosines.argmax(1).tolist()


def test_ldam_weights_start_at_their_epoch_and_last():
    head = build(drw_start_epoch=160)
    effective = (1 - 0.9999 ** torch.tensor(COUNTS, dtype=torch.float64)) / (1 - 0.9999)
    weights = (1 / effective) * (5 / (1 / effective).sum())
    for epoch, expected in ((0, None), (159, None), (160, weights), (399, weights)):
        head.loss_module.set_progress(epoch, 400)
        loss = head.loss((features(),), samples(LABELS))['loss']
        assert_close(loss, by_hand(head, expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('length', [5, 400, 2.5])  # 2.5 epochs: a short training by iterations
def test_ldam_weights_start_at_a_share_of_any_training(length):
    head = build(drw_start_share=0.8)
    effective = (1 - 0.9999 ** torch.tensor(COUNTS, dtype=torch.float64)) / (1 - 0.9999)
    weights = (1 / effective) * (5 / (1 / effective).sum())
    for share, expected in ((0.0, None), (0.79, None), (0.81, weights), (1.0, weights)):
        head.loss_module.set_progress(share * length, length)
        loss = head.loss((features(),), samples(LABELS))['loss']
        assert_close(loss, by_hand(head, expected), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize('share', [0.07, 0.28, 0.55])  # of 100 a little more than 7, 28 and 55
def test_ldam_weights_start_at_the_epoch_that_the_share_is(share):
    loss = build(drw_start_share=share).loss_module
    cosines = torch.linspace(-1, 1, 20).view(4, 5)
    start, values = round(100 * share), []
    for epoch in (start - 2, start - 1, start, start + 1):
        loss.set_progress(epoch, 100)
        values.append(loss(cosines, LABELS).item())
    assert values[0] == values[1] != values[2] == values[3]


def test_ldam_without_the_epoch_or_with_a_start_after_the_end_is_refused():
    head = build(drw_start_epoch=160)
    with pytest.raises(ValueError, match=r'drw_start_epoch: .*TrainingProgressHook'):
        head.loss((features(),), samples(LABELS))
    with pytest.raises(ValueError, match=r'drw_start_share: .*TrainingProgressHook'):
        build(drw_start_share=0.8).loss((features(),), samples(LABELS))
    with pytest.raises(ValueError, match=r'end of the training \(160\), got 160\. Set it'):
        head.loss_module.set_progress(0, 160)


@pytest.mark.parametrize(
    ('loss', 'message'),
    [
        (dict(max_margin=0), r'max_margin: expected > 0'),
        (dict(scale=-1), r'scale: expected > 0'),
        (dict(drw_beta=1.0), r'drw_beta: expected a value in'),
        (dict(drw_start_epoch=-1), r'drw_start_epoch: expected >= 0'),
        (dict(drw_start_share=1.0), r'drw_start_share: expected a value in'),
        (
            dict(drw_start_share=0.8, drw_start_epoch=3),
            r'drw_start_epoch: expected None with drw_start_share=0\.8, got 3\.',
        ),
        (dict(class_counts=[1, 2]), r'class_counts: expected 5 values'),
        (
            dict(class_counts=[0.7, 0.2, 0.06, 0.03, 0.01], drw_start_epoch=3),
            r'class_counts: expected numbers of images for the re-weighting',
        ),
    ],
)
def test_ldam_settings_out_of_range(loss, message):
    with pytest.raises(ValueError, match=r'^model\.head\.loss\.' + message):
        build(**loss)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(max_margin=float('inf')), r'max_margin: expected > 0 and finite, got inf'),
        (dict(drw_start_epoch=1.5), r'drw_start_epoch: expected an integer, got 1.5'),
        (dict(drw_start_epoch=True), r'drw_start_epoch: expected an integer, got True'),
    ],
)
def test_ldam_settings_of_another_kind(settings, message):
    with pytest.raises((TypeError, ValueError), match=r'^model\.head\.loss\.' + message):
        build(**settings)


def test_ldam_accuracy_of_a_batch():
    torch.manual_seed(0)
    loss = dict(class_counts=COUNTS, drw_start_epoch=None)
    settings = dict(num_classes=5, in_channels=6, loss=loss, cal_acc=True)
    head = MODELS.build(dict(type='LDAMClsHead', **settings)).double()
    found = head.loss((features(),), samples(LABELS))['accuracy_top-1']
    right = (head((features(),)).argmax(1) == LABELS).double().mean()
    assert float(found[0]) == pytest.approx(100 * float(right))
