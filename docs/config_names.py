"""What the name of a config says: method, network and data set."""

from __future__ import annotations

import re
from pathlib import Path

# The last part of a config's name, without crop and imbalance ratio.
DATA_SETS = {
    'cifar10-lt': 'CIFAR-10-LT',
    'cifar100-lt': 'CIFAR-100-LT',
    'cifar100-c10-lt': 'CIFAR-100-LT, 10 classes',
    'cifar100-c30-lt': 'CIFAR-100-LT, 30 classes',
    'cifar100': 'CIFAR-100',
    'imagenet-lt': 'ImageNet-LT',
    'inat18': 'iNaturalist 2018',
    'places-lt': 'Places-LT',
    'in1k': 'ImageNet-1k',
    'in1k-c': 'ImageNet-C',
    'in1k-r': 'ImageNet-R',
    'in1k-sketch': 'ImageNet-Sketch',
    'ade20k': 'ADE20K',
    'cityscapes': 'Cityscapes',
    'coco-stuff10k': 'COCO-Stuff10k',
    'pascal-context-59': 'Pascal Context',
    'digits-lt': 'long-tailed digits',
    'digit-scenes': 'digit scenes',
    'camvid': 'CamVid',
}
SEGMENTERS = {
    'deeplabv3plus': 'DeepLabV3+',
    'fcn': 'FCN',
    'fpn': 'FPN',
    'segformer': 'SegFormer',
    'segnext': 'SegNeXt',
    'upernet': 'UPerNet',
}


def recipe_of(path: Path) -> tuple[str, str, str]:
    """Return method, data set and network of a config, read from its name.

    Raises:
        KeyError: the name ends with a data set that has no title here.
    """
    method, network, _, data = path.stem.split('_')
    data = re.sub(r'-\d+x\d+$', '', data)
    data, _, ratio = data.partition('-ir')
    network = re.sub(r'-(patch\d+|p16|mae-pre|in1k-pre|d8).*$', '', network)
    model = method.rsplit('-', 1)[-1]
    if model in SEGMENTERS:
        method = method.removesuffix(model).rstrip('-') or 'ce'
        network = f'{SEGMENTERS[model]} {network}'
    return method, DATA_SETS[data], network + (f', ratio {ratio}' if ratio else '')
