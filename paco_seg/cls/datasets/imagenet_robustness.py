"""ImageNet-C and ImageNet-R folders, for models with the 1000 outputs of ImageNet-1k."""

from __future__ import annotations

import os
from collections.abc import Sequence

from mmpretrain.datasets import CustomDataset, ImageNet
from mmpretrain.registry import DATASETS

# Top-1 error of AlexNet per corruption, averaged over the five severities: the reference of the
# mean corruption error in Hendrycks and Dietterich, arXiv 1903.12261.
ALEXNET_ERRORS = {
    'gaussian_noise': 0.886428,
    'shot_noise': 0.894468,
    'impulse_noise': 0.922640,
    'defocus_blur': 0.819880,
    'glass_blur': 0.826268,
    'motion_blur': 0.785948,
    'zoom_blur': 0.798360,
    'snow': 0.866816,
    'frost': 0.826572,
    'fog': 0.819324,
    'brightness': 0.564592,
    'contrast': 0.853204,
    'elastic_transform': 0.646056,
    'pixelate': 0.717840,
    'jpeg_compression': 0.606500,
}

# Indices in ImageNet-1k of the 200 classes of ImageNet-R (arXiv 2006.16241), in the order of their
# sorted WordNet ids, which is the order of the folders.
IMAGENET_R_INDICES = tuple(
    int(index)
    for index in """
    1 2 4 6 8 9 11 13 22 23 26 29 31 39 47 63 71 76 79 84 90 94 96 97 99 100 105 107 113 122 125
    130 132 144 145 147 148 150 151 155 160 161 162 163 171 172 178 187 195 199 203 207 208 219 231
    232 234 235 242 245 247 250 251 254 259 260 263 265 267 269 276 277 281 288 289 291 292 293 296
    299 301 308 309 310 311 314 315 319 323 327 330 334 335 337 338 340 341 344 347 353 355 361 362
    365 366 367 368 372 388 390 393 397 401 407 413 414 425 428 430 435 437 441 447 448 457 462 463
    469 470 471 472 476 483 487 515 546 555 558 570 579 583 587 593 594 596 609 613 617 621 629 637
    657 658 701 717 724 763 768 774 776 779 780 787 805 812 815 820 824 833 847 852 866 875 883 889
    895 907 928 931 932 933 934 936 937 943 945 947 948 949 951 953 954 957 963 965 967 980 981 983
    988
    """.split()
)


def _class_folders(root: str, expected: int) -> list[str]:
    """Sorted class folders of ``root``; refuses another number of them."""
    if not os.path.isdir(root):
        raise FileNotFoundError(
            f'{root}: expected a folder with {expected} class folders, got nothing there. '
            'Check data_root'
        )
    folders = sorted(entry.name for entry in os.scandir(root) if entry.is_dir())
    if len(folders) != expected:
        raise ValueError(
            f'{root}: expected {expected} class folders, got {len(folders)}. The label of an image '
            'is the rank of its folder, so that the set has to be complete'
        )
    return folders


class _ImageNetVariant(CustomDataset):
    METAINFO = ImageNet.METAINFO

    def _samples(self, folder: str, label: int, **info) -> list[dict]:
        names = sorted(name for name in os.listdir(folder) if self.is_valid_file(name))
        return [dict(img_path=os.path.join(folder, name), gt_label=label, **info) for name in names]


@DATASETS.register_module()
class ImageNetC(_ImageNetVariant):
    """ImageNet-C: ``data_root/<corruption>/<severity>/<wnid>/*.JPEG``.

    Every sample carries ``corruption`` and ``severity``; give
    ``PackInputs(meta_keys=('corruption', 'severity'))`` so that :class:`ImageNetCError` sees them.

    Args:
        data_root: the folder that holds the corruption folders.
        corruptions: names of the corruptions; the standard fifteen by default.
        severities: the severities to read.
        num_classes: number of class folders.

    Raises:
        FileNotFoundError: a corruption or severity folder does not exist.
        ValueError: a folder has not ``num_classes`` class folders.
    """

    def __init__(
        self,
        data_root: str,
        corruptions: Sequence[str] = tuple(ALEXNET_ERRORS),
        severities: Sequence[int] = (1, 2, 3, 4, 5),
        num_classes: int = 1000,
        **kwargs,
    ):
        self.corruptions = tuple(corruptions)
        self.severities = tuple(severities)
        self.num_classes = num_classes
        super().__init__(data_root=data_root, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List all corruptions, then severities, then classes."""
        data = []
        for corruption in self.corruptions:
            for severity in self.severities:
                root = os.path.join(self.data_root, corruption, str(severity))
                for label, wnid in enumerate(_class_folders(root, self.num_classes)):
                    data += self._samples(
                        os.path.join(root, wnid), label, corruption=corruption, severity=severity
                    )
        return data


@DATASETS.register_module()
class ImageNetR(_ImageNetVariant):
    """ImageNet-R: ``data_root/<wnid>/*.jpg`` with 200 of the 1000 classes of ImageNet-1k.

    Labels are the indices in ImageNet-1k. Use ``SubsetAccuracy(class_indices='imagenet-r')``,
    which restricts the prediction to the 200 classes.

    Args:
        data_root: the folder that holds the 200 class folders.

    Raises:
        FileNotFoundError: the folder does not exist.
        ValueError: it has not 200 class folders.
    """

    def load_data_list(self) -> list[dict]:
        """List the images class by class."""
        data = []
        folders = _class_folders(self.data_root, len(IMAGENET_R_INDICES))
        for label, wnid in zip(IMAGENET_R_INDICES, folders, strict=True):
            data += self._samples(os.path.join(self.data_root, wnid), label)
        return data
