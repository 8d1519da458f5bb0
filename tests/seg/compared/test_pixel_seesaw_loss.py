"""PixelSeesawLoss: its mean, its counts, and what becomes of them."""

import copy

import pytest
import torch
from mmengine.logging import MessageHub
from mmengine.model import ExponentialMovingAverage
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS
from references.seesaw import seesaw_values
from torch import nn

import paco_seg.seg  # noqa: F401


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(2, 3, 4, 5, generator=generator)
    labels = torch.randint(0, 2, (2, 4, 5), generator=generator)  # class 2 never occurs
    labels[0, 0, :3] = 255
    return logits, labels


@pytest.fixture
def hub():
    return MessageHub.get_instance(f'seesaw-{torch.rand(()).item()}')


def build(**settings):
    return MODELS.build(dict(type='PixelSeesawLoss', **settings))


@pytest.mark.parametrize(
    'settings',
    [{}, dict(avg_non_ignore=True), dict(class_weight=[1.0, 2.0, 0.5]), dict(reduction='sum')],
)
def test_without_exponents_it_is_the_stock_loss(batch, settings):
    stock = CrossEntropyLoss(loss_weight=0.4, **settings)(*batch, ignore_index=255)
    ours = build(p=0.0, q=0.0, loss_weight=0.4, **settings)(*batch, ignore_index=255)
    torch.testing.assert_close(ours, stock)


def test_equals_the_reference_with_the_counts_of_two_batches(batch, hub):
    logits, labels = batch
    loss = build(avg_non_ignore=True)
    loss(logits, labels.flip(0), ignore_index=255)
    found = loss(logits, labels, ignore_index=255)
    counts = [2 * int((labels == c).sum()) for c in range(3)]
    assert loss.class_counts.tolist() == counts
    rows = logits.permute(0, 2, 3, 1).reshape(-1, 3).double().tolist()
    wanted = seesaw_values(rows, labels.flatten().tolist(), counts, 0.8, 2.0, ignore_index=255)
    assert found.item() == pytest.approx(sum(wanted) / int((labels != 255).sum()), rel=1e-5)
    by_image = build(count_by='images')
    by_image(logits, labels, ignore_index=255)
    assert by_image.class_counts.tolist() == [2, 2, 0]


def test_seesaw_counts_are_of_the_training_alone_and_in_no_state_dict(batch):
    loss = build()
    loss(*batch, ignore_index=255)
    before = loss.class_counts.clone()
    loss.eval()(*batch, ignore_index=255)
    assert torch.equal(loss.class_counts, before)
    assert loss.class_counts.dtype == torch.float64
    assert loss.state_dict() == {}


def test_an_average_of_the_model_goes_along(batch):
    """EMAHook copies the model before its first step, and pairs the buffers by their order."""
    model = nn.Sequential(build(), nn.BatchNorm2d(3))
    average = ExponentialMovingAverage(model, update_buffers=True)
    model[0](model[1](batch[0]), batch[1], ignore_index=255)
    average.update_parameters(model)
    assert torch.equal(average.module[1].running_mean, model[1].running_mean)


def test_seesaw_counts_go_on_after_a_resume(batch, hub):
    heads = [build(), build(count_by='images')]
    for loss in heads:
        loss(*batch, ignore_index=255)
    state = copy.deepcopy(hub.state_dict())
    for loss in heads:
        loss(*batch, ignore_index=255)
    other = MessageHub.get_instance(f'{hub.instance_name}-resumed')
    other.load_state_dict(state)
    resumed = [build(), build(count_by='images')]
    for loss, uninterrupted in zip(resumed, heads, strict=True):
        loss(*batch, ignore_index=255)
        assert torch.equal(loss.class_counts, uninterrupted.class_counts)


def test_a_batch_that_is_ignored_gives_zero(batch):
    logits = batch[0].requires_grad_()
    loss = build()(logits, torch.full_like(batch[1], 255), ignore_index=255)
    loss.backward()
    assert loss.item() == 0
    assert (logits.grad == 0).all()


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(p=-1.0), r'PixelSeesawLoss\.p: expected'),
        (dict(q=-1.0), r'PixelSeesawLoss\.q: expected'),
        (dict(eps=0.0), r'PixelSeesawLoss\.eps: expected'),
        (dict(count_by='area'), r"PixelSeesawLoss\.count_by: expected one of 'pixels', 'images'"),
        (dict(use_sigmoid=True), 'expected a softmax loss'),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        build(**settings)
