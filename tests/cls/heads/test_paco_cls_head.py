from __future__ import annotations

import pytest
import torch
from helpers.contrastive import (
    COUNTS,
    build_head,
    golden_features,
    golden_head,
    golden_inputs,
    samples,
)


@pytest.mark.parametrize(
    ('loss', 'expected'),
    [
        (dict(alpha=0.05, class_prior=COUNTS), 6.19407),
        (dict(alpha=0.05), 4.63083),
        (
            dict(
                alpha=0.3,
                beta=2.0,
                gamma=0.5,
                center_temperature=2.0,
                base_temperature=0.1,
                class_prior=COUNTS,
            ),
            8.89697,
        ),
    ],
)
def test_golden_values(loss, expected):
    g = golden_inputs()
    head = golden_head('PaCo', temperature=0.2, **loss)
    losses = head.loss(golden_features(1), samples(g.labels), g.k)
    assert losses['loss'].item() == pytest.approx(expected, abs=6e-6)


def test_the_queue_receives_the_keys_after_the_loss():
    g = golden_inputs()
    head = golden_head('PaCo')
    head.loss(golden_features(1), samples(g.labels), g.k)
    torch.testing.assert_close(head.queue.keys, torch.cat([g.k, g.keys[4:]]))
    assert head.queue.labels[:4].tolist() == g.labels.tolist()


def test_projector_has_two_layers_with_batch_norm():
    names = [type(layer).__name__ for layer in build_head('PaCo').projector]
    assert names == ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']
