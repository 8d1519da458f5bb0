"""The full Region Rebalance, which also biases the prediction."""

import copy
import json

import pytest
import torch
from helpers.head_zoo import NUM_CLASSES, ZOO, loss_arguments, make_inputs
from mmengine.registry import DefaultScope
from mmseg.registry import MODELS
from references import region as reference
from torch.nn import functional as F
from torch.testing import assert_close

import paco_seg.seg  # noqa: F401

pytestmark = pytest.mark.region_rebalance

LOSSES = {'loss_biased', 'loss_present', 'loss_predicted_region', 'loss_true_region'}


def build(name='FCNHead', **settings):
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmseg'):
        return MODELS.build(
            dict(
                type='RegionBiasDecodeHead',
                base_type=name,
                region_bias=settings,
                **copy.deepcopy(ZOO[name][0]),
            )
        )


@pytest.mark.parametrize('name', ['FCNHead', 'UPerHead', 'DepthwiseSeparableASPPHead', 'OCRHead'])
def test_trains_all_parts_beside_the_stock_losses(name):
    head = build(name)
    losses = head.loss(*loss_arguments(name))
    assert set(losses) >= LOSSES | {'loss_ce'}
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(p.grad is not None and p.grad.any() for p in head.region_bias.parameters())
    assert head.conv_seg.weight.grad.any()


def test_inference_adds_the_bias_of_the_image():
    head = build().eval()
    stock = MODELS.build(dict(type='FCNHead', **copy.deepcopy(ZOO['FCNHead'][0]))).eval()
    missing, unexpected = head.load_state_dict(stock.state_dict(), strict=False)
    assert not unexpected
    assert all(key.startswith('region_bias.') for key in missing)
    inputs = make_inputs('FCNHead')
    with torch.no_grad():
        difference = head(inputs) - stock(inputs)
        logits = stock(inputs)
        regions = reference.soft_region_means(
            stock._forward_feature(inputs).double().tolist(), logits.double().tolist()
        )
        biases = head.region_bias.classifier(torch.tensor(regions))[:, :, :NUM_CLASSES].mean(1)
    assert biases.abs().max() > 1e-3
    assert_close(difference, biases[:, :, None, None].expand_as(difference), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float64])
def test_weights_of_another_precision_without_autocast(dtype):
    head = build('FCNHead').to(dtype)
    inputs = [feature.to(dtype) for feature in make_inputs('FCNHead')]
    losses = head.loss(inputs, *loss_arguments('FCNHead')[1:])
    sum(value for key, value in losses.items() if 'loss' in key).backward()
    assert all(p.grad is not None for p in head.region_bias.parameters())
    assert head.eval()(inputs).isfinite().all()


def test_training_loss_of_the_stock_head_is_without_bias():
    head = build()
    stock = MODELS.build(dict(type='FCNHead', **copy.deepcopy(ZOO['FCNHead'][0])))
    stock.load_state_dict(
        {k: v for k, v in head.state_dict().items() if not k.startswith('region_bias.')}
    )
    results = []
    for module in (stock, head):
        torch.manual_seed(1)
        results.append(module.loss(*loss_arguments('FCNHead')))
    assert_close(results[1]['loss_ce'], results[0]['loss_ce'], rtol=0, atol=0)


def test_losses_equal_the_definition(tmp_path):
    path = tmp_path / 'frequency.json'
    counts = [50, 30, 20, 10, 1]
    names = list('abcde')
    path.write_text(json.dumps(dict(classes=names, images=counts, pixels=None, num_images=50)))
    head = build(
        frequency_file=str(path),
        label_smoothing=0.2,
        absent_weight=0.5,
        main_weight=2.0,
        region_weight=3.0,
        dropout_ratio=0.0,
    )
    head.dropout = None
    inputs, samples, train_cfg = loss_arguments('FCNHead')
    for sample in samples:  # class 4 only as absent class
        labels = sample.gt_sem_seg.data
        labels[labels == 4] = 255
    # In evaluation mode, so that the feature can be computed again with the same statistics.
    head.eval()
    losses = head.loss(inputs, samples, train_cfg)

    with torch.no_grad():
        features = head._forward_feature(inputs)
        logits = head.conv_seg(features)
        labels = torch.cat([sample.gt_sem_seg.data for sample in samples])
        soft = reference.soft_region_means(features.double().tolist(), logits.double().tolist())
        predicted = head.region_bias.classifier(torch.tensor(soft))
        bias = predicted[:, :, :NUM_CLASSES].mean(1)[:, :, None, None]
        full = F.interpolate(logits, size=labels.shape[1:], mode='bilinear') + bias
        present = torch.tensor(
            [[bool((one == c).any()) for c in range(NUM_CLASSES)] for one in labels]
        )
        prior = [count / sum(counts) for count in counts] + [1.0]
        small = F.interpolate(labels[:, None].float(), size=features.shape[2:]).squeeze(1).long()
        small[small == 255] = NUM_CLASSES
        true = reference.region_means(features.double().tolist(), small.tolist(), -1, False)
        true_losses = [
            reference.rebalanced_cross_entropy(
                head.region_bias.classifier(torch.tensor(mean)).tolist(), label, prior, 0.8
            )
            for (_, label), mean in true.items()
        ]
        masked = full * present[:, :, None, None]
    expected = {
        'loss_biased': 2.0 * F.cross_entropy(full, labels, ignore_index=255),
        'loss_present': 2.0 * F.cross_entropy(masked, labels, ignore_index=255),
        'loss_predicted_region': 3.0
        * reference.predicted_region_loss(
            predicted.tolist(), present.tolist(), prior, 0.8, absent_weight=0.5
        ),
        'loss_true_region': 3.0 * sum(true_losses) / len(true_losses),
    }
    for key, value in expected.items():
        assert_close(losses[key].item(), float(value), rtol=1e-4, atol=1e-5)


def test_without_weight_of_absence_the_ignored_region_is_dropped():
    """As released: there it bears the label of absence, which the option switches off."""
    losses = []
    for absent_weight in (0.0, 1.0):
        torch.manual_seed(0)
        head = build(absent_weight=absent_weight, dropout_ratio=0.0).eval()
        inputs, samples, train_cfg = loss_arguments('FCNHead')
        labels = torch.stack([sample.gt_sem_seg.data for sample in samples])
        generator = torch.Generator().manual_seed(2)
        ignore = torch.rand(labels.shape, generator=generator) < 0.3
        for sample, label, mask in zip(samples, labels, ignore, strict=True):
            sample.gt_sem_seg.data = label.masked_fill(mask, 255)
        seen = []
        head.region_bias.classifier.register_forward_hook(lambda *args, s=seen: s.append(args[2]))
        losses.append(head.loss(inputs, samples, train_cfg)['loss_true_region'])
        rows = seen[-1][0]  # of the true regions: the classes, then the ignored pixels
    targets = torch.arange(NUM_CLASSES + 1)
    found = torch.tensor(
        [any(bool((s.gt_sem_seg.data[0, ::8, ::8] == c).any()) for s in samples) for c in targets]
    )
    found[-1] = True
    each = F.cross_entropy(rows, targets, reduction='none')
    assert_close(losses[1], each[found].mean())
    found[-1] = False
    assert_close(losses[0], each[found].mean())


def test_all_ignored_gives_no_pixel_loss_and_finite_gradients():
    head = build(suppress_released=False)
    inputs, samples, train_cfg = loss_arguments('FCNHead')
    for sample in samples:
        sample.gt_sem_seg.data.fill_(255)
    losses = head.loss(inputs, samples, train_cfg)
    assert losses['loss_biased'].item() == losses['loss_present'].item() == 0.0
    sum(losses[key] for key in LOSSES).backward()
    assert all(torch.isfinite(p.grad).all() for p in head.region_bias.parameters())


def test_further_branches_work_beside_it():
    torch.manual_seed(0)
    arguments = copy.deepcopy(ZOO['FCNHead'][0])
    gpaco = dict(
        type='GPaCoBranch',
        projector=dict(out_channels=8),
        loss_contrast=dict(type='PixelGPaCoLoss', num_pixels=20),
    )
    head = MODELS.build(
        dict(
            type='RegionBiasDecodeHead',
            base_type='FCNHead',
            training_branches=dict(gpaco=gpaco),
            **arguments,
        )
    )
    assert set(head.loss(*loss_arguments('FCNHead'))) >= LOSSES | {'loss_gpaco', 'loss_ce'}


@pytest.mark.parametrize('name', ['IterativeDecodeHead', 'SegmenterMaskTransformerHead'])
def test_heads_that_do_not_predict_through_cls_seg_are_refused(name):
    with pytest.raises(ValueError, match=rf'base_type: .* got {name} .* RegionRebalanceBranch'):
        build(name)


def test_binary_heads_and_bad_settings_are_refused():
    with pytest.raises(ValueError, match='out_channels=1'):
        MODELS.build(
            dict(
                type='RegionBiasDecodeHead',
                base_type='FCNHead',
                out_channels=1,
                threshold=0.3,
                **dict(ZOO['FCNHead'][0], num_classes=2),
            )
        )
    for key in ('main_weight', 'region_weight', 'absent_weight', 'label_smoothing'):
        with pytest.raises(ValueError, match=rf'region_bias\.{key}: expected'):
            build(**{key: -1.0})
