"""What a training and its test left behind: curves, metrics, number of parameters, peak memory."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

# What a checkpoint holds beside parameters: BatchNorm, class counts, queue, fixed centers, steps.
BUFFERS = re.compile(
    r'(running_mean|running_var|num_batches_tracked|\bcounts|\bqueue\.\w+|\bsimplex|\bupdates)$'
)


def scalar_log(folder: Path) -> list[dict]:
    """Return the rows that MMEngine logged in a work directory, oldest first."""
    rows = []
    for file in sorted(folder.glob('*/vis_data/scalars.json')):
        for line in file.read_text().splitlines():
            try:
                rows.append(json.loads(line))
            except ValueError:  # the last line of a training that is being written
                break
    return rows


def collect_training(folder: Path) -> dict:
    """Return curves and duration of a training by iterations.

    Returns:
        ``loss`` as [iteration, value] pairs, ``validation`` as rows of metrics with ``step``, and
        ``train_seconds``: the iterations alone, without validation and start-up.
    """
    loss, validation, seconds, last = [], [], 0.0, 0
    for row in scalar_log(folder):
        if 'loss' in row:
            # the mean over the iterations since the row before, if log_processor.window_size is the
            # interval of the logger
            seconds += row['time'] * (row['step'] - last)
            last = row['step']
            loss.append([row['step'], row['loss']])
        else:
            # time and data_time of a validation batch say nothing about the model
            validation.append({k: v for k, v in row.items() if k not in ('time', 'data_time')})
    return dict(loss=loss, validation=validation, train_seconds=seconds)


def collect_final(folder: Path) -> dict:
    """:func:`collect_training`, test of its weights, peak memory and number of parameters."""
    from paco_seg.engine.checkpoint import load_from_local, set_safe_loading

    set_safe_loading()
    state = load_from_local(str(folder / 'final.pth'), map_location='cpu')['state_dict']
    sizes = {key: value.numel() for key, value in state.items() if not BUFFERS.search(key)}
    return dict(
        **collect_training(folder),
        **collect_test(folder),
        **json.loads((folder / 'command-0.json').read_text()),
        parameters=sum(sizes.values()),
    )


def collect_test(folder: Path) -> dict:
    """Return what ``paco-seg test --out`` wrote."""
    return dict(test=json.loads((folder / 'test.json').read_text()))


def training_progress(folder: Path) -> float:
    """Return the share of the iterations that a training has logged."""
    steps = [row['step'] for row in scalar_log(folder) if 'loss' in row]
    dumped = list(folder.glob('*/vis_data/config.py'))
    if not steps or not dumped:
        return 0.0
    max_iters = re.search(r'max_iters=(\d+)', dumped[-1].read_text())
    return min(1.0, steps[-1] / int(max_iters[1])) if max_iters else 0.0


def final_metric(validation: Sequence[Mapping[str, Any]], metric: str) -> float:
    """Return a metric at the last validation.

    Raises:
        ValueError: the training did not report it.
    """
    if not validation or metric not in validation[-1]:
        raise ValueError(
            f'{metric}: expected this metric in the last validation, got '
            f'{sorted(validation[-1]) if validation else "no validation"}. Set val_interval to a '
            'divisor of max_iters'
        )
    return float(validation[-1][metric])
