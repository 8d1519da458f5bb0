"""Parts of a config that replace what is inherited, instead of being merged into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from paco_seg.engine.model_changes import ModelChange


def replacing(
    inherited: Mapping[str, Any], key: str, settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return settings in the place of those that a part of a config has under a key.

    MMEngine reads ``_delete_`` only where there is something to delete, be it None; elsewhere it
    would reach the constructor.
    """
    return {**(dict(_delete_=True) if key in inherited else {}), **settings}


def replace_part(cfg: Mapping[str, Any], root: str, settings: Mapping[str, Any]) -> ModelChange:
    """Return the change that replaces a part at the top of a config."""
    return ModelChange((), replacing(cfg, root, settings), root)
