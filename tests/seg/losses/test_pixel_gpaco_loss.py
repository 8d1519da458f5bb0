"""PixelGPaCoLoss on drawn pixels; the way there is the branch's (tests/seg/heads)."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from mmseg.registry import MODELS
from references import parametric_contrastive, pixel_options

import paco_seg.seg  # noqa: F401
from paco_seg.core import parametric_contrastive_loss
from paco_seg.core.frequency import ClassFrequency, log_class_prior, save_class_frequency
from paco_seg.core.gradient_balance import MainTask
from paco_seg.core.paco import PaCoSettings

B, N, D, C = 2, 9, 5, 3


def rows(seed=0):
    """Unit embeddings, labels with ignored pixels, logits."""
    generator = torch.Generator().manual_seed(seed)
    embeddings = F.normalize(torch.randn(B, N, D, generator=generator), dim=-1)
    labels = torch.randint(0, C, (B, N), generator=generator)
    labels[:, ::4] = 255
    return embeddings, labels, torch.randn(B, N, C, generator=generator)


def build(**settings):
    return MODELS.build({'type': 'PixelGPaCoLoss', **settings})


def test_defaults_are_the_papers():
    loss = build()
    assert loss.settings == PaCoSettings.checked('loss_contrast', alpha=0.01, temperature=0.07)
    assert (loss.scope, loss.loss_weight, loss.loss_name) == ('image', 1.0, 'loss_gpaco')


def test_settings_reach_the_core():
    settings = dict(
        alpha=0.3, temperature=0.5, beta=0.7, gamma=0.4, contrast_ignored=False, impl='streaming'
    )
    expected = parametric_contrastive_loss(*rows(), ignore_index=255, **settings)
    torch.testing.assert_close(build(loss_weight=2.0, **settings)(*rows()), 2 * expected)


@pytest.mark.parametrize('scope', ['image', 'batch', 'world'])
def test_keys_are_contrasted_in_every_scope(scope):
    generator = torch.Generator().manual_seed(1)
    keys = dict(
        keys=F.normalize(torch.randn(4, D, generator=generator)),
        key_labels=torch.tensor([0, 2, -1, 1]),
    )
    parts = rows() if scope == 'image' else [part.flatten(0, 1) for part in rows()]
    expected = parametric_contrastive_loss(
        *parts, alpha=0.01, temperature=0.07, ignore_index=255, **keys
    )
    torch.testing.assert_close(build(scope=scope)(*rows(), **keys), expected)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(scope='images'), r"loss_contrast\.scope: expected one of 'image', 'batch', 'world'"),
        (dict(loss_name='gpaco'), r"loss_contrast\.loss_name: .* starts with 'loss'"),
        (dict(warmup_iters=-1), r'loss_contrast\.warmup_iters: expected >= 0, got -1'),
        (dict(region_keys=1), r'loss_contrast\.region_keys: expected True or False, got 1'),
        (
            dict(loss_weight='often'),
            r"loss_contrast\.loss_weight: expected a number >= 0 or 'auto', got 'often'",
        ),
        (
            dict(loss_weight='auto', gradient_ratio=0),
            r'loss_contrast\.gradient_ratio: expected > 0, got 0',
        ),
        (
            dict(gradient_ratio=0.5),
            r"loss_contrast\.gradient_ratio: expected None because loss_weight is not 'auto'",
        ),
        (dict(loss_weight=-1.0), r'loss_contrast\.loss_weight: expected >= 0, got -1'),
        (dict(gamma=-1.0), r'loss_contrast\.gamma: expected >= 0, got -1'),
        (dict(num_pixels=8), r'loss_contrast\.num_pixels: expected one of alpha'),
    ],
)
def test_bad_settings_name_the_key(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        build(**settings)


def test_the_class_prior_reaches_the_center_logits(tmp_path):
    file = tmp_path / 'frequency.json'
    save_class_frequency(ClassFrequency(('a', 'b', 'c'), (4, 3, 2), (70, 20, 10), 5), file)
    settings = dict(alpha=0.3, frequency_file=str(file))
    prior = torch.tensor([0.7, 0.2, 0.1])
    expected = parametric_contrastive_loss(
        *rows(), alpha=0.3, temperature=0.07, ignore_index=255, class_prior=prior
    )
    loss = build(class_prior=True, **settings)
    torch.testing.assert_close(loss(*rows()), expected)
    assert not loss.state_dict()  # it follows from the config
    half = parametric_contrastive_loss(
        *rows(), alpha=0.3, temperature=0.07, ignore_index=255, class_prior=prior.sqrt()
    )
    torch.testing.assert_close(build(class_prior=0.5, **settings)(*rows()), half)
    with pytest.raises(ValueError, match=r'loss_contrast\.class_prior: expected > 0, got 0'):
        build(class_prior=0, **settings)
    without = build(**settings)(*rows())
    assert not torch.allclose(without, expected)
    torch.testing.assert_close(without, build(alpha=0.3)(*rows()))  # off by default


@pytest.mark.parametrize('factor', [2.0, 10.0])
def test_a_factor_of_the_prior_leaves_rare_classes_apart(tmp_path, factor):
    """The power of a small share is nothing beside the 1e-9 that is added to a prior."""
    file = tmp_path / 'frequency.json'
    counts = (10**8, 10**6, 200)
    save_class_frequency(ClassFrequency(('a', 'b', 'c'), (4, 3, 2), counts, 5), file)
    loss = build(alpha=0.3, frequency_file=str(file), class_prior=factor)
    embeddings, labels, logits = rows()
    shift = factor * log_class_prior(torch.tensor(counts))
    expected = parametric_contrastive_loss(
        embeddings, labels, logits + shift, alpha=0.3, temperature=0.07, ignore_index=255
    )
    # What is left is the 1e-9 beside the share itself.
    torch.testing.assert_close(loss(embeddings, labels, logits), expected, rtol=1e-4, atol=0)


def test_the_class_prior_needs_a_file():
    with pytest.raises(ValueError, match=r'loss_contrast\.frequency_file: expected a file'):
        build(class_prior=True)


@pytest.mark.parametrize('impl', ['dense', 'streaming'])
@pytest.mark.parametrize('scope', ['image', 'batch', 'world'])
def test_weights_and_regions_equal_the_loops(scope, impl):
    embeddings, labels, logits = (part.double() for part in rows())
    labels = labels.long()
    weights = torch.rand(B, N, generator=torch.Generator().manual_seed(2)) * 5 + 1
    keys, key_labels = pixel_options.region_keys(embeddings, labels, C)
    assert (key_labels >= 0).any()
    settings = dict(alpha=0.3, temperature=0.5)

    def wanted(embeddings, logits):
        parts, own = (embeddings, labels, logits), weights
        if scope != 'image':
            parts, own = ([part.flatten(0, 1)[None] for part in parts], weights.flatten()[None])
        values = parametric_contrastive.parametric_contrastive_anchors(
            *parts, keys=keys, key_labels=key_labels, ignore_index=255, **settings
        )
        return pixel_options.weighted_mean(*values, own)

    loss = build(scope=scope, region_keys=True, impl=impl, **settings)
    leaves = [part.clone().requires_grad_() for part in (embeddings, logits)]
    actual, truth = loss(leaves[0], labels, leaves[1], anchor_weights=weights), wanted(*leaves)
    torch.testing.assert_close(actual, truth)
    torch.testing.assert_close(
        torch.autograd.grad(actual, leaves), torch.autograd.grad(truth, leaves)
    )


def test_regions_stand_beside_the_queue():
    embeddings, labels, logits = rows()
    queue = dict(keys=F.normalize(torch.ones(2, D)), key_labels=torch.tensor([1, -1]))
    batch = build(region_keys=True).contrast_batch(embeddings, labels, logits, **queue)
    assert batch.keys.shape == (2 + B * C, D)
    assert batch.key_labels[:2].tolist() == [1, -1]
    assert build().contrast_batch(embeddings, labels, logits).keys is None


def test_the_weight_keeps_the_ratio_of_the_gradients():
    embeddings, labels, logits = rows()
    features = torch.randn(B, D, N, generator=torch.Generator().manual_seed(3)).requires_grad_()
    loss = build(loss_weight='auto', gradient_ratio=0.25)
    shared = F.normalize(embeddings + features.transpose(1, 2), dim=-1)
    main = (features**2).mean()
    weighted = loss(shared, labels, logits, main=MainTask(main, features))
    (g,) = torch.autograd.grad(main, features)
    (h,) = torch.autograd.grad(weighted, features)
    torch.testing.assert_close(h.norm(), 0.25 * g.norm())
    assert set(loss.state_dict()) == {
        'gradient_balance.log_quotient', 'gradient_balance.measured'
    }  # fmt: skip
    with pytest.raises(ValueError, match=r'loss_contrast\.loss_weight: .* losses of the head are'):
        loss(shared, labels, logits)
