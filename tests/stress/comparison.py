"""Comparisons that are killed at random moments and end with the same results."""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from helpers.tiny_comparison import tiny_suite
from stress.children import PATIENCE, Child, command
from stress.configs import cls_config, seg_config
from stress.trials import Trials

from paco_seg.comparison.demo_data.digit_scenes import SceneSettings, write_scenes
from paco_seg.comparison.report import run_suite

PROMISE = (
    'A comparison that is killed leaves no process behind and, started again, ends with the very '
    '`results.json` of one that was not'
)
# The fingerprint is one of all figures, times too.
MEASURED = re.compile('second|time|memory|fingerprint')
OPTIONS = ('--iters', 2, '--search', 'none', '--groups', 'rank')
# The system kills them with it; trainings as short as these would soon end by themselves.
ORPHANS_END_SECONDS = 1.5


def run(trials: Trials) -> None:
    room = trials.room('classification')
    words = ('compare', cls_config(room), '--systems', 'tau-norm', '--seeds', 1, *OPTIONS)
    _killed(
        trials, 'classification', room, lambda log: _compare(words, room, log), trials.size(1, 5)
    )
    if trials.short:
        return
    room = trials.room('segmentation')
    more = ('compare', seg_config(room), '--systems', 'gpaco', '--seeds', 2, *OPTIONS)
    _killed(trials, 'segmentation', room, lambda log: _compare(more, room, log), 5)
    room = trials.room('quickstart')
    settings = SceneSettings(max_instances=100, balanced_instances=1)
    write_scenes(room / 'data' / 'digit_scenes', settings)
    _killed(trials, 'quickstart', room, lambda log: Child(_quickstart, room, log=log), 2)


def _compare(words: tuple[object, ...], room: Path, log: Path) -> Child:
    return command(*words, '--out', room / 'out', before=lambda: os.chdir(room), log=log)


def _quickstart(room: Path) -> None:
    """The suite of the quickstart, with trainings of two iterations."""
    os.chdir(room)
    run_suite(tiny_suite('quickstart'), room / 'out')


def _killed(
    trials: Trials, name: str, room: Path, start: Callable[[Path], Child], times: int
) -> None:
    out, log = room / 'out', room / 'log'
    began = time.monotonic()
    child = start(log)
    code = child.wait(2 * PATIENCE)
    duration = time.monotonic() - began
    if not trials.check('uninterrupted', code == 0, f'{name}: exit {code}: {child.said()[-2000:]}'):
        return
    straight = _results(out)
    for attempt in range(times):
        shutil.rmtree(out)
        kills = 0
        for _ in range(trials.rng.randint(1, 2)):
            child = start(log)
            moment = trials.rng.uniform(0.1, 0.9) * duration
            until = time.monotonic() + moment
            while child.running() and time.monotonic() < until:
                time.sleep(0.02)
            kills += child.running()
            child.kill()
            left = _orphans(room)
            trials.check('kills without orphans', not left, f'{name}: {left} run on')
        with trials.trial('comparisons with the same results', f'{name}, attempt {attempt}'):
            for path in out.rglob('*.json') if out.exists() else ():
                if 'vis_data' not in path.parts:  # MMEngine's log, a line per value
                    json.loads(path.read_text())  # complete or absent
            child = start(log)
            code = child.wait(2 * PATIENCE)
            assert code == 0, f'exit {code}: {child.said()[-2000:]}'
            found = _results(out)
            assert found == straight, _difference(straight, found)
        trials.counts['kills'] += kills


def _results(out: Path) -> str:
    """The results without what a clock or a memory says, which the quickstart has beside them."""
    return json.dumps(_timeless(json.loads((out / 'results.json').read_text())), indent=1)


def _timeless(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _timeless(v) for k, v in value.items() if not MEASURED.search(k)}
    return [_timeless(item) for item in value] if isinstance(value, list) else value


def _orphans(room: Path) -> list[str]:
    """What still runs in the folder after a while, by its place of work."""
    until = time.monotonic() + ORPHANS_END_SECONDS
    while (found := _working_in(room)) and time.monotonic() < until:
        time.sleep(0.1)
    return found


def _working_in(room: Path) -> list[str]:
    found = []
    for process in Path('/proc').glob('[0-9]*'):
        try:
            if (process / 'cwd').readlink() == room:
                found.append(process.name)
        except OSError:  # it ended, or is another user's
            continue
    return found


def _difference(one: str, two: str) -> str:
    lines = zip(one.splitlines(), two.splitlines(), strict=False)
    return '; '.join(f'{a} instead of {b}' for b, a in lines if a != b)[:1000]
