"""Which tiles the fused kernels should run with on this GPU: every candidate, kernel by kernel.

    python benchmarks/tune_tiles.py [--out benchmarks/results/tiles.json] [--jobs 14]

Compiles all candidates in parallel processes first, then times them one by one at 4 x 8192 rows
(keys: 2 x 8192 rows, 4096 keys). Needs torch and Triton alone. The last lines are the five fastest
of each kernel and precision; ``TILES`` of ``paco_seg/core/fused.py`` is filled by hand from them.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
from pathlib import Path
from typing import Any

import common
import torch
from torch.nn import functional as F

from paco_seg.core import fused
from paco_seg.core.fused import Tile
from paco_seg.files import write_json

DTYPES = {'half': torch.bfloat16, 'bf16x3': torch.float32, 'tf32': torch.float32}
# (rows, columns, warps, stages)
NARROW = [
    (rows, columns, warps, stages)
    for rows, columns in ((64, 32), (64, 64), (64, 128), (128, 32), (128, 64), (128, 128))
    for warps in (4, 8)
    for stages in (2, 3)
    if not (rows == 64 and columns == 32 and warps == 8)
]
WIDE = [
    (rows, columns, warps, stages)
    for rows, columns in ((32, 16), (32, 32), (64, 16), (64, 32), (64, 64), (128, 32), (128, 64))
    for warps in (4, 8)
    for stages in (2, 3)
    if not (rows == 32 and warps == 8)
]
CANDIDATES = {128: NARROW, 256: WIDE}


def inputs(sets: int, anchors: int, keys: int, channels: int, dtype: torch.dtype) -> tuple:
    """Arguments of the operator, but for the settings."""
    rng = torch.Generator('cuda').manual_seed(0)

    def rows(*shape: int) -> torch.Tensor:
        made = torch.randn(*shape, channels, device='cuda', generator=rng)
        return F.normalize(made, dim=-1).to(dtype)

    def labels(*shape: int) -> torch.Tensor:
        return torch.randint(0, 150, shape, device='cuda', generator=rng, dtype=torch.int32)

    label = labels(sets, anchors)
    logits = torch.randn(sets, anchors, 150, device='cuda', generator=rng)
    return rows(sets, anchors), label, label, rows(keys), labels(keys), logits


NUMBERS = [0.01, 1.0, 1.0, 0.07, 1.0, 0.0]


def compile_one(job: tuple[str, int, tuple[int, ...]]) -> tuple[Any, str | None]:
    """Fill Triton's cache; the reason where a candidate cannot run."""
    precision, channels, tile = job
    fused._tile = lambda *_: Tile(*tile)
    try:
        fused._run_few_rows(torch.device('cuda', 0), DTYPES[precision], precision, channels)
    except Exception as error:
        return job, f'{type(error).__name__}: {str(error).splitlines()[:1]}'
    return job, None


def milliseconds(call: Any) -> float:
    """Median of CUDA-event times."""
    import triton.testing

    return float(triton.testing.do_bench(call, warmup=3, rep=12, return_mode='median'))


def measure(precision: str, channels: int, tile: tuple[int, ...]) -> dict[str, float]:
    """Time of forward, of the gradient by rows and of that by keys."""
    fused._tile = lambda *_: Tile(*tile)
    sets = 4 if channels <= 128 else 2
    found = {}
    for name, size, needs in (
        ('forward', (sets, 8192, 0), None),
        ('rows', (sets, 8192, 0), (True, False, False)),
        ('keys', (2, 8192, 4096), (False, True, False)),
    ):
        tensors = inputs(*size, channels, DTYPES[precision])
        with torch.no_grad():
            value, log_den, count = fused._forward(*tensors, NUMBERS, precision)
            grad = torch.full_like(value, 1 / value.numel())

            def forward(tensors: tuple = tensors) -> None:
                fused._forward(*tensors, NUMBERS, precision)

            def backward(
                parts: tuple = (grad, log_den, count), tensors: tuple = tensors, needs: Any = needs
            ) -> None:
                fused._backward(*parts, *tensors, NUMBERS, precision, *needs)

            found[name] = milliseconds(forward if needs is None else backward)
    return found


def main() -> int:
    """Compile, time, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--out', type=Path, default=common.RESULTS / 'tiles.json')
    parser.add_argument('--jobs', type=int, default=14)
    parser.add_argument('--channels', type=int, nargs='+', default=[128, 256])
    parser.add_argument('--compile-only', action='store_true', help='fill the cache, time nothing')
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print('benchmarks/tune_tiles.py: expected a CUDA device, got none', file=sys.stderr)
        return 2
    jobs = [
        (precision, channels, tile)
        for channels in args.channels
        for precision in DTYPES
        for tile in CANDIDATES[channels]
    ]
    with multiprocessing.get_context('spawn').Pool(args.jobs) as pool:
        reasons = dict(pool.imap_unordered(compile_one, jobs))
    if args.compile_only:
        return 0
    records: list[dict[str, Any]] = []
    for job in jobs:
        precision, channels, tile = job
        record: dict[str, Any] = dict(precision=precision, channels=channels, tile=tile)
        record |= (
            {'not_run': reasons[job]}
            if reasons[job]
            else {'ms': measure(precision, channels, tile)}
        )
        records.append(record)
    write_json(args.out, {'environment': common.environment('cuda'), 'tiles': records})
    for channels in args.channels:
        for precision in DTYPES:
            ran = [
                record
                for record in records
                if (record['precision'], record['channels']) == (precision, channels)
                and 'ms' in record
            ]
            for kernel in ('forward', 'rows', 'keys'):
                best = sorted(ran, key=lambda record: record['ms'][kernel])[:5]
                listed = ', '.join(f'{r["tile"]} {r["ms"][kernel]:.3f}' for r in best)
                print(f'{precision} D={channels} {kernel}: {listed}')
    print(f'{sum("not_run" in record for record in records)} candidates cannot run here')
    return 0


if __name__ == '__main__':
    sys.exit(main())
