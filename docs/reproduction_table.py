"""What it would take to repeat each published figure, for docs/reproduction.md."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from config_names import recipe_of

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'


# GFLOP of a forward pass of one image at the training size: multiply-adds x 2, from the tables of
# the networks' papers and of MMSegmentation, rounded. They decide an estimate and nothing else.
GFLOP = {
    'resnet32': 0.14,
    'resnet50 cifar': 2.6,
    'resnet50': 8.2,
    'resnet101': 15.7,
    'resnet152': 23.1,
    'resnet200': 30.1,
    'resnext50-32x4d': 8.5,
    'resnext101-32x4d': 16.0,
    'resnext101-resnext50': 24.5,
    '2x-resnet152': 46.2,
    'vit-base': 35.1,
    'vit-large': 123.0,
    'DeepLabV3+ r18': 218.0,
    'DeepLabV3+ r50': 708.0,
    'DeepLabV3+ r101': 1008.0,
    'FCN hr48': 348.0,
    'UPerNet swin-tiny': 474.0,
    'UPerNet swin-base': 598.0,
    'UPerNet swin-large': 810.0,
}
# Pixels of the figure above, for crops of another size.
SEGMENTER_PIXELS = {'DeepLabV3+': 512 * 1024, 'FCN': 512 * 1024, 'UPerNet': 512 * 512}
SUSTAINED = 20e12  # FLOP per second of an A100 in training, TF32 and AMP alike: a round assumption
TRAINING_PASSES = 3  # forward, and backward at twice its cost
# Forward passes per image: the two views of the classification recipes, and the momentum encoder's.
VIEWS = {
    'multitask': 2.0,
    'gpaco': 2.0,
    'paco': 2.0 + 1.0 / TRAINING_PASSES,
    'bcl': 3.0,
    'proco': 3.0,
}
TRAINING_IMAGES = {
    'CIFAR-10-LT 10': 20431,
    'CIFAR-10-LT 50': 13996,
    'CIFAR-10-LT 100': 12406,
    'CIFAR-100': 50000,
    'CIFAR-100-LT 10': 19573,
    'CIFAR-100-LT 50': 12608,
    'CIFAR-100-LT 100': 10847,
    'ImageNet': 1281167,
    'ImageNet-LT': 115846,
    'iNaturalist 2018': 437513,
    'Places-LT': 62500,
}


def training_data(facts: dict) -> str:
    """Return the name of the data set, with the imbalance ratio as a bare number."""
    return re.sub(r' \(imbalance ratio (\d+)\)', r' \1', facts['Training Data'])


def gpu_hours(model: dict) -> float:
    """Estimate the GPU hours of a recipe.

    Args:
        model: entry of a metafile.

    Raises:
        KeyError: the network or the data set has no figure here.
    """
    facts, path = model['Metadata'], ROOT / model['Config']
    method, _, network = recipe_of(path)
    network = network.split(',')[0]
    if network == 'resnet50' and facts['Training Data'].startswith('CIFAR'):
        network = 'resnet50 cifar'
    cost = GFLOP[network] * 1e9
    segmenter = network.split(' ')[0]
    if segmenter in SEGMENTER_PIXELS:
        height, width = map(int, path.stem.rsplit('-', 1)[1].split('x'))
        cost *= height * width / SEGMENTER_PIXELS[segmenter]
        images = facts['Iterations'] * facts['Batch Size']
    else:
        images = facts['Epochs'] * TRAINING_IMAGES[training_data(facts)]
        cost *= VIEWS.get(method.split('-')[0], 1.0) if 'single-view' not in method else 1.0
    return images * cost * TRAINING_PASSES / SUSTAINED / 3600


def reproduction_table() -> str:
    """Return every published figure of a recipe, with what it would take to repeat it."""
    lines = [
        "| Config | Data set | Published (the paper's) | GPUs | GPU hours (estimate) | Status |",
        '|---' * 6 + '|',
    ]
    for path in sorted(CONFIGS.glob('*/metafile.yml')):
        for model in yaml.safe_load(path.read_text(encoding='utf-8'))['Models']:
            for result in model.get('Results') or []:
                for metric, value in result['Metrics'].items():
                    if not metric.endswith('paper)'):
                        continue
                    name = metric.replace(', paper)', ')').removesuffix(' (paper)')
                    gpus = re.match(r'\d+', model['Name'].split('_')[2])
                    assert gpus is not None  # by the rule of config names
                    hours = gpu_hours(model)
                    rounded = f'{hours:.0f}' if hours >= 10 else f'{hours:.1f}'
                    lines.append(
                        f'| [{model["Name"]}](../{model["Config"]}) | {result["Dataset"]} | '
                        f'{name} {value} | {gpus[0]} | {rounded} | not run here |'
                    )
    return '\n'.join(lines)
