"""Time and memory of the loss against other formulations; see README.md for the method.

python benchmarks/bench_loss.py --preset cpu        # ratio table, targets, JSON, plot
python benchmarks/bench_loss.py --preset gpu
python benchmarks/bench_loss.py --preset dispatch   # small sizes: where 'auto' switches
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import common
import torch
from published_formulation import published_formulation
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core import parametric_contrastive_loss

ALPHA, TEMPERATURE = 0.01, 0.07
CHANNELS, CLASSES = 128, 150
SWEEP = [1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072]
# A call that is predicted (by N^2 from the size before) to take longer, or more than this share of
# the free memory, is not run and is listed as such.
LONGEST_CALL_S = {'cpu': 150.0, 'cuda': 60.0}
LARGEST_MEMORY_SHARE = 0.4
SECONDS_PER_CASE = 3.0
# The speed target compares two methods that are measured in turn, because a shared machine is slow
# for minutes at a time: method to beat, anchors, rounds.
DUEL = {'cpu': ('authors', 8192, 7), 'cuda': ('dense', 16384, 3)}
TARGET_SPEEDUP = {'cpu': 15.0, 'cuda': 10.0}
TARGET_MEMORY_RATIO = 50.0
TARGET_LARGE_MIB = 300.0

Loss = Callable[[Tensor, Tensor, Tensor], Tensor]


def our_loss(impl: str, **settings: Any) -> Loss:
    """The package's loss with one implementation; ``settings`` as of the loss."""

    def call(embeddings: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
        return parametric_contrastive_loss(
            embeddings,
            labels,
            logits,
            alpha=ALPHA,
            temperature=TEMPERATURE,
            impl=impl,
            **settings,
        )

    return call


def authors_loss(embeddings: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    """The released formulation, in the dtype that it is given."""
    return published_formulation(embeddings, labels, logits, alpha=ALPHA, temperature=TEMPERATURE)


def supcon_loss(embeddings: Tensor, labels: Tensor, logits: Tensor) -> Tensor:
    """SupCon of pytorch-metric-learning: the pairwise part alone, there are no centers in it."""
    from pytorch_metric_learning.losses import SupConLoss

    loss = SupConLoss(temperature=TEMPERATURE)
    total = sum(loss(rows, targets) for rows, targets in zip(embeddings, labels, strict=True))
    return total / len(embeddings) + 0.0 * logits.sum()


METHODS: dict[str, Loss] = {
    'streaming': our_loss('streaming'),
    'dense': our_loss('dense'),
    'authors': authors_loss,
    'pml-supcon': supcon_loss,
}


def make_inputs(
    sets: int, anchors: int, device: str, dtype: str = 'float32', classes: int = CLASSES
) -> tuple[Tensor, Tensor, Tensor]:
    """Unit rows (leaf), labels and logits (leaf) from a CPU generator with a fixed seed."""
    rng = torch.Generator().manual_seed(0)
    rows = F.normalize(torch.randn(sets, anchors, CHANNELS, generator=rng), dim=-1)
    labels = torch.randint(0, classes, (sets, anchors), generator=rng)
    logits = torch.randn(sets, anchors, classes, generator=rng)
    kind = getattr(torch, dtype)
    return (
        rows.to(device, kind).requires_grad_(),
        labels.to(device),
        logits.to(device, kind).requires_grad_(),
    )


def one_call(loss: Loss, inputs: tuple[Tensor, Tensor, Tensor], device: str) -> list[float]:
    """Milliseconds of forward and of backward."""
    for leaf in (inputs[0], inputs[2]):
        leaf.grad = None
    laps = common.Laps(device)
    value = loss(*inputs)
    laps.mark()
    value.backward()
    laps.mark()
    return laps.milliseconds()


def measure(case: dict[str, Any]) -> dict[str, Any]:
    """Peak memory of one call, then times until the seconds are spent; for a fresh process."""
    device, loss = case['device'], METHODS[case['method']]
    if case.get('tf32'):
        torch.set_float32_matmul_precision('high')
    for _ in range(3):  # loads libraries, starts threads, creates handles
        one_call(loss, make_inputs(1, 256, device, case['dtype']), device)
    inputs = make_inputs(case['sets'], case['anchors'], device, case['dtype'])
    common.synchronize(device)
    peak = common.PeakMemory(device)
    first = one_call(loss, inputs, device)
    memory = peak.mib()
    # A call that takes longer than its share is measured once: the memory call itself.
    laps = [first]
    if sum(first) < 1e3 * SECONDS_PER_CASE:
        laps = common.repeat(
            lambda: one_call(loss, inputs, device), seconds=SECONDS_PER_CASE, least=3
        )
    return {
        'forward': common.summary([lap[0] for lap in laps]),
        'backward': common.summary([lap[1] for lap in laps]),
        'both': common.summary([sum(lap) for lap in laps]),
        'peak_mib': memory,
    }


def precision(case: dict[str, Any]) -> dict[str, Any]:
    """Largest errors against float64 on the same (rounded) input, relative to the largest entry.

    Gradients that are returned in bfloat16 carry its rounding, 2^-9, whatever is done inside.
    """
    device = case['device']
    if case.get('tf32'):
        torch.set_float32_matmul_precision('high')
    inputs = make_inputs(1, 2048, device, case['dtype'])
    exact = [tensor.detach().cpu() for tensor in inputs]
    exact = [exact[0].double().requires_grad_(), exact[1], exact[2].double().requires_grad_()]
    results = []
    for loss, arguments in ((METHODS[case['method']], inputs), (METHODS['dense'], exact)):
        value = loss(*arguments)
        grads = torch.autograd.grad(value, (arguments[0], arguments[2]))
        results.append([tensor.detach().double().cpu() for tensor in (value, *grads)])
    names = ('loss', 'grad_embeddings', 'grad_logits')
    return {
        name: float((actual - truth).abs().max() / truth.abs().max())
        for name, actual, truth in zip(names, *results, strict=True)
    }


def sweep(
    method: str, sizes: list[int], device: str, dtype: str = 'float32', tf32: bool = False
) -> list[dict[str, Any]]:
    """One record per size; stops at a size that would take too long or too much memory."""
    records: list[dict[str, Any]] = []
    last: dict[str, Any] | None = None
    for anchors in sizes:
        record = dict(method=method, sets=1, anchors=anchors, dtype=dtype, tf32=tf32)
        if last is not None:
            growth = (anchors / last['anchors']) ** 2
            seconds = last['both']['median_ms'] / 1e3 * growth
            # Only what keeps a matrix grows with N^2 in memory.
            mib = last['peak_mib'] * (growth**0.5 if method == 'streaming' else growth)
            largest = LARGEST_MEMORY_SHARE * common.available_mib(device)
            if seconds > LONGEST_CALL_S[device] or mib > largest:
                record['not_run'] = f'predicted {seconds:.0f} s and {mib:.0f} MiB'
                records.append(record)
                break
        last = record | common.run_case(__file__, record | {'device': device})
        records.append(last)
        show(last)
    return records


def show(record: dict[str, Any]) -> None:
    """One line of progress."""
    name = record['method'] + (f' {record["dtype"]}' if record['dtype'] != 'float32' else '')
    name += ' tf32' if record['tf32'] else ''
    print(
        f'{name:>18} G={record["sets"]} N={record["anchors"]:6d}: '
        f'forward {record["forward"]["median_ms"]:9.1f} ms, '
        f'backward {record["backward"]["median_ms"]:9.1f} ms, '
        f'peak {record["peak_mib"]:8.1f} MiB',
        flush=True,
    )


def product_floor_ms(anchors: int, rate: float, sets: int = 1) -> float:
    """Milliseconds of the products of this algorithm, at the best measured rate.

    Half a matrix (symmetry) of N^2 D multiply-adds forward, the same recomputed in backward, and
    two such products for the gradient: 4 x N^2 D / 2 multiply-adds = 4 N^2 D FLOP. A loss that
    stores the matrix instead of recomputing it would need 3 N^2 D.
    """
    return 1e3 * 4 * sets * anchors**2 * CHANNELS / rate


def find(records: list[dict[str, Any]], **wanted: Any) -> dict[str, Any] | None:
    """The measured record with these values."""
    for record in records:
        if 'both' in record and all(record[key] == value for key, value in wanted.items()):
            return record
    return None


def ratio_table(records: list[dict[str, Any]], rates: dict[str, float]) -> str:
    """All cases, each against float32 streaming of the same size and against the floor."""
    rows = []
    for record in records:
        size = dict(sets=record['sets'], anchors=record['anchors'])
        name = f'{record["method"]} {record["dtype"]}{" tf32" if record["tf32"] else ""}'
        lead = [name, str(record['sets']), str(record['anchors'])]
        if 'not_run' in record:
            rows.append([*lead, record['not_run'], *[''] * 7])
            continue
        both = record['both']
        floor = product_floor_ms(
            record['anchors'], rates['tf32' if record['tf32'] else 'float32'], record['sets']
        )
        ours = find(records, method='streaming', dtype='float32', tf32=False, **size)
        rows.append(
            [
                *lead,
                f'{record["forward"]["median_ms"]:.1f}',
                f'{record["backward"]["median_ms"]:.1f}',
                f'{both["median_ms"]:.1f}',
                f'{both["p20_ms"]:.1f}-{both["p80_ms"]:.1f}',
                f'{record["peak_mib"]:.1f}',
                f'{both["median_ms"] / ours["both"]["median_ms"]:.2f}' if ours else '',
                f'{record["peak_mib"] / ours["peak_mib"]:.2f}' if ours else '',
                f'{both["median_ms"] / floor:.2f}',
            ]
        )
    header = [
        'method',
        'G',
        'N',
        'forward ms',
        'backward ms',
        'both ms',
        '20-80 %',
        'peak MiB',
        'time ratio',
        'memory ratio',
        'over floor',
    ]
    return common.table(header, rows)


def exponents(records: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Exponents of N in time and memory over the sizes from 4096 (else from the smallest)."""
    fits = {}
    for method in dict.fromkeys(record['method'] for record in records):
        chosen = [
            r
            for r in records
            if r['method'] == method
            and 'both' in r
            and r['dtype'] == 'float32'
            and not r['tf32']
            and r['sets'] == 1
        ]
        chosen = [r for r in chosen if r['anchors'] >= 4096] if len(chosen) > 4 else chosen
        if len(chosen) > 1:
            sizes = [r['anchors'] for r in chosen]
            fits[method] = {
                'time': common.fitted_exponent(sizes, [r['both']['median_ms'] for r in chosen]),
                'memory': common.fitted_exponent(sizes, [r['peak_mib'] for r in chosen]),
                'from': sizes[0],
                'to': sizes[-1],
            }
    return fits


def duel(device: str) -> dict[str, Any]:
    """Streaming and the method to beat in turn, a fresh process each; ratios of each round."""
    reference, anchors, rounds = DUEL[device]
    milliseconds: dict[str, list[float]] = {'streaming': [], reference: []}
    for _ in range(rounds):
        for method, values in milliseconds.items():
            case = dict(method=method, sets=1, anchors=anchors, dtype='float32', tf32=False)
            result = common.run_case(__file__, case | {'device': device})
            values.append(result['both']['median_ms'])
    ratios = [
        theirs / ours
        for ours, theirs in zip(milliseconds['streaming'], milliseconds[reference], strict=True)
    ]
    return dict(
        reference=reference,
        anchors=anchors,
        median_ms=milliseconds,
        ratios=ratios,
        ratio=statistics.median(ratios),
    )


def targets(records: list[dict[str, Any]], device: str, speedup: float) -> list[dict[str, Any]]:
    """Each target with what was measured and whether it is met."""
    outcome = []

    def add(name: str, measured: float | None, limit: float, at_least: bool) -> None:
        met = measured is not None and (measured >= limit if at_least else measured <= limit)
        wanted = f'{">=" if at_least else "<="} {limit:g}'
        outcome.append(dict(name=name, wanted=wanted, measured=measured, met=met))

    plain = dict(sets=1, dtype='float32', tf32=False)
    reference, size, _ = DUEL[device]
    ours = find(records, method='streaming', anchors=size, **plain)
    theirs = find(records, method=reference, anchors=size, **plain)
    ratio = theirs['peak_mib'] / ours['peak_mib'] if ours and theirs else None
    place = f'N={size} D={CHANNELS} C={CLASSES}, forward and backward'
    name = f'{place}: times faster than {reference}, median of rounds in turn'
    add(name, speedup, TARGET_SPEEDUP[device], True)
    if device == 'cpu':
        add(f'{place}: times less memory than {reference}', ratio, TARGET_MEMORY_RATIO, True)
        large = find(records, method='streaming', anchors=32768, **plain)
        peak = large['peak_mib'] if large else None
        add('N=32768: MiB over baseline', peak, TARGET_LARGE_MIB, False)
    return outcome


def plot(records: list[dict[str, Any]], title: str, path: Path) -> None:
    """Time and memory against N, both axes logarithmic."""
    import matplotlib

    matplotlib.use('Agg')
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(10, 4), layout='constrained')
    measured = [r for r in records if 'both' in r and r['sets'] == 1]
    for key in dict.fromkeys((r['method'], r['dtype'], r['tf32']) for r in measured):
        line = [r for r in measured if (r['method'], r['dtype'], r['tf32']) == key]
        name = ' '.join([key[0], *([key[1]] if key[1] != 'float32' else []), *['tf32'] * key[2]])
        sizes = [r['anchors'] for r in line]
        seconds = [r['both']['median_ms'] / 1e3 for r in line]
        axes[0].plot(sizes, seconds, marker='o', label=name)
        axes[1].plot(sizes, [r['peak_mib'] for r in line], marker='o', label=name)
    for axis, label in zip(
        axes, ('forward + backward [s]', 'peak over baseline [MiB]'), strict=True
    ):
        axis.set(xscale='log', yscale='log', xlabel='anchors N', ylabel=label)
        axis.set_xscale('log', base=2)
        axis.grid(alpha=0.3)
    axes[0].legend()
    figure.suptitle(title)
    figure.savefig(path, dpi=110)


def run_sweep(device: str) -> int:
    """The presets 'cpu' and 'gpu': sweep, table, targets, JSON and plot."""
    records: list[dict[str, Any]] = []
    rates = {'float32': common.product_rate(device, CHANNELS)}
    variants = [('float32', False)]
    sizes = SWEEP
    if device == 'cuda':
        torch.set_float32_matmul_precision('high')
        rates['tf32'] = common.product_rate(device, CHANNELS)
        torch.set_float32_matmul_precision('highest')
        variants += [('float32', True), ('bfloat16', False)]
    skipped = []
    for method in METHODS:
        if method == 'pml-supcon':
            try:
                from pytorch_metric_learning.losses import SupConLoss  # noqa: F401
            except ImportError as error:
                skipped.append(f'pml-supcon: pytorch-metric-learning cannot be imported ({error})')
                continue
        for dtype, tf32 in variants if method in ('streaming', 'dense') else variants[:1]:
            records += sweep(method, sizes, device, dtype, tf32)
    # Two images of 8192 pixels: one set each, as in training.
    for method in ('streaming', 'authors'):
        case = dict(method=method, sets=2, anchors=8192, dtype='float32', tf32=False)
        records.append(case | common.run_case(__file__, case | {'device': device}))
        show(records[-1])
    rates['float32'] = max(rates['float32'], common.product_rate(device, CHANNELS))

    errors: list[dict[str, Any]] = []
    for method in ('streaming', 'dense', 'authors'):
        for dtype, tf32 in dict.fromkeys([*variants, ('bfloat16', False)]):
            if method == 'authors' and dtype != 'float32':
                continue  # its arithmetic follows the input: 8 bits of mantissa in the sums
            case = dict(method=method, dtype=dtype, tf32=tf32)
            request = case | {'device': device, 'precision': True}
            errors.append(case | common.run_case(__file__, request))

    turns = duel(device)
    outcome = targets(records, device, turns['ratio'])
    name = f'loss_{"gpu" if device == "cuda" else "cpu"}'
    environment = common.environment(device)
    path = common.write_results(
        name,
        {
            'environment': environment,
            'setting': dict(
                channels=CHANNELS, classes=CLASSES, alpha=ALPHA, temperature=TEMPERATURE
            ),
            'product_gflops': {key: rate / 1e9 for key, rate in rates.items()},
            'targets': outcome,
            'in_turn': turns,
            'exponents': exponents(records),
            'errors_against_float64': errors,
            'skipped': skipped,
            'cases': records,
        },
    )
    plot(records, f'{environment["device"]}, D={CHANNELS}, C={CLASSES}', path.with_suffix('.png'))

    print(
        f'\n{environment}\nproducts: { ({k: round(v / 1e9) for k, v in rates.items()}) } GFLOP/s\n'
    )
    print(ratio_table(records, rates))
    print('\nexponents of N:')
    for method, fit in exponents(records).items():
        print(
            f'  {method}: time {fit["time"]:.2f}, memory {fit["memory"]:.2f} '
            f'(N = {fit["from"]} ... {fit["to"]})'
        )
    print('\nlargest error against float64, N = 2048, relative to the largest entry:')
    for row in errors:
        print(
            '  {method} {dtype}{0}: loss {loss:.1e}, gradient of embeddings {grad_embeddings:.1e}'
            ', of logits {grad_logits:.1e}'.format(' tf32' * row['tf32'], **row)
        )
    for line in skipped:
        print(f'skipped {line}')
    times = {
        name: [round(value) for value in values] for name, values in turns['median_ms'].items()
    }
    print(f'\nin turn, N = {turns["anchors"]}, ms: {times}')
    print(f'ratios: {[round(ratio, 1) for ratio in turns["ratios"]]}')
    print('\ntargets:')
    for target in outcome:
        measured = 'not measured' if target['measured'] is None else f'{target["measured"]:.1f}'
        verdict = 'met' if target['met'] else 'MISSED'
        print(f'  {verdict}: {target["name"]}: {measured} (wanted {target["wanted"]})')
    return 0 if all(target['met'] for target in outcome) else 1


# (sets, anchors, keys, classes): pixels of small maps, then batches against a queue.
DISPATCH = [
    *((1, anchors, 0, CLASSES) for anchors in (32, 64, 128, 192, 256, 384, 512, 1024)),
    *((4, anchors, 0, CLASSES) for anchors in (32, 64, 128, 192, 256, 288, 512)),
    *((1, anchors, keys, 1000) for anchors in (64, 256) for keys in (512, 1024, 8192)),
]


def run_dispatch(device: str) -> int:
    """The preset 'dispatch': dense against streaming where either may win, interleaved."""
    records, rows = [], []
    for sets, anchors, keys, classes in DISPATCH:
        inputs = make_inputs(sets, anchors, device, classes=classes)
        rng = torch.Generator().manual_seed(1)
        settings = dict(
            keys=F.normalize(torch.randn(keys, CHANNELS, generator=rng), dim=1).to(device),
            key_labels=torch.randint(0, classes, (keys,), generator=rng).to(device),
        )
        losses = [our_loss(impl, **settings) for impl in ('dense', 'streaming')]

        def both(losses: list[Loss] = losses, inputs: Any = inputs) -> list[float]:
            # In turn, so that a slow moment of the machine meets both.
            return [sum(one_call(loss, inputs, device)) for loss in losses]

        common.repeat(both, seconds=0.3, most=5)
        laps = common.repeat(both, seconds=4.0, most=300, least=5)
        dense, streaming = (common.summary([lap[i] for lap in laps]) for i in range(2))
        ratio = dense['median_ms'] / streaming['median_ms']
        size = dict(sets=sets, anchors=anchors, keys=keys, classes=classes)
        records.append(size | dict(dense=dense, streaming=streaming, dense_over_streaming=ratio))
        rows.append(
            [
                *map(str, size.values()),
                str(anchors * (anchors + keys)),
                f'{dense["median_ms"]:.2f}',
                f'{streaming["median_ms"]:.2f}',
                f'{ratio:.2f}',
            ]
        )
    common.write_results(
        f'dispatch_{"gpu" if device == "cuda" else "cpu"}',
        {'environment': common.environment(device), 'cases': records},
    )
    header = ['G', 'N', 'M', 'C', 'N (N + M)', 'dense ms', 'streaming ms', 'dense / streaming']
    print(common.table(header, rows))
    return 0


def main() -> int:
    """Parse the arguments and run the preset."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--preset', choices=['cpu', 'gpu', 'dispatch'], default='cpu')
    parser.add_argument('--device', choices=['cpu', 'cuda'], help="for 'dispatch'; default cpu")
    parser.add_argument('--case', help=argparse.SUPPRESS)  # one case in a process of its own
    args = parser.parse_args()
    if args.case:
        case = json.loads(args.case)
        print(json.dumps(precision(case) if case.get('precision') else measure(case)))
        return 0
    device = 'cuda' if args.preset == 'gpu' else args.device or 'cpu'
    if device == 'cuda' and not torch.cuda.is_available():
        parser.error('--preset: expected a CUDA device for gpu, got none. Use --preset cpu')
    return run_dispatch(device) if args.preset == 'dispatch' else run_sweep(device)


if __name__ == '__main__':
    sys.exit(main())
