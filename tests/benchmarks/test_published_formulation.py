"""The formulation that benchmarks compare with computes the same loss."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from paco_seg.core import parametric_contrastive_loss
from tests.conftest import load_script

PATH = Path(__file__).parents[2] / 'benchmarks' / 'published_formulation.py'


@pytest.mark.parametrize('beta', [1.0, 2.0])
@pytest.mark.parametrize('gamma', [1.0, 0.5])
def test_equals_the_dense_loss(beta, gamma):
    module = load_script(PATH)
    rng = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(2, 30, 8, generator=rng, dtype=torch.float64), dim=-1)
    logits = torch.randn(2, 30, 4, generator=rng, dtype=torch.float64)
    labels = torch.randint(0, 4, (2, 30), generator=rng)
    labels[torch.rand(2, 30, generator=rng) < 0.2] = 255
    leaves = [rows.requires_grad_(), logits.requires_grad_()]
    keywords = dict(alpha=0.05, temperature=0.07, beta=beta, gamma=gamma, ignore_index=255)
    actual = module.published_formulation(rows, labels, logits, **keywords)
    wanted = parametric_contrastive_loss(rows, labels, logits, impl='dense', **keywords)
    torch.testing.assert_close(actual, wanted)
    for a, b in zip(
        torch.autograd.grad(actual, leaves), torch.autograd.grad(wanted, leaves), strict=True
    ):
        torch.testing.assert_close(a, b)
