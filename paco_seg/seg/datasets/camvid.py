"""CamVid: street scenes with the eleven classes that the literature reports."""

from __future__ import annotations

from collections.abc import Sequence

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

IGNORED = 255  # BaseSegDataset's label of what is no class


@DATASETS.register_module()
class CamVidDataset(BaseSegDataset):
    """CamVid in the split and the labels of the SegNet tutorial, 480 x 360 pixels.

    Labels 0 to 10 are the classes, 11 is void and ignored (:attr:`VOID`). ::

        dict(
            type='CamVidDataset',
            data_root='data/camvid',
            data_prefix=dict(img_path='images/train', seg_map_path='masks/train'))
    """

    METAINFO = dict(
        classes=(
            'sky', 'building', 'pole', 'road', 'pavement', 'tree', 'sign symbol', 'fence', 'car',
            'pedestrian', 'bicyclist',
        ),
        palette=[
            [128, 128, 128], [128, 0, 0], [192, 192, 128], [128, 64, 128], [60, 40, 222],
            [128, 128, 0], [192, 128, 128], [64, 64, 128], [64, 0, 128], [64, 64, 0],
            [0, 128, 192],
        ],
    )  # fmt: skip
    VOID = 11

    @classmethod
    def get_label_map(cls, new_classes: Sequence[str] | None = None) -> dict[int, int]:
        """Return the new label of each label in the files that gets another one; void is one."""
        return {**(super().get_label_map(new_classes) or {}), cls.VOID: IGNORED}
