from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.contrastive import samples
from mmpretrain.registry import MODELS
from torch.testing import assert_close

pytestmark = pytest.mark.crt


def build(tau):
    torch.manual_seed(0)
    return MODELS.build(dict(type='TauNormClsHead', num_classes=5, in_channels=6, tau=tau))


@pytest.mark.parametrize('tau', [0.0, 0.7, 1.0])
def test_crt_twin_tau_norm_predicts_with_normalised_classes_and_no_bias(tau):
    head = build(tau)
    head.fc.bias.data.uniform_(-5, 5)
    features = torch.randn(4, 6)
    weight = head.fc.weight / head.fc.weight.norm(dim=1, keepdim=True) ** tau
    scores = torch.stack([s.pred_score for s in head.predict((features,))])
    assert_close(scores, (features @ weight.T).softmax(1))
    # mode='tensor', which exports and ensembles read, is what the prediction starts from
    assert_close(head((features,)), features @ weight.T)


def test_training_is_that_of_the_linear_head():
    head = build(1.0)
    features = torch.randn(4, 6)
    loss = head.loss((features,), samples([0, 1, 2, 4]))['loss']
    assert_close(loss, F.cross_entropy(head.fc(features), torch.tensor([0, 1, 2, 4])))


def test_negative_tau_is_refused():
    with pytest.raises(ValueError, match=r'^model\.head\.tau: expected >= 0'):
        build(-0.1)
