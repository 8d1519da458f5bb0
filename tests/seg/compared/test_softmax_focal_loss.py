import pytest
import torch
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from references.focal import focal_values

import paco_seg.seg  # noqa: F401


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 3, (2, 4, 5), generator=generator)
    labels[0, 0, :3] = 255
    return logits, labels


def build(**settings):
    return MODELS.build(dict(type='SoftmaxFocalLoss', **settings))


@pytest.mark.parametrize(
    'settings',
    [{}, dict(avg_non_ignore=True), dict(class_weight=[1.0, 2.0, 0.5]), dict(reduction='sum')],
)
def test_without_focus_it_is_the_stock_loss(batch, settings):
    stock = CrossEntropyLoss(loss_weight=0.4, **settings)(*batch, ignore_index=255)
    ours = build(gamma=0.0, loss_weight=0.4, **settings)(*batch, ignore_index=255)
    torch.testing.assert_close(ours, stock)


def test_weights_of_a_sampler_and_the_reduction_of_a_caller(batch):
    weight = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(1))
    stock = CrossEntropyLoss()(*batch, weight=weight, ignore_index=255)
    torch.testing.assert_close(build(gamma=0.0)(*batch, weight=weight, ignore_index=255), stock)
    values = build()(*batch, ignore_index=255, reduction_override='none')
    assert values.shape == (2, 4, 5)


def test_equals_the_reference(batch):
    logits, labels = batch
    rows = logits.permute(0, 2, 3, 1).reshape(-1, 3).double().tolist()
    wanted = focal_values(rows, labels.flatten().tolist(), 2.0, ignore_index=255)
    found = build(avg_non_ignore=True)(logits, labels, ignore_index=255)
    assert found.item() == pytest.approx(sum(wanted) / int((labels != 255).sum()), rel=1e-5)


@pytest.mark.parametrize('loss', [dict(type='SoftmaxFocalLoss'), dict(type='PixelSeesawLoss')])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
# 90 000 weights of 1 do not sum up in float16, and it has no 1e5.
@pytest.mark.parametrize('weights', [[1.0, 1.0], [0.0123, 3.77], [0.5, 1e5]])
def test_class_weights_keep_precision_and_range_beside_half_logits(loss, dtype, weights):
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(1, 2, 300, 300, generator=generator).to(dtype)
    labels = torch.randint(0, 2, (1, 300, 300), generator=generator)
    half, wide = (
        MODELS.build(dict(class_weight=weights, **loss))(values, labels, ignore_index=255)
        for values in (logits, logits.float())
    )
    torch.testing.assert_close(half, wide)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [(dict(gamma=-1.0), r'gamma: expected'), (dict(use_sigmoid=True), 'expected a softmax loss')],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
