from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import (
    COUNTS,
    build_head,
    golden_features,
    golden_head,
    golden_inputs,
    samples,
)
from mmpretrain.registry import MODELS
from mmpretrain.structures import DataSample


class TestGoldenValues:
    """The published values, through the whole head: projector, classifier, queue, loss."""

    @pytest.mark.parametrize(
        ('kind', 'views', 'loss', 'expected'),
        [
            ('GPaCo', 2, dict(alpha=0.05, class_prior=COUNTS), 6.21813),
            ('GPaCo', 2, dict(alpha=0.05, label_smoothing=0.1), 4.68984),
            ('GPaCo', 2, dict(alpha=0.2, label_smoothing=0.1), 4.55110),
            ('GPaCo', 1, dict(alpha=0.2, label_smoothing=0.1), 3.52689),
            ('MultiTaskSupCon', 2, dict(alpha=0.5, class_prior=COUNTS), 4.49076),
            ('MultiTaskSupCon', 2, dict(alpha=0.5), 3.66516),
        ],
    )
    def test_loss(self, kind, views, loss, expected):
        head = golden_head(kind, temperature=0.2, **loss)
        losses = head.loss(golden_features(views), samples(golden_inputs().labels), num_views=views)
        assert losses['loss'].item() == pytest.approx(expected, abs=6e-6)


class TestQueue:
    def test_receives_the_last_view(self):
        head = golden_head()
        g = golden_inputs()
        head.loss(golden_features(), samples(g.labels), num_views=2)
        torch.testing.assert_close(head.queue.keys, torch.cat([g.k, g.keys[4:]]))
        assert head.queue.labels.tolist() == [*g.labels.tolist(), *g.key_labels[4:].tolist()]

    def test_receives_the_only_view(self):
        head = golden_head()
        head.loss(golden_features(1), samples(golden_inputs().labels))
        torch.testing.assert_close(head.queue.keys[:4], golden_inputs().q)

    @pytest.mark.parametrize('count', [1, 3, 5, 7])
    def test_equals_a_ring_buffer_for_batches_that_do_not_divide_it(self, count):
        head = build_head(queue_size=7).train()
        slots, position, keys = [None] * 7, 0, torch.zeros(7, 6)
        for step in range(6):
            torch.manual_seed(step)
            features, labels = torch.randn(2 * count, 11), torch.randint(5, (count,))
            head.loss((features,), samples(labels), num_views=2)
            for row, label in zip(head.embed(features[count:]), labels, strict=True):
                slots[position], keys[position] = int(label), row.detach()
                position = (position + 1) % 7
            expected = [-1 if slot is None else slot for slot in slots]
            assert head.queue.labels.tolist() == expected
            assert int(head.queue.position) == position
            torch.testing.assert_close(head.queue.keys, keys)

    def test_is_left_alone_in_evaluation(self):
        head = golden_head().eval()
        before = head.queue.keys.clone()
        head.loss(golden_features(), samples(golden_inputs().labels), num_views=2)
        assert torch.equal(head.queue.keys, before)

    @pytest.mark.parametrize('kind', ['GPaCo', 'PaCo'])
    @pytest.mark.parametrize('value', [float('nan'), float('inf')])
    def test_a_key_that_is_not_finite_does_not_spoil_later_losses(self, kind, value):
        """A step that overflows is skipped by the loss scaler, but its keys would stay."""
        head = build_head(kind).train()
        features = torch.randn(8, 11, generator=torch.Generator().manual_seed(0))

        def loss(rows):
            if kind == 'GPaCo':
                return head.loss((rows,), samples([0, 1, 2, 3]), num_views=2)['loss']
            keys = F.normalize(rows[4:, :6])
            return head.loss((rows[:4],), samples([0, 1, 2, 3]), key_embeddings=keys)['loss']

        broken = features.clone()
        broken[5] = value
        loss(broken)
        assert head.queue.labels[:4].tolist() == [0, -1, 2, 3]
        assert bool(head.queue.keys.isfinite().all())
        result = loss(features)
        result.backward()
        assert torch.isfinite(result)
        assert bool(head.fc.weight.grad.isfinite().all())

    def test_takes_no_gradient_while_both_views_do(self):
        head = golden_head()
        features = golden_features()[0].requires_grad_()
        head.loss((features,), samples(golden_inputs().labels), num_views=2)['loss'].backward()
        assert not head.queue.keys.requires_grad
        assert bool((features.grad.abs().sum(dim=1) > 0).all())
        assert all(parameter.grad is not None for parameter in head.parameters())

    def test_smaller_than_a_batch(self):
        head = build_head(queue_size=3).train()
        with pytest.raises(
            ValueError, match=r'^model.head.queue_size: expected at least the 4 images .* got 3'
        ):
            head.loss((torch.randn(4, 11),), samples([0, 1, 2, 3]))

    def test_without_slots(self):
        with pytest.raises(ValueError, match='queue_size: expected >= 1, got 0'):
            build_head(queue_size=0)


class TestAgainstTheStockHead:
    stock = dict(type='LinearClsHead', num_classes=5, in_channels=11)

    def test_checkpoints_load_both_ways(self):
        stock, head = MODELS.build(self.stock), build_head(loss=dict(class_prior='auto'))
        result = head.load_state_dict(stock.state_dict(), strict=False)
        assert {key.split('.')[0] for key in result.missing_keys} == {'projector', 'queue'}
        assert result.unexpected_keys == []
        assert stock.load_state_dict(head.state_dict(), strict=False).missing_keys == []

    def test_prediction_is_the_same_and_ignores_the_prior(self):
        stock, head = MODELS.build(self.stock), build_head(loss=dict(class_prior=COUNTS))
        head.load_state_dict(stock.state_dict(), strict=False)
        features = (torch.randn(3, 11),)
        head.projector.register_forward_hook(lambda *_: pytest.fail('projector in prediction'))
        pairs = zip(stock.predict(features), head.predict(features), strict=True)
        assert all(torch.equal(one.pred_score, two.pred_score) for one, two in pairs)

    def test_initialisation_is_that_of_pytorch(self):
        torch.manual_seed(0)
        head = build_head()
        before = head.fc.weight.clone()
        head.init_weights()
        assert torch.equal(head.fc.weight, before)

    def test_init_cfg_of_the_classifier_leaves_the_projector(self):
        head = build_head(init_cfg=dict(type='Constant', val=0.5, override=dict(name='fc')))
        before = head.projector[0].weight.clone()
        head.init_weights()
        assert bool((head.fc.weight == 0.5).all())
        assert torch.equal(head.projector[0].weight, before)


def test_accuracy_is_logged_on_request():
    head = golden_head()
    head.cal_acc, head.topk = True, (1, 5)
    losses = head.loss(golden_features(), samples(golden_inputs().labels), num_views=2)
    g = golden_inputs()
    hits = torch.cat([g.l1, g.l2]).argmax(dim=1) == torch.cat([g.labels] * 2)
    assert float(losses['accuracy_top-1'][0]) == pytest.approx(100 * hits.double().mean().item())
    assert float(losses['accuracy_top-5'][0]) == 100


def test_embeddings_have_unit_length_in_half_precision():
    head = build_head().to(torch.bfloat16)
    rows = head.embed(torch.randn(4, 11, dtype=torch.bfloat16))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows.norm(dim=1), torch.ones(4))
    reference = F.normalize(head.projector(torch.ones(1, 11, dtype=torch.bfloat16)).float())
    torch.testing.assert_close(head.embed(torch.ones(1, 11, dtype=torch.bfloat16)), reference)


class TestErrors:
    def test_features_that_are_not_pooled(self):
        with pytest.raises(ValueError, match=r'got \(2, 11, 4, 4\). Add .*GlobalAveragePooling'):
            build_head()((torch.randn(2, 11, 4, 4),))

    def test_features_of_another_width(self):
        with pytest.raises(ValueError, match=r'got \(2, 12\). Set model.head.in_channels=12'):
            build_head()((torch.randn(2, 12),))

    def test_mixed_labels(self):
        mixed = samples([0, 1])
        for sample in mixed:
            sample.set_gt_score(torch.full((5,), 0.2))
        with pytest.raises(ValueError, match=r'^model\.train_cfg\.augments: expected hard'):
            build_head().loss((torch.randn(2, 11),), mixed)

    @pytest.mark.parametrize(
        ('head', 'settings'),
        [
            ('GPaCoClsHead', {}),
            ('PaCoClsHead', {}),
            ('LDAMClsHead', dict(loss=dict(class_counts=[3, 1, 1, 1, 1]))),
        ],
    )
    def test_several_labels(self, head, settings):
        config = dict(type=head, num_classes=5, in_channels=11, **settings)
        multiple = [DataSample(metainfo=dict(img_path='a.png')).set_gt_label([0, 2])]
        arguments = (torch.randn(1, 128),) if head == 'PaCoClsHead' else ()
        with pytest.raises(
            ValueError,
            match=rf'^train_dataloader\.dataset: .*image for {head}, got 2 labels for a\.png',
        ):
            MODELS.build(config).loss((torch.randn(1, 11),), multiple, *arguments)

    def test_label_that_is_no_class(self):
        with pytest.raises(ValueError, match=r'labels: expected values in \[0, 5\), got \[7\]'):
            build_head().loss((torch.randn(2, 11),), samples([0, 7]))

    def test_prior_of_another_length(self):
        with pytest.raises(
            ValueError,
            match=r'^model\.head\.loss\.class_prior: expected 5 values, as num_classes .* got 2',
        ):
            build_head(loss=dict(class_prior=[3, 1]))
