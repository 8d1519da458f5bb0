import pytest
import torch
import torch.nn.functional as F

from paco_seg.seg.heads import BranchInputs
from paco_seg.seg.heads.pixel_classifier_branch import PixelClassifierBranch


def losses(labels):
    torch.manual_seed(0)
    branch = PixelClassifierBranch(in_channels=3, num_classes=2)
    features = torch.randn(1, 3, 1, 4, requires_grad=True)
    labels = torch.tensor(labels).view(1, 1, 4)
    inputs = BranchInputs(features, torch.zeros(1, 2, 1, 4), labels, None, 255)
    return branch(inputs)['loss_pixel_ce'], branch.classify(features), labels


def test_the_mean_over_labelled_pixels():
    loss, logits, labels = losses([0, 1, 255, 1])
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels, ignore_index=255))
    assert losses([255] * 4)[0] == 0


@pytest.mark.parametrize('label', [2, 254, -1])
def test_a_label_that_is_no_class_is_named(label):
    with pytest.raises(ValueError, match=rf'^labels: expected values in \[0, 2\) or 255.*{label}'):
        losses([0, 1, 255, label])
