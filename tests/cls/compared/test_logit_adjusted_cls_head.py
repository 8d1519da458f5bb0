from __future__ import annotations

import pytest
import torch
from helpers.contrastive import COUNTS, samples
from mmpretrain.registry import MODELS

STOCK = dict(type='LinearClsHead', num_classes=5, in_channels=11)


def build(**settings):
    settings = dict(class_prior=COUNTS) | settings
    return MODELS.build({**STOCK, 'type': 'LogitAdjustedClsHead', **settings})


def pair(**settings):
    """A stock head and an adjusted one with its checkpoint."""
    stock, head = MODELS.build(STOCK), build(**settings)
    result = head.load_state_dict(stock.state_dict(), strict=False)
    assert result.missing_keys == result.unexpected_keys == []
    return stock, head


@pytest.mark.parametrize('tau', [0.0, 1.0, 2.0])
def test_prediction_divides_by_the_prior(tau):
    stock, head = pair(tau=tau)
    features = (torch.randn(6, 11),)
    score = torch.stack([sample.pred_score for sample in stock.predict(features)])
    expected = score / (torch.tensor(COUNTS) / sum(COUNTS)) ** tau
    expected = expected / expected.sum(dim=1, keepdim=True)
    found = head.predict(features)
    torch.testing.assert_close(torch.stack([sample.pred_score for sample in found]), expected)
    assert [int(s.pred_label) for s in found] == expected.argmax(dim=1).tolist()
    # mode='tensor', which exports and ensembles read, is what the prediction starts from
    torch.testing.assert_close(head(features).softmax(dim=1), expected)


def test_training_is_that_of_the_stock_head():
    stock, head = pair()
    features, labels = (torch.randn(6, 11),), [0, 1, 2, 3, 4, 0]
    one, two = (each.loss(features, samples(labels))['loss'] for each in (stock, head))
    assert torch.equal(one, two)


def test_auto_travels_in_the_checkpoint():
    trained, tested = build(class_prior='auto'), build(class_prior='auto')
    with pytest.raises(ValueError, match=r'^model\.head\.class_prior: expected class counts'):
        tested.predict((torch.randn(2, 11),))
    trained.class_prior.fill(COUNTS)
    tested.load_state_dict(trained.state_dict())
    features = (torch.randn(2, 11),)
    pairs = zip(trained.predict(features), tested.predict(features), strict=True)
    assert all(torch.equal(one.pred_score, two.pred_score) for one, two in pairs)


def test_settings_out_of_range():
    with pytest.raises(ValueError, match=r'^model\.head\.tau: expected >= 0'):
        build(tau=-1)
    with pytest.raises(ValueError, match=r'^model\.head\.class_prior: expected 5 values'):
        build(class_prior=[3, 1])
