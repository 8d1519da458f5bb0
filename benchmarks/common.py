"""What every benchmark shares: clocks, peak memory, metadata, one fresh process per case."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

RESULTS = Path(__file__).parent / 'results'
MIB = 2**20


def synchronize(device: str) -> None:
    """Wait for the device; nothing to do on a CPU."""
    if device == 'cuda':
        torch.cuda.synchronize()


class Laps:
    """Time between marks of one call: CUDA events on a GPU, the monotonic clock on a CPU."""

    def __init__(self, device: str) -> None:
        self._cuda = device == 'cuda'
        self._marks: list[Any] = []
        self.mark()

    def mark(self) -> None:
        """Set a mark at this place of the stream of operations."""
        if self._cuda:
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._marks.append(event)
        else:
            self._marks.append(time.perf_counter())

    def milliseconds(self) -> list[float]:
        """Milliseconds between consecutive marks; waits for the last one."""
        if self._cuda:
            self._marks[-1].synchronize()
            return [a.elapsed_time(b) for a, b in zip(self._marks, self._marks[1:], strict=False)]
        return [1e3 * (b - a) for a, b in zip(self._marks, self._marks[1:], strict=False)]


def hold_device(milliseconds: float) -> None:
    """Keep the GPU busy, so that the host runs ahead of what follows, as behind a backbone.

    What is timed then is the work of the device without the gaps between launches.
    """
    torch.cuda._sleep(int(milliseconds * 1.7e6))  # cycles of a clock of some 1.7 GHz


def summary(values: list[float]) -> dict[str, float]:
    """Median with the 20th and 80th percentile and the number of repetitions."""
    ordered = sorted(values)

    def percentile(share: float) -> float:
        place = share * (len(ordered) - 1)
        low, high = math.floor(place), math.ceil(place)
        return ordered[low] + (place - low) * (ordered[high] - ordered[low])

    return {
        'median_ms': statistics.median(ordered),
        'p20_ms': percentile(0.2),
        'p80_ms': percentile(0.8),
        'repeats': len(ordered),
    }


def repeat(
    call: Callable[[], list[float]], *, seconds: float, most: int = 50, least: int = 1
) -> list[list[float]]:
    """Call until the seconds are spent, at least ``least`` and at most ``most`` times."""
    laps: list[list[float]] = []
    start = time.perf_counter()
    while len(laps) < least or (len(laps) < most and time.perf_counter() - start < seconds):
        laps.append(call())
    return laps


class PeakMemory:
    """Peak memory of this process (CPU) or device (CUDA) above the level at construction.

    CPU: writing 5 to ``/proc/self/clear_refs`` resets the high-water mark of the resident set,
    VmHWM, to the present size; the kernel then keeps the mark exactly (no sampling). Pages that
    the allocator kept from earlier work would hide allocations, so a case runs in a fresh process
    and before it only a small warm-up. CUDA: the allocator's own peak.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        if device == 'cuda':
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
            self._baseline = torch.cuda.memory_allocated()
        else:
            if not Path('/proc/self/clear_refs').exists():
                raise RuntimeError(
                    'benchmarks: expected Linux with /proc for peak memory on a CPU, got '
                    f'{platform.system()}. Run them in a Linux machine or container'
                )
            Path('/proc/self/clear_refs').write_text('5')
            self._baseline = _status_bytes('VmRSS')

    def mib(self) -> float:
        """Peak above the baseline until now."""
        if self._device == 'cuda':
            torch.cuda.synchronize()
            return (torch.cuda.max_memory_allocated() - self._baseline) / MIB
        return (_status_bytes('VmHWM') - self._baseline) / MIB


def _status_bytes(field: str) -> int:
    status = Path('/proc/self/status').read_text()
    match = re.search(rf'{field}:\s+(\d+) kB', status)
    if match is None:
        raise OSError(f'/proc/self/status: expected a line {field!r}, got none')
    return 1024 * int(match[1])


def available_mib(device: str) -> float:
    """Memory that a case may hope for."""
    if device == 'cuda':
        return torch.cuda.mem_get_info()[0] / MIB
    return os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / MIB


def product_rate(device: str, channels: int, dtype: torch.dtype = torch.float32) -> float:
    """Best measured FLOP/s, over several R, of the two products of a tile into a buffer.

    Both shapes, (R, D) x (D, R) and (R, R) x (R, D), enter with the same FLOP, as they do in the
    floor: the rate is the harmonic mean of the best rate of each. The sizes span what any tiling
    may choose; the best one is what the machine offers.
    """
    rates: tuple[list[float], list[float]] = ([], [])
    for side in (512, 1024, 2048) if device == 'cpu' else (2048, 4096, 8192):
        rows = torch.randn(side, channels, device=device, dtype=dtype)
        tile = torch.randn(side, side, device=device, dtype=dtype)
        shapes = (
            (rows, rows.t(), torch.empty_like(tile)),
            (tile, rows, torch.empty_like(rows)),
        )
        for best, operands in zip(rates, shapes, strict=True):

            def call(operands: tuple[torch.Tensor, ...] = operands) -> list[float]:
                left, right, out = operands
                laps = Laps(device)
                for _ in range(4):
                    torch.mm(left, right, out=out)
                laps.mark()
                return laps.milliseconds()

            repeat(call, seconds=0.1)
            milliseconds = statistics.median(lap[0] for lap in repeat(call, seconds=0.4, least=5))
            best.append(4 * 2 * side * side * channels / (milliseconds / 1e3))
    return statistics.harmonic_mean([max(best) for best in rates])


def fitted_exponent(sizes: list[float], values: list[float]) -> float:
    """Least-squares slope of log value over log size."""
    x, y = [math.log(size) for size in sizes], [math.log(value) for value in values]
    mean_x, mean_y = statistics.mean(x), statistics.mean(y)
    return sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - mean_x) ** 2 for a in x
    )


def environment(device: str) -> dict[str, Any]:
    """Versions and device, so that figures can be judged later."""
    import paco_seg.version

    info: dict[str, Any] = {
        'device': _cpu_name(),
        'cpu_threads': torch.get_num_threads(),
        'python': platform.python_version(),
        'torch': torch.__version__,
        'paco_seg': paco_seg.version.__version__,
        'system': platform.system(),
    }
    if device == 'cuda':
        properties = torch.cuda.get_device_properties(0)
        info |= {
            'device': properties.name,
            'device_memory_mib': properties.total_memory // MIB,
            'cuda': torch.version.cuda,
        }
    return info


def _cpu_name() -> str:
    text = Path('/proc/cpuinfo').read_text() if Path('/proc/cpuinfo').exists() else ''
    match = re.search(r'model name\s*:\s*(.+)', text)
    return f'{match[1] if match else platform.processor()} ({os.cpu_count()} logical cores)'


def run_case(script: str, case: dict[str, Any]) -> dict[str, Any]:
    """Run one case of a benchmark script in a fresh process and return what it measured."""
    result = subprocess.run(
        [sys.executable, script, '--case', json.dumps(case)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(result.stdout.splitlines()[-1])


def write_results(name: str, content: dict[str, Any]) -> Path:
    """Write ``results/<name>.json``."""
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f'{name}.json'
    path.write_text(json.dumps(content, indent=1, sort_keys=False) + '\n')
    return path


def table(header: list[str], rows: list[list[str]]) -> str:
    """Columns of equal width, numbers to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    lines = [
        '  '.join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in [header, *rows]
    ]
    lines.insert(1, '  '.join('-' * width for width in widths))
    return '\n'.join(lines)
