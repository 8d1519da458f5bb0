"""LIFT: what learns, what stays, and what the classifier starts from."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import class_means_of_part, samples
from mmengine.config import Config
from mmengine.runner import Runner
from mmpretrain.registry import MODELS
from torch.testing import assert_close

import paco_seg.cls  # noqa: F401

SIZES = dict(embed_dims=8, num_layers=2, num_heads=2, feedforward_channels=16)
VIT = dict(type='VisionTransformer', img_size=16, patch_size=8, arch=SIZES, out_type='cls_token')
PRIOR = [9, 5, 2, 1]
TRANSFORMER = """
custom_imports = dict(imports=['paco_seg.cls'])
train_cfg['max_epochs'] = 1
model['type'] = 'LIFTClassifier'
model['backbone'] = dict(
    type='VisionTransformer', img_size=16, patch_size=8, out_type='cls_token',
    arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=16))
model['neck'] = None
model['train_cfg'] = None
data_preprocessor['to_onehot'] = False
model['head'] = dict(type='LIFTClsHead', num_classes=4, in_channels=8)
"""


def build(backbone=VIT, **settings):
    torch.manual_seed(0)
    head = dict(type='LIFTClsHead', num_classes=4, in_channels=8, loss=dict(class_prior=PRIOR))
    head |= settings.pop('head', {})
    return MODELS.build(dict(type='LIFTClassifier', backbone=backbone, head=head, **settings))


@pytest.mark.parametrize(
    'backbone',
    [
        VIT,
        dict(VIT, type='DeiT3'),
        dict(VIT, type='ViTEVA02', drop_path_rate=0.5),
        dict(type='BEiTViT', img_size=16, patch_size=8, arch=SIZES),
    ],
    ids=lambda backbone: backbone['type'],
)
def test_lift_starts_as_the_frozen_transformer(backbone):
    model = build(backbone).train()
    stock = MODELS.build(dict(type='ImageClassifier', backbone=backbone)).eval()
    stock.backbone.load_state_dict(model.backbone.state_dict())  # the keys are the stock ones
    images = torch.randn(2, 3, 16, 16)
    features = stock.extract_feat(images)[-1]
    assert torch.equal(model.extract_feat(images)[-1], features)
    copied = copy.deepcopy(model)
    for adapter in model.adapters:
        torch.nn.init.normal_(adapter.up.weight)
    assert not torch.allclose(model.extract_feat(images)[-1], features)
    assert torch.equal(copied.extract_feat(images)[-1], features)  # with adapters of its own


def test_lift_adapts_what_the_mlp_sees():
    model = build().eval()
    for adapter in model.adapters:
        torch.nn.init.normal_(adapter.up.weight)
    block, adapter = model.backbone.layers[0], model.adapters[0]
    tokens = torch.randn(2, 5, 8)
    attended = tokens + block.attn(block.ln1(tokens))
    expected = block.ffn(block.ln2(attended), identity=attended) + adapter(attended)
    assert torch.equal(block(tokens), expected)


def test_lift_trains_adapters_and_head_only():
    model = build(adapter_width=3).train()
    for adapter in model.adapters:
        torch.nn.init.normal_(adapter.up.weight)
    model.loss(torch.randn(4, 3, 16, 16), samples([0, 1, 1, 3]))['loss'].backward()
    for name, parameter in model.named_parameters():
        learns = name.startswith(('adapters.', 'head.'))
        assert parameter.requires_grad == (parameter.grad is not None) == learns, name
    assert model.adapters[1].down.weight.shape == (3, 8)


def test_lift_logits_are_scaled_cosines_with_the_prior_in_training_only():
    head, features = build().head, torch.randn(4, 8)
    cosines = F.normalize(features) @ F.normalize(head.fc.weight).T
    assert_close(head((features,)), 25 * cosines)
    labels = torch.tensor([0, 1, 1, 3])
    loss = head.loss((features,), samples(labels.tolist()))['loss']
    prior = torch.tensor(PRIOR) / sum(PRIOR)
    assert_close(loss, F.cross_entropy(25 * cosines + prior.log(), labels))
    uniform = build(head=dict(loss=dict(class_prior=[3, 3, 3, 3]))).head
    uniform.load_state_dict(head.state_dict(), strict=False)
    plain = uniform.loss((features,), samples(labels.tolist()))['loss']
    assert_close(plain, F.cross_entropy(25 * cosines, labels))


def test_lift_starts_from_class_vectors_of_a_file(tmp_path):
    vectors = torch.randn(4, 8)
    torch.save(dict(class_vectors=vectors), tmp_path / 'text.pth')
    model = build(head=dict(start=str(tmp_path / 'text.pth')))
    model.init_weights()
    assert_close(model.head.fc.weight.data, F.normalize(vectors))
    torch.save(vectors[:3], tmp_path / 'text.pth')
    with pytest.raises(ValueError, match=r'^model\.head\.start: expected shape \(4, 8\)'):
        model.head.init_weights()
    torch.save(dict(vectors=vectors), tmp_path / 'text.pth')
    with pytest.raises(ValueError, match=r'^model\.head\.start: expected a tensor of class'):
        model.head.init_weights()


def test_lift_loads_the_transformer_from_a_file(tmp_path):
    weights = tmp_path / 'vit.pth'
    source = MODELS.build(dict(type='ImageClassifier', backbone=VIT))
    torch.save(dict(state_dict=source.state_dict()), weights)
    model = build(stage_one=str(weights))
    model.init_weights()
    for key, value in source.backbone.state_dict().items():
        assert torch.equal(model.backbone.state_dict()[key], value)
    assert not model.adapters[0].up.weight.any()
    with pytest.raises(TypeError, match=r'^model\.backbone\.type: expected .* got CIFARRes'):
        build(dict(type='CIFARResNet', depth=8))


def test_lift_rows_start_from_the_means_of_the_training_images(tiny_cls, tmp_path):
    cfg = Config.fromfile(tiny_cls(TRANSFORMER))
    cfg.custom_hooks = [dict(type='ClassCountHook'), dict(type='ClassMeanStartHook')]
    runner = Runner.from_cfg(cfg)
    runner.load_or_resume = lambda: None
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    model = runner.model
    (hook,) = (hook for hook in runner.hooks if type(hook).__name__ == 'ClassMeanStartHook')
    before = torch.get_rng_state()
    hook.before_train(runner)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    expected = torch.zeros(4, 8)
    plain = copy.deepcopy(cfg.train_dataloader.dataset)
    plain.pipeline = cfg.val_dataloader.dataset.pipeline
    from mmpretrain.registry import DATASETS

    model.eval()
    for sample in DATASETS.build(plain):
        data = model.data_preprocessor(
            dict(inputs=[sample['inputs']], data_samples=[sample['data_samples']])
        )
        row = model.extract_feat(data['inputs'])[-1][0]
        expected[int(sample['data_samples'].gt_label)] += F.normalize(row, dim=0).detach().cpu()
    rows = model.head.fc.weight.data.cpu().clone()
    assert_close(rows, F.normalize(expected))
    # a resumed training keeps what it has, and so does another start
    with torch.no_grad():
        model.head.fc.weight.zero_()
    model.head.start = None
    hook.before_train(runner)
    assert not model.head.fc.weight.any()
    model.head.start = 'class-mean'
    runner.train_loop._iter = 1
    hook.before_train(runner)
    assert not model.head.fc.weight.any()


def test_lift_class_means_of_two_ranks_are_those_of_all_images(two_ranks):
    for results in two_ranks:
        for found, expected in zip(results['class means'], class_means_of_part(), strict=True):
            assert_close(found, expected)
