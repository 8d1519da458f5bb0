"""How sure a prediction is, for each kind of head; whole predictions: tests/cli/test_predict.py."""

import torch
from torch.testing import assert_close

from paco_seg.seg.prediction import confidence_of


def test_confidence_is_the_share_of_the_predicted_class():
    logits = torch.tensor([2.0, 0.0, 0.0]).view(3, 1, 1)
    assert_close(confidence_of(logits, is_evidence=False), logits.softmax(dim=0)[:1, :, 0])
    foreground = torch.tensor([[[-2.0]]])
    assert_close(confidence_of(foreground, is_evidence=False), (-foreground[0]).sigmoid())


def test_masks_give_evidence_and_no_logits():
    """A softmax over the evidence of 150 classes would be sure of nothing."""
    evidence = torch.zeros(150, 1, 2)
    evidence[7, 0, 0], evidence[8, 0, 0] = 0.9, 0.1
    assert_close(confidence_of(evidence, is_evidence=True), torch.tensor([[0.9, 0.0]]))
