from __future__ import annotations

import copy

import pytest
import torch
from helpers.contrastive import batch, build_classifier, classifier_config, samples, views
from mmengine.optim import OptimWrapper
from mmpretrain.registry import MODELS

LABELS = [0, 1, 1, 3]


class TestStep:
    def test_keys_come_from_the_updated_momentum_encoder(self):
        model = build_classifier('PaCo')
        queries, keys = views()
        model.loss([queries, keys], samples(LABELS))  # the first update copies
        with torch.no_grad():
            for parameter in model.backbone.parameters():
                parameter.add_(0.1)
        twin = copy.deepcopy(model)
        model.loss([queries, keys], samples(LABELS))

        encoder = twin.momentum_encoder
        for name in ('backbone', 'projector'):
            source = twin.head.projector if name == 'projector' else twin.backbone
            for mine, theirs in zip(
                encoder.get_submodule(name).parameters(), source.parameters(), strict=True
            ):
                mine.data = 0.999 * mine.data + 0.001 * theirs.data
        features = twin.neck(encoder.get_submodule('backbone')(keys))[-1]
        expected = twin.head.embed(features, encoder.get_submodule('projector'))
        torch.testing.assert_close(model.head.queue.keys[4:8], expected)
        assert model.head.queue.labels[:9].tolist() == [*LABELS, *LABELS, -1]

    def test_anchors_are_the_queries_only(self):
        model = build_classifier('PaCo')
        queries, keys = (view.requires_grad_() for view in views())
        model.loss([queries, keys], samples(LABELS))['loss'].backward()
        assert bool((queries.grad.flatten(1).abs().sum(dim=1) > 0).all())
        assert keys.grad is None

    def test_each_encoder_has_its_own_statistics(self):
        model = build_classifier('PaCo')
        queries, keys = views()
        model.loss([queries, keys + 3], samples(LABELS))
        own = model.backbone.norm1 if hasattr(model.backbone, 'norm1') else model.backbone.bn1
        other = model.momentum_encoder.get_submodule('backbone').bn1
        assert int(own.num_batches_tracked) == int(other.num_batches_tracked) == 1
        assert not torch.allclose(own.running_mean, other.running_mean)

    def test_optimiser_moves_the_encoder_and_not_its_copy(self):
        model = build_classifier('PaCo')
        wrapper = OptimWrapper(torch.optim.SGD(model.parameters(), lr=0.1, weight_decay=0.1))
        model.momentum_encoder.momentum = 1.0  # stays what the first step makes it
        model.train_step(batch(LABELS), wrapper)
        before = copy.deepcopy(model.state_dict())
        model.train_step(batch(LABELS), wrapper)
        after = model.state_dict()
        for key, _ in model.named_parameters():
            moved = not torch.equal(before[key], after[key])
            assert moved != key.startswith('momentum_encoder.'), key

    def test_evaluation_changes_nothing(self):
        model = build_classifier('PaCo').eval()
        before = copy.deepcopy(model.state_dict())
        model.loss(views(), samples(LABELS))
        assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


class TestStateDict:
    def test_keys(self):
        parts = {'.'.join(key.split('.')[:2]) for key in build_classifier('PaCo').state_dict()}
        assert {part for part in parts if not part.startswith('backbone.')} == {
            'head.fc',
            'head.projector',
            'head.queue',
            'head.loss_module',
            'momentum_encoder.backbone',
            'momentum_encoder.projector',
            'momentum_encoder.updates',
        }

    def test_the_copy_starts_from_a_stock_checkpoint(self):
        config = classifier_config()
        config['head'] = dict(type='LinearClsHead', num_classes=5, in_channels=16)
        torch.manual_seed(7)
        stock = MODELS.build({**config, 'type': 'ImageClassifier'})
        model = build_classifier('PaCo')
        model.load_state_dict(stock.state_dict(), strict=False)
        model.loss(views(), samples(LABELS))
        for key, value in stock.backbone.named_parameters():
            assert torch.equal(model.momentum_encoder.get_parameter(f'backbone.{key}'), value)


class TestErrors:
    def test_one_view(self):
        with pytest.raises(
            ValueError,
            match=r'^data_preprocessor.num_views: expected 2 views \(query and key\) .* got 1',
        ):
            build_classifier('PaCo').loss(views()[0], samples(LABELS))

    @pytest.mark.parametrize('num_views', [1, 3])
    def test_another_number_of_views_is_configured(self, num_views):
        config = classifier_config('PaCo') | dict(data_preprocessor=dict(num_views=num_views))
        with pytest.raises(
            ValueError, match=rf'^data_preprocessor.num_views: expected 2 views .* got {num_views}'
        ):
            MODELS.build(config)

    def test_head_of_gpaco(self):
        with pytest.raises(TypeError, match=r"^model\.head\.type: expected 'PaCoClsHead', got"):
            MODELS.build({**classifier_config(), 'type': 'PaCoClassifier'})

    def test_mixup(self):
        config = classifier_config('PaCo') | dict(
            train_cfg=dict(augments=dict(type='Mixup', alpha=0.8)),
            data_preprocessor=dict(num_classes=5),
        )
        with pytest.raises(ValueError, match='expected none with PaCoClsHead'):
            MODELS.build(config)


@pytest.mark.parametrize('counts', [(4, 4), (3, 2)])
def test_shuffled_batch_norm(two_ranks, counts):
    for rank, results in enumerate(two_ranks):
        shuffled, alone, fixed, expected = results['keys', counts]
        assert shuffled.shape == (counts[rank], 6)
        # Each key is that of its own image ...
        torch.testing.assert_close(fixed, expected)
        # ... but normalised with images of the other rank.
        assert not torch.allclose(shuffled, alone, atol=1e-3)


def test_two_processes_have_one_queue_and_one_momentum_encoder(two_ranks):
    first, second = (results['PaCo'] for results in two_ranks)
    own = ('running_mean', 'running_var')
    for key, value in first.items():
        assert key.endswith(own) or torch.equal(value, second[key]), key
    assert int(first['momentum_encoder.updates']) == 4
    assert int(first['head.queue.position']) == 24 % 16
