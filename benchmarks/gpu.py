"""Everything that has to be done on a GPU, in one command of under eight minutes (``make gpu``).

python benchmarks/gpu.py [--seconds 450] [--out benchmarks/results/gpu.json] [--sections errors ...]

Sections, most important first; one that fails or has no time left says so and the others go on.
Those of the loss need torch and Triton alone, the others MM packages and pytest. The last lines are
a short table; everything is in the JSON, which is complete after every section. A section that has
not run keeps what an earlier run on the same card and torch left there, with its date.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import torch
from published_formulation import published_formulation
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core import parametric_contrastive_loss
from paco_seg.files import write_json

ROOT = Path(__file__).parents[1]
ALPHA, TEMPERATURE = 0.01, 0.07
CHANNELS, CLASSES = 128, 150
IGNORE = 255
# name -> (impl, dtype of rows and logits, torch.set_float32_matmul_precision)
METHODS = {
    'fused bf16x3': ('triton', 'float32', 'highest'),
    'fused tf32': ('triton', 'float32', 'high'),
    'fused float16': ('triton', 'float16', 'highest'),
    'fused bfloat16': ('triton', 'bfloat16', 'highest'),
    'streaming': ('streaming', 'float32', 'highest'),
    'streaming tf32': ('streaming', 'float32', 'high'),
    'dense': ('dense', 'float32', 'highest'),
    'dense tf32': ('dense', 'float32', 'high'),
    'published': ('published', 'float32', 'highest'),
}
# What the interpreter and the roundings of the operands allow, relative to the largest entry of
# the truth (at least 1) and to 1 / T; the same bounds as in the tests of the kernels.
LIMITS = {
    'fused bf16x3': 2**-15,
    'fused tf32': 2**-9,
    'fused float16': 2**-10,
    'fused bfloat16': 2**-7,
    'streaming': 2e-5,
    'streaming tf32': 2**-9,
}
# (G, N, M): the recipes of segmentation and classification, a large map, one set of all pixels.
SPEED = [(4, 8192, 0), (1, 8192, 0), (2, 8192, 4096), (1, 512, 8192), (1, 16384, 0), (1, 32768, 0)]
LARGEST = (1, 131072, 0)
CROSSOVER = [(1, n, 0) for n in (64, 128, 256, 512, 1024, 2048)] + [(1, 256, 1024)]
# Where the target names it, (method, times faster than published at 4 x 8192).
FASTER = {'fused bf16x3': 10.0, 'fused float16': 20.0, 'fused bfloat16': 20.0}
LARGEST_MS = 100.0
STEP_RATIO = 1.05


class Clock:
    """Seconds that are left for everything."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds until the end, negative after it."""
        return self._end - time.monotonic()


def inputs(
    size: tuple[int, int, int],
    device: str,
    dtype: str = 'float32',
    *,
    channels: int = CHANNELS,
    classes: int = CLASSES,
) -> dict[str, Tensor]:
    """Unit rows, labels, logits and keys from a CPU generator; leaves where gradients flow."""
    sets, anchors, keys = size
    rng = torch.Generator().manual_seed(0)
    kind = getattr(torch, dtype)

    def leaf(tensor: Tensor) -> Tensor:
        return tensor.to(device, kind).requires_grad_()

    made = {
        'embeddings': leaf(
            F.normalize(torch.randn(sets, anchors, channels, generator=rng), dim=-1)
        ),
        'labels': torch.randint(0, classes, (sets, anchors), generator=rng).to(device),
        'center_logits': leaf(torch.randn(sets, anchors, classes, generator=rng)),
    }
    if keys:
        rows = F.normalize(torch.randn(keys, channels, generator=rng), dim=-1)
        made['keys'] = rows.to(device, kind)
        made['key_labels'] = torch.randint(-1, classes, (keys,), generator=rng).to(device)
    return made


def loss_of(impl: str, tensors: dict[str, Tensor], **settings: Any) -> Tensor:
    """The loss by one implementation."""
    if impl == 'published':
        return published_formulation(
            tensors['embeddings'],
            tensors['labels'],
            tensors['center_logits'],
            alpha=ALPHA,
            temperature=TEMPERATURE,
        )
    settings = dict(alpha=ALPHA, temperature=TEMPERATURE, unit_rows=True) | settings | tensors
    return parametric_contrastive_loss(impl=impl, **settings)


def outputs(impl: str, tensors: dict[str, Tensor], **settings: Any) -> list[Tensor]:
    """The loss and its gradients."""
    leaves = [tensor for tensor in tensors.values() if tensor.requires_grad]
    loss = loss_of(impl, tensors, **settings)
    return [loss.detach(), *torch.autograd.grad(loss.sum(), leaves)]


def errors(device: str, clock: Clock, methods: list[str], anchors: int = 1500) -> dict[str, Any]:
    """Largest error of each method against float64, beside what the checks without a GPU allow."""
    found: dict[str, Any] = {}
    settings = dict(
        ignore_index=IGNORE, contrast_ignored=False, reduction='none', label_smoothing=0.1
    )
    for method in methods:
        if method not in LIMITS or clock.left() < 0:
            continue
        impl, dtype, products = METHODS[method]
        torch.set_float32_matmul_precision(products)
        tensors = inputs((2, anchors, anchors // 2), device, dtype)
        tensors['labels'][:, ::7] = IGNORE
        tensors['keys'].requires_grad_()
        actual = outputs(impl, tensors, **settings)
        torch.set_float32_matmul_precision('highest')
        exact = {
            name: tensor.detach().double().requires_grad_(tensor.requires_grad)
            if tensor.is_floating_point()
            else tensor
            for name, tensor in tensors.items()
        }
        truth = outputs('dense', exact, **settings)
        names = ('loss', 'embeddings', 'logits', 'keys')
        worst = {
            name: float((a.double() - t).abs().max() / t.abs().max())
            for name, a, t in zip(names, actual, truth, strict=True)
        }
        scaled = max(
            float((a.double() - t).abs().max()) / max(1.0, float(t.abs().max()))
            for a, t in zip(actual, truth, strict=True)
        )
        found[method] = worst | {'within': scaled <= LIMITS[method] / TEMPERATURE}
    return found


def repeatable(device: str, clock: Clock, methods: list[str], size: Any) -> dict[str, Any]:
    """Whether two runs give the same bits."""
    found: dict[str, Any] = {}
    for method in methods:
        impl, dtype, products = METHODS[method]
        if impl in ('dense', 'published') or clock.left() < 0:
            continue
        torch.set_float32_matmul_precision(products)
        tensors = inputs(size, device, dtype)
        first, second = outputs(impl, tensors), outputs(impl, tensors)
        found[method] = all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    torch.set_float32_matmul_precision('highest')
    return found


def synchronisations(device: str, clock: Clock, methods: list[str], size: Any) -> dict[str, Any]:
    """Whether a step of the loss runs while PyTorch forbids the host to wait for the device."""
    found: dict[str, Any] = {}
    for method in methods:
        impl, dtype, products = METHODS[method]
        if impl == 'published' or clock.left() < 0:
            continue
        torch.set_float32_matmul_precision(products)
        tensors = inputs(size, device, dtype)
        outputs(impl, tensors)  # compiles, and looks at the device once and for all
        if device == 'cuda':
            torch.cuda.set_sync_debug_mode('error')
        try:
            outputs(impl, tensors)
            found[method] = 'none'
        except RuntimeError as error:
            found[method] = str(error).split('\n')[0]
        finally:
            if device == 'cuda':
                torch.cuda.set_sync_debug_mode('default')
    torch.set_float32_matmul_precision('highest')
    return found


def measure(method: str, size: tuple[int, int, int], device: str, seconds: float) -> dict[str, Any]:
    """Milliseconds of forward and backward and peak memory over the inputs.

    On a GPU the host runs ahead, as it does in a training; ``standstill`` starts with an idle GPU
    and so contains what the host takes for its launches.
    """
    impl, dtype, products = METHODS[method]
    torch.set_float32_matmul_precision(products)
    tensors = inputs(size, device, dtype)
    leaves = [tensor for tensor in tensors.values() if tensor.requires_grad]

    def call(hold: float = 25.0) -> list[float]:
        for leaf in leaves:
            leaf.grad = None
        common.synchronize(device)
        if device == 'cuda' and hold:
            common.hold_device(hold)
        laps = common.Laps(device)
        loss = loss_of(impl, tensors)
        laps.mark()
        loss.backward()
        laps.mark()
        return laps.milliseconds()

    try:
        call()
        call()
        for leaf in leaves:
            leaf.grad = None
        peak = common.PeakMemory(device)
        call()
        memory = peak.mib()
        laps = common.repeat(call, seconds=seconds, most=20, least=3)
        idle = common.repeat(lambda: call(0.0), seconds=seconds / 2, most=20, least=3)
    finally:
        torch.set_float32_matmul_precision('highest')
    return dict(
        method=method,
        size=list(size),
        forward=common.summary([lap[0] for lap in laps]),
        backward=common.summary([lap[1] for lap in laps]),
        both=common.summary([sum(lap) for lap in laps]),
        standstill=common.summary([sum(lap) for lap in idle]),
        peak_mib=memory,
    )


def speed(
    device: str,
    clock: Clock,
    methods: list[str],
    sizes: list[tuple[int, int, int]],
    seconds: float = 0.4,
) -> list[dict[str, Any]]:
    """Each method at each size; one that does not fit the memory is listed as such."""
    records = []
    for size in sizes:
        for method in methods:
            if METHODS[method][0] == 'published' and size[2]:
                continue  # the released loss of segmentation has no keys
            record = dict(method=method, size=list(size))
            if clock.left() < 0:
                records.append(record | {'not_run': 'no time left'})
                continue
            try:
                record = measure(method, size, device, seconds)
            except torch.OutOfMemoryError:
                record['not_run'] = 'out of memory'
                torch.cuda.empty_cache()
            records.append(record)
    return records


# What is not timed runs side by side. The suites count what the host waits for.
TESTS = {
    'core': ['-n', '4', '-m', 'gpu', 'tests/core'],
    'every head': ['-n', '6', 'tests/seg/pretended_suite.py'],
    'every classifier': ['tests/cls/pretended_suite.py'],
    'the commands': ['-n', '4', '-m', 'gpu', 'tests/cli'],
}


def tests(clock: Clock) -> dict[str, Any]:
    """Tests that need a GPU, and the suites of the pretended GPU on the real one."""
    torch.cuda.empty_cache()  # for the other processes
    running = {
        name: subprocess.Popen(
            [sys.executable, '-m', 'pytest', '-q', '-p', 'no:cacheprovider', *arguments],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=os.environ | {'REAL_DEVICE': '1'},
        )
        for name, arguments in TESTS.items()
    }
    found: dict[str, Any] = {}
    for name, process in running.items():
        try:
            said = process.communicate(timeout=max(clock.left(), 1))[0]
        except subprocess.TimeoutExpired:
            process.kill()
            said = f'{process.communicate()[0]}\nno time left'
        lines = said.strip().splitlines()
        failed = [line for line in lines if line.startswith(('FAILED', 'ERROR'))]
        found[name] = dict(passed=process.returncode == 0, said=[*failed, *lines[-1:]])
        if process.returncode:
            print(f'{name}:\n{said[-8000:]}', flush=True)
    return found


def segmentation_steps(clock: Clock) -> dict[str, Any]:
    """Training steps with and without GPaCo, by the benchmark of steps; needs MMSegmentation."""
    import mmseg  # noqa: F401

    command = [sys.executable, 'benchmarks/bench_train_step.py', '--preset', 'gpu']
    command += ['--only', 'upernet-swin-t', 'deeplabv3plus-r50', '--seconds', '5']
    path = common.RESULTS / 'train_step_gpu.json'
    path.unlink(missing_ok=True)  # of another day
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=max(clock.left(), 1)
    )
    if not path.exists():
        raise RuntimeError(done.stderr.strip()[-1000:])
    return json.loads(path.read_text())


def long_tailed_digits() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Digits of scikit-learn as (3, 32, 32) images: training part, 100 to 2 a class, and test."""
    from sklearn.datasets import load_digits

    found = load_digits()
    images = torch.from_numpy(found.images).float()[:, None] / 8 - 1
    images = F.interpolate(images, size=(32, 32), mode='bilinear').expand(-1, 3, -1, -1)
    labels = torch.from_numpy(found.target)
    train, test = [], []
    for label in range(10):
        places = (labels == label).nonzero().flatten()
        train.append(places[: round(100 * 0.02 ** (label / 9))])
        test.append(places[100:])
    first, second = torch.cat(train), torch.cat(test)
    return images[first], labels[first], images[second], labels[second]


def classification_training(device: str, clock: Clock, steps: int = 300) -> dict[str, Any]:
    """Train a ResNet-32 on long-tailed images of 32 x 32: top-1 and time; needs MMPretrain."""
    from mmpretrain.registry import MODELS
    from mmpretrain.structures import DataSample

    import paco_seg.cls  # noqa: F401

    images, labels, test_images, test_labels = (part.to(device) for part in long_tailed_digits())
    counts = labels.bincount(minlength=10).tolist()
    parts = dict(
        backbone=dict(type='CIFARResNet', depth=32), neck=dict(type='GlobalAveragePooling')
    )
    sizes = dict(num_classes=10, in_channels=64)
    balanced = dict(type='BalancedSoftmaxLoss', class_prior=counts)
    systems = {
        'cross entropy': ('ImageClassifier', dict(type='LinearClsHead', **sizes)),
        'Balanced Softmax': ('ImageClassifier', dict(type='LinearClsHead', loss=balanced, **sizes)),
        'GPaCo': (
            'GPaCoClassifier',
            dict(type='GPaCoClsHead', queue_size=1024, loss=dict(class_prior=counts), **sizes),
        ),
    }
    found: dict[str, Any] = {}
    for name, (kind, head) in systems.items():
        torch.manual_seed(0)
        model = MODELS.build(dict(type=kind, **parts, head=head)).to(device).train()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        times = []
        for _ in range(steps):
            laps = common.Laps(device)
            places = torch.randint(0, len(labels), (128,), device=device)
            samples = [DataSample().set_gt_label(label) for label in labels[places].unsqueeze(1)]
            views = [_shifted(images[places]) for _ in range(2 if kind.startswith('GPaCo') else 1)]
            losses = model.loss(views if len(views) > 1 else views[0], samples)
            total = sum(value for key, value in losses.items() if 'loss' in key)
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            schedule.step()
            laps.mark()
            times.append(laps)
        model.eval()
        with torch.no_grad():
            scores = model.head(model.extract_feat(test_images))
        hit = (scores.argmax(dim=1) == test_labels).float()
        found[name] = common.summary([laps.milliseconds()[0] for laps in times[steps // 4 :]])
        found[name] |= {
            'loss': float(total.detach()),
            'top1': 100 * float(hit.mean()),
            'top1_of_the_five_rarest': 100 * float(hit[test_labels >= 5].mean()),
        }
        if clock.left() < 0:
            break
    return found


def _shifted(images: Tensor) -> Tensor:
    """A view of a batch: moved by up to three pixels, with noise."""
    shift = torch.randint(-3, 4, (2,)).tolist()
    return images.roll(shift, dims=(2, 3)) + 0.1 * torch.randn_like(images)


def targets(results: dict[str, Any]) -> list[dict[str, Any]]:
    """Each target with what was measured; None where it was not."""
    outcome = []

    def milliseconds(method: str, size: tuple[int, int, int]) -> float | None:
        for record in results.get('speed') or []:
            if record['method'] == method and tuple(record['size']) == size and 'both' in record:
                return float(record['both']['median_ms'])
        return None

    def add(name: str, measured: float | None, limit: float, at_least: bool) -> None:
        met = None
        if measured is not None:
            met = measured >= limit if at_least else measured <= limit
        sign = '>=' if at_least else '<='
        outcome.append(dict(name=name, wanted=f'{sign} {limit:g}', measured=measured, met=met))

    theirs = milliseconds('published', SPEED[0])
    for method, factor in FASTER.items():
        ours = milliseconds(method, SPEED[0])
        ratio = theirs / ours if theirs and ours else None
        add(f'{method}, 4 x 8192: times faster than published', ratio, factor, True)
    for method in ('fused float16', 'fused bfloat16'):
        add(f'{method}, N = 131072: ms', milliseconds(method, LARGEST), LARGEST_MS, False)
    models = (results.get('segmentation steps') or {}).get('models', {})
    for label, precision in (('upernet-swin-t', 'float32'), ('upernet-swin-t-amp', 'autocast')):
        ratio = models[label]['over_ce']['gpaco'] if label in models else None
        name = f'UPerNet Swin-T, 512 x 512, {precision}: GPaCo step over cross entropy'
        add(name, ratio, STEP_RATIO, False)
    return outcome


def report(results: dict[str, Any]) -> str:
    """The short table: errors, repeatability, waits, times, targets, and what failed."""
    rows = []
    answers: dict[bool | None, str] = {True: 'yes', False: 'NO'}
    for method, found in (results.get('errors') or {}).items():
        rows.append(
            [
                method,
                f'{found["loss"]:.1e}',
                f'{found["embeddings"]:.1e}',
                'yes' if found['within'] else 'NO',
                answers.get((results.get('repeatable') or {}).get(method), '?'),
                str((results.get('synchronisations') or {}).get(method, '?')),
            ]
        )
    header = ['method', 'error of loss', 'of dX', 'within bound', 'repeatable', 'waits']
    parts = [common.table(header, rows)] if rows else []
    rows = [
        [
            record['method'],
            ' x '.join(map(str, record['size'])),
            f'{record["both"]["median_ms"]:.2f}' if 'both' in record else record['not_run'],
            f'{record["standstill"]["median_ms"]:.2f}' if 'both' in record else '',
            f'{record["peak_mib"]:.0f}' if 'both' in record else '',
        ]
        for record in [*(results.get('speed') or []), *(results.get('crossover') or [])]
    ]
    if rows:
        parts.append(common.table(['method', 'G x N x M', 'ms', 'from idle', 'peak MiB'], rows))
    steps = results.get('segmentation steps') or {}
    rows = [
        [label, *(f'{record["over_ce"][name]:.3f}' for name in ('gpaco', 'authors'))]
        for label, record in steps.get('models', {}).items()
    ]
    if rows:
        parts.append(common.table(['training step over CE', 'GPaCo', 'released'], rows))
    rows = [
        [
            name,
            f'{found["median_ms"]:.1f}',
            f'{found["top1"]:.1f}',
            f'{found["top1_of_the_five_rarest"]:.1f}',
        ]
        for name, found in (results.get('classification training') or {}).items()
    ]
    if rows:
        parts.append(common.table(['ResNet-32, 300 steps', 'ms a step', 'top-1', 'rare'], rows))
    lines = [
        f'{"passed" if found["passed"] else "FAILED"}: tests, {name}: {" ".join(found["said"])}'
        for name, found in (results.get('tests') or {}).items()
    ]
    for target in results.get('targets') or []:
        verdict = {True: 'met', False: 'MISSED', None: 'not measured'}[target['met']]
        measured = '' if target['measured'] is None else f': {target["measured"]:.3g}'
        lines.append(f'{verdict}: {target["name"]}{measured} (wanted {target["wanted"]})')
    lines += [f'not run: {name}: {reason}' for name, reason in results['not_run'].items()]
    return '\n\n'.join([*parts, '\n'.join(lines)])


def _earlier(out: Path, environment: dict[str, Any]) -> dict[str, Any]:
    """What an earlier run left, if it was on such a machine; what has not run is told anew."""
    results: dict[str, Any] = {'dates': {}}
    if out.exists():
        found = json.loads(out.read_text())
        if all(found['environment'][key] == environment[key] for key in ('device', 'torch')):
            results |= found
    return results | {'environment': environment, 'not_run': {}}


def run(
    device: str,
    clock: Clock,
    out: Path,
    sizes: dict[str, Any] | None = None,
    only: list[str] | None = None,
) -> dict:
    """Every section in turn; the JSON is written after each."""
    sizes = dict(speed=[*SPEED, LARGEST], crossover=CROSSOVER, small=(2, 1000, 300)) | (sizes or {})
    methods = list(METHODS)
    if device != 'cuda':
        methods = [name for name in METHODS if not name.startswith('fused')]
    quick = ['fused bf16x3', 'fused float16', 'streaming', 'dense']
    halves = [name for name in methods if name in ('fused float16', 'fused bfloat16')]
    main, largest = sizes['speed'][:-1], sizes['speed'][-1:]
    small = sizes['small']
    sections: dict[str, Callable[[], Any]] = {
        'errors': lambda: errors(device, clock, methods, sizes.get('anchors', 1500)),
        'repeatable': lambda: repeatable(device, clock, methods, small),
        'synchronisations': lambda: synchronisations(device, clock, methods, small),
        'speed': lambda: (
            speed(device, clock, methods, main) + speed(device, clock, halves, largest)
        ),
    }
    if device == 'cuda':
        sections |= {
            'tests': lambda: tests(clock),
            'segmentation steps': lambda: segmentation_steps(clock),
            'classification training': lambda: classification_training(device, clock),
        }
    sections['crossover'] = lambda: speed(
        device, clock, [name for name in quick if name in methods], sizes['crossover'], 0.2
    )
    if set(only or sections) - set(sections):
        raise ValueError(f'--sections: expected some of {list(sections)}, got {only}')
    results = _earlier(out, common.environment(device))
    for name, section in sections.items():
        if only and name not in only:
            continue
        if clock.left() < 0:
            results['not_run'][name] = 'no time left'
            continue
        started = time.monotonic()
        try:
            results[name] = section()
            results['dates'][name] = datetime.date.today().isoformat()
        except Exception as error:  # the others are to run whatever happens to one
            results['not_run'][name] = f'{type(error).__name__}: {str(error).splitlines()[-1:]}'
            traceback.print_exc()
        print(f'{name}: {time.monotonic() - started:.0f} s', flush=True)
        results['targets'] = targets(results)
        write_json(out, results)
    return results


def main(arguments: list[str] | None = None) -> int:
    """Run everything on the GPU, or say in one line that there is none."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--seconds', type=float, default=450.0, help='for everything (450)')
    parser.add_argument('--out', type=Path, default=common.RESULTS / 'gpu.json')
    parser.add_argument('--sections', nargs='+', metavar='NAME', help='default: all')
    args = parser.parse_args(arguments)
    if not torch.cuda.is_available():
        print(
            'benchmarks/gpu.py: expected a CUDA device, got none. docs/gpu.md says what is checked '
            'without one',
            file=sys.stderr,
        )
        return 2
    print(f'\n{report(run("cuda", Clock(args.seconds), args.out, only=args.sections))}')
    return 0


if __name__ == '__main__':
    sys.exit(main())
