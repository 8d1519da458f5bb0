"""Parts of a config that replace what is inherited, instead of being merged into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paco_seg.engine.model_changes import ModelChange


def replacing(inherited: Any, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings in the place of inherited ones.

    MMEngine reads ``_delete_`` only where there is something to delete; elsewhere it would reach
    the constructor.
    """
    return {**(dict(_delete_=True) if inherited is not None else {}), **settings}


def replace_part(cfg: Mapping[str, Any], root: str, settings: Mapping[str, Any]) -> ModelChange:
    """Return the change that replaces a part at the top of a config."""
    return ModelChange((), replacing(cfg.get(root), settings), root)
