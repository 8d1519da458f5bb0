"""The class that a sample is predicted to have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def predicted_label(sample: Mapping[str, Any]) -> int:
    """Return the predicted class of a sample.

    Of augmentations at test MMPretrain merges the scores, and keeps the label of the first one.

    Args:
        sample: with ``pred_score`` or ``pred_label``, of ``DataSample.to_dict()``.

    Example:
        >>> predicted_label({'pred_label': 2})
        2
    """
    score = sample.get('pred_score')
    return int(sample['pred_label'] if score is None else score.argmax())
