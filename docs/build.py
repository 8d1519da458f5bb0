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

sys.path.insert(0, str(Path(__file__).parent))  # the tests load this file by its path
import evidence_tables
import gpu_tables
import reliability_tables
import scale
from config_names import DATA_SETS, recipe_of
from reproduction_table import reproduction_table

from paco_seg.cli.swap import systems_of
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
DIAGNOSTICS = ROOT / 'benchmarks' / 'results' / 'diagnostics_cpu.json'
SYNCHRONISATIONS = ROOT / 'benchmarks' / 'results' / 'synchronisations.json'
STEP = ROOT / 'benchmarks' / 'results' / 'train_step_cpu.json'
GPU_STEP = ROOT / 'benchmarks' / 'results' / 'train_step_gpu.json'
TITLES = {
    'streaming': 'paco_seg (streaming, default)',
    'dense': 'paco_seg (dense, the equation)',
    'authors': 'published formulation, written by us',
    'pml-supcon': 'SupConLoss of pytorch-metric-learning (no centers)',
}


def machine_of(results: dict[str, Any]) -> str:
    """Say on what a comparison of :mod:`paco_seg.comparison` was measured."""
    machine = results['machine']
    return (
        f'Measured on {machine["processor"]}, {machine["cores"]} cores, '
        f'torch {results["versions"]["torch"]}.'
    )


def device_of(results: dict[str, Any]) -> str:
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
    return '\n'.join(lines) + (f'\n\nPeak memory over the inputs. {device_of(results)}, float32.')


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
            frequent = fmean(run['test'][1] for run in runs)
            product = f' ({runs[0]["product"]:.2g})' if 'product' in runs[0] else ''
            cells.append(f'{val:.1f} / {test:.1f} / {frequent:.1f}{product}')
        title = f'alpha {method}' if isinstance(method, float) or method == 'auto' else method
        lines.append(f'| {title} | {" | ".join(cells)} |')
    seeds = {run['seed'] for run in results['runs']}
    return '\n'.join(lines) + (
        f'\n\nPercent on val / test / the most frequent third of the classes on test, mean of '
        f'{len(seeds)} seeds; in brackets alpha |P| of the most frequent class. '
        f'{device_of(results)}.'
    )


def alpha_order(run: dict[str, Any]) -> tuple[int, float, str]:
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
    from paco_seg.seg.heads.feature_taps import MASK_HEADS, REFUSED_HEADS

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
        f'| {name} | works where it builds | pixel embeddings of the pixel decoder, with an '
        'auxiliary classifier in training; needs MMDetection and the compiled ops of mmcv |'
        for name in MASK_HEADS
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


def names_table() -> str:
    """Return the names of all systems, by task."""
    lines = ['| task | systems |', '|---|---|']
    for task, scope in (('segmentation', 'mmseg'), ('classification', 'mmpretrain')):
        names = ' · '.join(f'`{system.name}`' for system in systems_of(scope).values())
        lines.append(f'| {task} | {names} |')
    return '\n'.join(lines) + '\n\nWhat each does, needs and costs: [systems](docs/systems.md).'


def stock_counts(scope: str) -> dict[str, Any]:
    """Return what ``paco-seg swap --check-all`` wrote; no counts where nobody ran it."""
    path = SYSTEMS / f'{scope}.json'
    if not path.is_file():
        return dict(configs=0, not_buildable={}, systems={})
    counts: dict[str, Any] = json.loads(path.read_text())
    return counts


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
    for (folder, method, place), links in sorted(rows.items()):
        about = CONFIGS / folder / 'README.md'
        name = f'[{method}]({folder}/README.md)' if about.exists() else f'{method} ({folder})'
        cells = [f'[{network}]({target})' for network, target in sorted(links, key=natural)]
        lines.append(f'| {name} | {order[place]} | {" · ".join(cells)} |')
    return '\n'.join(lines)


def natural(link: tuple[str, str]) -> list[Any]:
    """Sort numbers inside names by their size."""
    return [int(part) if part.isdigit() else part for part in re.split(r'(\d+)', link[0])]


def diagnostics_table() -> str:
    """Return what the hook of the diagnostics costs."""
    results = json.loads(DIAGNOSTICS.read_text())
    lines = ['| demo training | step | step that is looked at | 1 in 50 |', '|---|---|---|---|']
    for title, case in results.items():
        plain, looked_at = (case[key]['median_ms'] for key in ('plain', 'looked_at'))
        cost = f'{case["cost"]:.2%}'
        lines.append(f'| {title} | {plain:.1f} ms | {looked_at:.1f} ms | {cost} |')
    return '\n'.join([*lines, '', f'{device_of(case)}, one thread; time of the process, medians.'])


def synchronisations_table() -> str:
    """Return how often a training step of each system makes the host wait for the device."""
    lines = ['| task | system | waits of ours per step |', '|---|---|---|']
    for task, counts in json.loads(SYNCHRONISATIONS.read_text()).items():
        lines += [f'| {task} | {system} | {count} |' for system, count in counts.items()]
    return '\n'.join(lines)


# file -> marker -> what stands there
SECTIONS: dict[str, dict[str, Callable[[], str]]] = {
    'README.md': {
        'quickstart:table': quickstart_table,
        'systems:table': names_table,
        'performance:table': performance_table,
        'gpu-short:table': gpu_tables.short_table,
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
    'docs/pictures.md': {'diagnostics:table': diagnostics_table},
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
        **{
            f'{name}:{kind}': partial(render, name)
            for name in evidence_tables.EVIDENCE_SETS
            for kind, render in (
                ('table', evidence_tables.evidence_of),
                ('command', evidence_tables.evidence_command),
            )
        },
        **{
            f'{name}:question': partial(evidence_tables.question_table, name)
            for name in evidence_tables.QUESTIONS
        },
        **{
            f'{name}:{kind}': partial(render, name)
            for name in evidence_tables.SETTINGS_STUDIES
            for kind, render in (
                ('question', evidence_tables.settings_table),
                ('command', evidence_tables.settings_command),
            )
        },
        'parts:question': evidence_tables.parts_table,
        'schedule:question': evidence_tables.schedule_table,
        'schedule:command': evidence_tables.schedule_command,
        **{
            f'{name}-search:{kind}': partial(render, name)
            for name in evidence_tables.SEARCHED
            for kind, render in (
                ('question', evidence_tables.search_table),
                ('command', evidence_tables.search_command),
            )
        },
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
