"""What a classifier asks its head about batches; heads that say nothing are stock heads."""

from __future__ import annotations

from torch import nn


def takes_views(head: nn.Module) -> bool:
    """Whether ``loss()`` takes the views of the images together, told by ``num_views``.

    Any other head gets the views as further images.
    """
    return getattr(head, 'takes_views', False)


def takes_keys(head: nn.Module) -> bool:
    """Whether ``loss()`` takes the embeddings of a momentum encoder as ``key_embeddings``."""
    return getattr(head, 'takes_keys', False)


def accepts_mixed_images(head: nn.Module) -> bool:
    """Whether images of two classes (Mixup, CutMix) may be in a batch."""
    return getattr(head, 'accepts_mixed_images', True)


def fewest_images(head: nn.Module) -> int:
    """Return the fewest images of a training batch that ``loss()`` takes.

    2 where a BatchNorm sees one row of each image: a single row has no statistics.
    """
    return getattr(head, 'fewest_images', 1)
