from __future__ import annotations

import pytest
import torch
from helpers.contrastive import batch, build_classifier, samples
from mmengine.dataset import default_collate, pseudo_collate
from mmpretrain.engine.hooks.precise_bn_hook import update_bn_stats
from mmpretrain.registry import MODELS, TRANSFORMS
from torch.utils.data import DataLoader

NORMALISE = dict(mean=[100.0, 110.0, 120.0], std=[50.0, 60.0, 70.0], to_rgb=True)


def build(num_views=2, **settings):
    return MODELS.build(
        dict(type='MultiViewClsDataPreprocessor', num_views=num_views, **NORMALISE, **settings)
    )


def stock():
    return MODELS.build(dict(type='ClsDataPreprocessor', **NORMALISE))


@pytest.mark.parametrize('collate', [pseudo_collate, default_collate])
def test_each_view_is_what_the_stock_class_makes_of_it(collate):
    """Through MMPretrain's own MultiView and PackInputs."""
    pipeline = [
        TRANSFORMS.build(
            dict(
                type='MultiView',
                num_views=[1, 1],
                transforms=[
                    [dict(type='RandomFlip', prob=0.0, direction='horizontal')],
                    [dict(type='RandomFlip', prob=1.0, direction='horizontal')],
                ],
            )
        ),
        TRANSFORMS.build(dict(type='PackInputs')),
    ]
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (3, 6, 6, 3), generator=generator, dtype=torch.uint8)
    packed = []
    for label, image in enumerate(images):
        results = dict(img=image.numpy(), gt_label=label, img_shape=(6, 6))
        for transform in pipeline:
            results = transform(results)
        packed.append(results)
    data = build()(collate(packed), training=True)
    plain = images.permute(0, 3, 1, 2)
    for view, inputs in zip(data['inputs'], (plain, plain.flip(-1)), strict=True):
        torch.testing.assert_close(view, stock()(dict(inputs=inputs))['inputs'])
    assert [int(sample.gt_label) for sample in data['data_samples']] == [0, 1, 2]


def test_mixing_that_is_switched_on_later_is_refused():
    preprocessor = build(batch_augments=dict(augments=[dict(type='Mixup', alpha=0.8)]))
    with pytest.raises(ValueError, match=r'^model\.train_cfg\.augments: expected none with 2 vi'):
        preprocessor(batch([0, 1]), training=True)


def test_views_may_differ_in_size():
    data = batch([0, 1])
    data['inputs'][1] = tuple(image[:, :4, :4] for image in data['inputs'][1])
    first, second = build()(data, training=True)['inputs']
    assert first.shape == (2, 3, 8, 8)
    assert second.shape == (2, 3, 4, 4)


@pytest.mark.parametrize('training', [True, False])
def test_one_view_is_an_ordinary_batch(training):
    data = batch([0, 1], views=1)
    found = build(num_views=1)(data, training)['inputs']
    torch.testing.assert_close(found, stock()(batch([0, 1], views=1), training)['inputs'])
    stacked = dict(inputs=torch.stack(data['inputs']), data_samples=samples([0, 1]))
    torch.testing.assert_close(build(num_views=1)(stacked, training)['inputs'], found)


def test_evaluation_has_one_view_whatever_training_has():
    assert build(num_views=2)(batch([0, 1], views=1))['inputs'].shape == (2, 3, 8, 8)


class TestErrors:
    def test_two_views_configured_but_one_in_the_batch(self):
        with pytest.raises(
            ValueError,
            match=r'^data_preprocessor.num_views: expected 2 views of each image in training, '
            r'got 1. Give MultiView 2 views \(num_views=\[1, 1\]\), or set .*num_views=1',
        ):
            build()(batch([0, 1], views=1), training=True)

    def test_another_number_of_views(self):
        with pytest.raises(ValueError, match='expected 2 views of each image in training, got 3'):
            build()(batch([0, 1], views=3), training=True)

    def test_two_views_in_evaluation(self):
        with pytest.raises(ValueError, match=r'in evaluation, got 2. Leave MultiView out'):
            build().eval()(batch([0, 1]))

    def test_no_view(self):
        with pytest.raises(ValueError, match='num_views: expected >= 1, got 0'):
            build(num_views=0)
        with pytest.raises(TypeError, match=r'num_views: expected an integer, got 1\.5'):
            build(num_views=1.5)


@pytest.mark.parametrize('kind', ['GPaCo', 'PaCo'])
def test_precise_statistics_of_batch_norm_are_those_of_all_views(kind):
    """MMPretrain's PreciseBNHook hands training batches over as if they were for a test."""
    model = build_classifier(kind)
    model.data_preprocessor = build().train()
    data = batch([0, 1, 2, 3])
    images = [tuple(views) for views in zip(*data['inputs'], strict=True)]
    packed = [
        dict(inputs=list(views), data_samples=sample)
        for views, sample in zip(images, data['data_samples'], strict=True)
    ]
    loader = DataLoader(packed, batch_size=4, collate_fn=pseudo_collate)
    update_bn_stats(model, loader, 4, logger='silent')
    views = torch.cat(build()(data, training=True)['inputs'])
    maps = model.backbone.conv1(views).detach()
    norm = model.backbone.bn1
    torch.testing.assert_close(norm.running_mean, maps.mean((0, 2, 3)))
    torch.testing.assert_close(norm.running_var, maps.var((0, 2, 3)))
    # A test, whose model is not in training mode, has one view.
    with pytest.raises(ValueError, match='expected 1 views of each image in evaluation, got 2'):
        model.eval().data_preprocessor(data, False)
