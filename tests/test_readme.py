"""The blocks of README.md and of the other documents are those that ``docs/build.py`` renders."""

from __future__ import annotations

<<<<<<< HEAD
import re
=======
import json
from collections.abc import Callable
from functools import partial
>>>>>>> main
from pathlib import Path

import pytest
from helpers.head_zoo import NEEDS_OPS
from helpers.resolved_configs import recipes

from tests.conftest import load_script

from paco_seg.comparison.report import summary_table
from paco_seg.comparison.suites import SUITES

ROOT = Path(__file__).parents[1]
<<<<<<< HEAD
BUILD = load_script(ROOT / 'docs' / 'build.py')
SECTIONS = BUILD.SECTIONS
=======
QUICKSTART = ROOT / 'docs' / 'quickstart' / 'results.json'
COMPARE = ROOT / 'docs' / 'compare'
LOSS = ROOT / 'benchmarks' / 'results' / 'loss_cpu.json'
ALPHA = ROOT / 'benchmarks' / 'results' / 'alpha_scale.json'
DISPATCH = ROOT / 'benchmarks' / 'results' / 'dispatch_cpu.json'
STEP = ROOT / 'benchmarks' / 'results' / 'train_step_cpu.json'
TITLES = {
    'streaming': 'paco_seg (streaming, default)',
    'dense': 'paco_seg (dense, the equation)',
    'authors': 'published formulation, written by us',
    'pml-supcon': 'SupConLoss of pytorch-metric-learning (no centers)',
}


def machine_of(results: dict) -> str:
    """On what a comparison of :mod:`paco_seg.comparison` was measured."""
    machine = results['machine']
    return (
        f'Measured on {machine["processor"]}, {machine["cores"]} cores, '
        f'torch {results["versions"]["torch"]}.'
    )


def device_of(results: dict) -> str:
    """On what a benchmark was measured."""
    environment = results['environment']
    return f'Measured on {environment["device"]}, torch {environment["torch"]}'


def quickstart_table() -> str:
    """The table that ``make quickstart`` printed, and on what."""
    results = json.loads(QUICKSTART.read_text())
    table = summary_table(results, SUITES['quickstart'].table)
    return (
        f'{table}\n\nPercent on the validation split: mean of {len(results["seeds"])} seeds '
        f'and the range. {machine_of(results)}'
    )


def performance_table() -> str:
    """Time and memory of the loss by formulation and number of pixels."""
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
    """In seconds from one second on."""
    if milliseconds < 1000:
        return f'{milliseconds:.0f} ms'
    return f'{milliseconds / 1000:.1f} s'


def targets_table() -> str:
    """What the loss was held to on the CPU, and whether it is met."""
    lines = ['| target | wanted | measured | |', '|---' * 4 + '|']
    for target in json.loads(LOSS.read_text())['targets']:
        verdict = 'met' if target['met'] else 'missed'
        name = target['name'].replace('|', ',')
        lines.append(f'| {name} | {target["wanted"]} | {target["measured"]:.3g} | {verdict} |')
    return '\n'.join(lines)


def step_table() -> str:
    """What GPaCo adds to a training step of each model."""
    models = json.loads(STEP.read_text())['models']
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
        f'model is built. {device}, float32.'
    )


def dispatch_table() -> str:
    """Where streaming overtakes dense."""
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
    """The table that ``paco-seg compare`` printed, and on what."""
    results = json.loads((COMPARE / suite / 'results.json').read_text())
    table = summary_table(results, SUITES[suite].table)
    return (
        f'{table}\n\nPercent: mean ± standard deviation of {len(results["seeds"])} seeds. '
        f'{machine_of(results)}'
    )


def alpha_table() -> str:
    """Accuracy of ``alpha='auto'`` beside each fixed alpha: mean over the seeds."""
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
    """Baselines, then the alphas from small to large, then 'auto'."""
    method = run['method']
    return (1, method, '') if isinstance(method, float) else (2 * (method == 'auto'), 0, method)


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
    },
    'docs/results.md': {
        'demo-seg:table': partial(comparison_table, 'demo-seg'),
        'demo-cls:table': partial(comparison_table, 'demo-cls'),
    },
}


def section(text: str, name: str) -> tuple[int, int]:
    """Where the text between the two markers of a section starts and ends."""
    start = text.index(f'<!-- {name} -->\n') + len(f'<!-- {name} -->\n')
    return start, text.index(f'<!-- /{name} -->', start)
>>>>>>> main


@pytest.mark.parametrize(
    ('file', 'name'), [(file, name) for file, found in SECTIONS.items() for name in found]
)
def test_tables_state_the_committed_figures(file, name):
    text = (ROOT / file).read_text()
    start, end = BUILD.section(text, name)
    assert text[start:end].strip() == SECTIONS[file][name]().strip()


@pytest.mark.parametrize('file', SECTIONS)
def test_linked_files_exist(file):
    text = (ROOT / file).read_text()
    targets = [part.split(')')[0].split('#')[0] for part in text.split('](')[1:]]
    local = [target for target in targets if target and '://' not in target]
    assert [target for target in local if not (ROOT / file).parent.joinpath(target).exists()] == []
    assert local or file == 'docs/decode_heads.md'


@pytest.mark.parametrize('document', ['README.md', 'docs/decode_heads.md'])
def test_check_names_a_stale_block_and_writes_nothing(document, monkeypatch, capsys):
    before = (ROOT / document).read_text()
    (name, *_) = SECTIONS[document]
    monkeypatch.setattr(BUILD, 'SECTIONS', {document: {name: lambda: 'other figures'}})
    assert BUILD.main(['--check']) == 1
    assert capsys.readouterr().err == (
        f'{document}: expected the block {name} to follow its source. Run python docs/build.py\n'
    )
    assert (ROOT / document).read_text() == before


def test_build_renders_a_block_and_leaves_the_rest(tmp_path, monkeypatch):
    (tmp_path / 'a.md').write_text('one\n\n<!-- x:table -->\nold\n<!-- /x:table -->\n\ntwo\n')
    monkeypatch.setattr(BUILD, 'ROOT', tmp_path)
    monkeypatch.setattr(BUILD, 'SECTIONS', {'a.md': {'x:table': lambda: '| new |'}})
    assert BUILD.main(['--check']) == 1
    assert BUILD.main([]) == BUILD.main(['--check']) == 0
    assert (tmp_path / 'a.md').read_text() == (
        'one\n\n<!-- x:table -->\n\n| new |\n\n<!-- /x:table -->\n\ntwo\n'
    )


def test_configs_table_links_every_config_once():
    assert sorted(re.findall(r'\]\(([\w/.-]+\.py)\)', BUILD.configs_table())) == recipes()


def test_heads_that_need_compiled_ops_are_those_of_the_tests():
    assert BUILD.NEEDS_OPS == NEEDS_OPS
