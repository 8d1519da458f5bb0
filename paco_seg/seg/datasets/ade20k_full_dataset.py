"""ADE20K-Full as ``paco-seg prepare ade20k-full`` writes it: 847 classes in 16 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS

CLASS_FILE = 'classes.txt'
IGNORED = 65535
REMEDY = 'Write the data with `paco-seg prepare ade20k-full ADE20K_2021_17_01 --out data/ade_full`'


@DATASETS.register_module()
class ADE20KFullDataset(BaseSegDataset):
    """All classes of ADE20K that both splits hold, 847, instead of the 150 of the challenge.

    ADE20K folder layout: ``images/{training,validation}/*.jpg`` and
    ``annotations/{training,validation}/*.png`` of 16 bits, the names in ``classes.txt``. ::

        dict(
            type='ADE20KFullDataset',
            data_root='data/ade_full',
            data_prefix=dict(img_path='images/training', seg_map_path='annotations/training'))

    Load the label maps with ``LoadLabelMap``, and set ``ignore_index=65535`` in heads, metric and
    ``RandomCrop`` too: 255 is a class.

    Args:
        class_file: names of the classes, one a line in the order of the labels, below
            ``data_root``; ``metainfo=dict(classes=...)`` is used instead where it is given.
        ignore_index: label of pixels that are of no class.
        **kwargs: as ``BaseSegDataset``.

    Raises:
        FileNotFoundError: there is no such file.
    """

    def __init__(
        self,
        *,
        class_file: str = CLASS_FILE,
        ignore_index: int = IGNORED,
        img_suffix: str = '.jpg',
        seg_map_suffix: str = '.png',
        metainfo: dict | None = None,
        data_root: str | None = None,
        **kwargs: Any,
    ) -> None:
        if not (metainfo or {}).get('classes'):
            names = read_classes(Path(data_root or '') / class_file)
            metainfo = dict(metainfo or {}, classes=names)
        super().__init__(
            img_suffix=img_suffix,
            seg_map_suffix=seg_map_suffix,
            metainfo=metainfo,
            data_root=data_root,
            ignore_index=ignore_index,
            **kwargs,
        )


def read_classes(path: Path) -> tuple[str, ...]:
    """Read the names of classes, one a line.

    Raises:
        FileNotFoundError: there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f'dataset.class_file: expected the names of the classes, got {str(path)!r}, which does '
            f'not exist. {REMEDY}'
        )
    return tuple(path.read_text(encoding='utf-8').splitlines())
