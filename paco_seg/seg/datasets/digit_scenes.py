"""Digit scenes: the demo segmentation set that ``paco-seg demo-data digit-scenes`` writes."""

from mmengine import fileio
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS


@DATASETS.register_module()
class DigitScenesDataset(BaseSegDataset):
    """Handwritten digits on textured scenes; long-tailed training split, balanced others.

    ADE20K folder layout: ``images/{training,search,validation}/*.jpg`` and
    ``annotations/{training,search,validation}/*.png``; label 0 is the background, ``1 + d`` the
    strokes of digit ``d``, so nothing is ignored. ::

        dict(
            type='DigitScenesDataset',
            data_root='data/digit_scenes',
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'))
    """

    METAINFO = dict(
        classes=(
            'background', 'zero', 'one', 'two', 'three', 'four', 'five', 'six', 'seven', 'eight',
            'nine',
        ),
        palette=[
            [40, 40, 40], [31, 119, 180], [255, 127, 14], [44, 160, 44], [214, 39, 40],
            [148, 103, 189], [140, 86, 75], [227, 119, 194], [255, 255, 102], [188, 189, 34],
            [23, 190, 207],
        ],
    )  # fmt: skip

    def __init__(self, img_suffix: str = '.jpg', seg_map_suffix: str = '.png', **kwargs) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List image / annotation pairs; refuses a missing folder by name, with the remedy."""
        for key in ('img_path', 'seg_map_path'):
            folder = self.data_prefix.get(key)
            # data_prefix may point into any MMEngine file backend
            if folder and not fileio.isdir(folder, backend_args=self.backend_args):
                raise FileNotFoundError(
                    f'data_prefix.{key}: expected a folder of digit scenes, got {folder!r}, which '
                    'does not exist. Write the data with '
                    '`paco-seg demo-data digit-scenes --out data/digit_scenes`.'
                )
        return super().load_data_list()
