"""The areas, in the order in which they run, and their results."""

from __future__ import annotations

import datetime
import json
import os
import platform
import subprocess
import tempfile
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from mmengine.logging import MMLogger
from stress.trials import Trials

from paco_seg import compat
from paco_seg.comparison.process import forget_runs
from paco_seg.engine.checkpoint import set_safe_loading
from paco_seg.files import write_json

ROOT = Path(__file__).parents[2]
OUT = ROOT / 'benchmarks' / 'results' / 'stress.json'
# module -> title, the cheap ones first
AREAS = {
    'damage': 'Damaged files',
    'untrusted': 'Untrusted files',
    'fuzz': 'Fuzzing',
    'numerics': 'Numerics',
    'full_disk': 'Full disk',
    'kills': 'Kill and resume',
    'ranks': 'Several processes',
    'comparison': 'Comparison killed',
    'soak': 'Soak',
}


def run_area(name: str, seed: int, folder: Path, *, short: bool) -> dict[str, Any]:
    """Run one area and return its entry of the results."""
    compat.setup()
    set_safe_loading()
    forget_runs()
    MMLogger.get_instance('stress', log_level='ERROR')
    area = import_module(f'stress.{name}')
    trials = Trials(name, seed, folder, short=short)
    print(f'{AREAS[name]}, seed {seed}', flush=True)
    began = time.monotonic()
    try:
        area.run(trials)
    except Exception as error:  # the other areas still run
        traceback.print_exc()
        trials.lose('area', f'ended early: {type(error).__name__}: {error}')
    seconds = time.monotonic() - began
    for kind, number in trials.counts.items():
        print(f'  {number:6d} {kind}', flush=True)
    for figure, value in trials.figures.items():
        print(f'         {figure}: {value}', flush=True)
    print(f'  {len(trials.losses):6d} lost, {seconds:.0f} s', flush=True)
    return dict(
        promise=area.PROMISE,
        form='short' if short else 'full',
        seed=seed,
        counts=dict(trials.counts),
        figures=trials.figures,
        losses=trials.losses,
        seconds=round(seconds, 1),
        **circumstances(),
    )


def run_areas(names: Sequence[str], seed: int, *, short: bool, out: Path | None) -> int:
    """Run areas and return the number of losses; ``out`` is complete after each of them.

    Results of areas that do not run stay in it.
    """
    results = json.loads(out.read_text()) if out is not None and out.exists() else {}
    lost = tried = 0
    for name in names:
        with tempfile.TemporaryDirectory(prefix='stress-') as folder:
            results[name] = run_area(name, seed, Path(folder), short=short)
        tried += sum(results[name]['counts'].values())
        lost += len(results[name]['losses'])
        if out is not None:
            write_json(out, {name: results[name] for name in AREAS if name in results})
    print(f'{tried} trials, {lost} lost', flush=True)
    return lost


def circumstances() -> dict[str, Any]:
    """When, on what, and of which state of the sources."""
    changed = _git('diff', '--name-only', 'HEAD', '--', '.', f':!{OUT.relative_to(ROOT)}')
    return dict(
        date=datetime.date.today().isoformat(),
        commit=_git('rev-parse', '--short=12', 'HEAD') + (' with changes' if changed else ''),
        machine=f'{platform.system()} {platform.machine()}, {os.cpu_count()} cores',
        python=platform.python_version(),
        torch=torch.__version__,
    )


def _git(*words: str) -> str:
    found = subprocess.run(['git', *words], cwd=ROOT, capture_output=True, text=True)
    return found.stdout.strip() or ('unknown' if found.returncode else '')
