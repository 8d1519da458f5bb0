"""The log-prior pixel loss against its formula, the stock loss, and inside a head."""

import math

import pytest
import torch
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS

from paco_seg.core.frequency import ClassFrequency, save_class_frequency
from paco_seg.seg.compared.logit_adjusted_cross_entropy_loss import LogitAdjustedCrossEntropyLoss

PIXELS = (700, 200, 100)


@pytest.fixture
def frequency_file(tmp_path):
    path = tmp_path / 'frequency.json'
    save_class_frequency(ClassFrequency(('a', 'b', 'c'), (9, 5, 2), PIXELS, 10), path)
    return str(path)


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator, requires_grad=True)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0, :3] = 255
    return logits, labels


def test_example_by_hand(frequency_file):
    loss = LogitAdjustedCrossEntropyLoss(frequency_file=frequency_file)
    # equal logits: the softmax of the log prior is the prior
    value = loss(torch.zeros(1, 3, 1, 1), torch.full((1, 1, 1), 2))
    assert value.item() == pytest.approx(-math.log(0.1), rel=1e-6)


@pytest.mark.parametrize('tau', [0.5, 1.0])
def test_equals_the_formula(frequency_file, batch, tau):
    logits, labels = batch
    loss = LogitAdjustedCrossEntropyLoss(
        frequency_file=frequency_file, tau=tau, avg_non_ignore=True, loss_weight=2.0
    )
    total, count = 0.0, 0
    for image, label in zip(logits.double().detach(), labels, strict=True):
        for row in range(4):
            for column in range(5):
                y = int(label[row, column])
                if y == 255:
                    continue
                shifted = [
                    float(image[c, row, column]) + tau * math.log(PIXELS[c] / 1000)
                    for c in range(3)
                ]
                total += math.log(sum(map(math.exp, shifted))) - shifted[y]
                count += 1
    value = loss(logits, labels, ignore_index=255)
    assert value.item() == pytest.approx(2 * total / count, rel=1e-5)


def test_tau_zero_is_the_stock_loss(frequency_file, batch):
    logits, labels = batch
    ours = LogitAdjustedCrossEntropyLoss(frequency_file=frequency_file, tau=0)
    settings = dict(weight=torch.rand(labels.shape), ignore_index=255)
    torch.testing.assert_close(
        ours(logits, labels, **settings), CrossEntropyLoss()(logits, labels, **settings)
    )


def test_rare_classes_get_larger_gradients(frequency_file, batch):
    logits, _ = batch
    rare = torch.full((2, 4, 5), 2)
    (plain,) = torch.autograd.grad(CrossEntropyLoss()(logits, rare), logits)
    ours = LogitAdjustedCrossEntropyLoss(frequency_file=frequency_file)
    (adjusted,) = torch.autograd.grad(ours(logits, rare), logits)
    assert (adjusted[:, 2].abs() > plain[:, 2].abs()).all()


def test_head_predicts_with_raw_logits_and_stock_checkpoint(frequency_file):
    head = dict(
        type='FCNHead', in_channels=4, channels=4, num_classes=3, num_convs=1, dropout_ratio=0,
        norm_cfg=dict(type='BN'),
    )  # fmt: skip
    torch.manual_seed(0)
    stock = MODELS.build(head)
    loss = dict(type='LogitAdjustedCrossEntropyLoss', frequency_file=frequency_file)
    ours = MODELS.build(dict(head, loss_decode=loss))
    ours.load_state_dict(stock.state_dict())
    features, metas = [torch.randn(1, 4, 6, 6)], [dict(img_shape=(6, 6))]
    expected = stock.eval().predict(features, metas, {})
    assert torch.equal(ours.eval().predict(features, metas, {}), expected)


def test_bad_settings(frequency_file, tmp_path):
    build = LogitAdjustedCrossEntropyLoss
    with pytest.raises(ValueError, match=r'LogitAdjustedCrossEntropyLoss\.tau: .* got -1'):
        build(frequency_file=frequency_file, tau=-1)
    with pytest.raises(ValueError, match=r'use_sigmoid: expected a softmax loss'):
        build(frequency_file=frequency_file, use_sigmoid=True)
    with pytest.raises(FileNotFoundError, match=r'Loss\.frequency_file: .*paco-seg statistics'):
        build(frequency_file=str(tmp_path / 'none.json'))
    absent = tmp_path / 'absent.json'
    save_class_frequency(ClassFrequency(('a', 'b'), (9, 0), (5, 0), 10), absent)
    with pytest.raises(
        ValueError, match=r"Loss\.frequency_file: .* got none of \['b'\] in .*absent"
    ):
        build(frequency_file=str(absent))
    images = tmp_path / 'images.json'
    images.write_text('[1, 2, 3]')
    with pytest.raises(ValueError, match=r"expected 'pixels' counts, got .*images\.json without"):
        build(frequency_file=str(images))


def test_file_of_another_number_of_classes(frequency_file):
    loss = LogitAdjustedCrossEntropyLoss(frequency_file=frequency_file)
    with pytest.raises(ValueError, match='expected 4 classes as num_classes of the head, got 3'):
        loss(torch.zeros(1, 4, 2, 2), torch.zeros(1, 2, 2, dtype=torch.long))


@pytest.mark.parametrize('names', [('b', 'a', 'c'), ('a', 'b', 'x'), ('a', 'b')])
def test_permuted_or_foreign_classes_are_refused(frequency_file, names):
    loss = LogitAdjustedCrossEntropyLoss(frequency_file=frequency_file)
    loss.check_class_names(['a', 'b', 'c'])
    with pytest.raises(ValueError, match=r'Loss\.frequency_file: expected .* as in the dataset'):
        loss.check_class_names(names)


@pytest.mark.parametrize('tau', [float('inf'), float('nan'), True, '1'])
def test_tau_that_is_no_finite_number(frequency_file, tau):
    with pytest.raises((TypeError, ValueError), match=r'Loss\.tau: expected'):
        LogitAdjustedCrossEntropyLoss(frequency_file=frequency_file, tau=tau)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_the_prior_is_added_to_half_logits_in_float32(frequency_file, batch, dtype):
    half = 4 * batch[0].detach()
    half = half.to(dtype)
    loss = LogitAdjustedCrossEntropyLoss(frequency_file=frequency_file)
    expected = loss(half.float(), batch[1], ignore_index=255)
    torch.testing.assert_close(loss(half, batch[1], ignore_index=255), expected)
