"""Rare class sampling: how often a class is drawn.

Hoyer et al., DAFormer, arXiv 2111.14887, section 3.3.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from paco_seg.core.checks import check_range


def draw_probabilities(pixels: npt.ArrayLike, temperature: float) -> npt.NDArray[np.float64]:
    """Return how often each class is drawn: ``softmax((1 - f_c) / T)`` over the classes.

    ``f_c`` is the share of class c among all labelled pixels (the paper's eq. 5 and 6). A small
    temperature draws rare classes alone; a large one draws all equally often.

    Args:
        pixels: (C,) counts of training pixels, >= 0.
        temperature: T > 0.

    Returns:
        (C,) float64 probabilities; 0 for a class that never occurs.

    Raises:
        ValueError: the temperature is not positive, or there are no pixels.
    """
    check_range('temperature', temperature, low=0.0, low_open=True)
    counts = np.asarray(pixels, dtype=np.float64)
    present = counts > 0
    if not present.any():
        raise ValueError('pixels: expected labelled pixels, got none. Check the label maps')
    scores = np.where(present, (1.0 - counts / counts.sum()) / temperature, -np.inf)
    weights = np.exp(scores - scores[present].max())
    probabilities: npt.NDArray[np.float64] = weights / weights.sum()
    return probabilities
