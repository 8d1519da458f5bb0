"""Which tiles the fused kernels should run with on this GPU: every candidate, kernel by kernel.

    python benchmarks/tune_tiles.py [--out benchmarks/results/tiles.json] [--jobs 14]

Compiles all candidates in parallel processes first, then times them one by one at 4 x 8192 rows
(keys: 2 x 8192 rows, 4096 keys). Needs torch and Triton alone. The last lines are the five fastest
of each kernel and precision; ``TILES`` of ``paco_seg/core/fused.py`` is filled by hand from them.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import sys
from pathlib import Path
from typing import Any

import common
import torch
from torch import Tensor
from torch.nn import functional as F

from paco_seg.core import fused
from paco_seg.core.fused import Tile
from paco_seg.files import write_json

DTYPES = {'half': torch.bfloat16, 'bf16x3': torch.float32, 'tf32': torch.float32}
# (rows, columns, warps, stages); ahead of time for sm_90 these spill no or few registers.
NARROW = {
    'half': [
        (128, 32, 8, 3),
        (128, 64, 8, 2),
        (128, 64, 8, 3),
        (128, 128, 8, 2),
        (128, 32, 4, 3),
        (64, 32, 4, 3),
        (64, 64, 4, 2),
        (64, 64, 4, 3),
        (64, 128, 4, 2),
        (64, 128, 8, 3),
    ],
    'bf16x3': [
        (128, 32, 8, 2),
        (128, 32, 8, 3),
        (128, 64, 8, 2),
        (64, 32, 4, 2),
        (64, 32, 4, 3),
        (64, 64, 4, 2),
        (64, 64, 4, 3),
        (64, 64, 8, 2),
        (64, 128, 8, 2),
    ],
}
NARROW['tf32'] = NARROW['bf16x3']
WIDE = [
    (32, 16, 4, 2),
    (32, 32, 4, 2),
    (64, 16, 4, 2),
    (64, 32, 4, 2),
    (64, 32, 8, 2),
    (64, 64, 8, 2),
    (128, 32, 8, 2),
]
CANDIDATES = {128: NARROW, 256: dict.fromkeys(DTYPES, WIDE)}


def inputs(
    sets: int, anchors: int, keys: int, channels: int, dtype: torch.dtype
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Arguments of the operator, but for the settings."""
    rng = torch.Generator('cuda').manual_seed(0)

    def rows(*shape: int) -> Tensor:
        made = torch.randn(*shape, channels, device='cuda', generator=rng)
        return F.normalize(made, dim=-1).to(dtype)

    def labels(*shape: int) -> Tensor:
        return torch.randint(0, 150, shape, device='cuda', generator=rng, dtype=torch.int32)

    label = labels(sets, anchors)
    logits = torch.randn(sets, anchors, 150, device='cuda', generator=rng)
    return rows(sets, anchors), label, label, rows(keys), labels(keys), logits


NUMBERS = [0.01, 1.0, 1.0, 0.07, 1.0, 0.0]
NEEDS = {'rows': (True, False, False), 'keys': (False, True, False)}


def kernel_call(kernel: str, precision: str, channels: int, *, small: bool = False) -> Any:
    """One kernel with what surrounds it; ``small`` compiles the same code."""
    sets = 2 if kernel == 'keys' or channels > 128 else 4
    anchors = 16 if small else 8192
    keys = (16 if small else 4096) if kernel == 'keys' else 0
    tensors = inputs(sets, anchors, keys, channels, DTYPES[precision])
    if kernel == 'forward':
        return lambda: fused._run_forward(*tensors, NUMBERS, precision)
    grad = torch.full(tensors[1].shape, 1 / tensors[1].numel(), device='cuda')
    log_den, count = torch.full_like(grad, 20.0), torch.full_like(grad, 50.0)
    needs = NEEDS[kernel]
    return lambda: fused._run_backward(grad, log_den, count, *tensors, NUMBERS, precision, *needs)


def compile_one(job: tuple[str, str, int, tuple[int, ...]]) -> tuple[Any, str | None]:
    """Fill Triton's cache; the reason where a candidate cannot run."""
    kernel, precision, channels, tile = job
    fused.tile_of = lambda *_: Tile(*tile)
    try:
        kernel_call(kernel, precision, channels, small=True)()
        torch.cuda.synchronize()
    except Exception as error:
        return job, f'{type(error).__name__}: {str(error).splitlines()[:1]}'
    return job, None


def measure(job: tuple[str, str, int, tuple[int, ...]], repeats: int = 7) -> float:
    """Median milliseconds of a kernel while the host runs ahead."""
    kernel, precision, channels, tile = job
    fused.tile_of = lambda *_: Tile(*tile)
    with torch.no_grad():
        call = kernel_call(kernel, precision, channels)
        call()
        common.hold_device(5)
        laps = common.Laps('cuda')
        for _ in range(repeats):
            call()
            laps.mark()
    return statistics.median(laps.milliseconds())


def main() -> int:
    """Compile, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=common.RESULTS / 'tiles.json')
    parser.add_argument('--jobs', type=int, default=14)
    parser.add_argument('--channels', type=int, nargs='+', default=[128])
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print('benchmarks/tune_tiles.py: expected a CUDA device, got none', file=sys.stderr)
        return 2
    jobs = [
        (kernel, precision, channels, tile)
        for channels in args.channels
        for precision in DTYPES
        for tile in CANDIDATES[channels][precision]
        for kernel in fused.PAIR_KERNELS
    ]
    with multiprocessing.get_context('spawn').Pool(args.jobs) as pool:
        reasons = dict(pool.imap_unordered(compile_one, jobs))
    print('compiled', flush=True)
    records: list[dict[str, Any]] = []
    for job in jobs:
        record = dict(zip(('kernel', 'precision', 'channels', 'tile'), job, strict=True))
        if reasons[job]:
            record['not_run'] = reasons[job]
        else:
            record['ms'] = measure(job)
        records.append(record)
    write_json(args.out, {'environment': common.environment('cuda'), 'tiles': records})
    for channels, precision, kernel in itertools.product(args.channels, DTYPES, fused.PAIR_KERNELS):
        ran = [
            record
            for record in records
            if (record['kernel'], record['precision'], record['channels'])
            == (kernel, precision, channels)
            and 'ms' in record
        ]
        best = sorted(ran, key=lambda record: record['ms'])[:4]
        listed = ', '.join(f'{record["tile"]} {record["ms"]:.3f}' for record in best)
        print(f'{precision} D={channels} {kernel}: {listed}')
    print(f'{sum("not_run" in record for record in records)} candidates cannot run here')
    return 0


if __name__ == '__main__':
    sys.exit(main())
