"""What ContrastDiagnosticsHook costs: every second step of a training is looked at, the others not.

    python benchmarks/bench_diagnostics.py

The demo trainings have the smallest networks of all configs, and so the largest share of the loss.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import common
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from paco_seg import cli, compat

CONFIGS = Path(__file__).parents[1] / 'configs' / 'quickstart'
# Title -> config, demo data that it trains on.
TRAININGS = {
    'segmentation': ('gpaco-fcn_r18-tiny_1xb4-1k_digit-scenes-96x96.py', 'digit-scenes'),
    'classification': ('gpaco_resnet8_1xb32-300i_digits-lt-ir50.py', 'digits'),
}
INTERVAL = 50  # the default of the hook: one step in so many is looked at
WANTED = 0.01  # of the time of a training
WARM_UP = 4


class Before(Hook):
    """Starts the clock of a step ahead of all other hooks."""

    priority = 'HIGHEST'

    def before_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Keep the time of the process: what else runs on the machine is not in it."""
        self.start = time.process_time()


class After(Hook):
    """Stops it after all of them."""

    priority = 'LOWEST'

    def __init__(self, before: Before) -> None:
        self.before = before
        self.milliseconds: list[float] = []

    def after_train_iter(self, runner: Runner, *args: Any, **kwargs: Any) -> None:
        """Keep the milliseconds of the step."""
        self.milliseconds.append(1e3 * (time.process_time() - self.before.start))


def measure(title: str, steps: int) -> dict[str, Any]:
    """Return the time of a step that is looked at and of one that is not."""
    torch.set_num_threads(1)
    file, data = TRAININGS[title]
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the configs look below data/
        with contextlib.redirect_stdout(sys.stderr):
            cli.run(['demo-data', data])
        compat.setup()
        cfg = Config.fromfile(CONFIGS / file)
        cfg.work_dir, cfg.log_level = folder, 'ERROR'
        cfg.train_cfg.max_iters, cfg.train_cfg.val_interval = steps, steps + 1
        cfg.custom_hooks = [
            *cfg.get('custom_hooks', []),
            dict(type='ContrastDiagnosticsHook', interval=2),
        ]
        with contextlib.redirect_stdout(sys.stderr):
            runner = Runner.from_cfg(cfg)
            before = Before()
            after = After(before)
            runner.register_hook(before)
            runner.register_hook(after)
            runner.train()
    seen = after.milliseconds[1 + WARM_UP :: 2]  # the second step, the fourth, ...
    plain = after.milliseconds[WARM_UP::2]
    found: dict[str, Any] = {'plain': common.summary(plain), 'looked_at': common.summary(seen)}
    ratio = found['looked_at']['median_ms'] / found['plain']['median_ms']
    return found | {'cost': (ratio - 1) / INTERVAL, 'environment': common.environment('cpu')}


def main() -> int:
    """Measure both trainings, write the figures and judge them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--steps', type=int, default=204)
    parser.add_argument('--case', help=argparse.SUPPRESS)  # one case in a process of its own
    args = parser.parse_args()
    if args.case:
        print(json.dumps(measure(**json.loads(args.case))))
        return 0
    found = {
        title: common.run_case(__file__, dict(title=title, steps=args.steps)) for title in TRAININGS
    }
    common.write_results('diagnostics_cpu', found)
    rows = [
        [
            title,
            f'{case["plain"]["median_ms"]:.1f}',
            f'{case["looked_at"]["median_ms"]:.1f}',
            f'{case["cost"]:.2%}',
        ]
        for title, case in found.items()
    ]
    print(common.table(['training', 'step, ms', 'looked at, ms', f'1 in {INTERVAL} costs'], rows))
    return int(any(case['cost'] >= WANTED for case in found.values()))


if __name__ == '__main__':
    sys.exit(main())
