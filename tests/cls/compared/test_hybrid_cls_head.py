"""Checks 2 to 5 of the losses are in tests/core/compared/test_hybrid.py; here the head."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import samples
from mmpretrain.registry import MODELS
from torch.testing import assert_close

from paco_seg.core.compared import prototype_loss, supcon_loss

LABELS = [0, 1, 1, 3]
BALANCED = [4, 2, 0, 2]


def build(kind='sc', **settings):
    torch.manual_seed(0)
    contrast = dict(sc='SupConLoss', psc='PrototypeContrastLoss')[kind]
    settings = (
        dict(
            num_classes=5,
            in_channels=6,
            projector=dict(out_channels=4),
            loss_contrast=dict(type=contrast, temperature=0.3),
        )
        | settings
    )
    return MODELS.build(dict(type='HybridClsHead', **settings)).double()


def batch(views=2, seed=0):
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(4 * (views + 1), 6, generator=generator, dtype=torch.float64)
    data_samples = samples(LABELS)
    for sample, label in zip(data_samples, BALANCED, strict=True):
        sample.set_field(torch.tensor([label]), 'balanced_label')
    return (features.requires_grad_(),), data_samples


def run(head, epoch, max_epochs=200, views=2):
    head.set_progress(epoch, max_epochs)
    feats, data_samples = batch(views)
    losses = head.loss(feats, data_samples)
    (losses['loss_contrast'] + losses['loss_ce']).backward()
    return losses, feats[0].grad


@pytest.mark.parametrize(('kind', 'views'), [('sc', 2), ('psc', 1), ('psc', 2)])
def test_hybrid_loss_is_that_of_the_core_on_both_batches(kind, views):
    head = build(kind)
    losses, _ = run(head, epoch=50, views=views)
    (features,), _ = batch(views)
    embeddings = F.normalize(head.projector(features[:-4]))
    labels = torch.tensor(LABELS * views)
    if kind == 'sc':
        contrast = supcon_loss(embeddings, labels, temperature=0.3)
    else:
        contrast = prototype_loss(
            embeddings, labels, head.contrast_module.prototypes, temperature=0.3
        )
    classify = F.cross_entropy(head.fc(features[-4:]), torch.tensor(BALANCED))
    assert_close(losses['loss_contrast'], 0.9375 * contrast.mean())
    assert_close(losses['loss_ce'], (1 - 0.9375) * classify)
    assert losses['curriculum_weight'].item() == 0.9375


@pytest.mark.parametrize('kind', ['sc', 'psc'])
def test_hybrid_check_1_the_curriculum_selects_branch_and_batch(kind):
    head = build(kind)
    contrast = [*head.projector.parameters(), *head.contrast_module.parameters()]
    classifier = [*head.fc.parameters()]
    for epoch, trained, silent in ((0, contrast, classifier), (200, classifier, contrast)):
        head.zero_grad()
        _, gradient = run(head, epoch)
        assert all(p.grad.any() for p in trained)
        assert all(torch.equal(p.grad, torch.zeros_like(p)) for p in silent)
        instance, balanced = gradient[:-4].any(), gradient[-4:].any()
        assert (instance, balanced) == (epoch == 0, epoch == 200)


def test_hybrid_prototypes_and_projector_are_not_used_at_test():
    head = build('psc')
    features = torch.randn(3, 6, dtype=torch.float64)
    assert_close(head((features,)), head.fc(features))
    stock = MODELS.build(dict(type='LinearClsHead', num_classes=5, in_channels=6)).double()
    missing = stock.load_state_dict(head.state_dict(), strict=False).missing_keys
    assert not missing
    assert torch.equal(stock((features,)), head((features,)))


def test_hybrid_prototypes_are_per_class_and_parameters():
    head = build(
        'psc',
        loss_contrast=dict(type='PrototypeContrastLoss', temperature=0.1, prototypes_per_class=3),
    )
    prototypes = dict(head.named_parameters())['contrast_module.prototypes']
    assert prototypes.shape == (5, 3, 4)


def test_hybrid_without_its_hook_dataset_or_with_a_prior_is_refused():
    head = build()
    feats, data_samples = batch()
    with pytest.raises(ValueError, match=r'curriculum: .*TrainingProgressHook'):
        head.loss(feats, data_samples)
    head.set_progress(0, 10)
    with pytest.raises(ValueError, match=r'train_dataloader\.dataset: .*DualSamplingDataset'):
        head.loss(feats, samples(LABELS))
    with pytest.raises(ValueError, match=r'model\.head\.loss: expected a loss without class prior'):
        build(loss=dict(type='BalancedSoftmaxLoss'))
    with pytest.raises(ValueError, match=r"curriculum: expected one of 'parabolic', 'linear'"):
        build(curriculum='cosine')


def test_hybrid_accuracy_is_that_of_the_class_balanced_images():
    head = build(cal_acc=True)
    losses, _ = run(head, epoch=0)
    (feats,), _ = batch()
    right = (head.fc(feats[-4:]).argmax(1) == torch.tensor(BALANCED)).double().mean()
    assert float(losses['accuracy_top-1'][0]) == pytest.approx(100 * float(right))
