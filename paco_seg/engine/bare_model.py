"""The model that a runner trains or tests, without what stands around it."""

from __future__ import annotations

from typing import Any

from mmengine.model import BaseTTAModel, is_model_wrapper


def bare_model(model: Any) -> Any:
    """Return the model inside all wrappers (DDP, FSDP, ...) and test-time augmentation."""
    while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
        model = model.module
    return model
