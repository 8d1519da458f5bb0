"""Losses and their parts on plain PyTorch; nothing here needs an MM package."""

from paco_seg.core.checks import ShapeError
from paco_seg.core.paco import parametric_contrastive_loss
from paco_seg.core.queue import KeyQueue
from paco_seg.core.streaming import pairwise_logsumexp

__all__ = ['KeyQueue', 'ShapeError', 'pairwise_logsumexp', 'parametric_contrastive_loss']
