"""Losses of which a config leaves out what the head knows."""

from __future__ import annotations

from typing import Any

from torch import nn


def with_defaults(loss: dict[str, Any] | nn.Module | None, **defaults: Any) -> Any:
    """Return a loss, or its config with defaults for what that leaves out."""
    return loss if isinstance(loss, nn.Module) else {**defaults, **(loss or {})}
