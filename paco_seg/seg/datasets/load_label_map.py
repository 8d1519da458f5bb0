"""Label maps of 16 bits, for data sets with more classes than a byte holds."""

from __future__ import annotations

import mmcv
import numpy as np
from mmengine import fileio
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS

from paco_seg.core.checks import check_count

# The value by which MMSegmentation's map of custom classes marks classes that were left out.
_LEFT_OUT = 255
_LARGEST = np.iinfo(np.uint16).max


@TRANSFORMS.register_module()
class LoadLabelMap(LoadAnnotations):
    """``LoadAnnotations`` that keeps 16 bits, as ADE20K-Full (847 classes, 65535 ignored) needs.

    The stock step stores labels in eight bits: label 256 becomes 0. Set the same ``ignore_index``
    here, in the heads, the dataset and the metric, and as ``seg_pad_val`` of the preprocessor.

    **Added Keys:** gt_seg_map (np.uint16), seg_fields

    Args:
        ignore_index: label of pixels that are of no class, in [0, 65535].
        **kwargs: arguments of ``LoadAnnotations``.

    Raises:
        ValueError: ``ignore_index`` does not fit into 16 bits.

    Examples:
        >>> train_pipeline = [
        ...     dict(type='LoadImageFromFile'),
        ...     dict(type='LoadLabelMap', ignore_index=65535)]
    """

    def __init__(self, ignore_index: int = 255, **kwargs) -> None:
        super().__init__(**kwargs)
        check_count('ignore_index', ignore_index, low=-(2**63))
        if not 0 <= ignore_index <= _LARGEST:
            raise ValueError(
                f'ignore_index: expected a value in [0, {_LARGEST}], got {ignore_index!r}'
            )
        self.ignore_index = ignore_index
        self.reduce_zero_label: bool | None

    def _load_seg_map(self, results: dict) -> None:
        path = results.get('seg_map_path')
        if path is None:  # an image alone: MMSegmentation takes its own step out by name
            return
        content = fileio.get(path, backend_args=self.backend_args)
        stored = mmcv.imfrombytes(content, flag='unchanged', backend=self.imdecode_backend)
        stored = stored.squeeze()
        whole = stored.astype(np.int64)
        if (whole != stored).any() or whole.min(initial=0) < 0 or whole.max(initial=0) > _LARGEST:
            raise ValueError(
                f'{path}: expected whole labels in [0, {_LARGEST}], got values in '
                f'[{stored.min()}, {stored.max()}]. Write the label map as 16-bit PNG'
            )
        labels = whole.astype(np.uint16)
        if self.reduce_zero_label is None:
            self.reduce_zero_label = results['reduce_zero_label']
        if self.reduce_zero_label:
            ignored = (labels == 0) | (labels == self.ignore_index)
            labels = np.where(ignored, np.uint16(self.ignore_index), labels - np.uint16(1))
        if results.get('label_map') is not None:
            labels = self._map_classes(labels, results['label_map'])
        results['gt_seg_map'] = labels
        results['seg_fields'].append('gt_seg_map')

    def _map_classes(self, labels: np.ndarray, label_map: dict[int, int]) -> np.ndarray:
        new = set(label_map.values())
        if _LEFT_OUT in new and _LEFT_OUT - 1 in new:
            raise ValueError(
                f'metainfo.classes: expected at most {_LEFT_OUT} custom classes, got more: '
                f'MMSegmentation marks classes that were left out by {_LEFT_OUT}, which is a class '
                'then. Renumber the label maps on disk'
            )
        mapped = labels.copy()
        for old, target in label_map.items():
            mapped[labels == old] = self.ignore_index if target == _LEFT_OUT else target
        return mapped

    def __repr__(self) -> str:
        return f'{super().__repr__()[:-1]}, ignore_index={self.ignore_index})'
