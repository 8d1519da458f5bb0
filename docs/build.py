"""Write the tables of the documentation from committed measurements and from the code.

``python docs/build.py`` (``make docs``) renders every block between ``<!-- name:table -->`` and
``<!-- /name:table -->``; ``--check`` writes nothing, names the blocks that are not what it would
write, and exits with 1 if there is one.
"""

from __future__ import annotations

import argparse
import inspect
import json
import re
import sys
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).parent))  # the tests load this file by its path
import gpu_tables
import reliability_tables
import scale

from paco_seg.cli.swap import systems_of
from paco_seg.comparison.evidence import differences_table, evidence_table
from paco_seg.comparison.report import summary_table
from paco_seg.comparison.suites import SUITES
from paco_seg.engine.systems import JOINT
from paco_seg.files import write_text

ROOT = Path(__file__).parents[1]
CONFIGS = ROOT / 'configs'
QUICKSTART = ROOT / 'docs' / 'quickstart' / 'results.json'
COMPARE = ROOT / 'docs' / 'compare'
SYSTEMS = ROOT / 'docs' / 'systems'
LOSS = ROOT / 'benchmarks' / 'results' / 'loss_cpu.json'
ALPHA = ROOT / 'benchmarks' / 'results' / 'alpha_scale.json'
DISPATCH = ROOT / 'benchmarks' / 'results' / 'dispatch_cpu.json'
SYNCHRONISATIONS = ROOT / 'benchmarks' / 'results' / 'synchronisations.json'
EVIDENCE = ROOT / 'benchmarks' / 'results' / 'evidence'
STEP = ROOT / 'benchmarks' / 'results' / 'train_step_cpu.json'
GPU_STEP = ROOT / 'benchmarks' / 'results' / 'train_step_gpu.json'
TITLES = {
    'streaming': 'paco_seg (streaming, default)',
    'dense': 'paco_seg (dense, the equation)',
    'authors': 'published formulation, written by us',
    'pml-supcon': 'SupConLoss of pytorch-metric-learning (no centers)',
}


def machine_of(results: dict) -> str:
    """Say on what a comparison of :mod:`paco_seg.comparison` was measured."""
    machine = results['machine']
    return (
        f'Measured on {machine["processor"]}, {machine["cores"]} cores, '
        f'torch {results["versions"]["torch"]}.'
    )


def device_of(results: dict) -> str:
    """Say on what a benchmark was measured."""
    environment = results['environment']
    return f'Measured on {environment["device"]}, torch {environment["torch"]}'


def quickstart_table() -> str:
    """Return the table that ``make quickstart`` printed, and on what."""
    results = json.loads(QUICKSTART.read_text())
    table = summary_table(results, SUITES['quickstart'].table)
    return (
        f'{table}\n\nPercent on the validation split: mean of {len(results["seeds"])} seeds '
        f'and the range. {machine_of(results)}'
    )


def performance_table() -> str:
    """Return time and memory of the loss by formulation and number of pixels."""
    results = json.loads(LOSS.read_text())
    cases = [case for case in results['cases'] if case['sets'] == 1 and case['dtype'] == 'float32']
    sizes = (8192, 32768, 131072)
    lines = [
        '| forward + backward, D = 128, C = 150 | '
        + ' | '.join(f'N = {size}' for size in sizes)
        + ' |',
        '|---' * (len(sizes) + 1) + '|',
    ]
    for method, title in TITLES.items():
        cells = []
        for size in sizes:
            found = [c for c in cases if c['method'] == method and c['anchors'] == size]
            if found and 'both' in found[0]:
                seconds = found[0]['both']['median_ms'] / 1000
                cells.append(f'{seconds:.2f} s, {found[0]["peak_mib"]:.0f} MiB')
            else:
                cells.append('not run: time or memory')
        lines.append(f'| {title} | {" | ".join(cells)} |')
    return '\n'.join(lines) + (
        f'\n\nPeak memory over the inputs. {device_of(results)}, float32. No GPU figures yet.'
    )


def duration(milliseconds: float) -> str:
    """Write in seconds from one second on."""
    if milliseconds < 1000:
        return f'{milliseconds:.0f} ms'
    return f'{milliseconds / 1000:.1f} s'


def targets_table() -> str:
    """Return what the loss was held to on the CPU, and whether it is met."""
    lines = ['| target | wanted | measured | |', '|---' * 4 + '|']
    for target in json.loads(LOSS.read_text())['targets']:
        verdict = 'met' if target['met'] else 'missed'
        name = target['name'].replace('|', ',')
        lines.append(f'| {name} | {target["wanted"]} | {target["measured"]:.3g} | {verdict} |')
    return '\n'.join(lines)


def step_table(path: Path = STEP) -> str:
    """Return what GPaCo adds to a training step of each model."""
    models = json.loads(path.read_text())['models']
    lines = ['| model | images | cross entropy | GPaCo | released formulation |', '|---' * 5 + '|']
    for name, model in models.items():
        height, width = model['crop']
        cells = [
            f'{duration(model["time"][variant]["median_ms"])} ({model["over_ce"][variant]:.2f}), '
            f'{model["peak_mib"][variant]:.0f} MiB'
            for variant in ('ce', 'gpaco', 'authors')
        ]
        lines.append(
            f'| {name} | {model["images"]} x {height} x {width} | ' + ' | '.join(cells) + ' |'
        )
    (device,) = {device_of(model) for model in models.values()}  # two machines, two tables
    return '\n'.join(lines) + (
        '\n\nMedian of a step, in brackets over cross entropy; peak memory above that before the '
        f'model is built. {device}, float32{"; amp: bfloat16" if path == GPU_STEP else ""}.'
    )


def dispatch_table() -> str:
    """Return where streaming overtakes dense."""
    results = json.loads(DISPATCH.read_text())
    lines = ['| G | N | M | G N (N + M) | dense | streaming | ratio |', '|---' * 7 + '|']
    for case in results['cases']:
        sets, anchors, keys = case['sets'], case['anchors'], case['keys']
        dense, streaming = (case[impl]['median_ms'] for impl in ('dense', 'streaming'))
        lines.append(
            f'| {sets} | {anchors} | {keys} | {sets * anchors * (anchors + keys)} | '
            f'{dense:.2f} ms | {streaming:.2f} ms | {dense / streaming:.2f} |'
        )
    return '\n'.join(lines) + f'\n\n{device_of(results)}, float32.'


def comparison_table(suite: str) -> str:
    """Return the table that ``paco-seg compare`` printed, and on what."""
    results = json.loads((COMPARE / suite / 'results.json').read_text())
    table = summary_table(results, SUITES[suite].table)
    return (
        f'{table}\n\nPercent: mean ± standard deviation of {len(results["seeds"])} seeds. '
        f'{machine_of(results)}'
    )


def alpha_table() -> str:
    """Return the accuracy of ``alpha='auto'`` beside each fixed alpha: mean over the seeds."""
    results = json.loads(ALPHA.read_text())
    data = list(dict.fromkeys(run['data'] for run in results['runs']))
    methods = dict.fromkeys(run['method'] for run in sorted(results['runs'], key=alpha_order))
    lines = ['| | ' + ' | '.join(data) + ' |', '|---' * (len(data) + 1) + '|']
    for method in methods:
        cells = []
        for name in data:
            runs = [
                run for run in results['runs'] if (run['data'], run['method']) == (name, method)
            ]
            val, test = (fmean(run[split][0] for run in runs) for split in ('val', 'test'))
            product = f' ({runs[0]["product"]:.2g})' if 'product' in runs[0] else ''
            cells.append(f'{val:.1f} / {test:.1f}{product}')
        title = f'alpha {method}' if isinstance(method, float) or method == 'auto' else method
        lines.append(f'| {title} | {" | ".join(cells)} |')
    seeds = {run['seed'] for run in results['runs']}
    return '\n'.join(lines) + (
        f'\n\nPercent on val / test, mean of {len(seeds)} seeds; in brackets alpha |P| of the most '
        f'frequent class. {device_of(results)}.'
    )


def alpha_order(run: dict) -> tuple:
    """Sort baselines, then the alphas from small to large, then 'auto'."""
    method = run['method']
    return (1, method, '') if isinstance(method, float) else (2 * (method == 'auto'), 0, method)


# What a table of heads says beside "through cls_seg".
SPECIAL_HEADS = {
    'IterativeDecodeHead': 'features of the kernel-generating head, logits of the last stage',
    'SegmenterMaskTransformerHead': 'projected patches before their normalisation, as a map',
    'PointHead': 'features, logits and labels of the sampled points',
}
# They build only where mmcv has compiled ops.
NEEDS_OPS = ('CCHead', 'PSAHead')
# Mask classification through MMDetection: importable, but neither pixel classifiers nor
# subclasses of BaseDecodeHead.
MASK_HEADS = ('MaskFormerHead', 'Mask2FormerHead')


def stock_heads() -> list[str]:
    """List the concrete decode heads that the installed MMSegmentation exports."""
    from mmseg.models import decode_heads
    from mmseg.models.decode_heads.decode_head import BaseDecodeHead

    classes = {name: getattr(decode_heads, name) for name in decode_heads.__all__}
    return sorted(
        name
        for name, cls in classes.items()
        if inspect.isclass(cls) and issubclass(cls, BaseDecodeHead) and cls is not BaseDecodeHead
    )


def heads_table() -> str:
    """Return which decode heads carry GPaCo, and how."""
    from paco_seg.seg.heads.feature_taps import REFUSED_HEADS

    rows = ['| Head | GPaCo | How |', '|---|---|---|']
    for name in stock_heads():
        if name in REFUSED_HEADS:
            rows.append(f'| {name} | refused | {REFUSED_HEADS[name]} |')
        elif name in SPECIAL_HEADS:
            rows.append(f'| {name} | works | {SPECIAL_HEADS[name]} |')
        elif name in NEEDS_OPS:
            rows.append(
                f'| {name} | works where it builds | through `cls_seg`; the head itself needs '
                'the compiled ops of mmcv |'
            )
        else:
            rows.append(f'| {name} | works | through `cls_seg` |')
    rows += [
        f'| {name} | refused | mask classification, no pixel classifier |' for name in MASK_HEADS
    ]
    return '\n'.join(rows)


def systems_table(scope: str) -> str:
    """Return the systems of a task: what they change, need and cost, and how far they reach."""
    systems, counted = systems_of(scope), stock_counts(scope)
    lines = [
        '| System | What it changes | Needs | Settings worth searching | At inference '
        '| Stock configs |',
        '|---' * 6 + '|',
    ]
    for name in [*systems, *systems.combinations()]:
        system = systems.resolve(name)
        known = asdict(system.needs)
        known['takes_frequencies'] &= not known['class_frequencies']
        needs = [text for key, text in NEEDS.items() if known[key]]
        if system.source:
            needs.append(f'weights of `{system.source}`')
        if not system.trains:
            needs.append('no training')
        search = '; '.join(
            f'`{key}` {", ".join(map(str, values))}' for key, values in system.search.items()
        )
        found = counted['systems'].get(name)
        cells = (
            f'`{name}`',
            'both' if JOINT in name else system.summary,
            ', '.join(needs) or 'nothing',
            search or 'none',
            system.inference,
            str(found['swapped']) if found else 'not tried',
        )
        lines.append('| ' + ' | '.join(cells) + ' |')
    if not counted['systems']:
        return '\n'.join(lines)
    buildable = counted['configs'] - len(counted['not_buildable'])
    return '\n'.join(lines) + (
        f'\n\nStock configs: those of {counted["configs"]} that the system was written into and '
        f'built; {buildable} of them build here without a system, the others want packages or '
        'compiled operations that are not installed.'
    )


def stock_counts(scope: str) -> dict[str, Any]:
    """Return what ``paco-seg swap --check-all`` wrote; no counts where nobody ran it."""
    path = SYSTEMS / f'{scope}.json'
    if not path.is_file():
        return dict(configs=0, not_buildable={}, systems={})
    return json.loads(path.read_text())


def refusals_table(scope: str) -> str:
    """Return why systems refuse stock configs, and how many."""
    counted = stock_counts(scope)
    found: dict[str, dict[str, int]] = {}
    for name, result in counted['systems'].items():
        for reason in result['refused'].values():
            systems = found.setdefault(reason, {})
            systems[name] = systems.get(name, 0) + 1
    lines = ['| Reason | Systems and number of configs |', '|---|---|']
    for reason, systems in sorted(found.items(), key=lambda item: -max(item[1].values())):
        cells = ', '.join(f'`{name}` {number}' for name, number in systems.items())
        lines.append(f'| {reason.replace("|", ",")} | {cells} |')
    return '\n'.join(lines)


# What a table of systems says about each need.
NEEDS = {
    'class_frequencies': 'class frequencies',
    'takes_frequencies': 'class frequencies where they are known',
    'two_views': 'two views of each image',
    'three_views': 'three views of each image',
    'class_balanced_sampler': 'another sampling of the training set',
    'pretrained_transformer': 'a pretrained vision transformer',
}

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


def configs_table() -> str:
    """Return every config by method, data set and network."""
    rows: dict[tuple[str, str, int], list[tuple[str, str]]] = {}
    order = list(DATA_SETS.values())
    for path in CONFIGS.glob('*/*.py'):
        folder = path.parent.name
        if folder != '_base_':
            method, data, network = recipe_of(path)
            links = rows.setdefault((folder, method, order.index(data)), [])
            links.append((network, f'{folder}/{path.name}'))
    lines = ['| Method | Data set | Networks |', '|---|---|---|']
    for (folder, method, data), links in sorted(rows.items()):
        about = CONFIGS / folder / 'README.md'
        name = f'[{method}]({folder}/README.md)' if about.exists() else f'{method} ({folder})'
        cells = [f'[{network}]({target})' for network, target in sorted(links, key=natural)]
        lines.append(f'| {name} | {order[data]} | {" · ".join(cells)} |')
    return '\n'.join(lines)


def natural(link: tuple[str, str]) -> list[Any]:
    """Sort numbers inside names by their size."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', link[0])]


def synchronisations_table() -> str:
    """Return how often a training step of each system makes the host wait for the device."""
    lines = ['| task | system | waits of ours per step |', '|---|---|---|']
    for task, counts in json.loads(SYNCHRONISATIONS.read_text()).items():
        lines += [f'| {task} | {system} | {count} |' for system, count in counts.items()]
    return '\n'.join(lines)


# A question of docs/evidence.md -> task -> the differences that answer it.
QUESTIONS: dict[str, dict[str, list[tuple[str, str]]]] = {
    'gain': {
        'mmseg': [
            ('gpaco', name)
            for name in ('ce', 'log-prior', 'class-weighted-ce', 'rare-class-sampling')
        ],
        'mmpretrain': [
            ('gpaco', name)
            for name in ('ce', 'balanced-softmax', 'class-weighted-ce', 'class-aware-sampling')
        ],
    },
    'adds': {
        'mmseg': [
            ('gpaco+log-prior', 'log-prior'),
            ('gpaco+region-rebalance', 'region-rebalance'),
        ],
        'mmpretrain': [('gpaco', 'balanced-softmax'), ('paco', 'balanced-softmax')],
    },
}
# Comparisons of docs/evidence.md: folder of the JSON -> title, task.
EVIDENCE_SETS = {
    'camvid': ('CamVid', 'mmseg'),
    'cifar100-lt-ir100': ('CIFAR-100-LT, ratio 100', 'mmpretrain'),
}
EVIDENCE_PARTS = {
    'cifar100-c10-lt-ir100': ('10 classes, ratio 100', 'mmpretrain'),
    'cifar100-c30-lt-ir100': ('30 classes, ratio 100', 'mmpretrain'),
    'cifar100-c10-lt-ir10': ('10 classes, ratio 10', 'mmpretrain'),
    'cifar100-c30-lt-ir10': ('30 classes, ratio 10', 'mmpretrain'),
    'cifar100-lt-ir10': ('100 classes, ratio 10', 'mmpretrain'),
}


def question_table(question: str) -> str:
    """Return the differences that answer a question, on both sets."""
    tables = []
    for folder, (title, task) in EVIDENCE_SETS.items():
        pairs = QUESTIONS[question][task]
        tables.append(differences_table({title: EVIDENCE / folder}, pairs))
    return '\n\n'.join(tables)


def evidence_of(folder: str) -> str:
    """Return the table of a comparison on photographs, or what it lacks."""
    systems = systems_of(EVIDENCE_SETS[folder][1])
    return evidence_table(EVIDENCE / folder, [*systems, *JOINT_SYSTEMS[EVIDENCE_SETS[folder][1]]])


# Combinations that a complete table has beside all systems.
JOINT_SYSTEMS = {'mmseg': ('gpaco+log-prior', 'gpaco+region-rebalance'), 'mmpretrain': ()}


def parts_table() -> str:
    """Return how the answer changes with the number of classes and the imbalance."""
    folders = {title: EVIDENCE / folder for folder, (title, _) in EVIDENCE_PARTS.items()}
    pairs = [('gpaco', 'ce'), ('balanced-softmax', 'ce'), ('gpaco', 'balanced-softmax')]
    return differences_table(folders, pairs)


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
    'UPerNet swin-tiny': 474.0,
    'UPerNet swin-base': 598.0,
    'UPerNet swin-large': 810.0,
}
# Pixels of the figure above, for crops of another size.
SEGMENTER_PIXELS = {'DeepLabV3+': 512 * 1024, 'UPerNet': 512 * 512}
SUSTAINED = 20e12  # FLOP per second of an A100 in training, TF32 and AMP alike: a round assumption
TRAINING_PASSES = 3  # forward, and backward at twice its cost
# Forward passes per image: the two views of the classification recipes, and the momentum encoder's.
VIEWS = {'multitask': 2.0, 'gpaco': 2.0, 'paco': 2.0 + 1.0 / TRAINING_PASSES}
TRAINING_IMAGES = {
    'CIFAR-100': 50000,
    'CIFAR-100-LT 10': 19573,
    'CIFAR-100-LT 50': 12608,
    'CIFAR-100-LT 100': 10847,
    'ImageNet': 1281167,
    'ImageNet-LT': 115846,
    'iNaturalist 2018': 437513,
    'Places-LT': 62500,
}


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
        images = facts['Epochs'] * TRAINING_IMAGES[facts['Training Data']]
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


# file -> marker -> what stands there
SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    'README.md': {
        'quickstart:table': quickstart_table,
        'performance:table': performance_table,
        'step:table': step_table,
    },
    'benchmarks/README.md': {
        'dispatch:table': dispatch_table,
        'alpha:table': alpha_table,
        'targets:table': targets_table,
        'step:table': step_table,
        'gpu-sizes:table': gpu_tables.sizes_table,
        'gpu-step:table': partial(step_table, GPU_STEP),
        'tiles:table': gpu_tables.tiles_table,
        'gpu-digits:table': gpu_tables.digits_table,
    },
    'configs/README.md': {'configs:table': configs_table},
    'docs/decode_heads.md': {'heads:table': heads_table},
    'docs/gpu.md': {
        'gpu-loss:table': gpu_tables.loss_table,
        'gpu-targets:table': gpu_tables.targets_table,
        'gpu-errors:table': gpu_tables.errors_table,
        'gpu-tests:table': gpu_tables.checks_table,
        'synchronisations:table': synchronisations_table,
    },
    'docs/reliability.md': {
        'reliability:table': reliability_tables.promises_table,
        'reliability-losses:table': reliability_tables.losses_list,
        'reliability-runs:table': reliability_tables.runs_table,
        'reliability-figures:table': reliability_tables.figures_table,
    },
    'docs/scale.md': {
        'scale-ranks:table': scale.ranks_table,
        'scale-classes:table': scale.classes_table,
        'scale-limits:table': scale.limits_table,
    },
    'docs/systems.md': {
        'mmseg-systems:table': partial(systems_table, 'mmseg'),
        'mmseg-refusals:table': partial(refusals_table, 'mmseg'),
        'mmpretrain-systems:table': partial(systems_table, 'mmpretrain'),
        'mmpretrain-refusals:table': partial(refusals_table, 'mmpretrain'),
    },
    'docs/evidence.md': {
        **{f'{name}:table': partial(evidence_of, name) for name in EVIDENCE_SETS},
        **{f'{name}:question': partial(question_table, name) for name in QUESTIONS},
        'parts:question': parts_table,
    },
    'docs/reproduction.md': {'reproduction:table': reproduction_table},
    'docs/results.md': {
        'demo-seg:table': partial(comparison_table, 'demo-seg'),
        'demo-cls:table': partial(comparison_table, 'demo-cls'),
    },
}


def section(text: str, name: str) -> tuple[int, int]:
    """Return where the text between the two markers of a section starts and ends."""
    start = text.index(f'<!-- {name} -->\n') + len(f'<!-- {name} -->\n')
    return start, text.index(f'<!-- /{name} -->', start)


def rendered(text: str, name: str, render: Callable[[], str]) -> str:
    """Return the document with one block as the committed files and the code have it."""
    start, end = section(text, name)
    return f'{text[:start]}\n{render().strip()}\n\n{text[end:]}'


def main(arguments: list[str] | None = None) -> int:
    """Write the blocks, or report the stale ones."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n', 1)[0])
    parser.add_argument('--check', action='store_true', help='compare only; 1 if one is stale')
    check = parser.parse_args(arguments).check
    stale = []
    for document, blocks in SECTIONS.items():
        path = ROOT / document
        old = text = path.read_text(encoding='utf-8')
        for name, render in blocks.items():
            new = rendered(text, name, render)
            if new != text:
                stale.append(f'{document}: expected the block {name} to follow its source')
            text = new
        if text != old and not check:
            write_text(path, text)
    if check and stale:
        print('\n'.join(f'{line}. Run python docs/build.py' for line in stale), file=sys.stderr)
        return 1
    return 0


if __name__ == '__main__':
    sys.exit(main())
