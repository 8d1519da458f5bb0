from __future__ import annotations

from helpers.contrastive import build_head


def test_default_loss():
    """Its values are in test_gpaco_cls_head.py, its formula in the tests of the loss."""
    head = build_head('MultiTaskSupCon')
    assert type(head.loss_module).__name__ == 'MultiTaskSupConLoss'
    assert head.loss_module.alpha == 0.5
