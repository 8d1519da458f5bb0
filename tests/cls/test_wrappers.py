"""Every classifier in the model wrappers of several processes."""

from __future__ import annotations

import pytest
import torch
from helpers.classifier_zoo import SYSTEMS


@pytest.mark.parametrize('title', SYSTEMS)
def test_a_static_graph_changes_nothing(two_ranks, title):
    """Losses and weights of the wrapper that trainings get, against that of PyTorch's defaults."""
    for results in two_ranks:
        (losses, weights), (other_losses, other_weights) = results['wrappers', title]
        assert losses == other_losses
        assert len({float(loss) for loss in losses}) == len(losses)
        assert weights.keys() == other_weights.keys()
        assert all(torch.equal(weights[key], other_weights[key]) for key in weights)
