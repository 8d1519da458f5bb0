"""Many steps and many images: memory and the time of a step stay where they are."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from stress.children import Child
from stress.configs import GPACO_SEG, seg_config
from stress.trials import Trials, memory_mib

from paco_seg import cli
from paco_seg.files import write_json

PROMISE = (
    'Memory and the time of a step do not grow: over a training or an evaluation, neither rises '
    'by more than the noise around it'
)
# What a line through the second half may rise over its length: allocators round up, and a
# neighbour may take the processor.
MOST_MIB = 24.0
MOST_MIB_SHORT = 4.0
MOST_TIME = 1.5
PATIENCE = 3600.0


def run(trials: Trials) -> None:
    room = trials.room('soak')
    steps = trials.size(150, 20_000)
    images = trials.size(150, 10_000)
    settings = dict(keep=1, ema=True, workers=0, accumulate=1)
    extra = GPACO_SEG.format(**settings, iters=steps, interval=steps)
    # One validation at the end; the test set is the validation set, many times over.
    extra += f"""
default_hooks['logger']['interval'] = {max(steps // 20, 1)}
test_dataloader = dict(
    batch_size=1, num_workers=0, sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='RepeatDataset', times={images // 2}, dataset=dict(
            data_prefix=dict(img_path='images/val', seg_map_path='labels/val'),
            pipeline=load + [dict(type='PackSegInputs')], **dataset)))
"""
    config = seg_config(room, extra)
    work = room / 'work'
    train = ['train', config, '--work-dir', work]
    if not _flat(trials, 'training steps', train, room / 'train.json', steps):
        return
    test = ['test', config, work / f'iter_{steps}.pth', '--work-dir', room / 'test']
    outputs = {'predictions': 'out.pkl', 'metrics': 'out.json'}
    for name, out in list(outputs.items())[: trials.size(1, 2)]:
        words = [*test, '--out', room / out]
        _flat(trials, f'images evaluated, {name}', words, room / f'{name}.json', images)


def _flat(trials: Trials, kind: str, words: list[Any], file: Path, number: int) -> bool:
    child = Child(_watch, [str(word) for word in words], file, log=file.with_suffix('.log'))
    code = child.wait(PATIENCE)
    if not trials.check('commands', code == 0, f'{words[0]}: exit {code}: {child.said()[-2000:]}'):
        return False
    record = np.array(json.loads(file.read_text()))
    trials.check('commands', len(record) >= number, f'{kind}: {len(record)} of {number}')
    trials.counts[kind] += len(record)
    memory, seconds = record[len(record) // 2 :].T
    rise = _rise(memory)
    longer = 1 + _rise(seconds) / float(np.median(seconds))
    trials.figures[f'rise over half of the {kind}, in MiB'] = round(rise, 1)
    trials.figures[f'last over first of the {kind}, in time'] = round(longer, 2)
    most = trials.size(MOST_MIB_SHORT, MOST_MIB)
    trials.check('flat', rise <= most, f'{kind}: memory rises by {rise:.1f} MiB')
    # Seconds of the process, but those of a short form say nothing.
    if not trials.short:
        trials.check('flat', longer <= MOST_TIME, f'{kind}: steps take {longer:.2f} times as long')
    return True


def _rise(values: np.ndarray) -> float:
    """How much a robust line (medians of three thirds) rises over the values."""
    thirds = [float(np.median(part)) for part in np.array_split(values, 3)]
    return 1.5 * (thirds[2] - thirds[0])


def _watch(words: list[str], file: Path) -> None:
    """Run a command and write memory and seconds of each of its steps down."""
    from mmengine.runner import IterBasedTrainLoop, TestLoop

    record: list[tuple[float, float]] = []
    for loop in (IterBasedTrainLoop, TestLoop):
        loop.run_iter = _timed(loop.run_iter, record)
    cli.run(words)
    write_json(file, record, indent=None)


def _timed(run_iter: Any, record: list[tuple[float, float]]) -> Any:
    def timed(*arguments: Any) -> None:
        began = time.process_time()
        run_iter(*arguments)
        record.append((memory_mib(), time.process_time() - began))

    return timed
