"""Cutout whose box is clipped at all four borders."""

from __future__ import annotations

import numpy as np
from mmcv.transforms import BaseTransform
from mmcv.transforms.utils import cache_randomness
from mmpretrain.registry import TRANSFORMS


@TRANSFORMS.register_module()
class ClippedCutout(BaseTransform):
    """Fill a square whose center is uniform over the image (DeVries and Taylor, 1708.04552).

    The part of the square beyond the image is lost, at each border. MMPretrain's ``Cutout``
    moves the square inside at the top and left border, so that it never erases less there.

    **Modified Keys:** img

    Args:
        length: side of the square in pixels.
        pad_val: value of the filled pixels.

    Raises:
        ValueError: ``length`` is below 1.
    """

    def __init__(self, length: int, pad_val: int = 0):
        if length < 1:
            raise ValueError(f'length: expected >= 1, got {length}')
        self.length = length
        self.pad_val = pad_val

    @cache_randomness
    def _center(self, height: int, width: int) -> tuple[int, int]:
        # the global stream, like all MM transforms: MMEngine seeds it for each worker
        return np.random.randint(height), np.random.randint(width)  # noqa: NPY002

    def transform(self, results: dict) -> dict:
        """Erase one square of ``results['img']``."""
        img = results['img'].copy()
        y, x = self._center(*img.shape[:2])
        top, left = y - self.length // 2, x - self.length // 2
        img[max(top, 0) : top + self.length, max(left, 0) : left + self.length] = self.pad_val
        results['img'] = img
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(length={self.length}, pad_val={self.pad_val})'
