"""Losses and their parts on plain PyTorch; nothing here needs an MM package."""

from paco_seg.core.checks import ShapeError
from paco_seg.core.dispatch import parametric_contrastive_loss
from paco_seg.core.streaming import pairwise_logsumexp

__all__ = ["ShapeError", "pairwise_logsumexp", "parametric_contrastive_loss"]
