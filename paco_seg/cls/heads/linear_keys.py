"""The key of the classifier in checkpoints of the stock linear heads."""

from __future__ import annotations

from typing import Any

from mmpretrain.models.heads import LinearClsHead
from torch import Tensor


def rename_linear_keys(state_dict: dict[str, Any], prefix: str) -> None:
    """Let a head with ``fc`` load what ``VisionTransformerClsHead`` calls ``layers.head``.

    Args:
        state_dict: what a module gets in ``_load_from_state_dict``; changed in place.
        prefix: of the head in it.
    """
    for name in ('weight', 'bias'):
        value = state_dict.pop(f'{prefix}layers.head.{name}', None)
        if value is not None:
            state_dict.setdefault(f'{prefix}fc.{name}', value)


class AnyLinearClsHead(LinearClsHead):
    """``LinearClsHead`` that loads the classifier of every stock linear head."""

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        rename_linear_keys(state_dict, prefix)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
