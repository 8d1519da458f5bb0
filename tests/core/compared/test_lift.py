import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from paco_seg.core.checks import ShapeError
from paco_seg.core.compared import ClassMeans, ResidualAdapter, adapter_width


@pytest.mark.parametrize(
    ('classes', 'width'), [(10, 1), (24, 1), (47, 1), (48, 2), (100, 4), (365, 8), (8142, 256)]
)
def test_width_of_the_adapters(classes, width):
    assert adapter_width(classes, 12) == width


def test_an_adapter_starts_as_nothing_and_has_the_published_size():
    adapter = ResidualAdapter(768, 4)
    tokens = torch.randn(2, 3, 768)
    assert torch.equal(adapter(tokens), torch.zeros(2, 3, 768))
    assert sum(p.numel() for p in adapter.parameters()) == 8453
    # all but `up` wait for it: the first step moves it alone
    adapter(tokens).sum().backward()
    assert adapter.up.weight.grad.any()
    assert not adapter.down.weight.grad.any()
    with pytest.raises(ValueError, match='adapter_width: expected >= 1, got 0'):
        ResidualAdapter(768, 0)


def test_an_adapter_is_its_equation():
    adapter = ResidualAdapter(5, 2).double()
    for parameter in adapter.parameters():
        torch.nn.init.normal_(parameter)
    tokens = torch.randn(3, 5, dtype=torch.float64)
    for row, found in zip(tokens, adapter(tokens), strict=True):
        normed = (row - row.mean()) / (row.var(unbiased=False) + 1e-5).sqrt()
        normed = normed * adapter.norm.weight + adapter.norm.bias
        hidden = (adapter.down.weight @ normed + adapter.down.bias).clamp(min=0)
        assert_close(found, adapter.scale * (adapter.up.weight @ hidden + adapter.up.bias))


def test_class_means_are_those_of_unit_features():
    features, labels = torch.randn(6, 4), torch.tensor([0, 2, 2, 0, 2, 0], dtype=torch.uint8)
    means = ClassMeans(4)
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        means.add(features[part], labels[part])
    rows, present = means.directions()
    assert present.tolist() == [True, False, True, False]
    for label in (0, 2):
        own = [F.normalize(row.double(), dim=0) for row in features[labels == label]]
        assert_close(rows[label], F.normalize(sum(own), dim=0))
    with pytest.raises(ShapeError, match='labels'):
        means.add(features, labels[:2])
    with pytest.raises(ValueError, match=r'labels: expected values in \[0, 4\)'):
        means.add(features, labels + 2)
    with pytest.raises(ValueError, match='expected features before'):
        ClassMeans(4).directions()
