from __future__ import annotations

import copy
from types import SimpleNamespace

import pytest
import torch
from helpers.contrastive import (
    COUNTS,
    batch,
    build_classifier,
    classifier_config,
    samples,
    views,
)
from mmengine.model import revert_sync_batchnorm
from mmengine.optim import OptimWrapper
from mmengine.runner.amp import autocast
from mmpretrain.registry import MODELS

from paco_seg.engine.hooks import CheckpointMatchHook


def loss_of(model, labels=(0, 1, 1, 3), seed=0):
    return model.loss(views(labels, seed), samples(labels))['loss']


def batch_norms(model):
    return [module for module in model.modules() if isinstance(module, torch.nn.BatchNorm2d)]


class TestPasses:
    def test_each_view_has_its_own_statistics(self):
        model, twin = build_classifier(), build_classifier()
        one, two = views()
        loss = model.loss([one, two], samples([0, 1, 1, 3]))['loss']
        feats = torch.cat([twin.extract_feat(one)[-1], twin.extract_feat(two)[-1]])
        assert torch.equal(loss, twin.head.loss((feats,), samples([0, 1, 1, 3]), 2)['loss'])
        assert all(int(layer.num_batches_tracked) == 2 for layer in batch_norms(model))

    def test_views_of_two_sizes_do_not_pass_together(self):
        one, two = views()
        model = build_classifier()
        model.joint_pass = True
        with pytest.raises(ValueError, match=r'^model\.joint_pass: expected views of one size'):
            model.loss([one, two[..., :4]], samples([0, 1, 1, 3]))

    def test_joint_pass_is_a_switch(self):
        with pytest.raises(TypeError, match=r"model\.joint_pass: expected True .* got 'no'$"):
            MODELS.build(classifier_config('GPaCo') | dict(joint_pass='no'))

    def test_joint_pass_has_one_set_of_statistics(self):
        config = classifier_config()
        model = MODELS.build({**config, 'joint_pass': True}).train()
        loss_of(model)
        assert all(int(layer.num_batches_tracked) == 1 for layer in batch_norms(model))

    def test_joint_pass_is_the_same_where_nothing_is_normalised_over_the_batch(self):
        model = build_classifier()
        for layer in batch_norms(model):
            layer.eval()
        joint = copy.deepcopy(model)
        joint.joint_pass = True
        torch.testing.assert_close(loss_of(model), loss_of(joint))
        torch.testing.assert_close(model.head.queue.keys, joint.head.queue.keys)

    def test_single_view(self):
        model = build_classifier()
        (image, _), labels = views(), [0, 1, 1, 3]
        model.loss(image, samples(labels))
        assert model.head.queue.labels[:5].tolist() == [*labels, -1]

    def test_another_head_is_trained_on_all_views(self):
        config = classifier_config()
        config['head'] = dict(
            type='LinearClsHead',
            num_classes=5,
            in_channels=16,
            loss=dict(type='BalancedSoftmaxLoss', class_prior=COUNTS),
        )
        model = MODELS.build(config).train()
        twin = copy.deepcopy(model)
        one, two = views()
        feats = torch.cat([twin.extract_feat(view)[-1] for view in (one, two)])
        expected = twin.head.loss((feats,), samples([0, 1, 1, 3] * 2))['loss']
        assert torch.equal(model.loss([one, two], samples([0, 1, 1, 3]))['loss'], expected)


class TestTraining:
    def test_learns(self):
        model = build_classifier()
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.05))
        losses = [model.train_step(batch([0, 1, 1, 3]), wrapper)['loss'].item() for _ in range(20)]
        assert losses[-1] < 0.7 * losses[0]

    @pytest.mark.parametrize('kind', ['GPaCo', 'PaCo'])
    def test_gradient_accumulation_enqueues_every_micro_step(self, kind):
        model = build_classifier(kind)
        start = model.head.fc.weight.detach().clone()
        twin = copy.deepcopy(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        wrapper = OptimWrapper(optimizer, accumulative_counts=2)
        for index in range(2):
            model.train_step(batch([0, 1, 1, 3], seed=index), wrapper)
        assert int(model.head.queue.position) == 8
        for index in range(2):
            data = twin.data_preprocessor(batch([0, 1, 1, 3], seed=index), True)
            twin.loss(**data)['loss'].backward()
        total = twin.head.fc.weight.grad / 2
        torch.testing.assert_close(model.head.fc.weight.data, start - 0.1 * total)

    @pytest.mark.parametrize('kind', ['GPaCo', 'PaCo'])
    def test_bfloat16_autocast(self, kind):
        class CPUAmp(OptimWrapper):
            def optim_context(self, model):
                return autocast(device_type='cpu', dtype=torch.bfloat16)

        model, twin = build_classifier(kind), build_classifier(kind)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        half = model.train_step(batch([0, 1, 1, 3]), CPUAmp(optimizer))['loss']
        full = twin.train_step(
            batch([0, 1, 1, 3]), OptimWrapper(torch.optim.SGD(twin.parameters(), lr=0.1))
        )['loss']
        assert half.dtype == torch.float32
        assert half.item() == pytest.approx(full.item(), rel=0.02)
        assert model.head.queue.keys.dtype == torch.float32
        lengths = model.head.queue.keys[:4].norm(dim=1)
        torch.testing.assert_close(lengths, torch.ones(4))

    @pytest.mark.parametrize(
        ('backbone', 'neck', 'channels'),
        [
            (
                dict(
                    type='VisionTransformer',
                    arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8),
                    img_size=32,
                    patch_size=16,
                    out_type='avg_featmap',
                ),
                None,
                8,
            ),
            (
                dict(
                    type='SwinTransformer',
                    arch=dict(embed_dims=8, depths=[1, 1], num_heads=[1, 1]),
                    out_indices=(1,),
                    img_size=32,
                    window_size=4,
                ),
                dict(type='GlobalAveragePooling'),
                16,
            ),
            (
                dict(
                    type='ConvNeXt',
                    arch=dict(depths=[1, 1, 1, 1], channels=[4, 4, 8, 8]),
                    gap_before_final_norm=True,
                ),
                None,
                8,
            ),
            (
                dict(
                    type='ResNet',
                    depth=18,
                    stem_channels=4,
                    base_channels=4,
                    num_stages=2,
                    strides=(1, 2),
                    dilations=(1, 1),
                    out_indices=(0, 1),
                    norm_cfg=dict(type='SyncBN'),
                ),
                dict(type='GlobalAveragePooling'),
                8,
            ),
        ],
        ids=['vit', 'swin', 'convnext', 'resnet'],
    )
    def test_backbones(self, backbone, neck, channels):
        config = classifier_config(in_channels=channels) | dict(backbone=backbone, neck=neck)
        model = revert_sync_batchnorm(MODELS.build(config)).train()
        data = model.data_preprocessor(batch([0, 1, 1, 3], size=32), True)
        model.loss(**data)['loss'].backward()
        without = [name for name, each in model.named_parameters() if each.grad is None]
        assert without == []
        data = batch([0, 1], views=1, size=32)
        assert len(model.eval().val_step(data)) == 2


class TestCheckpoints:
    def stock(self):
        config = classifier_config()
        config['head'] = dict(type='LinearClsHead', num_classes=5, in_channels=16)
        return MODELS.build({**config, 'type': 'ImageClassifier'})

    def test_a_stock_checkpoint_lacks_projector_and_queue_only(self):
        result = build_classifier().load_state_dict(self.stock().state_dict(), strict=False)
        assert {'.'.join(key.split('.')[:2]) for key in result.missing_keys} == {
            'head.projector',
            'head.queue',
        }
        assert result.unexpected_keys == []

    def test_a_test_accepts_it_and_predicts_the_same(self):
        stock, model = self.stock().eval(), build_classifier().eval()
        runner = SimpleNamespace(model=model, hooks=[])
        CheckpointMatchHook('inference').after_load_checkpoint(runner, stock.state_dict())
        model.load_state_dict(stock.state_dict(), strict=False)
        image = views()[0]
        for one, two in zip(stock.predict(image), model.predict(image), strict=True):
            assert torch.equal(one.pred_score, two.pred_score)


class TestErrors:
    @pytest.mark.parametrize('where', ['train_cfg', 'data_preprocessor'])
    def test_mixup(self, where):
        augments = dict(augments=[dict(type='Mixup', alpha=0.8), dict(type='CutMix', alpha=1.0)])
        config = classifier_config()
        config |= (
            dict(train_cfg=augments)
            if where == 'train_cfg'
            else dict(data_preprocessor=dict(num_classes=5, batch_augments=augments))
        )
        with pytest.raises(
            ValueError,
            match=r'^model\.train_cfg\.augments: expected none with GPaCoClsHead, got '
            r"\['Mixup', 'CutMix'\].*set model.train_cfg=None",
        ):
            MODELS.build(config)

    @pytest.mark.parametrize('where', ['train_cfg', 'data_preprocessor'])
    def test_mixup_of_several_views_with_any_head(self, where):
        """Only view 1 would be mixed, and the other views would take its labels."""
        head = dict(
            type='LinearClsHead',
            num_classes=5,
            in_channels=16,
            loss=dict(type='CrossEntropyLoss', use_soft=True),
        )
        augments = dict(augments=dict(type='Mixup', alpha=0.8))

        def build(num_views):
            config = classifier_config() | dict(head=head)
            preprocessor = dict(num_classes=5, num_views=num_views)
            if where == 'train_cfg':
                return MODELS.build(
                    config | dict(train_cfg=augments, data_preprocessor=preprocessor)
                )
            return MODELS.build(
                config | dict(data_preprocessor=preprocessor | dict(batch_augments=augments))
            )

        with pytest.raises(
            ValueError,
            match=r'^model\.train_cfg\.augments: expected none with '
            r"data_preprocessor\.num_views=2, got \['Mixup'\].*set model\.train_cfg=None",
        ):
            build(num_views=2)
        model = build(num_views=1).train()
        data = model.data_preprocessor(batch([0, 1], views=1), True)
        assert torch.isfinite(model.loss(**data)['loss'])

    def test_head_of_paco(self):
        with pytest.raises(TypeError, match=r'^model\.type: expected PaCoClassifier'):
            MODELS.build({**classifier_config('PaCo'), 'type': 'GPaCoClassifier'})

    @pytest.mark.parametrize('joint_pass', [False, True])
    def test_a_backbone_with_two_tokens(self, joint_pass):
        backbone = dict(
            type='DistilledVisionTransformer',
            arch=dict(embed_dims=8, num_layers=1, num_heads=2, feedforward_channels=8),
            img_size=32,
            patch_size=16,
        )
        config = classifier_config(in_channels=8) | dict(backbone=backbone, neck=None)
        model = MODELS.build(config | dict(joint_pass=joint_pass)).train()
        with pytest.raises(
            TypeError,
            match=r'^model\.backbone: expected one tensor per stage, got a tuple of 2 .* Use '
            r"type='VisionTransformer'",
        ):
            model.loss(views(size=32), samples([0, 1, 1, 3]))

    def test_one_view_where_two_are_configured(self):
        model = build_classifier()
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1))
        with pytest.raises(ValueError, match='expected 2 views of each image in training, got 1'):
            model.train_step(batch([0, 1], views=1), wrapper)


def test_two_processes_have_one_queue(two_ranks):
    """3 images on each of 2 ranks, 16 slots, 4 steps: the ring wraps in the middle of a step."""
    first, second = (results['GPaCo'] for results in two_ranks)
    own = ('running_mean', 'running_var')  # of each process, as in the authors' code
    for key, value in first.items():
        assert key.endswith(own) or torch.equal(value, second[key]), key
    written = [label for step in range(4) for rank in (0, 1) for label in (step % 5, 2 * rank, 4)]
    slots = [0] * 16
    for index, label in enumerate(written):
        slots[index % 16] = label
    assert first['head.queue.labels'].tolist() == slots
    assert int(first['head.queue.position']) == 24 % 16
