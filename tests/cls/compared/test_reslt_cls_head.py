"""Checks 1 to 6 of the loss are in tests/core/compared/test_reslt.py; here the head."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import COUNTS, samples
from mmpretrain.registry import MODELS
from torch.testing import assert_close

from paco_seg.core.compared import fused_logits, tau_normalize

LABELS = [0, 1, 3, 4, 4, 2]


def build(loss=None, **settings):
    loss = dict(groups=(3, 2), alpha=0.9, class_counts=COUNTS) | (loss or {})
    settings = dict(num_classes=5, in_channels=4) | settings
    torch.manual_seed(0)
    head = MODELS.build(dict(type='ResLTClsHead', loss=loss, **settings))
    head.norm.running_mean.uniform_(-1, 1)
    head.norm.running_var.uniform_(0.5, 2)
    return head.double()


def maps(samples=6, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(samples, 4, 3, 5, generator=generator, dtype=torch.float64),)


def test_logits_by_hand():
    head = build().eval()
    (x,) = maps()
    weight = head.conv.weight[..., 0, 0]
    total = 0
    for branch in range(3):
        rows = slice(4 * branch, 4 * branch + 4)
        y = torch.einsum('nchw,dc->ndhw', x, weight[rows])
        norm = head.norm
        scale = (norm.weight / (norm.running_var + norm.eps).sqrt())[rows]
        shift = norm.bias[rows] - norm.running_mean[rows] * scale
        y = F.relu(y * scale[:, None, None] + shift[:, None, None]).mean((2, 3))
        total = total + y @ head.fc.weight.T + head.fc.bias
    assert_close(head((x,)), total)


def test_three_norms_on_one_map_for_cifar():
    head = build(branch='norm').train()
    (x,) = maps()
    singles = []
    for branch in range(3):
        rows = slice(4 * branch, 4 * branch + 4)
        norm = torch.nn.BatchNorm2d(4).double().train()
        norm.weight.data.copy_(head.norm.weight[rows])
        singles.append(norm(x).mean((2, 3)))
    assert_close(head.pre_logits((x,)), torch.stack(singles, dim=1))


@pytest.mark.parametrize('alpha', [0.0, 0.9, 1.0])
@pytest.mark.parametrize('groups', [(3, 2), (4, 0), (0, 0)])
def test_reslt_check_1_zero_logits_give_log_of_the_classes(alpha, groups):
    head = build(loss=dict(alpha=alpha, groups=groups))
    head.fc.weight.data.zero_()
    head.fc.bias.data.zero_()
    loss = head.loss(maps(), samples(LABELS))['loss']
    assert loss.item() == pytest.approx(math.log(5))


def test_reslt_check_2_alpha_zero_is_cross_entropy_of_the_sum():
    head = build(loss=dict(alpha=0.0)).train()
    loss = head.loss(maps(), samples(LABELS))['loss']
    assert_close(loss, F.cross_entropy(head(maps()), torch.tensor(LABELS)))


def test_reslt_check_3_head_samples_do_not_train_the_other_branches():
    head = build(loss=dict(alpha=1.0)).train()
    head.loss(maps(), samples([0, 1, 0, 1, 1, 0]))['loss'].backward()
    gradient = head.conv.weight.grad.flatten(1)
    assert gradient[:4].any()
    assert not gradient[4:].any()


def test_reslt_check_7_the_order_of_pooling_matters_only_with_a_relu():
    for branch, same in (('norm', True), ('conv', False)):
        one = build(branch=branch, test_gamma=0.0)
        other = build(branch=branch, test_gamma=0.0, test_pool_first=True)
        other.load_state_dict(one.state_dict())
        trained = one.eval()(maps())
        released = other.eval()(maps())
        assert torch.allclose(trained, released) == same
    # gamma = 0 and no bias: the logits of training mode, but for the statistics
    head = build(branch='norm', test_gamma=0.0)
    head.fc.bias.data.zero_()
    expected = head.eval()(maps())
    head.train()
    head.norm.eval()
    assert_close(head(maps()), expected)


def test_pool_first_holds_in_training_too():
    head = build(pool_first=True)
    head.norm.eval()
    pooled = (maps()[0].mean((2, 3), keepdim=True),)
    assert_close(head(maps()), head(pooled))
    assert_close(head.eval()(maps()), head(pooled))


def test_gamma_normalises_the_classifier_and_drops_the_bias_at_test_only():
    head = build(test_gamma=0.7).eval()
    features = head.pre_logits(maps())
    expected = (features @ tau_normalize(head.fc.weight, 0.7).T).sum(1)
    assert_close(head(maps()), expected)
    head.train()
    head.norm.eval()
    assert_close(head(maps()), head.fc(features).sum(1))


@pytest.mark.parametrize(('groups', 'used'), [((3, 2), 3), ((3, 0), 2), ((0, 0), 1)])
def test_branches_without_classes_do_not_predict(groups, used):
    head = build(loss=dict(groups=groups)).eval()
    assert head.loss_module.num_branches == used
    logits = head.branch_logits(maps())
    assert_close(head(maps()), fused_logits(logits, head.loss_module.group_masks()))


def test_groups_follow_the_counts_and_travel_with_the_checkpoint():
    head = build(loss=dict(class_counts='auto'))
    with pytest.raises(ValueError, match=r'loss\.class_counts: expected class counts'):
        head.loss(maps(), samples(LABELS))
    head.loss_module.class_counts.fill([5, 500, 20, 50, 100])  # rarest: 0, 2, then 3
    masks = [[1, 1, 1, 1, 1], [1, 0, 1, 1, 0], [1, 0, 1, 0, 0]]
    assert head.loss_module.group_masks().int().tolist() == masks
    other = build(loss=dict(class_counts='auto'))
    other.load_state_dict(head.state_dict())
    assert other.loss_module.group_masks().int().tolist() == masks


@pytest.mark.parametrize(
    ('loss', 'settings', 'message'),
    [
        (dict(groups=(6, 2)), {}, r'loss\.groups\[0\]: expected a value in \[0, 5\], got 6'),
        (dict(groups=(2, 3)), {}, r'loss\.groups\[1\]: expected a value in \[0, 2\], got 3'),
        (dict(groups=(2,)), {}, r'loss\.groups: expected two numbers of classes'),
        (dict(alpha=1.5), {}, r'loss\.alpha: expected a value in \[0, 1\]'),
        (dict(class_counts=[3, 1]), {}, r'loss\.class_counts: expected 5 values'),
        ({}, dict(branch='pool'), r"branch: expected one of 'conv', 'norm'"),
        ({}, dict(test_gamma=-1), r'test_gamma: expected >= 0'),
    ],
)
def test_settings_out_of_range(loss, settings, message):
    with pytest.raises(ValueError, match=r'^model\.head\.' + message):
        build(loss=loss, **settings)


def test_pooled_or_soft_input_is_refused():
    head = build()
    with pytest.raises(ValueError, match=r'expected a map \(N, 4, H, W\).*the head pools'):
        head((torch.zeros(2, 4),))
    with pytest.raises(ValueError, match=r'Set model\.head\.in_channels=7'):
        head((torch.zeros(2, 7, 2, 2),))
    soft = samples([0, 1])
    soft[0].set_gt_score(torch.tensor([0.5, 0.5, 0, 0, 0]))
    with pytest.raises(ValueError, match='expected hard labels'):
        head.loss((torch.zeros(2, 4, 2, 2).double(),), soft)


def test_pooled_features_are_a_map_of_one_place():
    head = build(pool_first=True).eval()
    (x,) = maps()
    assert_close(head((x.mean((2, 3)),)), head((x,)))
    with pytest.raises(ValueError, match=r'in_channels: expected a map .*Set model\.neck=None'):
        build()((x.mean((2, 3)),))
    with pytest.raises(TypeError, match=r'model\.backbone: expected one tensor per stage'):
        head(([x, x],))


def test_a_norm_that_mixes_the_branches_is_refused():
    with pytest.raises(ValueError, match=r'^model\.head\.norm_cfg: expected a BatchNorm, got'):
        MODELS.build(
            dict(
                type='ResLTClsHead', num_classes=5, in_channels=4,
                norm_cfg=dict(type='GN', num_groups=2), loss=dict(groups=(3, 2)),
            )
        )  # fmt: skip


def test_accuracy_of_the_summed_branches():
    head = build(cal_acc=True)
    losses = head.loss(maps(), samples(LABELS))
    right = (head(maps()).argmax(1) == torch.tensor(LABELS)).double().mean()
    assert float(losses['accuracy_top-1'][0]) == pytest.approx(100 * float(right))
